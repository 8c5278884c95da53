/*-------------------------------------------------------------------------
 *
 * ddl_rewrite.c
 *		Statements of the rewrite engine.
 *
 * Names come in qualified and quoted; what is looked up here is looked up in the
 * catalogs by OID.  Never uses CASCADE.  Runs nothing itself.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "commands/defrem.h"
#include "commands/tablespace.h"
#include "ddl.h"
#include "ddl_rewrite.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "compat.h"

/* what a table that stands in for another takes from it by LIKE */
#define LIKE_PARTITION \
	"INCLUDING COMMENTS INCLUDING COMPRESSION INCLUDING CONSTRAINTS INCLUDING DEFAULTS" \
	" INCLUDING GENERATED INCLUDING STATISTICS INCLUDING STORAGE"
#define LIKE_TABLE "INCLUDING ALL EXCLUDING INDEXES"

/* pm_ddl_rewrite_frame makes the table through which rows go to their targets. */
char *
pm_ddl_rewrite_frame(const char *frame, Oid like, bool whole, const char *by)
{
	Oid			tablespace = get_rel_tablespace(like);
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "CREATE TABLE %s (LIKE %s %s)", frame, pm_qualified_name(like),
					 whole ? LIKE_TABLE : LIKE_PARTITION);
	if (by)
		appendStringInfo(&buf, " PARTITION BY %s", by);
	if (whole && OidIsValid(tablespace))
		appendStringInfo(&buf, " TABLESPACE %s", quote_identifier(get_tablespace_name(tablespace)));
	return buf.data;
}

/* the name that NOT NULL would have been given in a table of that name, but for what like has */
static char *
not_null_name(Oid like, const char *like_name, const char *column)
{
	for (int n = 0;; n++)
	{
		char	   *name = makeObjectName(like_name, column, n ? psprintf("not_null%d", n) : "not_null");

		if (pm_catalog_texts(psprintf("SELECT 'x' FROM pg_constraint WHERE conrelid = $1 AND conname = %s",
									  quote_literal_cstr(name)), like) == NIL)
			return name;
	}
}

/*
 * pm_ddl_rewrite_not_null makes a column NOT NULL, by the name that this would have
 * in the table that is to be replaced; like_name is what that is called without us.
 * Where a constraint says so already, no row is looked at.
 */
char *
pm_ddl_rewrite_not_null(const char *table, const char *column, Oid like, const char *like_name)
{
	bool		is_new = pm_catalog_texts(psprintf("SELECT 'x' FROM pg_attribute WHERE attrelid = $1 AND attname = %s AND NOT attnotnull",
												   quote_literal_cstr(column)), like) != NIL;

	if (is_new && PM_NOT_NULL_HAS_NAME)
		return psprintf("ALTER TABLE %s ADD CONSTRAINT %s NOT NULL %s", table,
						quote_identifier(not_null_name(like, like_name, column)), quote_identifier(column));
	return psprintf("ALTER TABLE %s ALTER COLUMN %s SET NOT NULL", table, quote_identifier(column));
}

/* what was said of a column's values, to be SET; some servers keep other things beside it */
#define ATTOPTIONS(options) \
	"(SELECT string_agg(o, ', ') FROM unnest(" options ") o WHERE o LIKE 'n\\_distinct%%')"

/*
 * pm_ddl_rewrite_table gives a table that is to replace another one what LIKE
 * leaves out: comment, what the planner was told, replica identity; the key of a set is
 * NOT NULL besides.
 */
