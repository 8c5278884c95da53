/*-------------------------------------------------------------------------
 *
 * rewrite_policy.c
 *		What the worker does with rows by itself: those that wait in the default
 *		get partitions, cold partitions are compressed.
 *
 * Few rows are moved in the transaction of a step; for many a rewrite is left to
 * the worker.  A default that holds only what has no place is not read again and
 * again: a row of part_upkeep tells how many rows had come when it was looked
 * through.
 *
 * Plans, and queues rewrites; moves nothing itself.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "config.h"
#include "maintenance.h"
#include "ondemand.h"
#include "plan.h"
#include "rewrite.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "compat.h"

/* partitions that one look finds for rows in the default */
#define MAX_DRAINS 8

/* the row of part_upkeep of a default that was looked through */
#define TASK_DRAIN "drain"

/* ---------- the default ---------- */

/* how many rows have come, in a form that can be compared */
static char *
rows_come(const PmLook *look)
{
	return psprintf(INT64_FORMAT, DatumGetInt64(DirectFunctionCall1(pg_stat_get_tuples_inserted,
																	ObjectIdGetDatum(look->dflt->oid))));
}

static bool
is_looked_through(const PmLook *look)
{
	return OidIsValid(pm_config_select_oid("SELECT partition::oid FROM %u WHERE partition = $1::regclass"
										   " AND task = '" TASK_DRAIN "' AND detail = $2",
										   2, (Oid[]) {OIDOID, TEXTOID},
										   (Datum[]) {ObjectIdGetDatum(look->dflt->oid),
											   CStringGetTextDatum(rows_come(look))}));
}

/* pm_policy_drains tells whether the default is worth a look. */
bool
pm_policy_drains(const PmLook *look)
{
	return look->set->drain_default && look->dflt != NULL &&
		look->dflt->relkind == RELKIND_RELATION && pm_size_blocks(look->dflt->oid) > 0 &&
		!is_looked_through(look) && pm_rewrite_open(look->set->parent) == 0;
}

/* pm_policy_looked_through notes that nothing in the default has a place. */
void
pm_policy_looked_through(const PmLook *look)
{
	if (pm_policy_drains(look))
		pm_upkeep_note(look->dflt->oid, TASK_DRAIN, look->set->parent, rows_come(look), 0, 0);
}

/* what keeps many rows from being rewritten while they are written */
static char *
rewrite_obstacle(const PmLook *look, PmRewriteKind kind)
{
	PmRewrite	rewrite = {.table = look->set->parent};
	int64		failed = pm_rewrite_failed(look->set->parent, kind);

	if (failed != 0)
		return psprintf("rewrite " INT64_FORMAT " has not succeeded, and the next try is an hour later", failed);

	if (!pm_is_preloaded)
		return "there is no worker";
	if (pm_rewrite_key(&rewrite) == NULL)
		return "the table has no unique key: drain_default() with p_mode => 'locking' moves them";
	return NULL;
}

static void
add_drain(const PmLook *look, PartPlan *plan, const PartBound *bound, int64 rows)
{
	const PartSet *set = look->set;
	PlanStep   *step = palloc0(sizeof(PlanStep));
	int			sqlerrcode;
	char	   *obstacle = pm_catalog_default_obstacle(look, &sqlerrcode);

	step->kind = STEP_DRAIN;
	step->bound = *bound;
	step->name = pm_name_partition(set->name, set->name_format, &set->key, &set->grid, bound);
	step->move_rows = rows;
	step->is_hot = true;
	step->is_large = rows > pm_move_rows;
	step->reason = psprintf("%s" INT64_FORMAT " row%s wait%s in the default partition",
							step->is_large ? "more than " : "", step->is_large ? (int64) pm_move_rows : rows,
							rows == 1 ? "" : "s", rows == 1 ? "s" : "");
	if (obstacle == NULL && step->is_large)
		obstacle = rewrite_obstacle(look, REWRITE_DRAIN);
	if (obstacle)
	{
		pm_catalog_block_move(look, step, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, obstacle);
		step->is_waiting = true;	/* health speaks of the rows anyhow */
	}
	plan->steps = lappend(plan->steps, step);
}

/* the next key, and where to look on; false if there is none */
static bool
next_drain(const PmLook *look, const PlanPoint *point, PartPlan *plan, int64 *from, bool *has_from)
{
	const PartSet *set = look->set;
	PartBound	bound;
	int64		raw;
	int64		pos;

	if (!pm_default_lowest_key(look, *has_from ? from : NULL, &raw) ||
		!pm_key_position(&set->key, raw, false, &pos))
		return false;
	if (pm_demand_outside(set, pos, point->anchor, "now") == NULL &&
		pm_plan_cell_of(set, look->partitions, raw, &bound))
	{
		add_drain(look, plan, &bound,
				  pm_catalog_count_default(look, pm_catalog_key_test(set, &bound), pm_move_rows + (int64) 1));
		*from = bound.upper_raw;
	}
	else if (!pm_key_next(&set->key, &set->grid, pos, &pos) || !pm_key_raw_of(&set->key, pos, from))
		return false;
	*has_from = true;
	return pm_key_compare(&set->key, *from, raw) > 0;
}

