/*-------------------------------------------------------------------------
 *
 * key_grid.c
 *		Where the bounds of a set lie on its axis: origin + k * interval.
 *
 * The calendar is written here once, for both time axes; no other file knows
 * that months exist.  Pure, as key.c is: the zone is an argument, and a result
 * that the axis or the column's type cannot hold is reported by returning
 * false, never by an error.
 *
 * How a local time becomes an instant: a grid takes the first moment at which
 * the zone's clock shows that time or a later one.  So a midnight that the
 * clocks skip is the end of the gap, one that comes twice is the first of the
 * two, and bounds never run backwards.
 *
 *-------------------------------------------------------------------------
 */
#include "partmgr.h"

#include "common/int.h"
#include "key.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

/* days since 2000-01-01 that hold every timestamp, and the years they lie in */
#define FIRST_DAY (DATETIME_MIN_JULIAN - POSTGRES_EPOCH_JDATE)
#define END_DAY (TIMESTAMP_END_JULIAN - POSTGRES_EPOCH_JDATE)
#define FIRST_YEAR JULIAN_MINYEAR
#define END_YEAR 294277

/* no zone was ever further than this from Greenwich */
#define MAX_OFFSET ((int64) TZDISP_LIMIT * USECS_PER_SEC)


/* ---------- the calendar ---------- */

/* to_wall reads the zone's clock at an instant. */
static int64
to_wall(pg_tz *zone, TimestampTz instant)
{
	pg_time_t	secs = floor_div(instant, USECS_PER_SEC) + UNIX_SECS;
	struct pg_tm *tm = pg_localtime(&secs, zone);

	return instant + ((tm != NULL) ? tm->tm_gmtoff * USECS_PER_SEC : 0);
}

/*
 * first_instant returns the first moment at which the zone's clock shows wall
 * or a later time.
 *
 * Before the start of the search no clock in the world can show it; from there
 * it walks through the times between two changes of the zone's offset.
 */
static TimestampTz
first_instant(pg_tz *zone, int64 wall)
{
	int64		start = wall - MAX_OFFSET;

	for (;;)
	{
		pg_time_t	secs = floor_div(start, USECS_PER_SEC) + UNIX_SECS;
		pg_time_t	boundary;
		long int	offset,
					next_offset;
		int			is_dst,
					next_is_dst;
		int			changes;
		int64		found;
		int64		end;

		changes = pg_next_dst_boundary(&secs, &offset, &is_dst, &boundary,
									   &next_offset, &next_is_dst, zone);
		if (changes < 0)
			return wall;		/* no zone data: taken for Greenwich */
		found = Max(start, wall - offset * USECS_PER_SEC);
		/* no further change, at least none before the end of time */
		if (changes == 0 ||
			pg_mul_s64_overflow(boundary - UNIX_SECS, USECS_PER_SEC, &end) ||
			found < end)
			return found;
		start = end;
	}
}

/*
 * core_instant returns what timestamptz arithmetic in this zone would: the
 * second one of a time that comes twice, and one in a gap by the old offset.
 */
static TimestampTz
core_instant(pg_tz *zone, int64 wall)
{
	struct pg_tm tm;
	fsec_t		fsec;

	if (timestamp2tm(wall, NULL, &tm, &fsec, NULL, NULL) != 0)
		return DT_NOBEGIN;
	return wall + DetermineTimeZoneOffset(&tm, zone) * USECS_PER_SEC;
}

/* month_index counts months; day is the one of the month. */
static int64
month_index(int64 wall, int *day)
{
	int64		time;
	int			year,
				month;

	j2date(split_days(wall, &time) + POSTGRES_EPOCH_JDATE, &year, &month, day);
	return (int64) year * MONTHS_PER_YEAR + month - 1;
}

/*
 * add_months moves a wall-clock time by months, to the last day of a month that
 * is too short; beyond the calendar, minus or plus infinity comes out.
 */
static int64
add_months(int64 wall, int64 months)
{
	int			day;
	int64		index;
	int64		year;
	int			month;
	int64		time;

	if (pg_add_s64_overflow(month_index(wall, &day), months, &index))
		return (months < 0) ? DT_NOBEGIN : DT_NOEND;
	year = floor_div(index, MONTHS_PER_YEAR);
	month = floor_mod(index, MONTHS_PER_YEAR) + 1;
	if (year < FIRST_YEAR)
		return DT_NOBEGIN;
	if (year > END_YEAR)
		return DT_NOEND;

	day = Min(day, day_tab[isleap(year)][month - 1]);
	split_days(wall, &time);
	day = date2j(year, month, day) - POSTGRES_EPOCH_JDATE;
	if (day > END_DAY)
		return DT_NOEND;
	return day * USECS_PER_DAY + time;
}

