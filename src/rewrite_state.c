/*-------------------------------------------------------------------------
 *
 * rewrite_state.c
 *		part_rewrite and part_rewrite_source: what is rewritten, how far it is,
 *		and how it ended.
 *
 * A step writes its progress in the transaction that made it, so that both are
 * there or neither.  What a user asks for (pause, cancel) is the column state,
 * which a step only changes when it ends.
 *
 * Our tables are read and written as the extension's owner.  Nothing here
 * decides whether the caller may: that is done at the entry.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "config.h"
#include "miscadmin.h"
#include "rewrite.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

static const char *const kind_names[PM_REWRITE_KINDS] = {
	[REWRITE_CONVERT] = "convert",
	[REWRITE_DRAIN] = "drain",
	[REWRITE_SPLIT] = "split",
	[REWRITE_MERGE] = "merge",
	[REWRITE_INTERVAL] = "interval",
	[REWRITE_COMPRESS] = "compress",
	[REWRITE_UNDO] = "undo",
	[REWRITE_INSTANT] = "instant"
};

static const char *const phase_names[PM_PHASES] = {
	[PHASE_PREPARE] = "prepare",
	[PHASE_WATCH] = "watch",
	[PHASE_COPY] = "copy",
	[PHASE_BUILD] = "build",
	[PHASE_APPLY] = "apply",
	[PHASE_CLEAN] = "clean"
};

/* pm_rewrite_kind_name returns what part_rewrite calls a kind. */
const char *
pm_rewrite_kind_name(PmRewriteKind kind)
{
	return kind_names[kind];
}

/* pm_rewrite_phase_name returns what part_rewrite calls a phase. */
const char *
pm_rewrite_phase_name(PmPhase phase)
{
	return phase_names[phase];
}

