/*-------------------------------------------------------------------------
 *
 * isolation.c
 *		Which sessions keep one snapshot for a whole transaction.
 *
 * A session that waits for a lock has a snapshot.  In READ COMMITTED it takes a new
 * one when the wait is over; in REPEATABLE READ it goes on with that one, and no
 * other process can tell.  So each session says it, in shared memory, after each
 * statement: a word per process, written by its owner alone, and only when it
 * changes.
 *
 * Who has not said anything yet counts as one that keeps its snapshot.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/executor.h"
#include "internal.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "tcop/utility.h"

#include "compat.h"

/* its pid, and whether it keeps its snapshots */
static pg_atomic_uint64 *words = NULL;
static uint64 said = 0;

/* a default of this transaction only: until its end it says that it keeps */
static bool is_passing = false;

static ExecutorStart_hook_type previous_start = NULL;
static ExecutorEnd_hook_type previous_end = NULL;
static ProcessUtility_hook_type previous_utility = NULL;

/* pm_isolation_size tells how much shared memory is needed. */
Size
pm_isolation_size(void)
{
	return mul_size(pm_max_backends, sizeof(pg_atomic_uint64));
}

/* pm_isolation_attach finds it, under AddinShmemInitLock. */
void
pm_isolation_attach(void)
{
	bool		found;

	words = ShmemInitStruct("partmgr isolation", pm_isolation_size(), &found);
	for (int i = 0; !found && i < pm_max_backends; i++)
		pg_atomic_init_u64(&words[i], 0);
}

static inline uint64
word_of(int pid, bool keeps)
{
	return ((uint64) pid << 1) | (keeps ? 1 : 0);
}

static void
say(void)
{
	uint64		word = word_of(MyProcPid, is_passing || IsolationUsesXactSnapshot() ||
							   DefaultXactIsoLevel >= XACT_REPEATABLE_READ);

	if (likely(word == said) || words == NULL || pm_my_procno >= pm_max_backends)
		return;
	pg_atomic_write_u64(&words[pm_my_procno], word);
	said = word;
}

static void
executor_start(QueryDesc *query, int eflags)
{
	say();
	if (previous_start)
		previous_start(query, eflags);
	else
		standard_ExecutorStart(query, eflags);
}

/* a query may have changed the default */
static void
executor_end(QueryDesc *query)
{
	if (previous_end)
		previous_end(query);
	else
		standard_ExecutorEnd(query);
	say();
}

/* a SET LOCAL is forgotten after the last statement that could say so */
static bool
is_passing_default(const Node *statement)
{
	const VariableSetStmt *set = (const VariableSetStmt *) statement;

	return IsA(statement, VariableSetStmt) && set->is_local && set->name != NULL &&
		pg_strcasecmp(set->name, "default_transaction_isolation") == 0;
}

/* EXECUTE waits for the locks of its plan with the snapshot that it then reads with */
static bool
executes(const Node *statement)
{
	return IsA(statement, ExecuteStmt) ||
		(IsA(statement, CreateTableAsStmt) && IsA(((const CreateTableAsStmt *) statement)->query, ExecuteStmt)) ||
		(IsA(statement, ExplainStmt) && IsA(((const ExplainStmt *) statement)->query, ExecuteStmt));
}

static void
say_that_it_keeps(void)
{
	if (words == NULL || pm_my_procno >= pm_max_backends)
		return;
	said = word_of(MyProcPid, true);
	pg_atomic_write_u64(&words[pm_my_procno], said);
}

/* BEGIN, SET TRANSACTION and the like */
static void
process_utility(PlannedStmt *pstmt, PM_UTILITY_PARAMETERS)
{
	const Node *statement = pstmt->utilityStmt;
	bool		has_passing_default = is_passing_default(statement);

	if (executes(statement))
		say_that_it_keeps();
	if (previous_utility)
		previous_utility(pstmt, PM_UTILITY_ARGUMENTS(read_only_tree));
	else
		standard_ProcessUtility(pstmt, PM_UTILITY_ARGUMENTS(read_only_tree));
	is_passing |= has_passing_default;
	say();
}

/* the next statement says how it is then */
static void
end_transaction(XactEvent event, void *arg)
{
	if (is_passing && (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT))
		is_passing = false;
}

/* pm_isolation_install is called while the library is preloaded. */
void
pm_isolation_install(void)
{
	previous_start = ExecutorStart_hook;
	ExecutorStart_hook = executor_start;
	previous_end = ExecutorEnd_hook;
	ExecutorEnd_hook = executor_end;
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
	RegisterXactCallback(end_transaction, NULL);
}

/*
 * pm_isolation_renews tells whether a process will take a new snapshot for its
 * next statement.  Where nobody says anything, because the library is not
 * preloaded, READ COMMITTED is taken for granted.
 */
bool
pm_isolation_renews(const PGPROC *proc)
{
	int			number = pm_number_of_proc(proc);
	uint64		word;

	if (words == NULL)
		return true;
	if (number >= pm_max_backends)
		return false;
	word = pg_atomic_read_u64(&words[number]);

	/* what applies changes of a publication never says anything, nor reads */
	if (word >> 1 != (uint64) proc->pid)
		return pm_is_background_worker(proc);
	return word == word_of(proc->pid, false);
}
