/*-------------------------------------------------------------------------
 *
 * api_retire.c
 *		SQL functions about what retention must not take, or has taken:
 *		hold_partition, release_hold, list_holds, reattach_partition; and
 *		drop_default.
 *
 * Each reads its arguments and checks the caller's right.  Who may change a set
 * may hold, release and reattach; why something is held is for him and for
 * pg_monitor.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "api.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "create_parent.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "compat.h"

PG_FUNCTION_INFO_V1(partmgr_hold_partition);
PG_FUNCTION_INFO_V1(partmgr_release_hold);
PG_FUNCTION_INFO_V1(partmgr_list_holds);
PG_FUNCTION_INFO_V1(partmgr_reattach_partition);
PG_FUNCTION_INFO_V1(partmgr_drop_default);

/* one call about a set, for pm_lockwait_run */
typedef struct RetireCall
{
	Oid			parent;
	LOCKMODE	mode;
	Oid			partition;		/* reattach_partition */
	int64		rows;			/* drop_default: how many there were */
} RetireCall;

/*
 * lock_own locks a set of the caller's own; who owns it may have changed while
 * we waited.
 */
static void
lock_own(void *arg)
{
	const RetireCall *call = arg;
	Oid			parent = call->parent;

	LockRelationOid(parent, call->mode);
	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(parent)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", parent)));
	pm_api_check_owner(parent);
}

/* ---------- holds ---------- */

/* where a number means time, an end is written as time, or as that number */
static bool
is_raw_number(const PartKey *key, const char *text)
{
	if (key->axis == AXIS_ID || key->type == TIMESTAMPTZOID ||
		key->type == TIMESTAMPOID || key->type == DATEOID)
		return false;
	if (key->codec && key->type != INT8OID && key->type != NUMERICOID)
		return false;
	text += text[0] == '-';
	return text[0] != '\0' && text[strspn(text, "0123456789")] == '\0';
}

/* read_end reads one end of a hold as a position in text; NULL if it is open. */
static char *
read_end(const PartSet *set, const char *text, int64 *pos)
{
	const PartKey *key = &set->key;
	Datum		value;
	int64		raw;

	if (text == NULL)
		return NULL;
	if (!is_raw_number(key, text))
		*pos = pm_adopt_position(key, set->grid.zone, text);
	else if (key->codec)
	{
		if (!pm_codec_input(key, text, &value, &raw) || !pm_key_position(key, raw, true, pos))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"%s\" is no value of a key of table \"%s\"", text, set->name)));
	}
	else if (!pm_key_position(key, DatumGetInt64(DirectFunctionCall1(int8in, CStringGetDatum(text))),
							  true, pos))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" is no value of a key of table \"%s\"", text, set->name)));
	return pm_position_text(key, *pos);
}

/*
 * partmgr_hold_partition(p_parent_table, p_from, p_to, p_reason) keeps what
 * overlaps [from, to) from being retired or dropped; null is an open end, and
 * two of them are the whole set.  Returns the number of the hold.
 *
 * Locks: SHARE UPDATE EXCLUSIVE on the parent, and the marks of what is
 * detached: whoever retires at this moment has done so, or will see it.
 */
Datum
partmgr_hold_partition(PG_FUNCTION_ARGS)
{
	Oid			parent;
	char	   *reason;
	char	   *lower;
	char	   *upper;
	int64		from;
	int64		to;
	PartSet    *set;
	RetireCall	call = {.mode = ShareUpdateExclusiveLock};

	pm_api_require();
	call.parent = parent = pm_api_own_set(fcinfo, 0, "p_parent_table");
	pm_arg_not_null(fcinfo, 3, "p_reason");
	reason = pm_arg_text(fcinfo, 3);
	if (reason[strspn(reason, " \t\n")] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("p_reason must not be empty")));
	pm_lockwait_run(parent, lock_own, &call);
	set = pm_config_read_one(parent);
	if (set == NULL)
		pm_api_not_managed(parent);
	lower = read_end(set, pm_arg_text(fcinfo, 1), &from);
	upper = read_end(set, pm_arg_text(fcinfo, 2), &to);
	if (lower && upper && from >= to)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("p_from must be less than p_to"),
				 errdetail("The range of a hold begins with p_from and ends before p_to.")));
	PG_RETURN_INT64(pm_hold_add(parent, lower, upper, reason,
								GetUserNameFromId(GetUserId(), false)));
}

/* partmgr_release_hold(p_hold) ends a hold; an error if there is none. */
Datum
partmgr_release_hold(PG_FUNCTION_ARGS)
{
	Oid			parent;
	int64		id;

	pm_api_require();
	pm_arg_not_null(fcinfo, 0, "p_hold");
	id = PG_GETARG_INT64(0);
	parent = pm_hold_find(id);
	if (!OidIsValid(parent))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("hold " INT64_FORMAT " does not exist", id)));
	pm_api_check_owner(parent);
	pm_hold_delete(id);
	PG_RETURN_VOID();
}

/* may_see_holds tells whether the caller may see why something is held. */
static bool
may_see_holds(Oid parent)
{
	return pm_api_owns(parent) || has_privs_of_role(GetUserId(), ROLE_PG_MONITOR);
}

