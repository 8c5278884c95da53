/*-------------------------------------------------------------------------
 *
 * api_rewrite.c
 *		What the SQL functions and procedures of rewrites share: a rewrite is
 *		written down and left to the worker, or done in the session; and those
 *		that pause it, resume it, cancel it.
 *
 * What can be refused is refused here: the scratch tables of the first swap are
 * made before anything is promised.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "api.h"
#include "api_rewrite.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "tcop/pquery.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "compat.h"

PG_FUNCTION_INFO_V1(partmgr_pause_rewrite);
PG_FUNCTION_INFO_V1(partmgr_resume_rewrite);
PG_FUNCTION_INFO_V1(partmgr_cancel_rewrite);

/* pm_asked_option adds an option; NULL is one that was not given. */
void
pm_asked_option(PmAsked *asked, const char *name, const char *value)
{
	if (asked->n >= PM_MAX_OPTIONS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("too many partitions, or points")));
	asked->names[asked->n] = name;
	asked->values[asked->n++] = value;
}

/* pm_asked_by_call tells a CALL from a function. */
bool
pm_asked_by_call(FunctionCallInfo fcinfo)
{
	return fcinfo->context != NULL && IsA(fcinfo->context, CallContext);
}

/* pm_asked_text reads a text argument that must be there. */
char *
pm_asked_text(FunctionCallInfo fcinfo, int argno, const char *name)
{
	pm_arg_not_null(fcinfo, argno, name);
	return pm_arg_text(fcinfo, argno);
}

/* pm_asked_word reads one of two words. */
const char *
pm_asked_word(FunctionCallInfo fcinfo, int argno, const char *name,
			  const char *first, const char *second)
{
	const char *word = pm_asked_text(fcinfo, argno, name);

	if (strcmp(word, first) != 0 && strcmp(word, second) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be \"%s\" or \"%s\", not \"%s\"", name, first, second, word)));
	return word;
}

/* pm_asked_manner reads the last three arguments of all: p_mode, p_policy, p_rows_per_second. */
void
pm_asked_manner(FunctionCallInfo fcinfo, PmAsked *asked)
{
	int			argno = PG_NARGS() - 3;

	asked->mode = pm_asked_text(fcinfo, argno, "p_mode");
	if (asked->kind != REWRITE_CONVERT)
		(void) pm_asked_word(fcinfo, argno, "p_mode", "online", "locking");
	else if (strcmp(asked->mode, "instant") == 0)
		asked->kind = REWRITE_INSTANT;
	else if (strcmp(asked->mode, "online") != 0 && strcmp(asked->mode, "locking") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("p_mode must be \"online\", \"locking\" or \"instant\", not \"%s\"", asked->mode)));
	pm_asked_option(asked, "policy", pm_asked_word(fcinfo, argno + 1, "p_policy", "strict", "fast"));
	if (PG_ARGISNULL(argno + 2))
		return;
	if (PG_GETARG_INT32(argno + 2) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("p_rows_per_second must be at least 1")));
	pm_asked_option(asked, "rows_per_second", psprintf("%d", PG_GETARG_INT32(argno + 2)));
}


/* ---------- in the session ---------- */

static void
procedure_begin(const char *activity)
{
	/* a transaction of ours must see what others commit, whatever the session's default */
	XactIsoLevel = XACT_READ_COMMITTED;
	EnsurePortalSnapshotExists();
}

static void
procedure_end(void)
{
	pm_spi_procedure_commit();
}

static const PmRewriteHost host = {
	.begin = procedure_begin,
	.end = procedure_end,
	.tells = true
};

/* pm_asked_check_commit raises an error if a procedure cannot commit here. */
void
pm_asked_check_commit(FunctionCallInfo fcinfo)
{
	if (((CallContext *) fcinfo->context)->atomic)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
				 errmsg("this procedure cannot run inside a transaction block or a function"),
				 errhint("CALL it on its own, or use the function, which leaves the work to the worker.")));
}

