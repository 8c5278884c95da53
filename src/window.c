/*-------------------------------------------------------------------------
 *
 * window.c
 *		The hours in which a set may be disturbed.
 *
 * Written as "22:00-04:00", or with the days on which it opens,
 * "Sat,Sun 22:00-04:00", on the clocks of the set's time zone.  Where the
 * clocks change, the window is what the wall clock shows.
 *
 * Pure: no clock of its own, no database.
 *
 *-------------------------------------------------------------------------
 */
#include "partmgr.h"

#include "utils/timestamp.h"

#define MINUTES_PER_DAY (24 * 60)
#define ALL_DAYS 0x7f

static const char *const day_names[] = {
	"sun", "mon", "tue", "wed", "thu", "fri", "sat"
};

/* read_day takes the name of a weekday, or its first letters from three on. */
static bool
read_day(const char **text, int *day)
{
	static const char *const full[] = {
		"sunday", "monday", "tuesday", "wednesday", "thursday", "friday",
		"saturday"
	};
	int			length = strspn(*text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");

	for (int i = 0; i < lengthof(day_names); i++)
	{
		if ((length == 3 && pg_strncasecmp(*text, day_names[i], 3) == 0) ||
			(length == strlen(full[i]) &&
			 pg_strncasecmp(*text, full[i], length) == 0))
		{
			*day = i;
			*text += length;
			return true;
		}
	}
	return false;
}

/* read_minute takes hours and minutes, HH:MM, from 00:00 to 24:00. */
static bool
read_minute(const char **text, int *minute)
{
	const char *p = *text;
	int			hours = 0;
	int			minutes = 0;
	int			n = 0;

	while (n < 2 && p[n] >= '0' && p[n] <= '9')
		hours = hours * 10 + (p[n++] - '0');
	if (n == 0 || p[n] != ':' ||
		p[n + 1] < '0' || p[n + 1] > '5' || p[n + 2] < '0' || p[n + 2] > '9')
		return false;
	minutes = (p[n + 1] - '0') * 10 + (p[n + 2] - '0');
	*minute = hours * 60 + minutes;
	*text = p + n + 3;
	return *minute <= MINUTES_PER_DAY;
}

static void
skip_blanks(const char **text)
{
	while (**text == ' ')
		(*text)++;
}

/* pm_window_parse reads a window; false if the text is none. */
bool
pm_window_parse(const char *text, PmWindow *window)
{
	int			day;

	memset(window, 0, sizeof(PmWindow));
	skip_blanks(&text);
	while (read_day(&text, &day))
	{
		window->days |= 1 << day;
		skip_blanks(&text);
		if (*text == ',')
			text++;
		skip_blanks(&text);
	}
	if (window->days == 0)
		window->days = ALL_DAYS;
	if (!read_minute(&text, &window->from))
		return false;
	skip_blanks(&text);
	if (*text++ != '-')
		return false;
	skip_blanks(&text);
	if (!read_minute(&text, &window->to))
		return false;
	skip_blanks(&text);
	window->from %= MINUTES_PER_DAY;
	return *text == '\0';
}

/* opens tells whether the window opens on the day of a wall clock's time. */
static bool
opens(const PmWindow *window, Timestamp local)
{
	int64		days = local / USECS_PER_DAY - (local % USECS_PER_DAY < 0 ? 1 : 0);
	int			weekday = (int) (((days + 6) % 7 + 7) % 7);	/* 2000-01-01: Saturday */

	return (window->days & (1 << weekday)) != 0;
}

/*
 * pm_window_next returns now if the window is open, otherwise when it opens
 * next.
 */
TimestampTz
pm_window_next(const PmWindow *window, pg_tz *zone, TimestampTz now)
{
	PartKey		clock = {.kind = KEY_TIMESTAMP, .axis = AXIS_LOCAL};
	Timestamp	local = pm_key_now(&clock, zone, now);
	Timestamp	midnight = local - ((local % USECS_PER_DAY) + USECS_PER_DAY) % USECS_PER_DAY;
	int			length = window->to - window->from;

	if (length <= 0)
		length += MINUTES_PER_DAY;

	/* yesterday's may still be open */
	for (int day = -1; day <= 7; day++)
	{
		Timestamp	start = midnight + day * USECS_PER_DAY +
			window->from * USECS_PER_MINUTE;

		if (!opens(window, start) ||
			start + length * USECS_PER_MINUTE <= local)
			continue;
		return start <= local ? now : pm_key_instant(&clock, zone, start);
	}
	return now;					/* not reached: some day is within a week */
}
