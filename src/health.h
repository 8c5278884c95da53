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
	STATUS_CLEANUP_NEEDED,
	STATUS_HEALTHY
} PmStatus;

typedef struct PmHealth
{
	const PartSet *set;
	PmStatus	status;
	List	   *problems;		/* of char *: a sentence each */
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

extern const char *pm_health_status(PmStatus status);
extern PmHealth *pm_health_of(PmLook *look, TimestampTz now, bool may_see);
extern bool pm_health_anchor(const PmLook *look, TimestampTz now,
							 PlanPoint *point);

#endif							/* PARTMGR_HEALTH_H */
