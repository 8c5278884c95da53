/*-------------------------------------------------------------------------
 *
 * api_asked.c
 *		pg_partman's functions that make or retire partitions as the call says,
 *		not as the configuration does: create_partition_time() and _id(),
 *		drop_partition_time() and _id(); and check_name_length().
 *
 * Time and id variants are one: the type of an argument says which it is, and
 * the other kind of set is refused.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "api.h"
#include "catalog/pg_type.h"
#include "maintenance.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "compat.h"

PG_FUNCTION_INFO_V1(partmgr_create_partition_exact);
PG_FUNCTION_INFO_V1(partmgr_drop_partition_asked);
PG_FUNCTION_INFO_V1(partmgr_check_name_length);

/*
 * asked_set reads the first argument, a set of the caller's; is_id says for which
 * kind of key the function is.
 */
static PartSet *
asked_set(FunctionCallInfo fcinfo, bool is_id)
{
	Oid			parent = pm_api_own_set(fcinfo, 0, "p_parent_table");
	PartSet    *set = pm_config_read_one(parent);

	if (!set->is_armed)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("maintenance of table \"%s\" is suspended since it was restored", set->name),
				 errhint("Use resume_maintenance() to let it go on.")));
	if ((set->key.axis == AXIS_ID) != is_id)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg(is_id ? "table \"%s\" is partitioned by time" :
						"table \"%s\" is partitioned by an id", set->name),
				 errhint(is_id ? "Use the function for times." : "Use the function for ids.")));
	return set;
}

/* how many of the outcomes are of one kind, and not blocked */
static int
count_done(List *outcomes, PmStepKind kind)
{
	int			n = 0;
	ListCell   *lc;

	foreach(lc, outcomes)
	{
		const PmOutcome *outcome = lfirst(lc);

		n += outcome->step->kind == kind && outcome->step->blocked == NULL;
	}
	return n;
}

/* ---------- create_partition_time, create_partition_id ---------- */

/* wanted_positions reads an array of moments or ids; nulls are passed over. */
static List *
wanted_positions(const PartSet *set, ArrayType *array)
{
	Oid			type = ARR_ELEMTYPE(array);
	Datum	   *values;
	bool	   *nulls;
	int			n;
	List	   *result = NIL;

	deconstruct_array(array, type, sizeof(int64), true, TYPALIGN_DOUBLE, &values, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		int64	   *pos = palloc(sizeof(int64));

		if (nulls[i])
			continue;
		*pos = DatumGetInt64(values[i]);
		if (type == TIMESTAMPTZOID)
		{
			if (TIMESTAMP_NOT_FINITE(*pos))
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("a partition cannot begin at infinity")));
			*pos = pm_key_now(&set->key, set->grid.zone, *pos);
		}
		result = lappend(result, pos);
	}
	return result;
}

/*
 * partmgr_create_partition_exact(p_parent_table, p_partition_times or p_partition_ids,
 * p_start_partition) makes partitions that begin exactly there, an interval wide;
 * where one is in the way there is none made.  Returns whether any was.
 *
 * p_start_partition is for partitions that are sets themselves.  Locks, and errors:
 * those of a creation by maintenance.
 */
Datum
partmgr_create_partition_exact(PG_FUNCTION_ARGS)
{
	PmOrder		order = {.now = GetCurrentTransactionStartTimestamp()};
	PmMaintainCall call = {.order = &order};
	ArrayType  *array;
	PartSet    *set;

	pm_api_require();
	pm_arg_not_null(fcinfo, 1, "the array of lower bounds");
	array = PG_GETARG_ARRAYTYPE_P(1);
	set = asked_set(fcinfo, ARR_ELEMTYPE(array) == INT8OID);
	order.wanted = wanted_positions(set, array);
	if (order.wanted == NIL)
		PG_RETURN_BOOL(false);
	call.parent = set->parent;
	pm_lockwait_run(set->parent, pm_maintain_call, &call);
	pm_log_outcomes(call.outcomes);
	PG_RETURN_BOOL(count_done(call.outcomes, STEP_CREATE) > 0);
}

/* ---------- drop_partition_time, drop_partition_id ---------- */

/* read_ask reads what is to become of the partitions; NULL means as configured. */
static void
read_ask(FunctionCallInfo fcinfo, const PartSet *set, PmRetireAsk *ask)
{
	ask->has_keep_table = !PG_ARGISNULL(2);
	ask->keep_table = ask->has_keep_table && PG_GETARG_BOOL(2);
	ask->has_keep_index = !PG_ARGISNULL(3);
	ask->keep_index = ask->has_keep_index && PG_GETARG_BOOL(3);
	ask->schema = pm_arg_text(fcinfo, 4);
	if (ask->schema)
		pm_api_check_retention_schema(set, ask->schema);
}

/*
 * partmgr_drop_partition_asked(p_parent_table, p_retention, p_keep_table, p_keep_index,
 * p_retention_schema [, p_reference_timestamp]) retires what is older than a retention
 * (an interval, or a number of ids), by default the configured one, counted from a
 * moment, by default now.  Returns how many partitions the set has lost.
 *
 * Locks and the rest: those of retention by maintenance.
 */
Datum
partmgr_drop_partition_asked(PG_FUNCTION_ARGS)
{
	bool		is_id = PG_NARGS() == 5;
	PmRetireAsk ask = {0};
	PmOrder		order = {.now = GetCurrentTransactionStartTimestamp(), .retire = true, .lock_first = true, .ask = &ask};
	PartSet    *set;

	pm_api_require();
	set = asked_set(fcinfo, is_id);
	read_ask(fcinfo, set, &ask);
	if (!PG_ARGISNULL(1))
		order.retention = is_id ? psprintf(INT64_FORMAT, PG_GETARG_INT64(1)) :
			DatumGetCString(DirectFunctionCall1(interval_out, PG_GETARG_DATUM(1)));
	else if (!set->has_retention && set->retention_partitions == 0 && set->retention_bytes == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("no retention is configured for table \"%s\"", set->name),
				 errhint("Pass p_retention, or set retention in part_config.")));
	if (!is_id)
	{
		pm_arg_not_null(fcinfo, 5, "p_reference_timestamp");
		/* what ends exactly at the retention's begin stays, as in pg_partman */
		order.reference = PG_GETARG_TIMESTAMPTZ(5) - 1;
		if (TIMESTAMP_NOT_FINITE(PG_GETARG_TIMESTAMPTZ(5)))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("p_reference_timestamp must not be infinite")));
	}
	PG_RETURN_INT32(count_done(pm_maintain(set->parent, &order), STEP_RETIRE));
}

/* ---------- check_name_length ---------- */

/*
 * partmgr_check_name_length(p_object_name, p_suffix, p_table_partition) puts a suffix
 * after a name, with _p before it for a partition, and shortens the name so that
 * the whole suffix stays.
 */
Datum
partmgr_check_name_length(PG_FUNCTION_ARGS)
{
	char	   *name = pm_arg_text(fcinfo, 0);
	char	   *suffix = pm_arg_text(fcinfo, 1);
	bool		is_partition = !PG_ARGISNULL(2) && PG_GETARG_BOOL(2);

	if (name == NULL)
		PG_RETURN_NULL();
	if (is_partition && (suffix == NULL || suffix[0] == '\0'))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the name of a partition needs a suffix")));
	PG_RETURN_TEXT_P(cstring_to_text(pm_name_suffixed(name, psprintf("%s%s", is_partition ? "_p" : "",
																	 suffix ? suffix : ""))));
}
