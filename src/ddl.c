/*-------------------------------------------------------------------------
 *
 * ddl.c
 *		Carry out one step of a plan.
 *
 * The only file that builds DDL text.  A step becomes a list of statements,
 * and these are both what the plan shows and what is run, so that a dry run
 * cannot differ.  They run as the owner of the set: what they make belongs to
 * the owner, and core's own checks say what the owner may not do.
 *
 * A partition is made standalone (LIKE) and attached: ATTACH takes SHARE UPDATE
 * EXCLUSIVE on the parent, where CREATE TABLE ... PARTITION OF would take ACCESS
 * EXCLUSIVE.  Indexes, keys, foreign keys, row triggers and identity come with
 * ATTACH exactly as they would with PARTITION OF.
 *
 * Never uses CASCADE, never drops anything but the partition it was told by
 * OID, and checks under its lock that this is still what the plan was about.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "config.h"
#include "internal.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "compat.h"

/* partitions that one DROP TABLE names */
#define DROP_BATCH 50

/* one statement of a step */
typedef struct Statement
{
	char	   *sql;
	char	   *moved;			/* the rows that sql copies, which are then deleted;
								 * "table WHERE condition", or NULL */
} Statement;

static char *
set_name(const PartSet *set)
{
	return pstrdup(quote_qualified_identifier(set->schema, set->name));
}

static char *
partition_name(const Partition *partition)
{
	return pstrdup(quote_qualified_identifier(partition->schema, partition->name));
}

static List *
add(List *statements, char *sql)
{
	Statement  *statement = palloc0(sizeof(Statement));

	statement->sql = sql;
	return lappend(statements, statement);
}

/*
 * pm_ddl_range prints a bound as FOR VALUES takes it, the same in every
 * session.  For an existing partition of a LIST set all its values are shown.
 */
char *
pm_ddl_range(const PartKey *key, const Partition *partition,
			 const PartBound *bound)
{
	StringInfoData buf;

	if (partition && partition->is_default)
		return pstrdup("DEFAULT");
	if (partition && !partition->is_readable)
		return NULL;
	if (key->is_list)
	{
		initStringInfo(&buf);
		appendStringInfoString(&buf, "IN (");
		if (partition == NULL)
			appendStringInfoString(&buf, pm_key_literal(key, bound->lower_raw));
		for (int i = 0; partition && i < partition->nvalues; i++)
			appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "",
							 pm_key_literal(key, partition->values[i]));
		if (partition && partition->has_null)
			appendStringInfoString(&buf, ", NULL");
		appendStringInfoChar(&buf, ')');
		return buf.data;
	}
	return psprintf("FROM (%s) TO (%s)",
					bound->lower_open ? "MINVALUE" : pm_key_literal(key, bound->lower_raw),
					bound->upper_open ? "MAXVALUE" : pm_key_literal(key, bound->upper_raw));
}

/* CREATE TABLE ... LIKE and what else makes a table a twin of its parent */
static List *
standalone_statements(const PartSet *set, const PmTemplate *tmpl,
					  const char *name)
{
	List	   *result;
	StringInfoData buf;
	ListCell   *lc;
	ListCell   *lc2;

	initStringInfo(&buf);
	appendStringInfo(&buf, "CREATE TABLE %s (LIKE %s INCLUDING COMMENTS"
					 " INCLUDING COMPRESSION INCLUDING CONSTRAINTS INCLUDING DEFAULTS"
					 " INCLUDING GENERATED INCLUDING STATISTICS INCLUDING STORAGE)",
					 name, set_name(set));
	if (tmpl->access_method)
		appendStringInfo(&buf, " USING %s", quote_identifier(tmpl->access_method));
	if (tmpl->tablespace)
		appendStringInfo(&buf, " TABLESPACE %s", quote_identifier(tmpl->tablespace));
	result = add(NIL, buf.data);

	if (tmpl->column_targets)
		result = add(result, psprintf("ALTER TABLE %s %s", name, tmpl->column_targets));
	if (tmpl->relreplident == REPLICA_IDENTITY_FULL ||
		tmpl->relreplident == REPLICA_IDENTITY_NOTHING)
		result = add(result, psprintf("ALTER TABLE %s REPLICA IDENTITY %s", name,
									  tmpl->relreplident == REPLICA_IDENTITY_FULL ? "FULL" : "NOTHING"));
	forboth(lc, tmpl->grants, lc2, tmpl->grant_tails)
		result = add(result, psprintf("%s %s%s", (char *) lfirst(lc), name, (char *) lfirst(lc2)));
	return result;
}

