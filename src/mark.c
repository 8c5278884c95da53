/*-------------------------------------------------------------------------
 *
 * mark.c
 *		part_detached, what was detached and waits, and part_hold, what must
 *		stay.
 *
 * DETACH erases the bounds of a partition, so a mark with them is written
 * before it.  A mark is only a note: whether a partition is attached is what
 * the catalogs say, at every look anew.  One that is attached again, to any
 * table, is left alone whatever its mark says.
 *
 * Our tables are read and written as the extension's owner.  Nothing here
 * decides whether the caller may: that is done at the entry.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "bound.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "config.h"
#include "internal.h"
#include "lib/stringinfo.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

static const char *const rule_names[] = {
	[RULE_AGE] = "age",
	[RULE_COUNT] = "count",
	[RULE_SIZE] = "size",
	[RULE_ASKED] = "asked"
};

static PmRule
rule_of(const char *name)
{
	for (int i = 0; i < lengthof(rule_names); i++)
		if (strcmp(rule_names[i], name) == 0)
			return (PmRule) i;
	return RULE_ASKED;			/* never comes back by itself */
}


/* ---------- reading ---------- */

/* one end of a mark's bound, NULL being open; false if the axis cannot hold it */
static bool
read_end(const PartKey *key, uint64 row, int column, int64 *pos, int64 *raw,
		 bool *open)
{
	Datum		value = pm_spi_value(row, column, open);

	if (*open)
		return true;
	*raw = DatumGetInt64(value);
	if (!key->is_list)
		return pm_key_position(key, *raw, true, pos);
	*pos = *raw;				/* the highest value + 1 may be no value */
	return true;
}

/* the values of a LIST partition, out of what pm_ddl_range has printed */
static void
read_values(Partition *partition, const char *range)
{
	partition->has_null = strstr(range, "NULL") != NULL;
	partition->values = palloc(sizeof(int64) * (strlen(range) / 2 + 1));
	while (*range)
	{
		char	   *end;

		if (strchr("-0123456789", *range) == NULL)
		{
			range++;
			continue;
		}
		partition->values[partition->nvalues++] = strtoll(range, &end, 10);
		range = end;
	}
}

/* end_text reads one end out of what pm_ddl_range has printed, and moves behind it; NULL if it is open. */
static char *
end_text(const char **at)
{
	StringInfoData buf;
	bool		has_escapes;
	const char *p = *at;

	*at += strcspn(*at, ",)");
	has_escapes = *p == 'E';
	p += has_escapes;
	if (*p != '\'')
		return NULL;
	initStringInfo(&buf);
	for (p++; *p && (p[0] != '\'' || p[1] == '\''); p++)
	{
		p += *p == '\'' || (has_escapes && *p == '\\');
		appendStringInfoChar(&buf, *p);
	}
	*at = p;
	return buf.data;
}

/* the ends of a range whose keys functions read: only its text has them as they are */
static bool
read_encoded(const PartKey *key, const char *range, PartBound *bound)
{
	static const char from[] = "FROM (";
	static const char to[] = " TO (";
	const char *at = strstr(range, from);
	char	   *lower;
	char	   *upper;
	Datum		value;

	if (key->codec == NULL || at == NULL)
		return false;
	at += strlen(from);
	lower = end_text(&at);
	at = strstr(at, to);
	if (at == NULL)
		return false;
	at += strlen(to);
	upper = end_text(&at);
	bound->lower_open = lower == NULL;
	bound->upper_open = upper == NULL;
	return (lower == NULL || (pm_codec_input(key, lower, &value, &bound->lower_raw) &&
							  pm_key_position(key, bound->lower_raw, true, &bound->lower))) &&
		(upper == NULL || (pm_codec_input(key, upper, &value, &bound->upper_raw) &&
						   pm_key_position(key, bound->upper_raw, true, &bound->upper)));
}

