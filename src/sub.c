/*-------------------------------------------------------------------------
 *
 * sub.c
 *		Sets whose partitions are sets themselves.
 *
 * A partition that is made for such a set is made partitioned, attached, and then
 * managed like any table: create_parent is the only way to a set.  What it can hold
 * are the limits of the new set, which the planner knows.
 *
 * A partition that is there already, with rows, becomes the default of a new one
 * under its name.  That touches no row, and what drains defaults gives the rows
 * partitions of their own: online, and by the worker.
 *
 * Never drops a partition that has a row.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "create_parent.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "compat.h"

/* ---------- a new one ---------- */

static bool
is_true(const char *value)
{
	return value != NULL && strcmp(value, "true") == 0;
}

/* the calendar of a new set: never that of the session that happens to make it */
static const char *
zone_for(Oid parent, const CreateOrder *order)
{
	const char *zone = pm_sub_value(parent, "time_zone");
	PartSet    *set = zone ? NULL : pm_config_read_one(parent);
	Oid			type = getBaseType(get_atttype(order->parent, get_attnum(order->parent, order->control)));
	bool		is_number = type == INT2OID || type == INT4OID || type == INT8OID || type == NUMERICOID;

	if (zone || (is_number && strcmp(order->epoch, "none") == 0 && order->encoder == NULL))
		return zone;
	return set && set->grid.zone ? pg_get_timezone_name(set->grid.zone) : "UTC";
}

/* the order that makes a set of a partition, as the row of its parent says */
static CreateOrder *
order_for(const PartSet *set, Oid partition, TimestampTz now)
{
	Oid			parent = set->parent;
	CreateOrder *order = palloc0(sizeof(CreateOrder));

	if (pm_sub_value(parent, "control") == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("partitions of table %s are no sets any more", pm_qualified_name(parent)),
				 errhint("Try again.")));
	order->parent = partition;
	order->like = parent;
	order->now = now;
	order->control = set->sub->control;
	order->interval = pm_sub_value(parent, "partition_interval");
	order->type = pm_sub_value(parent, "partition_type");
	order->epoch = pm_sub_value(parent, "epoch");
	order->premake = pg_strtoint32(pm_sub_value(parent, "premake"));
	order->default_table = is_true(pm_sub_value(parent, "default_table"));
	order->automatic = pm_sub_value(parent, "automatic_maintenance");
	order->has_template = true; /* one for all: the settings name it */
	order->jobmon = is_true(pm_sub_value(parent, "jobmon"));
	order->date_trunc = pm_sub_value(parent, "date_trunc_interval");
	order->control_not_null = is_true(pm_sub_value(parent, "control_not_null"));
	order->encoder = pm_sub_value(parent, "time_encoder");
	order->decoder = pm_sub_value(parent, "time_decoder");
	order->time_zone = zone_for(parent, order);
	order->name_format = pm_sub_value(parent, "name_format");
	order->keep_table = is_true(pm_sub_value(parent, "retention_keep_table"));
	order->inherit_privileges = is_true(pm_sub_value(parent, "inherit_privileges"));
	order->on_demand = is_true(pm_sub_value(parent, "on_demand"));
	return order;
}

/* a partition of the same parent whose partitions are sets themselves, or InvalidOid */
static Oid
sibling_with_sub(Oid parent, Oid partition)
{
	return pm_config_select_oid("SELECT b.sub_parent::oid FROM %b b JOIN pg_inherits i ON i.inhrelid = b.sub_parent"
								" WHERE i.inhparent = $1 AND i.inhrelid <> $2 ORDER BY i.inhrelid DESC LIMIT 1",
								2, (Oid[]) {OIDOID, OIDOID},
								(Datum[]) {ObjectIdGetDatum(parent), ObjectIdGetDatum(partition)});
}

/* one try to give a new set its settings, for pm_attempt */
typedef struct SettleCall
{
	Oid			parent;
	Oid			partition;
} SettleCall;

static void
call_settle(void *arg)
{
	SettleCall *call = arg;

	pm_sub_copy_settings(call->parent, call->partition, false);
}

/*
 * pm_sub_settle gives a new set the settings of its siblings.  Some may have lost their
 * sense, as a schema that is gone; then nothing is retired there, and partitions are made
 * nevertheless.
 */
void
pm_sub_settle(Oid parent, const PartSet *set)
{
	SettleCall	call = {.parent = parent, .partition = set->parent};
	ErrorData  *edata = pm_attempt(call_settle, &call);

	if (edata == NULL)
		return;
	ereport(WARNING,
			(errcode(edata->sqlerrcode),
			 errmsg("table %s has no retention, template table and extra constraints: %s",
					pm_full_name(set), edata->message),
			 errhint("Correct part_config_sub, and the row of the table in part_config.")));
	pm_sub_copy_settings(parent, set->parent, true);
}

/*
 * manage makes a set of a partition that is partitioned; start is where its first
 * partitions are wanted, or NULL.  With defer they are left to the next run: each of
 * them would have the rows of the default read.
 */
static void
manage(const PartSet *set, Oid partition, const char *start, bool defer, TimestampTz now)
{
	CreateOrder *order;

	if (pm_config_exists(partition))
		return;
	order = order_for(set, partition, now);
	order->start = start;
	order->defer = defer;
	order->sibling = sibling_with_sub(set->parent, partition);
	(void) pm_create_parent(order);
	if (!order->default_table && OidIsValid(get_default_partition_oid(partition)) && !order->defer)
		(void) pm_drop_default(partition, now);
}

