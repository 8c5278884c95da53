/*-------------------------------------------------------------------------
 *
 * plan_exact.c
 *		The plan for partitions that somebody asks for by their lower bounds.
 *
 * They need not lie on the grid; each is as wide as the set's interval.  One
 * that a partition is in the way of, or another one asked for, is left out: what
 * is there is never wrong.  Pure, as plan.c is.
 *
 *-------------------------------------------------------------------------
 */
#include "partmgr.h"

#include "plan.h"

/*
 * exact_bound sets the bound that begins at pos; false if the type cannot hold it, or
 * the set is a partition that does not reach so far.
 */
static bool
exact_bound(const PartSet *set, int64 pos, PartBound *bound)
{
	memset(bound, 0, sizeof(PartBound));
	bound->lower = pos;
	if (set->key.is_list ? pos == PG_INT64_MAX :
		!pm_key_add(&set->key, &set->grid, &set->grid.interval, pos, 1, &bound->upper))
		return false;
	if (set->key.is_list)
		bound->upper = pos + 1;
	if (set->has_limits)
	{
		const PartBound *limits = &set->limits;

		if ((!limits->lower_open && pos < limits->lower) || (!limits->upper_open && pos >= limits->upper))
			return false;
		if (!limits->upper_open && bound->upper > limits->upper)
			bound->upper = limits->upper;
	}
	return pm_key_raw_of(&set->key, bound->lower, &bound->lower_raw) &&
		pm_key_raw_of(&set->key, bound->upper, &bound->upper_raw);
}

static bool
overlaps(const PartBound *bound, const PartBound *other)
{
	return (other->upper_open || other->upper > bound->lower) &&
		(other->lower_open || other->lower < bound->upper);
}

/* is_taken tells whether a partition takes something of a bound, or cannot be placed. */
static bool
is_taken(const PartSet *set, List *partitions, const PartBound *bound)
{
	ListCell   *lc;

	foreach(lc, partitions)
	{
		const Partition *partition = lfirst(lc);

		if (!overlaps(bound, &partition->bound))
			continue;
		/* between the lowest and the highest value of LIST there may be room */
		if (!set->key.is_list || !partition->is_readable)
			return true;
		for (int i = 0; i < partition->nvalues; i++)
			if (partition->values[i] == bound->lower)
				return true;
	}
	return false;
}

/*
 * pm_plan_exact returns a plan that makes the partitions beginning at the wanted
 * positions (a List of int64 *), in their order, as far as there is room.
 */
PartPlan *
pm_plan_exact(const PartSet *set, List *partitions, List *wanted)
{
	PartPlan   *plan = palloc0(sizeof(PartPlan));
	ListCell   *lc;

	foreach(lc, wanted)
	{
		PartBound	bound;
		PlanStep   *step;
		ListCell   *lc2;
		bool		is_free;

		is_free = exact_bound(set, *(int64 *) lfirst(lc), &bound) &&
			!is_taken(set, partitions, &bound);
		foreach(lc2, plan->steps)
			is_free = is_free && !overlaps(&bound, &((PlanStep *) lfirst(lc2))->bound);
		if (!is_free)
			continue;
		step = palloc0(sizeof(PlanStep));
		step->kind = STEP_CREATE;
		step->bound = bound;
		step->name = pm_name_partition(set->name, set->name_format, &set->key,
									   &set->grid, &bound);
		step->reason = "asked for";
		plan->steps = lappend(plan->steps, step);
	}
	return plan;
}
