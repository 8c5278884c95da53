/*-------------------------------------------------------------------------
 *
 * api_proc.c
 *		Procedures: maintenance with a commit after each set.
 *
 * With worker.c the only file that ends transactions and waits.  Whatever
 * lives longer than one set is kept in a memory context of the portal, which
 * survives commits.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "api.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/latch.h"
#include "tcop/pquery.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"

PG_FUNCTION_INFO_V1(partmgr_run_maintenance_proc);
PG_FUNCTION_INFO_V1(partmgr_run_analyze);

/* a latch cannot be waited for longer than fits an int */
#define MAX_SLEEP_MS 3600000

/* check_may_commit raises an error if the procedure cannot commit here. */
static void
check_may_commit(FunctionCallInfo fcinfo, const char *procedure, const char *hint)
{
	CallContext *context = (CallContext *) fcinfo->context;

	if (context == NULL || !IsA(context, CallContext) || context->atomic)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
				 errmsg("%s() cannot run inside a transaction block", procedure),
				 errhint("Call it on its own, or use %s().", hint)));
}

/* pm_procedure_wait sleeps, without a snapshot or a lock, and can be cancelled. */
void
pm_procedure_wait(int seconds)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													seconds * INT64CONST(1000));
	uint32		wait_event = pm_wait_event("PartmgrProcedureWait");

	for (;;)
	{
		long		rest;

		CHECK_FOR_INTERRUPTS();
		rest = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until);
		if (rest <= 0)
			return;
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 Min(rest, MAX_SLEEP_MS), wait_event);
		ResetLatch(MyLatch);
	}
}

/* maintain_one maintains one set in a transaction of its own. */
static void
maintain_one(Oid parent, bool analyze, MemoryContext context)
{
	PmOrder		order;
	List	   *outcomes = NIL;
	MemoryContext old = MemoryContextSwitchTo(context);

	/* commit has taken the portal's snapshot away */
	EnsurePortalSnapshotExists();
	memset(&order, 0, sizeof(order));
	order.now = GetCurrentTransactionStartTimestamp();
	order.create = true;
	order.retire = true;
	order.analyze = analyze;
	pm_maintain_all(list_make1_oid(parent), &order, &outcomes);
	MemoryContextSwitchTo(old);
	MemoryContextReset(context);
}

/*
 * partmgr_run_maintenance_proc(p_wait, p_analyze, p_jobmon) maintains all sets
 * of the caller, each in a transaction of its own, p_wait seconds apart.
 */
Datum
partmgr_run_maintenance_proc(PG_FUNCTION_ARGS)
{
	const bool	automatic_only = true;
	const bool	armed_only = true;
	MemoryContext run_context;
	MemoryContext set_context;
	MemoryContext old;
	List	   *parents;
	ListCell   *lc;

	check_may_commit(fcinfo, "run_maintenance_proc", "run_maintenance");
	pm_api_require();
	if (RecoveryInProgress())
		PG_RETURN_VOID();
	pm_arg_not_null(fcinfo, 0, "p_wait");
	pm_arg_not_null(fcinfo, 1, "p_analyze");
	if (PG_GETARG_INT32(0) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("p_wait must not be negative")));

	run_context = AllocSetContextCreate(PortalContext, "partmgr procedure",
										ALLOCSET_SMALL_SIZES);
	set_context = AllocSetContextCreate(run_context, "partmgr set",
										ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(run_context);
	parents = pm_api_own_sets(automatic_only, armed_only);
	MemoryContextSwitchTo(old);

	pm_spi_procedure_begin();
	foreach(lc, parents)
	{
		/* another session may have dropped the set, or given it away */
		if (pm_api_owns(lfirst_oid(lc)))
			maintain_one(lfirst_oid(lc), PG_GETARG_BOOL(1), set_context);
		pm_spi_procedure_commit();
		if (lnext(parents, lc) != NULL)
			pm_procedure_wait(PG_GETARG_INT32(0));
	}
	pm_spi_procedure_end();
	MemoryContextDelete(run_context);
	PG_RETURN_VOID();
}

/* analyze_one analyzes one parent with its partitions, in a transaction of its own. */
static void
analyze_one(Oid parent, bool skip_locked, bool quiet)
{
	PartSet    *set;

	EnsurePortalSnapshotExists();
	/* another session may have dropped the set, or given it away */
	if (!pm_api_owns(parent) || (set = pm_config_read_one(parent)) == NULL)
		return;
	pm_ddl_analyze_set(set, skip_locked);
	if (!quiet)
		ereport(NOTICE, (errmsg("analyzed table %s", pm_full_name(set))));
}

/*
 * partmgr_run_analyze(p_skip_locked, p_quiet, p_parent_table) analyzes the parents of
 * all sets of the caller, or of one, each in a transaction of its own.
 *
 * Waits for SHARE UPDATE EXCLUSIVE on each table, without any other lock, unless it
 * is to leave out what is locked.
 */
Datum
partmgr_run_analyze(PG_FUNCTION_ARGS)
{
	const bool	automatic_only = true;
	const bool	armed_only = true;
	MemoryContext context;
	MemoryContext old;
	List	   *parents;
	ListCell   *lc;

	check_may_commit(fcinfo, "run_analyze", "analyze_partitions");
	pm_api_require();
	pm_arg_not_null(fcinfo, 0, "p_skip_locked");
	pm_arg_not_null(fcinfo, 1, "p_quiet");
	context = AllocSetContextCreate(PortalContext, "partmgr procedure", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	parents = PG_ARGISNULL(2) ? pm_api_own_sets(!automatic_only, !armed_only) :
		list_make1_oid(pm_api_own_set(fcinfo, 2, "p_parent_table"));

	pm_spi_procedure_begin();
	MemoryContextSwitchTo(context);
	foreach(lc, parents)
	{
		analyze_one(lfirst_oid(lc), PG_GETARG_BOOL(0), PG_GETARG_BOOL(1));
		pm_spi_procedure_commit();
		MemoryContextSwitchTo(context);
	}
	pm_spi_procedure_end();
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	PG_RETURN_VOID();
}
