/*-------------------------------------------------------------------------
 *
 * launcher.c
 *		The process that knows when some database has something due.
 *
 * There is one, registered while the library is preloaded.  It is connected to
 * no database, because a process that stays in a database keeps everybody from
 * dropping, renaming or copying it, and it reads only pg_database.  Where
 * something is due, or where nobody has looked yet, it asks the postmaster for
 * a worker that connects, works and leaves (worker.c): in each database one for
 * creation, one for upkeep.
 *
 * It sleeps until the earliest due time in the slots, at most
 * partmgr.interval, and is woken by a latch when a worker ends, when a
 * transaction has committed something to do and when a database has come or
 * gone.  On a standby it is not started before the promotion.
 *
 * It never changes anything in a database, and an error just ends it: the
 * postmaster starts it again, and all that matters is in shared memory.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/tableam.h"
#include "catalog/pg_database.h"
#include "internal.h"
#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "worker.h"

#include "compat.h"

/* the launcher failed: enough for a short trouble to pass */
#define LAUNCHER_RESTART_S 10

/* no free slot for a worker: 1 s, doubled up to a minute */
#define SHORTAGE_FIRST_MS 1000
#define SHORTAGE_MAX_MS 60000

/* a worker that was asked for and has not ended yet */
typedef struct Started
{
	PmStart		start;
	BackgroundWorkerHandle *handle;
} Started;

static MemoryContext launcher_context = NULL;	/* lives as long as we do */
static MemoryContext cycle_context = NULL;	/* reset before each look */
static List *started = NIL;		/* of Started, in launcher_context */
static int	shortage_delay = 0; /* ms; 0: there were workers to be had */
static TimestampTz shortage_until = 0;
static bool told_too_many = false;

/*
 * pm_worker_register has the postmaster start the launcher, and sets up what
 * it shares with other processes.  Called by _PG_init while the library is
 * preloaded.
 */
void
pm_worker_register(void)
{
	BackgroundWorker launcher;

	/* pg_upgrade wants nobody to touch anything */
	if (IsBinaryUpgrade)
		return;

	pm_slot_request();
	pm_isolation_install();
	pm_dbhook_install();

	memset(&launcher, 0, sizeof(launcher));
	launcher.bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	launcher.bgw_start_time = BgWorkerStart_RecoveryFinished;
	launcher.bgw_restart_time = LAUNCHER_RESTART_S;
	strlcpy(launcher.bgw_library_name, "partmgr", BGW_MAXLEN);
	strlcpy(launcher.bgw_function_name, "pm_launcher_main", BGW_MAXLEN);
	strlcpy(launcher.bgw_name, "partmgr launcher", BGW_MAXLEN);
	strlcpy(launcher.bgw_type, "partmgr launcher", BGW_MAXLEN);
	RegisterBackgroundWorker(&launcher);
}

/*
 * list_databases returns the databases that a worker can connect to, templates
 * left out: a worker in one would be in the way of CREATE DATABASE.
 */
static PmDatabase *
list_databases(int *n)
{
	PmDatabase *databases;
	int			allocated = 64;
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tuple;

	*n = 0;
	databases = MemoryContextAlloc(cycle_context,
								   allocated * sizeof(PmDatabase));

	pm_transaction_begin("partmgr: listing databases");
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);

		if (!form->datallowconn || form->datistemplate ||
			form->datconnlimit == DATCONNLIMIT_INVALID_DB)
			continue;
		if (*n == allocated)
		{
			allocated *= 2;
			databases = repalloc(databases, allocated * sizeof(PmDatabase));
		}
		databases[*n].oid = form->oid;
		strlcpy(databases[*n].name, NameStr(form->datname), NAMEDATALEN);
		(*n)++;
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	pm_transaction_end();

	return databases;
}

/* Forget the workers that have ended. */
static void
reap_workers(void)
{
	ListCell   *lc;

	foreach(lc, started)
	{
		Started    *worker = lfirst(lc);
		bool		is_failure = true;
		pid_t		pid;

		if (GetBackgroundWorkerPid(worker->handle, &pid) != BGWH_STOPPED)
			continue;

		/* only for one that ended before it could enter its slot */
		pm_slot_unstarted(&worker->start, is_failure);
		started = foreach_delete_current(started, lc);
		pfree(worker->handle);
		pfree(worker);
	}
}

