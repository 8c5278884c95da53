/*-------------------------------------------------------------------------
 *
 * rewrite_build.c
 *		What targets get once their rows are there: indexes, foreign keys,
 *		statistics.  Rows first and indexes after is what makes a rewrite
 *		faster than an INSERT ... SELECT.
 *
 * One of them in each transaction.  The indexes of a target are built in the
 * order of those of the table that it is like; so their number tells which is
 * the next one, also after a crash.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/attmap.h"
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "ddl_rewrite.h"
#include "nodes/makefuncs.h"
#include "parser/parse_utilcmd.h"
#include "rewrite.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "compat.h"

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

static List *
indexes_of(Oid relation)
{
	Relation	rel = table_open(relation, AccessShareLock);
	List	   *result = list_copy(RelationGetIndexList(rel));

	table_close(rel, NoLock);
	list_sort(result, list_oid_cmp);
	return result;
}

/*
 * The table whose indexes the targets get.  One that is split or compressed may
 * have some of its own.
 */
static Oid
model_of(const PmRewrite *rewrite)
{
	if (rewrite->kind == REWRITE_SPLIT || rewrite->kind == REWRITE_COMPRESS)
		return ((PmSource *) linitial(rewrite->sources))->oid;
	return rewrite->table;
}


/* ---------- indexes ---------- */

/* In a set, what is unique is so together with the key of the set. */
static void
add_control(const PmRewrite *rewrite, IndexStmt *statement)
{
	const char *control = pm_rewrite_option(rewrite, "control");
	IndexElem  *element;
	ListCell   *lc;

	if (rewrite->kind != REWRITE_CONVERT || !statement->unique)
		return;
	foreach(lc, statement->indexParams)
	{
		element = lfirst_node(IndexElem, lc);
		if (element->name && strcmp(element->name, control) == 0)
			return;
	}
	element = makeNode(IndexElem);
	element->name = pstrdup(control);
	element->ordering = SORTBY_DEFAULT;
	element->nulls_ordering = SORTBY_NULLS_DEFAULT;
	statement->indexParams = lappend(statement->indexParams, element);
}

/* the statement that makes an index like another one on a table */
static IndexStmt *
index_like(const PmRewrite *rewrite, Oid model, Oid model_index, Oid table)
{
	Relation	from = table_open(model, AccessShareLock);
	Relation	to = table_open(table, AccessShareLock);
	Relation	index = index_open(model_index, AccessShareLock);
	AttrMap    *map = pm_attribute_map(RelationGetDescr(to), RelationGetDescr(from));
	RangeVar   *name = makeRangeVar(get_namespace_name(RelationGetNamespace(to)),
									pstrdup(RelationGetRelationName(to)), -1);
	IndexStmt  *statement = generateClonedIndexStmt(name, index, map, NULL);

	index_close(index, NoLock);
	table_close(to, NoLock);
	table_close(from, NoLock);
	add_control(rewrite, statement);
	return statement;
}

static void
make_index(const PmRewrite *rewrite, IndexStmt *statement)
{
	PlannedStmt *planned = makeNode(PlannedStmt);
	PmSpi		spi;

	planned->commandType = CMD_UTILITY;
	planned->utilityStmt = (Node *) statement;
	planned->stmt_location = -1;
	pm_spi_begin(&spi, rewrite->owner);
	ProcessUtility(planned, "CREATE INDEX", false, PROCESS_UTILITY_QUERY, NULL, NULL,
				   None_Receiver, NULL);
	pm_spi_end(&spi);
	CommandCounterIncrement();
}

/* builds the next index of a table; false if it has all */
static bool
build_index(const PmRewrite *rewrite, Oid table)
{
	Oid			model = model_of(rewrite);
	List	   *wanted = indexes_of(model);
	int			n = list_length(indexes_of(table));

	if (n >= list_length(wanted))
		return false;
	make_index(rewrite, index_like(rewrite, model, list_nth_oid(wanted, n), table));
	return true;
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
	List	   *indexes;
	int			place = 0;
	Oid			index;

	if (wanted == NULL)
		return false;
	indexes = indexes_of(source);
	index = pm_catalog_child_index(source, atooid(wanted));
	while (place < list_length(indexes) && list_nth_oid(indexes, place) != index)
		place++;
	if (place == list_length(indexes))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("partition %s has no part of index %s",
						pm_qualified_name(source), pm_qualified_name(atooid(wanted)))));
	index = list_nth_oid(indexes_of(target), place);
	if (get_index_isclustered(index))
		return false;
	pm_rewrite_run_sql(rewrite, list_make1(pm_ddl_rewrite_cluster(pm_qualified_name(target), get_rel_name(index))));
	return true;
}

static bool
analyze(PmRewriteRun *run, const PmRewrite *rewrite, Oid target)
{
	MemoryContext old;

	if (list_member_oid(run->analyzed, target))
		return false;
	pm_ddl_analyze(target, rewrite->owner, false);
	old = MemoryContextSwitchTo(run->context);
	run->analyzed = lappend_oid(run->analyzed, target);
	MemoryContextSwitchTo(old);
	return true;
}


/*
 * pm_rewrite_build_target gives a target that is made late all at once: it holds
 * next to nothing.
 */
void
pm_rewrite_build_target(PmRewrite *rewrite, Oid target)
{
	while (build_index(rewrite, target))
		;
	while (build_foreign_key(rewrite, target, true))
		;
}

/*
 * pm_rewrite_is_built tells whether targets have as many indexes as the table that
 * they are like; one may have come meanwhile.
 */
bool
pm_rewrite_is_built(const PmRewrite *rewrite)
{
	int			n = list_length(indexes_of(model_of(rewrite)));
	ListCell   *lc;

	foreach(lc, pm_rewrite_targets(rewrite))
		if (list_length(indexes_of(lfirst_oid(lc))) != n)
			return false;
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
	{
		Oid			target = lfirst_oid(lc);

		if (build_index(rewrite, target) || cluster(rewrite, target) ||
			build_foreign_key(rewrite, target, false) || analyze(run, rewrite, target))
			return true;
	}
	/* the new parent takes over what its partitions have */
	return rewrite->kind == REWRITE_CONVERT &&
		(build_index(rewrite, rewrite->frame) || build_foreign_key(rewrite, rewrite->frame, true));
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
	foreach(lc, plan->steps)
	{
		PlanStep   *step = lfirst(lc);

		if (step->kind == STEP_CREATE)
			(void) pm_rewrite_make_target(rewrite, pm_rewrite_frame(rewrite), tmpl, &step->bound, 0);
	}
}
