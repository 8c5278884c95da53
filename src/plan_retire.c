/*-------------------------------------------------------------------------
 *
 * plan_retire.c
 *		Decide which partitions go.
 *
 * Retention has three rules: age, number and total size.  A partition goes if
 * any of them says so, unless it is among the newest ones that are to stay, a
 * hold covers part of it, or it is the last one of the set.  Only partitions up
 * to the current one count: those that are made ahead are not what anybody has
 * in mind who keeps twelve of them.
 *
 * Pure, as plan.c is.
 *
 *-------------------------------------------------------------------------
 */
#include "partmgr.h"

#include "plan.h"


/*
 * pm_plan_cutoff sets the position at or below which a partition must end to
 * be expired; false if there is none.  An id set that never had a row has none,
 * nor has one whose highest key cannot be believed.
 */
bool
pm_plan_cutoff(const PartSet *set, List *partitions, const PlanPoint *point,
			   int64 *cutoff)
{
	return set->has_retention && point->has_anchor &&
		pm_plan_far_from(set, partitions, point) == NULL &&
		pm_key_add(&set->key, &set->grid, &set->retention, point->anchor, -1,
				   cutoff);
}

/*
 * can_expire tells whether a partition is one that retention may take at all.
 * A LIST partition that takes NULL can hold what has no age.
 */
static bool
can_expire(const PartSet *set, const Partition *partition)
{
	if (partition->is_pending || !partition->is_readable ||
		partition->bound.upper_open)
		return false;
	return !set->key.is_list ||
		(!partition->has_null && partition->nvalues > 0);
}

/*
 * past_partitions returns those up to the current one, by upper bound: what
 * retention by number and by size is about.
 */
static List *
past_partitions(const PartSet *set, List *partitions, const PlanPoint *point)
{
	List	   *past = NIL;
	ListCell   *lc;

	if (!point->has_anchor || pm_plan_far_from(set, partitions, point) != NULL)
		return NIL;
	foreach(lc, partitions)
	{
		Partition  *partition = lfirst(lc);

		if (can_expire(set, partition) &&
			(partition->bound.lower_open ||
			 partition->bound.lower <= point->anchor))
			past = lappend(past, partition);
	}
	return past;
}

static void
expire(Partition *partition, PmRule rule)
{
	if (partition->is_expired)
		return;
	partition->is_expired = true;
	partition->rule = rule;
}

/* expire_by_size takes the oldest until the rest is small enough. */
static void
expire_by_size(const PartSet *set, List *partitions, List *past)
{
	int64		total = 0;
	ListCell   *lc;

	foreach(lc, partitions)
	{
		const Partition *partition = lfirst(lc);

		if (!partition->is_expired)
			total += partition->bytes;
	}
	foreach(lc, past)
	{
		Partition  *partition = lfirst(lc);

		if (total <= set->retention_bytes || partition == llast(past))
			return;
		if (!partition->is_expired)
			total -= partition->bytes;
		expire(partition, RULE_SIZE);
	}
}

/*
 * pm_plan_expire notes in each partition whether retention wants it gone, and
 * by which rule.  Holds, and that the last partition stays, are not looked at.
 */
void
pm_plan_expire(const PartSet *set, List *partitions, const PlanPoint *point)
{
	List	   *past = past_partitions(set, partitions, point);
	int			npast = list_length(past);
	int64		cutoff;
	bool		has_cutoff = pm_plan_cutoff(set, partitions, point, &cutoff);
	ListCell   *lc;

	foreach(lc, partitions)
	{
		Partition  *partition = lfirst(lc);

		partition->is_expired = false;
		if (has_cutoff && can_expire(set, partition) &&
			partition->bound.upper <= cutoff)
			expire(partition, point->asked ? RULE_ASKED : RULE_AGE);
	}
	if (set->retention_partitions > 0)
		for (int i = 0; i < npast - set->retention_partitions; i++)
			expire(list_nth(past, i), RULE_COUNT);
	if (set->retention_bytes > 0)
		expire_by_size(set, partitions, past);
	for (int i = Max(npast - set->retention_keep_newest, 0); i < npast; i++)
		((Partition *) list_nth(past, i))->is_expired = false;
}

