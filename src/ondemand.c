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
#include "catalog/partition.h"
#include "executor/execPartition.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "ondemand.h"
#include "optimizer/optimizer.h"
#include "partitioning/partdesc.h"
#include "storage/lmgr.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

#include "compat.h"

/* a set to which rows of a ModifyTable may go */
typedef struct Watch
{
	PmDemandSet *demand;
	Relation	rel;
	bool		is_nested;		/* it is part of the table that is written to */
	AttrNumber	attr;			/* of the key in a row; MERGE: of the target */
	PmCover		cover;
	ExprState  *constraint;		/* what rows a nested set takes */
} Watch;

/* how MERGE comes to the key of a row that it inserts */
typedef struct MergeInsert
{
	ExprState  *when;			/* NULL: always */
	ExprState  *key;
	bool		does_nothing;
} MergeInsert;

/* one ModifyTable of a query that is being executed */
typedef struct Guard
{
	struct Guard *next;
	PlanState  *node;			/* brings the rows */
	ExecProcNodeMtd fetch;		/* what it really does */
	ModifyTableState *mtstate;
	EState	   *estate;
	ExprContext *econtext;		/* of our expressions, made when one is evaluated */
	List	   *watches;		/* empty: it is only known why there will be none */
	Watch	   *only;			/* the one that tells the key by a column, if so */
	List	   *merge;			/* of MergeInsert */
	int			made;
	const char *refused_name;	/* of the table that lacks a partition */
	const PmRefusal *refusal;
	List	   *routings;		/* replaced, to be cleaned up at the end */
	List	   *directories;
	MemoryContextCallback at_end;
} Guard;

static Guard *guards = NULL;	/* the innermost statement first */

static ExecutorStart_hook_type previous_start = NULL;
static ExecutorRun_hook_type previous_run = NULL;
static ExecutorEnd_hook_type previous_end = NULL;


/* ---------- a row without a home ---------- */

/* what partitions take, as the query sees them */
static void
read_cover(Guard *guard, Watch *watch)
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
		read_cover(guard, lfirst(lc));
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

