/*-------------------------------------------------------------------------
 *
 * ddl_apply.c
 *		Carry out one step of a plan, in the current transaction.
 *
 * Locks first, in the order parent, default, partition, and a look under them
 * whether all is still as the plan has it; then the statements of ddl.c.  They
 * run as the owner of the set: what they make belongs to the owner, and core's
 * own checks say what the owner may not do.
 *
 * Never drops anything but the partition it was told by OID.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_namespace.h"
#include "ddl.h"
#include "ddl_rewrite.h"
#include "internal.h"
#include "portability/instr_time.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "compat.h"

/* the strongest lock on a parent that the last step has taken, and when */
static const char *lock_taken = NULL;
static instr_time lock_since;

static void
note_lock(const char *lock)
{
	lock_taken = lock;
	INSTR_TIME_SET_CURRENT(lock_since);
}

/*
 * pm_ddl_lock_held tells which lock on the parent the last step has taken, and
 * for how many microseconds it has had it until now; NULL for none.
 */
const char *
pm_ddl_lock_held(int64 *lock_us)
{
	instr_time	duration;

	INSTR_TIME_SET_CURRENT(duration);
	INSTR_TIME_SUBTRACT(duration, lock_since);
	*lock_us = INSTR_TIME_GET_MICROSEC(duration);
	return lock_taken;
}

static void
changed_meanwhile(const Partition *partition)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("partition %s was changed by another session",
					pm_full_name(partition)),
			 errhint("Run maintenance again.")));
}

/* is the table that we have locked still called what the plan calls it? */
static bool
has_its_name(const Partition *partition)
{
	const char *name = get_rel_name(partition->oid);

	return name != NULL && strcmp(name, partition->name) == 0 &&
		strcmp(get_namespace_name(get_rel_namespace(partition->oid)),
			   partition->schema) == 0;
}

/* is_held asks anew for holds: no lock on the parent keeps one from coming. */
static bool
is_held(const PartSet *set, const Partition *partition)
{
	PartSet		now = *set;
	Partition	same = *partition;

	now.has_marks = false;
	now.has_holds = true;
	pm_mark_read(&now);
	pm_hold_read_below(list_make1(&same));
	return pm_plan_hold(&now, &same) != NULL;
}

/*
 * lock_retired locks a partition that is to be retired, and checks under the
 * lock that it is what the plan was about.  Parent, default, partition: the
 * order in which everybody here takes locks.
 */
static void
lock_retired(const PmLook *look, const PlanStep *step)
{
	const Partition *partition = step->partition;

	LockRelationOid(look->set->parent, AccessExclusiveLock);
	note_lock("ACCESS EXCLUSIVE");
	if (look->dflt)
		LockRelationOid(look->dflt->oid, AccessExclusiveLock);
	LockRelationOid(partition->oid, AccessExclusiveLock);
	if (!has_its_name(partition) || !get_rel_relispartition(partition->oid) ||
		get_partition_parent(partition->oid, false) != look->set->parent ||
		(partition->relkind == RELKIND_PARTITIONED_TABLE && is_held(look->set, partition)))
		changed_meanwhile(partition);
}

/*
 * pm_ddl_lock_detach locks a partition that is about to be detached concurrently,
 * in the transaction in which that begins, and checks that it is still what the
 * plan was about: the statement has only its name.  A hold may have come, or the
 * mark may have gone, since the transaction that has written it.
 */
void
pm_ddl_lock_detach(Oid parent, const Partition *partition)
{
	PartSet    *set;

	LockRelationOid(parent, ShareUpdateExclusiveLock);
	LockRelationOid(partition->oid, ShareUpdateExclusiveLock);
	set = pm_config_read_one(parent);
	if (!has_its_name(partition) || !get_rel_relispartition(partition->oid) ||
		get_partition_parent(partition->oid, true) != parent ||
		set == NULL || set->problem || pm_mark_find(partition->oid) != parent ||
		is_held(set, partition))
		changed_meanwhile(partition);
}

