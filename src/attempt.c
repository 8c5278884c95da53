/*-------------------------------------------------------------------------
 *
 * attempt.c
 *		Do something that may fail, and go on.
 *
 * The only subtransactions of the project.  What the work has done is undone if
 * it fails; the error is returned as it was raised, for the caller to record, to
 * report or to raise again.  Never swallows what ends the statement or us.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "internal.h"
#include "mb/pg_wchar.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

/* more of an error is not kept: tables of ours, and memory, hold those of all sets */
#define MAX_TEXT 10000

static char *
clip(char *text)
{
	if (text == NULL || strlen(text) <= MAX_TEXT)
		return text;
	return pnstrdup(text, pg_mbcliplen(text, strlen(text), MAX_TEXT));
}

/*
 * pm_error_clip shortens what a caught error says, which may be what somebody's
 * function says, in the current memory context.
 */
void
pm_error_clip(ErrorData *edata)
{
	edata->message = clip(edata->message);
	edata->detail = clip(edata->detail);
	edata->hint = clip(edata->hint);
	edata->context = clip(edata->context);
}

/*
 * pm_attempt calls work(arg) in a subtransaction and returns the error that
 * undid it, in the caller's memory context, or NULL.  A cancelled statement is
 * cancelled as a whole.
 */
ErrorData *
pm_attempt(void (*work) (void *arg), void *arg)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	MemoryContext mark = pm_spi_mark();
	ErrorData  *volatile edata = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		work(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		edata = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		pm_spi_forget(mark);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;

	if (edata && ERRCODE_TO_CATEGORY(edata->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
		ReThrowError(edata);
	return edata;
}
