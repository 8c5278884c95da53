/*-------------------------------------------------------------------------
 *
 * api_config.c
 *		SQL functions that set up, change and release sets, and the triggers
 *		on their configuration.
 *
 * Whatever makes the worker's schedule obsolete wakes it at commit.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "api.h"
#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_tablespace.h"
#include "catalog/pg_type.h"
#include "commands/tablespace.h"
#include "commands/trigger.h"
#include "create_parent.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "compat.h"

PG_FUNCTION_INFO_V1(partmgr_create_parent);
PG_FUNCTION_INFO_V1(partmgr_config_check);
PG_FUNCTION_INFO_V1(partmgr_config_changed);
PG_FUNCTION_INFO_V1(partmgr_wake_worker);

/* ---------- create_parent ---------- */

/*
 * lock_own takes SHARE UPDATE EXCLUSIVE on a table of the caller's own, which
 * keeps other runs out; who owns it may have changed while we waited.
 */
static void
lock_own(Oid relation)
{
	pm_api_check_owner(relation);
	LockRelationOid(relation, ShareUpdateExclusiveLock);
	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relation)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relation)));
	pm_api_check_owner(relation);
}

static char *
required_text(FunctionCallInfo fcinfo, int argno, const char *name)
{
	pm_arg_not_null(fcinfo, argno, name);
	return pm_arg_text(fcinfo, argno);
}

static bool
required_bool(FunctionCallInfo fcinfo, int argno, const char *name)
{
	pm_arg_not_null(fcinfo, argno, name);
	return PG_GETARG_BOOL(argno);
}

/*
 * template_argument reads which template table is wanted: NULL for one of the
 * set's own, "false" for none, or the name of a table of the caller's.
 */
static Oid
template_argument(FunctionCallInfo fcinfo, int argno, bool *given)
{
	const char *text = pm_arg_text(fcinfo, argno);
	bool		isnull;
	Oid			table;

	*given = text != NULL;
	if (text == NULL || strcmp(text, "false") == 0 || strcmp(text, "f") == 0)
		return InvalidOid;
	table = pm_arg_relation(fcinfo, argno, &isnull);
	pm_api_check_owner(table);
	return table;
}

/* one call of pm_create_parent, for pm_lockwait_run */
typedef struct CreateCall
{
	CreateOrder *order;
	bool		has_partition;
} CreateCall;

static void
call_create_parent(void *arg)
{
	CreateCall *call = arg;

	lock_own(call->order->parent);
	call->has_partition = pm_create_parent(call->order);
}

/* partmgr_create_parent(...): the arguments are those of CreateOrder */
Datum
partmgr_create_parent(PG_FUNCTION_ARGS)
{
	CreateOrder order;
	CreateCall	call;
	bool		isnull;

	pm_api_require();
	memset(&order, 0, sizeof(order));
	order.now = GetCurrentTransactionStartTimestamp();
	pm_arg_not_null(fcinfo, 0, "p_parent_table");
	order.parent = pm_arg_relation(fcinfo, 0, &isnull);
	order.control = required_text(fcinfo, 1, "p_control");
	order.interval = required_text(fcinfo, 2, "p_interval");
	order.type = required_text(fcinfo, 3, "p_type");
	order.epoch = required_text(fcinfo, 4, "p_epoch");
	pm_arg_not_null(fcinfo, 5, "p_premake");
	order.premake = PG_GETARG_INT32(5);
	order.start = pm_arg_text(fcinfo, 6);
	order.default_table = required_bool(fcinfo, 7, "p_default_table");
	order.automatic = required_text(fcinfo, 8, "p_automatic_maintenance");
	if (!PG_ARGISNULL(9))
		order.constraint_cols = pm_config_names(PG_GETARG_DATUM(9));
	order.template_table = template_argument(fcinfo, 10, &order.has_template);
	order.jobmon = required_bool(fcinfo, 11, "p_jobmon");
	order.date_trunc = pm_arg_text(fcinfo, 12);
	order.control_not_null = required_bool(fcinfo, 13, "p_control_not_null");
	order.encoder = pm_arg_text(fcinfo, 14);
	order.decoder = pm_arg_text(fcinfo, 15);
	pm_arg_not_null(fcinfo, 16, "p_offset_id");
	order.offset_id = PG_GETARG_INT64(16);
	order.retention = pm_arg_text(fcinfo, 17);
	order.time_zone = pm_arg_text(fcinfo, 18);
	order.name_format = pm_arg_text(fcinfo, 19);
	order.keep_table = required_bool(fcinfo, 20, "p_retention_keep_table");
	order.inherit_privileges = required_bool(fcinfo, 21, "p_inherit_privileges");
	order.on_demand = required_bool(fcinfo, 22, "p_on_demand");

	call.order = &order;
	pm_lockwait_run(order.parent, call_create_parent, &call);
	PG_RETURN_BOOL(call.has_partition);
}