/*
 * lock_detached does the same for one that is detached.  Somebody may have
 * attached it again, to this parent or another one, or have taken its mark away.
 */
static void
lock_detached(const PmLook *look, const PlanStep *step, TimestampTz now)
{
	const Partition *partition = step->partition;

	if (step->kind == STEP_REATTACH)
	{
		LockRelationOid(look->set->parent, ShareUpdateExclusiveLock);
		note_lock("SHARE UPDATE EXCLUSIVE");
		if (look->dflt)
			LockRelationOid(look->dflt->oid, AccessExclusiveLock);
	}
	LockRelationOid(partition->oid, AccessExclusiveLock);
	if (!has_its_name(partition) || get_rel_relispartition(partition->oid) ||
		pm_mark_find(partition->oid) != look->set->parent ||
		(step->kind == STEP_DROP &&
		 (!pm_mark_lock(partition->oid, now) || is_held(look->set, partition))))
		changed_meanwhile(partition);
}

/* the schema for retired partitions must exist, and be the table owner's */
static void
check_retention_schema(const PartSet *set)
{
	Oid			schema = get_namespace_oid(set->retention_schema, false);
	HeapTuple	tuple = SearchSysCache1(NAMESPACEOID, ObjectIdGetDatum(schema));
	bool		is_owner = HeapTupleIsValid(tuple) &&
		((Form_pg_namespace) GETSTRUCT(tuple))->nspowner == set->owner;

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	if (!is_owner)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("retention schema \"%s\" does not belong to the owner of table %s",
						set->retention_schema,
						pm_full_name(set))));
}

/* where a row that moves stands */
typedef struct MovedRow
{
	Oid			table;
	ItemPointerData tid;
} MovedRow;

static MovedRow *
find_moved(const char *moved, uint64 *nrows)
{
	MovedRow   *result;
	bool		isnull;

	*nrows = pm_spi_select(psprintf("SELECT tableoid, ctid FROM %s ORDER BY tableoid", moved),
						   0, NULL, NULL, NULL);
	result = palloc(sizeof(MovedRow) * Max(*nrows, 1));
	for (uint64 i = 0; i < *nrows; i++)
	{
		result[i].table = pm_spi_oid(i, 1);
		result[i].tid = *(ItemPointer) DatumGetPointer(pm_spi_value(i, 2, &isnull));
	}
	return result;
}

/*
 * delete_moved deletes rows without triggers, rules and foreign keys: a row
 * that moves is neither deleted nor new.  The setting session_replication_role
 * would do that for what the owner's own code does on the way as well, also to
 * the tables of others; so no statement of SQL is involved.
 */
static void
delete_moved(const MovedRow *rows, uint64 nrows)
{
	Relation	rel = NULL;

	for (uint64 i = 0; i < nrows; i++)
	{
		ItemPointerData tid = rows[i].tid;

		if (rel == NULL || RelationGetRelid(rel) != rows[i].table)
		{
			if (rel)
				table_close(rel, NoLock);
			rel = table_open(rows[i].table, RowExclusiveLock);
			if (rel->rd_rel->relkind != RELKIND_RELATION)
				elog(ERROR, "cannot delete rows of relation \"%s\" of kind \"%c\"",
					 RelationGetRelationName(rel), rel->rd_rel->relkind);
		}
		simple_table_tuple_delete(rel, &tid, GetActiveSnapshot());
	}
	if (rel)
		table_close(rel, NoLock);
	CommandCounterIncrement();
}

/*
 * run_move copies rows out of the default and deletes them there.  Nobody else
 * can change the default, which is locked, but an event trigger may have given
 * the new table a trigger or a rule that keeps rows out.
 */
static void
run_move(const PmStatement *statement)
{
	uint64		nrows;
	MovedRow   *rows = find_moved(statement->moved, &nrows);
	uint64		arrived = pm_spi_write(statement->sql, 0, NULL, NULL, NULL);

	if (arrived != nrows)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
				 errmsg("not all rows could be moved out of the default partition"),
				 errdetail("Of " UINT64_FORMAT " rows, " UINT64_FORMAT " arrived in the new partition.",
						   nrows, arrived),
				 errhint("See whether an event trigger gives a trigger or a rule to new tables.")));
	delete_moved(rows, nrows);
}

