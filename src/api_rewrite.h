/*-------------------------------------------------------------------------
 *
 * api_rewrite.h
 *		How a rewrite is asked for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PARTMGR_API_REWRITE_H
#define PARTMGR_API_REWRITE_H

#include "fmgr.h"
#include "rewrite.h"

/* a partition, or a point, is one */
#define PM_MAX_OPTIONS 1100

/* what is asked for, before it has a number */
typedef struct PmAsked
{
	PmRewriteKind kind;
	Oid			table;
	int			n;
	const char *names[PM_MAX_OPTIONS];
	const char *values[PM_MAX_OPTIONS];
	const char *mode;
} PmAsked;

extern void pm_asked_option(PmAsked *asked, const char *name, const char *value);
extern bool pm_asked_by_call(FunctionCallInfo fcinfo);
extern char *pm_asked_text(FunctionCallInfo fcinfo, int argno, const char *name);
extern const char *pm_asked_word(FunctionCallInfo fcinfo, int argno, const char *name,
								 const char *first, const char *second);
extern void pm_asked_check_commit(FunctionCallInfo fcinfo);
extern void pm_asked_manner(FunctionCallInfo fcinfo, PmAsked *asked);
extern Datum pm_asked_do(FunctionCallInfo fcinfo, PmAsked *asked);

#endif							/* PARTMGR_API_REWRITE_H */
