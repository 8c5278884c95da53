/*-------------------------------------------------------------------------
 *
 * toplevel.c
 *		Statements that must not be in a transaction block.
 *
 * DETACH PARTITION CONCURRENTLY, VACUUM, CREATE INDEX CONCURRENTLY and the like
 * commit in the middle.  A worker runs them here as a client would: at top
 * level, between its own transactions.
 *
 * As whom: SetUserIdAndSecContext, which the rest of partmgr uses, must not be
 * in force between two transactions, so the statement has the owner of the
 * table as its session user.  Core runs the functions of the table's owner in a
 * security-restricted operation.  Whatever else the statement should call can
 * not become the bootstrap superuser again: see pm_worker_connect.
 *
 * Afterwards, also after an error, all is as before: user, settings, locks.
 * Never to be called inside a transaction, or outside of a worker's process.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "internal.h"
#include "miscadmin.h"
#include "parser/parser.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/backend_status.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "compat.h"

/* for watch_wait: ticks in a row that saw us wait for a table; did it cut us short? */
static volatile int ticks_waiting = 0;
static volatile bool is_cut_short = false;

/*
 * watch_wait runs in a signal handler, twice in relation_timeout.  A wait for a
 * transaction to end is in nobody's way, a wait for the lock on a table keeps
 * out all who come after us; lock_timeout makes no difference between them.
 * The lock that we wait for cannot go away meanwhile.
 */
static void
watch_wait(void)
{
	/* the clock goes on when the process, ended in the statement, has left shared memory */
	const LOCK *lock = MyProc ? MyProc->waitLock : NULL;

	if (lock == NULL || lock->tag.locktag_type != LOCKTAG_RELATION)
		ticks_waiting = 0;
	else if (++ticks_waiting > 2)
	{
		is_cut_short = true;
		InterruptPending = true;
		QueryCancelPending = true;
		SetLatch(MyLatch);
	}
}

/* Begins, or with 0 ends, to watch what this process waits for. */
static void
watch(int relation_timeout)
{
	static TimeoutId timeout = 0;

	if (timeout == 0)
		timeout = RegisterTimeout(USER_TIMEOUT, watch_wait);
	ticks_waiting = 0;
	if (relation_timeout > 0)
	{
		int			tick = Max(relation_timeout / 2, 1);

		is_cut_short = false;
		enable_timeout_every(timeout, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), tick), tick);
	}
	else
	{
		disable_timeout(timeout, false);

		/* what we have asked for ourselves ends with the wait */
		if (is_cut_short)
			QueryCancelPending = false;
	}
}

static void
set_lock_timeout(int ms)
{
	char		value[16];

	snprintf(value, sizeof(value), "%d", ms);
	SetConfigOption("lock_timeout", value, PGC_SUSET, PGC_S_OVERRIDE);
}

/* For the session: the reset of all settings afterwards takes it back. */
static void
set_cost_delay(double ms)
{
	char		value[32];

	snprintf(value, sizeof(value), "%g", ms);
	SetConfigOption("vacuum_cost_delay", value, PGC_USERSET, PGC_S_SESSION);
}

/*
 * Becomes the user of the statement.  In a transaction of its own, so that the
 * user is the same in all of the statement's transactions, however they end.
 */
static void
become(Oid userid)
{
	bool		is_superuser;

	StartTransactionCommand();
	is_superuser = superuser_arg(userid);
	CommitTransactionCommand();
	SetSessionAuthorization(userid, is_superuser);
}

/* The statements, RawStmts, in the current memory context. */
static List *
parse_statements(const PmTopLevel *top)
{
	RawStmt    *raw;

	if (top->node == NULL)
		return raw_parser(top->sql, RAW_PARSE_DEFAULT);
	raw = makeNode(RawStmt);
	raw->stmt = copyObject(top->node);	/* execution may change it */
	return list_make1(raw);
}

/* A statement, ready to be executed, in the current memory context. */
static PlannedStmt *
plan_statement(const RawStmt *raw)
{
	PlannedStmt *pstmt = makeNode(PlannedStmt);

	pstmt->commandType = CMD_UTILITY;
	pstmt->canSetTag = true;
	pstmt->utilityStmt = raw->stmt;
	pstmt->stmt_location = raw->stmt_location;
	pstmt->stmt_len = raw->stmt_len;
	return pstmt;
}

