/*-------------------------------------------------------------------------
 *
 * api_partman.c
 *		pg_partman's functions and procedures that move rows, a batch in each
 *		transaction.
 *
 * Time and id variants are one.  Where a procedure is to move all there is, and
 * the set has a key by which rows can be told apart, the rewrite engine does it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "api.h"
#include "api_rewrite.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "config.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "move_data.h"
#include "nodes/parsenodes.h"
#include "tcop/pquery.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"

PG_FUNCTION_INFO_V1(partmgr_partition_data);
PG_FUNCTION_INFO_V1(partmgr_partition_data_proc);
PG_FUNCTION_INFO_V1(partmgr_partition_data_async);
PG_FUNCTION_INFO_V1(partmgr_undo_partition);
PG_FUNCTION_INFO_V1(partmgr_undo_partition_proc);

/* one batch, for pm_attempt */
typedef struct MoveCall
{
	Oid			parent;
	Oid			other;			/* source, or target; InvalidOid: the default */
	PmMove		move;
	PartInterval interval;
	double		lock_wait;		/* s; 0: as partmgr.lock_timeout says */
	bool		keep;
	TimestampTz now;
	int			partitions;
	int64		rows;
} MoveCall;

/* ---------- arguments ---------- */

static List *
text_list(FunctionCallInfo fcinfo, int argno)
{
	Datum	   *values;
	bool	   *nulls;
	int			n;
	List	   *result = NIL;

	if (PG_ARGISNULL(argno))
		return NIL;
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(argno), TEXTOID, -1, false, TYPALIGN_INT,
					  &values, &nulls, &n);
	for (int i = 0; i < n; i++)
		if (!nulls[i])
			result = lappend(result, TextDatumGetCString(values[i]));
	return result;
}

static int
count_argument(FunctionCallInfo fcinfo, int argno, const char *name)
{
	pm_arg_not_null(fcinfo, argno, name);
	if (PG_GETARG_INT32(argno) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s must be at least 1", name)));
	return PG_GETARG_INT32(argno);
}

/* p_order */
static bool
is_descending(FunctionCallInfo fcinfo, int argno)
{
	const char *order = pm_asked_text(fcinfo, argno, "p_order");

	if (pg_strcasecmp(order, "ASC") != 0 && pg_strcasecmp(order, "DESC") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("p_order must be \"ASC\" or \"DESC\", not \"%s\"", order)));
	return pg_strcasecmp(order, "DESC") == 0;
}

/* an interval or a number, in whatever type it came, as the set reads it */
static void
read_interval(MoveCall *call, const char *text)
{
	PartSet    *set = pm_config_read_one(call->parent);
	char	   *problem;

	if (text == NULL)
		return;
	if (!pm_interval_parse(&set->key, text, &call->interval, &problem))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid interval: %s", problem)));
	call->move.interval = &call->interval;
}

static char *
as_text(FunctionCallInfo fcinfo, int argno)
{
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, argno);
	Oid			output;
	bool		is_varlena;

	if (PG_ARGISNULL(argno))
		return NULL;
	getTypeOutputInfo(type, &output, &is_varlena);
	return OidOutputFunctionCall(output, PG_GETARG_DATUM(argno));
}

/* another table that rows come from or go to */
static Oid
other_table(FunctionCallInfo fcinfo, int argno, Oid parent, const char *name)
{
	bool		isnull;
	Oid			other = pm_arg_relation(fcinfo, argno, &isnull);

	if (isnull)
		return InvalidOid;
	pm_api_check_owner(other);
	if (other == parent || get_rel_relispartition(other))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be the set itself, nor a partition", name)));
	if (get_rel_relkind(other) != RELKIND_RELATION)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a plain table", get_rel_name(other))));
	return other;
}

/* With the default as the source a batch is a whole partition, with all columns. */
static void
check_drain(const MoveCall *call)
{
	if (!OidIsValid(call->other) && call->move.ignored_columns != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("p_ignored_columns needs p_source_table"),
				 errdetail("Generated columns of the default partition are generated anew in any case.")));
	if (!OidIsValid(call->other) && call->move.interval != NULL)
	{
		PartSet    *set = pm_config_read_one(call->parent);

		if (memcmp(&set->grid.interval, call->move.interval, sizeof(PartInterval)) != 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("rows of the default partition are moved a whole partition at a time"),
					 errhint("Leave the interval of the batch out.")));
	}
}


