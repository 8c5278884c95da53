/*-------------------------------------------------------------------------
 *
 * api_look.c
 *		SQL functions that look at sets: list_partitions, show_partitions,
 *		partition_health_summary, check_default.
 *
 * A named set must be managed, and the caller must be allowed to look at it;
 * of all sets, those that he may not look at are left out silently.  Locks
 * nothing, changes nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "api.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "health.h"
#include "miscadmin.h"
#include "plan.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "compat.h"

PG_FUNCTION_INFO_V1(partmgr_list_partitions);
PG_FUNCTION_INFO_V1(partmgr_show_partitions);
PG_FUNCTION_INFO_V1(partmgr_partition_health_summary);
PG_FUNCTION_INFO_V1(partmgr_check_default);

/* columns of list_partitions, from 0 */
enum
{
	LIST_PARENT,
	LIST_PARTITION,
	LIST_RANGE,
	LIST_LOWER_TIME,
	LIST_UPPER_TIME,
	LIST_LOWER_ID,
	LIST_UPPER_ID,
	LIST_IS_DEFAULT,
	LIST_STATE,
	LIST_ROWS,
	LIST_BYTES,
	LIST_LAST_ANALYZE,
	LIST_LAST_VACUUM,
	LIST_COLUMNS
};

/* columns of partition_health_summary */
enum
{
	HEALTH_PARENT,
	HEALTH_STATUS,
	HEALTH_PARTITIONS,
	HEALTH_ROWS,
	HEALTH_BYTES,
	HEALTH_OLDEST,
	HEALTH_NEWEST,
	HEALTH_AHEAD,
	HEALTH_TIME_AHEAD,
	HEALTH_CLEANUP,
	HEALTH_DEFAULT_ROWS,
	HEALTH_GAPS,
	HEALTH_CLASHES,
	HEALTH_LAST_RUN,
	HEALTH_LAST_ERROR,
	HEALTH_LAST_SQLSTATE,
	HEALTH_LAST_ERROR_AT,
	HEALTH_NEXT_RUN,
	HEALTH_PROBLEMS,
	HEALTH_NOTES,
	HEALTH_COLUMNS
};

#define MAX_COLUMNS Max((int) LIST_COLUMNS, (int) HEALTH_COLUMNS)

/* a row of a result; all columns are null until they are set */
typedef struct Row
{
	Datum		values[MAX_COLUMNS];
	bool		nulls[MAX_COLUMNS];
} Row;

static void
clear_row(Row *row)
{
	memset(row->nulls, true, sizeof(row->nulls));
}

static void
put(Row *row, int column, Datum value)
{
	row->values[column] = value;
	row->nulls[column] = false;
}

static void
put_text(Row *row, int column, const char *text)
{
	if (text != NULL)
		put(row, column, CStringGetTextDatum(text));
}

/* put_count leaves null what is not known: -1. */
static void
put_count(Row *row, int column, int64 count)
{
	if (count >= 0)
		put(row, column, Int64GetDatum(count));
}

/* put_time leaves null what has never been: 0. */
static void
put_time(Row *row, int column, TimestampTz time)
{
	if (time != 0)
		put(row, column, TimestampTzGetDatum(time));
}

static void
add_row(FunctionCallInfo fcinfo, Row *row)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, row->values,
						 row->nulls);
}


/* ---------- which sets ---------- */

/* readable_parents returns the parents of all sets that the caller may see. */
static List *
readable_parents(void)
{
	const bool	automatic_only = false;
	const bool	armed_only = false;
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, pm_config_parents(automatic_only, armed_only))
	{
		if (pm_api_may_read(lfirst_oid(lc)))
			result = lappend_oid(result, lfirst_oid(lc));
	}
	return result;
}

/*
 * looks_of_argument looks at the set that an argument names, or at all that
 * the caller may see if it is null.
 */
static List *
looks_of_argument(FunctionCallInfo fcinfo, int argno)
{
	bool		all;
	Oid			parent = pm_arg_relation(fcinfo, argno, &all);
	List	   *sets;

	if (all)
		return pm_catalog_look_many(pm_config_read(readable_parents()));

	pm_api_check_read(parent);
	sets = pm_config_read(list_make1_oid(parent));
	if (sets == NIL)
		pm_api_not_managed(parent);
	return pm_catalog_look_many(sets);
}


/* ---------- list_partitions ---------- */

