/*-------------------------------------------------------------------------
 *
 * rewrite_build.c
 *		What targets get once their rows are there: indexes, foreign keys,
 *		statistics.  Rows first and indexes after is what makes a rewrite
 *		faster than an INSERT ... SELECT.
 *
 * One after the other, found by looking at what is there, also after a crash.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "commands/vacuum.h"
#include "ddl_rewrite.h"
#include "maintenance.h"
#include "rewrite.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "compat.h"

/* rows that ANALYZE reads for each step of the statistics target; the least target */
#define ROWS_SAMPLED 300
#define FEW_STATISTICS 10

/* ---------- which ---------- */

/* will the rest be the default of the set? */
static bool
keeps_rest(const PmRewrite *rewrite)
{
	const char *wants = pm_rewrite_option(rewrite, "default_table");

	return rewrite->kind == REWRITE_DRAIN || (wants != NULL && strcmp(wants, "true") == 0);
}

/*
 * pm_rewrite_targets returns the tables that rows have gone to, by OID; the
 * rest only if it is kept.
 */
List *
pm_rewrite_targets(const PmRewrite *rewrite)
{
	List	   *targets = NIL;
	ListCell   *lc;

	if (get_rel_relkind(rewrite->frame) == RELKIND_RELATION)
		return list_make1_oid(rewrite->frame);
	foreach(lc, pm_catalog_strings("SELECT inhrelid::text FROM pg_inherits WHERE inhparent = $1 ORDER BY inhrelid",
								   rewrite->frame))
	{
		Oid			target = atooid(lfirst(lc));

		if (target != rewrite->rest || keeps_rest(rewrite))
			targets = lappend_oid(targets, target);
	}
	return targets;
}


/* ---------- foreign keys ---------- */

#define FOREIGN_KEYS(column) \
	"SELECT " column " FROM pg_constraint WHERE conrelid = $1 AND contype = 'f'" \
	" AND (conparentid = 0 OR NOT EXISTS (SELECT FROM pg_constraint p WHERE p.oid = pg_constraint.conparentid AND p.conrelid = $1)) ORDER BY oid"

/* is there a foreign key of that name, and was it checked? */
static void
find_foreign_key(Oid table, const char *name, bool *exists, bool *is_valid)
{
	List	   *texts = pm_catalog_texts(psprintf("SELECT convalidated::text FROM pg_constraint WHERE conrelid = $1"
												  " AND contype = 'f' AND conname = %s", quote_literal_cstr(name)), table);

	*exists = texts != NIL;
	*is_valid = texts != NIL && strcmp(linitial(texts), "true") == 0;
}

/* adds or checks the next foreign key of a table; false if it has all */
static bool
build_foreign_key(const PmRewrite *rewrite, Oid table, bool at_once)
{
	char	   *name = pm_qualified_name(table);
	List	   *definitions = pm_catalog_strings(FOREIGN_KEYS("pg_get_constraintdef(oid)"), rewrite->table);
	ListCell   *lc;
	ListCell   *lc2;

	forboth(lc, pm_catalog_strings(FOREIGN_KEYS("conname"), rewrite->table), lc2, definitions)
	{
		const char *definition = lfirst(lc2);
		bool		exists;
		bool		is_valid;

		find_foreign_key(table, lfirst(lc), &exists, &is_valid);
		if (is_valid || (exists && strstr(definition, " NOT VALID")))
			continue;
		pm_rewrite_run_sql(rewrite, list_make1(exists ? pm_ddl_rewrite_validate(name, lfirst(lc)) :
											   pm_ddl_rewrite_foreign_key(name, lfirst(lc), definition, at_once)));
		return true;
	}
	return false;
}


/* ---------- order, statistics ---------- */

