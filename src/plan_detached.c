/*-------------------------------------------------------------------------
 *
 * plan_detached.c
 *		Decide what becomes of partitions that are detached, and what a hold
 *		keeps.
 *
 * A partition that retention has taken is a table with a mark: why it went, the
 * bounds that it had, and when it is to be dropped.  Until then it comes back
 * if retention would not take it any more.
 *
 * Pure, as plan.c is.
 *
 *-------------------------------------------------------------------------
 */
#include "partmgr.h"

#include "plan.h"


static bool
overlaps(const PartBound *a, const PartBound *b)
{
	return (a->lower_open || b->upper_open || a->lower < b->upper) &&
		(b->lower_open || a->upper_open || b->lower < a->upper);
}

/*
 * pm_plan_covers tells whether a range covers part of a partition, also of one
 * whose bound the axis can hold only roughly.
 */
bool
pm_plan_covers(const PartBound *bound, const Partition *partition)
{
	return (partition->is_readable || partition->is_rounded) &&
		overlaps(bound, &partition->bound);
}

/* pm_plan_is_detached tells whether a detached partition had part of a range. */
bool
pm_plan_is_detached(const PartSet *set, const PartBound *bound)
{
	ListCell   *lc;

	foreach(lc, set->marks)
	{
		const PmMark *mark = lfirst(lc);

		if (!mark->is_attached && mark->partition->is_readable &&
			overlaps(&mark->partition->bound, bound))
			return true;
	}
	return false;
}

/*
 * pm_plan_hold returns a hold that keeps a partition, or NULL: one of the set
 * that covers part of it, or any of a set that is part of it.
 */
const PmHold *
pm_plan_hold(const PartSet *set, const Partition *partition)
{
	ListCell   *lc;

	if (partition->held_below)
		return partition->held_below;
	foreach(lc, set->holds)
	{
		const PmHold *hold = lfirst(lc);

		if (overlaps(&hold->bound, &partition->bound))
			return hold;
	}
	return NULL;
}

/* pm_plan_held notes that a hold keeps a partition; it keeps text. */
void
pm_plan_held(PlanWork *work, Partition *partition, const PmHold *hold, char *text)
{
	PlanFinding *finding = pm_plan_finding(work, FINDING_HELD, text);

	finding->partition = partition;
	finding->hold = hold;
}

static void
add_mark_step(PlanWork *work, PmStepKind kind, PmMark *mark, char *reason)
{
	PlanStep   *step = pm_plan_step(work, kind, mark->partition, reason);

	step->mark = mark;
	step->retire = work->set->retire;
}

/* has retention an opinion on age, and is this older? */
static bool
is_too_old(const PlanWork *work, const PartBound *bound)
{
	if (!work->set->has_retention)
		return false;
	/* as long as the age cannot be told, nothing is taken to be young */
	return !work->has_cutoff || bound->upper_open ||
		bound->upper <= work->cutoff;
}

/* is what has taken a partition out not so any more? */
static bool
is_rule_gone(const PlanWork *work, const PmMark *mark, int npast)
{
	switch (mark->rule)
	{
		case RULE_AGE:
			return true;
		case RULE_COUNT:
			return work->set->retention_partitions == 0 ||
				npast < work->set->retention_partitions;
		case RULE_SIZE:
			return work->set->retention_bytes == 0;
		case RULE_ASKED:
			return false;
	}
	return false;
}

/* count_past counts the partitions up to the current one that stay. */
static int
count_past(const PlanWork *work, List *partitions)
{
	int			count = 0;
	ListCell   *lc;

	foreach(lc, partitions)
	{
		const Partition *partition = lfirst(lc);

		count += partition->is_readable && !partition->is_pending &&
			!partition->is_expired && work->point->has_anchor &&
			(partition->bound.lower_open ||
			 partition->bound.lower <= work->point->anchor);
	}
	return count;
}

/*
 * pm_plan_taker returns an existing partition that takes part of what a detached
 * one took, or NULL.
 */
