/*-------------------------------------------------------------------------
 *
 * rewrite_clean.c
 *		A rewrite's tables go again: when it is swapped, or when nobody wants it any
 *		more.
 *
 * Scratch tables are dropped by OID, and only while they have the name that we gave
 * them; a source only when nothing but another source has it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/partition.h"
#include "ddl_rewrite.h"
#include "rewrite.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "compat.h"

static bool
is_ours(const PmRewrite *rewrite, Oid table, const char *suffix)
{
	const char *name = OidIsValid(table) ? get_rel_name(table) : NULL;

	return name != NULL && strcmp(name, pm_rewrite_scratch(rewrite, suffix)) == 0;
}

/* as its owner: that of the set may be another one by now, or gone */
static void
drop_scratch(const PmRewrite *rewrite, Oid table, const char *suffix)
{
	PmRewrite	own = *rewrite;

	if (!is_ours(rewrite, table, suffix))
		return;
	LockRelationOid(table, AccessExclusiveLock);
	if (!is_ours(rewrite, table, suffix))
		return;
	own.owner = atooid(linitial(pm_catalog_strings("SELECT relowner::text FROM pg_class WHERE oid = $1", table)));
	pm_rewrite_run_sql(&own, list_make1(pm_ddl_rewrite_drop(pm_qualified_name(table))));
}

/* takes our triggers off what is still there of the sources */
static void
unwatch(const PmRewrite *rewrite)
{
	ListCell   *lc;

	foreach(lc, rewrite->sources)
	{
		PmSource   *source = lfirst(lc);

		if (get_rel_name(source->oid) != NULL)
			pm_rewrite_run_sql(rewrite,
							   pm_ddl_rewrite_unwatch(pm_qualified_name(source->oid),
													  pm_rewrite_scratch(rewrite, ""),
													  pm_rewrite_scratch(rewrite, "_truncate")));
	}
}

/*
 * pm_rewrite_remove leaves everything as it was before a rewrite that has failed
 * or that nobody wants any more.
 *
 * Locks: ACCESS EXCLUSIVE on the sources, one after the other, for a moment.
 */
void
pm_rewrite_remove(PmRewriteRun *run, PmRewrite *rewrite)
{
	if (rewrite->name != NULL && rewrite->kind == REWRITE_INSTANT)
		pm_instant_remove(rewrite);
	else if (rewrite->name != NULL)
	{
		unwatch(rewrite);
		if (PM_REWRITE_KEEPS_RANGES(rewrite->kind))
			pm_exclude_end(rewrite);
	}
	drop_scratch(rewrite, rewrite->frame, "");
	drop_scratch(rewrite, rewrite->rest, "_rest");
	drop_scratch(rewrite, rewrite->notes, "_notes");
	pm_rewrite_forget_sources(rewrite);
	(void) pm_rewrite_set_state(rewrite->id, "{cancelling}", rewrite->sqlstate ? "failed" :
								pm_rewrite_is_swapped(rewrite) ? "done" : "cancelled", 0, NULL);
	if (rewrite->sqlstate && rewrite->name != NULL)
		pm_rewrite_log(rewrite, NULL, NULL, -1, -1, "failed");
	run->is_over = true;
}

/*
 * is_left tells whether a source is there for nobody any more: not attached but
 * to another source, a parent that a plain table has replaced.
 */
static bool
is_left(const PmRewrite *rewrite, const PmSource *source)
{
	return get_rel_name(source->oid) != NULL && source->oid != rewrite->table &&
		(!get_rel_relispartition(source->oid) ||
		 pm_rewrite_is_source(rewrite, get_partition_parent(source->oid, true)));
}

static void
drop_source(const PmRewrite *rewrite, const PmSource *source)
{
	const char *table;
	List	   *statements = NIL;
	ListCell   *lc;

	LockRelationOid(source->oid, AccessExclusiveLock);
	if (!is_left(rewrite, source))
		return;
	table = pm_qualified_name(source->oid);

	/* each of them locks the table that it points at */
	foreach(lc, pm_catalog_strings("SELECT conname FROM pg_constraint WHERE conrelid = $1 AND contype = 'f'"
								   " AND conparentid = 0 ORDER BY confrelid, conname", source->oid))
		statements = lappend(statements, pm_ddl_rewrite_drop_constraint(table, lfirst(lc)));
	pm_rewrite_run_sql(rewrite, lappend(statements, pm_ddl_rewrite_drop(table)));
}

/* foreign keys of others that were put back, but not checked yet */
static bool
validate_references(const PmRewrite *rewrite)
{
	List	   *tables = pm_catalog_strings("SELECT format('%I.%I', n.nspname, c.relname) FROM pg_constraint k"
											" JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
											" WHERE k.confrelid = $1 AND k.contype = 'f' AND NOT k.convalidated AND k.conparentid = 0"
											" ORDER BY k.oid LIMIT 1", rewrite->table);
	List	   *names = pm_catalog_strings("SELECT conname FROM pg_constraint WHERE confrelid = $1 AND contype = 'f'"
										   " AND NOT convalidated AND conparentid = 0 ORDER BY oid LIMIT 1", rewrite->table);

	if (names == NIL)
		return false;
	pm_rewrite_run_sql(rewrite, list_make1(pm_ddl_rewrite_validate(linitial(tables), linitial(names))));
	return true;
}

/*
 * pm_rewrite_clean drops one of the tables that were rewritten, in a transaction
 * of its own, or the last ones of ours, or checks a foreign key of others; then it
 * is the next one's turn.
 *
 * Locks: ACCESS EXCLUSIVE on what is dropped, then on the tables that it
 * references.
 */
void
pm_rewrite_clean(PmRewriteRun *run, PmRewrite *rewrite)
{
	ListCell   *lc;

	foreach(lc, rewrite->sources)
	{
		PmSource   *source = lfirst(lc);

		if (!is_left(rewrite, source))
			continue;
		drop_source(rewrite, source);
		return;
	}
	if (is_ours(rewrite, rewrite->frame, "") || is_ours(rewrite, rewrite->rest, "_rest") ||
		is_ours(rewrite, rewrite->notes, "_notes"))
	{
		drop_scratch(rewrite, rewrite->frame, "");
		drop_scratch(rewrite, rewrite->rest, "_rest");
		drop_scratch(rewrite, rewrite->notes, "_notes");
		return;
	}
	/* last: what does not hold is for the user to mend */
	if (!validate_references(rewrite))
		pm_rewrite_forget_unit(rewrite);
}
