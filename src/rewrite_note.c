/*-------------------------------------------------------------------------
 *
 * rewrite_note.c
 *		The trigger on a source: notes the keys of the rows that are written.
 *
 * It runs as part of whatever statement of anybody's, so it needs no right of
 * the writer, looks nothing up by name but columns, and never fails because of
 * a rewrite that is over: without its notes it does nothing.
 *
 * Arguments: OID and name of the notes, then the columns of the key, quoted as
 * in SQL.  The OID alone could be anybody's table after a restore.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "internal.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/varlena.h"

#include "compat.h"

PG_FUNCTION_INFO_V1(partmgr_rewrite_note);

/* keys have as many columns as an index can have, and that of the set */
typedef struct Note
{
	Relation	notes;
	TupleTableSlot *slot;
	ResultRelInfo *target;
	EState	   *estate;
	int			n;
	AttrNumber	columns[INDEX_MAX_KEYS + 1];
} Note;

/* the column's name as it stands in the catalogs */
static AttrNumber
find_column(Relation source, const char *quoted)
{
	List	   *names;

	if (!SplitIdentifierString(pstrdup(quoted), '.', &names) || list_length(names) != 1)
		elog(ERROR, "column %s of a trigger cannot be read", quoted);
	return get_attnum(RelationGetRelid(source), linitial(names));
}

/*
 * is_tied tells whether we have made this trigger for these notes.  Anybody can
 * make one that names them, or restore one.
 */
static bool
is_tied(Oid trigger, Oid notes)
{
	Relation	depend = table_open(DependRelationId, AccessShareLock);
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		result = false;

	ScanKeyInit(&key[0], Anum_pg_depend_classid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(TriggerRelationId));
	ScanKeyInit(&key[1], Anum_pg_depend_objid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(trigger));
	scan = systable_beginscan(depend, DependDependerIndexId, true, NULL, 2, key);
	while (!result && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);

		result = form->refclassid == RelationRelationId && form->refobjid == notes;
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	return result;
}

/*
 * open_notes opens the notes for writing; false if they are gone, or are not
 * those of this table.  Its owner may have changed since they were made; what is
 * written then is noted all the same.
 */
static bool
open_notes(Note *note, const TriggerData *data)
{
	const Trigger *trigger = data->tg_trigger;
	Relation	source = data->tg_relation;
	Relation	notes;

	if (trigger->tgnargs < 3 || trigger->tgnargs > INDEX_MAX_KEYS + 3)
		elog(ERROR, "trigger \"%s\" has %d arguments", trigger->tgname, trigger->tgnargs);
	notes = try_table_open(atooid(trigger->tgargs[0]), RowExclusiveLock);
	if (notes == NULL)
		return false;
	note->n = trigger->tgnargs - 2;
	if (strcmp(RelationGetRelationName(notes), trigger->tgargs[1]) != 0 ||
		notes->rd_rel->relkind != RELKIND_RELATION ||
		RelationGetNumberOfAttributes(notes) != note->n + 1 ||
		(notes->rd_rel->relowner != source->rd_rel->relowner &&
		 !is_tied(trigger->tgoid, RelationGetRelid(notes))))
	{
		table_close(notes, RowExclusiveLock);
		return false;
	}
	for (int i = 0; i < note->n; i++)
		note->columns[i] = find_column(source, trigger->tgargs[i + 2]);
	note->notes = notes;
	note->slot = table_slot_create(notes, NULL);
	note->estate = CreateExecutorState();
	note->target = makeNode(ResultRelInfo);
	InitResultRelInfo(note->target, notes, 0, NULL, 0);
	ExecOpenIndices(note->target, false);
	return true;
}

static void
close_notes(Note *note)
{
	ExecCloseIndices(note->target);
	ExecDropSingleTupleTableSlot(note->slot);
	FreeExecutorState(note->estate);
	table_close(note->notes, NoLock);
}

/* read_key fills the slot from a row; false if a column of the key is not there */
static bool
read_key(Note *note, TupleTableSlot *row)
{
	ExecClearTuple(note->slot);
	note->slot->tts_values[0] = CharGetDatum('k');
	note->slot->tts_isnull[0] = false;
	for (int i = 0; i < note->n; i++)
	{
		/* a table whose type is not the key's would break the notes */
		if (note->columns[i] <= 0 ||
			TupleDescAttr(row->tts_tupleDescriptor, note->columns[i] - 1)->atttypid !=
			TupleDescAttr(note->slot->tts_tupleDescriptor, i + 1)->atttypid)
			return false;
		note->slot->tts_values[i + 1] = slot_getattr(row, note->columns[i],
													 &note->slot->tts_isnull[i + 1]);
	}
	return true;
}

/* a note of its own, without a key */
static void
put_truncate(Note *note)
{
	ExecClearTuple(note->slot);
	memset(note->slot->tts_isnull, true, sizeof(bool) * (note->n + 1));
	note->slot->tts_values[0] = CharGetDatum('t');
	note->slot->tts_isnull[0] = false;
	ExecStoreVirtualTuple(note->slot);
	ExecSimpleRelationInsert(note->target, note->estate, note->slot);
}

static void
put_key(Note *note, TupleTableSlot *row)
{
	/* a key of another type: the writer is not to blame, but it is copied again */
	if (!read_key(note, row))
	{
		put_truncate(note);
		return;
	}
	ExecStoreVirtualTuple(note->slot);
	ExecSimpleRelationInsert(note->target, note->estate, note->slot);
}

/* Is the key of both rows the same, byte for byte? */
static bool
same_key(const Note *note, TupleTableSlot *a, TupleTableSlot *b)
{
	for (int i = 0; i < note->n; i++)
	{
		Form_pg_attribute attribute;
		bool		a_null;
		bool		b_null;
		Datum		x;
		Datum		y;

		if (note->columns[i] <= 0)
			return false;
		attribute = TupleDescAttr(a->tts_tupleDescriptor, note->columns[i] - 1);
		x = slot_getattr(a, note->columns[i], &a_null);
		y = slot_getattr(b, note->columns[i], &b_null);
		if (a_null || b_null || !datumIsEqual(x, y, attribute->attbyval, attribute->attlen))
			return false;
	}
	return true;
}

/*
 * partmgr_rewrite_note() notes the key of each row that is inserted, updated or
 * deleted, both if it changes, and that the table was truncated.
 *
 * Locks: ROW EXCLUSIVE on the notes.  Errors: not called as such a trigger.
 */
Datum
partmgr_rewrite_note(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	Note		note = {0};

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(data->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("%s() is a trigger function of partmgr's own", "partmgr_rewrite_note")));
	if (!open_notes(&note, data))
		return PointerGetDatum(NULL);
	if (TRIGGER_FIRED_BY_TRUNCATE(data->tg_event))
		put_truncate(&note);
	else
	{
		put_key(&note, data->tg_trigslot);
		if (TRIGGER_FIRED_BY_UPDATE(data->tg_event) &&
			!same_key(&note, data->tg_trigslot, data->tg_newslot))
			put_key(&note, data->tg_newslot);
	}
	close_notes(&note);
	return PointerGetDatum(NULL);
}
