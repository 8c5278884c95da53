/*-------------------------------------------------------------------------
 *
 * ddl.c
 *		What carries a step of a plan out: statements, and locks in words.
 *
 * The only file that builds DDL text (template.c makes parts of it).  A step
 * becomes a list of statements, and these are both what the plan shows and what
 * ddl_apply.c runs, so that a dry run cannot differ.
 *
 * A partition is made standalone (LIKE) and attached: ATTACH takes SHARE UPDATE
 * EXCLUSIVE on the parent, where CREATE TABLE ... PARTITION OF would take ACCESS
 * EXCLUSIVE.  Indexes, keys, foreign keys, row triggers and identity come with
 * ATTACH exactly as they would with PARTITION OF.
 *
 * Never uses CASCADE.  Runs nothing itself.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/extension.h"
#include "config.h"
#include "ddl.h"
#include "ddl_rewrite.h"
#include "internal.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "compat.h"

/* partitions that one DROP TABLE names */
#define DROP_BATCH 20

/* pm_ddl_add appends a statement to a list of PmStatement. */
List *
pm_ddl_add(List *statements, char *sql)
{
	PmStatement *statement = palloc0(sizeof(PmStatement));

	statement->sql = sql;
	return lappend(statements, statement);
}

/* the columns of the key behind ours, in a bound that ours alone decides */
static char *
other_columns(const PartKey *key, const char *end)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < list_length(key->others); i++)
		appendStringInfo(&buf, ", %s", end);
	return buf.data;
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
	return psprintf("FROM (%s%s) TO (%s%s)",
					bound->lower_open ? "MINVALUE" : pm_key_literal(key, bound->lower_raw),
					other_columns(key, "MINVALUE"),
					bound->upper_open ? "MAXVALUE" : pm_key_literal(key, bound->upper_raw),
					other_columns(key, bound->upper_open ? "MAXVALUE" : "MINVALUE"));
}

/*
 * CREATE TABLE ... LIKE and what else makes a table a twin of its parent; by is how
 * it is partitioned itself, or NULL
 */
static List *
standalone_statements(const PartSet *set, const PmTemplate *tmpl,
					  const char *name, const char *by)
{
	List	   *result;
	StringInfoData buf;
	ListCell   *lc;
	ListCell   *lc2;

	initStringInfo(&buf);
	appendStringInfo(&buf, "CREATE %sTABLE %s (LIKE %s INCLUDING COMMENTS"
					 " INCLUDING COMPRESSION INCLUDING CONSTRAINTS INCLUDING DEFAULTS"
					 " INCLUDING GENERATED INCLUDING STATISTICS INCLUDING STORAGE)",
					 by == NULL && tmpl->is_unlogged ? "UNLOGGED " : "", name, pm_full_name(set));
	if (by)
		appendStringInfo(&buf, " PARTITION BY %s", by);
	if (tmpl->access_method)
		appendStringInfo(&buf, " USING %s", quote_identifier(tmpl->access_method));
	if (by == NULL && tmpl->storage)
		appendStringInfo(&buf, " WITH (%s)", tmpl->storage);
	if (tmpl->tablespace)
		appendStringInfo(&buf, " TABLESPACE %s", quote_identifier(tmpl->tablespace));
	result = pm_ddl_add(NIL, buf.data);

	if (tmpl->column_targets)
		result = pm_ddl_add(result, psprintf("ALTER TABLE %s %s", name, tmpl->column_targets));
	if (tmpl->relreplident == REPLICA_IDENTITY_FULL ||
		tmpl->relreplident == REPLICA_IDENTITY_NOTHING)
		result = pm_ddl_add(result, psprintf("ALTER TABLE %s REPLICA IDENTITY %s", name,
											 tmpl->relreplident == REPLICA_IDENTITY_FULL ? "FULL" : "NOTHING"));
	forboth(lc, tmpl->grants, lc2, tmpl->grant_tails)
		result = pm_ddl_add(result, psprintf("%s %s%s", (char *) lfirst(lc), name, (char *) lfirst(lc2)));
	if (by != NULL)
		return result;			/* a template table is for those that hold rows */
	forboth(lc, tmpl->keys, lc2, tmpl->key_tails)
		result = pm_ddl_add(result, psprintf("%s %s%s", (char *) lfirst(lc), name, (char *) lfirst(lc2)));
	return result;
}

