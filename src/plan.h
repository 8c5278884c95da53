/*-------------------------------------------------------------------------
 *
 * plan.h
 *		What the files of the plan share, a plan in the making, and what those
 *		who look at a set ask them without a plan.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAN_H
#define PLAN_H

#include "partmgr.h"

typedef struct PlanWork
{
	const PartSet *set;
	const PlanPoint *point;
	PartPlan   *plan;

	/* partitions that end at or below it are expired */
	bool		has_cutoff;
	int64		cutoff;

	/* highest key too far away to be believed: nothing follows from it */
	bool		is_far;
} PlanWork;

/* plan.c */
extern PlanFinding *pm_plan_finding(PlanWork *work, PmFindingKind kind,
									char *text);
extern PlanStep *pm_plan_step(PlanWork *work, PmStepKind kind,
							  Partition *partition, char *reason);
extern const PartBound *pm_plan_far_from(const PartSet *set, List *partitions,
										 const PlanPoint *point);

/* plan_retire.c */
extern bool pm_plan_cutoff(const PartSet *set, List *partitions,
						   const PlanPoint *point, int64 *cutoff);
extern void pm_plan_retirement(PlanWork *work, List *partitions);

/* plan_detached.c */
extern bool pm_plan_is_detached(const PartSet *set, const PartBound *bound);
extern void pm_plan_reattach(PlanWork *work, List *partitions);
extern void pm_plan_detached(PlanWork *work);
extern void pm_plan_held(PlanWork *work, Partition *partition,
						 const PmHold *hold, char *text);

/* plan_upkeep.c */
extern void pm_plan_upkeep(PlanWork *work, List *partitions);

/* plan_create.c */
extern void pm_plan_creation(PlanWork *work, List *partitions);

/* plan_holes.c */
extern PartBound *pm_plan_holes(const PartSet *set, List *partitions,
								int *nholes, bool *has_cover);

/* what a hole leaves of a cell */
typedef enum PlanClip
{
	CLIP_DONE,
	CLIP_NOTHING,
	CLIP_BELOW,					/* the column's type has no such lower bound */
	CLIP_ABOVE					/* nor such an upper bound */
} PlanClip;

extern PlanClip pm_plan_clip(const PartKey *key, const PartBound *cell,
							 const PartBound *hole, PartBound *bound);

#endif							/* PLAN_H */
