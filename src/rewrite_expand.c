/*-------------------------------------------------------------------------
 *
 * rewrite_expand.c
 *		Targets for rows: a sample tells which will be needed, and the rest, where
 *		rows without a target come to, which were missing.
 *
 * Touches no source but to read it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "ddl_rewrite.h"
#include "maintenance.h"
#include "miscadmin.h"
#include "ondemand.h"
#include "plan.h"
#include "rewrite.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "compat.h"

/* ---------- bounds and domains ---------- */

/* a bound as a value of the key's domain, for pm_attempt */
typedef struct DomainValue
{
	const PmRewrite *rewrite;
	char	   *sql;
} DomainValue;

static void
read_domain_value(void *arg)
{
	DomainValue *value = arg;

	(void) pm_rewrite_count_rows(value->rewrite, value->sql);
}

/* does the domain allow a bound?  It is asked as the owner: its CHECK may call anything. */
static bool
is_in_domain(const PmRewrite *rewrite, const PartKey *key, Oid domain, int64 raw)
{
	DomainValue value = {
		.rewrite = rewrite,
		.sql = psprintf("SELECT %s::%s", pm_key_literal(key, raw), format_type_be_qualified(domain))
	};
	ErrorData  *edata = pm_attempt(read_domain_value, &value);

	if (edata && edata->sqlerrcode != ERRCODE_CHECK_VIOLATION)
		ReThrowError(edata);
	return edata == NULL;
}

/*
 * pm_rewrite_fit_bound opens the ends of a range that the key's domain forbids as
 * values: a domain of ids greater than 0 has none at 0.
 */
void
pm_rewrite_fit_bound(const PmRewrite *rewrite, const PartKey *key, PartBound *bound)
{
	Oid			type = get_atttype(rewrite->table, get_attnum(rewrite->table, key->attname));

	if (key->is_list || get_typtype(type) != TYPTYPE_DOMAIN)
		return;
	bound->lower_open = bound->lower_open || !is_in_domain(rewrite, key, type, bound->lower_raw);
	bound->upper_open = bound->upper_open || !is_in_domain(rewrite, key, type, bound->upper_raw);
}


/* ---------- rows without a target ---------- */

static int
by_lower(const ListCell *a, const ListCell *b)
{
	const Partition *x = lfirst(a);
	const Partition *y = lfirst(b);

	if (x->bound.lower_open != y->bound.lower_open)
		return x->bound.lower_open ? -1 : 1;
	return x->bound.lower < y->bound.lower ? -1 : x->bound.lower > y->bound.lower;
}

/* what is taken already: by a target, or by a partition of the set */
static List *
taken_ranges(const PmRewrite *rewrite, const PmLook *frame)
{
	List	   *result = list_copy(frame->partitions);

	if (rewrite->kind == REWRITE_DRAIN)
	{
		result = list_concat(result, pm_catalog_look(pm_rewrite_set(rewrite))->partitions);
		list_sort(result, by_lower);
	}
	return result;
}

/*
 * The point from which the worker's own drains count their window; false if there
 * is no window, since somebody has asked for all rows to be moved.
 */
static bool
find_window(const PmRewrite *rewrite, int64 *anchor)
{
	PmOrder		order = {.now = rewrite->now};
	PlanPoint	point;

	if (pm_rewrite_option(rewrite, "windowed") == NULL)
		return false;
	pm_find_point(pm_catalog_look(pm_rewrite_set(rewrite)), &order, &point);
	*anchor = point.anchor;
	return point.has_anchor;
}

/*
 * place makes a target for a key in the rest; false, and where to look on, if
 * there can be none.  An id so far away that maintenance would not believe it
 * stays in the default.
 */
static bool
place(PmRewrite *rewrite, const PmLook *frame, int64 raw, int64 *next, bool *more)
{
	const PartSet *set = frame->set;
	PlanPoint	point = {.has_anchor = true, .max_far = pm_max_create};
	PartBound	bound;
	List	   *taken;
	Oid			target;
	int64		pos;
	int64		anchor;

	*more = pm_key_position(&set->key, raw, false, &pos);
	if (!*more)
		return false;
	point.anchor = pos;
	taken = taken_ranges(rewrite, frame);
	if ((rewrite->kind == REWRITE_DRAIN && pm_plan_far_from(set, taken, &point)) ||
		(find_window(rewrite, &anchor) && pm_demand_outside(set, pos, anchor, "now") != NULL) ||
		!pm_plan_cell_of(set, taken, raw, &bound))
	{
		*more = pm_key_next(&set->key, &set->grid, pos, &pos) &&
			pm_key_raw_of(&set->key, pos, next) && pm_key_compare(&set->key, *next, raw) > 0;
		return false;
	}
	if (list_length(frame->partitions) >= pm_max_create)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the rows of table %s need more than %d partitions",
						pm_qualified_name(rewrite->table), pm_max_create),
				 errhint("Correct wrong rows, take a longer interval, or raise partmgr.max_create.")));
	target = pm_rewrite_make_target(rewrite, frame, pm_rewrite_template(rewrite), &bound, 0);
	if (rewrite->phase >= PHASE_APPLY)
		pm_rewrite_build_target(rewrite, target);
	return true;
}

