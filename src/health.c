/*-------------------------------------------------------------------------
 *
 * health.c
 *		Tell how a set is doing, and what to do about it.
 *
 * What is wrong is what the next maintenance would find: the very plan is made
 * that a run would make, and not carried out, so that health and maintenance
 * cannot disagree.  Each problem is a sentence that ends with what to do.
 *
 * A set that cannot even be looked into (its owner may not read it, its default
 * is locked away) is one of the things to report, so that is done in a
 * subtransaction: one broken set does not hide the others.
 *
 * Changes nothing, checks no rights.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_class.h"
#include "health.h"
#include "plan.h"
#include "utils/builtins.h"

#include "compat.h"

/* problems of one kind that are spelled out; of the others, the number */
#define MAX_PROBLEMS 10

/* what a look into one set needs, and finds */
typedef struct Examination
{
	PmLook	   *look;
	TimestampTz now;
	PlanPoint	point;
	PartPlan   *plan;
	List	   *rights;			/* of char *: what the owner lacks */
	int64		default_rows;
} Examination;

static const char *const status_names[] = {
	[STATUS_RESTORED] = "RESTORED",
	[STATUS_NO_PARTITIONS] = "NO_PARTITIONS",
	[STATUS_FAILING] = "FAILING",
	[STATUS_BEHIND] = "BEHIND",
	[STATUS_BLOCKED] = "BLOCKED",
	[STATUS_GAPS] = "GAPS",
	[STATUS_DEFAULT_ROWS] = "DEFAULT_ROWS",
	[STATUS_RIGHTS] = "RIGHTS",
	[STATUS_PAUSED] = "PAUSED",
	[STATUS_POSTPONED] = "POSTPONED",
	[STATUS_CLEANUP_NEEDED] = "CLEANUP_NEEDED",
	[STATUS_HEALTHY] = "HEALTHY"
};

/* pm_health_status is the word for a status. */
const char *
pm_health_status(PmStatus status)
{
	return status_names[status];
}


/* ---------- looking ---------- */

/* set_anchor finds now, or the highest key, on the axis. */
static void
set_anchor(void *arg)
{
	Examination *exam = arg;
	const PartSet *set = exam->look->set;

	if (set->key.axis == AXIS_ID)
		exam->point.has_anchor = pm_catalog_newest(exam->look,
												   &exam->point.anchor);
	else
	{
		exam->point.has_anchor = true;
		exam->point.anchor = pm_key_now(&set->key, set->grid.zone, exam->now);
	}
}

/* examine makes the plan of the next run, without carrying it out. */
static void
examine(void *arg)
{
	Examination *exam = arg;
	PmOrder		order = {
		.now = exam->now,
		.create = true,
		.retire = true,
		.dry_run = true
	};
	PmTemplate *tmpl;

	/* rights first: what they lack may be why the rest fails */
	exam->rights = pm_catalog_rights_problems(exam->look);
	set_anchor(exam);
	exam->plan = pm_maintenance_decide(exam->look, &order, &tmpl);
	exam->default_rows = pm_catalog_default_rows(exam->look);
}

/*
 * pm_health_anchor finds the point from which a set is seen; false if the
 * owner of the set cannot read its highest key.
 */
bool
pm_health_anchor(const PmLook *look, TimestampTz now, PlanPoint *point)
{
	Examination exam = {.look = (PmLook *) look, .now = now};
	bool		done = true;

	if (look->set->key.axis == AXIS_ID)
		done = pm_attempt(set_anchor, &exam) == NULL;
	else
		set_anchor(&exam);
	*point = exam.point;
	point->max_far = pm_max_create;
	return done;
}


/* ---------- counting ---------- */

/* add_partition adds the rows and bytes of a partition. */
static void
add_partition(PmHealth *health, const Partition *partition)
{
	if (partition->rows >= 0)
		health->rows = Max(health->rows, 0) + (int64) partition->rows;
	health->bytes += pm_size_bytes(partition->oid);
}

/* measure fills in what the catalogs alone tell. */
static void
measure(PmHealth *health, const PmLook *look)
{
	const PartSet *set = look->set;
	const PartBound *oldest = NULL;
	const PartBound *newest = NULL;
	ListCell   *lc;

	health->is_known = true;
	health->rows = -1;
	health->partitions = list_length(look->partitions);
	foreach(lc, look->partitions)
	{
		const Partition *partition = lfirst(lc);

		add_partition(health, partition);
		if (!partition->is_readable)
			continue;
		if (oldest == NULL)
			oldest = &partition->bound;
		if (newest == NULL || partition->bound.upper_open ||
			(!newest->upper_open && partition->bound.upper > newest->upper))
			newest = &partition->bound;
	}
	if (oldest != NULL)
	{
		health->oldest = oldest->lower_open ? pstrdup("MINVALUE") :
			pm_position_text(&set->key, oldest->lower);
		health->newest = newest->upper_open ? pstrdup("MAXVALUE") :
			pm_position_text(&set->key, newest->upper);
	}
	health->has_default = (look->dflt != NULL);
	if (look->dflt != NULL)
		add_partition(health, look->dflt);
}

