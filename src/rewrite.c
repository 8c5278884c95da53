/*-------------------------------------------------------------------------
 *
 * rewrite.c
 *		One rewrite by one process, from where it is to its end.
 *
 * Each step is a transaction: it reads where the rewrite is, does the next thing
 * and writes that down.  What makes transactions begin and end, and what is told
 * to whom, is the host's: the worker's, or a procedure's.
 *
 * Who works on a rewrite holds a lock of the session that nobody else can take;
 * when the process is gone, however that was, so is the lock.
 *
 * A lock or a reader that is in the way makes us come again, with growing
 * pauses.  Any other error ends the rewrite, and leaves all as it was before.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "ddl_rewrite.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "rewrite.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"

/* pauses after a lock was not to be had: those who were kept waiting by that go first */
#define PAUSE_FIRST_MS 100
#define PAUSE_MAX_MS 5000

/* to look again whether a reader is gone keeps nobody waiting */
#define LOOK_FIRST_MS 5
#define LOOK_MAX_MS 1000

/* transactions that build are not shorter than this */
#define BUILD_MS 200

/* "pmgw" as a number, in a form of advisory lock that SQL has no function for */
#define LOCK_CLASS 1886218103
#define LOCK_FORM 3

/* ---------- who works on it ---------- */

static void
set_lock_tag(LOCKTAG *tag, int64 id)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, LOCK_CLASS, (uint32) id, LOCK_FORM);
}

/* pm_rewrite_lock makes a rewrite this process's; false if it is another's. */
bool
pm_rewrite_lock(int64 id)
{
	const bool	session_lock = true;
	const bool	dont_wait = true;
	LOCKTAG		tag;

	set_lock_tag(&tag, id);
	return LockAcquire(&tag, ExclusiveLock, session_lock, dont_wait) != LOCKACQUIRE_NOT_AVAIL;
}

/*
 * lock_again makes it this process's again after a statement at top level, which
 * leaves no lock behind.  Who has come in between, to cancel it, is soon gone.
 */
static void
lock_again(int64 id)
{
	const bool	session_lock = true;
	const bool	dont_wait = true;
	LOCKTAG		tag;

	set_lock_tag(&tag, id);
	(void) LockAcquire(&tag, ExclusiveLock, session_lock, !dont_wait);
}

/* pm_rewrite_holder returns the process that works on it; 0 if none does. */
int
pm_rewrite_holder(int64 id)
{
	LockData   *locks = GetLockStatusData();
	LOCKTAG		tag;

	set_lock_tag(&tag, id);
	for (int i = 0; i < locks->nelements; i++)
		if (memcmp(&locks->locks[i].locktag, &tag, sizeof(LOCKTAG)) == 0 && locks->locks[i].holdMask != 0)
			return locks->locks[i].pid;
	return 0;
}

/* pm_rewrite_unlock lets go of it. */
void
pm_rewrite_unlock(int64 id)
{
	LOCKTAG		tag;

	set_lock_tag(&tag, id);
	LockRelease(&tag, ExclusiveLock, true);
}


/* ---------- a transaction ---------- */

/*
 * limit_waits has locks be waited for shortly, also in somebody's session, and
 * nothing be compiled for a batch.
 */
