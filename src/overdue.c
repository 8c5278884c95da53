/*-------------------------------------------------------------------------
 *
 * overdue.c
 *		How long a step of the worker may take.
 *
 * A step that takes longer than partmgr.step_timeout is cancelled, as by
 * statement_timeout.  The code of a table's owner can catch that and go on; so
 * a while later the process is ended, which nothing catches, and on its way out
 * it notes which set was to blame.  Otherwise the next worker would begin with
 * the same set again, and never come to the others.
 *
 * Statements at top level, which may take hours for good reasons, have no such
 * limit.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "internal.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/timeout.h"
#include "worker.h"

/* from the cancel to the end */
#define PATIENCE_MS 5000

static TimeoutId end_timeout = 0;
static volatile bool is_overdue = false;
static void (*note_overdue) (ErrorData *problem);

/* in a signal handler: what SIGTERM does */
static void
end_process(void)
{
	is_overdue = true;
	ProcDiePending = true;
	InterruptPending = true;
	SetLatch(MyLatch);
}

/* when the process ends, while it is still connected */
static void
note_at_exit(int code, Datum arg)
{
	ErrorData	problem = {
		.elevel = ERROR,
		.sqlerrcode = ERRCODE_QUERY_CANCELED,
		.message = "a function of the table's owner took longer than partmgr.step_timeout, and could not be cancelled"
	};

	if (!is_overdue)
		return;
	is_overdue = false;
	AbortOutOfAnyTransaction();
	note_overdue(&problem);
}

/*
 * pm_overdue_begin has note(problem) called if a step ends the process; outside
 * of a transaction, in which it is to do its work.
 */
void
pm_overdue_begin(void (*note) (ErrorData *problem))
{
	note_overdue = note;
	end_timeout = RegisterTimeout(USER_TIMEOUT, end_process);
	before_shmem_exit(note_at_exit, 0);
}

/* pm_overdue_watch begins to count the time of a step. */
void
pm_overdue_watch(void)
{
	if (pm_step_timeout <= 0)
		return;
	enable_timeout_after(STATEMENT_TIMEOUT, pm_step_timeout);
	enable_timeout_after(end_timeout, Min(pm_step_timeout, PG_INT32_MAX - PATIENCE_MS) + PATIENCE_MS);
}

/* pm_overdue_unwatch ends that; also where nothing is counted. */
void
pm_overdue_unwatch(void)
{
	disable_timeout(STATEMENT_TIMEOUT, false);
	if (end_timeout)
		disable_timeout(end_timeout, false);
}
