/*-------------------------------------------------------------------------
 *
 * rewrite_swap.c
 *		The targets take the place of the sources.
 *
 * Rows that were copied are younger than every snapshot that was taken before:
 * who has one would see the targets empty.  So before writers are kept out it is
 * waited for all that are older than the copy, and, once writers are kept out
 * and the last notes applied, for all that are left, for a moment only.  Those
 * who wait for our lock hold a snapshot, too: to wait for them would be to wait
 * for ever, and in READ COMMITTED they will not read anything with it.
 *
 * The lock that keeps readers out is asked for last, with a short timeout: who
 * reads the table now and wants to write to it would wait for us as we for him.
 * With p_policy fast it is the only one, and nobody is waited for.
 *
 * The transaction that swaps writes no row of the table.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "ddl_rewrite.h"
#include "miscadmin.h"
#include "rewrite.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "storage/sinvaladt.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"

/* how long writers may be kept out while the last snapshots go */
#define BUDGET_MS 300
#define POLL_MS 5

/* ---------- snapshots ---------- */

/*
 * pm_rewrite_list_readers remembers all who hold a snapshot that may be older than
 * what was written to the targets, in the run's context.
 */
void
pm_rewrite_list_readers(PmRewriteRun *run)
{
	VirtualTransactionId *found;
	MemoryContext old = MemoryContextSwitchTo(run->context);

	found = GetCurrentVirtualXIDs(run->written, true, false,
								  PROC_IS_AUTOVACUUM | PROC_IN_VACUUM, &run->nreaders);
	run->readers = found;
	MemoryContextSwitchTo(old);
}

/* Is this process in the queue for a table that we have locked? */
static bool
waits_for_us(const PmRewriteRun *run, const LockData *locks, int pid)
{
	for (int i = 0; i < locks->nelements; i++)
	{
		const LockInstanceData *lock = &locks->locks[i];

		if (lock->pid == pid && lock->waitLockMode != NoLock &&
			lock->locktag.locktag_type == LOCKTAG_RELATION &&
			lock->locktag.locktag_field1 == MyDatabaseId &&
			list_member_oid(run->locked, lock->locktag.locktag_field2))
			return true;
	}
	return false;
}

/*
 * pm_rewrite_readers_gone forgets those of them who are gone, and of the others
 * who wait for us and will take a new snapshot then; true if none is left.
 */
bool
pm_rewrite_readers_gone(PmRewriteRun *run)
{
	LockData   *locks = run->locked ? GetLockStatusData() : NULL;
	int			n = 0;

	for (int i = 0; i < run->nreaders; i++)
	{
		const bool	wait = true;
		PGPROC	   *proc = pm_vxid_proc(run->readers[i]);

		if (VirtualXactLock(run->readers[i], !wait))
			continue;
		if (locks && proc && pm_isolation_renews(proc) && waits_for_us(run, locks, proc->pid))
			continue;
		run->readers[n++] = run->readers[i];
	}
	run->nreaders = n;
	return n == 0;
}

/* pm_rewrite_reader tells one of those who are waited for; 0: none. */
int
pm_rewrite_reader(const PmRewriteRun *run)
{
	PGPROC	   *proc = run->nreaders > 0 ? pm_vxid_proc(run->readers[0]) : NULL;

	return proc ? proc->pid : 0;
}


/* ---------- locks of the session ---------- */

static void
lock_for_session(PmRewriteRun *run, Oid relation)
{
	LockRelId	id = {.relId = relation, .dbId = MyDatabaseId};
	MemoryContext old;

	LockRelationIdForSession(&id, ExclusiveLock);
	old = MemoryContextSwitchTo(run->context);
	run->locked = lappend_oid(run->locked, relation);
	MemoryContextSwitchTo(old);
}

/* pm_rewrite_unlock_tables lets writers go on. */
void
pm_rewrite_unlock_tables(PmRewriteRun *run)
{
	ListCell   *lc;

	foreach(lc, run->locked)
	{
		LockRelId	id = {.relId = lfirst_oid(lc), .dbId = MyDatabaseId};

		UnlockRelationIdForSession(&id, ExclusiveLock);
	}
	list_free(run->locked);
	run->locked = NIL;
}


/* ---------- the steps of one try ---------- */