/* how it ended, as an error if it did not end well */
static void
tell_end(int64 id)
{
	PmRewrite	rewrite;

	EnsurePortalSnapshotExists();
	if (!pm_rewrite_read(id, &rewrite) || strcmp(rewrite.state, "done") == 0)
		return;
	if (strcmp(rewrite.state, "failed") == 0 && rewrite.sqlstate && strlen(rewrite.sqlstate) == 5)
	{
		const char *s = rewrite.sqlstate;

		ereport(ERROR,
				(errcode(MAKE_SQLSTATE(s[0], s[1], s[2], s[3], s[4])),
				 errmsg("%s", rewrite.message ? rewrite.message : "the rewrite has failed"),
				 rewrite.phase == PHASE_CLEAN ?
				 errdetail("Rewrite " INT64_FORMAT " has ended with this error, after the swap.", id) :
				 errdetail("Rewrite " INT64_FORMAT " has ended with this error, and left all as it was.", id)));
	}
	ereport(NOTICE,
			(errmsg("rewrite " INT64_FORMAT " is %s", id, rewrite.state)));
}

/* work_on does a rewrite that is committed here and now. */
static void
work_on(int64 id)
{
	MemoryContext context;
	MemoryContext old;

	if (!pm_rewrite_lock(id))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("another process works on rewrite " INT64_FORMAT, id)));
	context = AllocSetContextCreate(PortalContext, "partmgr rewrite", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	PG_TRY();
	{
		pm_rewrite_run(pm_rewrite_make_run(id, &host));
	}
	PG_FINALLY();
	{
		pm_rewrite_unlock(id);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	tell_end(id);
	MemoryContextDelete(context);
}


/* ---------- asking ---------- */

static void
check_none_open(Oid table)
{
	int64		id = pm_rewrite_open(table);

	if (id != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("rewrite " INT64_FORMAT " of table %s has not ended",
						id, pm_qualified_name(table)),
				 errhint("See rewrite_progress; cancel_rewrite() ends it.")));
}

static void
check_worker(void)
{
	if (!pm_is_preloaded)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("there is no worker for rewrites"),
				 errhint("Add partmgr to shared_preload_libraries, or CALL the procedure.")));
}

/* A snapshot that is older than the lock would not see all rows. */
static void
check_isolation(void)
{
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("p_mode => 'locking' needs a transaction that is READ COMMITTED"),
				 errdetail("Rows that were written before the table was locked would not be seen, and would be lost.")));
}

/* one rewrite in this transaction, for pm_lockwait_run */
static void
run_in_one(void *arg)
{
	pm_rewrite_in_one(*(int64 *) arg);
}

/* the first tables are made here, so that errors come at once */
static void
begin_rewrite(int64 id)
{
	PmRewriteRun run = {.id = id, .context = CurrentMemoryContext};
	PmRewrite	rewrite;

	pm_rewrite_begin(id);
	if (pm_rewrite_read(id, &rewrite))
		pm_rewrite_prepare(&run, &rewrite);
}

/*
 * pm_asked_do writes a rewrite down and has it done: by the worker, here, or, in one
 * transaction, now.
 */
Datum
pm_asked_do(FunctionCallInfo fcinfo, PmAsked *asked)
{
	bool		is_call = pm_asked_by_call(fcinfo);
	bool		is_locking = strcmp(asked->mode, "locking") == 0;
	int64		id;

	PreventCommandDuringRecovery("rewriting tables");
	if (is_call && !is_locking)
		pm_asked_check_commit(fcinfo);
	if (!is_call && !is_locking)
		check_worker();
	if (is_locking)
		check_isolation();
	LockRelationOid(asked->table, AccessShareLock);
	check_none_open(asked->table);
	id = pm_rewrite_add(asked->kind, asked->table, !is_call && !is_locking, asked->n,
						asked->names, asked->values);
	if (is_locking)
	{
		pm_lockwait_run(asked->table, run_in_one, &id);
		PG_RETURN_INT64(id);
	}
	begin_rewrite(id);
	if (!is_call)
	{
		pm_worker_wake();
		PG_RETURN_INT64(id);
	}
	pm_spi_procedure_begin();
	pm_spi_procedure_commit();
	work_on(id);
	pm_spi_procedure_end();
	PG_RETURN_VOID();
}