/* rows of the range leave the default for the new table */
static List *
move_statements(const PmLook *look, const PmTemplate *tmpl,
				const PlanStep *step, const char *name, List *result)
{
	StringInfoData columns;
	const char *dflt = partition_name(look->dflt);
	const char *only = look->dflt->relkind == RELKIND_PARTITIONED_TABLE ? "" : "ONLY ";
	char	   *rows;
	Statement  *move;
	ListCell   *lc;

	initStringInfo(&columns);
	foreach(lc, tmpl->columns)
		appendStringInfo(&columns, "%s%s", columns.len ? ", " : "", (char *) lfirst(lc));
	result = add(result, psprintf("LOCK TABLE %s%s IN ACCESS EXCLUSIVE MODE", only, dflt));
	rows = psprintf("%s%s WHERE %s", only, dflt,
					pm_catalog_key_test(look->set, &step->bound));
	result = add(result,
				 psprintf("INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM %s",
						  name, columns.data, columns.data, rows));
	move = llast(result);
	move->moved = rows;
	return result;
}

static List *
create_statements(const PmLook *look, const PmTemplate *tmpl,
				  const PlanStep *step)
{
	const PartSet *set = look->set;
	char	   *name = pstrdup(quote_qualified_identifier(set->schema, step->name));
	List	   *result = NIL;

	/*
	 * Rows may come in for this range now.  A writer that was routed to the default
	 * before ATTACH and gets its lock after it fails in core; so writers, not
	 * readers, wait at the parent instead.
	 */
	if (step->is_hot)
		result = add(result, psprintf("LOCK TABLE ONLY %s IN SHARE ROW EXCLUSIVE MODE",
									  set_name(set)));
	result = list_concat(result, standalone_statements(set, tmpl, name));
	if (step->move_rows > 0)
		result = move_statements(look, tmpl, step, name, result);
	return add(result, psprintf("ALTER TABLE %s ATTACH PARTITION %s FOR VALUES %s",
								set_name(set), name,
								pm_ddl_range(&set->key, NULL, &step->bound)));
}

static List *
retire_statements(const PmLook *look, const PmTemplate *tmpl,
				  const PlanStep *step)
{
	const PartSet *set = look->set;
	char	   *name = partition_name(step->partition);
	List	   *result = NIL;
	ListCell   *lc;

	/* a partition that foreign keys point at can be dropped only once detached */
	if (step->retire != RETIRE_DROP || tmpl->has_incoming_fk)
		result = add(result, psprintf("ALTER TABLE %s DETACH PARTITION %s",
									  set_name(set), name));
	if (step->retire == RETIRE_DROP)
		return add(result, psprintf("DROP TABLE %s", name));

	if (!set->retention_keep_index)
		foreach(lc, pm_catalog_index_drops(step->partition))
			result = add(result, lfirst(lc));
	if (!set->retention_keep_publication)
		foreach(lc, pm_catalog_publications(set, step->partition))
			result = add(result, lfirst(lc));
	if (step->retire == RETIRE_MOVE)
		result = add(result, psprintf("ALTER TABLE %s SET SCHEMA %s", name,
									  quote_identifier(set->retention_schema)));
	return result;
}

/* pm_ddl_statements returns what carries a step out, as a list of Statement. */
List *
pm_ddl_statements(const PmLook *look, const PmTemplate *tmpl,
				  const PlanStep *step)
{
	return step->kind == STEP_CREATE ? create_statements(look, tmpl, step) :
		retire_statements(look, tmpl, step);
}

/* pm_ddl_text prints these statements for people to read, and to run. */
char *
pm_ddl_text(const PmLook *look, const PmTemplate *tmpl, const PlanStep *step)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, pm_ddl_statements(look, tmpl, step))
	{
		Statement  *statement = lfirst(lc);

		appendStringInfo(&buf, "%s%s;", buf.len ? "\n" : "", statement->sql);
		if (statement->moved)
			appendStringInfo(&buf, "\nSET LOCAL session_replication_role = replica;"
							 "\nDELETE FROM %s;"
							 "\nSET LOCAL session_replication_role = origin;",
							 statement->moved);
	}
	if (step->kind == STEP_CREATE && OidIsValid(tmpl->replident_index))
		appendStringInfo(&buf, "\n-- and REPLICA IDENTITY USING the index attached to %s",
						 pm_qualified_name(tmpl->replident_index));
	return buf.data;
}

