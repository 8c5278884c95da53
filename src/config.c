/*-------------------------------------------------------------------------
 *
 * config.c
 *		part_config rows, and what they mean.
 *
 * The only files that name our tables are this one and state.c.  Users change
 * part_config with plain UPDATE, so every value read here is user input: the
 * trigger on the table refuses what makes no sense, but a time zone can vanish
 * with an upgrade, so reading checks again and marks the one set that cannot be
 * understood.
 *
 * Our tables are read and written as the extension's owner.  Nothing here
 * decides whether the caller may: that is done at the entry.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "common/int.h"
#include "internal.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "compat.h"
#include "config.h"

/*
 * pm_extension_find tells whether the extension exists in this database, who
 * owns it and where it lives.
 */
bool
pm_extension_find(PmExtension *ext)
{
	Relation	rel;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found = false;

	memset(ext, 0, sizeof(PmExtension));
	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber,
				F_NAMEEQ, CStringGetDatum("partmgr"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		Form_pg_extension form = (Form_pg_extension) GETSTRUCT(tuple);
		bool		isnull;
		Datum		version = heap_getattr(tuple, Anum_pg_extension_extversion,
										   RelationGetDescr(rel), &isnull);

		found = true;
		ext->oid = form->oid;
		ext->owner = form->extowner;
		ext->schema = get_namespace_name(form->extnamespace);
		ext->needs_update = isnull ||
			strcmp(TextDatumGetCString(version), PARTMGR_SQL_VERSION) != 0;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found && ext->schema != NULL;
}

/*
 * pm_extension_require finds the extension or raises an error, also when its
 * SQL does not belong to this library.
 */
void
pm_extension_require(PmExtension *ext)
{
	if (!pm_extension_find(ext))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("extension \"partmgr\" does not exist")));
	if (ext->needs_update)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension \"partmgr\" needs an update"),
				 errdetail("Its library is of another version than its SQL."),
				 errhint("Run ALTER EXTENSION partmgr UPDATE.")));
}

/*
 * pm_config_ready tells whether this database can be maintained: it has the
 * extension, in the library's version.
 */
bool
pm_config_ready(bool *needs_update)
{
	PmExtension ext;

	*needs_update = false;
	if (!pm_extension_find(&ext))
		return false;
	*needs_update = ext.needs_update;
	return !ext.needs_update;
}

/*
 * pm_config_sql replaces %c, %s and %l by the qualified names of part_config,
 * part_state and part_log.
 */
char *
pm_config_sql(const PmExtension *ext, const char *sql)
{
	StringInfoData buf;
	const char *table;

	initStringInfo(&buf);
	for (; *sql; sql++)
	{
		if (*sql != '%')
		{
			appendStringInfoChar(&buf, *sql);
			continue;
		}
		sql++;
		table = *sql == 'c' ? "part_config" : *sql == 's' ? "part_state" : "part_log";
		appendStringInfoString(&buf, quote_qualified_identifier(ext->schema, table));
	}
	return buf.data;
}

/* pm_config_begin finds the extension and becomes its owner. */
void
pm_config_begin(PmSpi *spi, PmExtension *ext)
{
	pm_extension_require(ext);
	pm_spi_begin(spi, ext->owner);
}

/* pm_config_oids makes an oid[] of a list. */
Datum
pm_config_oids(List *oids)
{
	Datum	   *values = palloc(sizeof(Datum) * Max(list_length(oids), 1));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, oids)
		values[n++] = ObjectIdGetDatum(lfirst_oid(lc));
	return PointerGetDatum(construct_array(values, n, OIDOID, sizeof(Oid),
										   true, TYPALIGN_INT));
}

/* the rows of the last select, whose first column is an oid, as a list */
static List *
oid_list(uint64 rows)
{
	List	   *result = NIL;

	for (uint64 i = 0; i < rows; i++)
		result = lappend_oid(result, pm_spi_oid(i, 1));
	return result;
}

/*
 * pm_config_parents returns the parents of all sets in the order in which they
 * are to be maintained, those that are switched off or not armed left out if
 * asked.
 */
