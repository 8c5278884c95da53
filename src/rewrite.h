/*-------------------------------------------------------------------------
 *
 * rewrite.h
 *		The rewrite engine: rows go from sources to targets while everybody
 *		keeps reading and writing, and then the targets take the place of the
 *		sources.
 *
 * A rewrite is a row of part_rewrite.  It goes on in phases, each of many short
 * transactions; what a phase has done is in the catalogs and in that row, so
 * that any process can go on where another one was killed.
 *
 * The targets hang on a frame, a partitioned table without indexes through which
 * rows are routed (or the frame is the one target itself).  Rows that no target
 * takes yet come to the rest, the frame's default partition, until a target is
 * made for them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PARTMGR_REWRITE_H
#define PARTMGR_REWRITE_H

#include "internal.h"
#include "storage/lock.h"

typedef enum PmRewriteKind
{
	REWRITE_CONVERT,			/* a plain table becomes a set */
	REWRITE_DRAIN,				/* rows of the default get partitions */
	REWRITE_SPLIT,				/* one partition becomes several */
	REWRITE_MERGE,				/* several become one */
	REWRITE_INTERVAL,			/* all partitions that do not fit the interval */
	REWRITE_COMPRESS,			/* cold ones are written anew */
	REWRITE_UNDO,				/* a set becomes a plain table */
	REWRITE_INSTANT				/* a plain table becomes the first partition of a set */
} PmRewriteKind;

#define PM_REWRITE_KINDS (REWRITE_INSTANT + 1)

/* partitions of a set are replaced by others, of the same ranges */
#define PM_REWRITE_KEEPS_RANGES(kind) \
	((kind) == REWRITE_SPLIT || (kind) == REWRITE_MERGE || (kind) == REWRITE_INTERVAL || (kind) == REWRITE_COMPRESS)

/* a table is replaced by another one, under its name */
#define PM_REWRITE_MAKES_SET(kind) ((kind) == REWRITE_CONVERT || (kind) == REWRITE_INSTANT)
#define PM_REWRITE_IS_WHOLE(kind) (PM_REWRITE_MAKES_SET(kind) || (kind) == REWRITE_UNDO)

typedef enum PmPhase
{
	PHASE_PREPARE,				/* what is next?  targets, frame, notes */
	PHASE_WATCH,				/* triggers on the sources */
	PHASE_COPY,
	PHASE_BUILD,				/* indexes and foreign keys of the targets */
	PHASE_APPLY,				/* what was written meanwhile, then the swap */
	PHASE_CLEAN					/* drop the sources */
} PmPhase;

#define PM_PHASES (PHASE_CLEAN + 1)

/* a table whose rows are rewritten: a row of part_rewrite_source */
typedef struct PmSource
{
	Oid			oid;
	Oid			file;			/* 0: copying has not begun */
	int64		blocks;			/* rows behind them came later, and are noted */
	int64		next_block;
	bool		is_watched;		/* it has our triggers */
} PmSource;

/* a row of part_rewrite, and what it is about */
typedef struct PmRewrite
{
	int64		id;
	Oid			table;			/* the set, or the table to be converted */
	PmRewriteKind kind;
	PmPhase		phase;
	char	   *state;
	char	   *sqlstate;
	char	   *message;
	int			worker_pid;
	bool		is_queued;
	List	   *names;			/* of char *: options that were given, */
	List	   *values;			/* and their values */
	Oid			frame;
	Oid			notes;
	Oid			rest;
	List	   *sources;		/* of PmSource */
	int64		rows_done;
	int			units;			/* swaps done */
	TimestampTz now;			/* when it was asked for */

	Oid			owner;
	char	   *schema;
	char	   *name;			/* of table */
} PmRewrite;

/* how transactions begin and end is the host's business: a worker's or a procedure's */
typedef struct PmRewriteHost
{
	void		(*begin) (const char *activity);
	void		(*end) (void);
	bool		(*wants_end) (void);	/* leave the rest to another process? or NULL */
	bool		tells;			/* raise NOTICEs */
} PmRewriteHost;

