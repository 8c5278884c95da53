/*-------------------------------------------------------------------------
 *
 * move_data.c
 *		Rows that go from table to table in the caller's transaction, a range of
 *		the key at a time: out of the default or another table into partitions,
 *		and out of partitions into a plain table.
 *
 * This is pg_partman's way: small batches, each of which the caller commits.
 * Every row is in one of the tables at every moment; those of a batch are locked
 * to the end of the transaction.  The rewrite engine does the same for whole
 * tables while they are written (rewrite.c).
 *
 * Checks no rights: the caller does.  Statements run as the owner of the set, so
 * that he must have the rights to the other table.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "ddl_rewrite.h"
#include "maintenance.h"
#include "miscadmin.h"
#include "move_data.h"
#include "plan.h"
#include "rewrite.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "compat.h"

/* ---------- keys ---------- */

/* edge_key finds the lowest or highest key of a table that a bound can have. */
static bool
edge_key(const PartSet *set, const char *table, const char *condition, bool highest, int64 *raw)
{
	const PartKey *key = &set->key;
	const char *column = quote_identifier(key->attname);
	PmSpi		spi;
	bool		isnull;
	Datum		value;

	if (key->codec)
		return pm_codec_edge(key, set->owner, psprintf("ONLY %s", table), psprintf("%s AND %s", pm_default_finite(key), condition), highest, raw);
	pm_spi_begin(&spi, set->owner);
	pm_spi_select(psprintf("SELECT %s(%s(%s)) FROM ONLY %s WHERE %s AND %s",
						   key->type == NUMERICOID ? "floor" : "", highest ? "max" : "min", column,
						   table, pm_default_finite(key), condition),
				  0, NULL, NULL, NULL);
	value = pm_spi_value(0, 1, &isnull);
	if (!isnull && !pm_key_raw(key, value, raw))
		elog(ERROR, "unexpected key in table %s", table);
	pm_spi_end(&spi);
	return !isnull;
}

static bool
is_empty(const PartSet *set, const char *table)
{
	PmSpi		spi;
	uint64		rows;

	pm_spi_begin(&spi, set->owner);
	rows = pm_spi_select(psprintf("SELECT FROM ONLY %s LIMIT 1", table), 0, NULL, NULL, NULL);
	pm_spi_end(&spi);
	return rows == 0;
}

/* the part of a cell that one batch takes: from its lowest key on, or to its highest */
static PartBound
batch_of(const PartSet *set, const PartBound *cell, const PartInterval *interval,
		 int64 raw, bool highest)
{
	PartGrid	grid = set->grid;
	PartBound	batch = *cell;
	int64		pos;
	int64		edge;

	if (interval == NULL || !pm_key_position(&set->key, raw, false, &pos))
		return batch;
	grid.interval = *interval;
	if (!pm_key_add(&set->key, &grid, interval, pos, highest ? -1 : 1, &edge) ||
		!pm_key_raw_of(&set->key, edge, highest ? &batch.lower_raw : &batch.upper_raw))
		return *cell;
	if (highest)
	{
		/* up to and with the highest key */
		batch.lower = edge;
		batch.lower_open = false;
		if (!cell->lower_open && edge <= cell->lower)
			return *cell;
	}
	else
	{
		batch.upper = edge;
		batch.upper_open = false;
		if (!cell->upper_open && edge >= cell->upper)
			return *cell;
	}
	return batch;
}

/* a condition that a key lies in a bound that may be open */
static char *
range_test(const PartSet *set, const PartBound *bound)
{
	const char *column = pm_key_column(&set->key);
	const char *type = format_type_be_qualified(set->key.type);
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "%s IS NOT NULL%s", column, pm_key_others(&set->key, " AND ", " IS NOT NULL"));
	if (!bound->lower_open)
		appendStringInfo(&buf, " AND %s >= %s::%s", column, pm_key_literal(&set->key, bound->lower_raw), type);
	if (!bound->upper_open)
		appendStringInfo(&buf, " AND %s < %s::%s", column, pm_key_literal(&set->key, bound->upper_raw), type);
	return buf.data;
}


/* ---------- moving ---------- */

/* columns of both tables that can be written, quoted, but for those to be ignored */
static char *
common_columns(Oid from, Oid to, List *ignored)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, pm_catalog_texts(psprintf("SELECT a.attname FROM pg_attribute a JOIN pg_attribute b ON b.attname = a.attname"
										  " AND b.attrelid = %u AND b.attnum > 0 AND NOT b.attisdropped AND b.attgenerated = ''"
										  " WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum", to), from))
	{
		ListCell   *lc2;
		bool		is_ignored = false;

		foreach(lc2, ignored)
			is_ignored |= strcmp(lfirst(lc2), lfirst(lc)) == 0;
		if (!is_ignored)
			appendStringInfo(&buf, "%s%s", buf.len ? ", " : "", quote_identifier(lfirst(lc)));
	}
	return buf.data;
}

