/*-------------------------------------------------------------------------
 *
 * api_sub.c
 *		SQL functions for sets whose partitions are sets themselves, and the
 *		trigger on their configuration.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "api.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "create_parent.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "compat.h"

PG_FUNCTION_INFO_V1(partmgr_create_sub_partition);
PG_FUNCTION_INFO_V1(partmgr_stop_sub_partition);
PG_FUNCTION_INFO_V1(partmgr_config_sub_check);

/* the column by which partitions are to be partitioned, as the user says it */
typedef struct PmSubKey
{
	const char *control;
	const char *epoch;
	const char *encoder;
	const char *decoder;
	bool		is_list;
} PmSubKey;

/* ---------- what makes no sense ---------- */

/* a width, near enough to say which of two is smaller */
static double
width_of(const PartInterval *interval)
{
	return interval->months * 30.4 * USECS_PER_DAY + interval->days * (double) USECS_PER_DAY + interval->units;
}

/* the column by which partitions of a set are to be partitioned, as if it were a key */
static void
read_sub_key(Oid parent, const PmSubKey *sub, PartKey *key)
{
	AttrNumber	attnum = get_attnum(parent, sub->control);
	char	   *problem;

	memset(key, 0, sizeof(PartKey));
	if (attnum == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of relation \"%s\" does not exist", sub->control, get_rel_name(parent))));
	key->attnum = attnum;
	key->attname = sub->control;
	key->is_list = sub->is_list;
	key->type = getBaseType(get_atttype(parent, attnum));
	if (!pm_catalog_kind(parent, sub->epoch, sub->encoder, sub->decoder, key, &problem))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("partitions of table \"%s\" cannot be sets: %s", get_rel_name(parent), problem)));
}

/* within one axis a partition can only be divided into smaller ones */
static void
check_smaller(const PartSet *set, const PartKey *key, const char *text, const PartInterval *interval)
{
	if (strcmp(key->attname, set->key.attname) != 0 ||
		width_of(interval) < width_of(&set->grid.interval))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("interval \"%s\" is not smaller than that of table %s, which is %s", text, pm_full_name(set),
					pm_key_interval_text(&set->key, &set->grid.interval)),
			 errhint("Partition by another column, or take a smaller interval.")));
}

/* a unique index of a partitioned table must have all columns by which rows find their place */
static void
check_unique(const PartSet *set, const char *control)
{
	List	   *indexes = pm_catalog_texts(psprintf("SELECT c.relname FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid"
													" WHERE x.indrelid = $1 AND x.indisunique AND NOT EXISTS"
													"  (SELECT FROM pg_attribute a WHERE a.attrelid = $1 AND a.attname = %s"
													"   AND a.attnum = ANY ((x.indkey::int2[])[0:x.indnkeyatts - 1]))"
													" ORDER BY c.relname", quote_literal_cstr(control)), set->parent);

	if (indexes != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("unique index \"%s\" of table %s does not include column \"%s\"",
						(char *) linitial(indexes), pm_full_name(set), control),
				 errhint("PostgreSQL wants all partition keys in it, those of partitions as well.")));
}

/* the same as for part_config, as far as it can be known without the partitions */
static void
check_sub(Oid parent, const PmSubKey *key, PmConfigText *text)
{
	PartSet    *set = pm_config_read_one(parent);
	PartSet		sub = {0};

	if (set == NULL)
		pm_api_not_managed(parent);
	sub.parent = set->parent;
	sub.schema = set->schema;
	sub.name = set->name;
	sub.owner = set->owner;
	read_sub_key(parent, key, &sub.key);
	if (text->time_zone == NULL && sub.key.axis != AXIS_ID)
		text->time_zone = set->grid.zone ? pg_get_timezone_name(set->grid.zone) : pg_get_timezone_name(session_timezone);
	if (strcmp(key->control, set->key.attname) == 0 && (key->is_list || set->key.is_list || sub.key.kind != set->key.kind))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("table %s is partitioned by column \"%s\" already", pm_full_name(set), key->control),
				 errdetail("Only a range can be divided by the same column, and only if that is read in the same way.")));
	pm_create_check_set(&sub, text);
	if (!key->is_list && !set->key.is_list)
		check_smaller(set, &sub.key, text->interval, &sub.grid.interval);
	check_unique(set, key->control);
}


/* ---------- create_sub_partition ---------- */

