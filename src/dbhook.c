/*-------------------------------------------------------------------------
 *
 * dbhook.c
 *		What ordinary backends do for the background worker.
 *
 * Wake: a transaction that has given maintenance something to do (a set
 * created, its configuration changed) tells the launcher when it commits, once
 * and not before: a worker that came earlier would see nothing.
 *
 * Step aside: DROP DATABASE, ALTER DATABASE ... RENAME or SET TABLESPACE and
 * CREATE DATABASE ... TEMPLATE need a database without other sessions.  Before
 * one of them runs, new workers are kept out of that database, and those at
 * work are ended and waited for.  That lasts until the end of the transaction,
 * however it comes: the lock on the database lasts as long, and a worker that
 * connected earlier would wait for it or, after a drop, fail.
 *
 * Ending a worker is only for those who have the right to the command: this
 * file asks what core will ask a moment later.  It refuses nothing itself; a
 * command that is not allowed goes on to core and fails there.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "internal.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "worker.h"

#include "compat.h"

/*
 * A worker reacts to SIGTERM at once, unless the machine is overloaded; after
 * this time core has its say (it waits five more seconds and then fails).
 */
#define END_DEADLINE_MS 10000
#define END_RETRY_MS 200

/* what the current transaction has to do at its end */
static bool wake_at_commit = false; /* maintenance has something to do */
static bool look_at_commit = false; /* databases have changed */
static Oid	urge_at_commit = InvalidOid;	/* this set may soon lack partitions */
static List *blocked = NIL;		/* OIDs of databases, in TopMemoryContext */
static bool is_registered = false;

static ProcessUtility_hook_type previous_hook = NULL;

/* Let workers into the databases again. */
static void
unblock_all(void)
{
	ListCell   *lc;

	foreach(lc, blocked)
		pm_slot_unblock(lfirst_oid(lc));
	list_free(blocked);
	blocked = NIL;
}

static void
unblock_at_exit(int code, Datum arg)
{
	unblock_all();
}

static void
at_end_of_transaction(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
			if (wake_at_commit)
				pm_slot_wake(MyDatabaseId);
			if (look_at_commit)
				pm_slot_look_again();
			if (OidIsValid(urge_at_commit))
				pm_slot_urge(MyDatabaseId, urge_at_commit);
			break;
		case XACT_EVENT_PREPARE:
			if (wake_at_commit)
				pm_slot_prepared(MyDatabaseId);
			break;
		case XACT_EVENT_ABORT:
			break;
		default:
			return;				/* not the end yet, or a parallel worker */
	}
	wake_at_commit = false;
	look_at_commit = false;
	urge_at_commit = InvalidOid;
	unblock_all();
}

/* Have at_end_of_transaction called from now on. */
static void
register_callbacks(void)
{
	if (is_registered)
		return;
	before_shmem_exit(unblock_at_exit, (Datum) 0);
	RegisterXactCallback(at_end_of_transaction, NULL);
	is_registered = true;
}

/*
 * pm_worker_wake has the current transaction, when it commits, mark this
 * database as having the extension and something due now.  Without effect if
 * it rolls back, or if the library is not preloaded.
 */
void
pm_worker_wake(void)
{
	register_callbacks();
	wake_at_commit = true;
}

/*
 * pm_worker_urge has the worker look at a set when the current transaction has
 * committed, due or not.  Seldom enough for a call per row.
 */
void
pm_worker_urge(Oid parent)
{
	static TimestampTz last = 0;
	TimestampTz now = GetCurrentStatementStartTimestamp();

	if (now >= last && now < last + USECS_PER_SEC)
		return;
	last = now;
	register_callbacks();
	urge_at_commit = parent;
}

/* May the current user create databases?  As core asks it. */
static bool
may_create_databases(void)
{
	HeapTuple	tuple;
	bool		may = false;

	if (superuser())
		return true;
	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	if (HeapTupleIsValid(tuple))
	{
		may = ((Form_pg_authid) GETSTRUCT(tuple))->rolcreatedb;
		ReleaseSysCache(tuple);
	}
	return may;
}

/* Is the database marked as a template, which anybody may copy? */
static bool
is_template(Oid dboid)
{
	HeapTuple	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(dboid));
	bool		result = false;

	if (HeapTupleIsValid(tuple))
	{
		result = ((Form_pg_database) GETSTRUCT(tuple))->datistemplate;
		ReleaseSysCache(tuple);
	}
	return result;
}

/* The value of an option given as a string, or NULL. */
static const char *
string_option(List *options, const char *name)
{
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *option = lfirst(lc);

		if (strcmp(option->defname, name) == 0 && option->arg != NULL)
			return defGetString(option);
	}
	return NULL;
}

