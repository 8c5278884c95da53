/*-------------------------------------------------------------------------
 *
 * run.c
 *		One maintenance of one set by the worker, a step and a transaction at a
 *		time.
 *
 * Each step looks, decides and does anew, so that nothing is remembered from a
 * transaction that is over but what a person is to be told.  The lock on the
 * parent is never waited for, other locks as long as lock_timeout says; who was
 * in the way goes to part_log, and the set is tried again soon.
 *
 * Starts and commits no transaction: worker.c does.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "internal.h"
#include "maintenance.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "compat.h"

/*
 * The worker plans so many creations to carry out one, more only if all of them
 * are blocked: planning thousands again for each step would be quadratic.
 */
#define WORKER_CREATIONS 8

/* steps of a run that may fail before it is given up */
#define MAX_FAILED 10

/* one maintenance by the worker, over several transactions */
struct PmWorkerRun
{
	Oid			parent;
	TimestampTz now;
	PmLane		lane;
	MemoryContext context;		/* of this struct; survives transactions */
	int			steps;
	char	   *last_step;		/* to notice a step that changes nothing */
	bool		busy;			/* somebody else holds the set */
	bool		exclusive;		/* the step at work has writers, or all, wait */
	List	   *failed;			/* of char *: partitions whose step failed */
	char	   *blocked;		/* why the first step cannot be done, or NULL */
	int			blocked_code;
};

/*
 * pm_run_begin starts a maintenance by the worker of a lane, in the current
 * memory context.
 */
PmWorkerRun *
pm_run_begin(Oid parent, TimestampTz now, PmLane lane)
{
	PmWorkerRun *run = palloc0(sizeof(PmWorkerRun));

	run->parent = parent;
	run->now = now;
	run->lane = lane;
	run->context = CurrentMemoryContext;
	return run;
}

/*
 * postpone notes who is in the way, once as long as it is the same: a reader
 * that stays for hours must not fill part_log.
 */
static void
postpone(PmWorkerRun *run, const char *message)
{
	char	   *who = pm_catalog_blockers(run->parent, run->exclusive);
	PmLogEntry	entry = {
		.parent = run->parent,
		.action = "postponed",
		.message = psprintf("%s: %s", message, who ? who : "another session")
	};

	if (!pm_log_repeats(&entry))
		pm_log_failure(run->parent, entry.action, ERRCODE_LOCK_NOT_AVAILABLE,
					   entry.message);
}

/* takes the lock that keeps runs apart if it can be had at once */
static bool
lock_or_postpone(PmWorkerRun *run)
{
	if (ConditionalLockRelationOid(run->parent, ShareUpdateExclusiveLock))
		return true;
	run->busy = true;
	postpone(run, "the table is locked");
	return false;
}

/* keeps why a step was not done, if it is the first one */
static void
keep_first(PmWorkerRun *run, int sqlerrcode, const char *message)
{
	if (run->blocked)
		return;
	run->blocked = MemoryContextStrdup(run->context, message);
	run->blocked_code = sqlerrcode;
}

/* keeps the first reason why a step could not be done, for the end of the run */
static void
keep_blocked(PmWorkerRun *run, const PmLook *look, const PartPlan *plan)
{
	List	   *outcomes = NIL;
	ListCell   *lc;

	foreach(lc, plan->steps)
	{
		PlanStep   *step = lfirst(lc);

		/* what failed in this run is in the log already */
		if (!step->blocked || step->blocked == run->blocked)
			continue;
		outcomes = lappend(outcomes, pm_make_outcome(look, step, "blocked"));
		keep_first(run, step->blocked_code, step->blocked);
	}
	pm_log_outcomes(outcomes);
}

/* "other objects depend on it" is of no use without which */
static const char *
error_text(const ErrorData *edata)
{
	return edata->detail ? psprintf("%s: %s", edata->message, edata->detail) :
		edata->message;
}

/* marks the steps that failed before in this run */
static void
mark_failed(PmWorkerRun *run, const PmLook *look, PartPlan *plan)
{
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, plan->steps)
	{
		PlanStep   *step = lfirst(lc);

		foreach(lc2, run->failed)
			if (!step->blocked && strcmp(lfirst(lc2), step->name) == 0)
			{
				step->blocked = run->blocked;
				step->blocked_code = run->blocked_code;
			}
	}
}

/* one call of pm_ddl_apply, for pm_attempt */
typedef struct ApplyCall
{
	const PmLook *look;
	const PmTemplate *tmpl;
	const PlanStep *step;
} ApplyCall;

static void
call_apply(void *arg)
{
	ApplyCall  *call = arg;

	pm_ddl_apply(call->look, call->tmpl, call->step);
}

/* errors that end a run: a lock, what cannot happen, or too many */
static bool
ends_run(const PmWorkerRun *run, const ErrorData *edata)
{
	return list_length(run->failed) >= MAX_FAILED ||
		edata->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
		edata->sqlerrcode == ERRCODE_INTERNAL_ERROR;
}

/*
 * apply carries out a step; false if it failed.  The error is kept for the end
 * of the run, and the next step follows: what keeps one partition must not keep
 * the others.
 */
