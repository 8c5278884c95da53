/*-------------------------------------------------------------------------
 *
 * rewrite_table.c
 *		One table takes the place of another under its name: a set that of a
 *		plain table, or the other way round.
 *
 * What a new table does not get when it is made is carried over in the
 * transaction of the swap: names, the position of sequences, triggers, policies,
 * publications, views and functions that would go on with the old one.  What
 * cannot be carried over is known before, see rewrite_carry.c.
 *
 * A definition is read while the old table has the name, and carried out when the
 * new one has it.  Each runs as the owner of what it defines.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "ddl_rewrite.h"
#include "rewrite.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "compat.h"

/* ---------- definitions ---------- */

/* a statement and as whom it runs */
typedef struct Carried
{
	Oid			owner;
	char	   *sql;
} Carried;

/* triggers, in their state, with their comments */
#define TRIGGERS \
	"SELECT c.relowner::text, pg_get_triggerdef(t.oid) || CASE t.tgenabled WHEN 'O' THEN ''" \
	"  ELSE format('; ALTER TABLE %I.%I %s TRIGGER %I', n.nspname, c.relname," \
	"   CASE t.tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END, t.tgname) END" \
	"  || coalesce(format('; COMMENT ON TRIGGER %I ON %I.%I IS %L', t.tgname, n.nspname, c.relname," \
	"   obj_description(t.oid, 'pg_trigger')), '')" \
	" FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace" \
	" WHERE t.tgrelid = $1 AND NOT t.tgisinternal AND t.tgname NOT LIKE 'partmgr\\_rewrite\\_%' ORDER BY t.oid"

#define ROW_SECURITY \
	"SELECT c.relowner::text, format('ALTER TABLE %I.%I %s ROW LEVEL SECURITY, %s ROW LEVEL SECURITY', n.nspname, c.relname," \
	"  CASE WHEN c.relrowsecurity THEN 'ENABLE' ELSE 'DISABLE' END, CASE WHEN c.relforcerowsecurity THEN 'FORCE' ELSE 'NO FORCE' END)" \
	" FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace" \
	" WHERE c.oid = $1 AND (c.relrowsecurity OR c.relforcerowsecurity)"

#define POLICIES \
	"SELECT c.relowner::text, format('CREATE POLICY %I ON %I.%I AS %s FOR %s TO %s%s%s', p.polname, n.nspname, c.relname," \
	"  CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END," \
	"  CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END," \
	"  (SELECT string_agg(CASE r WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r)) END, ', ') FROM unnest(p.polroles) r)," \
	"  coalesce(' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', '')," \
	"  coalesce(' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', ''))" \
	"  || coalesce(format('; COMMENT ON POLICY %I ON %I.%I IS %L', p.polname, n.nspname, c.relname, obj_description(p.oid, 'pg_policy')), '')" \
	" FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace" \
	" WHERE p.polrelid = $1 ORDER BY p.oid"

#define PUBLICATIONS \
	"SELECT c.relowner::text, format('ALTER PUBLICATION %I ADD TABLE %I.%I%s%s', p.pubname, n.nspname, c.relname," \
	"  (SELECT ' (' || string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) || ')' FROM pg_attribute a" \
	"   WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs::int2[]))," \
	"  coalesce(' WHERE (' || pg_get_expr(r.prqual, r.prrelid) || ')', ''))" \
	" FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid" \
	" JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace" \
	" WHERE r.prrelid = $1 ORDER BY p.pubname"

#define VIEWS \
	"SELECT DISTINCT v.relowner::text, format('CREATE OR REPLACE VIEW %I.%I%s AS %s', n.nspname, v.relname," \
	"  ' WITH (' || array_to_string(v.reloptions, ', ') || ')', pg_get_viewdef(v.oid))" \
	" FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid JOIN pg_class v ON v.oid = r.ev_class" \
	" JOIN pg_namespace n ON n.oid = v.relnamespace" \
	" WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND v.relkind = 'v'"