/* a process at work on a rewrite; lives in context */
typedef struct PmRewriteRun
{
	int64		id;
	const PmRewriteHost *host;
	MemoryContext context;
	MemoryContext step_context;
	bool		is_over;
	PmTopLevel *top;			/* to be run after this transaction */
	bool		wants_swap;		/* what was noted is applied, but for a little */
	bool		in_one;			/* all in one transaction, under lock */
	bool		strict;			/* wait for those who would see too few rows */
	int64		lag;			/* notes that the last step has found */
	bool		apply_all;		/* all notes in one statement: values change places */
	TransactionId written;		/* the last one that wrote to targets, if known */
	ErrorData  *problem;		/* for the note of it */
	int			busy;			/* tries in a row that a lock or a reader has cost */
	int64		pause_ms;		/* before the next step */
	int64		batch;			/* blocks of the next batch */
	List	   *locked;			/* OIDs: what the swap has locked for the session */
	bool		has_readers;	/* it was looked who is to be waited for: */
	int			nreaders;
	VirtualTransactionId *readers;
	bool		is_excluded;	/* the default need not be read */
	List	   *built;			/* OIDs of targets that have all */
	List	   *model;			/* OIDs of the indexes that they are like */
	PmPhase		told;			/* phase that the user was told of */
} PmRewriteRun;

/* a unique key by which rows are found again */
typedef struct PmRowKey
{
	int			n;
	char	  **columns;		/* quoted */
	char	  **operators;		/* of equality, as OPERATOR() takes them */
	bool		has_nullable;	/* the last column may be null in a source */
} PmRowKey;

/* indexes of a table, of the one that takes its place whole, and what they are called */
typedef struct PmTwins
{
	List	   *old;			/* OIDs */
	List	   *new;
	List	   *names;			/* of char * */
} PmTwins;

/* something that hangs on a table that is replaced */
typedef struct PmCarry
{
	const char *what;
	const char *how;			/* what becomes of it, or why it is in the way */
	bool		is_problem;
} PmCarry;

/* ---------- rewrite_state.c ---------- */
extern int64 pm_rewrite_add(PmRewriteKind kind, Oid table, bool is_queued,
							int n, const char *const *names, const char *const *values);
extern bool pm_rewrite_read(int64 id, PmRewrite *rewrite);
extern const char *pm_rewrite_option(const PmRewrite *rewrite, const char *name);
extern List *pm_rewrite_queue(void);
extern bool pm_rewrite_is_due(void);
extern Oid	pm_rewrite_table(int64 id);
extern const char *pm_rewrite_kind_name(PmRewriteKind kind);
extern const char *pm_rewrite_phase_name(PmPhase phase);
extern void pm_rewrite_read_table(PmRewrite *rewrite);
extern int64 pm_rewrite_of_target(Oid relation);
extern int64 pm_rewrite_failed(Oid table, PmRewriteKind kind);
extern void pm_rewrite_begin(int64 id);
extern bool pm_rewrite_resume(int64 id, bool by_worker);
extern void pm_rewrite_set_phase(PmRewrite *rewrite, PmPhase phase);
extern void pm_rewrite_save(const PmRewrite *rewrite);
extern void pm_rewrite_save_source(const PmRewrite *rewrite, const PmSource *source);
extern void pm_rewrite_set_option(PmRewrite *rewrite, const char *name, const char *value);
extern void pm_rewrite_forget_sources(const PmRewrite *rewrite);
extern void pm_rewrite_forget_unit(PmRewrite *rewrite);
extern void pm_rewrite_note(int64 id, const char *message);
extern void pm_rewrite_note_total(const PmRewrite *rewrite, int64 rows, int64 bytes);
extern void pm_rewrite_note_rows(const PmRewrite *rewrite, int64 rows, int64 bytes);
extern void pm_rewrite_note_restart(const PmRewrite *rewrite);
extern void pm_rewrite_note_table(PmRewrite *rewrite, Oid table);
extern bool pm_rewrite_set_state(int64 id, const char *states, const char *state,
								 int sqlerrcode, const char *message);
extern int64 pm_rewrite_open(Oid table);

