/*-------------------------------------------------------------------------
 *
 * create_parent.c
 *		Make a set of a partitioned table, and take over what it has.
 *
 * Setting up is writing one row of part_config and maintaining once: there is
 * no second way of making partitions.  Partitions made by hand are known by
 * their bounds; zone, grid and names of new ones are chosen so that they go on
 * as the existing ones do.  Every refusal comes before the first write.
 *
 * Converts nothing: a plain table is refused with what to do.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "api.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "config.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "compat.h"

PG_FUNCTION_INFO_V1(partmgr_create_parent);

/* places of create_parent's arguments */
enum
{
	ARG_PARENT, ARG_CONTROL, ARG_INTERVAL, ARG_TYPE, ARG_EPOCH, ARG_PREMAKE,
	ARG_START, ARG_DEFAULT_TABLE, ARG_AUTOMATIC, ARG_CONSTRAINT_COLS,
	ARG_TEMPLATE, ARG_JOBMON, ARG_DATE_TRUNC, ARG_CONTROL_NOT_NULL,
	ARG_ENCODER, ARG_DECODER, ARG_OFFSET, ARG_RETENTION, ARG_TIME_ZONE,
	ARG_NAME_FORMAT, ARG_KEEP_TABLE, ARG_INHERIT_PRIVILEGES
};

/* what is being set up */
typedef struct Creation
{
	PartSet		set;
	PmConfigText text;
	List	   *partitions;		/* those that exist */
	bool		has_start;		/* p_start_partition */
	int64		start;
} Creation;

static void
unsupported(const char *argument, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("%s are not supported by this version of partmgr", what),
			 errdetail("Argument %s must be null.", argument)));
}

/* arguments that a later version brings are refused, never ignored */
static void
refuse_later_arguments(FunctionCallInfo fcinfo)
{
	char	   *template = pm_arg_text(fcinfo, ARG_TEMPLATE);

	if (!PG_ARGISNULL(ARG_CONSTRAINT_COLS))
		unsupported("p_constraint_cols", "constraint columns");
	if (template && strcmp(template, "false") != 0 && strcmp(template, "f") != 0)
		unsupported("p_template_table", "template tables");
	if (!PG_ARGISNULL(ARG_ENCODER))
		unsupported("p_time_encoder", "encoded keys");
	if (!PG_ARGISNULL(ARG_DECODER))
		unsupported("p_time_decoder", "encoded keys");
}

static void
cannot_manage(Oid parent, int code, const char *problem, const char *hint)
{
	ereport(ERROR,
			(errcode(code),
			 errmsg("cannot manage table %s: %s", pm_qualified_name(parent), problem),
			 hint ? errhint("%s", hint) : 0));
}

/* the parent is a permanent partitioned table that is not managed yet */
static void
check_table(Oid parent)
{
	char		relkind = get_rel_relkind(parent);

	if (relkind != RELKIND_PARTITIONED_TABLE)
		cannot_manage(parent, ERRCODE_WRONG_OBJECT_TYPE, "it is not a partitioned table",
					  relkind == RELKIND_RELATION ?
					  "Create a table LIKE it with PARTITION BY RANGE, move the rows there, and manage that one." : NULL);
	if (get_rel_persistence(parent) == RELPERSISTENCE_TEMP)
		cannot_manage(parent, ERRCODE_FEATURE_NOT_SUPPORTED, "it is a temporary table", NULL);
	if (pm_config_exists(parent))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("table %s is already managed by partmgr", pm_qualified_name(parent)),
				 errhint("Change its row in part_config, or release it with config_cleanup() first.")));
}

static void
check_type(const char *type)
{
	if (strcmp(type, "range") != 0 && strcmp(type, "list") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid partition type \"%s\"", type),
				 errhint("Use range or list.")));
}

/* nulls have no place in a range partition */
static void
check_control_not_null(Oid parent, const PartKey *key)
{
	HeapTuple	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(parent),
										Int16GetDatum(key->attnum));
	bool		is_not_null = HeapTupleIsValid(tuple) &&
		((Form_pg_attribute) GETSTRUCT(tuple))->attnotnull;

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	if (!is_not_null)
		cannot_manage(parent, ERRCODE_INVALID_PARAMETER_VALUE,
					  psprintf("column \"%s\" accepts nulls", key->attname),
					  "Set it NOT NULL, or pass p_control_not_null => false.");
}