List *
pm_ddl_rewrite_table(const char *frame, Oid like, const char *control)
{
	char	   *name = quote_literal_cstr(frame);
	List	   *result = NIL;

	if (control)
		result = lappend(result, pm_ddl_rewrite_not_null(frame, control, like, get_rel_name(like)));
	return list_concat(result, pm_catalog_texts(psprintf(
		"SELECT format('COMMENT ON TABLE %%s IS %%L', %s, obj_description($1, 'pg_class'))"
		" WHERE obj_description($1, 'pg_class') IS NOT NULL"
		" UNION ALL SELECT format('COMMENT ON COLUMN %%s.%%I IS %%L', %s, attname, col_description($1, attnum))"
		" FROM pg_attribute WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped AND col_description($1, attnum) IS NOT NULL"
		" UNION ALL SELECT format('ALTER TABLE %%s ALTER COLUMN %%I SET STATISTICS %%s', %s, attname, attstattarget)"
		" FROM pg_attribute WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped AND attstattarget >= 0"
		" UNION ALL SELECT format('ALTER TABLE %%s ALTER COLUMN %%I SET (%%s)', %s, attname, " ATTOPTIONS("attoptions") ")"
		" FROM pg_attribute WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped AND " ATTOPTIONS("attoptions") " IS NOT NULL"
		" UNION ALL SELECT format('ALTER TABLE %%s REPLICA IDENTITY %%s', %s, CASE relreplident WHEN 'f' THEN 'FULL' ELSE 'NOTHING' END)"
		" FROM pg_class WHERE oid = $1 AND relreplident IN ('f', 'n')",
		name, name, name, name, name), like));
}

/* columns of a table, a, beside those of the one that is to be like it, b */
#define BOTH_COLUMNS \
	" FROM pg_attribute a JOIN pg_attribute b ON b.attrelid = %u AND b.attname = a.attname AND NOT b.attisdropped" \
	" LEFT JOIN pg_attrdef ad ON ad.adrelid = a.attrelid AND ad.adnum = a.attnum" \
	" LEFT JOIN pg_attrdef bd ON bd.adrelid = b.attrelid AND bd.adnum = b.attnum," \
	" LATERAL (SELECT pg_get_expr(ad.adbin, ad.adrelid) AS a_default, pg_get_expr(bd.adbin, bd.adrelid) AS b_default) d"
#define OF_A " WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped"

/*
 * pm_ddl_rewrite_own gives a table that takes a partition's place what that has of
 * its own and not from its parent: comments, identity, and what its columns have.  keep is
 * whether values are compressed as they were.
 */
List *
pm_ddl_rewrite_own(Oid table, Oid like, bool keep)
{
	char	   *name = quote_literal_cstr(pm_qualified_name(table));
	List	   *result = pm_catalog_texts(psprintf(
		"SELECT format('COMMENT ON TABLE %%s IS %%L', %s, obj_description($1, 'pg_class'))"
		" WHERE obj_description($1, 'pg_class') IS DISTINCT FROM obj_description(%u, 'pg_class')"
		" UNION ALL SELECT format('ALTER TABLE %%s REPLICA IDENTITY %%s', %s, CASE a.relreplident WHEN 'f' THEN 'FULL' ELSE 'NOTHING' END)"
		" FROM pg_class a JOIN pg_class b ON b.oid = %u WHERE a.oid = $1 AND a.relreplident IN ('f', 'n') AND a.relreplident <> b.relreplident"
		" UNION ALL SELECT format('COMMENT ON COLUMN %%s.%%I IS %%L', %s, a.attname, col_description($1, a.attnum))"
		BOTH_COLUMNS OF_A " AND col_description($1, a.attnum) IS DISTINCT FROM col_description(b.attrelid, b.attnum)",
		name, table, name, table, name, table), like);

	return list_concat(result, pm_catalog_texts(psprintf(
		"SELECT format(CASE WHEN x.change LIKE 'ADD %%%%' THEN 'ALTER TABLE %%1$s %%3$s' ELSE 'ALTER TABLE %%1$s ALTER COLUMN %%2$I %%3$s' END,"
		"  %s, a.attname, x.change)" BOTH_COLUMNS ","
		" LATERAL unnest(ARRAY["
		"  CASE WHEN a.attgenerated = '' AND a_default IS DISTINCT FROM b_default THEN coalesce('SET DEFAULT ' || a_default, 'DROP DEFAULT') END,"
		"  CASE WHEN a.attstattarget IS DISTINCT FROM b.attstattarget THEN format('SET STATISTICS %%s', coalesce(a.attstattarget, -1)) END,"
		"  'SET (' || " ATTOPTIONS("a.attoptions") " || ')',"
		"  CASE WHEN a.attstorage <> b.attstorage THEN 'SET STORAGE ' ||"
		"   CASE a.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END END,"
		"  CASE WHEN a.attcompression <> b.attcompression AND %s THEN 'SET COMPRESSION ' ||"
		"   CASE a.attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' ELSE 'default' END END,"
		"  CASE WHEN a.attnotnull AND NOT b.attnotnull THEN coalesce((SELECT format('ADD CONSTRAINT %%I NOT NULL %%I', conname, a.attname)"
		"    FROM pg_constraint WHERE conrelid = $1 AND contype = 'n' AND conkey = ARRAY[a.attnum]), 'SET NOT NULL') END]) x(change)"
		OF_A " AND x.change IS NOT NULL ORDER BY a.attnum", name, table, keep ? "true" : "false"), like));
}