/* columns: see pm_mark_read */
static PmMark *
mark_from_row(const PartKey *key, uint64 row)
{
	PmMark	   *mark = palloc0(sizeof(PmMark));
	Partition  *partition = palloc0(sizeof(Partition));
	PartBound  *bound = &partition->bound;
	bool		isnull;
	Datum		value;

	mark->partition = partition;
	partition->oid = pm_spi_oid(row, 1);
	partition->schema = pm_spi_string(row, 2);
	partition->name = pm_spi_string(row, 3);
	partition->owner = pm_spi_oid(row, 4);
	partition->relkind = DatumGetChar(pm_spi_value(row, 5, &isnull));
	partition->rows = DatumGetFloat4(pm_spi_value(row, 6, &isnull));
	mark->range = pm_spi_string(row, 7);
	partition->is_readable = key->kind == KEY_ENCODED ?
		read_encoded(key, mark->range, bound) :
		read_end(key, row, 8, &bound->lower, &bound->lower_raw, &bound->lower_open) &&
		read_end(key, row, 9, &bound->upper, &bound->upper_raw, &bound->upper_open);
	if (key->is_list)
		read_values(partition, mark->range);
	mark->rule = rule_of(pm_spi_string(row, 10));
	mark->is_settled = pm_spi_bool(row, 11);
	value = pm_spi_value(row, 12, &isnull);
	mark->has_drop = !isnull;
	mark->drop_after = isnull ? 0 : DatumGetTimestampTz(value);
	mark->home = pm_spi_string(row, 13);
	value = pm_spi_value(row, 14, &isnull);
	mark->retry_after = isnull ? 0 : DatumGetTimestampTz(value);
	mark->is_attached = pm_spi_bool(row, 15);
	return mark;
}

static void
read_marks(PartSet *set, const PmExtension *ext, MemoryContext caller)
{
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(set->parent)};
	uint64		rows;
	MemoryContext old;

	rows = pm_spi_select_kept(pm_config_sql(ext,
											"SELECT c.oid, n.nspname, c.relname, c.relowner, c.relkind, c.reltuples,"
											" d.range, d.lower_raw, d.upper_raw, d.reason, d.is_settled, d.drop_after,"
											" d.home_schema, d.retry_after,"
											" EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid)"
											" FROM %d d JOIN pg_class c ON c.oid = d.partition"
											" JOIN pg_namespace n ON n.oid = c.relnamespace"
											" WHERE d.parent_table = $1::regclass"
											" ORDER BY d.lower_raw NULLS FIRST, c.oid"),
							  1, types, values, NULL);
	old = MemoryContextSwitchTo(caller);
	for (uint64 i = 0; i < rows; i++)
		set->marks = lappend(set->marks, mark_from_row(&set->key, i));
	MemoryContextSwitchTo(old);
}

static void
read_holds(PartSet *set, const PmExtension *ext, MemoryContext caller)
{
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(set->parent)};
	uint64		rows;
	MemoryContext old;

	rows = pm_spi_select_kept(pm_config_sql(ext,
											"SELECT lower, upper, reason, id, held_by, held_at FROM %h"
											" WHERE parent_table = $1::regclass ORDER BY id"),
							  1, types, values, NULL);
	old = MemoryContextSwitchTo(caller);
	for (uint64 i = 0; i < rows; i++)
	{
		PmHold	   *hold = palloc0(sizeof(PmHold));
		char	   *lower = pm_spi_string(i, 1);
		char	   *upper = pm_spi_string(i, 2);
		bool		isnull;

		hold->bound.lower_open = lower == NULL;
		if (lower)
			hold->bound.lower = pm_position_read(&set->key, lower);
		hold->bound.upper_open = upper == NULL;
		if (upper)
			hold->bound.upper = pm_position_read(&set->key, upper);
		hold->reason = pm_spi_string(i, 3);
		hold->id = DatumGetInt64(pm_spi_value(i, 4, &isnull));
		hold->held_by = pm_spi_string(i, 5);
		hold->held_at = DatumGetTimestampTz(pm_spi_value(i, 6, &isnull));
		set->holds = lappend(set->holds, hold);
	}
	MemoryContextSwitchTo(old);
}

/* does a hold of a set concern one of its partitions? */
static bool
concerns(const PartSet *set, const PmHold *hold, Oid partition)
{
	PartitionBoundSpec *spec = pm_bound_of(partition);
	PmEnd		lower;
	PmEnd		upper;

	if (spec == NULL || spec->is_default || spec->strategy == PARTITION_STRATEGY_LIST)
		return true;
	lower = pm_bound_lower(&set->key, spec);
	upper = pm_bound_upper(&set->key, spec);
	return (hold->bound.upper_open || !lower.is_known || lower.pos < hold->bound.upper) &&
		(hold->bound.lower_open || !upper.is_known || upper.pos > hold->bound.lower);
}

