/*-------------------------------------------------------------------------
 *
 * api_constraint.c
 *		pg_partman's functions and procedure for extra constraints.
 *
 * What a partition gets is in constraint.c; here is which one, and as whose wish.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "api.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "tcop/pquery.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "compat.h"

PG_FUNCTION_INFO_V1(partmgr_apply_constraints);
PG_FUNCTION_INFO_V1(partmgr_drop_constraints);
PG_FUNCTION_INFO_V1(partmgr_reapply_constraints_proc);

/* one partition, for pm_lockwait_run */
typedef struct ConstraintCall
{
	PartSet    *set;
	Oid			table;
	bool		drop;
	bool		apply;
	bool		verbose;		/* tell the statements that drop */
} ConstraintCall;

/* p_child_table: a partition of the set that can have constraints */
static Oid
child_argument(FunctionCallInfo fcinfo, int argno, Oid parent)
{
	bool		isnull;
	Oid			child = pm_arg_relation(fcinfo, argno, &isnull);

	if (isnull)
		return InvalidOid;
	if (!get_rel_relispartition(child) || get_partition_parent(child, true) != parent)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("table %s is not a partition of %s", pm_qualified_name(child), pm_qualified_name(parent))));
	if (get_rel_relkind(child) == RELKIND_FOREIGN_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("foreign table %s cannot have extra constraints", pm_qualified_name(child))));
	return child;
}

/* the partition behind the newest with rows; InvalidOid if there is none */
static Oid
child_behind(PartSet *set, int distance)
{
	PmLook	   *look = pm_catalog_look(set);
	Partition  *partition;

	set->filled = pm_constraint_filled(look->partitions);
	partition = pm_plan_behind(set, look->partitions, distance);
	return partition && partition->relkind != RELKIND_FOREIGN_TABLE ? partition->oid : InvalidOid;
}

static void
drop(const ConstraintCall *call)
{
	const bool	invalid_only = true;
	List	   *statements = pm_constraint_drops(call->set, call->table, !invalid_only);
	ListCell   *lc;

	if (call->verbose)
		foreach(lc, statements)
			ereport(NOTICE, (errmsg_internal("%s", (char *) lfirst(lc))));
	pm_constraint_run(call->set->owner, statements);
}

static void
run_call(void *arg)
{
	ConstraintCall *call = arg;

	if (call->drop)
		drop(call);
	if (call->apply)
		(void) pm_constraint_apply(call->set, call->table);
}

/* refuses to drop what is not configured */
static void
check_configured(const PartSet *set)
{
	if (set->constraint_cols == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table %s has no extra constraints", pm_full_name(set)),
				 errhint("Set constraint_cols in part_config.")));
}

static void
analyze(const PartSet *set)
{
	const bool	only_parent = true;

	pm_ddl_analyze(set->parent, set->owner, !only_parent, NULL);
}

/*
 * partmgr_apply_constraints(p_parent_table, p_child_table, p_analyze, p_job_id)
 * gives a partition CHECKs on the least and greatest values of constraint_cols; if
 * none is named, the one whose turn it is.  Without constraint_cols nothing
 * happens.  p_job_id is ignored.
 *
 * Locks: ACCESS EXCLUSIVE on the partition.  Errors: not the owner, not managed,
 * not a partition of the set; core's.
 */
Datum
partmgr_apply_constraints(PG_FUNCTION_ARGS)
{
	ConstraintCall call = {.apply = true};
	Oid			parent;

	pm_api_require();
	parent = pm_api_own_set(fcinfo, 0, "p_parent_table");
	pm_arg_not_null(fcinfo, 2, "p_analyze");
	call.set = pm_config_read_one(parent);
	call.table = child_argument(fcinfo, 1, parent);
	if (call.set->constraint_cols == NIL)
		PG_RETURN_VOID();
	if (!OidIsValid(call.table) && call.set->optimize_constraint < PG_INT32_MAX)
		call.table = child_behind(call.set, call.set->optimize_constraint + 1);
	if (OidIsValid(call.table))
		pm_lockwait_run(parent, run_call, &call);
	if (PG_GETARG_BOOL(2))
		analyze(call.set);
	PG_RETURN_VOID();
}

/*
 * partmgr_drop_constraints(p_parent_table, p_child_table, p_debug) drops them from
 * a partition; with p_debug it tells the statement.
 *
 * Locks: ACCESS EXCLUSIVE on the partition.  Errors: not the owner, not managed, not
 * a partition of the set, no constraint_cols; core's.
 */
Datum
partmgr_drop_constraints(PG_FUNCTION_ARGS)
{
	ConstraintCall call = {.drop = true};
	Oid			parent;

	pm_api_require();
	parent = pm_api_own_set(fcinfo, 0, "p_parent_table");
	pm_arg_not_null(fcinfo, 1, "p_child_table");
	pm_arg_not_null(fcinfo, 2, "p_debug");
	call.set = pm_config_read_one(parent);
	check_configured(call.set);
	call.table = child_argument(fcinfo, 1, parent);
	call.verbose = PG_GETARG_BOOL(2);
	pm_lockwait_run(parent, run_call, &call);
	PG_RETURN_VOID();
}


/* ---------- the procedure ---------- */

/* what reapply_constraints_proc() was asked for */
typedef struct Reapply
{
	Oid			parent;
	bool		drop;
	bool		apply;
	bool		dry_run;
	int			wait;			/* s, between two partitions */
	MemoryContext context;		/* reset after each partition */
} Reapply;