/* Asks for a worker in a database; false if there is no room for it. */
static bool
start_worker(const PmDatabase *database, const PmStart *start)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(launcher_context);
	BackgroundWorkerHandle *handle;
	BackgroundWorker worker;
	PmWorkerArgs args;
	Started    *entry;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "partmgr", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "pm_worker_main", BGW_MAXLEN);
	strlcpy(worker.bgw_type,
			start->lane == LANE_CREATE ? "partmgr worker" :
			start->lane == LANE_UPKEEP ? "partmgr upkeep worker" : "partmgr rewrite worker",
			BGW_MAXLEN);
	snprintf(worker.bgw_name, BGW_MAXLEN, "%s for database \"%s\"",
			 worker.bgw_type, database->name);
	args.start = *start;
	strlcpy(args.database, database->name, NAMEDATALEN);
	memcpy(worker.bgw_extra, &args, sizeof(args));
	worker.bgw_notify_pid = MyProcPid;

	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
	{
		MemoryContextSwitchTo(oldcontext);
		return false;
	}
	entry = palloc(sizeof(Started));
	entry->start = *start;
	entry->handle = handle;
	started = lappend(started, entry);
	MemoryContextSwitchTo(oldcontext);
	return true;
}

/*
 * No worker was to be had: try less and less often, and say so once until it
 * works again.
 */
static void
note_shortage(const PmDatabase *database, TimestampTz now)
{
	if (shortage_delay == 0)
	{
		shortage_delay = SHORTAGE_FIRST_MS;
		ereport(LOG,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("no free background worker slot for the maintenance of database \"%s\"",
						database->name),
				 errhint("You might need to increase max_worker_processes.")));
	}
	else
		shortage_delay = Min(shortage_delay * 2, SHORTAGE_MAX_MS);
	shortage_until = TimestampTzPlusMilliseconds(now, shortage_delay);
}

/* bsearch by OID */
static int
compare_oid(const void *key, const void *element)
{
	Oid			left = *(const Oid *) key;
	Oid			right = ((const PmDatabase *) element)->oid;

	return (left > right) - (left < right);
}

/*
 * start_workers starts what is due and returns when to look again, DT_NOEND
 * if nothing but a wake can change anything.
 */
static TimestampTz
start_workers(void)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next;
	PmDatabase *databases;
	int			ndatabases;
	PmStart		start;

	MemoryContextReset(cycle_context);
	databases = list_databases(&ndatabases);
	if (!pm_slot_sync(databases, ndatabases, now) && !told_too_many)
	{
		told_too_many = true;
		ereport(LOG,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("partmgr looks after %d databases at most, the others are left alone",
						PM_MAX_DATABASES)));
	}

	if (shortage_delay > 0 && now < shortage_until &&
		shortage_until <= TimestampTzPlusMilliseconds(now, SHORTAGE_MAX_MS))
		return shortage_until;

	while (pm_slot_choose(now, &start, &next))
	{
		PmDatabase *database = bsearch(&start.dboid, databases, ndatabases,
									   sizeof(PmDatabase), compare_oid);

		if (!start_worker(database, &start))
		{
			bool		is_failure = false;

			pm_slot_unstarted(&start, is_failure);
			note_shortage(database, now);
			return shortage_until;
		}
		shortage_delay = 0;
	}
	return next;
}

/* How long to sleep until that time, in milliseconds. */
static long
sleep_time(TimestampTz until)
{
	long		longest = pm_interval * 1000L;
	TimestampTz now = GetCurrentTimestamp();

	if (TIMESTAMP_NOT_FINITE(until) ||
		until > TimestampTzPlusMilliseconds(now, longest))
		return longest;
	if (until <= now)
		return 0;
	return (long) ((until - now + 999) / 1000);
}

/* pm_launcher_main is the launcher process. */
void
pm_launcher_main(Datum arg)
{
	uint32		wait_event;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();

	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	SetConfigOption("application_name", MyBgworkerEntry->bgw_type,
					PGC_USERSET, PGC_S_OVERRIDE);
	wait_event = pm_wait_event("PartmgrLauncherMain");

	launcher_context = AllocSetContextCreate(TopMemoryContext,
											 "partmgr launcher",
											 ALLOCSET_DEFAULT_SIZES);
	cycle_context = AllocSetContextCreate(launcher_context,
										  "partmgr launcher cycle",
										  ALLOCSET_DEFAULT_SIZES);
	pm_slot_attach_launcher();
	ereport(DEBUG1, (errmsg_internal("partmgr launcher started")));

	for (;;)
	{
		TimestampTz next = DT_NOEND;

		/* asleep we leave without a word, as at every shutdown */
		if (ProcDiePending)
			proc_exit(1);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}

		/* commits end in TopMemoryContext, where nothing must be left */
		MemoryContextSwitchTo(launcher_context);
		reap_workers();
		if (pm_enabled)
			next = start_workers();

		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 sleep_time(next), wait_event);
		ResetLatch(MyLatch);
	}
}
