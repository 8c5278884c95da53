/*-------------------------------------------------------------------------
 *
 * ondemand.c
 *		Statements that bring rows for which there is no partition yet.
 *
 * Where a statement writes to a set with on_demand, the node that brings the rows
 * of its ModifyTable is guarded: each row's key is compared with what the
 * partitions take, as the query itself sees them.  For one that has no home
 * another process makes the partition (ondemand_ask.c), and the ModifyTable gets
 * a new routing that knows it.  The old one is kept, with its directory, until
 * the query ends: triggers and batches may still need what it has opened.
 *
 * If no partition can be made the row goes on, and core raises its own error, to
 * which we add why.
 *
 * All that a guard needs is in the memory of its query: an error leaves nothing
 * behind.  A statement that writes to no partitioned table is not looked at.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "executor/execPartition.h"
#include "executor/executor.h"
#include "guard.h"
#include "miscadmin.h"
#include "partitioning/partdesc.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

#include "compat.h"

Guard	   *pm_guards = NULL;

static ExecutorStart_hook_type previous_start = NULL;
static ExecutorRun_hook_type previous_run = NULL;
static ExecutorEnd_hook_type previous_end = NULL;


/* ---------- a row without a home ---------- */

/* pm_guard_read_cover finds what partitions take, as the query sees them. */
void
pm_guard_read_cover(Guard *guard, Watch *watch)
{
	EState	   *estate = guard->estate;

	/* as core makes it when it needs one */
	if (estate->es_partition_directory == NULL)
		estate->es_partition_directory =
			CreatePartitionDirectory(estate->es_query_cxt, !IsolationUsesXactSnapshot());
	if (watch->cover.ranges)
		pfree(watch->cover.ranges);
	pm_cover_read(watch->demand,
				  PartitionDirectoryLookup(estate->es_partition_directory, watch->rel),
				  &watch->cover);
}

/* Has the query see the partitions that there are now. */
static void
refresh(Guard *guard)
{
	EState	   *estate = guard->estate;
	ModifyTableState *mtstate = guard->mtstate;
	ListCell   *lc;

	if (estate->es_partition_directory)
		guard->directories = lappend(guard->directories, estate->es_partition_directory);
	estate->es_partition_directory = NULL;
	if (mtstate->mt_partition_tuple_routing)
	{
		guard->routings = lappend(guard->routings, mtstate->mt_partition_tuple_routing);
		mtstate->mt_partition_tuple_routing =
			ExecSetupPartitionTupleRouting(estate, mtstate->rootResultRelInfo->ri_RelationDesc);
	}
	foreach(lc, guard->watches)
		pm_guard_read_cover(guard, lfirst(lc));
}

static ExprContext *
fresh_context(Guard *guard)
{
	if (guard->econtext == NULL)
		guard->econtext = CreateExprContext(guard->estate);
	ResetExprContext(guard->econtext);
	return guard->econtext;
}

/* Is it this set that has to take the row? */
static bool
is_for(Guard *guard, Watch *watch, TupleTableSlot *slot)
{
	ExprContext *econtext;

	if (watch->constraint == NULL)
		return true;
	econtext = fresh_context(guard);
	econtext->ecxt_scantuple = slot;
	return ExecCheck(watch->constraint, econtext);
}

/* refuses a time that is too far away: that takes no other process */
static PmRefusal *
check_now(const PartSet *set, int64 raw)
{
	int64		pos;

	if (set->key.axis == AXIS_ID)
		return NULL;
	if (!pm_key_position(&set->key, raw, false, &pos))
		return pm_refuse("The key is beyond what a partition can be made for.", NULL);
	return pm_demand_outside(set, pos, pm_key_now(&set->key, set->grid.zone, GetCurrentTimestamp()), "now");
}

