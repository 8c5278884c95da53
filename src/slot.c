/*-------------------------------------------------------------------------
 *
 * slot.c
 *		The databases of the server, in shared memory.
 *
 * A slot per database says whether the extension is there and, for each lane
 * of work, when something is due next and which worker is at it.  Four parties meet here: the launcher
 * (adds and frees slots, chooses where to start a worker), the workers (enter
 * and leave), backends whose transaction has committed something to do (wake)
 * and backends that need a database for themselves (block).
 *
 * One lock protects all slots.  It is held for a scan of an array at most,
 * nothing here raises an error while holding it, and nobody waits for a
 * process under it.  A worker's pid stays in its lane until the process has
 * left the server's process array: under the lock, such a pid can safely be
 * signalled, and whoever waits for it to vanish knows that the database is
 * free.
 *
 * What the launcher does is here, workers and backends are in slot_use.c.
 *
 * All is zero after a start of the server, and after a crash: every database
 * is then looked at anew.  Nothing here reads a catalog.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "internal.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "slot.h"

/* after a worker that ended without a word: 5 s, doubled up to 5 minutes */
#define BACKOFF_FIRST_S 5
#define BACKOFF_MAX_S 300

/* a slot may be written a little after the launcher has read the clock */
#define CLOCK_SLACK_S 1

PmShared   *pm_slots = NULL;
LWLock	   *pm_slots_lock = NULL;

static shmem_request_hook_type previous_shmem_request_hook = NULL;
static shmem_startup_hook_type previous_shmem_startup_hook = NULL;

static void
request_memory(void)
{
	if (previous_shmem_request_hook)
		previous_shmem_request_hook();
	RequestAddinShmemSpace(MAXALIGN(sizeof(PmShared)));
	RequestAddinShmemSpace(MAXALIGN(pm_isolation_size()));
	RequestNamedLWLockTranche("partmgr", 1);
}

static void
attach_memory(void)
{
	bool		found;

	if (previous_shmem_startup_hook)
		previous_shmem_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	pm_slots = ShmemInitStruct("partmgr", sizeof(PmShared), &found);
	if (!found)
	{
		memset(pm_slots, 0, sizeof(PmShared));
		ConditionVariableInit(&pm_slots->ended);
	}
	pm_slots_lock = &GetNamedLWLockTranche("partmgr")[0].lock;
	pm_isolation_attach();
	LWLockRelease(AddinShmemInitLock);
}

/* pm_slot_request asks for the memory; called while the library is preloaded. */
void
pm_slot_request(void)
{
	pm_on_shmem_request(request_memory, previous_shmem_request_hook);
	previous_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = attach_memory;
}

/* pm_slot_find returns the slot of a database, or NULL. */
PmSlot *
pm_slot_find(Oid dboid)
{
	for (int i = 0; i < pm_slots->nslots; i++)
	{
		if (pm_slots->slots[i].dboid == dboid)
			return &pm_slots->slots[i];
	}
	return NULL;
}

/*
 * pm_slot_find_or_add returns the slot of a database, made if there is none;
 * NULL if all are taken.
 */
PmSlot *
pm_slot_find_or_add(Oid dboid)
{
	PmSlot	   *slot = pm_slot_find(dboid);

	if (slot != NULL)
		return slot;

	slot = pm_slot_find(InvalidOid);
	if (slot == NULL && pm_slots->nslots < PM_MAX_DATABASES)
		slot = &pm_slots->slots[pm_slots->nslots++];
	if (slot != NULL)
	{
		memset(slot, 0, sizeof(PmSlot));
		slot->dboid = dboid;
		slot->created = GetCurrentTimestamp();

		/* who creates tells what there is for the other lane */
		slot->lanes[LANE_CREATE].next_due = slot->created;
		slot->lanes[LANE_UPKEEP].next_due = DT_NOEND;
		slot->lanes[LANE_REWRITE].next_due = DT_NOEND;
	}
	return slot;
}

/* pm_lane_is_taken tells whether a worker is at a lane, or on its way. */
bool
pm_lane_is_taken(const PmLaneSlot *lane)
{
	return lane->pid != 0 || lane->start != 0;
}

/* Is somebody using the slot, apart from the launcher's list? */
static bool
slot_is_in_use(const PmSlot *slot)
{
	for (int i = 0; i < PM_LANES; i++)
	{
		if (pm_lane_is_taken(&slot->lanes[i]))
			return true;
	}
	return slot->blocks > 0;
}

/* pm_slot_set_launcher_latch wakes the launcher, if there is one. */
void
pm_slot_set_launcher_latch(void)
{
	if (pm_slots->launcher_latch != NULL)
		SetLatch(pm_slots->launcher_latch);
}

/* ---------- the launcher ---------- */

static void
detach_launcher(int code, Datum arg)
{
	LWLockAcquire(pm_slots_lock, LW_EXCLUSIVE);
	pm_slots->launcher_latch = NULL;
	LWLockRelease(pm_slots_lock);
}

