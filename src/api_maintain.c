/*-------------------------------------------------------------------------
 *
 * api_maintain.c
 *		SQL functions that maintain sets, in the caller's transaction.
 *
 * Each reads its arguments, checks the caller's right, fills in an order and
 * lets maintenance.c carry it out; what became of the steps is returned as
 * rows.  The time is that of the transaction's start, so that one transaction
 * sees one point in time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "api.h"
#include "catalog/pg_class.h"
#include "funcapi.h"
#include "maintenance.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "compat.h"

PG_FUNCTION_INFO_V1(partmgr_run_maintenance);
PG_FUNCTION_INFO_V1(partmgr_run_partition_maintenance);
PG_FUNCTION_INFO_V1(partmgr_maintenance_plan);
PG_FUNCTION_INFO_V1(partmgr_create_future_partitions);
PG_FUNCTION_INFO_V1(partmgr_partition_gap_fill);
PG_FUNCTION_INFO_V1(partmgr_drop_old_partitions);
PG_FUNCTION_INFO_V1(partmgr_drop_old_partitions_months);
PG_FUNCTION_INFO_V1(partmgr_analyze_partitions);

/* ---------- what to do, and with what ---------- */

/* an order for everything that maintenance does */
static void
init_order(PmOrder *order)
{
	memset(order, 0, sizeof(PmOrder));
	order->now = GetCurrentTransactionStartTimestamp();
	order->create = true;
	order->retire = true;
}

/*
 * check_armed raises an error for a set that came out of a dump and was not
 * resumed: a copy of production must not start dropping.
 */
static void
check_armed(Oid parent)
{
	const PartSet *set = pm_config_read_one(parent);

	if (set && !set->is_armed)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("maintenance of table \"%s\" is suspended since it was restored",
						get_rel_name(parent)),
				 errhint("Use resume_maintenance() to let it go on.")));
}

/* optional_set reads the first argument: a set of the caller's, or null. */
static Oid
optional_set(FunctionCallInfo fcinfo)
{
	return PG_ARGISNULL(0) ? InvalidOid :
		pm_api_own_set(fcinfo, 0, "p_parent_table");
}

/*
 * carry_out maintains one set, or all of the caller's if parent is not valid,
 * and returns the outcomes.
 */
static List *
carry_out(Oid parent, const PmOrder *order)
{
	const bool	automatic_only = true;
	const bool	armed_only = true;
	List	   *outcomes = NIL;

	if (!OidIsValid(parent))
	{
		pm_maintain_all(pm_api_own_sets(automatic_only, armed_only), order,
						&outcomes);
		return outcomes;
	}
	if (!order->dry_run)
	{
		check_armed(parent);
		if (order->create && order->retire && pm_is_suspended(pm_config_read_one(parent)))
			return NIL;
	}
	return pm_maintain(parent, order);
}

/* ---------- rows ---------- */

/* columns are filled from left to right */
typedef struct RowBuilder
{
	ReturnSetInfo *rsinfo;
	int			n;
	Datum		values[16];
	bool		nulls[16];
} RowBuilder;

static void
begin_rows(FunctionCallInfo fcinfo, RowBuilder *row)
{
	InitMaterializedSRF(fcinfo, 0);
	row->rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	row->n = 0;
}

static void
add_datum(RowBuilder *row, Datum value, bool isnull)
{
	Assert(row->n < lengthof(row->values));
	row->values[row->n] = value;
	row->nulls[row->n++] = isnull;
}

static void
add_text(RowBuilder *row, const char *text)
{
	add_datum(row, (text == NULL) ? (Datum) 0 : CStringGetTextDatum(text),
			  text == NULL);
}

/* add_count adds a number that is not known if it is negative. */
static void
add_count(RowBuilder *row, int64 count)
{
	add_datum(row, Int64GetDatum(count), count < 0);
}

static void
put_row(RowBuilder *row)
{
	tuplestore_putvalues(row->rsinfo->setResult, row->rsinfo->setDesc,
						 row->values, row->nulls);
	row->n = 0;
}

