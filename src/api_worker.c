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

/* What a user is told about a database. */
static const char *
state_name(const PmSlot *slot)
{
	if (slot->pid != 0)
		return "working";
	if (slot->start != 0)
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

/*
 * partmgr_worker_status() RETURNS SETOF record (datid oid, datname text,
 * state text, next_due timestamptz, pid int): a row per database that the
 * launcher knows of.  next_due is when a worker may come again, and null for
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
		const PmSlot *slot = &slots[i];
		char	   *database = get_database_name(slot->dboid);
		TimestampTz next_due = Max(slot->next_due, slot->not_before);
		Datum		values[5];
		bool		nulls[5] = {0};

		values[0] = ObjectIdGetDatum(slot->dboid);
		if (database != NULL)
			values[1] = CStringGetTextDatum(database);
		else
			nulls[1] = true;
		values[2] = CStringGetTextDatum(state_name(slot));
		values[3] = TimestampTzGetDatum(next_due);
		nulls[3] = TIMESTAMP_NOT_FINITE(next_due);
		values[4] = Int32GetDatum(slot->pid);
		nulls[4] = slot->pid == 0;
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
