/*-------------------------------------------------------------------------
 *
 * compat.h
 *		Differences between the major versions of PostgreSQL.
 *
 * The only place in the tree that asks for PG_VERSION_NUM.  Each difference
 * gets one name here, spelled like the newest version where that is possible,
 * and the callers use it without knowing that there is one.  Nothing here
 * decides anything about partitions.
 *
 * 15, 17, 18 and 19 are tested; 14 and 16 are kept possible.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PARTMGR_COMPAT_H
#define PARTMGR_COMPAT_H

#include "postgres.h"

#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/ipc.h"
#include "utils/acl.h"
#include "utils/wait_event.h"

#if PG_VERSION_NUM < 140000
#error partmgr needs PostgreSQL 14 or later
#endif

/*
 * Wait events: 17 lets an extension name its own, before that all extensions
 * share one.
 */
#if PG_VERSION_NUM >= 170000
#define pm_wait_event(name) WaitEventExtensionNew(name)
#else
#define pm_wait_event(name) PG_WAIT_EXTENSION
#endif

/* Ownership: 16 replaced a function per kind of object by one for all. */
#if PG_VERSION_NUM >= 160000
#define pm_owns_database(dboid, roleid) \
	object_ownercheck(DatabaseRelationId, dboid, roleid)
#else
#define pm_owns_database(dboid, roleid) \
	pg_database_ownercheck(dboid, roleid)
#endif

#if PG_VERSION_NUM >= 160000
#define pm_has_privilege(classid, objid, roleid, mode) \
	(object_aclcheck(classid, objid, roleid, mode) == ACLCHECK_OK)
#else
#define pm_has_privilege(classid, objid, roleid, mode) \
	(((classid) == NamespaceRelationId ? pg_namespace_aclcheck(objid, roleid, mode) : \
	  (classid) == TableSpaceRelationId ? pg_tablespace_aclcheck(objid, roleid, mode) : \
	  pg_proc_aclcheck(objid, roleid, mode)) == ACLCHECK_OK)
#endif

/* Names in text: 16 reports errors to a context, if there is one. */
#if PG_VERSION_NUM >= 160000
#define pm_name_list(text) stringToQualifiedNameList(text, NULL)
#else
#define pm_name_list(text) stringToQualifiedNameList(text)
#endif

/* ANALYZE of a parent without its partitions: since 18 */
#if PG_VERSION_NUM >= 180000
#define PM_ANALYZE_ONLY "ONLY "
#else
#define PM_ANALYZE_ONLY ""
#endif

/* Namespaces of storage parameters: 18 made them constant. */
#if PG_VERSION_NUM >= 180000
typedef const char *const PmOptionSpaces[];
#else
typedef char *PmOptionSpaces[];
#endif

/* The primary key of a table: 18 asks whether a deferrable one will do. */
#if PG_VERSION_NUM >= 180000
#define pm_primary_key_index(rel) RelationGetPrimaryKeyIndex(rel, false)
#else
#define pm_primary_key_index(rel) RelationGetPrimaryKeyIndex(rel)
#endif

/*
 * Shared memory: since 15 it has to be asked for in a hook of its own, before
 * that in _PG_init.
 */
#if PG_VERSION_NUM >= 150000
#define pm_on_shmem_request(function, previous) \
	((previous) = shmem_request_hook, shmem_request_hook = (function))
#else
#define pm_on_shmem_request(function, previous) \
	((previous) = NULL, (function) ())
typedef void (*shmem_request_hook_type) (void);
#endif

/* Running a portal at top level to its end: 18 dropped an argument. */
#if PG_VERSION_NUM >= 180000
#define pm_portal_run(portal, dest) \
	PortalRun(portal, FETCH_ALL, true, dest, dest, NULL)
#else
#define pm_portal_run(portal, dest) \
	PortalRun(portal, FETCH_ALL, true, true, dest, dest, NULL)
#endif

/* The list of all settings: 16 counts them in the same call. */
#if PG_VERSION_NUM >= 160000
#define pm_guc_variables(n) get_guc_variables(n)
#else
#define pm_guc_variables(n) (*(n) = GetNumConfigOptions(), get_guc_variables())
#endif

/* Statistics of a table: 16 gave the fields other names. */
#if PG_VERSION_NUM >= 160000
#define PM_LAST_ANALYZE(stats) ((stats)->last_analyze_time)
#define PM_LAST_AUTOANALYZE(stats) ((stats)->last_autoanalyze_time)
#define PM_LAST_VACUUM(stats) ((stats)->last_vacuum_time)
#define PM_LAST_AUTOVACUUM(stats) ((stats)->last_autovacuum_time)
#else
#define PM_LAST_ANALYZE(stats) ((stats)->analyze_timestamp)
#define PM_LAST_AUTOANALYZE(stats) ((stats)->autovac_analyze_timestamp)
#define PM_LAST_VACUUM(stats) ((stats)->vacuum_timestamp)
#define PM_LAST_AUTOVACUUM(stats) ((stats)->autovac_vacuum_timestamp)
#endif