/* outcome_reason says why a step is in the plan, or why it is not done. */
static const char *
outcome_reason(const PmOutcome *outcome)
{
	return (outcome->step->blocked != NULL) ? outcome->step->blocked :
		outcome->step->reason;
}

/* return_outcomes returns a row for each step done, planned or blocked. */
static void
return_outcomes(FunctionCallInfo fcinfo, List *outcomes)
{
	RowBuilder	row;
	ListCell   *lc;

	begin_rows(fcinfo, &row);
	foreach(lc, outcomes)
	{
		const PmOutcome *outcome = lfirst(lc);

		add_datum(&row, ObjectIdGetDatum(outcome->set->parent), false);
		add_text(&row, outcome->step_name);
		add_text(&row, outcome->partition);
		add_text(&row, outcome->range);
		add_text(&row, outcome_reason(outcome));
		add_text(&row, outcome->status);
		add_count(&row, outcome->rows);
		add_count(&row, outcome->bytes);
		put_row(&row);
	}
}

/* ---------- all of maintenance ---------- */

/*
 * partmgr_run_maintenance(p_parent_table, p_analyze, p_jobmon)
 *
 * On a standby nothing is done, in silence: the same cron job may run on all
 * servers.
 */
Datum
partmgr_run_maintenance(PG_FUNCTION_ARGS)
{
	PmOrder		order;

	pm_api_require();
	if (RecoveryInProgress())
		PG_RETURN_VOID();
	pm_arg_not_null(fcinfo, 1, "p_analyze");
	init_order(&order);
	order.analyze = PG_GETARG_BOOL(1);
	(void) carry_out(optional_set(fcinfo), &order);
	PG_RETURN_VOID();
}

/* partmgr_run_partition_maintenance(p_parent_table, p_dry_run) */
Datum
partmgr_run_partition_maintenance(PG_FUNCTION_ARGS)
{
	PmOrder		order;

	pm_api_require();
	pm_arg_not_null(fcinfo, 1, "p_dry_run");
	init_order(&order);
	order.dry_run = order.upkeep = PG_GETARG_BOOL(1);
	return_outcomes(fcinfo, carry_out(optional_set(fcinfo), &order));
	PG_RETURN_NULL();
}

/* partmgr_maintenance_plan(p_parent_table, p_at) */
Datum
partmgr_maintenance_plan(PG_FUNCTION_ARGS)
{
	PmOrder		order;
	RowBuilder	row;
	ListCell   *lc;
	List	   *outcomes;

	pm_api_require();
	pm_arg_not_null(fcinfo, 1, "p_at");
	init_order(&order);
	order.dry_run = order.upkeep = true;
	order.now = PG_GETARG_TIMESTAMPTZ(1);
	if (TIMESTAMP_NOT_FINITE(order.now))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("p_at must not be infinite")));

	outcomes = carry_out(optional_set(fcinfo), &order);
	begin_rows(fcinfo, &row);
	foreach(lc, outcomes)
	{
		const PmOutcome *outcome = lfirst(lc);

		add_datum(&row, ObjectIdGetDatum(outcome->set->parent), false);
		add_text(&row, outcome->step_name);
		add_text(&row, outcome->partition);
		add_text(&row, outcome->range);
		add_text(&row, outcome_reason(outcome));
		add_text(&row, outcome->locks);
		add_count(&row, outcome->rows);
		add_count(&row, outcome->bytes);
		add_text(&row, outcome->sql);
		put_row(&row);
	}
	PG_RETURN_NULL();
}

/* ---------- creation ---------- */

/*
 * count_from_first makes an order for a set of ids that has no row count from
 * its first partition: there is no highest id to count from.
 */
static void
count_from_first(Oid parent, PmOrder *order)
{
	PmLook	   *look = pm_catalog_look(pm_config_read_one(parent));
	int64		newest;
	ListCell   *lc;

	if (look->set->key.axis != AXIS_ID || pm_catalog_newest(look, &newest))
		return;
	foreach(lc, look->partitions)
	{
		const Partition *partition = lfirst(lc);

		if (!partition->is_readable || partition->bound.lower_open)
			continue;
		order->has_backfill = true;
		order->backfill = partition->bound.lower;
		return;
	}
}

