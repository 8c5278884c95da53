/*-------------------------------------------------------------------------
 *
 * testing_key.c
 *		Lets the regression tests call key.c and name.c from SQL.
 *
 * Compiled to nothing unless PARTMGR_DEBUG is defined.  The tests create these
 * functions themselves (sql/key.sql, sql/name.sql); the extension has none of
 * them.  Nothing here looks at a table: the type of an argument stands for the
 * column's.
 *
 * A width is text, a number for ids, otherwise an interval; origin may be NULL
 * for the default one.
 *
 *-------------------------------------------------------------------------
 */
#include "partmgr.h"

#ifdef PARTMGR_DEBUG

#include "catalog/pg_type_d.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

/* a set, as far as key.c and name.c care */
typedef struct TestSet
{
	PartKey		key;
	PartGrid	grid;
} TestSet;

static PartKey
test_key(Oid type, const char *epoch)
{
	PartKey		key = {.attnum = 1,.attname = "k",.type = type};

	if (!pm_key_kind(type, epoch, &key.kind, &key.axis))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("no kind of key: type %u, epoch %s", type, epoch)));
	return key;
}

static PartInterval
test_interval(const char *width)
{
	PartInterval result = {0};
	Interval   *interval;

	if (strspn(width, "0123456789") == strlen(width))
	{
		result.units = DatumGetInt64(DirectFunctionCall1(int8in,
														 CStringGetDatum(width)));
		return result;
	}
	interval = DatumGetIntervalP(DirectFunctionCall3(interval_in,
													 CStringGetDatum(width),
													 ObjectIdGetDatum(InvalidOid),
													 Int32GetDatum(-1)));
	result.months = interval->month;
	result.days = interval->day;
	result.units = interval->time;
	if ((result.months > 0) + (result.days > 0) + (result.units > 0) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mixed interval \"%s\"", width)));
	return result;
}

static pg_tz *
test_zone(const char *name)
{
	pg_tz	   *zone = pg_tzset(name);

	if (zone == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("no time zone \"%s\"", name)));
	return zone;
}

/* place reads a value of the column; an error if it has no place. */
static int64
place(const PartKey *key, Datum value)
{
	int64		raw;
	int64		pos;
	const bool	round_up = true;

	if (!pm_key_raw(key, value, &raw) ||
		!pm_key_position(key, raw, round_up, &pos))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("value has no place on the axis")));
	return pos;
}

/* first_type returns the type of the first argument: the column's. */
static Oid
first_type(FunctionCallInfo fcinfo)
{
	return get_fn_expr_argtype(fcinfo->flinfo, 0);
}

/*
 * test_set builds a set from arguments number first (epoch), and the three
 * after it: width, zone, origin.
 */
static TestSet
test_set(FunctionCallInfo fcinfo, Oid type, int first)
{
	TestSet		set;

	set.key = test_key(type, text_to_cstring(PG_GETARG_TEXT_PP(first)));
	set.grid.interval = test_interval(text_to_cstring(PG_GETARG_TEXT_PP(first + 1)));
	set.grid.zone = NULL;
	if (set.key.axis != AXIS_ID)
		set.grid.zone = test_zone(text_to_cstring(PG_GETARG_TEXT_PP(first + 2)));
	set.grid.origin = PG_ARGISNULL(first + 3) ?
		pm_key_default_origin(&set.key, &set.grid.interval, set.grid.zone) :
		place(&set.key, PG_GETARG_DATUM(first + 3));
	return set;
}

/* plain_literal returns a position's literal without its quotes. */
static char *
plain_literal(const PartKey *key, int64 pos)
{
	int64		raw;
	char	   *literal;

	if (!pm_key_raw_of(key, pos, &raw))
		return pstrdup("does not fit");
	literal = pm_key_literal(key, raw);
	return pnstrdup(literal + 1, strlen(literal) - 2);
}

/* key_kind(type regtype, epoch text) returns kind and axis, or NULL */
PG_FUNCTION_INFO_V1(partmgr_test_key_kind);
Datum
partmgr_test_key_kind(PG_FUNCTION_ARGS)
{
	static const char *const axes[] = {
		[AXIS_ID] = "id", [AXIS_INSTANT] = "instant", [AXIS_LOCAL] = "local"
	};
	PmKeyKind	kind;
	PmAxis		axis;

	if (!pm_key_kind(PG_GETARG_OID(0), text_to_cstring(PG_GETARG_TEXT_PP(1)),
					 &kind, &axis))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("%d %s", (int) kind, axes[axis])));
}

/*
 * key_grid(value anyelement, epoch, width, zone, origin anyelement, n int)
 * returns the bound at or before the value and the n - 1 after it, as literals
 */
