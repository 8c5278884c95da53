/*-------------------------------------------------------------------------
 *
 * rewrite_instant.c
 *		A plain table becomes the first partition of a set under its name: no row
 *		is copied.
 *
 * What ATTACH would scan for under a strong lock is made sure of before, without
 * one: a CHECK that is validated, and unique indexes, built concurrently, that
 * have the key of the set.  From the CHECK on nothing can be written beyond the
 * end of the first partition; so that lies at least one interval ahead.
 *
 * The phases have the names that they have elsewhere: watch makes the CHECK, copy
 * validates it, build makes the indexes, and apply swaps.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/tablecmds.h"
#include "create_parent.h"
#include "ddl.h"
#include "ddl_rewrite.h"
#include "nodes/parsenodes.h"
#include "plan.h"
#include "rewrite.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "compat.h"

/* ---------- where the first partition ends ---------- */

/* one that is higher and has no time in it is found by the CHECK */
static bool
highest_encoded(const PmRewrite *rewrite, const PartSet *set, int64 *pos)
{
	int64		raw;

	return pm_codec_edge(&set->key, rewrite->owner, psprintf("ONLY %s", pm_qualified_name(rewrite->table)),
						 pm_default_finite(&set->key), true, &raw) &&
		pm_key_position(&set->key, raw, true, pos);
}

/* the highest key of the table; false: it is empty */
static bool
highest_key(const PmRewrite *rewrite, const PartSet *set, int64 *pos)
{
	const PartKey *key = &set->key;
	const char *column = quote_identifier(key->attname);
	const char *type = format_type_be_qualified(key->type);
	bool		has_rows;
	bool		is_good;
	bool		isnull;
	int64		raw;
	Datum		highest;
	PmSpi		spi;

	if (key->codec)
		return highest_encoded(rewrite, set, pos);
	pm_spi_begin(&spi, rewrite->owner);
	(void) pm_spi_select(psprintf("SELECT %s(max(%s))::%s FROM ONLY %s", key->type == NUMERICOID ? "ceil" : "",
								  column, type, pm_qualified_name(rewrite->table)), 0, NULL, NULL, NULL);
	highest = pm_spi_value(0, 1, &isnull);
	has_rows = !isnull;
	is_good = isnull || (pm_key_raw(key, highest, &raw) && pm_key_position(key, raw, true, pos));
	pm_spi_end(&spi);
	if (!is_good)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("table %s holds rows that no partition can take", pm_qualified_name(rewrite->table)),
				 errdetail("Their key is infinite, or lies where the type of column \"%s\" ends.", key->attname)));
	return has_rows;
}

static void
next_cell(const PmRewrite *rewrite, const PartSet *set, int64 pos, PartBound *bound)
{
	if (!pm_plan_cell(set, NIL, pos, bound) || bound->upper_open)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("the keys of table %s lie too near the end of their type", pm_qualified_name(rewrite->table))));
}

/* the end of the interval after that of the highest key, and of now */
static char *
choose_end(const PmRewrite *rewrite, const PartSet *set)
{
	int64		pos = 0;
	int64		limit;
	bool		has_rows = highest_key(rewrite, set, &pos);
	PartBound	bound;

	if (set->key.axis != AXIS_ID)
	{
		int64		now = pm_key_now(&set->key, set->grid.zone, GetCurrentTimestamp());

		if (has_rows && pm_key_add(&set->key, &set->grid, &set->grid.interval, now, pm_max_create, &limit) && pos > limit)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("the highest key of table %s, %s, is more than %d intervals after now",
							pm_qualified_name(rewrite->table), pm_position_text(&set->key, pos), pm_max_create),
					 errhint("Correct wrong rows, or raise partmgr.max_create: all rows up to that key would come to the first partition.")));
		pos = has_rows ? Max(pos, now) : now;
	}
	next_cell(rewrite, set, pos, &bound);
	next_cell(rewrite, set, bound.upper, &bound);
	return pm_position_text(&set->key, bound.upper);
}

static void
read_bound(const PmRewrite *rewrite, const PartSet *set, PartBound *bound)
{
	memset(bound, 0, sizeof(PartBound));
	bound->lower_open = true;
	bound->upper = pm_adopt_position(&set->key, set->grid.zone, pm_rewrite_option(rewrite, "end"));
	if (!pm_key_raw_of(&set->key, bound->upper, &bound->upper_raw))
		pm_rewrite_changed(rewrite, "the end of the first partition cannot be written");
}


/* ---------- the CHECK ---------- */

/* Two steps: to look for the highest key may take long, and the lock must not. */
static void
check_step(PmRewrite *rewrite)
{
	PartSet    *set = pm_rewrite_set(rewrite);
	char	   *table = pm_qualified_name(rewrite->table);
	PartBound	bound;

	if (pm_rewrite_option(rewrite, "end") == NULL)
	{
		pm_rewrite_set_option(rewrite, "end", choose_end(rewrite, set));
		return;
	}
	LockRelationOid(rewrite->table, AccessExclusiveLock);
	pm_rewrite_check_shape(rewrite, InvalidOid);
	read_bound(rewrite, set, &bound);
	pm_rewrite_run_sql(rewrite, list_make1(pm_ddl_rewrite_check(table, pm_rewrite_scratch(rewrite, ""), &set->key, &bound)));
	pm_rewrite_set_phase(rewrite, PHASE_COPY);
}

