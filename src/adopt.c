/*-------------------------------------------------------------------------
 *
 * adopt.c
 *		The shape of a set that is taken over: its calendar, its origin, and
 *		where its first partition is wanted.
 *
 * What the user says counts first, then what the existing partitions show:
 * the calendar and the origin with which most of their bounds agree.  Only
 * then come the session's time zone and the calendar's own origin.  Reads what
 * catalog.c found and the session's time zone; changes nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "bound.h"
#include "create_parent.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "compat.h"

/* so many of the newest partitions are asked for the grid they lie on */
#define MAX_ASKED 1000


/*
 * pm_adopt_position reads a position as a user writes it.  A time without a
 * zone is one on the set's calendar, whatever the session's.
 */
int64
pm_adopt_position(const PartKey *key, pg_tz *zone, const char *text)
{
	pg_tz	   *save_timezone = session_timezone;
	int64		pos = 0;

	if (key->axis == AXIS_INSTANT)
	{
		PG_TRY();
		{
			session_timezone = zone;
			pos = pm_position_read(key, text);
		}
		PG_FINALLY();
		{
			session_timezone = save_timezone;
		}
		PG_END_TRY();
	}
	else
		pos = pm_position_read(key, text);

	if (key->axis != AXIS_ID && TIMESTAMP_NOT_FINITE(pos))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" is not a point in time at which a partition can begin",
						text)));
	return pos;
}

/* ---------- existing partitions ---------- */

static bool
on_grid(const PartKey *key, const PartGrid *grid, int64 pos)
{
	int64		floor;

	return pm_key_floor(key, grid, pos, &floor) && floor == pos;
}

/* bounds_on_grid counts the bounds of existing partitions that lie on a grid. */
static int
bounds_on_grid(const PmLook *look, const PartGrid *grid)
{
	const PartKey *key = &look->set->key;
	int			from = Max(list_length(look->partitions) - MAX_ASKED, 0);
	int			n = 0;
	ListCell   *lc;

	for_each_from(lc, look->partitions, from)
	{
		const Partition *partition = lfirst(lc);
		const PartBound *bound = &partition->bound;

		if (!partition->is_readable)
			continue;
		n += !bound->lower_open && on_grid(key, grid, bound->lower);
		n += !bound->upper_open && on_grid(key, grid, bound->upper);
	}
	return n;
}

/*
 * newest_partition returns the newest partition with two ends: what goes on
 * from there is what the user would have made next.
 */
static const Partition *
newest_partition(const PmLook *look)
{
	for (int i = list_length(look->partitions) - 1; i >= 0; i--)
	{
		const Partition *partition = list_nth(look->partitions, i);

		if (partition->is_readable && !partition->bound.lower_open &&
			!partition->bound.upper_open)
			return partition;
	}
	return NULL;
}

/*
 * try_shape takes a calendar with an origin for the shape if more bounds lie
 * on that grid than on the best one so far.
 */
static void
try_shape(const PmLook *look, pg_tz *zone, const int64 *origin, int *best,
		  SetShape *shape)
{
	PartGrid	grid = shape->grid;
	int			n;

	grid.zone = zone;
	grid.origin = (origin != NULL) ? *origin :
		pm_key_default_origin(&look->set->key, &grid.interval, zone);
	n = bounds_on_grid(look, &grid);
	if (n <= *best)
		return;
	*best = n;
	shape->grid = grid;
	shape->has_origin = (origin != NULL);
}

/*
 * adopt_grid sets the calendar and origin that the existing partitions show;
 * zone is NULL if the user said nothing about it.
 *
 * A shifted origin (ids 5, 15, 25; weeks from Sunday) is only thought of if
 * the newest partition is one interval wide from there.
 */
static void
adopt_grid(const PmLook *look, pg_tz *zone, SetShape *shape)
{
	const PartKey *key = &look->set->key;
	pg_tz	   *zones[] = {zone ? zone : session_timezone, pg_tzset("UTC")};
	int			nzones = (zone == NULL && key->axis == AXIS_INSTANT) ? 2 : 1;
	const Partition *newest = newest_partition(look);
	int			best = -1;

	if (key->axis == AXIS_ID)
		zones[0] = NULL;
	for (int i = 0; i < nzones; i++)
		try_shape(look, zones[i], NULL, &best, shape);
	/* an origin has to be a time that the keys can have as a bound */
	if (newest == NULL || key->is_list ||
		(key->codec && newest->bound.lower_raw != newest->bound.lower))
		return;
	for (int i = 0; i < nzones; i++)
	{
		PartGrid	shifted = shape->grid;

		shifted.zone = zones[i];
		shifted.origin = newest->bound.lower;
		if (on_grid(key, &shifted, newest->bound.upper))
			try_shape(look, zones[i], &newest->bound.lower, &best, shape);
	}
}

/* ---------- the user's wishes ---------- */

/* cut_field is the field of date_trunc to which pg_partman would cut a start. */
static const char *
cut_field(const PartInterval *interval)
{
	if (interval->months >= 12000)
		return "millennium";
	if (interval->months >= 1200)
		return "century";
	if (interval->months >= 120)
		return "decade";
	if (interval->months >= 12)
		return "year";
	if (interval->months > 0)
		return "month";
	if (interval->days > 0 || interval->units >= USECS_PER_DAY)
		return "day";
	return (interval->units >= USECS_PER_MINUTE) ? "hour" : "minute";
}