/* ---------- pause, resume, cancel ---------- */

/* the rewrite that an argument names, of a table that is the caller's */
static int64
own_rewrite(FunctionCallInfo fcinfo, PmRewrite *rewrite)
{
	int64		id;

	pm_api_require();
	pm_arg_not_null(fcinfo, 0, "p_rewrite");
	id = PG_GETARG_INT64(0);
	if (!pm_rewrite_read(id, rewrite) ||
		(rewrite->name == NULL && !superuser_arg(GetUserId())))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("rewrite " INT64_FORMAT " does not exist", id)));
	if (rewrite->name != NULL)
		pm_api_check_owner(rewrite->table);
	return id;
}

/*
 * partmgr_pause_rewrite(p_rewrite) has a rewrite stop after its step; changes go
 * on being noted.  False if it is not at work.
 */
Datum
partmgr_pause_rewrite(PG_FUNCTION_ARGS)
{
	PmRewrite	rewrite;
	int64		id = own_rewrite(fcinfo, &rewrite);

	PG_RETURN_BOOL(pm_rewrite_set_state(id, "{queued,running}", "paused", 0, NULL));
}

/*
 * partmgr_resume_rewrite(p_rewrite) has a rewrite that was paused, or whose
 * process is gone, go on: by the worker, or as a procedure here.
 */
Datum
partmgr_resume_rewrite(PG_FUNCTION_ARGS)
{
	PmRewrite	rewrite;
	bool		is_call = pm_asked_by_call(fcinfo);
	int64		id = own_rewrite(fcinfo, &rewrite);

	if (is_call)
		pm_asked_check_commit(fcinfo);
	else
		check_worker();
	if (!pm_rewrite_resume(id, !is_call))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("rewrite " INT64_FORMAT " is %s", id, rewrite.state)));
	if (!is_call)
	{
		pm_worker_wake();
		PG_RETURN_VOID();
	}
	pm_spi_procedure_begin();
	pm_spi_procedure_commit();
	work_on(id);
	pm_spi_procedure_end();
	PG_RETURN_VOID();
}

/*
 * removes what a rewrite that nobody works on has made; one that is swapped already
 * is brought to the end of that swap
 */
static void
remove_rewrite(void *arg)
{
	PmRewriteRun run = {.id = *(int64 *) arg, .context = CurrentMemoryContext};
	PmRewrite	rewrite;

	while (pm_rewrite_read(run.id, &rewrite))
	{
		CHECK_FOR_INTERRUPTS();
		if (rewrite.phase != PHASE_CLEAN)
		{
			pm_rewrite_remove(&run, &rewrite);
			return;
		}
		pm_rewrite_clean(&run, &rewrite);
	}
}

/*
 * partmgr_cancel_rewrite(p_rewrite) ends a rewrite and leaves all as it was; one
 * that is swapped already goes on to its end.  False if it has ended.
 *
 * Locks: if no process works on it, ACCESS EXCLUSIVE on the sources to the end
 * of the transaction.
 */
Datum
partmgr_cancel_rewrite(PG_FUNCTION_ARGS)
{
	PmRewrite	rewrite;
	int64		id = own_rewrite(fcinfo, &rewrite);
	int			pid;

	if (!pm_rewrite_set_state(id, "{queued,running,paused,cancelling}", "cancelling", 0, NULL))
		PG_RETURN_BOOL(false);
	if (pm_rewrite_lock(id))
	{
		/* nobody else will: not before this transaction ends, and then it is over */
		PG_TRY();
		{
			if (rewrite.name != NULL)
				pm_lockwait_run(rewrite.table, remove_rewrite, &id);
			else
				remove_rewrite(&id);
		}
		PG_FINALLY();
		{
			pm_rewrite_unlock(id);
		}
		PG_END_TRY();
		PG_RETURN_BOOL(true);
	}
	pm_worker_wake();
	/* what the worker does may take hours; a session sees it after its step */
	pid = rewrite.is_queued ? pm_rewrite_holder(id) : 0;
	if (pid > 0 && pid != MyProcPid)
		(void) kill(pid, SIGINT);
	PG_RETURN_BOOL(true);
}