static int
limit_waits(void)
{
	int			nestlevel = NewGUCNestLevel();

	(void) set_config_option("lock_timeout", psprintf("%d", pm_lock_timeout), PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("jit", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	return nestlevel;
}

/*
 * pm_rewrite_transaction calls work(run) in a transaction of its own and returns
 * the error that undid it, or NULL.
 */
ErrorData *
pm_rewrite_transaction(PmRewriteRun *run, void (*work) (void *arg), const char *activity)
{
	ErrorData  *problem;
	int			nestlevel;

	MemoryContextReset(run->step_context);
	run->host->begin(psprintf("partmgr: rewrite " INT64_FORMAT ": %s", run->id, activity));
	MemoryContextSwitchTo(run->step_context);
	nestlevel = limit_waits();
	problem = pm_attempt(work, run);
	AtEOXact_GUC(false, nestlevel);
	run->host->end();
	MemoryContextSwitchTo(run->step_context);
	if (problem != NULL)
		pm_error_clip(problem);
	return problem;
}


/* ---------- steps ---------- */

/* who is waited for, in words */
static char *
reader_text(const PmRewriteRun *run)
{
	char	   *who = pm_obstacle_process(pm_rewrite_reader(run));

	return psprintf("waits for %d transaction%s with a snapshot from before the last rows were copied%s%s",
					run->nreaders, run->nreaders == 1 ? "" : "s", who ? ": " : "", who ? who : "");
}

/*
 * What was written meanwhile is applied; when that is little, and nobody is left
 * who could see too few rows, or that does not matter, the swap can be tried.
 */
static void
apply_step(PmRewriteRun *run, PmRewrite *rewrite)
{
	if (!pm_rewrite_apply(run, rewrite))
		return;
	if (!pm_rewrite_is_built(run, rewrite))
	{
		pm_rewrite_set_phase(rewrite, PHASE_BUILD);
		return;
	}
	run->wants_swap = !run->strict;
	if (run->wants_swap)
		return;
	if (!run->has_readers)
		pm_rewrite_list_readers(run);
	run->has_readers = true;
	run->wants_swap = pm_rewrite_readers_gone(run);
	if (run->wants_swap)
		return;
	pm_rewrite_note(run->id, reader_text(run));
	run->pause_ms = Min(LOOK_FIRST_MS << Min(run->busy++, 8), LOOK_MAX_MS);
}

static void
tell_phase(PmRewriteRun *run, const PmRewrite *rewrite)
{
	static const char *const sentences[] = {
		[PHASE_PREPARE] = NULL,
		[PHASE_WATCH] = "putting triggers on %s",
		[PHASE_COPY] = "copying the rows of %s",
		[PHASE_BUILD] = "building indexes",
		[PHASE_APPLY] = "applying changes",
		[PHASE_CLEAN] = "swapped; dropping what was rewritten"
	};
	static const char *const instant[] = {
		[PHASE_WATCH] = "looking for the highest key of %s",
		[PHASE_COPY] = "checking the rows of %s",
		[PHASE_BUILD] = "building indexes",
		[PHASE_APPLY] = "swapping",
		[PHASE_CLEAN] = NULL
	};
	const char *sentence = rewrite->kind == REWRITE_INSTANT ? instant[rewrite->phase] : sentences[rewrite->phase];

	if (run->told != rewrite->phase)
		run->busy = 0;
	if (run->host->tells && run->told != rewrite->phase && sentence)
		ereport(NOTICE,
				(errmsg("rewrite " INT64_FORMAT ": %s", rewrite->id,
						rewrite->sources == NIL ? sentence :
						psprintf(sentence, pm_qualified_name(((PmSource *) linitial(rewrite->sources))->oid)))));
	run->told = rewrite->phase;
}

/* a rewrite that was paused or has ended is nobody's; is this one ours still? */
static bool
goes_on(PmRewriteRun *run, PmRewrite *rewrite)
{
	if (!pm_rewrite_read(run->id, rewrite) ||
		(strcmp(rewrite->state, "running") != 0 && strcmp(rewrite->state, "cancelling") != 0))
	{
		run->is_over = true;
		return false;
	}
	if (strcmp(rewrite->state, "cancelling") == 0 && rewrite->phase != PHASE_CLEAN)
	{
		pm_rewrite_remove(run, rewrite);
		return false;
	}
	if (rewrite->name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the table of rewrite " INT64_FORMAT " is gone", run->id)));
	return true;
}

/* as much as fits into a moment: the partitions may be many and small */
static void
build_some(PmRewriteRun *run, PmRewrite *rewrite)
{
	TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), BUILD_MS);

	/* not under a lock, which might be held for hours: it only has errors come early */
	if (!run->in_one && !pm_rewrite_verify(rewrite, NULL))
	{
		pm_rewrite_restart(rewrite);
		return;
	}
	if (!run->in_one && !run->is_excluded && PM_REWRITE_KEEPS_RANGES(rewrite->kind) &&
		pm_exclude_sources(rewrite))
		return;
	run->is_excluded = true;
	do
	{
		CHECK_FOR_INTERRUPTS();
		if (!pm_rewrite_build_next(run, rewrite))
		{
			pm_rewrite_set_phase(rewrite, PHASE_APPLY);
			return;
		}
	} while (GetCurrentTimestamp() < end);
}

static void
next_phase_step(PmRewriteRun *run, PmRewrite *rewrite)
{
	if (rewrite->kind == REWRITE_INSTANT)
	{
		pm_instant_step(run, rewrite);
		return;
	}
	switch (rewrite->phase)
	{
		case PHASE_PREPARE:
			run->has_readers = false;
			run->built = run->model = NIL;
			run->is_excluded = false;
			pm_rewrite_prepare(run, rewrite);
			break;
		case PHASE_WATCH:
			pm_rewrite_watch(run, rewrite);
			break;
		case PHASE_COPY:
			run->has_readers = false;
			run->built = NIL;
			pm_rewrite_copy(run, rewrite);
			break;
		case PHASE_BUILD:
			build_some(run, rewrite);
			break;
		case PHASE_APPLY:
			apply_step(run, rewrite);
			break;
		case PHASE_CLEAN:
			pm_rewrite_clean(run, rewrite);
			break;
	}
}

static void
step(void *arg)
{
	PmRewriteRun *run = arg;
	PmRewrite	rewrite;

	CHECK_FOR_INTERRUPTS();
	run->pause_ms = 0;
	run->wants_swap = false;
	if (!goes_on(run, &rewrite))
		return;
	/* rows that stay where they are can be seen by everybody */
	run->strict = rewrite.kind != REWRITE_INSTANT &&
		(pm_rewrite_option(&rewrite, "policy") == NULL ||
		 strcmp(pm_rewrite_option(&rewrite, "policy"), "fast") != 0);
	tell_phase(run, &rewrite);
	next_phase_step(run, &rewrite);
	PM_FAILPOINT(psprintf("rewrite-%s", pm_rewrite_phase_name(rewrite.phase)));
}


/* ---------- errors ---------- */

/*
 * is_passing tells an error that is over when others have gone on: a lock, or a
 * deadlock that somebody had with us.
 */
static bool
is_passing(const ErrorData *problem)
{
	return problem->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
		problem->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED;
}

/*
 * Values of a unique index may have changed places: that goes well only if all
 * their rows are written at once.
 */
static bool
can_apply_all(const PmRewriteRun *run, const ErrorData *problem)
{
	return problem->sqlerrcode == ERRCODE_UNIQUE_VIOLATION && run->told == PHASE_APPLY && !run->apply_all;
}

/* text with one name in quotes in place of another */
static char *
replace_name(const char *text, const char *name, const char *by)
{
	char	   *quoted = psprintf("\"%s\"", name);
	StringInfoData buf;
	const char *found;

	initStringInfo(&buf);
	for (; (found = strstr(text, quoted)) != NULL; text = found + strlen(quoted))
	{
		appendBinaryStringInfo(&buf, text, found - text);
		appendStringInfo(&buf, "\"%s\"", by);
	}
	appendStringInfoString(&buf, text);
	return buf.data;
}

/* The user knows the table, and not those of ours that stand in for it. */
static char *
with_its_name(const PmRewrite *rewrite, const char *text)
{
	if (rewrite->name == NULL)
		return pstrdup(text);
	text = replace_name(text, pm_rewrite_scratch(rewrite, ""), rewrite->name);
	return replace_name(text, pm_rewrite_scratch(rewrite, "_rest"), rewrite->name);
}

static void
note_problem(void *arg)
{
	PmRewriteRun *run = arg;
	const ErrorData *problem = run->problem;
	PmRewrite	rewrite;
	char	   *message;

	if (!pm_rewrite_read(run->id, &rewrite))
		return;
	message = with_its_name(&rewrite, problem->detail ? psprintf("%s: %s", problem->message, problem->detail) :
							problem->message);
	if (!is_passing(problem) && rewrite.phase == PHASE_CLEAN)
	{
		/* nothing is lost by what stays; to try for ever would help nobody */
		(void) pm_rewrite_set_state(run->id, "{running,cancelling}", "failed", problem->sqlerrcode,
									psprintf("swapped, but not all could be cleaned up: %s", message));
		run->is_over = true;
		return;
	}
	if (is_passing(problem))
		pm_rewrite_note(run->id, psprintf("waits for a lock: %s", problem->message));
	else
		(void) pm_rewrite_set_state(run->id, "{running}", "cancelling", problem->sqlerrcode, message);
}

/* A lock that is not to be had: come again.  All else ends the rewrite. */
static void
handle(PmRewriteRun *run, ErrorData *problem)
{
	ErrorData  *second;
	MemoryContext old = MemoryContextSwitchTo(run->context);

	run->problem = palloc(sizeof(ErrorData));
	*run->problem = *problem;
	run->problem->message = pstrdup(problem->message);
	run->problem->detail = problem->detail ? pstrdup(problem->detail) : NULL;
	MemoryContextSwitchTo(old);
	if (can_apply_all(run, problem))
	{
		run->apply_all = true;
		return;
	}
	/* what fails while a failure is cleaned up is tried again, not faster than a lock */
	run->pause_ms = Min((int64) PAUSE_FIRST_MS << Min(run->busy++, 6), PAUSE_MAX_MS);
	if (!is_passing(problem))
		ereport(LOG,
				(errcode(problem->sqlerrcode),
				 errmsg("rewrite " INT64_FORMAT " failed: %s", run->id, problem->message)));
	second = pm_rewrite_transaction(run, note_problem, "noting");
	if (second != NULL && !is_passing(second))
		ReThrowError(second);
}

static void
pause_run(PmRewriteRun *run)
{
	static uint32 event = 0;
	TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), run->pause_ms);
	long		left = run->pause_ms;

	if (event == 0)
		event = pm_wait_event("PartmgrRewritePause");
	CHECK_FOR_INTERRUPTS();
	/* others set our latch for reasons of their own */
	while (left > 0)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, left, event);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), end);
	}
}

