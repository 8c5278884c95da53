/*-------------------------------------------------------------------------
 *
 * sub_config.c
 *		part_config_sub: what the partitions of a set get as sets of their own.
 *
 * Its columns are those of part_config, each with sub_ before its name, so what
 * a new set gets is copied by name: a column that is added to both tables is
 * carried over without a line here.
 *
 * Decides nothing, and asks nobody's rights.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "config.h"
#include "internal.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

/* pm_sub_read completes a set that has sub-sets. */
void
pm_sub_read(PartSet *set)
{
	PmExtension ext;
	PmSpi		spi;
	PmSub	   *sub;
	bool		isnull;
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(set->parent)};

	set->sub = NULL;
	if (!set->has_sub)
		return;
	sub = palloc0(sizeof(PmSub));
	pm_config_begin(&spi, &ext);
	/* the column may have been renamed: then the partitions that are sets know its name */
	if (pm_spi_select_kept(pm_config_sql(&ext, "SELECT n.control, upper(b.sub_partition_type) || ' (' || quote_ident(n.control) || ')',"
										 " 2 * b.sub_premake + 3 FROM %b b, LATERAL (SELECT coalesce((SELECT a.attname FROM pg_attribute a"
										 "  WHERE a.attrelid = b.sub_parent AND a.attname = b.sub_control AND NOT a.attisdropped),"
										 "  (SELECT a.attname FROM pg_inherits i JOIN pg_partitioned_table p ON p.partrelid = i.inhrelid"
										 "   JOIN pg_attribute a ON a.attrelid = i.inhrelid AND a.attnum = p.partattrs[0]"
										 "   WHERE i.inhparent = b.sub_parent LIMIT 1), b.sub_control)) n(control)"
										 " WHERE b.sub_parent = $1::regclass"),
						   1, types, values, NULL) > 0)
	{
		sub->control = pm_spi_string(0, 1);
		sub->by = pm_spi_string(0, 2);
		sub->tables = DatumGetInt32(pm_spi_value(0, 3, &isnull));
		set->sub = sub;
	}
	pm_spi_end(&spi);
}

/* pm_sub_insert writes the row of a set; the columns without sub_, the values as text. */
void
pm_sub_insert(Oid parent, int ncolumns, const char *const *columns, const char *const *values)
{
	pm_config_insert_text("%b", "sub_parent", parent, "sub_", columns, values, ncolumns);
	pm_config_changed(parent);
}

/* something for each column of part_config_sub, of which part_config may have a twin */
static char *
for_columns(const char *expression, const char *condition)
{
	PmExtension ext;
	PmSpi		spi;
	char	   *result;
	Oid			namespace;
	Oid			types[] = {OIDOID, OIDOID};
	Datum		values[2];

	pm_config_begin(&spi, &ext);
	namespace = get_namespace_oid(ext.schema, false);
	values[0] = ObjectIdGetDatum(get_relname_relid("part_config_sub", namespace));
	values[1] = ObjectIdGetDatum(get_relname_relid("part_config", namespace));
	(void) pm_spi_select(psprintf("SELECT string_agg(%s, ', ' ORDER BY b.attnum) FROM pg_attribute b"
								  " LEFT JOIN pg_attribute c ON c.attrelid = $2 AND b.attname = 'sub_' || c.attname AND NOT c.attisdropped"
								  " WHERE b.attrelid = $1 AND b.attnum > 0 AND NOT b.attisdropped AND %s", expression, condition),
						 2, types, values, NULL);
	result = pm_spi_string(0, 1);
	pm_spi_end(&spi);
	return result;
}

/*
 * pm_sub_copy_settings gives a new set what the row of its parent says, all but what
 * create_parent has settled; harmless: only what cannot be wrong.
 */
void
pm_sub_copy_settings(Oid from, Oid to, bool harmless)
{
	char	   *settings = for_columns("quote_ident(c.attname) || ' = s.' || quote_ident(b.attname)",
									   psprintf("c.attname NOT IN ('control', 'time_encoder', 'time_decoder', 'partition_interval',"
												" 'partition_type', 'premake', 'epoch', 'date_trunc_interval', 'time_zone', 'name_format'%s)",
												harmless ? ", 'retention', 'retention_schema', 'retention_keep_table', 'retention_keep_index',"
												" 'retention_keep_publication', 'detach_before_drop', 'template_table', 'constraint_cols'" : ""));

	(void) pm_config_write(psprintf("UPDATE %%c c SET %s FROM %%b s WHERE s.sub_parent = $1::regclass"
									" AND c.parent_table = $2::regclass", settings),
						   2, (Oid[]) {OIDOID, OIDOID},
						   (Datum[]) {ObjectIdGetDatum(from), ObjectIdGetDatum(to)}, NULL);
}

/*
 * pm_sub_inherit makes the partitions of a set sets like those of another one; false
 * if these are none.
 */
bool
pm_sub_inherit(Oid from, Oid to)
{
	char	   *columns = for_columns("quote_ident(b.attname)", "b.attname <> 'sub_parent'");
	uint64		rows;

	rows = pm_config_write(psprintf("INSERT INTO %%b (sub_parent, %s) SELECT $2::regclass, %s FROM %%b WHERE sub_parent = $1::regclass"
									" ON CONFLICT (sub_parent) DO NOTHING", columns, columns),
						   2, (Oid[]) {OIDOID, OIDOID},
						   (Datum[]) {ObjectIdGetDatum(from), ObjectIdGetDatum(to)}, NULL);
	if (rows > 0)
		pm_config_changed(to);
	return rows > 0;
}

/* pm_sub_delete forgets the row of a set; false if there was none. */
bool
pm_sub_delete(Oid parent)
{
	uint64		rows = pm_config_write("DELETE FROM %b WHERE sub_parent = $1::regclass", 1, (Oid[]) {OIDOID},
									   (Datum[]) {ObjectIdGetDatum(parent)}, NULL);

	pm_config_changed(parent);
	return rows > 0;
}

/* pm_sub_value returns a column, named without sub_, as text; NULL: it is, or there is no row. */
char *
pm_sub_value(Oid parent, const char *column)
{
	PmExtension ext;
	PmSpi		spi;
	char	   *result = NULL;
	Oid			types[] = {OIDOID, TEXTOID};
	Datum		values[] = {ObjectIdGetDatum(parent), CStringGetTextDatum(column)};

	pm_config_begin(&spi, &ext);
	if (pm_spi_select_kept(pm_config_sql(&ext, "SELECT to_jsonb(b) ->> ('sub_' || $2) FROM %b b WHERE sub_parent = $1::regclass"),
						   2, types, values, NULL) > 0)
		result = pm_spi_string(0, 1);
	pm_spi_end(&spi);
	return result;
}

/* pm_sub_note_full says in part_config whether a set has all partitions that fit into it. */
void
pm_sub_note_full(const PartSet *set, bool is_full)
{
	if (set->is_full == is_full)
		return;
	(void) pm_config_write("UPDATE %c SET sub_partition_set_full = $2 WHERE parent_table = $1::regclass",
						   2, (Oid[]) {OIDOID, BOOLOID},
						   (Datum[]) {ObjectIdGetDatum(set->parent), BoolGetDatum(is_full)}, NULL);
}
