/*-------------------------------------------------------------------------
 *
 * api_show.c
 *		SQL functions about one partition: show_partition_info, and
 *		show_partition_name, which partition a value belongs to.
 *
 * Looks at the partition in question only, so that the answer takes the same
 * time whatever the number of partitions: a value's partition is looked for
 * under the name that maintenance would give it, and its bound decides whether
 * it is the one.  Where it is not, the parent's partition descriptor is
 * searched, which a session builds once.
 *
 * Changes nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "api.h"
#include "bound.h"
#include "catalog/partition.h"
#include "catalog/pg_type.h"
#include "config.h"
#include "funcapi.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "compat.h"

PG_FUNCTION_INFO_V1(partmgr_show_partition_info);
PG_FUNCTION_INFO_V1(partmgr_show_partition_name);

/* a value to look for */
typedef struct Wanted
{
	const char *text;			/* as the caller wrote it */
	Datum		value;			/* of the column's base type */
	int64		raw;
} Wanted;

/* where it belongs */
typedef struct Place
{
	Oid			partition;		/* or InvalidOid */
	PmEnd		lower;			/* of that, or of the range that it would have */
	char	   *name;			/* that it would have */
} Place;


/* ---------- show_partition_name ---------- */

/* is_number tells whether a text is a whole number, spaces around it allowed. */
static bool
is_number(const char *text)
{
	text += strspn(text, " ");
	if (*text == '-' || *text == '+')
		text++;
	if (*text < '0' || *text > '9')
		return false;
	text += strspn(text, "0123456789");
	return text[strspn(text, " ")] == '\0';
}

/* read_input reads a text as a value of the column's type. */
static bool
read_input(const PartKey *key, char *text, Wanted *wanted)
{
	Oid			function;
	Oid			param;
	Datum		whole;

	getTypeInputInfo(key->type, &function, &param);
	wanted->value = whole = OidInputFunctionCall(function, text, param, -1);
	/* a cell is looked for by the whole number below */
	if (key->type == NUMERICOID)
		whole = DirectFunctionCall1(numeric_floor, whole);
	return pm_key_raw(key, whole, &wanted->raw);
}

/* read_time reads a text as a moment, for a column that holds it as a number. */
static bool
read_time(const PartKey *key, const char *text, Wanted *wanted)
{
	if (!pm_key_raw_of(key, pm_position_read(key, text), &wanted->raw))
		return false;
	wanted->value = pm_key_datum(key, wanted->raw);
	return true;
}