static void
validate_step(PmRewrite *rewrite)
{
	pm_rewrite_run_sql(rewrite, list_make1(pm_ddl_rewrite_validate(pm_qualified_name(rewrite->table),
																   pm_rewrite_scratch(rewrite, ""))));
	pm_rewrite_set_phase(rewrite, PHASE_BUILD);
}

static bool
is_checked(const PmRewrite *rewrite)
{
	return pm_catalog_texts(psprintf("SELECT 'x' FROM pg_constraint WHERE conrelid = $1 AND contype = 'c' AND convalidated AND conname = %s",
									 quote_literal_cstr(pm_rewrite_scratch(rewrite, ""))), rewrite->table) != NIL;
}


/* ---------- indexes ---------- */

/* the name of the index that is to take the place of another one */
static char *
index_name(const PmRewrite *rewrite, Oid index)
{
	return pm_rewrite_scratch(rewrite, psprintf("_x%u", index));
}

static Oid
index_oid(const PmRewrite *rewrite, Oid index)
{
	return get_relname_relid(index_name(rewrite, index), get_namespace_oid(rewrite->schema, false));
}

/* leaves a statement to be run after this transaction: it must not be in one */
static void
leave_for_top(PmRewriteRun *run, const PmRewrite *rewrite, const char *sql, Node *node)
{
	MemoryContext old = MemoryContextSwitchTo(run->context);

	run->top = palloc0(sizeof(PmTopLevel));
	run->top->sql = pstrdup(sql);
	run->top->node = copyObject(node);
	run->top->userid = rewrite->owner;
	run->top->relation_timeout = pm_lock_timeout;
	run->top->cost_delay = pm_vacuum_cost_delay;
	run->top->activity = psprintf("partmgr: rewrite " INT64_FORMAT ": %s", rewrite->id, sql);
	MemoryContextSwitchTo(old);
}

/* leaves the next index to be built, or what is left of a try to be dropped; false: all are there */
static bool
build_next(PmRewriteRun *run, const PmRewrite *rewrite)
{
	ListCell   *lc;
	ListCell   *lc2;
	List	   *statements;

	forboth(lc, pm_rewrite_wider_indexes(rewrite, &statements), lc2, statements)
	{
		IndexStmt  *statement = lfirst(lc2);
		Oid			built = index_oid(rewrite, lfirst_oid(lc));

		if (OidIsValid(built) && get_index_isvalid(built))
			continue;
		if (OidIsValid(built))
		{
			leave_for_top(run, rewrite, pm_ddl_drop_index(built), NULL);
			return true;
		}
		statement->idxname = index_name(rewrite, lfirst_oid(lc));
		statement->concurrent = true;
		leave_for_top(run, rewrite, psprintf("CREATE UNIQUE INDEX CONCURRENTLY %s", statement->idxname),
								 (Node *) statement);
		return true;
	}
	return false;
}

static void
build_step(PmRewriteRun *run, PmRewrite *rewrite)
{
	if (build_next(run, rewrite))
		return;
	pm_rewrite_build_target(rewrite, rewrite->frame);
	pm_rewrite_set_phase(rewrite, PHASE_APPLY);
}


/*
 * pm_instant_prepare raises an error if this cannot be done by who asks: an index
 * that is built concurrently needs a worker.
 */
void
pm_instant_prepare(const PmRewrite *rewrite)
{
	List	   *statements;
	List	   *indexes = pm_rewrite_wider_indexes(rewrite, &statements);

	char	   *name = pm_instant_name(rewrite);

	if (OidIsValid(get_relname_relid(name, get_namespace_oid(rewrite->schema, false))))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_TABLE),
				 errmsg("relation \"%s\" already exists", name),
				 errdetail("The first partition of the set would have this name.")));
	if (strcmp(pm_rewrite_option(rewrite, "type"), "list") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("p_mode => 'instant' makes sets by range only")));
	if (indexes != NIL && !rewrite->is_queued)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("index %s has to be built again concurrently, which a procedure cannot do",
						pm_qualified_name(linitial_oid(indexes))),
				 errhint("Use the function, which leaves the work to the worker.")));
}

/* pm_instant_step does the next thing. */
void
pm_instant_step(PmRewriteRun *run, PmRewrite *rewrite)
{
	if (rewrite->phase != PHASE_CLEAN)
		pm_rewrite_check_shape(rewrite, InvalidOid);
	switch (rewrite->phase)
	{
		case PHASE_PREPARE:
			pm_rewrite_prepare(run, rewrite);
			break;
		case PHASE_WATCH:
			check_step(rewrite);
			break;
		case PHASE_COPY:
			validate_step(rewrite);
			break;
		case PHASE_BUILD:
			build_step(run, rewrite);
			break;
		case PHASE_APPLY:
			run->wants_swap = pm_rewrite_has_indexes(rewrite, rewrite->frame);
			if (!run->wants_swap)
				pm_rewrite_set_phase(rewrite, PHASE_BUILD);
			break;
		case PHASE_CLEAN:
			pm_rewrite_clean(run, rewrite);
			break;
	}
}

