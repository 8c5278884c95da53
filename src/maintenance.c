/*-------------------------------------------------------------------------
 *
 * maintenance.c
 *		Maintain one set: look, decide, do, note.
 *
 * One path for everybody.  A dry run stops after deciding; SQL calls do all
 * steps in the caller's transaction; for the worker run.c does one step and one
 * transaction at a time, with the same pieces.  A look without lock comes first, since mostly
 * there is nothing to do; only a plan with steps takes SHARE UPDATE EXCLUSIVE on
 * the parent, and then looks and decides again.  That lock, which ATTACH needs
 * anyway, is what keeps two runs of one set apart.
 *
 * Starts and commits no transaction, checks no rights, reads no clock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "config.h"
#include "internal.h"
#include "maintenance.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "compat.h"

/* creations below this number fit into any lock table */
#define FEW_CREATIONS 50


/* pm_step_name is how a step is called in part_log and in plans. */
const char *
pm_step_name(const PlanStep *step)
{
	static const char *const names[] = {
		[STEP_CREATE] = "create",
		[STEP_FINALIZE] = "finalize",
		[STEP_REATTACH] = "reattach",
		[STEP_SETTLE] = "settle",
		[STEP_ARCHIVE] = "archive",
		[STEP_DROP] = "drop",
		[STEP_DRAIN] = "drain",
		[STEP_COMPRESS] = "compress"
	};
	static const char *const retire[] = {
		[RETIRE_KEEP] = "detach",
		[RETIRE_MOVE] = "move",
		[RETIRE_DROP] = "drop",
		[RETIRE_LATER] = "detach"
	};

	if (step->kind == STEP_UPKEEP)
		return pm_task_name(step->task);
	return step->kind == STEP_RETIRE ? retire[step->retire] : names[step->kind];
}

static char *
step_partition(const PartSet *set, const PlanStep *step)
{
	return quote_qualified_identifier(step->partition ? step->partition->schema : set->schema,
									  step->name);
}

/* the point from which a set is planned: the clock, or its highest key */
static void
find_anchor(const PmLook *look, const PmOrder *order, PlanPoint *point)
{
	const PartKey *key = &look->set->key;

	if (key->axis == AXIS_ID)
		point->has_anchor = pm_catalog_newest(look, &point->anchor);
	else
	{
		point->has_anchor = true;
		point->anchor = pm_key_now(key, look->set->grid.zone,
								   order->reference ? order->reference : order->now);
	}
}

int
pm_count_creations(const PartPlan *plan)
{
	int			n = 0;
	ListCell   *lc;

	foreach(lc, plan->steps)
		n += ((PlanStep *) lfirst(lc))->kind == STEP_CREATE;
	return n;
}

/* does nothing of a plan make or attach a partition? */
static bool
only_retires(const PartPlan *plan)
{
	ListCell   *lc;

	foreach(lc, plan->steps)
	{
		const PlanStep *step = lfirst(lc);

		if (step->kind == STEP_CREATE || step->kind == STEP_REATTACH || step->kind == STEP_DRAIN)
			return false;
	}
	return true;
}

/* the set with what an order asks for in place of its configuration */
static PartSet *
ordered_set(const PartSet *set, const PmOrder *order)
{
	PartSet    *copy = palloc(sizeof(PartSet));
	char	   *problem;

	*copy = *set;
	if (order->premake > 0)
		copy->premake = order->premake;
	if (order->has_backfill)
	{
		copy->has_backfill = true;
		copy->backfill = order->backfill;
	}
	if (order->retention)
	{
		copy->has_retention = true;
		copy->retention_partitions = 0;
		copy->retention_bytes = 0;
		if (!pm_interval_parse(&set->key, order->retention, &copy->retention, &problem))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("invalid retention for table %s: %s",
							pm_full_name(set), problem)));
	}
	return copy;
}

