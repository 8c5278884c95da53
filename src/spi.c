/*-------------------------------------------------------------------------
 *
 * spi.c
 *		The only caller of SPI: as whom a statement runs, with which search
 *		path, and how its result comes back.
 *
 * Whoever calls, the statements run as the role given to pm_spi_begin, under
 * SECURITY_RESTRICTED_OPERATION (nothing they run can change the session) and
 * SECURITY_NOFORCE_RLS (FORCE ROW LEVEL SECURITY would silently filter the
 * owner's own rows), with search_path pinned to pg_catalog, pg_temp.  Values
 * are always arguments, never part of the text.
 *
 * What the statements' own functions set stays here: it would go on in the
 * session of whoever called, under another user.
 *
 * Nothing here is undone by hand on error: user id, settings, snapshot and
 * SPI connection are restored by the abort of the (sub)transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "internal.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "compat.h"

/* innermost pm_spi_begin; for the memory context of results */
static MemoryContext result_context = NULL;

/*
 * pm_spi_begin becomes the given role and connects.
 *
 * Nests; each begin has its pm_spi_end.  Strings read by pm_spi_string are
 * copied to the memory context that is current here.
 */
void
pm_spi_begin(PmSpi *spi, Oid userid)
{
	memset(spi, 0, sizeof(PmSpi));
	spi->caller = result_context;
	result_context = CurrentMemoryContext;

	GetUserIdAndSecContext(&spi->save_userid, &spi->save_sec_context);
	SetUserIdAndSecContext(userid,
						   spi->save_sec_context |
						   SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION |
						   SECURITY_NOFORCE_RLS);
	spi->nestlevel = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp",
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

/* pm_spi_end disconnects and becomes the former role again. */
void
pm_spi_end(PmSpi *spi)
{
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");
	/* false: a user's function may have set search_path for the session */
	AtEOXact_GUC(false, spi->nestlevel);
	SetUserIdAndSecContext(spi->save_userid, spi->save_sec_context);
	result_context = spi->caller;
}

/*
 * pm_spi_mark and pm_spi_forget go around what may fail and be undone, with the
 * ends of what it has begun.
 */
MemoryContext
pm_spi_mark(void)
{
	return result_context;
}

void
pm_spi_forget(MemoryContext mark)
{
	result_context = mark;
}

static void
check_result(int code, const char *sql)
{
	if (code < 0)
		elog(ERROR, "unexpected SPI result %s for \"%s\"",
			 SPI_result_code_string(code), sql);
}

/*
 * pm_spi_select runs a query that writes nothing and returns its row count.
 *
 * It sees what is committed now, also inside a REPEATABLE READ transaction:
 * a plan made from an old snapshot would make partitions that exist.
 */
uint64
pm_spi_select(const char *sql, int nargs, Oid *types, Datum *values,
			  const char *nulls)
{
	int			code;

	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	code = SPI_execute_with_args(sql, nargs, types, values, nulls, true, 0);
	PopActiveSnapshot();
	check_result(code, sql);
	return SPI_processed;
}

/* one statement whose plan is kept for the session */
typedef struct KeptPlan
{
	char	   *sql;
	SPIPlanPtr	plan;
} KeptPlan;

/* more than we have such statements; beyond that none is kept */
#define MAX_KEPT 96

static KeptPlan kept_plans[MAX_KEPT];
static int	nkept = 0;

/*
 * kept_plan returns the generic plan of a statement, made when it was first
 * used; NULL if there is no place for another one.
 */
static SPIPlanPtr
kept_plan(const char *sql, int nargs, Oid *types)
{
	SPIPlanPtr	plan;
	char	   *copy;

	for (int i = 0; i < nkept; i++)
		if (strcmp(kept_plans[i].sql, sql) == 0)
			return kept_plans[i].plan;
	if (nkept == MAX_KEPT)
		return NULL;
	plan = SPI_prepare_cursor(sql, nargs, types, CURSOR_OPT_GENERIC_PLAN);
	if (plan == NULL)
		elog(ERROR, "unexpected SPI result %s for \"%s\"",
			 SPI_result_code_string(SPI_result), sql);
	copy = MemoryContextStrdup(TopMemoryContext, sql);
	if (SPI_keepplan(plan) != 0)
		elog(ERROR, "could not keep the plan of \"%s\"", sql);
	kept_plans[nkept].sql = copy;
	kept_plans[nkept++].plan = plan;
	return plan;
}

/*
 * pm_spi_select_kept is pm_spi_select for a query about one set, whose text is
 * always the same: planning it would take longer than running it.
 */
uint64
pm_spi_select_kept(const char *sql, int nargs, Oid *types, Datum *values,
				   const char *nulls)
{
	SPIPlanPtr	plan = kept_plan(sql, nargs, types);
	int			code;

	if (plan == NULL)
		return pm_spi_select(sql, nargs, types, values, nulls);
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	code = SPI_execute_plan(plan, values, nulls, true, 0);
	PopActiveSnapshot();
	check_result(code, sql);
	return SPI_processed;
}

/* pm_spi_write_kept is the same for a statement that writes. */
uint64
pm_spi_write_kept(const char *sql, int nargs, Oid *types, Datum *values,
				  const char *nulls)
{
	SPIPlanPtr	plan = kept_plan(sql, nargs, types);

	if (plan == NULL)
		return pm_spi_write(sql, nargs, types, values, nulls);
	check_result(SPI_execute_plan(plan, values, nulls, false, 0), sql);
	return SPI_processed;
}

/* pm_spi_write runs a statement that writes and returns its row count. */
uint64
pm_spi_write(const char *sql, int nargs, Oid *types, Datum *values,
			 const char *nulls)
{
	check_result(SPI_execute_with_args(sql, nargs, types, values, nulls,
									   false, 0),
				 sql);
	return SPI_processed;
}

/* pm_spi_utility runs a statement without arguments, DDL mostly. */
void
pm_spi_utility(const char *sql)
{
	check_result(SPI_execute(sql, false, 0), sql);
}

/*
 * pm_spi_value returns a field of the last result; row and column count from
 * 0 and 1.  A value by reference lives until the next pm_spi call.
 */
Datum
pm_spi_value(uint64 row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc,
						 column, isnull);
}

/* pm_spi_oid returns a field of type oid; InvalidOid if it is null. */
Oid
pm_spi_oid(uint64 row, int column)
{
	bool		isnull;
	Datum		value = pm_spi_value(row, column, &isnull);

	return isnull ? InvalidOid : DatumGetObjectId(value);
}

/* pm_spi_bool returns a field of type boolean; false if it is null. */
bool
pm_spi_bool(uint64 row, int column)
{
	bool		isnull;
	Datum		value = pm_spi_value(row, column, &isnull);

	return !isnull && DatumGetBool(value);
}

/*
 * pm_spi_string returns a field in its text form, NULL if it is null, in the
 * memory context of pm_spi_begin's caller.
 */
char *
pm_spi_string(uint64 row, int column)
{
	char	   *value = SPI_getvalue(SPI_tuptable->vals[row],
									 SPI_tuptable->tupdesc, column);
	char	   *copy;

	if (value == NULL)
		return NULL;
	copy = MemoryContextStrdup(result_context, value);
	pfree(value);
	return copy;
}

/*
 * pm_spi_procedure_begin, _commit, _end are for procedures that commit, and
 * for nothing else.  The other functions nest inside.
 */
void
pm_spi_procedure_begin(void)
{
	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

void
pm_spi_procedure_commit(void)
{
	SPI_commit();
}

void
pm_spi_procedure_end(void)
{
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");
}
