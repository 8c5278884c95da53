/*-------------------------------------------------------------------------
 *
 * api_upkeep.c
 *		SQL functions and procedures that have a worker vacuum, reindex, and
 *		create indexes.
 *
 * VACUUM waits for no snapshot, so a function can wait for it.  A concurrent
 * build waits for the transaction of whoever waits for it; so these are
 * procedures, which commit what is to be done and then wait without snapshot and
 * without lock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "api.h"
#include "catalog/namespace.h"
#include "funcapi.h"
#include "job.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "tcop/pquery.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "compat.h"

PG_FUNCTION_INFO_V1(partmgr_vacuum_partitions);
PG_FUNCTION_INFO_V1(partmgr_reindex_partitions);
PG_FUNCTION_INFO_V1(partmgr_create_index_concurrently);
PG_FUNCTION_INFO_V1(partmgr_queue_reindex_partitions);
PG_FUNCTION_INFO_V1(partmgr_queue_create_index_concurrently);
PG_FUNCTION_INFO_V1(partmgr_cancel_job);

/* how often part_job is looked at */
#define POLL_MS 200

/* ---------- the worker, from outside ---------- */

static void
no_worker(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("no free background worker slot"),
			 errhint("You might need to increase max_worker_processes.")));
}

/* for PG_ENSURE_ERROR_CLEANUP: a worker does not outlive who waits for it */
static void
end_worker(int code, Datum arg)
{
	TerminateBackgroundWorker((BackgroundWorkerHandle *) DatumGetPointer(arg));
}

/* Waits for a moment, or until something happens to the worker; is it over? */
static bool
wait_for_worker(BackgroundWorkerHandle *handle)
{
	static uint32 event = 0;
	pid_t		pid;

	if (event == 0)
		event = pm_wait_event("PartmgrJobWait");
	CHECK_FOR_INTERRUPTS();
	if (GetBackgroundWorkerPid(handle, &pid) == BGWH_STOPPED)
		return true;
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 POLL_MS, event);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	return false;
}


/* ---------- vacuum_partitions ---------- */

/* dynamic shared memory with the tables of a set */
static dsm_segment *
make_vacuum(Oid parent, bool full)
{
	List	   *tables = pm_job_tables(parent);
	Size		size = offsetof(PmVacuum, items) + sizeof(PmVacuumItem) * list_length(tables);
	dsm_segment *segment = dsm_create(size, 0);
	PmVacuum   *vacuum = dsm_segment_address(segment);
	ListCell   *lc;

	memset(vacuum, 0, size);
	vacuum->owner = pm_config_read_one(parent)->owner;
	vacuum->full = full;
	vacuum->cost_delay = VacuumCostDelay;
	foreach(lc, tables)
		vacuum->items[vacuum->n++].table = lfirst_oid(lc);
	return segment;
}