/* ---------- triggers ---------- */

/* one version of the row that a trigger is about */
typedef struct ConfigRow
{
	TupleDesc	desc;
	HeapTuple	tuple;
} ConfigRow;

static AttrNumber
column_number(TupleDesc desc, const char *column)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(desc, i);

		if (!attr->attisdropped && strcmp(NameStr(attr->attname), column) == 0)
			return attr->attnum;
	}
	elog(ERROR, "there is no column \"%s\"", column);
	return InvalidAttrNumber;	/* keep the compiler quiet */
}

static bool
row_bool(const ConfigRow *row, const char *column)
{
	bool		isnull;
	Datum		value = heap_getattr(row->tuple, column_number(row->desc, column),
									 row->desc, &isnull);

	return !isnull && DatumGetBool(value);
}

/* row_text returns a column of type text; NULL if it is null. */
static char *
row_text(const ConfigRow *row, const char *column)
{
	bool		isnull;
	Datum		value = heap_getattr(row->tuple, column_number(row->desc, column),
									 row->desc, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

static Oid
row_parent(const ConfigRow *row)
{
	bool		isnull;
	Datum		value = heap_getattr(row->tuple,
									 column_number(row->desc, "parent_table"),
									 row->desc, &isnull);

	return isnull ? InvalidOid : DatumGetObjectId(value);
}

static void
set_row_text(ConfigRow *row, const char *column, const char *text)
{
	int			attnum = column_number(row->desc, column);
	Datum		value = text ? CStringGetTextDatum(text) : (Datum) 0;
	bool		isnull = (text == NULL);

	row->tuple = heap_modify_tuple_by_cols(row->tuple, row->desc, 1, &attnum,
										   &value, &isnull);
}

static bool
same_text(const char *a, const char *b)
{
	return (a == NULL || b == NULL) ? a == b : strcmp(a, b) == 0;
}

/* check_unchanged refuses changes of what makes the set what it is. */
static void
check_unchanged(const ConfigRow *old_row, const ConfigRow *new_row)
{
	static const char *const columns[] = {"control", "partition_type", "epoch"};
	const char *changed = NULL;

	if (row_parent(old_row) != row_parent(new_row))
		changed = "parent_table";
	for (int i = 0; i < lengthof(columns); i++)
	{
		if (!same_text(row_text(old_row, columns[i]), row_text(new_row, columns[i])))
			changed = columns[i];
	}
	if ((row_text(old_row, "time_encoder") == NULL) != (row_text(new_row, "time_encoder") == NULL) ||
		(row_text(old_row, "time_decoder") == NULL) != (row_text(new_row, "time_decoder") == NULL))
		changed = "time_encoder";
	if (changed != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("column \"%s\" of a managed set cannot be changed", changed),
				 errhint("Release the set with config_cleanup(), and use create_parent() again.")));
}

/*
 * pm_api_check_retention_schema refuses a schema that is not the table owner's own:
 * its owner could take over what is moved there.
 */
void
pm_api_check_retention_schema(const PartSet *set, const char *schema)
{
	HeapTuple	tuple = SearchSysCache1(NAMESPACENAME, CStringGetDatum(schema));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_SCHEMA),
				 errmsg("schema \"%s\" does not exist", schema)));
	owner = ((Form_pg_namespace) GETSTRUCT(tuple))->nspowner;
	ReleaseSysCache(tuple);
	if (owner != set->owner)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("schema \"%s\" does not belong to the owner of table \"%s\"",
						schema, set->name)));
}

