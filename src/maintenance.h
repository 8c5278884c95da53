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

extern PmOutcome *pm_make_outcome(const PmLook *look, PlanStep *step,
								  const char *status);
extern void pm_log_outcomes(List *outcomes);
extern void pm_log_failure(Oid parent, const char *action, int sqlerrcode,
						   const char *message);
extern void pm_note_backfill(const PartSet *set, const PmOrder *order,
							 const PartPlan *plan);
extern const char *pm_step_name(const PlanStep *step);
extern PlanStep *pm_first_step(const PartPlan *plan);

#endif							/* PARTMGR_MAINTENANCE_H */