static char *
required(FunctionCallInfo fcinfo, int argno, const char *name)
{
	pm_arg_not_null(fcinfo, argno, name);
	return pm_arg_text(fcinfo, argno);
}

static char *
required_bool(FunctionCallInfo fcinfo, int argno, const char *name)
{
	pm_arg_not_null(fcinfo, argno, name);
	return PG_GETARG_BOOL(argno) ? "true" : "false";
}

/* an array of text as its literal */
static char *
array_text(FunctionCallInfo fcinfo, int argno)
{
	Oid			output;
	bool		is_varlena;

	if (PG_ARGISNULL(argno))
		return NULL;
	getTypeOutputInfo(TEXTARRAYOID, &output, &is_varlena);
	return OidOutputFunctionCall(output, PG_GETARG_DATUM(argno));
}

/* one call, for pm_lockwait_run */
typedef struct SubCall
{
	Oid			parent;
	const char *start;
} SubCall;

static void
call_adopt(void *arg)
{
	SubCall    *call = arg;

	LockRelationOid(call->parent, ShareUpdateExclusiveLock);
	pm_sub_adopt(call->parent, call->start, GetCurrentTransactionStartTimestamp());
}

/* sub-sets use the template table of the set that they belong to */
static char *
template_of(Oid parent)
{
	Oid			table = pm_config_read_one(parent)->template_table;

	return OidIsValid(table) && get_rel_name(table) ? pm_qualified_name(table) : NULL;
}

/* the calendar of a new set is the parent's, or if that has none the session's */
static const char *
zone_for(Oid parent, const PmSubKey *sub)
{
	PartSet    *set = pm_config_read_one(parent);
	PartKey		key;

	read_sub_key(parent, sub, &key);
	if (key.axis == AXIS_ID)
		return NULL;
	return pg_get_timezone_name(set->grid.zone ? set->grid.zone : session_timezone);
}

/* writes down what each partition of the set is to get, as the arguments say */
static void
write_sub(FunctionCallInfo fcinfo, Oid parent, const PmSubKey *key, const char *type)
{
	const struct
	{
		const char *column;
		const char *value;
	}			row[] = {
		{"control", key->control},
		{"partition_interval", required(fcinfo, 2, "p_interval")},
		{"partition_type", type},
		{"default_table", required_bool(fcinfo, 4, "p_default_table")},
		{"constraint_cols", array_text(fcinfo, 6)},
		{"premake", psprintf("%d", PG_GETARG_INT32(7))},
		{"epoch", key->epoch},
		{"jobmon", required_bool(fcinfo, 10, "p_jobmon")},
		{"date_trunc_interval", pm_arg_text(fcinfo, 11)},
		{"control_not_null", required_bool(fcinfo, 12, "p_control_not_null")},
		{"time_encoder", key->encoder},
		{"time_decoder", key->decoder},
		{"template_table", template_of(parent)},
		{"time_zone", zone_for(parent, key)}
	};
	const char *columns[lengthof(row)];
	const char *values[lengthof(row)];

	for (int i = 0; i < lengthof(row); i++)
	{
		columns[i] = row[i].column;
		values[i] = row[i].value;
	}
	pm_sub_insert(parent, lengthof(row), columns, values);
}

/*
 * partmgr_create_sub_partition(p_top_parent, p_control, p_interval, p_type,
 * p_default_table, p_declarative_check, p_constraint_cols, p_premake, p_start_partition,
 * p_epoch, p_jobmon, p_date_trunc_interval, p_control_not_null, p_time_encoder,
 * p_time_decoder) makes each partition of a set, now and later, a set of its own.
 * p_declarative_check is accepted: it was to confirm that rows are lost, and none is.
 * Returns true.
 *
 * Locks: ACCESS EXCLUSIVE on the table and each of its partitions, to the end of the
 * transaction; no row is read.  Errors: not managed, an interval that is not smaller, a
 * unique index without the column, a partition that is partitioned otherwise.
 */