/* what is the same for all partitions of a set */
typedef struct ListSet
{
	const PartSet *set;
	bool		is_placed;		/* there is a point to compare with */
	PlanPoint	point;
} ListSet;

/* partition_state places a partition in its life; NULL if that is not known. */
static const char *
partition_state(const ListSet *list, const Partition *partition)
{
	const PartBound *bound = &partition->bound;
	int64		anchor = list->point.anchor;

	if (partition->is_pending)
		return "pending detach";
	if (!partition->is_readable)
		return "unreadable";
	if (!list->is_placed)
		return NULL;
	if (!list->point.has_anchor)
		return "future";
	if (partition->is_expired)
		return "expired";
	if (!bound->upper_open && bound->upper <= anchor)
		return "past";
	if (!bound->lower_open && bound->lower > anchor)
		return "future";
	return "current";
}

/* put_position fills in one end of a range, by the kind of its axis. */
static void
put_position(Row *row, int time_column, int id_column, const PartSet *set,
			 int64 pos)
{
	if (set->key.axis == AXIS_ID)
		put(row, id_column, Int64GetDatum(pos));
	else
		put(row, time_column,
			TimestampTzGetDatum(pm_key_instant(&set->key, set->grid.zone, pos)));
}

/* stat_time calls one of the statistics functions; 0 for never. */
static TimestampTz
stat_time(PGFunction function, Oid relation)
{
	LOCAL_FCINFO(fcinfo, 1);
	Datum		result;

	InitFunctionCallInfoData(*fcinfo, NULL, 1, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = ObjectIdGetDatum(relation);
	fcinfo->args[0].isnull = false;
	result = function(fcinfo);
	return fcinfo->isnull ? 0 : DatumGetTimestampTz(result);
}

static void
list_partition(FunctionCallInfo fcinfo, const ListSet *list,
			   const Partition *partition, const char *state)
{
	const PartSet *set = list->set;
	const PartBound *bound = &partition->bound;
	bool		has_bound = !partition->is_default && partition->is_readable;
	Oid			oid = partition->oid;
	Row			row;

	clear_row(&row);
	put(&row, LIST_PARENT, ObjectIdGetDatum(set->parent));
	put(&row, LIST_PARTITION, ObjectIdGetDatum(oid));
	put_text(&row, LIST_RANGE, pm_ddl_range(&set->key, partition, bound));
	if (has_bound && !bound->lower_open)
		put_position(&row, LIST_LOWER_TIME, LIST_LOWER_ID, set, bound->lower);
	if (has_bound && !bound->upper_open)
		put_position(&row, LIST_UPPER_TIME, LIST_UPPER_ID, set, bound->upper);
	put(&row, LIST_IS_DEFAULT, BoolGetDatum(partition->is_default));
	put_text(&row, LIST_STATE, state);
	put_count(&row, LIST_ROWS, (int64) partition->rows);
	put(&row, LIST_BYTES, Int64GetDatum(pm_size_bytes(oid)));
	put_time(&row, LIST_LAST_ANALYZE,
			 Max(stat_time(pg_stat_get_last_analyze_time, oid),
				 stat_time(pg_stat_get_last_autoanalyze_time, oid)));
	put_time(&row, LIST_LAST_VACUUM,
			 Max(stat_time(pg_stat_get_last_vacuum_time, oid),
				 stat_time(pg_stat_get_last_autovacuum_time, oid)));
	add_row(fcinfo, &row);
}

/*
 * partmgr_list_partitions(parent) lists the partitions of one set, or all, in
 * the order of their bounds, the default after them, and last those that are
 * detached.
 */
Datum
partmgr_list_partitions(PG_FUNCTION_ARGS)
{
	TimestampTz now = GetCurrentTransactionStartTimestamp();
	ListCell   *lc;

	pm_api_require();
	InitMaterializedSRF(fcinfo, 0);
	foreach(lc, looks_of_argument(fcinfo, 0))
	{
		PmLook	   *look = lfirst(lc);
		ListSet		list = {.set = look->set};
		ListCell   *lc2;

		CHECK_FOR_INTERRUPTS();
		if (look->set->problem)
			continue;
		list.is_placed = pm_health_anchor(look, now, &list.point);
		if (list.is_placed)
			pm_plan_expire(look->set, look->partitions, &list.point);
		foreach(lc2, look->partitions)
		{
			Partition  *partition = lfirst(lc2);

			list_partition(fcinfo, &list, partition, partition_state(&list, partition));
		}
		if (look->dflt != NULL)
			list_partition(fcinfo, &list, look->dflt, "default");
		foreach(lc2, look->set->marks)
		{
			PmMark	   *mark = lfirst(lc2);

			if (!mark->is_attached)
				list_partition(fcinfo, &list, mark->partition, "detached");
		}
	}
	return (Datum) 0;
}


/* ---------- show_partitions ---------- */

static void
show_partition(FunctionCallInfo fcinfo, const Partition *partition)
{
	Row			row;

	clear_row(&row);
	put_text(&row, 0, partition->schema);
	put_text(&row, 1, partition->name);
	add_row(fcinfo, &row);
}

/* wants_descending reads p_order. */
static bool
wants_descending(const char *order)
{
	if (pg_strcasecmp(order, "DESC") == 0)
		return true;
	if (pg_strcasecmp(order, "ASC") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("p_order must be ASC or DESC, not \"%s\"", order)));
	return false;
}

