/*-------------------------------------------------------------------------
 *
 * ddl_upkeep.c
 *		Statements of upkeep, of jobs and of vacuum_partitions(), and their
 *		locks in words.
 *
 * All of them are for the top level, where each commits by itself.  What a user
 * has written (storage parameters) is taken apart and written anew, never
 * copied.
 *
 * Runs nothing itself.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/reloptions.h"
#include "catalog/index.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "config.h"
#include "ddl.h"
#include "ddl_partman.h"
#include "nodes/parsenodes.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "compat.h"


/* ---------- storage parameters ---------- */

/* parse_storage reads a list of parameters as a list of DefElem. */
static List *
parse_storage(const char *text)
{
	List	   *parsed = raw_parser(psprintf("ALTER TABLE t SET (%s)", text), RAW_PARSE_DEFAULT);
	AlterTableStmt *statement;
	AlterTableCmd *cmd;

	if (list_length(parsed) == 1 &&
		IsA(linitial_node(RawStmt, parsed)->stmt, AlterTableStmt))
	{
		statement = (AlterTableStmt *) linitial_node(RawStmt, parsed)->stmt;
		cmd = linitial_node(AlterTableCmd, statement->cmds);
		if (list_length(statement->cmds) == 1 && cmd->subtype == AT_SetRelOptions)
			return (List *) cmd->def;
	}
	ereport(ERROR,
			(errcode(ERRCODE_SYNTAX_ERROR),
			 errmsg("\"%s\" is not a list of storage parameters", text)));
	return NIL;					/* keep the compiler quiet */
}

/* check_options raises core's error for what is no parameter of a table. */
static void
check_options(List *options)
{
	static PmOptionSpaces spaces = HEAP_RELOPT_NAMESPACES;
	const bool	validate = true;

	(void) heap_reloptions(RELKIND_RELATION,
						   transformRelOptions((Datum) 0, options, NULL, spaces, false, false),
						   validate);
	(void) heap_reloptions(RELKIND_TOASTVALUE,
						   transformRelOptions((Datum) 0, options, "toast", spaces, false, false),
						   validate);
}

/*
 * pm_ddl_storage reads storage parameters that a user has written, and prints
 * them for ALTER TABLE ... SET.  Core's errors for those that do not exist.
 */
char *
pm_ddl_storage(const char *text)
{
	List	   *options = parse_storage(text);
	StringInfoData buf;
	ListCell   *lc;

	check_options(options);
	initStringInfo(&buf);
	foreach(lc, options)
	{
		DefElem    *option = lfirst_node(DefElem, lc);

		appendStringInfoString(&buf, buf.len ? ", " : "");
		if (option->defnamespace)
			appendStringInfo(&buf, "%s.", quote_identifier(option->defnamespace));
		appendStringInfo(&buf, "%s = %s", quote_identifier(option->defname),
						 option->arg ? quote_literal_cstr(defGetString(option)) : "'true'");
	}
	return buf.data;
}


/* ---------- indexes ---------- */

/*
 * pm_ddl_cluster_index finds the index of the parent by which cold partitions
 * are to be ordered, by its name; an error if there is none.
 */
Oid
pm_ddl_cluster_index(const PartSet *set)
{
	Oid			index = get_relname_relid(set->cold_cluster, get_rel_namespace(set->parent));

	if (!OidIsValid(index) ||
		get_rel_relkind(index) != RELKIND_PARTITIONED_INDEX ||
		IndexGetRelation(index, false) != set->parent || !get_index_isvalid(index))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("\"%s\" is not a valid index of table \"%s\"",
						set->cold_cluster, set->name)));
	return index;
}

/* leaf_index is a table's part of an index of a parent, however far above. */
static Oid
leaf_index(Oid table, Oid parent_index)
{
	Oid			types[] = {OIDOID, OIDOID};
	Datum		values[] = {ObjectIdGetDatum(parent_index), ObjectIdGetDatum(table)};
	Oid			index;

	index = pm_config_select_oid("WITH RECURSIVE down(index) AS (SELECT $1 UNION ALL"
								 " SELECT i.inhrelid FROM down d JOIN pg_inherits i ON i.inhparent = d.index)"
								 " SELECT x.indexrelid FROM down d JOIN pg_index x ON x.indexrelid = d.index"
								 " WHERE x.indrelid = $2",
								 2, types, values);
	if (!OidIsValid(index))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("table %s has no index that belongs to index \"%s\"",
						pm_qualified_name(table), get_rel_name(parent_index))));
	return index;
}

/* what a REINDEX CONCURRENTLY that was cut short has left */
static List *
leftovers(Oid table)
{
	return pm_catalog_strings("SELECT format('%I.%I', n.nspname, c.relname) FROM pg_index x"
							  " JOIN pg_class c ON c.oid = x.indexrelid"
							  " JOIN pg_namespace n ON n.oid = c.relnamespace"
							  " WHERE x.indrelid = $1 AND NOT x.indisvalid AND c.relname ~ '_cc(new|old)[0-9]*$'"
							  " AND NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid)"
							  " AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = c.oid)"
							  " ORDER BY c.oid", table);
}