/* rows of the range leave the default for the new table */
static List *
move_statements(const PmLook *look, const PmTemplate *tmpl,
				const PlanStep *step, const char *name, List *result)
{
	StringInfoData columns;
	const char *dflt = pm_full_name(look->dflt);
	const char *only = look->dflt->relkind == RELKIND_PARTITIONED_TABLE ? "" : "ONLY ";
	char	   *rows;
	PmStatement *move;
	ListCell   *lc;

	initStringInfo(&columns);
	foreach(lc, tmpl->columns)
		appendStringInfo(&columns, "%s%s", columns.len ? ", " : "", (char *) lfirst(lc));
	result = pm_ddl_add(result, psprintf("LOCK TABLE %s%s IN ACCESS EXCLUSIVE MODE", only, dflt));
	rows = psprintf("%s%s WHERE %s", only, dflt,
					pm_catalog_key_test(look->set, &step->bound));
	result = pm_ddl_add(result,
						psprintf("INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM %s",
								 name, columns.data, columns.data, rows));
	move = llast(result);
	move->moved = rows;
	return result;
}

/*
 * pm_ddl_free_default returns a name for the default of a sub-set that nobody has: cut
 * short those of all partitions may be one, and a stranger's table is none of ours.
 */
char *
pm_ddl_free_default(const char *schema, const char *table)
{
	Oid			namespace = get_namespace_oid(schema, false);
	char	   *name = pm_name_default(table);

	for (int n = 1; OidIsValid(get_relname_relid(name, namespace)); n++)
		name = pm_name_suffixed(table, psprintf("_default%d", n));
	return name;
}

/* the default of a table that is to be a sub-set */
static List *
sub_default_statements(const PartSet *set, const PmTemplate *tmpl, const char *plain)
{
	char	   *name = quote_qualified_identifier(set->schema, plain);
	char	   *dflt = quote_qualified_identifier(set->schema, pm_ddl_free_default(set->schema, plain));

	return pm_ddl_add(standalone_statements(set, tmpl, dflt, NULL),
					  psprintf("ALTER TABLE %s ATTACH PARTITION %s DEFAULT", name, dflt));
}

static List *
create_statements(const PmLook *look, const PmTemplate *tmpl,
				  const PlanStep *step)
{
	const PartSet *set = look->set;
	char	   *name = quote_qualified_identifier(set->schema, step->name);
	List	   *result = NIL;

	/*
	 * Rows may come in for this range now.  A writer that was routed to the default
	 * before ATTACH and gets its lock after it fails in core; so writers, not
	 * readers, wait at the parent instead.
	 */
	if (step->is_hot)
		result = pm_ddl_add(result, psprintf("LOCK TABLE ONLY %s IN SHARE ROW EXCLUSIVE MODE",
											 pm_full_name(set)));
	result = list_concat(result, standalone_statements(set, tmpl, name, set->sub ? set->sub->by : NULL));
	/* before they have partitions of their own the rows need a place */
	if (set->sub && step->move_rows > 0)
		result = list_concat(result, sub_default_statements(set, tmpl, step->name));
	if (step->move_rows > 0)
		result = move_statements(look, tmpl, step, name, result);
	return pm_ddl_add(result, psprintf("ALTER TABLE %s ATTACH PARTITION %s FOR VALUES %s",
									   pm_full_name(set), name,
									   pm_ddl_range(&set->key, NULL, &step->bound)));
}

/*
 * pm_ddl_drops_directly tells whether a partition that goes can be dropped while
 * it is attached: one that foreign keys point at cannot.
 */
bool
pm_ddl_drops_directly(const PartSet *set, const PmTemplate *tmpl,
					  const PlanStep *step)
{
	return step->kind == STEP_RETIRE && step->retire == RETIRE_DROP &&
		!set->detach_before_drop && !tmpl->has_incoming_fk;
}

/* what follows the detach of a partition that stays for now */
static List *
settle_statements(const PmLook *look, const PlanStep *step, List *result)
{
	const PartSet *set = look->set;
	char	   *name = pm_full_name(step->partition);
	ListCell   *lc;

	if (step->retire == RETIRE_LATER || step->retire == RETIRE_DROP)
		return result;
	if (!set->retention_keep_index)
		foreach(lc, pm_catalog_index_drops(step->partition))
			result = pm_ddl_add(result, lfirst(lc));
	if (!set->retention_keep_publication)
		foreach(lc, pm_catalog_publications(set, step->partition))
			result = pm_ddl_add(result, lfirst(lc));
	if (step->retire == RETIRE_MOVE &&
		strcmp(step->partition->schema, set->retention_schema) != 0)
		result = pm_ddl_add(result, psprintf("ALTER TABLE %s SET SCHEMA %s", name,
											 quote_identifier(set->retention_schema)));
	return result;
}

