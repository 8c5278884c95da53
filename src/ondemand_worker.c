/*-------------------------------------------------------------------------
 *
 * ondemand_worker.c
 *		The process that makes a partition while a statement waits for it.
 *
 * In a transaction of its own, so that the partition is there for everybody and
 * stays if the statement fails.  It is a member of the lock group of the one who
 * waits, as a parallel worker is: otherwise a foreign key would have the two wait
 * for each other, on a table that the waiting transaction has written to, where
 * no deadlock detector looks.
 *
 * The price: on a row that the waiting transaction has written, such as a name
 * that it has given to a table, this process would wait for ever without waiting
 * for a lock.  The one who waits ends it when its time is over.
 *
 * Like worker.c, this is a place where transactions begin and end.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "maintenance.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "ondemand.h"
#include "pgstat.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "worker.h"

#include "compat.h"

/* between two tries to get the locks */
#define RETRY_MS 10

typedef struct Attempt
{
	PmDemand   *demand;
	PmRefusal  *refusal;
	ErrorData  *problem;
	MemoryContext context;
} Attempt;

/* as much of a text as there is room for, in whole characters */
static void
copy_text(char *target, size_t size, const char *text)
{
	int			length = pg_mbcliplen(text, strlen(text), size - 1);

	memcpy(target, text, length);
	target[length] = '\0';
}

/* tells the one who waits, who may be gone */
static void
report(PmDemand *demand, PmDemandState state, const PmRefusal *refusal)
{
	PGPROC	   *leader = &ProcGlobal->allProcs[demand->leader_procno];

	if (refusal)
	{
		copy_text(demand->detail, sizeof(demand->detail), refusal->detail);
		copy_text(demand->hint, sizeof(demand->hint), refusal->hint ? refusal->hint : "");
	}
	pg_write_barrier();
	pg_atomic_write_u32(&demand->state, state);
	/* a latch that is set for somebody else does no harm */
	SetLatch(&leader->procLatch);
}

static void
make(void *arg)
{
	Attempt    *attempt = arg;
	PmDemand   *demand = attempt->demand;
	PmRefusal  *refusal;
	bool		needs_update;

	CHECK_FOR_INTERRUPTS();
	pm_transaction_begin("partmgr: making a partition on demand");
	refusal = pm_config_ready(&needs_update) ?
		pm_demand_make(demand->parent, demand->raw, GetCurrentTimestamp()) :
		pm_refuse("Extension partmgr is not there, or needs an update.", NULL);
	MemoryContextSwitchTo(attempt->context);
	attempt->refusal = refusal == NULL ? NULL :
		pm_refuse(pstrdup(refusal->detail), refusal->hint ? pstrdup(refusal->hint) : NULL);
	pm_transaction_end();
	MemoryContextSwitchTo(attempt->context);
}

static void
pause_before_retry(void)
{
	static uint32 event = 0;

	if (event == 0)
		event = pm_wait_event("PartmgrDemandRetry");
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, RETRY_MS, event);
	ResetLatch(MyLatch);
}

/* what cannot be undone has been: for those who ask later why there is none */
static void
note_failure(void *arg)
{
	Attempt    *attempt = arg;
	PmLogEntry	entry = {
		.parent = attempt->demand->parent,
		.action = "failed",
		.message = psprintf("on demand: %s", attempt->problem->message)
	};
	bool		needs_update;

	pm_transaction_begin("partmgr: noting a failure");
	if (pm_config_ready(&needs_update) && !pm_log_repeats(&entry))
		pm_log_failure(entry.parent, entry.action, attempt->problem->sqlerrcode, entry.message);
	pm_transaction_end();
}

/* what the one who waits is told about an error */
static PmRefusal *
refusal_of(const ErrorData *problem)
{
	return pm_refuse(psprintf(problem->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE ?
							  "The owner of the table could not make a partition on demand: %s." :
							  "No partition could be made on demand: %s.", problem->message),
					 problem->hint ? problem->hint : pstrdup(PM_ASK_HEALTH));
}

/* Try until the time is over; what is locked now may be free in a moment. */
static void
serve(PmDemand *demand, MemoryContext context)
{
	Attempt		attempt = {.demand = demand, .context = context};
	ErrorData  *problem;

	for (;;)
	{
		MemoryContextReset(context);
		MemoryContextSwitchTo(context);
		problem = pm_worker_guarded(make, &attempt, context);
		if (problem == NULL || problem->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE ||
			GetCurrentTimestamp() >= demand->deadline)
			break;
		pause_before_retry();
	}
	if (problem != NULL)
		attempt.refusal = refusal_of(problem);
	report(demand, attempt.refusal ? DEMAND_REFUSED : DEMAND_DONE, attempt.refusal);
	attempt.problem = problem;
	if (problem != NULL)
		(void) pm_worker_guarded(note_failure, &attempt, context);
}

/* pm_demand_worker_main is the process. */
void
pm_demand_worker_main(Datum arg)
{
	dsm_segment *segment;
	PmDemand   *demand;
	PGPROC	   *leader;

	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	segment = dsm_attach(DatumGetUInt32(arg));
	if (segment == NULL)
		proc_exit(0);			/* who waited is gone */
	dsm_pin_mapping(segment);
	demand = dsm_segment_address(segment);

	/* before any lock is taken; false: who waited is gone */
	leader = &ProcGlobal->allProcs[demand->leader_procno];
	if (!BecomeLockGroupMember(leader, demand->leader_pid))
		proc_exit(0);
	pm_worker_connect(demand->dboid);
	serve(demand, AllocSetContextCreate(TopMemoryContext, "partmgr on demand",
										ALLOCSET_DEFAULT_SIZES));
	proc_exit(0);
}
