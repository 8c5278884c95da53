/*-------------------------------------------------------------------------
 *
 * create_parent.c
 *		Manage a table: look whether it can be, write its configuration, and
 *		maintain it once.
 *
 * There is no second implementation of "make the first partitions": setting up
 * is adopting what is there and running maintenance.  Every refusal comes
 * before the first write, with its own SQLSTATE.
 *
 * Checks no rights: the caller does.  It holds SHARE UPDATE EXCLUSIVE on the
 * parent.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "bound.h"
#include "catalog/partition.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "create_parent.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "compat.h"

/* what pg_partman took for intervals up to version 4 */
static const struct
{
	const char *word;
	const char *interval;
}			old_words[] = {
	{"yearly", "1 year"},
	{"quarterly", "3 months"},
	{"monthly", "1 month"},
	{"weekly", "1 week"},
	{"daily", "1 day"},
	{"hourly", "1 hour"},
	{"half-hour", "30 minutes"},
	{"quarter-hour", "15 minutes"}
};

/* ---------- refusals ---------- */

/* pm_interval_word returns the interval that a word of version 4 means; others as they are. */
const char *
pm_interval_word(const char *interval)
{
	for (int i = 0; i < lengthof(old_words); i++)
		if (interval && pg_strcasecmp(interval, old_words[i].word) == 0)
			return old_words[i].interval;
	return interval;
}

static void
check_interval_word(const char *interval)
{
	if (pm_interval_word(interval) != interval)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" is not an interval", interval),
				 errhint("Use \"%s\".", pm_interval_word(interval))));
}

/* who calls as version 4 was called has the interval one place further on */
static void
check_type(const char *type)
{
	if (strcmp(type, "range") == 0 || strcmp(type, "list") == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("p_type must be \"range\" or \"list\", not \"%s\"", type),
			 pg_strcasecmp(type, "native") == 0 || pm_interval_word(type) != type ?
			 errhint("pg_partman 4 had the type as third argument; since version 5 that is the interval: create_parent(table, column, '1 day').") : 0));
}

static void
check_word(const char *argument, const char *value, const char *first,
		   const char *second)
{
	if (strcmp(value, first) != 0 && strcmp(value, second) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be \"%s\" or \"%s\", not \"%s\"",
						argument, first, second, value)));
}

/* check_arguments refuses what makes no sense for any table. */
static void
check_arguments(const CreateOrder *order)
{
	static const char *const epochs[] = {
		"none", "seconds", "milliseconds", "microseconds", "nanoseconds",
		"yyyymmdd", "yyyymm"
	};
	int			i = 0;

	check_type(order->type);
	check_interval_word(order->interval);
	check_word("p_automatic_maintenance", order->automatic, "on", "off");
	if (order->premake < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("p_premake must be at least 1")));
	if (order->premake > PM_MAX_PARTITIONS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("p_premake must be at most %d", PM_MAX_PARTITIONS)));
	while (i < lengthof(epochs) && strcmp(order->epoch, epochs[i]) != 0)
		i++;
	if (i == lengthof(epochs))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("p_epoch \"%s\" is not known", order->epoch),
				 errhint("Use none, seconds, milliseconds, microseconds, nanoseconds, yyyymmdd or yyyymm.")));
}

/* check_table refuses what is no partitioned table. */
static void
check_table(Oid parent, const char *name)
{
	char		kind = get_rel_relkind(parent);

	if (kind == RELKIND_RELATION)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("table \"%s\" is not partitioned", name),
				 errdetail("Only tables created with PARTITION BY RANGE or LIST can be managed."),
				 errhint("convert_table() makes a set of it, under its name and while it is used.")));
	if (kind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a table", name)));
	if (get_rel_persistence(parent) == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot manage temporary table \"%s\"", name)));
}

/* read_key reads the partition key, and refuses what has no place on an axis. */
static void
read_key(PartSet *set, const CreateOrder *order)
{
	const char *epoch = order->epoch;
	char	   *problem;

	if (pm_catalog_key(set->parent, epoch, order->encoder, order->decoder, &set->key, &problem))
		return;
	if (set->key.kind == KEY_ENCODED)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cannot manage table \"%s\": %s", set->name, problem)));
	if (set->key.type == UUIDOID || set->key.type == TEXTOID || set->key.type == VARCHAROID)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cannot manage table \"%s\": column \"%s\" of type %s needs p_time_encoder and p_time_decoder",
						set->name, set->key.attname, format_type_be(set->key.type)),
				 set->key.type == UUIDOID ?
				 errhint("For UUIDs of version 7 pass uuid7_time_encoder and uuid7_time_decoder, with their schema.") :
				 errhint("They are functions that make a key of a time, and read the time in a key.")));
	if (OidIsValid(set->key.type) && strcmp(epoch, "none") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cannot manage table \"%s\": %s", set->name, problem),
				 errhint("p_epoch is for times in a column of type integer, bigint or numeric.")));
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot manage table \"%s\": %s", set->name, problem),
			 errdetail("The first column of the partition key must be a date, a timestamp, an integer or a numeric, or have a time in it that functions can read.")));
}