/* a statistics object but for its names: two of which this is the same are alike */
#define STATISTICS_TEXT(oid) \
	"(SELECT concat(CASE WHEN cardinality(stxkind) > 0 AND stxkind <> '{e}' THEN" \
	"  (SELECT '(' || string_agg(CASE k WHEN 'd' THEN 'ndistinct' WHEN 'f' THEN 'dependencies' ELSE 'mcv' END, ', ' ORDER BY k) || ') '" \
	"   FROM unnest(stxkind) k WHERE k <> 'e') END, 'ON ', pg_get_statisticsobjdef_columns(oid)) FROM pg_statistic_ext WHERE oid = " oid ")"

/* pm_ddl_rewrite_own_statistics returns statistics objects that one table lacks, without name and table. */
List *
pm_ddl_rewrite_own_statistics(Oid table, Oid like)
{
	return pm_catalog_texts(psprintf("SELECT " STATISTICS_TEXT("s.oid") " FROM pg_statistic_ext s WHERE stxrelid = $1 EXCEPT ALL"
									 " SELECT " STATISTICS_TEXT("s.oid") " FROM pg_statistic_ext s WHERE stxrelid = %u ORDER BY 1", table), like);
}

/* pm_ddl_rewrite_statistics makes such a one. */
char *
pm_ddl_rewrite_statistics(const char *name, const char *what, const char *table)
{
	return psprintf("CREATE STATISTICS %s %s FROM %s", name, what, table);
}

/*
 * pm_ddl_rewrite_twin_statistics gives those of a table the names, targets and
 * comments of the same ones of another table.
 */
List *
pm_ddl_rewrite_twin_statistics(Oid table, Oid like)
{
	return pm_catalog_texts(psprintf(
		"WITH one AS (SELECT s.*, " STATISTICS_TEXT("s.oid") " AS text FROM pg_statistic_ext s WHERE stxrelid IN ($1, %u)),"
		" ranked AS (SELECT *, row_number() OVER (PARTITION BY stxrelid, text ORDER BY oid) AS rank FROM one),"
		" pair AS (SELECT n.nspname, a.oid AS old, b.oid AS new, a.stxname AS old_name, b.stxname AS new_name, a.stxstattarget AS target"
		"  FROM ranked a JOIN ranked b USING (text, rank, stxnamespace) JOIN pg_namespace n ON n.oid = stxnamespace"
		"  WHERE a.stxrelid = $1 AND b.stxrelid <> $1 AND pg_has_role(b.stxowner, a.stxowner, 'USAGE')),"
		" other AS (SELECT * FROM pair WHERE old_name <> new_name)"
		" SELECT sql FROM (SELECT 1, old, format('ALTER STATISTICS %%I.%%I RENAME TO %%I', nspname, old_name, concat('partmgr_rewrite_o', old)) FROM other"
		" UNION ALL SELECT 2, old, format('ALTER STATISTICS %%I.%%I RENAME TO %%I', nspname, new_name, concat('partmgr_rewrite_o', new)) FROM other"
		" UNION ALL SELECT 3, old, format('ALTER STATISTICS %%I.%%I RENAME TO %%I', nspname, concat('partmgr_rewrite_o', new), old_name) FROM other"
		" UNION ALL SELECT 4, old, format('ALTER STATISTICS %%I.%%I SET STATISTICS %%s', nspname, old_name, target) FROM pair WHERE target >= 0"
		" UNION ALL SELECT 5, old, format('COMMENT ON STATISTICS %%I.%%I IS %%L', nspname, old_name, obj_description(old, 'pg_statistic_ext')) FROM pair"
		"  WHERE obj_description(old, 'pg_statistic_ext') IS NOT NULL) x(place, oid, sql) ORDER BY place, oid", table), like);
}

