/*-------------------------------------------------------------------------
 *
 * testing_toplevel.c
 *		A worker that runs statements at top level, one after the other, for
 *		tests of toplevel.c.
 *
 * The statements and what became of them are in a table that the test makes,
 * public.toplevel_queue; besides the error, each row tells what the process is
 * like after the statement: its user, its settings, the locks it still has.
 *
 * Only in debug builds.  Does nothing but to call pm_toplevel_run.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#ifdef PARTMGR_DEBUG

#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "internal.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "worker.h"

#include "compat.h"

PG_FUNCTION_INFO_V1(partmgr_testing_toplevel);

extern PGDLLEXPORT void pm_testing_toplevel_main(Datum arg);

/*
 * partmgr_testing_toplevel() RETURNS int starts the worker in this database
 * and returns its pid.
 */
Datum
partmgr_testing_toplevel(PG_FUNCTION_ARGS)
{
	BackgroundWorkerHandle *handle;
	BackgroundWorker worker;
	pid_t		pid;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "partmgr", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "pm_testing_toplevel_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "partmgr top level test", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "partmgr top level test", BGW_MAXLEN);
	worker.bgw_main_arg = ObjectIdGetDatum(MyDatabaseId);
	worker.bgw_notify_pid = MyProcPid;
	if (!RegisterDynamicBackgroundWorker(&worker, &handle) ||
		WaitForBackgroundWorkerStartup(handle, &pid) != BGWH_STARTED)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not start the worker")));
	PG_RETURN_INT32(pid);
}

/* Reads the next statement into the given context; its number, or 0. */
static int32
next_statement(PmTopLevel *top, MemoryContext context)
{
	PmSpi		spi;
	int32		id = 0;
	bool		isnull;

	pm_transaction_begin("reading the queue");
	pm_spi_begin(&spi, BOOTSTRAP_SUPERUSERID);
	if (pm_spi_select("SELECT id, sql, usr::oid, lock_timeout FROM public.toplevel_queue"
					  " WHERE sqlstate IS NULL ORDER BY id LIMIT 1",
					  0, NULL, NULL, NULL) == 1)
	{
		id = DatumGetInt32(pm_spi_value(0, 1, &isnull));
		top->sql = MemoryContextStrdup(context, pm_spi_string(0, 2));
		top->userid = pm_spi_oid(0, 3);
		top->lock_timeout = DatumGetInt32(pm_spi_value(0, 4, &isnull));
		top->activity = top->sql;
	}
	pm_spi_end(&spi);
	pm_transaction_end();
	return id;
}

static void
note_outcome(int32 id, const ErrorData *problem)
{
	PmSpi		spi;
	Oid			types[] = {INT4OID, TEXTOID, TEXTOID};
	Datum		values[3];

	pm_transaction_begin("noting the outcome");
	pm_spi_begin(&spi, BOOTSTRAP_SUPERUSERID);
	values[0] = Int32GetDatum(id);
	values[1] = CStringGetTextDatum(problem ? unpack_sql_state(problem->sqlerrcode) : "00000");
	values[2] = CStringGetTextDatum(problem ? problem->message : "");
	pm_spi_write("UPDATE public.toplevel_queue SET sqlstate = $2, message = $3,"
				 " left_over = (SELECT string_agg(coalesce(relation::regclass::text, locktype) || ' ' || mode, ', ')"
				 "  FROM pg_locks WHERE pid = pg_backend_pid() AND locktype <> 'virtualxid'"
				 "  AND mode NOT IN ('AccessShareLock', 'RowExclusiveLock') AND locktype <> 'transactionid'),"
				 " process = format('%s %s lock_timeout=%s work_mem=%s', session_user,"
				 "  current_setting('is_superuser'), current_setting('lock_timeout'), current_setting('work_mem'))"
				 " WHERE id = $1", 3, types, values, NULL);
	pm_spi_end(&spi);
	pm_transaction_end();
}

/* pm_testing_toplevel_main is the worker. */
void
pm_testing_toplevel_main(Datum arg)
{
	MemoryContext context;
	PmTopLevel	top = {0};
	int32		id;

	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	pm_worker_connect(DatumGetObjectId(arg));
	context = AllocSetContextCreate(TopMemoryContext, "partmgr top level test",
									ALLOCSET_DEFAULT_SIZES);
	while ((id = next_statement(&top, context)) != 0)
		note_outcome(id, pm_toplevel_run(&top, context));
	proc_exit(0);
}

#endif							/* PARTMGR_DEBUG */
