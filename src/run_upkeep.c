/*-------------------------------------------------------------------------
 *
 * run_upkeep.c
 *		Retention by the worker: the upkeep lane, a step and a transaction at a
 *		time.
 *
 * A partition goes in steps, so that its parent is locked as briefly as can
 * be: a mark, committed; the detach, concurrently where core allows that; what
 * the archive function says; the drop of what is then a table of its own.  After
 * a crash between any two of them the next look finds where it was: a mark is a
 * note only, and a detach that was cut short is pending in the catalogs.
 *
 * A concurrent detach waits for older transactions without a lock that is in
 * anybody's way.  A plain one does not wait at all where somebody is seen to be
 * at work on the set for long: its request would keep out everybody else.
 *
 * Starts and commits no transaction: worker.c does.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "internal.h"
#include "maintenance.h"
#include "storage/lmgr.h"
#include "upkeep.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"

/* a detach that waits for others to end is looked at again after so long */
#define FINALIZE_SECONDS 5

/* no pause between two drops is longer */
#define MAX_PAUSE_MS 60000

#define GIGABYTE ((int64) 1024 * 1024 * 1024)

/* ---------- what has to wait ---------- */

static void
wait_until(PmWorkerRun *run, TimestampTz next)
{
	if (run->next == 0 || next < run->next)
		run->next = next;
}

static void
make_wait(PlanStep *step, char *why)
{
	if (step->blocked)
		return;
	step->blocked = why;
	step->blocked_code = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
	step->is_waiting = true;
}

/* Outside of the maintenance window only what was begun is brought to its end. */
static void
observe_window(PmWorkerRun *run, const PartSet *set, PartPlan *plan)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz opens;
	ListCell   *lc;

	if (!set->has_window)
		return;
	opens = pm_window_next(&set->window, set->grid.zone ? set->grid.zone : pg_tzset("UTC"), now);
	if (opens <= now)
		return;
	foreach(lc, plan->steps)
	{
		PlanStep   *step = lfirst(lc);

		if (step->kind == STEP_FINALIZE || step->kind == STEP_REATTACH || step->kind == STEP_DRAIN)
			continue;
		make_wait(step, "the maintenance window is closed");
		wait_until(run, opens);
	}
}

/* does a step change the set, and not only what has left it? */
static bool
is_about_parent(const PlanStep *step)
{
	return step->kind == STEP_RETIRE || step->kind == STEP_FINALIZE ||
		step->kind == STEP_REATTACH || step->kind == STEP_DRAIN;
}

/* What was found locked in this run is left to the next one. */
static void
observe_locks(const PmWorkerRun *run, PartPlan *plan)
{
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, plan->steps)
	{
		PlanStep   *step = lfirst(lc);
		bool		is_locked = run->is_locked && is_about_parent(step);

		foreach(lc2, run->locked)
			is_locked |= strcmp(lfirst(lc2), step->name) == 0;
		if (is_locked)
			make_wait(step, "a lock is not to be had");
	}
}

/* A detach that is pending keeps core from beginning another one. */
static void
observe_pending(PmWorkerRun *run, PartPlan *plan)
{
	bool		is_pending = false;
	ListCell   *lc;

	foreach(lc, plan->steps)
	{
		PlanStep   *step = lfirst(lc);

		if (step->kind == STEP_FINALIZE && step->is_waiting)
			is_pending = true;
		else if (step->kind == STEP_RETIRE && is_pending)
			make_wait(step, "another detach is pending");
	}
	if (is_pending)
		wait_until(run, TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													FINALIZE_SECONDS * 1000));
}


/* ---------- steps ---------- */

/* what is still to be known of a partition when this transaction is over */
static Partition *
copy_partition(const Partition *partition)
{
	Partition  *copy = palloc0(sizeof(Partition));

	copy->oid = partition->oid;
	copy->schema = pstrdup(partition->schema);
	copy->name = pstrdup(partition->name);
	copy->relkind = partition->relkind;
	copy->bound = partition->bound;
	return copy;
}

static PmLogEntry *
entry_of(PmWorkerRun *run, const PmOutcome *outcome)
{
	PmLogEntry *entry = palloc0(sizeof(PmLogEntry));

	entry->parent = run->parent;
	entry->action = pstrdup(outcome->step_name);
	entry->partition = pstrdup(outcome->partition);
	entry->range = pstrdup(outcome->range);
	entry->rows = outcome->rows;
	entry->bytes = outcome->bytes;
	entry->message = pstrdup(outcome->step->reason);
	return entry;
}

/*
 * begin_detach writes the mark, and leaves the detach to be run when that is
 * committed.
 */
static void
begin_detach(PmWorkerRun *run, const PmLook *look, const PlanStep *step,
			 const PmOutcome *outcome)
{
	MemoryContext old;

	pm_mark_write(look->set, step, run->now);
	run->target = step->partition->oid;
	run->exclusive = true;

	old = MemoryContextSwitchTo(run->context);
	run->top = palloc0(sizeof(PmTopLevel));
	run->top->sql = pm_ddl_detach_concurrently(look->set, step->partition);
	run->top->parent = run->parent;
	run->top->partition = copy_partition(step->partition);
	run->top->userid = look->set->owner;
	run->top->lock_timeout = pm_detach_timeout;
	run->top->relation_timeout = pm_lock_timeout;
	run->top->activity = psprintf("partmgr: detaching %s", outcome->partition);
	run->top_name = pstrdup(step->name);
	run->top_entry = entry_of(run, outcome);
	run->top_entry->action = "detach";
	MemoryContextSwitchTo(old);
	INSTR_TIME_SET_CURRENT(run->top_start);
}