/* pm_instant_verify raises an error if it cannot be swapped; the table is locked. */
void
pm_instant_verify(const PmRewrite *rewrite)
{
	List	   *statements;
	ListCell   *lc;

	pm_rewrite_check_shape(rewrite, InvalidOid);
	if (!is_checked(rewrite))
		pm_rewrite_changed(rewrite, "our constraint is gone");
	foreach(lc, pm_rewrite_wider_indexes(rewrite, &statements))
	{
		Oid			built = index_oid(rewrite, lfirst_oid(lc));

		if (!OidIsValid(built) || !get_index_isvalid(built))
			pm_rewrite_changed(rewrite, "an index of ours is gone");
	}
}

/* pm_instant_remove takes our constraint and our indexes off the table. */
void
pm_instant_remove(const PmRewrite *rewrite)
{
	char	   *table = pm_qualified_name(rewrite->table);
	List	   *statements = NIL;
	ListCell   *lc;

	LockRelationOid(rewrite->table, AccessExclusiveLock);
	foreach(lc, pm_catalog_texts(psprintf("SELECT conname FROM pg_constraint WHERE conrelid = $1 AND contype = 'c' AND conname = %s",
										  quote_literal_cstr(pm_rewrite_scratch(rewrite, ""))), rewrite->table))
		statements = lappend(statements, pm_ddl_rewrite_drop_constraint(table, lfirst(lc)));
	foreach(lc, pm_catalog_texts(psprintf("SELECT format('%%I.%%I', n.nspname, c.relname) FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid"
										  " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE x.indrelid = $1 AND c.relname ~ %s",
										  quote_literal_cstr(psprintf("^%s_x[0-9]+$", pm_rewrite_scratch(rewrite, "")))), rewrite->table))
		statements = lappend(statements, pm_ddl_rewrite_drop_index(lfirst(lc)));
	pm_rewrite_run_sql(rewrite, statements);
}


/* ---------- the swap ---------- */

/* pm_instant_name is the name of the first partition. */
char *
pm_instant_name(const PmRewrite *rewrite)
{
	return pm_name_suffixed(rewrite->name, "_initial");
}

/* an index with the key of the set takes the place of one without */
static void
replace_index(const PmRewrite *rewrite, Oid old, Oid new)
{
	Oid			constraint = get_index_constraint(old);
	char	   *table = pm_qualified_name(rewrite->table);
	char	   *name = get_rel_name(old);

	if (OidIsValid(constraint))
		pm_rewrite_run_sql(rewrite, list_make2(pm_ddl_rewrite_drop_constraint(table, get_constraint_name(constraint)),
											   pm_ddl_rewrite_constraint(table, name, get_rel_name(new), constraint)));
	else
		pm_rewrite_run_sql(rewrite, list_make2(pm_ddl_rewrite_drop_index(pm_qualified_name(old)),
											   pm_ddl_rewrite_rename("INDEX", pm_qualified_name(new), name)));
}

/* the wider indexes, as long as the old ones can tell which they are */
static void
replace_indexes(const PmRewrite *rewrite)
{
	List	   *statements;
	ListCell   *lc;

	foreach(lc, pm_rewrite_wider_indexes(rewrite, &statements))
	{
		Oid			old = lfirst_oid(lc);

		replace_index(rewrite, old, index_oid(rewrite, old));
	}
}

/*
 * pm_instant_attach makes the old table, which has given up its name, the first
 * partition of the new one.  Returns its range.
 */
char *
pm_instant_attach(const PmRewrite *rewrite)
{
	PartSet    *set = pm_rewrite_set(rewrite);
	char	   *name = pm_instant_name(rewrite);
	char	   *table;
	char	   *range;
	PartBound	bound;

	read_bound(rewrite, set, &bound);
	range = pm_ddl_range(&set->key, NULL, &bound);
	pm_rewrite_run_sql(rewrite, pm_ddl_rewrite_bare(rewrite->table));
	pm_rewrite_run_sql(rewrite, list_make1(pm_ddl_rewrite_not_null(pm_qualified_name(rewrite->table), set->key.attname,
																	   rewrite->table, rewrite->name)));
	replace_indexes(rewrite);
	pm_rewrite_run_sql(rewrite, list_make1(pm_ddl_rewrite_rename("TABLE", pm_qualified_name(rewrite->table), name)));
	table = pm_qualified_name(rewrite->table);
	pm_rewrite_run_sql(rewrite, list_make2(pm_ddl_rewrite_attach(pm_qualified_name(rewrite->frame), table, range),
										   pm_ddl_rewrite_drop_constraint(table, pm_rewrite_scratch(rewrite, ""))));
	return range;
}
