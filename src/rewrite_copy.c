/*-------------------------------------------------------------------------
 *
 * rewrite_copy.c
 *		Rows go from the sources to the targets.
 *
 * The orders here are what makes it right.  First the triggers, committed: from
 * then on every write is noted.  Only then is it looked where the source ends;
 * rows behind that, and rows that have been noted, are not copied: they may move
 * from a block that is still to be read to one that was read already.  When all
 * is copied the notes are applied: what one snapshot shows of both the notes and
 * the sources, by one statement, and exactly the notes that it has seen are
 * gone then.  Notes are in no order that could be trusted.
 *
 * Never writes to a source.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "ddl_rewrite.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "rewrite.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "compat.h"

/* how long a batch should take, and within which limits blocks are tried */
#define BATCH_US 200000
#define BATCH_FIRST 512
#define BATCH_MIN 64
#define BATCH_MAX 16384

/* notes that one statement applies */
#define APPLY_LIMIT 10000

/* so few are left to be applied while writers wait; more, if it will not get less */
#define FEW_NOTES 100
#define SOME_NOTES 2000

/* ---------- statements ---------- */

/* the columns that are written, and what is read for each of them */
static char *
column_list(const PmRewrite *rewrite, bool for_select)
{
	Oid			source = ((PmSource *) linitial(rewrite->sources))->oid;
	const char *compression = pm_rewrite_option(rewrite, "compression");
	StringInfoData buf;
	ListCell   *lc;
	ListCell   *lc2;
	List	   *names = pm_catalog_strings("SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = $1"
										   " AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum", source);
	List	   *plain = pm_catalog_strings("SELECT (attlen <> -1 OR attstorage NOT IN ('x', 'm'))::text FROM pg_attribute WHERE attrelid = $1"
										   " AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum", source);

	initStringInfo(&buf);
	forboth(lc, names, lc2, plain)
	{
		/* a value that is compressed stays as it is, unless it is taken apart */
		bool		unpack = for_select && compression && strcmp(lfirst(lc2), "false") == 0;

		appendStringInfo(&buf, unpack ? "%spg_catalog.partmgr_unpacked(s.%s)" : for_select ? "%ss.%s" : "%s%s",
						 buf.len ? ", " : "", (char *) lfirst(lc));
	}
	return buf.data;
}

/* a condition that a row is the one with the key of a note */
static char *
key_test(const PmRowKey *key, const char *row, const char *note)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < key->n; i++)
		appendStringInfo(&buf, "%s%s.%s %s %s.k%d", i ? " AND " : "", row, key->columns[i],
						 key->operators[i], note, i + 1);
	return buf.data;
}

/*
 * The same for a row of a source.  Where the key of the set is null there is no
 * place for the row: it is found, so that to write it down is an error.
 */
static char *
source_test(const PmRowKey *key, const char *row, const char *note)
{
	PmRowKey	others = *key;

	if (!key->has_nullable)
		return key_test(key, row, note);
	others.n--;
	return psprintf("%s AND (%s.%s %s %s.k%d OR %s.%s IS NULL AND %s.k%d IS NULL)", key_test(&others, row, note),
					row, key->columns[others.n], key->operators[others.n], note, key->n,
					row, key->columns[others.n], note, key->n);
}

static char *
insert_into_frame(const PmRewrite *rewrite)
{
	return psprintf("INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM",
					pm_qualified_name(rewrite->frame), column_list(rewrite, false),
					column_list(rewrite, true));
}

/* rows of a range of blocks, but for those that are noted */
static char *
copy_sql(const PmRewrite *rewrite, const PmSource *source)
{
	return psprintf("%s ONLY %s s WHERE s.ctid >= $1 AND s.ctid < $2"
					" AND NOT EXISTS (SELECT FROM ONLY %s n WHERE %s)",
					insert_into_frame(rewrite), pm_qualified_name(source->oid),
					pm_qualified_name(rewrite->notes), key_test(pm_rewrite_key(rewrite), "s", "n"));
}

/* all sources, as one; their columns need not be in the same order */
static char *
sources_union(const PmRewrite *rewrite)
{
	List	   *columns = pm_catalog_strings("SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute"
											 " WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped",
											 ((PmSource *) linitial(rewrite->sources))->oid);
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, rewrite->sources)
		appendStringInfo(&buf, "%sSELECT %s FROM ONLY %s", buf.len ? " UNION ALL " : "",
						 (char *) linitial(columns), pm_qualified_name(((PmSource *) lfirst(lc))->oid));
	return buf.data;
}

