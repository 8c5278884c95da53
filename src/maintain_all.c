/*-------------------------------------------------------------------------
 *
 * maintain_all.c
 *		Maintain many sets in the current transaction.
 *
 * All are looked at with a few queries; most need nothing.  Each of the others
 * has subtransactions of its own: what fails there is a WARNING and a record,
 * and the others go on.
 *
 * Starts and commits no transaction, checks no rights, reads no clock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "internal.h"
#include "maintenance.h"
#include "storage/lmgr.h"
#include "storage/sinval.h"
#include "utils/builtins.h"

#include "compat.h"

/*
 * try_maintain is pm_maintain_set in a subtransaction: on error everything that
 * was done to this set is undone, and what happened is returned.
 */
static ErrorData *
try_maintain(Oid parent, PmLook *look, const PmOrder *order, List **outcomes)
{
	PmMaintainCall call = {.parent = parent, .look = look, .order = order};
	ErrorData  *edata = pm_attempt(pm_maintain_call, &call);

	if (edata == NULL)
		*outcomes = list_concat(*outcomes, call.outcomes);
	else
		pm_error_clip(edata);
	return edata;
}

/*
 * plan_ahead plans a set whose look alone says what it needs; NULL for others.
 * It must not fail: what is wrong with a set comes up in its subtransaction.
 */
static PartPlan *
plan_ahead(const PmLook *look, const PmOrder *order)
{
	PlanPoint	point;

	if (look->set->problem || look->set->key.axis == AXIS_ID ||
		look->set->has_backfill || order->retention || order->upkeep ||
		(order->list_held && look->set->has_holds) ||
		!pm_horizon_is_near(look, pm_key_now(&look->set->key, look->set->grid.zone, order->now)))
		return NULL;
	pm_find_point(look, order, &point);
	return pm_plan(look->set, look->partitions, &point);
}

/*
 * may_retire tells whether there can be partitions to retire once the plan's
 * creations are done: then the last one may be no longer the last.
 */
static bool
may_retire(const PartPlan *plan)
{
	ListCell   *lc;

	foreach(lc, plan->findings)
	{
		if (((PlanFinding *) lfirst(lc))->kind == FINDING_LAST_KEPT)
			return true;
	}
	return pm_count_creations(plan) < list_length(plan->steps) || plan->stale != NIL;
}

static void
call_lock_exclusive(void *arg)
{
	LockRelationOid(*(Oid *) arg, AccessExclusiveLock);
}

/*
 * try_lock_exclusive takes the lock that retention will need before creation
 * takes those on the default and on referenced tables: parents come first.  If
 * it is not to be had, the error is returned, and creation does without.
 */
static ErrorData *
try_lock_exclusive(const PmLook *look, const PmOrder *order)
{
	Oid			parent = look->set->parent;
	PmOrder		part = *order;
	PlanPoint	point;
	ListCell   *lc;

	if (!order->retire)
		return NULL;
	part.create = false;
	pm_find_point(look, &part, &point);
	foreach(lc, pm_plan(look->set, look->partitions, &point)->steps)
	{
		if (((PlanStep *) lfirst(lc))->kind == STEP_RETIRE)
			return pm_attempt(call_lock_exclusive, &parent);
	}
	return NULL;
}

/*
 * try_in_turn maintains a set in one subtransaction for creation and one for
 * retention: trouble with the second must not undo the first.  A half that has
 * no steps is left out.
 *
 * Creation goes by the look that was made for all sets.  Retention does not: it
 * looks again, since the set may have new partitions, and the user may have
 * changed his mind.
 */
static ErrorData *
try_in_turn(PmLook *look, bool locked, const PmOrder *order, List **outcomes)
{
	const PartSet *set = look->set;
	PmOrder		part = *order;
	PartPlan   *plan = plan_ahead(look, order);
	bool		may_create = plan == NULL || pm_count_creations(plan) > 0;
	ErrorData  *edata;
	ErrorData  *busy;

	part.lock_first = locked;
	if (set->problem)
		return try_maintain(set->parent, NULL, &part, outcomes);
	if (order->dry_run || (plan && !may_retire(plan)))
		return try_maintain(set->parent, look, &part, outcomes);
	if (order->create && may_create)
	{
		busy = try_lock_exclusive(look, order);
		part.retire = false;
		edata = try_maintain(set->parent, look, &part, outcomes);
		if (edata || !order->retire || !(pm_set_retires(set) || order->retention))
			return edata;
		if (busy)
			return busy;
	}
	part.create = false;
	part.retire = true;
	part.is_second = may_create;
	return try_maintain(set->parent, NULL, &part, outcomes);
}

static void
call_lock(void *arg)
{
	LockRelationOid(*(Oid *) arg, ShareUpdateExclusiveLock);
}

/* try_lock waits for a set's lock, and returns the error if it is not to be had. */
static ErrorData *
try_lock(Oid parent)
{
	if (ConditionalLockRelationOid(parent, ShareUpdateExclusiveLock))
		return NULL;
	return pm_attempt(call_lock, &parent);
}

/*
 * pm_is_suspended tells whether a set is not maintained for the time being, and
 * says so: its partitions are being undone, or pg_partman was moving its rows.
 */
