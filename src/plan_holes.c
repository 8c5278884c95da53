/*-------------------------------------------------------------------------
 *
 * plan_holes.c
 *		What the partitions of a set leave of its axis, and of a cell of its
 *		grid.
 *
 * Pure, as plan.c is: one walk over the partitions, which come sorted; a LIST
 * set's values are sorted here, because those of several partitions may be
 * interleaved.
 *
 *-------------------------------------------------------------------------
 */
#include "partmgr.h"

#include "common/int.h"
#include "plan.h"


static int
compare_covers(const void *a, const void *b)
{
	const PartBound *left = a;
	const PartBound *right = b;

	if (left->lower == right->lower)
		return 0;
	return (left->lower < right->lower) ? -1 : 1;
}

/* list_cover is the range [value, value + 1) that a value of a LIST takes. */
static PartBound
list_cover(int64 value)
{
	PartBound	cover = {.lower = value, .lower_raw = value};

	cover.upper_open = pg_add_s64_overflow(value, 1, &cover.upper);
	cover.upper_raw = cover.upper;
	return cover;
}

/*
 * collect_covers returns the ranges that existing partitions take, ascending.
 * Those of RANGE partitions come sorted, the values of LIST partitions may be
 * interleaved.
 */
static PartBound *
collect_covers(const PartSet *set, List *partitions, int *ncovers)
{
	PartBound  *covers;
	int			size = 0;
	int			n = 0;
	ListCell   *lc;

	foreach(lc, partitions)
		size += set->key.is_list ? ((Partition *) lfirst(lc))->nvalues : 1;
	covers = palloc(sizeof(PartBound) * Max(size, 1));

	foreach(lc, partitions)
	{
		const Partition *partition = lfirst(lc);

		if (!partition->is_readable && !partition->is_rounded)
			continue;
		if (!set->key.is_list)
			covers[n++] = partition->bound;
		else
			for (int i = 0; i < partition->nvalues; i++)
				covers[n++] = list_cover(partition->values[i]);
	}

	if (set->key.is_list)
		qsort(covers, n, sizeof(PartBound), compare_covers);
	*ncovers = n;
	return covers;
}

/* what is left of holes in a set that is a partition itself; returns their number */
static int
limit_holes(const PartBound *limits, PartBound *holes, int nholes)
{
	int			n = 0;

	for (int h = 0; h < nholes; h++)
	{
		PartBound	hole = holes[h];

		if (!limits->lower_open && (hole.lower_open || hole.lower < limits->lower))
		{
			hole.lower_open = false;
			hole.lower = limits->lower;
			hole.lower_raw = limits->lower_raw;
		}
		if (!limits->upper_open && (hole.upper_open || hole.upper > limits->upper))
		{
			hole.upper_open = false;
			hole.upper = limits->upper;
			hole.upper_raw = limits->upper_raw;
		}
		if (hole.lower_open || hole.upper_open || hole.lower < hole.upper)
			holes[n++] = hole;
	}
	return n;
}

/*
 * pm_plan_holes returns what the partitions leave of the axis, or of the limits of
 * the set, ascending; only the first hole may be open below, only the last one
 * above.  Covers may overlap by a unit where the axis is coarser than the column.
 */
PartBound *
pm_plan_holes(const PartSet *set, List *partitions, int *nholes,
			  bool *has_cover)
{
	int			ncovers;
	PartBound  *covers = collect_covers(set, partitions, &ncovers);
	PartBound  *holes = palloc(sizeof(PartBound) * (ncovers + 1));
	PartBound	hole = {.lower_open = true};
	int			n = 0;

	*has_cover = (ncovers > 0);
	*nholes = 0;
	for (int i = 0; i < ncovers; i++)
	{
		const PartBound *cover = &covers[i];

		if (!cover->lower_open &&
			(hole.lower_open || hole.lower < cover->lower))
		{
			hole.upper = cover->lower;
			hole.upper_raw = cover->lower_raw;
			holes[n++] = hole;
		}
		if (cover->upper_open)
		{
			*nholes = set->has_limits ? limit_holes(&set->limits, holes, n) : n;
			return holes;
		}
		if (hole.lower_open || hole.lower <= cover->upper)
		{
			hole.lower_open = false;
			hole.lower = cover->upper;
			hole.lower_raw = cover->upper_raw;
		}
	}
	hole.upper_open = true;
	holes[n++] = hole;
	*nholes = set->has_limits ? limit_holes(&set->limits, holes, n) : n;
	return holes;
}

