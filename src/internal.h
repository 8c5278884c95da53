/*-------------------------------------------------------------------------
 *
 * internal.h
 *		What the files that touch the database offer each other.
 *
 * Beside partmgr.h, which the pure files share as well: here is everything
 * that needs a transaction.  Unless said otherwise, results live in the
 * caller's memory context.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PARTMGR_INTERNAL_H
#define PARTMGR_INTERNAL_H

#include "partmgr.h"

#include "nodes/nodes.h"

#include "storage/lockdefs.h"

/*
 * Nobody can ask for more partitions at once: no server can plan queries over
 * so many, and the list of the steps alone would fill the memory.
 */
#define PM_MAX_PARTITIONS 100000

/* ---------- partmgr.c: settings ---------- */
extern bool pm_is_preloaded;	/* there is a worker */
extern int	pm_interval;		/* s */
extern bool pm_enabled;
extern int	pm_max_workers;
extern int	pm_max_rewrites;
extern int	pm_lock_timeout;	/* ms */
extern int	pm_step_timeout;	/* ms; 0: none */
extern int	pm_max_create;		/* partitions a run may make */
extern int	pm_on_demand_timeout;	/* ms */
extern int	pm_on_demand_max;	/* partitions a statement may have made */
extern int	pm_move_rows;		/* rows a creation may move out of the default */
extern int	pm_max_default_scan;	/* kB of it that may be read under a lock */
extern int	pm_log_days;
extern int	pm_detach_timeout;	/* ms */
extern int	pm_drop_pause;		/* ms for each gigabyte dropped */
extern double pm_vacuum_cost_delay; /* ms */

/* ---------- failpoint.c ---------- */
#ifdef PARTMGR_DEBUG
extern void pm_failpoint(const char *name);
extern void pm_failpoint_define(void);
#define PM_FAILPOINT(name) pm_failpoint(name)
#else
#define PM_FAILPOINT(name) ((void) 0)
#define pm_failpoint_define() ((void) 0)
#endif

/*
 * Work on a set is divided between lanes, each with workers of its own, so that
 * creation waits for nothing slow, and nothing waits for a rewrite.
 */
typedef enum PmLane
{
	LANE_CREATE,				/* partitions that will be needed */
	LANE_UPKEEP,				/* retention, and those no longer written */
	LANE_REWRITE				/* rows that go to other tables, for hours */
} PmLane;

#define PM_LANES (LANE_REWRITE + 1)

/* ---------- attempt.c ---------- */
extern ErrorData *pm_attempt(void (*work) (void *arg), void *arg);
extern void pm_error_clip(ErrorData *edata);

/* ---------- spi.c ---------- */
typedef struct PmSpi
{
	Oid			save_userid;
	int			save_sec_context;
	int			nestlevel;
	MemoryContext caller;		/* result context of the enclosing begin */
} PmSpi;

extern void pm_spi_begin(PmSpi *spi, Oid userid);
extern void pm_spi_end(PmSpi *spi);
extern MemoryContext pm_spi_mark(void);
extern void pm_spi_forget(MemoryContext mark);
extern uint64 pm_spi_select(const char *sql, int nargs, Oid *types,
							Datum *values, const char *nulls);
extern uint64 pm_spi_write(const char *sql, int nargs, Oid *types,
						   Datum *values, const char *nulls);
extern uint64 pm_spi_select_kept(const char *sql, int nargs, Oid *types,
								 Datum *values, const char *nulls);
extern uint64 pm_spi_write_kept(const char *sql, int nargs, Oid *types,
								Datum *values, const char *nulls);
/* writes; kept for one set, planned for how many there are otherwise */
#define pm_spi_write_for(nsets, ...) \
	((nsets) == 1 ? pm_spi_write_kept(__VA_ARGS__) : pm_spi_write(__VA_ARGS__))

extern void pm_spi_utility(const char *sql);
extern Datum pm_spi_value(uint64 row, int column, bool *isnull);
extern Oid	pm_spi_oid(uint64 row, int column);
extern bool pm_spi_bool(uint64 row, int column);
extern char *pm_spi_string(uint64 row, int column);
extern void pm_spi_procedure_begin(void);
extern void pm_spi_procedure_commit(void);
extern void pm_spi_procedure_end(void);

