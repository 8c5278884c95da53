/*-------------------------------------------------------------------------
 *
 * ondemand_make.c
 *		Make the one partition that a row needs.
 *
 * The same look, plan and statements as in any maintenance, for one cell of the
 * grid.  It runs in a process that shares the locks of the one who waits for the
 * row, so it may touch nothing that this transaction may have written: no row of
 * part_state, and of part_log only a new one.
 *
 * Starts and commits no transaction, checks no rights: whoever may insert into
 * the set may have its partitions made.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "maintenance.h"
#include "ondemand.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"

#include "compat.h"

/* pm_refuse makes a refusal of two sentences, the second may be NULL. */
PmRefusal *
pm_refuse(char *detail, char *hint)
{
	PmRefusal  *refusal = palloc(sizeof(PmRefusal));

	refusal->detail = detail;
	refusal->hint = hint;
	return refusal;
}

/* a limit as part of a sentence; of ids none, not everybody may know the highest */
static char *
limit_text(const PartSet *set, const char *word, int64 limit)
{
	return set->key.axis == AXIS_ID ? "" :
		psprintf(" %s %s,", word, pm_position_text(&set->key, limit));
}

/*
 * pm_demand_outside refuses a position that is too far from the anchor, or that
 * retention would take at once; NULL if it is near enough.
 */
PmRefusal *
pm_demand_outside(const PartSet *set, int64 pos, int64 anchor, const char *anchor_name)
{
	const PartInterval *interval = &set->grid.interval;
	bool		is_below = pos < anchor;
	int64		limit;

	if (is_below && set->has_retention &&
		pm_key_add(&set->key, &set->grid, &set->retention, anchor, -1, &limit) && pos < limit)
		return pm_refuse(psprintf("No partition is made on demand for a key%s that retention would take.",
								  limit_text(set, "before", limit)),
						 pstrdup("Lengthen the retention of the table."));
	if (!pm_key_add(&set->key, &set->grid, interval, anchor,
					is_below ? -set->on_demand_window : set->on_demand_window, &limit))
		return NULL;			/* the type ends before */
	if (is_below ? pos >= limit : pos <= limit)
		return NULL;
	return pm_refuse(psprintf("No partition is made on demand for a key%s more than %d intervals %s %s.",
							  limit_text(set, is_below ? "before" : "after", limit),
							  set->on_demand_window, is_below ? "before" : "after", anchor_name),
					 pstrdup("Correct the row, or raise on_demand_window in part_config."));
}

/* a set that is looked at, if partitions may be made in it on demand */
static PmLook *
look_at(Oid parent, PmRefusal **refusal)
{
	PartSet    *set = pm_config_read_one(parent);
	PmLook	   *look;

	if (set == NULL || !set->on_demand || !set->is_armed)
	{
		*refusal = pm_refuse(pstrdup("The table is not one where partitions are made on demand, or its configuration has changed in this transaction."),
							 pstrdup("Commit the change first."));
		return NULL;
	}
	look = pm_catalog_look(set);
	if (look->dflt == NULL)
		return look;
	*refusal = pm_refuse(psprintf("Default partition %s leaves nothing to be made on demand.",
								  pm_full_name(look->dflt)), NULL);
	return NULL;
}

/* the end of what partitions take that is nearest to a position; false: none */
static bool
nearest_end(const PmLook *look, int64 pos, int64 *end)
{
	bool		found = false;
	ListCell   *lc;

	foreach(lc, look->partitions)
	{
		const Partition *partition = lfirst(lc);
		const PartBound *bound = &partition->bound;

		if (!partition->is_readable)
			continue;
		if (!bound->upper_open && bound->upper <= pos && (!found || bound->upper > *end))
		{
			*end = bound->upper;
			found = true;
		}
		if (!bound->lower_open && bound->lower > pos && !found)
		{
			*end = bound->lower;
			found = true;
		}
	}
	return found;
}

/*
 * Refuses what is too far away.  An id is measured from the highest one, or while
 * there is no row, from the partitions.
 */