/* p_control, p_type and p_epoch against the partition key that the table has */
static void
check_key(FunctionCallInfo fcinfo, Oid parent, PartKey *key)
{
	char	   *control = pm_arg_text(fcinfo, ARG_CONTROL);
	char	   *type = pm_arg_text(fcinfo, ARG_TYPE);
	char	   *problem;

	check_type(type);
	if (get_attnum(parent, control) == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of relation \"%s\" does not exist", control,
						get_rel_name(parent))));
	if (!pm_catalog_key(parent, pm_arg_text(fcinfo, ARG_EPOCH), key, &problem))
		cannot_manage(parent, ERRCODE_FEATURE_NOT_SUPPORTED, problem,
					  "Managed are tables partitioned by RANGE or LIST on one plain column of a date, time, integer or numeric type.");
	if (strcmp(control, key->attname) != 0)
		cannot_manage(parent, ERRCODE_INVALID_PARAMETER_VALUE,
					  psprintf("it is partitioned by column \"%s\", not \"%s\"",
							   key->attname, control), NULL);
	if (key->is_list != (strcmp(type, "list") == 0))
		cannot_manage(parent, ERRCODE_INVALID_PARAMETER_VALUE,
					  key->is_list ? "it is partitioned by LIST, not by RANGE" :
					  "it is partitioned by RANGE, not by LIST", NULL);
	if (PG_GETARG_BOOL(ARG_CONTROL_NOT_NULL))
		check_control_not_null(parent, key);
}

/* p_interval, with a hint for the words of pg_partman 4 and for the wrong kind */
static void
check_interval(const Creation *creation)
{
	static const char *const old_words[] = {"yearly", "quarterly", "monthly", "weekly",
	"daily", "hourly", "half-hour", "quarter-hour"};
	PartInterval interval;
	char	   *problem;

	if (pm_interval_parse(&creation->set.key, creation->text.interval, &interval, &problem))
		return;
	for (int i = 0; i < lengthof(old_words); i++)
		if (pg_strcasecmp(creation->text.interval, old_words[i]) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("interval \"%s\" is a word of pg_partman 4", creation->text.interval),
					 errhint("Give an interval, for example 1 month.")));
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("interval \"%s\" does not fit partition key \"%s\" of type %s",
					creation->text.interval, creation->set.key.attname,
					format_type_be(creation->set.key.type)),
			 errdetail("%s.", problem),
			 creation->set.key.axis == AXIS_ID ?
			 errhint("Give a whole number, or say with p_epoch how the number means time.") :
			 errhint("Give an interval, for example 1 month.")));
}

/*
 * grid_fits gives the set a zone and an origin, and tells whether all bounds
 * that exist lie on the grid then.
 */
static bool
grid_fits(Creation *creation, const char *zone, const char *origin)
{
	PmConfigText text = creation->text;
	ListCell   *lc;

	text.time_zone = zone;
	text.origin = origin;
	text.name_format = NULL;
	if (pm_config_fill(&creation->set, &text) != NULL)
		return false;
	foreach(lc, creation->partitions)
	{
		const Partition *partition = lfirst(lc);
		int64		floor;

		if (!partition->is_readable || partition->bound.lower_open)
			continue;
		if (!pm_key_floor(&creation->set.key, &creation->set.grid,
						  partition->bound.lower, &floor) ||
			floor != partition->bound.lower)
			return false;
	}
	return true;
}

/* the lower bound of the newest partition, as an origin */
static char *
newest_bound(const Creation *creation)
{
	for (int i = list_length(creation->partitions) - 1; i >= 0; i--)
	{
		Partition  *partition = list_nth(creation->partitions, i);

		if (partition->is_readable && !partition->bound.lower_open)
			return pm_position_text(&creation->set.key, partition->bound.lower);
	}
	return NULL;
}

/*
 * choose_grid finds the zone and the origin with which the partitions that
 * exist lie on the grid: the zone asked for, else the session's, else UTC; the
 * calendar's origin, else the newest partition's bound.
 */
static void
choose_grid(Creation *creation)
{
	PmConfigText *text = &creation->text;
	const char *zones[2] = {NULL, NULL};
	int			nzones = 1;

	if (creation->set.key.axis != AXIS_ID)
	{
		zones[0] = text->time_zone ? text->time_zone :
			pg_get_timezone_name(session_timezone);
		zones[1] = "UTC";
		nzones = text->time_zone ? 1 : 2;
	}
	for (int shifted = 0; creation->partitions != NIL && shifted < 2; shifted++)
		for (int i = 0; i < nzones; i++)
		{
			const char *origin = shifted ? newest_bound(creation) : NULL;

			if (!grid_fits(creation, zones[i], origin))
				continue;
			text->time_zone = zones[i];
			text->origin = origin;
			return;
		}
	text->time_zone = zones[0];
}