/* functions: bodies that are parsed name the table, arguments and results its type */
#define FUNCTION_OF_TABLE \
	" FROM pg_proc f WHERE f.oid IN (SELECT d.objid FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass" \
	"  AND (d.refclassid = 'pg_class'::regclass AND d.refobjid = $1" \
	"   OR d.refclassid = 'pg_type'::regclass AND d.refobjid IN (SELECT t.oid FROM pg_type t, pg_class c" \
	"    WHERE c.oid = $1 AND t.oid IN (c.reltype, (SELECT typarray FROM pg_type WHERE oid = c.reltype)))))"

#define FUNCTIONS_OFF \
	"SELECT f.proowner::text, format('DROP ROUTINE %s', f.oid::regprocedure)" FUNCTION_OF_TABLE " ORDER BY f.oid"

#define FUNCTIONS_ON \
	"SELECT f.proowner::text, pg_get_functiondef(f.oid)" \
	"  || CASE WHEN f.proacl IS NULL THEN '' ELSE format('; REVOKE ALL ON ROUTINE %s FROM PUBLIC', f.oid::regprocedure) END" \
	"  || coalesce((SELECT string_agg(format('; GRANT EXECUTE ON ROUTINE %s TO %s%s', f.oid::regprocedure," \
	"    CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END," \
	"    CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END), '') FROM aclexplode(f.proacl) a), '')" \
	"  || coalesce(format('; COMMENT ON ROUTINE %s IS %L', f.oid::regprocedure, obj_description(f.oid, 'pg_proc')), '')" \
	FUNCTION_OF_TABLE " ORDER BY f.oid"

static List *
read_carried(const char *sql, Oid table, List *carried)
{
	List	   *owners = pm_catalog_strings(psprintf("SELECT owner FROM (%s) x(owner, statement)", sql), table);
	List	   *statements = pm_catalog_strings(psprintf("SELECT statement FROM (%s) x(owner, statement)", sql), table);
	ListCell   *lc;
	ListCell   *lc2;

	forboth(lc, owners, lc2, statements)
	{
		Carried    *one = palloc(sizeof(Carried));

		one->owner = atooid(lfirst(lc));
		one->sql = lfirst(lc2);
		carried = lappend(carried, one);
	}
	return carried;
}

