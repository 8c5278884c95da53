/*-------------------------------------------------------------------------
 *
 * rewrite_choose.c
 *		What a rewrite does next: the sources of one swap, and into which ranges
 *		their rows go.
 *
 * A rewrite that is about many partitions does them one swap after the other.
 * Which is next is found by looking, never remembered: what fits already is left
 * alone, what has left the set is nobody's any more.
 *
 * Reads only.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "config.h"
#include "maintenance.h"
#include "plan.h"
#include "rewrite.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "compat.h"

static void
add_source(PmRewrite *rewrite, Oid relation)
{
	PmSource   *source = palloc0(sizeof(PmSource));

	source->oid = relation;
	rewrite->sources = lappend(rewrite->sources, source);
}

static PartBound *
copy_bound(const PartBound *bound)
{
	PartBound  *copy = palloc(sizeof(PartBound));

	*copy = *bound;
	return copy;
}

/* can a partition be rewritten at all? */
static bool
is_eligible(const Partition *partition)
{
	return partition->is_readable && !partition->is_pending &&
		partition->relkind == RELKIND_RELATION;
}

static Partition *
find_partition(List *partitions, Oid oid)
{
	ListCell   *lc;

	foreach(lc, partitions)
		if (((Partition *) lfirst(lc))->oid == oid)
			return lfirst(lc);
	return NULL;
}


/* ---------- windows ---------- */

/* the raw value of a position that is written in the options */
static bool
read_point(const PmRewrite *rewrite, const PartSet *set, int n, PartBound *bound)
{
	const char *text = pm_rewrite_option(rewrite, psprintf("at_%d", n));

	if (text == NULL)
		return false;
	bound->upper = pm_position_read(&set->key, text);
	if (!pm_key_raw_of(&set->key, bound->upper, &bound->upper_raw))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("\"%s\" is no bound that column \"%s\" can have", text, set->key.attname)));
	bound->upper_open = false;
	return true;
}

/* windows_at cuts a range at the points that the user has given. */
static List *
windows_at(const PmRewrite *rewrite, const PartSet *set, const PartBound *range)
{
	PartBound	window = *range;
	List	   *result = NIL;

	for (int n = 1; read_point(rewrite, set, n, &window); n++)
	{
		if ((!window.lower_open && window.upper <= window.lower) ||
			(!range->upper_open && window.upper >= range->upper))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("the partition cannot be split at %s",
							pm_key_literal(&set->key, window.upper_raw)),
					 errdetail("The points must lie inside the partition, in ascending order.")));
		result = lappend(result, copy_bound(&window));
		window.lower = window.upper;
		window.lower_raw = window.upper_raw;
		window.lower_open = false;
	}
	window.upper = range->upper;
	window.upper_raw = range->upper_raw;
	window.upper_open = range->upper_open;
	return lappend(result, copy_bound(&window));
}

/* windows_of_grid cuts a range with two ends where the grid has its bounds. */
static List *
windows_of_grid(const PartSet *set, const PartBound *range)
{
	const PartKey *key = &set->key;
	List	   *result = NIL;
	PartBound	cell = {0};
	PartBound	window;

	if (!pm_key_floor(key, &set->grid, range->lower, &cell.lower))
		cell.lower = range->lower;
	while (cell.lower < range->upper)
	{
		if (!pm_key_next(key, &set->grid, cell.lower, &cell.upper) ||
			cell.upper > range->upper)
			cell.upper = range->upper;
		window = *range;
		if (cell.lower > range->lower)
		{
			window.lower = cell.lower;
			(void) pm_key_raw_of(key, cell.lower, &window.lower_raw);
		}
		if (cell.upper < range->upper)
		{
			window.upper = cell.upper;
			(void) pm_key_raw_of(key, cell.upper, &window.upper_raw);
		}
		if (list_length(result) >= pm_max_create)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("the range %s has more than %d intervals",
							pm_ddl_range(key, NULL, range), pm_max_create),
					 errhint("Raise partmgr.max_create, and with many more max_locks_per_transaction.")));
		result = lappend(result, copy_bound(&window));
		cell.lower = cell.upper;
	}
	return result;
}


/* ---------- split, merge ---------- */

