/*-------------------------------------------------------------------------
 *
 * api_rewrite_kinds.c
 *		SQL functions and procedures that have rows go to other tables.
 *
 * Each comes as a function, which leaves the work to the worker and returns its
 * number at once, and as a procedure, which does it in the session and commits
 * on the way; both have the same C function.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "api.h"
#include "api_rewrite.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "create_parent.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/tuplestore.h"

#include "compat.h"

PG_FUNCTION_INFO_V1(partmgr_convert_table);
PG_FUNCTION_INFO_V1(partmgr_convert_table_plan);
PG_FUNCTION_INFO_V1(partmgr_drain_default);
PG_FUNCTION_INFO_V1(partmgr_split_partition);
PG_FUNCTION_INFO_V1(partmgr_merge_partitions);
PG_FUNCTION_INFO_V1(partmgr_change_interval);
PG_FUNCTION_INFO_V1(partmgr_compress_partitions);
PG_FUNCTION_INFO_V1(partmgr_unpartition);
PG_FUNCTION_INFO_V1(partmgr_unpacked);

/* ---------- convert ---------- */

static void
check_plain(Oid table)
{
	if (get_rel_relkind(table) == RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("table %s is partitioned already", pm_qualified_name(table)),
				 errhint("Manage it with create_parent().")));
	if (get_rel_relispartition(table))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("table %s is a partition", pm_qualified_name(table)),
				 errhint("Use split_partition().")));
	if (get_rel_relkind(table) != RELKIND_RELATION)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("%s is not a table", pm_qualified_name(table)),
				 errdetail_relkind_not_supported(get_rel_relkind(table))));
}

/* the arguments of convert_table() and convert_table_plan(), up to the manner */
static void
read_convert(FunctionCallInfo fcinfo, PmAsked *asked)
{
	bool		isnull;
	const char *control;

	pm_arg_not_null(fcinfo, 0, "p_table");
	asked->kind = REWRITE_CONVERT;
	asked->table = pm_arg_relation(fcinfo, 0, &isnull);
	pm_api_check_owner(asked->table);
	check_plain(asked->table);
	control = pm_asked_text(fcinfo, 1, "p_control");
	if (get_attnum(asked->table, control) == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of relation \"%s\" does not exist",
						control, get_rel_name(asked->table))));
	pm_asked_option(asked, "control", control);
	pm_asked_option(asked, "interval", pm_asked_text(fcinfo, 2, "p_interval"));
	pm_asked_option(asked, "type", pm_asked_word(fcinfo, 3, "p_type", "range", "list"));
	pm_asked_option(asked, "epoch", pm_asked_text(fcinfo, 4, "p_epoch"));
	pm_arg_not_null(fcinfo, 5, "p_premake");
	pm_asked_option(asked, "premake", psprintf("%d", PG_GETARG_INT32(5)));
	pm_arg_not_null(fcinfo, 6, "p_default_table");
	pm_asked_option(asked, "default_table", PG_GETARG_BOOL(6) ? "true" : "false");
}

/* a calendar that is the same for whoever works on it */
static const char *
zone_argument(FunctionCallInfo fcinfo, int argno, const PmAsked *asked)
{
	const char *zone = pm_arg_text(fcinfo, argno);
	Oid			type = getBaseType(get_atttype(asked->table, get_attnum(asked->table, asked->values[0])));
	bool		is_number = type == INT2OID || type == INT4OID || type == INT8OID || type == NUMERICOID;

	if (zone != NULL || (is_number && strcmp(asked->values[3], "none") == 0 && PG_ARGISNULL(10)))
		return zone;
	return pg_get_timezone_name(session_timezone);
}

/*
 * partmgr_convert_table(p_table, p_control, p_interval, p_type, p_epoch, p_premake,
 * p_default_table, p_time_zone, p_name_format, p_retention, p_time_encoder,
 * p_time_decoder, p_mode, p_policy, p_rows_per_second) makes a set of a plain table, under its name.
 *
 * Locks: see rewrite_copy.c and rewrite_swap.c; p_mode locking: EXCLUSIVE on the
 * table, at the end ACCESS EXCLUSIVE.  Errors: not the owner, what cannot be
 * converted and why, no worker.
 */
