/*-------------------------------------------------------------------------
 *
 * upkeep.h
 *		What upkeep.c offers run_upkeep.c: a task of upkeep as a step of a run.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PARTMGR_UPKEEP_H
#define PARTMGR_UPKEEP_H

#include "maintenance.h"

extern void pm_upkeep_observe(PmWorkerRun *run, const PmLook *look, PartPlan *plan);
extern void pm_upkeep_begin(PmWorkerRun *run, const PmLook *look,
							const PlanStep *step, const PmOutcome *outcome);
extern void pm_upkeep_done(PmWorkerRun *run, ErrorData *edata);

#endif							/* PARTMGR_UPKEEP_H */