PG_FUNCTION_INFO_V1(partmgr_test_key_grid);
Datum
partmgr_test_key_grid(PG_FUNCTION_ARGS)
{
	TestSet		set = test_set(fcinfo, first_type(fcinfo), 1);
	int64		pos = place(&set.key, PG_GETARG_DATUM(0));
	int			n = PG_GETARG_INT32(5);
	ArrayBuildState *result = NULL;

	for (int i = 0; i < n; i++)
	{
		int64		bound;
		const char *text;
		bool		found = (i == 0) ?
			pm_key_floor(&set.key, &set.grid, pos, &bound) :
			pm_key_next(&set.key, &set.grid, pos, &bound);

		text = found ? plain_literal(&set.key, bound) : "none";
		result = accumArrayResult(result, CStringGetTextDatum(text), false,
								  TEXTOID, CurrentMemoryContext);
		if (found)
			pos = bound;
		else if (i > 0)
			break;
	}
	PG_RETURN_DATUM(makeArrayResult(result, CurrentMemoryContext));
}

/* key_add(value anyelement, epoch, width, zone, origin, times) returns text */
PG_FUNCTION_INFO_V1(partmgr_test_key_add);
Datum
partmgr_test_key_add(PG_FUNCTION_ARGS)
{
	TestSet		set = test_set(fcinfo, first_type(fcinfo), 1);
	int64		result;

	if (!pm_key_add(&set.key, &set.grid, &set.grid.interval,
					place(&set.key, PG_GETARG_DATUM(0)), PG_GETARG_INT64(5),
					&result))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(plain_literal(&set.key, result)));
}

/*
 * key_position(value anyelement, epoch, round_up) returns the raw value, its
 * position (as a local time, or a number) and the literal of that
 */
PG_FUNCTION_INFO_V1(partmgr_test_key_position);
Datum
partmgr_test_key_position(PG_FUNCTION_ARGS)
{
	PartKey		key = test_key(first_type(fcinfo),
							   text_to_cstring(PG_GETARG_TEXT_PP(1)));
	PartKey		axis = test_key(key.axis == AXIS_ID ? INT8OID : TIMESTAMPOID,
								"none");
	int64		raw;
	int64		pos;

	if (!pm_key_raw(&key, PG_GETARG_DATUM(0), &raw))
		PG_RETURN_TEXT_P(cstring_to_text("no raw value"));
	if (!pm_key_position(&key, raw, PG_GETARG_BOOL(2), &pos))
		PG_RETURN_TEXT_P(cstring_to_text(psprintf(INT64_FORMAT ": no position",
												  raw)));
	PG_RETURN_TEXT_P(cstring_to_text(psprintf(INT64_FORMAT ": %s: %s", raw,
											  pm_key_literal(&axis, pos),
											  plain_literal(&key, pos))));
}

/* key_literal(value anyelement, epoch) returns text */
PG_FUNCTION_INFO_V1(partmgr_test_key_literal);
Datum
partmgr_test_key_literal(PG_FUNCTION_ARGS)
{
	PartKey		key = test_key(first_type(fcinfo),
							   text_to_cstring(PG_GETARG_TEXT_PP(1)));
	int64		raw;

	if (!pm_key_raw(&key, PG_GETARG_DATUM(0), &raw))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(pm_key_literal(&key, raw)));
}

/* key_datum(value anyelement, epoch) returns the value, once through raw */
PG_FUNCTION_INFO_V1(partmgr_test_key_datum);
Datum
partmgr_test_key_datum(PG_FUNCTION_ARGS)
{
	PartKey		key = test_key(first_type(fcinfo),
							   text_to_cstring(PG_GETARG_TEXT_PP(1)));
	int64		raw;

	if (!pm_key_raw(&key, PG_GETARG_DATUM(0), &raw))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(pm_key_datum(&key, raw));
}

/* key_now(now timestamptz, zone text) returns timestamp */
PG_FUNCTION_INFO_V1(partmgr_test_key_now);
Datum
partmgr_test_key_now(PG_FUNCTION_ARGS)
{
	PartKey		key = test_key(TIMESTAMPOID, "none");
	pg_tz	   *zone = test_zone(text_to_cstring(PG_GETARG_TEXT_PP(1)));

	PG_RETURN_TIMESTAMP(pm_key_now(&key, zone, PG_GETARG_TIMESTAMPTZ(0)));
}