bool
pm_is_suspended(const PartSet *set)
{
	if (!set->undo_in_progress && !set->async_in_progress)
		return false;
	ereport(WARNING,
			(errcode(ERRCODE_OBJECT_IN_USE),
			 errmsg("partition set %s is not maintained: %s", pm_full_name(set),
					set->undo_in_progress ? "undo_partition() has begun" :
					"part_config says that asynchronous partitioning is in progress"),
			 errhint("When that has been given up, set %s in part_config.",
					 set->undo_in_progress ? "undo_in_progress to false" :
					 "async_partitioning_in_progress to null")));
	return true;
}

/* what a run over many sets knows of them */
typedef struct AllRun
{
	const PmOrder *order;
	List	   *succeeded;		/* parents */
	List	   *locked;			/* parents */
	List	   *unlogged;		/* outcomes */
} AllRun;

/*
 * A lock that was not to be had is no failure of the set.  Told once as long as
 * it is the same who has it.
 */
static void
note_postponed(const PartSet *set, const ErrorData *edata)
{
	PmLogEntry	entry = {
		.parent = set->parent,
		.action = "postponed",
		.message = psprintf("%s: %s", edata->message, edata->hint)
	};

	if (!pm_log_repeats(&entry))
		pm_log_failure(set->parent, entry.action, edata->sqlerrcode, entry.message);
}

/* note_failed makes a failed set a WARNING and a record, so that others go on. */
static void
note_failed(AllRun *run, const PartSet *set, ErrorData *edata)
{
	pm_lockwait_explain(set->parent, edata);
	ereport(WARNING,
			(errcode(edata->sqlerrcode),
			 errmsg(edata->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ?
					"maintenance of partition set %s is postponed: %s" :
					"maintenance of partition set %s failed: %s",
					pm_full_name(set), edata->message),
			 edata->hint ? errhint("%s", edata->hint) : 0));
	if (run->order->dry_run)
		return;
	pm_log_outcomes(run->unlogged);
	run->unlogged = NIL;
	if (edata->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
	{
		note_postponed(set, edata);
		return;
	}
	(void) pm_config_note_failure(LANE_CREATE, set->parent, run->order->now, edata->sqlerrcode,
								  edata->message);
	pm_log_failure(set->parent, "failed", edata->sqlerrcode, edata->message);
}

/*
 * lock_sets returns the looks at those sets that may need something, and locks
 * those that do.  The looks of these are true under the lock: if the server has
 * told of any change since before they were made, they are made again.
 */
static List *
lock_sets(AllRun *run, List *parents)
{
	uint64		seen = SharedInvalidMessageCounter;
	List	   *looks = NIL;
	List	   *left = NIL;
	ListCell   *lc;

	foreach(lc, pm_catalog_look_many(pm_config_read(parents)))
	{
		PmLook	   *look = lfirst(lc);
		Oid			parent = look->set->parent;
		PartPlan   *plan = plan_ahead(look, run->order);
		ErrorData  *edata;

		CHECK_FOR_INTERRUPTS();
		if (!run->order->dry_run && pm_is_suspended(look->set))
			continue;
		if (plan && plan->steps == NIL && plan->stale == NIL)
		{
			run->succeeded = lappend_oid(run->succeeded, parent);
			continue;
		}
		if (plan && !run->order->dry_run)
		{
			edata = try_lock(parent);
			if (edata)
			{
				note_failed(run, look->set, edata);
				continue;
			}
			run->locked = lappend_oid(run->locked, parent);
		}
		looks = lappend(looks, look);
		left = lappend_oid(left, parent);
	}
	if (run->locked != NIL && seen != SharedInvalidMessageCounter)
		looks = pm_catalog_look_many(pm_config_read(left));
	if (run->locked != NIL)
		pm_catalog_prepare(looks);
	return looks;
}

/*
 * pm_maintain_all maintains many sets in the current transaction, each in
 * subtransactions of its own if it needs more than a look.  One that fails is a
 * WARNING and a record; the others go on.  What was done is noted at the end, for
 * all at once.
 *
 * Locks: those of pm_maintain, but on all parents with steps before the first
 * step is done, so that no step's locks are held while waiting for them.  One
 * that is not to be had, as pm_lockwait_begin lets it wait, postpones the set.
 */
void
pm_maintain_all(List *parents, const PmOrder *order, List **outcomes)
{
	AllRun		run = {.order = order};
	int			nestlevel = pm_lockwait_begin();
	ListCell   *lc;

	foreach(lc, lock_sets(&run, parents))
	{
		PmLook	   *look = lfirst(lc);
		Oid			parent = look->set->parent;
		List	   *done = NIL;
		ErrorData  *edata;

		CHECK_FOR_INTERRUPTS();
		edata = try_in_turn(look, list_member_oid(run.locked, parent), order, &done);
		*outcomes = list_concat(*outcomes, done);
		run.unlogged = list_concat(run.unlogged, done);
		if (edata)
			note_failed(&run, look->set, edata);
		else
			run.succeeded = lappend_oid(run.succeeded, parent);
	}
	pm_lockwait_end(nestlevel);
	if (order->dry_run)
		return;
	pm_log_outcomes(run.unlogged);
	(void) pm_config_note_success(run.succeeded, order->now);
	if (order->create && order->retire)
		pm_config_stamp(run.succeeded, false);
}