Datum
partmgr_create_sub_partition(PG_FUNCTION_ARGS)
{
	SubCall		call;
	PmSubKey	key;
	const char *type;

	pm_api_require();
	call.parent = pm_api_own_set(fcinfo, 0, "p_top_parent");
	call.start = pm_arg_text(fcinfo, 8);
	type = required(fcinfo, 3, "p_type");
	key.control = required(fcinfo, 1, "p_control");
	key.epoch = required(fcinfo, 9, "p_epoch");
	key.encoder = pm_arg_text(fcinfo, 13);
	key.decoder = pm_arg_text(fcinfo, 14);
	key.is_list = strcmp(type, "list") == 0;
	pm_arg_not_null(fcinfo, 7, "p_premake");
	if (pm_sub_value(call.parent, "control"))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("partitions of table %s are sets themselves already", pm_qualified_name(call.parent)),
				 errhint("Change its row in part_config_sub, or use stop_sub_partition() first.")));
	write_sub(fcinfo, call.parent, &key, type);
	pm_lockwait_run(call.parent, call_adopt, &call);
	PG_RETURN_BOOL(true);
}

static void
call_stop(void *arg)
{
	Oid			parent = *(Oid *) arg;

	LockRelationOid(parent, ShareUpdateExclusiveLock);
	(void) pm_sub_delete(parent);
}

/*
 * partmgr_stop_sub_partition(p_parent_table, p_jobmon) has new partitions of a set be
 * plain ones; those that are sets stay such.  Returns true.
 *
 * Locks: SHARE UPDATE EXCLUSIVE on the table: nobody makes a partition meanwhile.
 */
Datum
partmgr_stop_sub_partition(PG_FUNCTION_ARGS)
{
	Oid			parent;

	pm_api_require();
	parent = pm_api_own_set(fcinfo, 0, "p_parent_table");
	pm_lockwait_run(parent, call_stop, &parent);
	PG_RETURN_BOOL(true);
}


/* ---------- the trigger ---------- */

/* a text column of the row; NULL if it is null */
static char *
column_text(TupleDesc desc, HeapTuple tuple, const char *name)
{
	for (int i = 0; i < desc->natts; i++)
	{
		bool		isnull;
		Datum		value;

		if (strcmp(NameStr(TupleDescAttr(desc, i)->attname), name) != 0)
			continue;
		value = heap_getattr(tuple, i + 1, desc, &isnull);
		return isnull ? NULL : TextDatumGetCString(value);
	}
	elog(ERROR, "there is no column \"%s\"", name);
	return NULL;				/* keep the compiler quiet */
}

/*
 * partmgr_config_sub_check is the row trigger before INSERT and UPDATE of
 * part_config_sub: it refuses what partitions could not be made with.  A row that comes
 * out of a dump gets through: its set may come after it.
 */
Datum
partmgr_config_sub_check(PG_FUNCTION_ARGS)
{
	TriggerData *data = pm_api_trigger(fcinfo);
	bool		is_update = TRIGGER_FIRED_BY_UPDATE(data->tg_event);
	HeapTuple	tuple = is_update ? data->tg_newtuple : data->tg_trigtuple;
	TupleDesc	desc = RelationGetDescr(data->tg_relation);
	bool		isnull;
	Oid			parent = DatumGetObjectId(heap_getattr(tuple, 1, desc, &isnull));
	PmConfigText text = {0};
	char	   *schema;
	char	   *type = column_text(desc, tuple, "sub_partition_type");
	PmSubKey	key = {
		.control = column_text(desc, tuple, "sub_control"),
		.epoch = column_text(desc, tuple, "sub_epoch"),
		.encoder = column_text(desc, tuple, "sub_time_encoder"),
		.decoder = column_text(desc, tuple, "sub_time_decoder"),
		.is_list = type && strcmp(type, "list") == 0
	};

	text.interval = column_text(desc, tuple, "sub_partition_interval");
	text.retention = column_text(desc, tuple, "sub_retention");
	text.time_zone = column_text(desc, tuple, "sub_time_zone");
	text.name_format = column_text(desc, tuple, "sub_name_format");

	/* NULL where it must not be: the table's constraints say so */
	if (isnull || key.control == NULL || type == NULL || key.epoch == NULL || text.interval == NULL)
		return PointerGetDatum(tuple);
	if (is_update && DatumGetObjectId(heap_getattr(data->tg_trigtuple, 1, desc, &isnull)) != parent)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("column \"%s\" of part_config_sub cannot be changed", "sub_parent")));
	if (pm_config_exists(parent))
	{
		check_sub(parent, &key, &text);
		schema = column_text(desc, tuple, "sub_retention_schema");
		if (is_update && schema != NULL)
			pm_api_check_retention_schema(pm_config_read_one(parent), schema);
	}
	return PointerGetDatum(tuple);
}