/* puts the rows of a target in the order of an index of the set; false if they are */
static bool
cluster(const PmRewrite *rewrite, Oid target)
{
	const char *wanted = pm_rewrite_option(rewrite, "order_index");
	Oid			source = ((PmSource *) linitial(rewrite->sources))->oid;
	Oid			index;
	Oid			like;

	if (wanted == NULL)
		return false;
	like = pm_catalog_child_index(source, atooid(wanted));
	index = OidIsValid(like) ? pm_rewrite_index_for(rewrite, source, like, target) : InvalidOid;
	if (!OidIsValid(index))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("partition %s has no part of index %s",
						pm_qualified_name(source), pm_qualified_name(atooid(wanted)))));
	if (get_index_isclustered(index))
		return false;
	pm_rewrite_run_sql(rewrite, list_make1(pm_ddl_rewrite_cluster(pm_qualified_name(target), get_rel_name(index))));
	return true;
}

/* the columns of a table; NULL if its indexes have statistics of their own */
static char *
plain_columns(Oid table)
{
	List	   *columns = pm_catalog_strings("SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute"
											 " WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped"
											 " HAVING NOT EXISTS (SELECT FROM pg_index WHERE indrelid = $1 AND indexprs IS NOT NULL)",
											 table);

	return columns == NIL ? NULL : linitial(columns);
}

/*
 * Statistics for the plans that are made right after the swap.  Those of a small
 * table would take as long as its indexes, so they are made from a tenth of its
 * rows; and as columns are named, autovacuum still counts its rows as new ones,
 * and soon makes better ones.
 */