const Partition *
pm_plan_taker(const PartSet *set, List *partitions, const Partition *wanted)
{
	ListCell   *lc;

	foreach(lc, partitions)
	{
		const Partition *partition = lfirst(lc);

		if (!partition->is_readable && !partition->is_rounded)
			continue;
		if (!set->key.is_list && overlaps(&partition->bound, &wanted->bound))
			return partition;
		for (int i = 0; set->key.is_list && i < partition->nvalues; i++)
			for (int j = 0; j < wanted->nvalues; j++)
				if (partition->values[i] == wanted->values[j])
					return partition;
	}
	return NULL;
}

/*
 * pm_plan_reattach adds a step for each detached partition that waits to be
 * dropped and that retention, as it is now, would not take: the newest first,
 * which is in what order they are wanted if only some are.
 */
void
pm_plan_reattach(PlanWork *work, List *partitions)
{
	int			npast = count_past(work, partitions);

	/* what somebody asks for once says nothing about what is wanted */
	if (work->point->asked)
		return;
	for (int i = list_length(work->set->marks) - 1; i >= 0; i--)
	{
		PmMark	   *mark = list_nth(work->set->marks, i);
		const Partition *partition = mark->partition;

		mark->is_wanted = !mark->is_attached && mark->has_drop &&
			partition->is_readable && !is_too_old(work, &partition->bound) &&
			is_rule_gone(work, mark, npast);
		if (!mark->is_wanted)
			continue;
		if (pm_plan_taker(work->set, partitions, partition))
		{
			pm_plan_finding(work, FINDING_OVERLAP,
							psprintf("detached partition \"%s.%s\" is inside the retention again, but its range is taken",
									 partition->schema, partition->name));
			continue;
		}
		add_mark_step(work, STEP_REATTACH, mark,
					  "inside the retention again");
		npast++;
	}
}

/* is there a step for this mark already? */
static bool
has_step(const PartPlan *plan, const PmMark *mark)
{
	ListCell   *lc;

	foreach(lc, plan->steps)
		if (((PlanStep *) lfirst(lc))->mark == mark)
			return true;
	return false;
}

/*
 * note_stale notes the mark of a partition that is attached and not about to be
 * detached: retention has changed its mind, or somebody has attached it himself.
 * If he detaches it one day, it is for a reason of his own, and not ours to drop
 * or to attach again.
 */
static void
note_stale(PlanWork *work, PmMark *mark)
{
	ListCell   *lc;

	foreach(lc, work->plan->steps)
	{
		const PlanStep *step = lfirst(lc);

		if (step->partition && step->partition->oid == mark->partition->oid)
			return;
	}
	/* what somebody asks for once says nothing about what is wanted */
	if (!work->point->asked)
		work->plan->stale = lappend(work->plan->stale, mark);
}

/*
 * pm_plan_detached adds what follows a detach: what the configuration says of
 * tables that are kept, and when the grace is over the drop.
 */
void
pm_plan_detached(PlanWork *work)
{
	ListCell   *lc;

	foreach(lc, work->set->marks)
	{
		PmMark	   *mark = lfirst(lc);
		const PmHold *hold;

		if (mark->is_attached)
			note_stale(work, mark);
		if (mark->is_attached || has_step(work->plan, mark))
			continue;
		if (!mark->is_settled)
		{
			add_mark_step(work, STEP_SETTLE, mark, "follows the detach");
			continue;
		}
		if (!mark->has_drop || mark->is_wanted || !work->set->drops ||
			mark->drop_after > work->point->now)
			continue;
		hold = pm_plan_hold(work->set, mark->partition);
		if (hold != NULL)
			pm_plan_held(work, mark->partition, hold,
						 psprintf("detached partition \"%s.%s\" is not dropped because of a hold: %s",
								  mark->partition->schema,
								  mark->partition->name, hold->reason));
		else if (work->set->archive_function == NULL)
			add_mark_step(work, STEP_DROP, mark,
						  work->set->has_grace ? "detached, and its time of grace is over" :
						  "detached before");
		else if (mark->retry_after <= work->point->now)
			add_mark_step(work, STEP_ARCHIVE, mark, "to be archived before it is dropped");
	}
}
