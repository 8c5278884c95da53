/*-------------------------------------------------------------------------
 *
 * key.h
 *		What key.c, key_grid.c and name.c share: arithmetic on the axis.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KEY_H
#define KEY_H

#include "partmgr.h"

/* seconds, and microseconds, from the Unix epoch to the one of PostgreSQL */
#define UNIX_SECS \
	((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY)
#define UNIX_USECS (UNIX_SECS * USECS_PER_SEC)

/* floor_div divides, rounding towards minus infinity; divisor is positive. */
static inline int64
floor_div(int64 value, int64 divisor)
{
	int64		quotient = value / divisor;

	return (value % divisor < 0) ? quotient - 1 : quotient;
}

/* floor_mod is what floor_div leaves: never negative. */
static inline int64
floor_mod(int64 value, int64 divisor)
{
	int64		rest = value % divisor;

	return (rest < 0) ? rest + divisor : rest;
}

/*
 * split_days takes a wall-clock position apart into days since 2000-01-01 and
 * the time of that day.
 */
static inline int64
split_days(int64 wall, int64 *time)
{
	*time = floor_mod(wall, USECS_PER_DAY);
	return floor_div(wall, USECS_PER_DAY);
}

/* axis_holds tells whether a position lies on the axis at all. */
static inline bool
axis_holds(PmAxis axis, int64 pos)
{
	return axis == AXIS_ID || IS_VALID_TIMESTAMP(pos);
}

#endif							/* KEY_H */