static Datum
zone_datum(const Creation *creation)
{
	return CStringGetTextDatum(creation->text.time_zone);
}

/* p_date_trunc_interval: the grid goes through that field's beginning */
static void
trunc_origin(Creation *creation, const char *field)
{
	const PartKey *key = &creation->set.key;
	int64		at;
	Datum		wall;

	at = creation->has_start ? creation->start :
		pm_key_now(key, pg_tzset(creation->text.time_zone),
				   GetCurrentTransactionStartTimestamp());
	wall = key->axis == AXIS_LOCAL ? TimestampGetDatum(at) :
		DirectFunctionCall2(timestamptz_zone, zone_datum(creation), TimestampTzGetDatum(at));
	wall = DirectFunctionCall2(timestamp_trunc, CStringGetTextDatum(field), wall);
	if (key->axis == AXIS_INSTANT)
		wall = DirectFunctionCall2(timestamp_zone, zone_datum(creation), wall);
	creation->text.origin = pm_position_text(key, DatumGetInt64(wall));
}

/* p_date_trunc_interval and p_offset_id move the grid */
static void
choose_origin(FunctionCallInfo fcinfo, Creation *creation)
{
	char	   *field = pm_arg_text(fcinfo, ARG_DATE_TRUNC);
	int64		offset = PG_GETARG_INT64(ARG_OFFSET);
	bool		is_id = creation->set.key.axis == AXIS_ID;

	if (field && is_id)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("p_date_trunc_interval is for sets partitioned by time")));
	if (offset != 0 && !is_id)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("p_offset_id is for sets partitioned by id")));
	if (offset != 0)
		creation->text.origin = psprintf(INT64_FORMAT, offset);
	if (field)
		trunc_origin(creation, field);
}

/*
 * read_start reads p_start_partition.  A time is meant on the clock of the
 * set's zone unless it says its own.
 */
static void
read_start(FunctionCallInfo fcinfo, Creation *creation)
{
	const PartKey *key = &creation->set.key;
	char	   *text = pm_arg_text(fcinfo, ARG_START);

	if (text == NULL)
		return;
	creation->has_start = true;
	creation->start = pm_start_read(key, creation->text.time_zone, text);
	if (key->axis != AXIS_ID && TIMESTAMP_NOT_FINITE(creation->start))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("p_start_partition must be finite")));
}

/* writes the row of part_config, whose trigger has the last word */
static void
write_config(FunctionCallInfo fcinfo, const Creation *creation)
{
	static const char *const columns[] = {"control", "partition_interval", "partition_type",
		"premake", "automatic_maintenance", "retention", "retention_keep_table", "epoch",
	"jobmon", "inherit_privileges", "time_zone", "name_format", "grid_origin"};
	const char *values[] = {
		creation->set.key.attname,
		creation->text.interval,
		pm_arg_text(fcinfo, ARG_TYPE),
		psprintf("%d", PG_GETARG_INT32(ARG_PREMAKE)),
		pm_arg_text(fcinfo, ARG_AUTOMATIC),
		creation->text.retention,
		PG_GETARG_BOOL(ARG_KEEP_TABLE) ? "true" : "false",
		pm_arg_text(fcinfo, ARG_EPOCH),
		PG_GETARG_BOOL(ARG_JOBMON) ? "true" : "false",
		PG_GETARG_BOOL(ARG_INHERIT_PRIVILEGES) ? "true" : "false",
		creation->text.time_zone,
		creation->text.name_format,
		creation->text.origin
	};

	pm_config_insert(&creation->set, columns, values, lengthof(columns));
}

/*
 * order_first tells from where an empty set is filled: p_start_partition, else
 * premake intervals before now, else the id 0 (or the offset).
 */
static void
order_first(const Creation *creation, const PartSet *set, PmOrder *order)
{
	if (!creation->has_start && creation->partitions != NIL)
		return;
	order->has_backfill = true;
	if (creation->has_start)
		order->backfill = creation->start;
	else if (set->key.axis == AXIS_ID)
		order->backfill = Max(set->grid.origin, 0);
	else
	{
		int64		now = pm_key_now(&set->key, set->grid.zone, order->now);

		if (!pm_key_add(&set->key, &set->grid, &set->grid.interval, now, -set->premake,
						&order->backfill))
			order->backfill = now;
	}
}