/*
 * Runs one statement in a portal, as PostgresMain does for a client: its memory
 * outlives the statement's transactions, and functions that are called between
 * two of them (event triggers) find a snapshot there.
 */
static void
execute_one(const PmTopLevel *top, const RawStmt *raw, MemoryContext context)
{
	PlannedStmt *pstmt;
	Portal		portal;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	MemoryContextSwitchTo(context);
	pstmt = plan_statement(raw);
	portal = CreatePortal("", true, true);
	portal->visible = false;
	PortalDefineQuery(portal, NULL, top->sql,
					  CreateCommandTag(pstmt->utilityStmt), list_make1(pstmt),
					  NULL);
	PortalStart(portal, NULL, 0, InvalidSnapshot);
	if (OidIsValid(top->parent))
		pm_ddl_lock_detach(top->parent, top->partition);
	(void) pm_portal_run(portal, None_Receiver);
	PortalDrop(portal, false);
	CommitTransactionCommand();
}

/* Runs the statements, one after the other. */
static void
execute(const PmTopLevel *top, MemoryContext context)
{
	List	   *statements;
	ListCell   *lc;

	become(top->userid);
	set_lock_timeout(top->lock_timeout);
	set_cost_delay(top->cost_delay);
	debug_query_string = top->sql;
	pgstat_report_activity(STATE_RUNNING, top->activity);

	MemoryContextSwitchTo(context);
	statements = parse_statements(top);
	foreach(lc, statements)
		execute_one(top, lfirst_node(RawStmt, lc), context);
}

/*
 * What a statement can leave behind, by itself or through a function that it
 * has called: the user, settings, locks of the session.
 */
static void
clean_up(int lock_timeout)
{
	SetSessionAuthorization(BOOTSTRAP_SUPERUSERID, true);
	LockReleaseAll(DEFAULT_LOCKMETHOD, true);
	LockReleaseAll(USER_LOCKMETHOD, true);

	/* back to what is pinned; not what was set by SET has stayed */
	ResetAllOptions();
	set_lock_timeout(lock_timeout);
	debug_query_string = NULL;

	pgstat_report_stat(true);
	pgstat_report_activity(STATE_IDLE, NULL);
}

/*
 * pm_toplevel_run runs utility statements outside of any transaction block, until
 * one fails.
 * Returns NULL, or the error that ended it, in the given context, which must
 * outlive transactions and is the current one afterwards.  The error is not in
 * the log: the caller knows whether it is worth a line.
 *
 * A cancel ends the statement with an error as any other.  There is no
 * statement timeout, only lock_timeout for each single wait.
 *
 * Locks: those of the statement; none is left.
 */
ErrorData *
pm_toplevel_run(const PmTopLevel *top, MemoryContext context)
{
	ErrorData  *volatile problem = NULL;
	MemoryContext statement_context;
	int			save_lock_timeout = LockTimeout;

	Assert(!IsTransactionState());
	Assert(GetSessionUserId() == BOOTSTRAP_SUPERUSERID);

	statement_context = AllocSetContextCreate(context, "partmgr statement",
											  ALLOCSET_DEFAULT_SIZES);
	PG_TRY();
	{
		if (top->relation_timeout > 0)
			watch(top->relation_timeout);
		execute(top, statement_context);
		watch(0);
	}
	PG_CATCH();
	{
		/* nothing may interrupt us before the abort is complete */
		HOLD_INTERRUPTS();
		watch(0);
		errcontext("statement \"%s\"", top->sql);
		MemoryContextSwitchTo(context);
		problem = CopyErrorData();
		pm_error_clip(problem);
		if (is_cut_short && problem->sqlerrcode == ERRCODE_QUERY_CANCELED)
		{
			problem->sqlerrcode = ERRCODE_LOCK_NOT_AVAILABLE;
			problem->message = "canceling statement because a table was locked for too long";
		}
		is_cut_short = false;

		AbortOutOfAnyTransaction();
		FlushErrorState();
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();

	clean_up(save_lock_timeout);
	MemoryContextSwitchTo(context);
	MemoryContextDelete(statement_context);
	return problem;
}
