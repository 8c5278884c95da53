/*-------------------------------------------------------------------------
 *
 * exclude.c
 *		A large default partition is not read under a lock.
 *
 * Whoever attaches a partition has the default looked through for rows of its
 * range, while nobody can use it.  A constraint that excludes the range spares
 * that.  So the worker, one transaction each, adds it unchecked, checks it while
 * everybody goes on, makes the partitions, and takes it away.  As long as it is
 * there a row of those ranges cannot come into the default; so there must be none
 * near them.
 *
 * What an interrupted run has left is found by its name, and taken away.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "ddl_rewrite.h"
#include "internal.h"
#include "maintenance.h"
#include "rewrite.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "compat.h"

#define NAME "partmgr_excluded"

/* ---------- by maintenance ---------- */

/* the constraint as it is; its ends are in its comment */
typedef struct Exclusion
{
	bool		is_valid;
	int64		lower;
	int64		upper;
} Exclusion;

/* pm_exclude_is_large tells whether a table is too large to be read under a lock. */
bool
pm_exclude_is_large(Oid table)
{
	return pm_size_blocks(table) * (BLCKSZ / 1024) > pm_max_default_scan;
}

static bool
has_checks(Oid table)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
	bool		result = false;

	if (HeapTupleIsValid(tuple))
	{
		result = ((Form_pg_class) GETSTRUCT(tuple))->relchecks > 0;
		ReleaseSysCache(tuple);
	}
	return result;
}

static bool
read_exclusion(const Partition *dflt, Exclusion *exclusion)
{
	List	   *texts;

	if (!has_checks(dflt->oid))
		return false;
	texts = pm_catalog_strings("SELECT concat_ws(' ', CASE WHEN convalidated THEN 1 ELSE 0 END, obj_description(oid, 'pg_constraint'))"
							   " FROM pg_constraint WHERE conrelid = $1 AND contype = 'c' AND conname = '" NAME "'", dflt->oid);
	memset(exclusion, 0, sizeof(Exclusion));
	if (texts != NIL)
	{
		int			is_valid = 0;

		(void) sscanf(linitial(texts), "%d partmgr " INT64_FORMAT " " INT64_FORMAT, &is_valid,
					  &exclusion->lower, &exclusion->upper);
		exclusion->is_valid = is_valid != 0;
	}
	return texts != NIL;
}

static void
run_as_owner(const Partition *dflt, const char *sql)
{
	PmSpi		spi;

	pm_spi_begin(&spi, dflt->owner);
	pm_spi_utility(sql);
	pm_spi_end(&spi);
}

/* can it be used for this step? */
static bool
is_excludable(const PmLook *look, const PlanStep *step)
{
	return step->kind == STEP_CREATE && !step->blocked && step->move_rows == 0 && !step->is_hot &&
		look->dflt->relkind == RELKIND_RELATION && pm_exclude_is_large(look->dflt->oid);
}

/* excludes the ranges of all creations of the plan from the first one on */
static void
add(const PmLook *look, const PartPlan *plan, const PlanStep *first)
{
	const Partition *dflt = look->dflt;
	PartBound	hull = first->bound;
	bool		is_after = false;
	ListCell   *lc;

	foreach(lc, plan->steps)
	{
		const PlanStep *step = lfirst(lc);

		is_after |= step == first;
		if (!is_after || !is_excludable(look, step) || step->bound.lower < hull.lower)
			continue;
		hull.upper = step->bound.upper;
		hull.upper_raw = step->bound.upper_raw;
	}
	run_as_owner(dflt, pm_ddl_exclude(pm_full_name(dflt), NAME, &look->set->key, &hull));
	run_as_owner(dflt, psprintf("COMMENT ON CONSTRAINT " NAME " ON %s IS 'partmgr " INT64_FORMAT " " INT64_FORMAT "'",
								pm_full_name(dflt), hull.lower, hull.upper));
}

static void
validate(void *arg)
{
	const Partition *dflt = arg;

	run_as_owner(dflt, pm_ddl_rewrite_validate(pm_full_name(dflt), NAME));
}

static void
drop(const Partition *dflt)
{
	run_as_owner(dflt, pm_ddl_rewrite_drop_constraint(pm_full_name(dflt), NAME));
}

/*
 * pm_exclude does what is to be done about the default before a step, or when
 * there is none, NULL; true if it did anything, which is to be committed.
 *
 * Locks: ACCESS EXCLUSIVE on the default for a moment; to check it SHARE UPDATE
 * EXCLUSIVE, as long as that takes.
 */