static void
check_not_null(FunctionCallInfo fcinfo)
{
	static const struct
	{
		int			place;
		const char *name;
	}			arguments[] =
	{
		{ARG_PARENT, "p_parent_table"}, {ARG_CONTROL, "p_control"},
		{ARG_INTERVAL, "p_interval"}, {ARG_TYPE, "p_type"},
		{ARG_EPOCH, "p_epoch"}, {ARG_PREMAKE, "p_premake"},
		{ARG_DEFAULT_TABLE, "p_default_table"},
		{ARG_AUTOMATIC, "p_automatic_maintenance"}, {ARG_JOBMON, "p_jobmon"},
		{ARG_CONTROL_NOT_NULL, "p_control_not_null"},
		{ARG_OFFSET, "p_offset_id"},
		{ARG_KEEP_TABLE, "p_retention_keep_table"},
		{ARG_INHERIT_PRIVILEGES, "p_inherit_privileges"}
	};

	for (int i = 0; i < lengthof(arguments); i++)
		pm_arg_not_null(fcinfo, arguments[i].place, arguments[i].name);
}

/* reads what is asked for and how the partitions that exist go on */
static void
shape(FunctionCallInfo fcinfo, Oid parent, Creation *creation)
{
	memset(creation, 0, sizeof(Creation));
	creation->set.parent = parent;
	creation->set.schema = get_namespace_name(get_rel_namespace(parent));
	creation->set.name = get_rel_name(parent);
	check_key(fcinfo, parent, &creation->set.key);
	creation->text.interval = pm_arg_text(fcinfo, ARG_INTERVAL);
	creation->text.retention = pm_arg_text(fcinfo, ARG_RETENTION);
	creation->text.time_zone = pm_arg_text(fcinfo, ARG_TIME_ZONE);
	creation->text.name_format = pm_arg_text(fcinfo, ARG_NAME_FORMAT);
	check_interval(creation);

	creation->partitions = pm_catalog_look(&creation->set)->partitions;
	choose_grid(creation);
	read_start(fcinfo, creation);
	choose_origin(fcinfo, creation);

	/* now that the grid is known: do names follow a pattern? */
	if (creation->text.name_format == NULL &&
		pm_config_fill(&creation->set, &creation->text) == NULL)
		creation->text.name_format = pm_name_detect(creation->set.name, &creation->set.key,
													&creation->set.grid,
													creation->partitions);
}

/* makes the default partition if it is wanted and there is none */
static void
add_default(FunctionCallInfo fcinfo, Oid parent)
{
	PmLook	   *look;

	if (!PG_GETARG_BOOL(ARG_DEFAULT_TABLE))
		return;
	look = pm_catalog_look(pm_config_read_one(parent));
	if (look->dflt == NULL)
		pm_ddl_create_default(look, pm_catalog_template(look));
}

/*
 * create_parent(p_parent_table, p_control, p_interval, ...) manages a table and
 * makes its first partitions; the arguments are pg_partman's and are described
 * in README.  Returns true, or false with a WARNING if the set has no partition
 * even then.
 *
 * Only the owner may.  Holds SHARE UPDATE EXCLUSIVE on the table to the end of
 * the transaction, and the locks of the partitions it makes.
 */
Datum
partmgr_create_parent(PG_FUNCTION_ARGS)
{
	Creation	creation;
	bool		isnull;
	Oid			parent;
	PmOrder		order;
	PmLook	   *look;
	ListCell   *lc;

	pm_api_require();
	check_not_null(fcinfo);
	refuse_later_arguments(fcinfo);
	if (PG_GETARG_INT32(ARG_PREMAKE) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("p_premake must be at least 1")));

	parent = pm_arg_relation(fcinfo, ARG_PARENT, &isnull);
	pm_api_check_owner(parent);
	check_table(parent);
	LockRelationOid(parent, ShareUpdateExclusiveLock);
	shape(fcinfo, parent, &creation);
	write_config(fcinfo, &creation);
	(void) pm_config_arm(list_make1_oid(parent), GetCurrentTransactionStartTimestamp());

	look = pm_catalog_look(pm_config_read_one(parent));
	foreach(lc, pm_catalog_rights_problems(look))
		ereport(WARNING,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("maintenance of table %s will fail: %s",
						pm_qualified_name(parent), (char *) lfirst(lc))));
	memset(&order, 0, sizeof(order));
	order.now = GetCurrentTransactionStartTimestamp();
	order.create = true;
	order.uncapped = true;
	order_first(&creation, look->set, &order);
	(void) pm_maintain(parent, &order);
	add_default(fcinfo, parent);
	pm_worker_wake();

	look = pm_catalog_look(look->set);
	if (look->partitions == NIL)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("no partition of table %s could be made", pm_qualified_name(parent))));
	PG_RETURN_BOOL(look->partitions != NIL);
}