static void
run_carried(List *carried)
{
	ListCell   *lc;

	foreach(lc, carried)
	{
		const Carried *one = lfirst(lc);
		PmSpi		spi;

		pm_spi_begin(&spi, one->owner);
		/* names in a body are its own search_path's, not ours; it was good before */
		(void) set_config_option("check_function_bodies", "off", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
		pm_spi_utility(one->sql);
		pm_spi_end(&spi);
	}
	CommandCounterIncrement();
}


/* ---------- names ---------- */

/* names of things that a table has, in the order in which both tables have them */
#define STATISTICS "SELECT stxname FROM pg_statistic_ext WHERE stxrelid = $1 ORDER BY oid"
/* 18 numbers the columns of a new table anew */
#define SEQUENCES \
	"SELECT s.relname FROM pg_depend d JOIN pg_class s ON s.oid = d.objid JOIN pg_attribute a" \
	" ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid WHERE d.classid = 'pg_class'::regclass" \
	" AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND d.deptype = 'i' AND s.relkind = 'S' ORDER BY a.attname"

/* a thing of the first partition is named after it, as it was after the table */
static char *
name_of_first(const PmRewrite *rewrite, const char *name, const char *number)
{
	size_t		length = strlen(rewrite->name);
	const char *first = pm_instant_name(rewrite);
	const char *rest = strncmp(name, rewrite->name, length) == 0 ? name + length : psprintf("_%s", name);

	/* cut short two of them could be the same */
	if (strlen(first) + strlen(rest) >= NAMEDATALEN ||
		OidIsValid(get_relname_relid(psprintf("%s%s", first, rest), get_namespace_oid(rewrite->schema, false))))
		rest = number;
	return pm_name_suffixed(first, rest);
}

/* the new things get the names of the old ones, which get others */
static void
swap_names(const PmRewrite *rewrite, const char *kind, List *old, List *new)
{
	List	   *statements = NIL;
	int			n = 0;
	ListCell   *lc;
	ListCell   *lc2;

	forboth(lc, old, lc2, new)
	{
		const char *name = lfirst(lc);
		char	   *number = psprintf("_%c%d", pg_tolower(kind[0]), ++n);
		char	   *away = rewrite->kind == REWRITE_INSTANT ? name_of_first(rewrite, name, number) :
			pm_rewrite_scratch(rewrite, number);

		statements = lappend(statements, pm_ddl_rewrite_rename(kind, quote_qualified_identifier(rewrite->schema, name), away));
		statements = lappend(statements, pm_ddl_rewrite_rename(kind, quote_qualified_identifier(rewrite->schema, lfirst(lc2)), name));
	}
	pm_rewrite_run_sql(rewrite, statements);
}

static List *
names_of(List *relations)
{
	List	   *names = NIL;
	ListCell   *lc;

	foreach(lc, relations)
		names = lappend(names, get_rel_name(lfirst_oid(lc)));
	return names;
}

static void
swap_all_names(const PmRewrite *rewrite, Oid from, Oid to)
{
	List	   *old;
	List	   *new;

	pm_rewrite_pair_indexes(rewrite, from, to, &old, &new);
	swap_names(rewrite, "INDEX", names_of(old), names_of(new));
	swap_names(rewrite, "STATISTICS", pm_catalog_strings(STATISTICS, from), pm_catalog_strings(STATISTICS, to));
	swap_names(rewrite, "SEQUENCE", pm_catalog_strings(SEQUENCES, from), pm_catalog_strings(SEQUENCES, to));
}

/* what is said of the things that a table has; they have the same names afterwards */
#define SAID_OF_THINGS \
	"SELECT format('COMMENT ON INDEX %I.%I IS %L', n.nspname, c.relname, obj_description(c.oid, 'pg_class'))" \
	" FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace" \
	" WHERE x.indrelid = $1 AND obj_description(c.oid, 'pg_class') IS NOT NULL" \
	" UNION ALL SELECT format('COMMENT ON CONSTRAINT %I ON %I.%I IS %L', k.conname, n.nspname, c.relname, obj_description(k.oid, 'pg_constraint'))" \
	" FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace" \
	" WHERE k.conrelid = $1 AND obj_description(k.oid, 'pg_constraint') IS NOT NULL" \
	" UNION ALL SELECT format('COMMENT ON SEQUENCE %I.%I IS %L', n.nspname, c.relname, obj_description(c.oid, 'pg_class'))" \
	" FROM pg_depend d JOIN pg_class c ON c.oid = d.objid JOIN pg_namespace n ON n.oid = c.relnamespace" \
	" WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND d.deptype = 'i'" \
	"  AND c.relkind = 'S' AND obj_description(c.oid, 'pg_class') IS NOT NULL" \
	" UNION ALL SELECT format('COMMENT ON STATISTICS %I.%I IS %L', n.nspname, s.stxname, obj_description(s.oid, 'pg_statistic_ext'))" \
	" FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace" \
	" WHERE s.stxrelid = $1 AND obj_description(s.oid, 'pg_statistic_ext') IS NOT NULL" \
	" UNION ALL SELECT format('ALTER STATISTICS %I.%I SET STATISTICS %s', n.nspname, s.stxname, s.stxstattarget)" \
	" FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE s.stxrelid = $1 AND s.stxstattarget >= 0"


/* ---------- sequences, replica identity ---------- */

/* the sequence of an identity column goes on where the old one is */
static void
carry_positions(const PmRewrite *rewrite, Oid from, Oid to)
{
	ListCell   *lc;
	ListCell   *lc2;
	PmSpi		spi;

	forboth(lc, pm_catalog_strings(SEQUENCES, from), lc2, pm_catalog_strings(SEQUENCES, to))
	{
		char	   *old = quote_qualified_identifier(rewrite->schema, lfirst(lc));
		char	   *new = quote_qualified_identifier(rewrite->schema, lfirst(lc2));

		pm_spi_begin(&spi, rewrite->owner);
		pm_spi_write(psprintf("SELECT setval(%s, last_value, is_called) FROM %s", quote_literal_cstr(new), old),
					 0, NULL, NULL, NULL);
		pm_spi_end(&spi);
		pm_rewrite_run_sql(rewrite, pm_catalog_texts(psprintf(
			"SELECT format('GRANT %%s ON SEQUENCE %%s TO %%s%%s', a.privilege_type, %s,"
			"  CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,"
			"  CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)"
			" FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = $1 AND a.grantee <> c.relowner",
			quote_literal_cstr(new)), get_relname_relid(lfirst(lc), get_namespace_oid(rewrite->schema, false))));
	}
}

/* a sequence that a default uses belongs to the column, and is dropped with it */
static List *
owned_sequences(Oid from)
{
	return pm_catalog_strings("SELECT format('ALTER SEQUENCE %I.%I OWNED BY %I.%I.%I', sn.nspname, s.relname, n.nspname, c.relname, a.attname)"
							  " FROM pg_depend d JOIN pg_class s ON s.oid = d.objid JOIN pg_namespace sn ON sn.oid = s.relnamespace"
							  " JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid"
							  " JOIN pg_class c ON c.oid = d.refobjid JOIN pg_namespace n ON n.oid = c.relnamespace"
							  " WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1"
							  "  AND d.deptype = 'a' AND s.relkind = 'S'", from);
}

/* the same index of the new table, and of its partitions, is the identity */
static void
carry_identity(const PmRewrite *rewrite, Oid to, const char *index)
{
	pm_rewrite_run_sql(rewrite, pm_catalog_texts(psprintf(
		"SELECT format('ALTER TABLE %%I.%%I REPLICA IDENTITY USING INDEX %%I', n.nspname, c.relname, i.relname)"
		" FROM pg_class t JOIN pg_index x ON x.indrelid = t.oid JOIN pg_class p ON p.oid = x.indexrelid AND p.relname = %s,"
		" LATERAL (SELECT p.oid AS index, t.oid AS rel UNION ALL"
		"  SELECT h.inhrelid, y.indrelid FROM pg_inherits h JOIN pg_index y ON y.indexrelid = h.inhrelid WHERE h.inhparent = p.oid) l"
		" JOIN pg_class i ON i.oid = l.index JOIN pg_class c ON c.oid = l.rel JOIN pg_namespace n ON n.oid = c.relnamespace"
		" WHERE t.oid = $1 AND i.relkind = CASE c.relkind WHEN 'p' THEN 'I'::\"char\" ELSE 'i' END",
		quote_literal_cstr(index)), to));
}


/* ---------- the swap ---------- */

/* the parent that a plain table has replaced is dropped after its partitions */
static void
leave_parent(PmRewrite *rewrite)
{
	PmSource   *parent = palloc0(sizeof(PmSource));

	parent->oid = rewrite->table;
	pm_rewrite_save_source(rewrite, parent);
	(void) pm_set_forget(rewrite->table);
}

static void
unwatch_sources(const PmRewrite *rewrite)
{
	ListCell   *lc;

	if (!OidIsValid(rewrite->notes))
		return;
	foreach(lc, rewrite->sources)
		pm_rewrite_run_sql(rewrite, pm_ddl_rewrite_unwatch(pm_qualified_name(((PmSource *) lfirst(lc))->oid),
														   pm_rewrite_scratch(rewrite, ""),
														   pm_rewrite_scratch(rewrite, "_truncate")));
}

/* the rest is a default from now on, or nobody's */
static void
settle_rest(const PmRewrite *rewrite)
{
	char	   *name = pm_name_default(rewrite->name);

	if (!OidIsValid(rewrite->rest))
		return;
	if (list_member_oid(pm_rewrite_targets(rewrite), rewrite->rest))
		pm_rewrite_rename(rewrite, rewrite->rest, name);
	else
		pm_rewrite_run_sql(rewrite, list_make1(pm_ddl_rewrite_detach(pm_qualified_name(rewrite->frame),
																	 pm_qualified_name(rewrite->rest))));
}

/*
 * pm_rewrite_swap_tables gives the frame the name of the table, and what hangs on
 * that.  Everything is locked.
 */
void
pm_rewrite_swap_tables(PmRewrite *rewrite)
{
	Oid			from = rewrite->table;
	Oid			to = rewrite->frame;
	char	   *old_name = pm_rewrite_scratch(rewrite, "_old");
	List	   *identity = pm_catalog_strings("SELECT c.relname FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid"
											  " WHERE x.indrelid = $1 AND x.indisreplident", from);
	char	   *range = NULL;
	List	   *off = read_carried(FUNCTIONS_OFF, from, NIL);
	List	   *on = NIL;
	List	   *references;
	List	   *sequences = owned_sequences(from);
	List	   *said = pm_catalog_strings(SAID_OF_THINGS, from);
	ListCell   *lc;

	unwatch_sources(rewrite);
	pm_rewrite_run_sql(rewrite, pm_ddl_rewrite_privileges(pm_qualified_name(to), from));
	pm_rewrite_run_sql(rewrite, pm_ddl_rewrite_table(pm_qualified_name(to), from, NULL));
	foreach(lc, pm_rewrite_targets(rewrite))
		if (lfirst_oid(lc) != rewrite->rest)
			pm_rewrite_settle_target(rewrite, lfirst_oid(lc));
	on = read_carried(FUNCTIONS_ON, from, on);
	on = read_carried(TRIGGERS, from, on);
	on = read_carried(POLICIES, from, on);
	on = read_carried(ROW_SECURITY, from, on);
	on = read_carried(PUBLICATIONS, from, on);
	on = read_carried(VIEWS, from, on);
	pm_rewrite_run_sql(rewrite, pm_rewrite_references(rewrite, &references));
	run_carried(off);
	carry_positions(rewrite, from, to);
	settle_rest(rewrite);

	pm_rewrite_run_sql(rewrite, list_make2(pm_ddl_rewrite_rename("TABLE", pm_qualified_name(from), old_name),
										   pm_ddl_rewrite_rename("TABLE", pm_qualified_name(to), rewrite->name)));
	swap_all_names(rewrite, from, to);
	if (rewrite->kind == REWRITE_INSTANT)
		range = pm_instant_attach(rewrite);
	pm_rewrite_run_sql(rewrite, sequences);
	run_carried(on);
	pm_rewrite_run_sql(rewrite, said);
	pm_rewrite_run_sql(rewrite, references);
	if (identity != NIL)
		carry_identity(rewrite, to, linitial(identity));

	if (rewrite->kind == REWRITE_UNDO)
		leave_parent(rewrite);
	pm_rewrite_note_table(rewrite, to);
	if (PM_REWRITE_MAKES_SET(rewrite->kind))
		pm_rewrite_manage(rewrite);
	if (rewrite->kind == REWRITE_INSTANT)
		pm_rewrite_log(rewrite, pm_qualified_name(from), range, -1, pm_size_bytes(from), "the table is the first partition now");
	else
		pm_rewrite_log(rewrite, NULL, NULL, rewrite->rows_done, pm_size_bytes(to), "swapped");
}
