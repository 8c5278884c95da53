/*-------------------------------------------------------------------------
 *
 * plan_create.c
 *		Decide which partitions are to be made.
 *
 * The partitions that exist leave holes on the axis.  Wanted are the cells of
 * the grid from the current one on, as many as the set keeps ahead, and before
 * it those back to where the set ends (or to where it is to start); what is
 * made is the wanted cells, clipped to the holes.  So a hole at or ahead of now
 * is always filled, and the clipped cell at the end of an old grid is the
 * bridge to a new one.  Holes further back are reported only.
 *
 * Pure, as plan.c is.  One walk over the partitions; the number of cells that
 * are looked at is bounded by what the set keeps ahead and by the cap of a
 * run, never by a span of time.
 *
 *-------------------------------------------------------------------------
 */
#include "partmgr.h"

#include "common/int.h"
#include "plan.h"

/* single gaps that a plan names; beyond that it gives their number */
#define MAX_GAPS 10

typedef struct Creation
{
	PlanWork   *work;

	PartBound  *holes;			/* what no partition takes, ascending */
	int			nholes;
	bool		has_cover;		/* there is a partition that takes something */

	/* wanted: cells from start on, up to premake cells beyond the current one */
	bool		has_anchor;
	int64		anchor;
	bool		has_current;	/* false: the type cannot hold its lower bound */
	int64		current;
	int64		start;
	int			premake;		/* cells ahead: more than the set's where rows are ahead */

	int			made;
	bool		is_full;		/* the cap of the run is reached */
	bool		saw_end;		/* the end of the type is reported */
	List	   *older;			/* steps before the current cell, descending */
	List	   *newer;			/* steps from the current cell on, ascending */
} Creation;


/* Does a hole begin where the set begins: with the axis, or with its limits? */
static bool
is_first(const Creation *creation, const PartBound *hole)
{
	const PartSet *set = creation->work->set;

	return hole->lower_open ||
		(set->has_limits && !set->limits.lower_open && hole->lower == set->limits.lower);
}

/* Does it end where the set ends? */
static bool
is_last(const Creation *creation, const PartBound *hole)
{
	const PartSet *set = creation->work->set;

	return hole->upper_open ||
		(set->has_limits && !set->limits.upper_open && hole->upper == set->limits.upper);
}

/* last_hole returns the hole behind all partitions, or NULL if there is none. */
static const PartBound *
last_hole(const Creation *creation)
{
	const PartBound *last;

	if (creation->nholes == 0)
		return NULL;
	last = &creation->holes[creation->nholes - 1];
	return is_last(creation, last) ? last : NULL;
}

/* is_inside tells whether a hole has partitions on both sides. */
static bool
is_inside(const Creation *creation, const PartBound *hole)
{
	return !is_first(creation, hole) && !is_last(creation, hole);
}


/* ---------- steps ---------- */

/* report_end says, once, that the column's type ends before the next bound. */
static void
report_end(Creation *creation, const char *direction, int64 pos)
{
	const PartKey *key = &creation->work->set->key;
	int64		raw;
	char	   *where = "the last partition";

	if (creation->saw_end)
		return;
	creation->saw_end = true;
	if (pm_key_raw_of(key, pos, &raw))
		where = pm_key_literal(key, raw);
	pm_plan_finding(creation->work, FINDING_END_OF_TYPE,
					psprintf("no further partition fits %s %s: the type of column \"%s\" ends before the next bound",
							 direction, where, key->attname));
}

/*
 * clip_cell sets bound to what a hole leaves of a cell; false where nothing is
 * left, and where an end is beyond the column's type, which is told.
 */
static bool
clip_cell(Creation *creation, const PartBound *cell, const PartBound *hole,
		  PartBound *bound)
{
	switch (pm_plan_clip(&creation->work->set->key, cell, hole, bound))
	{
		case CLIP_DONE:
			return true;
		case CLIP_NOTHING:
			break;
		case CLIP_BELOW:
			report_end(creation, "below",
					   cell->upper_open ? creation->anchor : cell->upper);
			break;
		case CLIP_ABOVE:
			report_end(creation, "from", bound->lower);
			break;
	}
	return false;
}

/*
 * create_reason says why a cell is made: ahead counts from the current one,
 * which is 0; -1 is any before it.
 */
