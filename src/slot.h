/*-------------------------------------------------------------------------
 *
 * slot.h
 *		The slots in shared memory, for slot.c and slot_use.c alone.
 *
 * Everything here is called with the lock held, exclusively by who writes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PARTMGR_SLOT_H
#define PARTMGR_SLOT_H

#include "storage/condition_variable.h"
#include "storage/lwlock.h"
#include "worker.h"

typedef struct PmShared
{
	Latch	   *launcher_latch; /* NULL: there is no launcher */
	ConditionVariable ended;	/* a worker has left its database */
	uint32		last_start;
	PmLane		last_lane;		/* of that start */
	TimestampTz last_time;
	int			nslots;			/* slots beyond have never been used */
	PmSlot		slots[PM_MAX_DATABASES];
} PmShared;

extern PmShared *pm_slots;		/* NULL: not preloaded */
extern LWLock *pm_slots_lock;

extern PmSlot *pm_slot_find(Oid dboid);
extern PmSlot *pm_slot_find_or_add(Oid dboid);
extern bool pm_lane_is_taken(const PmLaneSlot *lane);
extern void pm_lane_count_failure(PmLaneSlot *lane);
extern void pm_slot_set_launcher_latch(void);

#endif							/* PARTMGR_SLOT_H */
