/*-------------------------------------------------------------------------
 *
 * health.h
 *		How a set is doing, as health.c finds it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PARTMGR_HEALTH_H
#define PARTMGR_HEALTH_H

#include "internal.h"

/* the worst first */
typedef enum PmStatus
{
	STATUS_NO_PARTITIONS,
	STATUS_FAILING,
	STATUS_RESTORED,
	STATUS_BEHIND,
	STATUS_BLOCKED,
	STATUS_GAPS,
	STATUS_DEFAULT_ROWS,
	STATUS_RIGHTS,
	STATUS_PAUSED,
	STATUS_POSTPONED,
	STATUS_CLEANUP_NEEDED,
	STATUS_HEALTHY
} PmStatus;

typedef struct PmHealth
{
	const PartSet *set;
	PmStatus	status;
	List	   *problems;		/* of char *: a sentence each */
	List	   *notes;			/* of char *: what is good to know, and no problem */
	bool		may_see;		/* the caller may see state and errors */
	PmState		state;

	/* what follows is not known if the configuration cannot be understood */
	bool		is_known;
	int64		partitions;
	int64		rows;			/* -1: never analyzed */
	int64		bytes;
	char	   *oldest;			/* or NULL */
	char	   *newest;
	bool		has_ahead;
	int			ahead;			/* partitions beyond the current one */
	bool		has_horizon;
	TimestampTz horizon;		/* until when there are partitions */
	int64		cleanup;		/* partitions that retention would take out */
	bool		has_default;
	int64		default_rows;
	int64		gaps;
	int64		clashes;		/* partitions whose name is taken */
} PmHealth;

/* ---------- health.c ---------- */
extern const char *pm_health_status(PmStatus status);
extern PmHealth *pm_health_of(PmLook *look, TimestampTz now, bool may_see);
extern bool pm_health_anchor(const PmLook *look, TimestampTz now,
							 PlanPoint *point);

/* ---------- health_note.c ---------- */
extern void pm_health_note(PmHealth *health, PmStatus status, char *problem);
extern char *pm_health_call(const PmHealth *health, const char *function);
extern void pm_health_failure(PmHealth *health, const char *what,
							  const char *sqlstate, const char *message);
extern void pm_health_failures(PmHealth *health, const PartPlan *plan);
extern void pm_health_postponed(PmHealth *health, TimestampTz now);
extern void pm_health_on_demand(PmHealth *health, const PmLook *look,
								TimestampTz now);
extern void pm_health_notes(PmHealth *health, const PmLook *look,
							const PartPlan *plan);

#endif							/* PARTMGR_HEALTH_H */