/* add_days moves a wall-clock time by days, with the same ends. */
static int64
add_days(int64 wall, int64 days)
{
	int64		time;
	int64		day;

	if (pg_add_s64_overflow(split_days(wall, &time), days, &day))
		return (days < 0) ? DT_NOBEGIN : DT_NOEND;
	/* a day more on each side: the zone may bring it back */
	if (day < FIRST_DAY - 1)
		return DT_NOBEGIN;
	if (day > END_DAY)
		return DT_NOEND;
	return day * USECS_PER_DAY + time;
}

/* add_calendar moves a wall-clock time by times months or days. */
static int64
add_calendar(int64 wall, const PartInterval *interval, int64 times)
{
	int64		total;

	if (pg_mul_s64_overflow((interval->months != 0) ? interval->months :
							interval->days, times, &total))
		return (times < 0) ? DT_NOBEGIN : DT_NOEND;
	return (interval->months != 0) ? add_months(wall, total) :
		add_days(wall, total);
}


/* ---------- the grid ---------- */

/*
 * grid_point returns the bound number k of a calendar grid, always counted from
 * the origin: a grid from January 31 ends each month on its last day.
 */
static int64
grid_point(const PartKey *key, const PartGrid *grid, int64 k)
{
	int64		wall;

	if (key->axis == AXIS_LOCAL)
		return add_calendar(grid->origin, &grid->interval, k);
	wall = add_calendar(to_wall(grid->zone, grid->origin), &grid->interval, k);
	return TIMESTAMP_NOT_FINITE(wall) ? wall : first_instant(grid->zone, wall);
}

/*
 * grid_index returns the number of the last bound of a calendar grid that is
 * not beyond pos.  The estimate is off by one where pos lies in a month before
 * the day of the origin, or where the clocks went back over a bound, and by
 * more where a zone skipped whole days (Apia, December 30, 2011).
 */
static int64
grid_index(const PartKey *key, const PartGrid *grid, int64 pos)
{
	bool		is_local = (key->axis == AXIS_LOCAL);
	int64		wall = is_local ? pos : to_wall(grid->zone, pos);
	int64		origin = is_local ? grid->origin :
		to_wall(grid->zone, grid->origin);
	int64		k;

	if (grid->interval.months != 0)
	{
		int			day;

		k = floor_div(month_index(wall, &day) - month_index(origin, &day),
					  grid->interval.months);
	}
	else
	{
		int64		time;

		k = floor_div(split_days(wall, &time) - split_days(origin, &time),
					  grid->interval.days);
	}

	while (grid_point(key, grid, k) > pos)
		k--;
	while (grid_point(key, grid, k + 1) <= pos)
		k++;
	return k;
}

/* past_bound is how far pos lies beyond the last bound of a grid of units. */
static int64
past_bound(const PartGrid *grid, int64 pos)
{
	int64		units = grid->interval.units;
	int64		past = floor_mod(pos, units) - floor_mod(grid->origin, units);

	return (past < 0) ? past + units : past;
}

/* can_bound tells whether a position can stand in a bound of this column. */
static bool
can_bound(const PartKey *key, int64 pos)
{
	int64		raw;

	return pm_key_raw_of(key, pos, &raw);
}

/*
 * pm_key_floor finds the last bound of the grid that is not beyond pos; false
 * if the column's type cannot hold it.
 */
bool
pm_key_floor(const PartKey *key, const PartGrid *grid, int64 pos, int64 *result)
{
	if (!axis_holds(key->axis, pos) || !axis_holds(key->axis, grid->origin))
		return false;
	if (grid->interval.units == 0)
		*result = grid_point(key, grid, grid_index(key, grid, pos));
	else if (pg_sub_s64_overflow(pos, past_bound(grid, pos), result))
		return false;
	return can_bound(key, *result);
}

/*
 * pm_key_next finds the first bound of the grid beyond pos; false if the
 * column's type ends before.
 */
bool
pm_key_next(const PartKey *key, const PartGrid *grid, int64 pos, int64 *result)
{
	if (!axis_holds(key->axis, pos) || !axis_holds(key->axis, grid->origin))
		return false;
	if (grid->interval.units == 0)
		*result = grid_point(key, grid, grid_index(key, grid, pos) + 1);
	else if (pg_add_s64_overflow(pos,
								 grid->interval.units - past_bound(grid, pos),
								 result))
		return false;
	return can_bound(key, *result);
}