/* is a text column not null, and another one than before? */
static bool
is_new_text(const ConfigRow *old_row, const ConfigRow *row, const char *column)
{
	return row_text(row, column) != NULL &&
		!same_text(row_text(old_row, column), row_text(row, column));
}

/* check_cold_tablespace refuses what the owner of the table may not use. */
static void
check_cold_tablespace(const PartSet *set)
{
	Oid			tablespace = get_tablespace_oid(set->cold_tablespace, false);

	if (tablespace == GLOBALTABLESPACE_OID)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("only shared relations can be placed in tablespace \"%s\"",
						set->cold_tablespace)));
	if (tablespace != MyDatabaseTableSpace &&
		!pm_has_privilege(TableSpaceRelationId, tablespace, set->owner, ACL_CREATE))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("the owner of table \"%s\" has no right to create in tablespace \"%s\"",
						set->name, set->cold_tablespace)));
}

static void
call_storage(void *arg)
{
	(void) pm_ddl_storage(arg);
}

/* check_cold_storage refuses what is no list of storage parameters. */
static void
check_cold_storage(const PartSet *set)
{
	ErrorData  *edata = pm_attempt(call_storage, set->cold_storage);

	if (edata != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("configuration of table \"%s\" is not valid: cold_storage: %s",
						set->name, edata->message),
				 errhint("Write it as in ALTER TABLE ... SET (...), for example fillfactor=100, autovacuum_enabled=false.")));
}

/*
 * check_cold refuses what upkeep could not do with cold partitions, as far as it
 * is new: what was right once may have lost its sense, and upkeep then says so.
 */
static void
check_cold(PartSet *set, const ConfigRow *old_row, const ConfigRow *row)
{
	set->cold_storage = row_text(row, "cold_storage");
	set->cold_tablespace = row_text(row, "cold_tablespace");
	set->cold_cluster = row_text(row, "cold_cluster");
	if (is_new_text(old_row, row, "cold_storage"))
		check_cold_storage(set);
	if (is_new_text(old_row, row, "cold_tablespace"))
		check_cold_tablespace(set);
	if (is_new_text(old_row, row, "cold_cluster"))
		(void) pm_ddl_cluster_index(set);
}

/*
 * row_set makes a set of the relation that a row is about, with its key.  Functions
 * that were right once may be gone: that is for maintenance to say, unless they are
 * what is changed.
 */
static PartSet *
row_set(const ConfigRow *row, bool new_functions)
{
	PartSet    *set = palloc0(sizeof(PartSet));
	HeapTuple	tuple;
	char	   *problem;

	set->parent = row_parent(row);
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(set->parent));
	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", set->parent)));
	set->name = pstrdup(NameStr(((Form_pg_class) GETSTRUCT(tuple))->relname));
	set->owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	if (!pm_catalog_key(set->parent, row_text(row, "epoch"), row_text(row, "time_encoder"),
						row_text(row, "time_decoder"), &set->key, &problem) &&
		(set->key.kind != KEY_ENCODED || new_functions))
		ereport(ERROR,
				(errcode(set->key.kind == KEY_ENCODED ? ERRCODE_INVALID_PARAMETER_VALUE : ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("cannot manage table \"%s\": %s", set->name, problem)));
	if (!same_text(row_text(row, "partition_type"), set->key.is_list ? "list" : "range"))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("table \"%s\" is not partitioned by %s", set->name,
						row_text(row, "partition_type"))));
	return set;
}

static Datum
row_datum(const ConfigRow *row, const char *column, bool *isnull)
{
	return heap_getattr(row->tuple, column_number(row->desc, column), row->desc, isnull);
}

/* check_template refuses a new template table that is not the caller's, or of no use. */
static void
check_template(const PartSet *set, const ConfigRow *old_row, const ConfigRow *row)
{
	bool		isnull;
	Datum		value = row_datum(row, "template_table", &isnull);
	Oid			table = isnull ? InvalidOid : DatumGetObjectId(value);

	value = row_datum(old_row, "template_table", &isnull);
	/* settings that a sub-set gets from us have been checked, and are checked at each use */
	if (!OidIsValid(table) || InSecurityRestrictedOperation() || (!isnull && DatumGetObjectId(value) == table))
		return;
	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(table)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", table)));
	pm_api_check_owner(table);
	pm_template_table_check(set, table);
}

