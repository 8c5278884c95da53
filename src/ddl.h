/*-------------------------------------------------------------------------
 *
 * ddl.h
 *		What ddl.c, which makes statements, offers ddl_upkeep.c, which makes
 *		more, and ddl_apply.c, which runs them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PARTMGR_DDL_H
#define PARTMGR_DDL_H

#include "internal.h"

/* one statement of a step */
typedef struct PmStatement
{
	char	   *sql;
	char	   *moved;			/* the rows that sql copies, which are then deleted;
								 * "table WHERE condition", or NULL */
} PmStatement;

extern List *pm_ddl_add(List *statements, char *sql);
extern List *pm_ddl_identity_statements(Oid partition, Oid index);
extern List *pm_ddl_drop_statements(List *steps);
extern List *pm_ddl_default_statements(const PartSet *set,
									   const PmTemplate *tmpl,
									   const char *plain, bool exists);
extern char *pm_ddl_free_default(const char *schema, const char *table);
extern bool pm_ddl_sub_is_checked(const PartSet *set, const Partition *partition, bool has_rows);
extern List *pm_ddl_sub_statements(const PartSet *set, const PmTemplate *tmpl, const Partition *partition,
								   bool has_rows, List **attach);
extern List *pm_ddl_drop_default_statements(const PmLook *look);
extern char *pm_ddl_analyze_text(Oid relation, bool only_parent, const char *columns);

#endif							/* PARTMGR_DDL_H */
