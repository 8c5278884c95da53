/*-------------------------------------------------------------------------
 *
 * upkeep.c
 *		Care for partitions that are no longer written, by the upkeep lane:
 *		what there is and was done already, and one step of it at top level.
 *
 * What was done is a row of part_upkeep.  It is written after the statement, in
 * a transaction of its own: a crash in between has the task done once more,
 * which does no harm.
 *
 * Starts and commits no transaction: worker.c does.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "config.h"
#include "maintenance.h"
#include "upkeep.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* a table in use, or a parent that waits for creation: again after so long, or an interval */
#define RETRY_SECONDS 60

/* the task at top level, in the memory context of its run */
struct PmUpkeepTask
{
	PlanStep	step;
	Oid			parent;
	Oid			table;
	char	   *title;			/* of the table, qualified */
	int64		bytes;			/* before */
};


/* ---------- what there is, and what was done ---------- */

/* partitions, found by their OID */
typedef struct Places
{
	Partition **by_oid;
	int			n;
} Places;

static int
compare_oids(const void *a, const void *b)
{
	Oid			x = (*(Partition *const *) a)->oid;
	Oid			y = (*(Partition *const *) b)->oid;

	return x < y ? -1 : x > y ? 1 : 0;
}

static Places
find_places(List *partitions)
{
	Places		places = {.n = 0};
	ListCell   *lc;

	places.by_oid = palloc(sizeof(Partition *) * Max(list_length(partitions), 1));
	foreach(lc, partitions)
		places.by_oid[places.n++] = lfirst(lc);
	qsort(places.by_oid, places.n, sizeof(Partition *), compare_oids);
	return places;
}

static Partition *
find_place(const Places *places, Oid oid)
{
	Partition	wanted = {.oid = oid};
	Partition  *key = &wanted;
	Partition **found = bsearch(&key, places->by_oid, places->n,
								sizeof(Partition *), compare_oids);

	return found ? *found : NULL;
}

/* the tables below the partitions of a set, the tasks done to each of them */
#define CARES_QUERY \
	"WITH RECURSIVE tree(top, relid) AS (" \
	"  SELECT inhrelid, inhrelid FROM pg_inherits WHERE inhparent = $1 AND NOT inhdetachpending" \
	"  UNION ALL SELECT t.top, i.inhrelid FROM tree t JOIN pg_inherits i ON i.inhparent = t.relid)" \
	" SELECT t.top, c.oid, n.nspname, c.relname, c.relowner, c.reltuples," \
	" pg_stat_get_dead_tuples(c.oid) + pg_stat_get_ins_since_vacuum(c.oid)," \
	" greatest(age(c.relfrozenxid) / current_setting('autovacuum_freeze_max_age')::float8," \
	"  mxid_age(c.relminmxid) / current_setting('autovacuum_multixact_freeze_max_age')::float8)," \
	" pg_relation_filenode(c.oid)::text, u.task, u.done_at, u.detail" \
	" FROM tree t JOIN pg_class c ON c.oid = t.relid AND c.relkind = 'r'" \
	" JOIN pg_namespace n ON n.oid = c.relnamespace" \
	" LEFT JOIN %u u ON u.partition = c.oid::regclass" \
	" ORDER BY t.top, c.oid"

static PmCare *
care_from_row(Partition *partition, uint64 row)
{
	PmCare	   *care = palloc0(sizeof(PmCare));
	Oid			oid = pm_spi_oid(row, 2);
	bool		isnull;

	care->partition = partition;
	if (oid == partition->oid)
		care->table = partition;
	else
	{
		care->table = palloc0(sizeof(Partition));
		care->table->oid = oid;
		care->table->schema = pm_spi_string(row, 3);
		care->table->name = pm_spi_string(row, 4);
		care->table->owner = pm_spi_oid(row, 5);
		care->table->relkind = RELKIND_RELATION;
		care->table->rows = DatumGetFloat4(pm_spi_value(row, 6, &isnull));
	}
	care->changes = DatumGetInt64(pm_spi_value(row, 7, &isnull));
	care->aging = DatumGetFloat8(pm_spi_value(row, 8, &isnull));
	care->file = pm_spi_string(row, 9);
	return care;
}