Datum
partmgr_convert_table(PG_FUNCTION_ARGS)
{
	PmAsked		asked = {0};

	pm_api_require();
	read_convert(fcinfo, &asked);
	pm_asked_option(&asked, "time_zone", zone_argument(fcinfo, 7, &asked));
	pm_asked_option(&asked, "name_format", pm_arg_text(fcinfo, 8));
	pm_asked_option(&asked, "retention", pm_arg_text(fcinfo, 9));
	pm_asked_option(&asked, "time_encoder", pm_arg_text(fcinfo, 10));
	pm_asked_option(&asked, "time_decoder", pm_arg_text(fcinfo, 11));
	pm_asked_manner(fcinfo, &asked);
	return pm_asked_do(fcinfo, &asked);
}

static void
put_carry(ReturnSetInfo *rsinfo, const PmCarry *carry)
{
	Datum		values[3] = {
		CStringGetTextDatum(carry->what),
		CStringGetTextDatum(carry->how),
		BoolGetDatum(carry->is_problem)
	};
	bool		nulls[3] = {false};

	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * partmgr_convert_table_plan(p_table, p_control) lists what hangs on a table, what
 * becomes of it when the table is converted, and what stands in the way.
 */
Datum
partmgr_convert_table_plan(PG_FUNCTION_ARGS)
{
	PmRewrite	rewrite = {.kind = REWRITE_CONVERT};
	bool		isnull;
	ListCell   *lc;
	char	   *control;

	pm_api_require();
	pm_arg_not_null(fcinfo, 0, "p_table");
	rewrite.table = pm_arg_relation(fcinfo, 0, &isnull);
	pm_api_check_owner(rewrite.table);
	check_plain(rewrite.table);
	control = pm_asked_text(fcinfo, 1, "p_control");
	if (get_attnum(rewrite.table, control) == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of relation \"%s\" does not exist",
						control, get_rel_name(rewrite.table))));
	pm_rewrite_read_table(&rewrite);
	InitMaterializedSRF(fcinfo, 0);
	if (pm_rewrite_key(&rewrite) == NULL)
		put_carry((ReturnSetInfo *) fcinfo->resultinfo,
				  &(PmCarry) {.what = "no unique key",
					  .how = "the table cannot be written meanwhile: p_mode => 'locking'",
					  .is_problem = true});
	foreach(lc, pm_rewrite_source_problems(rewrite.table))
		put_carry((ReturnSetInfo *) fcinfo->resultinfo, lfirst(lc));
	foreach(lc, pm_rewrite_carry(&rewrite, control, true))
		put_carry((ReturnSetInfo *) fcinfo->resultinfo, lfirst(lc));
	PG_RETURN_NULL();
}


/* ---------- sets ---------- */

/*
 * partmgr_drain_default(p_parent_table, p_mode, p_policy, p_rows_per_second) gives
 * the rows of the default partitions of their own; the default stays, without
 * them.
 */
Datum
partmgr_drain_default(PG_FUNCTION_ARGS)
{
	PmAsked		asked = {.kind = REWRITE_DRAIN};

	pm_api_require();
	asked.table = pm_api_own_set(fcinfo, 0, "p_parent_table");
	pm_asked_manner(fcinfo, &asked);
	if (!OidIsValid(get_default_partition_oid(asked.table)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table %s has no default partition", pm_qualified_name(asked.table))));
	return pm_asked_do(fcinfo, &asked);
}

static PartSet *
read_set(Oid table)
{
	PartSet    *set = pm_config_read_one(table);

	if (set->problem)
		ereport(ERROR,
				(errcode(set->problem_code), errmsg("%s", set->problem)));
	return set;
}

/* the points of p_at */
static void
add_points(PmAsked *asked, ArrayType *array)
{
	PartSet    *set = read_set(asked->table);
	Datum	   *values;
	bool	   *nulls;
	int			n;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("p_at must not contain nulls")));
		pm_asked_option(asked, psprintf("at_%d", i + 1),
				   pm_position_text(&set->key, pm_adopt_position(&set->key, set->grid.zone,
																 TextDatumGetCString(values[i]))));
	}
}