/* The number of this process among all: 17 gave it a variable of its own. */
#if PG_VERSION_NUM >= 170000
#define pm_my_procno MyProcNumber
#else
#define pm_my_procno (MyProc->pgprocno)
#endif

/* That of another one, and what it is. */
#if PG_VERSION_NUM >= 170000
#define pm_number_of_proc(proc) GetNumberFromPGProc(proc)
#else
#define pm_number_of_proc(proc) ((proc)->pgprocno)
#endif
#if PG_VERSION_NUM >= 190000
#define pm_is_background_worker(proc) ((proc)->backendType == B_BG_WORKER)
#elif PG_VERSION_NUM >= 180000
#define pm_is_background_worker(proc) (!(proc)->isRegularBackend)
#else
#define pm_is_background_worker(proc) ((proc)->isBackgroundWorker)
#endif

/* Running a query: 18 dropped an argument. */
#if PG_VERSION_NUM >= 180000
#define PM_RUN_PARAMETERS QueryDesc *query, ScanDirection direction, uint64 count
#define PM_RUN_ARGUMENTS query, direction, count
#define pm_executor_run(query) ExecutorRun(query, ForwardScanDirection, 0)
#else
#define PM_RUN_PARAMETERS QueryDesc *query, ScanDirection direction, uint64 count, bool once
#define PM_RUN_ARGUMENTS query, direction, count, once
#define pm_executor_run(query) ExecutorRun(query, ForwardScanDirection, 0, true)
#endif

/* Everything that a hook of utility statements is called with, but for the statement. */
#define PM_UTILITY_PARAMETERS \
	const char *query_string, bool read_only_tree, ProcessUtilityContext context, \
	ParamListInfo params, QueryEnvironment *query_env, DestReceiver *dest, \
	QueryCompletion *completion
#define PM_UTILITY_ARGUMENTS(read_only) \
	query_string, read_only, context, params, query_env, dest, completion

/* Sessions and workers, at most: 14 counts them after shared memory was asked for. */
#if PG_VERSION_NUM >= 150000
#define pm_max_backends MaxBackends
#else
#define pm_max_backends \
	(MaxConnections + autovacuum_max_workers + 1 + max_worker_processes + max_wal_senders)
#endif

/* Planning: 19 has an argument for EXPLAIN. */
#if PG_VERSION_NUM >= 190000
#define pm_plan_statement(query, text) pg_plan_query(query, text, 0, NULL, NULL)
#else
#define pm_plan_statement(query, text) pg_plan_query(query, text, 0, NULL)
#endif

/* Rights that a query asks for: 16 moved them out of its range table. */
#if PG_VERSION_NUM >= 160000
#define pm_rights_of(plan) ((plan)->permInfos)
typedef RTEPermissionInfo PmRights;
#else
#define pm_rights_of(plan) ((plan)->rtable)
typedef RangeTblEntry PmRights;
#endif

/* The columns that an UPDATE sets: 18 keeps those of the tables that are left. */
#if PG_VERSION_NUM >= 180000
#define pm_update_columns(state) ((state)->mt_updateColnosLists)
#else
#define pm_update_columns(state) (castNode(ModifyTable, (state)->ps.plan)->updateColnosLists)
#endif

/* What MERGE does with rows that the target does not have: 17 sorts by kind. */
#if PG_VERSION_NUM >= 170000
#define pm_merge_not_matched(rri) ((rri)->ri_MergeActions[MERGE_WHEN_NOT_MATCHED_BY_TARGET])
#else
#define pm_merge_not_matched(rri) ((rri)->ri_notMatchedMergeAction)
#endif

/* The process of a virtual transaction: 17 has another number for it. */
#if PG_VERSION_NUM >= 170000
#define pm_vxid_proc(vxid) ProcNumberGetProc((vxid).procNumber)
#else
#define pm_vxid_proc(vxid) BackendIdGetProc((vxid).backendId)
#endif

/* Columns of one table in terms of another's: 16 can leave some out. */
#if PG_VERSION_NUM >= 160000
#define pm_attribute_map(to, from) build_attrmap_by_name(to, from, false)
#else
#define pm_attribute_map(to, from) build_attrmap_by_name(to, from)
#endif

/* NOT NULL: a constraint with a name since 18. */
#if PG_VERSION_NUM >= 180000
#define PM_NOT_NULL_HAS_NAME true
#else
#define PM_NOT_NULL_HAS_NAME false
#endif

/* Databases whose DROP was cut short: known since 15.4 and 14.9. */
#ifndef DATCONNLIMIT_INVALID_DB
#define DATCONNLIMIT_INVALID_DB (-2)
#endif

#endif							/* PARTMGR_COMPAT_H */