List *
pm_config_parents(bool automatic_only, bool armed_only)
{
	PmExtension ext;
	PmSpi		spi;
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext old;
	uint64		rows;
	List	   *result;
	Oid			types[] = {BOOLOID, BOOLOID};
	Datum		values[] = {BoolGetDatum(automatic_only), BoolGetDatum(armed_only)};

	pm_config_begin(&spi, &ext);
	rows = pm_spi_select(pm_config_sql(&ext,
									   "SELECT c.parent_table::oid FROM %c c"
									   " JOIN pg_class r ON r.oid = c.parent_table"
									   " WHERE (NOT $1 OR c.automatic_maintenance = 'on')"
									   " AND (NOT $2 OR EXISTS (SELECT FROM %s s WHERE s.parent_table = c.parent_table))"
									   " ORDER BY c.maintenance_order NULLS LAST, r.relname, c.parent_table::oid"),
						 2, types, values, NULL);
	old = MemoryContextSwitchTo(caller);
	result = oid_list(rows);
	MemoryContextSwitchTo(old);
	pm_spi_end(&spi);
	return result;
}

/* columns of read_sets; one query for all sets, since there may be thousands */
#define SET_COLUMNS \
	"c.parent_table::oid, n.nspname, r.relname, r.relowner, p.partstrat = 'l'," \
	" p.partnatts = 1 AND p.partexprs IS NULL, a.attnum::int4, a.attname," \
	" CASE t.typtype WHEN 'd' THEN 0::oid ELSE a.atttypid END, a.atttypid," \
	" c.epoch, c.partition_interval, c.premake, c.automatic_maintenance = 'on'," \
	" c.retention, c.retention_schema, c.retention_keep_table," \
	" c.retention_keep_index, c.retention_keep_publication," \
	" c.inherit_privileges, c.ignore_default_data, c.time_zone, c.name_format," \
	" c.grid_origin, s.parent_table IS NOT NULL, s.backfill"

/* one row of the query above as a set */
static PartSet *
set_from_row(uint64 row)
{
	PartSet    *set = palloc0(sizeof(PartSet));
	PmConfigText text;
	bool		isnull;
	Oid			type;

	set->parent = pm_spi_oid(row, 1);
	set->schema = pm_spi_string(row, 2);
	set->name = pm_spi_string(row, 3);
	set->owner = pm_spi_oid(row, 4);
	set->key.is_list = pm_spi_bool(row, 5);
	if (!pm_spi_bool(row, 6))
	{
		set->problem = pstrdup("its partition key is not one plain column");
		set->problem_code = ERRCODE_FEATURE_NOT_SUPPORTED;
		return set;
	}
	set->key.attnum = (AttrNumber) DatumGetInt32(pm_spi_value(row, 7, &isnull));
	set->key.attname = pm_spi_string(row, 8);
	type = pm_spi_oid(row, 9);
	set->key.type = OidIsValid(type) ? type : getBaseType(pm_spi_oid(row, 10));
	if (!pm_key_kind(set->key.type, pm_spi_string(row, 11), &set->key.kind, &set->key.axis))
	{
		set->problem = psprintf("type %s of column \"%s\" does not go with epoch \"%s\"",
								format_type_be(set->key.type), set->key.attname,
								pm_spi_string(row, 11));
		set->problem_code = ERRCODE_FEATURE_NOT_SUPPORTED;
		return set;
	}
	text.interval = pm_spi_string(row, 12);
	set->premake = DatumGetInt32(pm_spi_value(row, 13, &isnull));
	set->automatic = pm_spi_bool(row, 14);
	text.retention = pm_spi_string(row, 15);
	set->retention_schema = pm_spi_string(row, 16);
	set->retire = set->retention_schema ? RETIRE_MOVE :
		pm_spi_bool(row, 17) ? RETIRE_KEEP : RETIRE_DROP;
	set->retention_keep_index = pm_spi_bool(row, 18);
	set->retention_keep_publication = pm_spi_bool(row, 19);
	set->inherit_privileges = pm_spi_bool(row, 20);
	set->ignore_default_data = pm_spi_bool(row, 21);
	text.time_zone = pm_spi_string(row, 22);
	text.name_format = pm_spi_string(row, 23);
	text.origin = pm_spi_string(row, 24);
	set->is_armed = pm_spi_bool(row, 25);
	text.backfill = pm_spi_string(row, 26);
	set->problem = pm_config_fill(set, &text);
	set->problem_code = ERRCODE_INVALID_PARAMETER_VALUE;
	return set;
}

/* a row of one of our tables, to be read by the names of its columns */
typedef struct TableRow
{
	HeapTuple	tuple;			/* NULL: there is none */
	TupleDesc	desc;
} TableRow;