static void
put_vacuum_row(ReturnSetInfo *rsinfo, const PmVacuumItem *item)
{
	bool		done = item->is_over && item->message[0] == '\0';
	const char *message = item->is_over ? item->message : "the worker has ended before its turn";
	Datum		values[5] = {
		CStringGetTextDatum(pm_qualified_name(item->table)),
		Int64GetDatum(item->bytes_before),
		Int64GetDatum(item->bytes_after),
		Float8GetDatum(item->us / 1000000.0),
		done ? (Datum) 0 : CStringGetTextDatum(message)
	};
	bool		nulls[5] = {false, !item->is_over, !done, !done, done};

	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * partmgr_vacuum_partitions(p_parent_table, p_full) has a worker VACUUM each
 * table that holds rows of a set, and returns a row for each: what could not be
 * vacuumed has a message.
 *
 * Locks: SHARE UPDATE EXCLUSIVE on a table at a time, with p_full ACCESS
 * EXCLUSIVE, taken by the worker, which waits partmgr.lock_timeout several times.
 * Errors: not the owner, not managed, no free worker slot, a standby.
 */
Datum
partmgr_vacuum_partitions(PG_FUNCTION_ARGS)
{
	Oid			parent;
	dsm_segment *segment;
	PmVacuum   *vacuum;
	BackgroundWorkerHandle *handle;

	pm_api_require();
	PreventCommandDuringRecovery("vacuum_partitions()");
	parent = pm_api_own_set(fcinfo, 0, "p_parent_table");
	pm_arg_not_null(fcinfo, 1, "p_full");
	InitMaterializedSRF(fcinfo, 0);

	segment = make_vacuum(parent, PG_GETARG_BOOL(1));
	vacuum = dsm_segment_address(segment);
	handle = vacuum->n == 0 ? NULL : pm_job_start(0, dsm_segment_handle(segment));
	if (handle == NULL && vacuum->n > 0)
		no_worker();
	if (handle != NULL)
	{
		PG_ENSURE_ERROR_CLEANUP(end_worker, PointerGetDatum(handle));
		{
			while (!wait_for_worker(handle))
				;
		}
		PG_END_ENSURE_ERROR_CLEANUP(end_worker, PointerGetDatum(handle));
	}
	for (int i = 0; i < vacuum->n; i++)
		put_vacuum_row((ReturnSetInfo *) fcinfo->resultinfo, &vacuum->items[i]);
	dsm_detach(segment);
	PG_RETURN_NULL();
}


/* ---------- what is asked for ---------- */

/* the schemas in which the caller's names are looked up now */
static char *
search_path_text(void)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, fetch_search_path(false))
	{
		char	   *schema = get_namespace_name(lfirst_oid(lc));

		if (schema != NULL && !isAnyTempNamespace(lfirst_oid(lc)))
			appendStringInfo(&buf, "%s%s", buf.len ? ", " : "", quote_identifier(schema));
	}
	return buf.len ? buf.data : pstrdup("pg_catalog");
}

/* a definition that is being read, for pm_attempt */
typedef struct Definition
{
	const char *text;
	Node	   *statement;
} Definition;

static void
call_parse(void *arg)
{
	Definition *definition = arg;

	definition->statement = pm_job_parse(definition->text);
}

/* check_definition raises an error for what is not an index of this table. */
static void
check_definition(Oid parent, const char *text)
{
	Definition	definition = {.text = text};
	ErrorData  *edata = pm_attempt(call_parse, &definition);
	IndexStmt  *statement = (IndexStmt *) definition.statement;
	Oid			relation;

	if (edata != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("p_definition cannot be read: %s", edata->message)));
	if (statement == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("p_definition must be one CREATE INDEX statement")));
	if (statement->concurrent)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("p_definition must not say CONCURRENTLY"),
				 errhint("It is done in that way on each partition.")));
	relation = RangeVarGetRelid(statement->relation, NoLock, false);
	if (relation != parent)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("p_definition is for table %s, not for %s",
						pm_qualified_name(relation), pm_qualified_name(parent))));
}

/* add_job writes down what the arguments ask for, and returns the number. */
static int64
add_job(FunctionCallInfo fcinfo, bool is_index, bool is_queued)
{
	PmJob		job = {.is_index = is_index, .is_queued = is_queued};

	job.parent = pm_api_own_set(fcinfo, 0, "p_parent_table");
	if (is_queued && !pm_is_preloaded)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("there is no worker for queued jobs"),
				 errhint("Add partmgr to shared_preload_libraries, or use the procedure.")));
	if (is_index)
	{
		pm_arg_not_null(fcinfo, 1, "p_definition");
		job.definition = pm_arg_text(fcinfo, 1);
		job.search_path = search_path_text();
		check_definition(job.parent, job.definition);
	}
	return pm_job_add(&job, GetUserNameFromId(GetUserId(), false));
}