static Partition *
member(const PmRewrite *rewrite, const PmLook *look, int n)
{
	const char *text = pm_rewrite_option(rewrite, psprintf("member_%d", n));
	Partition  *partition = text ? find_partition(look->partitions, atooid(text)) : NULL;

	if (text == NULL)
		return NULL;
	if (partition)
		pm_catalog_refuse_pending(partition);
	if (partition == NULL || !is_eligible(partition))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table %s is not, or not any more, a plain partition of %s with bounds that can be read",
						pm_qualified_name(atooid(text)), pm_full_name(look->set))));
	return partition;
}

static bool
choose_split(PmRewrite *rewrite, const PmLook *look, List **windows)
{
	PartSet    *set = look->set;
	Partition  *partition = member(rewrite, look, 1);
	const char *interval = pm_rewrite_option(rewrite, "interval");
	char	   *problem;

	if (interval == NULL)
		*windows = windows_at(rewrite, set, &partition->bound);
	else
	{
		if (!pm_interval_parse(&set->key, interval, &set->grid.interval, &problem))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("invalid interval: %s", problem)));
		set->grid.origin = pm_key_default_origin(&set->key, &set->grid.interval, set->grid.zone);
		if (partition->bound.lower_open || partition->bound.upper_open)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("partition %s has an open end, and cannot be split by an interval",
							pm_full_name(partition)),
					 errhint("Pass p_at.")));
		*windows = windows_of_grid(set, &partition->bound);
	}
	if (list_length(*windows) < 2)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("partition %s would stay as it is", pm_full_name(partition))));
	add_source(rewrite, partition->oid);
	return true;
}

static bool
choose_merge(PmRewrite *rewrite, const PmLook *look, List **windows)
{
	PartBound	all = member(rewrite, look, 1)->bound;
	Partition  *partition;

	for (int n = 1; (partition = member(rewrite, look, n)) != NULL; n++)
	{
		if (n > 1 && (all.upper_open || partition->bound.lower_open ||
					  pm_key_compare(&look->set->key, all.upper_raw, partition->bound.lower_raw) != 0))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("there is a gap before partition %s", pm_full_name(partition)),
					 errdetail("Only partitions that follow each other can be merged.")));
		all.upper = partition->bound.upper;
		all.upper_raw = partition->bound.upper_raw;
		all.upper_open = partition->bound.upper_open;
		add_source(rewrite, partition->oid);
	}
	*windows = list_make1(copy_bound(&all));
	return true;
}


/* ---------- a new interval ---------- */

/* does the cell in which a range ends go on behind it? */
static bool
cell_goes_on(const PartSet *set, const PartBound *range)
{
	int64		floor;
	int64		next;

	return pm_key_floor(&set->key, &set->grid, range->upper - 1, &floor) &&
		pm_key_next(&set->key, &set->grid, floor, &next) && next > range->upper;
}

static bool
fits_already(List *group, List *windows)
{
	ListCell   *lc;
	ListCell   *lc2;

	if (list_length(group) != list_length(windows))
		return false;
	forboth(lc, group, lc2, windows)
	{
		const PartBound *a = &((Partition *) lfirst(lc))->bound;
		const PartBound *b = lfirst(lc2);

		if (a->lower != b->lower || a->upper != b->upper)
			return false;
	}
	return true;
}

static bool
choose_interval(PmRewrite *rewrite, const PmLook *look, List **windows)
{
	int			n = list_length(look->partitions);

	for (int i = 0; i < n;)
	{
		Partition  *first = list_nth(look->partitions, i++);
		PartBound	range = first->bound;
		List	   *group = list_make1(first);
		ListCell   *lc;

		if (!is_eligible(first) || range.lower_open || range.upper_open)
			continue;
		while (i < n && cell_goes_on(look->set, &range))
		{
			Partition  *next = list_nth(look->partitions, i);

			if (!is_eligible(next) || next->bound.lower_open || next->bound.upper_open ||
				pm_key_compare(&look->set->key, next->bound.lower_raw, range.upper_raw) != 0)
				break;
			range.upper = next->bound.upper;
			range.upper_raw = next->bound.upper_raw;
			group = lappend(group, next);
			i++;
		}
		*windows = windows_of_grid(look->set, &range);
		if (fits_already(group, *windows))
			continue;
		foreach(lc, group)
			add_source(rewrite, ((Partition *) lfirst(lc))->oid);
		return true;
	}
	return false;
}


