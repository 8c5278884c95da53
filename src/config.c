/*-------------------------------------------------------------------------
 *
 * config.c
 *		part_config rows, and what they mean.
 *
 * Which files name our tables is said in src/README.md.  Users change
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
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "common/int.h"
#include "internal.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
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

static const char *
table_of(char letter)
{
	switch (letter)
	{
		case 'c':
			return "part_config";
		case 's':
			return "part_state";
		case 'd':
			return "part_detached";
		case 'h':
			return "part_hold";
		case 'u':
			return "part_upkeep";
		case 'j':
			return "part_job";
		case 'r':
			return "part_rewrite";
		case 'p':
			return "part_rewrite_source";
		case 'b':
			return "part_config_sub";
		case 'i':
			return "part_import";
		default:
			return "part_log";
	}
}

/*
 * pm_config_sql replaces %c, %s, %l, %d, %h, %u, %j, %r, %p, %b and %i by the qualified
 * names of part_config, part_state, part_log, part_detached, part_hold,
 * part_upkeep, part_job, part_rewrite, part_rewrite_source, part_config_sub and part_import.
 */
char *
pm_config_sql(const PmExtension *ext, const char *sql)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (; *sql; sql++)
	{
		if (*sql != '%')
		{
			appendStringInfoChar(&buf, *sql);
			continue;
		}
		sql++;
		appendStringInfoString(&buf, quote_qualified_identifier(ext->schema,
																table_of(*sql)));
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

/*
 * pm_config_changed has every session hear of a change to what we keep of a set,
 * as of one to the table, when this transaction has committed: who has looked at
 * the set, or at which sets there are, looks again.
 */
void
pm_config_changed(Oid parent)
{
	PmExtension ext;
	Oid			config;

	if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(parent)))
		CacheInvalidateRelcacheByRelid(parent);
	if (!pm_extension_find(&ext))
		return;
	config = get_relname_relid(table_of('c'), get_namespace_oid(ext.schema, false));
	if (OidIsValid(config))
		CacheInvalidateRelcacheByRelid(config);
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

/* pm_config_names makes a list of a text[]; what is null in it is left out. */
List *
pm_config_names(Datum array)
{
	Datum	   *values;
	bool	   *nulls;
	int			n;
	List	   *result = NIL;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &n);
	for (int i = 0; i < n; i++)
		if (!nulls[i])
			result = lappend(result, TextDatumGetCString(values[i]));
	return result;
}