static char *
create_reason(const Creation *creation, const PartBound *cell,
			  const PartBound *hole, const PartBound *bound, int ahead)
{
	bool		is_clipped = cell->lower_open || cell->upper_open ||
		bound->lower != cell->lower || bound->upper != cell->upper;

	if (is_inside(creation, hole) &&
		(is_clipped || ahead < 0 || ahead > creation->premake))
		return "gap between existing partitions";
	if (is_clipped)
		return "bridges the old interval to the new one";
	if (ahead == 0)
		return "current partition";
	if (ahead > 0)
		return psprintf("%d of %d ahead", ahead,
						creation->premake);
	return hole->lower_open ? "from the requested start on" :
		"missing since the last run";
}

/*
 * add_cell makes a step of what a hole leaves of a cell, unless retention would
 * take it out again.  False if no further partition may be made in this run.
 */
static bool
add_cell(Creation *creation, const PartBound *cell, const PartBound *hole,
		 int ahead)
{
	PlanWork   *work = creation->work;
	const PartSet *set = work->set;
	PartBound	bound;
	PlanStep   *step;

	if (!clip_cell(creation, cell, hole, &bound))
		return true;
	if (work->has_cutoff && bound.upper <= work->cutoff)
		return true;
	if (creation->made >= work->point->max_create)
	{
		creation->is_full = true;
		return false;
	}

	step = palloc0(sizeof(PlanStep));
	step->kind = STEP_CREATE;
	step->bound = bound;
	step->name = pm_name_partition(set->name, set->name_format, &set->key,
								   &set->grid, &bound);
	step->reason = create_reason(creation, cell, hole, &bound, ahead);
	creation->made++;
	if (ahead < 0)
		creation->older = lappend(creation->older, step);
	else
		creation->newer = lappend(creation->newer, step);
	return true;
}


/* ---------- the two walks ---------- */

