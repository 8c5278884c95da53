/*-------------------------------------------------------------------------
 *
 * ondemand_ask.c
 *		Have a partition made by another process, and wait for it.
 *
 * Sessions that need partitions of the same table at the same moment queue on a
 * lock; only the first starts a process, the others look again and mostly find
 * what they need.  Nobody waits longer than partmgr.on_demand_timeout for his
 * turn, and again so long for the partition; a cancel ends the wait at once.
 *
 * The process shares the locks of this transaction, so it is not asked where
 * this transaction holds one that keeps others out for a reason: what it has done
 * to the table is not to be seen by anybody yet.
 *
 * Creates nothing, reads no table.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "catalog/pg_partitioned_table.h"
#include "miscadmin.h"
#include "ondemand.h"
#include "partitioning/partdesc.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "compat.h"

/* between two looks at what cannot wake us */
#define POLL_MS 5

/* how often a partition that must be there is looked for */
#define SEE_TRIES 10

/* a process that was cancelled, or told to end, has so long for it */
#define CANCEL_MS 500
#define END_MS 2000

/* so much before us the process gives up, to say what it waits for */
#define TELL_MS 150

/* a request under way */
typedef struct Request
{
	const PmDemandSet *demand_set;
	Relation	rel;
	int64		raw;
	TimestampTz deadline;
	dsm_segment *segment;
	PmDemand   *demand;
	BackgroundWorkerHandle *handle;
} Request;

static void
wait_until(TimestampTz deadline, int longest_ms)
{
	static uint32 event = 0;
	long		ms = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);

	if (event == 0)
		event = pm_wait_event("PartmgrOnDemand");
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 Max(1, Min(ms, longest_ms)), event);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* does a partition take the value, as everybody sees it now? */
static bool
is_there(const Request *request)
{
	PmCover		cover;
	bool		result;

	AcceptInvalidationMessages();
	pm_cover_read(request->demand_set, RelationGetPartitionDesc(request->rel, true), &cover);
	result = pm_cover_has(request->demand_set, &cover, request->raw);
	if (cover.ranges)
		pfree(cover.ranges);
	return result;
}

/*
 * The same, whatever the relation cache has missed: core loses an invalidation
 * that comes while it reads the partitions of a table, and then goes on without a
 * partition until the next one comes.  Seen with many sessions at once.
 */
static bool
is_really_there(const Request *request)
{
	if (is_there(request))
		return true;
	RelationCacheInvalidateEntry(RelationGetRelid(request->rel));
	return is_there(request);
}

static char *
locked_by_us(Oid relid)
{
	return CheckRelationOidLockedByMe(relid, ShareUpdateExclusiveLock, true) ?
		psprintf("No partition is made on demand, since this transaction has locked or changed table %s.",
				 pm_qualified_name(relid)) : NULL;
}

/* what this transaction does that the other process must not come across */
static PmRefusal *
check_own_locks(const Request *request)
{
	char	   *detail = locked_by_us(RelationGetRelid(request->rel));
	ListCell   *lc;

	foreach(lc, RelationGetFKeyList(request->rel))
	{
		if (detail == NULL)
			detail = locked_by_us(((ForeignKeyCacheInfo *) lfirst(lc))->confrelid);
	}
	if (detail)
		return pm_refuse(detail, pstrdup("Insert the row in a transaction of its own."));
	if (MyProc->lockGroupLeader != NULL && MyProc->lockGroupLeader != MyProc)
		return pm_refuse(pstrdup("No partition is made on demand by a process that works for another one."), NULL);
	return NULL;
}

static PmRefusal *
too_late(const char *what)
{
	return pm_refuse(psprintf("No partition could be made on demand within %d ms: %s.",
							  pm_on_demand_timeout, what),
					 pstrdup("Try again, or make partitions further ahead: premake in part_config."));
}

/* Starts the process; false if there is no room for it. */
static bool
start(Request *request)
{
	BackgroundWorker worker;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_ConsistentState;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "partmgr", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "pm_demand_worker_main", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "partmgr on-demand worker", BGW_MAXLEN);
	snprintf(worker.bgw_name, BGW_MAXLEN, "partmgr on-demand worker for process %d", MyProcPid);
	worker.bgw_main_arg = UInt32GetDatum(dsm_segment_handle(request->segment));
	worker.bgw_notify_pid = MyProcPid;
	return RegisterDynamicBackgroundWorker(&worker, &request->handle);
}

static bool
prepare(Request *request)
{
	PmDemand   *demand;

	request->segment = dsm_create(sizeof(PmDemand), DSM_CREATE_NULL_IF_MAXSEGMENTS);
	if (request->segment == NULL)
		return false;
	demand = request->demand = dsm_segment_address(request->segment);
	memset(demand, 0, sizeof(PmDemand));
	demand->dboid = MyDatabaseId;
	demand->parent = RelationGetRelid(request->rel);
	demand->raw = request->raw;
	demand->deadline = TimestampTzPlusMilliseconds(request->deadline,
												   -Min(TELL_MS, pm_on_demand_timeout / 2));
	demand->leader_pid = MyProcPid;
	demand->leader_procno = pm_my_procno;
	pg_atomic_init_u32(&demand->state, DEMAND_WAITS);
	BecomeLockGroupLeader();
	return true;
}