static void
read_moment(void *arg)
{
	(void) DirectFunctionCall3(timestamptz_in, CStringGetDatum((char *) arg),
							   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
}

/* read_encoded reads a text as a moment, or if it is none as a key that has one in it. */
static bool
read_encoded(const PartKey *key, char *text, Wanted *wanted)
{
	if (!is_number(text) && pm_attempt(read_moment, text) == NULL)
		return read_time(key, text, wanted);
	return pm_codec_input(key, text, &wanted->value, &wanted->raw);
}

/*
 * read_value reads the value that a row would have.  Where a number means time,
 * it is written as time, or as that number.
 */
static Wanted
read_value(const PartSet *set, char *text)
{
	const PartKey *key = &set->key;
	bool		as_column = key->kind == KEY_TIMESTAMPTZ ||
		key->kind == KEY_TIMESTAMP || key->kind == KEY_DATE ||
		key->kind == KEY_ID || is_number(text);
	Wanted		wanted = {.text = text};

	if (!(key->codec ? read_encoded(key, text, &wanted) :
		  as_column ? read_input(key, text, &wanted) :
		  read_time(key, text, &wanted)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("value \"%s\" belongs to no partition", text)));
	return wanted;
}

/*
 * find_by_name looks the value up under the name that its partition would have;
 * false if there is none of that name, or it is not the one.
 */
static bool
find_by_name(const PartSet *set, int64 raw, Place *place)
{
	Oid			relation = get_relname_relid(place->name,
											 get_rel_namespace(set->parent));
	PartitionBoundSpec *spec;

	if (!OidIsValid(relation) || !get_rel_relispartition(relation) ||
		get_partition_parent(relation, true) != set->parent)
		return false;
	spec = pm_bound_of(relation);
	if (spec == NULL || !pm_bound_takes(&set->key, spec, raw))
		return false;
	place->partition = relation;
	place->lower = pm_bound_lower(&set->key, spec);
	return true;
}

/*
 * find_in_descriptor asks the partition descriptor of the parent, as the
 * executor does to route a row.  Where no partition takes the value, lower and
 * upper are the ends of its neighbours.
 */
static bool
find_in_descriptor(const PartSet *set, Datum value, Place *place, PmEnd *lower,
				   PmEnd *upper)
{
	const PartKey *key = &set->key;
	Relation	parent = table_open(set->parent, AccessShareLock);
	PartitionKey partkey = RelationGetPartitionKey(parent);
	PartitionDesc desc = RelationGetPartitionDesc(parent, true);
	PartitionBoundInfo info = desc->boundinfo;
	int			index = -1;
	int			offset;
	bool		is_equal = false;

	if (info == NULL)
		offset = -1;
	else if (key->is_list)
	{
		offset = partition_list_bsearch(partkey->partsupfunc,
										partkey->partcollation, info, value,
										&is_equal);
		if (offset >= 0 && is_equal)
			index = info->indexes[offset];
	}
	else
	{
		offset = partition_range_datum_bsearch(partkey->partsupfunc,
											   partkey->partcollation, info, 1,
											   &value, &is_equal);
		index = info->indexes[offset + 1];
		if (offset >= 0 && info->kind[offset][0] == PARTITION_RANGE_DATUM_VALUE)
			*lower = pm_bound_end(key, info->datums[offset][0]);
		if (offset + 1 < info->ndatums &&
			info->kind[offset + 1][0] == PARTITION_RANGE_DATUM_VALUE)
			*upper = pm_bound_end(key, info->datums[offset + 1][0]);
	}

	if (index >= 0)
	{
		place->partition = desc->oids[index];
		place->lower = *lower;
		if (key->is_list)
			place->lower = pm_bound_lower(key, pm_bound_of(place->partition));
	}
	table_close(parent, AccessShareLock);
	return index >= 0;
}

/* name_cell names the partition that would be made for a cell. */
static void
name_cell(const PartSet *set, const PartBound *cell, Place *place)
{
	place->name = pm_name_partition(set->name, set->name_format, &set->key,
									&set->grid, cell);
	place->lower.is_known = true;
	place->lower.pos = cell->lower;
	place->lower.raw = cell->lower_raw;
}

/* find_cell finds the cell of the grid that a position lies in. */
static bool
find_cell(const PartSet *set, int64 pos, PartBound *cell)
{
	const PartKey *key = &set->key;

	memset(cell, 0, sizeof(PartBound));
	return pm_key_floor(key, &set->grid, pos, &cell->lower) &&
		pm_key_next(key, &set->grid, pos, &cell->upper) &&
		pm_key_raw_of(key, cell->lower, &cell->lower_raw) &&
		pm_key_raw_of(key, cell->upper, &cell->upper_raw);
}

/* clip leaves of a cell what its neighbours do not take. */
static void
clip(PartBound *cell, const PmEnd *lower, const PmEnd *upper)
{
	if (lower->is_known && lower->pos > cell->lower)
	{
		cell->lower = lower->pos;
		cell->lower_raw = lower->raw;
	}
	if (upper->is_known && upper->pos < cell->upper)
	{
		cell->upper = upper->pos;
		cell->upper_raw = upper->raw;
	}
}

/* find_place finds where a value belongs, whether that exists or not. */
static Place
find_place(const PartSet *set, const Wanted *wanted)
{
	Place		place = {0};
	PartBound	cell;
	PmEnd		lower = {0};
	PmEnd		upper = {0};
	int64		pos;
	bool		has_cell = pm_key_position(&set->key, wanted->raw, false, &pos) &&
		find_cell(set, pos, &cell);

	if (has_cell)
	{
		name_cell(set, &cell, &place);
		if (find_by_name(set, wanted->raw, &place))
			return place;
	}
	if (find_in_descriptor(set, wanted->value, &place, &lower, &upper))
		return place;
	if (!has_cell)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("value \"%s\" belongs to no partition", wanted->text),
				 errdetail("The type of column \"%s\" ends before the bounds that its partition would have.",
						   set->key.attname)));
	clip(&cell, &lower, &upper);
	name_cell(set, &cell, &place);
	return place;
}

