/*-------------------------------------------------------------------------
 *
 * rewrite_own.c
 *		What a partition has of its own, and not from its parent: who takes its
 *		place gets it.
 *
 * Twins are two tables of which one takes the other's place whole: a partition
 * that is compressed, a default that is drained.  They have the same indexes by
 * the same names.  Where one partition becomes several each of these gets all
 * but the names; where several become one there is no telling whose.
 *
 * It is given before rows come, since it may say how they are stored, and what has
 * changed since then in the swap.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "ddl_partman.h"
#include "ddl_rewrite.h"
#include "rewrite.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "compat.h"

/* ---------- whose ---------- */

/* pm_rewrite_has_single tells whether all rows of a swap come from one partition of a set. */
bool
pm_rewrite_has_single(const PmRewrite *rewrite)
{
	return (rewrite->kind == REWRITE_SPLIT || rewrite->kind == REWRITE_COMPRESS ||
			rewrite->kind == REWRITE_INTERVAL) && list_length(rewrite->sources) == 1;
}

static Oid
source_of(const PmRewrite *rewrite)
{
	return ((PmSource *) linitial(rewrite->sources))->oid;
}

/*
 * pm_rewrite_original returns the partition from which a target takes what is its
 * own; InvalidOid if there is none.
 */
Oid
pm_rewrite_original(const PmRewrite *rewrite, Oid target)
{
	if (pm_rewrite_has_single(rewrite) ||
		(rewrite->kind == REWRITE_DRAIN && target == rewrite->rest))
		return source_of(rewrite);
	return InvalidOid;
}

/* does a target with an original take its place whole? */
static bool
is_twin(const PmRewrite *rewrite)
{
	return rewrite->kind == REWRITE_COMPRESS || rewrite->kind == REWRITE_DRAIN;
}


/* ---------- what is its own ---------- */

/* statistics objects that its original has and its parent has not */
static void
give_statistics(const PmRewrite *rewrite, Oid target, Oid original)
{
	ListCell   *lc;

	foreach(lc, pm_ddl_rewrite_own_statistics(target, original))
	{
		char	   *name = pm_rewrite_free_name("STATISTICS", get_rel_name(target), "_stat", get_rel_namespace(target));

		if (name)
			pm_rewrite_run_sql(rewrite, list_make1(pm_ddl_rewrite_statistics(
				quote_qualified_identifier(get_namespace_name(get_rel_namespace(target)), name),
				lfirst(lc), pm_qualified_name(target))));
	}
}

/* pm_rewrite_give_own gives a target what its original has of its own, but for indexes. */
void
pm_rewrite_give_own(const PmRewrite *rewrite, Oid target)
{
	Oid			original = pm_rewrite_original(rewrite, target);
	bool		keep = pm_rewrite_option(rewrite, "compression") == NULL;

	if (!OidIsValid(original))
		return;
	pm_rewrite_run_sql(rewrite, pm_ddl_rewrite_own(target, original, keep));
	give_statistics(rewrite, target, original);
	pm_rewrite_run_sql(rewrite, pm_ddl_constraint_twin(target, original, pm_size_blocks(target) == 0));
}

/* does an index of a table have anything that pm_ddl_rewrite_own_index would find? */
static bool
has_own_indexes(Oid table)
{
	return pm_catalog_strings("SELECT 'x' FROM pg_index x WHERE indrelid = $1 AND (indisclustered OR indisreplident"
							  "  OR obj_description(indexrelid, 'pg_class') IS NOT NULL"
							  "  OR EXISTS (SELECT FROM pg_attribute WHERE attrelid = indexrelid AND attstattarget >= 0)) LIMIT 1",
							  table) != NIL;
}

/* the same of its indexes */
static void
give_own_of_indexes(const PmRewrite *rewrite, Oid target, Oid original)
{
	bool		keep_order = pm_rewrite_option(rewrite, "order_index") == NULL;
	List	   *old;
	List	   *new;
	ListCell   *lc;
	ListCell   *lc2;

	if (!has_own_indexes(original))
		return;
	pm_rewrite_pair_indexes(rewrite, original, target, &old, &new);
	forboth(lc, old, lc2, new)
		pm_rewrite_run_sql(rewrite, pm_ddl_rewrite_own_index(lfirst_oid(lc2), lfirst_oid(lc), keep_order));
}

#define OWNED_SEQUENCES(what) \
	"SELECT " what " FROM pg_depend d JOIN pg_class s ON s.oid = d.objid JOIN pg_namespace n ON n.oid = s.relnamespace" \
	" JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid" \
	" WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1" \
	"  AND d.deptype = 'a' AND s.relkind = 'S' ORDER BY s.oid"

/*
 * Sequences of the original's own defaults would be dropped with it.  They go to its
 * twin; where others use them, too, or in another schema, they belong to nobody.
 */
static void
give_sequences(const PmRewrite *rewrite, Oid target, Oid original)
{
	char	   *table = pm_qualified_name(target);
	char	   *schema = get_namespace_name(get_rel_namespace(target));
	List	   *statements = NIL;
	ListCell   *lc;
	ListCell   *lc2;
	ListCell   *lc3;

	forthree(lc, pm_catalog_strings(OWNED_SEQUENCES("format('%I.%I', n.nspname, s.relname)"), original),
			 lc2, pm_catalog_strings(OWNED_SEQUENCES("n.nspname"), original),
			 lc3, pm_catalog_strings(OWNED_SEQUENCES("a.attname"), original))
		statements = lappend(statements,
							 pm_ddl_rewrite_sequence(lfirst(lc),
													 is_twin(rewrite) && strcmp(lfirst(lc2), schema) == 0 ? table : NULL,
													 lfirst(lc3)));
	pm_rewrite_run_sql(rewrite, statements);
}

/* pm_rewrite_go_home moves a twin to the schema of the other one, which makes room. */
void
pm_rewrite_go_home(const PmRewrite *rewrite, Oid target)
{
	Oid			home;

	if (!is_twin(rewrite) || !OidIsValid(pm_rewrite_original(rewrite, target)))
		return;
	home = get_rel_namespace(source_of(rewrite));
	if (home == get_rel_namespace(target))
		return;
	pm_rewrite_rename(rewrite, source_of(rewrite),
					  pm_rewrite_scratch(rewrite, psprintf("_o%u", source_of(rewrite))));
	pm_rewrite_run_sql(rewrite, list_make1(pm_ddl_rewrite_schema(pm_qualified_name(target), get_namespace_name(home))));
}

/* pm_rewrite_settle_own gives a target all of it, in the swap. */
void
pm_rewrite_settle_own(const PmRewrite *rewrite, Oid target)
{
	Oid			original = pm_rewrite_original(rewrite, target);

	if (!OidIsValid(original))
		return;
	pm_rewrite_give_own(rewrite, target);
	give_own_of_indexes(rewrite, target, original);
	give_sequences(rewrite, target, original);
}
