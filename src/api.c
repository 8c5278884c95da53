/*-------------------------------------------------------------------------
 *
 * api.c
 *		What every SQL-callable function begins with: which table is meant,
 *		and may the caller do this to it.
 *
 * Our functions are SECURITY INVOKER and do their work as the owner of the
 * table, so the right of the caller is decided here and nowhere else: members
 * of the owner's role may change a set, they and pg_monitor and whoever may
 * SELECT from the parent may look at it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "api.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_tablespace.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "nodes/primnodes.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

#include "compat.h"

PG_FUNCTION_INFO_V1(partmgr_regclass_eq_text);

/* ---------- arguments ---------- */

/* by_oid reads the number that regclass prints for a relation that is gone. */
static Oid
by_oid(const char *text)
{
	Oid			relation;

	if (text[0] == '\0' || strspn(text, "0123456789") != strlen(text))
		return InvalidOid;
	relation = (Oid) strtoul(text, NULL, 10);
	return SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relation)) ?
		relation : InvalidOid;
}

/*
 * by_regclass looks a name up by the rules of regclass: folded unless quoted,
 * along the search path unless it has a schema.
 */
static Oid
by_regclass(const char *text)
{
	List	   *words;
	List	   *names = NIL;
	ListCell   *lc;

	if (!SplitIdentifierString(pstrdup(text), '.', &words) || words == NIL ||
		list_length(words) > 3)
		return InvalidOid;
	foreach(lc, words)
		names = lappend(names, makeString(pstrdup(lfirst(lc))));
	return RangeVarGetRelid(makeRangeVarFromNameList(names), NoLock, true);
}

/*
 * by_spelling looks a name up as pg_partman spells it: schema and table as
 * they stand in the catalogs, unquoted, with a single dot between.
 */
static Oid
by_spelling(const char *text, Oid other)
{
	const char *dot = strchr(text, '.');
	char	   *schema;
	Oid			schema_oid;
	Oid			relation;

	if (dot == NULL || strchr(dot + 1, '.') != NULL)
		return InvalidOid;
	schema = pnstrdup(text, dot - text);
	schema_oid = get_namespace_oid(schema, true);
	if (!OidIsValid(schema_oid))
		return InvalidOid;
	relation = get_relname_relid(dot + 1, schema_oid);
	if (!OidIsValid(relation) || relation == other)
		return relation;

	/* a name in a schema that the caller cannot use does not count, or fails */
	if (!pm_has_privilege(NamespaceRelationId, schema_oid, GetUserId(), ACL_USAGE))
	{
		if (OidIsValid(other))
			return InvalidOid;
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_SCHEMA, schema);
	}
	return relation;
}

/*
 * find_relation looks a table up by its name, in either spelling; InvalidOid
 * if there is none.
 */
static Oid
find_relation(const char *text)
{
	Oid			relation = by_oid(text);
	Oid			spelled;

	if (!OidIsValid(relation))
		relation = by_regclass(text);
	spelled = by_spelling(text, relation);

	if (OidIsValid(relation) && OidIsValid(spelled) && relation != spelled)
		ereport(ERROR,
				(errcode(ERRCODE_AMBIGUOUS_PARAMETER),
				 errmsg("table name \"%s\" is ambiguous", text),
				 errdetail("It can mean %s or %s.", pm_qualified_name(relation),
						   pm_qualified_name(spelled)),
				 errhint("Pass a regclass, with quotes around the names that need them.")));
	return OidIsValid(relation) ? relation : spelled;
}

/* relation_by_name reads a table argument that came as text. */
static Oid
relation_by_name(const char *text)
{
	Oid			relation = find_relation(text);

	if (!OidIsValid(relation))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation \"%s\" does not exist", text)));
	return relation;
}

/*
 * partmgr_regclass_eq_text(regclass, text) is the operator that lets people
 * write WHERE parent_table = 'public.events', as in pg_partman.  Without it
 * PostgreSQL takes regclass = 'literal' for a comparison of OIDs.  A name that
 * does not exist is equal to nothing.
 */
Datum
partmgr_regclass_eq_text(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(1));
	Oid			relation = find_relation(name);

	PG_RETURN_BOOL(OidIsValid(relation) && relation == PG_GETARG_OID(0));
}

/* declared_as_text tells whether an argument's declared type is text. */
static bool
declared_as_text(FunctionCallInfo fcinfo, int argno)
{
	Oid		   *types;
	int			ntypes;

	(void) get_func_signature(fcinfo->flinfo->fn_oid, &types, &ntypes);
	if (argno >= ntypes)
		elog(ERROR, "function %u has no argument %d", fcinfo->flinfo->fn_oid, argno);
	return types[argno] == TEXTOID;
}

/*
 * pm_arg_relation reads a table argument, declared as text or as regclass; an
 * error if there is no such relation.  NULL sets isnull.
 *
 * Takes no lock: who goes on to change something locks, and looks again.
 */
