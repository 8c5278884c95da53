/*-------------------------------------------------------------------------
 *
 * worker_session.c
 *		As whom, and with which settings, a process of ours is connected to a
 *		database.
 *
 * As the bootstrap superuser, because owners of tables are often not allowed to
 * log in.  What ALTER DATABASE and ALTER ROLE set is not for it: everything that
 * could change its work is pinned before it connects.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "internal.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"
#include "worker.h"

#include "compat.h"

/* settings that are the same for every worker, whatever the database's are */
static const struct
{
	const char *name;
	const char *value;
}			pinned_settings[] =
{
	/* as in autovacuum workers */
	{"search_path", "pg_catalog, pg_temp"},
	{"zero_damaged_pages", "off"},
	{"statement_timeout", "0"},
	{"idle_in_transaction_session_timeout", "0"},
	{"default_transaction_isolation", "read committed"},
	{"stats_fetch_consistency", "none"},	/* 15 and later */

	/* what else could end us or make us fail */
	{"default_transaction_read_only", "off"},
	{"default_transaction_deferrable", "off"},
	{"transaction_timeout", "0"},	/* 17 and later */
	{"idle_session_timeout", "0"},
	{"exit_on_error", "off"},
	{"role", "none"},

	/* what could change the meaning of what we run */
	{"row_security", "on"},
	{"session_replication_role", "origin"},
	{"TimeZone", "UTC"},
	{"DateStyle", "ISO, MDY"},
	{"IntervalStyle", "postgres"},
	{"bytea_output", "hex"},
	{"extra_float_digits", "1"},
	{"standard_conforming_strings", "on"},
	{"transform_null_equals", "off"},
	{"quote_all_identifiers", "off"},
	{"check_function_bodies", "on"},
	{"default_tablespace", ""},
	{"default_table_access_method", "heap"}
};

/* partmgr.lock_timeout is the lock_timeout of a worker */
static void
pin_lock_timeout(void)
{
	char		value[16];

	snprintf(value, sizeof(value), "%d", pm_lock_timeout);
	SetConfigOption("lock_timeout", value, PGC_SUSET, PGC_S_OVERRIDE);
}

/* Settings that this major does not have are left out. */
static void
pin_settings(void)
{
	for (int i = 0; i < lengthof(pinned_settings); i++)
	{
		bool		missing_ok = true;
		bool		is_restricted = false;

		if (GetConfigOption(pinned_settings[i].name, missing_ok,
							is_restricted) != NULL)
			SetConfigOption(pinned_settings[i].name, pinned_settings[i].value,
							PGC_SUSET, PGC_S_OVERRIDE);
	}
	SetConfigOption("application_name", MyBgworkerEntry->bgw_type,
					PGC_USERSET, PGC_S_OVERRIDE);
	pin_lock_timeout();
}

/* pm_worker_reload reads the settings anew if asked to; not inside a transaction. */
void
pm_worker_reload(void)
{
	if (!ConfigReloadPending)
		return;
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	pin_lock_timeout();
}

/*
 * From now on nothing in this process can become another user by SET ROLE or
 * SET SESSION AUTHORIZATION: the process was authenticated as a superuser, so
 * code that runs as the owner of a table could become one.
 */
static void
freeze_identity(void)
{
	int			n;
	struct config_generic **variables = pm_guc_variables(&n);

	for (int i = 0; i < n; i++)
	{
		if (strcmp(variables[i]->name, "role") == 0 ||
			strcmp(variables[i]->name, "session_authorization") == 0)
			variables[i]->context = PGC_INTERNAL;
	}
}

/*
 * pm_worker_connect connects this process to a database, as the bootstrap
 * superuser and with our settings.
 */
void
pm_worker_connect(Oid dboid)
{
	pin_settings();
	BackgroundWorkerInitializeConnectionByOid(dboid, InvalidOid, 0);

	/* the two that connecting may have changed */
	pin_lock_timeout();
	if (GetSessionUserId() != BOOTSTRAP_SUPERUSERID)
		SetSessionAuthorization(BOOTSTRAP_SUPERUSERID, true);
	freeze_identity();
}
