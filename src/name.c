/*-------------------------------------------------------------------------
 *
 * name.c
 *		The names of partitions.
 *
 * A format is text with fields in braces: {parent}, {id}, and of the lower
 * bound's wall-clock time in the set's zone {YYYY} {YY} {MM} {DD} {HH24} {MI}
 * {SS} {Q} {IYYY} {IW} {DDD}.  Everything else stands for itself; there is no
 * way to write a brace.
 *
 * A format must tell the bounds of the set's grid apart; it need not spell
 * them out: {YYYY}_{MM} is good for months from the 15th.  What lies off the
 * grid and does not begin one of the format's own periods, or begins one that a
 * bound of the grid falls into as well, says its whole lower bound at the end:
 * ev_2025_09_20250920, and where the format has the day already, only the time:
 * ev_p20250920_050000.  Where the clocks went back, the second of two instants
 * with the same local time says its offset from Greenwich: _m0500, _p0530.
 *
 * Names are decoration: nothing here looks whether one is taken, or reads one
 * (name_detect.c compares with what people have).  Pure: no database, no clock,
 * no setting, apart from the encoding of the database, which says where a
 * character ends.
 *
 *-------------------------------------------------------------------------
 */
#include "partmgr.h"

#include "key.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "name.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

typedef enum NameField
{
	FIELD_LITERAL,
	FIELD_UNKNOWN,				/* braces around something else, or unpaired */
	FIELD_PARENT,
	FIELD_ID,
	FIELD_YYYY,					/* from here on: the calendar */
	FIELD_YY,
	FIELD_MM,
	FIELD_DD,
	FIELD_HH24,
	FIELD_MI,
	FIELD_SS,
	FIELD_Q,
	FIELD_IYYY,
	FIELD_IW,
	FIELD_DDD
} NameField;

static const struct
{
	const char *name;
	int			width;			/* usual length; years and ids may be longer */
}			fields[] = {
	[FIELD_PARENT] = {"parent", 0},
	[FIELD_ID] = {"id", 20},
	[FIELD_YYYY] = {"YYYY", 4},
	[FIELD_YY] = {"YY", 2},
	[FIELD_MM] = {"MM", 2},
	[FIELD_DD] = {"DD", 2},
	[FIELD_HH24] = {"HH24", 2},
	[FIELD_MI] = {"MI", 2},
	[FIELD_SS] = {"SS", 2},
	[FIELD_Q] = {"Q", 1},
	[FIELD_IYYY] = {"IYYY", 4},
	[FIELD_IW] = {"IW", 2},
	[FIELD_DDD] = {"DDD", 3}
};

/* sets of fields */
#define HAS(set, field) (((set) & (1 << (field))) != 0)
#define CALENDAR_FIELDS (~((1 << FIELD_YYYY) - 1))

/* a literal or a field: what next_piece found */
typedef struct NamePiece
{
	NameField	field;
	const char *text;			/* in the format, with its braces */
	int			len;
} NamePiece;

/* the stretch of time that has one and the same name in a format */
typedef enum NamePeriod
{
	PERIOD_NONE,
	PERIOD_YEAR,
	PERIOD_QUARTER,
	PERIOD_MONTH,
	PERIOD_WEEK,
	PERIOD_DAY,
	PERIOD_HOUR,
	PERIOD_MINUTE,
	PERIOD_SECOND
} NamePeriod;

/* the smallest intervals that never put two bounds into one period */
static const struct
{
	int32		months;
	int32		days;
	int64		usecs;
}			periods[] = {
	[PERIOD_YEAR] = {12, 366, 366 * USECS_PER_DAY},
	[PERIOD_QUARTER] = {3, 92, 92 * USECS_PER_DAY},
	[PERIOD_MONTH] = {1, 31, 31 * USECS_PER_DAY},
	[PERIOD_WEEK] = {1, 7, 7 * USECS_PER_DAY},
	[PERIOD_DAY] = {1, 1, USECS_PER_DAY},
	[PERIOD_HOUR] = {1, 1, USECS_PER_HOUR},
	[PERIOD_MINUTE] = {1, 1, USECS_PER_MINUTE},
	[PERIOD_SECOND] = {1, 1, USECS_PER_SEC}
};