/* ---------- config.c ---------- */
typedef struct PmExtension
{
	Oid			oid;
	Oid			owner;
	char	   *schema;
	bool		needs_update;	/* its SQL is not of the library's version */
} PmExtension;

/* how the maintenance of a set is doing: its row of part_state */
typedef struct PmState
{
	bool		has_row;
	TimestampTz next_run;
	TimestampTz last_run;
	TimestampTz last_error_at;	/* the last three are 0 for never */
	int			failures;
	char	   *sqlstate;
	char	   *error;
	int			upkeep_failures;
	char	   *upkeep_sqlstate;
	char	   *upkeep_error;
	TimestampTz busy_since;		/* 0: no lock is waited for */
	char	   *blockers;
	int			busy;			/* tries that found the set locked, by lane */
	int			upkeep_busy;
} PmState;

/* one line of part_log */
typedef struct PmLogEntry
{
	Oid			parent;
	const char *action;
	const char *partition;
	const char *range;
	int64		rows;			/* -1: not known */
	int64		bytes;			/* -1: not known */
	const char *sqlstate;
	const char *message;
	const char *lock;			/* strongest on the parent, or NULL */
	int64		lock_us;		/* for how long */
} PmLogEntry;

/* what a call wants to become of partitions, in place of the configuration */
typedef struct PmRetireAsk
{
	bool		has_keep_table;
	bool		keep_table;
	bool		has_keep_index;
	bool		keep_index;
	const char *schema;			/* or NULL */
} PmRetireAsk;

extern bool pm_extension_find(PmExtension *ext);
extern void pm_extension_require(PmExtension *ext);
extern bool pm_config_ready(bool *needs_update);
extern List *pm_config_parents(bool automatic_only, bool armed_only);
extern List *pm_config_read(List *parents);
extern PmRetire pm_config_retire(const PartSet *set);
extern void pm_config_ask(PartSet *set, const PmRetireAsk *ask);
extern PartSet *pm_config_read_one(Oid parent);
extern bool pm_config_exists(Oid parent);
extern void pm_config_set_interval(Oid parent, const char *interval, bool keeps_name);
extern void pm_config_insert(const PartSet *set, const char *const *columns,
							 const char *const *values, int ncolumns);
extern bool pm_config_delete(Oid parent, bool replace);
extern PartSet *pm_config_read_nowait(Oid parent, bool *busy);
extern List *pm_config_on_demand_nowait(Oid *config);
extern void pm_config_changed(Oid parent);
extern void pm_config_set_undo(Oid parent);
extern void pm_config_forget_dangling(void);
extern int	pm_config_arm(List *parents, TimestampTz now);
extern void pm_config_set_backfill(const PartSet *set, bool has_backfill,
								   int64 backfill);
extern List *pm_config_due(PmLane lane, TimestampTz at, TimestampTz *next_due);
extern void pm_config_stamp(List *parents, bool failed);
extern bool pm_config_note_success(List *parents, TimestampTz now);
extern void pm_config_want_upkeep(Oid parent, TimestampTz now);
extern bool pm_config_note_created(Oid parent, TimestampTz now, bool wants_upkeep,
								   bool has_pending);
extern bool pm_config_note_upkeep(Oid parent, TimestampTz now, TimestampTz next);
extern bool pm_config_note_failure(PmLane lane, Oid parent, TimestampTz now,
								   int sqlerrcode, const char *message);
extern bool pm_config_note_busy(PmLane lane, Oid parent, TimestampTz now,
								const char *blockers);
extern void pm_config_retry_now(PmLane lane, Oid parent, TimestampTz now);
extern void pm_config_make_due(Oid parent, TimestampTz now);
extern void pm_config_state(Oid parent, PmState *state);
extern void pm_log_write(List *entries);
extern bool pm_log_repeats(const PmLogEntry *entry);
extern void pm_log_trim(TimestampTz now);
extern int	pm_log_count(Oid parent, const char *action, TimestampTz since);
extern bool pm_interval_parse(const PartKey *key, const char *text,
							  PartInterval *interval, char **problem);
extern char *pm_position_text(const PartKey *key, int64 pos);

