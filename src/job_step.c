/*-------------------------------------------------------------------------
 *
 * job_step.c
 *		What a job does next.
 *
 * Each step looks at the catalogs anew and does the first thing that is missing,
 * in its transaction or, what must not be in one, left to be run after it.  So
 * partitions may come and go meanwhile, and a job that was interrupted goes on.
 *
 * An index is created on the parent alone, which is quick, then concurrently on
 * each table that holds rows, and attached from below.  One that is there with
 * the same definition is taken; one that is not valid is what an earlier try has
 * left, and is dropped first.  The parent's index is valid when all is attached;
 * partitions that are made meanwhile get theirs by ATTACH.
 *
 * Starts and commits no transaction: job_worker.c does.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/tablespace.h"
#include "config.h"
#include "job.h"
#include "maintenance.h"
#include "nodes/makefuncs.h"
#include "parser/parser.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "compat.h"

/* ---------- tables of a set ---------- */

/* all tables below $1, with how deep they are */
#define TREE \
	"WITH RECURSIVE tree(relid) AS (SELECT inhrelid FROM pg_inherits" \
	"  WHERE inhparent = $1 AND NOT inhdetachpending" \
	" UNION ALL SELECT i.inhrelid FROM tree t JOIN pg_inherits i ON i.inhparent = t.relid" \
	"  AND NOT i.inhdetachpending) "

/* pm_job_tables returns the tables that hold the rows of a set, by name. */
List *
pm_job_tables(Oid parent)
{
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(parent)};

	return pm_config_select_oids(TREE "SELECT c.oid FROM tree t JOIN pg_class c ON c.oid = t.relid"
								 " WHERE c.relkind = 'r' ORDER BY c.relname, c.oid",
								 1, types, values);
}

/* leave a statement, or a tree of one, to be run after this transaction */
static void
leave_for_top(PmJob *job, Oid table, const char *what, const char *sql, Node *node)
{
	MemoryContext old = MemoryContextSwitchTo(job->context);

	job->top = palloc0(sizeof(PmTopLevel));
	job->top->sql = pstrdup(sql);
	job->top->node = node;
	job->top->userid = job->owner;
	job->top->relation_timeout = pm_lock_timeout;
	job->top->cost_delay = pm_vacuum_cost_delay;
	job->top->activity = psprintf("partmgr: %s %s", what, pm_qualified_name(table));
	job->current = table;
	MemoryContextSwitchTo(old);
}

/* finish notes a table in part_job and part_log */
static void
finish(PmJob *job, int total, int done, Oid table)
{
	PmLogEntry	entry = {
		.parent = job->parent,
		.action = job->is_index ? "create index" : "reindex",
		.partition = pm_qualified_name(table),
		.rows = -1,
		.bytes = -1,
		.message = psprintf("job " INT64_FORMAT, job->id)
	};
	MemoryContext old = MemoryContextSwitchTo(job->context);

	job->finished = lappend_oid(job->finished, table);
	MemoryContextSwitchTo(old);
	job->is_gone = !pm_job_progress(job, total, done, table);
	pm_log_write(list_make1(&entry));
}


/* ---------- reindex ---------- */

static void
reindex_step(PmJob *job)
{
	List	   *tables = pm_job_tables(job->parent);
	Oid			finished = job->current;
	int			done = 0;
	Oid			next = InvalidOid;
	ListCell   *lc;

	foreach(lc, tables)
	{
		if (lfirst_oid(lc) == finished || list_member_oid(job->finished, lfirst_oid(lc)))
			done++;
		else if (!OidIsValid(next))
			next = lfirst_oid(lc);
	}
	job->current = InvalidOid;
	if (OidIsValid(finished))
		finish(job, list_length(tables), done, finished);
	else
		job->is_gone = !pm_job_progress(job, list_length(tables), done, InvalidOid);
	job->more = OidIsValid(next);
	if (job->more)
		leave_for_top(job, next, "reindexing", pm_ddl_reindex(next), NULL);
}


/* ---------- create index ---------- */

/*
 * pm_job_parse reads the definition of an index; NULL if it is anything else
 * than one CREATE INDEX.
 */
Node *
pm_job_parse(const char *definition)
{
	List	   *parsed = raw_parser(definition, RAW_PARSE_DEFAULT);
	Node	   *statement;

	if (list_length(parsed) != 1)
		return NULL;
	statement = linitial_node(RawStmt, parsed)->stmt;
	return IsA(statement, IndexStmt) ? statement : NULL;
}

/* the definition of an index, without the names of index and table */
#define DEFINITION(index) \
	"substr(pg_get_indexdef(" index "), position(' USING ' IN pg_get_indexdef(" index ")))"

static RangeVar *
range_var(Oid relation)
{
	return makeRangeVar(get_namespace_name(get_rel_namespace(relation)),
						get_rel_name(relation), -1);
}

