/*-------------------------------------------------------------------------
 *
 * reattach.c
 *		Put a partition that retention has detached back into its set.
 *
 * Its mark knows the bounds that it had.  The step is the one that a plan takes
 * when retention was lengthened; here somebody asks for it, so what is in the
 * way is an error.  What the next maintenance would take out again is refused.
 *
 * Checks no rights: the caller does.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/partition.h"
#include "internal.h"
#include "maintenance.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "compat.h"

/* look_for finds the mark of a partition in its set, as both are now. */
static PmMark *
look_for(Oid parent, Oid partition, PmLook **look)
{
	PartSet    *set = OidIsValid(parent) ? pm_config_read_one(parent) : NULL;
	ListCell   *lc;

	if (get_rel_relispartition(partition))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table %s is a partition of table %s",
						pm_qualified_name(partition),
						pm_qualified_name(get_partition_parent(partition, true)))));
	*look = set ? pm_catalog_look(set) : NULL;
	if (*look)
	{
		foreach(lc, set->marks)
		{
			PmMark	   *mark = lfirst(lc);

			if (mark->partition->oid == partition)
				return mark;
		}
	}
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table %s was not detached by partmgr", pm_qualified_name(partition)),
			 errhint("Use ALTER TABLE ... ATTACH PARTITION, with the bounds that it is to have.")));
	return NULL;				/* keep the compiler quiet */
}

static void
check_free(const PmLook *look, const PmMark *mark)
{
	const Partition *taker = pm_plan_taker(look->set, look->partitions, mark->partition);

	if (taker)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("partition %s takes rows of the range of %s",
						pm_full_name(taker), pm_full_name(mark->partition)),
				 errdetail("It was detached from %s.", mark->range)));
}

static void
check_wanted(const PmLook *look, const PmMark *mark, TimestampTz now)
{
	PmOrder		order = {.now = now, .retire = true};
	PlanPoint	point;
	char	   *reason;

	pm_find_point(look, &order, &point);
	mark->partition->bytes = pm_size_bytes(mark->partition->oid);
	reason = pm_plan_retires_again(look->set, look->partitions, &point, mark->partition);
	if (reason)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the next maintenance would detach %s again: %s",
						pm_full_name(mark->partition), reason),
				 errhint("Lengthen the retention in part_config, or keep its range with hold_partition().")));
}

/*
 * pm_reattach attaches a partition that was detached from a set with the bounds
 * that it had, and forgets its mark.  One that was moved to retention_schema
 * comes back to its parent's schema, if its name is free there.
 *
 * parent is the set that its mark names, or InvalidOid if there is no mark.
 *
 * Locks: SHARE UPDATE EXCLUSIVE on the parent, taken by the caller; ACCESS
 * EXCLUSIVE on the default and on the partition.  Errors: it is attached, or has
 * no mark; its range is taken; retention would take it again; core's.
 */
void
pm_reattach(Oid parent, Oid partition, TimestampTz now)
{
	PmLook	   *look;
	PmMark	   *mark;
	PlanStep	step = {.kind = STEP_REATTACH};
	PmOutcome  *outcome;

	mark = look_for(parent, partition, &look);
	check_free(look, mark);
	check_wanted(look, mark, now);

	step.bound = mark->partition->bound;
	step.name = mark->partition->name;
	step.partition = mark->partition;
	step.mark = mark;
	step.retire = look->set->retire;
	step.reason = "asked for";
	outcome = pm_make_outcome(look, &step, "done");
	pm_ddl_apply(look, pm_catalog_template(look), &step, now);
	pm_note_lock(outcome);
	pm_log_outcomes(list_make1(outcome));
}
