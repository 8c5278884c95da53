/*-------------------------------------------------------------------------
 *
 * job.c
 *		part_job: what was asked for, how far it is, and how it ended.
 *
 * A queued job is the upkeep worker's, of which there is one in a database: one
 * that is running when that worker comes was interrupted, and goes on.
 *
 * Our tables are read and written as the extension's owner.  Nothing here
 * decides whether the caller may: that is done at the entry.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "config.h"
#include "job.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

/*
 * the process that works on a job, as long as it does: the number of one that is
 * gone may be anybody's by now
 */
#define WORKER_OF_JOB \
	"(SELECT a.pid FROM pg_stat_activity a WHERE a.pid = worker_pid" \
	" AND starts_with(a.backend_type, 'partmgr ')" \
	" AND (is_queued OR a.backend_start <= started_at))"

static const char *
kind_of(const PmJob *job)
{
	return job->is_index ? "create index" : "reindex";
}

/* One at a time: two of a kind would be in each other's way on every table. */
static void
check_none_open(const PmExtension *ext, const PmJob *job)
{
	Oid			types[] = {OIDOID, TEXTOID};
	Datum		values[] = {ObjectIdGetDatum(job->parent), CStringGetTextDatum(kind_of(job))};
	bool		isnull;

	if (pm_spi_select(pm_config_sql(ext,
									"SELECT id FROM %j WHERE parent_table = $1::regclass AND kind = $2"
									" AND state IN ('queued', 'running')"
									" AND (is_queued OR EXISTS " WORKER_OF_JOB ") ORDER BY id"),
					  2, types, values, NULL) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("job " INT64_FORMAT " does that to table %s already",
						DatumGetInt64(pm_spi_value(0, 1, &isnull)),
						pm_qualified_name(job->parent)),
				 errhint("See part_jobs; cancel_job() ends it.")));
}

/*
 * pm_job_add writes a job down and returns its number; an error if one of the
 * kind is open for the set.  Jobs that ended partmgr.log_days ago are deleted.
 */
int64
pm_job_add(const PmJob *job, const char *asked_by)
{
	PmExtension ext;
	PmSpi		spi;
	Oid			types[] = {OIDOID, TEXTOID, TEXTOID, TEXTOID, BOOLOID, TEXTOID};
	Datum		values[] = {
		ObjectIdGetDatum(job->parent),
		CStringGetTextDatum(kind_of(job)),
		job->is_index ? CStringGetTextDatum(job->definition) : (Datum) 0,
		job->is_index ? CStringGetTextDatum(job->search_path) : (Datum) 0,
		BoolGetDatum(job->is_queued),
		CStringGetTextDatum(asked_by)
	};
	Oid			days_types[] = {INT4OID};
	Datum		days[] = {Int32GetDatum(pm_log_days)};
	int64		id;
	bool		isnull;

	pm_config_begin(&spi, &ext);
	check_none_open(&ext, job);
	/* whoever deletes the same ones may take long to commit */
	pm_spi_write(pm_config_sql(&ext, "DELETE FROM %j WHERE id IN (SELECT id FROM %j"
							   " WHERE finished_at < clock_timestamp() - make_interval(days => $1) FOR UPDATE SKIP LOCKED)"),
				 1, days_types, days, NULL);
	pm_spi_write(pm_config_sql(&ext,
							   "INSERT INTO %j (parent_table, kind, definition, search_path, is_queued, asked_by, asked_at)"
							   " VALUES ($1, $2, $3, $4, $5, $6, clock_timestamp()) RETURNING id"),
				 lengthof(types), types, values, job->is_index ? "      " : "  nn  ");
	id = DatumGetInt64(pm_spi_value(0, 1, &isnull));
	pm_spi_end(&spi);
	return id;
}