/* Has a partition made for a raw value, and the query see it. */
static void
need(Guard *guard, Watch *watch, int64 raw)
{
	MemoryContext old = MemoryContextSwitchTo(guard->estate->es_query_cxt);
	PmRefusal  *refusal = check_now(watch->demand->set, raw);

	if (refusal == NULL && guard->made >= pm_on_demand_max)
		refusal = pm_refuse(psprintf("No further partition is made on demand: one statement may have %d of them.",
									 pm_on_demand_max),
							"Split the statement, or raise partmgr.on_demand_max.");
	if (refusal == NULL)
		refusal = pm_demand_ask(watch->demand, watch->rel, raw);
	if (refusal == NULL)
	{
		guard->made++;
		refresh(guard);
	}
	else
	{
		guard->refusal = refusal;
		guard->refused_name = RelationGetRelationName(watch->rel);
	}
	MemoryContextSwitchTo(old);
}

static PmRefusal never = {
	.detail = "No partition is made on demand for such a key."
};

static void
check_key(Guard *guard, Watch *watch, Datum value, bool isnull, TupleTableSlot *slot)
{
	int64		raw;

	if (isnull || !pm_demand_raw(&watch->demand->set->key, value, &raw))
	{
		/* a partition that is there may take it nevertheless */
		guard->refusal = &never;
		guard->refused_name = RelationGetRelationName(watch->rel);
		return;
	}
	if (!pm_cover_has(watch->demand, &watch->cover, raw) && is_for(guard, watch, slot))
		need(guard, watch, raw);
}

/* The key that MERGE would insert for a row; false if it inserts nothing. */
static bool
merge_key(Guard *guard, TupleTableSlot *slot, Datum *value, bool *isnull)
{
	AttrNumber	row_id = guard->mtstate->resultRelInfo->ri_RowIdAttNo;
	ExprContext *econtext;
	ListCell   *lc;

	if (AttributeNumberIsValid(row_id))
	{
		(void) slot_getattr(slot, row_id, isnull);
		if (!*isnull)
			return false;		/* the target has that row */
	}
	econtext = fresh_context(guard);
	econtext->ecxt_innertuple = slot;
	foreach(lc, guard->merge)
	{
		MergeInsert *insert = lfirst(lc);

		if (insert->when && !ExecQual(insert->when, econtext))
			continue;
		if (insert->does_nothing)
			return false;
		*value = ExecEvalExprSwitchContext(insert->key, econtext, isnull);
		return true;
	}
	return false;
}

static void
check_row(Guard *guard, TupleTableSlot *slot)
{
	ListCell   *lc;
	Datum		value;
	bool		isnull;

	if (guard->merge != NIL)
	{
		if (merge_key(guard, slot, &value, &isnull))
			check_key(guard, linitial(guard->watches), value, isnull, slot);
		return;
	}
	foreach(lc, guard->watches)
	{
		Watch	   *watch = lfirst(lc);

		value = slot_getattr(slot, watch->attr, &isnull);
		check_key(guard, watch, value, isnull, slot);
	}
}

/* pm_guard_fetch replaces what the node does: the next row has a partition. */
TupleTableSlot *
pm_guard_fetch(PlanState *node)
{
	Guard	   *guard = pm_guards;
	Watch	   *only;
	TupleTableSlot *slot;

	while (unlikely(guard->node != node))
		guard = guard->next;
	slot = guard->fetch(node);
	if (TupIsNull(slot))
		return slot;
	only = guard->only;
	if (likely(only != NULL))
	{
		bool		isnull;
		Datum		value = slot_getattr(slot, only->attr, &isnull);

		if (likely(!isnull && pm_cover_hit(only->demand, &only->cover, value)))
			return slot;
	}
	check_row(guard, slot);
	return slot;
}


/* ---------- hooks ---------- */

static void
executor_start(QueryDesc *query, int eflags)
{
	ListCell   *lc;

	if (previous_start)
		previous_start(query, eflags);
	else
		standard_ExecutorStart(query, eflags);

	if ((query->operation == CMD_SELECT && !query->plannedstmt->hasModifyingCTE) ||
		query->operation == CMD_DELETE || (eflags & EXEC_FLAG_EXPLAIN_ONLY) ||
		IsBinaryUpgrade)
		return;
	if (IsA(query->planstate, ModifyTableState))
		pm_guard_node((ModifyTableState *) query->planstate);
	foreach(lc, query->estate->es_auxmodifytables)
		pm_guard_node(lfirst(lc));
}