/*
 * partmgr_show_partitions(parent, order, include_default) names the partitions
 * of a set in the order of their bounds, the default first.
 */
Datum
partmgr_show_partitions(PG_FUNCTION_ARGS)
{
	PmLook	   *look;
	bool		descending;
	int			count;

	pm_api_require();
	InitMaterializedSRF(fcinfo, 0);
	pm_arg_not_null(fcinfo, 0, "p_parent_table");
	pm_arg_not_null(fcinfo, 1, "p_order");
	descending = wants_descending(pm_arg_text(fcinfo, 1));
	look = linitial(looks_of_argument(fcinfo, 0));

	if (look->dflt != NULL && !PG_ARGISNULL(2) && PG_GETARG_BOOL(2))
		show_partition(fcinfo, look->dflt);
	count = list_length(look->partitions);
	for (int i = 0; i < count; i++)
		show_partition(fcinfo, list_nth(look->partitions,
										descending ? count - 1 - i : i));
	return (Datum) 0;
}


/* ---------- partition_health_summary ---------- */

static Datum
text_array(List *strings)
{
	Datum	   *values = palloc(sizeof(Datum) * Max(list_length(strings), 1));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, strings)
		values[n++] = CStringGetTextDatum((char *) lfirst(lc));
	return PointerGetDatum(construct_array(values, n, TEXTOID, -1, false,
										   TYPALIGN_INT));
}

/* put_measures fills in what is known of a set that is understood. */
static void
put_measures(Row *row, const PmHealth *health, TimestampTz now)
{
	put_count(row, HEALTH_PARTITIONS, health->partitions);
	put_count(row, HEALTH_ROWS, health->rows);
	put_count(row, HEALTH_BYTES, health->bytes);
	put_text(row, HEALTH_OLDEST, health->oldest);
	put_text(row, HEALTH_NEWEST, health->newest);
	if (health->has_ahead)
		put(row, HEALTH_AHEAD, Int32GetDatum(health->ahead));
	if (health->has_horizon)
		put(row, HEALTH_TIME_AHEAD,
			DirectFunctionCall2(timestamp_mi,
								TimestampTzGetDatum(health->horizon),
								TimestampTzGetDatum(now)));
	put_count(row, HEALTH_CLEANUP, health->cleanup);
	if (health->has_default)
		put_count(row, HEALTH_DEFAULT_ROWS, health->default_rows);
	put_count(row, HEALTH_GAPS, health->gaps);
	put_count(row, HEALTH_CLASHES, health->clashes);
}

/* put_state fills in what part_state says; a restored set has none. */
static void
put_state(Row *row, const PmState *state)
{
	if (!state->has_row)
		return;
	put_time(row, HEALTH_LAST_RUN, state->last_run);
	put_text(row, HEALTH_LAST_ERROR, state->error);
	put_text(row, HEALTH_LAST_SQLSTATE, state->sqlstate);
	put_time(row, HEALTH_LAST_ERROR_AT, state->last_error_at);
	put(row, HEALTH_NEXT_RUN, TimestampTzGetDatum(state->next_run));
}

static void
health_row(FunctionCallInfo fcinfo, const PmHealth *health, TimestampTz now)
{
	Row			row;

	clear_row(&row);
	put(&row, HEALTH_PARENT, ObjectIdGetDatum(health->set->parent));
	put_text(&row, HEALTH_STATUS, pm_health_status(health->status));
	if (health->is_known)
		put_measures(&row, health, now);
	if (health->may_see)
		put_state(&row, &health->state);
	put(&row, HEALTH_PROBLEMS, text_array(health->problems));
	put(&row, HEALTH_NOTES, text_array(health->notes));
	add_row(fcinfo, &row);
}

