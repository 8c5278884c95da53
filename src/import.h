/*-------------------------------------------------------------------------
 *
 * import.h
 *		Sets of pg_partman that are taken over: between api_import.c, import.c and
 *		import_config.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PARTMGR_IMPORT_H
#define PARTMGR_IMPORT_H

#include "internal.h"

/* something that is said of a set */
typedef struct PmImportNote
{
	const char *table;
	const char *step;			/* adopt, carry, differ, stop, skip */
	const char *note;
} PmImportNote;

/* a set that was taken over: a row of part_import */
typedef struct PmImported
{
	Oid			parent;
	char	   *name;			/* as pg_partman spells it */
	char	   *automatic;		/* what its flag was there */
} PmImported;

/* ---------- import.c ---------- */
extern List *pm_import(const char *schema, bool dry_run);
extern List *pm_import_undo(const char *schema);

/* ---------- import_config.c ---------- */
extern void pm_import_fill(Oid parent, bool is_sub, const char *object, const char *columns, Oid template);
extern void pm_import_remember(Oid parent, const char *source, const char *name, const char *automatic);
extern void pm_import_name_subs(const char *source);
extern List *pm_import_all(const char *source);
extern void pm_import_forget(Oid parent);

#endif							/* PARTMGR_IMPORT_H */