/* what the clock on the wall shows */
typedef struct WallTime
{
	int64		wall;			/* microseconds since 2000-01-01 00:00 */
	struct pg_tm tm;
	fsec_t		fsec;
	int			iso_year;
	int			iso_week;
} WallTime;


/* ---------- formats ---------- */

/* next_piece takes the next piece off a format; false at its end. */
static bool
next_piece(const char **format, NamePiece *piece)
{
	const char *text = *format;
	size_t		len;

	if (*text == '\0')
		return false;

	if (*text != '{' && *text != '}')
	{
		piece->field = FIELD_LITERAL;
		len = strcspn(text, "{}");
	}
	else
	{
		piece->field = FIELD_UNKNOWN;
		len = 1 + strcspn(text + 1, "{}");
		if (*text == '{' && text[len] == '}')
		{
			len++;
			for (int i = FIELD_PARENT; i < lengthof(fields); i++)
				if (strlen(fields[i].name) == len - 2 &&
					strncmp(fields[i].name, text + 1, len - 2) == 0)
					piece->field = (NameField) i;
		}
	}
	piece->text = text;
	piece->len = len;
	*format = text + len;
	return true;
}

/* format_fields returns the set of fields that a format has. */
static int
format_fields(const char *format)
{
	int			set = 0;
	NamePiece	piece;

	while (next_piece(&format, &piece))
		set |= 1 << piece.field;
	return set;
}

/* format_period returns how long a set of fields stays the same. */
static NamePeriod
format_period(int set)
{
	bool		has_year = HAS(set, FIELD_YYYY) || HAS(set, FIELD_YY);

	if (has_year && ((HAS(set, FIELD_MM) && HAS(set, FIELD_DD)) ||
					 HAS(set, FIELD_DDD)))
	{
		if (!HAS(set, FIELD_HH24))
			return PERIOD_DAY;
		if (!HAS(set, FIELD_MI))
			return PERIOD_HOUR;
		return HAS(set, FIELD_SS) ? PERIOD_SECOND : PERIOD_MINUTE;
	}
	if (HAS(set, FIELD_IW) && (has_year || HAS(set, FIELD_IYYY)))
		return PERIOD_WEEK;
	if (!has_year)
		return PERIOD_NONE;
	if (HAS(set, FIELD_MM))
		return PERIOD_MONTH;
	return HAS(set, FIELD_Q) ? PERIOD_QUARTER : PERIOD_YEAR;
}

/* has_room tells whether a period is at most as long as the set's interval. */
static bool
has_room(NamePeriod period, const PartKey *key, const PartInterval *interval)
{
	int64		usecs = periods[period].usecs;

	if (interval->months != 0)
		return interval->months >= periods[period].months;
	if (interval->days != 0)
		return interval->days >= periods[period].days;

	/* a day has 25 hours once a year; with hours, the offset is added */
	if (key->axis == AXIS_INSTANT && period <= PERIOD_DAY)
		usecs += USECS_PER_HOUR;
	return interval->units >= usecs;
}

/* pm_name_default_format returns the format that pg_partman would use. */
const char *
pm_name_default_format(const PartKey *key, const PartGrid *grid)
{
	if (key->axis == AXIS_ID)
		return "{parent}_p{id}";
	if (grid->interval.units == 0)
		return "{parent}_p{YYYY}{MM}{DD}";
	return "{parent}_p{YYYY}{MM}{DD}_{HH24}{MI}{SS}";
}

/*
 * piece_problem says what is wrong with one piece, or returns NULL.  seen is
 * the set of the fields before it.
 */