static bool
equal_names(const List *a, const List *b)
{
	if (list_length(a) != list_length(b))
		return false;
	for (int i = 0; i < list_length(a); i++)
		if (strcmp(list_nth(a, i), list_nth(b, i)) != 0)
			return false;
	return true;
}

/* check_constraint_cols refuses new columns that cannot have extra constraints. */
static void
check_constraint_cols(PartSet *set, const ConfigRow *old_row, const ConfigRow *row)
{
	bool		isnull;
	Datum		value = row_datum(old_row, "constraint_cols", &isnull);
	List	   *before = isnull ? NIL : pm_config_names(value);

	value = row_datum(row, "constraint_cols", &isnull);
	set->constraint_cols = isnull ? NIL : pm_config_names(value);
	if (!equal_names(before, set->constraint_cols) && !InSecurityRestrictedOperation())
		pm_constraint_check(set);
}

/*
 * settle_control makes the row say the key's name.  It may have been renamed
 * since the row was written; a restore must not fail for that.
 */
static void
settle_control(const PartSet *set, ConfigRow *row)
{
	const char *control = row_text(row, "control");

	if (control != NULL && strcmp(control, set->key.attname) != 0 &&
		get_attnum(set->parent, control) != InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("column \"%s\" is not the partition key of table \"%s\"",
						control, set->name)));
	set_row_text(row, "control", set->key.attname);
}

/*
 * settle_origin writes the origin in a form that means the same in every
 * session.
 */
static void
settle_origin(const PartSet *set, const PmConfigText *text, ConfigRow *row)
{
	pg_tz	   *zone;
	int64		origin;

	if (text->origin == NULL)
		return;
	zone = (text->time_zone != NULL) ? pg_tzset(text->time_zone) : NULL;
	if (set->key.axis == AXIS_INSTANT && zone == NULL)
		return;					/* refused for its time zone */
	origin = pm_adopt_position(&set->key, zone, text->origin);
	set_row_text(row, "grid_origin", pm_position_text(&set->key, origin));
}

/*
 * take_datetime lets a datetime_string that is new say what name_format is to be;
 * old_row is NULL for an INSERT.
 */
static void
take_datetime(const PartSet *set, const ConfigRow *old_row, ConfigRow *row)
{
	char	   *datetime = row_text(row, "datetime_string");
	char	   *format = row_text(row, "name_format");
	char	   *problem;

	if (datetime == NULL || (old_row ? same_text(row_text(old_row, "datetime_string"), datetime) ||
							 !same_text(row_text(old_row, "name_format"), format) : format != NULL))
		return;
	format = pm_name_from_datetime(datetime, &problem);
	if (format == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("configuration of table \"%s\" is not valid: datetime_string: %s",
						set->name, problem),
				 errhint("Leave it out, and set name_format.")));
	set_row_text(row, "name_format", format);
}

/*
 * settle_names lets name_format be null where it is the default one, and
 * datetime_string say the same.  The set's grid is known.
 */
static void
settle_names(const PartSet *set, ConfigRow *row)
{
	char	   *format = row_text(row, "name_format");
	char	   *datetime = row_text(row, "datetime_string");
	const char *settled;

	if (datetime != NULL && same_text(format, pm_name_default_format(&set->key, &set->grid)))
	{
		set_row_text(row, "name_format", NULL);
		format = NULL;
	}
	settled = pm_name_datetime(format, datetime, &set->key, &set->grid);
	if (!same_text(settled, datetime))
		set_row_text(row, "datetime_string", settled);
}

/* read_config_text sets the columns of a row that have to be read. */
static void
read_config_text(const ConfigRow *row, PmConfigText *text)
{
	memset(text, 0, sizeof(PmConfigText));
	text->interval = row_text(row, "partition_interval");
	text->retention = row_text(row, "retention");
	text->time_zone = row_text(row, "time_zone");
	text->name_format = row_text(row, "name_format");
	text->origin = row_text(row, "grid_origin");
	text->retention_size = row_text(row, "retention_size");
	text->window = row_text(row, "maintenance_window");
	text->cold_after = row_text(row, "cold_after");
}

