/*-------------------------------------------------------------------------
 *
 * rewrite_index.c
 *		The indexes of targets: which there should be, and which is which.
 *
 * An index of a target has no name yet by which it could be known, and those of
 * the table that it is made like may come and go, be built again under another
 * OID, while rows are copied.  So both are written as the statement that would
 * make them, and the same statement is the same index.
 *
 * Never touches an index of a source.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/attmap.h"
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "ddl_rewrite.h"
#include "nodes/makefuncs.h"
#include "parser/parse_utilcmd.h"
#include "rewrite.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "compat.h"

/* ---------- which there should be ---------- */

/*
 * The table whose indexes a target gets.  A partition whose place it takes may have
 * some of its own.
 */
static Oid
model_of(const PmRewrite *rewrite, Oid target)
{
	Oid			original = pm_rewrite_original(rewrite, target);

	return OidIsValid(original) ? original : rewrite->table;
}

/* In a set, what is unique is so together with the key of the set; false: it is. */
static bool
add_control(const char *control, IndexStmt *statement)
{
	IndexElem  *element;
	ListCell   *lc;

	if (!statement->unique)
		return false;
	foreach(lc, statement->indexParams)
	{
		element = lfirst_node(IndexElem, lc);
		if (element->name && strcmp(element->name, control) == 0)
			return false;
	}
	/* what is only carried along there is part of the key now */
	foreach(lc, statement->indexIncludingParams)
	{
		element = lfirst_node(IndexElem, lc);
		if (element->name && strcmp(element->name, control) == 0)
			statement->indexIncludingParams = foreach_delete_current(statement->indexIncludingParams, lc);
	}
	element = makeNode(IndexElem);
	element->name = pstrdup(control);
	element->ordering = SORTBY_DEFAULT;
	element->nulls_ordering = SORTBY_NULLS_DEFAULT;
	statement->indexParams = lappend(statement->indexParams, element);
	return true;
}

/* the statement that makes an index like another one on a table, without its name */
static IndexStmt *
index_like(Oid from_table, Oid from_index, Oid table)
{
	Relation	from = table_open(from_table, AccessShareLock);
	Relation	to = table_open(table, AccessShareLock);
	Relation	index = index_open(from_index, AccessShareLock);
	AttrMap    *map = pm_attribute_map(RelationGetDescr(to), RelationGetDescr(from));
	RangeVar   *name = makeRangeVar(get_namespace_name(RelationGetNamespace(to)),
									pstrdup(RelationGetRelationName(to)), -1);
	IndexStmt  *statement = generateClonedIndexStmt(name, index, map, NULL);
	ListCell   *lc;

	foreach(lc, statement->indexParams)
		lfirst_node(IndexElem, lc)->indexcolname = NULL;
	index_close(index, NoLock);
	table_close(to, NoLock);
	table_close(from, NoLock);
	return statement;
}

/* indexes of a table, by OID; one that is just being made, or is ours, is none yet */
static List *
indexes_of(const PmRewrite *rewrite, Oid relation)
{
	Relation	rel = table_open(relation, AccessShareLock);
	char	   *ours = pm_rewrite_scratch(rewrite, "_x");
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(rel))
		if (get_index_isvalid(lfirst_oid(lc)) &&
			strncmp(get_rel_name(lfirst_oid(lc)), ours, strlen(ours)) != 0)
			result = lappend_oid(result, lfirst_oid(lc));
	table_close(rel, NoLock);
	list_sort(result, list_oid_cmp);
	return result;
}

/* can columns of a table be found in another one, all of them? */
static bool
has_columns_of(Oid table, Oid other)
{
	Relation	rel = table_open(other, AccessShareLock);
	bool		result = true;

	for (int i = 0; i < RelationGetDescr(rel)->natts; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(RelationGetDescr(rel), i);

		if (!attr->attisdropped && get_attnum(table, NameStr(attr->attname)) == InvalidAttrNumber)
			result = false;
	}
	table_close(rel, NoLock);
	return result;
}