/*
 * partmgr_create_future_partitions(p_parent_table, p_count) makes partitions
 * until so many are ahead, whatever the set's premake.
 */
Datum
partmgr_create_future_partitions(PG_FUNCTION_ARGS)
{
	Oid			parent;
	PmOrder		order;
	int			count;

	pm_api_require();
	parent = pm_api_own_set(fcinfo, 0, "p_parent_table");
	pm_arg_not_null(fcinfo, 1, "p_count");
	count = PG_GETARG_INT32(1);
	if (count < 1 || count > PM_MAX_PARTITIONS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("p_count must be between 1 and %d", PM_MAX_PARTITIONS)));
	init_order(&order);
	order.retire = false;
	order.premake = count;
	order.uncapped = true;
	count_from_first(parent, &order);
	return_outcomes(fcinfo, carry_out(parent, &order));
	PG_RETURN_NULL();
}

/*
 * partmgr_partition_gap_fill(p_parent_table) makes what is missing since the
 * first partition, and returns how many it made.
 */
Datum
partmgr_partition_gap_fill(PG_FUNCTION_ARGS)
{
	Oid			parent;
	PmOrder		order;
	int			made = 0;
	ListCell   *lc;

	pm_api_require();
	parent = pm_api_own_set(fcinfo, 0, "p_parent_table");
	init_order(&order);
	order.retire = false;
	order.fill_gaps = true;
	foreach(lc, carry_out(parent, &order))
	{
		const PmOutcome *outcome = lfirst(lc);

		if (outcome->step->blocked == NULL)
			made++;
	}
	PG_RETURN_INT32(made);
}

/* ---------- retention ---------- */

/* retire_action says what was, or would be, done with a partition. */
static const char *
retire_action(const PmOutcome *outcome, bool dry_run)
{
	if (outcome->step->blocked != NULL)
		return psprintf("blocked: %s", outcome->step->blocked);
	if (strcmp(outcome->status, "held") == 0)
		return psprintf("held: %s", outcome->step->reason);
	switch (outcome->step->kind)
	{
		case STEP_CREATE:
		case STEP_UPKEEP:
		case STEP_DRAIN:
		case STEP_COMPRESS:
			return NULL;		/* not of retention */
		case STEP_FINALIZE:
			return dry_run ? "detach would be finalized" : "detach finalized";
		case STEP_REATTACH:
			return dry_run ? "would be attached again" : "attached again";
		case STEP_SETTLE:
			return dry_run ? "would be settled" : "settled";
		case STEP_ARCHIVE:
			return dry_run ? "would be archived" : outcome->step->reason;
		case STEP_DROP:
			return dry_run ? "would be dropped" : "dropped";
		case STEP_RETIRE:
			break;
	}
	switch (outcome->step->retire)
	{
		case RETIRE_KEEP:
		case RETIRE_LATER:
			return dry_run ? "would be detached" : "detached";
		case RETIRE_MOVE:
			return psprintf("%s to schema %s", dry_run ? "would be moved" : "moved",
							quote_identifier(outcome->set->retention_schema));
		case RETIRE_DROP:
			return dry_run ? "would be dropped" : "dropped";
	}
	return NULL;				/* keep the compiler quiet */
}

/*
 * retire_old carries out retention, the configured one if NULL is given, and
 * returns a row for each partition.
 */
static void
retire_old(FunctionCallInfo fcinfo, Oid parent, const char *retention,
		   bool dry_run)
{
	PmOrder		order;
	RowBuilder	row;
	ListCell   *lc;
	List	   *outcomes;

	init_order(&order);
	order.create = false;
	order.retention = retention;
	order.dry_run = dry_run;
	order.list_held = true;
	order.lock_first = OidIsValid(parent);
	outcomes = carry_out(parent, &order);

	begin_rows(fcinfo, &row);
	foreach(lc, outcomes)
	{
		const PmOutcome *outcome = lfirst(lc);

		add_datum(&row, ObjectIdGetDatum(outcome->set->parent), false);
		add_text(&row, outcome->partition);
		add_text(&row, outcome->range);
		add_count(&row, outcome->rows);
		add_count(&row, outcome->bytes);
		add_text(&row, retire_action(outcome, dry_run));
		put_row(&row);
	}
}