/* check_control compares p_control and p_type with the partition key. */
static void
check_control(const PartSet *set, const CreateOrder *order)
{
	const PartKey *key = &set->key;
	const char *type = key->is_list ? "list" : "range";

	if (get_attnum(set->parent, order->control) == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of relation \"%s\" does not exist",
						order->control, set->name)));
	if (strcmp(order->control, key->attname) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("column \"%s\" is not the partition key of table \"%s\"",
						order->control, set->name),
				 key->others == NIL ? errhint("The partition key is \"%s\".", key->attname) :
				 errhint("The first column of the partition key is \"%s\".", key->attname)));
	if (strcmp(order->type, type) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("table \"%s\" is not partitioned by %s", set->name, order->type),
				 errhint("Pass p_type => '%s'.", type)));
	if (key->axis != AXIS_ID && order->offset_id != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("p_offset_id needs a partition key that is an id")));
	if (key->axis == AXIS_ID && order->date_trunc != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("p_date_trunc_interval needs a partition key that is a time")));
}

/* check_not_null refuses a key that can be null: no partition takes such rows. */
static void
check_not_null(const PartSet *set)
{
	HeapTuple	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(set->parent),
										Int16GetDatum(set->key.attnum));
	bool		not_null;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for attribute %d of relation %u",
			 set->key.attnum, set->parent);
	not_null = ((Form_pg_attribute) GETSTRUCT(tuple))->attnotnull;
	ReleaseSysCache(tuple);
	if (!not_null)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("column \"%s\" of table \"%s\" can be null",
						set->key.attname, set->name),
				 errhint("Set it NOT NULL, or pass p_control_not_null => false.")));
}

/*
 * check_unmanaged refuses a set that is managed.  One that came out of a dump
 * and was not resumed is set up anew: its configuration is replaced.
 */
static void
check_unmanaged(const PartSet *set)
{
	PmState		state;

	if (!pm_config_exists(set->parent))
		return;
	pm_config_state(set->parent, &state);
	if (state.has_row)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("table \"%s\" is already managed", set->name),
				 errhint("Change its row in part_config, or release it first with config_cleanup().")));
	ereport(NOTICE,
			(errmsg("replacing the configuration with which table \"%s\" was restored",
					set->name)));
	(void) pm_config_delete(set->parent, true);
}

/*
 * pm_create_check_set completes a set from its configuration, as config.c does
 * later, and raises an error if that makes no sense.
 */
void
pm_create_check_set(PartSet *set, const PmConfigText *text)
{
	const char *zone = text->time_zone;
	char	   *problem = NULL;

	if (set->key.axis == AXIS_ID && zone != NULL)
		problem = "time_zone: a set partitioned by an id has none";
	else
		problem = pm_config_fill(set, text);
	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("configuration of table \"%s\" is not valid: %s",
						set->name, problem)));
}

/*
 * pm_create_check_on_demand refuses partitions on demand where there is a default
 * partition, which takes every row, and tells where they will not work yet.
 */
void
pm_create_check_on_demand(const PartSet *set, bool wants_default)
{
	if (set->key.kind == KEY_ENCODED)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("no partitions are made on demand for keys that a time_decoder reads"),
				 errdetail("The function of the owner of table \"%s\" would be called for each row that anybody inserts.",
						   set->name)));
	if (set->key.others != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("no partitions are made on demand for a partition key of several columns")));
	if (OidIsValid(get_default_partition_oid(set->parent)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" has a default partition, which leaves nothing to be made on demand",
						set->name),
				 errhint("Remove it first, with drop_default().")));
	if (wants_default)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("p_on_demand leaves no room for a default partition"),
				 errhint("Pass p_default_table => false.")));
	if (!pm_demand_is_loaded())
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("partitions are made on demand only in sessions that have loaded the library"),
				 errhint("Add partmgr to shared_preload_libraries or session_preload_libraries.")));
}

/* ---------- from order to configuration ---------- */

/* begin_set makes a set of what the catalogs say, and checks it for the order. */
static PartSet *
begin_set(const CreateOrder *order)
{
	PartSet    *set = palloc0(sizeof(PartSet));
	HeapTuple	tuple;

	set->parent = order->parent;
	set->name = get_rel_name(order->parent);
	set->schema = get_namespace_name(get_rel_namespace(order->parent));
	check_table(set->parent, set->name);
	read_key(set, order);
	check_control(set, order);
	if (order->control_not_null)
		check_not_null(set);

	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(order->parent));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", order->parent);
	set->owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);

	set->has_limits = pm_bound_limits(set->parent, &set->key, &set->limits);
	set->premake = order->premake;
	set->ignore_default_data = true;
	set->inherit_privileges = order->inherit_privileges;
	set->constraint_cols = order->constraint_cols;
	if (order->has_template)
		set->template_table = order->template_table;
	return set;
}

