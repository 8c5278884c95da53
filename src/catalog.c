/*-------------------------------------------------------------------------
 *
 * catalog.c
 *		What exists: the partition key of a table, its partitions with their
 *		bounds, the highest key.
 *
 * Bounds come from the nodes in pg_class.relpartbound, never from text printed
 * by pg_get_expr, whose form depends on the session.  They are read with one
 * query for any number of sets: opening every parent instead would cost more
 * than all the rest of a run that has nothing to do.
 *
 * Reads only.  Takes no lock on the partitions; who needs the answer to stay
 * true holds SHARE UPDATE EXCLUSIVE on the parent.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "bound.h"
#include "catalog/partition.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_partitioned_table.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "config.h"
#include "internal.h"
#include "nodes/parsenodes.h"
#include "nodes/primnodes.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/syscache.h"

#include "compat.h"

/*
 * pm_qualified_name returns the quoted name of a relation with its schema, for
 * statements and messages; its OID if it is gone.
 */
char *
pm_qualified_name(Oid relation)
{
	char	   *name = get_rel_name(relation);

	if (name == NULL)
		return psprintf("%u", relation);
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)),
									  name);
}

/* the columns of a partition key but the first, quoted */
static List *
other_columns(Oid parent)
{
	HeapTuple	tuple = SearchSysCache1(PARTRELID, ObjectIdGetDatum(parent));
	Form_pg_partitioned_table form;
	List	   *result = NIL;

	if (!HeapTupleIsValid(tuple))
		return NIL;
	form = (Form_pg_partitioned_table) GETSTRUCT(tuple);
	for (int i = 1; i < form->partnatts; i++)
		result = lappend(result, pstrdup(quote_identifier(get_attname(parent, form->partattrs.values[i], false))));
	ReleaseSysCache(tuple);
	return result;
}

/*
 * pm_catalog_kind sets the kind of a key whose column is known.  Returns false
 * with the reason if there is none.  encoder and decoder: as the user wrote them.
 */
bool
pm_catalog_kind(Oid parent, const char *epoch, const char *encoder, const char *decoder,
				PartKey *key, char **problem)
{
	key->others = other_columns(parent);
	if (encoder != NULL || decoder != NULL)
		return pm_codec_attach(parent, epoch, encoder, decoder, key, problem);
	if (pm_key_kind(key->type, epoch, &key->kind, &key->axis))
		return true;
	*problem = psprintf("type %s of column \"%s\" does not go with epoch \"%s\"",
						format_type_be(key->type), key->attname, epoch);
	return false;
}

/* does the partition key have an expression instead of a column? */
static bool
has_expression(const int2vector *columns)
{
	for (int i = 0; i < columns->dim1; i++)
		if (columns->values[i] == 0)
			return true;
	return false;
}

/* pm_catalog_owner returns who owns a relation; an error if it is gone. */
Oid
pm_catalog_owner(Oid relation)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relation);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/*
 * pm_catalog_key reads a table's partition key.  Returns false with the reason
 * if it is none that can be managed.
 */
bool
pm_catalog_key(Oid parent, const char *epoch, const char *encoder, const char *decoder,
			   PartKey *key, char **problem)
{
	HeapTuple	tuple = SearchSysCache1(PARTRELID, ObjectIdGetDatum(parent));
	Form_pg_partitioned_table form;
	bool		is_expression;
	int			natts;
	char		strategy;

	memset(key, 0, sizeof(PartKey));
	if (!HeapTupleIsValid(tuple))
	{
		*problem = pstrdup("it is not partitioned");
		return false;
	}
	form = (Form_pg_partitioned_table) GETSTRUCT(tuple);
	is_expression = has_expression(&form->partattrs);
	natts = form->partnatts;
	strategy = (char) form->partstrat;
	key->attnum = form->partattrs.values[0];
	ReleaseSysCache(tuple);

	if (strategy == 'h')
		*problem = pstrdup("it is partitioned by HASH");
	else if (is_expression)
		*problem = pstrdup(natts == 1 ? "its partition key is an expression" :
						   "its partition key has an expression");
	else
	{
		key->is_list = strategy == 'l';
		key->attname = get_attname(parent, key->attnum, false);
		key->type = getBaseType(get_atttype(parent, key->attnum));
		return pm_catalog_kind(parent, epoch, encoder, decoder, key, problem);
	}
	return false;
}