/*
 * find_horizon finds up to where partitions follow each other without a hole,
 * from the anchor on; the anchor itself if there is none for it.  Returns false
 * if they never end.
 */
static bool
find_horizon(const Examination *exam, int64 *horizon)
{
	int			nholes;
	bool		has_cover;
	PartBound  *holes = pm_plan_holes(exam->look->set, exam->look->partitions,
									  &nholes, &has_cover);
	int64		anchor = exam->point.anchor;

	for (int h = 0; h < nholes; h++)
	{
		if (!holes[h].upper_open && holes[h].upper <= anchor)
			continue;
		*horizon = holes[h].lower_open ? anchor : Max(holes[h].lower, anchor);
		return true;
	}
	return false;
}

/* count_ahead counts the partitions between the anchor and the horizon. */
static int
count_ahead(const Examination *exam, bool ends, int64 horizon)
{
	int			count = 0;
	ListCell   *lc;

	foreach(lc, exam->look->partitions)
	{
		const Partition *partition = lfirst(lc);

		if (partition->is_readable && !partition->bound.lower_open &&
			partition->bound.lower > exam->point.anchor &&
			(!ends || partition->bound.lower < horizon))
			count++;
	}
	return count;
}


/* ---------- problems ---------- */

/* note_behind tells whether what comes next has its partition. */
static void
note_behind(PmHealth *health, const Examination *exam)
{
	const PartSet *set = health->set;
	const PartKey *key = &set->key;
	const char *remedy = pm_health_call(health, "run_maintenance");
	int64		horizon = 0;
	int64		next,
				second;
	bool		ends;
	ListCell   *lc;

	foreach(lc, exam->plan->findings)
	{
		const PlanFinding *finding = lfirst(lc);

		if (finding->kind != FINDING_FAR_KEY)
			continue;
		pm_health_note(health, STATUS_BEHIND,
					   psprintf("%s: move or correct such rows, or raise partmgr.max_create",
								finding->text));
		return;
	}

	if (!exam->point.has_anchor || health->partitions == 0)
		return;
	ends = find_horizon(exam, &horizon);
	health->has_ahead = true;
	health->ahead = count_ahead(exam, ends, horizon);
	if (!ends)
		return;
	if (key->axis != AXIS_ID)
	{
		health->has_horizon = true;
		health->horizon = pm_key_instant(key, set->grid.zone, horizon);
	}

	if (horizon <= exam->point.anchor)
		pm_health_note(health, STATUS_BEHIND,
					   psprintf("no partition takes rows of %s: run %s",
								pm_position_text(key, exam->point.anchor), remedy));
	else if (pm_key_next(key, &set->grid, exam->point.anchor, &next) &&
			 pm_key_next(key, &set->grid, next, &second) && horizon < second)
		pm_health_note(health, STATUS_BEHIND,
					   psprintf("partitions end at %s, less than one interval ahead: run %s",
								pm_position_text(key, horizon), remedy));
}

/*
 * note_foreign tells of a foreign table that may hold a higher key than the
 * one that was found.  If that one is in a foreign table, all were asked.
 */
static void
note_foreign(PmHealth *health, const Examination *exam)
{
	const Partition *unasked = NULL;
	int64		anchor = exam->point.anchor;
	ListCell   *lc;

	if (health->set->key.axis != AXIS_ID || !exam->point.has_anchor)
		return;
	foreach(lc, exam->look->partitions)
	{
		const Partition *partition = lfirst(lc);
		const PartBound *bound = &partition->bound;

		if (partition->relkind != RELKIND_FOREIGN_TABLE || !partition->is_readable ||
			partition->is_pending || (!bound->upper_open && bound->upper <= anchor))
			continue;
		if (bound->lower_open || bound->lower <= anchor)
			return;
		unasked = partition;
	}
	if (unasked)
		pm_health_note(health, STATUS_BEHIND,
					   psprintf("foreign partition %s lies beyond the highest key " INT64_FORMAT ", and is not asked for a higher one: replace it by a plain table, or detach it",
								pm_full_name(unasked), anchor));
}

