/*-------------------------------------------------------------------------
 *
 * guard.h
 *		The guard of a ModifyTable, for ondemand.c and ondemand_guard.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PARTMGR_GUARD_H
#define PARTMGR_GUARD_H

#include "nodes/execnodes.h"
#include "ondemand.h"

/* a set to which rows of a ModifyTable may go */
typedef struct Watch
{
	PmDemandSet *demand;
	Relation	rel;
	bool		is_nested;		/* it is part of the table that is written to */
	AttrNumber	attr;			/* of the key in a row; MERGE: of the target */
	PmCover		cover;
	ExprState  *constraint;		/* what rows a nested set takes */
} Watch;

/* how MERGE comes to the key of a row that it inserts */
typedef struct MergeInsert
{
	ExprState  *when;			/* NULL: always */
	ExprState  *key;
	bool		does_nothing;
} MergeInsert;

/* one ModifyTable of a query that is being executed */
typedef struct Guard
{
	struct Guard *next;
	PlanState  *node;			/* brings the rows */
	ExecProcNodeMtd fetch;		/* what it really does */
	ModifyTableState *mtstate;
	EState	   *estate;
	ExprContext *econtext;		/* of our expressions, made when one is evaluated */
	List	   *watches;		/* empty: it is only known why there will be none */
	Watch	   *only;			/* the one that tells the key by a column, if so */
	List	   *merge;			/* of MergeInsert */
	int			made;
	const char *refused_name;	/* of the table that lacks a partition */
	const PmRefusal *refusal;
	List	   *routings;		/* replaced, to be cleaned up at the end */
	List	   *directories;
	MemoryContextCallback at_end;
} Guard;

extern Guard *pm_guards;		/* the innermost statement first */

/* ---------- ondemand.c ---------- */
extern void pm_guard_read_cover(Guard *guard, Watch *watch);
extern TupleTableSlot *pm_guard_fetch(PlanState *node);

/* ---------- ondemand_guard.c ---------- */
extern void pm_guard_node(ModifyTableState *mtstate);

#endif							/* PARTMGR_GUARD_H */
