/*-------------------------------------------------------------------------
 *
 * config.c
 *		part_config rows, and what they mean.
 *
 * The only files that name our tables are this one and state.c.  Users change
 * part_config with plain UPDATE, so every value read here is user input: the
 * trigger on the table refuses what makes no sense, but a time zone can vanish
 * with an upgrade, so reading checks again and marks the one set that cannot be
 * understood.
 *
 * Our tables are read and written as the extension's owner.  Nothing here
 * decides whether the caller may: that is done at the entry.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "internal.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "config.h"

/*
 * pm_extension_find tells whether the extension exists in this database, who
 * owns it and where it lives.
 */
bool
pm_extension_find(PmExtension *ext)
{
	Relation	rel;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found = false;

	memset(ext, 0, sizeof(PmExtension));
	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber,
				F_NAMEEQ, CStringGetDatum("partmgr"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		Form_pg_extension form = (Form_pg_extension) GETSTRUCT(tuple);
		bool		isnull;
		Datum		version = heap_getattr(tuple, Anum_pg_extension_extversion,
										   RelationGetDescr(rel), &isnull);

		found = true;
		ext->oid = form->oid;
		ext->owner = form->extowner;
		ext->schema = get_namespace_name(form->extnamespace);
		ext->needs_update = isnull ||
			strcmp(TextDatumGetCString(version), PARTMGR_SQL_VERSION) != 0;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found && ext->schema != NULL;
}

/*
 * pm_extension_require finds the extension or raises an error, also when its
 * SQL does not belong to this library.
 */
void
pm_extension_require(PmExtension *ext)
{
	if (!pm_extension_find(ext))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("extension \"partmgr\" does not exist")));
	if (ext->needs_update)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension \"partmgr\" needs an update"),
				 errdetail("Its library is of another version than its SQL."),
				 errhint("Run ALTER EXTENSION partmgr UPDATE.")));
}

/*
 * pm_config_ready tells whether this database can be maintained: it has the
 * extension, in the library's version.
 */
bool
pm_config_ready(bool *needs_update)
{
	PmExtension ext;

	*needs_update = false;
	if (!pm_extension_find(&ext))
		return false;
	*needs_update = ext.needs_update;
	return !ext.needs_update;
}

/*
 * pm_config_sql replaces %c, %s and %l by the qualified names of part_config,
 * part_state and part_log.
 */
char *
pm_config_sql(const PmExtension *ext, const char *sql)
{
	StringInfoData buf;
	const char *table;

	initStringInfo(&buf);
	for (; *sql; sql++)
	{
		if (*sql != '%')
		{
			appendStringInfoChar(&buf, *sql);
			continue;
		}
		sql++;
		table = *sql == 'c' ? "part_config" : *sql == 's' ? "part_state" : "part_log";
		appendStringInfoString(&buf, quote_qualified_identifier(ext->schema, table));
	}
	return buf.data;
}

/* pm_config_begin finds the extension and becomes its owner. */
void
pm_config_begin(PmSpi *spi, PmExtension *ext)
{
	pm_extension_require(ext);
	pm_spi_begin(spi, ext->owner);
}

/* pm_config_oids makes an oid[] of a list. */
Datum
pm_config_oids(List *oids)
{
	Datum	   *values = palloc(sizeof(Datum) * Max(list_length(oids), 1));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, oids)
		values[n++] = ObjectIdGetDatum(lfirst_oid(lc));
	return PointerGetDatum(construct_array(values, n, OIDOID, sizeof(Oid),
										   true, TYPALIGN_INT));
}

/* the rows of the last select, whose first column is an oid, as a list */
static List *
oid_list(uint64 rows)
{
	List	   *result = NIL;

	for (uint64 i = 0; i < rows; i++)
		result = lappend_oid(result, pm_spi_oid(i, 1));
	return result;
}

/*
 * pm_config_parents returns the parents of all sets in the order in which they
 * are to be maintained, those that are switched off or not armed left out if
 * asked.
 */
