/*-------------------------------------------------------------------------
 *
 * partmgr.h
 *		The vocabulary of partmgr, and what each file offers the others.
 *
 * What travels between the layers is small and plain: a set (one managed
 * parent with its configuration), its partitions with bounds as int64 on the
 * set's axis, and a plan (a list of steps).  Calls go down only: entry ->
 * use case -> look / decide / do -> plumbing (see src/README.md).
 *
 * The axis: every position is an int64.  AXIS_ID: the number itself.
 * AXIS_INSTANT (timestamptz, epoch numbers): microseconds since 2000-01-01
 * UTC, as TimestampTz.  AXIS_LOCAL (timestamp, date, yyyymmdd, yyyymm):
 * microseconds since 2000-01-01 on the wall clock, as Timestamp.
 *
 * Raw: the column's own number, which is exact where the axis is not: the
 * integer of an id, epoch or date key; microseconds of a timestamp; days of a
 * date.  A neighbour of an existing partition is continued from its raw value.
 * That of an identifier with a time in it is its position, or a handle that its
 * codec knows (codec.h): raw values of a RANGE key are compared by pm_key_compare.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PARTMGR_H
#define PARTMGR_H

#include "postgres.h"

#include "access/attnum.h"
#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "pgtime.h"

/* the SQL version that this library serves; the control file says the same */
#define PARTMGR_SQL_VERSION "1.0"

/* what a key looks like, and so which functions of key.c serve it */
typedef enum PmKeyKind
{
	KEY_TIMESTAMPTZ,
	KEY_TIMESTAMP,
	KEY_DATE,
	KEY_ID,						/* int2, int4, int8, numeric */
	KEY_SECONDS,				/* the rest: time in a number */
	KEY_MILLISECONDS,
	KEY_MICROSECONDS,
	KEY_NANOSECONDS,
	KEY_YYYYMMDD,
	KEY_YYYYMM,
	KEY_ENCODED					/* time in an identifier, see codec.h */
} PmKeyKind;

typedef enum PmAxis
{
	AXIS_ID,
	AXIS_INSTANT,
	AXIS_LOCAL
} PmAxis;

/* the partition key of a set */
typedef struct PartKey
{
	AttrNumber	attnum;
	const char *attname;
	Oid			type;			/* base type, below any domain */
	PmKeyKind	kind;
	PmAxis		axis;
	bool		is_list;		/* PARTITION BY LIST, interval 1 */
	List	   *others;			/* the columns behind ours in the key, quoted */
	struct PmCodec *codec;		/* KEY_ENCODED, once its functions are known */
} PartKey;

/* a width on the axis: exactly one of the three is not 0, none is negative */
typedef struct PartInterval
{
	int32		months;
	int32		days;
	int64		units;			/* microseconds, or ids */
} PartInterval;

/* where the bounds of new partitions lie: origin + k * interval */
typedef struct PartGrid
{
	PartInterval interval;
	int64		origin;
	pg_tz	   *zone;			/* the set's calendar; NULL on AXIS_ID */
} PartGrid;

/* [lower, upper) on the axis; the raw values are what stands in the catalog */
typedef struct PartBound
{
	int64		lower;
	int64		upper;
	int64		lower_raw;
	int64		upper_raw;
	bool		lower_open;		/* MINVALUE or -infinity: lower means nothing */
	bool		upper_open;		/* MAXVALUE or infinity: upper means nothing */
} PartBound;

/* why a partition is retired; what is wanted again depends on it */
typedef enum PmRule
{
	RULE_AGE,
	RULE_COUNT,
	RULE_SIZE,
	RULE_ASKED					/* by a call with a retention of its own */
} PmRule;

/* a range that must stay: a row of part_hold */
typedef struct PmHold
{
	int64		id;
	PartBound	bound;
	char	   *reason;
	char	   *held_by;
	TimestampTz held_at;
} PmHold;

/* one existing partition */
typedef struct Partition
{
	Oid			oid;
	char	   *schema;
	char	   *name;
	Oid			owner;
	char		relkind;
	bool		is_default;
	bool		is_pending;		/* a concurrent detach was cut short */
	bool		is_readable;	/* false: a bound that the axis cannot hold */
	bool		is_rounded;		/* not readable, but bound takes all it takes */
	PartBound	bound;			/* for LIST: lowest value, highest value + 1 */
	bool		has_null;		/* LIST: it takes NULL, besides its values */
	int			nvalues;		/* LIST: its values, ascending */
	int64	   *values;
	double		rows;			/* estimate; -1 when never analyzed */
	int64		bytes;			/* read only where retention goes by size */
	bool		is_expired;		/* set by pm_plan_expire, with the rule */
	PmRule		rule;
	const PmHold *held_below;	/* a hold of a set that is part of it, or NULL */
} Partition;

