/*-------------------------------------------------------------------------
 *
 * api.h
 *		What the SQL-callable functions share: arguments and rights.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PARTMGR_API_H
#define PARTMGR_API_H

#include "internal.h"
#include "fmgr.h"

/* ---------- arguments ---------- */
extern Oid	pm_arg_relation(FunctionCallInfo fcinfo, int argno, bool *isnull);
extern char *pm_arg_text(FunctionCallInfo fcinfo, int argno);
extern void pm_arg_not_null(FunctionCallInfo fcinfo, int argno,
							const char *name);

/* ---------- rights ---------- */
extern void pm_api_require(void);
extern bool pm_api_owns(Oid relation);
extern void pm_api_check_owner(Oid relation);
extern bool pm_api_may_read(Oid relation);
extern void pm_api_check_read(Oid relation);

/* ---------- triggers ---------- */
struct TriggerData;
extern struct TriggerData *pm_api_trigger(FunctionCallInfo fcinfo);

/* ---------- procedures ---------- */
extern void pm_procedure_wait(int seconds);

/* ---------- sets ---------- */
extern void pm_api_not_managed(Oid relation);
extern Oid	pm_api_own_set(FunctionCallInfo fcinfo, int argno,
						   const char *name);
extern void pm_api_check_no_holds(Oid parent);
extern void pm_api_check_retention_schema(const PartSet *set, const char *schema);
extern List *pm_api_own_sets(bool automatic_only, bool armed_only);

/* ---------- statistics ---------- */
extern TimestampTz pm_api_last_time(PGFunction manual, PGFunction automatic,
									Oid relation);

#endif							/* PARTMGR_API_H */
