/*-------------------------------------------------------------------------
 *
 * slot.c
 *		The databases of the server, in shared memory.
 *
 * A slot per database says whether the extension is there, when something is
 * due next and which worker is in it.  Four parties meet here: the launcher
 * (adds and frees slots, chooses where to start a worker), the workers (enter
 * and leave), backends whose transaction has committed something to do (wake)
 * and backends that need a database for themselves (block).
 *
 * One lock protects all slots.  It is held for a scan of an array at most,
 * nothing here raises an error while holding it, and nobody waits for a
 * process under it.  A worker's pid stays in its slot until the process has
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
		slot->next_due = slot->created;
	}
	return slot;
}

/* Is somebody using the slot, apart from the launcher's list? */
static bool
slot_is_in_use(const PmSlot *slot)
{
	return slot->pid != 0 || slot->start != 0 || slot->blocks > 0;
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
		pm_slots->slots[i].start = 0;
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
 * When a worker may be started for this database, by what is written in its
 * slot; DT_NOEND for "not unless woken".
 *
 * Times that lie farther ahead than any of them is ever set were written
 * before the clock went back, or before partmgr.interval was made shorter:
 * they count as come.
 */
static TimestampTz
slot_start_time(const PmSlot *slot, TimestampTz now)
{
	TimestampTz latest_due = after_seconds(now, pm_interval + CLOCK_SLACK_S);
	TimestampTz latest_backoff = after_seconds(now, BACKOFF_MAX_S + CLOCK_SLACK_S);
	TimestampTz due = slot->next_due;

	if (TIMESTAMP_NOT_FINITE(due))
		return DT_NOEND;
	if (due > latest_due)
		due = now;
	if (slot->not_before > due && slot->not_before <= latest_backoff)
		due = slot->not_before;
	return due;
}

/*
 * pm_slot_choose picks the database that has been due longest and marks that
 * a worker is on its way there.
 *
 * Returns false if there is none, or if partmgr.max_workers are busy already.
 * *next is then the time to look again (busy workers wake the launcher when
 * they end), DT_NOEND if there is none.
 */
bool
pm_slot_choose(TimestampTz now, Oid *dboid, uint32 *start, TimestampTz *next)
{
	PmSlot	   *chosen = NULL;
	TimestampTz chosen_time = DT_NOEND;
	int			busy = 0;

	*next = DT_NOEND;

	LWLockAcquire(pm_slots_lock, LW_EXCLUSIVE);
	for (int i = 0; i < pm_slots->nslots; i++)
	{
		PmSlot	   *slot = &pm_slots->slots[i];
		TimestampTz start_time;

		if (!OidIsValid(slot->dboid))
			continue;
		if (slot->pid != 0 || slot->start != 0)
			busy++;
		else if (slot->is_listed && slot->blocks == 0)
		{
			start_time = slot_start_time(slot, now);
			if (start_time < chosen_time)
			{
				chosen = slot;
				chosen_time = start_time;
			}
		}
	}
	if (busy >= pm_max_workers)
		chosen = NULL;
	else if (chosen_time > now)
	{
		*next = chosen_time;
		chosen = NULL;
	}
	if (chosen != NULL)
	{
		if (++pm_slots->last_start == 0)
			pm_slots->last_start = 1; /* 0 means none */
		chosen->start = pm_slots->last_start;
		*dboid = chosen->dboid;
		*start = chosen->start;
	}
	LWLockRelease(pm_slots_lock);

	return chosen != NULL;
}

/* pm_slot_count_failure backs off from a database. */
void
pm_slot_count_failure(PmSlot *slot)
{
	int			delay = BACKOFF_MAX_S;

	if (slot->failures < 8)
		delay = Min(BACKOFF_FIRST_S << slot->failures, BACKOFF_MAX_S);
	slot->failures++;
	slot->not_before = after_seconds(GetCurrentTimestamp(), delay);
}

/*
 * pm_slot_unstarted takes back pm_slot_choose for a worker that will not come:
 * there was no room for it (no failure of this database), or it has ended
 * before it could enter.  Nothing is done for a worker that did enter.
 */
void
pm_slot_unstarted(Oid dboid, uint32 start, bool is_failure)
{
	PmSlot	   *slot;

	LWLockAcquire(pm_slots_lock, LW_EXCLUSIVE);
	slot = pm_slot_find(dboid);
	if (slot != NULL && slot->start == start)
	{
		slot->start = 0;
		if (is_failure)
			pm_slot_count_failure(slot);
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