/* a partition that was detached, or is being detached: a row of part_detached */
typedef struct PmMark
{
	Partition  *partition;		/* its table, with the bounds that it had */
	char	   *range;			/* as ATTACH PARTITION takes it */
	char	   *home;			/* schema in which it was when attached */
	bool		is_attached;	/* not detached yet, or attached again */
	PmRule		rule;
	bool		is_settled;		/* what follows the detach is done */
	bool		has_drop;		/* false: it is kept */
	TimestampTz drop_after;
	TimestampTz retry_after;	/* it is not called before; 0: at any time */
	bool		is_wanted;		/* set by the plan: retention would not take it */
} PmMark;

/* hours in which the worker retires and cares for cold partitions */
typedef struct PmWindow
{
	int			days;			/* bit n: the window opens on weekday n, Sunday 0 */
	int			from;			/* minutes after midnight */
	int			to;				/* the same; not after from: on the next day */
} PmWindow;

/* what upkeep does, in the order in which one partition gets it */
typedef enum PmTask
{
	TASK_ANALYZE,				/* the parent, after partitions came or went */
	TASK_CONSTRAINT,			/* the partition that constraint_cols are about */
	TASK_STORAGE,				/* the others: partitions that are cold */
	TASK_TABLESPACE,
	TASK_CLUSTER,
	TASK_REINDEX,
	TASK_VACUUM					/* last: the others may rewrite the table */
} PmTask;

#define PM_TASKS (TASK_VACUUM + 1)

/* that a task was done: a row of part_upkeep */
typedef struct PmDone
{
	TimestampTz at;				/* 0: never */
	char	   *detail;			/* with what: a changed one is another task */
} PmDone;

/* a table that holds rows of a set: a partition of it, or one of a partition */
typedef struct PmCare
{
	Partition  *partition;		/* of the set */
	Partition  *table;			/* the same, or below it */
	int64		changes;		/* rows written since it was vacuumed */
	double		aging;			/* 1: a vacuum against wraparound is due */
	char	   *file;			/* changes when the table is rewritten */
	PmDone		done[PM_TASKS];
} PmCare;

/* what happens to a partition that retention takes out */
typedef enum PmRetire
{
	RETIRE_KEEP,				/* detach, leave it where it is */
	RETIRE_MOVE,				/* detach, move to retention_schema */
	RETIRE_DROP,
	RETIRE_LATER				/* detach, drop when the grace is over or the
								 * archive function agrees */
} PmRetire;

/* how the partitions of a set are partitioned themselves: a row of part_config_sub */
typedef struct PmSub
{
	char	   *control;
	char	   *by;				/* as PARTITION BY takes it */
	int			tables;			/* that come with a partition, about */
} PmSub;

/* one managed set: a row of part_config with what it refers to */
typedef struct PartSet
{
	Oid			parent;
	char	   *schema;
	char	   *name;
	Oid			owner;
	PartKey		key;
	PartGrid	grid;
	int			premake;
	bool		automatic;		/* automatic_maintenance = 'on' */
	bool		is_armed;		/* has a part_state row; false after a restore */
	bool		undo_in_progress;
	bool		async_in_progress;
	bool		has_retention;
	PartInterval retention;
	int			retention_partitions;	/* 0: any number */
	int64		retention_bytes;	/* 0: any size */
	int			retention_keep_newest;
	bool		has_grace;
	PmRetire	retire;
	bool		drops;			/* a detached partition may be dropped */
	bool		detach_before_drop;
	char	   *archive_function;	/* as the user wrote it, or NULL */
	bool		cancel_blockers;
	bool		has_window;
	PmWindow	window;
	bool		has_marks;
	List	   *marks;			/* of PmMark, by lower bound */
	bool		has_holds;
	List	   *holds;			/* of PmHold */
	bool		analyze_parent;
	bool		has_cold;
	PartInterval cold_after;
	bool		cold_vacuum;
	bool		cold_reindex;
	char	   *cold_tablespace;	/* the last three as the user wrote them, or NULL */
	char	   *cold_storage;
	char	   *cold_cluster;
	char	   *cold_compression;	/* or NULL */
	bool		drain_default;
	bool		on_demand;
	int			on_demand_window;	/* in intervals */
	List	   *cares;			/* of PmCare; only where upkeep is planned */
	PmDone		analyzed;		/* the same */
	Oid			template_table; /* or InvalidOid */
	List	   *constraint_cols;	/* of char * */
	int			optimize_constraint;
	bool		constraint_valid;
	const Partition *filled;	/* the newest with rows, where constraints are planned */
	PmDone		constrained;	/* of the partition whose turn it is; the same */
	char	   *retention_schema;
	bool		retention_keep_index;
	bool		retention_keep_publication;
	bool		inherit_privileges;
	bool		ignore_default_data;
	char	   *name_format;	/* never NULL: configured or the default one */
	bool		has_limits;		/* the set is a partition itself, by the same key: */
	PartBound	limits;			/* nothing else can come into it */
	bool		has_sub;
	PmSub	   *sub;			/* of a set that was looked at; or NULL */
	bool		is_full;		/* as part_config says it */
	bool		has_backfill;	/* partitions are wanted from backfill on */
	int64		backfill;

	/*
	 * Why the configuration cannot be understood, or NULL.  Then only the
	 * parent, its names and its owner are filled in.
	 */
	char	   *problem;
	int			problem_code;	/* SQLSTATE of that */
} PartSet;