List *
pm_config_parents(bool automatic_only, bool armed_only)
{
	PmExtension ext;
	PmSpi		spi;
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext old;
	uint64		rows;
	List	   *result;
	Oid			types[] = {BOOLOID, BOOLOID};
	Datum		values[] = {BoolGetDatum(automatic_only), BoolGetDatum(armed_only)};

	pm_config_begin(&spi, &ext);
	rows = pm_spi_select(pm_config_sql(&ext,
									   "SELECT c.parent_table::oid FROM %c c"
									   " JOIN pg_class r ON r.oid = c.parent_table"
									   " WHERE (NOT $1 OR c.automatic_maintenance = 'on')"
									   " AND (NOT $2 OR EXISTS (SELECT FROM %s s WHERE s.parent_table = c.parent_table))"
									   " ORDER BY c.maintenance_order NULLS LAST, r.relname, c.parent_table::oid"),
						 2, types, values, NULL);
	old = MemoryContextSwitchTo(caller);
	result = oid_list(rows);
	MemoryContextSwitchTo(old);
	pm_spi_end(&spi);
	return result;
}

/*
 * read_interval reads an interval without raising an error, in the style that
 * every session writes; NULL if it is none, or infinite.
 */
static Interval *
read_interval(const char *text)
{
	char		work[MAXDATELEN + MAXDATEFIELDS];
	char	   *fields[MAXDATEFIELDS];
	int			ftypes[MAXDATEFIELDS];
	int			nfields;
	int			dtype;
	struct pg_itm_in itm;
	Interval   *result = palloc0(sizeof(Interval));
	int			error;

	memset(&itm, 0, sizeof(itm));
	error = ParseDateTime(text, work, sizeof(work), fields, ftypes,
						  MAXDATEFIELDS, &nfields);
	if (error == 0)
		error = DecodeInterval(fields, ftypes, nfields, INTERVAL_FULL_RANGE,
							   &dtype, &itm);
	if (error == DTERR_BAD_FORMAT)
	{
		char	   *copy = pstrdup(text);

		error = DecodeISO8601Interval(copy, &dtype, &itm);
	}
	if (error != 0 || dtype != DTK_DELTA || itmin2interval(&itm, result) != 0)
		return NULL;
	return result;
}

/*
 * pm_interval_parse reads a width of partitions, or an age: an interval for
 * time, a whole number for ids.  Returns false with what is wrong.
 */
bool
pm_interval_parse(const PartKey *key, const char *text,
				  PartInterval *interval, char **problem)
{
	Interval   *value;
	int64		days;

	memset(interval, 0, sizeof(PartInterval));
	if (key->axis == AXIS_ID)
	{
		char	   *end;

		errno = 0;
		interval->units = strtoll(text, &end, 10);
		while (*end == ' ')
			end++;
		if (errno != 0 || end == text || *end != '\0' || interval->units <= 0)
		{
			*problem = psprintf("\"%s\" is not a positive whole number", text);
			return false;
		}
		return true;
	}

	value = read_interval(text);
	if (value == NULL)
	{
		*problem = psprintf("\"%s\" is not an interval", text);
		return false;
	}
	days = value->day;
	/* '2 weeks 1 day' is days, '1 day 12 hours' hours; months mix with nothing */
	if (value->month < 0 || days < 0 || value->time < 0 ||
		(value->month > 0 && (days > 0 || value->time > 0)))
	{
		*problem = psprintf("\"%s\" is negative, or mixes months with days or hours", text);
		return false;
	}
	interval->months = value->month;
	if (value->time > 0)
		interval->units = value->time + days * USECS_PER_DAY;
	else
		interval->days = value->day;
	if (interval->months == 0 && interval->days == 0 &&
		interval->units < USECS_PER_SEC)
	{
		*problem = psprintf("\"%s\" is less than one second", text);
		return false;
	}
	return true;
}