static List *
reindex_statements(Oid table)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, leftovers(table))
		result = pm_ddl_add(result, psprintf("DROP INDEX CONCURRENTLY %s", (char *) lfirst(lc)));
	return pm_ddl_add(result, psprintf("REINDEX TABLE CONCURRENTLY %s", pm_qualified_name(table)));
}

/* one text of several statements */
static char *
join(List *statements)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, statements)
		appendStringInfo(&buf, "%s%s", buf.len ? "; " : "",
						 ((PmStatement *) lfirst(lc))->sql);
	return buf.data;
}

/*
 * pm_ddl_reindex builds the indexes of a table anew, and drops what an earlier
 * try has left.
 */
char *
pm_ddl_reindex(Oid table)
{
	return join(reindex_statements(table));
}

/* pm_ddl_drop_index drops an index that is not valid. */
char *
pm_ddl_drop_index(Oid index)
{
	return psprintf("DROP INDEX CONCURRENTLY %s", pm_qualified_name(index));
}

/* pm_ddl_attach_index makes an index part of one of the table above. */
char *
pm_ddl_attach_index(Oid parent_index, Oid index)
{
	return psprintf("ALTER INDEX %s ATTACH PARTITION %s",
					pm_qualified_name(parent_index), pm_qualified_name(index));
}


/* ---------- tasks ---------- */

static List *
tablespace_statements(const PartSet *set, const Partition *table)
{
	const char *tablespace = quote_identifier(set->cold_tablespace);
	List	   *result = pm_ddl_add(NIL, psprintf("ALTER TABLE %s SET TABLESPACE %s",
												  pm_full_name(table), tablespace));
	ListCell   *lc;

	foreach(lc, pm_catalog_strings("SELECT format('%I.%I', n.nspname, c.relname) FROM pg_index x"
								   " JOIN pg_class c ON c.oid = x.indexrelid"
								   " JOIN pg_namespace n ON n.oid = c.relnamespace"
								   " WHERE x.indrelid = $1 ORDER BY c.oid", table->oid))
		result = pm_ddl_add(result, psprintf("ALTER INDEX %s SET TABLESPACE %s",
											 (char *) lfirst(lc), tablespace));
	return result;
}

/* pm_ddl_upkeep_statements returns what carries a step of upkeep out. */
List *
pm_ddl_upkeep_statements(const PartSet *set, const PlanStep *step)
{
	const Partition *table = step->partition;
	Oid			index;

	if (step->blocked && !step->is_waiting)
		return NIL;				/* there are no words for it */
	switch (step->task)
	{
		case TASK_CONSTRAINT:
			return pm_ddl_add(NIL, pm_ddl_constraint_call(set, table));
		case TASK_ANALYZE:
			return pm_ddl_add(NIL, pm_ddl_analyze_text(table->oid, true, NULL));
		case TASK_STORAGE:
			return pm_ddl_add(NIL, psprintf("ALTER TABLE %s SET (%s)", pm_full_name(table),
											pm_ddl_storage(set->cold_storage)));
		case TASK_TABLESPACE:
			return tablespace_statements(set, table);
		case TASK_CLUSTER:
			index = leaf_index(table->oid, pm_ddl_cluster_index(set));
			return pm_ddl_add(NIL, psprintf("CLUSTER %s USING %s", pm_full_name(table),
											quote_identifier(get_rel_name(index))));
		case TASK_REINDEX:
			return reindex_statements(table->oid);
		case TASK_VACUUM:
			return pm_ddl_add(NIL, psprintf("VACUUM (FREEZE, ANALYZE) %s", pm_full_name(table)));
	}
	return NIL;
}

/* pm_ddl_upkeep_locks says which locks a step of upkeep takes. */
char *
pm_ddl_upkeep_locks(const PlanStep *step)
{
	switch (step->task)
	{
		case TASK_ANALYZE:
			return pstrdup("SHARE UPDATE EXCLUSIVE on the parent");
		case TASK_CONSTRAINT:
			return pstrdup("ACCESS EXCLUSIVE on the partition for a moment, then SHARE UPDATE EXCLUSIVE; replayed on standbys");
		case TASK_STORAGE:
		case TASK_VACUUM:
		case TASK_REINDEX:
			return pstrdup("SHARE UPDATE EXCLUSIVE on the partition");
		case TASK_TABLESPACE:
		case TASK_CLUSTER:
			return pstrdup("ACCESS EXCLUSIVE on the partition while it is copied; replayed on standbys");
	}
	return NULL;
}

/* pm_ddl_vacuum is what vacuum_partitions() does to a table. */
char *
pm_ddl_vacuum(Oid table, bool full)
{
	return psprintf("VACUUM (%sANALYZE) %s", full ? "FULL, " : "", pm_qualified_name(table));
}
