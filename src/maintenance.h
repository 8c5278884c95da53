/*-------------------------------------------------------------------------
 *
 * maintenance.h
 *		What maintenance.c and run.c share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PARTMGR_MAINTENANCE_H
#define PARTMGR_MAINTENANCE_H

#include "internal.h"
#include "portability/instr_time.h"

/* one call of pm_maintain_set, for pm_attempt and pm_lockwait_run */
typedef struct PmMaintainCall
{
	Oid			parent;
	PmLook	   *look;			/* or NULL */
	const PmOrder *order;
	List	   *outcomes;
} PmMaintainCall;

extern List *pm_maintain_set(Oid parent, PmLook *look, const PmOrder *order);
extern void pm_maintain_call(void *arg);
extern void pm_find_point(const PmLook *look, const PmOrder *order,
						  PlanPoint *point);
extern bool pm_is_suspended(const PartSet *set);
extern int	pm_count_creations(const PartPlan *plan);
extern PmOutcome *pm_make_outcome(const PmLook *look, PlanStep *step,
								  const char *status);
extern void pm_note_lock(PmOutcome *outcome);
extern void pm_log_outcomes(List *outcomes);
extern void pm_log_failure(Oid parent, const char *action, int sqlerrcode,
						   const char *message);
extern void pm_forget_stale(Oid parent, const PartPlan *plan);
extern void pm_note_backfill(const PartSet *set, const PmOrder *order,
							 const PartPlan *plan);
extern void pm_note_full(const PmLook *look, const PartPlan *plan);
extern const char *pm_step_name(const PlanStep *step);
extern PlanStep *pm_first_step(const PartPlan *plan);
extern bool pm_set_retires(const PartSet *set);
extern bool pm_has_pending(const PmLook *look);
extern bool pm_wants_upkeep(const PmLook *look, TimestampTz now);

/* how a run by the worker comes to its end */
typedef enum RunEnd
{
	RUN_DONE,
	RUN_BUSY					/* a lock was not to be had: the next rung */
} RunEnd;

/* a task of upkeep that runs at top level; see upkeep.c */
typedef struct PmUpkeepTask PmUpkeepTask;

/* one maintenance by the worker of a lane, over several transactions */
struct PmWorkerRun
{
	Oid			parent;
	Oid			owner;			/* of the set, at the last look */
	TimestampTz now;
	PmLane		lane;
	MemoryContext context;		/* of this struct; survives transactions */
	int			steps;
	char	   *last_step;		/* to notice a step that changes nothing */
	RunEnd		end;
	bool		exclusive;		/* the step at work has writers, or all, wait */
	Oid			target;			/* the partition that it locks, or InvalidOid */
	List	   *waits_for;		/* OIDs of the tables that were locked, */
	bool		waits_exclusive;	/* the parent in a mode that shuts out all */
	bool		is_locked;		/* no step that locks the parent can be done */
	List	   *locked;			/* of char *: partitions that are locked */
	bool		cancel_blockers;
	char	   *blockers;		/* who was in the way first, or NULL */
	List	   *failed;			/* of char *: partitions whose step failed */
	char	   *blocked;		/* why the first step cannot be done, or NULL */
	int			blocked_code;

	/* the create lane: there is work for the other one */
	bool		wants_upkeep;
	bool		has_pending;	/* a detach that was cut short */

	/* the upkeep lane: when it is to come back; 0: when there is work again */
	TimestampTz next;
	PmTopLevel *top;			/* to be run before the next step, or NULL */
	PmLogEntry *top_entry;		/* what is logged when that is done */
	instr_time	top_start;
	char	   *top_name;		/* of the partition */
	PmUpkeepTask *task;			/* what top is, if not a detach */
	List	   *in_use;			/* OIDs: tables that upkeep leaves for later */
	int			pause_ms;		/* before the next step */
};

/* run.c, for run_upkeep.c */
extern bool pm_run_lock(PmWorkerRun *run);
extern void pm_run_postpone(PmWorkerRun *run, const char *message);
extern PmLook *pm_run_look(PmWorkerRun *run);
extern bool pm_run_apply(PmWorkerRun *run, const PmLook *look,
						 const PmTemplate *tmpl, PlanStep *step);
extern void pm_run_step_failed(PmWorkerRun *run, const PlanStep *step,
							   const ErrorData *edata);
extern void pm_run_step_locked(PmWorkerRun *run, const PlanStep *step,
							   const char *message);
extern void pm_run_mark_failed(PmWorkerRun *run, PartPlan *plan);
extern void pm_run_keep_blocked(PmWorkerRun *run, const PmLook *look,
								const PartPlan *plan);
extern void pm_run_note_step(PmWorkerRun *run, const PmOutcome *outcome);

/* run_upkeep.c */
extern bool pm_run_upkeep_step(PmWorkerRun *run);

#endif							/* PARTMGR_MAINTENANCE_H */