static List *
read_oids(uint64 row, int column)
{
	bool		isnull;
	Datum		value = pm_spi_value(row, column, &isnull);
	Datum	   *oids;
	int			n;
	List	   *result = NIL;

	deconstruct_array(DatumGetArrayTypeP(value), OIDOID, sizeof(Oid), true,
					  TYPALIGN_INT, &oids, NULL, &n);
	for (int i = 0; i < n; i++)
		result = lappend_oid(result, DatumGetObjectId(oids[i]));
	return result;
}

/*
 * pm_job_claim takes a job for this worker: the one with the id that is set, or
 * else the next of the queue; false if there is none.  The job is filled in, in
 * its context.
 */
bool
pm_job_claim(PmJob *job)
{
	PmExtension ext;
	PmSpi		spi;
	Oid			types[] = {INT8OID};
	Datum		values[] = {Int64GetDatum(job->id)};
	MemoryContext old = MemoryContextSwitchTo(job->context);
	bool		found;
	bool		isnull;

	pm_config_begin(&spi, &ext);
	found = pm_spi_write(pm_config_sql(&ext,
									   "UPDATE %j SET interrupted = CASE WHEN state = 'running' THEN interrupted + 1 ELSE 0 END,"
									   " state = 'running', worker_pid = pg_backend_pid(),"
									   " started_at = coalesce(started_at, clock_timestamp()), sqlstate = NULL, message = NULL"
									   " WHERE id = (SELECT id FROM %j j"
									   "  WHERE CASE WHEN $1 > 0 THEN id = $1 AND state = 'queued'"
									   "   ELSE is_queued AND state IN ('queued', 'running') END"
									   "  AND EXISTS (SELECT FROM pg_class r WHERE r.oid = j.parent_table)"
									   "  ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)"
									   " RETURNING id, parent_table::oid, kind = 'create index', definition,"
									   " search_path, is_queued, index_oid, finished, interrupted"),
						 1, types, values, NULL) > 0;
	if (found)
	{
		job->id = DatumGetInt64(pm_spi_value(0, 1, &isnull));
		job->parent = pm_spi_oid(0, 2);
		job->is_index = pm_spi_bool(0, 3);
		job->definition = pm_spi_string(0, 4);
		job->search_path = pm_spi_string(0, 5);
		job->is_queued = pm_spi_bool(0, 6);
		job->index = pm_spi_oid(0, 7);
		MemoryContextSwitchTo(job->context);
		job->finished = read_oids(0, 8);
		job->interrupted = DatumGetInt32(pm_spi_value(0, 9, &isnull));
	}
	pm_spi_end(&spi);
	MemoryContextSwitchTo(old);
	return found;
}

/*
 * pm_job_progress writes how far a job is, and a table that was finished just
 * now; false if the job is gone.
 */
bool
pm_job_progress(PmJob *job, int total, int done, Oid finished)
{
	Oid			types[] = {INT8OID, INT4OID, INT4OID, OIDOID, OIDOID};
	Datum		values[] = {
		Int64GetDatum(job->id),
		Int32GetDatum(total),
		Int32GetDatum(done),
		ObjectIdGetDatum(finished),
		ObjectIdGetDatum(job->index)
	};

	return pm_config_write("UPDATE %j SET total = $2, done = $3, message = NULL,"
						   " finished = CASE WHEN $4 = 0 THEN finished ELSE finished || $4 END,"
						   " interrupted = CASE WHEN $4 = 0 THEN interrupted ELSE 0 END,"
						   " index_oid = nullif($5, 0::oid) WHERE id = $1",
						   lengthof(types), types, values, NULL) > 0;
}

static void
note(const PmJob *job, const char *sql, const char *state, int sqlerrcode,
	 const char *message)
{
	PmExtension ext;
	PmSpi		spi;
	Oid			types[] = {INT8OID, TEXTOID, TEXTOID, TEXTOID};
	Datum		values[] = {
		Int64GetDatum(job->id),
		CStringGetTextDatum(state),
		CStringGetTextDatum(unpack_sql_state(sqlerrcode)),
		message ? CStringGetTextDatum(message) : (Datum) 0
	};
	char		nulls[] = {' ', ' ', sqlerrcode ? ' ' : 'n', message ? ' ' : 'n', '\0'};

	if (!pm_extension_find(&ext))
		return;
	pm_spi_begin(&spi, ext.owner);
	pm_spi_write(pm_config_sql(&ext, sql), lengthof(types), types, values, nulls);
	pm_spi_end(&spi);
}