void
pm_find_point(const PmLook *look, const PmOrder *order, PlanPoint *point)
{
	memset(point, 0, sizeof(PlanPoint));
	find_anchor(look, order, point);
	if (order->create && !order->uncapped && order->premake == 0 && look->set->key.axis != AXIS_ID)
		point->has_horizon = pm_horizon_find(look, point->anchor, &point->horizon);
	point->max_create = order->uncapped ? PM_MAX_PARTITIONS :
		order->max_create > 0 ? order->max_create : pm_max_create;
	point->now = order->now;
	point->asked = order->retention != NULL;
	point->max_far = pm_max_create;
	point->fill_gaps = order->fill_gaps;
	point->create = order->create;
	point->retire = order->retire;
	point->upkeep = order->upkeep;
}

/*
 * pm_maintenance_decide makes the plan for a set as it was found, with what
 * stands in the way of its steps.  The template is read only if the plan has
 * steps; otherwise it is NULL.
 */
PartPlan *
pm_maintenance_decide(const PmLook *look, const PmOrder *order, PmTemplate **tmpl)
{
	PartSet    *set = ordered_set(look->set, order);
	int			tables = set->sub ? set->sub->tables : 1;
	PlanPoint	point;
	PartPlan   *plan;

	*tmpl = NULL;
	if (order->upkeep)
		pm_upkeep_read(set, look->partitions);
	pm_find_point(look, order, &point);
	plan = order->wanted ? pm_plan_exact(set, look->partitions, order->wanted) :
		pm_plan(set, look->partitions, &point);
	if (order->upkeep)
		pm_policy_plan(look, &point, plan);
	if (plan->steps == NIL)
		return plan;

	*tmpl = only_retires(plan) ? pm_catalog_retire_template(look) :
		pm_catalog_template(look);
	if (pm_count_creations(plan) * tables > FEW_CREATIONS && order->wanted == NIL)
	{
		int			budget = Max(pm_catalog_lock_budget(*tmpl) / tables, 1);

		if (pm_count_creations(plan) > budget)
		{
			point.max_create = budget;
			plan = pm_plan(set, look->partitions, &point);
			if (order->upkeep)
				pm_policy_plan(look, &point, plan);
		}
	}
	pm_catalog_check_steps(look, *tmpl, plan);
	pm_policy_check(look, plan);
	if (order->upkeep)
		pm_upkeep_check(set, plan);
	return plan;
}

/* pm_has_pending tells whether there is a concurrent detach that was cut short. */
bool
pm_has_pending(const PmLook *look)
{
	ListCell   *lc;

	foreach(lc, look->partitions)
		if (((Partition *) lfirst(lc))->is_pending)
			return true;
	return false;
}

/*
 * pm_wants_upkeep tells whether a set has anything to retire, or to care for.
 * What stands in the way of it is not asked: it would be asked every minute.
 */
bool
pm_wants_upkeep(const PmLook *look, TimestampTz now)
{
	PartSet    *set = look->set;
	PmOrder		order = {.now = now, .upkeep = true};
	PlanPoint	point = {.now = now, .upkeep = true};
	PartPlan   *plan;
	ListCell   *lc;

	order.retire = pm_set_retires(set);
	foreach(lc, look->partitions)
		order.retire |= ((Partition *) lfirst(lc))->is_pending;
	if (pm_policy_drains(look))
		return true;
	if (!order.retire && !set->has_cold && set->constraint_cols == NIL &&
		!pm_plan_may_analyze(set, look->partitions))
		return false;
	foreach(lc, set->marks)
		if (((PmMark *) lfirst(lc))->is_attached)
			return true;		/* a mark to be forgotten */
	/* the highest key of ids is a query */
	if (order.retire || set->has_cold)
		pm_find_point(look, &order, &point);
	if (pm_policy_compresses(look, &point) != NULL)
		return true;
	pm_upkeep_read(set, look->partitions);
	plan = pm_plan(set, look->partitions, &point);
	return plan->steps != NIL || plan->stale != NIL;
}

PmOutcome *
pm_make_outcome(const PmLook *look, PlanStep *step, const char *status)
{
	PmOutcome  *outcome = palloc0(sizeof(PmOutcome));

	outcome->set = look->set;
	outcome->step = step;
	outcome->step_name = pm_step_name(step);
	outcome->partition = step_partition(look->set, step);
	outcome->range = pm_ddl_range(&look->set->key, step->partition, &step->bound);
	outcome->status = status;
	outcome->rows = step->move_rows;
	outcome->bytes = -1;
	if (step->partition)
	{
		outcome->rows = step->partition->rows < 0 ? -1 : (int64) step->partition->rows;
		outcome->bytes = pm_size_bytes(step->partition->oid);
	}
	return outcome;
}

