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
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "ddl_rewrite.h"
#include "miscadmin.h"
#include "plan.h"
#include "portability/instr_time.h"
#include "rewrite.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "compat.h"

/* how long a batch should take, and within which limits blocks are tried */
#define BATCH_US 200000
#define BATCH_FIRST 512
#define BATCH_MIN 64
#define BATCH_MAX 16384

/* notes that one statement applies */
#define APPLY_LIMIT 10000

/* so few are left to be applied while writers wait */
#define FEW_NOTES 500

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

/* a condition that a row of s is the one with the key k */
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
apply_sql(const PmRewrite *rewrite)
{
	const PmRowKey *key = pm_rewrite_key(rewrite);
	const char *notes = pm_qualified_name(rewrite->notes);

	return psprintf("WITH n AS MATERIALIZED (DELETE FROM ONLY %s WHERE ctid = ANY (ARRAY(SELECT ctid FROM ONLY %s LIMIT %d)) RETURNING *),"
					" k AS MATERIALIZED (SELECT DISTINCT * FROM n WHERE k1 IS NOT NULL),"
					" d AS (DELETE FROM %s t USING k WHERE %s RETURNING 1)"
					" %s k JOIN (%s) s ON %s WHERE (SELECT count(*) FROM d) >= 0",
					notes, notes, APPLY_LIMIT, pm_qualified_name(rewrite->frame), key_test(key, "t", "k"),
					insert_into_frame(rewrite), sources_union(rewrite), key_test(key, "s", "k"));
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

static uint64
count_as_owner(const PmRewrite *rewrite, const char *sql)
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

static void
changed(const PmRewrite *rewrite, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("rewrite of table %s cannot go on: %s", pm_qualified_name(rewrite->table), what),
			 errhint("Begin it anew.")));
}

static bool
was_truncated(const PmRewrite *rewrite)
{
	return count_as_owner(rewrite, psprintf("SELECT FROM ONLY %s WHERE k1 IS NULL LIMIT 1",
											pm_qualified_name(rewrite->notes))) > 0;
}

/*
 * pm_rewrite_verify tells whether what was copied is still good: false if it has
 * to be copied again.  An error if the sources, or our tables, are not what they
 * were.  The caller has locked the sources.
 */
bool
pm_rewrite_verify(PmRewrite *rewrite)
{
	bool		is_good = true;
	ListCell   *lc;

	if (get_rel_name(rewrite->notes) == NULL || get_rel_name(rewrite->frame) == NULL)
		changed(rewrite, "a table of ours is gone");
	foreach(lc, rewrite->sources)
	{
		PmSource   *source = lfirst(lc);

		if (source->file == 0)
			continue;
		if (get_rel_name(source->oid) == NULL)
			changed(rewrite, "a source is gone");
		if (strcmp(pm_rewrite_shape(rewrite, source->oid), source->shape) != 0)
			changed(rewrite, psprintf("the columns of %s, or our triggers, have been changed",
									  pm_qualified_name(source->oid)));
		/* rewritten meanwhile: its rows are in other places now */
		if (source->next_block < source->blocks && file_of(source->oid) != source->file)
			is_good = false;
	}
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
 * pm_rewrite_watch puts our triggers on the sources, one in each transaction.
 *
 * Locks: SHARE ROW EXCLUSIVE on the source: CREATE TRIGGER waits for all who
 * have written to it and not committed, so that what is not noted is there.
 */
void
pm_rewrite_watch(PmRewriteRun *run, PmRewrite *rewrite)
{
	char	   *trigger = pm_rewrite_scratch(rewrite, "");
	char	   *truncate = pm_rewrite_scratch(rewrite, "_truncate");
	ListCell   *lc;

	foreach(lc, rewrite->sources)
	{
		Oid			source = ((PmSource *) lfirst(lc))->oid;

		if (get_rel_name(source) == NULL)
			changed(rewrite, "a source is gone");
		LockRelationOid(source, ShareRowExclusiveLock);
		if (pm_catalog_texts(psprintf("SELECT tgname FROM pg_trigger WHERE tgrelid = $1 AND tgname = %s",
									  quote_literal_cstr(trigger)), source) != NIL)
			continue;
		pm_rewrite_run_sql(rewrite, pm_ddl_rewrite_watch(pm_qualified_name(source), trigger, truncate,
														 rewrite->notes, pm_rewrite_key(rewrite)));
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
	source->shape = pm_rewrite_shape(rewrite, source->oid);
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
 * pm_rewrite_copy copies one batch, or begins with a source; when there is none
 * left, it makes what targets are missing, and the next phase comes.
 *
 * Locks: ACCESS SHARE on the sources.
 */
void
pm_rewrite_copy(PmRewriteRun *run, PmRewrite *rewrite)
{
	ListCell   *lc;

	if (run->in_one)
		copy_all(rewrite);
	else
	{
		foreach(lc, rewrite->sources)
			LockRelationOid(((PmSource *) lfirst(lc))->oid, AccessShareLock);
		if (!pm_rewrite_verify(rewrite))
		{
			pm_rewrite_restart(rewrite);
			return;
		}
		foreach(lc, rewrite->sources)
		{
			PmSource   *source = lfirst(lc);

			if (source->file == 0)
				begin_source(rewrite, source);
			else if (source->next_block < source->blocks)
				copy_batch(run, rewrite, source);
			else
				continue;
			return;
		}
	}
	pm_rewrite_fill(rewrite);
	pm_rewrite_set_phase(rewrite, PHASE_BUILD);
}


/* ---------- rows without a target ---------- */

static int
by_lower(const ListCell *a, const ListCell *b)
{
	const Partition *x = lfirst(a);
	const Partition *y = lfirst(b);

	if (x->bound.lower_open != y->bound.lower_open)
		return x->bound.lower_open ? -1 : 1;
	return x->bound.lower < y->bound.lower ? -1 : x->bound.lower > y->bound.lower;
}

/* what is taken already: by a target, or by a partition of the set */
static List *
taken_ranges(const PmRewrite *rewrite, const PmLook *frame)
{
	List	   *result = list_copy(frame->partitions);

	if (rewrite->kind == REWRITE_DRAIN)
	{
		result = list_concat(result, pm_catalog_look(pm_rewrite_set(rewrite))->partitions);
		list_sort(result, by_lower);
	}
	return result;
}

/*
 * place makes a target for a key in the rest; false, and where to look on, if
 * there can be none.  An id so far away that maintenance would not believe it
 * stays in the default.
 */
static bool
place(PmRewrite *rewrite, const PmLook *frame, int64 raw, int64 *next, bool *more)
{
	const PartSet *set = frame->set;
	PlanPoint	point = {.has_anchor = true, .max_far = pm_max_create};
	PartBound	bound;
	List	   *taken;
	Oid			target;
	int64		pos;

	*more = pm_key_position(&set->key, raw, false, &pos);
	if (!*more)
		return false;
	point.anchor = pos;
	taken = taken_ranges(rewrite, frame);
	if ((rewrite->kind == REWRITE_DRAIN && pm_plan_far_from(set, taken, &point)) ||
		!pm_plan_cell(set, taken, pos, &bound))
	{
		*more = pm_key_next(&set->key, &set->grid, pos, &pos) &&
			pm_key_raw_of(&set->key, pos, next) && *next > raw;
		return false;
	}
	if (list_length(frame->partitions) >= pm_max_create)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the rows of table %s need more than %d partitions",
						pm_qualified_name(rewrite->table), pm_max_create),
				 errhint("Correct wrong rows, take a longer interval, or raise partmgr.max_create.")));
	target = pm_rewrite_make_target(rewrite, frame, pm_rewrite_template(rewrite), &bound, 0);
	if (rewrite->phase >= PHASE_APPLY)
		pm_rewrite_build_target(rewrite, target);
	return true;
}