static char *
piece_problem(const NamePiece *piece, int seen, bool is_id)
{
	const char *text = pnstrdup(piece->text, piece->len);
	bool		is_calendar = (piece->field >= FIELD_YYYY);

	if (piece->field == FIELD_UNKNOWN)
		return psprintf("\"%s\" is not a field", text);
	if (piece->field == FIELD_PARENT && HAS(seen, FIELD_PARENT))
		return psprintf("%s stands in it twice", text);
	if (piece->field == FIELD_ID && !is_id)
		return psprintf("%s needs a key that is an id, not a time", text);
	if (is_calendar && is_id)
		return psprintf("%s needs a key that is a time, not an id", text);
	return NULL;
}

/*
 * pm_name_format_problem returns NULL for a format that gives each partition
 * of such a set its own name, otherwise what is wrong with it, as the end of a
 * sentence.
 */
char *
pm_name_format_problem(const char *format, const PartKey *key,
					   const PartGrid *grid)
{
	bool		is_id = (key->axis == AXIS_ID);
	int			set = 0;
	int			width = 0;
	const char *rest = format;
	NamePiece	piece;
	NamePeriod	period;

	while (next_piece(&rest, &piece))
	{
		char	   *problem = piece_problem(&piece, set, is_id);

		if (problem != NULL)
			return problem;
		set |= 1 << piece.field;
		width += (piece.field == FIELD_LITERAL) ? piece.len :
			fields[piece.field].width;
	}

	if (is_id ? !HAS(set, FIELD_ID) : (set & CALENDAR_FIELDS) == 0)
		return psprintf("it has no field that tells the partitions apart, such as %s",
						is_id ? "{id}" : "{YYYY}");
	if (!is_id)
	{
		period = format_period(set);
		if (period == PERIOD_NONE)
			return pstrdup(HAS(set, FIELD_IYYY) ?
						   "{IYYY} needs {IW}" : "it has no year");
		if (!has_room(period, key, &grid->interval))
			return psprintf("its fields are too coarse for an interval of %s: neighbours would have the same name",
							pm_key_interval_text(key, &grid->interval));
	}
	if (width > MAX_NAME)
		return psprintf("names would have up to %d bytes even without that of the parent, more than %d",
						width, MAX_NAME);
	return NULL;
}


/* ---------- one name ---------- */

/* read_wall sets what the clock in the set's zone shows at a position. */
static void
read_wall(const PartKey *key, const PartGrid *grid, int64 pos, WallTime *result)
{
	PartKey		wall_key = *key;
	struct pg_tm *tm = &result->tm;
	int64		day;
	int64		time;

	wall_key.axis = AXIS_LOCAL;
	result->wall = (key->axis == AXIS_LOCAL) ? pos :
		pm_key_now(&wall_key, grid->zone, pos);

	/* timestamp2tm would refuse the day before the first in the west */
	day = split_days(result->wall, &time);
	j2date(day + POSTGRES_EPOCH_JDATE, &tm->tm_year, &tm->tm_mon, &tm->tm_mday);
	dt2time(time, &tm->tm_hour, &tm->tm_min, &tm->tm_sec, &result->fsec);
	result->iso_year = date2isoyear(tm->tm_year, tm->tm_mon, tm->tm_mday);
	result->iso_week = date2isoweek(tm->tm_year, tm->tm_mon, tm->tm_mday);
}

/*
 * is_repeated tells whether the zone's clock had shown the same time before:
 * clocks went back in between.
 */
static bool
is_repeated(const PartKey *key, const PartGrid *grid, int64 pos,
			const WallTime *time)
{
	PartKey		wall_key = *key;

	if (key->axis != AXIS_INSTANT)
		return false;
	wall_key.axis = AXIS_LOCAL;
	return pm_key_instant(&wall_key, grid->zone, time->wall) < pos;
}

