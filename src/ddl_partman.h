/*-------------------------------------------------------------------------
 *
 * ddl_partman.h
 *		What ddl_partman.c offers: statements for template tables, extra
 *		constraints, privileges and properties.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PARTMGR_DDL_PARTMAN_H
#define PARTMGR_DDL_PARTMAN_H

#include "internal.h"

/* the names of our constraints, and the same for LIKE in a string of C */
#define PM_CONSTRAINT_PREFIX "partmanconstr_"
#define PM_CONSTRAINT_LIKE "partmanconstr\\_%%"

/* the values between which those of a column lie */
typedef struct PmExtreme
{
	char	   *column;
	char	   *name;			/* of the constraint */
	char	   *lowest;
	char	   *highest;
} PmExtreme;

extern char *pm_ddl_template_create(const char *table, const PartSet *set);
extern char *pm_ddl_template_drop(Oid table);
extern char *pm_ddl_owner(const char *table, Oid owner);
extern List *pm_ddl_template_apply(const PmTemplate *tmpl, Oid table);
extern char *pm_ddl_constraint_name(const char *partition, const char *column);
extern char *pm_ddl_constraint_call(const PartSet *set, const Partition *partition);
extern char *pm_ddl_constraint_add(Oid table, List *extremes);
extern char *pm_ddl_constraint_validate(Oid table, List *names);
extern char *pm_ddl_constraint_drop(Oid table, List *names);
extern List *pm_ddl_constraint_twin(Oid table, Oid like, bool is_empty);
extern List *pm_ddl_privileges(Oid table, Oid like);
extern List *pm_ddl_targets(Oid table, Oid like);
extern List *pm_ddl_identity_like(Oid partition, Oid parent);
extern List *pm_ddl_cluster_like(Oid table, Oid like);

#endif							/* PARTMGR_DDL_PARTMAN_H */