/* fetches the row of a set from one of our tables, as it is committed now */
static TableRow
fetch_row(Oid namespace, const char *table, Oid parent)
{
	TableRow	row;
	Relation	rel;
	ScanKeyData key;
	SysScanDesc scan;
	Snapshot	snapshot;

	CommandCounterIncrement();
	rel = table_open(get_relname_relid(table, namespace), AccessShareLock);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(parent));
	scan = systable_beginscan(rel, pm_primary_key_index(rel), true,
							  snapshot, 1, &key);
	row.tuple = heap_copytuple(systable_getnext(scan));
	row.desc = CreateTupleDescCopy(RelationGetDescr(rel));
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
	return row;
}

static Datum
row_value(const TableRow *row, const char *column, bool *isnull)
{
	for (int i = 0; i < row->desc->natts; i++)
	{
		if (strcmp(NameStr(TupleDescAttr(row->desc, i)->attname), column) == 0)
			return heap_getattr(row->tuple, i + 1, row->desc, isnull);
	}
	elog(ERROR, "there is no column \"%s\"", column);
}

static char *
row_text(const TableRow *row, const char *column)
{
	bool		isnull;
	Datum		value = row_value(row, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

static bool
row_bool(const TableRow *row, const char *column)
{
	bool		isnull;
	Datum		value = row_value(row, column, &isnull);

	return !isnull && DatumGetBool(value);
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

/*
 * read_one reads a single set, NULL if there is none: what pm_config_read does
 * with one query, which would take longer to plan than all the rest takes.
 */
static PartSet *
read_one(const PmExtension *ext, Oid parent)
{
	Oid			namespace = get_namespace_oid(ext->schema, false);
	TableRow	config = fetch_row(namespace, "part_config", parent);
	TableRow	state;
	PartSet    *set = palloc0(sizeof(PartSet));
	PmConfigText text = {0};
	bool		isnull;

	set->parent = parent;
	if (config.tuple == NULL || !read_names(set))
		return NULL;
	if (!pm_catalog_key(parent, row_text(&config, "epoch"), &set->key, &set->problem))
	{
		set->problem_code = ERRCODE_FEATURE_NOT_SUPPORTED;
		return set;
	}
	set->premake = DatumGetInt32(row_value(&config, "premake", &isnull));
	set->automatic = strcmp(row_text(&config, "automatic_maintenance"), "on") == 0;
	set->retention_schema = row_text(&config, "retention_schema");
	set->retire = set->retention_schema ? RETIRE_MOVE :
		row_bool(&config, "retention_keep_table") ? RETIRE_KEEP : RETIRE_DROP;
	set->retention_keep_index = row_bool(&config, "retention_keep_index");
	set->retention_keep_publication = row_bool(&config, "retention_keep_publication");
	set->inherit_privileges = row_bool(&config, "inherit_privileges");
	set->ignore_default_data = row_bool(&config, "ignore_default_data");
	text.interval = row_text(&config, "partition_interval");
	text.retention = row_text(&config, "retention");
	text.time_zone = row_text(&config, "time_zone");
	text.name_format = row_text(&config, "name_format");
	text.origin = row_text(&config, "grid_origin");

	state = fetch_row(namespace, "part_state", parent);
	set->is_armed = state.tuple != NULL;
	if (state.tuple)
		text.backfill = row_text(&state, "backfill");
	set->problem = pm_config_fill(set, &text);
	set->problem_code = ERRCODE_INVALID_PARAMETER_VALUE;
	return set;
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
	PmSpi		spi;
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext old;
	uint64		rows;
	List	   *result = NIL;
	Oid			types[] = {OIDARRAYOID};
	Datum		values[1];

	if (parents == NIL)
		return NIL;
	if (list_length(parents) == 1)
	{
		PartSet    *set;

		pm_extension_require(&ext);
		set = read_one(&ext, linitial_oid(parents));
		return set ? list_make1(set) : NIL;
	}
	values[0] = pm_config_oids(parents);
	pm_config_begin(&spi, &ext);
	rows = pm_spi_select(pm_config_sql(&ext,
									   "SELECT " SET_COLUMNS " FROM %c c"
									   " JOIN pg_class r ON r.oid = c.parent_table"
									   " JOIN pg_namespace n ON n.oid = r.relnamespace"
									   " JOIN pg_partitioned_table p ON p.partrelid = r.oid"
									   " LEFT JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = p.partattrs[0]"
									   " LEFT JOIN pg_type t ON t.oid = a.atttypid"
									   " LEFT JOIN %s s ON s.parent_table = c.parent_table"
									   " WHERE c.parent_table = ANY ($1)"
									   " ORDER BY c.maintenance_order NULLS LAST, r.relname, c.parent_table::oid"),
						 1, types, values, NULL);
	old = MemoryContextSwitchTo(caller);
	for (uint64 i = 0; i < rows; i++)
		result = lappend(result, set_from_row(i));
	MemoryContextSwitchTo(old);
	pm_spi_end(&spi);
	return result;
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

	pm_extension_require(&ext);
	return fetch_row(get_namespace_oid(ext.schema, false), "part_config", parent).tuple != NULL;
}

/* the type to which the text of a column is cast */
static const char *
column_type(const char *column)
{
	if (strcmp(column, "premake") == 0)
		return "int";
	if (strcmp(column, "retention_keep_table") == 0 ||
		strcmp(column, "jobmon") == 0 ||
		strcmp(column, "inherit_privileges") == 0)
		return "boolean";
	return "text";
}

/*
 * pm_config_insert adds a set; columns and values are text, as a user would
 * write them.  The set's state follows by pm_config_arm.
 */
void
pm_config_insert(const PartSet *set, const char *const *columns,
				 const char *const *values, int ncolumns)
{
	PmExtension ext;
	PmSpi		spi;
	StringInfoData names;
	StringInfoData params;
	Oid		   *types = palloc(sizeof(Oid) * (ncolumns + 1));
	Datum	   *datums = palloc(sizeof(Datum) * (ncolumns + 1));
	char	   *nulls = palloc(ncolumns + 1);

	pm_config_begin(&spi, &ext);
	initStringInfo(&names);
	initStringInfo(&params);
	appendStringInfoString(&names, "parent_table");
	appendStringInfoString(&params, "$1");
	types[0] = OIDOID;
	datums[0] = ObjectIdGetDatum(set->parent);
	nulls[0] = ' ';
	for (int i = 0; i < ncolumns; i++)
	{
		appendStringInfo(&names, ", %s", columns[i]);
		appendStringInfo(&params, ", $%d::%s", i + 2, column_type(columns[i]));
		types[i + 1] = TEXTOID;
		nulls[i + 1] = values[i] ? ' ' : 'n';
		datums[i + 1] = values[i] ? CStringGetTextDatum(values[i]) : (Datum) 0;
	}
	pm_spi_write(psprintf("INSERT INTO %s (%s) VALUES (%s)", pm_config_sql(&ext, "%c"),
						  names.data, params.data),
				 ncolumns + 1, types, datums, nulls);
	pm_spi_end(&spi);
}

/* pm_config_delete forgets a set; false if there was none. */
bool
pm_config_delete(Oid parent)
{
	PmExtension ext;
	PmSpi		spi;
	uint64		rows;
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(parent)};

	pm_config_begin(&spi, &ext);
	pm_spi_write(pm_config_sql(&ext, "DELETE FROM %s WHERE parent_table = $1::regclass"),
				 1, types, values, NULL);
	rows = pm_spi_write(pm_config_sql(&ext, "DELETE FROM %c WHERE parent_table = $1::regclass"),
						1, types, values, NULL);
	pm_spi_end(&spi);
	return rows > 0;
}

/*
 * pm_config_forget_dangling deletes the rows of parents that are gone, for
 * what the event trigger did not see.
 */
void
pm_config_forget_dangling(void)
{
	PmExtension ext;
	PmSpi		spi;

	pm_config_begin(&spi, &ext);
	if (pm_spi_select(pm_config_sql(&ext, "SELECT FROM %c c WHERE NOT EXISTS"
									" (SELECT FROM pg_class r WHERE r.oid = c.parent_table)"),
					  0, NULL, NULL, NULL) > 0)
	{
		pm_spi_write(pm_config_sql(&ext, "DELETE FROM %c c WHERE NOT EXISTS"
								   " (SELECT FROM pg_class r WHERE r.oid = c.parent_table)"),
					 0, NULL, NULL, NULL);
		pm_spi_write(pm_config_sql(&ext, "DELETE FROM %s s WHERE NOT EXISTS"
								   " (SELECT FROM %c c WHERE c.parent_table = s.parent_table)"),
					 0, NULL, NULL, NULL);
	}
	pm_spi_end(&spi);
}
