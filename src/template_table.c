/*-------------------------------------------------------------------------
 *
 * template_table.c
 *		What new partitions take from the template table of their set: what a
 *		partitioned table cannot have itself.
 *
 * Unique indexes without the partition key, LOGGED or UNLOGGED, storage
 * parameters.  Most template tables are empty of these, and that costs no query.
 * A template table that is of no use (dropped, somebody else's, an index on a
 * column that the set has not) never keeps a partition from being made: what can
 * be taken is taken, and why the rest is not is told.
 *
 * What its indexes call runs as the owner of the set; so whoever may change it
 * must be somebody whom that role trusts.
 *
 * Reads only.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "config.h"
#include "internal.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "compat.h"

/* a unique index x but for its name and its table; only is what stands before that of a parent */
#define INDEX_TEXT(x, i, n, t, only) \
	"substr(pg_get_indexdef(" x ".indexrelid), length(format('CREATE UNIQUE INDEX %I ON " only "%I.%I', " \
	i ".relname, " n ".nspname, " t ".relname)) + 1)"

/* a list of storage parameters, and what stands before each name */
#define OPTIONS(list, prefix) \
	"(SELECT string_agg(format('%s%I = %L', " prefix ", split_part(o, '=', 1), substr(o, strpos(o, '=') + 1)), ', ' ORDER BY o)" \
	" FROM unnest(" list ") o)"

/*
 * The unique indexes of template table $1 that table $2 has not, as statements
 * around the name of a table.  A table has one primary key, whatever its columns.
 */
#define KEYS_QUERY \
	"SELECT CASE WHEN k.oid IS NULL THEN 'CREATE UNIQUE INDEX ON' ELSE 'ALTER TABLE' END," \
	" CASE WHEN k.oid IS NULL THEN concat(left(d.text, length(d.text) - length(w.text)), ' TABLESPACE ' || quote_ident(s.spcname), w.text)" \
	"  ELSE concat(' ADD ', left(c.text, length(c.text) - length(e.text)), ' WITH (' || " OPTIONS("i.reloptions", "''") " || ')'," \
	"   ' USING INDEX TABLESPACE ' || quote_ident(s.spcname), e.text) END," \
	" x.indexrelid, i.relname," \
	" (SELECT a.attname FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attnum > 0" \
	"  AND (a.attnum = ANY (x.indkey) OR EXISTS (SELECT FROM pg_depend p WHERE p.classid = 'pg_class'::regclass AND p.objid = x.indexrelid" \
	"   AND p.refclassid = 'pg_class'::regclass AND p.refobjid = t.oid AND p.refobjsubid = a.attnum))" \
	"  AND NOT EXISTS (SELECT FROM pg_attribute b WHERE b.attrelid = $2 AND b.attname = a.attname AND NOT b.attisdropped)" \
	"  ORDER BY a.attnum LIMIT 1)" \
	" FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid" \
	" JOIN pg_namespace n ON n.oid = t.relnamespace" \
	" LEFT JOIN pg_tablespace s ON s.oid = i.reltablespace" \
	" LEFT JOIN pg_constraint k ON k.conindid = x.indexrelid AND k.conrelid = x.indrelid AND k.contype IN ('p', 'u')," \
	" LATERAL (SELECT " INDEX_TEXT("x", "i", "n", "t", "") " AS text) d," \
	" LATERAL (SELECT CASE WHEN x.indpred IS NULL THEN '' ELSE ' WHERE ' || pg_get_expr(x.indpred, x.indrelid) END AS text) w," \
	" LATERAL (SELECT coalesce(pg_get_constraintdef(k.oid), '') AS text) c," \
	" LATERAL (SELECT concat(CASE WHEN k.condeferrable THEN ' DEFERRABLE' END, CASE WHEN k.condeferred THEN ' INITIALLY DEFERRED' END) AS text) e" \
	" WHERE x.indrelid = $1 AND x.indisunique AND x.indisvalid" \
	" AND NOT EXISTS (SELECT FROM pg_index y JOIN pg_class j ON j.oid = y.indexrelid JOIN pg_class u ON u.oid = y.indrelid" \
	"  JOIN pg_namespace m ON m.oid = u.relnamespace WHERE y.indrelid = $2 AND y.indisunique AND (x.indisprimary AND y.indisprimary" \
	"   OR d.text = CASE u.relkind WHEN 'p' THEN " INDEX_TEXT("y", "j", "m", "u", "ONLY ") \
	"    ELSE " INDEX_TEXT("y", "j", "m", "u", "") " END))" \
	" ORDER BY NOT x.indisprimary, i.relname"

#define STORAGE_QUERY \
	"SELECT concat_ws(', ', " OPTIONS("t.reloptions", "''") ", " OPTIONS("o.reloptions", "'toast.'") ")" \
	" FROM pg_class t LEFT JOIN pg_class o ON o.oid = t.reltoastrelid WHERE t.oid = $1"

/*
 * pm_template_table_trusted tells whether the owner of a set trusts whoever owns
 * a table: himself, one who can be him anyway, or, unless he is a superuser, a role
 * that he belongs to.
 */
bool
pm_template_table_trusted(const PartSet *set, Oid template_table)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(template_table));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		return false;
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return has_privs_of_role(owner, set->owner) ||
		(!superuser_arg(set->owner) && has_privs_of_role(set->owner, owner));
}