static PmRefusal not_moved = {
	.detail = "MERGE has partitions made on demand for the rows that it inserts only."
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

/* in place of what the node does: the next row, which has a partition then */
static TupleTableSlot *
fetch_checked(PlanState *node)
{
	Guard	   *guard = guards;
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


/* ---------- which statements are guarded ---------- */

static void
forget_guard(void *arg)
{
	Guard	  **link = &guards;
	ListCell   *lc;

	foreach(lc, ((Guard *) arg)->watches)
		pm_demand_unpin(((Watch *) lfirst(lc))->demand);
	while (*link != NULL && *link != arg)
		link = &(*link)->next;
	if (*link != NULL)
		*link = (*link)->next;
}

static void
add_watch(Guard *guard, Relation rel, PmDemandSet *demand, AttrNumber attr)
{
	Watch	   *watch = palloc0(sizeof(Watch));

	watch->demand = demand;
	watch->rel = rel;
	watch->attr = attr;
	guard->watches = lappend(guard->watches, watch);
}

/* adds the sets that are part of the table that an INSERT writes to */
static void
add_nested(Guard *guard, Relation root)
{
	ListCell   *lc;

	foreach(lc, pm_demand_below(RelationGetRelid(root)))
	{
		Relation	rel;
		const PmDemandTable *table;
		Watch	   *watch;
		List	   *constraint;

		/* who keeps us out changes the set: its rows are on their own */
		if (!ConditionalLockRelationOid(lfirst_oid(lc), RowExclusiveLock))
			continue;
		rel = try_relation_open(lfirst_oid(lc), NoLock);
		if (rel == NULL)
			continue;
		table = pm_demand_table(rel);
		if (table->demand == NULL)
		{
			relation_close(rel, NoLock);
			continue;
		}
		add_watch(guard, rel, table->demand,
				  get_attnum(RelationGetRelid(root), table->demand->set->key.attname));
		watch = llast(guard->watches);
		watch->is_nested = true;
		constraint = map_partition_varattnos(RelationGetPartitionQual(rel), 1, root, rel);
		watch->constraint = ExecPrepareCheck(constraint, guard->estate);
	}
}

/* where an UPDATE leaves the new value of a column; 0 if it does not set it */
static AttrNumber
updated_attr(ModifyTableState *mtstate, const char *name)
{
	AttrNumber	attnum;
	ListCell   *lc;

	if (pm_update_columns(mtstate) == NIL)
		return InvalidAttrNumber;
	attnum = get_attnum(RelationGetRelid(mtstate->resultRelInfo->ri_RelationDesc), name);
	foreach(lc, (List *) linitial(pm_update_columns(mtstate)))
		if (lfirst_int(lc) == attnum)
			return foreach_current_index(lc) + 1;
	return InvalidAttrNumber;
}

/*
 * Has it be said why no partition is made for rows of a MERGE: what could tell
 * their keys must not be evaluated twice.
 */
static void
refuse_merge(Guard *guard, Watch *watch)
{
	guard->refusal = pm_refuse("No partition is made on demand for a MERGE that inserts what volatile functions return.",
							   "Evaluate them in the source of the MERGE.");
	guard->refused_name = RelationGetRelationName(watch->rel);
	guard->watches = guard->merge = NIL;
}

/* Prepares the expressions that give the keys of what a MERGE inserts. */
static void
prepare_merge(Guard *guard, Watch *watch)
{
	ModifyTableState *mtstate = guard->mtstate;
	ListCell   *lc;

	foreach(lc, pm_merge_not_matched(mtstate->resultRelInfo))
	{
		MergeAction *action = ((MergeActionState *) lfirst(lc))->mas_action;
		MergeInsert *insert = palloc0(sizeof(MergeInsert));

		if (contain_volatile_functions(action->qual))
		{
			refuse_merge(guard, watch);
			return;
		}
		if (action->qual)
			insert->when = ExecInitQual((List *) action->qual, &mtstate->ps);
		insert->does_nothing = action->commandType != CMD_INSERT;
		if (!insert->does_nothing)
		{
			TargetEntry *entry = list_nth_node(TargetEntry, action->targetList,
											   watch->demand->set->key.attnum - 1);

			if (contain_volatile_functions((Node *) entry->expr))
			{
				refuse_merge(guard, watch);
				return;
			}
			insert->key = ExecInitExpr(entry->expr, &mtstate->ps);
		}
		guard->merge = lappend(guard->merge, insert);
	}
	guard->refusal = &not_moved;
	guard->refused_name = RelationGetRelationName(watch->rel);
	if (guard->merge == NIL)
		guard->watches = NIL;	/* it only updates and deletes */
}

/* finds the sets to which rows of a ModifyTable may go; false if there is none */
static bool
find_watches(Guard *guard)
{
	ModifyTableState *mtstate = guard->mtstate;
	Relation	root = mtstate->rootResultRelInfo->ri_RelationDesc;
	const PmDemandTable *table = pm_demand_table(root);
	bool		has_branches = table->has_branches;
	AttrNumber	attr;

	if (table->demand != NULL)
	{
		const PartKey *key = &table->demand->set->key;

		attr = mtstate->operation == CMD_UPDATE ?
			updated_attr(mtstate, key->attname) : key->attnum;
		if (AttributeNumberIsValid(attr))
			add_watch(guard, root, table->demand, attr);
	}
	if (mtstate->operation == CMD_MERGE && guard->watches != NIL)
		prepare_merge(guard, linitial(guard->watches));
	if (mtstate->operation == CMD_INSERT && has_branches)
		add_nested(guard, root);
	return guard->watches != NIL || guard->refusal != NULL;
}

/* Guards a ModifyTable, if it writes to a set with on_demand. */
static void
guard_node(ModifyTableState *mtstate)
{
	PlanState  *node = outerPlanState(mtstate);
	EState	   *estate = mtstate->ps.state;
	Relation	root = mtstate->rootResultRelInfo->ri_RelationDesc;
	MemoryContext old;
	Guard	   *guard;
	ListCell   *lc;

	if (root->rd_rel->relkind != RELKIND_PARTITIONED_TABLE ||
		mtstate->operation == CMD_DELETE)
		return;
	old = MemoryContextSwitchTo(estate->es_query_cxt);
	guard = palloc0(sizeof(Guard));
	guard->mtstate = mtstate;
	guard->estate = estate;
	if (find_watches(guard))
	{
		foreach(lc, guard->watches)
		{
			pm_demand_pin(((Watch *) lfirst(lc))->demand);
			read_cover(guard, lfirst(lc));
		}
		if (list_length(guard->watches) == 1 && guard->merge == NIL)
			guard->only = linitial(guard->watches);
		guard->node = node;
		guard->fetch = node->ExecProcNodeReal;
		guard->at_end.func = forget_guard;
		guard->at_end.arg = guard;
		MemoryContextRegisterResetCallback(estate->es_query_cxt, &guard->at_end);
		guard->next = guards;
		guards = guard;
		if (guard->watches != NIL)
			ExecSetExecProcNode(node, fetch_checked);
	}
	MemoryContextSwitchTo(old);
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
		guard_node((ModifyTableState *) query->planstate);
	foreach(lc, query->estate->es_auxmodifytables)
		guard_node(lfirst(lc));
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
	for (Guard *guard = guards; guard != NULL; guard = guard->next)
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

	for (Guard *guard = guards; guard != NULL; guard = guard->next)
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
	if (guards == NULL || guard_of(query->estate) == NULL)
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
	for (Guard *guard = guards; guard != NULL; guard = guard->next)
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