static PmRefusal *
check_distance(const PmLook *look, int64 pos, TimestampTz now)
{
	const PartSet *set = look->set;
	PmOrder		order = {.now = now, .create = true};
	PlanPoint	point;
	int64		end = 0;

	pm_find_point(look, &order, &point);
	if (point.has_anchor)
		return pm_demand_outside(set, pos, point.anchor,
								 set->key.axis == AXIS_ID ? "the highest key" : "now");
	return nearest_end(look, pos, &end) ? pm_demand_outside(set, pos, end, "the partitions") : NULL;
}

/* the plan that makes the partition for a position; without steps if there is one */
static PartPlan *
plan_cell(const PmLook *look, int64 pos)
{
	const PartSet *set = look->set;
	PartPlan   *plan = palloc0(sizeof(PartPlan));
	PlanStep   *step = palloc0(sizeof(PlanStep));

	if (!pm_plan_cell(set, look->partitions, pos, &step->bound))
		return plan;
	step->kind = STEP_CREATE;
	step->name = pm_name_partition(set->name, set->name_format, &set->key,
								   &set->grid, &step->bound);
	plan->steps = list_make1(step);
	return plan;
}

/* is a range taken by a partition that does not take rows any more? */
static const Partition *
pending_at(const PmLook *look, int64 pos)
{
	ListCell   *lc;

	foreach(lc, look->partitions)
	{
		const Partition *partition = lfirst(lc);
		const PartBound *bound = &partition->bound;

		if (partition->is_pending && partition->is_readable &&
			(bound->lower_open || bound->lower <= pos) &&
			(bound->upper_open || pos < bound->upper))
			return partition;
	}
	return NULL;
}

static void
make(const PmLook *look, PartPlan *plan, const PmTemplate *tmpl, int64 raw,
	 TimestampTz now)
{
	PlanStep   *step = linitial(plan->steps);
	PmOutcome  *outcome;

	step->reason = psprintf("for a row with key %s",
							pm_key_literal(&look->set->key, raw));
	outcome = pm_make_outcome(look, step, "done");
	outcome->step_name = PM_ON_DEMAND;
	PM_FAILPOINT("demand-before");
	pm_make(look, tmpl, step, now);
	PM_FAILPOINT("demand-applied");
	pm_log_outcomes(list_make1(outcome));
}

/*
 * pm_demand_make makes the partition that takes a raw value, unless there is
 * one; returns NULL, or why it is not made.
 *
 * Locks: those of creation (see pm_ddl_locks), SHARE UPDATE EXCLUSIVE on the
 * parent first.  Errors: lock_not_available, core's.
 */
PmRefusal *
pm_demand_make(Oid parent, int64 raw, TimestampTz now)
{
	PmRefusal  *refusal = NULL;
	PmLook	   *look;
	PmTemplate *tmpl;
	PartPlan   *plan;
	const Partition *pending;
	int64		pos;

	LockRelationOid(parent, ShareUpdateExclusiveLock);
	look = look_at(parent, &refusal);
	if (look == NULL)
		return refusal;
	if (!pm_key_position(&look->set->key, raw, false, &pos))
		return pm_refuse(pstrdup("The key is beyond what a partition can be made for."), NULL);
	plan = plan_cell(look, pos);
	pending = pending_at(look, pos);
	if (plan->steps == NIL)
		return pending == NULL ? NULL :
			pm_refuse(psprintf("Partition %s, which would take the row, is being detached.",
							   pm_full_name(pending)), NULL);
	refusal = check_distance(look, pos, now);
	if (refusal)
		return refusal;
	tmpl = pm_catalog_template(look);
	pm_catalog_check_steps(look, tmpl, plan);
	if (((PlanStep *) linitial(plan->steps))->blocked)
		return pm_refuse(psprintf("No partition could be made on demand: %s.",
								  ((PlanStep *) linitial(plan->steps))->blocked),
						 pstrdup(PM_ASK_HEALTH));
	make(look, plan, tmpl, raw, now);
	return NULL;
}