static bool
apply(PmWorkerRun *run, const PmLook *look, const PmTemplate *tmpl,
	  const PlanStep *step)
{
	ApplyCall	call = {.look = look, .tmpl = tmpl, .step = step};
	ErrorData  *edata = pm_attempt(call_apply, &call);
	MemoryContext old;

	if (edata == NULL)
		return true;
	if (ends_run(run, edata))
		ReThrowError(edata);
	ereport(LOG,
			(errcode(edata->sqlerrcode),
			 errmsg("step \"%s\" of partition \"%s\" failed: %s",
					pm_step_name(step), step->name, error_text(edata)),
			 errcontext("maintenance of partition set %s",
						pm_qualified_name(run->parent))));
	keep_first(run, edata->sqlerrcode, error_text(edata));
	pm_log_failure(run->parent, "failed", edata->sqlerrcode,
				   psprintf("%s: %s", step->name, error_text(edata)));
	old = MemoryContextSwitchTo(run->context);
	run->failed = lappend(run->failed, pstrdup(step->name));
	MemoryContextSwitchTo(old);
	return false;
}

/* plans the next step of a run, and as few others as possible */
static PartPlan *
decide_next(PmWorkerRun *run, const PmLook *look, PmOrder *order,
			PmTemplate **tmpl)
{
	PartPlan   *plan;

	order->max_create = WORKER_CREATIONS;
	for (;;)
	{
		plan = pm_maintenance_decide(look, order, tmpl);
		mark_failed(run, look, plan);
		if (plan->left_out == 0 || order->max_create >= pm_max_create ||
			pm_first_step(plan) != NULL)
			return plan;
		order->max_create = Min(order->max_create * 4, pm_max_create);
	}
}

/*
 * pm_run_step does at most one step of a set's plan in the current transaction;
 * true if it did one, so that there may be more.
 *
 * Locks: see pm_ddl_locks; the one on the parent is not waited for.
 */
bool
pm_run_step(PmWorkerRun *run)
{
	PmOrder		order;
	PmLook	   *look;
	PmTemplate *tmpl;
	PartPlan   *plan;
	PlanStep   *step;
	PmOutcome  *outcome;

	memset(&order, 0, sizeof(order));
	order.now = run->now;
	order.create = true;
	order.retire = true;

	if (run->lane == LANE_UPKEEP)
		return false;			/* all is done by the other lane */
	if (run->steps >= pm_max_create)
		return false;			/* the rest is for the next run */

	/* once there was a step, there is likely another: save the first look */
	for (bool locked = run->steps > 0;; locked = true)
	{
		PartSet    *set;

		if (locked && !lock_or_postpone(run))
			return false;
		set = pm_config_read_one(run->parent);
		if (set == NULL)
		{
			pm_config_forget_dangling();
			return false;
		}
		if (!set->automatic || !set->is_armed)
			return false;
		look = pm_catalog_look(set);
		plan = decide_next(run, look, &order, &tmpl);
		step = pm_first_step(plan);
		if (step == NULL || locked)
			break;
	}
	PM_FAILPOINT("maintain-looked");
	if (step == NULL)
	{
		pm_note_backfill(look->set, &order, plan);
		keep_blocked(run, look, plan);
		return false;
	}

	outcome = pm_make_outcome(look, step, "done");
	if (run->last_step && strcmp(run->last_step, outcome->partition) == 0)
		elog(ERROR, "step \"%s\" of partition %s had no effect",
			 outcome->step_name, outcome->partition);
	PM_FAILPOINT("step-before");
	run->exclusive = step->kind == STEP_RETIRE || step->is_hot;
	if (apply(run, look, tmpl, step))
		pm_log_outcomes(list_make1(outcome));
	PM_FAILPOINT("step-after");
	run->last_step = MemoryContextStrdup(run->context, outcome->partition);
	run->steps++;
	return true;
}

/*
 * pm_run_toplevel returns the statement that has to be run outside of any
 * transaction block before the next step, or NULL.  It lives as long as the
 * run.  Called between transactions.
 */
const PmTopLevel *
pm_run_toplevel(PmWorkerRun *run)
{
	return NULL;
}

/*
 * pm_run_toplevel_done notes what became of that statement: done, or the error.
 */
void
pm_run_toplevel_done(PmWorkerRun *run, ErrorData *edata)
{
}

/*
 * pm_run_succeeded notes the end of a run without error, in a transaction of
 * its own.  Steps that could not be done count as a failure, so that they are
 * seen; somebody else's lock does not.
 */
void
pm_run_succeeded(PmWorkerRun *run)
{
	PM_FAILPOINT("note-before");
	if (run->busy)
		(void) pm_config_note_busy(run->parent, run->now);
	else if (run->blocked)
		(void) pm_config_note_failure(run->parent, run->now, run->blocked_code,
									  run->blocked);
	else
		(void) pm_config_note_success(list_make1_oid(run->parent), run->now);
	if (run->steps > 0 || run->busy || run->blocked)
		pm_log_trim(run->now);
}

/*
 * pm_run_failed notes an error, in a transaction of its own.  A lock that was
 * not to be had in time is not the set's fault: it is tried again soon.
 */
void
pm_run_failed(PmWorkerRun *run, ErrorData *edata)
{
	const char *message;

	PM_FAILPOINT("note-before");
	if (edata->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
	{
		postpone(run, edata->message);
		(void) pm_config_note_busy(run->parent, run->now);
		pm_log_trim(run->now);
		return;
	}

	message = error_text(edata);
	pm_log_failure(run->parent, "failed", edata->sqlerrcode, message);
	(void) pm_config_note_failure(run->parent, run->now, edata->sqlerrcode, message);
}