/*
 * round_numeric_end reads a bound that is no int64.  A fraction counts as taken
 * with the whole numbers around it, what is beyond int64 is an open end.
 */
static bool
round_numeric_end(const PartKey *key, Datum value, bool is_lower,
				  int64 *pos, int64 *raw, bool *open)
{
	Datum		whole = DirectFunctionCall1(is_lower ? numeric_floor : numeric_ceil, value);
	Datum		zero = NumericGetDatum(int64_to_numeric(0));

	if (pm_key_raw(key, whole, raw))
		return pm_key_position(key, *raw, true, pos);
	*open = DatumGetBool(DirectFunctionCall2(numeric_lt, value, zero)) == is_lower;
	return *open;
}

/*
 * widen_end moves an upper end behind a value of which the other columns of the key
 * divide the rows: the partition has some of them.  What a codec writes may count
 * in seconds.
 */
static bool
widen_end(const PartKey *key, int64 *pos, int64 *raw, bool *open)
{
	if (key->codec == NULL)
	{
		*open = pg_add_s64_overflow(*raw, 1, raw);
		return *open || pm_key_position(key, *raw, true, pos);
	}
	return pm_key_position(key, *raw, false, pos) &&
		pm_key_raw_of(key, *pos / USECS_PER_SEC * USECS_PER_SEC + USECS_PER_SEC, raw) &&
		pm_key_position(key, *raw, true, pos);
}

/* one end of a RANGE bound; false if the axis cannot hold it */
static bool
read_range_end(const PartKey *key, List *datums, bool is_lower,
			   int64 *pos, int64 *raw, bool *open, bool *rounded)
{
	PartitionRangeDatum *datum = linitial_node(PartitionRangeDatum, datums);
	Const	   *value;

	*open = false;
	if (datum->kind != PARTITION_RANGE_DATUM_VALUE)
	{
		/* a range that ends at MINVALUE or begins at MAXVALUE holds nothing */
		*open = (datum->kind == PARTITION_RANGE_DATUM_MINVALUE) == is_lower;
		return *open;
	}
	value = castNode(Const, datum->value);
	*rounded = *rounded || !pm_bound_is_plain(datums);
	if (pm_key_raw(key, value->constvalue, raw))
		return (is_lower || pm_bound_is_plain(datums)) ? pm_key_position(key, *raw, true, pos) :
			widen_end(key, pos, raw, open);
	if (key->type == NUMERICOID && key->codec == NULL)
	{
		*rounded = true;
		return round_numeric_end(key, value->constvalue, is_lower, pos, raw, open);
	}

	/* infinity as a bound is an open end with another name */
	if ((key->type == TIMESTAMPTZOID || key->type == TIMESTAMPOID) &&
		DatumGetInt64(value->constvalue) == (is_lower ? DT_NOBEGIN : DT_NOEND))
		*open = true;
	else if (key->type == DATEOID &&
			 DatumGetInt32(value->constvalue) == (is_lower ? PG_INT32_MIN : PG_INT32_MAX))
		*open = true;
	return *open;
}

static int
compare_int64(const void *a, const void *b)
{
	int64		x = *(const int64 *) a;
	int64		y = *(const int64 *) b;

	return x < y ? -1 : x > y ? 1 : 0;
}