/* by status, the worst first, then by name */
static int
compare_health(const ListCell *a, const ListCell *b)
{
	const PmHealth *left = lfirst(a);
	const PmHealth *right = lfirst(b);
	int			result;

	if (left->status != right->status)
		return (left->status < right->status) ? -1 : 1;
	result = strcmp(left->set->schema, right->set->schema);
	return (result != 0) ? result : strcmp(left->set->name, right->set->name);
}

/*
 * partmgr_partition_health_summary(parent) tells how one set is doing, or all,
 * the worst first.
 */
Datum
partmgr_partition_health_summary(PG_FUNCTION_ARGS)
{
	TimestampTz now = GetCurrentTransactionStartTimestamp();
	bool		is_monitor;
	List	   *result = NIL;
	ListCell   *lc;

	pm_api_require();
	InitMaterializedSRF(fcinfo, 0);
	is_monitor = has_privs_of_role(GetUserId(), ROLE_PG_MONITOR);
	foreach(lc, looks_of_argument(fcinfo, 0))
	{
		PmLook	   *look = lfirst(lc);
		bool		may_see = is_monitor ||
			has_privs_of_role(GetUserId(), look->set->owner);

		CHECK_FOR_INTERRUPTS();
		result = lappend(result, pm_health_of(look, now, may_see));
	}
	list_sort(result, compare_health);
	foreach(lc, result)
		health_row(fcinfo, lfirst(lc), now);
	return (Datum) 0;
}


/* ---------- check_default ---------- */

/* finite_test is a condition that a row's key is not infinite. */
static const char *
finite_test(const PartKey *key)
{
	const char *column = quote_identifier(key->attname);

	switch (key->type)
	{
		case TIMESTAMPTZOID:
		case TIMESTAMPOID:
		case DATEOID:
			return psprintf("isfinite(%s) IS NOT FALSE", column);
		case NUMERICOID:
			return psprintf("(%s NOT IN ('Infinity', '-Infinity')) IS NOT FALSE",
							column);
		default:
			return "true";
	}
}

/*
 * count_default counts the rows of a default partition, or only tells whether
 * there are any.  It does so as the owner of the default: what he has put
 * there, a policy for example, must not run as anybody else.
 */
static int64
count_default(const PmLook *look, bool exact, bool ignore_infinity)
{
	const Partition *dflt = look->dflt;
	PmSpi		spi;
	bool		isnull;
	int64		result;

	pm_spi_begin(&spi, dflt->owner);
	pm_spi_select(psprintf("SELECT count(*) FROM (SELECT FROM %s WHERE %s%s) x",
						   pm_full_name(dflt),
						   ignore_infinity ? finite_test(&look->set->key) : "true",
						   exact ? "" : " LIMIT 1"),
				  0, NULL, NULL, NULL);
	result = DatumGetInt64(pm_spi_value(0, 1, &isnull));
	pm_spi_end(&spi);
	return result;
}

/*
 * partmgr_check_default(exact_count, ignore_infinity) names the default
 * partitions that hold rows.
 */
Datum
partmgr_check_default(PG_FUNCTION_ARGS)
{
	bool		exact;
	bool		ignore_infinity;
	ListCell   *lc;

	pm_api_require();
	InitMaterializedSRF(fcinfo, 0);
	pm_arg_not_null(fcinfo, 0, "p_exact_count");
	pm_arg_not_null(fcinfo, 1, "p_ignore_infinity");
	exact = PG_GETARG_BOOL(0);
	ignore_infinity = PG_GETARG_BOOL(1);

	foreach(lc, pm_catalog_look_many(pm_config_read(readable_parents())))
	{
		PmLook	   *look = lfirst(lc);
		int64		count;
		Row			row;

		CHECK_FOR_INTERRUPTS();
		if (look->dflt == NULL)
			continue;
		count = count_default(look, exact, ignore_infinity);
		if (count == 0)
			continue;
		clear_row(&row);
		put_text(&row, 0, pm_qualified_name(look->dflt->oid));
		put(&row, 1, Int64GetDatum(count));
		add_row(fcinfo, &row);
	}
	return (Datum) 0;
}