static void
read_or_fail(int64 id, PmRewrite *rewrite)
{
	if (!pm_rewrite_read(id, rewrite) || rewrite->name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("rewrite " INT64_FORMAT " is gone", id)));
}

/* Writers are kept out from here on: of the set first, then of the sources. */
static void
lock_step(void *arg)
{
	PmRewriteRun *run = arg;
	PmRewrite	rewrite;
	ListCell   *lc;

	read_or_fail(run->id, &rewrite);
	if (rewrite.kind != REWRITE_CONVERT)
		lock_for_session(run, rewrite.table);
	foreach(lc, rewrite.sources)
		lock_for_session(run, ((PmSource *) lfirst(lc))->oid);
}

/* What is left of the notes; a truncated source, and all begins anew. */
static void
apply_step(void *arg)
{
	PmRewriteRun *run = arg;
	PmRewrite	rewrite;

	read_or_fail(run->id, &rewrite);
	do
	{
		CHECK_FOR_INTERRUPTS();
		(void) pm_rewrite_apply(run, &rewrite);
	} while (rewrite.phase == PHASE_APPLY && pm_rewrite_lag(&rewrite) > 0);
	run->wants_swap = rewrite.phase == PHASE_APPLY;
}

static void
swap_step(void *arg)
{
	PmRewriteRun *run = arg;
	PmRewrite	rewrite;

	read_or_fail(run->id, &rewrite);
	pm_rewrite_swap_now(&rewrite);
	PM_FAILPOINT("rewrite-swap");
}

/* lock, apply and swap at once */
static void
fast_step(void *arg)
{
	PmRewriteRun *run = arg;
	PmRewrite	rewrite;
	ListCell   *lc;

	read_or_fail(run->id, &rewrite);
	LockRelationOid(rewrite.table, AccessExclusiveLock);
	foreach(lc, rewrite.sources)
		LockRelationOid(((PmSource *) lfirst(lc))->oid, AccessExclusiveLock);
	if (rewrite.kind == REWRITE_INSTANT)
		pm_instant_verify(&rewrite);
	else
		apply_step(arg);
	if (run->wants_swap)
		swap_step(arg);
}

/* Waits, without transaction or snapshot, until the last old snapshot is gone. */
static bool
wait_for_readers(PmRewriteRun *run)
{
	static uint32 event = 0;
	TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), BUDGET_MS);

	if (event == 0)
		event = pm_wait_event("PartmgrRewriteSnapshots");
	pm_rewrite_list_readers(run);
	while (!pm_rewrite_readers_gone(run))
	{
		if (GetCurrentTimestamp() >= end)
			return false;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, POLL_MS, event);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	return true;
}

static ErrorData *
try_strict(PmRewriteRun *run)
{
	ErrorData  *problem = pm_rewrite_transaction(run, lock_step, "keeping writers out");

	PM_FAILPOINT("rewrite-locked");
	if (problem == NULL)
		problem = pm_rewrite_transaction(run, apply_step, "applying the last changes");
	PM_FAILPOINT("rewrite-applied");
	if (problem == NULL && run->wants_swap && wait_for_readers(run))
		problem = pm_rewrite_transaction(run, swap_step, "swapping");
	return problem;
}

/* the run whose tables are locked for the session, for the end of the process */
static PmRewriteRun *swapping = NULL;

static void
unlock_at_exit(int code, Datum arg)
{
	if (swapping == NULL)
		return;
	/* it may have been waiting for another lock */
	LockErrorCleanup();
	pm_rewrite_unlock_tables(swapping);
}

static void
watch_exit(void)
{
	static bool is_watched = false;

	if (!is_watched)
		before_shmem_exit(unlock_at_exit, (Datum) 0);
	is_watched = true;
}

/*
 * pm_rewrite_swap tries to swap, between transactions.  Returns the error that
 * ended the try, or NULL: it was swapped, or somebody with an old snapshot was
 * there for too long, and is remembered to be waited for.
 *
 * Locks: EXCLUSIVE on the set and the sources, then for a moment ACCESS EXCLUSIVE
 * on them and, in a set, on its default.  EXCLUSIVE and not less: who has selected
 * rows FOR UPDATE is about to write.
 */
