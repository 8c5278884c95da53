/*-------------------------------------------------------------------------
 *
 * ddl_rewrite.h
 *		What ddl_rewrite.c offers the rewrite engine: statements.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PARTMGR_DDL_REWRITE_H
#define PARTMGR_DDL_REWRITE_H

#include "rewrite.h"

/* a constraint of a target that says what ATTACH would look for */
#define PM_BOUND_CONSTRAINT "partmgr_bound"

extern char *pm_ddl_rewrite_frame(const char *frame, Oid like, bool whole, const char *by);
extern List *pm_ddl_rewrite_table(const char *frame, Oid like, const char *control);
extern List *pm_ddl_rewrite_own(Oid table, Oid like, bool keep);
extern List *pm_ddl_rewrite_own_statistics(Oid table, Oid like);
extern char *pm_ddl_rewrite_statistics(const char *name, const char *what, const char *table);
extern List *pm_ddl_rewrite_twin_statistics(Oid table, Oid like);
extern List *pm_ddl_rewrite_own_index(Oid index, Oid like, bool keep_order);
extern char *pm_ddl_rewrite_sequence(const char *sequence, const char *table, const char *column);
extern List *pm_ddl_rewrite_strip(Oid table);
extern List *pm_ddl_rewrite_bare(Oid table);
extern List *pm_ddl_rewrite_privileges(const char *table, Oid like);
extern List *pm_ddl_rewrite_notes(const char *notes, Oid table, const PmRowKey *key);
extern List *pm_ddl_rewrite_watch(const char *source, const char *trigger,
								  const char *truncate, Oid notes, const PmRowKey *key);
extern List *pm_ddl_rewrite_unwatch(const char *source, const char *trigger, const char *truncate);
extern char *pm_ddl_rewrite_bound(const char *target, const PartKey *key, const PartBound *bound);
extern char *pm_ddl_rewrite_autovacuum(const char *target, bool on);
extern List *pm_ddl_rewrite_storage(const char *target, Oid source);
extern List *pm_ddl_rewrite_compression(const char *target, Oid like, const char *method);
extern char *pm_ddl_rewrite_foreign_key(const char *table, const char *name,
										const char *definition, bool is_valid);
extern char *pm_ddl_rewrite_validate(const char *table, const char *name);
extern char *pm_ddl_rewrite_drop_constraint(const char *table, const char *name);
extern char *pm_ddl_rewrite_check(const char *table, const char *name, const PartKey *key,
								  const PartBound *bound);
extern char *pm_ddl_exclude(const char *table, const char *name, const PartKey *key,
							const PartBound *bound);
extern char *pm_ddl_rewrite_not_null(const char *table, const char *column, Oid like, const char *like_name);
extern char *pm_ddl_rewrite_constraint(const char *table, const char *name, const char *index, Oid like);
extern char *pm_ddl_rewrite_drop_index(const char *index);
extern char *pm_ddl_rewrite_detach(const char *parent, const char *partition);
extern char *pm_ddl_rewrite_attach(const char *parent, const char *partition, const char *range);
extern char *pm_ddl_rewrite_rename(const char *kind, const char *thing, const char *name);
extern char *pm_ddl_rewrite_schema(const char *table, const char *schema);
extern char *pm_ddl_rewrite_drop(const char *table);
extern char *pm_ddl_rewrite_empty(const char *table);
extern char *pm_ddl_rewrite_cluster(const char *target, const char *index);
extern char *pm_ddl_rewrite_lock(const char *table, const char *mode);

#endif							/* PARTMGR_DDL_REWRITE_H */
