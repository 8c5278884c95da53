/*-------------------------------------------------------------------------
 *
 * config.h
 *		What config.c and state.c, the two files that name our tables, share,
 *		and the textual form of a configuration.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PARTMGR_CONFIG_H
#define PARTMGR_CONFIG_H

#include "internal.h"
#include "datatype/timestamp.h"

/* the columns of part_config that need reading; NULL as the table means it */
typedef struct PmConfigText
{
	const char *interval;
	const char *retention;
	const char *time_zone;
	const char *name_format;
	const char *origin;
	const char *backfill;
	const char *retention_size;
	const char *window;
	const char *cold_after;
} PmConfigText;

extern char *pm_config_fill(PartSet *set, const PmConfigText *text);
extern int64 pm_position_read(const PartKey *key, const char *text);

extern char *pm_config_sql(const PmExtension *ext, const char *sql);
extern void pm_config_begin(PmSpi *spi, PmExtension *ext);
extern PartSet *pm_config_read_row(const PmExtension *ext, Oid parent);
extern void pm_config_insert_text(const char *table, const char *key, Oid oid, const char *prefix,
								  const char *const *columns, const char *const *values, int ncolumns);
extern Datum pm_config_oids(List *oids);
extern List *pm_config_names(Datum array);
extern Datum pm_config_text_array(List *names);
extern uint64 pm_config_write(const char *sql, int nargs, Oid *types,
							  Datum *values, const char *nulls);
extern List *pm_config_select_oids(const char *sql, int nargs, Oid *types,
								   Datum *values);
extern Oid	pm_config_select_oid(const char *sql, int nargs, Oid *types,
								 Datum *values);

#endif							/* PARTMGR_CONFIG_H */
