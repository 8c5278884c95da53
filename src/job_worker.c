/*-------------------------------------------------------------------------
 *
 * job_worker.c
 *		The process that does what somebody waits for: a job of a CALL, or the
 *		VACUUMs of vacuum_partitions().
 *
 * It is a background worker of its own, started by who waits, so it needs no
 * preloading, no turn in a lane and nobody's due time.  It ends with the one who
 * has started it: somebody whose session stands in the way of DROP DATABASE is
 * there as long as it is.  Queued jobs are done by the upkeep worker, with the
 * same code.
 *
 * A table that is locked is tried again, for some minutes.  Like worker.c, this
 * is a place where transactions begin and end.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "access/htup_details.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "job.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "portability/instr_time.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "worker.h"

#include "compat.h"

/* how often a locked table is tried, with doubling pauses: some two minutes */
#define LOCK_TRIES 30
#define PAUSE_FIRST_MS 50
#define PAUSE_MAX_MS 5000

/* a queued job goes on after so many ends of its worker in a row */
#define MAX_INTERRUPTED 3

/* VACUUM of a locked table: some three seconds */
#define VACUUM_LOCK_TRIES 6

/* what the process is told, in bgw_extra */
typedef struct JobArgs
{
	Oid			dboid;
	int64		job;			/* 0: it is about vacuum_partitions() */
	dsm_handle	vacuum;
} JobArgs;

StaticAssertDecl(sizeof(JobArgs) <= BGW_EXTRALEN, "arguments of a job fit into bgw_extra");

static void
pause_ms(int ms)
{
	static uint32 event = 0;

	if (event == 0)
		event = pm_wait_event("PartmgrJobPause");
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms, event);
	ResetLatch(MyLatch);
}

static int
pause_before(int try)
{
	return try > 7 ? PAUSE_MAX_MS : Min(PAUSE_FIRST_MS << try, PAUSE_MAX_MS);
}


/* ---------- a job ---------- */

/* a job and how it ended, for the transactions of its notes */
typedef struct JobEnd
{
	PmJob	   *job;
	const char *state;			/* NULL: it waits */
	const ErrorData *problem;
} JobEnd;

static void
take_step(void *arg)
{
	PmJob	   *job = arg;

	CHECK_FOR_INTERRUPTS();
	pm_transaction_begin("partmgr: looking at a job");
	pm_job_step(job);
	PM_FAILPOINT("job-step");
	pm_transaction_end();
	MemoryContextSwitchTo(job->context);
}

/* what a failure says; "could not create unique index" is of no use without why */
static char *
message_of(const ErrorData *problem)
{
	return problem->detail ? psprintf("%s: %s", problem->message, problem->detail) :
		pstrdup(problem->message);
}

static void
note_job(void *arg)
{
	JobEnd	   *end = arg;
	const ErrorData *problem = end->problem;

	pm_transaction_begin("partmgr: noting a job");
	if (end->state == NULL)
		pm_job_waits(end->job, psprintf("waits: %s", problem->message));
	else
		pm_job_end(end->job, end->state, problem ? problem->sqlerrcode : 0,
				   problem ? message_of(problem) : NULL);
	pm_transaction_end();
	MemoryContextSwitchTo(end->job->context);
}

static ErrorData *
note_state(PmJob *job, const char *state, ErrorData *problem)
{
	JobEnd		end = {.job = job, .state = state, .problem = problem};
	ErrorData  *failure = pm_worker_guarded(note_job, &end, job->context);

	if (failure != NULL)
		pm_worker_log(failure, psprintf("noting partmgr job " INT64_FORMAT, job->id));
	return failure;
}

/* One step of a job, with what it has left to be run at top level. */
static ErrorData *
try_step(PmJob *job)
{
	Oid			save_index = job->index;
	Oid			save_current = job->current;
	ErrorData  *problem;

	job->top = NULL;
	problem = pm_worker_guarded(take_step, job, job->context);
	if (problem != NULL)
	{
		job->index = save_index;
		job->current = save_current;
		return problem;
	}
	if (job->top == NULL || job->is_gone)
		return NULL;
	problem = pm_toplevel_run(job->top, job->context);
	PM_FAILPOINT("job-toplevel-done");
	if (problem != NULL)
	{
		job->current = InvalidOid;
		job->built = InvalidOid;
	}
	return problem;
}