static List *
indexes_of(Oid table)
{
	Relation	rel = table_open(table, AccessShareLock);
	List	   *result = list_copy(RelationGetIndexList(rel));

	table_close(rel, NoLock);
	return result;
}

/*
 * create_alone creates an index on a partitioned table only, as the owner, and
 * returns it.  Names are looked up along search_path, or in pg_catalog.
 */
static Oid
create_alone(const PmJob *job, Oid table, IndexStmt *statement, const char *search_path)
{
	List	   *before = indexes_of(table);
	List	   *made;
	PlannedStmt *pstmt = makeNode(PlannedStmt);
	PmSpi		spi;

	statement->relation = range_var(table);
	statement->relation->inh = false;
	statement->concurrent = false;
	statement->if_not_exists = false;
	pstmt->commandType = CMD_UTILITY;
	pstmt->utilityStmt = (Node *) statement;
	pstmt->stmt_location = -1;

	pm_spi_begin(&spi, job->owner);
	if (search_path)
		(void) set_config_option("search_path", search_path, PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	ProcessUtility(pstmt, job->definition, false, PROCESS_UTILITY_QUERY, NULL, NULL,
				   None_Receiver, NULL);
	pm_spi_end(&spi);
	CommandCounterIncrement();

	made = list_difference_oid(indexes_of(table), before);
	if (made == NIL)
		elog(ERROR, "no index was made: %s", job->definition);
	return linitial_oid(made);
}

/* what one of the parent's indexes looks like, for a table below */
static IndexStmt *
definition_below(Oid parent_index)
{
	List	   *texts = pm_catalog_strings("SELECT pg_get_indexdef($1)", parent_index);
	IndexStmt  *statement = castNode(IndexStmt, pm_job_parse(linitial(texts)));
	Oid			tablespace = get_rel_tablespace(parent_index);

	statement->idxname = NULL;	/* core finds one */
	if (OidIsValid(tablespace))
		statement->tableSpace = get_tablespace_name(tablespace);
	return statement;
}

/* a table that has no part of an index of the table above yet */
typedef struct Gap
{
	Oid			table;			/* InvalidOid: there is none */
	Oid			parent_index;
	char		relkind;
	Oid			index;			/* one that fits, or InvalidOid */
	bool		is_valid;
	int			total;			/* tables that hold rows */
	int			done;			/* of these, with a part of the index */
} Gap;

/* the pairs of table and index below the parent's, as far as they are attached */
#define PAIRS \
	"WITH RECURSIVE pair(relid, index, above) AS (SELECT $1, $2, 0::oid UNION ALL" \
	" SELECT i.inhrelid, (SELECT x.indexrelid FROM pg_inherits j JOIN pg_index x ON x.indexrelid = j.inhrelid" \
	"  WHERE j.inhparent = p.index AND x.indrelid = i.inhrelid), p.index" \
	" FROM pair p JOIN pg_inherits i ON i.inhparent = p.relid AND NOT i.inhdetachpending" \
	" WHERE p.index IS NOT NULL) "

static void
find_gap(const PmJob *job, Gap *gap)
{
	PmExtension ext;
	PmSpi		spi;
	Oid			types[] = {OIDOID, OIDOID};
	Datum		values[] = {ObjectIdGetDatum(job->parent), ObjectIdGetDatum(job->index)};
	bool		isnull;

	memset(gap, 0, sizeof(Gap));
	gap->total = list_length(pm_job_tables(job->parent));
	pm_config_begin(&spi, &ext);
	pm_spi_select_kept(PAIRS "SELECT count(*)::int FROM pair p JOIN pg_class c ON c.oid = p.relid"
					   " WHERE p.index IS NOT NULL AND c.relkind = 'r'",
					   2, types, values, NULL);
	gap->done = DatumGetInt32(pm_spi_value(0, 1, &isnull));
	if (pm_spi_select_kept(PAIRS "SELECT p.relid, p.above, c.relkind, x.indexrelid, x.indisvalid"
						   " FROM pair p JOIN pg_class c ON c.oid = p.relid LEFT JOIN pg_index x ON x.indrelid = p.relid"
						   "  AND NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = x.indexrelid)"
						   "  AND " DEFINITION("x.indexrelid") " = " DEFINITION("p.above")
						   "  AND x.indisunique = (SELECT a.indisunique FROM pg_index a WHERE a.indexrelid = p.above)"
						   " WHERE p.index IS NULL"
						   " ORDER BY c.relname, c.oid, x.indisvalid DESC NULLS LAST, x.indexrelid LIMIT 1",
						   2, types, values, NULL) > 0)
	{
		gap->table = pm_spi_oid(0, 1);
		gap->parent_index = pm_spi_oid(0, 2);
		gap->relkind = DatumGetChar(pm_spi_value(0, 3, &isnull));
		gap->index = pm_spi_oid(0, 4);
		gap->is_valid = pm_spi_bool(0, 5);
	}
	pm_spi_end(&spi);
}

static void
attach(PmJob *job, const Gap *gap)
{
	PmSpi		spi;

	pm_spi_begin(&spi, job->owner);
	pm_spi_utility(pm_ddl_attach_index(gap->parent_index, gap->index));
	pm_spi_end(&spi);
	if (gap->relkind == RELKIND_RELATION)
		finish(job, gap->total, gap->done + 1, gap->table);
}

/* build_below leaves the index of one table to be built after this transaction. */
static void
build_below(PmJob *job, const Gap *gap)
{
	MemoryContext old;
	IndexStmt  *statement;

	/* what was built just now, and is not recognized, would be built for ever */
	if (job->built == gap->table)
		elog(ERROR, "the index built on table %s is not like %s",
			 pm_qualified_name(gap->table), pm_qualified_name(gap->parent_index));
	job->built = gap->table;

	statement = definition_below(gap->parent_index);
	statement->relation = range_var(gap->table);
	statement->concurrent = true;
	old = MemoryContextSwitchTo(job->context);
	statement = copyObject(statement);
	MemoryContextSwitchTo(old);
	leave_for_top(job, gap->table, "creating an index on",
				  psprintf("CREATE INDEX CONCURRENTLY ON %s, as %s",
						   pm_qualified_name(gap->table), pm_qualified_name(gap->parent_index)),
				  (Node *) statement);
}

static void
fill_gap(PmJob *job, const Gap *gap)
{
	switch (gap->relkind)
	{
		case RELKIND_RELATION:
			if (!OidIsValid(gap->index))
				build_below(job, gap);
			else if (gap->is_valid)
				attach(job, gap);
			else
			{
				job->built = InvalidOid;
				leave_for_top(job, gap->table, "dropping an invalid index of",
							  pm_ddl_drop_index(gap->index), NULL);
			}
			break;
		case RELKIND_PARTITIONED_TABLE:
			if (OidIsValid(gap->index))
				attach(job, gap);
			else
				(void) create_alone(job, gap->table, definition_below(gap->parent_index), NULL);
			break;
		default:
			elog(ERROR, "relation %u has kind \"%c\"", gap->table, gap->relkind);
	}
}

/*
 * check_foreign raises an error if there is a foreign table: the index would
 * never be complete.
 */
static void
check_foreign(const PmJob *job)
{
	List	   *names = pm_catalog_strings(TREE "SELECT format('%I.%I', n.nspname, c.relname)"
										   " FROM tree t JOIN pg_class c ON c.oid = t.relid"
										   " JOIN pg_namespace n ON n.oid = c.relnamespace"
										   " WHERE c.relkind = 'f' ORDER BY 1", job->parent);

	if (names != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot create an index on foreign table %s", (char *) linitial(names))));
}

static void
index_step(PmJob *job)
{
	Gap			gap;

	job->current = InvalidOid;
	check_foreign(job);
	if (!OidIsValid(job->index))
		job->index = pm_job_earlier_index(job);
	if (!OidIsValid(job->index))
	{
		/* alone in its transaction: writers wait until that ends */
		job->index = create_alone(job, job->parent,
								  castNode(IndexStmt, pm_job_parse(job->definition)),
								  job->search_path);
		job->is_gone = !pm_job_progress(job, list_length(pm_job_tables(job->parent)), 0, InvalidOid);
		job->more = true;
		return;
	}
	find_gap(job, &gap);
	job->is_gone = !pm_job_progress(job, gap.total, gap.done, InvalidOid);
	job->more = OidIsValid(gap.table);
	if (job->more)
		fill_gap(job, &gap);
	else if (!get_index_isvalid(job->index))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("index %s is attached everywhere, but not valid", pm_qualified_name(job->index)),
				 errdetail("A part of it is not valid."),
				 errhint("Drop it, or reindex the table whose index is not valid.")));
}

/*
 * pm_job_step does the next thing of a job, or leaves it in job->top; job->more
 * tells whether there may be another one.  What was left the last time has been
 * done.
 *
 * Locks: an index on the parent alone takes SHARE there, for a moment; attaching
 * takes ACCESS EXCLUSIVE on the index of one table.
 */
void
pm_job_step(PmJob *job)
{
	PartSet    *set = pm_config_read_one(job->parent);

	job->top = NULL;
	job->more = false;
	if (set == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("table %s is not managed by partmgr", pm_qualified_name(job->parent))));
	job->owner = set->owner;
	if (job->is_index)
		index_step(job);
	else
		reindex_step(job);
}