static void
collect_statistics(const PmRewrite *rewrite, Oid target)
{
	double		rows = strtod(linitial(pm_catalog_strings("SELECT reltuples::text FROM pg_class WHERE oid = $1", target)), NULL);
	double		enough = Max(rows / 10 / ROWS_SAMPLED, FEW_STATISTICS);
	char	   *columns = rows >= 0 && enough < default_statistics_target ? plain_columns(target) : NULL;
	int			nestlevel = NewGUCNestLevel();

	if (columns)
		(void) set_config_option("default_statistics_target", psprintf("%.0f", enough),
								 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	pm_ddl_analyze(target, rewrite->owner, false, columns);
	AtEOXact_GUC(false, nestlevel);
}

/* does the next thing for one target, statistics last; false if it has all */
static bool
build_next(PmRewriteRun *run, PmRewrite *rewrite, Oid target)
{
	MemoryContext old;

	if (list_member_oid(run->built, target))
		return false;
	if (pm_rewrite_build_index(rewrite, target) || cluster(rewrite, target) ||
		(run->in_one && build_foreign_key(rewrite, target, false)))
		return true;
	if (!run->in_one)
		collect_statistics(rewrite, target);
	old = MemoryContextSwitchTo(run->context);
	run->built = lappend_oid(run->built, target);
	MemoryContextSwitchTo(old);
	return !run->in_one;
}


/*
 * pm_rewrite_build_target gives a target that is made late all at once: it holds
 * next to nothing.
 */
void
pm_rewrite_build_target(PmRewrite *rewrite, Oid target)
{
	while (pm_rewrite_build_index(rewrite, target))
		;
}

static void
add_foreign_keys(const PmRewrite *rewrite, Oid target)
{
	List	   *definitions = pm_catalog_strings(FOREIGN_KEYS("pg_get_constraintdef(oid)"), rewrite->table);
	ListCell   *lc;
	ListCell   *lc2;

	forboth(lc, pm_catalog_strings(FOREIGN_KEYS("conname"), rewrite->table), lc2, definitions)
	{
		const char *definition = lfirst(lc2);
		bool		is_checked = strstr(definition, " NOT VALID") == NULL && strstr(definition, " NOT ENFORCED") == NULL;
		bool		exists;
		bool		is_valid;

		find_foreign_key(target, lfirst(lc), &exists, &is_valid);
		if (exists)
			continue;
		pm_rewrite_run_sql(rewrite, list_make1(pm_ddl_rewrite_foreign_key(pm_qualified_name(target), lfirst(lc),
																		   definition, !is_checked)));
		if (is_checked)
			pm_ddl_trust(target, lfirst(lc));
	}
}

/*
 * pm_rewrite_add_foreign_keys gives the targets their foreign keys, in the swap and
 * not before: until then they hold rows that are gone or other ones in the sources,
 * and who deletes what these point at would be refused.  No row is looked at.
 *
 * Locks: SHARE ROW EXCLUSIVE on the tables that are referenced.
 */
void
pm_rewrite_add_foreign_keys(const PmRewrite *rewrite)
{
	ListCell   *lc;

	foreach(lc, pm_rewrite_targets(rewrite))
		add_foreign_keys(rewrite, lfirst_oid(lc));
	if (PM_REWRITE_MAKES_SET(rewrite->kind))
		while (build_foreign_key(rewrite, rewrite->frame, true))
			;
}

/*
 * pm_rewrite_is_built tells whether targets have the indexes of the table that they
 * are like; some may have come, or gone, meanwhile.  While those of that table are
 * the same, nobody has to look.
 */
bool
pm_rewrite_is_built(PmRewriteRun *run, const PmRewrite *rewrite)
{
	List	   *model = pm_rewrite_model_indexes(rewrite);
	MemoryContext old;
	ListCell   *lc;

	if (run->model != NIL && equal(run->model, model))
		return true;
	foreach(lc, pm_rewrite_targets(rewrite))
	{
		if (pm_rewrite_has_indexes(rewrite, lfirst_oid(lc)))
			continue;
		run->built = NIL;
		return false;
	}
	old = MemoryContextSwitchTo(run->context);
	run->model = list_copy(model);
	MemoryContextSwitchTo(old);
	return true;
}

/*
 * pm_rewrite_build_next does the next thing that targets lack, in this
 * transaction; false if they have all.
 *
 * Locks: SHARE on a target, which nobody else uses; of a foreign key SHARE ROW
 * EXCLUSIVE on the table that it references, for a moment.
 */
bool
pm_rewrite_build_next(PmRewriteRun *run, PmRewrite *rewrite)
{
	List	   *targets = pm_rewrite_targets(rewrite);
	ListCell   *lc;

	foreach(lc, targets)
		if (build_next(run, rewrite, lfirst_oid(lc)))
			return true;
	/* the new parent takes over what its partitions have */
	return rewrite->kind == REWRITE_CONVERT &&
		(pm_rewrite_build_index(rewrite, rewrite->frame) ||
		 (run->in_one && build_foreign_key(rewrite, rewrite->frame, true)));
}


/* ---------- targets without rows ---------- */

/* the lower end of the lowest target; false if there is none */
static bool
lowest_bound(const PmLook *frame, int64 *lowest)
{
	ListCell   *lc;

	foreach(lc, frame->partitions)
	{
		const Partition *partition = lfirst(lc);

		if (partition->bound.lower_open)
			continue;
		*lowest = partition->bound.lower;
		return true;
	}
	return false;
}

/*
 * pm_rewrite_fill makes the targets that a new set needs besides those with rows:
 * in between, and ahead.
 */
void
pm_rewrite_fill(PmRewrite *rewrite)
{
	PmOrder		order = {.now = rewrite->now, .create = true, .fill_gaps = true, .uncapped = true};
	PmLook	   *frame;
	PmTemplate *tmpl;
	PartPlan   *plan;
	ListCell   *lc;

	if (rewrite->kind != REWRITE_CONVERT)
		return;
	frame = pm_rewrite_frame(rewrite);
	order.has_backfill = lowest_bound(frame, &order.backfill);
	plan = pm_maintenance_decide(frame, &order, &tmpl);
	if (pm_count_creations(plan) + list_length(frame->partitions) > pm_max_create)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the rows of table %s need more than %d partitions",
						pm_qualified_name(rewrite->table), pm_max_create),
				 errhint("Correct wrong rows, take a longer interval, or raise partmgr.max_create.")));
	foreach(lc, plan->steps)
	{
		PlanStep   *step = lfirst(lc);
		PartBound	bound = step->bound;

		pm_rewrite_fit_bound(rewrite, &frame->set->key, &bound);
		/* where the domain of the key has neither end, it has nothing between them */
		if (step->kind == STEP_CREATE && !(bound.lower_open && bound.upper_open))
			(void) pm_rewrite_make_target(rewrite, frame, tmpl, &step->bound, 0);
	}
}