/* pm_ddl_rewrite_own_index is the same for one of its indexes. */
List *
pm_ddl_rewrite_own_index(Oid index, Oid like, bool keep_order)
{
	char	   *name = quote_literal_cstr(pm_qualified_name(index));

	return pm_catalog_texts(psprintf(
		"SELECT format('COMMENT ON INDEX %%s IS %%L', %s, obj_description($1, 'pg_class')) WHERE obj_description($1, 'pg_class') IS NOT NULL"
		" UNION ALL SELECT format('ALTER INDEX %%s ALTER COLUMN %%s SET STATISTICS %%s', %s, attnum, attstattarget)"
		" FROM pg_attribute WHERE attrelid = $1 AND attstattarget >= 0"
		" UNION ALL SELECT format('ALTER TABLE %%I.%%I %%s %%I', n.nspname, t.relname, w.what, i.relname)"
		" FROM pg_class i JOIN pg_namespace n ON n.oid = i.relnamespace JOIN pg_index x ON x.indexrelid = i.oid"
		" JOIN pg_class t ON t.oid = x.indrelid JOIN pg_index o ON o.indexrelid = $1,"
		" LATERAL (VALUES ('CLUSTER ON', o.indisclustered AND %s), ('REPLICA IDENTITY USING INDEX', o.indisreplident AND NOT x.indisreplident)) w(what, is_so)"
		" WHERE i.oid = %u AND w.is_so",
		name, name, keep_order ? "true" : "false", index), like);
}

/* pm_ddl_rewrite_sequence gives a sequence to a column, or, without a table, to none. */
char *
pm_ddl_rewrite_sequence(const char *sequence, const char *table, const char *column)
{
	return psprintf("ALTER SEQUENCE %s OWNED BY %s", sequence,
					table ? psprintf("%s.%s", table, quote_identifier(column)) : "NONE");
}

/*
 * pm_ddl_rewrite_strip takes from a table what privileges others have by default:
 * the rows in it may not be for them.
 */
List *
pm_ddl_rewrite_strip(Oid table)
{
	return pm_catalog_strings("SELECT DISTINCT format('REVOKE ALL%s ON TABLE %I.%I FROM %s', ' (' || quote_ident(g.col) || ')', n.nspname, c.relname,"
							  "  CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END)"
							  " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, LATERAL (SELECT NULL::name AS col, c.relacl AS acl"
							  "  UNION ALL SELECT attname, attacl FROM pg_attribute WHERE attrelid = c.oid AND NOT attisdropped) g, aclexplode(g.acl) a"
							  " WHERE c.oid = $1 AND a.grantee <> c.relowner", table);
}

/*
 * pm_ddl_rewrite_bare takes from a table what its new parent has, and a partition
 * must not have itself, or has not: nobody is to come to its rows but through the
 * parent.
 */
List *
pm_ddl_rewrite_bare(Oid table)
{
	return list_concat(pm_ddl_rewrite_strip(table), pm_catalog_strings(
		"SELECT format('DROP TRIGGER %I ON %I.%I', t.tgname, n.nspname, c.relname) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
		" JOIN pg_namespace n ON n.oid = c.relnamespace WHERE t.tgrelid = $1 AND NOT t.tgisinternal"
		" UNION ALL SELECT format('ALTER TABLE %I.%I ALTER COLUMN %I DROP IDENTITY', n.nspname, c.relname, a.attname) FROM pg_attribute a"
		" JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
		" WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND a.attidentity <> ''"
		" UNION ALL SELECT format('ALTER PUBLICATION %I DROP TABLE %I.%I', p.pubname, n.nspname, c.relname) FROM pg_publication_rel r"
		" JOIN pg_publication p ON p.oid = r.prpubid JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE r.prrelid = $1"
		" UNION ALL SELECT format('DROP POLICY %I ON %I.%I', p.polname, n.nspname, c.relname) FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid"
		" JOIN pg_namespace n ON n.oid = c.relnamespace WHERE p.polrelid = $1"
		" UNION ALL SELECT format('ALTER TABLE %I.%I DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY', n.nspname, c.relname) FROM pg_class c"
		" JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1 AND (c.relrowsecurity OR c.relforcerowsecurity)", table));
}