/* the values of a LIST partition; false if one is no number, or too large */
static bool
read_list(const PartKey *key, List *datums, Partition *partition)
{
	ListCell   *lc;

	partition->values = palloc(sizeof(int64) * Max(list_length(datums), 1));
	foreach(lc, datums)
	{
		Const	   *value = lfirst_node(Const, lc);
		int64		raw;
		int64		pos;

		if (value->constisnull)
		{
			partition->has_null = true;
			continue;
		}
		if (!pm_key_raw(key, value->constvalue, &raw) ||
			!pm_key_position(key, raw, true, &pos) || pos == PG_INT64_MAX)
			return false;
		partition->values[partition->nvalues++] = pos;
	}
	if (partition->nvalues == 0)
		return false;
	qsort(partition->values, partition->nvalues, sizeof(int64), compare_int64);
	partition->bound.lower = partition->bound.lower_raw = partition->values[0];
	partition->bound.upper = partition->bound.upper_raw =
		partition->values[partition->nvalues - 1] + 1;
	return true;
}

/* reads a partition's bound out of the text of its node tree */
static void
read_bound(const PartKey *key, char *text, Partition *partition)
{
	PartitionBoundSpec *spec = castNode(PartitionBoundSpec, stringToNode(text));
	PartBound  *bound = &partition->bound;

	partition->is_default = spec->is_default;
	partition->is_readable = true;
	if (spec->is_default)
		return;
	if (spec->strategy == PARTITION_STRATEGY_LIST)
		partition->is_readable = read_list(key, spec->listdatums, partition);
	else
	{
		bool		is_known;

		is_known = read_range_end(key, spec->lowerdatums, true, &bound->lower,
								  &bound->lower_raw, &bound->lower_open,
								  &partition->is_rounded) &&
			read_range_end(key, spec->upperdatums, false, &bound->upper,
						   &bound->upper_raw, &bound->upper_open,
						   &partition->is_rounded);
		partition->is_readable = is_known && !partition->is_rounded;
		partition->is_rounded = is_known && partition->is_rounded;
	}
}

/* by lower bound; what has none comes first, what cannot be read last */
static int
compare_partitions(const ListCell *a, const ListCell *b)
{
	const Partition *x = lfirst(a);
	const Partition *y = lfirst(b);
	bool		x_known = x->is_readable || x->is_rounded;
	bool		y_known = y->is_readable || y->is_rounded;

	if (x_known != y_known)
		return x_known ? -1 : 1;
	if (x->bound.lower_open != y->bound.lower_open)
		return x->bound.lower_open ? -1 : 1;
	if (x->bound.lower_open || x->bound.lower == y->bound.lower)
		return x->oid < y->oid ? -1 : 1;
	return x->bound.lower < y->bound.lower ? -1 : 1;
}

/* columns: inhparent, inhrelid, namespace, relname, owner, kind, rows, pending, bound */
static Partition *
partition_from_row(const PartKey *key, uint64 row)
{
	Partition  *partition = palloc0(sizeof(Partition));
	bool		isnull;
	char	   *bound;

	partition->oid = pm_spi_oid(row, 2);
	partition->schema = get_namespace_name(pm_spi_oid(row, 3));
	if (partition->schema == NULL)	/* dropped at this moment, and the partition with it */
		partition->schema = pstrdup("");
	partition->name = pm_spi_string(row, 4);
	partition->owner = pm_spi_oid(row, 5);
	partition->relkind = DatumGetChar(pm_spi_value(row, 6, &isnull));
	partition->rows = DatumGetFloat4(pm_spi_value(row, 7, &isnull));
	partition->is_pending = pm_spi_bool(row, 8);
	bound = pm_spi_string(row, 9);
	if (bound)
	{
		read_bound(key, bound, partition);
		pfree(bound);
	}
	return partition;
}

typedef struct LookEntry
{
	Oid			parent;
	PmLook	   *look;
} LookEntry;

static int
compare_entries(const void *a, const void *b)
{
	Oid			x = ((const LookEntry *) a)->parent;
	Oid			y = ((const LookEntry *) b)->parent;

	return x < y ? -1 : x > y ? 1 : 0;
}

#define PARTITIONS_OF \
	"SELECT i.inhparent, i.inhrelid, c.relnamespace, c.relname, c.relowner," \
	" c.relkind, c.reltuples, i.inhdetachpending, c.relpartbound" \
	" FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"

/*
 * The partitions of one set, with a kept plan.  Comparing with an array would
 * make that a plan for many sets.
 */