static void
read_interval_argument(const PartSet *set, const CreateOrder *order,
					   PartInterval *interval)
{
	char	   *problem;

	if (pm_interval_parse(&set->key, order->interval, interval, &problem))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid interval for a partition key of type %s: %s",
					format_type_be(set->key.type), problem),
			 set->key.axis == AXIS_ID ?
			 errhint("Pass a whole number, for example \"1000000\", or p_epoch if the number is a time.") :
			 errhint("Pass an interval, for example \"1 day\".")));
}

static pg_tz *
read_time_zone(const char *name)
{
	pg_tz	   *zone = pg_tzset(name);

	if (zone == NULL || !pg_tz_acceptable(zone))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("time zone \"%s\" not recognized", name)));
	return zone;
}

/* write_config inserts the set's row, and lets the worker maintain it. */
static void
write_config(const PartSet *set, const CreateOrder *order,
			 const PmConfigText *text)
{
	const struct
	{
		const char *column;
		const char *value;
	}			row[] = {
		{"control", order->control},
		{"time_encoder", order->encoder},
		{"time_decoder", order->decoder},
		{"partition_interval", text->interval},
		{"partition_type", order->type},
		{"premake", psprintf("%d", order->premake)},
		{"automatic_maintenance", order->automatic},
		{"retention", text->retention},
		{"retention_keep_table", order->keep_table ? "true" : "false"},
		{"epoch", order->epoch},
		{"jobmon", order->jobmon ? "true" : "false"},
		{"inherit_privileges", order->inherit_privileges ? "true" : "false"},
		{"time_zone", text->time_zone},
		{"name_format", text->name_format},
		{"grid_origin", text->origin},
		{"on_demand", order->on_demand ? "true" : "false"},
		{"template_table", OidIsValid(set->template_table) ? pm_qualified_name(set->template_table) : NULL},
		{"constraint_cols", set->constraint_cols == NIL ? NULL :
		OidOutputFunctionCall(F_ARRAY_OUT, pm_config_text_array(set->constraint_cols))},
		{"date_trunc_interval", order->date_trunc},
		{"maintenance_role", GetUserNameFromId(GetUserId(), false)}
	};
	const char *columns[lengthof(row)];
	const char *values[lengthof(row)];

	for (int i = 0; i < lengthof(row); i++)
	{
		columns[i] = row[i].column;
		values[i] = row[i].value;
	}
	pm_config_insert(set, columns, values, lengthof(row));
	(void) pm_config_arm(list_make1_oid(set->parent), order->now);
}

/*
 * stored_interval writes an interval as the server does by default, whatever the
 * session's IntervalStyle: scripts compare it.
 */
static const char *
stored_interval(const PartSet *set, const char *text)
{
	struct pg_itm itm;
	char		buf[MAXDATELEN + 1];

	if (set->key.axis == AXIS_ID)
		return DatumGetCString(DirectFunctionCall1(int8out, DirectFunctionCall1(int8in, CStringGetDatum(text))));
	interval2itm(*DatumGetIntervalP(DirectFunctionCall3(interval_in, CStringGetDatum(text),
														ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1))), &itm);
	EncodeInterval(&itm, INTSTYLE_POSTGRES, buf);
	return pstrdup(buf);
}

/* make_text writes the set's shape as the configuration says it. */
static void
make_text(const PmLook *look, const CreateOrder *order, const SetShape *shape,
		  PmConfigText *text)
{
	const PartSet *set = look->set;

	memset(text, 0, sizeof(PmConfigText));
	text->interval = stored_interval(set, order->interval);
	text->retention = order->retention;
	if (set->key.axis != AXIS_ID)
		text->time_zone = pg_get_timezone_name(shape->grid.zone);
	if (shape->has_origin)
		text->origin = pm_position_text(&set->key, shape->grid.origin);
	text->name_format = order->name_format;
	if (text->name_format == NULL && look->partitions != NIL)
		text->name_format = pm_name_detect(set->name, &set->key, &shape->grid,
										   look->partitions);
}

/* warn_rights tells about rights that the owner of the set lacks. */
static void
warn_rights(const PmLook *look)
{
	ListCell   *lc;

	foreach(lc, pm_catalog_rights_problems(look))
		ereport(WARNING,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("%s", (char *) lfirst(lc))));
}

/*
 * has_default_table tells whether a table with the name of the default
 * partition waits to be attached.
 */