/* pm_ddl_locks says which locks a step takes and until when they are held. */
char *
pm_ddl_locks(const PmLook *look, const PmTemplate *tmpl, const PlanStep *step)
{
	const char *with_default = look->dflt ? ", ACCESS EXCLUSIVE on the default partition" : "";

	if (step->kind == STEP_CREATE)
		return psprintf("SHARE %s EXCLUSIVE on the parent%s%s",
						step->is_hot ? "ROW" : "UPDATE", with_default,
						tmpl->has_outgoing_fk ? ", SHARE ROW EXCLUSIVE on referenced tables" : "");
	return psprintf("ACCESS EXCLUSIVE on the parent and the partition%s%s", with_default,
					tmpl->has_incoming_fk ? " and the referencing tables" : "");
}

/*
 * lock_retired locks a partition that is to be retired, and checks under the
 * lock that it is what the plan was about.  Parent, default, partition: the
 * order in which everybody here takes locks.
 */
static void
lock_retired(const PmLook *look, const PlanStep *step)
{
	const Partition *partition = step->partition;
	const char *name;
	Oid			namespace;

	LockRelationOid(look->set->parent, AccessExclusiveLock);
	if (look->dflt)
		LockRelationOid(look->dflt->oid, AccessExclusiveLock);
	LockRelationOid(partition->oid, AccessExclusiveLock);

	name = get_rel_name(partition->oid);
	namespace = get_rel_namespace(partition->oid);
	if (name == NULL || strcmp(name, partition->name) != 0 ||
		strcmp(get_namespace_name(namespace), partition->schema) != 0 ||
		!get_rel_relispartition(partition->oid) ||
		get_partition_parent(partition->oid, false) != look->set->parent)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("partition %s was changed by another session",
						quote_qualified_identifier(partition->schema, partition->name)),
				 errhint("Run maintenance again.")));
}

/* the schema for retired partitions must exist, and be the table owner's */
static void
check_retention_schema(const PartSet *set)
{
	Oid			schema = get_namespace_oid(set->retention_schema, false);
	HeapTuple	tuple = SearchSysCache1(NAMESPACEOID, ObjectIdGetDatum(schema));
	bool		is_owner = HeapTupleIsValid(tuple) &&
		((Form_pg_namespace) GETSTRUCT(tuple))->nspowner == set->owner;

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	if (!is_owner)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("retention schema \"%s\" does not belong to the owner of table %s",
						set->retention_schema, set_name(set))));
}

/* where a row that moves stands */
typedef struct MovedRow
{
	Oid			table;
	ItemPointerData tid;
} MovedRow;

static MovedRow *
find_moved(const char *moved, uint64 *nrows)
{
	MovedRow   *result;
	bool		isnull;

	*nrows = pm_spi_select(psprintf("SELECT tableoid, ctid FROM %s ORDER BY tableoid", moved),
						   0, NULL, NULL, NULL);
	result = palloc(sizeof(MovedRow) * Max(*nrows, 1));
	for (uint64 i = 0; i < *nrows; i++)
	{
		result[i].table = pm_spi_oid(i, 1);
		result[i].tid = *(ItemPointer) DatumGetPointer(pm_spi_value(i, 2, &isnull));
	}
	return result;
}

/*
 * delete_moved deletes rows without triggers, rules and foreign keys: a row
 * that moves is neither deleted nor new.  The setting session_replication_role
 * would do that for what the owner's own code does on the way as well, also to
 * the tables of others; so no statement of SQL is involved.
 */
static void
delete_moved(const MovedRow *rows, uint64 nrows)
{
	Relation	rel = NULL;

	for (uint64 i = 0; i < nrows; i++)
	{
		ItemPointerData tid = rows[i].tid;

		if (rel == NULL || RelationGetRelid(rel) != rows[i].table)
		{
			if (rel)
				table_close(rel, NoLock);
			rel = table_open(rows[i].table, RowExclusiveLock);
			if (rel->rd_rel->relkind != RELKIND_RELATION)
				elog(ERROR, "cannot delete rows of relation \"%s\" of kind \"%c\"",
					 RelationGetRelationName(rel), rel->rd_rel->relkind);
		}
		simple_table_tuple_delete(rel, &tid, GetActiveSnapshot());
	}
	if (rel)
		table_close(rel, NoLock);
	CommandCounterIncrement();
}

/*
 * run_move copies rows out of the default and deletes them there.  Nobody else
 * can change the default, which is locked, but an event trigger may have given
 * the new table a trigger or a rule that keeps rows out.
 */