/*
 * pm_ddl_rewrite_privileges gives a table that has none but its owner's the
 * privileges of another one: those of columns too, and not those that the owner
 * has taken away from himself.
 */
List *
pm_ddl_rewrite_privileges(const char *table, Oid like)
{
	const char *to = quote_literal_cstr(table);
	List	   *result = pm_catalog_texts(psprintf(
		"SELECT format('REVOKE ALL ON TABLE %%s FROM %%I', %s, pg_get_userbyid(relowner))"
		" FROM pg_class WHERE oid = $1 AND relacl IS NOT NULL", to), like);

	return list_concat(result, pm_catalog_texts(psprintf(
		"SELECT format('GRANT %%s%%s ON TABLE %%s TO %%s%%s', a.privilege_type, coalesce(' (' || quote_ident(g.col) || ')', ''), %s,"
		"  CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,"
		"  CASE WHEN a.is_grantable AND a.grantee <> c.relowner THEN ' WITH GRANT OPTION' ELSE '' END)"
		" FROM pg_class c, LATERAL (SELECT NULL::name AS col, c.relacl AS acl"
		"  UNION ALL SELECT attname, attacl FROM pg_attribute WHERE attrelid = c.oid AND NOT attisdropped AND attacl IS NOT NULL) g,"
		" aclexplode(g.acl) a WHERE c.oid = $1", to), like));
}

/* pm_ddl_rewrite_notes makes the table of notes, with its index. */
List *
pm_ddl_rewrite_notes(const char *notes, Oid table, const PmRowKey *key)
{
	StringInfoData columns;
	StringInfoData names;

	initStringInfo(&columns);
	initStringInfo(&names);
	for (int i = 0; i < key->n; i++)
	{
		appendStringInfo(&columns, ", %s AS k%d", key->columns[i], i + 1);
		appendStringInfo(&names, "%sk%d", i ? ", " : "", i + 1);
	}
	return list_make2(psprintf("CREATE TABLE %s AS SELECT 'k'::\"char\" AS kind%s FROM ONLY %s WITH NO DATA",
							   notes, columns.data, pm_qualified_name(table)),
					  psprintf("CREATE INDEX ON %s (%s)", notes, names.data));
}

/*
 * pm_ddl_rewrite_watch makes the triggers that note which rows change.  ALWAYS:
 * they are to see what session_replication_role = replica writes, too.
 */
List *
pm_ddl_rewrite_watch(const char *source, const char *trigger, const char *truncate,
					 Oid notes, const PmRowKey *key)
{
	StringInfoData args;
	List	   *result;

	initStringInfo(&args);
	appendStringInfo(&args, "'%u', %s", notes, quote_literal_cstr(get_rel_name(notes)));
	for (int i = 0; i < key->n; i++)
		appendStringInfo(&args, ", %s", quote_literal_cstr(key->columns[i]));
	result = list_make1(psprintf("CREATE TRIGGER %s AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW"
								 " EXECUTE FUNCTION pg_catalog.partmgr_rewrite_note(%s)",
								 trigger, source, args.data));
	result = lappend(result, psprintf("CREATE TRIGGER %s AFTER TRUNCATE ON %s FOR EACH STATEMENT"
									  " EXECUTE FUNCTION pg_catalog.partmgr_rewrite_note(%s)",
									  truncate, source, args.data));
	return lappend(result, psprintf("ALTER TABLE %s ENABLE ALWAYS TRIGGER %s, ENABLE ALWAYS TRIGGER %s",
									source, trigger, truncate));
}

/* pm_ddl_rewrite_unwatch takes them away again. */
List *
pm_ddl_rewrite_unwatch(const char *source, const char *trigger, const char *truncate)
{
	return list_make2(psprintf("DROP TRIGGER IF EXISTS %s ON %s", trigger, source),
					  psprintf("DROP TRIGGER IF EXISTS %s ON %s", truncate, source));
}

