/*-------------------------------------------------------------------------
 *
 * ondemand_cache.c
 *		What a session remembers of partitioned tables that are written to: are
 *		partitions made there on demand, and which values have one already.
 *
 * Every statement that writes to a partitioned table asks here, so the answer is
 * kept, with the table's entry in the relation cache: whatever changes the table,
 * its partitions or its row of part_config (which the server is told of as well,
 * see pm_config_changed) has it read again.  What the partitions of a table take
 * is read for each query from what the query itself has found, since that is
 * where its rows go.
 *
 * Waits for no lock: a table of ours that somebody has locked means that nothing
 * is made on demand by this statement.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/partition.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "ondemand.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "utils/fmgrprotos.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/rel.h"

#include "compat.h"

static HTAB *tables = NULL;
static uint64 changes = 0;		/* invalidations so far */

/* a set with on_demand that is part of another partitioned table */
typedef struct Nested
{
	Oid			parent;
	List	   *ancestors;		/* OIDs */
} Nested;

static bool nested_is_valid = false;
static Oid	config = InvalidOid;	/* part_config, from which they were read */
static List *nested = NIL;		/* of Nested */
static MemoryContext nested_context = NULL;

static void
forget_table(PmDemandTable *table)
{
	table->is_valid = false;
	/* what is made anew may come to lie where this was */
	if (table->demand)
		table->demand->desc = NULL;
}

/* Forget a table; all of them if relid is 0. */
static void
forget(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS scan;
	PmDemandTable *table;
	ListCell   *lc;

	changes++;
	/* without part_config anything may be its coming */
	nested_is_valid &= OidIsValid(relid) && OidIsValid(config) && relid != config;
	foreach(lc, nested)
		nested_is_valid &= ((Nested *) lfirst(lc))->parent != relid;
	if (OidIsValid(relid))
	{
		table = hash_search(tables, &relid, HASH_FIND, NULL);
		if (table)
			forget_table(table);
		return;
	}
	hash_seq_init(&scan, tables);
	while ((table = hash_seq_search(&scan)) != NULL)
		forget_table(table);
}

static void
begin(void)
{
	HASHCTL		ctl = {.keysize = sizeof(Oid), .entrysize = sizeof(PmDemandTable)};

	tables = hash_create("partmgr tables", 64, &ctl, HASH_ELEM | HASH_BLOBS);
	CacheRegisterRelcacheCallback(forget, (Datum) 0);
}

/* copies as much of a set as making partitions on demand needs */
static PartSet *
copy_set(const PartSet *set)
{
	PartSet    *copy = palloc0(sizeof(PartSet));

	copy->parent = set->parent;
	copy->schema = pstrdup(set->schema);
	copy->name = pstrdup(set->name);
	copy->owner = set->owner;
	copy->key = set->key;
	copy->key.attname = pstrdup(set->key.attname);
	copy->grid = set->grid;
	copy->premake = set->premake;
	copy->has_retention = set->has_retention;
	copy->retention = set->retention;
	copy->on_demand_window = set->on_demand_window;
	return copy;
}

/* how wide keys are that are their own raw value; 0 for others */
static int
raw_width(const PartKey *key)
{
	switch (key->type)
	{
		case TIMESTAMPTZOID:
		case TIMESTAMPOID:
		case INT8OID:
			return sizeof(int64);
		case INT4OID:
		case DATEOID:
			return sizeof(int32);
		default:
			return 0;
	}
}

