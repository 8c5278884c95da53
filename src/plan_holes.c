/*-------------------------------------------------------------------------
 *
 * plan_holes.c
 *		What the partitions of a set leave of its axis.
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

/*
 * pm_plan_holes returns what the partitions leave of the axis, ascending; only
 * the first hole may be open below, only the last one above.  Covers may
 * overlap by a unit where the axis is coarser than the column.
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
			*nholes = n;
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
	*nholes = n;
	return holes;
}