/*
 * pm_slot_attach_launcher makes this process the one that is woken.
 *
 * Workers that an earlier launcher has asked for, and that have not come yet,
 * are forgotten: should they come, they see that nobody waits for them.
 */
void
pm_slot_attach_launcher(void)
{
	on_shmem_exit(detach_launcher, (Datum) 0);

	LWLockAcquire(pm_slots_lock, LW_EXCLUSIVE);
	pm_slots->launcher_latch = MyLatch;
	for (int i = 0; i < pm_slots->nslots; i++)
	{
		for (int lane = 0; lane < PM_LANES; lane++)
			pm_slots->slots[i].lanes[lane].start = 0;
	}
	LWLockRelease(pm_slots_lock);
}

/* qsort and bsearch by OID */
static int
compare_databases(const void *a, const void *b)
{
	Oid			left = ((const PmDatabase *) a)->oid;
	Oid			right = ((const PmDatabase *) b)->oid;

	return (left > right) - (left < right);
}

/*
 * pm_slot_sync makes the slots agree with the databases that exist and take
 * connections, and sorts the given array by OID.
 *
 * A slot that is younger than the list stays, its database may be too.
 * Returns false if there are more databases than slots.
 */
bool
pm_slot_sync(PmDatabase *databases, int n, TimestampTz listed_at)
{
	bool		complete = true;

	qsort(databases, n, sizeof(PmDatabase), compare_databases);

	LWLockAcquire(pm_slots_lock, LW_EXCLUSIVE);
	for (int i = 0; i < pm_slots->nslots; i++)
	{
		PmSlot	   *slot = &pm_slots->slots[i];
		PmDatabase	wanted;

		if (!OidIsValid(slot->dboid))
			continue;
		wanted.oid = slot->dboid;
		slot->is_listed = bsearch(&wanted, databases, n, sizeof(PmDatabase),
								  compare_databases) != NULL;
		if (!slot->is_listed && !slot_is_in_use(slot) &&
			slot->created < listed_at)
			slot->dboid = InvalidOid;
	}
	for (int i = 0; i < n; i++)
	{
		PmSlot	   *slot = pm_slot_find_or_add(databases[i].oid);

		if (slot != NULL)
			slot->is_listed = true;
		else
			complete = false;
	}
	LWLockRelease(pm_slots_lock);

	return complete;
}

static TimestampTz
after_seconds(TimestampTz from, int seconds)
{
	return TimestampTzPlusMilliseconds(from, seconds * INT64CONST(1000));
}

/*
 * pm_slot_latest_due is the latest time that a worker may note for a lane,
 * DT_NOEND aside.  Somebody looks at each database with something to do once
 * an interval; for the other lanes the worker that creates does, and comes
 * before this time.
 */
TimestampTz
pm_slot_latest_due(PmLane lane, TimestampTz now)
{
	return after_seconds(now, lane == LANE_CREATE ? pm_interval : 2 * pm_interval);
}

/*
 * When a worker may be started for this lane, by what is written there;
 * DT_NOEND for "not unless woken".
 *
 * Times that lie farther ahead than any of them is ever set were written
 * before the clock went back, or before partmgr.interval was made shorter:
 * they count as come.
 */
static TimestampTz
lane_start_time(const PmSlot *slot, PmLane lane, TimestampTz now)
{
	const PmLaneSlot *work = &slot->lanes[lane];
	TimestampTz latest_due = after_seconds(pm_slot_latest_due(lane, now), CLOCK_SLACK_S);
	TimestampTz latest_backoff = after_seconds(now, BACKOFF_MAX_S + CLOCK_SLACK_S);
	TimestampTz due = work->next_due;

	if (TIMESTAMP_NOT_FINITE(due))
		return DT_NOEND;
	if (due > latest_due)
		due = now;
	if (work->not_before > due && work->not_before <= latest_backoff)
		due = work->not_before;
	return due;
}

/* what there is to do in one lane, over all databases */
typedef struct LaneWork
{
	int			busy;			/* workers at it, or on their way */
	PmSlot	   *first;			/* where it has been due longest; NULL: nowhere */
	TimestampTz time;			/* since when, or when it will be; DT_NOEND */
} LaneWork;

static void
survey(LaneWork *work, TimestampTz now)
{
	for (int lane = 0; lane < PM_LANES; lane++)
	{
		work[lane].busy = 0;
		work[lane].first = NULL;
		work[lane].time = DT_NOEND;
	}
	for (int i = 0; i < pm_slots->nslots; i++)
	{
		PmSlot	   *slot = &pm_slots->slots[i];

		if (!OidIsValid(slot->dboid))
			continue;
		for (int lane = 0; lane < PM_LANES; lane++)
		{
			TimestampTz start_time;

			if (pm_lane_is_taken(&slot->lanes[lane]))
			{
				work[lane].busy++;
				continue;
			}
			if (!slot->is_listed || slot->blocks > 0)
				continue;
			start_time = lane_start_time(slot, lane, now);
			if (start_time < work[lane].time)
			{
				work[lane].first = slot;
				work[lane].time = start_time;
			}
		}
	}
}