/*
 * pm_plan_clip sets bound to what a hole leaves of a cell.  Where both end at
 * the same position the neighbour's raw value counts, which is exact.
 */
PlanClip
pm_plan_clip(const PartKey *key, const PartBound *cell, const PartBound *hole,
			 PartBound *bound)
{
	memset(bound, 0, sizeof(PartBound));
	if (!hole->lower_open && (cell->lower_open || hole->lower >= cell->lower))
	{
		bound->lower = hole->lower;
		bound->lower_raw = hole->lower_raw;
	}
	else if (cell->lower_open ||
			 !pm_key_raw_of(key, cell->lower, &bound->lower_raw))
		return CLIP_BELOW;
	else
		bound->lower = cell->lower;

	if (!hole->upper_open && (cell->upper_open || hole->upper <= cell->upper))
	{
		bound->upper = hole->upper;
		bound->upper_raw = hole->upper_raw;
	}
	else if (cell->upper_open ||
			 !pm_key_raw_of(key, cell->upper, &bound->upper_raw))
		return CLIP_ABOVE;
	else
		bound->upper = cell->upper;

	return bound->lower < bound->upper &&
		pm_key_compare(key, bound->lower_raw, bound->upper_raw) < 0 ?
		CLIP_DONE : CLIP_NOTHING;
}

/*
 * pm_plan_cell finds the partition that would take a position: the cell of the
 * set's grid that holds it, clipped to the hole that it lies in.  False if a
 * partition takes it already, or the column's type cannot hold the bounds.
 */
bool
pm_plan_cell(const PartSet *set, List *partitions, int64 pos, PartBound *bound)
{
	PartBound	cell = {0};
	int			nholes;
	bool		has_cover;
	PartBound  *holes = pm_plan_holes(set, partitions, &nholes, &has_cover);

	cell.lower_open = !pm_key_floor(&set->key, &set->grid, pos, &cell.lower);
	cell.upper_open = !pm_key_next(&set->key, &set->grid, pos, &cell.upper);
	for (int h = 0; h < nholes; h++)
	{
		if ((holes[h].lower_open || holes[h].lower <= pos) &&
			(holes[h].upper_open || pos < holes[h].upper))
			return pm_plan_clip(&set->key, &cell, &holes[h], bound) == CLIP_DONE;
	}
	return false;
}

/*
 * pm_plan_is_full tells whether a set that is a partition itself has partitions up to
 * its end, so that none will ever be made ahead of them.
 */
bool
pm_plan_is_full(const PartSet *set, List *partitions)
{
	int			nholes;
	bool		has_cover;
	PartBound  *holes;

	if (!set->has_limits || set->limits.upper_open)
		return false;
	holes = pm_plan_holes(set, partitions, &nholes, &has_cover);
	return nholes == 0 || holes[nholes - 1].upper < set->limits.upper;
}

/*
 * pm_plan_cell_of is the same for the key of a row that no partition takes.  Where
 * the axis is coarser than the column, the key may lie behind a bound that stands
 * at the same position.
 */
bool
pm_plan_cell_of(const PartSet *set, List *partitions, int64 raw, PartBound *bound)
{
	int64		pos;
	int64		above;

	if (!pm_key_position(&set->key, raw, false, &pos))
		return false;
	if (pm_plan_cell(set, partitions, pos, bound))
		return true;
	return pm_key_position(&set->key, raw, true, &above) && above != pos &&
		pm_plan_cell(set, partitions, above, bound);
}