/* pm_position_text prints a position so that pm_position_read takes it. */
char *
pm_position_text(const PartKey *key, int64 pos)
{
	PartKey		plain = *key;
	char	   *literal;

	/* on its own axis a position is a timestamp or a number whatever the column */
	plain.kind = key->axis == AXIS_ID ? KEY_ID :
		key->axis == AXIS_INSTANT ? KEY_TIMESTAMPTZ : KEY_TIMESTAMP;
	plain.type = key->axis == AXIS_ID ? INT8OID :
		key->axis == AXIS_INSTANT ? TIMESTAMPTZOID : TIMESTAMPOID;
	/* a literal without its quotes */
	literal = pm_key_literal(&plain, pos);
	return pnstrdup(literal + 1, strlen(literal) - 2);
}

/* pm_position_read reads what pm_position_text printed, or a user wrote. */
int64
pm_position_read(const PartKey *key, const char *text)
{
	if (key->axis == AXIS_ID)
		return DatumGetInt64(DirectFunctionCall1(int8in, CStringGetDatum(text)));
	if (key->axis == AXIS_INSTANT)
		return DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in, CStringGetDatum(text),
													   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
	return DatumGetTimestamp(DirectFunctionCall3(timestamp_in, CStringGetDatum(text),
												 ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
}

/*
 * pm_start_read reads a position that a user wrote: a time without a zone of
 * its own is meant on the clock of the given zone, whatever the session's is.
 */
int64
pm_start_read(const PartKey *key, const char *zone, const char *text)
{
	char		work[MAXDATELEN + MAXDATEFIELDS];
	char	   *fields[MAXDATEFIELDS];
	int			ftypes[MAXDATEFIELDS];
	int			nfields;
	Datum		wall;

	if (key->axis != AXIS_INSTANT)
		return pm_position_read(key, text);
	if (ParseDateTime(text, work, sizeof(work), fields, ftypes, MAXDATEFIELDS, &nfields) == 0)
		for (int i = 0; i < nfields; i++)
			if (ftypes[i] == DTK_TZ || (ftypes[i] == DTK_STRING && i > 0))
				return pm_position_read(key, text);
	wall = DirectFunctionCall3(timestamp_in, CStringGetDatum(text),
							   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	if (TIMESTAMP_NOT_FINITE(DatumGetTimestamp(wall)))
		return DatumGetTimestamp(wall);
	return DatumGetTimestampTz(DirectFunctionCall2(timestamp_zone, CStringGetTextDatum(zone), wall));
}

/* why a width is finer than what the key's type can tell apart, or NULL */
static char *
too_fine(const PartKey *key, const PartInterval *interval)
{
	bool		whole_days = interval->units == 0;

	if (key->kind == KEY_YYYYMM && interval->months == 0)
		return pstrdup("partition_interval: yyyymm keys need whole months");
	if ((key->kind == KEY_DATE || key->kind == KEY_YYYYMMDD) && !whole_days)
		return pstrdup("partition_interval: keys that are dates need whole days");
	if (key->kind == KEY_SECONDS && interval->units % USECS_PER_SEC != 0)
		return pstrdup("partition_interval: keys that are seconds need whole seconds");
	return NULL;
}

/* a position that a bound of the key's type can have? */
static bool
origin_fits(const PartKey *key, int64 origin)
{
	int64		raw;
	int64		pos;

	return pm_key_raw_of(key, origin, &raw) &&
		pm_key_position(key, raw, false, &pos) && pos == origin;
}

/*
 * pm_config_fill makes a set's grid, retention and names out of the text they
 * are stored as.  Returns what is wrong with it, or NULL.
 */
char *
pm_config_fill(PartSet *set, const PmConfigText *text)
{
	char	   *problem;
	PartGrid   *grid = &set->grid;

	if (set->key.axis != AXIS_ID)
	{
		if (set->key.is_list)
			return pstrdup("partition_type: LIST partitions of time are not supported");
		if (text->time_zone == NULL)
			return pstrdup("time_zone: a set partitioned by time needs one");
		grid->zone = pg_tzset(text->time_zone);
		if (grid->zone == NULL)
			return psprintf("time_zone: \"%s\" is not a time zone", text->time_zone);
	}
	if (!pm_interval_parse(&set->key, text->interval, &grid->interval, &problem))
		return psprintf("partition_interval: %s", problem);
	if (set->key.is_list && grid->interval.units != 1)
		return pstrdup("partition_interval: LIST partitions need an interval of 1");
	if (set->key.axis == AXIS_ID && !set->key.is_list && grid->interval.units < 2)
		return pstrdup("partition_interval: it must be at least 2");
	if ((problem = too_fine(&set->key, &grid->interval)) != NULL)
		return problem;
	grid->origin = text->origin ? pm_position_read(&set->key, text->origin) :
		pm_key_default_origin(&set->key, &grid->interval, grid->zone);
	if (text->origin && !origin_fits(&set->key, grid->origin))
		return psprintf("grid_origin: \"%s\" is no value of type %s", text->origin,
						format_type_be(set->key.type));
	if (text->retention)
	{
		set->has_retention = true;
		if (!pm_interval_parse(&set->key, text->retention, &set->retention, &problem))
			return psprintf("retention: %s", problem);
	}
	if (text->name_format)
	{
		problem = pm_name_format_problem(text->name_format, &set->key, grid);
		if (problem)
			return psprintf("name_format: %s", problem);
		set->name_format = pstrdup(text->name_format);
	}
	else
		set->name_format = pstrdup(pm_name_default_format(&set->key, grid));
	if (text->backfill)
	{
		set->has_backfill = true;
		set->backfill = pm_position_read(&set->key, text->backfill);
	}
	return NULL;
}

/* columns of read_sets; one query for all sets, since there may be thousands */
#define SET_COLUMNS \
	"c.parent_table::oid, n.nspname, r.relname, r.relowner, p.partstrat = 'l'," \
	" p.partnatts = 1 AND p.partexprs IS NULL, a.attnum::int4, a.attname," \
	" CASE t.typtype WHEN 'd' THEN 0::oid ELSE a.atttypid END, a.atttypid," \
	" c.epoch, c.partition_interval, c.premake, c.automatic_maintenance = 'on'," \
	" c.retention, c.retention_schema, c.retention_keep_table," \
	" c.retention_keep_index, c.retention_keep_publication," \
	" c.inherit_privileges, c.ignore_default_data, c.time_zone, c.name_format," \
	" c.grid_origin, s.parent_table IS NOT NULL, s.backfill"

/* one row of the query above as a set */
static PartSet *
set_from_row(uint64 row)
{
	PartSet    *set = palloc0(sizeof(PartSet));
	PmConfigText text;
	bool		isnull;
	Oid			type;

	set->parent = pm_spi_oid(row, 1);
	set->schema = pm_spi_string(row, 2);
	set->name = pm_spi_string(row, 3);
	set->owner = pm_spi_oid(row, 4);
	set->key.is_list = pm_spi_bool(row, 5);
	if (!pm_spi_bool(row, 6))
	{
		set->problem = pstrdup("its partition key is not one plain column");
		set->problem_code = ERRCODE_FEATURE_NOT_SUPPORTED;
		return set;
	}
	set->key.attnum = (AttrNumber) DatumGetInt32(pm_spi_value(row, 7, &isnull));
	set->key.attname = pm_spi_string(row, 8);
	type = pm_spi_oid(row, 9);
	set->key.type = OidIsValid(type) ? type : getBaseType(pm_spi_oid(row, 10));
	if (!pm_key_kind(set->key.type, pm_spi_string(row, 11), &set->key.kind, &set->key.axis))
	{
		set->problem = psprintf("type %s of column \"%s\" does not go with epoch \"%s\"",
								format_type_be(set->key.type), set->key.attname,
								pm_spi_string(row, 11));
		set->problem_code = ERRCODE_FEATURE_NOT_SUPPORTED;
		return set;
	}
	text.interval = pm_spi_string(row, 12);
	set->premake = DatumGetInt32(pm_spi_value(row, 13, &isnull));
	set->automatic = pm_spi_bool(row, 14);
	text.retention = pm_spi_string(row, 15);
	set->retention_schema = pm_spi_string(row, 16);
	set->retire = set->retention_schema ? RETIRE_MOVE :
		pm_spi_bool(row, 17) ? RETIRE_KEEP : RETIRE_DROP;
	set->retention_keep_index = pm_spi_bool(row, 18);
	set->retention_keep_publication = pm_spi_bool(row, 19);
	set->inherit_privileges = pm_spi_bool(row, 20);
	set->ignore_default_data = pm_spi_bool(row, 21);
	text.time_zone = pm_spi_string(row, 22);
	text.name_format = pm_spi_string(row, 23);
	text.origin = pm_spi_string(row, 24);
	set->is_armed = pm_spi_bool(row, 25);
	text.backfill = pm_spi_string(row, 26);
	set->problem = pm_config_fill(set, &text);
	set->problem_code = ERRCODE_INVALID_PARAMETER_VALUE;
	return set;
}

/*
 * pm_config_read returns the PartSets of the given parents, in their order.
 *
 * Parents that are not managed, or no longer exist, are left out.  A set whose
 * configuration cannot be understood says so in its problem, for its own run to
 * fail and no other.
 */
List *
pm_config_read(List *parents)
{
	PmExtension ext;
	PmSpi		spi;
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext old;
	uint64		rows;
	List	   *result = NIL;
	Oid			types[] = {OIDARRAYOID};
	Datum		values[1];

	if (parents == NIL)
		return NIL;
	values[0] = pm_config_oids(parents);
	pm_config_begin(&spi, &ext);
	rows = pm_spi_select(pm_config_sql(&ext,
									   "SELECT " SET_COLUMNS " FROM %c c"
									   " JOIN pg_class r ON r.oid = c.parent_table"
									   " JOIN pg_namespace n ON n.oid = r.relnamespace"
									   " JOIN pg_partitioned_table p ON p.partrelid = r.oid"
									   " LEFT JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = p.partattrs[0]"
									   " LEFT JOIN pg_type t ON t.oid = a.atttypid"
									   " LEFT JOIN %s s ON s.parent_table = c.parent_table"
									   " WHERE c.parent_table = ANY ($1)"
									   " ORDER BY c.maintenance_order NULLS LAST, r.relname, c.parent_table::oid"),
						 1, types, values, NULL);
	old = MemoryContextSwitchTo(caller);
	for (uint64 i = 0; i < rows; i++)
		result = lappend(result, set_from_row(i));
	MemoryContextSwitchTo(old);
	pm_spi_end(&spi);
	return result;
}

/*
 * pm_config_read_one returns one set, or NULL if the table is not managed.  A
 * configuration that cannot be understood is an error here.
 */
PartSet *
pm_config_read_one(Oid parent)
{
	List	   *sets = pm_config_read(list_make1_oid(parent));
	PartSet    *set = sets == NIL ? NULL : (PartSet *) linitial(sets);

	if (set && set->problem)
		ereport(ERROR,
				(errcode(set->problem_code),
				 errmsg("configuration of partition set \"%s.%s\" is not valid: %s",
						set->schema, set->name, set->problem),
				 errhint("Correct it with UPDATE part_config.")));
	return set;
}

/* pm_config_exists tells whether a table is managed, readable or not. */
bool
pm_config_exists(Oid parent)
{
	PmExtension ext;
	PmSpi		spi;
	uint64		rows;
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(parent)};

	pm_config_begin(&spi, &ext);
	rows = pm_spi_select(pm_config_sql(&ext, "SELECT FROM %c WHERE parent_table = $1::regclass"),
						 1, types, values, NULL);
	pm_spi_end(&spi);
	return rows > 0;
}

/* the type to which the text of a column is cast */
static const char *
column_type(const char *column)
{
	if (strcmp(column, "premake") == 0)
		return "int";
	if (strcmp(column, "retention_keep_table") == 0 ||
		strcmp(column, "jobmon") == 0 ||
		strcmp(column, "inherit_privileges") == 0)
		return "boolean";
	return "text";
}

/*
 * pm_config_insert adds a set; columns and values are text, as a user would
 * write them.  The set's state follows by pm_config_arm.
 */
void
pm_config_insert(const PartSet *set, const char *const *columns,
				 const char *const *values, int ncolumns)
{
	PmExtension ext;
	PmSpi		spi;
	StringInfoData names;
	StringInfoData params;
	Oid		   *types = palloc(sizeof(Oid) * (ncolumns + 1));
	Datum	   *datums = palloc(sizeof(Datum) * (ncolumns + 1));
	char	   *nulls = palloc(ncolumns + 1);

	pm_config_begin(&spi, &ext);
	initStringInfo(&names);
	initStringInfo(&params);
	appendStringInfoString(&names, "parent_table");
	appendStringInfoString(&params, "$1");
	types[0] = OIDOID;
	datums[0] = ObjectIdGetDatum(set->parent);
	nulls[0] = ' ';
	for (int i = 0; i < ncolumns; i++)
	{
		appendStringInfo(&names, ", %s", columns[i]);
		appendStringInfo(&params, ", $%d::%s", i + 2, column_type(columns[i]));
		types[i + 1] = TEXTOID;
		nulls[i + 1] = values[i] ? ' ' : 'n';
		datums[i + 1] = values[i] ? CStringGetTextDatum(values[i]) : (Datum) 0;
	}
	pm_spi_write(psprintf("INSERT INTO %s (%s) VALUES (%s)", pm_config_sql(&ext, "%c"),
						  names.data, params.data),
				 ncolumns + 1, types, datums, nulls);
	pm_spi_end(&spi);
}

/* pm_config_delete forgets a set; false if there was none. */
bool
pm_config_delete(Oid parent)
{
	PmExtension ext;
	PmSpi		spi;
	uint64		rows;
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(parent)};

	pm_config_begin(&spi, &ext);
	pm_spi_write(pm_config_sql(&ext, "DELETE FROM %s WHERE parent_table = $1::regclass"),
				 1, types, values, NULL);
	rows = pm_spi_write(pm_config_sql(&ext, "DELETE FROM %c WHERE parent_table = $1::regclass"),
						1, types, values, NULL);
	pm_spi_end(&spi);
	return rows > 0;
}

/*
 * pm_config_forget_dangling deletes the rows of parents that are gone, for
 * what the event trigger did not see.
 */
void
pm_config_forget_dangling(void)
{
	PmExtension ext;
	PmSpi		spi;

	pm_config_begin(&spi, &ext);
	if (pm_spi_select(pm_config_sql(&ext, "SELECT FROM %c c WHERE NOT EXISTS"
									" (SELECT FROM pg_class r WHERE r.oid = c.parent_table)"),
					  0, NULL, NULL, NULL) > 0)
	{
		pm_spi_write(pm_config_sql(&ext, "DELETE FROM %c c WHERE NOT EXISTS"
								   " (SELECT FROM pg_class r WHERE r.oid = c.parent_table)"),
					 0, NULL, NULL, NULL);
		pm_spi_write(pm_config_sql(&ext, "DELETE FROM %s s WHERE NOT EXISTS"
								   " (SELECT FROM %c c WHERE c.parent_table = s.parent_table)"),
					 0, NULL, NULL, NULL);
	}
	pm_spi_end(&spi);
}
