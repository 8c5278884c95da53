/*-------------------------------------------------------------------------
 *
 * constraint.c
 *		Extra constraints: CHECKs on the least and the greatest value of columns
 *		in partitions that are written no more, by which the planner leaves
 *		partitions out.
 *
 * The values are read first, without a lock; then the constraint is added, not
 * looking at rows, which takes ACCESS EXCLUSIVE for a moment; then the rows are
 * looked at, while everybody goes on.  Rows that were written in between may lie
 * outside: then the second look fails, and it is all tried again later.  The worker does the
 * three in transactions of their own, a call from SQL in one.
 *
 * A constraint is ours by the beginning of its name and its one column, so that a
 * partition can be renamed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "config.h"
#include "ddl_partman.h"
#include "maintenance.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

#include "compat.h"

/* ---------- the configuration ---------- */

/* pm_constraint_missing returns the first configured column that the set has not, or NULL. */
char *
pm_constraint_missing(const PartSet *set)
{
	ListCell   *lc;

	foreach(lc, set->constraint_cols)
		if (get_attnum(set->parent, lfirst(lc)) <= 0)
			return lfirst(lc);
	return NULL;
}

/* a column of a set, for pm_attempt */
typedef struct ColumnCall
{
	const PartSet *set;
	const char *column;
} ColumnCall;

/* fails for a type without order; of the parent itself no row is read */
static void
call_probe(void *arg)
{
	ColumnCall *call = arg;
	const char *column = quote_identifier(call->column);
	PmSpi		spi;

	pm_spi_begin(&spi, call->set->owner);
	pm_spi_select(psprintf("SELECT x.%s::text FROM ONLY %s x WHERE x.%s >= x.%s AND x.%s <= x.%s ORDER BY x.%s",
						   column, pm_qualified_name(call->set->parent), column, column, column, column, column),
				  0, NULL, NULL, NULL);
	pm_spi_end(&spi);
}

/* pm_constraint_check raises an error for columns that cannot have extra constraints. */
void
pm_constraint_check(const PartSet *set)
{
	char	   *missing = pm_constraint_missing(set);
	ListCell   *lc;

	if (missing)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of relation \"%s\" does not exist", missing, set->name)));
	foreach(lc, set->constraint_cols)
	{
		ColumnCall	call = {.set = set, .column = lfirst(lc)};
		ErrorData  *edata = pm_attempt(call_probe, &call);

		if (edata)
			ereport(ERROR,
					(errcode(edata->sqlerrcode),
					 errmsg("column \"%s\" of relation \"%s\" cannot have extra constraints: %s",
							call.column, set->name, edata->message)));
	}
}


/* ---------- what there is ---------- */

/* pm_constraint_filled returns the newest partition with rows, foreign tables left out; NULL if there is none. */
const Partition *
pm_constraint_filled(List *partitions)
{
	for (int i = list_length(partitions) - 1; i >= 0; i--)
	{
		const Partition *partition = list_nth(partitions, i);

		if (!partition->is_readable || partition->is_pending || partition->relkind == RELKIND_FOREIGN_TABLE ||
			(partition->relkind == RELKIND_RELATION && pm_size_blocks(partition->oid) == 0))
			continue;
		if (pm_catalog_has_rows(partition))
			return partition;
	}
	return NULL;
}

/* the configured columns of table $1, each with the constraint of ours on it */
#define COLUMNS_QUERY \
	"SELECT a.attname, k.conname, k.convalidated FROM unnest($2) WITH ORDINALITY c(name, place)" \
	" JOIN pg_attribute a ON a.attrelid = $1 AND a.attname = c.name AND a.attnum > 0 AND NOT a.attisdropped" \
	" LEFT JOIN LATERAL (SELECT conname, convalidated FROM pg_constraint WHERE conrelid = $1 AND contype = 'c'" \
	"  AND conname LIKE 'partmanconstr\\_%' AND conkey = ARRAY[a.attnum] ORDER BY conname LIMIT 1) k ON true" \
	" ORDER BY c.place"