typedef enum PmStepKind
{
	STEP_CREATE,
	STEP_FINALIZE,				/* a concurrent detach was cut short */
	STEP_REATTACH,				/* retention was lengthened: it is wanted again */
	STEP_RETIRE,				/* detach, and what follows at once */
	STEP_SETTLE,				/* detached: indexes, publications, schema */
	STEP_ARCHIVE,				/* detached, grace over: ask the archive function */
	STEP_DROP,					/* detached, grace over */
	STEP_UPKEEP,				/* of a partition that is written no more */
	STEP_DRAIN,					/* rows of the default get a partition */
	STEP_COMPRESS				/* cold partitions are written anew */
} PmStepKind;

/* one action of a plan */
typedef struct PlanStep
{
	PmStepKind	kind;
	PartBound	bound;
	char	   *name;			/* partition to make or to retire */
	Partition  *partition;		/* all but STEP_CREATE and STEP_DRAIN */
	PmMark	   *mark;			/* STEP_REATTACH, _SETTLE, _ARCHIVE, _DROP */
	PmRetire	retire;
	PmRule		rule;			/* STEP_RETIRE */
	PmTask		task;			/* STEP_UPKEEP */
	char	   *detail;			/* STEP_UPKEEP: what is remembered of it */
	char	   *reason;
	int64		move_rows;		/* rows that wait for it in the default */
	bool		is_large;		/* left to the rewrite engine */
	bool		is_hot;			/* rows of its range, or near it, come in now */
	char	   *blocked;		/* why it cannot be done now, or NULL */
	int			blocked_code;	/* SQLSTATE of that */
	bool		is_waiting;		/* blocked, and that is no trouble */
} PlanStep;

typedef enum PmFindingKind
{
	FINDING_GAP,				/* a range in the past that no partition takes */
	FINDING_UNREADABLE,			/* a bound that the axis cannot hold */
	FINDING_PENDING,			/* a detach that is to be finalized */
	FINDING_CAPPED,				/* more partitions wanted than a run may make */
	FINDING_FAR_KEY,			/* highest key is far beyond the partitions */
	FINDING_END_OF_TYPE,		/* no further partition fits the column's type */
	FINDING_LAST_KEPT,			/* the last partition is expired, and stays */
	FINDING_HELD,				/* a hold keeps what retention would retire */
	FINDING_OVERLAP				/* wanted again, but its range is taken */
} PmFindingKind;

typedef struct PlanFinding
{
	PmFindingKind kind;
	PartBound	bound;			/* FINDING_GAP */
	Partition  *partition;		/* FINDING_HELD, with the hold */
	const PmHold *hold;
	char	   *text;
} PlanFinding;

typedef struct PartPlan
{
	List	   *steps;			/* of PlanStep: creation first, then retirement */
	List	   *findings;		/* of PlanFinding */
	List	   *stale;			/* of PmMark: what is attached, and stays */
	int			left_out;		/* creations beyond the cap, for later runs */
	int			gaps;			/* all gaps; findings name only the first ones */
} PartPlan;

/* what plan.c decides from, besides the set and its partitions */
typedef struct PlanPoint
{
	bool		has_anchor;		/* false: an id set that never had a row */
	int64		anchor;			/* now, or the highest key, on the axis */
	bool		has_horizon;	/* rows come in ahead of now, up to a partition */
	int64		horizon;		/* that begins here */
	TimestampTz now;			/* the clock, for graces */
	int			max_create;		/* cap of one run */
	int			max_far;		/* intervals beyond the last partition at which a
								 * highest key is believed */
	bool		fill_gaps;		/* partition_gap_fill: gaps become steps */
	bool		create;			/* plan creation */
	bool		retire;			/* plan retention */
	bool		upkeep;			/* plan upkeep, for which the set's cares were read */
	bool		asked;			/* retention is the caller's, not the set's */
} PlanPoint;

