/*-------------------------------------------------------------------------
 *
 * health_note.c
 *		What to say of a set besides what the next plan would find: failures,
 *		locks that are not to be had, and what is good to know.
 *
 * A problem makes a status and ends with what to do.  A note does neither: what
 * a default partition costs, what a hold keeps, what waits for others by itself.
 *
 * Reads nothing but our own tables: all else is in the set's health, the look and
 * the plan.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "health.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"

/* notes of one kind that are spelled out; of the others, the number */
#define MAX_NOTES 10

/* partitions that were made on demand are told of for so long */
#define ON_DEMAND_DAYS 7


/* ---------- problems ---------- */

/* pm_health_note adds a problem; the status is that of the worst one. */
void
pm_health_note(PmHealth *health, PmStatus status, char *problem)
{
	health->status = Min(health->status, status);
	health->problems = lappend(health->problems, problem);
}

/* pm_health_call writes a call of one of our functions for this set. */
char *
pm_health_call(const PmHealth *health, const char *function)
{
	return psprintf("%s(%s)", function,
					quote_literal_cstr(pm_full_name(health->set)));
}

/* is_blocked tells whether an error is that a step of the plan is blocked. */
static bool
is_blocked(const PartPlan *plan, const char *error)
{
	ListCell   *lc;

	foreach(lc, plan->steps)
	{
		const PlanStep *step = lfirst(lc);

		if (step->blocked != NULL && error != NULL &&
			strcmp(step->blocked, error) == 0)
			return true;
	}
	return false;
}

/* pm_health_failure adds that something fails, and why if the caller may see it. */
void
pm_health_failure(PmHealth *health, const char *what, const char *sqlstate,
				  const char *message)
{
	const char *retry = pm_health_call(health, "run_maintenance");

	if (health->may_see)
		pm_health_note(health, STATUS_FAILING,
					   psprintf("%s: %s (SQLSTATE %s): when the cause is gone, it heals at the next run, or by %s",
								what, message, sqlstate, retry));
	else
		pm_health_note(health, STATUS_FAILING,
					   psprintf("%s: the owner of the table and pg_monitor can see why", what));
}

/* pm_health_failures tells of the last runs of both lanes. */
void
pm_health_failures(PmHealth *health, const PartPlan *plan)
{
	const PmState *state = &health->state;

	if (state->failures > 0 && !is_blocked(plan, state->error))
		pm_health_failure(health, "maintenance fails", state->sqlstate, state->error);
	if (state->upkeep_failures > 0 && !is_blocked(plan, state->upkeep_error))
		pm_health_failure(health, "retention or upkeep fails",
						  state->upkeep_sqlstate, state->upkeep_error);
}

/* pm_health_postponed tells that a lock has not been to be had for long. */
void
pm_health_postponed(PmHealth *health, TimestampTz now)
{
	const PmState *state = &health->state;

	if (state->busy_since == 0 ||
		state->busy_since >= now - pm_interval * USECS_PER_SEC)
		return;
	if (health->may_see && state->blockers)
		pm_health_note(health, STATUS_POSTPONED,
					   psprintf("maintenance has been postponed since %s: %s: end that session, or set abort_after_wait to blockers in part_config",
								timestamptz_to_str(state->busy_since), state->blockers));
	else
		pm_health_note(health, STATUS_POSTPONED,
					   psprintf("maintenance has been postponed since %s because of locks: see pg_locks",
								timestamptz_to_str(state->busy_since)));
}

/*
 * pm_health_on_demand tells what keeps partitions from being made on demand, and
 * that some had to be: what is kept ahead was too little for them.
 */
void
pm_health_on_demand(PmHealth *health, const PmLook *look, TimestampTz now)
{
	int			count;

	if (!look->set->on_demand)
		return;
	if (look->dflt)
		pm_health_note(health, STATUS_BLOCKED,
					   psprintf("default partition %s leaves nothing to be made on demand: remove it with %s, or set on_demand to false in part_config",
								pm_full_name(look->dflt), pm_health_call(health, "drop_default")));
	if (!pm_demand_is_loaded())
		pm_health_note(health, STATUS_BLOCKED,
					   pstrdup("partitions are made on demand only in sessions that have loaded the library: add partmgr to shared_preload_libraries or session_preload_libraries"));
	count = pm_log_count(look->set->parent, PM_ON_DEMAND, now - ON_DEMAND_DAYS * USECS_PER_DAY);
	if (count > 0)
		health->notes = lappend(health->notes,
								psprintf("%d partition%s had to be made on demand in the last %d days: if their rows were not of the past, raise premake in part_config",
										 count, count == 1 ? "" : "s", ON_DEMAND_DAYS));
}


/* ---------- notes ---------- */

/* is_note tells whether a finding is good to know, and nothing is to be done. */
static bool
is_note(const PlanFinding *finding)
{
	return finding->kind == FINDING_HELD || finding->kind == FINDING_LAST_KEPT;
}

/* note_compressed tells what compressing cold partitions has brought. */
static void
note_compressed(PmHealth *health)
{
	ListCell   *lc;

	foreach(lc, pm_upkeep_compressed(health->set->parent))
	{
		const PmCompressed *compressed = lfirst(lc);

		health->notes = lappend(health->notes,
								psprintf(INT64_FORMAT " partition%s compressed by %s: " INT64_FORMAT " bytes, were " INT64_FORMAT,
										 compressed->partitions, compressed->partitions == 1 ? "" : "s",
										 compressed->method, compressed->after, compressed->before));
	}
}

/* note_template tells that partitions are made without what their template table should give. */
static void
note_template(PmHealth *health, const PartSet *set)
{
	PmTemplate	tmpl = {0};

	pm_template_table_read(set, set->parent, &tmpl);
	if (tmpl.table_problem)
		health->notes = lappend(health->notes,
								psprintf("new partitions do not take all from the template table: %s: set template_table in part_config to another table, or to null",
										 tmpl.table_problem));
}

/*
 * pm_health_notes says what is not wrong: what a default costs, what a hold
 * keeps, what waits for others by itself, and what compressing has brought.
 */
void
pm_health_notes(PmHealth *health, const PmLook *look, const PartPlan *plan)
{
	const Partition *dflt = look->dflt;
	int			count = 0;
	ListCell   *lc;

	if (dflt)
		health->notes =
			lappend(health->notes,
					psprintf("default partition %s is locked and scanned whenever a partition is attached or detached, which cannot be done concurrently; no partitions are made on demand: %s removes it",
							 pm_full_name(dflt),
							 pm_health_call(health, "drop_default")));
	if (look->set->on_demand && dflt == NULL && plan->gaps > 0)
		health->notes = lappend(health->notes,
								psprintf("%d range%s between partitions, which are made on demand: see partition_gap_fill()",
										 plan->gaps, plan->gaps == 1 ? " is free" : "s are free"));
	foreach(lc, plan->findings)
	{
		const PlanFinding *finding = lfirst(lc);

		if (is_note(finding) && ++count <= MAX_NOTES)
			health->notes = lappend(health->notes, finding->text);
	}
	if (count > MAX_NOTES)
		health->notes = lappend(health->notes,
								psprintf("there are %d such partitions: see list_holds()", count));
	foreach(lc, plan->steps)
	{
		const PlanStep *step = lfirst(lc);

		if (step->blocked && step->is_waiting)
			health->notes = lappend(health->notes, step->blocked);
	}
	note_compressed(health);
	note_template(health, look->set);
}