/* pm_config_text_array makes a text[] of a list. */
Datum
pm_config_text_array(List *names)
{
	Datum	   *values = palloc(sizeof(Datum) * Max(list_length(names), 1));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, names)
		values[n++] = CStringGetTextDatum(lfirst(lc));
	return PointerGetDatum(construct_array(values, n, TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * pm_config_write runs one statement that writes, our tables named in it as for
 * pm_config_sql, and returns its row count.
 */
uint64
pm_config_write(const char *sql, int nargs, Oid *types, Datum *values,
				const char *nulls)
{
	PmExtension ext;
	PmSpi		spi;
	uint64		rows;

	pm_config_begin(&spi, &ext);
	rows = pm_spi_write_kept(pm_config_sql(&ext, sql), nargs, types, values, nulls);
	pm_spi_end(&spi);
	return rows;
}

/* pm_config_select_oids returns the first column of such a query. */
List *
pm_config_select_oids(const char *sql, int nargs, Oid *types, Datum *values)
{
	PmExtension ext;
	PmSpi		spi;
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext old;
	uint64		rows;
	List	   *result = NIL;

	pm_config_begin(&spi, &ext);
	rows = pm_spi_select_kept(pm_config_sql(&ext, sql), nargs, types, values, NULL);
	old = MemoryContextSwitchTo(caller);
	for (uint64 i = 0; i < rows; i++)
		result = lappend_oid(result, pm_spi_oid(i, 1));
	MemoryContextSwitchTo(old);
	pm_spi_end(&spi);
	return result;
}

/* pm_config_select_oid returns the first of them, InvalidOid if there is none. */
Oid
pm_config_select_oid(const char *sql, int nargs, Oid *types, Datum *values)
{
	List	   *oids = pm_config_select_oids(sql, nargs, types, values);

	return oids == NIL ? InvalidOid : linitial_oid(oids);
}

/*
 * pm_config_parents returns the parents of all sets in the order in which they
 * are to be maintained, those that are switched off or not armed left out if
 * asked.
 */
List *
pm_config_parents(bool automatic_only, bool armed_only)
{
	Oid			types[] = {BOOLOID, BOOLOID};
	Datum		values[] = {BoolGetDatum(automatic_only), BoolGetDatum(armed_only)};

	return pm_config_select_oids("SELECT c.parent_table::oid FROM %c c"
								 " JOIN pg_class r ON r.oid = c.parent_table"
								 " WHERE (NOT $1 OR c.automatic_maintenance = 'on' AND NOT c.undo_in_progress"
								 "  AND NOT EXISTS (SELECT FROM %d d WHERE d.partition = c.parent_table))"
								 " AND (NOT $2 OR EXISTS (SELECT FROM %s s WHERE s.parent_table = c.parent_table))"
								 " ORDER BY c.maintenance_order NULLS LAST, r.relname, c.parent_table::oid",
								 2, types, values);
}

/* columns of part_config and part_config_sub that are not text */
static const struct
{
	const char *column;
	const char *type;
}			column_types[] = {
	{"premake", "int"},
	{"retention_keep_table", "boolean"},
	{"jobmon", "boolean"},
	{"on_demand", "boolean"},
	{"inherit_privileges", "boolean"},
	{"default_table", "boolean"},
	{"control_not_null", "boolean"},
	{"constraint_cols", "text[]"},
	{"template_table", "regclass"}
};

/* a parameter that is the text of a column, with its type */
static char *
param(int n, const char *column)
{
	for (int i = 0; i < lengthof(column_types); i++)
		if (strcmp(column_types[i].column, column) == 0)
			return psprintf("$%d::%s", n, column_types[i].type);
	return psprintf("$%d::text", n);
}

/*
 * pm_config_insert_text adds a row to one of our tables, named as for pm_config_sql, by
 * its key, an OID; columns and values are text, as a user would write them.  prefix is
 * what stands before the name of each column there.
 */
void
pm_config_insert_text(const char *table, const char *key, Oid oid, const char *prefix,
					  const char *const *columns, const char *const *values, int ncolumns)
{
	StringInfoData names;
	StringInfoData params;
	Oid		   *types = palloc(sizeof(Oid) * (ncolumns + 1));
	Datum	   *datums = palloc(sizeof(Datum) * (ncolumns + 1));
	char	   *nulls = palloc(ncolumns + 1);

	initStringInfo(&names);
	initStringInfo(&params);
	types[0] = OIDOID;
	datums[0] = ObjectIdGetDatum(oid);
	nulls[0] = ' ';
	for (int i = 0; i < ncolumns; i++)
	{
		appendStringInfo(&names, ", %s%s", prefix, columns[i]);
		appendStringInfo(&params, ", %s", param(i + 2, columns[i]));
		types[i + 1] = TEXTOID;
		nulls[i + 1] = values[i] ? ' ' : 'n';
		datums[i + 1] = values[i] ? CStringGetTextDatum(values[i]) : (Datum) 0;
	}
	(void) pm_config_write(psprintf("INSERT INTO %s (%s%s) VALUES ($1%s)", table, key, names.data, params.data),
						   ncolumns + 1, types, datums, nulls);
}

/* pm_config_insert adds a set.  Its state follows by pm_config_arm. */
void
pm_config_insert(const PartSet *set, const char *const *columns,
				 const char *const *values, int ncolumns)
{
	pm_config_insert_text("%c", "parent_table", set->parent, "", columns, values, ncolumns);
}

/* pm_config_set_undo writes down that a set is being undone, unless that is written. */
void
pm_config_set_undo(Oid parent)
{
	(void) pm_config_write("UPDATE %c SET undo_in_progress = true"
						   " WHERE parent_table = $1::regclass AND NOT undo_in_progress",
						   1, (Oid[]) {OIDOID}, (Datum[]) {ObjectIdGetDatum(parent)}, NULL);
}

/* pm_config_set_interval changes the width of new partitions; without keeps_name, their names. */
void
pm_config_set_interval(Oid parent, const char *interval, bool keeps_name)
{
	(void) pm_config_write("UPDATE %c SET partition_interval = $2,"
						   " name_format = CASE WHEN $3 THEN name_format END WHERE parent_table = $1::regclass",
						   3, (Oid[]) {OIDOID, TEXTOID, BOOLOID},
						   (Datum[]) {ObjectIdGetDatum(parent), CStringGetTextDatum(interval),
							   BoolGetDatum(keeps_name)}, NULL);
}

/* the tables whose rows go with a set's row of part_config */
static const char *const followers[] = {"%s", "%d", "%h", "%u", "%j"};

/*
 * pm_config_delete forgets a set; false if there was none.  If it is to be
 * replaced, its holds and what it has detached are not forgotten.
 */
bool
pm_config_delete(Oid parent, bool replace)
{
	PmExtension ext;
	PmSpi		spi;
	uint64		rows;
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(parent)};

	pm_config_begin(&spi, &ext);
	for (int i = 0; i < lengthof(followers) && !replace; i++)
		pm_spi_write(pm_config_sql(&ext, psprintf("DELETE FROM %s WHERE parent_table = $1::regclass",
												  followers[i])),
					 1, types, values, NULL);
	rows = pm_spi_write(pm_config_sql(&ext, "DELETE FROM %c WHERE parent_table = $1::regclass"),
						1, types, values, NULL);
	pm_spi_end(&spi);
	pm_config_changed(parent);
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
		for (int i = 0; i < lengthof(followers); i++)
			pm_spi_write(pm_config_sql(&ext, psprintf("DELETE FROM %s s WHERE NOT EXISTS"
													  " (SELECT FROM %%c c WHERE c.parent_table = s.parent_table)",
													  followers[i])),
						 0, NULL, NULL, NULL);
	}
	pm_spi_end(&spi);
}