/* key_instant(wall timestamp, zone text) returns timestamptz */
PG_FUNCTION_INFO_V1(partmgr_test_key_instant);
Datum
partmgr_test_key_instant(PG_FUNCTION_ARGS)
{
	PartKey		key = test_key(TIMESTAMPOID, "none");
	pg_tz	   *zone = test_zone(text_to_cstring(PG_GETARG_TEXT_PP(1)));

	PG_RETURN_TIMESTAMPTZ(pm_key_instant(&key, zone, PG_GETARG_TIMESTAMP(0)));
}

/* key_width(width text, type regtype) returns text */
PG_FUNCTION_INFO_V1(partmgr_test_key_width);
Datum
partmgr_test_key_width(PG_FUNCTION_ARGS)
{
	PartInterval interval = test_interval(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	PartKey		key = test_key(PG_GETARG_OID(1), "none");

	PG_RETURN_TEXT_P(cstring_to_text(pm_key_interval_text(&key, &interval)));
}

/*
 * name(lower anyelement, epoch, width, zone, origin anyelement, parent text,
 * format text) returns text; a NULL lower is MINVALUE, a NULL format the
 * default one
 */
PG_FUNCTION_INFO_V1(partmgr_test_name);
Datum
partmgr_test_name(PG_FUNCTION_ARGS)
{
	TestSet		set = test_set(fcinfo, first_type(fcinfo), 1);
	PartBound	bound = {.lower_open = PG_ARGISNULL(0)};
	char	   *parent = text_to_cstring(PG_GETARG_TEXT_PP(5));
	const char *format = PG_ARGISNULL(6) ?
		pm_name_default_format(&set.key, &set.grid) :
		text_to_cstring(PG_GETARG_TEXT_PP(6));

	if (!bound.lower_open)
		bound.lower = place(&set.key, PG_GETARG_DATUM(0));
	PG_RETURN_TEXT_P(cstring_to_text(pm_name_partition(parent, format, &set.key,
													   &set.grid, &bound)));
}

/*
 * name_problem(type anyelement, epoch, width, zone, origin anyelement, format
 * text) returns text
 */
PG_FUNCTION_INFO_V1(partmgr_test_name_problem);
Datum
partmgr_test_name_problem(PG_FUNCTION_ARGS)
{
	TestSet		set = test_set(fcinfo, first_type(fcinfo), 1);
	char	   *problem = pm_name_format_problem(text_to_cstring(PG_GETARG_TEXT_PP(5)),
												 &set.key, &set.grid);

	if (problem == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(problem));
}

/* name_default(parent text) returns text */
PG_FUNCTION_INFO_V1(partmgr_test_name_default);
Datum
partmgr_test_name_default(PG_FUNCTION_ARGS)
{
	char	   *parent = text_to_cstring(PG_GETARG_TEXT_PP(0));

	PG_RETURN_TEXT_P(cstring_to_text(pm_name_default(parent)));
}

/*
 * name_detect(lowers anyarray, epoch, width, zone, origin anyelement, parent
 * text, names text[]) returns text; a NULL lower is MINVALUE, a name that
 * begins with ! is of an unreadable partition
 */
PG_FUNCTION_INFO_V1(partmgr_test_name_detect);
Datum
partmgr_test_name_detect(PG_FUNCTION_ARGS)
{
	ArrayType  *lowers = PG_GETARG_ARRAYTYPE_P(0);
	Oid			type = ARR_ELEMTYPE(lowers);
	TestSet		set = test_set(fcinfo, type, 1);
	int16		typlen;
	bool		typbyval;
	char		typalign;
	Datum	   *values,
			   *names;
	bool	   *nulls;
	int			nvalues,
				nnames;
	List	   *partitions = NIL;
	char	   *format;

	get_typlenbyvalalign(type, &typlen, &typbyval, &typalign);
	deconstruct_array(lowers, type, typlen, typbyval, typalign,
					  &values, &nulls, &nvalues);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(6), TEXTOID, -1, false, TYPALIGN_INT,
					  &names, NULL, &nnames);
	if (nvalues != nnames)
		elog(ERROR, "%d bounds, but %d names", nvalues, nnames);

	for (int i = 0; i < nvalues; i++)
	{
		Partition  *partition = palloc0(sizeof(Partition));

		partition->name = TextDatumGetCString(names[i]);
		partition->is_readable = (partition->name[0] != '!');
		partition->bound.lower_open = nulls[i];
		if (!nulls[i])
			partition->bound.lower = place(&set.key, values[i]);
		partitions = lappend(partitions, partition);
	}

	format = pm_name_detect(text_to_cstring(PG_GETARG_TEXT_PP(5)), &set.key,
							&set.grid, partitions);
	if (format == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(format));
}

#endif							/* PARTMGR_DEBUG */
