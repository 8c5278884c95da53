/*-------------------------------------------------------------------------
 *
 * maintenance.c
 *		Maintain one set: look, decide, do, note.
 *
 * One path for everybody.  A dry run stops after deciding; SQL calls do all
 * steps in the caller's transaction; the worker calls pm_run_step, one step and
 * one transaction at a time.  A look without lock comes first, since mostly
 * there is nothing to do; only a plan with steps takes SHARE UPDATE EXCLUSIVE on
 * the parent, and then looks and decides again.  That lock, which ATTACH needs
 * anyway, is what keeps two runs of one set apart.
 *
 * Starts and commits no transaction, checks no rights, reads no clock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "config.h"
#include "internal.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "compat.h"

/* creations below this number fit into any lock table */
#define FEW_CREATIONS 50

/*
 * The worker plans so many creations to carry out one, more only if all of them
 * are blocked: planning thousands again for each step would be quadratic.
 */
#define WORKER_CREATIONS 8

/* one maintenance by the worker, over several transactions */
struct PmWorkerRun
{
	Oid			parent;
	TimestampTz now;
	MemoryContext context;		/* of this struct; survives transactions */
	char	   *title;
	int			steps;
	char	   *last_step;		/* to notice a step that changes nothing */
	bool		busy;			/* somebody else holds the set */
	char	   *blocked;		/* first step that cannot be done, or NULL */
	int			blocked_code;
};

static const char *
step_name(const PlanStep *step)
{
	static const char *const retire[] = {"detach", "move", "drop"};

	return step->kind == STEP_CREATE ? "create" : retire[step->retire];
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
		point->anchor = pm_key_now(key, look->set->grid.zone, order->now);
	}
}

static int
count_creations(const PartPlan *plan)
{
	int			n = 0;
	ListCell   *lc;

	foreach(lc, plan->steps)
		n += ((PlanStep *) lfirst(lc))->kind == STEP_CREATE;
	return n;
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
		if (!pm_interval_parse(&set->key, order->retention, &copy->retention, &problem))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("invalid retention for table %s: %s",
							quote_qualified_identifier(set->schema, set->name), problem)));
	}
	return copy;
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
	PlanPoint	point;
	PartPlan   *plan;

	memset(&point, 0, sizeof(point));
	*tmpl = NULL;
	find_anchor(look, order, &point);
	point.max_create = order->uncapped ? PG_INT32_MAX :
		order->max_create > 0 ? order->max_create : pm_max_create;
	point.max_far = pm_max_create;
	point.fill_gaps = order->fill_gaps;
	point.create = order->create;
	point.retire = order->retire;
	plan = pm_plan(set, look->partitions, &point);
	if (plan->steps == NIL)
		return plan;

	*tmpl = pm_catalog_template(look);
	if (count_creations(plan) > FEW_CREATIONS)
	{
		int			budget = pm_catalog_lock_budget(*tmpl);

		if (count_creations(plan) > budget)
		{
			point.max_create = budget;
			plan = pm_plan(set, look->partitions, &point);
		}
	}
	pm_catalog_check_steps(look, *tmpl, plan);
	return plan;
}

static PmOutcome *
make_outcome(const PmLook *look, PlanStep *step, const char *status)
{
	PmOutcome  *outcome = palloc0(sizeof(PmOutcome));

	outcome->set = look->set;
	outcome->step = step;
	outcome->step_name = step_name(step);
	outcome->partition = step_partition(look->set, step);
	outcome->range = pm_ddl_range(&look->set->key, step->partition, &step->bound);
	outcome->status = status;
	outcome->rows = step->move_rows;
	outcome->bytes = -1;
	if (step->kind == STEP_RETIRE)
	{
		outcome->rows = step->partition->rows < 0 ? -1 : (int64) step->partition->rows;
		outcome->bytes = pm_catalog_bytes(step->partition->oid);
	}
	return outcome;
}

static void
log_outcomes(List *outcomes)
{
	List	   *entries = NIL;
	ListCell   *lc;

	foreach(lc, outcomes)
	{
		PmOutcome  *outcome = lfirst(lc);
		PmLogEntry *entry = palloc0(sizeof(PmLogEntry));
		bool		blocked = outcome->step->blocked != NULL;

		entry->parent = outcome->set->parent;
		entry->action = blocked ? "blocked" : outcome->step_name;
		entry->partition = outcome->partition;
		entry->range = outcome->range;
		entry->rows = outcome->rows;
		entry->bytes = outcome->bytes;
		entry->sqlstate = blocked ? unpack_sql_state(outcome->step->blocked_code) : NULL;
		if (entry->sqlstate)
			entry->sqlstate = pstrdup(entry->sqlstate);
		entry->message = blocked ? outcome->step->blocked : outcome->step->reason;
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

/* the outcomes of a plan that is not carried out */
static List *
planned_outcomes(const PmLook *look, const PartPlan *plan, const PmTemplate *tmpl)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, plan->steps)
	{
		PlanStep   *step = lfirst(lc);

		result = lappend(result, make_outcome(look, step, step->blocked ? "blocked" : "planned"));
		describe_step(look, tmpl, llast(result));
	}
	return result;
}