/* looks_with_holds looks at the set of the first argument, or all if it is null. */
static List *
looks_with_holds(FunctionCallInfo fcinfo)
{
	const bool	automatic_only = false;
	const bool	armed_only = false;
	bool		all;
	Oid			parent = pm_arg_relation(fcinfo, 0, &all);
	List	   *parents = NIL;
	ListCell   *lc;

	if (!all)
	{
		if (!may_see_holds(parent))
			pm_api_check_owner(parent);
		if (!pm_config_exists(parent))
			pm_api_not_managed(parent);
		return list_make1(pm_catalog_look(pm_config_read_one(parent)));
	}
	foreach(lc, pm_config_parents(automatic_only, armed_only))
	{
		if (may_see_holds(lfirst_oid(lc)))
			parents = lappend_oid(parents, lfirst_oid(lc));
	}
	return pm_catalog_look_many(pm_config_read(parents));
}

/* covered returns the partitions, attached and detached, that a hold keeps. */
static Datum
covered(const PmLook *look, const PmHold *hold)
{
	Datum	   *oids = palloc(sizeof(Datum) * Max(1, list_length(look->partitions) +
												  list_length(look->set->marks)));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, look->set->marks)
	{
		const PmMark *mark = lfirst(lc);

		if (!mark->is_attached && pm_plan_covers(&hold->bound, mark->partition))
			oids[n++] = ObjectIdGetDatum(mark->partition->oid);
	}
	foreach(lc, look->partitions)
	{
		const Partition *partition = lfirst(lc);

		if (pm_plan_covers(&hold->bound, partition))
			oids[n++] = ObjectIdGetDatum(partition->oid);
	}
	return PointerGetDatum(construct_array(oids, n, REGCLASSOID, sizeof(Oid),
										   true, TYPALIGN_INT));
}

static void
list_hold(FunctionCallInfo fcinfo, const PmLook *look, const PmHold *hold)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	const PartKey *key = &look->set->key;
	const PartBound *bound = &hold->bound;
	Datum		values[8];
	bool		nulls[8] = {false};

	values[0] = Int64GetDatum(hold->id);
	values[1] = ObjectIdGetDatum(look->set->parent);
	nulls[2] = bound->lower_open;
	if (!bound->lower_open)
		values[2] = CStringGetTextDatum(pm_position_text(key, bound->lower));
	nulls[3] = bound->upper_open;
	if (!bound->upper_open)
		values[3] = CStringGetTextDatum(pm_position_text(key, bound->upper));
	values[4] = CStringGetTextDatum(hold->reason);
	values[5] = CStringGetTextDatum(hold->held_by);
	values[6] = TimestampTzGetDatum(hold->held_at);
	values[7] = covered(look, hold);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * partmgr_list_holds(p_parent_table) lists the holds of a set, or of all that
 * the caller may see, with the partitions that each of them keeps.
 */
Datum
partmgr_list_holds(PG_FUNCTION_ARGS)
{
	ListCell   *lc;
	ListCell   *lc2;

	pm_api_require();
	InitMaterializedSRF(fcinfo, 0);
	foreach(lc, looks_with_holds(fcinfo))
	{
		PmLook	   *look = lfirst(lc);

		CHECK_FOR_INTERRUPTS();
		foreach(lc2, look->set->holds)
			list_hold(fcinfo, look, lfirst(lc2));
	}
	return (Datum) 0;
}

/* ---------- partitions that come back ---------- */

static void
call_reattach(void *arg)
{
	const RetireCall *call = arg;

	if (OidIsValid(call->parent))
		lock_own(arg);
	pm_reattach(call->parent, call->partition, GetCurrentTransactionStartTimestamp());
}

/*
 * partmgr_reattach_partition(p_partition) puts back a partition that retention
 * has detached.  Locks and errors: see pm_reattach.
 */
Datum
partmgr_reattach_partition(PG_FUNCTION_ARGS)
{
	bool		isnull;
	RetireCall	call = {.mode = ShareUpdateExclusiveLock};

	pm_api_require();
	pm_arg_not_null(fcinfo, 0, "p_partition");
	call.partition = pm_arg_relation(fcinfo, 0, &isnull);
	pm_api_check_owner(call.partition);
	call.parent = pm_mark_find(call.partition);
	pm_lockwait_run(call.parent, call_reattach, &call);
	PG_RETURN_VOID();
}

/* ---------- the default ---------- */

static void
call_drop_default(void *arg)
{
	RetireCall *call = arg;

	lock_own(arg);
	call->rows = pm_drop_default(call->parent, GetCurrentTransactionStartTimestamp());
}

/*
 * partmgr_drop_default(p_parent_table) gives the rows of the default partition
 * partitions of their own, and drops it; returns how many rows there were.
 * Locks and errors: see pm_drop_default.
 */
Datum
partmgr_drop_default(PG_FUNCTION_ARGS)
{
	RetireCall	call = {.mode = AccessExclusiveLock};

	pm_api_require();
	call.parent = pm_api_own_set(fcinfo, 0, "p_parent_table");
	pm_lockwait_run(call.parent, call_drop_default, &call);

	/* what its rows kept from being made, or counted, is due */
	pm_config_make_due(call.parent, GetCurrentTimestamp());
	pm_worker_wake();
	PG_RETURN_INT64(call.rows);
}
