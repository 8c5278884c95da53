/*-------------------------------------------------------------------------
 *
 * plan_upkeep.c
 *		Decide what partitions need that are no longer written, and the parent
 *		whose partitions have changed.
 *
 * A partition is cold when it ends cold_after before now, or before the highest
 * id.  Each task is done once, and again only with another detail: a tablespace
 * that was changed in the configuration, a file that is new since the vacuum.
 * VACUUM is also done again for rows that came in later, as autovacuum would
 * do it, and before a vacuum against wraparound would.
 *
 * Pure, as plan.c is.
 *
 *-------------------------------------------------------------------------
 */
#include "partmgr.h"

#include "common/hashfn.h"
#include "datatype/timestamp.h"
#include "plan.h"

/* a parent is analyzed, and a partition vacuumed again, once a day at most */
#define ONCE (USECS_PER_DAY)

/* rows written to a vacuumed partition that are worth another vacuum */
#define CHANGES_BASE 1000
#define CHANGES_FRACTION 0.1

/* so near to a vacuum against wraparound ours comes first */
#define AGING 0.75

static const char *const task_names[] = {
	[TASK_ANALYZE] = "analyze",
	[TASK_CONSTRAINT] = "constraint",
	[TASK_STORAGE] = "storage",
	[TASK_TABLESPACE] = "tablespace",
	[TASK_CLUSTER] = "cluster",
	[TASK_REINDEX] = "reindex",
	[TASK_VACUUM] = "vacuum"
};

/* pm_task_name is how a task is called in plans, part_log and part_upkeep. */
const char *
pm_task_name(PmTask task)
{
	return task_names[task];
}

/* pm_task_find finds a task by that name. */
bool
pm_task_find(const char *name, PmTask *task)
{
	for (int i = 0; i < PM_TASKS; i++)
		if (strcmp(task_names[i], name) == 0)
		{
			*task = (PmTask) i;
			return true;
		}
	return false;
}

static PlanStep *
add_step(PlanWork *work, Partition *table, PmTask task, char *detail, char *reason)
{
	PlanStep   *step = pm_plan_step(work, STEP_UPKEEP, table, reason);

	step->task = task;
	step->detail = detail;
	return step;
}


/* ---------- the parent ---------- */

/*
 * pm_plan_population tells sets of partitions apart, whatever their order: what
 * the parent's statistics were collected from.
 */
char *
pm_plan_population(List *partitions)
{
	uint64		sum = 0;
	ListCell   *lc;

	foreach(lc, partitions)
	{
		const Partition *partition = lfirst(lc);

		if (!partition->is_pending)
			sum += hash_bytes_uint32_extended(partition->oid, 0);
	}
	return psprintf("%d " UINT64_FORMAT, list_length(partitions), sum);
}

/*
 * pm_plan_may_analyze tells whether there is anything that statistics of the
 * parent could say: some partition is known to have rows.
 */
bool
pm_plan_may_analyze(const PartSet *set, List *partitions)
{
	ListCell   *lc;

	if (!set->analyze_parent)
		return false;
	foreach(lc, partitions)
		if (((Partition *) lfirst(lc))->rows > 0)
			return true;
	return false;
}

static void
plan_analyze(PlanWork *work, List *partitions)
{
	const PartSet *set = work->set;
	const PmDone *done = &set->analyzed;
	char	   *population;
	Partition  *parent;

	if (!pm_plan_may_analyze(set, partitions) ||
		(done->at != 0 && done->at + ONCE > work->point->now))
		return;
	population = pm_plan_population(partitions);
	if (done->at != 0 && strcmp(done->detail, population) == 0)
		return;

	parent = palloc0(sizeof(Partition));
	parent->oid = set->parent;
	parent->schema = set->schema;
	parent->name = set->name;
	parent->owner = set->owner;
	parent->rows = -1;
	(void) add_step(work, parent, TASK_ANALYZE, population,
					done->at == 0 ? "the parent's statistics are collected by nobody else" :
					"partitions came or went since the parent was analyzed");
}


/* ---------- extra constraints ---------- */

/*
 * pm_plan_behind returns the partition that is so many before the newest one with
 * rows; NULL if there is none, or no rows.
 */
Partition *
pm_plan_behind(const PartSet *set, List *partitions, int distance)
{
	List	   *before = NIL;
	ListCell   *lc;

	foreach(lc, partitions)
	{
		Partition  *partition = lfirst(lc);

		if (partition == set->filled)
			return distance < 0 || distance > list_length(before) ? NULL :
				distance == 0 ? partition : list_nth(before, list_length(before) - distance);
		if (partition->is_readable && !partition->is_pending)
			before = lappend(before, partition);
	}
	return NULL;
}

/* pm_plan_constraint_detail says with what constraints are made: with others they are made again. */
char *
pm_plan_constraint_detail(const PartSet *set)
{
	char	   *detail = set->constraint_valid ? "" : "not valid: ";
	ListCell   *lc;

	foreach(lc, set->constraint_cols)
		detail = psprintf("%s%s%s", detail, lc == list_head(set->constraint_cols) ? "" : ", ", (char *) lfirst(lc));
	return detail;
}

/*
 * pm_plan_constrained returns the partition that gets extra constraints now, NULL
 * if there is none: one only, so that those that somebody has dropped stay away.
 * The set's filled and constrained have been read.
 */