/*
 * A hold of a set keeps what is below its partitions as well: in the key of the set if
 * that is the same, else all of it.
 */
static void
add_holds_above(PartSet *set)
{
	Oid			parent;

	for (Oid child = set->parent; get_rel_relispartition(child); child = parent)
	{
		List	   *sets;
		PartSet    *above;
		ListCell   *lc;

		parent = get_partition_parent(child, true);
		sets = pm_hold_exists(parent) ? pm_config_read(list_make1_oid(parent)) : NIL;
		above = sets == NIL ? NULL : linitial(sets);
		if (above == NULL || above->problem)
			continue;			/* its own run says what is wrong with it */
		above->has_marks = false;
		pm_mark_read(above);
		foreach(lc, above->holds)
		{
			PmHold	   *hold = palloc(sizeof(PmHold));

			*hold = *(PmHold *) lfirst(lc);
			if (!concerns(above, hold, child))
				continue;
			if (strcmp(above->key.attname, set->key.attname) != 0 || above->key.axis != set->key.axis)
				hold->bound.lower_open = hold->bound.upper_open = true;
			set->holds = lappend(set->holds, hold);
		}
		return;					/* those of what is above it are among them */
	}
}

/*
 * pm_mark_read adds to a set its marks and its holds, if it has any, and those of the
 * sets that it is part of.
 */
void
pm_mark_read(PartSet *set)
{
	PmExtension ext;
	PmSpi		spi;
	MemoryContext caller = CurrentMemoryContext;

	set->holds = NIL;
	if (get_rel_relispartition(set->parent))
		add_holds_above(set);
	if (!set->has_marks && !set->has_holds)
		return;
	set->marks = NIL;
	pm_config_begin(&spi, &ext);
	if (set->has_marks)
		read_marks(set, &ext, caller);
	if (set->has_holds)
		read_holds(set, &ext, caller);
	pm_spi_end(&spi);
}


/* ---------- marks ---------- */

/*
 * pm_mark_write notes that a partition is about to be detached, and what is to
 * become of it.  A mark that is left of an earlier detach is replaced.
 */
void
pm_mark_write(const PartSet *set, const PlanStep *step, TimestampTz now)
{
	const Partition *partition = step->partition;
	const PartBound *bound = &step->bound;
	const PartKey *key = &set->key;	/* handles of a codec must not be stored */
	bool		is_plain = step->retire == RETIRE_DROP ||
		step->retire == RETIRE_LATER;
	bool		drops = is_plain || (step->retire == RETIRE_MOVE && set->has_grace && set->drops);
	Oid			types[] = {OIDOID, OIDOID, TEXTOID, INT8OID, INT8OID, TEXTOID,
	TIMESTAMPTZOID, BOOLOID, BOOLOID, TEXTOID};
	Datum		values[] = {
		ObjectIdGetDatum(partition->oid),
		ObjectIdGetDatum(set->parent),
		CStringGetTextDatum(pm_ddl_range(&set->key, partition, bound)),
		Int64GetDatum(key->codec ? bound->lower : bound->lower_raw),
		Int64GetDatum(key->codec ? bound->upper : bound->upper_raw),
		CStringGetTextDatum(rule_names[step->rule]),
		TimestampTzGetDatum(now),
		BoolGetDatum(drops),
		BoolGetDatum(is_plain),
		CStringGetTextDatum(partition->schema)
	};
	char		nulls[] = "          ";

	if (bound->lower_open)
		nulls[3] = 'n';
	if (bound->upper_open)
		nulls[4] = 'n';
	(void) pm_config_write("INSERT INTO %d AS d (partition, parent_table, range, lower_raw, upper_raw,"
						   " reason, marked_at, drop_after, is_settled, home_schema)"
						   " SELECT $1::regclass, $2::regclass, $3, $4, $5, $6, $7,"
						   " CASE WHEN $8 THEN $7 + coalesce(c.retention_grace, '0') END, $9, $10"
						   " FROM %c c WHERE c.parent_table = $2::regclass"
						   " ON CONFLICT (partition) DO UPDATE SET parent_table = excluded.parent_table,"
						   " range = excluded.range, lower_raw = excluded.lower_raw,"
						   " upper_raw = excluded.upper_raw, reason = excluded.reason,"
						   " marked_at = excluded.marked_at, drop_after = excluded.drop_after,"
						   " is_settled = excluded.is_settled, home_schema = excluded.home_schema, verdict = NULL, retry_after = NULL",
						   lengthof(types), types, values, nulls);
}

