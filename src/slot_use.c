/*-------------------------------------------------------------------------
 *
 * slot_use.c
 *		What workers and backends do with the slots in shared memory.
 *
 * A worker enters its lane before it connects and leaves it when it is out of
 * the process array.  A backend wakes, at commit, or blocks a database and
 * ends the workers there.  See slot.c for the rules.
 *
 * Nothing here reads a catalog, or raises an error.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "slot.h"

/* between two sets that are not due and looked at nevertheless */
#define URGE_MS 1000

/* where this process is the worker, and of which lane */
static Oid	my_dboid = InvalidOid;
static PmLane my_lane;

/* ---------- the worker ---------- */

/* This worker's lane.  The caller holds the lock. */
static PmLaneSlot *
my_lane_slot(void)
{
	return &pm_slot_find(my_dboid)->lanes[my_lane];
}

/*
 * Runs when this worker is out of the process array, whatever the reason for
 * its end.
 */
static void
vacate_slot(int code, Datum arg)
{
	PmLaneSlot *lane;

	LWLockAcquire(pm_slots_lock, LW_EXCLUSIVE);
	lane = my_lane_slot();
	Assert(lane->pid == MyProcPid);
	lane->pid = 0;
	lane->latch = NULL;
	if (!lane->has_reported && !lane->is_excused)
		pm_lane_count_failure(lane);
	pm_slot_set_launcher_latch();
	LWLockRelease(pm_slots_lock);

	ConditionVariableBroadcast(&pm_slots->ended);
}

/*
 * pm_slot_enter notes this process as the worker of a lane in a database; to
 * be called before it connects, so that pm_slot_end_workers reaches it from
 * then on.
 *
 * Returns false, and the worker must go, if it comes too late or somebody
 * needs the database for himself.
 */
bool
pm_slot_enter(const PmStart *start)
{
	PmSlot	   *slot;
	bool		welcome = false;

	if (pm_slots == NULL)
		return false;

	LWLockAcquire(pm_slots_lock, LW_EXCLUSIVE);
	slot = pm_slot_find(start->dboid);
	if (slot != NULL && slot->lanes[start->lane].start == start->number)
	{
		PmLaneSlot *lane = &slot->lanes[start->lane];

		lane->start = 0;
		if (slot->blocks == 0 && lane->pid == 0)
		{
			lane->pid = MyProcPid;
			lane->latch = MyLatch;
			lane->has_reported = false;
			lane->is_excused = false;
			welcome = true;
		}
	}
	LWLockRelease(pm_slots_lock);

	if (welcome)
	{
		/* before connecting, hence called after RemoveProcFromArray */
		my_dboid = start->dboid;
		my_lane = start->lane;
		on_shmem_exit(vacate_slot, (Datum) 0);
	}
	return welcome;
}

/* pm_slot_wakes returns the number to give to pm_slot_leave later. */
uint32
pm_slot_wakes(void)
{
	uint32		wakes;

	LWLockAcquire(pm_slots_lock, LW_SHARED);
	wakes = my_lane_slot()->wakes;
	LWLockRelease(pm_slots_lock);
	return wakes;
}

/* The worker at work in a lane, asleep or not, is to look again. */
static void
look_again(PmLaneSlot *lane)
{
	lane->wakes++;
	if (lane->latch != NULL)
		SetLatch(lane->latch);
}

/*
 * pm_slot_leave notes what this worker has found and when the next one is due
 * in each lane.  A worker of the other lane that is at work may have found
 * something older; it looks again before it leaves.
 *
 * Returns false, with nothing noted, if the lane was woken since the given
 * number was read: then there may be more to do.
 */
bool
pm_slot_leave(PmDbState state, const TimestampTz *next_due, uint32 wakes)
{
	PmSlot	   *slot;
	PmLaneSlot *mine;
	bool		may_leave;

	LWLockAcquire(pm_slots_lock, LW_EXCLUSIVE);
	slot = pm_slot_find(my_dboid);
	mine = &slot->lanes[my_lane];
	may_leave = mine->wakes == wakes;
	if (may_leave)
	{
		slot->state = state;
		mine->has_reported = true;
		mine->failures = 0;
		mine->not_before = 0;
		for (int lane = 0; lane < PM_LANES; lane++)
		{
			slot->lanes[lane].next_due = next_due[lane];
			if (lane != my_lane)
				look_again(&slot->lanes[lane]);
		}
	}
	LWLockRelease(pm_slots_lock);
	return may_leave;
}

/*
 * pm_slot_tell_update returns true for the first worker since the start of
 * the server that finds the extension of this database too old.
 */
bool
pm_slot_tell_update(void)
{
	PmSlot	   *slot;
	bool		is_first;

	LWLockAcquire(pm_slots_lock, LW_EXCLUSIVE);
	slot = pm_slot_find(my_dboid);
	is_first = !slot->is_update_told;
	slot->is_update_told = true;
	LWLockRelease(pm_slots_lock);
	return is_first;
}

/*
 * pm_slot_take_urgent returns the set that this worker is to look at although it
 * is not due, once; InvalidOid if there is none.
 */
Oid
pm_slot_take_urgent(void)
{
	PmSlot	   *slot;
	Oid			parent;

	LWLockAcquire(pm_slots_lock, LW_EXCLUSIVE);
	slot = pm_slot_find(my_dboid);
	parent = slot->urgent;
	slot->urgent = InvalidOid;
	LWLockRelease(pm_slots_lock);
	return parent;
}

/* ---------- backends ---------- */