/* period_start returns the wall-clock time at which time's period begins. */
static int64
period_start(NamePeriod period, const WallTime *time)
{
	const struct pg_tm *tm = &time->tm;
	int			month = tm->tm_mon;
	int			day;
	int64		since_midnight;

	if (period >= PERIOD_HOUR)
	{
		int64		usecs = periods[period].usecs;

		since_midnight = ((tm->tm_hour * INT64CONST(60) + tm->tm_min) * 60 +
						  tm->tm_sec) * USECS_PER_SEC;
		since_midnight -= since_midnight % usecs;
	}
	else
		since_midnight = 0;

	if (period == PERIOD_YEAR)
		month = 1;
	else if (period == PERIOD_QUARTER)
		month -= (month - 1) % 3;

	day = date2j(tm->tm_year, month, (period < PERIOD_WEEK) ? 1 : tm->tm_mday);
	if (period == PERIOD_WEEK)
		day -= (j2day(day) + 6) % 7;	/* j2day: 0 is Sunday */
	return (day - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY + since_midnight;
}

/*
 * is_told tells whether a format's fields alone say which lower bound is
 * meant (see the top of the file).
 */
static bool
is_told(int set, const PartKey *key, const PartGrid *grid, int64 pos,
		const WallTime *time)
{
	NamePeriod	period = format_period(set);
	WallTime	next_time;
	int64		found;

	/* {YYYY}_{IW}: December 30, 2024 is in week 1, as is January 1, 2024 */
	if (period == PERIOD_WEEK && !HAS(set, FIELD_IYYY) && !HAS(set, FIELD_MM) &&
		time->iso_year != time->tm.tm_year)
		return false;

	if (pm_key_floor(key, grid, pos, &found) && found == pos)
		return true;
	if (period_start(period, time) != time->wall)
		return false;
	if (!pm_key_next(key, grid, pos, &found))
		return true;
	read_wall(key, grid, found, &next_time);
	return period_start(period, &next_time) != time->wall;
}

/*
 * name_tail returns what a name needs besides the format's fields, usually
 * nothing.
 */
static char *
name_tail(const char *format, const PartKey *key, const PartGrid *grid,
		  const PartBound *bound)
{
	int			set = format_fields(format);
	StringInfoData buf;
	WallTime	time;

	initStringInfo(&buf);
	if (key->axis == AXIS_ID || bound->lower_open)
		return buf.data;

	read_wall(key, grid, bound->lower, &time);
	if (!is_told(set, key, grid, bound->lower, &time))
	{
		const struct pg_tm *tm = &time.tm;
		bool		has_day = (format_period(set) >= PERIOD_DAY);

		if (!has_day)
			appendStringInfo(&buf, "_%04d%s%02d%02d",
							 (tm->tm_year > 0) ? tm->tm_year : 1 - tm->tm_year,
							 (tm->tm_year > 0) ? "" : "bc",
							 tm->tm_mon, tm->tm_mday);
		if (has_day || period_start(PERIOD_DAY, &time) != time.wall)
			appendStringInfo(&buf, "_%02d%02d%02d",
							 tm->tm_hour, tm->tm_min, tm->tm_sec);
		if (time.fsec != 0)
			appendStringInfo(&buf, "%06d", time.fsec);
	}

	if (is_repeated(key, grid, bound->lower, &time))
	{
		int			offset = (time.wall - bound->lower) / USECS_PER_SEC;
		int			seconds = abs(offset);

		appendStringInfo(&buf, "_%c%02d%02d", (offset < 0) ? 'm' : 'p',
						 seconds / SECS_PER_HOUR,
						 seconds / SECS_PER_MINUTE % MINS_PER_HOUR);
		if (seconds % SECS_PER_MINUTE != 0)
			appendStringInfo(&buf, "%02d", seconds % SECS_PER_MINUTE);
	}
	return buf.data;
}

/* append_year writes years before 1 as 0044bc. */
static void
append_year(StringInfo buf, int year)
{
	appendStringInfo(buf, "%04d%s", (year > 0) ? year : 1 - year,
					 (year > 0) ? "" : "bc");
}

/* append_calendar writes one field of the calendar. */
static void
append_calendar(StringInfo buf, NameField field, const WallTime *time)
{
	const struct pg_tm *tm = &time->tm;
	int			value = 0;

	switch (field)
	{
		case FIELD_YYYY:
			append_year(buf, tm->tm_year);
			return;
		case FIELD_IYYY:
			append_year(buf, time->iso_year);
			return;
		case FIELD_YY:
			value = (tm->tm_year % 100 + 100) % 100;
			break;
		case FIELD_MM:
			value = tm->tm_mon;
			break;
		case FIELD_DD:
			value = tm->tm_mday;
			break;
		case FIELD_HH24:
			value = tm->tm_hour;
			break;
		case FIELD_MI:
			value = tm->tm_min;
			break;
		case FIELD_SS:
			value = tm->tm_sec;
			break;
		case FIELD_Q:
			value = (tm->tm_mon - 1) / 3 + 1;
			break;
		case FIELD_IW:
			value = time->iso_week;
			break;
		case FIELD_DDD:
			value = date2j(tm->tm_year, tm->tm_mon, tm->tm_mday) -
				date2j(tm->tm_year, 1, 1) + 1;
			break;
		default:
			elog(ERROR, "unexpected field %d in a name format", (int) field);
	}
	appendStringInfo(buf, "%0*d", fields[field].width, value);
}

/*
 * fill_format puts the lower bound's values in place of the fields.  An open
 * bound has none: "min" stands for everything from the first to the last.
 */
static char *
fill_format(const char *format, const char *parent, const PartKey *key,
			const PartGrid *grid, const PartBound *bound)
{
	StringInfoData buf;
	NamePiece	piece;
	WallTime	time;
	int			min_at = -1;

	if (key->axis != AXIS_ID && !bound->lower_open)
		read_wall(key, grid, bound->lower, &time);
	initStringInfo(&buf);
	while (next_piece(&format, &piece))
	{
		if (piece.field == FIELD_PARENT)
			appendStringInfoString(&buf, parent);
		else if (piece.field == FIELD_LITERAL || piece.field == FIELD_UNKNOWN)
			appendBinaryStringInfo(&buf, piece.text, piece.len);
		else if (bound->lower_open)
		{
			if (min_at < 0)
				min_at = buf.len;
			buf.len = min_at;
			buf.data[buf.len] = '\0';
			appendStringInfoString(&buf, "min");
		}
		else if (piece.field == FIELD_ID)
			appendStringInfo(&buf, INT64_FORMAT, bound->lower);
		else
			append_calendar(&buf, piece.field, &time);
	}
	return buf.data;
}

/* clip returns at most max bytes of a name, cut between two characters. */
static char *
clip(const char *name, int max)
{
	int			len = strlen(name);

	if (len > max)
		len = pg_mbcliplen(name, len, Max(max, 0));
	return pnstrdup(name, len);
}

/*
 * pm_name_fill fills a format and makes the result fit into max bytes, at the
 * expense of the parent's name.
 */
char *
pm_name_fill(const char *format, const char *parent, const PartKey *key,
			 const PartGrid *grid, const PartBound *bound, int max)
{
	char	   *name = fill_format(format, parent, key, grid, bound);
	int			excess = (int) strlen(name) - max;

	if (excess <= 0)
		return name;
	parent = clip(parent, (int) strlen(parent) - excess);
	return clip(fill_format(format, parent, key, grid, bound), max);
}

/*
 * pm_name_partition returns the name of the partition with this bound, of at
 * most 63 bytes.
 */
char *
pm_name_partition(const char *parent, const char *format, const PartKey *key,
				  const PartGrid *grid, const PartBound *bound)
{
	char	   *tail = name_tail(format, key, grid, bound);
	int			room = MAX_NAME - (int) strlen(tail);

	return psprintf("%s%s",
					pm_name_fill(format, parent, key, grid, bound, room), tail);
}

/* pm_name_suffixed returns a name with something after it, shortened if it must be. */
char *
pm_name_suffixed(const char *parent, const char *suffix)
{
	return psprintf("%s%s", clip(parent, MAX_NAME - (int) strlen(suffix)),
					suffix);
}

/* pm_name_default returns the name of the default partition. */
char *
pm_name_default(const char *parent)
{
	return pm_name_suffixed(parent, "_default");
}