/* retire_reason says in words why a partition goes. */
static char *
retire_reason(const PlanWork *work, const Partition *partition)
{
	const PartSet *set = work->set;
	const PartKey *key = &set->key;
	char	   *upper = pm_key_literal(key, partition->bound.upper_raw);

	if (partition->rule == RULE_COUNT)
		return psprintf("more than %d partitions up to the current one",
						set->retention_partitions);
	if (partition->rule == RULE_SIZE)
		return psprintf("the set is larger than " INT64_FORMAT " bytes",
						set->retention_bytes);
	if (key->axis == AXIS_ID)
		return psprintf("upper bound %s is at least %s below the highest key " INT64_FORMAT,
						upper, pm_key_interval_text(key, &set->retention),
						work->point->anchor);
	return psprintf("upper bound %s is older than the retention of %s",
					upper, pm_key_interval_text(key, &set->retention));
}

static void
add_retire_step(PlanWork *work, Partition *partition)
{
	PlanStep   *step = pm_plan_step(work, STEP_RETIRE, partition,
									retire_reason(work, partition));

	step->retire = work->set->retire;
	step->rule = partition->rule;
}

/*
 * pm_plan_retires_again says why retention would take a partition that is not
 * attached now, if it were; NULL if it would not, or a hold keeps it.
 */
char *
pm_plan_retires_again(const PartSet *set, List *partitions,
					  const PlanPoint *point, Partition *candidate)
{
	PlanWork	work = {.set = set, .point = point};
	List	   *all = NIL;
	bool		is_in = false;
	ListCell   *lc;

	if (pm_plan_hold(set, candidate) != NULL)
		return NULL;
	foreach(lc, partitions)
	{
		Partition  *partition = lfirst(lc);

		if (!is_in && !partition->bound.lower_open &&
			(candidate->bound.lower_open ||
			 candidate->bound.lower < partition->bound.lower))
		{
			all = lappend(all, candidate);
			is_in = true;
		}
		all = lappend(all, partition);
	}
	if (!is_in)
		all = lappend(all, candidate);
	pm_plan_expire(set, all, point);
	return candidate->is_expired ? retire_reason(&work, candidate) : NULL;
}

/* is_held notes that a hold keeps a partition, if one does. */
static bool
is_held(PlanWork *work, Partition *partition)
{
	const PmHold *hold = pm_plan_hold(work->set, partition);

	if (hold == NULL)
		return false;
	pm_plan_held(work, partition, hold,
				 psprintf("partition \"%s.%s\" is expired, and stays because of a hold: %s",
						  partition->schema, partition->name, hold->reason));
	return true;
}

/*
 * pm_plan_retirement adds the steps of retention: what was begun before,
 * what is wanted again, then the expired partitions, the oldest first, and
 * what follows for those that are detached already.
 *
 * The last partition of a set stays, so that the set keeps a shape from which
 * it can go on: the newest one, if all that are attached would go.
 */
void
pm_plan_retirement(PlanWork *work, List *partitions)
{
	Partition  *kept = NULL;
	bool		all_go = true;
	ListCell   *lc;

	pm_plan_expire(work->set, partitions, work->point);
	foreach(lc, partitions)
	{
		Partition  *partition = lfirst(lc);

		if (partition->is_pending)
			pm_plan_step(work, STEP_FINALIZE, partition,
						 "a concurrent detach was cut short");
		else if (!partition->is_expired)
			all_go = false;
		else if (kept == NULL || partition->bound.upper >= kept->bound.upper)
			kept = partition;
	}
	pm_plan_reattach(work, partitions);
	foreach(lc, partitions)
	{
		Partition  *partition = lfirst(lc);

		if (partition->is_expired && !(all_go && partition == kept) &&
			!is_held(work, partition))
			add_retire_step(work, partition);
	}
	if (all_go && kept != NULL)
		pm_plan_finding(work, FINDING_LAST_KEPT,
						psprintf("partition \"%s.%s\" is expired, and stays because it is the last one",
								 kept->schema, kept->name));
	pm_plan_detached(work);
}
