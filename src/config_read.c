/*-------------------------------------------------------------------------
 *
 * config_read.c
 *		Rows of part_config, and what they refer to, as sets.
 *
 * Many sets are read with one query.  A single one is fetched by its key, which
 * takes a fraction of the time that the query would take to plan; what the row
 * means is read by the same code.
 *
 * What users have written is checked again here: a time zone can vanish with an
 * upgrade, and only the one set that cannot be understood is to fail.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "bound.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "config.h"
#include "internal.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "compat.h"

/* the columns of part_config that say how a set is maintained */
typedef enum ConfigColumn
{
	CFG_EPOCH,
	CFG_ENCODER,
	CFG_DECODER,
	CFG_INTERVAL,
	CFG_PREMAKE,
	CFG_AUTOMATIC,
	CFG_RETENTION,
	CFG_RETENTION_SCHEMA,
	CFG_KEEP_TABLE,
	CFG_KEEP_INDEX,
	CFG_KEEP_PUBLICATION,
	CFG_INHERIT_PRIVILEGES,
	CFG_IGNORE_DEFAULT_DATA,
	CFG_TIME_ZONE,
	CFG_NAME_FORMAT,
	CFG_ORIGIN,
	CFG_PARTITIONS,
	CFG_SIZE,
	CFG_KEEP_NEWEST,
	CFG_GRACE,
	CFG_DETACH_BEFORE_DROP,
	CFG_ARCHIVE_FUNCTION,
	CFG_ABORT_AFTER_WAIT,
	CFG_WINDOW,
	CFG_ANALYZE_PARENT,
	CFG_COLD_AFTER,
	CFG_COLD_VACUUM,
	CFG_COLD_REINDEX,
	CFG_COLD_TABLESPACE,
	CFG_COLD_STORAGE,
	CFG_COLD_CLUSTER,
	CFG_COLD_COMPRESSION,
	CFG_DRAIN_DEFAULT,
	CFG_ON_DEMAND,
	CFG_ON_DEMAND_WINDOW,
	CFG_SET_FULL,
	CFG_TEMPLATE,
	CFG_CONSTRAINT_COLS,
	CFG_OPTIMIZE_CONSTRAINT,
	CFG_CONSTRAINT_VALID,
	CFG_UNDO,
	CFG_ASYNC,
	CFG_COLUMNS
} ConfigColumn;

static const char *const column_names[] = {
	[CFG_EPOCH] = "epoch",
	[CFG_ENCODER] = "time_encoder",
	[CFG_DECODER] = "time_decoder",
	[CFG_INTERVAL] = "partition_interval",
	[CFG_PREMAKE] = "premake",
	[CFG_AUTOMATIC] = "automatic_maintenance",
	[CFG_RETENTION] = "retention",
	[CFG_RETENTION_SCHEMA] = "retention_schema",
	[CFG_KEEP_TABLE] = "retention_keep_table",
	[CFG_KEEP_INDEX] = "retention_keep_index",
	[CFG_KEEP_PUBLICATION] = "retention_keep_publication",
	[CFG_INHERIT_PRIVILEGES] = "inherit_privileges",
	[CFG_IGNORE_DEFAULT_DATA] = "ignore_default_data",
	[CFG_TIME_ZONE] = "time_zone",
	[CFG_NAME_FORMAT] = "name_format",
	[CFG_ORIGIN] = "grid_origin",
	[CFG_PARTITIONS] = "retention_partitions",
	[CFG_SIZE] = "retention_size",
	[CFG_KEEP_NEWEST] = "retention_keep_newest",
	[CFG_GRACE] = "retention_grace",
	[CFG_DETACH_BEFORE_DROP] = "detach_before_drop",
	[CFG_ARCHIVE_FUNCTION] = "archive_function",
	[CFG_ABORT_AFTER_WAIT] = "abort_after_wait",
	[CFG_WINDOW] = "maintenance_window",
	[CFG_ANALYZE_PARENT] = "analyze_parent",
	[CFG_COLD_AFTER] = "cold_after",
	[CFG_COLD_VACUUM] = "cold_vacuum",
	[CFG_COLD_REINDEX] = "cold_reindex",
	[CFG_COLD_TABLESPACE] = "cold_tablespace",
	[CFG_COLD_STORAGE] = "cold_storage",
	[CFG_COLD_CLUSTER] = "cold_cluster",
	[CFG_COLD_COMPRESSION] = "cold_compression",
	[CFG_DRAIN_DEFAULT] = "drain_default",
	[CFG_ON_DEMAND] = "on_demand",
	[CFG_ON_DEMAND_WINDOW] = "on_demand_window",
	[CFG_SET_FULL] = "sub_partition_set_full",
	[CFG_TEMPLATE] = "template_table",
	[CFG_CONSTRAINT_COLS] = "constraint_cols",
	[CFG_OPTIMIZE_CONSTRAINT] = "optimize_constraint",
	[CFG_CONSTRAINT_VALID] = "constraint_valid",
	[CFG_UNDO] = "undo_in_progress",
	[CFG_ASYNC] = "async_partitioning_in_progress"
};

