/*-------------------------------------------------------------------------
 *
 * plan.c
 *		Decide what a partition set needs.
 *
 * A plan is a pure function of the set's configuration, the partitions that
 * exist and a point in time.  Nothing here reads the catalogs, the clock or a
 * setting, and nothing here raises an error about the database: whatever is
 * wrong there has been found by the caller while looking.  That is what lets
 * the regression tests plan the year 2100 in a millisecond.
 *
 * What is to be made is decided in plan_create.c, what is to go in
 * plan_retire.c, what becomes of what is gone in plan_detached.c, and what the
 * rest needs in plan_upkeep.c.
 *
 *-------------------------------------------------------------------------
 */
#include "partmgr.h"

#include "common/int.h"
#include "plan.h"


/* pm_plan_finding notes something worth telling; it keeps text. */
PlanFinding *
pm_plan_finding(PlanWork *work, PmFindingKind kind, char *text)
{
	PlanFinding *finding = palloc0(sizeof(PlanFinding));

	finding->kind = kind;
	finding->text = text;
	work->plan->findings = lappend(work->plan->findings, finding);
	return finding;
}

/* pm_plan_step adds a step about a partition that exists. */
PlanStep *
pm_plan_step(PlanWork *work, PmStepKind kind, Partition *partition, char *reason)
{
	PlanStep   *step = palloc0(sizeof(PlanStep));

	step->kind = kind;
	step->bound = partition->bound;
	step->name = partition->name;
	step->partition = partition;
	step->reason = reason;
	work->plan->steps = lappend(work->plan->steps, step);
	return step;
}

/* report_partitions notes the partitions that maintenance leaves alone. */
static void
report_partitions(PlanWork *work, List *partitions)
{
	ListCell   *lc;

	foreach(lc, partitions)
	{
		Partition  *partition = lfirst(lc);

		if (partition->is_pending)
			pm_plan_finding(work, FINDING_PENDING,
							psprintf("partition \"%s.%s\" is pending detach: a DETACH CONCURRENTLY was cut short",
									 partition->schema, partition->name));
		else if (!partition->is_readable)
			pm_plan_finding(work, FINDING_UNREADABLE,
							psprintf("the bounds of partition \"%s.%s\" cannot be placed beside the others, it is left alone",
									 partition->schema, partition->name));
	}
}

/*
 * newest_bound returns the bound with the highest upper end; NULL if there is
 * no partition, or one that takes everything from somewhere on.
 */
static const PartBound *
newest_bound(List *partitions)
{
	const PartBound *newest = NULL;
	ListCell   *lc;

	foreach(lc, partitions)
	{
		const Partition *partition = lfirst(lc);

		if (!partition->is_readable)
			continue;
		if (partition->bound.upper_open)
			return NULL;
		if (newest == NULL || partition->bound.upper > newest->upper)
			newest = &partition->bound;
	}
	return newest;
}

/*
 * pm_plan_far_from returns the bound that the highest key of an id set lies so far
 * beyond that it is more likely a mistake than the next row; NULL if it is not.
 */
const PartBound *
pm_plan_far_from(const PartSet *set, List *partitions, const PlanPoint *point)
{
	const PartBound *newest;
	int64		distance,
				limit;

	if (set->key.axis != AXIS_ID || !point->has_anchor)
		return NULL;
	newest = newest_bound(partitions);
	if (newest == NULL || point->anchor < newest->upper ||
		pg_mul_s64_overflow(set->grid.interval.units, point->max_far, &limit))
		return NULL;
	if (pg_sub_s64_overflow(point->anchor, newest->upper, &distance) ||
		distance > limit)
		return newest;
	return NULL;
}

/* report_far_key says that nothing is decided by a key that is not believed. */
static void
report_far_key(PlanWork *work, List *partitions)
{
	const PartBound *newest = pm_plan_far_from(work->set, partitions, work->point);

	if (newest == NULL)
		return;
	work->is_far = true;
	pm_plan_finding(work, FINDING_FAR_KEY,
					psprintf("highest key " INT64_FORMAT " is far beyond the last partition, which ends at %s: nothing is made or retired for it",
							 work->point->anchor,
							 pm_key_literal(&work->set->key, newest->upper_raw)));
}

/*
 * pm_plan decides what the set needs at a point: creation first, in the order
 * of the bounds, then a detach that was cut short, what is wanted again,
 * retirement, and what follows it; upkeep last.
 *
 * partitions is a List of Partition sorted by lower bound, without the default;
 * the steps of retirement point to its members.
 */
PartPlan *
pm_plan(const PartSet *set, List *partitions, const PlanPoint *point)
{
	PlanWork	work = {.set = set, .point = point};

	work.plan = palloc0(sizeof(PartPlan));
	report_partitions(&work, partitions);
	report_far_key(&work, partitions);
	work.has_cutoff = pm_plan_cutoff(set, partitions, point, &work.cutoff);
	if (point->create)
		pm_plan_creation(&work, partitions);
	if (point->retire)
		pm_plan_retirement(&work, partitions);
	if (point->upkeep)
		pm_plan_upkeep(&work, partitions);
	return work.plan;
}