ErrorData *
pm_rewrite_swap(PmRewriteRun *run, bool strict)
{
	ErrorData  *volatile problem = NULL;

	if (!strict)
		return pm_rewrite_transaction(run, fast_step, "swapping");
	/*
	 * Locks of the session outlive an error, and also the process, if it is ended
	 * between two transactions: nobody else would let go of them.
	 */
	watch_exit();
	swapping = run;
	PG_TRY();
	{
		problem = try_strict(run);
	}
	PG_FINALLY();
	{
		swapping = NULL;
		pm_rewrite_unlock_tables(run);
	}
	PG_END_TRY();
	return problem;
}


/* ---------- foreign keys of others ---------- */

#define REFERENCES(more) \
	" FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace" \
	" WHERE k.confrelid = $1 AND k.conrelid <> $1 AND k.contype = 'f' AND k.conparentid = 0" more " ORDER BY k.oid"

/*
 * pm_rewrite_references returns the statements that take the foreign keys of
 * others off the table, and put them on again without looking at the rows; these
 * are looked at afterwards.
 */
List *
pm_rewrite_references(const PmRewrite *rewrite, List **back)
{
	List	   *tables = pm_catalog_strings("SELECT format('%I.%I', n.nspname, c.relname)" REFERENCES(""), rewrite->table);
	List	   *names = pm_catalog_strings("SELECT k.conname" REFERENCES(""), rewrite->table);
	List	   *definitions = pm_catalog_strings("SELECT pg_get_constraintdef(k.oid)" REFERENCES(""), rewrite->table);
	List	   *off = NIL;
	ListCell   *lc;
	ListCell   *lc2;
	ListCell   *lc3;

	*back = NIL;
	forthree(lc, tables, lc2, names, lc3, definitions)
	{
		off = lappend(off, pm_ddl_rewrite_drop_constraint(lfirst(lc), lfirst(lc2)));
		*back = lappend(*back, pm_ddl_rewrite_foreign_key(lfirst(lc), lfirst(lc2), lfirst(lc3), false));
	}
	*back = list_concat(*back, pm_catalog_strings("SELECT format('COMMENT ON CONSTRAINT %I ON %I.%I IS %L', k.conname, n.nspname, c.relname,"
												  "  obj_description(k.oid, 'pg_constraint'))" REFERENCES(" AND obj_description(k.oid, 'pg_constraint') IS NOT NULL"),
												  rewrite->table));
	return off;
}


/* ---------- partitions ---------- */

/* is there a partition, made meanwhile, where a target was to go? */
static bool
is_taken(const PmLook *look, const Partition *target)
{
	ListCell   *lc;

	foreach(lc, look->partitions)
	{
		const PartBound *bound = &((Partition *) lfirst(lc))->bound;

		if ((bound->lower_open || target->bound.upper_open || bound->lower < target->bound.upper) &&
			(bound->upper_open || target->bound.lower_open || target->bound.lower < bound->upper))
			return true;
	}
	return false;
}

/*
 * Where maintenance has made a partition, the default has no row of its range;
 * so the target has none any more.
 */
static void
drop_target(const PmRewrite *rewrite, const Partition *target)
{
	PmSpi		spi;
	uint64		rows;

	pm_spi_begin(&spi, rewrite->owner);
	rows = pm_spi_select(psprintf("SELECT FROM ONLY %s LIMIT 1", pm_full_name(target)), 0, NULL, NULL, NULL);
	pm_spi_end(&spi);
	if (rows > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("a partition of table %s takes the range of rows that were rewritten",
						pm_qualified_name(rewrite->table))));
	pm_rewrite_run_sql(rewrite, list_make1(pm_ddl_rewrite_drop(pm_full_name(target))));
}

/* pm_rewrite_settle_target gives a target the storage parameters that it is to keep. */
void
pm_rewrite_settle_target(const PmRewrite *rewrite, Oid target)
{
	Oid			source = ((PmSource *) linitial(rewrite->sources))->oid;
	char	   *name = pm_qualified_name(target);
	List	   *statements = list_make1(pm_ddl_rewrite_autovacuum(name, true));

	if (rewrite->kind != REWRITE_DRAIN && rewrite->kind != REWRITE_UNDO)
		statements = list_concat(statements, pm_ddl_rewrite_storage(name, source));
	if (pm_rewrite_option(rewrite, "compression"))
		statements = list_concat(statements, pm_ddl_rewrite_compression(name, source, pm_rewrite_option(rewrite, "compression")));
	pm_rewrite_run_sql(rewrite, statements);
}