/* set_of_parent reads a set that the caller may look at. */
static PartSet *
set_of_parent(Oid parent)
{
	PartSet    *set;

	pm_api_check_read(parent);
	set = pm_config_read_one(parent);
	if (set == NULL)
		pm_api_not_managed(parent);
	return set;
}

static TupleDesc
result_type(FunctionCallInfo fcinfo)
{
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return BlessTupleDesc(desc);
}

/* put_end fills in a typed position; what is not known stays null. */
static void
put_end(const PartSet *set, const PmEnd *end, Datum *values, bool *nulls,
		int time_column, int id_column)
{
	bool		is_id = (set->key.axis == AXIS_ID);
	int			column = is_id ? id_column : time_column;

	if (!end->is_known)
		return;
	nulls[column] = false;
	values[column] = is_id ? Int64GetDatum(end->pos) :
		TimestampTzGetDatum(pm_key_instant(&set->key, set->grid.zone, end->pos));
}

/*
 * partmgr_show_partition_name(parent, value) names the partition that a value
 * belongs to: the one that takes it, or that would be made for it.
 */
Datum
partmgr_show_partition_name(PG_FUNCTION_ARGS)
{
	TupleDesc	desc = result_type(fcinfo);
	Datum		values[5] = {0};
	bool		nulls[5] = {false, false, true, true, false};
	bool		isnull;
	PartSet    *set;
	Wanted		wanted;
	Place		place;
	bool		exists;

	pm_api_require();
	pm_arg_not_null(fcinfo, 0, "p_parent_table");
	pm_arg_not_null(fcinfo, 1, "p_value");
	set = set_of_parent(pm_arg_relation(fcinfo, 0, &isnull));
	wanted = read_value(set, pm_arg_text(fcinfo, 1));
	place = find_place(set, &wanted);

	exists = OidIsValid(place.partition);
	values[0] = CStringGetTextDatum(exists ?
									get_namespace_name(get_rel_namespace(place.partition)) :
									set->schema);
	values[1] = CStringGetTextDatum(exists ? get_rel_name(place.partition) :
									place.name);
	put_end(set, &place.lower, values, nulls, 2, 3);
	values[4] = BoolGetDatum(exists);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}


/* ---------- show_partition_info ---------- */

/* info_grid is the set's grid, with another interval if one is given. */
static PartGrid
info_grid(const PartSet *set, const char *interval)
{
	PartGrid	grid = set->grid;
	char	   *problem;

	if (interval != NULL &&
		!pm_interval_parse(&set->key, interval, &grid.interval, &problem))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid interval: %s", problem)));
	return grid;
}

/*
 * partman_suffix is what pg_partman's name of a partition that starts there
 * has after the "_p".
 */
static char *
partman_suffix(const PartSet *set, const PartGrid *grid, const PmEnd *lower)
{
	static const char prefix[] = "x_p";
	PartBound	bound = {0};
	char	   *name;

	bound.lower = bound.upper = lower->pos;
	bound.lower_raw = bound.upper_raw = lower->raw;
	name = pm_name_partition("x", pm_name_default_format(&set->key, grid),
							 &set->key, grid, &bound);
	return pstrdup(name + strlen(prefix));
}

/* parent_of finds the parent of a partition, which must be the one given, if any. */
static Oid
parent_of(FunctionCallInfo fcinfo, Oid child)
{
	bool		any;
	Oid			wanted = pm_arg_relation(fcinfo, 2, &any);
	Oid			parent;

	if (!get_rel_relispartition(child))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("table \"%s\" is not a partition", get_rel_name(child))));
	parent = get_partition_parent(child, true);
	if (!any && parent != wanted)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("table \"%s\" is not a partition of table \"%s\"",
						get_rel_name(child), get_rel_name(wanted))));
	return parent;
}

/*
 * info_of_partition reads the bounds of a partition that exists.  The end of a
 * LIST partition is not told, as by pg_partman.
 */