static uint64
select_of_one(Oid parent)
{
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(parent)};

	return pm_spi_select_kept(PARTITIONS_OF " WHERE i.inhparent = $1", 1, types, values, NULL);
}

/* The partitions of many sets, planned for how many there are. */
static uint64
select_of_many(List *parents)
{
	Oid			types[] = {OIDARRAYOID};
	Datum		values[] = {pm_config_oids(parents)};

	return pm_spi_select(PARTITIONS_OF " WHERE i.inhparent = ANY ($1)", 1, types, values, NULL);
}

/* sorts the partitions, and adds what only few sets need */
static void
complete_look(PmLook *look)
{
	List	   *detached = NIL;
	ListCell   *lc;

	list_sort(look->partitions, compare_partitions);
	pm_sub_read(look->set);
	pm_mark_read(look->set);
	foreach(lc, look->set->marks)
		detached = lappend(detached, ((PmMark *) lfirst(lc))->partition);
	pm_hold_read_below(look->partitions);
	pm_hold_read_below(detached);
	if (look->set->retention_bytes == 0)
		return;
	foreach(lc, look->partitions)
	{
		Partition  *partition = lfirst(lc);

		partition->bytes = pm_size_bytes(partition->oid);
	}
}

/*
 * pm_catalog_look_many returns a PmLook for each of the sets, in their order.
 * A set whose configuration cannot be understood has no partitions here.
 */
List *
pm_catalog_look_many(List *sets)
{
	LookEntry  *entries = palloc(sizeof(LookEntry) * Max(list_length(sets), 1));
	int			n = 0;
	List	   *looks = NIL;
	List	   *oids = NIL;
	PmExtension ext;
	PmSpi		spi;
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext old;
	uint64		rows;
	ListCell   *lc;

	foreach(lc, sets)
	{
		PmLook	   *look = palloc0(sizeof(PmLook));

		look->set = lfirst(lc);
		looks = lappend(looks, look);
		if (look->set->problem)
			continue;
		oids = lappend_oid(oids, look->set->parent);
		entries[n].parent = look->set->parent;
		entries[n++].look = look;
	}
	if (oids == NIL)
		return looks;
	qsort(entries, n, sizeof(LookEntry), compare_entries);

	pm_config_begin(&spi, &ext);
	rows = n == 1 ? select_of_one(linitial_oid(oids)) : select_of_many(oids);
	old = MemoryContextSwitchTo(caller);
	for (uint64 i = 0; i < rows; i++)
	{
		LookEntry	wanted = {pm_spi_oid(i, 1), NULL};
		LookEntry  *entry = bsearch(&wanted, entries, n, sizeof(LookEntry),
									compare_entries);
		Partition  *partition = partition_from_row(&entry->look->set->key, i);

		if (partition->is_default)
			entry->look->dflt = partition;
		else
			entry->look->partitions = lappend(entry->look->partitions, partition);
	}
	MemoryContextSwitchTo(old);
	pm_spi_end(&spi);
	foreach(lc, looks)
		complete_look(lfirst(lc));
	return looks;
}

/* pm_catalog_look returns one set as it is now. */
PmLook *
pm_catalog_look(PartSet *set)
{
	return linitial(pm_catalog_look_many(list_make1(set)));
}

/*
 * highest_key reads max(key) of one partition, as its owner: what he has put
 * there, a policy for example, must not run as anybody else.  Only the newest
 * partition with rows is ever asked, so an index makes it a probe.
 */
static bool
highest_key(const PartSet *set, const Partition *partition, int64 *result)
{
	PmSpi		spi;
	bool		isnull;
	Datum		value;
	int64		raw;
	bool		found = false;

	/* numeric may have fractions, infinity and NaN, which are no places on the axis */
	pm_spi_begin(&spi, partition->owner);
	pm_spi_select(psprintf(set->key.type == NUMERICOID ?
						   "SELECT floor(max(%s)) FROM %s WHERE %s < 'Infinity'" :
						   "SELECT max(%s) FROM %s",
						   quote_identifier(set->key.attname),
						   pm_full_name(partition),
						   quote_identifier(set->key.attname)),
				  0, NULL, NULL, NULL);
	value = pm_spi_value(0, 1, &isnull);
	/* what is beyond int64 cannot be a place on the axis either */
	if (!isnull && pm_key_raw(&set->key, value, &raw))
		found = pm_key_position(&set->key, raw, false, result);
	pm_spi_end(&spi);
	return found;
}