static bool
has_default_table(const PartSet *set)
{
	return OidIsValid(get_relname_relid(pm_name_default(set->name),
										get_rel_namespace(set->parent)));
}

/* tell_default says what a default partition costs. */
static void
tell_default(const PartSet *set, const char *schema, const char *name)
{
	ereport(NOTICE,
			(errmsg("table %s has a default partition, %s",
					pm_full_name(set),
					quote_qualified_identifier(schema, name)),
			 errdetail("It is locked and scanned whenever a partition is attached or detached, which cannot be done concurrently; and no partitions are made on demand."),
			 errhint("Keep it empty, or do without it: drop_default().")));
}

/*
 * make_partitions maintains the new set once.  Returns false if it has no
 * partition even then.
 */
static bool
make_partitions(const PmLook *look, const CreateOrder *order,
				const SetShape *shape)
{
	PmOrder		run;
	bool		has_partition = (look->partitions != NIL);
	ListCell   *lc;

	memset(&run, 0, sizeof(run));
	run.now = order->now;
	run.create = true;
	run.uncapped = true;
	run.lock_first = true;
	run.has_backfill = shape->has_start;
	run.backfill = shape->start;
	foreach(lc, pm_maintain(look->set->parent, &run))
	{
		const PmOutcome *outcome = lfirst(lc);

		if (outcome->step->blocked == NULL)
			has_partition = true;
	}
	return has_partition;
}

/* what an order comes to, before anything is written */
typedef struct Creation
{
	PartSet    *set;
	PmLook	   *look;
	SetShape	shape;
	PmConfigText text;
} Creation;

/* prepare looks at the table, and refuses what makes no sense. */
static void
prepare(const CreateOrder *order, Creation *creation)
{
	PartInterval interval;
	PartSet    *set;

	check_arguments(order);
	creation->set = set = begin_set(order);
	read_interval_argument(set, order, &interval);
	if (order->time_zone != NULL && set->key.axis != AXIS_ID)
		set->grid.zone = read_time_zone(order->time_zone);
	creation->look = pm_catalog_look(set);
	pm_adopt_shape(creation->look, order, &interval, &creation->shape);
	make_text(creation->look, order, &creation->shape, &creation->text);
	if (set->key.axis == AXIS_ID && order->time_zone != NULL)
		creation->text.time_zone = order->time_zone;	/* refused by the next line */
	pm_create_check_set(set, &creation->text);
}

/*
 * pm_create_set returns the set that an order would make of a partitioned table,
 * and writes nothing.
 */
PartSet *
pm_create_set(const CreateOrder *order)
{
	Creation	creation;

	prepare(order, &creation);
	return creation.set;
}

/*
 * pm_create_parent manages a partitioned table.  Returns false, with a WARNING
 * and with the configuration kept, if it has no partition in the end.
 */
bool
pm_create_parent(const CreateOrder *order)
{
	Creation	creation;
	PartSet    *set;
	PmLook	   *look;
	bool		wants_default;
	bool		attaches;
	bool		has_partition;

	prepare(order, &creation);
	set = creation.set;
	look = creation.look;
	pm_codec_check(set, order->now);
	check_unmanaged(set);
	if (order->on_demand)
		pm_create_check_on_demand(set, order->default_table);
	pm_constraint_check(set);
	if (OidIsValid(set->template_table))
		pm_template_table_check(set, set->template_table);
	warn_rights(look);
	if (!order->has_template)
		set->template_table = pm_template_table_make(set);

	/*
	 * Write, and maintain.  An empty default comes last: it is cheaper to
	 * attach partitions without.  One with rows comes first: they are moved.
	 */
	write_config(set, order, &creation.text);
	if (OidIsValid(order->like))
		pm_sub_settle(order->like, set);
	if (OidIsValid(order->sibling))
		(void) pm_sub_inherit(order->sibling, set->parent);
	if (order->defer)
	{
		if (creation.shape.has_start)
			pm_config_set_backfill(set, true, creation.shape.start);
		pm_worker_wake();
		return true;
	}
	wants_default = order->default_table && look->dflt == NULL;
	attaches = !OidIsValid(order->like);
	if (wants_default && attaches && has_default_table(set))
	{
		pm_ddl_create_default(look, pm_catalog_template(look), attaches);
		wants_default = false;
	}
	has_partition = make_partitions(look, order, &creation.shape);
	if (wants_default)
		pm_ddl_create_default(look, pm_catalog_template(look), attaches);
	if (OidIsValid(order->like))
		;						/* said once, of all */
	else if (look->dflt)
		tell_default(set, look->dflt->schema, look->dflt->name);
	else if (order->default_table)
		tell_default(set, set->schema, pm_name_default(set->name));
	if (!has_partition)
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no partition of table \"%s\" could be created", set->name),
				 errhint("partition_health_summary() tells what is in the way.")));
	pm_worker_wake();
	return has_partition;
}