static Datum
queue(FunctionCallInfo fcinfo, bool is_index)
{
	int64		id;

	pm_api_require();
	id = add_job(fcinfo, is_index, true);
	pm_worker_wake();
	PG_RETURN_INT64(id);
}

/* partmgr_queue_reindex_partitions(p_parent_table) returns the number of the job. */
Datum
partmgr_queue_reindex_partitions(PG_FUNCTION_ARGS)
{
	return queue(fcinfo, false);
}

/* partmgr_queue_create_index_concurrently(p_parent_table, p_definition) likewise. */
Datum
partmgr_queue_create_index_concurrently(PG_FUNCTION_ARGS)
{
	return queue(fcinfo, true);
}


/* ---------- procedures ---------- */

/* one CALL */
typedef struct Waiting
{
	int64		id;
	bool		is_index;
	BackgroundWorkerHandle *handle;
	int			told;			/* tables that the user has been told of */
	bool		told_wait;		/* and that a table is locked */
	MemoryContext context;		/* of one look */
} Waiting;

/* check_may_commit raises an error if the procedure cannot commit here. */
static void
check_may_commit(FunctionCallInfo fcinfo, const char *name)
{
	CallContext *context = (CallContext *) fcinfo->context;

	if (context == NULL || !IsA(context, CallContext) || context->atomic)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
				 errmsg("%s() cannot run inside a transaction block or a function", name),
				 errhint("CALL it on its own, or use queue_%s().", name)));
}

/*
 * tell raises a NOTICE for each table that was finished since the last look, and
 * one if the job waits for a lock.
 */
static void
tell(Waiting *waiting, const PmJobStatus *status)
{
	for (; waiting->told < list_length(status->finished); waiting->told++)
		ereport(NOTICE,
				(errmsg(waiting->is_index ? "index of %s is there" : "%s is reindexed",
						pm_qualified_name(list_nth_oid(status->finished, waiting->told)))));
	if (status->message != NULL && !waiting->told_wait && strcmp(status->state, "running") == 0)
		ereport(NOTICE, (errmsg("%s", status->message)));
	waiting->told_wait = status->message != NULL;
}

static bool
is_over(const PmJobStatus *status)
{
	return strcmp(status->state, "queued") != 0 && strcmp(status->state, "running") != 0;
}

/* fail_job raises what has ended a job as an error here. */
static void
fail_job(const Waiting *waiting, const PmJobStatus *status)
{
	const char *s = status->sqlstate;

	if (!is_over(status))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("the worker of job " INT64_FORMAT " has ended early", waiting->id),
				 errhint("See the server log.")));
	ereport(ERROR,
			(errcode(s && strlen(s) == 5 ? MAKE_SQLSTATE(s[0], s[1], s[2], s[3], s[4]) :
					 ERRCODE_INTERNAL_ERROR),
			 errmsg("%s", status->message ? status->message : status->state),
			 errdetail("Job " INT64_FORMAT " has ended with this error.", waiting->id),
			 waiting->is_index ? errhint("Call it again with the same definition to go on.") : 0));
}

/*
 * look_at_job looks at the job in a transaction of its own; true if it has
 * succeeded.  worker_over: the worker has ended before this look.
 */
static bool
look_at_job(Waiting *waiting, bool worker_over)
{
	PmJobStatus status;
	MemoryContext old = MemoryContextSwitchTo(waiting->context);
	bool		done;

	EnsurePortalSnapshotExists();
	pm_job_read(waiting->id, &status);
	if (!status.exists)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("job " INT64_FORMAT " does not exist any more", waiting->id)));
	tell(waiting, &status);
	done = strcmp(status.state, "done") == 0;
	if (!done && (is_over(&status) || worker_over))
		fail_job(waiting, &status);
	MemoryContextSwitchTo(old);
	MemoryContextReset(waiting->context);
	pm_spi_procedure_commit();
	return done;
}