/* *lacking: PmExtreme of columns without constraint; *invalid, *names: of constraints, not validated and all */
static void
read_columns(const PartSet *set, Oid table, List **lacking, List **invalid, List **names)
{
	Oid			types[] = {OIDOID, TEXTARRAYOID};
	Datum		values[] = {ObjectIdGetDatum(table), pm_config_text_array(set->constraint_cols)};
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext old;
	PmExtension ext;
	PmSpi		spi;
	uint64		rows;

	*lacking = *invalid = *names = NIL;
	pm_config_begin(&spi, &ext);
	rows = pm_spi_select_kept(COLUMNS_QUERY, 2, types, values, NULL);
	old = MemoryContextSwitchTo(caller);
	for (uint64 i = 0; i < rows; i++)
	{
		char	   *name = pm_spi_string(i, 2);
		PmExtreme  *extreme = palloc0(sizeof(PmExtreme));

		if (name != NULL)
		{
			*names = lappend(*names, name);
			if (!pm_spi_bool(i, 3))
				*invalid = lappend(*invalid, name);
			continue;
		}
		extreme->column = pm_spi_string(i, 1);
		extreme->name = pm_ddl_constraint_name(get_rel_name(table), extreme->column);
		*lacking = lappend(*lacking, extreme);
	}
	MemoryContextSwitchTo(old);
	pm_spi_end(&spi);
}