/*
 * do_steps carries out a whole plan in the current transaction.  A step that is
 * blocked is a warning, and the others are done.
 */
static List *
do_steps(const PmLook *look, const PartPlan *plan, const PmTemplate *tmpl)
{
	List	   *result = NIL;
	List	   *drops = NIL;
	ListCell   *lc;

	foreach(lc, plan->steps)
	{
		PlanStep   *step = lfirst(lc);

		CHECK_FOR_INTERRUPTS();
		result = lappend(result, make_outcome(look, step, step->blocked ? "blocked" : "done"));
		if (step->blocked)
			ereport(WARNING,
					(errcode(step->blocked_code), errmsg("%s", step->blocked)));
		else if (step->kind == STEP_RETIRE && step->retire == RETIRE_DROP &&
				 !tmpl->has_incoming_fk)
			drops = lappend(drops, step);
		else
			pm_ddl_apply(look, tmpl, step);
	}
	if (drops)
		pm_ddl_drop_many(look, tmpl, drops);
	log_outcomes(result);
	return result;
}

/* remembers from where older partitions are still wanted, or that none are */
static void
note_backfill(const PartSet *set, const PmOrder *order, const PartPlan *plan)
{
	bool		wanted = plan->left_out > 0 && (set->has_backfill || order->has_backfill);

	if (wanted)
		pm_config_set_backfill(set, true,
							   order->has_backfill ? order->backfill : set->backfill);
	else if (set->has_backfill && order->create)
		pm_config_set_backfill(set, false, 0);
}

static PmLook *
look_at(Oid parent)
{
	PartSet    *set = pm_config_read_one(parent);

	if (set == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("table %s is not managed by partmgr", pm_qualified_name(parent)),
				 errhint("Use create_parent() to manage it.")));
	return pm_catalog_look(set);
}

/* has the plan a step that can be done? */
static PlanStep *
first_step(const PartPlan *plan)
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

/*
 * pm_maintain maintains one set in the current transaction and returns a
 * PmOutcome for each step, done, planned or blocked.
 *
 * Waits for SHARE UPDATE EXCLUSIVE on the parent if there is something to do (or
 * anyway, if the order says that there will be), as long as the session's lock_timeout allows.  Errors are core's, untouched.
 */
List *
pm_maintain(Oid parent, const PmOrder *order)
{
	bool		locked = order->lock_first && !order->dry_run;
	PmLook	   *look;
	PmTemplate *tmpl;
	PartPlan   *plan;
	List	   *outcomes;

	if (locked)
		LockRelationOid(parent, ShareUpdateExclusiveLock);
	look = look_at(parent);
	plan = pm_maintenance_decide(look, order, &tmpl);
	if (order->dry_run)
		return planned_outcomes(look, plan, tmpl);

	if (plan->steps != NIL && !locked)
	{
		LockRelationOid(parent, ShareUpdateExclusiveLock);
		look = look_at(parent);
		plan = pm_maintenance_decide(look, order, &tmpl);
	}
	PM_FAILPOINT("maintain-looked");
	outcomes = plan->steps == NIL ? NIL : do_steps(look, plan, tmpl);
	if (plan->left_out > 0)
		ereport(NOTICE,
				(errmsg("%d partitions of table %s are left for the next runs",
						plan->left_out,
						quote_qualified_identifier(look->set->schema, look->set->name)),
				 errdetail("One transaction makes no more than fit into the lock table and partmgr.max_create.")));
	note_backfill(look->set, order, plan);
	if (order->analyze && count_creations(plan) > 0)
		pm_ddl_analyze(parent, look->set->owner, true);
	(void) pm_config_note_success(list_make1_oid(parent), order->now);
	return outcomes;
}

/*
 * try_maintain is pm_maintain in a subtransaction: on error everything that was
 * done to this set is undone, and what happened is returned.
 */
static ErrorData *
try_maintain(Oid parent, const PmOrder *order, List **outcomes)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile edata = NULL;
	List	   *volatile done = NIL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		done = pm_maintain(parent, order);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		edata = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;

	/* a cancelled statement is not one set's trouble */
	if (edata && (edata->sqlerrcode == ERRCODE_QUERY_CANCELED ||
				  edata->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN))
		ReThrowError(edata);
	if (outcomes && done)
		*outcomes = list_concat(*outcomes, done);
	return edata;
}

static void
log_failure(Oid parent, const char *action, int sqlerrcode, const char *message)
{
	PmLogEntry *entry = palloc0(sizeof(PmLogEntry));

	entry->parent = parent;
	entry->action = action;
	entry->rows = entry->bytes = -1;
	entry->sqlstate = pstrdup(unpack_sql_state(sqlerrcode));
	entry->message = message;
	pm_log_write(list_make1(entry));
}

/*
 * pm_maintain_all maintains many sets in the current transaction, each in a
 * subtransaction of its own if it needs more than a look.  One that fails is a
 * WARNING and a record; the others go on.
 */