/* one statement takes the rows out of a table and puts them into another */
static int64
move_rows(const PartSet *set, Oid from, Oid to, const char *condition, const PmMove *move)
{
	char	   *columns = common_columns(from, to, move->ignored_columns);
	PmSpi		spi;
	uint64		rows;

	pm_spi_begin(&spi, set->owner);
	rows = pm_spi_write(psprintf("WITH moved AS (DELETE FROM ONLY %s WHERE %s RETURNING *)"
								 " INSERT INTO %s (%s)%s SELECT %s FROM moved",
								 pm_qualified_name(from), condition, pm_qualified_name(to), columns,
								 move->override_system_value ? " OVERRIDING SYSTEM VALUE" : "", columns),
						0, NULL, NULL, NULL);
	pm_spi_end(&spi);
	CommandCounterIncrement();
	return (int64) rows;
}

static PmLook *
look_at(Oid parent)
{
	PartSet    *set = pm_config_read_one(parent);

	if (set == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("table %s is not managed by partmgr", pm_qualified_name(parent))));
	if (set->problem)
		ereport(ERROR,
				(errcode(set->problem_code), errmsg("%s", set->problem)));
	return pm_catalog_look(set);
}

/* a partition for a range, made; rows of the default move there */
static void
make_partition(const PmLook *look, const PartBound *bound, int64 rows, TimestampTz now)
{
	const PartSet *set = look->set;
	PmTemplate *tmpl = pm_catalog_template(look);
	PartPlan	plan = {0};
	PlanStep	step = {.kind = STEP_CREATE, .bound = *bound, .move_rows = rows};
	PmLook		alone = *look;

	step.name = pm_name_partition(set->name, set->name_format, &set->key, &set->grid, bound);
	step.reason = "rows that wait for it";
	plan.steps = list_make1(&step);
	alone.dflt = NULL;			/* what is said of its rows is for maintenance */
	pm_catalog_check_steps(&alone, tmpl, &plan);
	if (step.blocked)
		ereport(ERROR,
				(errcode(step.blocked_code), errmsg("%s", step.blocked)));
	pm_make(look, tmpl, &step, now);
	pm_log_outcomes(list_make1(pm_make_outcome(look, &step, "done")));
}

/* the partition that takes a position; NULL if there is none */
static const PartBound *
find_taker(const PmLook *look, int64 pos)
{
	ListCell   *lc;

	foreach(lc, look->partitions)
	{
		const PartBound *bound = &((Partition *) lfirst(lc))->bound;

		if (((Partition *) lfirst(lc))->is_readable &&
			(bound->lower_open || bound->lower <= pos) && (bound->upper_open || pos < bound->upper))
			return bound;
	}
	return NULL;
}

/*
 * next_range finds the next key of the source, and the range of the partition that
 * takes it; exists tells that there is one.  False if no key is left that has a
 * place.
 */
static bool
next_range(const PmLook *look, const char *source, bool highest, PartBound *range,
		   int64 *raw, bool *exists)
{
	const PartSet *set = look->set;
	char	   *condition = "true";
	int64		pos;

	for (;;)
	{
		const PartBound *taker;

		CHECK_FOR_INTERRUPTS();
		if (!edge_key(set, source, condition, highest, raw) ||
			!pm_key_position(&set->key, *raw, false, &pos))
			return false;
		taker = find_taker(look, pos);
		*exists = taker != NULL;
		if (taker)
			*range = *taker;
		if (taker || pm_plan_cell_of(set, look->partitions, *raw, range))
			return true;
		/* a key where the type ends: what else there is */
		condition = psprintf("%s %s %s::%s", pm_key_column(&set->key), highest ? "<" : ">",
							 pm_key_literal(&set->key, *raw), format_type_be_qualified(set->key.type));
	}
}

/* one batch out of the default: a whole partition */
static int64
drain_batch(const PmLook *look, const PartBound *range, TimestampTz now)
{
	int64		rows = pm_catalog_count_default(look, pm_catalog_key_test(look->set, range), PG_INT64_MAX);

	make_partition(look, range, rows, now);
	return rows;
}

static int64
source_batch(const PmLook *look, Oid source, const PartBound *range, bool exists, int64 raw,
			 const PmMove *move, TimestampTz now)
{
	PartBound	batch = batch_of(look->set, range, move->interval, raw, move->descending);

	if (!exists)
		make_partition(look, range, 0, now);
	return move_rows(look->set, source, look->set->parent, range_test(look->set, &batch), move);
}

/*
 * Who refers to a row that is deleted here has it deleted, too, or set to null, by
 * the actions of his foreign key.
 */
static void
check_references(Oid table)
{
	List	   *names = pm_catalog_strings("SELECT format('%I of %I.%I', k.conname, n.nspname, c.relname) FROM pg_constraint k"
										   " JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
										   " WHERE k.confrelid = $1 AND k.contype = 'f' AND k.conparentid = 0 ORDER BY 1", table);

	if (names != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("rows of table %s cannot be deleted there and inserted elsewhere: foreign key %s points at them",
						pm_qualified_name(table), (char *) linitial(names)),
				 errhint("Drop the foreign key for the time, or have the rows rewritten: drain_default(), unpartition().")));
}