/* ---------- batches ---------- */

static void
move_call(void *arg)
{
	MoveCall   *call = arg;

	call->rows = pm_move_data(call->parent, call->other, &call->move, call->now);
}

static void
undo_call(void *arg)
{
	MoveCall   *call = arg;

	/* the batch before was the last one */
	if (!pm_config_exists(call->parent))
		return;
	pm_undo(call->parent, call->other, &call->move, call->keep, &call->partitions, &call->rows);
}

/* try does a batch; false if p_lock_wait was given and a lock not to be had */
static bool
try_batch(MoveCall *call, void (*work) (void *arg))
{
	int			nestlevel;
	ErrorData  *problem;

	call->now = GetCurrentTimestamp();
	if (call->lock_wait <= 0)
	{
		pm_lockwait_run(call->parent, work, call);
		return true;
	}
	nestlevel = NewGUCNestLevel();
	(void) set_config_option("lock_timeout", psprintf("%.0f", Max(call->lock_wait * 1000, 1)), PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	problem = pm_attempt(work, call);
	AtEOXact_GUC(false, nestlevel);
	if (problem != NULL && problem->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE)
		ReThrowError(problem);
	return problem == NULL;
}

static void
tell_no_default(const MoveCall *call)
{
	if (!OidIsValid(call->other) && !OidIsValid(get_default_partition_oid(call->parent)))
		ereport(NOTICE,
				(errmsg("table %s has no default partition, and p_source_table was not given",
						pm_qualified_name(call->parent))));
}

/*
 * partmgr_partition_data(p_parent_table, p_batch_count, p_batch_interval, p_lock_wait,
 * p_order, p_analyze, p_source_table, p_ignored_columns, p_override_system_value,
 * p_ignore_infinity) is partition_data_time() and partition_data_id(): moves rows
 * out of the default or another table and returns how many; -1 if p_lock_wait was
 * given and a lock was not to be had.
 *
 * Locks: see pm_move_data.  Errors: not the owner of both, not managed, core's.
 */
Datum
partmgr_partition_data(PG_FUNCTION_ARGS)
{
	MoveCall	call = {0};

	pm_api_require();
	call.parent = pm_api_own_set(fcinfo, 0, "p_parent_table");
	call.move.batches = count_argument(fcinfo, 1, "p_batch_count");
	read_interval(&call, as_text(fcinfo, 2));
	call.lock_wait = PG_ARGISNULL(3) ? 0 : DatumGetFloat8(DirectFunctionCall1(numeric_float8, PG_GETARG_DATUM(3)));
	call.move.descending = is_descending(fcinfo, 4);
	call.other = other_table(fcinfo, 6, call.parent, "p_source_table");
	call.move.ignored_columns = text_list(fcinfo, 7);
	call.move.override_system_value = !PG_ARGISNULL(8) && PG_GETARG_BOOL(8);
	check_drain(&call);
	tell_no_default(&call);
	if (!try_batch(&call, move_call))
		PG_RETURN_INT64(-1);
	if (call.rows > 0 && !PG_ARGISNULL(5) && PG_GETARG_BOOL(5))
		pm_ddl_analyze(call.parent, pm_config_read_one(call.parent)->owner, false, NULL);
	PG_RETURN_INT64(call.rows);
}


/* ---------- procedures ---------- */

/* what the procedures have in common */
typedef struct Loop
{
	int			left;			/* loops; -1: any number */
	int			tries;			/* p_lock_wait_tries */
	int			wait_s;
	bool		quiet;
	int64		total;
} Loop;

static void
read_loop(FunctionCallInfo fcinfo, Loop *loop, int count, int tries, int wait, int quiet)
{
	memset(loop, 0, sizeof(Loop));
	loop->left = PG_ARGISNULL(count) ? -1 : count_argument(fcinfo, count, "p_loop_count");
	loop->tries = PG_ARGISNULL(tries) ? 10 : PG_GETARG_INT32(tries);
	loop->wait_s = PG_ARGISNULL(wait) ? 0 : Max(PG_GETARG_INT32(wait), 0);
	loop->quiet = !PG_ARGISNULL(quiet) && PG_GETARG_BOOL(quiet);
}

/* one batch in a transaction of its own; false: there will be no other one */
static bool
loop_once(Loop *loop, MoveCall *call, void (*work) (void *arg))
{
	bool		done;

	EnsurePortalSnapshotExists();
	call->rows = call->partitions = 0;
	done = try_batch(call, work);
	if (!done && --loop->tries <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("could not lock the rows of table %s", pm_qualified_name(call->parent)),
				 errhint("Raise p_lock_wait or p_lock_wait_tries.")));
	if (done && !loop->quiet && call->rows + call->partitions > 0)
		ereport(NOTICE,
				(errmsg("rows moved: " INT64_FORMAT, call->rows)));
	loop->total += call->rows;
	pm_spi_procedure_commit();
	if (loop->left > 0)
		loop->left--;
	return loop->left != 0 && (!done || call->rows + call->partitions > 0);
}