/*
 * choose_lane decides whose turn it is; false if nobody's.
 *
 * Creation goes first, and keeps one worker to itself: upkeep, which may take
 * hours, never has all of them.  With a single worker the lanes take turns: a
 * creation, then the upkeep that has waited for it.  Rewrites have workers of
 * their own.
 */
static bool
choose_lane(const LaneWork *work, TimestampTz now, PmLane *lane)
{
	bool		create_is_due = work[LANE_CREATE].time <= now;
	bool		upkeep_is_due = work[LANE_UPKEEP].time <= now;

	*lane = LANE_REWRITE;
	if (work[LANE_REWRITE].time <= now && work[LANE_REWRITE].busy < pm_max_rewrites)
		return true;
	if (work[LANE_CREATE].busy + work[LANE_UPKEEP].busy >= pm_max_workers)
		return false;
	if (pm_max_workers > 1 && work[LANE_UPKEEP].busy >= pm_max_workers - 1)
		upkeep_is_due = false;
	if (pm_max_workers == 1 && upkeep_is_due &&
		pm_slots->last_lane == LANE_CREATE &&
		work[LANE_UPKEEP].time < pm_slots->last_time)
		create_is_due = false;

	*lane = create_is_due ? LANE_CREATE : LANE_UPKEEP;
	return create_is_due || upkeep_is_due;
}

/*
 * pm_slot_choose picks the lane and the database that has been due longest in
 * it, and marks that a worker is on its way there.
 *
 * Returns false if there is none, or if partmgr.max_workers are busy already.
 * *next is then the time to look again (busy workers wake the launcher when
 * they end), DT_NOEND if there is none.
 */
bool
pm_slot_choose(TimestampTz now, PmStart *start, TimestampTz *next)
{
	LaneWork	work[PM_LANES];
	bool		chosen;

	*next = DT_NOEND;

	LWLockAcquire(pm_slots_lock, LW_EXCLUSIVE);
	survey(work, now);
	chosen = choose_lane(work, now, &start->lane);
	if (chosen)
	{
		PmSlot	   *slot = work[start->lane].first;

		if (++pm_slots->last_start == 0)
			pm_slots->last_start = 1;	/* 0 means none */
		pm_slots->last_lane = start->lane;
		pm_slots->last_time = now;
		slot->lanes[start->lane].start = pm_slots->last_start;
		start->dboid = slot->dboid;
		start->number = pm_slots->last_start;
	}
	LWLockRelease(pm_slots_lock);

	/* what is due already waits for a worker that ends */
	for (int lane = 0; lane < PM_LANES && !chosen; lane++)
	{
		if (work[lane].time > now)
			*next = Min(*next, work[lane].time);
	}
	return chosen;
}

/* pm_lane_count_failure backs off from a lane of a database. */
void
pm_lane_count_failure(PmLaneSlot *lane)
{
	int			delay = BACKOFF_MAX_S;

	if (lane->failures < 8)
		delay = Min(BACKOFF_FIRST_S << lane->failures, BACKOFF_MAX_S);
	lane->failures++;
	lane->not_before = after_seconds(GetCurrentTimestamp(), delay);
}

/*
 * pm_slot_unstarted takes back pm_slot_choose for a worker that will not come:
 * there was no room for it (no failure of this database), or it has ended
 * before it could enter.  Nothing is done for a worker that did enter.
 */
void
pm_slot_unstarted(const PmStart *start, bool is_failure)
{
	PmSlot	   *slot;

	LWLockAcquire(pm_slots_lock, LW_EXCLUSIVE);
	slot = pm_slot_find(start->dboid);
	if (slot != NULL && slot->lanes[start->lane].start == start->number)
	{
		slot->lanes[start->lane].start = 0;
		if (is_failure)
			pm_lane_count_failure(&slot->lanes[start->lane]);
	}
	LWLockRelease(pm_slots_lock);
}

/*
 * pm_slot_copy returns the slots in use as an array, NULL where the library
 * was not preloaded.
 */
PmSlot *
pm_slot_copy(int *n)
{
	PmSlot	   *copy;

	*n = 0;
	if (pm_slots == NULL)
		return NULL;

	copy = palloc(sizeof(pm_slots->slots));
	LWLockAcquire(pm_slots_lock, LW_SHARED);
	for (int i = 0; i < pm_slots->nslots; i++)
	{
		if (OidIsValid(pm_slots->slots[i].dboid))
			copy[(*n)++] = pm_slots->slots[i];
	}
	LWLockRelease(pm_slots_lock);
	return copy;
}