/* ---------- sub_config.c ---------- */
extern void pm_sub_read(PartSet *set);
extern void pm_sub_insert(Oid parent, int ncolumns, const char *const *columns, const char *const *values);
extern bool pm_sub_delete(Oid parent);
extern void pm_sub_copy_settings(Oid from, Oid to, bool harmless);
extern void pm_sub_settle(Oid parent, const PartSet *set);
extern bool pm_sub_inherit(Oid from, Oid to);
extern char *pm_sub_value(Oid parent, const char *column);
extern void pm_sub_note_full(const PartSet *set, bool is_full);

/* ---------- mark.c ---------- */
extern void pm_mark_read(PartSet *set);
extern void pm_hold_read_below(List *partitions);
extern void pm_mark_write(const PartSet *set, const PlanStep *step,
						  TimestampTz now);
extern void pm_mark_settled(Oid partition);
extern void pm_mark_forget(Oid partition);
extern void pm_mark_forget_attached(Oid parent);
extern bool pm_mark_lock(Oid partition, TimestampTz now);
extern void pm_mark_verdict(Oid partition, const char *verdict,
							TimestampTz retry_after);
extern Oid	pm_mark_find(Oid partition);
extern int64 pm_hold_add(Oid parent, const char *lower, const char *upper,
						 const char *reason, const char *held_by);
extern bool pm_hold_exists(Oid parent);
extern Oid	pm_hold_find(int64 id);
extern void pm_hold_delete(int64 id);

/* ---------- upkeep.c ---------- */
extern void pm_upkeep_read(PartSet *set, List *partitions);
extern void pm_upkeep_read_constraint(PartSet *set, List *partitions);
extern void pm_upkeep_check(const PartSet *set, PartPlan *plan);
extern void pm_upkeep_note(Oid table, const char *task, Oid parent, const char *detail,
						   int64 bytes_before, int64 bytes_after);

/* partitions of a set that were compressed by one method */
typedef struct PmCompressed
{
	char	   *method;
	int64		partitions;
	int64		before;			/* bytes of all of them */
	int64		after;
} PmCompressed;

extern List *pm_upkeep_compressed(Oid parent);

/* ---------- catalog.c ---------- */

/* one set as it was found */
typedef struct PmLook
{
	PartSet    *set;
	List	   *partitions;		/* of Partition, by lower bound, no default */
	Partition  *dflt;			/* or NULL */
	struct PmTemplate *prepared;	/* by pm_catalog_prepare; else NULL */
} PmLook;

/* what new partitions of a set take from its parent besides LIKE and ATTACH */
typedef struct PmTemplate
{
	char	   *tablespace;
	char	   *access_method;
	char		relreplident;
	Oid			replident_index;
	char	   *column_targets; /* ALTER COLUMN ... SET STATISTICS n, ...; or NULL */
	List	   *grants;			/* of char *: GRANT ... ON, up to the table */
	List	   *grant_tails;	/* of char *: what follows the table */
	List	   *columns;		/* of char *: columns that can be written */
	List	   *incoming;		/* of PmReference: foreign keys at the parent */
	bool		has_incoming_fk;
	bool		has_outgoing_fk;
	int			locks_per_partition;
	bool		default_has_rows;

	/* the rest is from the template table, see template_table.c */
	bool		is_unlogged;
	char	   *storage;		/* storage parameters, as SET takes them; or NULL */
	List	   *keys;			/* of char *: statements up to the table */
	List	   *key_tails;		/* of char *: and what follows it */
	List	   *key_indexes;	/* OIDs: what they are made like */
	char	   *table_problem;	/* why little or nothing is taken, or NULL */
} PmTemplate;

extern bool pm_catalog_kind(Oid parent, const char *epoch, const char *encoder,
							const char *decoder, PartKey *key, char **problem);
extern bool pm_catalog_key(Oid parent, const char *epoch, const char *encoder,
						   const char *decoder, PartKey *key, char **problem);
extern PmLook *pm_catalog_look(PartSet *set);
extern List *pm_catalog_look_many(List *sets);
extern bool pm_catalog_newest(const PmLook *look, int64 *newest);
extern Oid	pm_catalog_owner(Oid relation);
extern void pm_catalog_refuse_pending(const Partition *partition);
extern void pm_catalog_refuse_foreign(const PartSet *set, const Partition *partition);
extern bool pm_catalog_has_rows(const Partition *partition);
extern bool pm_catalog_highest(const PartSet *set, Oid table, int64 *highest);
extern void pm_catalog_prepare(List *looks);
extern PmTemplate *pm_catalog_template(const PmLook *look);
extern PmTemplate *pm_catalog_retire_template(const PmLook *look);
extern void pm_catalog_check_steps(const PmLook *look, PmTemplate *tmpl,
								   PartPlan *plan);