/* patience is how long a set may be overdue before that is told. */
static int64
patience(const PartSet *set)
{
	const PartInterval *interval = &set->grid.interval;
	int64		width;

	/* others may be before it, one of them in a step that hangs */
	if (pm_is_preloaded && pm_enabled)
		return 5 * pm_interval * USECS_PER_SEC + pm_step_timeout * (int64) 1000;

	/* somebody calls run_maintenance() now and then, as often as is needed */
	width = set->key.axis == AXIS_ID ? 0 :
		interval->months > 0 ? 31 * USECS_PER_DAY :
		interval->days > 0 ? Min(interval->days, 31) * USECS_PER_DAY :
		Min(interval->units, 31 * USECS_PER_DAY);
	return Max(width, 2 * USECS_PER_DAY);
}

/* note_overdue tells that nobody maintains a set, and why that may be. */
static void
note_overdue(PmHealth *health, const Examination *exam)
{
	const char *why;

	/* what a standby knows is as old as its replication */
	if (!health->set->automatic || !health->state.has_row || RecoveryInProgress() ||
		health->state.next_run >= exam->now - patience(health->set))
		return;
	if (!pm_is_preloaded)
		why = "there is no worker: add partmgr to shared_preload_libraries, or call run_maintenance_proc() by the clock";
	else if (!pm_enabled)
		why = "partmgr.enabled is off: set it to on, or call run_maintenance_proc() by the clock";
	else
		why = "the worker does not come: see worker_status(), max_worker_processes and the server log";
	pm_health_note(health, STATUS_BEHIND, psprintf("maintenance is long overdue, and %s", why));
}

/* block_remedy says what to do about a step that cannot be done. */
static const char *
block_remedy(const PlanStep *step)
{
	switch (step->blocked_code)
	{
		case ERRCODE_DUPLICATE_TABLE:
			return "rename it, or attach it as that partition";
		case ERRCODE_CHECK_VIOLATION:
			return "drain_default() moves them while everybody goes on; or raise the setting for one run";
		case ERRCODE_INSUFFICIENT_PRIVILEGE:
			return "change the owner of the default partition, or move the rows away";
		case ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE:
			return "take the rows out, run maintenance, and insert them again";
		case ERRCODE_FEATURE_NOT_SUPPORTED:
			return "move the rows away";
		case ERRCODE_FOREIGN_KEY_VIOLATION:
			return "delete the rows that refer to it, or lengthen the retention";
		default:
			return "remove what is in the way";
	}
}

/* note_blocked spells out the steps of the plan that cannot be done. */
static void
note_blocked(PmHealth *health, const PartPlan *plan)
{
	int			count = 0;
	ListCell   *lc;

	foreach(lc, plan->steps)
	{
		const PlanStep *step = lfirst(lc);

		if (step->blocked == NULL || step->is_waiting)
			continue;
		if (step->blocked_code == ERRCODE_DUPLICATE_TABLE)
			health->clashes++;
		if (++count <= MAX_PROBLEMS)
			pm_health_note(health, STATUS_BLOCKED,
						   psprintf("%s: %s", step->blocked, block_remedy(step)));
	}
	if (count > MAX_PROBLEMS)
		pm_health_note(health, STATUS_BLOCKED,
					   psprintf("%d partitions cannot be made in all: see maintenance_plan()",
								count));
}

/* note_findings adds what the plan has found, as far as it is of one status. */
static void
note_findings(PmHealth *health, const PartPlan *plan, PmStatus status)
{
	ListCell   *lc;

	foreach(lc, plan->findings)
	{
		const PlanFinding *finding = lfirst(lc);
		const char *remedy = NULL;

		switch (finding->kind)
		{
			case FINDING_GAP:
				if (status == STATUS_GAPS)
					remedy = psprintf("run %s", pm_health_call(health, "partition_gap_fill"));
				break;
			case FINDING_UNREADABLE:
				/* beside a LIST of values, one of NULL or of text is no harm */
				if (status == STATUS_BLOCKED && !health->set->key.is_list)
					remedy = "see that its bounds leave room for the others";
				break;
			case FINDING_END_OF_TYPE:
				if (status == STATUS_BLOCKED)
					remedy = "change the column to a wider type in time";
				break;
			case FINDING_OVERLAP:
				if (status == STATUS_BLOCKED)
					remedy = "move its rows, or drop it";
				break;
			case FINDING_CAPPED:
			case FINDING_FAR_KEY:
			case FINDING_PENDING:
			case FINDING_LAST_KEPT:
			case FINDING_HELD:
				break;			/* in the notes, or told elsewhere */
		}
		if (remedy != NULL)
			pm_health_note(health, status, psprintf("%s: %s", finding->text, remedy));
	}
}

/* count_cleanup counts the partitions that retention would take out. */
static int64
count_cleanup(const PartPlan *plan)
{
	int64		count = 0;
	ListCell   *lc;

	foreach(lc, plan->steps)
		count += (((PlanStep *) lfirst(lc))->kind == STEP_RETIRE) ? 1 : 0;
	return count;
}

