/*-------------------------------------------------------------------------
 *
 * ondemand_copy.c
 *		COPY into sets with on_demand.
 *
 * COPY lets nobody in between, except through its WHERE: the statement gets one
 * that tells whether a partition takes the row.  A row that has none is kept, and
 * when COPY is done, those are inserted like the rows of any INSERT, which has
 * the partitions made.  The count of the statement is that of all rows.
 *
 * The rows that were kept fire the triggers of the statement a second time.
 * Nothing is done where the table has rules: COPY does not heed them, an INSERT
 * would.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/sysattr.h"
#include "access/xact.h"
#include "catalog/partition.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/copy.h"
#include "executor/executor.h"
#include "executor/execPartition.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "ondemand.h"
#include "optimizer/optimizer.h"
#include "parser/parser.h"
#include "partitioning/partdesc.h"
#include "storage/lmgr.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/partcache.h"
#include "utils/queryenvironment.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"
#include "utils/typcache.h"

#include "compat.h"

/* how the rows that were kept are called in the INSERT */
#define KEPT_ROWS "partmgr_kept_rows"

PG_FUNCTION_INFO_V1(partmgr_copy_covers);
PG_FUNCTION_INFO_V1(partmgr_copy_divert);

/* a set to which its rows may go */
typedef struct CopySet
{
	PmDemandSet *demand;
	PmCover		cover;
	AttrNumber	attnum;			/* of the key in the table of the COPY */
	ExprState  *constraint;		/* which rows those are; NULL: all */
} CopySet;

/* one COPY that is being executed */
typedef struct Copy
{
	struct Copy *outer;
	int64		token;			/* nobody else knows it */
	Oid			relid;
	List	   *sets;			/* of CopySet */
	CopySet    *first;
	List	   *columns;		/* attribute numbers of those that are not computed */
	Bitmapset  *named;			/* those that COPY has named; NULL: all */
	TupleTableSlot *slot;		/* a row of the table, without what is computed */
	ExprContext *econtext;
	Tuplestorestate *kept;		/* NULL: no row was kept yet */
	int64		nkept;
	MemoryContext context;
	MemoryContextCallback at_end;
} Copy;

static Copy *copies = NULL;		/* the innermost first */

static ProcessUtility_hook_type previous_hook = NULL;


/* ---------- what the WHERE asks ---------- */

/*
 * The COPY that calls.  Everybody may write such calls into a WHERE of his own, or
 * into a function, with any arguments; but only we know the token.
 */
static inline Copy *
caller(FunctionCallInfo fcinfo)
{
	Copy	   *copy = copies;

	while (copy != NULL && (PG_ARGISNULL(0) || copy->token != PG_GETARG_INT64(0)))
		copy = copy->outer;
	if (unlikely(copy == NULL))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("function can only be called by COPY into a partition set")));
	return copy;
}

static bool
covers(CopySet *set, Datum key, bool isnull)
{
	int64		raw;

	/* what never gets a partition is core's to refuse */
	return isnull || pm_cover_hit(set->demand, &set->cover, key) ||
		!pm_demand_raw(&set->demand->set->key, key, &raw) ||
		pm_cover_has(set->demand, &set->cover, raw);
}

/* partmgr_copy_covers(token, key) tells whether a partition of the set takes a row. */
Datum
partmgr_copy_covers(PG_FUNCTION_ARGS)
{
	Copy	   *copy = caller(fcinfo);

	PG_RETURN_BOOL(covers(copy->first, PG_GETARG_DATUM(1), PG_ARGISNULL(1)));
}

/* fills the slot of a COPY with a row as the WHERE gives it */
static void
fill_slot(Copy *copy, HeapTupleHeader header)
{
	TupleDesc	desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(header),
											  HeapTupleHeaderGetTypMod(header));
	HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(header), .t_data = header};
	Datum	   *values = palloc(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);
	ListCell   *lc;

	heap_deform_tuple(&tuple, desc, values, nulls);
	ReleaseTupleDesc(desc);
	ExecStoreAllNullTuple(copy->slot);
	foreach(lc, copy->columns)
	{
		copy->slot->tts_values[lfirst_int(lc) - 1] = values[foreach_current_index(lc)];
		copy->slot->tts_isnull[lfirst_int(lc) - 1] = nulls[foreach_current_index(lc)];
	}
}