StaticAssertDecl(lengthof(column_names) == CFG_COLUMNS,
				 "each column has its name");

/* rows of part_config, whose columns have been found */
typedef struct ConfigShape
{
	TupleDesc	desc;
	int			place[CFG_COLUMNS];	/* from 0 */
} ConfigShape;

/* one row */
typedef struct ConfigRow
{
	const ConfigShape *shape;
	Datum	   *values;
	bool	   *nulls;
} ConfigRow;


/* ---------- a row ---------- */

static int
find_column(TupleDesc desc, const char *name)
{
	for (int i = 0; i < desc->natts; i++)
		if (strcmp(NameStr(TupleDescAttr(desc, i)->attname), name) == 0)
			return i;
	elog(ERROR, "there is no column \"%s\"", name);
	return 0;					/* keep the compiler quiet */
}

/* shape_of finds the columns once for any number of rows; it keeps desc. */
static ConfigShape *
shape_of(TupleDesc desc)
{
	ConfigShape *shape = palloc(sizeof(ConfigShape));

	shape->desc = desc;
	for (int i = 0; i < CFG_COLUMNS; i++)
		shape->place[i] = find_column(desc, column_names[i]);
	return shape;
}

static ConfigRow
deform(const ConfigShape *shape, HeapTuple tuple)
{
	ConfigRow	row = {.shape = shape};

	row.values = palloc(sizeof(Datum) * shape->desc->natts);
	row.nulls = palloc(sizeof(bool) * shape->desc->natts);
	heap_deform_tuple(tuple, shape->desc, row.values, row.nulls);
	return row;
}

static bool
is_null(const ConfigRow *row, ConfigColumn column)
{
	return row->nulls[row->shape->place[column]];
}

static Datum
value_of(const ConfigRow *row, ConfigColumn column)
{
	return row->values[row->shape->place[column]];
}

static char *
text_of(const ConfigRow *row, ConfigColumn column)
{
	return is_null(row, column) ? NULL : TextDatumGetCString(value_of(row, column));
}

static bool
bool_of(const ConfigRow *row, ConfigColumn column)
{
	return !is_null(row, column) && DatumGetBool(value_of(row, column));
}

static int
int_of(const ConfigRow *row, ConfigColumn column)
{
	return is_null(row, column) ? 0 : DatumGetInt32(value_of(row, column));
}

/* a list of names; what is null in it is none */
static List *
names_of(const ConfigRow *row, ConfigColumn column)
{
	return is_null(row, column) ? NIL : pm_config_names(value_of(row, column));
}

/* pm_config_retire tells what becomes of partitions that retention takes. */
PmRetire
pm_config_retire(const PartSet *set)
{
	if (set->retention_schema)
		return RETIRE_MOVE;
	if (!set->drops)
		return RETIRE_KEEP;
	return set->has_grace || set->archive_function ? RETIRE_LATER : RETIRE_DROP;
}

/* pm_config_ask has partitions be retired as a call asks for, whatever the row says. */
void
pm_config_ask(PartSet *set, const PmRetireAsk *ask)
{
	if (ask->has_keep_table)
		set->drops = !ask->keep_table;
	if (ask->has_keep_index)
		set->retention_keep_index = ask->keep_index;
	if (ask->schema)
		set->retention_schema = pstrdup(ask->schema);
	set->retire = pm_config_retire(set);
}

/*
 * fill_set reads a row of part_config into a set whose key is known.  backfill
 * is from its row of part_state.
 */