/*
 * pm_make carries a step of a plan out, and makes a set of the partition that it has
 * made if the partitions of the set are such.
 *
 * Locks: see pm_ddl_locks.
 */
void
pm_make(const PmLook *look, const PmTemplate *tmpl, const PlanStep *step, TimestampTz now)
{
	const PartSet *set = look->set;

	pm_ddl_apply(look, tmpl, step, now);
	if (set->sub && (step->kind == STEP_CREATE || step->kind == STEP_DRAIN))
		manage(set, get_relname_relid(step->name, get_namespace_oid(set->schema, false)), NULL, false, now);
}


/* ---------- those that are there ---------- */

/* what a partition has of its own, which the table that takes its name would not have */
#define OWN_THINGS \
	"SELECT 'row security' FROM pg_class WHERE oid = $1 AND (relrowsecurity OR relforcerowsecurity)" \
	" UNION ALL SELECT format('policy %I', polname) FROM pg_policy WHERE polrelid = $1" \
	" UNION ALL SELECT format('constraint %I', conname) FROM pg_constraint WHERE conrelid = $1 AND contype IN ('c', 'f', 'x')" \
	"  AND conparentid = 0 AND coninhcount = 0 AND conname NOT LIKE 'partmanconstr\\_%'" \
	" UNION ALL SELECT format('trigger %I', tgname) FROM pg_trigger WHERE tgrelid = $1 AND NOT tgisinternal AND tgparentid = 0" \
	" UNION ALL SELECT format('rule %I', rulename) FROM pg_rewrite WHERE ev_class = $1" \
	" UNION ALL SELECT format('a place in publication %I', pubname) FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE prrelid = $1" \
	" UNION ALL SELECT format('view %s', r.ev_class::regclass) FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid" \
	"  WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND r.ev_class <> $1"

/*
 * check_convertible refuses what would be lost with a partition's table, or refused by
 * core in the middle, in words that tell why.  Who does not own it may not see its
 * rows, so it is not even asked for them.
 */
static void
check_convertible(const PartSet *set, const PmTemplate *tmpl, const Partition *partition)
{
	List	   *own;

	pm_catalog_refuse_foreign(set, partition);
	own = pm_catalog_strings(OWN_THINGS, partition->oid);
	if (own != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("partition %s has %s of its own", pm_full_name(partition), (char *) linitial(own)),
				 errdetail("The table that takes its place would be without."),
				 errhint("Drop it, and make it again afterwards, or have it on the parent.")));
	if (tmpl->has_incoming_fk && pm_catalog_has_rows(partition))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("rows of partition %s cannot be partitioned while foreign keys point at table %s",
						pm_full_name(partition), pm_full_name(set)),
				 errhint("Drop them, and add them again afterwards.")));
}

/*
 * pm_sub_convert makes a set of a partition that is not partitioned; start is where
 * its first partitions are wanted, or NULL.  *budget is how many kB of rows may still
 * be read under the locks: those of a partition beyond it wait for the worker.
 *
 * Locks: ACCESS EXCLUSIVE on the parent, its default and the partition, to the end of
 * the transaction.
 */
void
pm_sub_convert(const PmLook *look, const Partition *partition, const char *start, int64 *budget,
			   TimestampTz now)
{
	const PartSet *set = look->set;
	PmTemplate *tmpl = pm_catalog_template(look);
	bool		rows;
	Oid			made;

	pm_ddl_lock_sub(look, partition);
	check_convertible(set, tmpl, partition);
	rows = pm_catalog_has_rows(partition);
	if (rows)
		*budget -= pm_size_blocks(partition->oid) * (BLCKSZ / 1024);
	made = pm_ddl_sub(look, tmpl, partition, rows);
	manage(set, made, start, rows && *budget < 0, now);
}

/* a partition that is partitioned already must be so in the way that is wanted */
static void
check_partitioned(const PartSet *set, const Partition *partition)
{
	List	   *by = pm_catalog_strings("SELECT pg_get_partkeydef($1)", partition->oid);

	if (strcmp(linitial(by), set->sub->by) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("partition %s is partitioned by %s, not by %s",
						pm_full_name(partition), (char *) linitial(by), set->sub->by)));
}

/*
 * pm_sub_adopt makes sets of all partitions that a set has; its row of part_config_sub
 * is there already.  The default stays as it is.
 *
 * Locks: as pm_sub_convert; the caller holds SHARE UPDATE EXCLUSIVE on the parent.
 */
void
pm_sub_adopt(Oid parent, const char *start, TimestampTz now)
{
	PmLook	   *look = pm_catalog_look(pm_config_read_one(parent));
	int64		budget = pm_max_default_scan;
	ListCell   *lc;

	/* it would be read for each partition that is attached again */
	if (look->dflt && look->dflt->relkind == RELKIND_RELATION && pm_exclude_is_large(look->dflt->oid))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("default partition %s is too large to be read under a lock for each partition", pm_full_name(look->dflt)),
				 errhint("Drain it first, or raise partmgr.max_default_scan.")));
	foreach(lc, look->partitions)
	{
		const Partition *partition = lfirst(lc);

		CHECK_FOR_INTERRUPTS();
		pm_catalog_refuse_pending(partition);
		switch (partition->relkind)
		{
			case RELKIND_PARTITIONED_TABLE:
				check_partitioned(look->set, partition);
				manage(look->set, partition->oid, start, false, now);
				break;
			case RELKIND_RELATION:
				pm_sub_convert(look, partition, start, &budget, now);
				break;
			default:
				ereport(NOTICE,
						(errmsg("foreign table %s stays as it is", pm_full_name(partition))));
		}
	}
}
