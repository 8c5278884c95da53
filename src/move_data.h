/*-------------------------------------------------------------------------
 *
 * move_data.h
 *		Rows that go from table to table in the caller's transaction.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PARTMGR_MOVE_DATA_H
#define PARTMGR_MOVE_DATA_H

#include "internal.h"

/* how rows are moved */
typedef struct PmMove
{
	int			batches;
	const PartInterval *interval;	/* of a batch; NULL: a whole partition */
	bool		descending;
	List	   *ignored_columns;	/* of char *: left to their defaults */
	bool		override_system_value;
} PmMove;

extern int64 pm_move_data(Oid parent, Oid source, const PmMove *move, TimestampTz now);
extern void pm_undo(Oid parent, Oid target, const PmMove *move, bool keep,
					int *partitions, int64 *rows);

#endif							/* PARTMGR_MOVE_DATA_H */