static void
fill_set(PartSet *set, const ConfigRow *row, const char *backfill)
{
	PmConfigText text = {0};

	set->premake = int_of(row, CFG_PREMAKE);
	set->automatic = strcmp(text_of(row, CFG_AUTOMATIC), "on") == 0;
	set->retention_schema = text_of(row, CFG_RETENTION_SCHEMA);
	set->drops = !bool_of(row, CFG_KEEP_TABLE);
	set->retention_keep_index = bool_of(row, CFG_KEEP_INDEX);
	set->retention_keep_publication = bool_of(row, CFG_KEEP_PUBLICATION);
	set->inherit_privileges = bool_of(row, CFG_INHERIT_PRIVILEGES);
	set->ignore_default_data = bool_of(row, CFG_IGNORE_DEFAULT_DATA);
	set->retention_partitions = int_of(row, CFG_PARTITIONS);
	set->retention_keep_newest = int_of(row, CFG_KEEP_NEWEST);
	set->has_grace = !is_null(row, CFG_GRACE);
	set->detach_before_drop = bool_of(row, CFG_DETACH_BEFORE_DROP);
	set->archive_function = text_of(row, CFG_ARCHIVE_FUNCTION);
	set->cancel_blockers = strcmp(text_of(row, CFG_ABORT_AFTER_WAIT), "blockers") == 0;
	set->retire = pm_config_retire(set);
	set->analyze_parent = bool_of(row, CFG_ANALYZE_PARENT);
	set->cold_vacuum = bool_of(row, CFG_COLD_VACUUM);
	set->cold_reindex = bool_of(row, CFG_COLD_REINDEX);
	set->cold_tablespace = text_of(row, CFG_COLD_TABLESPACE);
	set->cold_storage = text_of(row, CFG_COLD_STORAGE);
	set->cold_cluster = text_of(row, CFG_COLD_CLUSTER);
	set->cold_compression = text_of(row, CFG_COLD_COMPRESSION);
	set->drain_default = bool_of(row, CFG_DRAIN_DEFAULT);
	set->undo_in_progress = bool_of(row, CFG_UNDO);
	set->async_in_progress = !is_null(row, CFG_ASYNC);
	/* a partition made for a row would be undone in turn, and so on */
	set->on_demand = bool_of(row, CFG_ON_DEMAND) && !set->undo_in_progress;
	set->on_demand_window = int_of(row, CFG_ON_DEMAND_WINDOW);
	set->is_full = bool_of(row, CFG_SET_FULL);
	set->has_limits = pm_bound_limits(set->parent, &set->key, &set->limits);
	set->template_table = is_null(row, CFG_TEMPLATE) ? InvalidOid : DatumGetObjectId(value_of(row, CFG_TEMPLATE));
	set->constraint_cols = names_of(row, CFG_CONSTRAINT_COLS);
	set->optimize_constraint = int_of(row, CFG_OPTIMIZE_CONSTRAINT);
	set->constraint_valid = bool_of(row, CFG_CONSTRAINT_VALID);
	text.interval = text_of(row, CFG_INTERVAL);
	text.retention = text_of(row, CFG_RETENTION);
	text.time_zone = text_of(row, CFG_TIME_ZONE);
	text.name_format = text_of(row, CFG_NAME_FORMAT);
	text.origin = text_of(row, CFG_ORIGIN);
	text.retention_size = text_of(row, CFG_SIZE);
	text.window = text_of(row, CFG_WINDOW);
	text.cold_after = text_of(row, CFG_COLD_AFTER);
	text.backfill = backfill;
	set->problem = pm_config_fill(set, &text);
	set->problem_code = ERRCODE_INVALID_PARAMETER_VALUE;
}


/* ---------- one set ---------- */

/* a row of one of our tables */
typedef struct TableRow
{
	HeapTuple	tuple;			/* NULL: there is none */
	TupleDesc	desc;
} TableRow;

/*
 * fetch_row returns the first row of one of our tables with the given value in
 * a column, as it is committed now or was written by a command before; index is that column's, or its primary key's.
 */
static TableRow
fetch_row(Oid namespace, const char *table, const char *index, int column,
		  Oid value)
{
	TableRow	row;
	Relation	rel;
	ScanKeyData key;
	SysScanDesc scan;
	Snapshot	snapshot;
	Oid			indexid;

	rel = table_open(get_relname_relid(table, namespace), AccessShareLock);
	indexid = index ? get_relname_relid(index, namespace) : pm_primary_key_index(rel);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	ScanKeyInit(&key, column, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(value));
	scan = systable_beginscan(rel, indexid, OidIsValid(indexid), snapshot, 1, &key);
	row.tuple = heap_copytuple(systable_getnext(scan));
	row.desc = CreateTupleDescCopy(RelationGetDescr(rel));
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
	return row;
}