/* first_hole_from returns the number of the first hole that ends beyond pos. */
static int
first_hole_from(const Creation *creation, int64 pos)
{
	int			low = 0;
	int			high = creation->nholes;

	while (low < high)
	{
		int			middle = low + (high - low) / 2;
		const PartBound *hole = &creation->holes[middle];

		if (hole->upper_open || hole->upper > pos)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

/*
 * first_hole_ahead returns the number of the first hole to be filled.  What lies
 * before the first partition of all and before the anchor is not: a wider
 * interval does not make a set begin earlier.
 */
static int
first_hole_ahead(const Creation *creation)
{
	int			h = creation->has_current ?
		first_hole_from(creation, creation->current) : 0;
	const PartBound *hole = &creation->holes[h];

	if (h < creation->nholes && is_first(creation, hole) && !is_last(creation, hole) &&
		hole->upper <= creation->anchor && !creation->work->set->has_backfill)
		h++;
	return h;
}

/*
 * walk_ahead makes the current cell and those ahead of it.  Cells are counted,
 * whether they are taken already or not, until no hole is left.  is_far: it
 * makes only what is missing further ahead, where gaps are filled last and only
 * if that was asked for.
 */
static void
walk_ahead(Creation *creation, bool is_far)
{
	const PartSet *set = creation->work->set;
	PartBound	cell = {.lower_open = !creation->has_current,
		.lower = creation->current
	};
	int64		inside = creation->anchor;
	int			h = first_hole_ahead(creation);

	for (int ahead = 0; h < creation->nholes; ahead++)
	{
		/* beyond what is kept ahead only gaps are filled, if that is asked for */
		if (ahead > creation->premake)
		{
			if (!is_far || !is_inside(creation, &creation->holes[h]))
				return;
			if (creation->holes[h].lower > inside)
			{
				inside = creation->holes[h].lower;
				cell.lower_open = !pm_key_floor(&set->key, &set->grid, inside,
												&cell.lower);
			}
		}
		cell.upper_open = !pm_key_next(&set->key, &set->grid, inside, &cell.upper);
		while (h < creation->nholes)
		{
			const PartBound *hole = &creation->holes[h];

			if (!cell.upper_open && !hole->lower_open &&
				hole->lower >= cell.upper)
				break;
			if (is_far == (ahead > creation->premake) &&
				!add_cell(creation, &cell, hole, ahead))
				return;
			if (hole->upper_open ||
				(!cell.upper_open && hole->upper > cell.upper))
				break;
			h++;
		}
		if (cell.upper_open)
			return;
		cell.lower_open = false;
		cell.lower = inside = cell.upper;
	}
}

/* walk_back_hole makes the cells of one hole below top, the newest first. */
static bool
walk_back_hole(Creation *creation, const PartBound *hole, int64 top)
{
	const PartSet *set = creation->work->set;
	int64		bottom = hole->lower_open ? creation->start :
		Max(hole->lower, creation->start);
	PartBound	cell = {.upper = hole->upper_open ? top : Min(hole->upper, top)};

	while (cell.upper > bottom)
	{
		PartBound	whole = cell;

		whole.lower_open = !pm_key_floor(&set->key, &set->grid, cell.upper - 1,
										 &whole.lower);
		/* seen as a cell of the grid, so that a clipped one is told apart */
		if (!pm_key_next(&set->key, &set->grid, cell.upper - 1, &whole.upper))
			whole.upper_open = true;
		if (!add_cell(creation, &whole, hole, -1))
			return false;
		if (whole.lower_open)
			break;
		cell.upper = whole.lower;
	}
	return true;
}

/*
 * walk_back makes the missing cells between start and the current one, those
 * nearest to it first.  Without a current one, gaps are all there is to fill.
 */
static void
walk_back(Creation *creation)
{
	bool		has_top = creation->has_anchor;
	int64		top = creation->current;

	if (has_top && !creation->has_current)
		return;
	for (int h = creation->nholes - 1; h >= 0; h--)
	{
		const PartBound *hole = &creation->holes[h];

		if (has_top && !hole->lower_open && hole->lower >= top)
			continue;
		if (!has_top && !is_inside(creation, hole))
			continue;
		if (!hole->upper_open && hole->upper <= creation->start)
			return;
		if (!walk_back_hole(creation, hole, has_top ? top : PG_INT64_MAX))
			return;
	}
}


/* ---------- where to start ---------- */

/*
 * floor_or_next returns the last bound not beyond pos, or the first one after
 * it where the type cannot hold that.
 */
static int64
floor_or_next(const PartSet *set, int64 pos)
{
	int64		result;

	if (pm_key_floor(&set->key, &set->grid, pos, &result) ||
		pm_key_next(&set->key, &set->grid, pos, &result))
		return result;
	return pos;
}

/*
 * is_past tells whether a set that is a partition itself lies behind the anchor:
 * no new rows are to be expected there, and those that come have the default.
 */
static bool
is_past(const PartSet *set, int64 anchor)
{
	return set->has_limits && !set->limits.upper_open && !set->has_backfill &&
		anchor >= set->limits.upper;
}

/*
 * find_anchor sets the current cell.  An id set without rows has one only while
 * partitions are wanted from a start on; a key too far away has none.
 */
static void
find_anchor(Creation *creation)
{
	PlanWork   *work = creation->work;
	const PartSet *set = work->set;

	creation->anchor = work->point->has_anchor ? work->point->anchor :
		set->backfill;
	creation->has_anchor = (work->point->has_anchor || set->has_backfill) &&
		!work->is_far && !is_past(set, creation->anchor);
	if (creation->has_anchor)
		creation->has_current = pm_key_floor(&set->key, &set->grid,
											 creation->anchor,
											 &creation->current);
}

/*
 * find_premake sets how many cells are kept ahead of the current one: those of the
 * set, counted from where rows come in.
 */
static void
find_premake(Creation *creation)
{
	const PlanPoint *point = creation->work->point;
	const PartSet *set = creation->work->set;
	int64		pos = creation->anchor;

	creation->premake = set->premake;
	if (!point->has_horizon || !creation->has_anchor)
		return;
	while (creation->premake < set->premake + point->max_create &&
		   pm_key_next(&set->key, &set->grid, pos, &pos) && pos <= point->horizon)
		creation->premake++;
}

/*
 * find_start sets where the wanted cells begin: where the set is asked to
 * start, or else where it ends if that is before the current cell; with gaps to
 * fill at its very beginning.  Never where retention would take them out.
 */
static void
find_start(Creation *creation)
{
	PlanWork   *work = creation->work;
	const PartSet *set = work->set;
	const PartBound *last = last_hole(creation);

	creation->start = creation->has_current ? creation->current : PG_INT64_MAX;
	if (creation->has_anchor && set->has_backfill)
		creation->start = floor_or_next(set, set->backfill);
	else if (creation->has_cover && last != NULL)
		creation->start = Min(creation->start, last->lower);

	if (work->point->fill_gaps)
	{
		for (int h = 0; h < creation->nholes; h++)
		{
			const PartBound *hole = &creation->holes[h];

			if (is_first(creation, hole))
				continue;
			creation->start = Min(creation->start, hole->lower);
			break;
		}
	}
	if (work->has_cutoff && creation->start < work->cutoff)
		creation->start = Max(creation->start,
							  floor_or_next(set, work->cutoff));
}


/* ---------- findings ---------- */

/*
 * report_gaps notes the holes between partitions that lie before start and are
 * not expired.
 */
static void
report_gaps(Creation *creation)
{
	PlanWork   *work = creation->work;
	const PartKey *key = &work->set->key;

	for (int h = 0; h < creation->nholes; h++)
	{
		PartBound	gap = creation->holes[h];
		PlanFinding *finding;

		if (!gap.lower_open && gap.lower >= creation->start)
			break;
		if (!is_inside(creation, &gap) ||
			(work->has_cutoff && gap.upper <= work->cutoff))
			continue;
		if (gap.upper > creation->start)
		{
			gap.upper = creation->start;
			if (!pm_key_raw_of(key, gap.upper, &gap.upper_raw))
				continue;
		}
		/* retention has made this one, and what it held is known */
		if (pm_plan_is_detached(work->set, &gap))
			continue;
		if (++work->plan->gaps > MAX_GAPS)
			continue;
		finding = pm_plan_finding(work, FINDING_GAP,
								  psprintf("no partition takes rows from %s to %s",
										   pm_key_literal(key, gap.lower_raw),
										   pm_key_literal(key, gap.upper_raw)));
		finding->bound = gap;
	}
	if (work->plan->gaps > MAX_GAPS)
		pm_plan_finding(work, FINDING_GAP,
						psprintf("there are %d such gaps in all",
								 work->plan->gaps))->bound.lower_open = true;
}

/* typical_width is the length of an interval, near enough to count with. */
static double
typical_width(const PartInterval *interval)
{
	const double days_per_month = 365.2425 / 12;

	if (interval->months != 0)
		return interval->months * days_per_month * USECS_PER_DAY;
	if (interval->days != 0)
		return (double) interval->days * USECS_PER_DAY;
	return (double) interval->units;
}

/*
 * report_cap estimates how many partitions are left to later runs.  They are
 * not enumerated: there may be billions.
 */
static void
report_cap(Creation *creation)
{
	PlanWork   *work = creation->work;
	double		width = typical_width(&work->set->grid.interval);
	double		end = (double) creation->anchor +
		((double) creation->premake + 1) * width;
	double		left = -creation->made;

	for (int h = 0; h < creation->nholes; h++)
	{
		const PartBound *hole = &creation->holes[h];
		double		from = (double) creation->start;
		double		to = end;

		if (!hole->lower_open)
			from = Max(from, (double) hole->lower);
		if (!hole->upper_open)
			to = Min(to, (double) hole->upper);
		if (to > from)
			left += (to - from) / width;
	}
	work->plan->left_out = (int) Min(Max(left, 1), PG_INT32_MAX);
	pm_plan_finding(work, FINDING_CAPPED,
					psprintf("about %d more partitions are wanted than the %d that one run may make: later runs make them",
							 work->plan->left_out, work->point->max_create));
}


/*
 * make_one makes the lowest partition of a set that is a partition itself, and so
 * far from now that it would have none: a set without partitions takes no row.
 */
static void
make_one(Creation *creation)
{
	const PartSet *set = creation->work->set;
	const PartBound *hole = creation->holes;
	PartBound	cell = {0};

	if (!set->has_limits || creation->has_cover || creation->made > 0 || creation->nholes == 0 ||
		hole->lower_open)
		return;
	cell.lower_open = !pm_key_floor(&set->key, &set->grid, hole->lower, &cell.lower);
	cell.upper_open = !pm_key_next(&set->key, &set->grid, hole->lower, &cell.upper);
	(void) add_cell(creation, &cell, hole, -1);
}

/*
 * pm_plan_creation adds a step for each partition that is to be made, in the
 * order of their bounds, and says what is wrong with those that exist.
 */
void
pm_plan_creation(PlanWork *work, List *partitions)
{
	Creation	creation = {.work = work};
	List	   *steps = work->plan->steps;

	creation.holes = pm_plan_holes(work->set, partitions, &creation.nholes,
								   &creation.has_cover);
	find_anchor(&creation);
	find_premake(&creation);
	find_start(&creation);

	if (creation.has_anchor)
		walk_ahead(&creation, false);
	if (!creation.is_full)
		walk_back(&creation);
	if (creation.has_anchor && !creation.is_full && work->point->fill_gaps)
		walk_ahead(&creation, true);
	make_one(&creation);
	for (int i = list_length(creation.older) - 1; i >= 0; i--)
		steps = lappend(steps, list_nth(creation.older, i));
	work->plan->steps = list_concat(steps, creation.newer);

	report_gaps(&creation);
	if (creation.is_full)
		report_cap(&creation);
}