/* values are printed so that they are read as the same ones, whatever the session has set */
static void
pin_output(void)
{
	(void) set_config_option("DateStyle", "ISO, YMD", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("IntervalStyle", "postgres", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("extra_float_digits", "3", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/* reads the values of all columns in one go; those that have none are left out */
static List *
read_extremes(Oid owner, Oid table, List *extremes)
{
	List	   *result = NIL;
	StringInfoData sql;
	PmSpi		spi;
	int			column = 1;
	ListCell   *lc;
	ListCell   *lc2;

	if (extremes == NIL)
		return NIL;
	initStringInfo(&sql);
	foreach(lc, extremes)
	{
		const char *name = quote_identifier(((PmExtreme *) lfirst(lc))->column);

		/* not min() and max(): some types that have an order lack these */
		foreach(lc2, list_make2("ASC", "DESC"))
			appendStringInfo(&sql, "%s (SELECT x.%s::text FROM %s x WHERE x.%s IS NOT NULL ORDER BY x.%s %s LIMIT 1)", sql.len ? "," : "SELECT",
							 name, pm_qualified_name(table), name, name, (char *) lfirst(lc2));
	}
	pm_spi_begin(&spi, owner);
	pin_output();
	pm_spi_select(sql.data, 0, NULL, NULL, NULL);
	foreach(lc, extremes)
	{
		PmExtreme  *extreme = lfirst(lc);

		extreme->lowest = pm_spi_string(0, column++);
		extreme->highest = pm_spi_string(0, column++);
	}
	pm_spi_end(&spi);
	foreach(lc, extremes)
		if (((PmExtreme *) lfirst(lc))->lowest != NULL)
			result = lappend(result, lfirst(lc));
	return result;
}


/* ---------- making and dropping them ---------- */

/*
 * pm_constraint_statements returns the statements that give a table the
 * constraints it lacks: added first, then looked at, unless they are to be NOT
 * VALID.  NIL if it has all, or no values.
 */
List *
pm_constraint_statements(const PartSet *set, Oid table)
{
	List	   *lacking;
	List	   *invalid;
	List	   *names;
	List	   *result = NIL;
	ListCell   *lc;

	read_columns(set, table, &lacking, &invalid, &names);
	lacking = read_extremes(set->owner, table, lacking);
	if (lacking != NIL)
		result = lappend(result, pm_ddl_constraint_add(table, lacking));
	foreach(lc, lacking)
		invalid = lappend(invalid, ((PmExtreme *) lfirst(lc))->name);
	if (set->constraint_valid && invalid != NIL)
		result = lappend(result, pm_ddl_constraint_validate(table, invalid));
	return result;
}

/* pm_constraint_drops returns the statement that drops those of a table, or those that are not validated; NIL if there is none. */
List *
pm_constraint_drops(const PartSet *set, Oid table, bool invalid_only)
{
	List	   *lacking;
	List	   *invalid;
	List	   *names;
	char	   *sql;

	read_columns(set, table, &lacking, &invalid, &names);
	sql = pm_ddl_constraint_drop(table, invalid_only ? invalid : names);
	return sql ? list_make1(sql) : NIL;
}

/* pm_constraint_run runs statements as the owner of a set. */
void
pm_constraint_run(Oid owner, List *statements)
{
	PmSpi		spi;
	ListCell   *lc;

	pm_spi_begin(&spi, owner);
	pin_output();
	foreach(lc, statements)
	{
		pm_spi_utility(lfirst(lc));
		PM_FAILPOINT("constraint-statement");
	}
	pm_spi_end(&spi);
	CommandCounterIncrement();
}

/* one table of a set, for pm_attempt */
typedef struct ApplyCall
{
	const PartSet *set;
	Oid			table;
} ApplyCall;

static void
call_apply(void *arg)
{
	ApplyCall  *call = arg;
	List	   *statements = pm_constraint_statements(call->set, call->table);

	PM_FAILPOINT("constraint-read");
	pm_constraint_run(call->set->owner, statements);
}

/*
 * pm_constraint_apply gives a partition the constraints that it lacks, in the
 * current transaction, and notes that.  False, with a WARNING, if rows that were
 * written meanwhile are in the way.
 *
 * Locks: ACCESS EXCLUSIVE on the partition, to the end of the transaction.
 */
bool
pm_constraint_apply(const PartSet *set, Oid table)
{
	ApplyCall	call = {.set = set, .table = table};
	ErrorData  *edata = pm_attempt(call_apply, &call);
	int64		bytes;

	if (edata && edata->sqlerrcode != ERRCODE_CHECK_VIOLATION)
		ReThrowError(edata);
	if (edata)
	{
		ereport(WARNING,
				(errcode(edata->sqlerrcode),
				 errmsg("partition %s has no extra constraints yet: %s", pm_qualified_name(table), edata->message),
				 errhint("Rows were written while they were made; try again.")));
		return false;
	}
	bytes = pm_size_bytes(table);
	pm_upkeep_note(table, pm_task_name(TASK_CONSTRAINT), set->parent, pm_plan_constraint_detail(set), bytes, bytes);
	return true;
}

static void
call_constraint_apply(void *arg)
{
	ApplyCall  *call = arg;

	(void) pm_constraint_apply(call->set, call->table);
}

/*
 * pm_constraint_maintain gives the partition whose turn it is its constraints, in a
 * call of run_maintenance() that has made partitions, where no worker does it.  What
 * fails is told, and left to the next time.
 */
void
pm_constraint_maintain(const PmLook *look)
{
	ApplyCall	call = {.set = look->set};
	Partition  *partition;
	ErrorData  *edata;
	PmLogEntry	entry = {.parent = look->set->parent, .action = pm_task_name(TASK_CONSTRAINT), .rows = -1, .bytes = -1};

	if (look->set->constraint_cols == NIL || (pm_is_preloaded && pm_enabled && look->set->automatic))
		return;
	pm_upkeep_read_constraint(look->set, look->partitions);
	partition = pm_plan_constrained(look->set, look->partitions);
	if (partition == NULL || !get_rel_relispartition(partition->oid))
		return;
	call.table = partition->oid;
	edata = pm_attempt(call_constraint_apply, &call);
	if (edata)
	{
		ereport(WARNING,
				(errcode(edata->sqlerrcode),
				 errmsg("partition %s has no extra constraints yet: %s", pm_full_name(partition), edata->message)));
		return;
	}
	entry.partition = pm_full_name(partition);
	entry.message = psprintf("constraint_cols: %s", pm_plan_constraint_detail(look->set));
	pm_log_write(list_make1(&entry));
}
