/*-------------------------------------------------------------------------
 *
 * job.h
 *		Jobs: work that somebody has asked for, done by a worker at top level.
 *
 * job.c keeps part_job, job_step.c knows what a job does next, job_worker.c is
 * the process, api_upkeep.c the side of those who ask.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PARTMGR_JOB_H
#define PARTMGR_JOB_H

#include "internal.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"

/* a job at work, or to be asked for; in a context that outlives transactions */
typedef struct PmJob
{
	int64		id;				/* 0: none */
	Oid			parent;
	bool		is_index;		/* creates an index; otherwise it reindexes */
	char	   *definition;
	char	   *search_path;
	bool		is_queued;
	Oid			index;			/* of the parent, once there is one */
	List	   *finished;		/* OIDs of tables */
	int			interrupted;	/* in a row, without a table done */

	/* while it is at work */
	MemoryContext context;
	Oid			owner;
	PmTopLevel *top;			/* the next statement, or NULL */
	Oid			current;		/* the table that top is about */
	Oid			built;			/* where an index was built, to be attached */
	bool		more;			/* there may be another step */
	bool		is_gone;		/* its row has been deleted */
} PmJob;

/* a job as its row shows it */
typedef struct PmJobStatus
{
	bool		exists;
	Oid			parent;
	char	   *state;
	List	   *finished;
	char	   *sqlstate;
	char	   *message;
	int			worker_pid;
	bool		is_queued;
} PmJobStatus;

/* ---------- job.c ---------- */
extern int64 pm_job_add(const PmJob *job, const char *asked_by);
extern bool pm_job_claim(PmJob *job);
extern bool pm_job_progress(PmJob *job, int total, int done, Oid finished);
extern void pm_job_waits(const PmJob *job, const char *message);
extern void pm_job_end(const PmJob *job, const char *state, int sqlerrcode,
					   const char *message);
extern bool pm_job_withdraw(int64 id);
extern void pm_job_read(int64 id, PmJobStatus *status);
extern Oid	pm_job_earlier_index(const PmJob *job);
extern bool pm_job_is_due(void);

/* ---------- job_step.c ---------- */
extern void pm_job_step(PmJob *job);
extern List *pm_job_tables(Oid parent);
extern Node *pm_job_parse(const char *definition);

/* ---------- vacuum_partitions(): between who asks and the worker ---------- */

/* one table */
typedef struct PmVacuumItem
{
	Oid			table;
	bool		is_over;		/* one way or the other */
	int64		bytes_before;
	int64		bytes_after;
	int64		us;
	char		message[256];	/* why it was not vacuumed, or empty */
} PmVacuumItem;

/* in dynamic shared memory; the worker writes, the other one waits for its end */
typedef struct PmVacuum
{
	Oid			owner;
	bool		full;
	double		cost_delay;
	int			n;
	PmVacuumItem items[FLEXIBLE_ARRAY_MEMBER];
} PmVacuum;

/* ---------- job_worker.c ---------- */
extern BackgroundWorkerHandle *pm_job_start(int64 job, dsm_handle vacuum);
extern bool pm_job_run_next(MemoryContext context);

extern PGDLLEXPORT void pm_job_worker_main(Datum arg);

#endif							/* PARTMGR_JOB_H */