/*
 * Partitions of a set that are like no other one get the unique indexes of its
 * template table as well; that table, or InvalidOid.
 */
static Oid
read_template(const PmRewrite *rewrite, Oid model, PmTemplate *tmpl)
{
	PartSet    *set;

	if (PM_REWRITE_IS_WHOLE(rewrite->kind) || model != rewrite->table)
		return InvalidOid;
	set = pm_rewrite_set(rewrite);
	if (!OidIsValid(set->template_table))
		return InvalidOid;
	pm_template_table_read(set, set->parent, tmpl);
	if (tmpl->key_indexes == NIL || !has_columns_of(rewrite->table, set->template_table))
		return InvalidOid;
	return set->template_table;
}

/* an index that a table should have, the statement for it, and the one that it is */
typedef struct Pair
{
	Oid			wanted;
	IndexStmt  *statement;
	char	   *sql;			/* of an index of a template table: what makes it, or NULL */
	Oid			found;
} Pair;

/* the indexes of a model that a table has, and has not; *extra: what it has besides */
static List *
pair_indexes(const PmRewrite *rewrite, Oid model, Oid table, List **extra)
{
	const char *control = PM_REWRITE_MAKES_SET(rewrite->kind) ? pm_rewrite_option(rewrite, "control") : NULL;
	List	   *pairs = NIL;
	PmTemplate	tmpl = {0};
	Oid			template_table = read_template(rewrite, model, &tmpl);
	ListCell   *lc;
	ListCell   *lc2;

	*extra = NIL;
	foreach(lc, indexes_of(rewrite, model))
	{
		Pair	   *pair = palloc0(sizeof(Pair));

		pair->wanted = lfirst_oid(lc);
		pair->statement = index_like(model, pair->wanted, table);
		if (control)
			(void) add_control(control, pair->statement);
		pairs = lappend(pairs, pair);
	}
	for (int i = 0; OidIsValid(template_table) && i < list_length(tmpl.key_indexes); i++)
	{
		Pair	   *pair = palloc0(sizeof(Pair));

		pair->wanted = list_nth_oid(tmpl.key_indexes, i);
		pair->statement = index_like(template_table, pair->wanted, table);
		/* that of a primary key has its columns NOT NULL as well */
		pair->sql = psprintf("%s %s%s", (char *) list_nth(tmpl.keys, i), pm_qualified_name(table),
							 (char *) list_nth(tmpl.key_tails, i));
		pairs = lappend(pairs, pair);
	}
	foreach(lc, indexes_of(rewrite, table))
	{
		IndexStmt  *statement = index_like(table, lfirst_oid(lc), table);
		bool		is_wanted = false;

		foreach(lc2, pairs)
		{
			Pair	   *pair = lfirst(lc2);

			if (OidIsValid(pair->found) || !equal(pair->statement, statement))
				continue;
			pair->found = lfirst_oid(lc);
			is_wanted = true;
			break;
		}
		if (!is_wanted)
			*extra = lappend_oid(*extra, lfirst_oid(lc));
	}
	return pairs;
}

/* pm_rewrite_model_indexes returns the indexes that targets should have, of the tables that they are like. */
List *
pm_rewrite_model_indexes(const PmRewrite *rewrite)
{
	Oid			model = model_of(rewrite, InvalidOid);
	PmTemplate	tmpl = {0};
	List	   *result = indexes_of(rewrite, model);

	if (OidIsValid(read_template(rewrite, model, &tmpl)))
		result = list_concat(result, tmpl.key_indexes);
	if (OidIsValid(rewrite->rest) && OidIsValid(pm_rewrite_original(rewrite, rewrite->rest)))
		result = list_concat(result, indexes_of(rewrite, model_of(rewrite, rewrite->rest)));
	return result;
}

/* pm_rewrite_has_indexes tells whether a table has the indexes that it should, and no other. */
bool
pm_rewrite_has_indexes(const PmRewrite *rewrite, Oid table)
{
	List	   *extra;
	ListCell   *lc;

	foreach(lc, pair_indexes(rewrite, model_of(rewrite, table), table, &extra))
		if (!OidIsValid(((Pair *) lfirst(lc))->found))
			return false;
	return extra == NIL;
}