static void
check_may_commit(FunctionCallInfo fcinfo)
{
	CallContext *context = (CallContext *) fcinfo->context;

	if (context == NULL || !IsA(context, CallContext) || context->atomic)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
				 errmsg("reapply_constraints_proc() cannot run inside a transaction block"),
				 errhint("Call it on its own, or use apply_constraints() and drop_constraints().")));
}

/* the partitions up to the one that is optimize_constraint behind the newest with rows */
static List *
old_partitions(Oid parent)
{
	PartSet    *set = pm_config_read_one(parent);
	PmLook	   *look = pm_catalog_look(set);
	List	   *result = NIL;
	Partition  *last;
	ListCell   *lc;

	set->filled = pm_constraint_filled(look->partitions);
	last = pm_plan_behind(set, look->partitions, set->optimize_constraint);
	foreach(lc, look->partitions)
	{
		Partition  *partition = lfirst(lc);

		if (last == NULL)
			break;
		if (partition->is_readable && !partition->is_pending && partition->relkind != RELKIND_FOREIGN_TABLE)
			result = lappend_oid(result, partition->oid);
		if (partition == last)
			break;
	}
	return result;
}

/* one partition, in a transaction of its own */
static void
reapply_one(const Reapply *reapply, Oid table)
{
	MemoryContext old = MemoryContextSwitchTo(reapply->context);
	ConstraintCall call = {.table = table, .drop = reapply->drop, .apply = reapply->apply};

	EnsurePortalSnapshotExists();
	/* another session may have detached or dropped it, or given the set away */
	if (!get_rel_relispartition(table) || get_partition_parent(table, true) != reapply->parent ||
		!pm_api_owns(reapply->parent))
		call.set = NULL;
	else
		call.set = pm_config_read_one(reapply->parent);
	if (call.set == NULL || call.set->constraint_cols == NIL)
		call.apply = call.drop = false;
	if (reapply->dry_run)
	{
		if (call.drop)
			ereport(NOTICE, (errmsg("extra constraints of partition %s would be dropped", pm_qualified_name(table))));
		if (call.apply)
			ereport(NOTICE, (errmsg("extra constraints of partition %s would be made", pm_qualified_name(table))));
	}
	else if (call.drop || call.apply)
		pm_lockwait_run(reapply->parent, run_call, &call);
	MemoryContextSwitchTo(old);
	MemoryContextReset(reapply->context);
}

static void
analyze_at_end(const Reapply *reapply)
{
	PartSet    *set;

	EnsurePortalSnapshotExists();
	if (!pm_api_owns(reapply->parent) || (set = pm_config_read_one(reapply->parent)) == NULL)
		return;
	if (reapply->dry_run)
		ereport(NOTICE, (errmsg("table %s would be analyzed", pm_full_name(set))));
	else
		analyze(set);
}

static int
wait_argument(FunctionCallInfo fcinfo, int argno)
{
	pm_arg_not_null(fcinfo, argno, "p_wait");
	if (PG_GETARG_INT32(argno) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("p_wait must not be negative")));
	return PG_GETARG_INT32(argno);
}

/*
 * partmgr_reapply_constraints_proc(p_parent_table, p_drop_constraints,
 * p_apply_constraints, p_analyze, p_wait, p_dryrun) drops, makes, or drops and makes
 * anew the constraints of all old partitions, each in a transaction of its own,
 * p_wait seconds apart; then it analyzes the table.
 *
 * Locks: those of apply_constraints(), for a partition at a time.
 */
Datum
partmgr_reapply_constraints_proc(PG_FUNCTION_ARGS)
{
	Reapply		reapply = {0};
	MemoryContext context;
	MemoryContext old;
	List	   *tables;
	ListCell   *lc;

	check_may_commit(fcinfo);
	pm_api_require();
	reapply.parent = pm_api_own_set(fcinfo, 0, "p_parent_table");
	pm_arg_not_null(fcinfo, 1, "p_drop_constraints");
	pm_arg_not_null(fcinfo, 2, "p_apply_constraints");
	pm_arg_not_null(fcinfo, 3, "p_analyze");
	pm_arg_not_null(fcinfo, 5, "p_dryrun");
	reapply.drop = PG_GETARG_BOOL(1);
	reapply.apply = PG_GETARG_BOOL(2);
	reapply.wait = wait_argument(fcinfo, 4);
	reapply.dry_run = PG_GETARG_BOOL(5);
	if (reapply.drop)
		check_configured(pm_config_read_one(reapply.parent));

	context = AllocSetContextCreate(PortalContext, "partmgr procedure", ALLOCSET_SMALL_SIZES);
	reapply.context = AllocSetContextCreate(context, "partmgr partition", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	tables = old_partitions(reapply.parent);
	MemoryContextSwitchTo(old);

	pm_spi_procedure_begin();
	foreach(lc, tables)
	{
		reapply_one(&reapply, lfirst_oid(lc));
		pm_spi_procedure_commit();
		if (reapply.wait > 0 && lnext(tables, lc) != NULL)
			pm_procedure_wait(reapply.wait);
	}
	if (tables != NIL && PG_GETARG_BOOL(3))
		analyze_at_end(&reapply);
	pm_spi_procedure_end();
	MemoryContextDelete(context);
	PG_RETURN_VOID();
}