/* so many blocks of a source tell which ranges its rows are in */
#define SURVEY_BLOCKS 2000

/* a range that a target is to take, beside those that are taken */
static List *
plan_target(List *taken, const PartBound *bound)
{
	Partition  *partition = palloc0(sizeof(Partition));

	partition->bound = *bound;
	partition->is_readable = true;
	taken = lappend(taken, partition);
	list_sort(taken, by_lower);
	return taken;
}

/* the positions of a sample of rows, ascending */
static int64 *
sample_positions(const PmRewrite *rewrite, const PartSet *set, uint64 *n)
{
	const PartKey *key = &set->key;
	Oid			source = ((PmSource *) linitial(rewrite->sources))->oid;
	const char *column = pm_key_column(key);
	double		percent = 100.0 * SURVEY_BLOCKS / Max(pm_size_blocks(source), 1);
	MemoryContext caller = CurrentMemoryContext;
	int64	   *result;
	PmSpi		spi;
	uint64		rows;
	bool		isnull;

	pm_spi_begin(&spi, rewrite->owner);
	rows = pm_spi_select(psprintf("SELECT %s(%s) FROM ONLY %s%s WHERE %s ORDER BY 1",
								  key->type == NUMERICOID && key->codec == NULL ? "floor" : "", column, pm_qualified_name(source),
								  percent < 100 ? psprintf(" TABLESAMPLE SYSTEM (%.6f)", percent) : "",
								  pm_default_finite(key)),
						 0, NULL, NULL, NULL);
	result = MemoryContextAllocHuge(caller, sizeof(int64) * Max(rows, 1));
	*n = 0;
	for (uint64 i = 0; i < rows; i++)
	{
		Datum		value = pm_spi_value(i, 1, &isnull);

		if (pm_key_place(key, value, &result[*n]))
			(*n)++;
	}
	pm_spi_end(&spi);
	return result;
}

/*
 * pm_rewrite_survey makes targets for the ranges that a sample of rows is in: what
 * comes to the rest is copied twice.  Which are missing is found while copying.
 */
void
pm_rewrite_survey(PmRewrite *rewrite)
{
	PmLook	   *frame = pm_rewrite_frame(rewrite);
	const PartSet *set = frame->set;
	PmTemplate *tmpl = pm_rewrite_template(rewrite);
	List	   *taken = taken_ranges(rewrite, frame);
	PlanPoint	point = {.has_anchor = true, .max_far = pm_max_create};
	PartBound	bound = {0};
	int			made = 0;
	uint64		n;
	int64	   *positions = sample_positions(rewrite, set, &n);
	int64		anchor;
	bool		has_window = find_window(rewrite, &anchor);

	for (uint64 i = 0; i < n && made < pm_max_create; i++)
	{
		if (made > 0 && positions[i] < bound.upper)
			continue;
		point.anchor = positions[i];
		if ((rewrite->kind == REWRITE_DRAIN && pm_plan_far_from(set, taken, &point)) ||
			(has_window && pm_demand_outside(set, positions[i], anchor, "now") != NULL) ||
			!pm_plan_cell(set, taken, positions[i], &bound))
		{
			bound.upper = positions[i] + 1;
			continue;
		}
		taken = plan_target(taken, &bound);
		(void) pm_rewrite_make_target(rewrite, frame, tmpl, &bound, 0);
		made++;
	}
}

/* Rows that nothing but a default can take need one. */
static void
check_rest(const PmRewrite *rewrite)
{
	const char *wants = pm_rewrite_option(rewrite, "default_table");

	if (rewrite->kind == REWRITE_CONVERT && (wants == NULL || strcmp(wants, "true") != 0))
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("table %s holds rows that no partition can take", pm_qualified_name(rewrite->table)),
				 errdetail("Their key is infinite, or lies where the type of column \"%s\" ends.",
						   pm_rewrite_option(rewrite, "control")),
				 errhint("Correct such rows, or have a default partition made for them: p_default_table => true.")));
}

/*
 * pm_rewrite_expand makes targets for the rows that have come to the rest.  What
 * can have none stays there.
 */
void
pm_rewrite_expand(PmRewrite *rewrite)
{
	bool		more = true;
	bool		has_from = false;
	bool		moved = false;
	int64		from = 0;
	int64		raw;

	if (!OidIsValid(rewrite->rest) || pm_size_blocks(rewrite->rest) == 0)
		return;
	while (more)
	{
		PmLook	   *frame = pm_rewrite_frame(rewrite);

		if (frame->dflt == NULL)
			pm_rewrite_changed(rewrite, "a table of ours is gone");
		if (!pm_default_lowest_key(frame, has_from ? &from : NULL, &raw))
			break;
		CHECK_FOR_INTERRUPTS();
		if (place(rewrite, frame, raw, &from, &more))
			moved = true;
		else
			has_from = true;
	}
	if (pm_rewrite_count_rows(rewrite, psprintf("SELECT FROM ONLY %s LIMIT 1", pm_qualified_name(rewrite->rest))) > 0)
		check_rest(rewrite);
	else if (moved)
		pm_rewrite_run_sql(rewrite, list_make1(pm_ddl_rewrite_empty(pm_qualified_name(rewrite->rest))));
}
