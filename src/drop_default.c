/*-------------------------------------------------------------------------
 *
 * drop_default.c
 *		Give the rows of a default partition partitions of their own, and drop
 *		it.
 *
 * All in the caller's transaction, under ACCESS EXCLUSIVE on the parent: nobody
 * can put a row into the default while it is emptied.  First all rows are
 * placed; if one has no place, nothing was changed.  Then the partitions are
 * made by the step that maintenance takes, which moves their rows: copied
 * without triggers, deleted without them, whatever foreign keys point at them.
 *
 * The highest id is counted from again once its row has a partition.  So in a
 * set of ids all partitions up to there are made, as maintenance would have
 * made them.
 *
 * Checks no rights: the caller does.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "internal.h"
#include "maintenance.h"
#include "miscadmin.h"
#include "plan.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"

#include "compat.h"

/* a default on its way out */
typedef struct Drain
{
	const PmLook *look;
	PartPlan	plan;			/* the partitions that its rows need */
	int64		placed;			/* rows that have one */
	bool		has_end;		/* ids: partitions follow each other up to here */
	int64		end;
} Drain;

static int64
count_rows(const PmLook *look, const char *condition)
{
	return pm_catalog_count_default(look, condition, PG_INT64_MAX);
}

/* pm_default_finite is a condition that a key is one that a bound can have. */
char *
pm_default_finite(const PartKey *key)
{
	const char *column = quote_identifier(key->attname);
	const char *others = pm_key_others(key, " AND ", " IS NOT NULL");

	/* what its decoder cannot read is passed where keys are read */
	if (key->codec)
		return psprintf("%s IS NOT NULL%s", column, others);
	switch (key->type)
	{
		case TIMESTAMPTZOID:
		case TIMESTAMPOID:
		case DATEOID:
			return psprintf("%s > '-infinity' AND %s < 'infinity'%s", column, column, others);
		case NUMERICOID:
			return psprintf("%s BETWEEN " INT64_FORMAT " AND " INT64_FORMAT "%s",
							column, PG_INT64_MIN, PG_INT64_MAX, others);
		default:
			return psprintf("%s IS NOT NULL%s", column, others);
	}
}

/*
 * pm_default_lowest_key finds the lowest key in the default, from a raw value on
 * if there is one; false if there is none that a bound can have.
 */
bool
pm_default_lowest_key(const PmLook *look, const int64 *from, int64 *raw)
{
	const PartKey *key = &look->set->key;
	const char *column = quote_identifier(key->attname);
	char	   *condition = pm_default_finite(key);
	PmSpi		spi;
	bool		isnull;
	Datum		value;

	if (key->codec)
		return pm_codec_edge(key, look->dflt->owner, pm_full_name(look->dflt),
							 from ? psprintf("%s AND %s >= %s::%s", condition, pm_key_column(key), pm_key_literal(key, *from),
											 format_type_be_qualified(key->type)) : condition,
							 false, raw);
	if (from)
		condition = psprintf("%s AND %s >= %s::%s", condition, column,
							 pm_key_literal(key, *from), format_type_be_qualified(key->type));
	pm_spi_begin(&spi, look->dflt->owner);
	pm_spi_select(psprintf("SELECT %s(min(%s)) FROM %s WHERE %s",
						   key->type == NUMERICOID ? "floor" : "", column,
						   pm_full_name(look->dflt), condition),
				  0, NULL, NULL, NULL);
	value = pm_spi_value(0, 1, &isnull);
	if (!isnull && !pm_key_raw(key, value, raw))
		elog(ERROR, "unexpected key in default partition %s", pm_full_name(look->dflt));
	pm_spi_end(&spi);
	return !isnull;
}

/* check_near refuses an id so far away that maintenance would not believe it. */
static void
check_near(const Drain *drain, int64 pos)
{
	const PartSet *set = drain->look->set;
	PlanPoint	point = {.has_anchor = true, .anchor = pos, .max_far = pm_max_create};
	const PartBound *last = pm_plan_far_from(set, drain->look->partitions, &point);

	if (last)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("default partition %s holds key " INT64_FORMAT ", far beyond the last partition, which ends at %s",
						pm_full_name(drain->look->dflt), pos,
						pm_key_literal(&set->key, last->upper_raw)),
				 errhint("Move or correct such rows, or raise partmgr.max_create.")));
}