/* what pg_class says of a parent; false if there is no such partitioned table */
static bool
read_names(PartSet *set)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(set->parent));
	Form_pg_class form;
	bool		found = false;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_class) GETSTRUCT(tuple);
	if (form->relkind == RELKIND_PARTITIONED_TABLE)
	{
		set->schema = get_namespace_name(form->relnamespace);
		set->name = pstrdup(NameStr(form->relname));
		set->owner = form->relowner;
		found = set->schema != NULL;
	}
	ReleaseSysCache(tuple);
	return found;
}

/* pm_config_read_row reads a single set, NULL if there is none. */
PartSet *
pm_config_read_row(const PmExtension *ext, Oid parent)
{
	Oid			namespace = get_namespace_oid(ext->schema, false);
	TableRow	config = fetch_row(namespace, "part_config", NULL, 1, parent);
	TableRow	state;
	PartSet    *set = palloc0(sizeof(PartSet));
	ConfigRow	row;
	char	   *backfill = NULL;
	bool		isnull;
	Datum		value;

	set->parent = parent;
	if (config.tuple == NULL || !read_names(set))
		return NULL;
	row = deform(shape_of(config.desc), config.tuple);
	if (!pm_catalog_key(parent, text_of(&row, CFG_EPOCH), text_of(&row, CFG_ENCODER),
						text_of(&row, CFG_DECODER), &set->key, &set->problem))
	{
		set->problem_code = set->key.kind == KEY_ENCODED ? ERRCODE_INVALID_PARAMETER_VALUE :
			ERRCODE_FEATURE_NOT_SUPPORTED;
		return set;
	}
	state = fetch_row(namespace, "part_state", NULL, 1, parent);
	set->is_armed = state.tuple != NULL;
	if (state.tuple)
	{
		value = heap_getattr(state.tuple, find_column(state.desc, "backfill") + 1,
							 state.desc, &isnull);
		backfill = isnull ? NULL : TextDatumGetCString(value);
	}
	set->has_marks = fetch_row(namespace, "part_detached", "part_detached_parent_table_idx",
							   2, parent).tuple != NULL;
	set->has_holds = fetch_row(namespace, "part_hold", "part_hold_parent_table_idx",
							   2, parent).tuple != NULL;
	set->has_sub = fetch_row(namespace, "part_config_sub", NULL, 1, parent).tuple != NULL;
	fill_set(set, &row, backfill);
	return set;
}


/* ---------- many sets ---------- */

/* one query for all, since there may be thousands */
#define SETS_QUERY \
	"SELECT c.parent_table::oid, n.nspname, r.relname, r.relowner, p.partstrat = 'l'," \
	" p.partexprs IS NULL, a.attnum::int4, a.attname," \
	" CASE t.typtype WHEN 'd' THEN 0::oid ELSE a.atttypid END, a.atttypid," \
	" s.parent_table IS NOT NULL, s.backfill," \
	" EXISTS (SELECT FROM %d d WHERE d.parent_table = c.parent_table)," \
	" EXISTS (SELECT FROM %h h WHERE h.parent_table = c.parent_table)," \
	" EXISTS (SELECT FROM %b b WHERE b.sub_parent = c.parent_table), c" \
	" FROM %c c JOIN pg_class r ON r.oid = c.parent_table" \
	" JOIN pg_namespace n ON n.oid = r.relnamespace" \
	" JOIN pg_partitioned_table p ON p.partrelid = r.oid" \
	" LEFT JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = p.partattrs[0]" \
	" LEFT JOIN pg_type t ON t.oid = a.atttypid" \
	" LEFT JOIN %s s ON s.parent_table = c.parent_table" \
	" WHERE c.parent_table = ANY ($1)" \
	" ORDER BY c.maintenance_order NULLS LAST, r.relname, c.parent_table::oid"

/* the row of part_config in a column of the query; *shape is found at the first */
static ConfigRow
config_column(uint64 row, int column, ConfigShape **shape)
{
	bool		isnull;
	HeapTupleHeader header = DatumGetHeapTupleHeader(pm_spi_value(row, column, &isnull));
	HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(header), .t_data = header};

	ItemPointerSetInvalid(&tuple.t_self);
	if (*shape == NULL)
		*shape = shape_of(lookup_rowtype_tupdesc_copy(HeapTupleHeaderGetTypeId(header),
													  HeapTupleHeaderGetTypMod(header)));
	return deform(*shape, &tuple);
}

