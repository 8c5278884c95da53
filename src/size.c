/*-------------------------------------------------------------------------
 *
 * size.c
 *		How much room tables take.
 *
 * The figures of core's size functions, for thousands of partitions at once:
 * core asks the file system for files that cannot be there, which is most of
 * the time it takes.  Reads only, and locks a table no longer than it looks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_class.h"
#include "internal.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "compat.h"

/* the size of one fork of a relation, by core's function; 0 if it is gone */
static int64
fork_size(Oid relation, const char *fork)
{
	LOCAL_FCINFO(fcinfo, 2);
	Datum		result;

	InitFunctionCallInfoData(*fcinfo, NULL, 2, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = ObjectIdGetDatum(relation);
	fcinfo->args[0].isnull = false;
	fcinfo->args[1].value = CStringGetTextDatum(fork);
	fcinfo->args[1].isnull = false;
	result = pg_relation_size(fcinfo);
	return fcinfo->isnull ? 0 : DatumGetInt64(result);
}

/*
 * What one relation takes.  Files that cannot be there are not asked for: an
 * index has no visibility map, and one of a single block no free space either,
 * nor has a heap that was never written either of them.  (VACUUM may leave a
 * block or two of them with a heap that it has emptied: not counted.)
 */
static int64
relation_bytes(Oid relation, bool is_index)
{
	int64		result = fork_size(relation, "main");

	if (result > (is_index ? BLCKSZ : 0))
		result += fork_size(relation, "fsm");
	if (!is_index && result > 0)
		result += fork_size(relation, "vm");
	if (get_rel_persistence(relation) == RELPERSISTENCE_UNLOGGED)
		result += fork_size(relation, "init");
	return result;
}

/*
 * pm_size_bytes is the size of a table with its indexes and TOAST; 0 if gone.
 * As pg_total_relation_size, with less than half its system calls.
 */
int64
pm_size_bytes(Oid relation)
{
	Relation	rel = try_relation_open(relation, AccessShareLock);
	Oid			toast;
	List	   *indexes;
	int64		result;
	ListCell   *lc;

	if (rel == NULL)
		return 0;
	toast = rel->rd_rel->reltoastrelid;
	indexes = RelationGetIndexList(rel);
	result = relation_bytes(relation, false);
	foreach(lc, indexes)
		result += relation_bytes(lfirst_oid(lc), true);
	relation_close(rel, AccessShareLock);
	return OidIsValid(toast) ? result + pm_size_bytes(toast) : result;
}

/* pm_size_blocks is the number of blocks of a table's heap; 0 if it is gone. */
int64
pm_size_blocks(Oid relation)
{
	return fork_size(relation, "main") / BLCKSZ;
}
