/*-------------------------------------------------------------------------
 *
 * state.c
 *		Our bookkeeping: part_state, how each set is doing, and part_log, what
 *		was done.
 *
 * With config.c the only file that names our tables.  A row of part_state that
 * somebody else is writing at this moment (a maintenance in a transaction that
 * is still open) is skipped, never waited for: it will say the same soon, and
 * bookkeeping must not hold up work.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "internal.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "config.h"

/* after so many failures the pause between tries grows no more */
#define MAX_BACKOFF_FAILURES 20

/*
 * The lock ladder: after a lock that was not to be had in lock_timeout, the
 * first pause, and how many tries there are in one run.  Doubling, they take
 * some 13 seconds.
 */
#define LADDER_FIRST_MS 50
#define LADDER_TRIES 8

/* the sets that the worker maintains; what retention has detached is no set to grow */
#define MAINTAINED \
	"c.automatic_maintenance = 'on' AND NOT c.undo_in_progress AND c.async_partitioning_in_progress IS NULL" \
	" AND NOT EXISTS (SELECT FROM %d d WHERE d.partition = c.parent_table)"

static Datum
milliseconds(int64 n)
{
	Interval   *interval = palloc0(sizeof(Interval));

	interval->time = n * 1000;
	return IntervalPGetDatum(interval);
}

/*
 * pm_config_arm lets the worker maintain these sets from now on; returns how
 * many were not armed before.  Idempotent.
 */
int
pm_config_arm(List *parents, TimestampTz now)
{
	Oid			types[] = {OIDARRAYOID, TIMESTAMPTZOID};
	Datum		values[] = {pm_config_oids(parents), TimestampTzGetDatum(now)};

	return (int) pm_config_write("INSERT INTO %s (parent_table, next_run)"
								 " SELECT c.parent_table, $2 FROM %c c WHERE c.parent_table = ANY ($1)"
								 " ON CONFLICT DO NOTHING",
								 2, types, values, NULL);
}

/*
 * pm_config_set_backfill remembers, or forgets, that older partitions are
 * still to be made from a bound on.
 */
void
pm_config_set_backfill(const PartSet *set, bool has_backfill, int64 backfill)
{
	Oid			types[] = {OIDOID, TEXTOID};
	Datum		values[] = {ObjectIdGetDatum(set->parent), (Datum) 0};

	if (has_backfill)
		values[1] = CStringGetTextDatum(pm_position_text(&set->key, backfill));
	(void) pm_config_write("UPDATE %s SET backfill = $2 WHERE parent_table = $1::regclass",
						   2, types, values, has_backfill ? "  " : " n");
}

/*
 * pm_config_due returns the sets that the worker of a lane is to maintain now,
 * and in next_due when the next one will be due after them (DT_NOEND: none).  A
 * partmgr.interval that was shortened counts at once.
 */
List *
pm_config_due(PmLane lane, TimestampTz at, TimestampTz *next_due)
{
	PmExtension ext;
	PmSpi		spi;
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext old;
	uint64		rows;
	List	   *result = NIL;
	const char *sql;
	bool		isnull;
	Oid			types[] = {INTERVALOID};
	Datum		values[] = {milliseconds(pm_interval * INT64CONST(1000))};

	/* what fails can end the worker: it must not come before the others */
	*next_due = DT_NOEND;
	if (!pm_extension_find(&ext))
		return NIL;
	pm_spi_begin(&spi, ext.owner);
	if (lane == LANE_CREATE)
		sql = "SELECT c.parent_table::oid,"
			" CASE WHEN s.failures = 0 THEN least(s.next_run, s.last_run + $1) ELSE s.next_run END"
			" FROM %c c JOIN %s s USING (parent_table)"
			" WHERE " MAINTAINED
			" ORDER BY s.failures > 0, c.maintenance_order NULLS LAST, s.next_run, c.parent_table::oid";
	else
		sql = "SELECT c.parent_table::oid, s.next_upkeep"
			" FROM %c c JOIN %s s USING (parent_table)"
			" WHERE " MAINTAINED " AND s.next_upkeep IS NOT NULL"
			" ORDER BY s.upkeep_failures > 0, c.maintenance_order NULLS LAST, s.next_upkeep, c.parent_table::oid";
	rows = pm_spi_select(pm_config_sql(&ext, sql), lane == LANE_CREATE ? 1 : 0,
						 types, values, NULL);
	old = MemoryContextSwitchTo(caller);
	for (uint64 i = 0; i < rows; i++)
	{
		TimestampTz next = DatumGetTimestampTz(pm_spi_value(i, 2, &isnull));

		if (next <= at)
			result = lappend_oid(result, pm_spi_oid(i, 1));
		else
			*next_due = Min(*next_due, next);
	}
	MemoryContextSwitchTo(old);
	pm_spi_end(&spi);
	return result;
}