extern int	pm_catalog_lock_budget(const PmTemplate *tmpl);
extern List *pm_catalog_rights_problems(const PmLook *look);
extern int64 pm_catalog_default_rows(const PmLook *look);
extern int64 pm_catalog_count_default(const PmLook *look,
									  const char *condition, int64 limit);
extern char *pm_catalog_default_obstacle(const PmLook *look, int *sqlerrcode);
extern void pm_catalog_block_move(const PmLook *look, PlanStep *step, int sqlerrcode, const char *why);
extern Oid	pm_catalog_child_index(Oid partition, Oid parent_index);
extern List *pm_catalog_index_drops(const Partition *partition);
extern List *pm_catalog_publications(const PartSet *set,
									 const Partition *partition);
extern char *pm_catalog_key_test(const PartSet *set, const PartBound *bound);
extern List *pm_catalog_strings(const char *sql, Oid oid);
extern List *pm_catalog_texts(const char *sql, Oid oid);
extern List *pm_catalog_grants(Oid like, const char *table);
extern char *pm_qualified_name(Oid relation);
/* the same of a PartSet or Partition, without asking the catalogs */
#define pm_full_name(thing) quote_qualified_identifier((thing)->schema, (thing)->name)

/* ---------- sub.c ---------- */
extern void pm_make(const PmLook *look, const PmTemplate *tmpl, const PlanStep *step, TimestampTz now);
extern void pm_sub_adopt(Oid parent, const char *start, TimestampTz now);
extern void pm_sub_convert(const PmLook *look, const Partition *partition, const char *start,
						   int64 *budget, TimestampTz now);

/* ---------- template_table.c, template_make.c ---------- */
extern void pm_template_table_read(const PartSet *set, Oid table, PmTemplate *tmpl);
extern bool pm_template_table_trusted(const PartSet *set, Oid template_table);
extern void pm_template_table_check(const PartSet *set, Oid template_table);
extern Oid	pm_template_table_make(const PartSet *set);
extern void pm_template_table_warn(const PartSet *set, const PmTemplate *tmpl);
extern bool pm_set_forget(Oid parent);

/* ---------- constraint.c ---------- */
extern void pm_constraint_check(const PartSet *set);
extern char *pm_constraint_missing(const PartSet *set);
extern const Partition *pm_constraint_filled(List *partitions);
extern List *pm_constraint_statements(const PartSet *set, Oid table);
extern List *pm_constraint_drops(const PartSet *set, Oid table, bool invalid_only);
extern bool pm_constraint_apply(const PartSet *set, Oid table);
extern void pm_constraint_run(Oid owner, List *statements);
extern void pm_constraint_maintain(const PmLook *look);

/* ---------- horizon.c ---------- */
extern bool pm_horizon_is_near(const PmLook *look, int64 now);
extern bool pm_horizon_find(const PmLook *look, int64 now, int64 *horizon);
/* ---------- codec*.c ---------- */
extern bool pm_codec_attach(Oid parent, const char *epoch, const char *encoder,
							const char *decoder, PartKey *key, char **problem);
extern bool pm_codec_input(const PartKey *key, const char *text, Datum *value,
						   int64 *raw);
extern const char *pm_codec_decoder(const PartKey *key);
extern bool pm_codec_edge(const PartKey *key, Oid owner, const char *table,
						  const char *condition, bool highest, int64 *raw);
extern char *pm_collation_name(Oid collation);
extern void pm_codec_check(const PartSet *set, TimestampTz now);

/* ---------- size.c ---------- */
extern int64 pm_size_bytes(Oid relation);
extern int64 pm_size_blocks(Oid relation);

/* ---------- obstacle.c ---------- */

/* a foreign key that points at a set */
typedef struct PmReference
{
	char	   *constraint;
	char	   *table;			/* quoted, with its schema */
	char	   *join;			/* condition; r is that table, p a partition */
	bool		has_index;		/* by which its rows can be found */
} PmReference;

/* who has been at it for longer will hardly go away in the next moment */
#define PM_LONG_MS 1000