/* a row's task, if it has one: columns task, done_at, detail */
static void
read_done(PmDone *done, uint64 row, int column)
{
	bool		isnull;
	char	   *detail = pm_spi_string(row, column + 2);

	done->at = DatumGetTimestampTz(pm_spi_value(row, column + 1, &isnull));
	done->detail = detail ? detail : "";
}

static void
read_cares(PartSet *set, const PmExtension *ext, List *partitions,
		   MemoryContext caller)
{
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(set->parent)};
	uint64		rows = pm_spi_select_kept(pm_config_sql(ext, CARES_QUERY), 1, types, values, NULL);
	MemoryContext old = MemoryContextSwitchTo(caller);
	Places		places = find_places(partitions);
	PmCare	   *care = NULL;

	for (uint64 i = 0; i < rows; i++)
	{
		Partition  *partition = find_place(&places, pm_spi_oid(i, 1));
		char	   *task_name = pm_spi_string(i, 10);
		PmTask		task;

		if (partition == NULL)
			continue;			/* the default, or one that has just come */
		if (care == NULL || care->table->oid != pm_spi_oid(i, 2))
		{
			care = care_from_row(partition, i);
			set->cares = lappend(set->cares, care);
		}
		if (task_name && pm_task_find(task_name, &task))
			read_done(&care->done[task], i, 10);
	}
	MemoryContextSwitchTo(old);
}

static void
read_analyzed(PartSet *set, const PmExtension *ext)
{
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(set->parent)};

	memset(&set->analyzed, 0, sizeof(PmDone));
	if (pm_spi_select_kept(pm_config_sql(ext, "SELECT task, done_at, detail FROM %u"
										 " WHERE partition = $1::regclass AND task = 'analyze'"),
						   1, types, values, NULL) > 0)
		read_done(&set->analyzed, 0, 1);
}

static int
compare_cares(const ListCell *a, const ListCell *b)
{
	const PmCare *x = lfirst(a);
	const PmCare *y = lfirst(b);

	if (x->partition == y->partition)
		return x->table->oid < y->table->oid ? -1 : 1;
	if (x->partition->bound.lower_open != y->partition->bound.lower_open)
		return x->partition->bound.lower_open ? -1 : 1;
	return x->partition->bound.lower < y->partition->bound.lower ? -1 : 1;
}

/*
 * pm_upkeep_read_constraint adds to a set what is asked for extra constraints: its
 * newest partition with rows, and whether the one whose turn it is has them.
 */
void
pm_upkeep_read_constraint(PartSet *set, List *partitions)
{
	PmExtension ext;
	PmSpi		spi;
	Partition  *target;
	MemoryContext caller = CurrentMemoryContext;

	memset(&set->constrained, 0, sizeof(PmDone));
	set->filled = NULL;
	if (set->constraint_cols == NIL)
		return;
	set->filled = pm_constraint_filled(partitions);
	target = pm_plan_constrained(set, partitions);
	if (target == NULL)
		return;
	pm_config_begin(&spi, &ext);
	if (pm_spi_select_kept(pm_config_sql(&ext, "SELECT task, done_at, detail FROM %u"
										 " WHERE partition = $1::regclass AND task = 'constraint'"),
						   1, (Oid[]) {OIDOID}, (Datum[]) {ObjectIdGetDatum(target->oid)}, NULL) > 0)
	{
		MemoryContext old = MemoryContextSwitchTo(caller);

		read_done(&set->constrained, 0, 1);
		MemoryContextSwitchTo(old);
	}
	pm_spi_end(&spi);
}

/*
 * pm_upkeep_read adds to a set what its plan of upkeep is made from, as far as
 * the set has any.
 */
