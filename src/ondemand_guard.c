/*-------------------------------------------------------------------------
 *
 * ondemand_guard.c
 *		Which statements are guarded on behalf of sets with on_demand, and where
 *		in them the keys of the rows are.
 *
 * A guard lives in the memory of its query and is forgotten with it.  Nothing here
 * waits for a lock: a set below the table that is locked goes without.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/partition.h"
#include "executor/executor.h"
#include "guard.h"
#include "optimizer/optimizer.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/partcache.h"
#include "utils/rel.h"

#include "compat.h"

static PmRefusal not_moved = {
	.detail = "MERGE has partitions made on demand for the rows that it inserts only."
};

static void
forget_guard(void *arg)
{
	Guard	  **link = &pm_guards;
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

/* pm_guard_node guards a ModifyTable, if it writes to a set with on_demand. */
void
pm_guard_node(ModifyTableState *mtstate)
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
			pm_guard_read_cover(guard, lfirst(lc));
		}
		if (list_length(guard->watches) == 1 && guard->merge == NIL)
			guard->only = linitial(guard->watches);
		guard->node = node;
		guard->fetch = node->ExecProcNodeReal;
		guard->at_end.func = forget_guard;
		guard->at_end.arg = guard;
		MemoryContextRegisterResetCallback(estate->es_query_cxt, &guard->at_end);
		guard->next = pm_guards;
		pm_guards = guard;
		if (guard->watches != NIL)
			ExecSetExecProcNode(node, pm_guard_fetch);
	}
	MemoryContextSwitchTo(old);
}
