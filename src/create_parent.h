/*-------------------------------------------------------------------------
 *
 * create_parent.h
 *		What it takes to manage a table, between api_config.c, create_parent.c
 *		and adopt.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PARTMGR_CREATE_PARENT_H
#define PARTMGR_CREATE_PARENT_H

#include "config.h"
#include "internal.h"

/* the arguments of create_parent(); NULL where the user said nothing */
typedef struct CreateOrder
{
	Oid			parent;
	TimestampTz now;
	const char *control;
	const char *interval;
	const char *type;
	const char *epoch;
	int			premake;
	const char *start;
	bool		default_table;
	const char *automatic;
	List	   *constraint_cols;	/* of char * */
	bool		has_template;	/* false: it gets one of its own */
	Oid			template_table; /* InvalidOid: none is wanted */
	bool		jobmon;
	const char *date_trunc;
	bool		control_not_null;
	const char *encoder;
	const char *decoder;
	int64		offset_id;
	const char *retention;
	const char *time_zone;
	const char *name_format;
	bool		keep_table;
	bool		inherit_privileges;
	bool		on_demand;

	/* for a partition that becomes a set */
	Oid			like;			/* its parent, whose part_config_sub says more; or InvalidOid */
	Oid			sibling;		/* another one, whose partitions are sets themselves; the same */
	bool		defer;			/* leave its partitions to the next run */
} CreateOrder;

/* where a set's bounds lie, and from where partitions are wanted */
typedef struct SetShape
{
	PartGrid	grid;
	bool		has_origin;		/* grid.origin is not the default one */
	bool		has_start;
	int64		start;
} SetShape;

/* ---------- create_parent.c ---------- */
extern bool pm_create_parent(const CreateOrder *order);
extern PartSet *pm_create_set(const CreateOrder *order);
extern void pm_create_check_set(PartSet *set, const PmConfigText *text);
extern const char *pm_interval_word(const char *interval);
extern void pm_create_check_on_demand(const PartSet *set, bool wants_default);

/* ---------- adopt.c ---------- */
extern void pm_adopt_shape(const PmLook *look, const CreateOrder *order,
						   const PartInterval *interval, SetShape *shape);
extern int64 pm_adopt_position(const PartKey *key, pg_tz *zone,
							   const char *text);

#endif							/* PARTMGR_CREATE_PARENT_H */