/* why there is this partition, for the log */
static const char *const reasons[PM_REWRITE_KINDS] = {
	[REWRITE_DRAIN] = "its rows were in the default partition",
	[REWRITE_SPLIT] = "a partition was split",
	[REWRITE_MERGE] = "partitions were merged",
	[REWRITE_INTERVAL] = "the interval was changed"
};

/* notes that a partition was written anew, and what has become of its size; returns that for the log */
static char *
note_compressed(const PmRewrite *rewrite, Oid target, int64 bytes)
{
	const char *detail = pm_rewrite_option(rewrite, "detail");
	int64		before = pm_size_bytes(((PmSource *) linitial(rewrite->sources))->oid);

	pm_upkeep_note(target, "compress", rewrite->table, detail, before, bytes);
	return psprintf("%s; size before: " INT64_FORMAT " bytes, after: " INT64_FORMAT, detail, before, bytes);
}

/* those that the source has now; some may have been revoked while its rows were copied */
static void
settle_privileges(const PmRewrite *rewrite, Oid target)
{
	pm_rewrite_run_sql(rewrite, pm_ddl_rewrite_strip(target));
	pm_rewrite_run_sql(rewrite, pm_ddl_rewrite_privileges(pm_qualified_name(target),
														  ((PmSource *) linitial(rewrite->sources))->oid));
}

static void
attach_target(const PmRewrite *rewrite, const PartSet *set, const PmTemplate *tmpl,
			  const Partition *target)
{
	char	   *name = pm_rewrite_target_name(rewrite, set, &target->bound);
	char	   *range = pm_ddl_range(&set->key, set->key.is_list ? target : NULL, &target->bound);
	char	   *qualified;
	int64		bytes;

	pm_rewrite_go_home(rewrite, target->oid);
	pm_rewrite_give_name(rewrite, target->oid, name);
	qualified = pm_qualified_name(target->oid);
	pm_rewrite_run_sql(rewrite, list_make2(pm_ddl_rewrite_attach(pm_full_name(set), qualified, range),
										   pm_ddl_rewrite_drop_constraint(qualified, PM_BOUND_CONSTRAINT)));
	pm_rewrite_settle_target(rewrite, target->oid);
	if (OidIsValid(tmpl->replident_index))
		pm_ddl_set_identity(set, tmpl, target->oid);
	pm_rewrite_settle_own(rewrite, target->oid);
	if (PM_REWRITE_KEEPS_RANGES(rewrite->kind))
		settle_privileges(rewrite, target->oid);
	bytes = pm_size_bytes(target->oid);
	pm_rewrite_log(rewrite, qualified, range, -1, bytes,
				   rewrite->kind == REWRITE_COMPRESS ? note_compressed(rewrite, target->oid, bytes) :
				   reasons[rewrite->kind]);
}

/* the rest becomes the default, under its name */
static void
attach_rest(const PmRewrite *rewrite, const PartSet *set, const char *frame, const char *name)
{
	Oid			source = ((PmSource *) linitial(rewrite->sources))->oid;

	pm_rewrite_run_sql(rewrite, list_make1(pm_ddl_rewrite_detach(frame, pm_qualified_name(rewrite->rest))));
	pm_rewrite_run_sql(rewrite, list_concat(pm_catalog_grants(source, pm_qualified_name(rewrite->rest)),
											pm_ddl_rewrite_storage(pm_qualified_name(rewrite->rest), source)));
	pm_rewrite_go_home(rewrite, rewrite->rest);
	pm_rewrite_give_name(rewrite, rewrite->rest, name);
	pm_rewrite_run_sql(rewrite, list_make1(pm_ddl_rewrite_attach(pm_full_name(set), pm_qualified_name(rewrite->rest),
																 "DEFAULT")));
	pm_rewrite_settle_own(rewrite, rewrite->rest);
}

static void
detach_sources(const PmRewrite *rewrite, const PartSet *set)
{
	ListCell   *lc;

	foreach(lc, rewrite->sources)
	{
		const char *source = pm_qualified_name(((PmSource *) lfirst(lc))->oid);
		List	   *statements = OidIsValid(rewrite->notes) ?
			pm_ddl_rewrite_unwatch(source, pm_rewrite_scratch(rewrite, ""), pm_rewrite_scratch(rewrite, "_truncate")) : NIL;

		pm_rewrite_run_sql(rewrite, lcons(pm_ddl_rewrite_detach(pm_full_name(set), source), statements));
	}
}