static int
find_name(const char *const *names, int n, const char *name)
{
	for (int i = 0; i < n; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	elog(ERROR, "unknown name \"%s\" in part_rewrite", name);
	return 0;
}

/* a text[] of strings, NULLs included */
static Datum
text_array(int n, const char *const *strings)
{
	Datum	   *values = palloc(sizeof(Datum) * Max(n, 1));
	bool	   *nulls = palloc(sizeof(bool) * Max(n, 1));
	int			dims[] = {n};
	int			lbs[] = {1};

	for (int i = 0; i < n; i++)
	{
		nulls[i] = strings[i] == NULL;
		values[i] = nulls[i] ? (Datum) 0 : CStringGetTextDatum(strings[i]);
	}
	return PointerGetDatum(construct_md_array(values, nulls, n == 0 ? 0 : 1, dims, lbs,
											  TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * pm_rewrite_add writes a rewrite down and returns its number.  Options that are
 * NULL were not given.  Those that ended partmgr.log_days ago are deleted.
 */
int64
pm_rewrite_add(PmRewriteKind kind, Oid table, bool is_queued,
			   int n, const char *const *names, const char *const *values)
{
	PmExtension ext;
	PmSpi		spi;
	Oid			types[] = {OIDOID, TEXTOID, BOOLOID, TEXTARRAYOID, TEXTARRAYOID, TEXTOID};
	Datum		args[] = {
		ObjectIdGetDatum(table),
		CStringGetTextDatum(kind_names[kind]),
		BoolGetDatum(is_queued),
		text_array(n, names),
		text_array(n, values),
		CStringGetTextDatum(GetUserNameFromId(GetUserId(), false))
	};
	Oid			days_types[] = {INT4OID};
	Datum		days[] = {Int32GetDatum(pm_log_days)};
	bool		isnull;
	int64		id;

	pm_config_begin(&spi, &ext);
	pm_spi_write(pm_config_sql(&ext, "DELETE FROM %r WHERE id IN (SELECT id FROM %r"
							   " WHERE finished_at < clock_timestamp() - make_interval(days => $1) FOR UPDATE SKIP LOCKED)"),
				 1, days_types, days, NULL);
	pm_spi_write(pm_config_sql(&ext,
							   "INSERT INTO %r (parent_table, kind, is_queued, options, asked_by, asked_at)"
							   " VALUES ($1, $2, $3, jsonb_strip_nulls(jsonb_object($4, $5)), $6, clock_timestamp()) RETURNING id"),
				 lengthof(types), types, args, NULL);
	id = DatumGetInt64(pm_spi_value(0, 1, &isnull));
	pm_spi_end(&spi);
	return id;
}

static void
read_options(PmRewrite *rewrite, const PmExtension *ext, MemoryContext caller)
{
	Oid			types[] = {INT8OID};
	Datum		values[] = {Int64GetDatum(rewrite->id)};
	uint64		rows = pm_spi_select_kept(pm_config_sql(ext, "SELECT o.key, o.value FROM %r r, jsonb_each_text(r.options) o WHERE r.id = $1"),
										  1, types, values, NULL);
	MemoryContext old = MemoryContextSwitchTo(caller);

	for (uint64 i = 0; i < rows; i++)
	{
		rewrite->names = lappend(rewrite->names, pm_spi_string(i, 1));
		rewrite->values = lappend(rewrite->values, pm_spi_string(i, 2));
	}
	MemoryContextSwitchTo(old);
}

static int64
int64_at(uint64 row, int column)
{
	bool		isnull;
	Datum		value = pm_spi_value(row, column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

static void
read_sources(PmRewrite *rewrite, const PmExtension *ext, MemoryContext caller)
{
	Oid			types[] = {INT8OID};
	Datum		values[] = {Int64GetDatum(rewrite->id)};
	uint64		rows = pm_spi_select_kept(pm_config_sql(ext, "SELECT relation, file, blocks, next_block, shape ? 'a trigger of partmgr' FROM %p"
														" WHERE rewrite = $1 ORDER BY place"),
										  1, types, values, NULL);
	MemoryContext old = MemoryContextSwitchTo(caller);

	for (uint64 i = 0; i < rows; i++)
	{
		PmSource   *source = palloc0(sizeof(PmSource));
		bool		isnull;

		source->oid = pm_spi_oid(i, 1);
		source->file = pm_spi_oid(i, 2);
		source->blocks = int64_at(i, 3);
		source->next_block = int64_at(i, 4);
		source->is_watched = DatumGetBool(pm_spi_value(i, 5, &isnull)) && !isnull;
		rewrite->sources = lappend(rewrite->sources, source);
	}
	MemoryContextSwitchTo(old);
}

/* pm_rewrite_read_table fills in owner and name of the table; no name: it is gone. */
void
pm_rewrite_read_table(PmRewrite *rewrite)
{
	rewrite->name = get_rel_name(rewrite->table);
	if (rewrite->name == NULL)
		return;
	rewrite->schema = get_namespace_name(get_rel_namespace(rewrite->table));
	rewrite->owner = pm_config_select_oid("SELECT relowner FROM pg_class WHERE oid = $1", 1,
										  (Oid[]) {OIDOID}, (Datum[]) {ObjectIdGetDatum(rewrite->table)});
}

/* pm_rewrite_read reads a rewrite as it is now; false if there is none of that number. */
bool
pm_rewrite_read(int64 id, PmRewrite *rewrite)
{
	PmExtension ext;
	PmSpi		spi;
	Oid			types[] = {INT8OID};
	Datum		values[] = {Int64GetDatum(id)};
	MemoryContext caller = CurrentMemoryContext;
	bool		isnull;
	bool		found;

	memset(rewrite, 0, sizeof(PmRewrite));
	rewrite->id = id;
	pm_config_begin(&spi, &ext);
	found = pm_spi_select_kept(pm_config_sql(&ext, "SELECT parent_table::oid, kind, phase, state, is_queued, frame, notes, rest,"
											 " rows_done, units, asked_at, sqlstate, message, worker_pid FROM %r WHERE id = $1"),
							   1, types, values, NULL) > 0;
	if (found)
	{
		rewrite->table = pm_spi_oid(0, 1);
		rewrite->kind = find_name(kind_names, PM_REWRITE_KINDS, pm_spi_string(0, 2));
		rewrite->phase = find_name(phase_names, PM_PHASES, pm_spi_string(0, 3));
		rewrite->state = pm_spi_string(0, 4);
		rewrite->is_queued = pm_spi_bool(0, 5);
		rewrite->frame = pm_spi_oid(0, 6);
		rewrite->notes = pm_spi_oid(0, 7);
		rewrite->rest = pm_spi_oid(0, 8);
		rewrite->rows_done = int64_at(0, 9);
		rewrite->units = DatumGetInt32(pm_spi_value(0, 10, &isnull));
		rewrite->now = DatumGetTimestampTz(pm_spi_value(0, 11, &isnull));
		rewrite->sqlstate = pm_spi_string(0, 12);
		rewrite->message = pm_spi_string(0, 13);
		rewrite->worker_pid = DatumGetInt32(pm_spi_value(0, 14, &isnull));
		read_options(rewrite, &ext, caller);
		read_sources(rewrite, &ext, caller);
	}
	pm_spi_end(&spi);
	if (found)
		pm_rewrite_read_table(rewrite);
	return found;
}

/* pm_rewrite_option returns an option as text; NULL if it was not given. */
const char *
pm_rewrite_option(const PmRewrite *rewrite, const char *name)
{
	ListCell   *lc;
	ListCell   *lc2;

	forboth(lc, rewrite->names, lc2, rewrite->values)
		if (strcmp(lfirst(lc), name) == 0)
			return lfirst(lc2);
	return NULL;
}

/* pm_rewrite_queue returns the rewrites that are the worker's, as pointers to int64. */
List *
pm_rewrite_queue(void)
{
	PmExtension ext;
	PmSpi		spi;
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext old;
	List	   *result = NIL;
	uint64		rows;

	pm_config_begin(&spi, &ext);
	rows = pm_spi_select_kept(pm_config_sql(&ext, "SELECT id FROM %r WHERE is_queued"
											" AND state IN ('queued', 'running', 'cancelling') ORDER BY id"),
							  0, NULL, NULL, NULL);
	old = MemoryContextSwitchTo(caller);
	for (uint64 i = 0; i < rows; i++)
	{
		int64	   *id = palloc(sizeof(int64));

		*id = int64_at(i, 1);
		result = lappend(result, id);
	}
	MemoryContextSwitchTo(old);
	pm_spi_end(&spi);
	return result;
}

/* pm_rewrite_is_due tells whether the worker has a rewrite to do. */
bool
pm_rewrite_is_due(void)
{
	return pm_rewrite_queue() != NIL;
}

/* pm_rewrite_table returns the table that a rewrite is about; InvalidOid if there is none. */
Oid
pm_rewrite_table(int64 id)
{
	return pm_config_select_oid("SELECT parent_table::oid FROM %r WHERE id = $1", 1,
								(Oid[]) {INT8OID}, (Datum[]) {Int64GetDatum(id)});
}

/* the first number that a query returns; 0: none */
static int64
select_id(const char *sql, int nargs, Oid *types, Datum *values)
{
	PmExtension ext;
	PmSpi		spi;
	int64		id = 0;

	pm_config_begin(&spi, &ext);
	if (pm_spi_select_kept(pm_config_sql(&ext, sql), nargs, types, values, NULL) > 0)
		id = int64_at(0, 1);
	pm_spi_end(&spi);
	return id;
}

/* pm_rewrite_open returns the rewrite of a table that has not ended; 0 if there is none. */
int64
pm_rewrite_open(Oid table)
{
	return select_id("SELECT id FROM %r WHERE parent_table = $1::regclass AND finished_at IS NULL ORDER BY id",
					 1, (Oid[]) {OIDOID}, (Datum[]) {ObjectIdGetDatum(table)});
}

/* pm_rewrite_of_target returns the rewrite that a table is a target of; 0: it is none. */
int64
pm_rewrite_of_target(Oid relation)
{
	if (!OidIsValid(relation) || !get_rel_relispartition(relation))
		return 0;
	return select_id("SELECT r.id FROM %r r JOIN pg_inherits i ON i.inhparent = r.frame"
					 " WHERE i.inhrelid = $1 AND r.finished_at IS NULL",
					 1, (Oid[]) {OIDOID}, (Datum[]) {ObjectIdGetDatum(relation)});
}

/*
 * pm_rewrite_failed returns the last rewrite of a kind that has failed, or was
 * cancelled, in the last hour; 0 if there is none.
 */
int64
pm_rewrite_failed(Oid table, PmRewriteKind kind)
{
	return select_id("SELECT id FROM %r WHERE parent_table = $1::regclass AND kind = $2"
					 " AND state IN ('failed', 'cancelled')"
					 " AND finished_at > clock_timestamp() - interval '1 hour' ORDER BY id DESC LIMIT 1",
					 2, (Oid[]) {OIDOID, TEXTOID},
					 (Datum[]) {ObjectIdGetDatum(table), CStringGetTextDatum(kind_names[kind])});
}

/* pm_rewrite_begin notes that a process is at work. */
void
pm_rewrite_begin(int64 id)
{
	(void) pm_config_write("UPDATE %r SET worker_pid = pg_backend_pid(), message = NULL,"
						   " started_at = coalesce(started_at, clock_timestamp()),"
						   " phase_at = coalesce(phase_at, clock_timestamp()),"
						   " state = CASE state WHEN 'queued' THEN 'running' ELSE state END WHERE id = $1",
						   1, (Oid[]) {INT8OID}, (Datum[]) {Int64GetDatum(id)}, NULL);
}

/* pm_rewrite_resume has a rewrite that has not ended go on, by the worker or not. */
bool
pm_rewrite_resume(int64 id, bool by_worker)
{
	return pm_config_write("UPDATE %r SET state = 'running', is_queued = $2, message = NULL"
						   " WHERE id = $1 AND state IN ('queued', 'running', 'paused')",
						   2, (Oid[]) {INT8OID, BOOLOID},
						   (Datum[]) {Int64GetDatum(id), BoolGetDatum(by_worker)}, NULL) > 0;
}

/* pm_rewrite_save writes the phase and the tables of ours. */
void
pm_rewrite_save(const PmRewrite *rewrite)
{
	Oid			types[] = {INT8OID, TEXTOID, OIDOID, OIDOID, OIDOID, INT4OID};
	Datum		values[] = {
		Int64GetDatum(rewrite->id),
		CStringGetTextDatum(phase_names[rewrite->phase]),
		ObjectIdGetDatum(rewrite->frame),
		ObjectIdGetDatum(rewrite->notes),
		ObjectIdGetDatum(rewrite->rest),
		Int32GetDatum(rewrite->units)
	};

	(void) pm_config_write("UPDATE %r SET phase = $2, frame = $3, notes = $4, rest = $5, units = $6, message = NULL,"
						   " phase_at = CASE phase WHEN $2 THEN phase_at ELSE clock_timestamp() END WHERE id = $1",
						   lengthof(types), types, values, NULL);
}

/* pm_rewrite_set_phase goes on to a phase. */
void
pm_rewrite_set_phase(PmRewrite *rewrite, PmPhase phase)
{
	rewrite->phase = phase;
	pm_rewrite_save(rewrite);
}

/* pm_rewrite_save_source writes how far a source is, or adds it. */
void
pm_rewrite_save_source(const PmRewrite *rewrite, const PmSource *source)
{
	Oid			types[] = {INT8OID, OIDOID, OIDOID, INT8OID, INT8OID};
	Datum		values[] = {
		Int64GetDatum(rewrite->id),
		ObjectIdGetDatum(source->oid),
		ObjectIdGetDatum(source->file),
		Int64GetDatum(source->blocks),
		Int64GetDatum(source->next_block)
	};

	(void) pm_config_write("INSERT INTO %p (rewrite, relation, place, file, blocks, next_block)"
						   " VALUES ($1, $2, (SELECT count(*) FROM %p WHERE rewrite = $1), $3, $4, $5)"
						   " ON CONFLICT (rewrite, relation) DO UPDATE SET file = excluded.file, blocks = excluded.blocks,"
						   "  next_block = excluded.next_block",
						   lengthof(types), types, values, NULL);
}

/* pm_rewrite_note_restart takes back what was done, for it is done again. */
void
pm_rewrite_note_restart(const PmRewrite *rewrite)
{
	(void) pm_config_write("UPDATE %r SET rows_done = 0, bytes_done = 0 WHERE id = $1", 1,
						   (Oid[]) {INT8OID}, (Datum[]) {Int64GetDatum(rewrite->id)}, NULL);
}

/* pm_rewrite_note_table says under which number the table goes from now on. */
void
pm_rewrite_note_table(PmRewrite *rewrite, Oid table)
{
	Oid			types[] = {INT8OID, OIDOID};
	Datum		values[] = {Int64GetDatum(rewrite->id), ObjectIdGetDatum(table)};

	(void) pm_config_write("UPDATE %r SET parent_table = $2 WHERE id = $1", 2, types, values, NULL);
	rewrite->table = table;
}

/* pm_rewrite_set_option adds what was found out on the way to what was asked for. */
void
pm_rewrite_set_option(PmRewrite *rewrite, const char *name, const char *value)
{
	Oid			types[] = {INT8OID, TEXTOID, TEXTOID};
	Datum		values[] = {Int64GetDatum(rewrite->id), CStringGetTextDatum(name), CStringGetTextDatum(value)};

	(void) pm_config_write("UPDATE %r SET options = options || jsonb_build_object($2, $3) WHERE id = $1",
						   lengthof(types), types, values, NULL);
}

/* pm_rewrite_forget_sources forgets what has been rewritten, or will not be. */
void
pm_rewrite_forget_sources(const PmRewrite *rewrite)
{
	(void) pm_config_write("DELETE FROM %p WHERE rewrite = $1", 1, (Oid[]) {INT8OID},
						   (Datum[]) {Int64GetDatum(rewrite->id)}, NULL);
}

/* pm_rewrite_forget_unit begins anew with what is left to be rewritten. */
void
pm_rewrite_forget_unit(PmRewrite *rewrite)
{
	pm_rewrite_forget_sources(rewrite);
	rewrite->frame = rewrite->notes = rewrite->rest = InvalidOid;
	rewrite->sources = NIL;
	pm_rewrite_set_phase(rewrite, PHASE_PREPARE);
}

/* pm_rewrite_note writes what a rewrite waits for; NULL: for nothing. */
void
pm_rewrite_note(int64 id, const char *message)
{
	Oid			types[] = {INT8OID, TEXTOID};
	Datum		values[] = {Int64GetDatum(id), message ? CStringGetTextDatum(message) : (Datum) 0};

	(void) pm_config_write("UPDATE %r SET message = $2 WHERE id = $1 AND state = 'running' AND message IS DISTINCT FROM $2",
						   2, types, values, message ? NULL : " n");
}

/* pm_rewrite_note_total adds to what is to be done. */
void
pm_rewrite_note_total(const PmRewrite *rewrite, int64 rows, int64 bytes)
{
	Oid			types[] = {INT8OID, INT8OID, INT8OID};
	Datum		values[] = {Int64GetDatum(rewrite->id), Int64GetDatum(rows), Int64GetDatum(bytes)};

	(void) pm_config_write("UPDATE %r SET rows_total = rows_total + $2, bytes_total = bytes_total + $3 WHERE id = $1",
						   3, types, values, NULL);
}

/* pm_rewrite_note_rows adds to what is done. */
void
pm_rewrite_note_rows(const PmRewrite *rewrite, int64 rows, int64 bytes)
{
	Oid			types[] = {INT8OID, INT8OID, INT8OID};
	Datum		values[] = {Int64GetDatum(rewrite->id), Int64GetDatum(rows), Int64GetDatum(bytes)};

	(void) pm_config_write("UPDATE %r SET rows_done = rows_done + $2, bytes_done = bytes_done + $3 WHERE id = $1",
						   3, types, values, NULL);
}

/*
 * pm_rewrite_set_state changes the state of a rewrite that is in one of the
 * states given, an array literal; false if it is in none of them.  A SQLSTATE
 * and message that are there stay.
 */
bool
pm_rewrite_set_state(int64 id, const char *states, const char *state,
					 int sqlerrcode, const char *message)
{
	Oid			types[] = {INT8OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	Datum		values[] = {
		Int64GetDatum(id),
		CStringGetTextDatum(states),
		CStringGetTextDatum(state),
		CStringGetTextDatum(unpack_sql_state(sqlerrcode)),
		message ? CStringGetTextDatum(message) : (Datum) 0
	};
	char		nulls[] = {' ', ' ', ' ', sqlerrcode ? ' ' : 'n', message ? ' ' : 'n', '\0'};

	return pm_config_write("UPDATE %r SET state = $3, sqlstate = coalesce($4, sqlstate),"
						   " message = coalesce($5, message),"
						   " finished_at = CASE WHEN $3 IN ('done', 'failed', 'cancelled') THEN clock_timestamp() END,"
						   " worker_pid = CASE WHEN $3 IN ('done', 'failed', 'cancelled', 'paused') THEN NULL ELSE worker_pid END"
						   " WHERE id = $1 AND state = ANY ($2::text[])",
						   lengthof(types), types, values, nulls) > 0;
}