static void
begin_step(void *arg)
{
	pm_rewrite_begin(((PmRewriteRun *) arg)->id);
}

/*
 * pm_rewrite_run works on a rewrite until it has ended, was paused, or the host
 * wants to end.  The caller holds pm_rewrite_lock, and is outside of its
 * transactions.
 */
void
pm_rewrite_run(PmRewriteRun *run)
{
	ErrorData  *problem = pm_rewrite_transaction(run, begin_step, "beginning");

	run->told = PM_PHASES;
	while (problem == NULL && !run->is_over && !(run->host->wants_end && run->host->wants_end()))
	{
		run->top = NULL;
		problem = pm_rewrite_transaction(run, step, "working");
		if (problem == NULL && run->top != NULL)
		{
			problem = pm_toplevel_run(run->top, run->context);
			lock_again(run->id);
		}
		PM_FAILPOINT("rewrite-between-steps");
		if (problem == NULL && run->wants_swap)
		{
			problem = pm_rewrite_swap(run, run->strict);
			if (problem == NULL && run->nreaders > 0)
				run->pause_ms = PAUSE_FIRST_MS;
		}
		if (problem != NULL)
			handle(run, problem);
		problem = NULL;
		pause_run(run);
	}
	if (problem != NULL)
		ReThrowError(problem);
}