static void
plan_drain(const PmLook *look, const PlanPoint *point, PartPlan *plan)
{
	int64		from = 0;
	bool		has_from = false;

	if (!point->has_anchor || !pm_policy_drains(look))
		return;
	/* a rewrite takes all there is */
	for (int i = 0; i < MAX_DRAINS && next_drain(look, point, plan, &from, &has_from); i++)
		if (plan->steps != NIL && ((PlanStep *) llast(plan->steps))->is_large)
			return;
}


/* ---------- compression ---------- */

/* where partitions end that are cold */
static bool
find_cutoff(const PmLook *look, const PlanPoint *point, int64 *cutoff)
{
	PartSet		cold = *look->set;

	cold.has_retention = true;
	cold.retention = cold.cold_after;
	return pm_plan_cutoff(&cold, look->partitions, point, cutoff);
}

/* pm_policy_compresses tells whether there is a cold partition to be compressed. */
Partition *
pm_policy_compresses(const PmLook *look, const PlanPoint *point)
{
	const PartSet *set = look->set;
	int64		cutoff;
	ListCell   *lc;

	if (!set->has_cold || set->cold_compression == NULL || !pm_is_preloaded ||
		!find_cutoff(look, point, &cutoff) || pm_rewrite_open(set->parent) != 0)
		return NULL;
	foreach(lc, look->partitions)
	{
		Partition  *partition = lfirst(lc);

		if (partition->is_readable && !partition->is_pending && partition->relkind == RELKIND_RELATION &&
			!partition->bound.upper_open && partition->bound.upper <= cutoff && !pm_rewrite_is_compressed(partition->oid, set->cold_compression))
			return partition;
	}
	return NULL;
}

static void
plan_compression(const PmLook *look, const PlanPoint *point, PartPlan *plan)
{
	Partition  *partition = pm_policy_compresses(look, point);
	PlanStep   *step;
	char	   *obstacle;

	if (partition == NULL)
		return;
	step = palloc0(sizeof(PlanStep));
	step->kind = STEP_COMPRESS;
	step->partition = partition;
	step->bound = partition->bound;
	step->name = partition->name;
	step->is_large = true;
	step->reason = psprintf("cold, and not compressed by %s", look->set->cold_compression);
	obstacle = rewrite_obstacle(look, REWRITE_COMPRESS);
	if (obstacle)
	{
		step->blocked = psprintf("%s: %s", step->reason, obstacle);
		step->blocked_code = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
	}
	plan->steps = lappend(plan->steps, step);
}


/* ---------- what a step does ---------- */

/* pm_policy_plan adds to a plan what is to be done with rows. */
void
pm_policy_plan(const PmLook *look, const PlanPoint *point, PartPlan *plan)
{
	plan_drain(look, point, plan);
	plan_compression(look, point, plan);
}

/* pm_policy_check leaves a partition whose rows are being rewritten where it is. */
void
pm_policy_check(const PmLook *look, PartPlan *plan)
{
	PmRewrite	rewrite = {0};
	bool		is_read = false;
	ListCell   *lc;

	foreach(lc, plan->steps)
	{
		PlanStep   *step = lfirst(lc);

		if (step->kind != STEP_RETIRE || step->blocked)
			continue;
		if (!is_read)
			(void) pm_rewrite_read(pm_rewrite_open(look->set->parent), &rewrite);
		is_read = true;
		if (!pm_rewrite_is_source(&rewrite, step->partition->oid))
			continue;
		step->blocked = psprintf("rewrite " INT64_FORMAT " copies the rows of partition %s", rewrite.id,
								 pm_full_name(step->partition));
		step->blocked_code = ERRCODE_OBJECT_IN_USE;
		step->is_waiting = true;
	}
}

/* pm_policy_text is what a person would run for a step that is left to the engine. */
char *
pm_policy_text(const PartSet *set, const PlanStep *step)
{
	char	   *table = quote_literal_cstr(pm_full_name(set));

	if (step->kind == STEP_DRAIN)
		return psprintf("SELECT drain_default(%s)", table);
	return psprintf("SELECT compress_partitions(%s, %s, %s)", table,
					quote_literal_cstr(pm_key_interval_text(&set->key, &set->cold_after)),
					quote_literal_cstr(set->cold_compression));
}

/* pm_policy_queue leaves a step to the rewrite engine. */
void
pm_policy_queue(const PmLook *look, const PlanStep *step, TimestampTz now)
{
	const PartSet *set = look->set;
	bool		is_drain = step->kind == STEP_DRAIN;
	const char *const names[] = {"policy", "windowed", "older_than", "compression", "detail"};
	const char *const values[] = {
		"strict",
		is_drain ? "true" : NULL,
		is_drain ? NULL : pm_key_interval_text(&set->key, &set->cold_after),
		is_drain ? NULL : set->cold_compression,
		is_drain ? NULL : set->cold_compression
	};

	(void) pm_rewrite_add(is_drain ? REWRITE_DRAIN : REWRITE_COMPRESS, set->parent, true,
						  lengthof(names), names, values);
	pm_worker_wake();
}