/* Rows that nothing but a default can take need one. */
static void
check_rest(const PmRewrite *rewrite)
{
	const char *wants = pm_rewrite_option(rewrite, "default_table");

	if (rewrite->kind == REWRITE_CONVERT && (wants == NULL || strcmp(wants, "true") != 0))
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("table %s holds rows that no partition can take", pm_qualified_name(rewrite->table)),
				 errdetail("Their key is infinite, or lies where the type of column \"%s\" ends.",
						   pm_rewrite_option(rewrite, "control")),
				 errhint("Correct such rows, or have a default partition made for them: p_default_table => true.")));
}

/*
 * pm_rewrite_expand makes targets for the rows that have come to the rest.  What
 * can have none stays there.
 */
void
pm_rewrite_expand(PmRewrite *rewrite)
{
	bool		more = true;
	bool		has_from = false;
	bool		moved = false;
	int64		from = 0;
	int64		raw;

	if (!OidIsValid(rewrite->rest) || pm_size_blocks(rewrite->rest) == 0)
		return;
	while (more)
	{
		PmLook	   *frame = pm_rewrite_frame(rewrite);

		if (frame->dflt == NULL)
			changed(rewrite, "a table of ours is gone");
		if (!pm_default_lowest_key(frame, has_from ? &from : NULL, &raw))
			break;
		CHECK_FOR_INTERRUPTS();
		if (place(rewrite, frame, raw, &from, &more))
			moved = true;
		else
			has_from = true;
	}
	if (count_as_owner(rewrite, psprintf("SELECT FROM ONLY %s LIMIT 1", pm_qualified_name(rewrite->rest))) > 0)
		check_rest(rewrite);
	else if (moved)
		pm_rewrite_run_sql(rewrite, list_make1(pm_ddl_rewrite_empty(pm_qualified_name(rewrite->rest))));
}


/* ---------- what was written meanwhile ---------- */

/* pm_rewrite_lag counts the notes that are left, as far as a batch goes. */
int64
pm_rewrite_lag(const PmRewrite *rewrite)
{
	return count_as_owner(rewrite, psprintf("SELECT FROM ONLY %s LIMIT %d",
											pm_qualified_name(rewrite->notes), APPLY_LIMIT));
}

/*
 * pm_rewrite_apply applies notes, as many as one statement takes; true if there
 * were so few that the swap can be tried.  If a source was truncated, copying
 * begins anew.
 *
 * Locks: ACCESS SHARE on the sources.
 */
bool
pm_rewrite_apply(PmRewriteRun *run, PmRewrite *rewrite)
{
	int64		lag;
	ListCell   *lc;

	foreach(lc, rewrite->sources)
		LockRelationOid(((PmSource *) lfirst(lc))->oid, AccessShareLock);
	if (!pm_rewrite_verify(rewrite))
	{
		pm_rewrite_restart(rewrite);
		return false;
	}
	lag = pm_rewrite_lag(rewrite);
	if (lag == 0)
		return true;
	(void) write_as_owner(rewrite, apply_sql(rewrite), 0, NULL, NULL);
	pm_rewrite_expand(rewrite);
	return lag < FEW_NOTES;
}