/* expired_how says what makes partitions of a set go. */
static const char *
expired_how(const PartSet *set)
{
	if (!set->has_retention || set->retention_partitions > 0 || set->retention_bytes > 0)
		return "beyond the retention";
	return psprintf("older than the retention of %s",
					pm_key_interval_text(&set->key, &set->retention));
}

/* note_pending tells of a detach that can be brought to its end now. */
static void
note_pending(PmHealth *health, const PartPlan *plan)
{
	ListCell   *lc;

	foreach(lc, plan->steps)
	{
		const PlanStep *step = lfirst(lc);

		if (step->kind == STEP_FINALIZE && step->blocked == NULL)
			pm_health_note(health, STATUS_CLEANUP_NEEDED,
						   psprintf("the detach of partition %s was cut short: run %s",
									pm_full_name(step->partition),
									pm_health_call(health, "run_maintenance")));
	}
}

/* note_minor adds what does not keep rows from their partitions. */
static void
note_minor(PmHealth *health, const Examination *exam)
{
	const PartSet *set = health->set;
	ListCell   *lc;

	health->default_rows = exam->default_rows;
	if (health->default_rows > 0)
		pm_health_note(health, STATUS_DEFAULT_ROWS,
					   psprintf("default partition %s holds " INT64_FORMAT " row%s: give them partitions of their own, or move them away",
								pm_full_name(exam->look->dflt),
								health->default_rows,
								(health->default_rows == 1) ? "" : "s"));
	foreach(lc, exam->rights)
		pm_health_note(health, STATUS_RIGHTS, lfirst(lc));
	if (!set->automatic)
		pm_health_note(health, STATUS_PAUSED,
					   pstrdup("automatic maintenance is off: set automatic_maintenance to on in part_config"));
	pm_health_postponed(health, exam->now);
	health->cleanup = count_cleanup(exam->plan);
	if (health->cleanup > 0)
		pm_health_note(health, STATUS_CLEANUP_NEEDED,
					   psprintf(INT64_FORMAT " partition%s %s: run %s",
								health->cleanup, (health->cleanup == 1) ? " is" : "s are",
								expired_how(set), pm_health_call(health, "run_maintenance")));
	note_pending(health, exam->plan);
}

/* diagnose goes through all that can be wrong, the worst first. */
static void
diagnose(PmHealth *health, const Examination *exam)
{
	if (!health->set->is_armed)
		pm_health_note(health, STATUS_RESTORED,
					   psprintf("maintenance is suspended since the table was restored: run %s",
								pm_health_call(health, "resume_maintenance")));
	if (health->partitions == 0 && exam->plan->steps == NIL)
		pm_health_note(health, STATUS_NO_PARTITIONS,
					   pstrdup("there is no partition, and no row that tells where to begin: make the first one by hand"));
	else if (health->partitions == 0)
		pm_health_note(health, STATUS_NO_PARTITIONS,
					   psprintf("there is no partition: run %s",
								pm_health_call(health, "run_maintenance")));
	pm_health_failures(health, exam->plan);
	note_behind(health, exam);
	note_foreign(health, exam);
	note_overdue(health, exam);
	note_blocked(health, exam->plan);
	note_findings(health, exam->plan, STATUS_BLOCKED);
	pm_health_on_demand(health, exam->look, exam->now);
	if (!health->set->on_demand || health->has_default)
		note_findings(health, exam->plan, STATUS_GAPS);
	health->gaps = exam->plan->gaps;
	note_minor(health, exam);
	pm_health_notes(health, exam->look, exam->plan);
}

/*
 * pm_health_of tells how a set is doing at a moment.  may_see: the caller may
 * see its bookkeeping and the texts of errors.
 */
PmHealth *
pm_health_of(PmLook *look, TimestampTz now, bool may_see)
{
	PmHealth   *health = palloc0(sizeof(PmHealth));
	Examination exam = {.look = look, .now = now};
	ErrorData  *edata;
	ListCell   *lc;

	health->set = look->set;
	health->status = STATUS_HEALTHY;
	health->may_see = may_see;
	pm_config_state(look->set->parent, &health->state);
	if (look->set->problem)
	{
		pm_health_note(health, STATUS_FAILING,
					   psprintf("the configuration is not valid: %s: correct it in part_config",
								look->set->problem));
		return health;
	}

	measure(health, look);
	edata = pm_attempt(examine, &exam);
	if (edata == NULL)
		diagnose(health, &exam);
	else
	{
		pm_health_failure(health, "maintenance fails",
						  unpack_sql_state(edata->sqlerrcode), edata->message);
		foreach(lc, exam.rights)
			pm_health_note(health, STATUS_RIGHTS, lfirst(lc));
	}
	return health;
}