extern void pm_obstacle_check(const PmLook *look, PmTemplate *tmpl,
							  PartPlan *plan);
extern char *pm_obstacle_holders(Oid parent, bool exclusive, int older_than_ms);
extern char *pm_obstacle_process(int pid);
extern char *pm_obstacle_cancel(Oid parent, Oid owner, bool exclusive);

/* ---------- lockwait.c ---------- */
extern int	pm_lockwait_begin(void);
extern void pm_lockwait_end(int nestlevel);
extern void pm_lockwait_explain(Oid parent, ErrorData *edata);
extern void pm_lockwait_run(Oid parent, void (*work) (void *arg), void *arg);

/* ---------- archive.c ---------- */
extern void pm_archive(const PmLook *look, const PmTemplate *tmpl,
					   PlanStep *step, TimestampTz now);
extern void pm_archive_check(const PartSet *set);

/* ---------- ddl.c, ddl_apply.c ---------- */
extern List *pm_ddl_statements(const PmLook *look, const PmTemplate *tmpl,
							   const PlanStep *step);
extern char *pm_ddl_text(const PmLook *look, const PmTemplate *tmpl,
						 const PlanStep *step);
extern char *pm_ddl_range(const PartKey *key, const Partition *partition,
						  const PartBound *bound);
extern char *pm_ddl_locks(const PmLook *look, const PmTemplate *tmpl,
						  const PlanStep *step);
extern void pm_ddl_apply(const PmLook *look, const PmTemplate *tmpl,
						 const PlanStep *step, TimestampTz now);
extern void pm_ddl_lock_detach(Oid parent, const Partition *partition);
extern const char *pm_ddl_lock_held(int64 *lock_us);
extern bool pm_ddl_drops_directly(const PartSet *set, const PmTemplate *tmpl,
								  const PlanStep *step);
extern void pm_ddl_drop_many(const PmLook *look, const PmTemplate *tmpl,
							 List *steps);
extern void pm_ddl_create_default(const PmLook *look, const PmTemplate *tmpl, bool attaches);
extern void pm_ddl_drop_default(const PmLook *look);
extern void pm_ddl_set_identity(const PartSet *set, const PmTemplate *tmpl, Oid partition);
extern void pm_ddl_trust(Oid table, const char *name);
extern Oid	pm_ddl_sub(const PmLook *look, const PmTemplate *tmpl, const Partition *partition, bool has_rows);
extern void pm_ddl_lock_sub(const PmLook *look, const Partition *partition);
extern void pm_ddl_analyze_set(const PartSet *set, bool skip_locked);
extern void pm_ddl_analyze(Oid relation, Oid owner, bool only_parent, const char *columns);
extern List *pm_ddl_upkeep_statements(const PartSet *set, const PlanStep *step);
extern char *pm_ddl_upkeep_locks(const PlanStep *step);
extern char *pm_ddl_storage(const char *text);
extern Oid	pm_ddl_cluster_index(const PartSet *set);
extern char *pm_ddl_vacuum(Oid table, bool full);
extern char *pm_ddl_reindex(Oid table);
extern char *pm_ddl_drop_index(Oid index);
extern char *pm_ddl_attach_index(Oid parent_index, Oid index);
extern bool pm_ddl_can_detach_concurrently(const PmLook *look,
										   const PmTemplate *tmpl);
extern char *pm_ddl_detach_concurrently(const PartSet *set,
										const Partition *partition);

/* ---------- toplevel.c ---------- */

/* a statement that must not be in a transaction block */
typedef struct PmTopLevel
{
	const char *sql;			/* utility statements, names qualified; each
								 * has a transaction, or several, of its own */
	Node	   *node;			/* what to run in place of sql, which describes it */
	Oid			userid;			/* as whom */
	int			lock_timeout;	/* ms, for each of its waits; 0: none */
	int			relation_timeout;	/* ms, for each wait for a table; 0: as above */
	double		cost_delay;		/* ms, the vacuum_cost_delay */
	const char *activity;		/* for pg_stat_activity */
	Oid			parent;			/* if valid: these two are locked before the */
	const Partition *partition; /* statement, and must still be what they were */
} PmTopLevel;

extern ErrorData *pm_toplevel_run(const PmTopLevel *top, MemoryContext context);

/* ---------- maintenance.c ---------- */