/*
 * partmgr_split_partition(p_partition, p_interval, p_at, p_mode, p_policy,
 * p_rows_per_second) makes several partitions of one: an interval wide each, or
 * cut at the points given.
 */
Datum
partmgr_split_partition(PG_FUNCTION_ARGS)
{
	PmAsked		asked = {.kind = REWRITE_SPLIT};
	bool		isnull;
	Oid			partition;

	pm_api_require();
	pm_arg_not_null(fcinfo, 0, "p_partition");
	partition = pm_arg_relation(fcinfo, 0, &isnull);
	if (!get_rel_relispartition(partition))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("table %s is not a partition", pm_qualified_name(partition))));
	asked.table = get_partition_parent(partition, true);
	pm_api_check_owner(asked.table);
	if (!pm_config_exists(asked.table))
		pm_api_not_managed(asked.table);
	if (PG_ARGISNULL(1) == PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("pass p_interval, or p_at")));
	pm_asked_option(&asked, "member_1", psprintf("%u", partition));
	pm_asked_option(&asked, "interval", pm_arg_text(fcinfo, 1));
	if (!PG_ARGISNULL(2))
		add_points(&asked, PG_GETARG_ARRAYTYPE_P(2));
	pm_asked_manner(fcinfo, &asked);
	return pm_asked_do(fcinfo, &asked);
}

/* the partitions that lie between two positions */
static void
add_members(PmAsked *asked, const char *from, const char *to)
{
	PartSet    *set = read_set(asked->table);
	int64		lower = pm_adopt_position(&set->key, set->grid.zone, from);
	int64		upper = pm_adopt_position(&set->key, set->grid.zone, to);
	int			n = 0;
	ListCell   *lc;

	foreach(lc, pm_catalog_look(set)->partitions)
	{
		const Partition *partition = lfirst(lc);

		if (partition->is_readable && !partition->bound.lower_open && !partition->bound.upper_open &&
			partition->bound.lower >= lower && partition->bound.upper <= upper)
			pm_asked_option(asked, psprintf("member_%d", ++n), psprintf("%u", partition->oid));
	}
	if (n < 2)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("fewer than two partitions of table %s lie between %s and %s",
						pm_qualified_name(asked->table), from, to),
				 errhint("Pass the lower bound of the first of them and the upper bound of the last.")));
}

/*
 * partmgr_merge_partitions(p_parent_table, p_from, p_to, p_mode, p_policy,
 * p_rows_per_second) makes one partition of those between two bounds.
 */
Datum
partmgr_merge_partitions(PG_FUNCTION_ARGS)
{
	PmAsked		asked = {.kind = REWRITE_MERGE};

	pm_api_require();
	asked.table = pm_api_own_set(fcinfo, 0, "p_parent_table");
	add_members(&asked, pm_asked_text(fcinfo, 1, "p_from"), pm_asked_text(fcinfo, 2, "p_to"));
	pm_asked_manner(fcinfo, &asked);
	return pm_asked_do(fcinfo, &asked);
}

/* set_interval changes the width of new partitions, and a name that is too coarse for it. */
static void
set_interval(Oid table, const char *text)
{
	PartSet    *set = read_set(table);
	char	   *problem;
	bool		keeps_name;

	if (!pm_interval_parse(&set->key, text, &set->grid.interval, &problem))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid interval: %s", problem)));
	keeps_name = pm_name_format_problem(set->name_format, &set->key, &set->grid) == NULL;
	pm_config_set_interval(table, text, keeps_name);
}