/* pm_note_lock adds to an outcome the lock that its step has taken. */
void
pm_note_lock(PmOutcome *outcome)
{
	outcome->lock = pm_ddl_lock_held(&outcome->lock_us);
	/* what was to be archived may have been dropped */
	outcome->step_name = pm_step_name(outcome->step);
}

void
pm_log_outcomes(List *outcomes)
{
	List	   *entries = NIL;
	ListCell   *lc;

	foreach(lc, outcomes)
	{
		PmOutcome  *outcome = lfirst(lc);
		PmLogEntry *entry = palloc0(sizeof(PmLogEntry));
		bool		blocked = outcome->step->blocked != NULL;

		entry->parent = outcome->set->parent;
		entry->action = blocked ? "blocked" :
			strcmp(outcome->status, "held") == 0 ? "held" : outcome->step_name;
		entry->partition = outcome->partition;
		entry->range = outcome->range;
		entry->rows = outcome->rows;
		entry->bytes = outcome->bytes;
		entry->sqlstate = blocked ? unpack_sql_state(outcome->step->blocked_code) : NULL;
		if (entry->sqlstate)
			entry->sqlstate = pstrdup(entry->sqlstate);
		entry->message = blocked ? outcome->step->blocked : outcome->step->reason;
		entry->lock = outcome->lock;
		entry->lock_us = outcome->lock_us;
		entries = lappend(entries, entry);
	}
	pm_log_write(entries);
}

/* what a dry run says of a step beside its outcome */
static void
describe_step(const PmLook *look, const PmTemplate *tmpl, PmOutcome *outcome)
{
	outcome->locks = pm_ddl_locks(look, tmpl, outcome->step);
	outcome->sql = pm_ddl_text(look, tmpl, outcome->step);
}

/* adds to the outcomes what a hold keeps, if the order asks for it */
static List *
add_held(const PmLook *look, const PartPlan *plan, const PmOrder *order,
		 List *outcomes)
{
	ListCell   *lc;

	foreach(lc, plan->findings)
	{
		const PlanFinding *finding = lfirst(lc);
		PlanStep   *step;

		if (!order->list_held || finding->kind != FINDING_HELD)
			continue;
		step = palloc0(sizeof(PlanStep));
		step->kind = STEP_RETIRE;
		step->bound = finding->partition->bound;
		step->name = finding->partition->name;
		step->partition = finding->partition;
		step->reason = finding->hold->reason;
		outcomes = lappend(outcomes, pm_make_outcome(look, step, "held"));
	}
	return outcomes;
}

/* the outcomes of a plan that is not carried out */
static List *
planned_outcomes(const PmLook *look, const PartPlan *plan, const PmTemplate *tmpl)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, plan->steps)
	{
		PlanStep   *step = lfirst(lc);

		result = lappend(result, pm_make_outcome(look, step, step->blocked ? "blocked" : "planned"));
		describe_step(look, tmpl, llast(result));
	}
	return result;
}

/*
 * do_step carries out one step of many; a plain DROP is left for all at once.
 */
static void
do_step(const PmLook *look, const PmTemplate *tmpl, PlanStep *step,
		TimestampTz now, List **drops)
{
	if (step->blocked)
		ereport(step->is_waiting ? NOTICE : WARNING,
				(errcode(step->blocked_code), errmsg("%s", step->blocked)));
	else if (pm_ddl_drops_directly(look->set, tmpl, step))
		*drops = lappend(*drops, step);
	else if (step->kind == STEP_ARCHIVE)
		pm_archive(look, tmpl, step, now);
	else
		pm_make(look, tmpl, step, now);
}

/*
 * do_steps carries out a whole plan in the current transaction.  A step that is
 * blocked is a warning, and the others are done.
 */
