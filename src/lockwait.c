/*-------------------------------------------------------------------------
 *
 * lockwait.c
 *		How long a call from SQL waits for a lock, and for whom.
 *
 * A lock that is waited for keeps out all who come after us, so a session that
 * has no lock_timeout of its own gets ours for as long as the call takes.  One
 * that has set it knows what it wants.  An error that a wait ended with is told
 * with those who hold the locks.
 *
 * What is set here is taken back at the end, or by the abort of the
 * (sub)transaction.  The worker has its lock_timeout pinned and needs none of
 * this.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "internal.h"
#include "storage/proc.h"
#include "utils/guc.h"

#include "compat.h"

/*
 * pm_lockwait_begin has each wait for a lock end after partmgr.lock_timeout if
 * the session's own lock_timeout is 0.  Nests; the result is for
 * pm_lockwait_end.
 */
int
pm_lockwait_begin(void)
{
	int			nestlevel = NewGUCNestLevel();
	char		value[16];

	if (LockTimeout > 0)
		return nestlevel;
	snprintf(value, sizeof(value), "%d", pm_lock_timeout);
	(void) set_config_option("lock_timeout", value, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	return nestlevel;
}

/* pm_lockwait_end lets the session wait as before. */
void
pm_lockwait_end(int nestlevel)
{
	AtEOXact_GUC(false, nestlevel);
}

/*
 * pm_lockwait_explain adds to an error who holds the locks on a set, if a wait
 * for one is what the error is about.  In a working transaction, once the wait
 * was undone: our own locks are not looked at.
 */
void
pm_lockwait_explain(Oid parent, ErrorData *edata)
{
	bool		exclusive = true;
	const int	any_age = 0;
	char	   *who;

	if (edata->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE || edata->hint)
		return;
	who = pm_obstacle_holders(parent, !exclusive, any_age);
	if (who == NULL)
		who = pm_obstacle_holders(parent, exclusive, any_age);
	if (who)
		edata->hint = psprintf("Locks are held by %s. Try again, or set lock_timeout to wait longer.", who);
	else
		edata->hint = pstrdup("Try again, or set lock_timeout to wait longer.");
}

/*
 * pm_lockwait_run calls work(arg), which is about one set, in a subtransaction
 * and with these limits.  Errors fly on, untouched but for that hint.
 */
void
pm_lockwait_run(Oid parent, void (*work) (void *arg), void *arg)
{
	int			nestlevel = pm_lockwait_begin();
	ErrorData  *edata = pm_attempt(work, arg);

	if (edata)
	{
		pm_lockwait_explain(parent, edata);
		ReThrowError(edata);
	}
	pm_lockwait_end(nestlevel);
}