/* pm_job_waits notes for what a job waits. */
void
pm_job_waits(const PmJob *job, const char *message)
{
	note(job, "UPDATE %j SET state = $2, sqlstate = $3, message = $4 WHERE id = $1",
		 "running", 0, message);
}

/* pm_job_end notes that a job is over: done, failed or cancelled. */
void
pm_job_end(const PmJob *job, const char *state, int sqlerrcode, const char *message)
{
	note(job, "UPDATE %j SET state = $2, sqlstate = $3, message = $4,"
		 " finished_at = clock_timestamp(), worker_pid = NULL WHERE id = $1",
		 state, sqlerrcode, message);
}

/* pm_job_withdraw takes back a job that nobody has begun; false if somebody has. */
bool
pm_job_withdraw(int64 id)
{
	Oid			types[] = {INT8OID};
	Datum		values[] = {Int64GetDatum(id)};

	/* one that is running without a worker waits for the next one */
	return pm_config_write("UPDATE %j SET state = 'cancelled', finished_at = clock_timestamp()"
						   " WHERE id = $1 AND (state = 'queued' OR state = 'running'"
						   "  AND NOT EXISTS " WORKER_OF_JOB ")",
						   1, types, values, NULL) > 0;
}

/* pm_job_read reads a job as it is now. */
void
pm_job_read(int64 id, PmJobStatus *status)
{
	PmExtension ext;
	PmSpi		spi;
	MemoryContext caller = CurrentMemoryContext;
	Oid			types[] = {INT8OID};
	Datum		values[] = {Int64GetDatum(id)};
	bool		isnull;

	memset(status, 0, sizeof(PmJobStatus));
	pm_config_begin(&spi, &ext);
	if (pm_spi_select(pm_config_sql(&ext, "SELECT parent_table::oid, state, sqlstate, message,"
									" coalesce(" WORKER_OF_JOB ", 0), is_queued, finished FROM %j WHERE id = $1"),
					  1, types, values, NULL) > 0)
	{
		status->exists = true;
		status->parent = pm_spi_oid(0, 1);
		status->state = pm_spi_string(0, 2);
		status->sqlstate = pm_spi_string(0, 3);
		status->message = pm_spi_string(0, 4);
		status->worker_pid = DatumGetInt32(pm_spi_value(0, 5, &isnull));
		status->is_queued = pm_spi_bool(0, 6);
		MemoryContextSwitchTo(caller);
		status->finished = read_oids(0, 7);
	}
	pm_spi_end(&spi);
	MemoryContextSwitchTo(caller);
}

/*
 * pm_job_earlier_index finds the index that an earlier job with the same
 * definition has made, and that is still there.
 */
Oid
pm_job_earlier_index(const PmJob *job)
{
	Oid			types[] = {OIDOID, TEXTOID};
	Datum		values[] = {
		ObjectIdGetDatum(job->parent),
		CStringGetTextDatum(job->definition)
	};

	return pm_config_select_oid("SELECT j.index_oid FROM %j j"
								" JOIN pg_index x ON x.indexrelid = j.index_oid AND x.indrelid = $1"
								" WHERE j.parent_table = $1::regclass AND j.definition = $2"
								" ORDER BY j.id DESC LIMIT 1",
								2, types, values);
}

/* pm_job_is_due tells whether the upkeep worker has a job to do. */
bool
pm_job_is_due(void)
{
	return OidIsValid(pm_config_select_oid("SELECT parent_table::oid FROM %j WHERE is_queued"
										   " AND state IN ('queued', 'running') LIMIT 1",
										   0, NULL, NULL));
}
