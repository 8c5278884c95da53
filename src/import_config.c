/*-------------------------------------------------------------------------
 *
 * import_config.c
 *		part_import, what was taken over from pg_partman and can be given back, and
 *		settings that come as JSON.
 *
 * Asks nobody's rights.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "config.h"
#include "import.h"
#include "utils/builtins.h"

/* those of the columns that an object has a value for, for a statement; NULL: none */
static char *
columns_of(const char *object, const char *columns)
{
	PmExtension ext;
	PmSpi		spi;
	char	   *result;
	Oid			types[] = {TEXTOID, TEXTOID};
	Datum		values[] = {CStringGetTextDatum(object), CStringGetTextDatum(columns)};

	pm_config_begin(&spi, &ext);
	(void) pm_spi_select("SELECT string_agg(quote_ident(k), ', ') FROM jsonb_object_keys(jsonb_strip_nulls($1::jsonb)) k"
						 " WHERE k = ANY ($2::text[])", 2, types, values, NULL);
	result = pm_spi_string(0, 1);
	pm_spi_end(&spi);
	return result;
}

/*
 * pm_import_fill sets columns of a set's row of part_config, or of part_config_sub, to
 * what an object has under their names; the template table on its own, since the
 * object spells it in another way.
 */
void
pm_import_fill(Oid parent, bool is_sub, const char *object, const char *columns, Oid template)
{
	const char *table = is_sub ? "%b" : "%c";
	const char *key = is_sub ? "sub_parent" : "parent_table";
	char	   *names = columns_of(object, columns);
	Oid			types[] = {OIDOID, TEXTOID};
	Datum		values[] = {ObjectIdGetDatum(parent), CStringGetTextDatum(object)};

	if (names)
		(void) pm_config_write(psprintf("UPDATE %s SET (%s) = (SELECT %s FROM jsonb_populate_record(NULL::%s, $2::jsonb - ARRAY['template_table', 'sub_template_table', 'parent_table', 'sub_parent']))"
										" WHERE %s = $1::regclass", table, names, names, table, key),
							   2, types, values, NULL);
	if (is_sub && OidIsValid(template))
		(void) pm_config_write("UPDATE %b SET sub_template_table = $2::regclass WHERE sub_parent = $1::regclass",
							   2, (Oid[]) {OIDOID, OIDOID},
							   (Datum[]) {ObjectIdGetDatum(parent), ObjectIdGetDatum(template)}, NULL);
}

/* pm_import_remember notes from where a set was taken over, and what its flag was there. */
void
pm_import_remember(Oid parent, const char *source, const char *name, const char *automatic)
{
	(void) pm_config_write("INSERT INTO %i (parent_table, source, source_name, automatic_maintenance, imported_at)"
						   " VALUES ($1::regclass, $2, $3, $4, now()) ON CONFLICT (parent_table) DO UPDATE"
						   " SET source = EXCLUDED.source, source_name = EXCLUDED.source_name,"
						   " automatic_maintenance = EXCLUDED.automatic_maintenance, imported_at = EXCLUDED.imported_at",
						   4, (Oid[]) {OIDOID, TEXTOID, TEXTOID, TEXTOID},
						   (Datum[]) {ObjectIdGetDatum(parent), CStringGetTextDatum(source), CStringGetTextDatum(name),
							   CStringGetTextDatum(automatic ? automatic : "off")}, NULL);
}

/*
 * pm_import_name_subs has new partitions that become sets name theirs as the newest of
 * their siblings does.
 */
void
pm_import_name_subs(const char *source)
{
	(void) pm_config_write("UPDATE %b b SET sub_name_format = n.name_format FROM"
						   " (SELECT DISTINCT ON (i.inhparent) i.inhparent, c.name_format FROM %c c"
						   "  JOIN pg_inherits i ON i.inhrelid = c.parent_table JOIN %i m ON m.parent_table = i.inhparent"
						   "  WHERE m.source = $1 AND c.name_format IS NOT NULL ORDER BY i.inhparent, i.inhrelid DESC) n"
						   " WHERE b.sub_parent = n.inhparent AND b.sub_name_format IS NULL",
						   1, (Oid[]) {TEXTOID}, (Datum[]) {CStringGetTextDatum(source)}, NULL);
}

/* pm_import_all returns what was taken over from a table of pg_partman's. */
List *
pm_import_all(const char *source)
{
	PmExtension ext;
	PmSpi		spi;
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext old;
	List	   *result = NIL;
	uint64		rows;
	Oid			types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(source)};

	pm_config_begin(&spi, &ext);
	rows = pm_spi_select(pm_config_sql(&ext, "SELECT parent_table::oid, source_name, automatic_maintenance FROM %i"
									   " WHERE source = $1 ORDER BY source_name"), 1, types, values, NULL);
	old = MemoryContextSwitchTo(caller);
	for (uint64 i = 0; i < rows; i++)
	{
		PmImported *imported = palloc(sizeof(PmImported));

		imported->parent = pm_spi_oid(i, 1);
		imported->name = pm_spi_string(i, 2);
		imported->automatic = pm_spi_string(i, 3);
		result = lappend(result, imported);
	}
	MemoryContextSwitchTo(old);
	pm_spi_end(&spi);
	return result;
}

/* pm_import_forget deletes the note that a set was taken over. */
void
pm_import_forget(Oid parent)
{
	(void) pm_config_write("DELETE FROM %i WHERE parent_table = $1::regclass", 1, (Oid[]) {OIDOID},
						   (Datum[]) {ObjectIdGetDatum(parent)}, NULL);
}