static List *
do_steps(const PmLook *look, const PartPlan *plan, const PmTemplate *tmpl,
		 TimestampTz now)
{
	List	   *result = NIL;
	List	   *drops = NIL;
	ListCell   *lc;

	foreach(lc, plan->steps)
	{
		PlanStep   *step = lfirst(lc);

		CHECK_FOR_INTERRUPTS();
		result = lappend(result, pm_make_outcome(look, step, step->blocked ? "blocked" : "done"));
		do_step(look, tmpl, step, now, &drops);
		if (step->partition && !step->blocked)
			pm_note_lock(llast(result));
	}
	if (drops)
		pm_ddl_drop_many(look, tmpl, drops);
	return result;
}

/* is there a creation that cannot be done now? */
static bool
has_blocked(const PartPlan *plan)
{
	ListCell   *lc;

	foreach(lc, plan->steps)
	{
		PlanStep   *step = lfirst(lc);

		if (step->kind == STEP_CREATE && step->blocked)
			return true;
	}
	return false;
}

/*
 * pm_forget_stale deletes the marks of partitions that are attached and stay:
 * who detaches one of them later does it for reasons of his own.  Only under the
 * lock on the parent; if that is not to be had, a later run does it.
 */
void
pm_forget_stale(Oid parent, const PartPlan *plan)
{
	if (plan->stale != NIL &&
		ConditionalLockRelationOid(parent, ShareUpdateExclusiveLock))
		pm_mark_forget_attached(parent);
}

/* remembers from where older partitions are still wanted, or that none are */
void
pm_note_backfill(const PartSet *set, const PmOrder *order, const PartPlan *plan)
{
	bool		wanted = (plan->left_out > 0 || has_blocked(plan)) &&
		(set->has_backfill || order->has_backfill);

	if (wanted)
		pm_config_set_backfill(set, true,
							   order->has_backfill ? order->backfill : set->backfill);
	else if (set->has_backfill && order->create)
		pm_config_set_backfill(set, false, 0);
}

/*
 * pm_note_full says in part_config whether a set that is a partition itself has all
 * partitions that it will ever need; known when there is none to be made.
 */
void
pm_note_full(const PmLook *look, const PartPlan *plan)
{
	if (look->set->has_limits && pm_count_creations(plan) == 0)
		pm_sub_note_full(look->set, pm_plan_is_full(look->set, look->partitions));
}

static PmLook *
look_at(Oid parent, const PmOrder *order)
{
	PartSet    *set = pm_config_read_one(parent);

	if (set == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("table %s is not managed by partmgr", pm_qualified_name(parent)),
				 errhint("Use create_parent() to manage it.")));
	/* it is to come back, or to go, as it is */
	if (!get_rel_relispartition(parent) && OidIsValid(pm_mark_find(parent)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table %s is no set to be maintained: retention has detached it", pm_qualified_name(parent)),
				 errhint("Take it back with reattach_partition().")));
	if (order->ask)
		pm_config_ask(set, order->ask);
	return pm_catalog_look(set);
}

/* says that nothing was decided by a highest key that is not believed */
static void
warn_far_key(const PartSet *set, const PartPlan *plan)
{
	ListCell   *lc;

	foreach(lc, plan->findings)
	{
		const PlanFinding *finding = lfirst(lc);

		if (finding->kind == FINDING_FAR_KEY)
			ereport(WARNING,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("partition set %s: %s",
							pm_full_name(set), finding->text),
					 errhint("Move or correct such rows, or raise partmgr.max_create.")));
	}
}

/* has the plan a step that can be done? */
PlanStep *
pm_first_step(const PartPlan *plan)
{
	ListCell   *lc;

	foreach(lc, plan->steps)
	{
		PlanStep   *step = lfirst(lc);

		if (!step->blocked)
			return step;
	}
	return NULL;
}

/* does a step lock what others may want before they want the parent? */
static bool
locks_beside_parent(const PmLook *look, const PmTemplate *tmpl,
					const PlanStep *step)
{
	if (step->kind == STEP_CREATE)
		return look->dflt != NULL || tmpl->has_outgoing_fk;
	return step->kind == STEP_FINALIZE || step->kind == STEP_REATTACH;
}

/*
 * lock_in_order takes the parent's strongest lock now if a later step would ask
 * for it with other locks in hand: all steps are one transaction.
 */