/* one row of the query above as a set */
static PartSet *
set_from_row(uint64 row, ConfigShape **shape)
{
	PartSet    *set = palloc0(sizeof(PartSet));
	ConfigRow	config = config_column(row, 16, shape);
	bool		isnull;
	Oid			type;

	set->parent = pm_spi_oid(row, 1);
	set->schema = pm_spi_string(row, 2);
	set->name = pm_spi_string(row, 3);
	set->owner = pm_spi_oid(row, 4);
	set->key.is_list = pm_spi_bool(row, 5);
	set->problem_code = ERRCODE_FEATURE_NOT_SUPPORTED;
	if (!pm_spi_bool(row, 6))
	{
		set->problem = pstrdup("its partition key is not made of plain columns");
		return set;
	}
	set->key.attnum = (AttrNumber) DatumGetInt32(pm_spi_value(row, 7, &isnull));
	set->key.attname = pm_spi_string(row, 8);
	type = pm_spi_oid(row, 9);
	set->key.type = OidIsValid(type) ? type : getBaseType(pm_spi_oid(row, 10));
	if (!pm_catalog_kind(set->parent, text_of(&config, CFG_EPOCH), text_of(&config, CFG_ENCODER),
						 text_of(&config, CFG_DECODER), &set->key, &set->problem))
	{
		if (set->key.kind == KEY_ENCODED)
			set->problem_code = ERRCODE_INVALID_PARAMETER_VALUE;
		return set;
	}
	set->is_armed = pm_spi_bool(row, 11);
	set->has_marks = pm_spi_bool(row, 13);
	set->has_holds = pm_spi_bool(row, 14);
	set->has_sub = pm_spi_bool(row, 15);
	fill_set(set, &config, pm_spi_string(row, 12));
	return set;
}

static List *
read_many(List *parents)
{
	PmExtension ext;
	PmSpi		spi;
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext old;
	uint64		rows;
	List	   *result = NIL;
	ConfigShape *shape = NULL;
	Oid			types[] = {OIDARRAYOID};
	Datum		values[] = {pm_config_oids(parents)};

	pm_config_begin(&spi, &ext);
	rows = pm_spi_select(pm_config_sql(&ext, SETS_QUERY), 1, types, values, NULL);
	old = MemoryContextSwitchTo(caller);
	for (uint64 i = 0; i < rows; i++)
		result = lappend(result, set_from_row(i, &shape));
	MemoryContextSwitchTo(old);
	pm_spi_end(&spi);
	return result;
}

/*
 * pm_config_read returns the PartSets of the given parents, in their order.
 *
 * Parents that are not managed, or no longer exist, are left out.  A set whose
 * configuration cannot be understood says so in its problem, for its own run to
 * fail and no other.
 */
List *
pm_config_read(List *parents)
{
	PmExtension ext;
	PartSet    *set;

	if (parents == NIL)
		return NIL;
	if (list_length(parents) > 1)
		return read_many(parents);
	CommandCounterIncrement();
	pm_extension_require(&ext);
	set = pm_config_read_row(&ext, linitial_oid(parents));
	return set ? list_make1(set) : NIL;
}

/*
 * pm_config_read_one returns one set, or NULL if the table is not managed.  A
 * configuration that cannot be understood is an error here.
 */
PartSet *
pm_config_read_one(Oid parent)
{
	List	   *sets = pm_config_read(list_make1_oid(parent));
	PartSet    *set = sets == NIL ? NULL : (PartSet *) linitial(sets);

	if (set && set->problem)
		ereport(ERROR,
				(errcode(set->problem_code),
				 errmsg("configuration of partition set \"%s.%s\" is not valid: %s",
						set->schema, set->name, set->problem),
				 errhint("Correct it with UPDATE part_config.")));
	return set;
}

/* pm_config_exists tells whether a table is managed, readable or not. */
bool
pm_config_exists(Oid parent)
{
	PmExtension ext;

	CommandCounterIncrement();
	pm_extension_require(&ext);
	return fetch_row(get_namespace_oid(ext.schema, false), "part_config", NULL, 1, parent).tuple != NULL;
}