/* pm_catalog_refuse_pending: of its rows some transactions see all, and some none. */
void
pm_catalog_refuse_pending(const Partition *partition)
{
	if (partition->is_pending)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("partition %s is being detached", pm_full_name(partition)),
				 errhint("Run maintenance, which finalizes it.")));
}

/* pm_catalog_refuse_foreign: who does not own a partition may not see all its rows. */
void
pm_catalog_refuse_foreign(const PartSet *set, const Partition *partition)
{
	if (partition->owner != set->owner)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("partition %s does not belong to the owner of the table", pm_full_name(partition))));
}

/* pm_catalog_has_rows asks a partition for any row, as its owner, for the same reason. */
bool
pm_catalog_has_rows(const Partition *partition)
{
	PmSpi		spi;
	bool		result;

	pm_spi_begin(&spi, partition->owner);
	result = pm_spi_select(psprintf("SELECT FROM %s LIMIT 1", pm_full_name(partition)), 0, NULL, NULL, NULL) > 0;
	pm_spi_end(&spi);
	return result;
}

/* pm_catalog_highest is the same of any table that has the key of a set. */
bool
pm_catalog_highest(const PartSet *set, Oid table, int64 *highest)
{
	Partition	whole = {.oid = table, .schema = get_namespace_name(get_rel_namespace(table)),
		.name = get_rel_name(table), .owner = set->owner
	};

	return highest_key(set, &whole, highest);
}

/* the highest key of the partitions that are foreign tables, or of the others */
static bool
newest_among(const PmLook *look, bool foreign, int64 *newest)
{
	for (int i = list_length(look->partitions) - 1; i >= 0; i--)
	{
		Partition  *partition = list_nth(look->partitions, i);

		if ((!partition->is_readable && !partition->is_rounded) || partition->is_pending ||
			(partition->relkind == RELKIND_FOREIGN_TABLE) != foreign)
			continue;
		/* most that are ahead have no block: not worth a query */
		if ((partition->relkind != RELKIND_RELATION ||
			 pm_size_blocks(partition->oid) > 0) &&
			highest_key(look->set, partition, newest))
			return true;
	}
	return false;
}

/*
 * A set that is a partition, and has no row yet, goes by the set above it: its rows
 * come when those of its neighbour end.
 */
static bool
newest_above(const PartSet *set, int64 *newest)
{
	List	   *sets;
	PartSet    *above;

	if (!set->has_limits)
		return false;
	sets = pm_config_read(list_make1_oid(get_partition_parent(set->parent, true)));
	above = sets == NIL ? NULL : linitial(sets);
	return above != NULL && above->problem == NULL && above->key.axis == set->key.axis &&
		strcmp(above->key.attname, set->key.attname) == 0 &&
		pm_catalog_newest(pm_catalog_look(above), newest);
}

/*
 * pm_catalog_newest finds the highest key of a set of ids; false if it has no
 * row.  The default counts only if the set says so.
 *
 * Foreign tables are asked only if no other partition has a row: a server far
 * away that is down must not keep the set from being maintained.
 */
bool
pm_catalog_newest(const PmLook *look, int64 *newest)
{
	bool		found = newest_among(look, false, newest);
	int64		key;

	if (look->dflt && !look->set->ignore_default_data &&
		look->dflt->relkind != RELKIND_FOREIGN_TABLE &&
		highest_key(look->set, look->dflt, &key))
	{
		*newest = found ? Max(*newest, key) : key;
		found = true;
	}
	return found || newest_among(look, true, newest) || newest_above(look->set, newest);
}