/* ---------- rewrite.c ---------- */
extern bool pm_rewrite_lock(int64 id);
extern void pm_rewrite_unlock(int64 id);
extern int	pm_rewrite_holder(int64 id);
extern ErrorData *pm_rewrite_transaction(PmRewriteRun *run, void (*work) (void *arg), const char *activity);
extern void pm_rewrite_run(PmRewriteRun *run);
extern PmRewriteRun *pm_rewrite_make_run(int64 id, const PmRewriteHost *host);
extern void pm_rewrite_in_one(int64 id);

/* ---------- rewrite_worker.c ---------- */
extern bool pm_rewrite_run_next(MemoryContext context);

/* ---------- rewrite_unit.c ---------- */
extern void pm_rewrite_prepare(PmRewriteRun *run, PmRewrite *rewrite);
extern bool pm_rewrite_is_source(const PmRewrite *rewrite, Oid relation);
extern void pm_rewrite_add_source(PmRewrite *rewrite, const PmSource *source);
extern List *pm_rewrite_missing(const PmRewrite *rewrite);
extern bool pm_rewrite_add_missing(PmRewrite *rewrite);
extern PartSet *pm_rewrite_set(const PmRewrite *rewrite);
extern PmLook *pm_rewrite_frame(const PmRewrite *rewrite);
extern PmTemplate *pm_rewrite_template(const PmRewrite *rewrite);
extern Oid	pm_rewrite_make_target(PmRewrite *rewrite, const PmLook *frame, PmTemplate *tmpl,
								   const PartBound *bound, int n);
extern bool pm_rewrite_is_source(const PmRewrite *rewrite, Oid relation);
extern char *pm_rewrite_target_name(const PmRewrite *rewrite, const PartSet *set, const PartBound *bound);
extern void pm_rewrite_manage(const PmRewrite *rewrite);
extern char *pm_rewrite_scratch(const PmRewrite *rewrite, const char *suffix);
extern void pm_rewrite_run_sql(const PmRewrite *rewrite, List *statements);
extern void pm_rewrite_log(const PmRewrite *rewrite, const char *partition, const char *range,
						   int64 rows, int64 bytes, const char *message);

/* ---------- rewrite_clean.c ---------- */
extern void pm_rewrite_remove(PmRewriteRun *run, PmRewrite *rewrite);
extern void pm_rewrite_clean(PmRewriteRun *run, PmRewrite *rewrite);

/* ---------- rewrite_choose.c ---------- */
extern bool pm_rewrite_choose(PmRewrite *rewrite, List **windows);
extern bool pm_rewrite_is_compressed(Oid partition, const char *manner);
extern bool pm_rewrite_is_swapped(const PmRewrite *rewrite);

/* ---------- rewrite_check.c ---------- */
extern PmRowKey *pm_rewrite_key(const PmRewrite *rewrite);
extern List *pm_rewrite_source_problems(Oid source);
extern void pm_rewrite_check_again(const PmRewrite *rewrite);
extern void pm_rewrite_check(const PmRewrite *rewrite, bool needs_key);

/* ---------- rewrite_shape.c ---------- */
extern void pm_rewrite_note_shape(const PmRewrite *rewrite, Oid source);
extern void pm_rewrite_note_triggers(const PmRewrite *rewrite, Oid source);
extern void pm_rewrite_check_shape(const PmRewrite *rewrite, Oid only);

/* ---------- rewrite_carry.c ---------- */
extern List *pm_rewrite_carry(const PmRewrite *rewrite, const char *control, bool look);
extern void pm_rewrite_check_carry(const PmRewrite *rewrite, const char *control, bool look);

/* ---------- rewrite_copy.c ---------- */
extern void pm_rewrite_watch(PmRewriteRun *run, PmRewrite *rewrite);
extern void pm_rewrite_copy(PmRewriteRun *run, PmRewrite *rewrite);
extern bool pm_rewrite_apply(PmRewriteRun *run, PmRewrite *rewrite);
extern bool pm_rewrite_verify(PmRewrite *rewrite, const PmSource *only);
extern void pm_rewrite_restart(PmRewrite *rewrite);
extern int64 pm_rewrite_lag(const PmRewrite *rewrite);
extern uint64 pm_rewrite_count_rows(const PmRewrite *rewrite, const char *sql);
extern void pm_rewrite_changed(const PmRewrite *rewrite, const char *what);