static void
run_statements(const PartSet *set, List *statements)
{
	PmSpi		spi;
	ListCell   *lc;

	pm_spi_begin(&spi, set->owner);
	foreach(lc, statements)
	{
		PmStatement *statement = lfirst(lc);

		if (statement->moved)
			run_move(statement);
		else
			pm_spi_utility(statement->sql);
		PM_FAILPOINT("ddl-statement");
	}
	pm_spi_end(&spi);
}

/*
 * pm_ddl_set_identity gives a partition its replica identity, which can be done
 * only once ATTACH has made the index.
 */
void
pm_ddl_set_identity(const PartSet *set, const PmTemplate *tmpl, Oid partition)
{
	Oid			index = pm_catalog_child_index(partition, tmpl->replident_index);

	if (OidIsValid(index))
		run_statements(set, pm_ddl_identity_statements(partition, index));
}

/* locks what a step is about, as the step needs it, and checks it */
static void
lock_for_step(const PmLook *look, const PlanStep *step, TimestampTz now)
{
	switch (step->kind)
	{
		case STEP_CREATE:
		case STEP_DRAIN:
			break;				/* by its statements */
		case STEP_FINALIZE:
			note_lock("SHARE UPDATE EXCLUSIVE");
			break;
		case STEP_RETIRE:
			lock_retired(look, step);
			break;
		default:
			lock_detached(look, step, now);
	}
}

/* writes down what the catalogs do not say, before or after a step */
static void
mark_step(const PmLook *look, const PlanStep *step)
{
	switch (step->kind)
	{
		case STEP_REATTACH:
		case STEP_DROP:
			pm_mark_forget(step->partition->oid);
			break;
		case STEP_RETIRE:
			if (step->retire != RETIRE_DROP)
				pm_mark_settled(step->partition->oid);
			break;
		case STEP_SETTLE:
			pm_mark_settled(step->partition->oid);
			break;
		default:
			break;
	}
}

/*
 * pm_ddl_apply carries out one step in the current transaction.
 *
 * The caller holds SHARE UPDATE EXCLUSIVE on the parent since before it looked,
 * but for partitions that are detached.  now is when a grace begins.
 * Locks: see pm_ddl_locks.  Errors: core's, and "was changed by another session".
 */
void
pm_ddl_apply(const PmLook *look, const PmTemplate *tmpl, const PlanStep *step,
			 TimestampTz now)
{
	const PartSet *set = look->set;

	lock_taken = NULL;
	if ((step->kind == STEP_RETIRE || step->kind == STEP_SETTLE) &&
		step->retire == RETIRE_MOVE)
		check_retention_schema(set);
	lock_for_step(look, step, now);
	if (step->kind == STEP_RETIRE && step->retire != RETIRE_DROP)
		pm_mark_write(set, step, now);
	run_statements(set, pm_ddl_statements(look, tmpl, step));
	mark_step(look, step);
	if ((step->kind == STEP_CREATE || step->kind == STEP_DRAIN) && OidIsValid(tmpl->replident_index))
		pm_ddl_set_identity(set, tmpl, get_relname_relid(step->name, get_namespace_oid(set->schema, false)));
	CommandCounterIncrement();
}

/*
 * pm_ddl_drop_many carries out steps that only DROP, as one statement: event
 * triggers, ours among them, are called once and not for each.
 */
void
pm_ddl_drop_many(const PmLook *look, const PmTemplate *tmpl, List *steps)
{
	ListCell   *lc;

	foreach(lc, steps)
		lock_retired(look, lfirst(lc));
	run_statements(look->set, pm_ddl_drop_statements(steps));
}

/*
 * pm_ddl_create_default makes a default partition; with attaches, it is the table of
 * that name if there is one.
 */