/*
 * note updates rows of part_state of the given parents, those that somebody
 * else is writing left out; false if one was.
 */
static bool
note(List *parents, const char *assignments, TimestampTz now, int nargs,
	 const Datum *args, const Oid *argtypes)
{
	PmExtension ext;
	PmSpi		spi;
	uint64		rows;
	Oid			types[6] = {OIDARRAYOID, TIMESTAMPTZOID, INTERVALOID};
	Datum		values[6];

	Assert(nargs <= 3);
	if (!pm_extension_find(&ext))
		return true;
	pm_spi_begin(&spi, ext.owner);
	values[0] = pm_config_oids(parents);
	values[1] = TimestampTzGetDatum(now);
	values[2] = milliseconds(pm_interval * INT64CONST(1000));
	for (int i = 0; i < nargs; i++)
	{
		types[3 + i] = argtypes[i];
		values[3 + i] = args[i];
	}
	rows = pm_spi_write_for(list_length(parents), pm_config_sql(&ext,
									  psprintf("UPDATE %%s SET %s WHERE parent_table = ANY"
											   " (SELECT parent_table FROM %%s WHERE parent_table = ANY ($1)"
											   " FOR UPDATE SKIP LOCKED)", assignments)),
						3 + nargs, types, values, NULL);
	pm_spi_end(&spi);
	return rows >= list_length(parents);
}

/* what a run that succeeded sets, in either lane */
#define CREATED \
	"last_run = $2, last_success = $2, failures = 0," \
	" last_sqlstate = NULL, last_error = NULL, last_error_at = NULL," \
	" busy = 0, busy_since = NULL, blockers = NULL," \
	" next_run = CASE WHEN next_run + $3 > $2 AND next_run <= $2" \
	" THEN next_run + $3 ELSE $2 + $3 END"
#define KEPT_UP \
	"upkeep_failures = 0, upkeep_sqlstate = NULL, upkeep_error = NULL," \
	" upkeep_error_at = NULL, upkeep_busy = 0, upkeep_busy_since = NULL," \
	" upkeep_blockers = NULL"

/*
 * pm_config_stamp writes into part_config that sets were maintained just now, or
 * that it failed; rows that somebody else is writing are left out.  The clock and
 * not the time of the run, and in the order of maintenance: scripts compare it
 * within a transaction.
 */
void
pm_config_stamp(List *parents, bool failed)
{
	PmExtension ext;
	PmSpi		spi;
	Oid			types[] = {OIDARRAYOID, TIMESTAMPTZOID};
	Datum		values[] = {pm_config_oids(parents), TimestampTzGetDatum(GetCurrentTimestamp())};

	if (parents == NIL || !pm_extension_find(&ext))
		return;
	pm_spi_begin(&spi, ext.owner);
	pm_spi_write_for(list_length(parents),
					 pm_config_sql(&ext, "UPDATE %c c SET maintenance_last_run = $2 + o.place * interval '1 microsecond'"
								   " FROM (SELECT l.parent_table, row_number()"
								   " OVER (ORDER BY l.maintenance_order NULLS LAST, r.relname, r.oid) AS place"
								   " FROM (SELECT parent_table, maintenance_order FROM %c WHERE parent_table = ANY ($1)"
								   " FOR NO KEY UPDATE SKIP LOCKED) l JOIN pg_class r ON r.oid = l.parent_table) o"
								   " WHERE c.parent_table = o.parent_table"),
					 2, types, values, failed ? " n" : "  ");
	pm_spi_end(&spi);
}