static void
loop_all(FunctionCallInfo fcinfo, Loop *loop, MoveCall *call, void (*work) (void *arg))
{
	MemoryContext context = AllocSetContextCreate(PortalContext, "partmgr procedure", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old;
	bool		more;

	pm_spi_procedure_begin();
	old = MemoryContextSwitchTo(context);
	do
	{
		more = loop_once(loop, call, work);
		if (more && loop->wait_s > 0)
			pm_procedure_wait(loop->wait_s);
	} while (more);
	MemoryContextSwitchTo(old);
	if (!loop->quiet)
		ereport(NOTICE, (errmsg("total rows moved: " INT64_FORMAT, loop->total)));
	pm_spi_procedure_end();
	MemoryContextDelete(context);
}

/* the engine drains the default, if that is all there is to do */
static bool
drain_at_once(FunctionCallInfo fcinfo, const MoveCall *call, const Loop *loop)
{
	PmAsked		asked = {.kind = REWRITE_DRAIN, .table = call->parent, .mode = "online"};
	PmRewrite	rewrite = {.table = call->parent};

	if (OidIsValid(call->other) || loop->left > 0 || call->move.interval != NULL ||
		!OidIsValid(get_default_partition_oid(call->parent)) || pm_rewrite_key(&rewrite) == NULL)
		return false;
	pm_asked_option(&asked, "policy", "strict");
	(void) pm_asked_do(fcinfo, &asked);
	return true;
}

/*
 * partmgr_partition_data_proc(p_parent_table, p_loop_count, p_interval, p_lock_wait,
 * p_lock_wait_tries, p_wait, p_order, p_source_table, p_ignored_columns, p_quiet,
 * p_ignore_infinity) moves rows until there are none left, and commits on the way.
 */
Datum
partmgr_partition_data_proc(PG_FUNCTION_ARGS)
{
	MoveCall	call = {0};
	Loop		loop;

	pm_asked_check_commit(fcinfo);
	pm_api_require();
	call.parent = pm_api_own_set(fcinfo, 0, "p_parent_table");
	call.move.batches = 1;
	read_loop(fcinfo, &loop, 1, 4, 5, 9);
	read_interval(&call, pm_arg_text(fcinfo, 2));
	call.lock_wait = PG_ARGISNULL(3) ? 0 : PG_GETARG_INT32(3);
	call.move.descending = is_descending(fcinfo, 6);
	call.other = other_table(fcinfo, 7, call.parent, "p_source_table");
	call.move.ignored_columns = text_list(fcinfo, 8);
	check_drain(&call);
	tell_no_default(&call);
	if (!drain_at_once(fcinfo, &call, &loop))
		loop_all(fcinfo, &loop, &call, move_call);
	PG_RETURN_VOID();
}

/*
 * partmgr_partition_data_async(p_parent_table, p_loop_count, p_interval, p_lock_wait,
 * p_lock_wait_tries, p_wait, p_order, p_ignored_columns, p_quiet) drains the default
 * by the engine: rows are never invisible.  Loops and intervals are those of
 * pg_partman, and of no meaning here.
 */
Datum
partmgr_partition_data_async(PG_FUNCTION_ARGS)
{
	PmAsked		asked = {.kind = REWRITE_DRAIN, .mode = "online"};

	pm_asked_check_commit(fcinfo);
	pm_api_require();
	asked.table = pm_api_own_set(fcinfo, 0, "p_parent_table");
	if (!OidIsValid(get_default_partition_oid(asked.table)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table %s has no default partition", pm_qualified_name(asked.table))));
	pm_asked_option(&asked, "policy", "strict");
	return pm_asked_do(fcinfo, &asked);
}

/* what the function and the procedure have in common */
static void
read_undo(FunctionCallInfo fcinfo, MoveCall *call, int interval, int keep, int lock_wait,
		  int ignored, int cascade)
{
	call->parent = pm_api_own_set(fcinfo, 0, "p_parent_table");
	call->other = other_table(fcinfo, 1, call->parent, "p_target_table");
	read_interval(call, pm_arg_text(fcinfo, interval));
	call->keep = PG_ARGISNULL(keep) || PG_GETARG_BOOL(keep);
	call->move.ignored_columns = text_list(fcinfo, ignored);
	call->move.override_system_value = true;
	if (!PG_ARGISNULL(cascade) && PG_GETARG_BOOL(cascade))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("p_drop_cascade is not supported"),
				 errdetail("Nothing is ever dropped that was not asked for by name.")));
}

/*
 * partmgr_undo_partition(p_parent_table, p_target_table, p_loop_count, p_batch_interval,
 * p_keep_table, p_lock_wait, p_ignored_columns, p_drop_cascade) moves rows out of
 * partitions into a table; returns how many partitions are gone, -1 if a lock was
 * not to be had, and how many rows were moved.
 */
Datum
partmgr_undo_partition(PG_FUNCTION_ARGS)
{
	MoveCall	call = {0};
	TupleDesc	desc;
	Datum		values[2];
	bool		nulls[2] = {false};

	pm_api_require();
	read_undo(fcinfo, &call, 3, 4, 5, 6, 7);
	call.lock_wait = PG_ARGISNULL(5) ? 0 : DatumGetFloat8(DirectFunctionCall1(numeric_float8, PG_GETARG_DATUM(5)));
	call.move.batches = count_argument(fcinfo, 2, "p_loop_count");
	pm_arg_not_null(fcinfo, 1, "p_target_table");
	if (!try_batch(&call, undo_call))
	{
		call.partitions = -1;
		call.rows = 0;
	}
	else
		ereport(NOTICE,
				(errmsg("rows moved: " INT64_FORMAT ", partitions undone: %d", call.rows, call.partitions)));
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = Int32GetDatum(call.partitions);
	values[1] = Int64GetDatum(call.rows);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/*
 * partmgr_undo_partition_proc(p_parent_table, p_target_table, p_loop_count, p_interval,
 * p_keep_table, p_lock_wait, p_lock_wait_tries, p_wait, p_ignored_columns,
 * p_drop_cascade, p_quiet) does that until nothing is left, and commits on the way.
 * Without a target the set becomes a plain table under its name.
 */
Datum
partmgr_undo_partition_proc(PG_FUNCTION_ARGS)
{
	MoveCall	call = {0};
	Loop		loop;

	pm_asked_check_commit(fcinfo);
	pm_api_require();
	read_undo(fcinfo, &call, 3, 4, 5, 8, 9);
	call.lock_wait = PG_ARGISNULL(5) ? 0 : PG_GETARG_INT32(5);
	call.move.batches = 1;
	read_loop(fcinfo, &loop, 2, 6, 7, 10);
	if (!OidIsValid(call.other))
	{
		PmAsked		asked = {.kind = REWRITE_UNDO, .table = call.parent, .mode = "online"};

		pm_asked_option(&asked, "policy", "strict");
		return pm_asked_do(fcinfo, &asked);
	}
	loop_all(fcinfo, &loop, &call, undo_call);
	PG_RETURN_VOID();
}
