/*-------------------------------------------------------------------------
 *
 * key.c
 *		The kinds of partition key: what stands in the column, and where that
 *		lies on the axis.
 *
 * One table says how each kind of key works: its column types, the way from
 * the column's own number to the axis and back, its Datum, its literal.  How
 * the bounds of a set go on along the axis is in key_grid.c.
 *
 * Everything here is a pure function of its arguments: no database, no clock,
 * no setting, so that the same bounds come out whoever asks from whatever
 * session.  What the axis or the column's type cannot hold is reported by
 * returning false, never by an error.
 *
 *-------------------------------------------------------------------------
 */
#include "partmgr.h"

#include "catalog/pg_type_d.h"
#include "codec.h"
#include "common/int.h"
#include "fmgr.h"
#include "key.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"


typedef struct KeyOps KeyOps;

struct KeyOps
{
	const char *epoch;			/* as part_config spells it */
	PmAxis		axis;
	Oid			types[4];		/* columns that can carry it */

	/* for raw numbers that count something, see linear_position */
	int64		unit;			/* axis units in one raw unit, at least 1 */
	int64		fraction;		/* raw units in one axis unit, at least 1 */
	int64		zero;			/* axis position of raw 0 */

	bool		(*position) (const KeyOps *ops, int64 raw, bool round_up,
							 int64 *pos);
	bool		(*raw_of) (const KeyOps *ops, int64 pos, int64 *raw);
	bool		(*decode) (Oid type, Datum value, int64 *raw);
	Datum		(*encode) (Oid type, int64 raw);
	char	   *(*print) (int64 raw);
};


/* type_holds tells whether a number fits a column of this type. */
static bool
type_holds(Oid type, int64 raw)
{
	switch (type)
	{
		case INT2OID:
			return raw >= PG_INT16_MIN && raw <= PG_INT16_MAX;
		case INT4OID:
		case DATEOID:
			return raw >= PG_INT32_MIN && raw <= PG_INT32_MAX;
		default:
			return true;
	}
}


/* ---------- raw number to axis and back ---------- */

/*
 * linear_position places a number that counts: ids, microseconds, days of a
 * date, and the Unix epochs.  Only nanoseconds are finer than the axis.
 */
static bool
linear_position(const KeyOps *ops, int64 raw, bool round_up, int64 *pos)
{
	int64		units = floor_div(raw, ops->fraction);

	if (round_up && floor_mod(raw, ops->fraction) != 0)
		units++;
	return !pg_mul_s64_overflow(units, ops->unit, pos) &&
		!pg_add_s64_overflow(*pos, ops->zero, pos);
}

static bool
linear_raw_of(const KeyOps *ops, int64 pos, int64 *raw)
{
	int64		distance;

	if (pg_sub_s64_overflow(pos, ops->zero, &distance))
		return false;
	return !pg_mul_s64_overflow(floor_div(distance, ops->unit), ops->fraction,
								raw);
}

/*
 * digits_date reads yyyymmdd and sets the Julian day.  A number that is no
 * date gives the next day that exists, and false.
 */
static bool
digits_date(int64 digits, int *julian)
{
	int			year = digits / 10000;
	int			month = digits / 100 % 100;
	int			day = digits % 100;

	if (month < 1 || month > MONTHS_PER_YEAR)
	{
		*julian = date2j((month < 1) ? year : year + 1, 1, 1);
		return false;
	}
	if (day < 1 || day > day_tab[isleap(year)][month - 1])
	{
		int			first = date2j(year, month, 1);

		*julian = (day < 1) ? first : first + day_tab[isleap(year)][month - 1];
		return false;
	}
	*julian = date2j(year, month, day);
	return true;
}

/*
 * digits_position places yyyymmdd and yyyymm numbers.  Where the number is no
 * date, the nearest one in the wanted direction stands for it: no row of a
 * sound table lies between the two.
 */