/* does a partition take the row in the slot, whichever set it goes to? */
static bool
slot_is_covered(Copy *copy)
{
	ListCell   *lc;

	copy->econtext->ecxt_scantuple = copy->slot;
	foreach(lc, copy->sets)
	{
		CopySet    *set = lfirst(lc);
		int			i = set->attnum - 1;

		if (!covers(set, copy->slot->tts_values[i], copy->slot->tts_isnull[i]) &&
			(set->constraint == NULL || ExecCheck(set->constraint, copy->econtext)))
			return false;
	}
	return true;
}

/*
 * partmgr_copy_divert(token, row) keeps a row that no partition takes for the end, and
 * returns false; true for the others.
 */
Datum
partmgr_copy_divert(PG_FUNCTION_ARGS)
{
	Copy	   *copy = caller(fcinfo);
	MemoryContext old;
	bool		is_covered;

	ResetExprContext(copy->econtext);
	old = MemoryContextSwitchTo(copy->econtext->ecxt_per_tuple_memory);
	fill_slot(copy, PG_GETARG_HEAPTUPLEHEADER(1));
	is_covered = slot_is_covered(copy);
	if (!is_covered)
	{
		MemoryContextSwitchTo(copy->context);
		if (copy->kept == NULL)
			copy->kept = tuplestore_begin_heap(false, false, work_mem);
		tuplestore_puttupleslot(copy->kept, copy->slot);
		copy->nkept++;
	}
	MemoryContextSwitchTo(old);
	PG_RETURN_BOOL(is_covered);
}


/* ---------- before COPY ---------- */

/* the columns of a table that are not computed from others */
static List *
plain_columns(TupleDesc desc)
{
	List	   *columns = NIL;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(desc, i);

		if (!attr->attisdropped && !attr->attgenerated)
			columns = lappend_int(columns, attr->attnum);
	}
	return columns;
}

static void
forget_copy(void *arg)
{
	ListCell   *lc;

	foreach(lc, ((Copy *) arg)->sets)
		pm_demand_unpin(((CopySet *) lfirst(lc))->demand);
}

static CopySet *
add_set(Copy *copy, Relation rel, PmDemandSet *demand)
{
	CopySet    *entry = palloc0(sizeof(CopySet));

	entry->demand = demand;
	entry->attnum = get_attnum(copy->relid, demand->set->key.attname);
	pm_cover_read(demand, RelationGetPartitionDesc(rel, !IsolationUsesXactSnapshot()),
				  &entry->cover);
	copy->sets = lappend(copy->sets, entry);
	copy->first = linitial(copy->sets);
	/* after what can fail: forget_copy unpins it */
	pm_demand_pin(demand);
	return entry;
}

/* Opens a table that is partitioned, if that takes no waiting; NULL if not. */
static Relation
open_table(Oid relid)
{
	if (get_rel_relkind(relid) != RELKIND_PARTITIONED_TABLE ||
		!ConditionalLockRelationOid(relid, AccessShareLock))
		return NULL;
	return try_relation_open(relid, NoLock);
}

/* adds the sets that are part of the table */
static void
add_nested(Copy *copy, Relation root)
{
	ListCell   *lc;

	foreach(lc, pm_demand_below(copy->relid))
	{
		Oid			relid = lfirst_oid(lc);
		Relation	rel = open_table(relid);
		const PmDemandTable *table;

		if (rel == NULL)
			continue;
		table = pm_demand_table(rel);
		if (table->demand != NULL)
		{
			List	   *constraint = map_partition_varattnos(RelationGetPartitionQual(rel), 1, root, rel);

			add_set(copy, rel, table->demand)->constraint =
				ExecInitExpr(expression_planner((Expr *) make_ands_explicit(constraint)), NULL);
		}
		relation_close(rel, NoLock);
	}
}

