/*-------------------------------------------------------------------------
 *
 * bound.h
 *		The bound of one partition, read on its own.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PARTMGR_BOUND_H
#define PARTMGR_BOUND_H

#include "partmgr.h"

#include "nodes/parsenodes.h"

/* an end of a partition, as far as the axis can hold it */
typedef struct PmEnd
{
	bool		is_known;		/* false: open, or beyond the axis */
	int64		raw;
	int64		pos;
} PmEnd;

extern PartitionBoundSpec *pm_bound_of(Oid relation);
extern bool pm_bound_is_plain(List *datums);
extern PmEnd pm_bound_end(const PartKey *key, Datum value);
extern PmEnd pm_bound_lower(const PartKey *key, const PartitionBoundSpec *spec);
extern PmEnd pm_bound_upper(const PartKey *key, const PartitionBoundSpec *spec);
extern Oid	pm_bound_top(Oid relation, const PartKey *key);
extern bool pm_bound_limits(Oid relation, const PartKey *key, PartBound *limits);
extern bool pm_bound_takes(const PartKey *key, const PartitionBoundSpec *spec,
						   int64 raw);

#endif							/* PARTMGR_BOUND_H */