void
pm_upkeep_read(PartSet *set, List *partitions)
{
	PmExtension ext;
	PmSpi		spi;
	MemoryContext caller = CurrentMemoryContext;
	bool		may_analyze = pm_plan_may_analyze(set, partitions);

	set->cares = NIL;
	pm_upkeep_read_constraint(set, partitions);
	if (!set->has_cold && !may_analyze)
		return;
	pm_config_begin(&spi, &ext);
	if (may_analyze)
		read_analyzed(set, &ext);
	if (set->has_cold)
		read_cares(set, &ext, partitions, caller);
	pm_spi_end(&spi);
	list_sort(set->cares, compare_cares);
}

/* pm_upkeep_note writes that a task was done, with the sizes before and after. */
void
pm_upkeep_note(Oid table, const char *task, Oid parent, const char *detail,
			   int64 bytes_before, int64 bytes_after)
{
	Oid			types[] = {OIDOID, TEXTOID, OIDOID, TEXTOID, INT8OID, INT8OID};
	Datum		values[] = {
		ObjectIdGetDatum(table),
		CStringGetTextDatum(task),
		ObjectIdGetDatum(parent),
		CStringGetTextDatum(detail),
		Int64GetDatum(bytes_before),
		Int64GetDatum(bytes_after)
	};

	(void) pm_config_write("INSERT INTO %u (partition, task, parent_table, done_at, detail, bytes_before, bytes_after)"
						   " SELECT $1::regclass, $2, $3::regclass, clock_timestamp(), $4, $5, $6"
						   " WHERE EXISTS (SELECT FROM %c WHERE parent_table = $3::regclass)"
						   " ON CONFLICT (partition, task) DO UPDATE SET parent_table = excluded.parent_table,"
						   " done_at = excluded.done_at, detail = excluded.detail,"
						   " bytes_before = excluded.bytes_before, bytes_after = excluded.bytes_after",
						   6, types, values, NULL);
}

/* pm_upkeep_compressed tells of the compressed partitions of a set, as PmCompressed, by method. */
List *
pm_upkeep_compressed(Oid parent)
{
	PmExtension ext;
	PmSpi		spi;
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(parent)};
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext old;
	List	   *result = NIL;
	uint64		rows;

	pm_config_begin(&spi, &ext);
	rows = pm_spi_select_kept(pm_config_sql(&ext, "SELECT split_part(detail, ',', 1), count(*), sum(bytes_before)::int8, sum(bytes_after)::int8"
											" FROM %u u JOIN pg_inherits i ON i.inhrelid = u.partition::oid"
											" WHERE u.parent_table = $1::regclass AND i.inhparent = $1 AND u.task = 'compress'"
											" GROUP BY 1 ORDER BY 1"), 1, types, values, NULL);
	old = MemoryContextSwitchTo(caller);
	for (uint64 i = 0; i < rows; i++)
	{
		PmCompressed *compressed = palloc0(sizeof(PmCompressed));
		bool		isnull;

		compressed->method = pm_spi_string(i, 1);
		compressed->partitions = DatumGetInt64(pm_spi_value(i, 2, &isnull));
		compressed->before = DatumGetInt64(pm_spi_value(i, 3, &isnull));
		compressed->after = DatumGetInt64(pm_spi_value(i, 4, &isnull));
		result = lappend(result, compressed);
	}
	MemoryContextSwitchTo(old);
	pm_spi_end(&spi);
	return result;
}


/* ---------- one task ---------- */

static void
make_wait(PmWorkerRun *run, PlanStep *step, char *why)
{
	TimestampTz retry = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													Min(RETRY_SECONDS, pm_interval) * INT64CONST(1000));

	if (step->blocked)
		return;
	step->blocked = why;
	step->blocked_code = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
	step->is_waiting = true;
	if (run->next == 0 || retry < run->next)
		run->next = retry;
}

/* Are there partitions to be made, and can they be? */
static bool
wants_creation(const PmLook *look, TimestampTz now)
{
	PmOrder		order = {.now = now, .create = true};
	PmTemplate *tmpl;

	return pm_first_step(pm_maintenance_decide(look, &order, &tmpl)) != NULL;
}

/*
 * pm_upkeep_observe has steps of upkeep wait: those of tables that were in use
 * in this run, and the ANALYZE of a parent for which partitions are to be made,
 * since both lock the parent.
 */