/* ---------- rewrite_expand.c ---------- */
extern void pm_rewrite_fit_bound(const PmRewrite *rewrite, const PartKey *key, PartBound *bound);
extern void pm_rewrite_survey(PmRewrite *rewrite);
extern void pm_rewrite_expand(PmRewrite *rewrite);

/* ---------- rewrite_index.c ---------- */
extern List *pm_rewrite_model_indexes(const PmRewrite *rewrite);
extern bool pm_rewrite_has_indexes(const PmRewrite *rewrite, Oid table);
extern Oid	pm_rewrite_index_for(const PmRewrite *rewrite, Oid source, Oid index, Oid target);
extern void pm_rewrite_pair_indexes(const PmRewrite *rewrite, Oid from, Oid to, List **old, List **new);
extern bool pm_rewrite_build_index(const PmRewrite *rewrite, Oid table);

extern List *pm_rewrite_wider_indexes(const PmRewrite *rewrite, List **statements);

/* ---------- exclude.c ---------- */
extern bool pm_exclude_sources(const PmRewrite *rewrite);
extern void pm_exclude_end(const PmRewrite *rewrite);


/* ---------- rewrite_instant.c ---------- */
extern void pm_instant_prepare(const PmRewrite *rewrite);
extern void pm_instant_step(PmRewriteRun *run, PmRewrite *rewrite);
extern void pm_instant_verify(const PmRewrite *rewrite);
extern void pm_instant_remove(const PmRewrite *rewrite);
extern char *pm_instant_name(const PmRewrite *rewrite);
extern char *pm_instant_attach(const PmRewrite *rewrite);

/* ---------- rewrite_own.c ---------- */
extern bool pm_rewrite_has_single(const PmRewrite *rewrite);
extern Oid	pm_rewrite_original(const PmRewrite *rewrite, Oid target);
extern void pm_rewrite_give_own(const PmRewrite *rewrite, Oid target);
extern void pm_rewrite_go_home(const PmRewrite *rewrite, Oid target);
extern void pm_rewrite_settle_own(const PmRewrite *rewrite, Oid target);

/* ---------- rewrite_name.c ---------- */
extern void pm_rewrite_rename(const PmRewrite *rewrite, Oid table, const char *name);
extern char *pm_rewrite_free_name(const char *kind, const char *table, const char *rest, Oid namespace);
extern void pm_rewrite_give_name(const PmRewrite *rewrite, Oid target, const char *name);
extern PmTwins *pm_rewrite_find_twins(const PmRewrite *rewrite, Oid target);
extern void pm_rewrite_name_twins(const PmRewrite *rewrite, const PmTwins *twins);

/* ---------- rewrite_build.c ---------- */
extern List *pm_rewrite_targets(const PmRewrite *rewrite);
extern bool pm_rewrite_is_built(PmRewriteRun *run, const PmRewrite *rewrite);
extern bool pm_rewrite_build_next(PmRewriteRun *run, PmRewrite *rewrite);
extern void pm_rewrite_build_target(PmRewrite *rewrite, Oid target);
extern void pm_rewrite_add_foreign_keys(const PmRewrite *rewrite);
extern void pm_rewrite_fill(PmRewrite *rewrite);

/* ---------- rewrite_swap.c ---------- */
extern void pm_rewrite_list_readers(PmRewriteRun *run);
extern bool pm_rewrite_readers_gone(PmRewriteRun *run);
extern int	pm_rewrite_reader(const PmRewriteRun *run);
extern void pm_rewrite_unlock_tables(PmRewriteRun *run);
extern ErrorData *pm_rewrite_swap(PmRewriteRun *run, bool strict);
extern List *pm_rewrite_references(const PmRewrite *rewrite, List **back);
extern void pm_rewrite_settle_target(const PmRewrite *rewrite, Oid target);
extern void pm_rewrite_swap_now(PmRewrite *rewrite);

/* ---------- rewrite_table.c ---------- */
extern void pm_rewrite_swap_tables(PmRewrite *rewrite);

#endif							/* PARTMGR_REWRITE_H */
