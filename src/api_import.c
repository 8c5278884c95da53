/*-------------------------------------------------------------------------
 *
 * api_import.c
 *		SQL functions that take over what pg_partman maintains, and give it back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "api.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "import.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "compat.h"

PG_FUNCTION_INFO_V1(partmgr_import_pg_partman);
PG_FUNCTION_INFO_V1(partmgr_undo_import_pg_partman);

static void
put_notes(FunctionCallInfo fcinfo, List *notes)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell   *lc;

	foreach(lc, notes)
	{
		const PmImportNote *note = lfirst(lc);
		Datum		values[3] = {
			CStringGetTextDatum(note->table),
			CStringGetTextDatum(note->step),
			CStringGetTextDatum(note->note)
		};
		bool		nulls[3] = {false};

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
}

/*
 * partmgr_import_pg_partman(p_schema, p_dry_run) takes over all sets that the
 * pg_partman in a schema maintains, or with p_dry_run says what that would do: rows
 * with the table, a step (adopt, carry, differ, stop, skip) and a note.  What cannot be
 * taken over is left to pg_partman, with the reason.
 *
 * Locks: SHARE UPDATE EXCLUSIVE on each table.  Errors: there is no pg_partman, or its
 * configuration belongs to somebody who is not to be trusted.
 */
Datum
partmgr_import_pg_partman(PG_FUNCTION_ARGS)
{
	pm_api_require();
	pm_arg_not_null(fcinfo, 0, "p_schema");
	pm_arg_not_null(fcinfo, 1, "p_dry_run");
	InitMaterializedSRF(fcinfo, 0);
	put_notes(fcinfo, pm_import(pm_arg_text(fcinfo, 0), PG_GETARG_BOOL(1)));
	pm_worker_wake();
	PG_RETURN_NULL();
}

/*
 * partmgr_undo_import_pg_partman(p_schema) has partmgr forget the sets that were taken
 * over, and pg_partman maintain them as before; the same rows, with the steps return and
 * skip.
 */
Datum
partmgr_undo_import_pg_partman(PG_FUNCTION_ARGS)
{
	pm_api_require();
	pm_arg_not_null(fcinfo, 0, "p_schema");
	InitMaterializedSRF(fcinfo, 0);
	put_notes(fcinfo, pm_import_undo(pm_arg_text(fcinfo, 0)));
	PG_RETURN_NULL();
}