static void
lock_in_order(const PmLook *look, const PmTemplate *tmpl, const PartPlan *plan)
{
	bool		has_others = false;
	ListCell   *lc;

	foreach(lc, plan->steps)
	{
		const PlanStep *step = lfirst(lc);

		if (step->blocked)
			continue;
		if (step->kind == STEP_RETIRE && has_others)
			LockRelationOid(look->set->parent, AccessExclusiveLock);
		has_others |= locks_beside_parent(look, tmpl, step);
	}
}

/*
 * pm_maintain_set does all that pm_maintain does but for noting it.  A look that
 * was made already can be given; with order->lock_first it must have been made
 * under the lock.
 */
List *
pm_maintain_set(Oid parent, PmLook *look, const PmOrder *order)
{
	bool		locked = order->lock_first && !order->dry_run;
	PmTemplate *tmpl;
	PartPlan   *plan;
	List	   *outcomes;

	if (look == NULL)
	{
		if (locked)
			LockRelationOid(parent, ShareUpdateExclusiveLock);
		look = look_at(parent, order);
	}
	plan = pm_maintenance_decide(look, order, &tmpl);
	if (order->dry_run)
		return add_held(look, plan, order, planned_outcomes(look, plan, tmpl));

	if (plan->steps != NIL && !locked)
	{
		LockRelationOid(parent, ShareUpdateExclusiveLock);
		look = look_at(parent, order);
		plan = pm_maintenance_decide(look, order, &tmpl);
	}
	PM_FAILPOINT("maintain-looked");
	if (!order->is_second)
		warn_far_key(look->set, plan);
	if (plan->steps != NIL)
		lock_in_order(look, tmpl, plan);
	outcomes = plan->steps == NIL ? NIL : do_steps(look, plan, tmpl, order->now);
	outcomes = add_held(look, plan, order, outcomes);
	if (plan->left_out > 0)
		ereport(NOTICE,
				(errmsg("%d partitions of table %s are left for the next runs",
						plan->left_out,
						pm_full_name(look->set)),
				 errdetail("One transaction makes no more than fit into the lock table and partmgr.max_create.")));
	pm_forget_stale(parent, plan);
	pm_note_backfill(look->set, order, plan);
	pm_note_full(look, plan);
	if (pm_count_creations(plan) > 0)
	{
		pm_template_table_warn(look->set, tmpl);
		pm_constraint_maintain(look);
	}
	if (order->analyze && pm_count_creations(plan) > 0)
		pm_ddl_analyze(parent, look->set->owner, true, NULL);
	return outcomes;
}

/* pm_maintain_call is pm_maintain_set in the form that wrappers take. */
void
pm_maintain_call(void *arg)
{
	PmMaintainCall *call = arg;

	call->outcomes = pm_maintain_set(call->parent, call->look, call->order);
}

/*
 * pm_maintain maintains one set in the current transaction and returns a
 * PmOutcome for each step, done, planned or blocked.
 *
 * Waits for SHARE UPDATE EXCLUSIVE on the parent if there is something to do (or
 * anyway, if the order says that there will be), as pm_lockwait_begin lets it.
 * Errors are core's, untouched; that of such a wait says who holds the lock.
 */
List *
pm_maintain(Oid parent, const PmOrder *order)
{
	PmMaintainCall call = {.parent = parent, .order = order};

	if (order->dry_run)
		return pm_maintain_set(parent, NULL, order);
	pm_lockwait_run(parent, pm_maintain_call, &call);
	pm_log_outcomes(call.outcomes);
	(void) pm_config_note_success(list_make1_oid(parent), order->now);
	if (order->create && order->retire)
		pm_config_stamp(list_make1_oid(parent), false);
	return call.outcomes;
}

/* pm_set_retires tells whether a set has any retention, or what it has left. */
bool
pm_set_retires(const PartSet *set)
{
	return set->has_retention || set->retention_partitions > 0 ||
		set->retention_bytes > 0 || set->has_marks;
}

void
pm_log_failure(Oid parent, const char *action, int sqlerrcode, const char *message)
{
	PmLogEntry *entry = palloc0(sizeof(PmLogEntry));

	entry->parent = parent;
	entry->action = action;
	entry->rows = entry->bytes = -1;
	entry->sqlstate = pstrdup(unpack_sql_state(sqlerrcode));
	entry->message = message;
	pm_log_write(list_make1(entry));
}