/*
 * partmgr_config_check is the row trigger before INSERT and UPDATE: it refuses
 * what maintenance could not carry out.
 *
 * A row that comes out of a dump must get through, so what may change around
 * it (rights, schemas, names of columns) is only looked at when it is changed
 * here.
 */
Datum
partmgr_config_check(PG_FUNCTION_ARGS)
{
	TriggerData *data = pm_api_trigger(fcinfo);
	bool		is_update = TRIGGER_FIRED_BY_UPDATE(data->tg_event);
	ConfigRow	row;
	ConfigRow	old_row;
	PmConfigText text;
	PartSet    *set;
	char	   *schema;
	bool		new_functions;

	row.desc = old_row.desc = RelationGetDescr(data->tg_relation);
	row.tuple = is_update ? data->tg_newtuple : data->tg_trigtuple;
	old_row.tuple = data->tg_trigtuple;

	/* NULL where it must not be: the table's constraints say so */
	if (!OidIsValid(row_parent(&row)) || row_text(&row, "epoch") == NULL ||
		row_text(&row, "partition_interval") == NULL ||
		row_text(&row, "partition_type") == NULL)
		return PointerGetDatum(row.tuple);

	if (is_update)
		check_unchanged(&old_row, &row);
	new_functions = is_update && (is_new_text(&old_row, &row, "time_encoder") ||
								  is_new_text(&old_row, &row, "time_decoder"));
	set = row_set(&row, new_functions);
	settle_control(set, &row);
	take_datetime(set, is_update ? &old_row : NULL, &row);
	read_config_text(&row, &text);
	settle_origin(set, &text, &row);
	text.origin = row_text(&row, "grid_origin");
	pm_create_check_set(set, &text);
	settle_names(set, &row);
	if (new_functions || (is_update && (is_new_text(&old_row, &row, "partition_interval") ||
										is_new_text(&old_row, &row, "grid_origin"))))
		pm_codec_check(set, GetCurrentTransactionStartTimestamp());

	set->archive_function = row_text(&row, "archive_function");
	if (is_update && set->archive_function != NULL &&
		!same_text(row_text(&old_row, "archive_function"), set->archive_function))
		pm_archive_check(set);
	schema = row_text(&row, "retention_schema");
	if (is_update && schema != NULL &&
		!same_text(row_text(&old_row, "retention_schema"), schema))
		pm_api_check_retention_schema(set, schema);
	if (is_update)
	{
		check_cold(set, &old_row, &row);
		check_template(set, &old_row, &row);
		check_constraint_cols(set, &old_row, &row);
	}
	if (is_update && row_bool(&row, "on_demand") && !row_bool(&old_row, "on_demand"))
		pm_create_check_on_demand(set, false);
	return PointerGetDatum(row.tuple);
}

/*
 * partmgr_config_changed is the row trigger after INSERT and UPDATE: all
 * sessions hear of it; after UPDATE the set is due, and the worker wakes at
 * commit.
 */
Datum
partmgr_config_changed(PG_FUNCTION_ARGS)
{
	TriggerData *data = pm_api_trigger(fcinfo);
	ConfigRow	row;

	row.desc = RelationGetDescr(data->tg_relation);
	row.tuple = data->tg_trigtuple;
	pm_config_changed(row_parent(&row));
	if (!TRIGGER_FIRED_BY_UPDATE(data->tg_event))
		return PointerGetDatum(NULL);
	row.tuple = data->tg_newtuple;
	if (!same_text(row_text(&row, "automatic_maintenance"), "on"))
		pm_exclude_forget(row_parent(&row));
	pm_config_make_due(row_parent(&row), GetCurrentTransactionStartTimestamp());
	pm_worker_wake();
	return PointerGetDatum(NULL);
}

/* partmgr_wake_worker() makes the worker look at this database at commit. */
Datum
partmgr_wake_worker(PG_FUNCTION_ARGS)
{
	pm_worker_wake();
	PG_RETURN_VOID();
}
