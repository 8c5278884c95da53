/*-------------------------------------------------------------------------
 *
 * partmgr.c
 *		Loading of the library: the settings, and the registration of the
 *		worker.
 *
 * Without preloading everything but the worker is there: the settings are
 * defined by the first call of a function in a session.  Nothing here reads
 * the database, and nothing here decides anything about partitions.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "fmgr.h"
#include "internal.h"
#include "miscadmin.h"
#include "utils/guc.h"

#include "compat.h"

PG_MODULE_MAGIC;

/* see internal.h; the values here are those of an unconfigured server */
int			pm_interval = 60;
bool		pm_enabled = true;
int			pm_max_workers = 2;
int			pm_max_rewrites = 1;
int			pm_lock_timeout = 100;
int			pm_step_timeout = 600000;
int			pm_max_create = 1000;
int			pm_move_rows = 10000;
int			pm_max_default_scan = 65536;
int			pm_on_demand_timeout = 2000;
int			pm_on_demand_max = 100;
int			pm_log_days = 90;
int			pm_detach_timeout = 600000;
int			pm_drop_pause = 1000;
double		pm_vacuum_cost_delay = 2;

bool		pm_is_preloaded = false;

extern PGDLLEXPORT void _PG_init(void);

/* settings of the worker, reloadable */
static void
define_worker_settings(void)
{
	DefineCustomBoolVariable("partmgr.enabled",
							 "Lets the worker maintain partition sets.",
							 "Functions that are called by hand work all the same.",
							 &pm_enabled,
							 true,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("partmgr.interval",
							"Sets the longest time between two maintenance runs of a partition set.",
							NULL,
							&pm_interval,
							60, 1, 86400,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);

	/* more than two per database are never started, and slots are shared */
	DefineCustomIntVariable("partmgr.max_workers",
							"Sets how many workers maintain partition sets at the same time.",
							"Upkeep never takes all of them, so that creation can go on.",
							&pm_max_workers,
							2, 1, 64,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("partmgr.max_rewrites",
							"Sets how many databases have rows rewritten by a worker at the same time.",
							"These workers do not count for partmgr.max_workers.",
							&pm_max_rewrites,
							1, 0, 64,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("partmgr.step_timeout",
							"Sets how long one step of the worker may take; 0 is no limit.",
							"The functions of one table must not keep the worker from the others.",
							&pm_step_timeout,
							600000, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("partmgr.detach_timeout",
							"Sets how long a concurrent detach waits for a transaction that may still use the partition.",
							"The wait is in nobody's way.  A detach that is cut short is finalized later.",
							&pm_detach_timeout,
							600000, 1, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("partmgr.drop_pause",
							"Sets how long the worker pauses after dropping a partition, for each gigabyte of it.",
							"Deleting large files keeps the disks busy.",
							&pm_drop_pause,
							1000, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomRealVariable("partmgr.vacuum_cost_delay",
							 "Sets the vacuum_cost_delay of VACUUM and ANALYZE by the worker.",
							 NULL,
							 &pm_vacuum_cost_delay,
							 2, 0, 100,
							 PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("partmgr.log_days",
							"Sets how many days the entries of part_log are kept.",
							NULL,
							&pm_log_days,
							90, 1, 36500,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
}

/* settings of a run, whoever runs it */
static void
define_run_settings(void)
{
	/* far below deadlock_timeout: a waiting lock request blocks all others */
	DefineCustomIntVariable("partmgr.lock_timeout",
							"Sets how long the worker waits for a lock on a table.",
							NULL,
							&pm_lock_timeout,
							100, 1, INT_MAX,
							PGC_SUSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("partmgr.max_create",
							"Sets how many partitions one maintenance run of a set may create.",
							"What is left out is created by the following runs.",
							&pm_max_create,
							1000, 1, INT_MAX,
							PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("partmgr.move_rows",
							"Sets how many rows the creation of a partition may move out of the default partition.",
							"A partition that more rows wait for is reported, and not created.",
							&pm_move_rows,
							10000, 0, INT_MAX,
							PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("partmgr.max_default_scan",
							"Sets how large a default partition may be to be read under a lock when a partition is attached.",
							"Where it is larger the worker excludes the range by a constraint first.",
							&pm_max_default_scan,
							65536, 0, INT_MAX,
							PGC_SUSET, GUC_UNIT_KB, NULL, NULL, NULL);
}

/* settings of statements that need a partition */
static void
define_demand_settings(void)
{
	DefineCustomIntVariable("partmgr.on_demand_timeout",
							"Sets how long a statement waits for a partition that is made on demand.",
							"After that its row has no partition, as without partmgr.",
							&pm_on_demand_timeout,
							2000, 1, INT_MAX,
							PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("partmgr.on_demand_max",
							"Sets how many partitions one statement may have made on demand.",
							NULL,
							&pm_on_demand_max,
							100, 0, INT_MAX,
							PGC_SUSET, 0, NULL, NULL, NULL);
}

/*
 * refuse_second_copy raises an error if another copy of the library, from
 * another file, is loaded already: each would have its own settings.
 */
static void
refuse_second_copy(void)
{
	void	  **loaded = find_rendezvous_variable("partmgr");

	if (*loaded != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("library \"partmgr\" is already loaded from another file"),
				 errhint("Use the same file in shared_preload_libraries and in the extension.")));
	*loaded = &pm_interval;
}

void
_PG_init(void)
{
	refuse_second_copy();
	define_worker_settings();
	define_run_settings();
	define_demand_settings();
	pm_failpoint_define();
	MarkGUCPrefixReserved("partmgr");
	pm_demand_install();
	if (process_shared_preload_libraries_in_progress)
	{
		pm_worker_register();
		pm_is_preloaded = true;
	}
}