static PartSet *
info_of_partition(FunctionCallInfo fcinfo, PmEnd *lower, PmEnd *upper)
{
	bool		isnull;
	Oid			child = pm_arg_relation(fcinfo, 0, &isnull);
	PartSet    *set = set_of_parent(parent_of(fcinfo, child));
	PartitionBoundSpec *spec = pm_bound_of(child);

	if (spec != NULL)
	{
		*lower = pm_bound_lower(&set->key, spec);
		*upper = pm_bound_upper(&set->key, spec);
	}
	return set;
}

/*
 * name_position reads back where a partition starts from the digits at the end
 * of pg_partman's name for it; false if there are none.
 */
static bool
name_position(const PartSet *set, const char *name, int64 *pos)
{
	const char *digits = NULL;
	int			year,
				month,
				day,
				hour = 0,
				minute = 0,
				second = 0;
	int			count;

	for (const char *at = strstr(name, "_p"); at != NULL; at = strstr(at + 1, "_p"))
		digits = at + strlen("_p");
	if (digits == NULL)
		return false;
	if (set->key.axis == AXIS_ID)
	{
		if (!is_number(digits))
			return false;
		*pos = DatumGetInt64(DirectFunctionCall1(int8in, CStringGetDatum(digits)));
		return true;
	}
	count = sscanf(digits, "%4d%2d%2d_%2d%2d%2d", &year, &month, &day, &hour,
				   &minute, &second);
	if (count != 3 && count != 6)
		return false;
	*pos = DatumGetTimestamp(DirectFunctionCall6(make_timestamp,
												 Int32GetDatum(year),
												 Int32GetDatum(month),
												 Int32GetDatum(day),
												 Int32GetDatum(hour),
												 Int32GetDatum(minute),
												 Float8GetDatum(second)));
	if (set->key.axis == AXIS_INSTANT)
	{
		PartKey		local = set->key;

		local.axis = AXIS_LOCAL;
		*pos = pm_key_instant(&local, set->grid.zone, *pos);
	}
	return true;
}

/*
 * info_of_name tells what a partition of that name would be, without looking
 * whether there is one.
 */
static PartSet *
info_of_name(FunctionCallInfo fcinfo, PmEnd *lower, PmEnd *upper)
{
	char	   *name = pm_arg_text(fcinfo, 0);
	PartSet    *set;
	PartGrid	grid;
	bool		isnull;
	int64		pos;

	pm_arg_not_null(fcinfo, 2, "p_parent_table");
	set = set_of_parent(pm_arg_relation(fcinfo, 2, &isnull));
	grid = info_grid(set, pm_arg_text(fcinfo, 1));
	if (!name_position(set, name, &pos) ||
		!pm_key_raw_of(&set->key, pos, &lower->raw))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" is not the name of a partition of table \"%s\"",
						name, set->name)));
	lower->is_known = true;
	lower->pos = pos;
	upper->is_known = !set->key.is_list &&
		pm_key_add(&set->key, &grid, &grid.interval, pos, 1, &upper->pos);
	return set;
}

/*
 * partmgr_show_partition_info(child, interval, parent, exists) tells the bounds
 * of a partition, the upper one exclusive.
 */
Datum
partmgr_show_partition_info(PG_FUNCTION_ARGS)
{
	TupleDesc	desc = result_type(fcinfo);
	Datum		values[5] = {0};
	bool		nulls[5] = {true, true, true, true, true};
	bool		by_name = !PG_ARGISNULL(3) && !PG_GETARG_BOOL(3);
	PmEnd		lower = {0};
	PmEnd		upper = {0};
	PartSet    *set;
	PartGrid	grid;

	pm_api_require();
	pm_arg_not_null(fcinfo, 0, "p_child_table");
	if (by_name && get_fn_expr_argtype(fcinfo->flinfo, 0) == REGCLASSOID)
		by_name = false;		/* a table that is given as such exists */
	set = by_name ? info_of_name(fcinfo, &lower, &upper) :
		info_of_partition(fcinfo, &lower, &upper);
	grid = info_grid(set, pm_arg_text(fcinfo, 1));

	put_end(set, &lower, values, nulls, 0, 2);
	put_end(set, &upper, values, nulls, 1, 3);
	if (lower.is_known && set->key.axis != AXIS_ID)
	{
		nulls[4] = false;
		values[4] = CStringGetTextDatum(partman_suffix(set, &grid, &lower));
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}