/*
 * One statement and so one snapshot: take notes, delete what the targets have of
 * their keys, insert what the sources have.  The last condition has the deletion
 * come first.
 */
static char *
apply_sql(const PmRewrite *rewrite, bool all)
{
	const PmRowKey *key = pm_rewrite_key(rewrite);
	const char *notes = pm_qualified_name(rewrite->notes);
	char	   *some = psprintf(" WHERE ctid = ANY (ARRAY(SELECT ctid FROM ONLY %s LIMIT %d))", notes, APPLY_LIMIT);

	return psprintf("WITH n AS MATERIALIZED (DELETE FROM ONLY %s%s RETURNING *),"
					" k AS MATERIALIZED (SELECT DISTINCT * FROM n WHERE k1 IS NOT NULL),"
					" d AS (DELETE FROM %s t USING k WHERE %s RETURNING 1)"
					" %s k JOIN (%s) s ON %s WHERE (SELECT count(*) FROM d) >= 0",
					notes, all ? "" : some, pm_qualified_name(rewrite->frame), key_test(key, "t", "k"),
					insert_into_frame(rewrite), sources_union(rewrite), source_test(key, "s", "k"));
}

static uint64
write_as_owner(const PmRewrite *rewrite, const char *sql, int nargs, Oid *types, Datum *values)
{
	PmSpi		spi;
	uint64		rows;

	pm_spi_begin(&spi, rewrite->owner);
	rows = pm_spi_write(sql, nargs, types, values, NULL);
	pm_spi_end(&spi);
	CommandCounterIncrement();
	return rows;
}

/* pm_rewrite_count_rows tells how many rows a query returns to the owner. */
uint64
pm_rewrite_count_rows(const PmRewrite *rewrite, const char *sql)
{
	PmSpi		spi;
	uint64		rows;

	pm_spi_begin(&spi, rewrite->owner);
	rows = pm_spi_select(sql, 0, NULL, NULL, NULL);
	pm_spi_end(&spi);
	return rows;
}


/* ---------- is all as it was? ---------- */

static Oid
file_of(Oid relation)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	Oid			file = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		file = ((Form_pg_class) GETSTRUCT(tuple))->relfilenode;
		ReleaseSysCache(tuple);
	}
	return file;
}

/* pm_rewrite_changed raises the error of a rewrite that cannot go on. */
void
pm_rewrite_changed(const PmRewrite *rewrite, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("rewrite of table %s cannot go on: %s", pm_qualified_name(rewrite->table), what),
			 errhint("Begin it anew.")));
}

static bool
was_truncated(const PmRewrite *rewrite)
{
	return pm_rewrite_count_rows(rewrite, psprintf("SELECT FROM ONLY %s WHERE k1 IS NULL LIMIT 1",
											pm_qualified_name(rewrite->notes))) > 0;
}

/*
 * pm_rewrite_verify tells whether what was copied is still good: false if it has
 * to be copied again.  An error if the sources, or only one of them, or our tables,
 * are not what they were.  The caller has locked the sources.
 */
bool
pm_rewrite_verify(PmRewrite *rewrite, const PmSource *only)
{
	bool		is_good = true;
	ListCell   *lc;

	if (get_rel_name(rewrite->notes) == NULL || get_rel_name(rewrite->frame) == NULL)
		pm_rewrite_changed(rewrite, "a table of ours is gone");
	foreach(lc, rewrite->sources)
	{
		PmSource   *source = lfirst(lc);

		if (only && source != only)
			continue;
		if (get_rel_name(source->oid) == NULL)
			pm_rewrite_changed(rewrite, "a source is gone");
		/* rewritten meanwhile: its rows are in other places now, or have other values */
		if (source->file != 0 && file_of(source->oid) != source->file)
			is_good = false;
	}
	pm_rewrite_check_shape(rewrite, only ? only->oid : InvalidOid);
	return is_good && !was_truncated(rewrite);
}

/* pm_rewrite_restart empties the targets, and begins to copy anew. */
void
pm_rewrite_restart(PmRewrite *rewrite)
{
	ListCell   *lc;

	pm_rewrite_run_sql(rewrite, list_make1(pm_ddl_rewrite_empty(pm_qualified_name(rewrite->frame))));
	(void) write_as_owner(rewrite, psprintf("DELETE FROM ONLY %s", pm_qualified_name(rewrite->notes)),
						  0, NULL, NULL);
	foreach(lc, rewrite->sources)
	{
		PmSource   *source = lfirst(lc);

		source->file = 0;
		source->blocks = source->next_block = 0;
		pm_rewrite_save_source(rewrite, source);
	}
	pm_rewrite_note_restart(rewrite);
	pm_rewrite_set_phase(rewrite, PHASE_COPY);
	pm_rewrite_note(rewrite->id, "copying begins anew: a source was truncated or rewritten");
}