/* a condition that only rows of the range fulfil, as ATTACH understands it */
static char *
bound_test(const PartKey *key, const PartBound *bound)
{
	const char *column = pm_key_column(key);
	const char *type = format_type_be_qualified(key->type);
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "%s IS NOT NULL%s", column, pm_key_others(key, " AND ", " IS NOT NULL"));
	if (key->is_list)
		appendStringInfo(&buf, " AND %s = %s::%s", column, pm_key_literal(key, bound->lower_raw), type);
	else
	{
		if (!bound->lower_open)
			appendStringInfo(&buf, " AND %s >= %s::%s", column, pm_key_literal(key, bound->lower_raw), type);
		if (!bound->upper_open)
			appendStringInfo(&buf, " AND %s < %s::%s", column, pm_key_literal(key, bound->upper_raw), type);
	}
	return buf.data;
}

/* pm_ddl_rewrite_bound has ATTACH look at a constraint in place of the rows. */
char *
pm_ddl_rewrite_bound(const char *target, const PartKey *key, const PartBound *bound)
{
	return psprintf("ALTER TABLE %s ADD CONSTRAINT " PM_BOUND_CONSTRAINT " CHECK (%s)",
					target, bound_test(key, bound));
}

/* pm_ddl_rewrite_check is the same for a table with rows, which are looked at later. */
char *
pm_ddl_rewrite_check(const char *table, const char *name, const PartKey *key, const PartBound *bound)
{
	return psprintf("ALTER TABLE %s ADD CONSTRAINT %s CHECK (%s) NOT VALID", table, quote_identifier(name),
					bound_test(key, bound));
}

/* pm_ddl_exclude keeps rows of a range out of a default; those that are there are looked at later. */
char *
pm_ddl_exclude(const char *table, const char *name, const PartKey *key, const PartBound *bound)
{
	const char *column = pm_key_column(key);
	const char *type = format_type_be_qualified(key->type);
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "ALTER TABLE %s ADD CONSTRAINT %s CHECK (%s IS NULL%s", table, quote_identifier(name), column,
					 pm_key_others(key, " OR ", " IS NULL"));
	if (!bound->lower_open)
		appendStringInfo(&buf, " OR %s < %s::%s", column, pm_key_literal(key, bound->lower_raw), type);
	if (!bound->upper_open)
		appendStringInfo(&buf, " OR %s >= %s::%s", column, pm_key_literal(key, bound->upper_raw), type);
	appendStringInfoString(&buf, ") NOT VALID");
	return buf.data;
}

/* pm_ddl_rewrite_constraint makes a constraint like another one of an index that is there. */
char *
pm_ddl_rewrite_constraint(const char *table, const char *name, const char *index, Oid like)
{
	List	   *texts = pm_catalog_texts(psprintf("SELECT concat(CASE contype WHEN 'p' THEN 'PRIMARY KEY' ELSE 'UNIQUE' END,"
												  "  format(' USING INDEX %%I', %s), CASE WHEN condeferrable THEN ' DEFERRABLE' END,"
												  "  CASE WHEN condeferred THEN ' INITIALLY DEFERRED' END) FROM pg_constraint WHERE oid = $1",
												  quote_literal_cstr(index)), like);

	return psprintf("ALTER TABLE %s ADD CONSTRAINT %s %s", table, quote_identifier(name), (char *) linitial(texts));
}

/* pm_ddl_rewrite_autovacuum leaves a target alone as long as it is one. */
char *
pm_ddl_rewrite_autovacuum(const char *target, bool on)
{
	return psprintf(on ? "ALTER TABLE %s RESET (autovacuum_enabled, toast.autovacuum_enabled)" :
					"ALTER TABLE %s SET (autovacuum_enabled = false, toast.autovacuum_enabled = false)", target);
}

/* pm_ddl_rewrite_storage gives a target the storage parameters of a source. */
List *
pm_ddl_rewrite_storage(const char *target, Oid source)
{
	List	   *options = pm_catalog_strings("SELECT string_agg(o, ', ') FROM ("
											 "SELECT unnest(reloptions) AS o FROM pg_class WHERE oid = $1"
											 " UNION ALL SELECT 'toast.' || unnest(t.reloptions) FROM pg_class c"
											 "  JOIN pg_class t ON t.oid = c.reltoastrelid WHERE c.oid = $1) x"
											 " HAVING count(*) > 0", source);

	return options == NIL ? NIL :
		list_make1(psprintf("ALTER TABLE %s SET (%s)", target, (char *) linitial(options)));
}