/* pm_rewrite_index_for returns the index of a target that is made like one of a source. */
Oid
pm_rewrite_index_for(const PmRewrite *rewrite, Oid source, Oid index, Oid target)
{
	List	   *extra;
	ListCell   *lc;

	foreach(lc, pair_indexes(rewrite, source, target, &extra))
		if (((Pair *) lfirst(lc))->wanted == index)
			return ((Pair *) lfirst(lc))->found;
	return InvalidOid;
}

/*
 * pm_rewrite_pair_indexes lists the indexes of a table that is replaced, and beside
 * them those that take their places.
 */
void
pm_rewrite_pair_indexes(const PmRewrite *rewrite, Oid from, Oid to, List **old, List **new)
{
	List	   *extra;
	ListCell   *lc;

	*old = *new = NIL;
	foreach(lc, pair_indexes(rewrite, from, to, &extra))
	{
		const Pair *pair = lfirst(lc);

		/* made a moment ago: there is time to come back with it */
		if (!OidIsValid(pair->found))
			ereport(ERROR,
					(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
					 errmsg("index %s was made while the lock was waited for", pm_qualified_name(pair->wanted))));
		*old = lappend_oid(*old, pair->wanted);
		*new = lappend_oid(*new, pair->found);
	}
}

/*
 * pm_rewrite_wider_indexes returns the indexes of a table to which the key of the
 * set is to be added, and beside them statements for indexes that have it.
 */
List *
pm_rewrite_wider_indexes(const PmRewrite *rewrite, List **statements)
{
	const char *control = pm_rewrite_option(rewrite, "control");
	List	   *result = NIL;
	ListCell   *lc;

	*statements = NIL;
	foreach(lc, indexes_of(rewrite, rewrite->table))
	{
		IndexStmt  *statement = index_like(rewrite->table, lfirst_oid(lc), rewrite->table);

		if (!add_control(control, statement))
			continue;
		statement->primary = statement->isconstraint = false;
		statement->deferrable = statement->initdeferred = false;
		result = lappend_oid(result, lfirst_oid(lc));
		*statements = lappend(*statements, statement);
	}
	return result;
}


/* ---------- making them ---------- */

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

/* one that the model has no more; that of a partition goes with the parent's */
static bool
drop_index(const PmRewrite *rewrite, Oid table, Oid index)
{
	Oid			constraint = get_index_constraint(index);

	if (get_rel_relispartition(index))
		return false;
	pm_rewrite_run_sql(rewrite, list_make1(OidIsValid(constraint) ?
										   pm_ddl_rewrite_drop_constraint(pm_qualified_name(table), get_constraint_name(constraint)) :
										   pm_ddl_rewrite_drop_index(pm_qualified_name(index))));
	return true;
}

/*
 * pm_rewrite_build_index builds the next index that a table lacks, or drops one that
 * it should not have any more; false if all is as it should be.
 *
 * Locks: SHARE on a target, which nobody else uses.
 */
bool
pm_rewrite_build_index(const PmRewrite *rewrite, Oid table)
{
	List	   *extra;
	ListCell   *lc;

	foreach(lc, pair_indexes(rewrite, model_of(rewrite, table), table, &extra))
	{
		const Pair *pair = lfirst(lc);

		if (OidIsValid(pair->found))
			continue;
		if (pair->sql)
			pm_rewrite_run_sql(rewrite, list_make1(pair->sql));
		else
			make_index(rewrite, copyObject(pair->statement));
		/* or it would be made again, for ever */
		if (!OidIsValid(pm_rewrite_index_for(rewrite, model_of(rewrite, table), pair->wanted, table)))
			elog(ERROR, "an index made like %s is another one", pm_qualified_name(pair->wanted));
		return true;
	}
	foreach(lc, extra)
		if (drop_index(rewrite, table, lfirst_oid(lc)))
			return true;
	return false;
}