/* pm_rewrite_make_run prepares to work on a rewrite, in the current memory context. */
PmRewriteRun *
pm_rewrite_make_run(int64 id, const PmRewriteHost *host)
{
	PmRewriteRun *run = palloc0(sizeof(PmRewriteRun));

	run->id = id;
	run->host = host;
	run->context = CurrentMemoryContext;
	run->step_context = AllocSetContextCreate(CurrentMemoryContext, "partmgr rewrite step",
											  ALLOCSET_DEFAULT_SIZES);
	return run;
}


/* ---------- all in one transaction ---------- */

static void
lock_table(const PmRewrite *rewrite)
{
	LockRelationOid(rewrite->table, rewrite->kind == REWRITE_CONVERT ? ExclusiveLock : ShareRowExclusiveLock);
}

/* and what may have been written to, or changed, before that */
static void
lock_sources(const PmRewrite *rewrite)
{
	ListCell   *lc;

	foreach(lc, rewrite->sources)
		LockRelationOid(((PmSource *) lfirst(lc))->oid, ExclusiveLock);
	pm_rewrite_check_shape(rewrite, InvalidOid);
}

/*
 * pm_rewrite_in_one does a whole rewrite in the current transaction, under locks
 * that keep writers out from the beginning, and readers from the swap on to the
 * end.  For tables without a unique key, and where nobody writes.
 */
void
pm_rewrite_in_one(int64 id)
{
	PmRewriteRun run = {.id = id, .in_one = true, .context = CurrentMemoryContext};
	PmRewrite	rewrite;

	pm_rewrite_begin(id);
	/* before anything is made from it */
	if (pm_rewrite_read(id, &rewrite))
		lock_table(&rewrite);
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		if (!pm_rewrite_read(id, &rewrite) || strcmp(rewrite.state, "running") != 0)
			return;
		if (rewrite.phase == PHASE_WATCH)
		{
			lock_sources(&rewrite);
			pm_rewrite_set_phase(&rewrite, PHASE_COPY);
		}
		else if (rewrite.phase == PHASE_APPLY)
			pm_rewrite_swap_now(&rewrite);
		else
			next_phase_step(&run, &rewrite);
	}
}