Partition *
pm_plan_constrained(const PartSet *set, List *partitions)
{
	Partition  *partition;

	if (set->constraint_cols == NIL || set->optimize_constraint == PG_INT32_MAX)
		return NULL;
	partition = pm_plan_behind(set, partitions, set->optimize_constraint + 1);
	if (partition == NULL || partition->is_expired || partition->owner != set->owner ||
		partition->relkind == 'f')
		return NULL;
	return set->constrained.at != 0 &&
		strcmp(set->constrained.detail, pm_plan_constraint_detail(set)) == 0 ? NULL : partition;
}

static void
plan_constraint(PlanWork *work, List *partitions)
{
	const PartSet *set = work->set;
	Partition  *partition = pm_plan_constrained(set, partitions);

	if (partition != NULL)
		(void) add_step(work, partition, TASK_CONSTRAINT, pm_plan_constraint_detail(set),
						psprintf("%d partition%s behind the newest with rows, its values change no more",
								 set->optimize_constraint + 1, set->optimize_constraint == 0 ? "" : "s"));
}


/* ---------- cold partitions ---------- */

/* cold_cutoff is the position at or below which a cold partition ends. */
static bool
cold_cutoff(const PlanWork *work, List *partitions, int64 *cutoff)
{
	const PartSet *set = work->set;
	const PlanPoint *point = work->point;

	return set->has_cold && point->has_anchor &&
		pm_plan_far_from(set, partitions, point) == NULL &&
		pm_key_add(&set->key, &set->grid, &set->cold_after, point->anchor, -1, cutoff);
}

/* with what a task is to be done; NULL for not at all */
static char *
wanted(const PartSet *set, const PmCare *care, PmTask task)
{
	switch (task)
	{
		case TASK_ANALYZE:
		case TASK_CONSTRAINT:
			break;
		case TASK_STORAGE:
			return set->cold_storage;
		case TASK_TABLESPACE:
			return set->cold_tablespace;
		case TASK_CLUSTER:
			return set->cold_cluster;
		case TASK_REINDEX:
			return set->cold_reindex ? "" : NULL;
		case TASK_VACUUM:
			return set->cold_vacuum ? care->file : NULL;
	}
	return NULL;
}

/* why a partition that was vacuumed once is vacuumed again, or NULL */
static char *
vacuum_again(const PlanWork *work, const PmCare *care)
{
	double		limit = CHANGES_BASE + CHANGES_FRACTION * Max(care->table->rows, 0);

	if (care->done[TASK_VACUUM].at + ONCE > work->point->now)
		return NULL;
	if (care->changes > limit)
		return psprintf(INT64_FORMAT " rows were written since it was vacuumed", care->changes);
	if (care->aging > AGING)
		return "before a vacuum against wraparound has to come";
	return NULL;
}

/* why a partition is cold */
static char *
cold_reason(const PlanWork *work, const Partition *partition)
{
	const PartSet *set = work->set;
	const PartKey *key = &set->key;
	char	   *upper = pm_key_literal(key, partition->bound.upper_raw);
	char	   *distance = pm_key_interval_text(key, &set->cold_after);

	if (key->axis == AXIS_ID)
		return psprintf("cold: upper bound %s is at least %s below the highest key " INT64_FORMAT,
						upper, distance, work->point->anchor);
	return psprintf("cold: upper bound %s is at least %s ago", upper, distance);
}

/* why a task has to be done, or NULL */
static char *
task_reason(const PlanWork *work, const PmCare *care, PmTask task,
			const char *detail)
{
	const PmDone *done = &care->done[task];

	if (done->at == 0)
		return cold_reason(work, care->partition);
	if (strcmp(done->detail, detail) != 0)
		return task == TASK_VACUUM ? "its file is new since it was vacuumed" :
			psprintf("cold_%s was changed", pm_task_name(task));
	return task == TASK_VACUUM ? vacuum_again(work, care) : NULL;
}

/* plan_care adds what one table of a cold partition needs. */
static void
plan_care(PlanWork *work, PmCare *care)
{
	for (PmTask task = TASK_STORAGE; task < PM_TASKS; task++)
	{
		char	   *detail = wanted(work->set, care, task);
		char	   *reason = detail == NULL ? NULL :
			task_reason(work, care, task, detail);

		if (reason != NULL)
			(void) add_step(work, care->table, task, detail, reason);
	}
}

/* is a partition one that upkeep may touch? */
static bool
is_cold(const Partition *partition, int64 cutoff)
{
	return partition->is_readable && !partition->is_pending && !partition->is_expired &&
		!partition->bound.upper_open && !partition->has_null &&
		partition->bound.upper <= cutoff;
}

/*
 * pm_plan_upkeep adds the steps of upkeep: the parent, the partition that gets
 * constraints, then the cold partitions, the oldest first.  Tables of other owners are left alone.
 */
void
pm_plan_upkeep(PlanWork *work, List *partitions)
{
	int64		cutoff;
	ListCell   *lc;

	plan_analyze(work, partitions);
	plan_constraint(work, partitions);
	if (!cold_cutoff(work, partitions, &cutoff))
		return;
	foreach(lc, work->set->cares)
	{
		PmCare	   *care = lfirst(lc);

		if (is_cold(care->partition, cutoff) &&
			care->table->owner == work->set->owner)
			plan_care(work, care);
	}
}