/* ---------- compress ---------- */

/* pm_rewrite_is_compressed tells whether a table has been compressed in a manner, and is still the same. */
bool
pm_rewrite_is_compressed(Oid partition, const char *manner)
{
	return OidIsValid(pm_config_select_oid("SELECT partition::oid FROM %u WHERE partition = $1::regclass"
										   " AND task = 'compress' AND detail = $2",
										   2, (Oid[]) {OIDOID, TEXTOID},
										   (Datum[]) {ObjectIdGetDatum(partition), CStringGetTextDatum(manner)}));
}

static bool
choose_compress(PmRewrite *rewrite, const PmLook *look, List **windows)
{
	PartSet    *set = look->set;
	PmOrder		order = {.now = rewrite->now};
	PlanPoint	point;
	int64		cutoff;
	char	   *problem;
	ListCell   *lc;

	set->has_retention = true;
	if (!pm_interval_parse(&set->key, pm_rewrite_option(rewrite, "older_than"),
						   &set->retention, &problem))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid age: %s", problem)));
	pm_find_point(look, &order, &point);
	if (!pm_plan_cutoff(set, look->partitions, &point, &cutoff))
		return false;
	foreach(lc, look->partitions)
	{
		Partition  *partition = lfirst(lc);

		if (!is_eligible(partition) || partition->bound.upper_open ||
			partition->bound.upper > cutoff || pm_rewrite_is_compressed(partition->oid, pm_rewrite_option(rewrite, "detail")))
			continue;
		add_source(rewrite, partition->oid);
		*windows = list_make1(copy_bound(&partition->bound));
		return true;
	}
	return false;
}


/* ---------- undo ---------- */

static bool
choose_undo(PmRewrite *rewrite, const PmLook *look)
{
	ListCell   *lc;

	if (look->dflt)
		add_source(rewrite, look->dflt->oid);
	foreach(lc, look->partitions)
	{
		const Partition *partition = lfirst(lc);

		pm_catalog_refuse_pending(partition);
		add_source(rewrite, partition->oid);
	}
	if (rewrite->sources == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table %s has no partitions", pm_full_name(look->set))));
	return true;
}


/*
 * pm_rewrite_is_swapped tells whether a rewrite that has one swap only is past it:
 * then it cannot be undone.
 */
bool
pm_rewrite_is_swapped(const PmRewrite *rewrite)
{
	return rewrite->units > 0 && rewrite->kind != REWRITE_INTERVAL && rewrite->kind != REWRITE_COMPRESS;
}

/*
 * pm_rewrite_choose sets the sources of the next swap, and for those whose
 * ranges are known the ranges of its targets, as PartBounds; false if there is
 * nothing left to do.  Errors: what was asked for makes no sense, or not any more.
 */
bool
pm_rewrite_choose(PmRewrite *rewrite, List **windows)
{
	PartSet    *set;
	PmLook	   *look;

	*windows = NIL;
	rewrite->sources = NIL;
	if (PM_REWRITE_MAKES_SET(rewrite->kind))
	{
		add_source(rewrite, rewrite->table);
		return rewrite->units == 0;
	}
	if (pm_rewrite_is_swapped(rewrite))
		return false;
	set = pm_rewrite_set(rewrite);
	look = pm_catalog_look(set);
	switch (rewrite->kind)
	{
		case REWRITE_DRAIN:
			if (look->dflt != NULL)
				add_source(rewrite, look->dflt->oid);
			return look->dflt != NULL;
		case REWRITE_SPLIT:
			return choose_split(rewrite, look, windows);
		case REWRITE_MERGE:
			return choose_merge(rewrite, look, windows);
		case REWRITE_INTERVAL:
			return choose_interval(rewrite, look, windows);
		case REWRITE_COMPRESS:
			return choose_compress(rewrite, look, windows);
		case REWRITE_UNDO:
			return choose_undo(rewrite, look);
		case REWRITE_CONVERT:
		case REWRITE_INSTANT:
			break;				/* above */
	}
	return false;
}