static const char *
drop_verb(const Partition *partition)
{
	return partition->relkind == RELKIND_FOREIGN_TABLE ? "DROP FOREIGN TABLE" : "DROP TABLE";
}

static char *
drop_statement(const Partition *partition)
{
	return psprintf("%s %s", drop_verb(partition), pm_full_name(partition));
}

/*
 * Its own foreign keys go first: each of them locks the table that it points
 * at, and one statement for all would hold those locks together.
 */
static List *
drop_statements(const PlanStep *step, List *result)
{
	char	   *name = pm_full_name(step->partition);
	ListCell   *lc;

	foreach(lc, pm_catalog_strings("SELECT quote_ident(conname) FROM pg_constraint"
								   " WHERE conrelid = $1 AND contype = 'f' AND conparentid = 0"
								   " ORDER BY confrelid, conname",
								   step->partition->oid))
		result = pm_ddl_add(result, psprintf("ALTER TABLE %s DROP CONSTRAINT %s", name,
											 (char *) lfirst(lc)));
	return pm_ddl_add(result, drop_statement(step->partition));
}

static char *
detach_statement(const PartSet *set, const Partition *partition, const char *how)
{
	return psprintf("ALTER TABLE %s DETACH PARTITION %s%s", pm_full_name(set),
					pm_full_name(partition), how);
}

static List *
detach_statements(const PmLook *look, const PlanStep *step)
{
	return pm_ddl_add(NIL, detach_statement(look->set, step->partition,
											step->kind == STEP_FINALIZE ? " FINALIZE" : ""));
}

static List *
retire_statements(const PmLook *look, const PmTemplate *tmpl,
				  const PlanStep *step)
{
	if (pm_ddl_drops_directly(look->set, tmpl, step))
		return pm_ddl_add(NIL, drop_statement(step->partition));
	if (step->retire == RETIRE_DROP)
		return pm_ddl_add(detach_statements(look, step),
						  drop_statement(step->partition));
	return settle_statements(look, step, detach_statements(look, step));
}

/*
 * comes_back tells whether a partition is to go back to the schema where it was
 * when it was attached: retention has moved it, and its name is still free there.
 */
static bool
comes_back(const PmMark *mark)
{
	Oid			home = get_namespace_oid(mark->home, true);

	return OidIsValid(home) && strcmp(mark->partition->schema, mark->home) != 0 &&
		!OidIsValid(get_relname_relid(mark->partition->name, home));
}

static List *
reattach_statements(const PartSet *set, const PlanStep *step)
{
	char	   *name = pm_full_name(step->partition);
	List	   *result = NIL;

	if (comes_back(step->mark))
	{
		result = pm_ddl_add(result, psprintf("ALTER TABLE %s SET SCHEMA %s", name,
											 quote_identifier(step->mark->home)));
		name = quote_qualified_identifier(step->mark->home, step->partition->name);
	}
	return pm_ddl_add(result, psprintf("ALTER TABLE %s ATTACH PARTITION %s FOR VALUES %s",
									   pm_full_name(set), name, step->mark->range));
}

/* pm_ddl_statements returns what carries a step out, as a list of PmStatement. */
List *
pm_ddl_statements(const PmLook *look, const PmTemplate *tmpl,
				  const PlanStep *step)
{
	switch (step->kind)
	{
		case STEP_CREATE:
		case STEP_DRAIN:
			return create_statements(look, tmpl, step);
		case STEP_FINALIZE:
			return detach_statements(look, step);
		case STEP_REATTACH:
			return reattach_statements(look->set, step);
		case STEP_RETIRE:
			return retire_statements(look, tmpl, step);
		case STEP_SETTLE:
			return settle_statements(look, step, NIL);
		case STEP_DROP:
			return drop_statements(step, NIL);
		case STEP_UPKEEP:
			return pm_ddl_upkeep_statements(look->set, step);
		case STEP_ARCHIVE:
		case STEP_COMPRESS:
			break;				/* not by statements of ours */
	}
	return NIL;
}

