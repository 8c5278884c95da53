/*-------------------------------------------------------------------------
 *
 * ondemand.h
 *		What the files share that make partitions on demand.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PARTMGR_ONDEMAND_H
#define PARTMGR_ONDEMAND_H

#include "executor/execdesc.h"
#include "internal.h"
#include "partitioning/partdefs.h"
#include "port/atomics.h"
#include "utils/relcache.h"

/* ---------- ondemand_cache.c ---------- */

/* one range of raw values that partitions take, ends included */
typedef struct CoverRange
{
	int64		first;
	int64		last;
} CoverRange;

/* what the partitions of a table take, as one query sees them */
typedef struct PmCover
{
	CoverRange	last_hit;		/* nothing in it is in urge_from or beyond */
	int64		urge_from;		/* rows from here on want further partitions soon */
	int			n;
	CoverRange *ranges;			/* ascending, none touches the next */
} PmCover;

/*
 * A set where partitions are made on demand, as this session remembers it.  It is
 * as it was when it was read, and there as long as somebody has it pinned.
 */
typedef struct PmDemandSet
{
	MemoryContext context;		/* of all this */
	int			pins;
	bool		is_current;
	PartSet    *set;
	PartitionDesc desc;			/* what cover was read from; only to be compared */
	PmCover		cover;
	int			width;			/* bytes of a key that is its own raw value; or 0 */
} PmDemandSet;

/* a partitioned table */
typedef struct PmDemandTable
{
	Oid			relid;			/* hash key */
	bool		is_valid;
	bool		has_branches;	/* some partition is partitioned again */
	PmDemandSet *demand;		/* NULL: no partitions are made here on demand */
} PmDemandTable;

extern const PmDemandTable *pm_demand_table(Relation rel);
extern void pm_demand_pin(PmDemandSet *demand);
extern void pm_demand_unpin(PmDemandSet *demand);
extern List *pm_demand_below(Oid relid);
extern void pm_cover_read(const PmDemandSet *demand, PartitionDesc desc, PmCover *cover);
extern bool pm_cover_has(const PmDemandSet *demand, PmCover *cover, int64 raw);
extern bool pm_demand_raw(const PartKey *key, Datum value, int64 *raw);

/*
 * pm_cover_hit tells of nearly every value that a partition takes it, by nothing
 * but two comparisons; of others it tells nothing.
 */
static inline bool
pm_cover_hit(const PmDemandSet *demand, const PmCover *cover, Datum value)
{
	int64		raw;

	if (demand->width == sizeof(int64))
		raw = DatumGetInt64(value);
	else if (demand->width == sizeof(int32))
		raw = DatumGetInt32(value);
	else
		return false;
	return raw >= cover->last_hit.first && raw <= cover->last_hit.last;
}

/* ---------- ondemand_ask.c ---------- */

/* why there is no partition for a row: sentences for DETAIL and HINT */
typedef struct PmRefusal
{
	char	   *detail;
	char	   *hint;			/* or NULL */
} PmRefusal;

extern PmRefusal *pm_demand_ask(const PmDemandSet *demand, Relation rel, int64 raw);

/* a request, in dynamic shared memory */
typedef struct PmDemand
{
	Oid			dboid;
	Oid			parent;
	int64		raw;			/* the key of the row */
	TimestampTz deadline;
	int			leader_pid;		/* who asks */
	int			leader_procno;
	pg_atomic_uint32 state;		/* of PmDemandState; what follows is written before */
	char		detail[1024];
	char		hint[512];
} PmDemand;

typedef enum PmDemandState
{
	DEMAND_WAITS,
	DEMAND_DONE,				/* there is a partition now */
	DEMAND_REFUSED				/* there is none, and that is why */
} PmDemandState;

/* ---------- ondemand_make.c ---------- */
extern PmRefusal *pm_demand_make(Oid parent, int64 raw, TimestampTz now);
extern PmRefusal *pm_demand_outside(const PartSet *set, int64 pos, int64 anchor,
									const char *anchor_name);
extern PmRefusal *pm_refuse(char *detail, char *hint);

#define PM_ASK_HEALTH "partition_health_summary() tells what is in the way."

/* ---------- ondemand_worker.c ---------- */
extern PGDLLEXPORT void pm_demand_worker_main(Datum arg);

/* ---------- ondemand_copy.c ---------- */
extern void pm_copy_install(void);

#endif							/* PARTMGR_ONDEMAND_H */
