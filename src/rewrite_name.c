/*-------------------------------------------------------------------------
 *
 * rewrite_name.c
 *		Targets, and what hangs on them, get the names that they are to have.
 *
 * Until the swap the sources have them.  Only these have to give up a name: one
 * that is a stranger's is an error, or the thing keeps the name that it was made
 * with.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "ddl_rewrite.h"
#include "rewrite.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "compat.h"

/* numbers that are tried after a name that is taken */
#define MAX_TRIES 100

/* ---------- of tables, and what is named after them ---------- */

static bool
is_taken_name(const char *kind, const char *name, Oid namespace)
{
	if (strcmp(kind, "STATISTICS") == 0)
		return SearchSysCacheExists2(STATEXTNAMENSP, CStringGetDatum(name), ObjectIdGetDatum(namespace));
	return OidIsValid(get_relname_relid(name, namespace));
}

#define INDEXES_OF(what) \
	"SELECT " what " FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_namespace n ON n.oid = i.relnamespace" \
	" WHERE x.indrelid = $1 ORDER BY i.oid"
/* these do not follow their table to another schema, and may be somebody else's */
#define STATISTICS_OF(what) \
	"SELECT " what " FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace JOIN pg_class c ON c.oid = s.stxrelid" \
	" WHERE s.stxrelid = $1 AND pg_has_role(c.relowner, s.stxowner, 'USAGE') ORDER BY s.oid"

/*
 * pm_rewrite_free_name returns a name that is free, of a thing of a table; NULL if
 * that would say nothing of the table.
 */
char *
pm_rewrite_free_name(const char *kind, const char *table, const char *rest, Oid namespace)
{
	for (int n = 0; n < MAX_TRIES && strlen(rest) < NAMEDATALEN / 2; n++)
	{
		char	   *name = pm_name_suffixed(table, n ? psprintf("%s%d", rest, n) : rest);

		if (!is_taken_name(kind, name, namespace))
			return name;
	}
	return NULL;
}

/* statements for those things of a table that are named after it */
static List *
rename_things(const char *kind, List *names, List *schemas, const char *old, const char *new)
{
	List	   *statements = NIL;
	ListCell   *lc;
	ListCell   *lc2;

	forboth(lc, names, lc2, schemas)
	{
		char	   *name = lfirst(lc);
		char	   *after = NULL;

		if (strncmp(name, old, strlen(old)) == 0)
			after = pm_rewrite_free_name(kind, new, name + strlen(old), get_namespace_oid(lfirst(lc2), false));
		if (after)
			statements = lappend(statements,
								 pm_ddl_rewrite_rename(kind, quote_qualified_identifier(lfirst(lc2), name), after));
	}
	return statements;
}

/* pm_rewrite_rename gives a table another name, and what it has that is named after it. */
void
pm_rewrite_rename(const PmRewrite *rewrite, Oid table, const char *name)
{
	char	   *old = get_rel_name(table);
	List	   *statements = list_make1(pm_ddl_rewrite_rename("TABLE", pm_qualified_name(table), name));

	statements = list_concat(statements, rename_things("INDEX", pm_catalog_strings(INDEXES_OF("i.relname"), table),
													   pm_catalog_strings(INDEXES_OF("n.nspname"), table), old, name));
	statements = list_concat(statements, rename_things("STATISTICS", pm_catalog_strings(STATISTICS_OF("s.stxname"), table),
													   pm_catalog_strings(STATISTICS_OF("n.nspname"), table), old, name));
	pm_rewrite_run_sql(rewrite, statements);
}

/* pm_rewrite_give_name gives a target its name; a source that has it makes room. */
void
pm_rewrite_give_name(const PmRewrite *rewrite, Oid target, const char *name)
{
	Oid			taken = get_relname_relid(name, get_rel_namespace(target));

	if (taken == target)
		return;
	if (OidIsValid(taken) && !pm_rewrite_is_source(rewrite, taken))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_TABLE),
				 errmsg("relation \"%s\" already exists", name)));
	if (OidIsValid(taken))
		pm_rewrite_rename(rewrite, taken, pm_rewrite_scratch(rewrite, psprintf("_o%u", taken)));
	pm_rewrite_rename(rewrite, target, name);
}

/* ---------- those of twins ---------- */

/*
 * pm_rewrite_find_twins returns the indexes of a table and of the one that takes its
 * place, and what they are called, before either is renamed.  Statistics objects get
 * their names at once: these have nothing to do with the table's, or its schema.
 */
PmTwins *
pm_rewrite_find_twins(const PmRewrite *rewrite, Oid target)
{
	PmTwins    *twins = palloc0(sizeof(PmTwins));
	Oid			source = ((PmSource *) linitial(rewrite->sources))->oid;
	ListCell   *lc;

	pm_rewrite_pair_indexes(rewrite, source, target, &twins->old, &twins->new);
	foreach(lc, twins->old)
		twins->names = lappend(twins->names, get_rel_name(lfirst_oid(lc)));
	pm_rewrite_run_sql(rewrite, pm_ddl_rewrite_twin_statistics(target, source));
	return twins;
}

/* renames indexes, one after the other */
static void
rename_indexes(const PmRewrite *rewrite, List *indexes, List *names)
{
	List	   *statements = NIL;
	ListCell   *lc;
	ListCell   *lc2;

	forboth(lc, indexes, lc2, names)
		statements = lappend(statements,
							 pm_ddl_rewrite_rename("INDEX", pm_qualified_name(lfirst_oid(lc)), lfirst(lc2)));
	pm_rewrite_run_sql(rewrite, statements);
}

/*
 * pm_rewrite_name_twins gives the new indexes the names that the old ones had; who of
 * them has a name that another one is to get gives it up first.
 */
void
pm_rewrite_name_twins(const PmRewrite *rewrite, const PmTwins *twins)
{
	List	   *away = NIL;
	List	   *scratch = NIL;
	List	   *indexes = NIL;
	List	   *names = NIL;
	ListCell   *lc;
	ListCell   *lc2;

	forboth(lc, twins->new, lc2, twins->names)
	{
		Oid			index = lfirst_oid(lc);
		Oid			taken = get_relname_relid(lfirst(lc2), get_rel_namespace(index));

		if (taken == index)
			continue;
		if (list_member_oid(twins->old, taken) || list_member_oid(twins->new, taken))
		{
			away = lappend_oid(away, taken);
			scratch = lappend(scratch, pm_rewrite_scratch(rewrite, psprintf("_o%u", taken)));
		}
		else if (OidIsValid(taken))
			continue;			/* a stranger's */
		indexes = lappend_oid(indexes, index);
		names = lappend(names, lfirst(lc2));
	}
	rename_indexes(rewrite, away, scratch);
	rename_indexes(rewrite, indexes, names);
}