/* pm_ddl_text prints these statements for people to read, and to run. */
char *
pm_ddl_text(const PmLook *look, const PmTemplate *tmpl, const PlanStep *step)
{
	StringInfoData buf;
	ListCell   *lc;

	if (step->is_large)
		return pm_policy_text(look->set, step);
	initStringInfo(&buf);
	foreach(lc, pm_ddl_statements(look, tmpl, step))
	{
		PmStatement *statement = lfirst(lc);

		appendStringInfo(&buf, "%s%s;", buf.len ? "\n" : "", statement->sql);
		if (statement->moved)
			appendStringInfo(&buf, "\nSET LOCAL session_replication_role = replica;"
							 "\nDELETE FROM %s;"
							 "\nSET LOCAL session_replication_role = origin;",
							 statement->moved);
	}
	if ((step->kind == STEP_CREATE || step->kind == STEP_DRAIN) && OidIsValid(tmpl->replident_index))
		appendStringInfo(&buf, "\n-- and REPLICA IDENTITY USING the index attached to %s",
						 pm_qualified_name(tmpl->replident_index));
	return buf.data;
}

/* pm_ddl_can_detach_concurrently tells whether core does that with this set. */
bool
pm_ddl_can_detach_concurrently(const PmLook *look, const PmTemplate *tmpl)
{
	bool		missing_ok = true;

	return look->dflt == NULL && !tmpl->has_incoming_fk &&
		!OidIsValid(get_extension_oid("citus", missing_ok));
}

/* what a lock means for those who read on a standby */
static const char *const replayed = "; replayed on standbys";

/* a foreign key without index is checked by reading a whole table */
static const char *
reference_scans(const PmTemplate *tmpl)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, tmpl->incoming)
	{
		PmReference *reference = lfirst(lc);

		if (!reference->has_index)
			appendStringInfo(&buf, "; reads all of %s meanwhile, whose foreign key \"%s\" has no index",
							 reference->table, reference->constraint);
	}
	return buf.data;
}

/* pm_ddl_locks says which locks a step takes and until when they are held. */
char *
pm_ddl_locks(const PmLook *look, const PmTemplate *tmpl, const PlanStep *step)
{
	const char *with_default = look->dflt ? ", ACCESS EXCLUSIVE on the default partition" : "";

	if (step->is_large)
		return psprintf("EXCLUSIVE, then for a moment ACCESS EXCLUSIVE on the parent, the default and the partitions concerned%s",
						replayed);
	switch (step->kind)
	{
		case STEP_COMPRESS:
			break;				/* always left to the engine */
		case STEP_CREATE:
		case STEP_DRAIN:
			return psprintf("SHARE %s EXCLUSIVE on the parent%s%s%s",
							step->is_hot ? "ROW" : "UPDATE", with_default,
							tmpl->has_outgoing_fk ? ", SHARE ROW EXCLUSIVE on referenced tables" : "",
							look->dflt ? replayed : "");
		case STEP_FINALIZE:
			return psprintf("SHARE UPDATE EXCLUSIVE on the parent, ACCESS EXCLUSIVE on the partition%s",
							replayed);
		case STEP_REATTACH:
			return psprintf("SHARE UPDATE EXCLUSIVE on the parent, ACCESS EXCLUSIVE on the partition%s%s%s",
							with_default,
							tmpl->has_outgoing_fk ? ", SHARE ROW EXCLUSIVE on referenced tables" : "",
							replayed);
		case STEP_RETIRE:
			if (pm_ddl_can_detach_concurrently(look, tmpl))
				return psprintf("SHARE UPDATE EXCLUSIVE on the parent, then ACCESS EXCLUSIVE on the partition"
								" (by SQL: ACCESS EXCLUSIVE on both)%s", replayed);
			return psprintf("ACCESS EXCLUSIVE on the parent and the partition%s%s%s%s", with_default,
							tmpl->has_incoming_fk ? " and the referencing tables" : "", replayed,
							reference_scans(tmpl));
		case STEP_SETTLE:
			return psprintf("ACCESS EXCLUSIVE on the partition%s", replayed);
		case STEP_DROP:
			return psprintf("ACCESS EXCLUSIVE on the partition and the tables it references%s", replayed);
		case STEP_ARCHIVE:
			return pstrdup("SHARE on the partition");
		case STEP_UPKEEP:
			return pm_ddl_upkeep_locks(step);
	}
	return NULL;
}

/* pm_ddl_identity_statements gives a partition its index as replica identity. */
List *
pm_ddl_identity_statements(Oid partition, Oid index)
{
	return pm_ddl_add(NIL, psprintf("ALTER TABLE %s REPLICA IDENTITY USING INDEX %s",
									pm_qualified_name(partition),
									quote_identifier(get_rel_name(index))));
}

/*
 * pm_ddl_drop_statements drops the partitions of many steps, many with one
 * statement: event triggers, ours among them, are called once and not for each.
 * Not all with one: core searches what it drops again for each object.
 */
