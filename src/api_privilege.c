/*-------------------------------------------------------------------------
 *
 * api_privilege.c
 *		pg_partman's functions that give a table what another one has:
 *		privileges, the properties of a template table or of the parent, and
 *		those that switch autovacuum.
 *
 * Maintenance does all of that by itself; these are for what was made without it,
 * and for scripts.  The caller must own each table that is named.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "api.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "ddl_partman.h"
#include "ddl_rewrite.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "compat.h"

PG_FUNCTION_INFO_V1(partmgr_apply_privileges);
PG_FUNCTION_INFO_V1(partmgr_reapply_privileges);
PG_FUNCTION_INFO_V1(partmgr_inherit_template_properties);
PG_FUNCTION_INFO_V1(partmgr_inherit_parent_properties);
PG_FUNCTION_INFO_V1(partmgr_inherit_replica_identity);
PG_FUNCTION_INFO_V1(partmgr_autovacuum_off);
PG_FUNCTION_INFO_V1(partmgr_autovacuum_reset);
PG_FUNCTION_INFO_V1(partmgr_apply_cluster);

/* a table of the caller's own, by schema and name as they stand in the catalogs */
static Oid
own_table(const char *schema, const char *name)
{
	const bool	missing_ok = false;
	Oid			table = get_relname_relid(name, get_namespace_oid(schema, missing_ok));
	char		kind = OidIsValid(table) ? get_rel_relkind(table) : '\0';

	if (!OidIsValid(table))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation \"%s.%s\" does not exist", schema, name)));
	pm_api_check_owner(table);
	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE && kind != RELKIND_FOREIGN_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s.%s\" is not a table", schema, name)));
	return table;
}

/* the same of two arguments that must not be null */
static Oid
table_argument(FunctionCallInfo fcinfo, int schema, const char *schema_name, int table, const char *table_name)
{
	pm_arg_not_null(fcinfo, schema, schema_name);
	pm_arg_not_null(fcinfo, table, table_name);
	return own_table(pm_arg_text(fcinfo, schema), pm_arg_text(fcinfo, table));
}

static void
run_as(Oid userid, List *statements)
{
	PmSpi		spi;
	ListCell   *lc;

	pm_spi_begin(&spi, userid);
	foreach(lc, statements)
		pm_spi_utility(lfirst(lc));
	pm_spi_end(&spi);
	CommandCounterIncrement();
}

/* two tables, for pm_lockwait_run */
typedef struct PairCall
{
	Oid			from;
	Oid			to;
	List	   *(*statements) (Oid to, Oid from);
} PairCall;

static void
run_pair(void *arg)
{
	PairCall   *call = arg;

	run_as(pm_catalog_owner(call->to), call->statements(call->to, call->from));
}

static void
give(Oid from, Oid to, List *(*statements) (Oid to, Oid from))
{
	PairCall	call = {.from = from, .to = to, .statements = statements};

	pm_lockwait_run(from, run_pair, &call);
}


/* ---------- privileges ---------- */

/* The owner first, as the caller, who must be a member of both; then as that owner. */
static void
give_privileges(void *arg)
{
	PairCall   *call = arg;
	Oid			owner = pm_catalog_owner(call->from);

	if (pm_catalog_owner(call->to) != owner)
		run_as(GetUserId(), list_make1(pm_ddl_owner(pm_qualified_name(call->to), owner)));
	run_as(owner, pm_ddl_privileges(call->to, call->from));
}

/*
 * partmgr_apply_privileges(p_parent_schema, p_parent_tablename, p_child_schema,
 * p_child_tablename, p_job_id) gives a table the owner and the privileges of
 * another one, those of columns and with grant option too, and takes all others away.
 * p_job_id is ignored.
 *
 * Locks: ACCESS EXCLUSIVE on the child if its owner changes.  Errors: not the owner.
 */
Datum
partmgr_apply_privileges(PG_FUNCTION_ARGS)
{
	PairCall	call = {0};

	pm_api_require();
	call.from = table_argument(fcinfo, 0, "p_parent_schema", 1, "p_parent_tablename");
	call.to = table_argument(fcinfo, 2, "p_child_schema", 3, "p_child_tablename");
	if (call.from != call.to)
		pm_lockwait_run(call.from, give_privileges, &call);
	PG_RETURN_VOID();
}

/* all partitions of a set, for pm_lockwait_run */
static void
give_all_privileges(void *arg)
{
	Oid			parent = *(Oid *) arg;
	ListCell   *lc;

	foreach(lc, pm_catalog_strings("SELECT inhrelid::text FROM pg_inherits WHERE inhparent = $1 ORDER BY inhrelid", parent))
	{
		PairCall	call = {.from = parent, .to = atooid(lfirst(lc))};

		CHECK_FOR_INTERRUPTS();
		pm_api_check_owner(call.to);
		give_privileges(&call);
	}
}

/*
 * partmgr_reapply_privileges(p_parent_table) does that for all partitions of a set,
 * the default too.
 */
Datum
partmgr_reapply_privileges(PG_FUNCTION_ARGS)
{
	Oid			parent;

	pm_api_require();
	parent = pm_api_own_set(fcinfo, 0, "p_parent_table");
	pm_lockwait_run(parent, give_all_privileges, &parent);
	PG_RETURN_VOID();
}


/* ---------- template table, parent ---------- */

/* what a partition lacks of the template table of its set */
static List *
template_statements(Oid to, Oid from)
{
	PartSet    *set = pm_config_read_one(from);
	PmTemplate	tmpl = {0};

	pm_template_table_read(set, to, &tmpl);
	pm_template_table_warn(set, &tmpl);
	return pm_ddl_template_apply(&tmpl, to);
}

