/*-------------------------------------------------------------------------
 *
 * horizon.c
 *		How far ahead of now rows come in already.
 *
 * A time set keeps its partitions ahead of now; where rows for the days to come
 * are there, ahead of those, as pg_partman does, or the last partition would fill
 * with nothing behind it.  Only partitions that follow the current one without a
 * gap count: a single row in the far future asks for nothing.
 *
 * Reads only: the size of the partitions ahead, and of those that have a block
 * whether there is a row.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "internal.h"
#include "utils/builtins.h"

#include "compat.h"

/* those behind the current partition, as long as each begins where one ends */
static List *
next_partitions(const PmLook *look, int64 now)
{
	List	   *result = NIL;
	const PartBound *last = NULL;
	ListCell   *lc;

	foreach(lc, look->partitions)
	{
		Partition  *partition = lfirst(lc);
		const PartBound *bound = &partition->bound;

		if (!partition->is_readable || partition->is_pending || bound->upper_open || bound->upper <= now)
			continue;
		if (last == NULL ? (!bound->lower_open && bound->lower > now) : bound->lower_raw != last->upper_raw)
			break;
		if (last != NULL)
			result = lappend(result, partition);
		last = bound;
	}
	return result;
}

/* can there be rows in it? */
static bool
may_hold_rows(const Partition *partition)
{
	return partition->relkind == RELKIND_PARTITIONED_TABLE ||
		(partition->relkind == RELKIND_RELATION && pm_size_blocks(partition->oid) > 0);
}

/* pm_horizon_is_near tells, without a query, that no partition ahead holds a row. */
bool
pm_horizon_is_near(const PmLook *look, int64 now)
{
	ListCell   *lc;

	foreach(lc, next_partitions(look, now))
		if (may_hold_rows(lfirst(lc)))
			return false;
	return true;
}

/*
 * pm_horizon_find sets where the last of the partitions ahead begins that holds a
 * row; false if none does.
 */
bool
pm_horizon_find(const PmLook *look, int64 now, int64 *horizon)
{
	List	   *partitions = next_partitions(look, now);

	for (int i = list_length(partitions) - 1; i >= 0; i--)
	{
		const Partition *partition = list_nth(partitions, i);

		if (!may_hold_rows(partition) || !pm_catalog_has_rows(partition))
			continue;
		*horizon = partition->bound.lower;
		return true;
	}
	return false;
}
