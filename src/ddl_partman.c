/*-------------------------------------------------------------------------
 *
 * ddl_partman.c
 *		Statements for what pg_partman's users know: template tables, extra
 *		constraints, privileges, and properties that one table takes from
 *		another.
 *
 * Names come in qualified and quoted; what is looked up here is looked up in the
 * catalogs by OID.  Never drops anything but constraints that are ours by their
 * names.  Runs nothing itself.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "ddl_partman.h"
#include "ddl_rewrite.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

/* what a constraint's name must leave room for: the prefix and one more byte */
#define LONGEST_COLUMN (NAMEDATALEN - 1 - (int) strlen(PM_CONSTRAINT_PREFIX) - 1)

/* ---------- template tables ---------- */

/* pm_ddl_template_create makes a template table: columns and NOT NULL, nothing else. */
char *
pm_ddl_template_create(const char *table, const PartSet *set)
{
	return psprintf("CREATE TABLE %s (LIKE %s)", table, pm_full_name(set));
}

/* pm_ddl_template_drop drops one. */
char *
pm_ddl_template_drop(Oid table)
{
	return psprintf("DROP TABLE %s", pm_qualified_name(table));
}

/* pm_ddl_owner gives a table to another role. */
char *
pm_ddl_owner(const char *table, Oid owner)
{
	const bool	missing_ok = false;

	return psprintf("ALTER TABLE %s OWNER TO %s", table,
					quote_identifier(GetUserNameFromId(owner, missing_ok)));
}

/* pm_ddl_template_apply gives a table that exists what is taken from a template table. */
List *
pm_ddl_template_apply(const PmTemplate *tmpl, Oid table)
{
	char	   *name = pm_qualified_name(table);
	bool		is_unlogged = get_rel_persistence(table) == RELPERSISTENCE_UNLOGGED;
	List	   *result = NIL;
	ListCell   *lc;
	ListCell   *lc2;

	if (tmpl->is_unlogged != is_unlogged)
		result = lappend(result, psprintf("ALTER TABLE %s SET %s", name, tmpl->is_unlogged ? "UNLOGGED" : "LOGGED"));
	if (tmpl->storage)
		result = lappend(result, psprintf("ALTER TABLE %s SET (%s)", name, tmpl->storage));
	forboth(lc, tmpl->keys, lc2, tmpl->key_tails)
		result = lappend(result, psprintf("%s %s%s", (char *) lfirst(lc), name, (char *) lfirst(lc2)));
	return result;
}


/* ---------- extra constraints ---------- */

/* pm_ddl_constraint_name names the constraint of a column; pg_partman's name, if there is room. */
char *
pm_ddl_constraint_name(const char *partition, const char *column)
{
	if ((int) strlen(column) >= LONGEST_COLUMN)
		return pm_name_suffixed(psprintf(PM_CONSTRAINT_PREFIX "_%s", column), "");
	return pm_name_suffixed(psprintf(PM_CONSTRAINT_PREFIX "%s", partition), psprintf("_%s", column));
}

/*
 * pm_ddl_constraint_call is what does in one transaction what the worker does in
 * several: the values that make the statements are not read for a plan.
 */
char *
pm_ddl_constraint_call(const PartSet *set, const Partition *partition)
{
	PmExtension ext;

	pm_extension_require(&ext);
	return psprintf("SELECT %s(%s, %s)", quote_qualified_identifier(ext.schema, "apply_constraints"),
					quote_literal_cstr(pm_full_name(set)), quote_literal_cstr(pm_full_name(partition)));
}

/* appends an item to a list that begins with a head */
static void
add_item(StringInfo buf, const char *head, const char *item)
{
	appendStringInfo(buf, "%s%s", buf->len ? ", " : head, item);
}

/*
 * pm_ddl_constraint_add adds constraints to a table without looking at its rows:
 * one statement for all.  They are PmExtreme with a name.
 */
char *
pm_ddl_constraint_add(Oid table, List *extremes)
{
	StringInfoData buf;
	char	   *head = psprintf("ALTER TABLE %s ", pm_qualified_name(table));
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, extremes)
	{
		const PmExtreme *extreme = lfirst(lc);
		const char *column = quote_identifier(extreme->column);

		add_item(&buf, head, psprintf("ADD CONSTRAINT %s CHECK (%s >= %s AND %s <= %s) NOT VALID",
									  quote_identifier(extreme->name),
									  column, quote_literal_cstr(extreme->lowest),
									  column, quote_literal_cstr(extreme->highest)));
	}
	return buf.data;
}

/* one statement with the same verb for all names; NULL if there is none */
static char *
for_all(Oid table, const char *verb, List *names)
{
	StringInfoData buf;
	char	   *head = psprintf("ALTER TABLE %s ", pm_qualified_name(table));
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, names)
		add_item(&buf, head, psprintf("%s CONSTRAINT %s", verb, quote_identifier(lfirst(lc))));
	return buf.len ? buf.data : NULL;
}

/* pm_ddl_constraint_validate looks at the rows once for all, and keeps nobody from writing. */
char *
pm_ddl_constraint_validate(Oid table, List *names)
{
	return for_all(table, "VALIDATE", names);
}

/* pm_ddl_constraint_drop takes constraints off; NULL if there is none. */
char *
pm_ddl_constraint_drop(Oid table, List *names)
{
	return for_all(table, "DROP", names);
}

