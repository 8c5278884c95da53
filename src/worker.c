/*-------------------------------------------------------------------------
 *
 * worker.c
 *		The process that maintains the sets of one database.
 *
 * A worker is started by the launcher for one lane of work, in a database where
 * something is due or where nobody has looked yet.  It connects, asks for the
 * sets that are due in its lane, runs one after the other, notes in its slot
 * when the next workers are needed, and leaves.  It never stays: a process in a database is in the way
 * of DROP DATABASE and others (dbhook.c ends it, between steps or in one).
 *
 * It connects as the bootstrap superuser, because owners of tables are often
 * not allowed to log in, and becomes the owner where it touches a table
 * (spi.c).  What ALTER DATABASE and ALTER ROLE set is not for it: everything
 * that could change its work is pinned before it connects.
 *
 * This is the place where transactions begin and end: one for each step of a
 * set, so that locks are held shortly and a crash loses one step at most; one
 * for the note of success, or after an error the note of failure.  Between them
 * a statement can run at top level (toplevel.c).  The trouble
 * of one set, whatever it is, stays there.  Only what is wrong with the
 * database as a whole ends the worker with an error; the launcher then backs
 * off from it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "internal.h"
#include "job.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "rewrite.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"
#include "worker.h"

#include "compat.h"

/*
 * What became due while we were at work waits for the next worker, a second
 * later: a set that is due for ever must not keep a process busy.
 */
#define PAUSE_MS 1000

/*
 * A set that comes back very soon, because somebody else holds it, is waited
 * for in the process, up to so long in all.  Everything else is waited for by
 * the launcher: while we are here, another database may lack a worker.
 */
#define NAP_MS 1000
#define NAPS_MS 3000

/* one maintenance of one set, in the set's memory context */
typedef struct SetRun
{
	PmWorkerRun *run;
	ErrorData  *problem;		/* for the note of failure */
	Oid			parent;
	const char *title;			/* its name, or OID as long as that is unknown */
	bool		is_gone;		/* the extension has left the database */
} SetRun;

static PmWorkerArgs args;
static long naps_left = NAPS_MS;
static MemoryContext run_context = NULL;	/* the sets that are due */
static MemoryContext set_context = NULL;	/* the set at work */
static SetRun *set_at_work = NULL;

/*
 * pm_transaction_begin starts a transaction with a snapshot and shows what it
 * is for.
 */
void
pm_transaction_begin(const char *activity)
{
	SetCurrentStatementStartTimestamp();
	pgstat_report_activity(STATE_RUNNING, activity);
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
}

/*
 * pm_transaction_end commits, and reports statistics: nobody else does that
 * for a background worker.
 *
 * What was allocated in the transaction is gone afterwards, and the current
 * memory context is TopMemoryContext: the caller switches to its own.
 */
void
pm_transaction_end(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_stat(true);
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* the sets that are due, and one that somebody finds urgent */
static List *
add_urgent(List *due)
{
	Oid			urgent = args.start.lane == LANE_CREATE ? pm_slot_take_urgent() : InvalidOid;

	return OidIsValid(urgent) ? list_append_unique_oid(due, urgent) : due;
}

/*
 * look tells what there is in this database and which sets are due in this
 * lane, in the run context; next_due has for each lane the earliest later time,
 * or DT_NOEND, for the other lane now if something is due there.
 */
static PmDbState
look(List **due, TimestampTz *next_due)
{
	PmDbState	state = DB_WITHOUT;
	bool		needs_update = false;

	*due = NIL;
	for (int lane = 0; lane < PM_LANES; lane++)
		next_due[lane] = DT_NOEND;

	pm_transaction_begin("partmgr: looking for sets that are due");
	if (pm_config_ready(&needs_update))
	{
		MemoryContext oldcontext = MemoryContextSwitchTo(run_context);
		TimestampTz now = GetCurrentTimestamp();

		for (int lane = 0; lane < LANE_REWRITE; lane++)
		{
			List	   *sets = pm_config_due(lane, now, &next_due[lane]);

			if (lane == args.start.lane)
				*due = add_urgent(sets);
			else if (sets != NIL)
				next_due[lane] = now;
		}
		MemoryContextSwitchTo(oldcontext);
		if (pm_job_is_due())
			next_due[LANE_UPKEEP] = now;
		if (pm_rewrite_is_due())
			next_due[LANE_REWRITE] = now;
		state = DB_WITH;
	}
	else if (needs_update)
		state = DB_OUTDATED;
	pm_transaction_end();

	return state;
}

/*
 * begin_step starts a transaction for one step or note; false, without a
 * transaction, if the extension is not there any more.
 */
static bool
begin_step(SetRun *set)
{
	bool		needs_update;
	char	   *title;

	pm_transaction_begin("partmgr: looking at a set");
	if (!pm_config_ready(&needs_update))
	{
		pm_transaction_end();
		set->is_gone = true;
		return false;
	}

	pm_overdue_watch();

	/* it may have been renamed since the last step */
	title = pm_qualified_name(set->parent);
	set->title = MemoryContextStrdup(set_context, title);
	pgstat_report_activity(STATE_RUNNING,
						   psprintf("partmgr: maintaining %s", title));
	return true;
}

/* End the transaction of a step; the set's memory is current afterwards. */
static void
end_step(void)
{
	pm_overdue_unwatch();
	pm_transaction_end();
	MemoryContextSwitchTo(set_context);
}

/*
 * Run the statement that the last step has asked for, if any, and tell the run
 * how it went; false if the extension is gone.  *more: the run goes on.
 */
static bool
run_toplevel(SetRun *set, bool *more)
{
	const PmTopLevel *top = pm_run_toplevel(set->run);
	ErrorData  *problem;

	if (top == NULL)
		return true;
	problem = pm_toplevel_run(top, set_context);
	PM_FAILPOINT("upkeep-toplevel-done");
	if (!begin_step(set))
		return false;
	*more = pm_run_toplevel_done(set->run, problem);
	end_step();
	return true;
}

/* pm_worker_pause leaves the disks alone for a while; less if we are woken. */
void
pm_worker_pause(int ms)
{
	static uint32 event = 0;

	if (event == 0)
		event = pm_wait_event("PartmgrPause");
	if (ms <= 0)
		return;
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms, event);
	ResetLatch(MyLatch);
}