/*
 * partmgr_inherit_template_properties(p_parent_table, p_child_schema,
 * p_child_tablename) gives a table what new partitions of a set take from its
 * template table.  False if the table is partitioned, since then it gets nothing.
 *
 * Locks: SHARE on the table, ACCESS EXCLUSIVE for a primary key, or if it becomes
 * LOGGED or UNLOGGED.  Errors: not the owner, not managed, no template table.
 */
Datum
partmgr_inherit_template_properties(PG_FUNCTION_ARGS)
{
	Oid			parent;
	Oid			child;

	pm_api_require();
	parent = pm_api_own_set(fcinfo, 0, "p_parent_table");
	child = table_argument(fcinfo, 1, "p_child_schema", 2, "p_child_tablename");
	if (!OidIsValid(pm_config_read_one(parent)->template_table))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table %s has no template table", pm_qualified_name(parent)),
				 errhint("Set template_table in part_config.")));
	if (get_rel_relkind(child) != RELKIND_RELATION)
		PG_RETURN_BOOL(false);
	give(parent, child, template_statements);
	PG_RETURN_BOOL(true);
}

/*
 * partmgr_inherit_parent_properties(p_parent_schema, p_parent_tablename,
 * p_child_tablename, p_child_schema) gives the columns of a table the statistics
 * targets of those of another one; p_child_schema NULL: in the same schema.
 */
Datum
partmgr_inherit_parent_properties(PG_FUNCTION_ARGS)
{
	Oid			parent;
	int			schema = PG_ARGISNULL(3) ? 0 : 3;

	pm_api_require();
	parent = table_argument(fcinfo, 0, "p_parent_schema", 1, "p_parent_tablename");
	give(parent, table_argument(fcinfo, schema, "p_child_schema", 2, "p_child_tablename"), pm_ddl_targets);
	PG_RETURN_VOID();
}

/*
 * partmgr_inherit_replica_identity(p_parent_schemaname, p_parent_tablename,
 * p_child_tablename) gives a partition in the same schema the replica identity of
 * its parent, by its part of the index if that is one.
 */
Datum
partmgr_inherit_replica_identity(PG_FUNCTION_ARGS)
{
	Oid			parent;

	pm_api_require();
	parent = table_argument(fcinfo, 0, "p_parent_schemaname", 1, "p_parent_tablename");
	give(parent, table_argument(fcinfo, 0, "p_parent_schemaname", 2, "p_child_tablename"), pm_ddl_identity_like);
	PG_RETURN_VOID();
}

/*
 * partmgr_apply_cluster(p_parent_schema, p_parent_tablename, p_child_schema,
 * p_child_tablename) has a table clustered by the same index as another one; a
 * partitioned table never is, so that nothing happens.
 */
Datum
partmgr_apply_cluster(PG_FUNCTION_ARGS)
{
	Oid			parent;

	pm_api_require();
	parent = table_argument(fcinfo, 0, "p_parent_schema", 1, "p_parent_tablename");
	give(parent, table_argument(fcinfo, 2, "p_child_schema", 3, "p_child_tablename"), pm_ddl_cluster_like);
	PG_RETURN_VOID();
}


/* ---------- autovacuum ---------- */

/* tables whose autovacuum is switched, for pm_lockwait_run */
typedef struct VacuumCall
{
	List	   *tables;
	bool		reset;
} VacuumCall;

static void
switch_all(void *arg)
{
	VacuumCall *call = arg;
	ListCell   *lc;

	foreach(lc, call->tables)
	{
		Oid			table = lfirst_oid(lc);

		pm_api_check_owner(table);
		run_as(pm_catalog_owner(table), list_make1(pm_ddl_rewrite_autovacuum(pm_qualified_name(table), call->reset)));
	}
}

static Datum
switch_autovacuum(FunctionCallInfo fcinfo, bool reset)
{
	VacuumCall	call = {.reset = reset};
	Oid			parent;
	ListCell   *lc;

	pm_api_require();
	parent = table_argument(fcinfo, 0, "p_parent_schema", 1, "p_parent_tablename");
	if (!PG_ARGISNULL(3))
		call.tables = list_make1_oid(table_argument(fcinfo, 2, "p_source_schema", 3, "p_source_tablename"));
	/* a partitioned table has no rows, and no such parameter */
	if (get_rel_relkind(parent) == RELKIND_RELATION)
		call.tables = list_append_unique_oid(call.tables, parent);
	foreach(lc, pm_catalog_strings("SELECT t.relid::oid::text FROM pg_partition_tree($1) t JOIN pg_class c ON c.oid = t.relid"
								   " WHERE c.relkind = 'r' ORDER BY t.relid::oid", parent))
		call.tables = list_append_unique_oid(call.tables, atooid(lfirst(lc)));
	pm_lockwait_run(parent, switch_all, &call);
	PG_RETURN_BOOL(true);
}

/*
 * partmgr_autovacuum_off(p_parent_schema, p_parent_tablename, p_source_schema,
 * p_source_tablename) keeps autovacuum from all partitions of a table, and from
 * another table.  Locks: SHARE UPDATE EXCLUSIVE on each.
 */
Datum
partmgr_autovacuum_off(PG_FUNCTION_ARGS)
{
	return switch_autovacuum(fcinfo, false);
}

/* partmgr_autovacuum_reset(...) lets it come again; the same arguments. */
Datum
partmgr_autovacuum_reset(PG_FUNCTION_ARGS)
{
	return switch_autovacuum(fcinfo, true);
}