static void
run(PM_RUN_PARAMETERS)
{
	if (previous_run)
		previous_run(PM_RUN_ARGUMENTS);
	else
		standard_ExecutorRun(PM_RUN_ARGUMENTS);
}

static Guard *
guard_of(const EState *estate)
{
	for (Guard *guard = pm_guards; guard != NULL; guard = guard->next)
		if (guard->estate == estate)
			return guard;
	return NULL;
}

/*
 * Adds to core's error about a row without a partition why there is none, and
 * raises it again.
 */
static void
explain_error(const EState *estate)
{
	MemoryContext old = MemoryContextSwitchTo(estate->es_query_cxt);
	ErrorData  *edata = CopyErrorData();

	for (Guard *guard = pm_guards; guard != NULL; guard = guard->next)
	{
		const PmRefusal *refusal = guard->refusal;

		if (guard->estate != estate || refusal == NULL || edata->table_name == NULL ||
			edata->constraint_name != NULL ||
			strcmp(edata->table_name, guard->refused_name) != 0)
			continue;
		edata->detail = edata->detail ? psprintf("%s %s", edata->detail, refusal->detail) :
			refusal->detail;
		if (edata->hint == NULL)
			edata->hint = refusal->hint;
	}
	MemoryContextSwitchTo(old);
	FlushErrorState();
	ReThrowError(edata);
}

static void
executor_run(PM_RUN_PARAMETERS)
{
	if (pm_guards == NULL || guard_of(query->estate) == NULL)
	{
		run(PM_RUN_ARGUMENTS);
		return;
	}
	PG_TRY();
	{
		run(PM_RUN_ARGUMENTS);
	}
	PG_CATCH();
	{
		if (geterrcode() == ERRCODE_CHECK_VIOLATION)
			explain_error(query->estate);
		PG_RE_THROW();
	}
	PG_END_TRY();
}

/* Cleans up what refresh() has replaced. */
static void
end_guard(Guard *guard)
{
	ListCell   *lc;

	foreach(lc, guard->routings)
		ExecCleanupTupleRouting(guard->mtstate, lfirst(lc));
	foreach(lc, guard->directories)
		DestroyPartitionDirectory(lfirst(lc));
	foreach(lc, guard->watches)
	{
		Watch	   *watch = lfirst(lc);

		if (watch->is_nested)
			relation_close(watch->rel, NoLock);
		watch->is_nested = false;
	}
	guard->routings = guard->directories = NIL;
}

static void
executor_end(QueryDesc *query)
{
	for (Guard *guard = pm_guards; guard != NULL; guard = guard->next)
		if (guard->estate == query->estate)
			end_guard(guard);
	if (previous_end)
		previous_end(query);
	else
		standard_ExecutorEnd(query);
}

/* is the library among those of a setting? */
static bool
names_library(const char *setting)
{
	char	   *value = pstrdup(GetConfigOption(setting, false, false));
	List	   *files;
	ListCell   *lc;

	if (!SplitDirectoriesString(value, ',', &files))
		return false;
	foreach(lc, files)
	{
		const char *slash = last_dir_separator(lfirst(lc));

		if (strcmp(slash ? slash + 1 : (char *) lfirst(lc), "partmgr") == 0)
			return true;
	}
	return false;
}

/*
 * pm_demand_is_loaded tells whether sessions of this server, or at least those of
 * some role or database, have the library from their beginning.
 */
bool
pm_demand_is_loaded(void)
{
	return pm_is_preloaded || names_library("session_preload_libraries") ||
		names_library("local_preload_libraries") ||
		pm_catalog_strings("SELECT setting FROM pg_db_role_setting, unnest(setconfig) AS setting"
						   " WHERE setdatabase IN (0, $1) AND setting ~ '^(session|local)_preload_libraries=.*partmgr'",
						   MyDatabaseId) != NIL;
}

/* pm_demand_install is called when the library is loaded, however that comes. */
void
pm_demand_install(void)
{
	previous_start = ExecutorStart_hook;
	ExecutorStart_hook = executor_start;
	previous_run = ExecutorRun_hook;
	ExecutorRun_hook = executor_run;
	previous_end = ExecutorEnd_hook;
	ExecutorEnd_hook = executor_end;
	pm_copy_install();
}