/*
 * Something is due in the database now.  The caller holds the lock.  Where
 * nobody knows of the extension only the lane that creates looks, and tells
 * what there is for the other one.
 */
static void
wake_slot(PmSlot *slot)
{
	TimestampTz now = GetCurrentTimestamp();

	for (int i = 0; i < PM_LANES; i++)
	{
		PmLaneSlot *lane = &slot->lanes[i];

		look_again(lane);
		if (i != LANE_CREATE && slot->state != DB_WITH)
			continue;
		lane->next_due = now;
		lane->failures = 0;
		lane->not_before = 0;
	}
	pm_slot_set_launcher_latch();
}

/*
 * pm_slot_wake says that a database has the extension and something to do.
 * No-op where the library was not preloaded, as for the following ones.
 */
void
pm_slot_wake(Oid dboid)
{
	PmSlot	   *slot;

	if (pm_slots == NULL)
		return;
	LWLockAcquire(pm_slots_lock, LW_EXCLUSIVE);
	slot = pm_slot_find_or_add(dboid);
	if (slot != NULL)
	{
		if (slot->state != DB_OUTDATED)
			slot->state = DB_WITH;
		wake_slot(slot);
	}
	LWLockRelease(pm_slots_lock);
}

/*
 * pm_slot_urge has the worker that creates look at a set at once.  Only now and
 * then: who asks does so for each row.
 */
void
pm_slot_urge(Oid dboid, Oid parent)
{
	TimestampTz now = GetCurrentTimestamp();
	PmSlot	   *slot;

	if (pm_slots == NULL)
		return;
	LWLockAcquire(pm_slots_lock, LW_EXCLUSIVE);
	slot = pm_slot_find(dboid);
	if (slot != NULL && (now < slot->urged_at ||
						 now >= TimestampTzPlusMilliseconds(slot->urged_at, URGE_MS)))
	{
		slot->urgent = parent;
		slot->urged_at = now;
		look_again(&slot->lanes[LANE_CREATE]);
		slot->lanes[LANE_CREATE].next_due = now;
		pm_slot_set_launcher_latch();
	}
	LWLockRelease(pm_slots_lock);
}

/*
 * pm_slot_prepared says that a transaction that will need a wake has been
 * prepared.  It is for pm_slot_prepared_committed, called by whoever commits a
 * prepared transaction in this database, maybe another one: from now on each
 * of them is a reason to look.
 */
void
pm_slot_prepared(Oid dboid)
{
	PmSlot	   *slot;

	if (pm_slots == NULL)
		return;
	LWLockAcquire(pm_slots_lock, LW_EXCLUSIVE);
	slot = pm_slot_find_or_add(dboid);
	if (slot != NULL)
		slot->wake_if_prepared = true;
	LWLockRelease(pm_slots_lock);
}

void
pm_slot_prepared_committed(Oid dboid)
{
	PmSlot	   *slot;

	if (pm_slots == NULL)
		return;
	LWLockAcquire(pm_slots_lock, LW_EXCLUSIVE);
	slot = pm_slot_find(dboid);
	if (slot != NULL && slot->wake_if_prepared)
		wake_slot(slot);
	LWLockRelease(pm_slots_lock);
}

/* pm_slot_look_again has the launcher list the databases anew. */
void
pm_slot_look_again(void)
{
	if (pm_slots == NULL)
		return;
	LWLockAcquire(pm_slots_lock, LW_SHARED);
	pm_slot_set_launcher_latch();
	LWLockRelease(pm_slots_lock);
}

/*
 * pm_slot_block keeps new workers out of a database until pm_slot_unblock.
 * Returns false if that is not possible, because all slots are taken: then no
 * worker is ever started there.
 */
bool
pm_slot_block(Oid dboid)
{
	PmSlot	   *slot;

	LWLockAcquire(pm_slots_lock, LW_EXCLUSIVE);
	slot = pm_slot_find_or_add(dboid);
	if (slot != NULL)
		slot->blocks++;
	LWLockRelease(pm_slots_lock);
	return slot != NULL;
}

void
pm_slot_unblock(Oid dboid)
{
	PmSlot	   *slot;

	LWLockAcquire(pm_slots_lock, LW_EXCLUSIVE);
	slot = pm_slot_find(dboid);
	Assert(slot != NULL && slot->blocks > 0);
	slot->blocks--;
	pm_slot_set_launcher_latch();
	LWLockRelease(pm_slots_lock);
}

/*
 * pm_slot_end_workers tells the workers of a database to end; returns false if
 * there is none (any more).  They do not count as failed.
 */
bool
pm_slot_end_workers(Oid dboid)
{
	PmSlot	   *slot;
	bool		is_there = false;

	LWLockAcquire(pm_slots_lock, LW_EXCLUSIVE);
	slot = pm_slot_find(dboid);
	for (int i = 0; slot != NULL && i < PM_LANES; i++)
	{
		PmLaneSlot *lane = &slot->lanes[i];

		if (lane->pid == 0)
			continue;
		lane->is_excused = true;
		(void) kill(lane->pid, SIGTERM);
		is_there = true;
	}
	LWLockRelease(pm_slots_lock);
	return is_there;
}

/*
 * pm_slot_wait_end waits until some worker has ended, or for the given time.
 * The caller asks again for the one that it means, and ends all with
 * ConditionVariableCancelSleep.
 */
void
pm_slot_wait_end(long timeout_ms)
{
	static uint32 event = 0;

	if (event == 0)
		event = pm_wait_event("PartmgrWorkerEnd");
	(void) ConditionVariableTimedSleep(&pm_slots->ended, timeout_ms, event);
}