static bool
has_stopped(const Request *request)
{
	pid_t		pid;

	return GetBackgroundWorkerPid(request->handle, &pid) == BGWH_STOPPED;
}

/* A cancel, which is no line in the server log, unlike the end of a process. */
static void
cancel(Request *request)
{
	pid_t		pid;

	if (GetBackgroundWorkerPid(request->handle, &pid) == BGWH_STARTED)
		kill(pid, SIGINT);
	else
		TerminateBackgroundWorker(request->handle);
}

/* Has the process end, if it does not by itself, and waits for that. */
static void
stop(Request *request)
{
	TimestampTz soon = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), CANCEL_MS);
	TimestampTz until = TimestampTzPlusMilliseconds(soon, END_MS);

	cancel(request);
	while (!has_stopped(request) && GetCurrentTimestamp() < soon)
		wait_until(soon, POLL_MS);
	if (!has_stopped(request))
		TerminateBackgroundWorker(request->handle);
	while (!has_stopped(request) && GetCurrentTimestamp() < until)
		wait_until(until, POLL_MS);
}

/* Waits for what the process says; NULL if it has done it. */
static PmRefusal *
await(Request *request)
{
	uint32		state;
	bool		stopped = false;

	for (;;)
	{
		state = pg_atomic_read_u32(&request->demand->state);
		if (state != DEMAND_WAITS || stopped)
			break;
		if (GetCurrentTimestamp() >= request->deadline)
		{
			stop(request);
			return is_really_there(request) ? NULL : too_late("the process for it was ended");
		}
		stopped = has_stopped(request);
		if (!stopped)
			wait_until(request->deadline, 1000);
	}
	pg_read_barrier();
	for (int try = 0; try < SEE_TRIES; try++)
	{
		if (is_really_there(request))
			return NULL;
		if (state != DEMAND_DONE)
			break;
	}
	if (state == DEMAND_DONE)
		return pm_refuse(pstrdup("The partition is there now, but could not be seen."),
						 pstrdup("Try again."));
	if (state == DEMAND_REFUSED)
		return pm_refuse(pstrdup(request->demand->detail),
						 request->demand->hint[0] ? pstrdup(request->demand->hint) : NULL);
	return pm_refuse(pstrdup("The process that makes partitions on demand has ended early."),
					 pstrdup("See the server log."));
}

/* Starts a process and waits; the queue is ours. */
static PmRefusal *
have_made(Request *request)
{
	PmRefusal  *refusal;

	if (!prepare(request))
		return pm_refuse(pstrdup("No partition could be made on demand: there is no free dynamic shared memory."), NULL);
	while (!start(request))
	{
		if (GetCurrentTimestamp() >= request->deadline)
			return pm_refuse(pstrdup("No partition could be made on demand: there is no free background worker slot."),
							 pstrdup("You might need to increase max_worker_processes."));
		wait_until(request->deadline, POLL_MS);
	}
	PG_TRY();
	{
		refusal = await(request);
	}
	PG_CATCH();
	{
		/* whoever cancels us does not want it any more */
		cancel(request);
		PG_RE_THROW();
	}
	PG_END_TRY();
	return refusal;
}

/*
 * pm_demand_ask has the partition made that takes a raw value, if it is not
 * there yet; returns NULL when it is there, or why it could not be made.
 *
 * Waits up to partmgr.on_demand_timeout, twice.  Locks: the queue, an object lock of
 * this table; what the process takes is in pm_demand_make.
 */
PmRefusal *
pm_demand_ask(const PmDemandSet *demand, Relation rel, int64 raw)
{
	Request		request = {.demand_set = demand, .rel = rel, .raw = raw};
	PmRefusal  *refusal = check_own_locks(&request);
	LOCKTAG		queue;
	bool		has_turn = false;

	if (refusal)
		return refusal;
	request.deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), pm_on_demand_timeout);
	SET_LOCKTAG_OBJECT(queue, MyDatabaseId, PartitionedRelationId, RelationGetRelid(rel), 0);
	while (!is_there(&request))
	{
		/* the lock is polled: its wait must not be one that ends in an error */
		has_turn = LockAcquire(&queue, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
		if (has_turn)
			break;
		if (GetCurrentTimestamp() >= request.deadline)
			return too_late("other sessions wait for partitions of this table");
		wait_until(request.deadline, POLL_MS);
	}
	if (!has_turn)
		return NULL;
	if (!is_really_there(&request))
	{
		/* who was before us may have failed because of what we have locked */
		request.deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), pm_on_demand_timeout);
		refusal = have_made(&request);
	}
	AcceptInvalidationMessages();
	if (request.segment)
		dsm_detach(request.segment);
	LockRelease(&queue, ExclusiveLock, false);
	return refusal;
}