/*
 * partmgr_change_interval(p_parent_table, p_interval, p_existing, p_mode, p_policy,
 * p_rows_per_second) changes the width of new partitions, and with p_existing of
 * those that exist; without it NULL is returned.
 */
Datum
partmgr_change_interval(PG_FUNCTION_ARGS)
{
	PmAsked		asked = {.kind = REWRITE_INTERVAL};
	bool		is_call = pm_asked_by_call(fcinfo);

	pm_api_require();
	asked.table = pm_api_own_set(fcinfo, 0, "p_parent_table");
	pm_arg_not_null(fcinfo, 2, "p_existing");
	pm_asked_manner(fcinfo, &asked);
	set_interval(asked.table, pm_asked_text(fcinfo, 1, "p_interval"));
	if (PG_GETARG_BOOL(2))
		return pm_asked_do(fcinfo, &asked);
	pm_worker_wake();
	if (is_call)
		PG_RETURN_VOID();
	PG_RETURN_NULL();
}

/* an index of the set, by its name in the set's schema or along the search path */
static char *
index_argument(FunctionCallInfo fcinfo, int argno, Oid table)
{
	char	   *name = pm_arg_text(fcinfo, argno);
	List	   *found;

	if (name == NULL)
		return NULL;
	found = pm_catalog_texts(psprintf("SELECT indexrelid::text FROM pg_index WHERE indrelid = $1 AND indexrelid = to_regclass(%s)",
									  quote_literal_cstr(strchr(name, '.') ? name :
														 quote_qualified_identifier(get_namespace_name(get_rel_namespace(table)), name))),
							 table);
	if (found == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("table %s has no index \"%s\"", pm_qualified_name(table), name)));
	return linitial(found);
}

/*
 * partmgr_compress_partitions(p_parent_table, p_older_than, p_method, p_order_index,
 * p_mode, p_policy, p_rows_per_second) writes partitions that are older than an
 * age anew, with their values compressed by a method, their pages full and, if
 * asked, in the order of an index.
 */
Datum
partmgr_compress_partitions(PG_FUNCTION_ARGS)
{
	PmAsked		asked = {.kind = REWRITE_COMPRESS};
	const char *method;
	const char *order;

	pm_api_require();
	asked.table = pm_api_own_set(fcinfo, 0, "p_parent_table");
	pm_asked_option(&asked, "older_than", pm_asked_text(fcinfo, 1, "p_older_than"));
	method = pm_asked_word(fcinfo, 2, "p_method", "lz4", "pglz");
	order = index_argument(fcinfo, 3, asked.table);
	pm_asked_option(&asked, "compression", method);
	pm_asked_option(&asked, "order_index", order);
	pm_asked_option(&asked, "detail", order ? psprintf("%s, in the order of %s", method, pm_qualified_name(atooid(order))) : method);
	pm_asked_manner(fcinfo, &asked);
	return pm_asked_do(fcinfo, &asked);
}

/*
 * partmgr_unpartition(p_parent_table, p_mode, p_policy, p_rows_per_second) makes a
 * plain table of a set, under its name.
 */
Datum
partmgr_unpartition(PG_FUNCTION_ARGS)
{
	PmAsked		asked = {.kind = REWRITE_UNDO};

	pm_api_require();
	asked.table = pm_api_own_set(fcinfo, 0, "p_parent_table");
	pm_asked_manner(fcinfo, &asked);
	pm_api_check_no_holds(asked.table);
	return pm_asked_do(fcinfo, &asked);
}

/*
 * partmgr_unpacked(anyelement) returns a value that is neither compressed nor
 * stored elsewhere, so that it is compressed anew where it goes.
 */
Datum
partmgr_unpacked(PG_FUNCTION_ARGS)
{
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, 0);

	if (get_typlen(type) != -1)
		PG_RETURN_DATUM(PG_GETARG_DATUM(0));
	PG_RETURN_POINTER(PG_DETOAST_DATUM_COPY(PG_GETARG_DATUM(0)));
}