/*
 * A job whose worker is gone each time may be why it is gone, and the queue is
 * everybody's.
 */
static bool
is_given_up(PmJob *job)
{
	ErrorData	problem = {
		.sqlerrcode = ERRCODE_INTERNAL_ERROR,
		.message = psprintf("the worker of the job has ended early %d times", job->interrupted)
	};

	if (job->interrupted <= MAX_INTERRUPTED)
		return false;
	note_state(job, "failed", &problem);
	return true;
}

/*
 * Do a job until it has ended.  Whatever ends it is noted, and comes no further.
 */
static void
run_job(PmJob *job)
{
	ErrorData  *problem;
	int			tries = 0;

	do
	{
		problem = try_step(job);
		if (problem != NULL && problem->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE &&
			++tries < LOCK_TRIES)
		{
			problem = note_state(job, NULL, problem);

			/* a cancel may come at any moment; it must not be lost */
			if (problem != NULL && problem->sqlerrcode == ERRCODE_QUERY_CANCELED)
				break;
			problem = NULL;
			pause_ms(pause_before(tries));
			job->more = true;
		}
		else if (problem == NULL && job->top != NULL)
			tries = 0;
	} while (problem == NULL && job->more && !job->is_gone);

	if (problem == NULL)
		(void) note_state(job, "done", NULL);
	else if (problem->sqlerrcode == ERRCODE_QUERY_CANCELED)
		(void) note_state(job, "cancelled", problem);
	else
	{
		pm_worker_log(problem, psprintf("partmgr job " INT64_FORMAT, job->id));
		(void) note_state(job, "failed", problem);
	}
}

static void
claim(void *arg)
{
	PmJob	   *job = arg;

	pm_transaction_begin("partmgr: taking a job");
	if (!pm_job_claim(job))
		job->id = 0;
	pm_transaction_end();
	MemoryContextSwitchTo(job->context);
}

/* Do the job of that number, or the next one in the queue; false if there is none. */
static bool
claim_and_run(int64 id, MemoryContext context)
{
	PmJob	   *job;
	ErrorData  *problem;

	MemoryContextSwitchTo(context);
	job = palloc0(sizeof(PmJob));
	job->id = id;
	job->context = context;
	problem = pm_worker_guarded(claim, job, context);
	if (problem != NULL)
		pm_worker_log(problem, "taking a partmgr job");
	if (problem != NULL || job->id == 0)
		return false;
	if (!is_given_up(job))
		run_job(job);
	return true;
}

/* pm_job_run_next does the next job that is queued; false if there is none. */
bool
pm_job_run_next(MemoryContext context)
{
	return claim_and_run(0, context);
}


/* ---------- vacuum_partitions() ---------- */

/* one table at work */
typedef struct VacuumCall
{
	const PmVacuum *vacuum;
	PmVacuumItem *item;
	MemoryContext context;
	char	   *sql;
} VacuumCall;

/* VACUUM would leave out the table of somebody else with a mere WARNING. */
static void
check_vacuum(Oid table, Oid userid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", table)));
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	if (!has_privs_of_role(userid, owner))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(table));
}

static void
prepare_vacuum(void *arg)
{
	VacuumCall *call = arg;
	Oid			table = call->item->table;

	CHECK_FOR_INTERRUPTS();
	pm_transaction_begin("partmgr: looking at a partition");
	check_vacuum(table, call->vacuum->owner);
	call->item->bytes_before = pm_size_bytes(table);
	call->sql = MemoryContextStrdup(call->context, pm_ddl_vacuum(table, call->vacuum->full));
	pm_transaction_end();
}