static PmDemandSet *
make_demand(const PartSet *set, PartitionDesc desc)
{
	MemoryContext context = AllocSetContextCreate(CacheMemoryContext, "partmgr set",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	PmDemandSet *demand = palloc0(sizeof(PmDemandSet));

	demand->context = context;
	demand->is_current = true;
	demand->set = copy_set(set);
	demand->width = raw_width(&set->key);
	pm_cover_read(demand, desc, &demand->cover);
	demand->desc = desc;
	MemoryContextSwitchTo(old);
	return demand;
}

static void
free_if_unused(PmDemandSet *demand)
{
	if (demand->pins == 0 && !demand->is_current)
		MemoryContextDelete(demand->context);
}

/* pm_demand_pin keeps a set as it is until pm_demand_unpin. */
void
pm_demand_pin(PmDemandSet *demand)
{
	demand->pins++;
}

void
pm_demand_unpin(PmDemandSet *demand)
{
	demand->pins--;
	free_if_unused(demand);
}

/* are there partitions of a table that are partitioned again? */
static bool
has_branches(Relation rel)
{
	PartitionDesc desc = RelationGetPartitionDesc(rel, true);

	for (int i = 0; i < desc->nparts; i++)
		if (!desc->is_leaf[i])
			return true;
	return false;
}

static void
read_table(PmDemandTable *table, Relation rel)
{
	uint64		seen = changes;
	bool		busy;
	PartSet    *set = pm_config_read_nowait(table->relid, &busy);
	PartitionDesc desc = RelationGetPartitionDesc(rel, true);
	PmDemandSet *demand = NULL;

	/* create_parent refuses those, but a restored configuration may say anything */
	if (set != NULL && set->on_demand && set->is_armed && set->key.codec == NULL && set->key.others == NIL &&
		!OidIsValid(get_default_oid_from_partdesc(desc)))
		demand = make_demand(set, desc);
	if (table->demand)
	{
		table->demand->is_current = false;
		free_if_unused(table->demand);
	}
	table->demand = demand;
	table->has_branches = has_branches(rel);
	/* what has changed meanwhile is good for this time only */
	table->is_valid = !busy && seen == changes;
}

/*
 * pm_demand_table tells what is known of a partitioned table, which the caller
 * has opened.  The result is good until the next call.
 */
const PmDemandTable *
pm_demand_table(Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	bool		found;
	PmDemandTable *table;

	if (tables == NULL)
		begin();
	table = hash_search(tables, &relid, HASH_ENTER, &found);
	if (!found)
	{
		table->is_valid = false;
		table->has_branches = false;
		table->demand = NULL;
	}
	if (!table->is_valid)
	{
		MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "partmgr look",
													  ALLOCSET_DEFAULT_SIZES);
		MemoryContext old = MemoryContextSwitchTo(scratch);

		read_table(table, rel);
		MemoryContextSwitchTo(old);
		MemoryContextDelete(scratch);
	}
	return table;
}

static void
read_nested(void)
{
	uint64		seen = changes;
	List	   *parents = pm_config_on_demand_nowait(&config);
	MemoryContext old;
	ListCell   *lc;

	nested = NIL;
	if (nested_context == NULL)
		nested_context = AllocSetContextCreate(CacheMemoryContext, "partmgr nested sets",
											   ALLOCSET_SMALL_SIZES);
	MemoryContextReset(nested_context);
	old = MemoryContextSwitchTo(nested_context);
	foreach(lc, parents)
	{
		Nested	   *set;

		if (!get_rel_relispartition(lfirst_oid(lc)))
			continue;
		set = palloc(sizeof(Nested));
		set->parent = lfirst_oid(lc);
		set->ancestors = get_partition_ancestors(set->parent);
		nested = lappend(nested, set);
	}
	MemoryContextSwitchTo(old);
	nested_is_valid = OidIsValid(config) && seen == changes;
}

/*
 * pm_demand_below returns the OIDs of the sets with on_demand below a table that
 * has branches.
 */
List *
pm_demand_below(Oid relid)
{
	List	   *result = NIL;
	ListCell   *lc;

	if (!nested_is_valid)
		read_nested();
	foreach(lc, nested)
	{
		const Nested *set = lfirst(lc);

		if (list_member_oid(set->ancestors, relid))
			result = lappend_oid(result, set->parent);
	}
	return result;
}


/* ---------- which values have a partition ---------- */

/*
 * pm_demand_raw reads the raw value of a key; false for what has no place on the
 * axis, such as infinity, and so never gets a partition.  A number between two
 * ids is with the lower one.
 */
bool
pm_demand_raw(const PartKey *key, Datum value, int64 *raw)
{
	if (key->type == NUMERICOID)
	{
		Numeric		number = DatumGetNumeric(value);

		if (numeric_is_nan(number) || numeric_is_inf(number))
			return false;
		value = DirectFunctionCall1(numeric_floor, value);
	}
	return pm_key_raw(key, value, raw);
}

/* adds a range, to the last one if it touches that */
static void
add_range(PmCover *cover, int64 first, int64 last)
{
	CoverRange *before = cover->n > 0 ? &cover->ranges[cover->n - 1] : NULL;

	if (first > last)
		return;
	if (before && before->last < PG_INT64_MAX && before->last + 1 >= first)
	{
		before->last = Max(before->last, last);
		return;
	}
	cover->ranges[cover->n].first = first;
	cover->ranges[cover->n++].last = last;
}

/*
 * A bound as a raw value; one that the axis cannot hold is its end: what is there
 * is nothing that we could make a partition for.
 */