/* what one run is asked to do */
typedef struct PmOrder
{
	TimestampTz now;
	bool		create;
	bool		retire;
	bool		upkeep;			/* show it: only the upkeep lane can do it */
	bool		fill_gaps;
	bool		analyze;
	bool		dry_run;
	bool		lock_first;		/* there will be steps: look once, under the lock */
	bool		is_second;		/* the first part of this run has said what was found */
	bool		list_held;		/* outcomes also for what a hold keeps */
	bool		uncapped;		/* asked for by name: partmgr.max_create is no limit */
	int			max_create;		/* 0: partmgr.max_create */
	int			premake;		/* 0: as configured */
	const char *retention;		/* NULL: as configured */
	const PmRetireAsk *ask;	/* how it is carried out; NULL: as configured */
	TimestampTz reference;		/* from when age is counted; 0: now */
	List	   *wanted;			/* of int64 *: make partitions that start exactly there */
	bool		has_backfill;
	int64		backfill;
} PmOrder;

/* what became of a step */
typedef struct PmOutcome
{
	const PartSet *set;
	PlanStep   *step;
	const char *step_name;
	const char *partition;
	const char *range;
	const char *status;			/* done, planned, blocked, held */
	int64		rows;
	int64		bytes;
	const char *lock;			/* taken on the parent, or NULL */
	int64		lock_us;		/* and held for so long */
	const char *locks;			/* of a dry run */
	const char *sql;			/* of a dry run */
} PmOutcome;

typedef struct PmWorkerRun PmWorkerRun;

extern List *pm_maintain(Oid parent, const PmOrder *order);
extern void pm_maintain_all(List *parents, const PmOrder *order,
							List **outcomes);
extern PartPlan *pm_maintenance_decide(const PmLook *look, const PmOrder *order,
								   PmTemplate **tmpl);

/* ---------- reattach.c, drop_default.c ---------- */
extern void pm_reattach(Oid parent, Oid partition, TimestampTz now);
extern int64 pm_drop_default(Oid parent, TimestampTz now);
extern char *pm_default_finite(const PartKey *key);
extern bool pm_default_lowest_key(const PmLook *look, const int64 *from, int64 *raw);

/* ---------- exclude.c ---------- */
extern bool pm_exclude_is_large(Oid table);
extern bool pm_exclude(const PmLook *look, const PartPlan *plan, const PlanStep *step);
extern void pm_exclude_forget(Oid parent);

/* ---------- rewrite_policy.c ---------- */
extern bool pm_policy_drains(const PmLook *look);
extern Partition *pm_policy_compresses(const PmLook *look, const PlanPoint *point);
extern void pm_policy_check(const PmLook *look, PartPlan *plan);
extern void pm_policy_plan(const PmLook *look, const PlanPoint *point, PartPlan *plan);
extern char *pm_policy_text(const PartSet *set, const PlanStep *step);
extern void pm_policy_queue(const PmLook *look, const PlanStep *step, TimestampTz now);
extern void pm_policy_looked_through(const PmLook *look);

/* ---------- run.c, run_upkeep.c ---------- */
extern PmWorkerRun *pm_run_begin(Oid parent, TimestampTz now, PmLane lane);
extern bool pm_run_step(PmWorkerRun *run);
extern const PmTopLevel *pm_run_toplevel(PmWorkerRun *run);
extern bool pm_run_toplevel_done(PmWorkerRun *run, ErrorData *edata);
extern int	pm_run_pause(PmWorkerRun *run);
extern void pm_run_succeeded(PmWorkerRun *run);
extern void pm_run_failed(PmWorkerRun *run, ErrorData *edata);

/* ---------- ondemand*.c ---------- */
#define PM_ON_DEMAND "on_demand"	/* in part_log: a partition was made so */
extern void pm_demand_install(void);
extern bool pm_demand_is_loaded(void);

/* ---------- isolation.c ---------- */
struct PGPROC;
extern Size pm_isolation_size(void);
extern void pm_isolation_attach(void);
extern void pm_isolation_install(void);
extern bool pm_isolation_renews(const struct PGPROC *proc);

/* ---------- worker ---------- */
extern void pm_worker_register(void);
extern void pm_worker_wake(void);
extern void pm_worker_urge(Oid parent);

#endif							/* PARTMGR_INTERNAL_H */
