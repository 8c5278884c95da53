/*-------------------------------------------------------------------------
 *
 * parse.c
 *		What the text in a configuration means: widths, ages, positions, and a
 *		set's grid, retention and names made of them.
 *
 * The text is a user's.  What is wrong with it comes back as a sentence, for
 * the caller to raise or to report; only positions, which our own trigger has
 * rewritten, are read by input functions that raise errors themselves.
 *
 * Reads no catalog and none of our tables.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/int.h"
#include "config.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

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

	/* a number without a unit would be seconds; nobody means that */
	if (strspn(text, " +-.0123456789") == strlen(text))
		return NULL;
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

	/* core takes a bare number for seconds: nobody who writes 30 means that */
	if (text[strspn(text, " +-.0123456789")] == '\0')
	{
		*problem = psprintf("\"%s\" has no unit", text);
		return false;
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
	if (value->time == 0)
		interval->days = value->day;
	else if (pg_mul_s64_overflow(days, USECS_PER_DAY, &interval->units) ||
			 pg_add_s64_overflow(interval->units, value->time, &interval->units))
	{
		*problem = psprintf("\"%s\" is too long", text);
		return false;
	}
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
	plain.codec = NULL;
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
		if (grid->zone == NULL || !pg_tz_acceptable(grid->zone))
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
	if (text->cold_after)
	{
		set->has_cold = true;
		if (!pm_interval_parse(&set->key, text->cold_after, &set->cold_after, &problem))
			return psprintf("cold_after: %s", problem);
	}
	if (text->retention_size)
	{
		set->retention_bytes = DatumGetInt64(DirectFunctionCall1(pg_size_bytes,
																 CStringGetTextDatum(text->retention_size)));
		if (set->retention_bytes <= 0)
			return psprintf("retention_size: \"%s\" is not a size", text->retention_size);
	}
	if (text->window)
	{
		set->has_window = true;
		if (!pm_window_parse(text->window, &set->window))
			return psprintf("maintenance_window: \"%s\" is not like 22:00-04:00 or Sat,Sun 22:00-04:00",
							text->window);
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