/* what makes a table no template table of a set, as part of a sentence; or NULL */
static char *
find_problem(const PartSet *set, Oid template_table)
{
	const char *name = get_rel_name(template_table);

	if (name == NULL)
		return pstrdup("it was dropped");
	if (get_rel_relkind(template_table) != RELKIND_RELATION || get_rel_relispartition(template_table))
		return psprintf("%s is not a plain table", pm_qualified_name(template_table));
	if (get_rel_persistence(template_table) == RELPERSISTENCE_TEMP)
		return psprintf("%s is temporary", pm_qualified_name(template_table));
	if (!pm_template_table_trusted(set, template_table))
		return psprintf("the owner of the set is no member of the role that owns %s",
						pm_qualified_name(template_table));
	return NULL;
}

static bool
has_options(HeapTuple tuple)
{
	bool		isnull;

	(void) SysCacheGetAttr(RELOID, tuple, Anum_pg_class_reloptions, &isnull);
	return !isnull;
}

/* looks at a table's own row; false if nothing else is to be taken from it */
static bool
read_row(Oid template_table, PmTemplate *tmpl, bool *has_storage)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(template_table));
	Form_pg_class form;
	HeapTuple	toast = NULL;
	bool		has_index;

	*has_storage = false;
	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_class) GETSTRUCT(tuple);
	tmpl->is_unlogged = form->relpersistence == RELPERSISTENCE_UNLOGGED;
	has_index = form->relhasindex;
	*has_storage = has_options(tuple);
	if (OidIsValid(form->reltoastrelid))
		toast = SearchSysCache1(RELOID, ObjectIdGetDatum(form->reltoastrelid));
	if (HeapTupleIsValid(toast))
	{
		*has_storage |= has_options(toast);
		ReleaseSysCache(toast);
	}
	ReleaseSysCache(tuple);
	return has_index;
}

static void
read_keys(Oid template_table, Oid table, PmTemplate *tmpl, MemoryContext context)
{
	Oid			types[] = {OIDOID, OIDOID};
	Datum		values[] = {ObjectIdGetDatum(template_table), ObjectIdGetDatum(table)};
	uint64		rows = pm_spi_select_kept(KEYS_QUERY, 2, types, values, NULL);
	MemoryContext old = MemoryContextSwitchTo(context);

	for (uint64 i = 0; i < rows; i++)
	{
		char	   *lacking = pm_spi_string(i, 5);

		if (lacking != NULL)
		{
			if (tmpl->table_problem == NULL)
				tmpl->table_problem = psprintf("its index \"%s\" is on column \"%s\", which the set has not",
											   pm_spi_string(i, 4), lacking);
			continue;
		}
		tmpl->keys = lappend(tmpl->keys, pm_spi_string(i, 1));
		tmpl->key_tails = lappend(tmpl->key_tails, pm_spi_string(i, 2));
		tmpl->key_indexes = lappend_oid(tmpl->key_indexes, pm_spi_oid(i, 3));
		tmpl->locks_per_partition++;
	}
	MemoryContextSwitchTo(old);
}

/*
 * pm_template_table_read adds to a template what comes from the template table
 * of a set, if it has one, and a table, its parent or a partition, has not.
 */
void
pm_template_table_read(const PartSet *set, Oid table, PmTemplate *tmpl)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(set->template_table)};
	PmExtension ext;
	PmSpi		spi;
	bool		has_keys;
	bool		has_storage;

	if (!OidIsValid(set->template_table))
		return;
	tmpl->table_problem = find_problem(set, set->template_table);
	if (tmpl->table_problem)
		return;
	has_keys = read_row(set->template_table, tmpl, &has_storage);
	if (!has_keys && !has_storage)
		return;
	pm_config_begin(&spi, &ext);
	if (has_storage && pm_spi_select_kept(STORAGE_QUERY, 1, types, values, NULL) > 0)
		tmpl->storage = pm_spi_string(0, 1);
	if (has_keys)
		read_keys(set->template_table, table, tmpl, context);
	pm_spi_end(&spi);
}

/* pm_template_table_check raises an error for what is to be, and cannot be, the template table of a set. */
void
pm_template_table_check(const PartSet *set, Oid template_table)
{
	PartSet		would = *set;
	PmTemplate	tmpl = {0};

	would.template_table = template_table;
	if (template_table == set->parent)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("table \"%s\" cannot be its own template table", set->name)));
	pm_template_table_read(&would, set->parent, &tmpl);
	if (tmpl.table_problem)
		ereport(ERROR,
				(errcode(pm_template_table_trusted(set, template_table) ? ERRCODE_WRONG_OBJECT_TYPE :
						 ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("table %s cannot be the template table of \"%s\": %s",
						pm_qualified_name(template_table), set->name, tmpl.table_problem)));
}

/* pm_template_table_warn tells whoever has partitions made why they take nothing, or not all. */
void
pm_template_table_warn(const PartSet *set, const PmTemplate *tmpl)
{
	if (tmpl->table_problem)
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("partitions of table %s do not take all from its template table: %s",
						pm_full_name(set), tmpl->table_problem),
				 errhint("Set template_table in part_config to another table, or to null.")));
}
