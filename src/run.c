/*-------------------------------------------------------------------------
 *
 * run.c
 *		One maintenance of one set by the worker, a step and a transaction at a
 *		time: creation, and what both lanes share.  Retention and upkeep are in
 *		run_upkeep.c.
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
#include "utils/timestamp.h"

#include "compat.h"

/*
 * The worker plans so many creations to carry out one, more only if all of them
 * are blocked: planning thousands again for each step would be quadratic.
 */
#define WORKER_CREATIONS 8

/* steps of a run that may fail before it is given up */
#define MAX_FAILED 10

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

/* those who have been there for long, or if there are none, all */
static char *
holders(Oid relation, bool exclusive)
{
	char	   *who = pm_obstacle_holders(relation, exclusive, PM_LONG_MS);

	return who ? who : pm_obstacle_holders(relation, exclusive, 0);
}

/*
 * pm_run_postpone notes who is in the way, once as long as it is the same: a
 * reader that stays for hours must not fill part_log.
 */
void
pm_run_postpone(PmWorkerRun *run, const char *message)
{
	char	   *who = NULL;
	PmLogEntry	entry = {.parent = run->parent, .action = "postponed"};
	MemoryContext old;

	if (OidIsValid(run->target))
		who = holders(run->target, true);
	if (who == NULL)
		who = holders(run->parent, run->exclusive);
	entry.message = psprintf("%s: %s", message, who ? who : "another session");
	run->end = RUN_BUSY;
	old = MemoryContextSwitchTo(run->context);
	run->waits_for = list_append_unique_oid(run->waits_for,
											OidIsValid(run->target) ? run->target : run->parent);
	run->waits_exclusive |= run->exclusive;
	if (run->blockers == NULL)
		run->blockers = pstrdup(entry.message);
	MemoryContextSwitchTo(old);
	if (!pm_log_repeats(&entry))
		pm_log_failure(run->parent, entry.action, ERRCODE_LOCK_NOT_AVAILABLE,
					   entry.message);
}

/*
 * pm_run_lock takes the lock that keeps runs apart if it can be had at once; if
 * not, the run is over for now.
 */