static void
add_step(Drain *drain, const PartBound *bound, int64 rows)
{
	const PartSet *set = drain->look->set;
	PlanStep   *step = palloc0(sizeof(PlanStep));

	if (list_length(drain->plan.steps) >= pm_max_create)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the rows of default partition %s need more than %d partitions",
						pm_full_name(drain->look->dflt), pm_max_create),
				 errhint("Raise partmgr.max_create, and with many more max_locks_per_transaction.")));
	step->kind = STEP_CREATE;
	step->bound = *bound;
	step->name = pm_name_partition(set->name, set->name_format, &set->key,
								   &set->grid, bound);
	step->reason = rows > 0 ? "rows in the default partition" :
		"missing before rows in the default partition";
	step->move_rows = rows;
	drain->plan.steps = lappend(drain->plan.steps, step);
}

/* add_before makes a set of ids whole up to the next partition for its rows. */
static void
add_before(Drain *drain, const PartBound *bound)
{
	PartBound	missing;

	while (drain->has_end && drain->end < bound->lower &&
		   pm_plan_cell(drain->look->set, drain->look->partitions, drain->end, &missing))
	{
		add_step(drain, &missing, 0);
		drain->end = missing.upper;
	}
	drain->end = Max(drain->end, bound->upper);
}

static void
find_end(Drain *drain)
{
	ListCell   *lc;

	if (drain->look->set->key.axis != AXIS_ID)
		return;
	foreach(lc, drain->look->partitions)
	{
		const Partition *partition = lfirst(lc);

		if ((!partition->is_readable && !partition->is_rounded) ||
			partition->bound.upper_open)
			continue;
		drain->end = drain->has_end ? Max(drain->end, partition->bound.upper) :
			partition->bound.upper;
		drain->has_end = true;
	}
}

/*
 * place adds the partition for a key, and sets where to look on; false if there
 * is nothing to look for any more.  A key without a place is left out, with what
 * else its cell would hold.
 */
static bool
place(Drain *drain, int64 raw, int64 *next)
{
	const PartSet *set = drain->look->set;
	PartBound	bound;
	int64		pos;

	if (!pm_key_position(&set->key, raw, false, &pos))
		return false;
	check_near(drain, pos);
	if (pm_plan_cell_of(set, drain->look->partitions, raw, &bound))
	{
		int64		rows = count_rows(drain->look, pm_catalog_key_test(set, &bound));

		add_before(drain, &bound);
		add_step(drain, &bound, rows);
		drain->placed += rows;
		*next = bound.upper_raw;
	}
	else if (!pm_key_next(&set->key, &set->grid, pos, &pos) ||
			 !pm_key_raw_of(&set->key, pos, next))
		return false;
	return pm_key_compare(&set->key, *next, raw) > 0;
}

/* place_all finds the partitions that the rows of the default need. */
static void
place_all(Drain *drain, int64 total)
{
	const PmLook *look = drain->look;
	int64		raw;
	int64		next;
	bool		more = pm_default_lowest_key(look, NULL, &raw);

	find_end(drain);
	while (more)
	{
		CHECK_FOR_INTERRUPTS();
		more = place(drain, raw, &next) && pm_default_lowest_key(look, &next, &raw);
	}
	if (drain->placed != total)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("default partition %s holds " INT64_FORMAT " row%s that no other partition can take",
						pm_full_name(look->dflt), total - drain->placed,
						total - drain->placed == 1 ? "" : "s"),
				 look->set->key.codec ?
				 errdetail("Their key is null, or time_decoder %s finds no time in it.",
						   pm_codec_decoder(&look->set->key)) :
				 errdetail("Their key is null or infinite, or the type of column \"%s\" ends before the bound that their partition would need.",
						   look->set->key.attname),
				 errhint("Move or correct such rows.")));
}