/* a number that nobody can guess, and that does not fit into an integer */
static int64
make_token(void)
{
	int64		result;

	if (!pg_strong_random(&result, sizeof(result)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random values")));
	return (result & PG_INT64_MAX) | (INT64CONST(1) << 62);
}

/*
 * What a COPY needs of the table; NULL if no partitions are made there on
 * demand.  This is only a look: COPY itself finds out what it may do.
 */
static Copy *
begin_copy(const CopyStmt *stmt)
{
	Oid			relid = RangeVarGetRelidExtended(stmt->relation, NoLock, RVR_MISSING_OK, NULL, NULL);
	Relation	rel = OidIsValid(relid) ? open_table(relid) : NULL;
	const PmDemandTable *table;
	Copy	   *copy;
	bool		has_branches;
	ListCell   *lc;

	if (rel == NULL)
		return NULL;
	if (rel->rd_rules != NULL)
	{
		relation_close(rel, NoLock);
		return NULL;
	}
	copy = palloc0(sizeof(Copy));
	copy->relid = relid;
	copy->context = CurrentMemoryContext;
	copy->token = make_token();
	copy->at_end.func = forget_copy;
	copy->at_end.arg = copy;
	MemoryContextRegisterResetCallback(copy->context, &copy->at_end);
	copy->columns = plain_columns(RelationGetDescr(rel));
	foreach(lc, stmt->attlist)
		copy->named = bms_add_member(copy->named,
									 get_attnum(relid, strVal(lfirst(lc))) - FirstLowInvalidHeapAttributeNumber);
	copy->slot = MakeSingleTupleTableSlot(CreateTupleDescCopy(RelationGetDescr(rel)), &TTSOpsVirtual);
	copy->econtext = CreateStandaloneExprContext();
	table = pm_demand_table(rel);
	has_branches = table->has_branches;
	if (table->demand != NULL)
		add_set(copy, rel, table->demand);
	if (has_branches)
		add_nested(copy, rel);
	relation_close(rel, NoLock);
	return copy->sets == NIL ? NULL : copy;
}

/*
 * A column of the table, as the parser would make it of the name.  It leaves this
 * alone, and does not ask whether the user may read what he brings.
 */
static Node *
column(const Copy *copy, AttrNumber attnum)
{
	Form_pg_attribute attr = TupleDescAttr(copy->slot->tts_tupleDescriptor, attnum - 1);

	return (Node *) makeVar(1, attnum, attr->atttypid, attr->atttypmod, attr->attcollation, 0);
}

/* the token, as the parser makes a bigint of it */
static Node *
token(const Copy *copy)
{
	A_Const    *constant = makeNode(A_Const);

	constant->val.fval.type = T_Float;
	constant->val.fval.fval = psprintf(INT64_FORMAT, copy->token);
	constant->location = -1;
	return (Node *) constant;
}

static Node *
call(const Copy *copy, const char *function, Node *arg)
{
	return (Node *) makeFuncCall(list_make2(makeString("pg_catalog"), makeString(pstrdup(function))),
								 list_make2(token(copy), arg), COERCE_EXPLICIT_CALL, -1);
}

/*
 * covers(key) OR divert(ROW(columns)), for the rows that the user wants.  Where
 * rows can go to several sets only the second one finds out.
 */
static Node *
make_where(const Copy *copy, Node *where)
{
	const CopySet *set = copy->first;
	RowExpr    *row = makeNode(RowExpr);
	Node	   *condition;
	ListCell   *lc;

	foreach(lc, copy->columns)
		row->args = lappend(row->args, column(copy, lfirst_int(lc)));
	row->row_typeid = InvalidOid;
	row->row_format = COERCE_EXPLICIT_CALL;
	row->location = -1;
	condition = call(copy, "partmgr_copy_divert", (Node *) row);
	if (list_length(copy->sets) == 1 && set->constraint == NULL)
		condition = (Node *) makeBoolExpr(OR_EXPR,
										  list_make2(call(copy, "partmgr_copy_covers", column(copy, set->attnum)),
													 condition), -1);
	return where == NULL ? condition :
		(Node *) makeBoolExpr(AND_EXPR, list_make2(where, condition), -1);
}


/* ---------- after COPY ---------- */

/* the INSERT of the rows that were kept, by the names of the columns */
static char *
make_insert(const Copy *copy)
{
	StringInfoData columns;
	ListCell   *lc;

	initStringInfo(&columns);
	foreach(lc, copy->columns)
	{
		Form_pg_attribute attr = TupleDescAttr(copy->slot->tts_tupleDescriptor, lfirst_int(lc) - 1);

		appendStringInfo(&columns, "%s%s", foreach_current_index(lc) > 0 ? ", " : "",
						 quote_identifier(NameStr(attr->attname)));
	}
	return psprintf("INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM %s",
					pm_qualified_name(copy->relid), columns.data, columns.data, KEPT_ROWS);
}

static QueryEnvironment *
make_environment(const Copy *copy)
{
	QueryEnvironment *environment = create_queryEnv();
	EphemeralNamedRelation relation = palloc0(sizeof(EphemeralNamedRelationData));

	relation->md.name = KEPT_ROWS;
	relation->md.reliddesc = InvalidOid;
	relation->md.tupdesc = copy->slot->tts_tupleDescriptor;
	relation->md.enrtype = ENR_NAMED_TUPLESTORE;
	relation->md.enrtuples = copy->nkept;
	relation->reldata = copy->kept;
	register_ENR(environment, relation);
	return environment;
}

/*
 * Inserts the rows that were kept; returns how many.  The user needs the right to
 * the columns that COPY has named: the others are defaults.
 */
static uint64
insert_kept(const Copy *copy)
{
	char	   *sql = make_insert(copy);
	QueryEnvironment *environment = make_environment(copy);
	RawStmt    *raw = linitial_node(RawStmt, raw_parser(sql, RAW_PARSE_DEFAULT));
	PlannedStmt *plan;
	QueryDesc  *query;
	uint64		processed;
	ListCell   *lc;

	PushCopiedSnapshot(GetTransactionSnapshot());
	CommandCounterIncrement();
	UpdateActiveSnapshotCommandId();
	plan = pm_plan_statement(linitial(pg_analyze_and_rewrite_fixedparams(raw, sql, NULL, 0, environment)), sql);
	foreach(lc, pm_rights_of(plan))
	{
		PmRights   *rights = lfirst(lc);

		if (rights->relid == copy->relid && copy->named != NULL)
			rights->insertedCols = copy->named;
	}
	query = CreateQueryDesc(plan, sql, GetActiveSnapshot(), InvalidSnapshot,
							None_Receiver, NULL, environment, 0);
	ExecutorStart(query, 0);
	pm_executor_run(query);
	processed = query->estate->es_processed;
	ExecutorFinish(query);
	ExecutorEnd(query);
	FreeQueryDesc(query);
	PopActiveSnapshot();
	tuplestore_end(copy->kept);
	return processed;
}


/* ---------- the hook ---------- */

static void
run(PlannedStmt *pstmt, PM_UTILITY_PARAMETERS)
{
	if (previous_hook)
		previous_hook(pstmt, PM_UTILITY_ARGUMENTS(read_only_tree));
	else
		standard_ProcessUtility(pstmt, PM_UTILITY_ARGUMENTS(read_only_tree));
}

/* Runs a COPY with our WHERE; the functions in it find it by copies. */
static void
run_copy(Copy *copy, PlannedStmt *pstmt, PM_UTILITY_PARAMETERS)
{
	Copy	   *outer = copies;

	copy->outer = outer;
	copies = copy;
	PG_TRY();
	{
		run(pstmt, PM_UTILITY_ARGUMENTS(read_only_tree));
	}
	PG_FINALLY();
	{
		copies = outer;
	}
	PG_END_TRY();
}

static void
process_utility(PlannedStmt *pstmt, PM_UTILITY_PARAMETERS)
{
	CopyStmt   *stmt = (CopyStmt *) pstmt->utilityStmt;
	Copy	   *copy = NULL;

	if (IsA(stmt, CopyStmt) && stmt->is_from && stmt->relation != NULL)
		copy = begin_copy(stmt);
	if (copy == NULL)
	{
		run(pstmt, PM_UTILITY_ARGUMENTS(read_only_tree));
		return;
	}

	/* the statement may be one that is kept for further executions */
	pstmt = copyObject(pstmt);
	stmt = (CopyStmt *) pstmt->utilityStmt;
	stmt->whereClause = make_where(copy, stmt->whereClause);
	run_copy(copy, pstmt, PM_UTILITY_ARGUMENTS(false));
	if (copy->kept == NULL)
		return;
	if (completion)
		completion->nprocessed += insert_kept(copy);
	else
		(void) insert_kept(copy);
}

/* pm_copy_install is called when the library is loaded. */
void
pm_copy_install(void)
{
	previous_hook = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}