/*
 * pm_config_note_success records a run of everything that succeeded.  The next
 * one is an interval after this one was due, so that delays do not add up.
 */
bool
pm_config_note_success(List *parents, TimestampTz now)
{
	if (parents == NIL)
		return true;
	return note(parents, CREATED ", " KEPT_UP, now, 0, NULL, NULL);
}

/*
 * pm_config_note_created records a run of the create lane that succeeded.  If
 * it has seen work for the other lane, that is due, unless it backs off; if that
 * is a pending detach, it does not wait for the maintenance window to open.
 */
bool
pm_config_note_created(Oid parent, TimestampTz now, bool wants_upkeep,
					   bool has_pending)
{
	pm_config_stamp(list_make1_oid(parent), false);
	return note(list_make1_oid(parent),
				has_pending ? CREATED ", next_upkeep = CASE WHEN upkeep_failures + upkeep_busy = 0"
				" THEN least(next_upkeep, $2) ELSE coalesce(next_upkeep, $2) END" :
				wants_upkeep ? CREATED ", next_upkeep = coalesce(next_upkeep, $2)" : CREATED,
				now, 0, NULL, NULL);
}

/* pm_config_want_upkeep has the other lane look, unless it backs off. */
void
pm_config_want_upkeep(Oid parent, TimestampTz now)
{
	(void) note(list_make1_oid(parent), "next_upkeep = coalesce(next_upkeep, $2)", now, 0, NULL, NULL);
}

/*
 * pm_config_note_upkeep records a run of the upkeep lane that succeeded, with
 * when it is to come back; 0 for when the create lane sees work again.
 */
bool
pm_config_note_upkeep(Oid parent, TimestampTz now, TimestampTz next)
{
	Oid			types[] = {TIMESTAMPTZOID};
	Datum		values[] = {TimestampTzGetDatum(next)};

	if (next == 0)
		return note(list_make1_oid(parent), KEPT_UP ", next_upkeep = NULL", now, 0, NULL, NULL);
	return note(list_make1_oid(parent), KEPT_UP ", next_upkeep = $4", now, 1, values, types);
}

/*
 * pm_config_note_failure records a run that failed.  The pause grows with the
 * number of failures, and has some jitter so that sets that failed together do
 * not come back together.
 */
bool
pm_config_note_failure(PmLane lane, Oid parent, TimestampTz now, int sqlerrcode,
					   const char *message)
{
	Oid			types[] = {TEXTOID, TEXTOID, INT4OID};
	Datum		values[] = {
		CStringGetTextDatum(unpack_sql_state(sqlerrcode)),
		CStringGetTextDatum(message),
		Int32GetDatum(MAX_BACKOFF_FAILURES)
	};

	if (lane == LANE_CREATE)
		pm_config_stamp(list_make1_oid(parent), true);
	return note(list_make1_oid(parent), lane == LANE_CREATE ?
				"last_run = $2, failures = failures + 1,"
				" last_sqlstate = $4, last_error = $5, last_error_at = $2,"
				" next_run = $2 + $3 * (least(failures + 1, $6) * (0.9 + 0.2 * random()))" :
				"upkeep_failures = upkeep_failures + 1,"
				" upkeep_sqlstate = $4, upkeep_error = $5, upkeep_error_at = $2,"
				" next_upkeep = $2 + $3 * (least(upkeep_failures + 1, $6) * (0.9 + 0.2 * random()))",
				now, 3, values, types);
}

/*
 * pm_config_note_busy records that a lock was not to be had, which is no
 * failure: the next rung of the ladder.  The pauses double, with some jitter;
 * after LADDER_TRIES it is over for this run, and the next one begins anew.
 * Returns whether this was the last of them.
 */