bool
pm_exclude(const PmLook *look, const PartPlan *plan, const PlanStep *step)
{
	Partition  *dflt = look->dflt;
	Exclusion	exclusion;
	ErrorData  *problem;
	bool		is_wanted = dflt && step && is_excludable(look, step);

	if (dflt == NULL)
		return false;
	if (!read_exclusion(dflt, &exclusion))
	{
		if (is_wanted)
			add(look, plan, step);
		return is_wanted;
	}
	if (is_wanted && exclusion.is_valid &&
		exclusion.lower <= step->bound.lower && exclusion.upper >= step->bound.upper)
		return false;
	if (!is_wanted || exclusion.is_valid)
	{
		drop(dflt);
		return true;
	}
	problem = pm_attempt(validate, dflt);
	PM_FAILPOINT("exclude-validated");
	if (problem == NULL)
		return true;
	if (problem->sqlerrcode != ERRCODE_CHECK_VIOLATION)
		ReThrowError(problem);
	/* a row has come in before the constraint: the next look sees it */
	drop(dflt);
	return true;
}

/*
 * pm_exclude_forget takes away what a run may have left, of a set that will not be
 * maintained any more.
 *
 * Locks: as pm_exclude.
 */
void
pm_exclude_forget(Oid parent)
{
	Oid			dflt = get_default_partition_oid(parent);
	List	   *owners;
	PmSpi		spi;

	if (!OidIsValid(dflt) || !has_checks(dflt))
		return;
	owners = pm_catalog_strings("SELECT c.relowner::text FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid"
								" WHERE k.conrelid = $1 AND k.contype = 'c' AND k.conname = '" NAME "'", dflt);
	if (owners == NIL)
		return;
	pm_spi_begin(&spi, atooid(linitial(owners)));
	pm_spi_utility(pm_ddl_rewrite_drop_constraint(pm_qualified_name(dflt), NAME));
	pm_spi_end(&spi);
}


/* ---------- by a rewrite ---------- */

/* is there a constraint of the rewrite's?  It has the name of the frame. */
static bool
find_own(const PmRewrite *rewrite, Oid dflt, bool *is_valid)
{
	List	   *texts = has_checks(dflt) ?
		pm_catalog_texts(psprintf("SELECT convalidated::text FROM pg_constraint WHERE conrelid = $1 AND contype = 'c' AND conname = %s",
								  quote_literal_cstr(pm_rewrite_scratch(rewrite, ""))), dflt) : NIL;

	*is_valid = texts != NIL && strcmp(linitial(texts), "true") == 0;
	return texts != NIL;
}

/*
 * pm_exclude_sources does the next thing to keep the default from being read when
 * the targets are attached; false if it will not be.  Rows of their ranges cannot
 * come there: partitions take them.
 *
 * Locks: as pm_exclude.
 */
bool
pm_exclude_sources(const PmRewrite *rewrite)
{
	PmLook	   *look = pm_catalog_look(pm_rewrite_set(rewrite));
	List	   *targets = pm_rewrite_frame(rewrite)->partitions;
	char	   *name = pm_rewrite_scratch(rewrite, "");
	PartBound	hull;
	bool		is_valid;

	if (look->dflt == NULL || look->dflt->relkind != RELKIND_RELATION || targets == NIL ||
		!pm_exclude_is_large(look->dflt->oid))
		return false;
	if (find_own(rewrite, look->dflt->oid, &is_valid))
	{
		if (!is_valid)
			run_as_owner(look->dflt, pm_ddl_rewrite_validate(pm_full_name(look->dflt), name));
		return !is_valid;
	}
	hull = ((Partition *) linitial(targets))->bound;
	hull.upper_open = ((Partition *) llast(targets))->bound.upper_open;
	hull.upper = ((Partition *) llast(targets))->bound.upper;
	hull.upper_raw = ((Partition *) llast(targets))->bound.upper_raw;
	run_as_owner(look->dflt, pm_ddl_exclude(pm_full_name(look->dflt), name, &look->set->key, &hull));
	return true;
}

/*
 * pm_exclude_end takes the constraint away.
 *
 * Locks: ACCESS EXCLUSIVE on the default, if there is one with the constraint.
 */
void
pm_exclude_end(const PmRewrite *rewrite)
{
	Oid			dflt = get_default_partition_oid(rewrite->table);
	bool		is_valid;

	if (OidIsValid(dflt) && find_own(rewrite, dflt, &is_valid))
		pm_rewrite_run_sql(rewrite, list_make1(pm_ddl_rewrite_drop_constraint(pm_qualified_name(dflt),
																			  pm_rewrite_scratch(rewrite, ""))));
}