void
pm_ddl_create_default(const PmLook *look, const PmTemplate *tmpl, bool attaches)
{
	const PartSet *set = look->set;
	char	   *name = attaches ? pm_name_default(set->name) : pm_ddl_free_default(set->schema, set->name);
	Oid			namespace = get_namespace_oid(set->schema, false);
	bool		exists = OidIsValid(get_relname_relid(name, namespace));

	run_statements(set, pm_ddl_default_statements(set, tmpl, name, exists));
	CommandCounterIncrement();
	if (OidIsValid(tmpl->replident_index))
		pm_ddl_set_identity(set, tmpl, get_relname_relid(name, namespace));
}

/* pm_ddl_drop_default drops the default partition, which the caller has emptied. */
void
pm_ddl_drop_default(const PmLook *look)
{
	run_statements(look->set, pm_ddl_drop_default_statements(look));
	CommandCounterIncrement();
}

/*
 * pm_ddl_trust has a constraint taken as checked that was added NOT VALID: the table,
 * or the one whose rows it has, has had it all the time in another form.
 */
void
pm_ddl_trust(Oid table, const char *name)
{
	Relation	constraints = table_open(ConstraintRelationId, RowExclusiveLock);
	Oid			oid = get_relation_constraint_oid(table, name, false);
	HeapTuple	tuple = SearchSysCacheCopy1(CONSTROID, ObjectIdGetDatum(oid));

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for constraint %u", oid);
	((Form_pg_constraint) GETSTRUCT(tuple))->convalidated = true;
	CatalogTupleUpdate(constraints, &tuple->t_self, tuple);
	heap_freetuple(tuple);
	table_close(constraints, RowExclusiveLock);
	CacheInvalidateRelcacheByRelid(table);
	CommandCounterIncrement();
}

/*
 * pm_ddl_sub makes a partition one that is partitioned itself; returns it.
 *
 * Locks: ACCESS EXCLUSIVE on the parent, its default and the partition.
 */
Oid
pm_ddl_sub(const PmLook *look, const PmTemplate *tmpl, const Partition *partition, bool has_rows)
{
	const PartSet *set = look->set;
	List	   *attach;
	List	   *detach = pm_ddl_sub_statements(set, tmpl, partition, has_rows, &attach);
	Oid			made;

	run_statements(set, detach);
	CommandCounterIncrement();
	if (pm_ddl_sub_is_checked(set, partition, has_rows))
		pm_ddl_trust(partition->oid, PM_BOUND_CONSTRAINT);
	run_statements(set, attach);
	CommandCounterIncrement();
	made = get_relname_relid(partition->name, get_namespace_oid(partition->schema, false));
	if (OidIsValid(tmpl->replident_index))
		pm_ddl_set_identity(set, tmpl, made);
	return made;
}

/*
 * pm_ddl_lock_sub locks what pm_ddl_sub needs, and fails if the partition is not what
 * it was.
 */
void
pm_ddl_lock_sub(const PmLook *look, const Partition *partition)
{
	const PlanStep step = {.partition = (Partition *) partition};

	lock_retired(look, &step);
}

/*
 * pm_ddl_analyze collects statistics of a table; with only_parent, and from
 * 18 on, of a parent alone; of all its columns if they are NULL.  SHARE UPDATE EXCLUSIVE on what it reads.
 */
void
pm_ddl_analyze(Oid relation, Oid owner, bool only_parent, const char *columns)
{
	PmSpi		spi;

	pm_spi_begin(&spi, owner);
	pm_spi_utility(pm_ddl_analyze_text(relation, only_parent, columns));
	pm_spi_end(&spi);
}

/*
 * pm_ddl_analyze_set collects statistics of a set and of its partitions; what is
 * locked is waited for, or left out.
 */
void
pm_ddl_analyze_set(const PartSet *set, bool skip_locked)
{
	PmSpi		spi;

	pm_spi_begin(&spi, set->owner);
	pm_spi_utility(psprintf("ANALYZE %s%s", skip_locked ? "(SKIP_LOCKED) " : "", pm_full_name(set)));
	pm_spi_end(&spi);
}