/* start_job starts the worker of a job that is committed; an error ends the job. */
static void
start_job(Waiting *waiting)
{
	PmJob		job = {.id = waiting->id};

	waiting->handle = pm_job_start(waiting->id, DSM_HANDLE_INVALID);
	if (waiting->handle != NULL)
		return;
	EnsurePortalSnapshotExists();
	pm_job_end(&job, "failed", ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
			   "no free background worker slot");
	pm_spi_procedure_commit();
	no_worker();
}

/* do_and_wait is what the procedures do. */
static void
do_and_wait(FunctionCallInfo fcinfo, bool is_index)
{
	Waiting		waiting = {.is_index = is_index};
	MemoryContext context;
	MemoryContext old;

	waiting.id = add_job(fcinfo, is_index, false);
	context = AllocSetContextCreate(PortalContext, "partmgr procedure", ALLOCSET_SMALL_SIZES);
	waiting.context = AllocSetContextCreate(context, "partmgr look", ALLOCSET_SMALL_SIZES);

	pm_spi_procedure_begin();
	pm_spi_procedure_commit();
	old = MemoryContextSwitchTo(context);
	start_job(&waiting);
	PG_ENSURE_ERROR_CLEANUP(end_worker, PointerGetDatum(waiting.handle));
	{
		bool		done;

		do
		{
			bool		worker_over = wait_for_worker(waiting.handle);

			done = look_at_job(&waiting, worker_over);
		} while (!done);
	}
	PG_END_ENSURE_ERROR_CLEANUP(end_worker, PointerGetDatum(waiting.handle));
	MemoryContextSwitchTo(old);
	pm_spi_procedure_end();
	MemoryContextDelete(context);
}

/*
 * partmgr_reindex_partitions(p_parent_table) has a worker REINDEX TABLE
 * CONCURRENTLY each table that holds rows of a set, with a NOTICE for each.
 * Commits.  Errors: not the owner, not managed, in a transaction block, a job of
 * the kind is open, no free worker slot, and what ends the work.
 */
Datum
partmgr_reindex_partitions(PG_FUNCTION_ARGS)
{
	check_may_commit(fcinfo, "reindex_partitions");
	pm_api_require();
	do_and_wait(fcinfo, false);
	PG_RETURN_VOID();
}

/*
 * partmgr_create_index_concurrently(p_parent_table, p_definition) has a worker
 * create an index on all partitions; see job_step.c.  Commits.  Errors: as above,
 * and a definition that is none of an index of the table.
 */
Datum
partmgr_create_index_concurrently(PG_FUNCTION_ARGS)
{
	check_may_commit(fcinfo, "create_index_concurrently");
	pm_api_require();
	do_and_wait(fcinfo, true);
	PG_RETURN_VOID();
}


/* ---------- cancel_job ---------- */

/* interrupt cancels what a worker of ours does, if it is still there. */
static bool
interrupt(int pid)
{
	PGPROC	   *proc = pid > 0 ? BackendPidGetProc(pid) : NULL;

	return proc != NULL && proc->databaseId == MyDatabaseId &&
		pid != MyProcPid && kill(pid, SIGINT) == 0;
}

/*
 * partmgr_cancel_job(p_job) takes back a job that waits, or cancels the statement
 * of the one at work, which ends it; false if it has ended already.
 */
Datum
partmgr_cancel_job(PG_FUNCTION_ARGS)
{
	PmJobStatus status;
	int64		id;

	pm_api_require();
	pm_arg_not_null(fcinfo, 0, "p_job");
	id = PG_GETARG_INT64(0);
	pm_job_read(id, &status);
	if (!status.exists || get_rel_name(status.parent) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("job " INT64_FORMAT " does not exist", id)));
	pm_api_check_owner(status.parent);
	if (is_over(&status))
		PG_RETURN_BOOL(false);
	PG_RETURN_BOOL(pm_job_withdraw(id) || interrupt(status.worker_pid));
}
