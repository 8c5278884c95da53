/*-------------------------------------------------------------------------
 *
 * bound.c
 *		The bound of one partition, read on its own.
 *
 * catalog.c reads the bounds of whole sets with one query; here is the way for
 * a question about a single partition, which must not take longer because it
 * has many siblings.  Reads a row of pg_class and nothing else.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "bound.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_partitioned_table.h"
#include "nodes/primnodes.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "compat.h"

/* pm_bound_of returns the bound of a partition; NULL if the relation is none. */
PartitionBoundSpec *
pm_bound_of(Oid relation)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	PartitionBoundSpec *spec = NULL;
	bool		isnull;
	Datum		bound;

	if (!HeapTupleIsValid(tuple))
		return NULL;
	bound = SysCacheGetAttr(RELOID, tuple, Anum_pg_class_relpartbound, &isnull);
	if (!isnull)
		spec = castNode(PartitionBoundSpec,
						stringToNode(TextDatumGetCString(bound)));
	ReleaseSysCache(tuple);
	return spec;
}

/*
 * pm_bound_is_plain tells whether the first column alone says which rows an end of
 * a RANGE bound divides: the others are MINVALUE, or it is open itself.
 */
bool
pm_bound_is_plain(List *datums)
{
	PartitionRangeDatum *first = linitial_node(PartitionRangeDatum, datums);
	ListCell   *lc;

	if (first->kind != PARTITION_RANGE_DATUM_VALUE)
		return true;
	for_each_from(lc, datums, 1)
		if (lfirst_node(PartitionRangeDatum, lc)->kind != PARTITION_RANGE_DATUM_MINVALUE)
			return false;
	return true;
}

/* pm_bound_end places a value that stands in a bound. */
PmEnd
pm_bound_end(const PartKey *key, Datum value)
{
	PmEnd		end = {0};

	end.is_known = pm_key_raw(key, value, &end.raw) &&
		pm_key_position(key, end.raw, true, &end.pos);
	return end;
}

static PmEnd
range_end(const PartKey *key, List *datums)
{
	PartitionRangeDatum *datum = linitial_node(PartitionRangeDatum, datums);
	PmEnd		open = {0};

	if (datum->kind != PARTITION_RANGE_DATUM_VALUE)
		return open;
	return pm_bound_end(key, castNode(Const, datum->value)->constvalue);
}

/* lowest_value returns the lowest of the values that a LIST partition takes. */
static PmEnd
lowest_value(const PartKey *key, List *datums)
{
	PmEnd		lowest = {0};
	ListCell   *lc;

	foreach(lc, datums)
	{
		Const	   *value = lfirst_node(Const, lc);
		PmEnd		end = {0};

		if (!value->constisnull)
			end = pm_bound_end(key, value->constvalue);
		if (end.is_known && (!lowest.is_known || end.raw < lowest.raw))
			lowest = end;
	}
	return lowest;
}

/* pm_bound_lower returns where a partition begins; a default begins nowhere. */
PmEnd
pm_bound_lower(const PartKey *key, const PartitionBoundSpec *spec)
{
	PmEnd		none = {0};

	if (spec->is_default)
		return none;
	return (spec->strategy == PARTITION_STRATEGY_LIST) ?
		lowest_value(key, spec->listdatums) : range_end(key, spec->lowerdatums);
}

/* pm_bound_upper returns where a partition ends; that of a LIST has no end. */
PmEnd
pm_bound_upper(const PartKey *key, const PartitionBoundSpec *spec)
{
	PmEnd		none = {0};

	if (spec->is_default || spec->strategy == PARTITION_STRATEGY_LIST)
		return none;
	return range_end(key, spec->upperdatums);
}

static bool
list_takes(const PartKey *key, List *datums, int64 raw)
{
	ListCell   *lc;

	foreach(lc, datums)
	{
		Const	   *value = lfirst_node(Const, lc);
		int64		listed;

		if (!value->constisnull && pm_key_raw(key, value->constvalue, &listed) &&
			listed == raw)
			return true;
	}
	return false;
}

/*
 * pm_bound_takes tells whether a partition takes rows with this key.  False as
 * well where an end is neither open nor a number: then the server is to be
 * asked.
 */
bool
pm_bound_takes(const PartKey *key, const PartitionBoundSpec *spec, int64 raw)
{
	PartitionRangeDatum *first,
			   *last;
	PmEnd		lower,
				upper;

	if (spec->is_default)
		return false;
	if (spec->strategy == PARTITION_STRATEGY_LIST)
		return list_takes(key, spec->listdatums, raw);

	first = linitial_node(PartitionRangeDatum, spec->lowerdatums);
	last = linitial_node(PartitionRangeDatum, spec->upperdatums);
	lower = range_end(key, spec->lowerdatums);
	upper = range_end(key, spec->upperdatums);
	if (!pm_bound_is_plain(spec->lowerdatums) || !pm_bound_is_plain(spec->upperdatums))
		return false;
	return (lower.is_known ? pm_key_compare(key, lower.raw, raw) <= 0 :
			first->kind == PARTITION_RANGE_DATUM_MINVALUE) &&
		(upper.is_known ? pm_key_compare(key, raw, upper.raw) < 0 :
		 last->kind == PARTITION_RANGE_DATUM_MAXVALUE);
}

/* is a table partitioned by RANGE, by this column first? */
static bool
is_by_column(Oid parent, const char *attname)
{
	HeapTuple	tuple = SearchSysCache1(PARTRELID, ObjectIdGetDatum(parent));
	Form_pg_partitioned_table form;
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_partitioned_table) GETSTRUCT(tuple);
	result = form->partstrat == PARTITION_STRATEGY_RANGE && form->partattrs.values[0] != 0 &&
		strcmp(get_attname(parent, form->partattrs.values[0], false), attname) == 0;
	ReleaseSysCache(tuple);
	return result;
}

/* narrows limits to the range of one partition */
static void
narrow(const PartKey *key, Oid partition, PartBound *limits)
{
	PartitionBoundSpec *spec = pm_bound_of(partition);
	PmEnd		lower;
	PmEnd		upper;

	if (spec == NULL || spec->is_default)
		return;
	lower = pm_bound_lower(key, spec);
	upper = pm_bound_upper(key, spec);
	if (lower.is_known && (limits->lower_open || lower.pos > limits->lower))
	{
		limits->lower_open = false;
		limits->lower = lower.pos;
		limits->lower_raw = lower.raw;
	}
	if (upper.is_known && (limits->upper_open || upper.pos < limits->upper))
	{
		limits->upper_open = false;
		limits->upper = upper.pos;
		limits->upper_raw = upper.raw;
	}
}

/*
 * pm_bound_limits finds the range of a key that can come into a table, since it is
 * a partition, or one of a partition, by the same column; false if that is no limit.
 */
bool
pm_bound_limits(Oid relation, const PartKey *key, PartBound *limits)
{
	memset(limits, 0, sizeof(PartBound));
	limits->lower_open = limits->upper_open = true;
	while (get_rel_relispartition(relation))
	{
		Oid			parent = get_partition_parent(relation, true);

		if (is_by_column(parent, key->attname))
			narrow(key, relation, limits);
		relation = parent;
	}
	return !limits->lower_open || !limits->upper_open;
}

/* pm_bound_top returns the topmost table above one that is partitioned by a column. */
Oid
pm_bound_top(Oid relation, const PartKey *key)
{
	Oid			top = relation;

	while (get_rel_relispartition(relation))
	{
		relation = get_partition_parent(relation, true);
		if (is_by_column(relation, key->attname))
			top = relation;
	}
	return top;
}