static void
run_move(const Statement *statement)
{
	uint64		nrows;
	MovedRow   *rows = find_moved(statement->moved, &nrows);
	uint64		arrived = pm_spi_write(statement->sql, 0, NULL, NULL, NULL);

	if (arrived != nrows)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
				 errmsg("not all rows could be moved out of the default partition"),
				 errdetail("Of " UINT64_FORMAT " rows, " UINT64_FORMAT " arrived in the new partition.",
						   nrows, arrived),
				 errhint("See whether an event trigger gives a trigger or a rule to new tables.")));
	delete_moved(rows, nrows);
}

static void
run_statements(const PartSet *set, List *statements)
{
	PmSpi		spi;
	ListCell   *lc;

	pm_spi_begin(&spi, set->owner);
	foreach(lc, statements)
	{
		Statement  *statement = lfirst(lc);

		if (statement->moved)
			run_move(statement);
		else
			pm_spi_utility(statement->sql);
		PM_FAILPOINT("ddl-statement");
	}
	pm_spi_end(&spi);
}

/* the replica identity can be set only once ATTACH has made the index */
static void
set_replica_identity(const PartSet *set, const PmTemplate *tmpl,
					 const char *name)
{
	Oid			partition = get_relname_relid(name, get_namespace_oid(set->schema, false));
	Oid			index = pm_catalog_child_index(partition, tmpl->replident_index);

	if (OidIsValid(index))
		run_statements(set, add(NIL, psprintf("ALTER TABLE %s REPLICA IDENTITY USING INDEX %s",
											  pm_qualified_name(partition),
											  quote_identifier(get_rel_name(index)))));
}

/*
 * pm_ddl_apply carries out one step in the current transaction.
 *
 * The caller holds SHARE UPDATE EXCLUSIVE on the parent since before it looked.
 * Locks: see pm_ddl_locks.  Errors: core's, and "was changed by another session".
 */
void
pm_ddl_apply(const PmLook *look, const PmTemplate *tmpl, const PlanStep *step)
{
	if (step->kind == STEP_RETIRE)
	{
		if (step->retire == RETIRE_MOVE)
			check_retention_schema(look->set);
		lock_retired(look, step);
	}
	run_statements(look->set, pm_ddl_statements(look, tmpl, step));
	if (step->kind == STEP_CREATE && OidIsValid(tmpl->replident_index))
		set_replica_identity(look->set, tmpl, step->name);
	CommandCounterIncrement();
}

/*
 * pm_ddl_drop_many carries out steps that only DROP, many with one statement:
 * event triggers, ours among them, are called once and not for each.  Not all
 * with one: core searches what it drops again for each object.
 */
void
pm_ddl_drop_many(const PmLook *look, const PmTemplate *tmpl, List *steps)
{
	StringInfoData buf;
	List	   *statements = NIL;
	ListCell   *lc;

	foreach(lc, steps)
	{
		PlanStep   *step = lfirst(lc);

		if (foreach_current_index(lc) % DROP_BATCH == 0)
		{
			initStringInfo(&buf);
			appendStringInfoString(&buf, "DROP TABLE ");
		}
		else
			appendStringInfoString(&buf, ", ");
		lock_retired(look, step);
		appendStringInfoString(&buf, partition_name(step->partition));
		if ((foreach_current_index(lc) + 1) % DROP_BATCH == 0 || lnext(steps, lc) == NULL)
			statements = add(statements, buf.data);
	}
	run_statements(look->set, statements);
}

/* pm_ddl_create_default makes a default partition, or attaches the table of that name. */
void
pm_ddl_create_default(const PmLook *look, const PmTemplate *tmpl)
{
	const PartSet *set = look->set;
	char	   *plain = pm_name_default(set->name);
	char	   *name = pstrdup(quote_qualified_identifier(set->schema, plain));
	List	   *statements = NIL;

	if (!OidIsValid(get_relname_relid(plain, get_namespace_oid(set->schema, false))))
		statements = standalone_statements(set, tmpl, name);
	statements = add(statements, psprintf("ALTER TABLE %s ATTACH PARTITION %s DEFAULT",
										  set_name(set), name));
	run_statements(set, statements);
	CommandCounterIncrement();
	if (OidIsValid(tmpl->replident_index))
		set_replica_identity(set, tmpl, plain);
}

/*
 * pm_ddl_analyze collects statistics of a parent; with only_parent, and from
 * 18 on, of the parent alone.  SHARE UPDATE EXCLUSIVE on what it reads.
 */
void
pm_ddl_analyze(Oid relation, Oid owner, bool only_parent)
{
	PmSpi		spi;

	pm_spi_begin(&spi, owner);
	pm_spi_utility(psprintf("ANALYZE %s%s", only_parent ? PM_ANALYZE_ONLY : "",
							pm_qualified_name(relation)));
	pm_spi_end(&spi);
}
