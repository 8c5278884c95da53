/*-------------------------------------------------------------------------
 *
 * api_release.c
 *		SQL functions that let a set go, and that let a restored one be
 *		maintained again: config_cleanup, resume_maintenance.
 *
 * Neither touches a table of the user's, but for the template table that was made
 * for him.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "api.h"

#include "compat.h"

PG_FUNCTION_INFO_V1(partmgr_config_cleanup);
PG_FUNCTION_INFO_V1(partmgr_resume_maintenance);

static bool
bool_argument(FunctionCallInfo fcinfo, int argno, const char *name)
{
	pm_arg_not_null(fcinfo, argno, name);
	return PG_GETARG_BOOL(argno);
}

static void
tell_removed(Oid parent, const char *table, bool removed)
{
	ereport(NOTICE,
			(removed ? errmsg("table %s is removed from %s", pm_qualified_name(parent), table) :
			 errmsg("there is nothing of table %s in %s", pm_qualified_name(parent), table)));
}

/*
 * partmgr_config_cleanup(p_parent_table, p_config_table, p_config_sub_table,
 * p_template_table) forgets a set; its tables stay.  A hold is not forgotten by the
 * way: whoever ends it says so.
 */
Datum
partmgr_config_cleanup(PG_FUNCTION_ARGS)
{
	const bool	replace = true;
	Oid			parent;
	bool		config;
	bool		drop_template;

	pm_api_require();
	parent = pm_api_own_set(fcinfo, 0, "p_parent_table");
	config = bool_argument(fcinfo, 1, "p_config_table");
	drop_template = bool_argument(fcinfo, 3, "p_template_table");
	if (config)
		pm_api_check_no_holds(parent);
	if (bool_argument(fcinfo, 2, "p_config_sub_table"))
		tell_removed(parent, "part_config_sub", pm_sub_delete(parent));
	if (config)
	{
		pm_exclude_forget(parent);
		tell_removed(parent, "part_config", drop_template ? pm_set_forget(parent) :
					 pm_config_delete(parent, !replace));
	}
	PG_RETURN_VOID();
}

/*
 * partmgr_resume_maintenance(p_parent_table) lets a set that came out of a
 * dump be maintained, or all of the caller's; returns how many.
 */
Datum
partmgr_resume_maintenance(PG_FUNCTION_ARGS)
{
	const bool	automatic_only = true;
	const bool	armed_only = true;
	List	   *parents;
	int			resumed;

	pm_api_require();
	parents = PG_ARGISNULL(0) ?
		pm_api_own_sets(!automatic_only, !armed_only) :
		list_make1_oid(pm_api_own_set(fcinfo, 0, "p_parent_table"));
	resumed = pm_config_arm(parents, GetCurrentTransactionStartTimestamp());
	if (resumed > 0)
		pm_worker_wake();
	PG_RETURN_INT64(resumed);
}
