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
 * What is to be made is decided in plan_create.c, what is to go here.
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
 * far_from returns the bound that the highest key of an id set lies so far
 * beyond that it is more likely a mistake than the next row; NULL if it is not.
 */
static const PartBound *
far_from(const PartSet *set, List *partitions, const PlanPoint *point)
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
		far_from(set, partitions, point) == NULL &&
		pm_key_add(&set->key, &set->grid, &set->retention, point->anchor, -1,
				   cutoff);
}

/* report_far_key says that nothing is decided by a key that is not believed. */
static void
report_far_key(PlanWork *work, List *partitions)
{
	const PartBound *newest = far_from(work->set, partitions, work->point);

	if (newest == NULL)
		return;
	work->is_far = true;
	pm_plan_finding(work, FINDING_FAR_KEY,
					psprintf("highest key " INT64_FORMAT " is far beyond the last partition, which ends at %s: nothing is made or retired for it",
							 work->point->anchor,
							 pm_key_literal(&work->set->key, newest->upper_raw)));
}

/*
 * pm_plan_expired tells whether all that a partition can hold is older than
 * the cutoff.  A LIST partition that takes NULL can hold what has no age.
 */
bool
pm_plan_expired(const PartSet *set, const Partition *partition, int64 cutoff)
{
	if (partition->is_pending || !partition->is_readable ||
		partition->bound.upper_open)
		return false;
	if (set->key.is_list && (partition->has_null || partition->nvalues == 0))
		return false;
	return partition->bound.upper <= cutoff;
}

static bool
is_expired(const PlanWork *work, const Partition *partition)
{
	return work->has_cutoff &&
		pm_plan_expired(work->set, partition, work->cutoff);
}

/* retire_reason says in words why a partition goes. */
static char *
retire_reason(const PlanWork *work, const Partition *partition)
{
	const PartKey *key = &work->set->key;
	char	   *upper = pm_key_literal(key, partition->bound.upper_raw);
	char	   *retention = pm_key_interval_text(key, &work->set->retention);

	if (key->axis == AXIS_ID)
		return psprintf("upper bound %s is at least %s below the highest key " INT64_FORMAT,
						upper, retention, work->point->anchor);
	return psprintf("upper bound %s is older than the retention of %s",
					upper, retention);
}

static void
add_retire_step(PlanWork *work, Partition *partition)
{
	PlanStep   *step = palloc0(sizeof(PlanStep));

	step->kind = STEP_RETIRE;
	step->bound = partition->bound;
	step->name = partition->name;
	step->partition = partition;
	step->retire = work->set->retire;
	step->reason = retire_reason(work, partition);
	work->plan->steps = lappend(work->plan->steps, step);
}

/*
 * plan_retirement adds a step for each expired partition, the oldest first.
 *
 * The last partition of a set stays, so that the set keeps a shape from which
 * it can go on: the newest one, if all that are attached would go.
 */
static void
plan_retirement(PlanWork *work, List *partitions)
{
	Partition  *kept = NULL;
	bool		all_go = true;
	ListCell   *lc;

	foreach(lc, partitions)
	{
		Partition  *partition = lfirst(lc);

		if (is_expired(work, partition))
		{
			if (kept == NULL || partition->bound.upper >= kept->bound.upper)
				kept = partition;
		}
		else if (!partition->is_pending)
			all_go = false;
	}
	if (kept == NULL)
		return;

	foreach(lc, partitions)
	{
		Partition  *partition = lfirst(lc);

		if (is_expired(work, partition) && !(all_go && partition == kept))
			add_retire_step(work, partition);
	}
	if (all_go)
		pm_plan_finding(work, FINDING_LAST_KEPT,
						psprintf("partition \"%s.%s\" is expired, and stays because it is the last one",
								 kept->schema, kept->name));
}

/*
 * pm_plan decides what the set needs at a point: creation first, in the order
 * of the bounds, then retirement.
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
		plan_retirement(&work, partitions);
	return work.plan;
}