Oid
pm_arg_relation(FunctionCallInfo fcinfo, int argno, bool *isnull)
{
	Oid			relation;

	*isnull = PG_ARGISNULL(argno);
	if (*isnull)
		return InvalidOid;
	if (declared_as_text(fcinfo, argno))
		return relation_by_name(text_to_cstring(PG_GETARG_TEXT_PP(argno)));

	relation = PG_GETARG_OID(argno);
	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relation)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relation)));
	return relation;
}

/* pm_arg_text reads a text argument; NULL if it is null. */
char *
pm_arg_text(FunctionCallInfo fcinfo, int argno)
{
	return PG_ARGISNULL(argno) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(argno));
}

/* pm_arg_not_null raises an error if an argument is null. */
void
pm_arg_not_null(FunctionCallInfo fcinfo, int argno, const char *name)
{
	if (PG_ARGISNULL(argno))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name)));
}

/* ---------- rights ---------- */

/*
 * pm_api_require raises an error unless the extension's SQL is there, in the
 * version of this library.  First thing in every SQL function.
 */
void
pm_api_require(void)
{
	PmExtension ext;

	pm_extension_require(&ext);
}

/* pm_api_owns tells whether the caller is a member of a relation's owner. */
bool
pm_api_owns(Oid relation)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		return false;
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return has_privs_of_role(GetUserId(), owner);
}

/* pm_api_check_owner raises core's error unless the caller owns a relation. */
void
pm_api_check_owner(Oid relation)
{
	if (!pm_api_owns(relation))
		aclcheck_error(ACLCHECK_NOT_OWNER,
					   get_relkind_objtype(get_rel_relkind(relation)),
					   get_rel_name(relation));
}

/* pm_api_may_read tells whether the caller may look at a set. */
bool
pm_api_may_read(Oid relation)
{
	return pm_api_owns(relation) ||
		has_privs_of_role(GetUserId(), ROLE_PG_MONITOR) ||
		pg_class_aclcheck(relation, GetUserId(), ACL_SELECT) == ACLCHECK_OK;
}

/* pm_api_check_read raises core's error unless the caller may look at a set. */
void
pm_api_check_read(Oid relation)
{
	if (!pm_api_may_read(relation))
		aclcheck_error(ACLCHECK_NO_PRIV,
					   get_relkind_objtype(get_rel_relkind(relation)),
					   get_rel_name(relation));
}

/* ---------- sets ---------- */

/* pm_api_not_managed raises the error for a table that is no set. */
void
pm_api_not_managed(Oid relation)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("table \"%s\" is not managed by partmgr", get_rel_name(relation)),
			 errhint("Use create_parent() to manage it.")));
}

/*
 * pm_api_own_set reads an argument that must name a set of the caller's own;
 * every other case is an error.
 */
Oid
pm_api_own_set(FunctionCallInfo fcinfo, int argno, const char *name)
{
	bool		isnull;
	Oid			relation;

	pm_arg_not_null(fcinfo, argno, name);
	relation = pm_arg_relation(fcinfo, argno, &isnull);
	pm_api_check_owner(relation);
	if (!pm_config_exists(relation))
		pm_api_not_managed(relation);
	return relation;
}

/* pm_api_check_no_holds refuses to end a set of which something must stay. */
void
pm_api_check_no_holds(Oid parent)
{
	if (pm_hold_exists(parent))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("table \"%s\" has holds", get_rel_name(parent)),
				 errhint("See list_holds(), and end them with release_hold().")));
}

/*
 * pm_api_own_sets returns the parents of all sets of the caller's own, as
 * pm_config_parents does; those of others are left out silently.
 */
List *
pm_api_own_sets(bool automatic_only, bool armed_only)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, pm_config_parents(automatic_only, armed_only))
	{
		if (pm_api_owns(lfirst_oid(lc)))
			result = lappend_oid(result, lfirst_oid(lc));
	}
	return result;
}

/* ---------- statistics ---------- */

static TimestampTz
stat_time(PGFunction function, Oid relation)
{
	LOCAL_FCINFO(call, 1);
	Datum		result;

	InitFunctionCallInfoData(*call, NULL, 1, InvalidOid, NULL, NULL);
	call->args[0].value = ObjectIdGetDatum(relation);
	call->args[0].isnull = false;
	result = function(call);
	return call->isnull ? 0 : DatumGetTimestampTz(result);
}

/*
 * pm_api_last_time asks two functions such as pg_stat_get_last_analyze_time
 * and pg_stat_get_last_autoanalyze_time when something was done last; 0 for
 * never.
 */
TimestampTz
pm_api_last_time(PGFunction manual, PGFunction automatic, Oid relation)
{
	return Max(stat_time(manual, relation), stat_time(automatic, relation));
}

/* ---------- triggers ---------- */

/*
 * pm_api_trigger raises an error unless we are called as a row trigger on
 * a table of the extension: everybody could put the function on his own.
 */
TriggerData *
pm_api_trigger(FunctionCallInfo fcinfo)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	PmExtension ext;

	pm_extension_require(&ext);
	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(data->tg_event) ||
		getExtensionOfObject(RelationRelationId,
							 RelationGetRelid(data->tg_relation)) != ext.oid)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function can only be called as a trigger of extension \"partmgr\"")));
	return data;
}