void
pm_maintain_all(List *parents, const PmOrder *order, List **outcomes)
{
	List	   *idle = NIL;
	ListCell   *lc;

	foreach(lc, pm_catalog_look_many(pm_config_read(parents)))
	{
		PmLook	   *look = lfirst(lc);
		PartSet    *set = look->set;
		ErrorData  *edata;
		PmTemplate *tmpl;

		CHECK_FOR_INTERRUPTS();

		/* a time set that has all it needs is known from the look alone */
		if (!set->problem && set->key.axis != AXIS_ID && !set->has_backfill &&
			pm_maintenance_decide(look, order, &tmpl)->steps == NIL)
		{
			idle = lappend_oid(idle, set->parent);
			continue;
		}
		edata = try_maintain(set->parent, order, outcomes);
		if (edata == NULL)
			continue;
		ereport(WARNING,
				(errcode(edata->sqlerrcode),
				 errmsg("maintenance of partition set %s failed: %s",
						quote_qualified_identifier(set->schema, set->name), edata->message),
				 edata->hint ? errhint("%s", edata->hint) : 0));
		if (order->dry_run)
			continue;
		(void) pm_config_note_failure(set->parent, order->now, edata->sqlerrcode,
									  edata->message);
		log_failure(set->parent, "failed", edata->sqlerrcode, edata->message);
	}
	if (!order->dry_run)
		(void) pm_config_note_success(idle, order->now);
}

/* pm_run_begin starts a maintenance by the worker, in the current memory context. */
PmWorkerRun *
pm_run_begin(Oid parent, TimestampTz now)
{
	PmWorkerRun *run = palloc0(sizeof(PmWorkerRun));

	run->parent = parent;
	run->now = now;
	run->context = CurrentMemoryContext;
	return run;
}

/* pm_run_title names the set for people, once the first step was tried. */
char *
pm_run_title(PmWorkerRun *run)
{
	return run->title ? run->title : psprintf("set %u", run->parent);
}

/*
 * lock_or_postpone takes the lock that keeps runs apart if it can be had at
 * once.  Otherwise it notes who has it.
 */
static bool
lock_or_postpone(PmWorkerRun *run)
{
	char	   *who;

	if (ConditionalLockRelationOid(run->parent, ShareUpdateExclusiveLock))
		return true;
	run->busy = true;
	who = pm_catalog_blockers(run->parent);
	log_failure(run->parent, "postponed", ERRCODE_LOCK_NOT_AVAILABLE,
				psprintf("the table is locked by %s", who ? who : "another session"));
	return false;
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

		if (!step->blocked)
			continue;
		outcomes = lappend(outcomes, make_outcome(look, step, "blocked"));
		if (run->blocked)
			continue;
		run->blocked = MemoryContextStrdup(run->context, step->blocked);
		run->blocked_code = step->blocked_code;
	}
	log_outcomes(outcomes);
}

/* plans the next step of a run, and as few others as possible */
static PartPlan *
decide_next(const PmLook *look, PmOrder *order, PmTemplate **tmpl)
{
	PartPlan   *plan;

	order->max_create = WORKER_CREATIONS;
	for (;;)
	{
		plan = pm_maintenance_decide(look, order, tmpl);
		if (plan->left_out == 0 || order->max_create >= pm_max_create ||
			first_step(plan) != NULL)
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
		if (!run->title)
			run->title = MemoryContextStrdup(run->context,
											 quote_qualified_identifier(set->schema, set->name));
		if (!set->automatic || !set->is_armed)
			return false;
		look = pm_catalog_look(set);
		plan = decide_next(look, &order, &tmpl);
		step = first_step(plan);
		if (step == NULL || locked)
			break;
	}
	PM_FAILPOINT("maintain-looked");
	if (step == NULL)
	{
		note_backfill(look->set, &order, plan);
		keep_blocked(run, look, plan);
		return false;
	}

	outcome = make_outcome(look, step, "done");
	if (run->last_step && strcmp(run->last_step, outcome->partition) == 0)
		elog(ERROR, "step \"%s\" of partition %s had no effect",
			 outcome->step_name, outcome->partition);
	PM_FAILPOINT("step-before");
	pm_ddl_apply(look, tmpl, step);
	log_outcomes(list_make1(outcome));
	PM_FAILPOINT("step-after");
	run->last_step = MemoryContextStrdup(run->context, outcome->partition);
	run->steps++;
	return true;
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
	if (run->steps > 0)
		pm_log_trim(run->now);
}

/*
 * pm_run_failed notes an error, in a transaction of its own.  A lock that was
 * not to be had in time is not the set's fault: it is tried again soon.
 */
void
pm_run_failed(PmWorkerRun *run, ErrorData *edata)
{
	PM_FAILPOINT("note-before");
	if (edata->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
	{
		char	   *who = pm_catalog_blockers(run->parent);

		log_failure(run->parent, "postponed", edata->sqlerrcode,
					who ? psprintf("%s (%s)", edata->message, who) : edata->message);
		(void) pm_config_note_busy(run->parent, run->now);
		return;
	}
	log_failure(run->parent, "failed", edata->sqlerrcode, edata->message);
	(void) pm_config_note_failure(run->parent, run->now, edata->sqlerrcode,
								  edata->message);
}
