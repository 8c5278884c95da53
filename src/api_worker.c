/*-------------------------------------------------------------------------
 *
 * api_worker.c
 *		What the background worker is doing, for SQL.
 *
 * Reads the slots in shared memory; changes nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "commands/dbcommands.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "worker.h"

#include "compat.h"

PG_FUNCTION_INFO_V1(partmgr_worker_status);

/* What a user is told about a lane of a database. */
static const char *
state_name(const PmSlot *slot, const PmLaneSlot *lane)
{
	if (lane->pid != 0)
		return "working";
	if (lane->start != 0)
		return "starting";
	switch (slot->state)
	{
		case DB_UNKNOWN:
			return "unknown";
		case DB_WITHOUT:
			return "no extension";
		case DB_WITH:
			return "waiting";
		case DB_OUTDATED:
			return "needs update";
	}
	return NULL;				/* keep compiler quiet */
}

static const char *const lane_names[PM_LANES] = {
	[LANE_CREATE] = "create",
	[LANE_UPKEEP] = "upkeep",
	[LANE_REWRITE] = "rewrite"
};

static void
put_lane(ReturnSetInfo *rsinfo, const PmSlot *slot, PmLane lane)
{
	const PmLaneSlot *work = &slot->lanes[lane];
	char	   *database = get_database_name(slot->dboid);
	TimestampTz next_due = Max(work->next_due, work->not_before);
	Datum		values[6];
	bool		nulls[6] = {0};

	values[0] = ObjectIdGetDatum(slot->dboid);
	if (database != NULL)
		values[1] = CStringGetTextDatum(database);
	else
		nulls[1] = true;
	values[2] = CStringGetTextDatum(state_name(slot, work));
	values[3] = CStringGetTextDatum(lane_names[lane]);
	values[4] = TimestampTzGetDatum(next_due);
	nulls[4] = TIMESTAMP_NOT_FINITE(next_due);
	values[5] = Int32GetDatum(work->pid);
	nulls[5] = work->pid == 0;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * partmgr_worker_status() RETURNS SETOF record (datid oid, datname text,
 * state text, lane text, next_due timestamptz, pid int): a row for each lane of
 * each database that the launcher knows of.  next_due is when a worker may come again, and null for
 * "not unless something changes".
 */
Datum
partmgr_worker_status(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	PmSlot	   *slots;
	int			nslots;

	if (!has_privs_of_role(GetUserId(), ROLE_PG_MONITOR))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to see the state of the partmgr worker"),
				 errhint("Membership in role pg_monitor is required.")));

	InitMaterializedSRF(fcinfo, 0);
	slots = pm_slot_copy(&nslots);
	for (int i = 0; i < nslots; i++)
	{
		for (int lane = 0; lane < PM_LANES; lane++)
			put_lane(rsinfo, &slots[i], lane);
	}
	return (Datum) 0;
}