void
pm_upkeep_observe(PmWorkerRun *run, const PmLook *look, PartPlan *plan)
{
	ListCell   *lc;

	foreach(lc, plan->steps)
	{
		PlanStep   *step = lfirst(lc);

		if (step->kind != STEP_UPKEEP)
			continue;
		if (list_member_oid(run->in_use, step->partition->oid))
			make_wait(run, step, "the table is in use");
		else if (step->task == TASK_ANALYZE && !step->blocked &&
				 wants_creation(look, run->now))
			make_wait(run, step, "partitions are to be made first");
	}
}

/* what a task is configured with, for pm_attempt */
typedef struct ConfigCheck
{
	const PartSet *set;
	PmTask		task;
} ConfigCheck;

static void
check_config(void *arg)
{
	ConfigCheck *check = arg;

	if (check->task == TASK_CONSTRAINT)
		pm_constraint_check(check->set);
	else if (check->task == TASK_STORAGE)
		(void) pm_ddl_storage(check->set->cold_storage);
	else
		(void) pm_ddl_cluster_index(check->set);
}

/*
 * pm_upkeep_check blocks the steps whose configuration has lost its sense, such
 * as an index that is gone.
 */
void
pm_upkeep_check(const PartSet *set, PartPlan *plan)
{
	bool		is_checked[PM_TASKS] = {false};
	ErrorData  *errors[PM_TASKS] = {NULL};
	ListCell   *lc;

	foreach(lc, plan->steps)
	{
		PlanStep   *step = lfirst(lc);
		PmTask		task = step->task;
		ConfigCheck check = {.set = set, .task = task};

		if (step->kind != STEP_UPKEEP ||
			(task != TASK_STORAGE && task != TASK_CLUSTER && task != TASK_CONSTRAINT))
			continue;
		if (!is_checked[task])
			errors[task] = pm_attempt(check_config, &check);
		is_checked[task] = true;
		if (errors[task] == NULL)
			continue;
		step->blocked = task == TASK_CONSTRAINT ? psprintf("constraint_cols: %s", errors[task]->message) :
			psprintf("cold_%s: %s", pm_task_name(task), errors[task]->message);
		step->blocked_code = errors[task]->sqlerrcode;
	}
}

/* what carries constraints out, for pm_attempt */
typedef struct ConstraintCall
{
	const PartSet *set;
	Oid			table;
	List	   *statements;
} ConstraintCall;

static void
call_constraint(void *arg)
{
	ConstraintCall *call = arg;

	call->statements = pm_constraint_statements(call->set, call->table);
}

/*
 * constraint_sql reads the values that are to be the bounds, and returns the
 * statements for them; NULL if there is nothing to be done, or it has failed.
 */
static char *
constraint_sql(PmWorkerRun *run, const PmLook *look, const PlanStep *step)
{
	ConstraintCall call = {.set = look->set, .table = step->partition->oid};
	ErrorData  *edata = pm_attempt(call_constraint, &call);
	char	   *sql = NULL;
	ListCell   *lc;

	if (edata != NULL)
	{
		pm_run_step_failed(run, step, edata);
		return NULL;
	}
	foreach(lc, call.statements)
		sql = sql ? psprintf("%s; %s", sql, (char *) lfirst(lc)) : lfirst(lc);
	if (sql == NULL)			/* no values, or they are there */
		pm_upkeep_note(call.table, pm_task_name(TASK_CONSTRAINT), run->parent, step->detail,
					   pm_size_bytes(call.table), pm_size_bytes(call.table));
	return sql;
}

/*
 * pm_upkeep_begin leaves a task to be run at top level when the transaction is
 * over.
 */
