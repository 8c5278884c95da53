/*-------------------------------------------------------------------------
 *
 * failpoint.c
 *		Places where a test can make us wait, fail or die.
 *
 * At PM_FAILPOINT("name") a process waits while a test holds the advisory lock
 * of that name, raises an error if partmgr.failpoints says "name=error", and
 * kills itself if it says "name=kill".  The wait is a real one in the lock
 * manager, so that pg_locks and the isolation tester see it.
 *
 * Only in debug builds (PARTMGR_DEBUG); elsewhere the macro is empty.  Never
 * to be called while holding an LWLock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#ifdef PARTMGR_DEBUG

#include <signal.h>

#include "common/hashfn.h"
#include "fmgr.h"
#include "internal.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "compat.h"

/* "pmgr" as a number: keeps our advisory locks apart from those of users */
#define FAILPOINT_CLASS 1886219629

static char *failpoints = NULL;

PG_FUNCTION_INFO_V1(partmgr_failpoint_key);

/* failpoint_key is the second half of a fail point's advisory lock. */
static int32
failpoint_key(const char *name)
{
	return (int32) hash_bytes((const unsigned char *) name, (int) strlen(name));
}

/*
 * partmgr_failpoint_key(text) returns what a test gives to pg_advisory_lock
 * after the class.
 */
Datum
partmgr_failpoint_key(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(failpoint_key(text_to_cstring(PG_GETARG_TEXT_PP(0))));
}

/* has_action tells whether the setting says "name=action". */
static bool
has_action(const char *name, const char *action)
{
	size_t		name_len = strlen(name);
	size_t		action_len = strlen(action);

	for (const char *item = failpoints; item != NULL && *item != '\0';)
	{
		size_t		len;

		item += strspn(item, " ,");
		len = strcspn(item, " ,");
		if (len == name_len + 1 + action_len &&
			strncmp(item, name, name_len) == 0 &&
			item[name_len] == '=' &&
			strncmp(item + name_len + 1, action, action_len) == 0)
			return true;
		item += len;
	}
	return false;
}

/*
 * wait_for_gate waits until nobody holds the fail point's lock.
 *
 * A session lock, because there is a fail point outside of transactions; it is
 * given back at once.
 */
static void
wait_for_gate(const char *name)
{
	LOCKTAG		tag;
	volatile int save_lock_timeout = LockTimeout;
	const bool	session_lock = true;
	const bool	dont_wait = true;

	/* the form that pg_advisory_lock(int, int) takes */
	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, FAILPOINT_CLASS,
						 (uint32) failpoint_key(name), 2);
	if (LockAcquire(&tag, ShareLock, session_lock, dont_wait) ==
		LOCKACQUIRE_NOT_AVAIL)
	{
		/* the run's own timeout is not for this wait */
		PG_TRY();
		{
			LockTimeout = 0;
			(void) LockAcquire(&tag, ShareLock, session_lock, !dont_wait);
		}
		PG_FINALLY();
		{
			LockTimeout = save_lock_timeout;
		}
		PG_END_TRY();
	}
	LockRelease(&tag, ShareLock, session_lock);
}

/* pm_failpoint waits, then fails or dies, as far as a test has asked for it. */
void
pm_failpoint(const char *name)
{
	wait_for_gate(name);
	if (has_action(name, "error"))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("fail point %s", name)));
	if (has_action(name, "kill"))
		kill(MyProcPid, SIGKILL);
}

/* pm_failpoint_define defines the setting that arms fail points. */
void
pm_failpoint_define(void)
{
	DefineCustomStringVariable("partmgr.failpoints",
							   "Arms fail points, for tests: name=error or name=kill, separated by commas.",
							   NULL,
							   &failpoints,
							   "",
							   PGC_SUSET, 0, NULL, NULL, NULL);
}

#endif							/* PARTMGR_DEBUG */
