/*-------------------------------------------------------------------------
 *
 * rewrite_worker.c
 *		The rewrites of the worker: one after the other, in a lane of their own.
 *
 * What goes wrong with one is noted by rewrite.c.  What comes here ends only this
 * try: somebody has cancelled it, or the database is going away.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "pgstat.h"
#include "rewrite.h"
#include "utils/memutils.h"
#include "worker.h"

#include "compat.h"

#define CANCEL_PAUSE_MS 500

static bool
wants_end(void)
{
	pm_worker_reload();
	return !pm_enabled;
}

static const PmRewriteHost host = {
	.begin = pm_transaction_begin,
	.end = pm_transaction_end,
	.wants_end = wants_end
};

/* the queue, in the context of the run */
typedef struct Queue
{
	MemoryContext context;
	List	   *ids;
} Queue;

static void
read_queue(void *arg)
{
	Queue	   *queue = arg;
	MemoryContext old;
	List	   *ids;
	ListCell   *lc;

	pm_transaction_begin("partmgr: looking for rewrites");
	ids = pm_rewrite_queue();
	old = MemoryContextSwitchTo(queue->context);
	foreach(lc, ids)
	{
		int64	   *id = palloc(sizeof(int64));

		*id = *(int64 *) lfirst(lc);
		queue->ids = lappend(queue->ids, id);
	}
	MemoryContextSwitchTo(old);
	pm_transaction_end();
}

static void
run(void *arg)
{
	pm_rewrite_run(arg);
}

/*
 * pm_rewrite_run_next works on the first rewrite of the queue that nobody works
 * on; false if there is none, or if it could not go on.
 */
bool
pm_rewrite_run_next(MemoryContext context)
{
	Queue		queue = {.context = context};
	ErrorData  *problem = pm_worker_guarded(read_queue, &queue, context);
	ListCell   *lc;

	if (problem != NULL)
		pm_worker_log(problem, "looking for partmgr rewrites");
	foreach(lc, queue.ids)
	{
		int64		id = *(int64 *) lfirst(lc);

		if (!pm_rewrite_lock(id))
			continue;
		MemoryContextSwitchTo(context);
		problem = pm_worker_guarded(run, pm_rewrite_make_run(id, &host), context);
		pm_rewrite_unlock(id);
		if (problem == NULL)
			return true;
		pm_worker_log(problem, psprintf("partmgr rewrite " INT64_FORMAT, id));
		if (problem->sqlerrcode != ERRCODE_QUERY_CANCELED)
			return false;
		/* who has cancelled it may not have committed that yet */
		pm_worker_pause(CANCEL_PAUSE_MS);
		return true;
	}
	return false;
}