void
pm_upkeep_begin(PmWorkerRun *run, const PmLook *look, const PlanStep *step,
				const PmOutcome *outcome)
{
	const PmTemplate *tmpl = NULL;	/* of no use to this kind of step */
	char	   *sql = step->task == TASK_CONSTRAINT ? constraint_sql(run, look, step) : pm_ddl_text(look, tmpl, step);
	MemoryContext old;
	PmUpkeepTask *task;

	if (sql == NULL)
		return;
	old = MemoryContextSwitchTo(run->context);
	task = palloc0(sizeof(PmUpkeepTask));
	task->step.kind = STEP_UPKEEP;
	task->step.task = step->task;
	task->step.name = pstrdup(step->name);
	task->step.detail = pstrdup(step->detail);
	task->step.reason = pstrdup(step->reason);
	task->parent = run->parent;
	task->table = step->partition->oid;
	task->title = pstrdup(outcome->partition);
	task->bytes = outcome->bytes;
	run->task = task;

	run->top = palloc0(sizeof(PmTopLevel));
	run->top->sql = pstrdup(sql);
	run->top->userid = look->set->owner;
	/* REINDEX CONCURRENTLY waits for transactions as a concurrent detach does */
	run->top->lock_timeout = pm_detach_timeout;
	run->top->relation_timeout = pm_lock_timeout;
	run->top->cost_delay = pm_vacuum_cost_delay;
	run->top->activity = psprintf("partmgr: %s of %s", pm_task_name(step->task), task->title);
	MemoryContextSwitchTo(old);
}

static void
log_task(const PmUpkeepTask *task, int64 bytes_after)
{
	PmLogEntry	entry = {
		.parent = task->parent,
		.action = pm_task_name(task->step.task),
		.partition = task->title,
		.rows = -1,
		.bytes = -1,
		.message = task->step.reason
	};

	if (task->step.task != TASK_ANALYZE && task->step.task != TASK_CONSTRAINT)
	{
		entry.bytes = bytes_after;
		entry.message = psprintf("%s; size before: " INT64_FORMAT " bytes, after: " INT64_FORMAT,
								 task->step.reason, task->bytes, bytes_after);
	}
	pm_log_write(list_make1(&entry));
}

/* A table that is in use is left for later, and the others go on. */
static void
postpone(PmWorkerRun *run, const PmUpkeepTask *task, const ErrorData *edata)
{
	MemoryContext old = MemoryContextSwitchTo(run->context);

	run->in_use = lappend_oid(run->in_use, task->table);
	MemoryContextSwitchTo(old);
	pm_log_failure(run->parent, "postponed", edata->sqlerrcode,
				   psprintf("%s of %s: %s", pm_task_name(task->step.task), task->title,
							edata->message));
}

static void
call_drop(void *arg)
{
	ConstraintCall *call = arg;

	pm_constraint_run(call->set->owner, pm_constraint_drops(call->set, call->table, true));
}

/*
 * Rows were written while the bounds were read, which the constraint leaves out.
 * It goes, and is made again later.
 */
static void
take_back(const PmWorkerRun *run, const PmUpkeepTask *task)
{
	ConstraintCall call = {.set = pm_config_read_one(run->parent), .table = task->table};

	if (call.set != NULL && strcmp(pm_qualified_name(task->table), task->title) == 0)
		(void) pm_attempt(call_drop, &call);
}

/*
 * pm_upkeep_done notes what became of a task: done, or the error.  The vacuum
 * of a file that was rewritten in the meantime is of the new file.
 */
void
pm_upkeep_done(PmWorkerRun *run, ErrorData *edata)
{
	PmUpkeepTask *task = run->task;
	int64		bytes_after;

	run->task = NULL;
	if (edata != NULL && (edata->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
						  edata->sqlerrcode == ERRCODE_QUERY_CANCELED))
		postpone(run, task, edata);
	else if (edata != NULL && task->step.task == TASK_CONSTRAINT && edata->sqlerrcode == ERRCODE_CHECK_VIOLATION)
	{
		take_back(run, task);
		postpone(run, task, edata);
	}
	else if (edata != NULL)
		pm_run_step_failed(run, &task->step, edata);
	else if (strcmp(pm_qualified_name(task->table), task->title) == 0)
	{
		bytes_after = pm_size_bytes(task->table);
		pm_upkeep_note(task->table, pm_task_name(task->step.task), task->parent,
					   task->step.detail, task->bytes, bytes_after);
		log_task(task, bytes_after);
	}
	/* else it was another table of that name */
}