bool
pm_config_note_busy(PmLane lane, Oid parent, TimestampTz now, const char *blockers)
{
	PmState		state;
	Oid			types[] = {TEXTOID, INT4OID, INTERVALOID};
	Datum		values[] = {
		CStringGetTextDatum(blockers),
		Int32GetDatum(LADDER_TRIES),
		milliseconds(LADDER_FIRST_MS)
	};
	static const char pause[] =
		" = clock_timestamp() + CASE WHEN mod(%sbusy + 1, $5) = 0 THEN $3"
		" ELSE least($3, $6 * (power(2, mod(%sbusy, $5)) * (0.75 + 0.5 * random()))) END";
	const char *prefix = lane == LANE_CREATE ? "" : "upkeep_";
	char	   *wait = psprintf(pause, prefix, prefix);

	(void) note(list_make1_oid(parent),
				psprintf("%sbusy = %sbusy + 1, %sbusy_since = coalesce(%sbusy_since, $2),"
						 " %sblockers = $4, %s%s",
						 prefix, prefix, prefix, prefix, prefix,
						 lane == LANE_CREATE ? "next_run" : "next_upkeep", wait),
				now, 3, values, types);
	pm_config_state(parent, &state);
	return (lane == LANE_CREATE ? state.busy : state.upkeep_busy) % LADDER_TRIES == 0;
}

/* pm_config_retry_now makes a set due in a lane: what was in the way is gone. */
void
pm_config_retry_now(PmLane lane, Oid parent, TimestampTz now)
{
	(void) note(list_make1_oid(parent),
				lane == LANE_CREATE ? "next_run = $2" : "next_upkeep = $2",
				now, 0, NULL, NULL);
}

/* pm_config_make_due makes a set due now, for a configuration that changed. */
void
pm_config_make_due(Oid parent, TimestampTz now)
{
	(void) note(list_make1_oid(parent),
				"next_run = least(next_run, $2), failures = 0,"
				" next_upkeep = least(next_upkeep, $2), upkeep_failures = 0",
				now, 0, NULL, NULL);
}

/* pm_config_state reads the bookkeeping of a set. */
void
pm_config_state(Oid parent, PmState *state)
{
	PmExtension ext;
	PmSpi		spi;
	bool		isnull;
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(parent)};

	memset(state, 0, sizeof(PmState));
	pm_config_begin(&spi, &ext);
	if (pm_spi_select_kept(pm_config_sql(&ext,
									"SELECT next_run, last_run, last_error_at, failures, last_sqlstate, last_error,"
									" upkeep_failures, upkeep_sqlstate, upkeep_error,"
									" least(busy_since, upkeep_busy_since), coalesce(blockers, upkeep_blockers),"
									" busy, upkeep_busy"
									" FROM %s WHERE parent_table = $1::regclass"),
					  1, types, values, NULL) == 1)
	{
		Datum		value;

		state->has_row = true;
		state->next_run = DatumGetTimestampTz(pm_spi_value(0, 1, &isnull));
		value = pm_spi_value(0, 2, &isnull);
		state->last_run = isnull ? 0 : DatumGetTimestampTz(value);
		value = pm_spi_value(0, 3, &isnull);
		state->last_error_at = isnull ? 0 : DatumGetTimestampTz(value);
		state->failures = DatumGetInt32(pm_spi_value(0, 4, &isnull));
		state->sqlstate = pm_spi_string(0, 5);
		state->error = pm_spi_string(0, 6);
		state->upkeep_failures = DatumGetInt32(pm_spi_value(0, 7, &isnull));
		state->upkeep_sqlstate = pm_spi_string(0, 8);
		state->upkeep_error = pm_spi_string(0, 9);
		value = pm_spi_value(0, 10, &isnull);
		state->busy_since = isnull ? 0 : DatumGetTimestampTz(value);
		state->blockers = pm_spi_string(0, 11);
		state->busy = DatumGetInt32(pm_spi_value(0, 12, &isnull));
		state->upkeep_busy = DatumGetInt32(pm_spi_value(0, 13, &isnull));
	}
	pm_spi_end(&spi);
}

/* a text[] with nulls */
static Datum
text_array(Datum *values, bool *nulls, int n)
{
	int			dims[] = {n};
	int			lbs[] = {1};

	return PointerGetDatum(construct_md_array(values, nulls, 1, dims, lbs, TEXTOID,
											  -1, false, TYPALIGN_INT));
}