static void
measure(void *arg)
{
	VacuumCall *call = arg;

	pm_transaction_begin("partmgr: looking at a partition");
	call->item->bytes_after = pm_size_bytes(call->item->table);
	pm_transaction_end();
}

static ErrorData *
vacuum_table(VacuumCall *call)
{
	ErrorData  *problem = pm_worker_guarded(prepare_vacuum, call, call->context);
	PmTopLevel	top = {
		.sql = call->sql,
		.userid = call->vacuum->owner,
		.lock_timeout = pm_lock_timeout,
		.cost_delay = call->vacuum->cost_delay,
		.activity = call->sql
	};
	instr_time	start;
	instr_time	duration;

	if (problem != NULL)
		return problem;
	INSTR_TIME_SET_CURRENT(start);
	for (int try = 1;; try++)
	{
		problem = pm_toplevel_run(&top, call->context);
		if (problem == NULL || problem->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE ||
			try == VACUUM_LOCK_TRIES)
			break;
		pause_ms(pause_before(try));
	}
	INSTR_TIME_SET_CURRENT(duration);
	INSTR_TIME_SUBTRACT(duration, start);
	call->item->us = INSTR_TIME_GET_MICROSEC(duration);
	return problem ? problem : pm_worker_guarded(measure, call, call->context);
}

/* as much of a message as there is room for, in whole characters */
static void
copy_message(PmVacuumItem *item, const char *message)
{
	int			length = pg_mbcliplen(message, strlen(message), sizeof(item->message) - 1);

	memcpy(item->message, message, length);
	item->message[length] = '\0';
}

static void
run_vacuum(dsm_handle handle, MemoryContext context)
{
	dsm_segment *segment = dsm_attach(handle);
	PmVacuum   *vacuum;

	if (segment == NULL)
		return;					/* who waited is gone */
	dsm_pin_mapping(segment);
	vacuum = dsm_segment_address(segment);
	for (int i = 0; i < vacuum->n; i++)
	{
		VacuumCall	call = {
			.vacuum = vacuum,
			.item = &vacuum->items[i],
			.context = context
		};
		ErrorData  *problem;

		MemoryContextReset(context);
		MemoryContextSwitchTo(context);
		problem = vacuum_table(&call);
		if (problem != NULL)
			copy_message(call.item, problem->message);
		call.item->is_over = true;
		if (problem != NULL && problem->sqlerrcode == ERRCODE_QUERY_CANCELED)
			break;
	}
}


/* ---------- the process ---------- */

/* pm_job_worker_main is the process. */
void
pm_job_worker_main(Datum arg)
{
	JobArgs		args;
	MemoryContext context;

	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	memcpy(&args, MyBgworkerEntry->bgw_extra, sizeof(args));
	pm_worker_connect(args.dboid);

	context = AllocSetContextCreate(TopMemoryContext, "partmgr job",
									ALLOCSET_DEFAULT_SIZES);
	if (args.job > 0)
		(void) claim_and_run(args.job, context);
	else
		run_vacuum(args.vacuum, context);
	proc_exit(0);
}

/*
 * pm_job_start starts a process for a job, or with job 0 for vacuum_partitions();
 * NULL if there is no free slot for it.  This process is woken when it starts
 * and ends.
 */
BackgroundWorkerHandle *
pm_job_start(int64 job, dsm_handle vacuum)
{
	BackgroundWorkerHandle *handle;
	BackgroundWorker worker;
	JobArgs		args;

	memset(&worker, 0, sizeof(worker));
	memset(&args, 0, sizeof(args));
	args.dboid = MyDatabaseId;
	args.job = job;
	args.vacuum = vacuum;
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "partmgr", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "pm_job_worker_main", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "partmgr job worker", BGW_MAXLEN);
	snprintf(worker.bgw_name, BGW_MAXLEN, "partmgr job worker for process %d", MyProcPid);
	memcpy(worker.bgw_extra, &args, sizeof(args));
	worker.bgw_notify_pid = MyProcPid;
	return RegisterDynamicBackgroundWorker(&worker, &handle) ? handle : NULL;
}