/* ---------- watch ---------- */

/*
 * The trigger depends on the notes, and who writes to the source may know by that
 * that they are meant for it.
 */
static void
tie_to_notes(const PmRewrite *rewrite, Oid source, const char *trigger)
{
	ObjectAddress depender;
	ObjectAddress notes;

	ObjectAddressSet(depender, TriggerRelationId, get_trigger_oid(source, trigger, false));
	ObjectAddressSet(notes, RelationRelationId, rewrite->notes);
	recordDependencyOn(&depender, &notes, DEPENDENCY_AUTO);
}

static void
watch_source(const PmRewrite *rewrite, Oid source)
{
	char	   *trigger = pm_rewrite_scratch(rewrite, "");
	char	   *truncate = pm_rewrite_scratch(rewrite, "_truncate");

	LockRelationOid(source, ShareRowExclusiveLock);
	pm_rewrite_check_shape(rewrite, source);
	pm_rewrite_run_sql(rewrite, pm_ddl_rewrite_watch(pm_qualified_name(source), trigger, truncate,
													 rewrite->notes, pm_rewrite_key(rewrite)));
	tie_to_notes(rewrite, source, trigger);
	tie_to_notes(rewrite, source, truncate);
	pm_rewrite_note_triggers(rewrite, source);
}

/*
 * pm_rewrite_watch puts our triggers on the sources, one in each transaction.
 *
 * Locks: SHARE ROW EXCLUSIVE on the source: CREATE TRIGGER waits for all who
 * have written to it and not committed, so that what is not noted is there.
 */
void
pm_rewrite_watch(PmRewriteRun *run, PmRewrite *rewrite)
{
	ListCell   *lc;

	foreach(lc, rewrite->sources)
	{
		const PmSource *source = lfirst(lc);

		if (source->is_watched)
			continue;
		if (get_rel_name(source->oid) == NULL)
			pm_rewrite_changed(rewrite, "a source is gone");
		watch_source(rewrite, source->oid);
		return;
	}
	pm_rewrite_set_phase(rewrite, PHASE_COPY);
}


/* ---------- copy ---------- */

/* where a source ends, now that everything is noted */
static void
begin_source(PmRewrite *rewrite, PmSource *source)
{
	source->file = file_of(source->oid);
	source->blocks = pm_size_blocks(source->oid);
	source->next_block = 0;
	pm_rewrite_save_source(rewrite, source);
}

static Datum
first_of_block(BlockNumber block)
{
	ItemPointer tid = palloc(sizeof(ItemPointerData));

	ItemPointerSet(tid, block, 0);
	return PointerGetDatum(tid);
}

/* the next batch is as large as fits into its time; rows_per_second is a pause */
static void
adapt(PmRewriteRun *run, const PmRewrite *rewrite, uint64 rows, const instr_time *start)
{
	const char *limit = pm_rewrite_option(rewrite, "rows_per_second");
	instr_time	duration;
	double		us;

	INSTR_TIME_SET_CURRENT(duration);
	INSTR_TIME_SUBTRACT(duration, *start);
	us = (double) INSTR_TIME_GET_MICROSEC(duration);
	if (us < BATCH_US / 2)
		run->batch = Min(run->batch * 2, BATCH_MAX);
	else if (us > BATCH_US * 2)
		run->batch = Max(run->batch / 2, BATCH_MIN);
	if (limit == NULL || rows == 0)
		return;
	run->pause_ms = (int64) Max(0, rows * 1000.0 / strtod(limit, NULL) - us / 1000);
	/* a batch that is followed by minutes of pause is one that is too large */
	if (run->pause_ms > 1000)
		run->batch = Max(run->batch / 2, 1);
}

static void
copy_batch(PmRewriteRun *run, PmRewrite *rewrite, PmSource *source)
{
	int64		end;
	Oid			types[] = {TIDOID, TIDOID};
	Datum		values[2];
	uint64		rows;
	instr_time	start;

	INSTR_TIME_SET_CURRENT(start);
	if (run->batch == 0)
		run->batch = BATCH_FIRST;
	end = Min(source->next_block + run->batch, source->blocks);
	values[0] = first_of_block(source->next_block);
	values[1] = first_of_block(end);
	rows = write_as_owner(rewrite, copy_sql(rewrite, source), 2, types, values);
	run->written = GetTopTransactionId();
	pm_rewrite_note_rows(rewrite, rows, (end - source->next_block) * BLCKSZ);
	source->next_block = end;
	pm_rewrite_save_source(rewrite, source);
	pm_rewrite_expand(rewrite);
	adapt(run, rewrite, rows, &start);
}