/* has a table a constraint of ours on the column that constraint k of another one is on? */
#define HAS_TWIN(table) \
	"EXISTS (SELECT FROM pg_constraint o JOIN pg_attribute b ON b.attrelid = o.conrelid AND b.attnum = o.conkey[1]" \
	" WHERE o.conrelid = " table " AND o.contype = 'c' AND cardinality(o.conkey) = 1 AND o.conname LIKE '" PM_CONSTRAINT_LIKE "' AND b.attname = a.attname)"

#define OURS \
	" FROM pg_constraint k JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]" \
	" WHERE k.contype = 'c' AND cardinality(k.conkey) = 1 AND k.coninhcount = 0 AND k.conname LIKE '" PM_CONSTRAINT_LIKE "'"

/*
 * pm_ddl_constraint_twin gives a table that takes a partition's place, or a part
 * of it, the constraints that this has.  While it is empty only those that are
 * validated, since other rows would be refused; with rows, those that have come
 * since, not validated, and none that has gone.
 */
List *
pm_ddl_constraint_twin(Oid table, Oid like, bool is_empty)
{
	char	   *name = quote_literal_cstr(pm_qualified_name(table));

	return pm_catalog_texts(psprintf(
		"SELECT format('ALTER TABLE %%s ADD CONSTRAINT %%I CHECK (%%s)%s', %s, k.conname, pg_get_expr(k.conbin, k.conrelid))"
		OURS " AND k.conrelid = $1%s AND NOT " HAS_TWIN("%u")
		" UNION ALL SELECT format('ALTER TABLE %%s DROP CONSTRAINT %%I', %s, k.conname)"
		OURS " AND k.conrelid = %u AND NOT " HAS_TWIN("$1"),
		is_empty ? "" : " NOT VALID", name, is_empty ? " AND k.convalidated" : "", table, name, table), like);
}


/* ---------- privileges ---------- */

/*
 * pm_ddl_privileges gives a table the privileges of another one, and those of
 * nobody else; both belong to the same role.  CASCADE is about what others have
 * granted further, and would be left without its ground.
 */
List *
pm_ddl_privileges(Oid table, Oid like)
{
	char	   *name = pm_qualified_name(table);
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, pm_ddl_rewrite_strip(table))
		result = lappend(result, psprintf("%s CASCADE", (char *) lfirst(lc)));
	result = list_concat(result, pm_catalog_texts(psprintf(
		"SELECT format('GRANT ALL ON TABLE %%s TO %%I', %s, pg_get_userbyid(relowner))"
		" FROM pg_class WHERE oid = $1 AND relacl IS NULL", quote_literal_cstr(name)), like));
	return list_concat(result, pm_ddl_rewrite_privileges(name, like));
}


/* ---------- what one table takes from another ---------- */

/* pm_ddl_targets gives the columns of a table the statistics targets of another one's. */
List *
pm_ddl_targets(Oid table, Oid like)
{
	return pm_catalog_texts(psprintf(
		"SELECT format('ALTER TABLE %%s %%s', %s, string_agg(format('ALTER COLUMN %%I SET STATISTICS %%s', attname, attstattarget), ', ' ORDER BY attnum))"
		" FROM pg_attribute WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped AND attstattarget >= 0 HAVING count(*) > 0",
		quote_literal_cstr(pm_qualified_name(table))), like);
}

/* pm_ddl_identity_like gives a partition the replica identity of its parent. */
List *
pm_ddl_identity_like(Oid partition, Oid parent)
{
	return pm_catalog_texts(psprintf(
		"SELECT format('ALTER TABLE %%s REPLICA IDENTITY %%s', %s, CASE c.relreplident WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING'"
		"  WHEN 'i' THEN (SELECT format('USING INDEX %%I', i.relname) FROM pg_index p JOIN pg_inherits h ON h.inhparent = p.indexrelid"
		"   JOIN pg_index x ON x.indexrelid = h.inhrelid JOIN pg_class i ON i.oid = x.indexrelid"
		"   WHERE p.indrelid = $1 AND p.indisreplident AND x.indrelid = %u) ELSE 'DEFAULT' END)"
		" FROM pg_class c WHERE c.oid = $1 AND (c.relreplident <> 'i' OR EXISTS (SELECT FROM pg_index p"
		"  JOIN pg_inherits h ON h.inhparent = p.indexrelid JOIN pg_index x ON x.indexrelid = h.inhrelid"
		"  WHERE p.indrelid = $1 AND p.indisreplident AND x.indrelid = %u))",
		quote_literal_cstr(pm_qualified_name(partition)), partition, partition), parent);
}

/* what an index is, but for its name and its table */
#define INDEX_TEXT(x) \
	"substr(pg_get_indexdef(" x ".indexrelid), strpos(pg_get_indexdef(" x ".indexrelid), ' USING '))"

/* pm_ddl_cluster_like has a table clustered by the index that is like the one of another table. */
List *
pm_ddl_cluster_like(Oid table, Oid like)
{
	return pm_catalog_texts(psprintf(
		"SELECT format('ALTER TABLE %%s CLUSTER ON %%I', %s, i.relname) FROM pg_index o JOIN pg_index x ON x.indrelid = %u"
		" JOIN pg_class i ON i.oid = x.indexrelid WHERE o.indrelid = $1 AND o.indisclustered AND " INDEX_TEXT("x") " = " INDEX_TEXT("o")
		" ORDER BY i.relname LIMIT 1", quote_literal_cstr(pm_qualified_name(table)), table), like);
}
