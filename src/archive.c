/*-------------------------------------------------------------------------
 *
 * archive.c
 *		Ask the owner's function before a detached partition is dropped.
 *
 * The function is named as text, since it may be dropped and made again, and
 * found anew at each call.  It must belong to the owner of the table or to a
 * superuser: anybody else could put code there that then runs as the owner.  It
 * runs as the owner, in a security-restricted operation, with a lock on the
 * partition that lets others read and keeps writers out.
 *
 * If it says drop, the partition is dropped in the same transaction: a row that
 * came in after a verdict would be in no archive.  Otherwise its verdict is noted
 * in the partition's mark.  An error is nobody's agreement: the partition stays.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_tablespace.h"
#include "catalog/pg_type.h"
#include "internal.h"
#include "miscadmin.h"
#include "parser/parse_func.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "compat.h"

/* after "retry" the function is left alone for so long */
#define RETRY_MINUTES 10

/* find_function returns the function that a set names, with its checks. */
static Oid
find_function(const PartSet *set)
{
	static const Oid types[] = {REGCLASSOID, REGCLASSOID, TEXTOID, TEXTOID};
	List	   *names = pm_name_list(set->archive_function);
	Oid			function;
	HeapTuple	tuple;
	Form_pg_proc form;

	if (list_length(names) < 2)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("archive function \"%s\" is named without its schema",
						set->archive_function)));
	function = LookupFuncName(names, lengthof(types), types, true);
	if (!OidIsValid(function))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("archive function %s(regclass, regclass, text, text) does not exist",
						set->archive_function)));
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	form = (Form_pg_proc) GETSTRUCT(tuple);
	if (form->prorettype != TEXTOID || form->proretset ||
		form->prokind != PROKIND_FUNCTION)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("archive function %s must return text",
						set->archive_function)));
	if (form->proowner != set->owner && !superuser_arg(form->proowner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("archive function %s must belong to the owner of table %s or to a superuser",
						set->archive_function,
						pm_full_name(set))));
	ReleaseSysCache(tuple);
	return function;
}

/* a bound as the function gets it: the text of the column's value, or null */
static void
set_bound(FunctionCallInfo fcinfo, int arg, const PartKey *key, int64 raw,
		  bool is_open)
{
	fcinfo->args[arg].isnull = is_open;
	fcinfo->args[arg].value = (Datum) 0;
	if (is_open)
		return;
	fcinfo->args[arg].value = CStringGetTextDatum(pm_key_text(key, raw));
}

/*
 * ask calls the function as the owner and returns what it says; NULL for null.
 * By its OID: the name might stand for another function by now.
 */
static char *
ask(const PartSet *set, const PlanStep *step, Oid function)
{
	LOCAL_FCINFO(fcinfo, 4);
	FmgrInfo	flinfo;
	PmSpi		spi;
	MemoryContext caller = CurrentMemoryContext;
	bool		has_null = step->bound.lower_open || step->bound.upper_open;
	char	   *verdict = NULL;
	Datum		result;

	if (!pm_has_privilege(ProcedureRelationId, function, set->owner, ACL_EXECUTE))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for archive function %s",
						set->archive_function)));
	pm_spi_begin(&spi, set->owner);
	fmgr_info(function, &flinfo);
	InitFunctionCallInfoData(*fcinfo, &flinfo, 4, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = ObjectIdGetDatum(set->parent);
	fcinfo->args[0].isnull = false;
	fcinfo->args[1].value = ObjectIdGetDatum(step->partition->oid);
	fcinfo->args[1].isnull = false;
	set_bound(fcinfo, 2, &set->key, step->bound.lower_raw, step->bound.lower_open);
	set_bound(fcinfo, 3, &set->key, step->bound.upper_raw, step->bound.upper_open);
	if (!(flinfo.fn_strict && has_null))
	{
		PushActiveSnapshot(GetLatestSnapshot());
		result = FunctionCallInvoke(fcinfo);
		if (!fcinfo->isnull)
			verdict = MemoryContextStrdup(caller, TextDatumGetCString(result));
		PopActiveSnapshot();
	}
	pm_spi_end(&spi);
	CommandCounterIncrement();
	return verdict;
}

/*
 * pm_archive asks the archive function about a detached partition, and drops it
 * or notes the verdict: "drop", "keep" or "retry".  The step becomes one of
 * dropping then.
 *
 * Locks: SHARE on the partition, then those of a drop.  Errors: the function's
 * own; what is wrong with it; "was changed by another session"; those of a drop.
 */
void
pm_archive(const PmLook *look, const PmTemplate *tmpl, PlanStep *step,
		   TimestampTz now)
{
	const PartSet *set = look->set;
	const Partition *partition = step->partition;
	char	   *verdict;

	LockRelationOid(partition->oid, ShareLock);
	if (get_rel_name(partition->oid) == NULL ||
		get_rel_relispartition(partition->oid) ||
		pm_mark_find(partition->oid) != set->parent)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("partition %s was changed by another session",
						pm_full_name(partition)),
				 errhint("Run maintenance again.")));
	verdict = ask(set, step, find_function(set));
	if (verdict == NULL ||
		(strcmp(verdict, "drop") != 0 && strcmp(verdict, "keep") != 0 &&
		 strcmp(verdict, "retry") != 0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("archive function %s must return drop, keep or retry, not %s",
						set->archive_function,
						verdict ? quote_literal_cstr(verdict) : "null")));
	step->reason = psprintf("the archive function says %s", verdict);
	if (strcmp(verdict, "drop") == 0)
	{
		PM_FAILPOINT("archive-said-drop");
		step->kind = STEP_DROP;
		pm_ddl_apply(look, tmpl, step, now);
	}
	else
		pm_mark_verdict(partition->oid, verdict, now + RETRY_MINUTES * USECS_PER_MINUTE);
}

/*
 * pm_archive_check raises an error if the archive function of a set cannot be
 * called.
 */
void
pm_archive_check(const PartSet *set)
{
	(void) find_function(set);
}