List *
pm_ddl_drop_statements(List *steps)
{
	StringInfoData buf;
	const char *verb = NULL;
	int			count = 0;
	List	   *statements = NIL;
	ListCell   *lc;

	foreach(lc, steps)
	{
		const Partition *partition = ((PlanStep *) lfirst(lc))->partition;

		if (count % DROP_BATCH == 0 || strcmp(verb, drop_verb(partition)) != 0)
		{
			if (count > 0)
				statements = pm_ddl_add(statements, buf.data);
			initStringInfo(&buf);
			count = 0;
		}
		verb = drop_verb(partition);
		appendStringInfo(&buf, "%s %s", count++ > 0 ? "," : verb, pm_full_name(partition));
	}
	return count > 0 ? pm_ddl_add(statements, buf.data) : statements;
}

/* pm_ddl_sub_is_checked tells whether a constraint can say where the rows of a partition are. */
bool
pm_ddl_sub_is_checked(const PartSet *set, const Partition *partition, bool has_rows)
{
	return has_rows && !set->key.is_list && partition->is_readable;
}

/*
 * pm_ddl_sub_statements makes a partition one that is partitioned itself.  If it has
 * rows it becomes the default of the new one: none is touched.  No row is looked at
 * either, since the constraint that it has is one that it had as a partition; that is
 * for the caller to say after the first of the two lists.
 */
List *
pm_ddl_sub_statements(const PartSet *set, const PmTemplate *tmpl, const Partition *partition, bool has_rows,
					  List **attach)
{
	char	   *name = pm_full_name(partition);
	char	   *plain = pm_ddl_free_default(partition->schema, partition->name);
	char	   *dflt = quote_qualified_identifier(partition->schema, plain);
	bool		is_checked = pm_ddl_sub_is_checked(set, partition, has_rows);
	List	   *grants = pm_catalog_grants(partition->oid, name);
	List	   *result = pm_ddl_add(NIL, detach_statement(set, partition, ""));
	ListCell   *lc;

	if (is_checked)
		result = pm_ddl_add(result, pm_ddl_rewrite_check(name, PM_BOUND_CONSTRAINT, &set->key, &partition->bound));
	if (has_rows)
		result = pm_ddl_add(result, psprintf("ALTER TABLE %s RENAME TO %s", name, quote_identifier(plain)));
	else
		result = pm_ddl_add(result, drop_statement(partition));
	*attach = standalone_statements(set, tmpl, name, set->sub->by);
	foreach(lc, grants)
		*attach = pm_ddl_add(*attach, lfirst(lc));
	if (has_rows)
		*attach = pm_ddl_add(*attach, psprintf("ALTER TABLE %s ATTACH PARTITION %s DEFAULT", name, dflt));
	/* the bound as core writes it: not all that it can be has a place on the axis */
	*attach = pm_ddl_add(*attach, psprintf("ALTER TABLE %s ATTACH PARTITION %s %s", pm_full_name(set), name,
										   (char *) linitial(pm_catalog_strings("SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE oid = $1",
																				partition->oid))));
	if (is_checked)
		*attach = pm_ddl_add(*attach, pm_ddl_rewrite_drop_constraint(dflt, PM_BOUND_CONSTRAINT));
	return result;
}

/* pm_ddl_default_statements makes a default partition, of a table if that exists. */
List *
pm_ddl_default_statements(const PartSet *set, const PmTemplate *tmpl,
						  const char *plain, bool exists)
{
	char	   *name = quote_qualified_identifier(set->schema, plain);

	return pm_ddl_add(exists ? NIL : standalone_statements(set, tmpl, name, NULL),
					  psprintf("ALTER TABLE %s ATTACH PARTITION %s DEFAULT", pm_full_name(set), name));
}

/* pm_ddl_drop_default_statements drops a default; detached, for foreign keys. */
List *
pm_ddl_drop_default_statements(const PmLook *look)
{
	return pm_ddl_add(pm_ddl_add(NIL, detach_statement(look->set, look->dflt, "")),
					  drop_statement(look->dflt));
}

/* pm_ddl_analyze_text collects statistics; ONLY is left out where it is unknown. */
char *
pm_ddl_analyze_text(Oid relation, bool only_parent, const char *columns)
{
	return psprintf(columns ? "ANALYZE %s%s (%s)" : "ANALYZE %s%s", only_parent ? PM_ANALYZE_ONLY : "",
					pm_qualified_name(relation), columns);
}

/* pm_ddl_detach_concurrently detaches without a lock that keeps anybody out. */
char *
pm_ddl_detach_concurrently(const PartSet *set, const Partition *partition)
{
	return detach_statement(set, partition, " CONCURRENTLY");
}