/* cut_time cuts a position to a field of the set's calendar. */
static int64
cut_time(const PartKey *key, pg_tz *zone, const char *field, int64 pos)
{
	PartKey		wall_key = *key;
	int64		wall;

	wall_key.axis = AXIS_LOCAL;
	wall = (key->axis == AXIS_LOCAL) ? pos : pm_key_now(&wall_key, zone, pos);
	wall = DatumGetTimestamp(DirectFunctionCall2(timestamp_trunc,
												 CStringGetTextDatum(field),
												 TimestampGetDatum(wall)));
	return (key->axis == AXIS_LOCAL) ? wall :
		pm_key_instant(&wall_key, zone, wall);
}

/* set_origin moves the grid so that pos is a bound, if it is none already. */
static void
set_origin(const PartKey *key, SetShape *shape, int64 pos)
{
	if (on_grid(key, &shape->grid, pos))
		return;
	shape->grid.origin = pos;
	shape->has_origin = true;
}

/*
 * wish_time applies p_start_partition and p_date_trunc_interval.  A set that
 * has partitions goes on from them, so there they only say how far back.
 */
static void
wish_time(const PmLook *look, const CreateOrder *order, SetShape *shape)
{
	const PartKey *key = &look->set->key;
	pg_tz	   *zone = shape->grid.zone;
	const char *field = order->date_trunc ? order->date_trunc :
		cut_field(&shape->grid.interval);
	int64		pos = pm_key_now(key, zone, order->now);

	if (order->start != NULL)
		pos = pm_adopt_position(key, zone, order->start);
	pos = cut_time(key, zone, field, pos);
	if (look->partitions == NIL || order->date_trunc != NULL)
		set_origin(key, shape, pos);
	shape->has_start = (order->start != NULL);
	shape->start = pos;
}

/* wish_id applies p_start_partition and p_offset_id. */
static void
wish_id(const PmLook *look, const CreateOrder *order, SetShape *shape)
{
	if (order->offset_id != 0)
	{
		shape->grid.origin = order->offset_id;
		shape->has_origin = true;
	}
	shape->has_start = (order->start != NULL);
	if (order->start != NULL)
		shape->start = pm_adopt_position(&look->set->key, NULL, order->start);
}

/* ---------- the first partition of a set that has none ---------- */

/*
 * first_time is premake intervals before the current one, as pg_partman has
 * it: rows that come late find a place.
 */
static int64
first_time(const PmLook *look, const CreateOrder *order, const PartGrid *grid)
{
	const PartKey *key = &look->set->key;
	int64		pos = pm_key_now(key, grid->zone, order->now);
	int64		earlier;

	if (!pm_key_floor(key, grid, pos, &pos))
		return pos;
	for (int i = 0; i < Min(order->premake, PM_MAX_PARTITIONS); i++)
	{
		if (!pm_key_floor(key, grid, pos - 1, &earlier))
			break;
		pos = earlier;
	}
	return pos;
}

/* the highest id, also of a default; of a set that is a partition that of the table on top */
static bool
highest_id(const PmLook *look, int64 *pos)
{
	PartSet		set = *look->set;
	PmLook		with_default = *look;

	if (set.has_limits)
		return pm_catalog_highest(&set, pm_bound_top(set.parent, &set.key), pos);
	set.ignore_default_data = false;
	with_default.set = &set;
	return pm_catalog_newest(&with_default, pos);
}

/*
 * first_id is the highest id there is, or 0: rows can only wait in a default
 * partition.
 */
static int64
first_id(const PmLook *look, const PartGrid *grid)
{
	const PartKey *key = &look->set->key;
	int64		pos;
	int64		first;

	if (highest_id(look, &pos))
		return pos;

	/* no id below 1 is expected: 5 with an offset of 5, not -5 */
	pos = 0;
	if (pm_key_floor(key, grid, pos, &first) && first < 0 &&
		pm_key_next(key, grid, pos, &first))
		pos = first;
	return pos;
}

/*
 * check_distance raises an error if there would be absurdly many partitions
 * from the start to now.
 */
static void
check_distance(const PmLook *look, const CreateOrder *order,
			   const SetShape *shape)
{
	const PartKey *key = &look->set->key;
	int64		pos = shape->start;
	int64		end;
	bool		has_end = true;

	if (key->axis == AXIS_ID)
		has_end = pm_catalog_newest(look, &end);
	else
		end = pm_key_now(key, shape->grid.zone, order->now);
	if (has_end &&
		pm_key_add(key, &shape->grid, &shape->grid.interval, pos,
				   PM_MAX_PARTITIONS, &pos) &&
		pos < end)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("p_start_partition \"%s\" asks for more than %d partitions",
						order->start, PM_MAX_PARTITIONS)));
}

/*
 * pm_adopt_shape decides where the bounds of a new set lie and from where
 * partitions are wanted.  The set's key is known; the zone in look's set is
 * the user's, or NULL.
 */
void
pm_adopt_shape(const PmLook *look, const CreateOrder *order,
			   const PartInterval *interval, SetShape *shape)
{
	const PartKey *key = &look->set->key;

	memset(shape, 0, sizeof(SetShape));
	shape->grid.interval = *interval;
	adopt_grid(look, look->set->grid.zone, shape);

	if (key->axis == AXIS_ID)
		wish_id(look, order, shape);
	else if (order->start != NULL || order->date_trunc != NULL)
		wish_time(look, order, shape);

	if (shape->has_start)
		check_distance(look, order, shape);
	else if (look->partitions == NIL)
	{
		shape->has_start = true;
		shape->start = (key->axis == AXIS_ID) ? first_id(look, &shape->grid) :
			first_time(look, order, &shape->grid);
	}
	if (shape->has_start)
		(void) pm_key_floor(key, &shape->grid, shape->start, &shape->start);
}