/*
 * Run a set until its plan is empty, and note the success.  If maintenance is
 * switched off meanwhile, the set just stays due.
 */
static void
run_steps(void *arg)
{
	SetRun	   *set = arg;
	bool		more = true;

	while (more)
	{
		CHECK_FOR_INTERRUPTS();
		pm_worker_reload();
		if (!pm_enabled || !begin_step(set))
			return;
		more = pm_run_step(set->run);
		end_step();
		PM_FAILPOINT(args.start.lane == LANE_CREATE ? "worker-between-steps" :
					 "upkeep-between-steps");
		if (!run_toplevel(set, &more))
			return;
		pm_worker_pause(pm_run_pause(set->run));
	}

	if (!begin_step(set))
		return;
	pm_run_succeeded(set->run);
	end_step();
}

/* Note that a set has failed. */
static void
note_failure(void *arg)
{
	SetRun	   *set = arg;

	if (!begin_step(set))
		return;
	pm_run_failed(set->run, set->problem);
	end_step();
}

/* Note that a set has ended us, when that happens; see overdue.c. */
static void
note_overdue(ErrorData *problem)
{
	if (set_at_work == NULL)
		return;
	MemoryContextSwitchTo(set_context);
	set_at_work->problem = problem;
	note_failure(set_at_work);
}

/*
 * pm_worker_guarded calls work(arg) and returns NULL, or the error that ended it,
 * in the given context, which is then the current one.  The transaction is
 * aborted in that case, and the worker can go on.  (What must end the worker,
 * such as a shutdown, is FATAL and never comes here.)
 */