static void
check_drain(const PmLook *look)
{
	int			sqlerrcode;
	char	   *obstacle = pm_catalog_default_obstacle(look, &sqlerrcode);

	if (obstacle)
		ereport(ERROR,
				(errcode(sqlerrcode),
				 errmsg("rows of default partition %s cannot be moved: %s",
						pm_full_name(look->dflt), obstacle)));
}

/*
 * pm_move_data moves rows out of the default, or out of another table, into
 * partitions, which are made where they are missing.  Returns how many.
 *
 * Locks: as creation; of another table the rows that are moved.
 */
int64
pm_move_data(Oid parent, Oid source, const PmMove *move, TimestampTz now)
{
	int64		total = 0;

	if (OidIsValid(source))
		check_references(source);
	LockRelationOid(parent, OidIsValid(source) ? ShareUpdateExclusiveLock : ShareRowExclusiveLock);
	for (int i = 0; i < move->batches; i++)
	{
		PmLook	   *look = look_at(parent);
		PartBound	range = {0};
		int64		raw;
		bool		exists;
		int64		rows;

		if (!OidIsValid(source) && look->dflt == NULL)
			break;
		if (!next_range(look, OidIsValid(source) ? pm_qualified_name(source) : pm_full_name(look->dflt),
						move->descending, &range, &raw, &exists))
			break;
		if (!OidIsValid(source))
			check_drain(look);
		rows = OidIsValid(source) ? source_batch(look, source, &range, exists, raw, move, now) :
			drain_batch(look, &range, now);
		if (rows == 0)
			break;
		total += rows;
	}
	return total;
}


/* ---------- undo ---------- */

static void
let_go(const PmLook *look, const Partition *partition, bool keep)
{
	PmRewrite	owner = {.owner = look->set->owner};
	List	   *statements;

	LockRelationOid(look->set->parent, AccessExclusiveLock);
	LockRelationOid(partition->oid, AccessExclusiveLock);
	statements = list_make1(pm_ddl_rewrite_detach(pm_full_name(look->set), pm_full_name(partition)));
	if (!keep)
		statements = lappend(statements, pm_ddl_rewrite_drop(pm_full_name(partition)));
	pm_rewrite_run_sql(&owner, statements);
}

/* the default first, then in the order of the bounds */
static Partition *
first_child(const PmLook *look)
{
	Partition  *first = look->dflt ? look->dflt :
		look->partitions ? linitial(look->partitions) : NULL;

	/* one whose partitions are all undone holds nothing */
	if (first && first->relkind != RELKIND_RELATION &&
		!(first->relkind == RELKIND_PARTITIONED_TABLE && find_inheritance_children(first->oid, NoLock) == NIL))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("partition %s is not a plain table", pm_full_name(first)),
				 errhint("Undo the partitioning of the partition first.")));
	return first;
}

/* rows of a batch; what has no place on the axis goes with the last one */
static int64
undo_batch(const PmLook *look, const Partition *child, Oid target, const PmMove *move)
{
	PartBound	all = {.lower_open = true, .upper_open = true};
	PartBound	batch;
	int64		raw;

	if (!edge_key(look->set, pm_full_name(child), "true", false, &raw))
		return move_rows(look->set, child->oid, target, "true", move);
	batch = batch_of(look->set, &all, move->interval ? move->interval : &look->set->grid.interval, raw, false);
	/* pg_partman's batches have both their ends */
	if (!batch.upper_open && batch.upper_raw < PG_INT64_MAX && look->set->key.type != NUMERICOID)
		batch.upper_raw++;
	batch.lower_open = true;
	return move_rows(look->set, child->oid, target, range_test(look->set, &batch), move);
}

/*
 * pm_undo moves rows out of the partitions of a set into a plain table, in batches;
 * a partition that is empty is detached, or dropped.  When none is left the set is
 * managed no longer.
 *
 * Locks: the rows that are moved; ACCESS EXCLUSIVE on the parent for a detach.
 */
void
pm_undo(Oid parent, Oid target, const PmMove *move, bool keep, int *partitions, int64 *rows)
{
	int			batches = 0;

	*partitions = 0;
	*rows = 0;
	check_references(parent);
	LockRelationOid(parent, ShareUpdateExclusiveLock);
	pm_config_set_undo(parent);
	for (;;)
	{
		PmLook	   *look = look_at(parent);
		Partition  *child = first_child(look);

		CHECK_FOR_INTERRUPTS();
		if (child == NULL)
		{
			(void) pm_set_forget(parent);
			return;
		}
		pm_catalog_refuse_foreign(look->set, child);
		if (is_empty(look->set, pm_full_name(child)))
		{
			let_go(look, child, keep);
			(*partitions)++;
			continue;
		}
		if (batches++ == move->batches)
			return;
		*rows += undo_batch(look, child, target, move);
	}
}