static void
check_obstacle(const PmLook *look, int64 total)
{
	int			sqlerrcode;
	char	   *obstacle = pm_catalog_default_obstacle(look, &sqlerrcode);

	if (obstacle)
		ereport(ERROR,
				(errcode(sqlerrcode),
				 errmsg("default partition %s holds " INT64_FORMAT " row%s, and %s",
						pm_full_name(look->dflt), total, total == 1 ? "" : "s", obstacle)));
}

/* check_names refuses partitions whose name is taken. */
static void
check_names(const PmLook *look, PmTemplate *tmpl, PartPlan *plan)
{
	PmLook		alone = *look;
	ListCell   *lc;

	alone.dflt = NULL;			/* what is said of its rows is for maintenance */
	pm_catalog_check_steps(&alone, tmpl, plan);
	foreach(lc, plan->steps)
	{
		PlanStep   *step = lfirst(lc);

		if (step->blocked)
			ereport(ERROR,
					(errcode(step->blocked_code), errmsg("%s", step->blocked)));
	}
}

/* make_partitions carries out the steps, each of which moves its rows. */
static List *
make_partitions(const PmLook *look, PartPlan *plan, TimestampTz now)
{
	PmTemplate *tmpl = pm_catalog_template(look);
	List	   *outcomes = NIL;
	ListCell   *lc;

	check_names(look, tmpl, plan);
	foreach(lc, plan->steps)
	{
		CHECK_FOR_INTERRUPTS();
		pm_make(look, tmpl, lfirst(lc), now);
		outcomes = lappend(outcomes, pm_make_outcome(look, lfirst(lc), "done"));
	}
	return outcomes;
}

/* An event trigger of somebody's may write where nobody else can. */
static void
check_empty(const PmLook *look)
{
	if (count_rows(look, "true") > 0)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
				 errmsg("rows came into default partition %s while it was emptied",
						pm_full_name(look->dflt)),
				 errhint("See whether an event trigger inserts them.")));
}

static PmLook *
look_under_lock(Oid parent)
{
	PartSet    *set = pm_config_read_one(parent);
	PmLook	   *look = set ? pm_catalog_look(set) : NULL;

	if (look == NULL || look->dflt == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table %s has no default partition", pm_qualified_name(parent))));
	LockRelationOid(look->dflt->oid, AccessExclusiveLock);
	return look;
}

static void
log_drop(const PmLook *look, int64 rows, const instr_time *since)
{
	PmLogEntry	entry = {
		.parent = look->set->parent,
		.action = "drop_default",
		.partition = pm_full_name(look->dflt),
		.range = "DEFAULT",
		.rows = rows,
		.bytes = -1,
		.message = "asked for",
		.lock = "ACCESS EXCLUSIVE"
	};
	instr_time	duration;

	INSTR_TIME_SET_CURRENT(duration);
	INSTR_TIME_SUBTRACT(duration, *since);
	entry.lock_us = INSTR_TIME_GET_MICROSEC(duration);
	pm_log_write(list_make1(&entry));
}

/*
 * pm_drop_default moves the rows of a set's default partition to partitions of
 * their own, drops it and returns how many rows there were.
 *
 * Locks: ACCESS EXCLUSIVE on the parent, taken by the caller, and on the
 * default; with foreign keys, what creation takes.  Errors: no default; rows
 * that cannot be moved or have no place; more partitions than
 * partmgr.max_create; a name that is taken; core's.
 */
int64
pm_drop_default(Oid parent, TimestampTz now)
{
	Drain		drain = {0};
	List	   *outcomes = NIL;
	instr_time	since;
	int64		total;

	INSTR_TIME_SET_CURRENT(since);
	drain.look = look_under_lock(parent);
	total = count_rows(drain.look, "true");
	if (total > 0)
	{
		check_obstacle(drain.look, total);
		place_all(&drain, total);
		outcomes = make_partitions(drain.look, &drain.plan, now);
		check_empty(drain.look);
	}
	pm_ddl_drop_default(drain.look);
	pm_log_outcomes(outcomes);
	log_drop(drain.look, total, &since);
	return total;
}