/* changes the marks of a partition, or of a parent, which is $1 */
static void
change_mark(Oid relation, const char *sql)
{
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(relation)};

	(void) pm_config_write(sql, 1, types, values, NULL);
}

/* pm_mark_settled notes that what follows the detach of a partition is done. */
void
pm_mark_settled(Oid partition)
{
	change_mark(partition, "UPDATE %d SET is_settled = true WHERE partition = $1::regclass");
}

/* pm_mark_forget deletes the mark of a partition. */
void
pm_mark_forget(Oid partition)
{
	change_mark(partition, "DELETE FROM %d WHERE partition = $1::regclass");
}

/*
 * pm_mark_forget_attached deletes the marks of partitions of a set that are
 * attached after all: whoever detaches one of them later is not us.
 *
 * The caller holds SHARE UPDATE EXCLUSIVE on the parent, so that no detach is
 * under way.
 */
void
pm_mark_forget_attached(Oid parent)
{
	change_mark(parent, "DELETE FROM %d WHERE parent_table = $1::regclass AND EXISTS"
				" (SELECT FROM pg_inherits i WHERE i.inhrelid = partition AND NOT i.inhdetachpending)");
}

/*
 * pm_mark_lock locks the mark of a partition that is about to be dropped;
 * false if it is gone, or does not say any more that it may be dropped.
 */
bool
pm_mark_lock(Oid partition, TimestampTz now)
{
	Oid			types[] = {OIDOID, TIMESTAMPTZOID};
	Datum		values[] = {ObjectIdGetDatum(partition), TimestampTzGetDatum(now)};

	return pm_config_write("UPDATE %d SET drop_after = drop_after"
						   " WHERE partition = $1::regclass AND drop_after <= $2",
						   2, types, values, NULL) > 0;
}

/*
 * pm_mark_verdict notes what the archive function has said.  "keep" is for good;
 * "retry" is asked again after a while.
 */
void
pm_mark_verdict(Oid partition, const char *verdict, TimestampTz retry_after)
{
	Oid			types[] = {OIDOID, TEXTOID, TIMESTAMPTZOID};
	Datum		values[] = {
		ObjectIdGetDatum(partition),
		CStringGetTextDatum(verdict),
		TimestampTzGetDatum(retry_after)
	};

	(void) pm_config_write("UPDATE %d SET verdict = $2,"
						   " drop_after = CASE WHEN $2 <> 'keep' THEN drop_after END,"
						   " retry_after = CASE WHEN $2 = 'retry' THEN $3 END"
						   " WHERE partition = $1::regclass",
						   3, types, values, NULL);
}

/*
 * pm_mark_find returns the set that a detached partition belonged to, or
 * InvalidOid if it has no mark.
 */
Oid
pm_mark_find(Oid partition)
{
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(partition)};

	return pm_config_select_oid("SELECT parent_table::oid FROM %d WHERE partition = $1::regclass",
								1, types, values);
}


/* ---------- holds ---------- */

/*
 * pm_hold_add adds a hold, ends as positions or NULL, and returns its number.
 *
 * The marks of the set are locked first: whoever drops a detached partition
 * locks its mark, and then looks for holds.  So he sees this one, or has dropped
 * before it is there.
 */
