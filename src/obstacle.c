/*-------------------------------------------------------------------------
 *
 * obstacle.c
 *		What stands in the way of a retirement: foreign keys, locks, snapshots.
 *
 * Asked before a lock is requested.  A request that has to wait makes everybody
 * else wait who comes after it, so where somebody is seen to hold a lock for
 * long, none is made.
 *
 * Reads only, but for pm_obstacle_cancel.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "config.h"
#include "internal.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "compat.h"

/* describes a backend; the time stands still, so that texts can be compared */
#define BACKEND_TEXT \
	"'process ' || a.pid || ' (' || a.backend_type || ', user ' || coalesce(a.usename, '-')" \
	" || ', application ' || coalesce(nullif(a.application_name, ''), '-') || ', '" \
	" || coalesce(a.state, '-') || ', since ' || coalesce(date_trunc('second', a.xact_start)::text, '-')" \
	" || CASE WHEN a.backend_type = 'autovacuum worker' THEN ', ' || a.query ELSE '' END || ')'"


/* ---------- foreign keys ---------- */

/* the foreign keys of other tables that point at a set */
static List *
read_references(Oid parent)
{
	PmExtension ext;
	PmSpi		spi;
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext old;
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(parent)};
	List	   *result = NIL;
	uint64		rows;

	pm_config_begin(&spi, &ext);
	rows = pm_spi_select_kept("SELECT k.conname, format('%I.%I', n.nspname, c.relname),"
							  " (SELECT string_agg(format('r.%I = p.%I', ra.attname, pa.attname), ' AND ')"
							  "  FROM unnest(k.conkey, k.confkey) AS u(here, there)"
							  "  JOIN pg_attribute ra ON ra.attrelid = k.conrelid AND ra.attnum = u.here"
							  "  JOIN pg_attribute pa ON pa.attrelid = k.confrelid AND pa.attnum = u.there),"
							  " EXISTS (SELECT FROM pg_index x WHERE x.indrelid = k.conrelid"
							  "  AND x.indisvalid AND x.indpred IS NULL AND x.indkey[0] = ANY (k.conkey))"
							  " FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid"
							  " JOIN pg_namespace n ON n.oid = c.relnamespace"
							  " WHERE k.confrelid = $1 AND k.contype = 'f' AND k.conrelid <> $1"
							  " AND k.conparentid = 0 ORDER BY k.conname, k.oid",
							  1, types, values, NULL);
	old = MemoryContextSwitchTo(caller);
	for (uint64 i = 0; i < rows; i++)
	{
		PmReference *reference = palloc0(sizeof(PmReference));

		reference->constraint = pm_spi_string(i, 1);
		reference->table = pm_spi_string(i, 2);
		reference->join = pm_spi_string(i, 3);
		reference->has_index = pm_spi_bool(i, 4);
		result = lappend(result, reference);
	}
	MemoryContextSwitchTo(old);
	pm_spi_end(&spi);
	return result;
}

/* one question whether rows of a partition are referenced, for pm_attempt */
typedef struct ReferenceCheck
{
	const PartSet *set;
	const Partition *partition;
	const PmReference *reference;
	bool		found;
} ReferenceCheck;

/*
 * As the owner of the set, whose operators and policies may be involved.  If he
 * may not read the other table, the detach itself will tell.
 */
static void
look_for_rows(void *arg)
{
	ReferenceCheck *check = arg;
	PmSpi		spi;

	pm_spi_begin(&spi, check->set->owner);
	check->found = pm_spi_select(psprintf("SELECT FROM %s r JOIN %s p ON %s LIMIT 1",
										  check->reference->table,
										  pm_full_name(check->partition),
										  check->reference->join),
								 0, NULL, NULL, NULL) > 0;
	pm_spi_end(&spi);
}

/* A partition whose rows are referenced stays; core would refuse to detach it. */
static void
check_references(const PmLook *look, const PmTemplate *tmpl, PlanStep *step)
{
	ListCell   *lc;

	foreach(lc, tmpl->incoming)
	{
		ReferenceCheck check = {
			.set = look->set,
			.partition = step->partition,
			.reference = lfirst(lc)
		};
		ErrorData  *edata = pm_attempt(look_for_rows, &check);

		if (edata != NULL || !check.found)
			continue;
		step->blocked_code = ERRCODE_FOREIGN_KEY_VIOLATION;
		step->blocked = psprintf("rows of partition %s are referenced by constraint \"%s\" of table %s",
								 pm_full_name(step->partition),
								 check.reference->constraint, check.reference->table);
		return;
	}
}

/*
 * Core lets the owner of a parent detach anybody's partition, but not drop it:
 * it would stay half-way.
 */
static void
check_owner(const PartSet *set, PlanStep *step)
{
	const Partition *partition = step->partition;

	if ((step->retire == RETIRE_KEEP && set->retention_keep_index) ||
		has_privs_of_role(set->owner, partition->owner))
		return;
	step->blocked_code = ERRCODE_INSUFFICIENT_PRIVILEGE;
	step->blocked = psprintf("partition %s does not belong to the owner of table %s",
							 pm_full_name(partition),
							 pm_full_name(set));
}


/* ---------- snapshots and locks ---------- */

/*
 * long_snapshots says who has had a snapshot for long in this database: core
 * would wait for them all, with a lock on the parent.
 */