ErrorData *
pm_worker_guarded(void (*work) (void *arg), void *arg, MemoryContext context)
{
	ErrorData  *volatile problem = NULL;

	PG_TRY();
	{
		work(arg);
	}
	PG_CATCH();
	{
		/* nothing may interrupt us before the abort is complete */
		HOLD_INTERRUPTS();
		pm_overdue_unwatch();
		MemoryContextSwitchTo(context);
		problem = CopyErrorData();
		pm_error_clip(problem);

		AbortOutOfAnyTransaction();
		FlushErrorState();
		MemoryContextSwitchTo(context);
		pgstat_report_stat(true);
		pgstat_report_activity(STATE_IDLE, NULL);
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	return problem;
}

/*
 * pm_worker_log writes an error that was caught to the log, with what it was
 * about.
 */
void
pm_worker_log(ErrorData *problem, const char *about)
{
	int			elevel = problem->elevel;

	problem->context = problem->context ?
		psprintf("%s\n%s", problem->context, about) : pstrdup(about);

	/* at ERROR it would end us; the log shows LOG at any setting */
	problem->elevel = LOG;
	ThrowErrorData(problem);
	problem->elevel = elevel;
}

/* guarded does one thing with a set; the error that ended it is in the log. */
static ErrorData *
guarded(void (*work) (void *arg), SetRun *set)
{
	ErrorData  *problem = pm_worker_guarded(work, set, set_context);

	/* a cancel was for what has just failed, not for the next set */
	QueryCancelPending = false;
	if (problem != NULL)
		pm_worker_log(problem, psprintf("maintenance of partition set %s", set->title));
	return problem;
}

/*
 * run_set maintains one set.  Returns false if the database is to be left
 * alone for a while: the extension is gone, or a failure could not be noted.
 */
static bool
run_set(Oid parent)
{
	SetRun	   *set;
	bool		is_noted = true;

	MemoryContextReset(set_context);
	MemoryContextSwitchTo(set_context);
	set = palloc0(sizeof(SetRun));
	set->parent = parent;
	set->title = psprintf("%u", parent);
	set->run = pm_run_begin(parent, GetCurrentTimestamp(), args.start.lane);

	set_at_work = set;
	set->problem = guarded(run_steps, set);
	if (set->problem != NULL)
		is_noted = guarded(note_failure, set) == NULL;
	set_at_work = NULL;

	return is_noted && !set->is_gone;
}

/* Run the sets; false if one of them says to leave the database alone. */
static bool
run_sets(List *parents)
{
	ListCell   *lc;
	bool		all_noted = true;

	foreach(lc, parents)
	{
		CHECK_FOR_INTERRUPTS();
		pm_worker_reload();
		if (!pm_enabled)
			break;
		if (!run_set(lfirst_oid(lc)))
			all_noted = false;
	}
	return all_noted;
}

/* Do a job or a rewrite that somebody has queued; false if there is none. */
static bool
run_job(PmDbState state)
{
	if (args.start.lane == LANE_CREATE || state != DB_WITH || !pm_enabled)
		return false;
	MemoryContextReset(set_context);
	return args.start.lane == LANE_UPKEEP ? pm_job_run_next(set_context) :
		pm_rewrite_run_next(set_context);
}

/*
 * When the next worker of each lane is needed, given what the last look has
 * found.
 */
static void
plan_visits(TimestampTz *next_due, List *still_due, bool all_noted)
{
	TimestampTz now = GetCurrentTimestamp();

	for (int lane = 0; lane < PM_LANES; lane++)
	{
		TimestampTz latest = pm_slot_latest_due(lane, now);

		if (lane == args.start.lane && still_due != NIL)
			next_due[lane] = all_noted ?
				TimestampTzPlusMilliseconds(now, PAUSE_MS) : latest;
		else if (lane == args.start.lane && lane == LANE_REWRITE && next_due[lane] <= now)
			next_due[lane] = latest;	/* another process is at it, or it goes wrong each time */
		else if (!TIMESTAMP_NOT_FINITE(next_due[lane]))
			next_due[lane] = Min(next_due[lane], latest);
	}
}

/*
 * Wait for a set that is due in a moment, rather than leave and be started
 * again.  Returns true if it is time to look; false if it is not worth it.
 */
static bool
nap(TimestampTz until)
{
	static uint32 event = 0;
	long		longest = Min(NAP_MS, pm_interval * 100L);	/* a tenth of it */
	TimestampTz now = GetCurrentTimestamp();
	long		ms;

	if (TIMESTAMP_NOT_FINITE(until) || until <= now || !pm_enabled)
		return false;
	ms = TimestampDifferenceMilliseconds(now, until);
	if (ms > longest || ms > naps_left)
		return false;

	if (event == 0)
		event = pm_wait_event("PartmgrWorkerNap");
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 ms, event);
	ResetLatch(MyLatch);
	naps_left -= TimestampDifferenceMilliseconds(now, GetCurrentTimestamp()) + 1;
	return true;
}

/*
 * One line per database and start of the server, about a library that is newer
 * than what CREATE EXTENSION once has made.
 */
static void
tell_update(void)
{
	if (!pm_slot_tell_update())
		return;
	ereport(LOG,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("extension partmgr in database \"%s\" needs an update before its partition sets are maintained",
					args.database),
			 errhint("Run ALTER EXTENSION partmgr UPDATE.")));
}

/* Work until nothing is due and nobody has woken us meanwhile. */
static void
maintain_database(void)
{
	List	   *due;
	PmDbState	state;
	TimestampTz next_due[PM_LANES];
	uint32		wakes;
	bool		had_job;

	do
	{
		bool		all_noted = true;

		CHECK_FOR_INTERRUPTS();
		pm_worker_reload();
		MemoryContextReset(run_context);

		wakes = pm_slot_wakes();
		state = look(&due, next_due);
		if (due != NIL)
		{
			all_noted = run_sets(due);
			state = look(&due, next_due);
		}
		if (state == DB_OUTDATED)
			tell_update();
		had_job = run_job(state);
		plan_visits(next_due, due, all_noted);
	} while (had_job || pm_slot_wakes() != wakes ||
			 (due == NIL && nap(next_due[args.start.lane])) ||
			 !pm_slot_leave(state, next_due, wakes));
}

/* pm_worker_main is the process of a worker. */
void
pm_worker_main(Datum arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();

	memcpy(&args, MyBgworkerEntry->bgw_extra, sizeof(args));
	if (!pm_slot_enter(&args.start))
		proc_exit(0);
	pm_worker_connect(args.start.dboid);
	pm_overdue_begin(note_overdue);

	run_context = AllocSetContextCreate(TopMemoryContext, "partmgr run",
										ALLOCSET_DEFAULT_SIZES);
	set_context = AllocSetContextCreate(TopMemoryContext, "partmgr set",
										ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(run_context);

	maintain_database();
	ereport(DEBUG1,
			(errmsg_internal("partmgr worker leaves database \"%s\"", args.database)));
	proc_exit(0);
}