bool
pm_run_lock(PmWorkerRun *run)
{
	if (ConditionalLockRelationOid(run->parent, ShareUpdateExclusiveLock))
		return true;
	pm_run_postpone(run, "the table is locked");
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

/*
 * pm_run_keep_blocked keeps the first reason why a step could not be done, for
 * the end of the run.  What only waits is no trouble.
 */
void
pm_run_keep_blocked(PmWorkerRun *run, const PmLook *look, const PartPlan *plan)
{
	List	   *outcomes = NIL;
	ListCell   *lc;

	foreach(lc, plan->steps)
	{
		PlanStep   *step = lfirst(lc);

		/* what failed in this run is in the log already */
		if (!step->blocked || step->is_waiting || step->blocked == run->blocked)
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

/* pm_run_mark_failed marks the steps that failed before in this run. */
void
pm_run_mark_failed(PmWorkerRun *run, PartPlan *plan)
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

/* one step, for pm_attempt */
typedef struct ApplyCall
{
	const PmLook *look;
	const PmTemplate *tmpl;
	PlanStep   *step;
	TimestampTz now;
} ApplyCall;

static void
call_apply(void *arg)
{
	ApplyCall  *call = arg;

	if (call->step->is_large)
		pm_policy_queue(call->look, call->step, call->now);
	else if (call->step->kind == STEP_ARCHIVE)
		pm_archive(call->look, call->tmpl, call->step, call->now);
	else
		pm_make(call->look, call->tmpl, call->step, call->now);
	PM_FAILPOINT(psprintf("applied-%s", pm_step_name(call->step)));
}

/* errors that end a run: a lock, what cannot happen, or too many */
static bool
ends_run(const PmWorkerRun *run, const ErrorData *edata)
{
	return list_length(run->failed) >= MAX_FAILED ||
		edata->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
		edata->sqlerrcode == ERRCODE_INTERNAL_ERROR;
}

/* pm_run_step_failed notes that a step has failed, and that others may not. */
void
pm_run_step_failed(PmWorkerRun *run, const PlanStep *step, const ErrorData *edata)
{
	PmLogEntry	entry = {
		.parent = run->parent,
		.action = "failed",
		.partition = step->partition ?
		quote_qualified_identifier(step->partition->schema, step->name) : NULL,
		.rows = -1,
		.bytes = -1
	};
	MemoryContext old;

	ereport(LOG,
			(errcode(edata->sqlerrcode),
			 errmsg("step \"%s\" of partition \"%s\" failed: %s",
					pm_step_name(step), step->name, error_text(edata)),
			 errcontext("maintenance of partition set %s",
						pm_qualified_name(run->parent))));
	keep_first(run, edata->sqlerrcode, error_text(edata));
	entry.sqlstate = pstrdup(unpack_sql_state(edata->sqlerrcode));
	entry.message = psprintf("%s: %s", step->name, error_text(edata));
	pm_log_write(list_make1(&entry));
	old = MemoryContextSwitchTo(run->context);
	run->failed = lappend(run->failed, pstrdup(step->name));
	MemoryContextSwitchTo(old);
}

/*
 * pm_run_step_locked notes that a lock was not to be had for a step.  Those that
 * do not need it are done nevertheless, and the run begins anew soon.
 */
void
pm_run_step_locked(PmWorkerRun *run, const PlanStep *step, const char *message)
{
	MemoryContext old;

	pm_run_postpone(run, message);
	if (step->kind == STEP_RETIRE)
	{
		run->is_locked = true;
		return;
	}
	old = MemoryContextSwitchTo(run->context);
	run->locked = lappend(run->locked, pstrdup(step->name));
	MemoryContextSwitchTo(old);
}

/*
 * pm_run_apply carries out a step; false if it failed.  The error is kept for
 * the end of the run, and the next step follows: what keeps one partition must
 * not keep the others.
 */
bool
pm_run_apply(PmWorkerRun *run, const PmLook *look, const PmTemplate *tmpl,
			 PlanStep *step)
{
	ApplyCall	call = {.look = look, .tmpl = tmpl, .step = step, .now = run->now};
	ErrorData  *edata = pm_attempt(call_apply, &call);

	if (edata == NULL)
		return true;
	pm_error_clip(edata);
	if (run->lane == LANE_UPKEEP && edata->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
	{
		pm_run_step_locked(run, step, edata->message);
		return false;
	}
	if (ends_run(run, edata))
		ReThrowError(edata);
	pm_run_step_failed(run, step, edata);
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
		pm_run_mark_failed(run, plan);
		if (plan->left_out == 0 || order->max_create >= pm_max_create ||
			pm_first_step(plan) != NULL)
			return plan;
		order->max_create = Min(order->max_create * 4, pm_max_create);
	}
}

/*
 * pm_run_look reads the set and finds what there is; NULL if there is nothing to
 * maintain.
 */
PmLook *
pm_run_look(PmWorkerRun *run)
{
	PartSet    *set = pm_config_read_one(run->parent);

	if (set == NULL)
	{
		pm_config_forget_dangling();
		return NULL;
	}
	if (!set->automatic || !set->is_armed)
		return NULL;
	run->owner = set->owner;
	run->cancel_blockers = set->cancel_blockers;
	return pm_catalog_look(set);
}

/*
 * pm_run_note_step remembers the step that is about to be done, and that there
 * was one.  The same one again would go on for ever.
 */
void
pm_run_note_step(PmWorkerRun *run, const PmOutcome *outcome)
{
	/* by its kind: what the plan calls a drop is a detach first, and then a drop */
	char	   *name = psprintf("%d %s", outcome->step->kind, outcome->partition);

	if (run->last_step && strcmp(run->last_step, name) == 0)
		elog(ERROR, "step \"%s\" of partition %s had no effect",
			 outcome->step_name, outcome->partition);
	run->last_step = MemoryContextStrdup(run->context, name);
	run->steps++;
}

/* one step of the create lane */
static bool
create_step(PmWorkerRun *run)
{
	PmOrder		order = {.now = run->now, .create = true};
	PmLook	   *look;
	PmTemplate *tmpl;
	PartPlan   *plan;
	PlanStep   *step;
	PmOutcome  *outcome;

	/* once there was a step, there is likely another: save the first look */
	for (bool locked = run->steps > 0;; locked = true)
	{
		if (locked && !pm_run_lock(run))
			return false;
		look = pm_run_look(run);
		if (look == NULL)
			return false;
		plan = decide_next(run, look, &order, &tmpl);
		step = pm_first_step(plan);
		if (step == NULL || locked)
			break;
	}
	PM_FAILPOINT("maintain-looked");
	run->exclusive = look->dflt != NULL;
	run->target = look->dflt ? look->dflt->oid : InvalidOid;
	if (pm_exclude(look, plan, step))
	{
		run->steps++;
		return true;
	}
	run->target = InvalidOid;
	if (step == NULL)
	{
		pm_note_backfill(look->set, &order, plan);
		pm_note_full(look, plan);
		pm_run_keep_blocked(run, look, plan);
		run->wants_upkeep = pm_wants_upkeep(look, run->now);
		run->has_pending = pm_has_pending(look);
		return false;
	}

	outcome = pm_make_outcome(look, step, "done");
	pm_run_note_step(run, outcome);
	PM_FAILPOINT("step-before");
	run->exclusive = step->is_hot || look->dflt != NULL;
	if (pm_run_apply(run, look, tmpl, step))
		pm_log_outcomes(list_make1(outcome));
	PM_FAILPOINT("step-after");
	return true;
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
	if (run->steps >= pm_max_create)
		return false;			/* the rest is for the next run */
	return run->lane == LANE_CREATE ? create_step(run) : pm_run_upkeep_step(run);
}

/*
 * pm_run_pause tells for how many milliseconds the disks are to be left alone
 * before the next step.
 */
int
pm_run_pause(PmWorkerRun *run)
{
	int			pause_ms = run->pause_ms;

	run->pause_ms = 0;
	return pause_ms;
}

/*
 * note_busy records one rung of the lock ladder.  At its upper end those who
 * hold the lock are cancelled, if that is the set's policy.
 */
static void
note_busy(PmWorkerRun *run)
{
	const char *who = run->blockers ? run->blockers : "another session";
	bool		at_end = pm_config_note_busy(run->lane, run->parent, run->now, who);
	char	   *cancelled = NULL;
	ListCell   *lc;

	if (!at_end || !run->cancel_blockers)
		return;
	foreach(lc, run->waits_for)
	{
		bool		exclusive = lfirst_oid(lc) != run->parent || run->waits_exclusive;
		char	   *some = pm_obstacle_cancel(lfirst_oid(lc), run->owner, exclusive);

		if (some)
			cancelled = cancelled ? psprintf("%s, %s", cancelled, some) : some;
	}
	if (cancelled == NULL)
		return;
	pm_log_failure(run->parent, "cancelled", ERRCODE_LOCK_NOT_AVAILABLE,
				   psprintf("processes cancelled after waiting for their locks: %s", cancelled));
	pm_config_retry_now(run->lane, run->parent, run->now);
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
	if (run->end == RUN_BUSY)
		note_busy(run);
	else if (run->blocked)
	{
		(void) pm_config_note_failure(run->lane, run->parent, run->now,
									  run->blocked_code, run->blocked);
		/* what is in the way may be what the other lane takes away: rows of the default */
		if (run->wants_upkeep)
			pm_config_want_upkeep(run->parent, run->now);
	}
	else if (run->lane == LANE_UPKEEP)
		(void) pm_config_note_upkeep(run->parent, run->now, run->next);
	else
		(void) pm_config_note_created(run->parent, run->now, run->wants_upkeep,
									  run->has_pending);
	if (run->steps > 0 || run->end == RUN_BUSY || run->blocked)
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
		pm_run_postpone(run, edata->message);
		note_busy(run);
		pm_log_trim(run->now);
		return;
	}

	message = error_text(edata);
	pm_log_failure(run->parent, "failed", edata->sqlerrcode, message);
	/* from now on, not from the beginning: it may have taken longer than the pause */
	(void) pm_config_note_failure(run->lane, run->parent, GetCurrentTimestamp(),
								  edata->sqlerrcode, message);
}
