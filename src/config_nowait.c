/*-------------------------------------------------------------------------
 *
 * config_nowait.c
 *		Sets, for statements of others that must not wait for us.
 *
 * Somebody may have locked one of our tables, in a transaction that goes on for
 * hours; a row that is inserted meanwhile has nothing to do with that.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "config.h"
#include "internal.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"

static const char *const set_tables[] = {"part_config", "part_config_sub", "part_state", "part_detached", "part_hold"};

/*
 * try_lock_tables locks the first n of the tables that a set is read from, if
 * that can be had at once, and returns the first one's OID; InvalidOid if not.
 */
static Oid
try_lock_tables(const PmExtension *ext, int n)
{
	Oid			namespace = get_namespace_oid(ext->schema, false);
	Oid			oids[lengthof(set_tables)];

	for (int i = 0; i < n; i++)
	{
		oids[i] = get_relname_relid(set_tables[i], namespace);
		if (OidIsValid(oids[i]) && ConditionalLockRelationOid(oids[i], AccessShareLock))
			continue;
		while (i-- > 0)
			UnlockRelationOid(oids[i], AccessShareLock);
		return InvalidOid;
	}
	return oids[0];
}

static void
unlock_tables(const PmExtension *ext, int n)
{
	Oid			namespace = get_namespace_oid(ext->schema, false);

	for (int i = 0; i < n; i++)
		UnlockRelationOid(get_relname_relid(set_tables[i], namespace), AccessShareLock);
}

/*
 * pm_config_read_nowait reads one set, NULL if the table is not managed, or not
 * by a configuration that can be understood.  It waits for nobody, and *busy
 * tells that one of our tables is locked.
 */
PartSet *
pm_config_read_nowait(Oid parent, bool *busy)
{
	PmExtension ext;
	PartSet    *set;

	*busy = false;
	if (!pm_extension_find(&ext) || ext.needs_update)
		return NULL;
	*busy = !OidIsValid(try_lock_tables(&ext, lengthof(set_tables)));
	if (*busy)
		return NULL;
	set = pm_config_read_row(&ext, parent);
	unlock_tables(&ext, lengthof(set_tables));
	return set && set->problem ? NULL : set;
}

/*
 * pm_config_on_demand_nowait returns the OIDs of all sets with on_demand, and in
 * *config that of part_config: InvalidOid if it is not there, or locked.
 */
List *
pm_config_on_demand_nowait(Oid *config)
{
	PmExtension ext;
	List	   *result = NIL;
	Relation	rel;
	SysScanDesc scan;
	Snapshot	snapshot;
	HeapTuple	tuple;
	int			place;

	*config = InvalidOid;
	if (!pm_extension_find(&ext) || ext.needs_update)
		return NIL;
	*config = try_lock_tables(&ext, 1);
	if (!OidIsValid(*config))
		return NIL;
	rel = table_open(*config, NoLock);
	place = get_attnum(*config, "on_demand");
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan = systable_beginscan(rel, InvalidOid, false, snapshot, 0, NULL);
	while ((tuple = systable_getnext(scan)) != NULL)
	{
		bool		isnull;

		if (DatumGetBool(heap_getattr(tuple, place, RelationGetDescr(rel), &isnull)))
			result = lappend_oid(result, DatumGetObjectId(heap_getattr(tuple, 1, RelationGetDescr(rel), &isnull)));
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
	return result;
}