/* if the partitions of the set are sets themselves, the new ones become such */
static void
make_sub_sets(const PmRewrite *rewrite, List *targets)
{
	PmLook	   *look = pm_catalog_look(pm_rewrite_set(rewrite));
	int64		budget = 0;		/* readers wait for the swap: nothing is read here */
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, look->set->sub ? look->partitions : NIL)
		foreach(lc2, targets)
			if (((Partition *) lfirst(lc))->oid == ((Partition *) lfirst(lc2))->oid)
				pm_sub_convert(look, lfirst(lc), NULL, &budget, rewrite->now);
}

static void
swap_partitions(PmRewrite *rewrite)
{
	PartSet    *set = pm_rewrite_set(rewrite);
	PmLook	   *look = pm_catalog_look(set);
	PmLook	   *frame = pm_rewrite_frame(rewrite);
	PmTemplate *tmpl = pm_rewrite_template(rewrite);
	char	   *frame_name = pm_full_name(frame->set);
	PmTwins    *twins = NULL;
	List	   *back;
	ListCell   *lc;

	if (rewrite->kind == REWRITE_DRAIN)
		twins = pm_rewrite_find_twins(rewrite, rewrite->rest);
	else if (rewrite->kind == REWRITE_COMPRESS)
		twins = pm_rewrite_find_twins(rewrite, ((Partition *) linitial(frame->partitions))->oid);
	pm_rewrite_run_sql(rewrite, pm_rewrite_references(rewrite, &back));
	detach_sources(rewrite, set);
	foreach(lc, frame->partitions)
	{
		const Partition *target = lfirst(lc);

		pm_rewrite_run_sql(rewrite, list_make1(pm_ddl_rewrite_detach(frame_name, pm_full_name(target))));
		if (rewrite->kind == REWRITE_DRAIN && is_taken(look, target))
			drop_target(rewrite, target);
		else
			attach_target(rewrite, set, tmpl, target);
	}
	if (rewrite->kind == REWRITE_DRAIN)
		attach_rest(rewrite, set, frame_name, look->dflt->name);
	if (rewrite->kind == REWRITE_DRAIN)
		make_sub_sets(rewrite, frame->partitions);
	pm_exclude_end(rewrite);
	if (twins)
		pm_rewrite_name_twins(rewrite, twins);
	pm_rewrite_run_sql(rewrite, back);
}


/* ---------- the swap ---------- */

/* Everything is locked in the order in which everybody here locks. */
static void
lock_all(const PmRewrite *rewrite)
{
	PmLook	   *look;
	ListCell   *lc;

	LockRelationOid(rewrite->table, AccessExclusiveLock);
	if (!PM_REWRITE_MAKES_SET(rewrite->kind))
	{
		look = pm_catalog_look(pm_rewrite_set(rewrite));
		if (look->dflt)
			LockRelationOid(look->dflt->oid, AccessExclusiveLock);
	}
	foreach(lc, rewrite->sources)
		LockRelationOid(((PmSource *) lfirst(lc))->oid, AccessExclusiveLock);
}

/*
 * pm_rewrite_swap_now swaps, in this transaction.  All notes must have been
 * applied since writers were kept out.
 *
 * Locks: ACCESS EXCLUSIVE on the set, its default and the sources, and SHARE ROW
 * EXCLUSIVE on the tables that the set references, to the end.
 */
void
pm_rewrite_swap_now(PmRewrite *rewrite)
{
	lock_all(rewrite);
	if (OidIsValid(rewrite->notes) &&
		(!pm_rewrite_verify(rewrite, NULL) || pm_rewrite_lag(rewrite) > 0))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("rows were written while the lock was waited for")));
	if (pm_rewrite_missing(rewrite) != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("a partition was made while the lock was waited for")));
	pm_rewrite_check_again(rewrite);
	pm_rewrite_add_foreign_keys(rewrite);
	if (PM_REWRITE_IS_WHOLE(rewrite->kind))
		pm_rewrite_swap_tables(rewrite);
	else
		swap_partitions(rewrite);
	rewrite->units++;
	pm_rewrite_set_phase(rewrite, PHASE_CLEAN);
}