/*
 * pm_key_add moves pos by times intervals as timestamptz + interval does in the
 * zone; false past the end of the axis.  The column's type does not matter
 * here: cut-offs and horizons are only compared with.
 */
bool
pm_key_add(const PartKey *key, const PartGrid *grid,
		   const PartInterval *interval, int64 pos, int64 times, int64 *result)
{
	int64		wall;

	if (!axis_holds(key->axis, pos))
		return false;
	if (interval->units != 0 || times == 0)
	{
		int64		distance;

		return !pg_mul_s64_overflow(interval->units, times, &distance) &&
			!pg_add_s64_overflow(pos, distance, result) &&
			axis_holds(key->axis, *result);
	}

	wall = (key->axis == AXIS_LOCAL) ? pos : to_wall(grid->zone, pos);
	*result = add_calendar(wall, interval, times);
	if (key->axis == AXIS_INSTANT && !TIMESTAMP_NOT_FINITE(*result))
		*result = core_instant(grid->zone, *result);
	return axis_holds(key->axis, *result);
}

/*
 * pm_key_default_origin is where a grid starts that nobody gave a start:
 * midnight in the set's zone, of a Monday if it goes by weeks, of the first day of
 * 2001 if it goes by centuries.
 */
int64
pm_key_default_origin(const PartKey *key, const PartInterval *interval,
					  pg_tz *zone)
{
	bool		by_weeks = (interval->days != 0 && interval->days % 7 == 0);
	bool		by_centuries = (interval->months != 0 && interval->months % (100 * MONTHS_PER_YEAR) == 0);
	int64		wall = by_weeks ? 2 * USECS_PER_DAY :	/* 2000-01-03 */
		by_centuries ? 366 * USECS_PER_DAY : 0;

	if (key->axis == AXIS_ID)
		return 0;
	return (key->axis == AXIS_LOCAL) ? wall : first_instant(zone, wall);
}

/* pm_key_now places a moment on a time axis. */
int64
pm_key_now(const PartKey *key, pg_tz *zone, TimestampTz now)
{
	Assert(key->axis != AXIS_ID);
	if (key->axis == AXIS_INSTANT || !IS_VALID_TIMESTAMP(now))
		return now;
	return to_wall(zone, now);
}

/*
 * pm_key_instant is the way back: the first moment that a position of a time
 * axis stands for, or where that is beyond the end of time, the end.
 */
TimestampTz
pm_key_instant(const PartKey *key, pg_tz *zone, int64 pos)
{
	Assert(key->axis != AXIS_ID);
	if (key->axis == AXIS_INSTANT)
		return pos;
	/* a clock may show the day before the first, or after the last */
	pos = Min(Max(pos, MIN_TIMESTAMP - USECS_PER_DAY),
			  END_TIMESTAMP + USECS_PER_DAY);
	pos = first_instant(zone, pos);
	return Min(Max(pos, MIN_TIMESTAMP), END_TIMESTAMP - 1);
}

/*
 * pm_key_interval_text writes a width for people, in words that interval_in
 * reads under every IntervalStyle; that of an id key is a plain number.
 */
char *
pm_key_interval_text(const PartKey *key, const PartInterval *interval)
{
	static const struct
	{
		int64		usecs;
		const char *name;
	}			units[] = {
		{USECS_PER_HOUR, "hour"},
		{USECS_PER_MINUTE, "minute"},
		{USECS_PER_SEC, "second"},
		{1000, "millisecond"},
		{1, "microsecond"}
	};
	int64		count;
	const char *name;

	if (key->axis == AXIS_ID)
		return psprintf(INT64_FORMAT, interval->units);

	if (interval->months != 0)
	{
		bool		whole_years = (interval->months % MONTHS_PER_YEAR == 0);

		count = interval->months / (whole_years ? MONTHS_PER_YEAR : 1);
		name = whole_years ? "year" : "month";
	}
	else if (interval->days != 0)
	{
		count = interval->days;
		name = "day";
	}
	else
	{
		int			i = 0;

		while (interval->units % units[i].usecs != 0)
			i++;
		count = interval->units / units[i].usecs;
		name = units[i].name;
	}
	return psprintf(INT64_FORMAT " %s%s", count, name, (count == 1) ? "" : "s");
}