/* pm_ddl_rewrite_compression has a target compress its values, and fill its pages. */
List *
pm_ddl_rewrite_compression(const char *target, Oid like, const char *method)
{
	List	   *result = list_make1(psprintf("ALTER TABLE %s SET (fillfactor = 100)", target));
	List	   *columns = pm_catalog_strings("SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = $1"
											 " AND attnum > 0 AND NOT attisdropped AND attlen = -1 AND attstorage IN ('x', 'm')"
											 " ORDER BY attnum", like);
	ListCell   *lc;

	foreach(lc, columns)
		result = lappend(result, psprintf("ALTER TABLE %s ALTER COLUMN %s SET COMPRESSION %s", target,
										  (char *) lfirst(lc), quote_identifier(method)));
	return result;
}

/* pm_ddl_rewrite_foreign_key adds a foreign key without looking at the rows. */
char *
pm_ddl_rewrite_foreign_key(const char *table, const char *name, const char *definition, bool is_valid)
{
	return psprintf("ALTER TABLE %s ADD CONSTRAINT %s %s%s", table, quote_identifier(name), definition,
					is_valid || strstr(definition, " NOT VALID") ? "" : " NOT VALID");
}

/* pm_ddl_rewrite_validate looks at them afterwards, and keeps nobody from writing. */
char *
pm_ddl_rewrite_validate(const char *table, const char *name)
{
	return psprintf("ALTER TABLE %s VALIDATE CONSTRAINT %s", table, quote_identifier(name));
}

/* pm_ddl_rewrite_drop_constraint takes a constraint off. */
char *
pm_ddl_rewrite_drop_constraint(const char *table, const char *name)
{
	return psprintf("ALTER TABLE %s DROP CONSTRAINT %s", table, quote_identifier(name));
}

/* pm_ddl_rewrite_drop_index drops an index of a target. */
char *
pm_ddl_rewrite_drop_index(const char *index)
{
	return psprintf("DROP INDEX %s", index);
}

/* pm_ddl_rewrite_detach and _attach move a table between two parents. */
char *
pm_ddl_rewrite_detach(const char *parent, const char *partition)
{
	return psprintf("ALTER TABLE %s DETACH PARTITION %s", parent, partition);
}

char *
pm_ddl_rewrite_attach(const char *parent, const char *partition, const char *range)
{
	return psprintf(strcmp(range, "DEFAULT") == 0 ? "ALTER TABLE %s ATTACH PARTITION %s %s" :
					"ALTER TABLE %s ATTACH PARTITION %s FOR VALUES %s", parent, partition, range);
}

/* pm_ddl_rewrite_rename gives a table another name; in the same schema. */
char *
pm_ddl_rewrite_rename(const char *kind, const char *thing, const char *name)
{
	return psprintf("ALTER %s %s RENAME TO %s", kind, thing, quote_identifier(name));
}

/* pm_ddl_rewrite_schema moves a table to another schema. */
char *
pm_ddl_rewrite_schema(const char *table, const char *schema)
{
	return psprintf("ALTER TABLE %s SET SCHEMA %s", table, quote_identifier(schema));
}

/* pm_ddl_rewrite_drop drops a table of ours, or one that was rewritten. */
char *
pm_ddl_rewrite_drop(const char *table)
{
	return psprintf("DROP TABLE %s", table);
}

/* pm_ddl_rewrite_empty begins anew. */
char *
pm_ddl_rewrite_empty(const char *table)
{
	return psprintf("TRUNCATE TABLE %s", table);
}

/* pm_ddl_rewrite_cluster puts the rows of a target in order. */
char *
pm_ddl_rewrite_cluster(const char *target, const char *index)
{
	return psprintf("CLUSTER %s USING %s", target, quote_identifier(index));
}

/* pm_ddl_rewrite_lock locks tables without their partitions. */
char *
pm_ddl_rewrite_lock(const char *table, const char *mode)
{
	return psprintf("LOCK TABLE ONLY %s IN %s MODE", table, mode);
}