/* partmgr_drop_old_partitions(p_parent_table, p_retention, p_dry_run) */
Datum
partmgr_drop_old_partitions(PG_FUNCTION_ARGS)
{
	Oid			parent;
	char	   *retention;

	pm_api_require();
	parent = optional_set(fcinfo);
	pm_arg_not_null(fcinfo, 2, "p_dry_run");
	retention = pm_arg_text(fcinfo, 1);
	if (OidIsValid(parent) && retention == NULL &&
		!pm_set_retires(pm_config_read_one(parent)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("no retention is configured for table \"%s\"",
						get_rel_name(parent)),
				 errhint("Pass p_retention, or set retention, retention_partitions or retention_size in part_config.")));
	retire_old(fcinfo, parent, retention, PG_GETARG_BOOL(2));
	PG_RETURN_NULL();
}

/* partmgr_drop_old_partitions_months(p_parent_table, p_months, p_dry_run) */
Datum
partmgr_drop_old_partitions_months(PG_FUNCTION_ARGS)
{
	Oid			parent;

	pm_api_require();
	parent = pm_api_own_set(fcinfo, 0, "p_parent_table");
	pm_arg_not_null(fcinfo, 1, "p_months");
	pm_arg_not_null(fcinfo, 2, "p_dry_run");
	if (PG_GETARG_INT32(1) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("p_months must be at least 1")));
	if (pm_config_read_one(parent)->key.axis == AXIS_ID)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("table \"%s\" is partitioned by an id, which has no months",
						get_rel_name(parent)),
				 errhint("Pass the number of ids to keep as text: drop_old_partitions(table, '1000000').")));
	retire_old(fcinfo, parent, psprintf("%d months", PG_GETARG_INT32(1)),
			   PG_GETARG_BOOL(2));
	PG_RETURN_NULL();
}

/* ---------- statistics ---------- */

static void
put_analyzed(RowBuilder *row, Oid relation)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	TimestampTz last;

	if (!HeapTupleIsValid(tuple))
		return;
	last = pm_api_last_time(pg_stat_get_last_analyze_time,
							pg_stat_get_last_autoanalyze_time, relation);
	add_text(row, pm_qualified_name(relation));
	add_count(row, (int64) ((Form_pg_class) GETSTRUCT(tuple))->reltuples);
	ReleaseSysCache(tuple);
	add_datum(row, TimestampTzGetDatum(last), last == 0);
	put_row(row);
}

static void
call_analyze(void *arg)
{
	const PartSet *set = arg;
	const bool	only_parent = false;

	pm_ddl_analyze(set->parent, set->owner, only_parent, NULL);
}

/*
 * partmgr_analyze_partitions(p_parent_table) analyzes a parent, which takes
 * its partitions along, and returns a row for each of them.
 */
Datum
partmgr_analyze_partitions(PG_FUNCTION_ARGS)
{
	Oid			parent;
	PmLook	   *look;
	RowBuilder	row;
	ListCell   *lc;

	pm_api_require();
	parent = pm_api_own_set(fcinfo, 0, "p_parent_table");
	look = pm_catalog_look(pm_config_read_one(parent));
	pm_lockwait_run(parent, call_analyze, look->set);

	/* not what this transaction may have read before */
	CommandCounterIncrement();
	pgstat_clear_snapshot();
	begin_rows(fcinfo, &row);
	put_analyzed(&row, parent);
	foreach(lc, look->partitions)
		put_analyzed(&row, ((Partition *) lfirst(lc))->oid);
	if (look->dflt != NULL)
		put_analyzed(&row, look->dflt->oid);
	PG_RETURN_NULL();
}