static bool
digits_position(const KeyOps *ops, int64 raw, bool round_up, int64 *pos)
{
	bool		has_day = (ops->fraction == 1);
	int64		first = has_day ? 10101 : 101;
	int64		last = has_day ? 99991231 : 999912;
	int			julian;

	if (raw < first || raw > last)
	{
		if (round_up != (raw < first))
			return false;
		raw = round_up ? first : last;
	}

	if (!digits_date(has_day ? raw : raw * 100 + 1, &julian) && !round_up)
	{
		int			year,
					month,
					day;

		julian--;
		j2date(julian, &year, &month, &day);
		if (!has_day)
			julian = date2j(year, month, 1);
	}
	*pos = (int64) (julian - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY;

	/* 99991232 lies within the last month, but the next date is beyond */
	return julian < date2j(10000, 1, 1) && julian >= date2j(1, 1, 1);
}

static bool
digits_raw_of(const KeyOps *ops, int64 pos, int64 *raw)
{
	int64		time;
	int			year,
				month,
				day;

	j2date(split_days(pos, &time) + POSTGRES_EPOCH_JDATE, &year, &month, &day);
	*raw = year * INT64CONST(100) + month;
	if (ops->fraction == 1)
		*raw = *raw * 100 + day;
	return year >= 1 && year <= 9999;
}


/* ---------- Datums ---------- */

static bool
decode_timestamp(Oid type, Datum value, int64 *raw)
{
	*raw = DatumGetTimestamp(value);
	return !TIMESTAMP_NOT_FINITE(*raw);
}

static Datum
encode_timestamp(Oid type, int64 raw)
{
	return TimestampGetDatum(raw);
}

static bool
decode_date(Oid type, Datum value, int64 *raw)
{
	DateADT		date = DatumGetDateADT(value);

	*raw = date;
	return !DATE_NOT_FINITE(date);
}

static Datum
encode_date(Oid type, int64 raw)
{
	return DateADTGetDatum((DateADT) raw);
}

/*
 * decode_numeric refuses what numeric_int8 would round or raise an error for.
 */
static bool
decode_numeric(Numeric number, int64 *raw)
{
	Datum		value = NumericGetDatum(number);
	Datum		lowest = NumericGetDatum(int64_to_numeric(PG_INT64_MIN));
	Datum		highest = NumericGetDatum(int64_to_numeric(PG_INT64_MAX));
	Datum		whole;

	if (numeric_is_nan(number) || numeric_is_inf(number) ||
		DatumGetBool(DirectFunctionCall2(numeric_lt, value, lowest)) ||
		DatumGetBool(DirectFunctionCall2(numeric_gt, value, highest)))
		return false;
	whole = DirectFunctionCall2(numeric_trunc, value, Int32GetDatum(0));
	if (!DatumGetBool(DirectFunctionCall2(numeric_eq, value, whole)))
		return false;
	*raw = DatumGetInt64(DirectFunctionCall1(numeric_int8, value));
	return true;
}

static bool
decode_number(Oid type, Datum value, int64 *raw)
{
	switch (type)
	{
		case INT2OID:
			*raw = DatumGetInt16(value);
			return true;
		case INT4OID:
			*raw = DatumGetInt32(value);
			return true;
		case INT8OID:
			*raw = DatumGetInt64(value);
			return true;
		case NUMERICOID:
			return decode_numeric(DatumGetNumeric(value), raw);
	}
	elog(ERROR, "unexpected type %u of a partition key", type);
	return false;				/* keep the compiler quiet */
}

static Datum
encode_number(Oid type, int64 raw)
{
	switch (type)
	{
		case INT2OID:
			return Int16GetDatum((int16) raw);
		case INT4OID:
			return Int32GetDatum((int32) raw);
		case INT8OID:
			return Int64GetDatum(raw);
		case NUMERICOID:
			return NumericGetDatum(int64_to_numeric(raw));
	}
	elog(ERROR, "unexpected type %u of a partition key", type);
	return (Datum) 0;			/* keep the compiler quiet */
}


/* ---------- literals ---------- */

/*
 * print_iso writes a date, and a time with its zone unless zone is NULL, in the
 * form that every DateStyle reads in the same way.
 */
static char *
print_iso(int64 day, int64 time, const char *zone)
{
	StringInfoData buf;
	int			year,
				month,
				mday;

	j2date(day + POSTGRES_EPOCH_JDATE, &year, &month, &mday);
	initStringInfo(&buf);
	appendStringInfo(&buf, "%04d-%02d-%02d",
					 (year > 0) ? year : 1 - year, month, mday);
	if (zone != NULL)
	{
		int			seconds = time / USECS_PER_SEC;
		int			fraction = time % USECS_PER_SEC;

		appendStringInfo(&buf, " %02d:%02d:%02d", seconds / SECS_PER_HOUR,
						 seconds / SECS_PER_MINUTE % MINS_PER_HOUR,
						 seconds % SECS_PER_MINUTE);
		if (fraction != 0)
			appendStringInfo(&buf, ".%06d", fraction);
		appendStringInfoString(&buf, zone);
	}
	if (year <= 0)
		appendStringInfoString(&buf, " BC");
	return buf.data;
}

static char *
print_timestamptz(int64 raw)
{
	int64		time;
	int64		day = split_days(raw, &time);

	return print_iso(day, time, "+00");
}

static char *
print_timestamp(int64 raw)
{
	int64		time;
	int64		day = split_days(raw, &time);

	return print_iso(day, time, "");
}

static char *
print_date(int64 raw)
{
	return print_iso(raw, 0, NULL);
}

static char *
print_number(int64 raw)
{
	return psprintf(INT64_FORMAT, raw);
}


/* ---------- the kinds ---------- */

#define NUMBERS		{INT4OID, INT8OID, NUMERICOID}
#define LINEAR		linear_position, linear_raw_of
#define DIGITS		digits_position, digits_raw_of
#define NUMBER		decode_number, encode_number, print_number

static const KeyOps key_ops[] = {
	[KEY_TIMESTAMPTZ] = {
		"none", AXIS_INSTANT, {TIMESTAMPTZOID}, 1, 1, 0, LINEAR,
		decode_timestamp, encode_timestamp, print_timestamptz
	},
	[KEY_TIMESTAMP] = {
		"none", AXIS_LOCAL, {TIMESTAMPOID}, 1, 1, 0, LINEAR,
		decode_timestamp, encode_timestamp, print_timestamp
	},
	[KEY_DATE] = {
		"none", AXIS_LOCAL, {DATEOID}, USECS_PER_DAY, 1, 0, LINEAR,
		decode_date, encode_date, print_date
	},
	[KEY_ID] = {
		"none", AXIS_ID, {INT2OID, INT4OID, INT8OID, NUMERICOID}, 1, 1, 0,
		LINEAR, NUMBER
	},
	[KEY_SECONDS] = {
		"seconds", AXIS_INSTANT, NUMBERS, USECS_PER_SEC, 1, -UNIX_USECS, LINEAR,
		NUMBER
	},
	[KEY_MILLISECONDS] = {
		"milliseconds", AXIS_INSTANT, NUMBERS, 1000, 1, -UNIX_USECS, LINEAR,
		NUMBER
	},
	[KEY_MICROSECONDS] = {
		"microseconds", AXIS_INSTANT, NUMBERS, 1, 1, -UNIX_USECS, LINEAR,
		NUMBER
	},
	[KEY_NANOSECONDS] = {
		"nanoseconds", AXIS_INSTANT, NUMBERS, 1, 1000, -UNIX_USECS, LINEAR,
		NUMBER
	},

	/* these do not count: fraction only tells the two apart */
	[KEY_YYYYMMDD] = {
		"yyyymmdd", AXIS_LOCAL, NUMBERS, 1, 1, 0, DIGITS, NUMBER
	},
	[KEY_YYYYMM] = {
		"yyyymm", AXIS_LOCAL, NUMBERS, 1, 100, 0, DIGITS, NUMBER
	},

	/* no type has this one by itself; what it lacks here, its codec does */
	[KEY_ENCODED] = {
		"none", AXIS_INSTANT, {0}, 1, 1, 0, LINEAR
	},
};

/*
 * pm_key_kind finds the kind of key that a column of this base type is with
 * this epoch setting, or returns false where there is none.
 */
bool
pm_key_kind(Oid basetype, const char *epoch, PmKeyKind *kind, PmAxis *axis)
{
	for (int i = 0; i < lengthof(key_ops); i++)
	{
		const KeyOps *ops = &key_ops[i];

		if (strcmp(ops->epoch, epoch) != 0)
			continue;
		for (int j = 0; j < lengthof(ops->types); j++)
		{
			if (OidIsValid(basetype) && ops->types[j] == basetype)
			{
				*kind = (PmKeyKind) i;
				*axis = ops->axis;
				return true;
			}
		}
	}
	return false;
}

/*
 * pm_key_raw reads a value of the column; false for infinity, NaN and numerics
 * with a fraction or beyond int64.
 */
bool
pm_key_raw(const PartKey *key, Datum value, int64 *raw)
{
	if (key->codec)
		return key->codec->raw(key->codec, value, raw);
	return key_ops[key->kind].decode(key->type, value, raw);
}

/*
 * pm_key_place places a value of a row on the axis, on the lower side of what it
 * cannot tell apart; false as pm_key_raw, and if the axis ends before.
 */
bool
pm_key_place(const PartKey *key, Datum value, int64 *pos)
{
	int64		raw;

	if (key->codec)
		return key->codec->place(key->codec, value, pos);
	return pm_key_raw(key, value, &raw) && pm_key_position(key, raw, false, pos);
}

/* pm_key_datum is the way back: a value of the column's base type. */
Datum
pm_key_datum(const PartKey *key, int64 raw)
{
	if (key->codec)
		return key->codec->datum(key->codec, raw);
	Assert(type_holds(key->type, raw));
	return key_ops[key->kind].encode(key->type, raw);
}

/*
 * pm_key_position places a raw value on the axis; false if the axis ends
 * before.  Where the axis is coarser than the column (nanoseconds), or the
 * number is no date (yyyymmdd), the result lies on the wanted side of it.
 */
bool
pm_key_position(const PartKey *key, int64 raw, bool round_up, int64 *pos)
{
	const KeyOps *ops = &key_ops[key->kind];

	if (key->codec)
		return key->codec->position(key->codec, raw, round_up, pos);
	return ops->position(ops, raw, round_up, pos) &&
		axis_holds(key->axis, *pos);
}

/*
 * pm_key_raw_of gives the column's own number for a position, the last one not
 * beyond it; false if the column's type cannot hold that.
 */
bool
pm_key_raw_of(const PartKey *key, int64 pos, int64 *raw)
{
	const KeyOps *ops = &key_ops[key->kind];

	return axis_holds(key->axis, pos) &&
		ops->raw_of(ops, pos, raw) &&
		type_holds(key->type, *raw);
}

/* pm_key_text writes a raw value as every session reads it. */
char *
pm_key_text(const PartKey *key, int64 raw)
{
	return key->codec ? key->codec->text(key->codec, raw) : key_ops[key->kind].print(raw);
}

/* pm_key_literal writes a raw value as a quoted literal for FOR VALUES. */
char *
pm_key_literal(const PartKey *key, int64 raw)
{
	return quote_literal_cstr(pm_key_text(key, raw));
}

/* pm_key_compare compares two raw values of a RANGE key, as the server does. */
int
pm_key_compare(const PartKey *key, int64 a, int64 b)
{
	if (key->codec)
		return key->codec->compare(key->codec, a, b);
	return a < b ? -1 : a > b;
}

/* pm_key_column is the column as SQL has to write it where keys are compared. */
const char *
pm_key_column(const PartKey *key)
{
	return key->codec ? key->codec->column : quote_identifier(key->attname);
}

/*
 * pm_key_others writes something for each of the other columns of the key: a row
 * where one of them is null is taken by a default partition only.
 */
char *
pm_key_others(const PartKey *key, const char *before, const char *after)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, key->others)
		appendStringInfo(&buf, "%s%s%s", before, (char *) lfirst(lc), after);
	return buf.data;
}