/*
 * database_needed returns the database that the statement needs for itself, if
 * the current user has the right to the statement, and InvalidOid otherwise.
 */
static Oid
database_needed(Node *statement)
{
	const char *name = NULL;
	bool		is_copy = false;
	bool		needs_createdb = false;
	Oid			dboid;

	switch (nodeTag(statement))
	{
		case T_DropdbStmt:
			name = ((DropdbStmt *) statement)->dbname;
			break;

		case T_RenameStmt:
			if (((RenameStmt *) statement)->renameType != OBJECT_DATABASE)
				return InvalidOid;
			name = ((RenameStmt *) statement)->subname;
			needs_createdb = true;
			break;

		case T_AlterDatabaseStmt:
			if (string_option(((AlterDatabaseStmt *) statement)->options,
							  "tablespace") == NULL)
				return InvalidOid;
			name = ((AlterDatabaseStmt *) statement)->dbname;
			break;

		case T_CreatedbStmt:
			name = string_option(((CreatedbStmt *) statement)->options,
								 "template");
			if (name == NULL)
				name = "template1"; /* as in core */
			is_copy = true;
			needs_createdb = true;
			break;

		default:
			return InvalidOid;
	}

	dboid = get_database_oid(name, true);
	if (!OidIsValid(dboid) ||
		(needs_createdb && !may_create_databases()))
		return InvalidOid;
	if (!pm_owns_database(dboid, GetUserId()) &&
		!(is_copy && is_template(dboid)))
		return InvalidOid;
	return dboid;
}

/*
 * Keep workers out of a database until the end of the transaction, and have
 * those that are there end.
 */
static void
empty_database(Oid dboid)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													   END_DEADLINE_MS);
	MemoryContext oldcontext;

	if (list_member_oid(blocked, dboid))
		return;

	/* the list first: what is blocked must be found again, come what may */
	register_callbacks();
	oldcontext = MemoryContextSwitchTo(TopMemoryContext);
	blocked = lappend_oid(blocked, dboid);
	MemoryContextSwitchTo(oldcontext);
	if (!pm_slot_block(dboid))
	{
		blocked = list_delete_oid(blocked, dboid);
		return;
	}

	while (pm_slot_end_workers(dboid) && GetCurrentTimestamp() < deadline)
		pm_slot_wait_end(END_RETRY_MS);
	ConditionVariableCancelSleep();
}

/* what a statement means for the launcher, once it has been executed */
typedef enum Effect
{
	EFFECT_NONE,
	EFFECT_DATABASES,			/* some have come, gone or changed */
	EFFECT_UPDATE,				/* our extension fits the library again */
	EFFECT_PREPARED				/* a prepared transaction has been committed */
} Effect;

static Effect
effect_of(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_CreatedbStmt:
		case T_DropdbStmt:
		case T_AlterDatabaseStmt:
			return EFFECT_DATABASES;

		case T_AlterExtensionStmt:
			if (strcmp(((AlterExtensionStmt *) statement)->extname, "partmgr") == 0)
				return EFFECT_UPDATE;
			return EFFECT_NONE;

		case T_TransactionStmt:
			if (((TransactionStmt *) statement)->kind == TRANS_STMT_COMMIT_PREPARED)
				return EFFECT_PREPARED;
			return EFFECT_NONE;

		default:
			return EFFECT_NONE;
	}
}

static void
note_effect(Effect effect)
{
	switch (effect)
	{
		case EFFECT_NONE:
			break;
		case EFFECT_DATABASES:
			register_callbacks();
			look_at_commit = true;
			break;
		case EFFECT_UPDATE:
			pm_worker_wake();
			break;
		case EFFECT_PREPARED:
			pm_slot_prepared_committed(MyDatabaseId);
			break;
	}
}

static void
process_utility(PlannedStmt *pstmt, const char *query_string,
				bool read_only_tree, ProcessUtilityContext context,
				ParamListInfo params, QueryEnvironment *query_env,
				DestReceiver *dest, QueryCompletion *completion)
{
	/* all that is needed of the statement: executing it may free it */
	Oid			dboid = database_needed(pstmt->utilityStmt);
	Effect		effect = effect_of(pstmt->utilityStmt);

	if (OidIsValid(dboid))
		empty_database(dboid);

	if (previous_hook)
		previous_hook(pstmt, query_string, read_only_tree, context, params,
					  query_env, dest, completion);
	else
		standard_ProcessUtility(pstmt, query_string, read_only_tree, context,
								params, query_env, dest, completion);

	note_effect(effect);
}

/* pm_dbhook_install is called while the library is preloaded. */
void
pm_dbhook_install(void)
{
	previous_hook = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}