/*
 * pm_run_toplevel returns the statement that has to be run outside of any
 * transaction block before the next step, or NULL.  It lives as long as the
 * run.  Called between transactions.
 */
const PmTopLevel *
pm_run_toplevel(PmWorkerRun *run)
{
	return run->top;
}

/* errors that a wait of ours ends with, or somebody who cancels it */
static bool
is_cut_short(const ErrorData *edata)
{
	return edata->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
		edata->sqlerrcode == ERRCODE_QUERY_CANCELED;
}

/*
 * pm_run_toplevel_done notes what became of that statement: done, or the error.
 * Returns whether the run goes on.
 */
bool
pm_run_toplevel_done(PmWorkerRun *run, ErrorData *edata)
{
	PlanStep	step = {.kind = STEP_RETIRE, .retire = RETIRE_LATER, .name = run->top_name};
	instr_time	duration;

	run->top = NULL;
	if (run->task != NULL)
	{
		pm_upkeep_done(run, edata);
		return true;
	}
	if (edata != NULL && is_cut_short(edata))
	{
		pm_run_step_locked(run, &step, edata->message);
		return true;
	}
	if (edata != NULL)
	{
		pm_run_step_failed(run, &step, edata);
		return true;
	}
	INSTR_TIME_SET_CURRENT(duration);
	INSTR_TIME_SUBTRACT(duration, run->top_start);
	run->top_entry->lock = "SHARE UPDATE EXCLUSIVE";
	run->top_entry->lock_us = INSTR_TIME_GET_MICROSEC(duration);
	pm_log_write(list_make1(run->top_entry));
	return true;
}

/* A plain detach, or another step, in this transaction. */
static void
do_in_transaction(PmWorkerRun *run, const PmLook *look, const PmTemplate *tmpl,
				  PlanStep *step, PmOutcome *outcome)
{
	if (step->kind == STEP_RETIRE && step->retire == RETIRE_DROP)
	{
		/* never attached: the parent would be locked for as long as it takes */
		step->retire = RETIRE_LATER;
		outcome->step_name = pm_step_name(step);
	}
	if (!pm_run_apply(run, look, tmpl, step))
		return;
	pm_note_lock(outcome);
	pm_log_outcomes(list_make1(outcome));
	if (step->kind == STEP_DROP)
		run->pause_ms = (int) Min(MAX_PAUSE_MS,
								  (double) pm_drop_pause * outcome->bytes / GIGABYTE);
}

/*
 * is_in_use tells, for a step that everybody on the set would have to wait for,
 * that somebody has been at work there for long.
 */
static bool
is_in_use(PmWorkerRun *run, const PlanStep *step)
{
	/* what takes long to archive should not have to be archived again */
	if (step->kind == STEP_ARCHIVE &&
		pm_obstacle_holders(step->partition->oid, true, 0) != NULL)
	{
		pm_run_step_locked(run, step, "the partition is in use");
		return true;
	}
	if (!run->exclusive ||
		pm_obstacle_holders(run->parent, run->exclusive, PM_LONG_MS) == NULL)
		return false;
	pm_run_step_locked(run, step, "the table is in use");
	return true;
}

/* the plan of retention, with what has to wait */
static PartPlan *
decide_upkeep(PmWorkerRun *run, const PmLook *look, PmTemplate **tmpl)
{
	PmOrder		order = {.now = run->now, .retire = true, .upkeep = true};
	PartPlan   *plan = pm_maintenance_decide(look, &order, tmpl);

	run->next = 0;
	pm_run_mark_failed(run, plan);
	observe_window(run, look->set, plan);
	observe_locks(run, plan);
	observe_pending(run, plan);
	pm_upkeep_observe(run, look, plan);
	return plan;
}

/*
 * pm_run_upkeep_step does at most one step of retention, or prepares one that is
 * then run at top level; true if there may be more.
 *
 * Locks: see pm_ddl_locks; the one on the parent is not waited for.
 */
bool
pm_run_upkeep_step(PmWorkerRun *run)
{
	PmLook	   *look;
	PmTemplate *tmpl;
	PartPlan   *plan;
	PlanStep   *step;
	PmOutcome  *outcome;

	run->exclusive = false;
	run->target = InvalidOid;
	for (bool locked = false;; locked = true)
	{
		if (locked && !pm_run_lock(run))
		{
			run->is_locked = true;
			return true;		/* there may be steps that need no such lock */
		}
		look = pm_run_look(run);
		if (look == NULL)
			return false;
		plan = decide_upkeep(run, look, &tmpl);
		step = pm_first_step(plan);
		if (step == NULL || locked || !is_about_parent(step))
			break;
	}
	PM_FAILPOINT("upkeep-looked");
	if (step == NULL)
	{
		if (plan->steps == NIL)
			pm_policy_looked_through(look);
		pm_forget_stale(run->parent, plan);
		pm_run_keep_blocked(run, look, plan);
		return false;
	}

	outcome = pm_make_outcome(look, step, "done");
	pm_run_note_step(run, outcome);
	PM_FAILPOINT("upkeep-before");
	if (step->kind == STEP_RETIRE && pm_ddl_can_detach_concurrently(look, tmpl))
		begin_detach(run, look, step, outcome);
	else if (step->kind == STEP_UPKEEP)
		pm_upkeep_begin(run, look, step, outcome);
	else
	{
		run->exclusive = step->kind == STEP_RETIRE ||
			((step->kind == STEP_REATTACH || step->kind == STEP_DRAIN) && look->dflt && !step->is_large);
		if (!run->exclusive && step->partition)
			run->target = step->partition->oid;
		if (step->is_large || !is_in_use(run, step))
			do_in_transaction(run, look, tmpl, step, outcome);
	}
	PM_FAILPOINT("upkeep-after");
	return true;
}