int64
pm_hold_add(Oid parent, const char *lower, const char *upper,
			const char *reason, const char *held_by)
{
	PmExtension ext;
	PmSpi		spi;
	Oid			types[] = {OIDOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	Datum		values[] = {
		ObjectIdGetDatum(parent),
		lower ? CStringGetTextDatum(lower) : (Datum) 0,
		upper ? CStringGetTextDatum(upper) : (Datum) 0,
		CStringGetTextDatum(reason),
		CStringGetTextDatum(held_by)
	};
	char		nulls[] = {' ', lower ? ' ' : 'n', upper ? ' ' : 'n', ' ', ' ', '\0'};
	bool		isnull;
	int64		id;

	pm_config_begin(&spi, &ext);
	pm_spi_write(pm_config_sql(&ext, "SELECT FROM %d WHERE parent_table = $1::regclass"
							   " ORDER BY partition::oid FOR UPDATE"),
				 1, types, values, NULL);
	pm_spi_write(pm_config_sql(&ext,
							   "INSERT INTO %h (parent_table, lower, upper, reason, held_by, held_at)"
							   " VALUES ($1, $2, $3, $4, $5, clock_timestamp()) RETURNING id"),
				 5, types, values, nulls);
	id = DatumGetInt64(pm_spi_value(0, 1, &isnull));
	pm_spi_end(&spi);
	pm_config_changed(parent);
	return id;
}

/*
 * pm_hold_read_below finds for those of some partitions that are partitioned
 * again a hold of a set that is part of them: the range of that one is counted
 * in another key, so it keeps all of the partition.
 */
void
pm_hold_read_below(List *partitions)
{
	PmExtension ext;
	PmSpi		spi;
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext old;
	List	   *oids = NIL;
	Oid			types[] = {OIDARRAYOID};
	Datum		values[1];
	uint64		rows;
	ListCell   *lc;

	foreach(lc, partitions)
	{
		const Partition *partition = lfirst(lc);

		if (partition->relkind == RELKIND_PARTITIONED_TABLE)
			oids = lappend_oid(oids, partition->oid);
	}
	if (oids == NIL)
		return;
	values[0] = pm_config_oids(oids);
	pm_config_begin(&spi, &ext);
	rows = pm_spi_select_kept(pm_config_sql(&ext,
											"WITH RECURSIVE tree(top, relid) AS (SELECT u, u FROM unnest($1) u"
											" UNION ALL SELECT t.top, i.inhrelid FROM tree t JOIN pg_inherits i ON i.inhparent = t.relid)"
											" SELECT DISTINCT ON (t.top) t.top, h.id, h.reason, h.held_by, h.held_at"
											" FROM tree t JOIN %h h ON h.parent_table = t.relid::regclass ORDER BY t.top, h.id"),
							  1, types, values, NULL);
	old = MemoryContextSwitchTo(caller);
	for (uint64 i = 0; i < rows; i++)
	{
		PmHold	   *hold = palloc0(sizeof(PmHold));
		bool		isnull;

		hold->bound.lower_open = hold->bound.upper_open = true;
		hold->id = DatumGetInt64(pm_spi_value(i, 2, &isnull));
		hold->reason = pm_spi_string(i, 3);
		hold->held_by = pm_spi_string(i, 4);
		hold->held_at = DatumGetTimestampTz(pm_spi_value(i, 5, &isnull));
		foreach(lc, partitions)
		{
			Partition  *partition = lfirst(lc);

			if (partition->oid == pm_spi_oid(i, 1))
				partition->held_below = hold;
		}
	}
	MemoryContextSwitchTo(old);
	pm_spi_end(&spi);
}

/* pm_hold_exists tells whether a set has holds. */
bool
pm_hold_exists(Oid parent)
{
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(parent)};

	return OidIsValid(pm_config_select_oid("SELECT parent_table::oid FROM %h"
										   " WHERE parent_table = $1::regclass LIMIT 1",
										   1, types, values));
}

/* pm_hold_find returns the set of a hold, or InvalidOid if there is none. */
Oid
pm_hold_find(int64 id)
{
	Oid			types[] = {INT8OID};
	Datum		values[] = {Int64GetDatum(id)};

	return pm_config_select_oid("SELECT c.oid FROM %h h JOIN pg_class c ON c.oid = h.parent_table"
								" WHERE h.id = $1",
								1, types, values);
}

/* pm_hold_delete ends a hold. */
void
pm_hold_delete(int64 id)
{
	Oid			types[] = {INT8OID};
	Datum		values[] = {Int64GetDatum(id)};

	(void) pm_config_write("DELETE FROM %h WHERE id = $1", 1, types, values, NULL);
}