/* pm_log_write adds lines, a list of PmLogEntry, to part_log. */
void
pm_log_write(List *entries)
{
	PmExtension ext;
	PmSpi		spi;
	int			n = list_length(entries);
	Oid			types[] = {OIDARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
	TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID};
	Datum		values[10];
	List	   *parents = NIL;
	Datum	   *column = palloc(sizeof(Datum) * Max(n, 1));
	bool	   *nulls = palloc(sizeof(bool) * Max(n, 1));
	ListCell   *lc;

	if (n == 0 || !pm_extension_find(&ext))
		return;
	foreach(lc, entries)
		parents = lappend_oid(parents, ((PmLogEntry *) lfirst(lc))->parent);
	values[0] = pm_config_oids(parents);
	for (int i = 1; i < lengthof(values); i++)
	{
		foreach(lc, entries)
		{
			PmLogEntry *entry = lfirst(lc);
			int			row = foreach_current_index(lc);
			const char *fields[] = {entry->action, entry->partition, entry->range,
				entry->rows < 0 ? NULL : psprintf(INT64_FORMAT, entry->rows),
				entry->bytes < 0 ? NULL : psprintf(INT64_FORMAT, entry->bytes),
				entry->sqlstate, entry->message, entry->lock,
			entry->lock ? psprintf(INT64_FORMAT " us", entry->lock_us) : NULL};

			nulls[row] = fields[i - 1] == NULL;
			column[row] = nulls[row] ? (Datum) 0 : CStringGetTextDatum(fields[i - 1]);
		}
		values[i] = text_array(column, nulls, n);
	}
	pm_spi_begin(&spi, ext.owner);
	pm_spi_write_kept(pm_config_sql(&ext,
							   "INSERT INTO %l (logged_at, parent_table, action, partition_name, range,"
							   " row_estimate, bytes, sqlstate, message, lock, lock_held)"
							   " SELECT clock_timestamp(), p::regclass, a, n, r, e::bigint, b::bigint, s, m, l, h::interval"
							   " FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) AS x(p, a, n, r, e, b, s, m, l, h)"),
				 10, types, values, NULL);
	pm_spi_end(&spi);
}

/*
 * pm_log_repeats tells whether one of the set's last entries said the same: two
 * lanes may wait for the same session, each with a text of its own.
 */
bool
pm_log_repeats(const PmLogEntry *entry)
{
	PmExtension ext;
	PmSpi		spi;
	bool		result;
	Oid			types[] = {OIDOID, TEXTOID, TEXTOID};
	Datum		values[] = {ObjectIdGetDatum(entry->parent),
		CStringGetTextDatum(entry->action), CStringGetTextDatum(entry->message)
	};

	if (!pm_extension_find(&ext))
		return true;
	pm_spi_begin(&spi, ext.owner);
	result = pm_spi_select(pm_config_sql(&ext,
										 "SELECT FROM (SELECT action, message FROM %l WHERE parent_table = $1::regclass"
										 " ORDER BY id DESC LIMIT 5) last WHERE action = $2 AND message = $3"),
						   3, types, values, NULL) > 0;
	pm_spi_end(&spi);
	return result;
}

/* pm_log_count tells how many entries of a kind a set has since a moment. */
int
pm_log_count(Oid parent, const char *action, TimestampTz since)
{
	PmExtension ext;
	PmSpi		spi;
	int			result;
	Oid			types[] = {OIDOID, TEXTOID, TIMESTAMPTZOID};
	Datum		values[] = {ObjectIdGetDatum(parent), CStringGetTextDatum(action),
		TimestampTzGetDatum(since)
	};

	pm_config_begin(&spi, &ext);
	result = (int) pm_spi_select_kept(pm_config_sql(&ext, "SELECT FROM %l WHERE parent_table = $1::regclass"
													" AND logged_at >= $3 AND action = $2"),
									  3, types, values, NULL);
	pm_spi_end(&spi);
	return result;
}

/* pm_log_trim deletes what is older than partmgr.log_days. */
void
pm_log_trim(TimestampTz now)
{
	PmExtension ext;
	PmSpi		spi;
	Oid			types[] = {TIMESTAMPTZOID};
	Datum		values[] = {TimestampTzGetDatum(now - pm_log_days * USECS_PER_DAY)};

	if (!pm_extension_find(&ext))
		return;
	pm_spi_begin(&spi, ext.owner);
	pm_spi_write(pm_config_sql(&ext, "DELETE FROM %l WHERE logged_at < $1"),
				 1, types, values, NULL);
	pm_spi_end(&spi);
}