static char *
long_snapshots(void)
{
	List	   *all = pm_catalog_strings(psprintf("SELECT string_agg(" BACKEND_TEXT ", ', ' ORDER BY a.pid)"
												  " FROM pg_stat_activity a WHERE a.backend_xmin IS NOT NULL"
												  " AND a.datid = (SELECT oid FROM pg_database WHERE datname = current_database())"
												  " AND a.pid <> pg_backend_pid() AND $1 <> 0"
												  " AND a.xact_start < clock_timestamp() - interval '%d milliseconds'",
												  PM_LONG_MS),
										 BOOTSTRAP_SUPERUSERID);

	return all == NIL ? NULL : (char *) linitial(all);
}

/*
 * pm_obstacle_check marks the steps of retirement that cannot be done now.
 * A detach that is to be finalized waits, quietly, until nobody is left who
 * might still see the partition.
 */
void
pm_obstacle_check(const PmLook *look, PmTemplate *tmpl, PartPlan *plan)
{
	bool		has_references = false;
	ListCell   *lc;

	foreach(lc, plan->steps)
	{
		PlanStep   *step = lfirst(lc);

		if (step->kind == STEP_FINALIZE)
		{
			char	   *who = long_snapshots();

			if (who == NULL)
				continue;
			step->is_waiting = true;
			step->blocked_code = ERRCODE_LOCK_NOT_AVAILABLE;
			step->blocked = psprintf("the detach of partition %s waits for older transactions to end: %s",
									 pm_full_name(step->partition),
									 who);
		}
		if (step->kind == STEP_RETIRE)
			check_owner(look->set, step);
		if (step->kind != STEP_RETIRE || step->blocked || !tmpl->has_incoming_fk)
			continue;
		if (!has_references)
			tmpl->incoming = read_references(look->set->parent);
		has_references = true;
		check_references(look, tmpl, step);
	}
}

/* the locks of others on a set that keep out one of ours */
static char *
holders_where(bool exclusive)
{
	return psprintf("l.locktype = 'relation' AND l.granted AND l.pid <> pg_backend_pid()"
					" AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
					" AND (l.relation = $1 OR l.relation IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = $1))"
					" AND (%s OR l.mode NOT IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock'))",
					exclusive ? "true" : "false");
}

/*
 * pm_obstacle_holders says who has held, for longer than so many milliseconds,
 * locks on a set that keep a maintenance out; NULL if nobody has.  With
 * exclusive, it is one that wants ACCESS EXCLUSIVE, which everybody is in the
 * way of.
 *
 * Locks and activity are not read at the same moment: who has no transaction
 * any more has let go.
 */
char *
pm_obstacle_holders(Oid parent, bool exclusive, int older_than_ms)
{
	List	   *all = pm_catalog_strings(psprintf("SELECT string_agg(DISTINCT " BACKEND_TEXT ", ', ')"
												  " FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid"
												  " WHERE %s AND a.xact_start"
												  " <= clock_timestamp() - interval '%d milliseconds'",
												  holders_where(exclusive), older_than_ms),
										 parent);

	return all == NIL ? NULL : (char *) linitial(all);
}

/* pm_obstacle_process describes a process; NULL if it is gone. */
char *
pm_obstacle_process(int pid)
{
	List	   *all = pm_catalog_strings("SELECT " BACKEND_TEXT " FROM pg_stat_activity a WHERE a.pid = $1::int4",
										 (Oid) pid);

	return all == NIL ? NULL : (char *) linitial(all);
}

/* a cancellation, for pm_attempt */
typedef struct CancelCall
{
	Oid			owner;
	const char *pid;
	bool		done;
} CancelCall;

static void
cancel(void *arg)
{
	CancelCall *call = arg;
	PmSpi		spi;

	pm_spi_begin(&spi, call->owner);
	call->done = pm_spi_select(psprintf("SELECT WHERE pg_cancel_backend(%s)", call->pid),
							   0, NULL, NULL, NULL) > 0;
	pm_spi_end(&spi);
}

/*
 * pm_obstacle_cancel cancels the statements of those who hold such locks.  Who
 * they are is read with all rights, whether they may be cancelled is asked with
 * those of the owner of the set.  Returns the processes, or NULL if there was
 * none that he may cancel.
 */
char *
pm_obstacle_cancel(Oid parent, Oid owner, bool exclusive)
{
	List	   *pids = pm_catalog_strings(psprintf("SELECT DISTINCT l.pid::text FROM pg_locks l"
												   " JOIN pg_stat_activity a ON a.pid = l.pid WHERE %s"
												   " AND a.backend_type NOT LIKE 'partmgr%%'",
												   holders_where(exclusive)),
										  parent);
	char	   *who = NULL;
	ListCell   *lc;

	foreach(lc, pids)
	{
		CancelCall	call = {.owner = owner, .pid = lfirst(lc)};
		ErrorData  *edata = pm_attempt(cancel, &call);

		if (edata != NULL)
			ereport(LOG,
					(errcode(edata->sqlerrcode),
					 errmsg("cannot cancel process %s, which holds a lock on table %s: %s",
							call.pid, pm_qualified_name(parent), edata->message)));
		else if (call.done)
			who = who ? psprintf("%s, %s", who, call.pid) : pstrdup(call.pid);
	}
	return who;
}