static int64
bound_raw(const PartKey *key, PartitionBoundInfo info, int i)
{
	PartitionRangeDatumKind kind = info->kind ? info->kind[i][0] : PARTITION_RANGE_DATUM_VALUE;
	int64		raw;

	if (kind == PARTITION_RANGE_DATUM_MINVALUE)
		return PG_INT64_MIN;
	if (kind == PARTITION_RANGE_DATUM_MAXVALUE)
		return PG_INT64_MAX;
	if (pm_key_raw(key, info->datums[i][0], &raw))
		return raw;
	return i == 0 ? PG_INT64_MIN : PG_INT64_MAX;
}

static void
read_ranges(const PartKey *key, PartitionBoundInfo info, PmCover *cover)
{
	for (int i = 1; i < info->ndatums; i++)
	{
		int64		upper;

		/* indexes[i] is the partition that ends with datums[i] */
		if (info->indexes[i] < 0)
			continue;
		upper = bound_raw(key, info, i);
		add_range(cover, bound_raw(key, info, i - 1),
				  upper == PG_INT64_MAX ? upper : upper - 1);
	}
}

static void
read_values(const PartKey *key, PartitionBoundInfo info, PmCover *cover)
{
	for (int i = 0; i < info->ndatums; i++)
	{
		int64		raw;

		if (pm_key_raw(key, info->datums[i][0], &raw))
			add_range(cover, raw, raw);
	}
}

/*
 * From where on rows are in the last quarter of what is kept ahead.  Of ids: time
 * goes by itself, and the worker knows when.
 */
static int64
urge_from(const PartSet *set, const PmCover *cover)
{
	int64		end = cover->n > 0 ? cover->ranges[cover->n - 1].last : PG_INT64_MAX;
	int64		quarter;
	int64		result;

	if (!pm_is_preloaded || set->key.axis != AXIS_ID || end == PG_INT64_MAX ||
		pg_mul_s64_overflow(set->grid.interval.units, set->premake, &quarter) ||
		pg_sub_s64_overflow(end, Max(quarter / 4, 1) - 1, &result))
		return PG_INT64_MAX;
	return result;
}

/* Remembers a range that was hit, as far as nothing in it is urgent. */
static void
note_hit(PmCover *cover, const CoverRange *range)
{
	cover->last_hit = *range;
	if (cover->urge_from <= cover->last_hit.last)
		cover->last_hit.last = cover->urge_from - 1;
}

/*
 * pm_cover_read finds what the partitions of a table take, as a query sees them;
 * in the current memory context.
 */
void
pm_cover_read(const PmDemandSet *demand, PartitionDesc desc, PmCover *cover)
{
	const PartKey *key = &demand->set->key;
	PartitionBoundInfo info = desc->boundinfo;

	if (demand->desc == desc && demand->is_current)
	{
		/* mostly: what was read when the set was */
		*cover = demand->cover;
		cover->ranges = palloc(sizeof(CoverRange) * Max(cover->n, 1));
		memcpy(cover->ranges, demand->cover.ranges, sizeof(CoverRange) * cover->n);
		return;
	}
	cover->n = 0;
	cover->ranges = NULL;
	if (info != NULL)
	{
		cover->ranges = palloc(sizeof(CoverRange) * Max(info->ndatums, 1));
		if (key->is_list)
			read_values(key, info, cover);
		else
			read_ranges(key, info, cover);
	}
	cover->urge_from = urge_from(demand->set, cover);
	/* nothing, unless there is something */
	cover->last_hit.first = PG_INT64_MAX;
	cover->last_hit.last = PG_INT64_MIN;
	if (cover->n > 0)
		note_hit(cover, &cover->ranges[cover->n - 1]);
}

/*
 * pm_cover_has tells whether a partition takes a value.  If there will soon be
 * none for what comes next, the worker hears of it.
 */
bool
pm_cover_has(const PmDemandSet *demand, PmCover *cover, int64 raw)
{
	int			low = 0;
	int			high = cover->n;

	if (raw >= cover->urge_from)
	{
		pm_worker_urge(demand->set->parent);
		cover->urge_from = PG_INT64_MAX;
	}
	while (low < high)
	{
		int			middle = low + (high - low) / 2;
		const CoverRange *range = &cover->ranges[middle];

		if (raw > range->last)
			low = middle + 1;
		else if (raw < range->first)
			high = middle;
		else
		{
			note_hit(cover, range);
			return true;
		}
	}
	return false;
}