/* ---------- key.c: pure ---------- */
extern bool pm_key_kind(Oid basetype, const char *epoch, PmKeyKind *kind,
						PmAxis *axis);
extern bool pm_key_floor(const PartKey *key, const PartGrid *grid, int64 pos,
						 int64 *result);
extern bool pm_key_next(const PartKey *key, const PartGrid *grid, int64 pos,
						int64 *result);
extern bool pm_key_add(const PartKey *key, const PartGrid *grid,
					   const PartInterval *interval, int64 pos, int64 times,
					   int64 *result);
extern int64 pm_key_default_origin(const PartKey *key,
								   const PartInterval *interval, pg_tz *zone);
extern int64 pm_key_now(const PartKey *key, pg_tz *zone, TimestampTz now);
extern TimestampTz pm_key_instant(const PartKey *key, pg_tz *zone, int64 pos);
extern bool pm_key_raw(const PartKey *key, Datum value, int64 *raw);
extern bool pm_key_position(const PartKey *key, int64 raw, bool round_up,
							int64 *pos);
extern bool pm_key_raw_of(const PartKey *key, int64 pos, int64 *raw);
extern Datum pm_key_datum(const PartKey *key, int64 raw);
extern char *pm_key_literal(const PartKey *key, int64 raw);
extern char *pm_key_text(const PartKey *key, int64 raw);
extern bool pm_key_place(const PartKey *key, Datum value, int64 *pos);
extern int	pm_key_compare(const PartKey *key, int64 a, int64 b);
extern const char *pm_key_column(const PartKey *key);
extern char *pm_key_others(const PartKey *key, const char *before, const char *after);
extern char *pm_key_interval_text(const PartKey *key,
								  const PartInterval *interval);

/* ---------- name.c: pure ---------- */
extern const char *pm_name_default_format(const PartKey *key,
										  const PartGrid *grid);
extern char *pm_name_format_problem(const char *format, const PartKey *key,
									const PartGrid *grid);
extern char *pm_name_partition(const char *parent, const char *format,
							   const PartKey *key, const PartGrid *grid,
							   const PartBound *bound);
extern char *pm_name_from_datetime(const char *datetime, char **problem);
extern const char *pm_name_datetime(const char *format, const char *datetime,
									const PartKey *key, const PartGrid *grid);
extern char *pm_name_default(const char *parent);
extern char *pm_name_suffixed(const char *parent, const char *suffix);
extern char *pm_name_detect(const char *parent, const PartKey *key,
							const PartGrid *grid, List *partitions);

/* ---------- plan*.c, window.c: pure ---------- */
extern PartPlan *pm_plan(const PartSet *set, List *partitions,
						 const PlanPoint *point);
extern PartPlan *pm_plan_exact(const PartSet *set, List *partitions, List *wanted);
extern void pm_plan_expire(const PartSet *set, List *partitions,
						   const PlanPoint *point);
extern char *pm_plan_retires_again(const PartSet *set, List *partitions,
								   const PlanPoint *point,
								   Partition *candidate);
extern const Partition *pm_plan_taker(const PartSet *set, List *partitions,
									  const Partition *wanted);
extern const PmHold *pm_plan_hold(const PartSet *set, const Partition *partition);
extern bool pm_plan_covers(const PartBound *bound, const Partition *partition);
extern bool pm_plan_is_full(const PartSet *set, List *partitions);
extern bool pm_plan_cell(const PartSet *set, List *partitions, int64 pos,
						 PartBound *bound);
extern bool pm_plan_cell_of(const PartSet *set, List *partitions, int64 raw,
							PartBound *bound);
extern const char *pm_task_name(PmTask task);
extern bool pm_task_find(const char *name, PmTask *task);
extern char *pm_plan_population(List *partitions);
extern bool pm_plan_may_analyze(const PartSet *set, List *partitions);
extern Partition *pm_plan_behind(const PartSet *set, List *partitions, int distance);
extern Partition *pm_plan_constrained(const PartSet *set, List *partitions);
extern char *pm_plan_constraint_detail(const PartSet *set);
extern bool pm_window_parse(const char *text, PmWindow *window);
extern TimestampTz pm_window_next(const PmWindow *window, pg_tz *zone,
								  TimestampTz now);

#endif							/* PARTMGR_H */