/* all rows of all sources, in one transaction that has them locked */
static void
copy_all(PmRewrite *rewrite)
{
	ListCell   *lc;

	foreach(lc, rewrite->sources)
	{
		PmSource   *source = lfirst(lc);
		uint64		rows = write_as_owner(rewrite, psprintf("%s ONLY %s s", insert_into_frame(rewrite),
															pm_qualified_name(source->oid)),
										  0, NULL, NULL);

		pm_rewrite_note_rows(rewrite, rows, pm_size_blocks(source->oid) * BLCKSZ);
	}
	pm_rewrite_expand(rewrite);
}

/*
 * copy_step copies a batch of a source; true if that was its end.  That rows are
 * noted was committed before, so beginning and copying can be one transaction.
 */
static bool
copy_step(PmRewriteRun *run, PmRewrite *rewrite, PmSource *source)
{
	LockRelationOid(source->oid, AccessShareLock);
	if (!pm_rewrite_verify(rewrite, source))
	{
		pm_rewrite_restart(rewrite);
		return false;
	}
	if (source->file == 0)
		begin_source(rewrite, source);
	if (source->next_block < source->blocks)
		copy_batch(run, rewrite, source);
	return source->next_block >= source->blocks;
}

/*
 * pm_rewrite_copy copies one batch, or several small sources; when there is none
 * left, it makes what targets are missing, and the next phase comes.
 *
 * Locks: ACCESS SHARE on the sources.
 */
void
pm_rewrite_copy(PmRewriteRun *run, PmRewrite *rewrite)
{
	TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), BATCH_US / 1000);
	ListCell   *lc;

	if (run->in_one)
		copy_all(rewrite);
	else
		foreach(lc, rewrite->sources)
		{
			PmSource   *source = lfirst(lc);

			if (source->file != 0 && source->next_block >= source->blocks)
				continue;
			if (!copy_step(run, rewrite, source) || run->pause_ms > 0 || GetCurrentTimestamp() >= end)
				return;
		}
	pm_rewrite_fill(rewrite);
	pm_rewrite_set_phase(rewrite, PHASE_BUILD);
}


/* ---------- what was written meanwhile ---------- */

/* pm_rewrite_lag counts the notes that are left, as far as a batch goes. */
int64
pm_rewrite_lag(const PmRewrite *rewrite)
{
	return pm_rewrite_count_rows(rewrite, psprintf("SELECT FROM ONLY %s LIMIT %d",
											pm_qualified_name(rewrite->notes), APPLY_LIMIT));
}

/* by the index, key by key: a few notes must not have a whole source read */
static void
apply_notes(PmRewriteRun *run, const PmRewrite *rewrite)
{
	static const char *const off[] = {"enable_hashjoin", "enable_mergejoin"};
	int			nestlevel = NewGUCNestLevel();

	for (int i = 0; i < lengthof(off); i++)
		(void) set_config_option(off[i], "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	(void) write_as_owner(rewrite, apply_sql(rewrite, run->apply_all), 0, NULL, NULL);
	run->written = GetTopTransactionId();
	AtEOXact_GUC(false, nestlevel);
}

/*
 * pm_rewrite_apply applies notes, as many as one statement takes; true if there
 * were so few that the swap can be tried.  If a source was truncated, copying
 * begins anew; one that has come meanwhile is copied first.
 *
 * Locks: ACCESS SHARE on the sources.
 */
bool
pm_rewrite_apply(PmRewriteRun *run, PmRewrite *rewrite)
{
	int64		lag;
	int64		lag_before = run->lag;
	ListCell   *lc;

	foreach(lc, rewrite->sources)
		LockRelationOid(((PmSource *) lfirst(lc))->oid, AccessShareLock);
	if (!pm_rewrite_verify(rewrite, NULL))
	{
		pm_rewrite_restart(rewrite);
		return false;
	}
	if (pm_rewrite_add_missing(rewrite))
		return false;
	lag = run->lag = pm_rewrite_lag(rewrite);
	if (lag == 0)
		return true;
	apply_notes(run, rewrite);
	pm_rewrite_expand(rewrite);
	return lag < FEW_NOTES || (lag < SOME_NOTES && lag_before > 0 && lag >= lag_before);
}
