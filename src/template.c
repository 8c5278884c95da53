/*-------------------------------------------------------------------------
 *
 * template.c
 *		What stands around a set: what new partitions take from their parent,
 *		and what could stand in the way of making or retiring one.
 *
 * The second half of looking, needed only when a plan has steps (or when
 * somebody asks how a set is doing).  Reads only, and reads rows of the default
 * partition as its owner.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/twophase.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "commands/tablespace.h"
#include "config.h"
#include "internal.h"
#include "miscadmin.h"
#include "rewrite.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "compat.h"

/* rows of a default are counted up to here, to say how many there are */
#define COUNT_LIMIT 1000000

/* runs a query with one argument, an OID, as the extension's owner */
static uint64
select_by_oid(PmSpi *spi, const char *sql, Oid oid)
{
	PmExtension ext;
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(oid)};

	pm_config_begin(spi, &ext);
	return pm_spi_select_kept(sql, 1, types, values, NULL);
}

/* pm_catalog_strings returns the first column of such a query. */
List *
pm_catalog_strings(const char *sql, Oid oid)
{
	PmSpi		spi;
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext old;
	uint64		rows = select_by_oid(&spi, sql, oid);
	List	   *result = NIL;

	old = MemoryContextSwitchTo(caller);
	for (uint64 i = 0; i < rows; i++)
		result = lappend(result, pm_spi_string(i, 1));
	MemoryContextSwitchTo(old);
	pm_spi_end(&spi);
	return result;
}

/*
 * pm_catalog_texts is the same for a query whose text is another one each time:
 * its plan is not kept.
 */
List *
pm_catalog_texts(const char *sql, Oid oid)
{
	PmExtension ext;
	PmSpi		spi;
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(oid)};
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext old;
	List	   *result = NIL;
	uint64		rows;

	pm_config_begin(&spi, &ext);
	rows = pm_spi_select(sql, 1, types, values, NULL);
	old = MemoryContextSwitchTo(caller);
	for (uint64 i = 0; i < rows; i++)
		result = lappend(result, pm_spi_string(i, 1));
	MemoryContextSwitchTo(old);
	pm_spi_end(&spi);
	return result;
}

/*
 * read_grants makes the GRANTs that give a new partition the privileges of its
 * parent, those of columns and grant options included, after the REVOKEs that
 * take away what default privileges gave.
 */
static void
read_grants(Oid parent, PmTemplate *tmpl)
{
	PmSpi		spi;
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext old;
	uint64		rows;

	rows = select_by_oid(&spi,
						 "WITH parent AS (SELECT * FROM pg_class WHERE oid = $1),"
						 " given AS ("
						 "  SELECT 1 AS place, NULL::name AS col, a.* FROM parent, aclexplode(relacl) a"
						 "  UNION ALL"
						 "  SELECT 2, t.attname, a.* FROM pg_attribute t, aclexplode(t.attacl) a"
						 "  WHERE t.attrelid = $1 AND NOT t.attisdropped),"
						 " role AS (SELECT oid, quote_ident(rolname) AS name FROM pg_roles"
						 "  UNION ALL SELECT 0, 'PUBLIC')"
						 " SELECT head, tail FROM ("
						 " SELECT 0 AS place, 'REVOKE ALL ON TABLE' AS head, ' FROM ' || r.name AS tail"
						 " FROM parent p, pg_default_acl d, aclexplode(d.defaclacl) a JOIN role r ON r.oid = a.grantee"
						 " WHERE d.defaclrole = p.relowner AND d.defaclobjtype = 'r'"
						 "  AND d.defaclnamespace IN (0, p.relnamespace) AND a.grantee <> p.relowner"
						 " UNION"
						 " SELECT g.place, 'GRANT ' || string_agg(g.privilege_type || coalesce(' (' || quote_ident(g.col) || ')', ''), ', '"
						 "  ORDER BY g.privilege_type, g.col) || ' ON TABLE',"
						 "  ' TO ' || r.name || CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END"
						 " FROM parent p, given g JOIN role r ON r.oid = g.grantee WHERE g.grantee <> p.relowner"
						 " GROUP BY g.place, r.name, g.is_grantable) x ORDER BY place, tail, head",
						 parent);
	old = MemoryContextSwitchTo(caller);
	for (uint64 i = 0; i < rows; i++)
	{
		tmpl->grants = lappend(tmpl->grants, pm_spi_string(i, 1));
		tmpl->grant_tails = lappend(tmpl->grant_tails, pm_spi_string(i, 2));
	}
	MemoryContextSwitchTo(old);
	pm_spi_end(&spi);
}

/* pm_catalog_grants returns the statements that give a table the privileges of another one. */
List *
pm_catalog_grants(Oid like, const char *table)
{
	PmTemplate	tmpl = {0};
	List	   *result = NIL;
	ListCell   *lc;
	ListCell   *lc2;

	read_grants(like, &tmpl);
	forboth(lc, tmpl.grants, lc2, tmpl.grant_tails)
		result = lappend(result, psprintf("%s %s%s", (char *) lfirst(lc), table, (char *) lfirst(lc2)));
	return result;
}

/* what stands in the parent's own row of pg_class */
static void
read_parent(Oid parent, PmTemplate *tmpl)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(parent));
	Form_pg_class form;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", parent)));
	form = (Form_pg_class) GETSTRUCT(tuple);
	if (OidIsValid(form->reltablespace))
		tmpl->tablespace = get_tablespace_name(form->reltablespace);
	if (OidIsValid(form->relam))
		tmpl->access_method = get_am_name(form->relam);
	tmpl->relreplident = form->relreplident;
	ReleaseSysCache(tuple);
}

/*
 * read_attached reads what stands in the rows of other catalogs, for templates
 * of any number of parents: one query, since each costs.
 */
static void
read_attached(List *parents, PmTemplate *const *templates)
{
	PmExtension ext;
	PmSpi		spi;
	Oid			types[] = {OIDARRAYOID};
	Datum		values[] = {pm_config_oids(parents)};
	uint64		rows;

	pm_config_begin(&spi, &ext);
	rows = pm_spi_select_kept("SELECT i.replident,"
							  " EXISTS (SELECT FROM pg_trigger t JOIN pg_constraint k ON k.oid = t.tgconstraint"
							  "  WHERE t.tgrelid = p.oid AND k.contype = 'f' AND k.confrelid = p.oid AND k.conrelid <> p.oid),"
							  " EXISTS (SELECT FROM pg_constraint WHERE conrelid = p.oid AND contype = 'f'),"
							  " i.n + CASE WHEN a.has_toast THEN 3 ELSE 1 END, a.targets"
							  " FROM unnest($1) WITH ORDINALITY p(oid, place),"
							  " LATERAL (SELECT count(*)::int4 AS n, max(indexrelid) FILTER (WHERE indisreplident) AS replident"
							  "  FROM pg_index WHERE indrelid = p.oid) i,"
							  " LATERAL (SELECT bool_or(attstorage <> 'p') AS has_toast,"
							  "   string_agg(format('ALTER COLUMN %I SET STATISTICS %s', attname, attstattarget), ', ' ORDER BY attnum)"
							  "    FILTER (WHERE attstattarget >= 0) AS targets"
							  "  FROM pg_attribute WHERE attrelid = p.oid AND attnum > 0 AND NOT attisdropped) a"
							  " ORDER BY p.place", 1, types, values, NULL);
	Assert(rows == list_length(parents));
	for (uint64 i = 0; i < rows; i++)
	{
		PmTemplate *tmpl = templates[i];
		bool		isnull;

		tmpl->replident_index = pm_spi_oid(i, 1);
		tmpl->has_incoming_fk = pm_spi_bool(i, 2);
		tmpl->has_outgoing_fk = pm_spi_bool(i, 3);
		tmpl->locks_per_partition = DatumGetInt32(pm_spi_value(i, 4, &isnull));
		tmpl->column_targets = pm_spi_string(i, 5);
	}
	pm_spi_end(&spi);
}

/*
 * pm_catalog_prepare reads for many sets at once what pm_catalog_template would
 * read for each.
 */
void
pm_catalog_prepare(List *looks)
{
	PmTemplate **templates = palloc(sizeof(PmTemplate *) * Max(list_length(looks), 1));
	List	   *parents = NIL;
	int			n = 0;
	ListCell   *lc;

	foreach(lc, looks)
	{
		PmLook	   *look = lfirst(lc);

		look->prepared = templates[n++] = palloc0(sizeof(PmTemplate));
		parents = lappend_oid(parents, look->set->parent);
	}
	if (looks != NIL)
		read_attached(parents, templates);
}

/*
 * pm_catalog_template reads what new partitions of a set take from its parent
 * besides what LIKE and ATTACH carry over.
 */
PmTemplate *
pm_catalog_template(const PmLook *look)
{
	const PartSet *set = look->set;
	PmTemplate *tmpl = palloc0(sizeof(PmTemplate));

	if (look->prepared)
		*tmpl = *look->prepared;
	else
		read_attached(list_make1_oid(set->parent), &tmpl);
	read_parent(set->parent, tmpl);
	if (set->inherit_privileges)
		read_grants(set->parent, tmpl);
	pm_template_table_read(set, set->parent, tmpl);
	if (look->dflt)
	{
		tmpl->columns =
			pm_catalog_strings("SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = $1"
						   " AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum",
						   set->parent);
		tmpl->default_has_rows = look->dflt->relkind != RELKIND_RELATION ||
			pm_size_blocks(look->dflt->oid) > 0;
	}
	return tmpl;
}

/*
 * pm_catalog_retire_template reads as much of it as retirement asks for.  Where the
 * parent has no trigger it has no foreign key either, in or out, and then that is
 * nothing.
 */
PmTemplate *
pm_catalog_retire_template(const PmLook *look)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(look->set->parent));
	bool		has_triggers = true;

	if (HeapTupleIsValid(tuple))
	{
		has_triggers = ((Form_pg_class) GETSTRUCT(tuple))->relhastriggers;
		ReleaseSysCache(tuple);
	}
	return has_triggers ? pm_catalog_template(look) : palloc0(sizeof(PmTemplate));
}

/* pm_catalog_key_test is a condition that a row's key lies in a bound. */
char *
pm_catalog_key_test(const PartSet *set, const PartBound *bound)
{
	const char *column = pm_key_column(&set->key);
	const char *type = format_type_be_qualified(set->key.type);

	return psprintf("%s >= %s::%s AND %s < %s::%s%s", column,
					pm_key_literal(&set->key, bound->lower_raw), type, column,
					pm_key_literal(&set->key, bound->upper_raw), type,
					pm_key_others(&set->key, " AND ", " IS NOT NULL"));
}

/* pm_catalog_count_default counts rows of the default, as its owner, to a limit. */
int64
pm_catalog_count_default(const PmLook *look, const char *condition, int64 limit)
{
	PmSpi		spi;
	bool		isnull;
	int64		result;

	pm_spi_begin(&spi, look->dflt->owner);
	pm_spi_select(psprintf("SELECT count(*) FROM (SELECT FROM %s%s WHERE %s LIMIT " INT64_FORMAT ") x",
						   look->dflt->relkind == RELKIND_PARTITIONED_TABLE ? "" : "ONLY ",
						   pm_full_name(look->dflt),
						   condition, limit),
				  0, NULL, NULL, NULL);
	result = DatumGetInt64(pm_spi_value(0, 1, &isnull));
	pm_spi_end(&spi);
	return result;
}

/*
 * pm_catalog_default_rows estimates the rows in the default; it is exact while
 * they are few.
 */
int64
pm_catalog_default_rows(const PmLook *look)
{
	if (look->dflt == NULL || pm_size_bytes(look->dflt->oid) == 0)
		return 0;
	if (look->dflt->rows > pm_move_rows)
		return (int64) look->dflt->rows;
	return pm_catalog_count_default(look, "true", COUNT_LIMIT);
}

/* pm_catalog_block_move blocks a step whose rows cannot leave the default; why follows "and". */
void
pm_catalog_block_move(const PmLook *look, PlanStep *step, int sqlerrcode, const char *why)
{
	step->blocked_code = sqlerrcode;
	step->blocked = psprintf("default partition %s holds %s" INT64_FORMAT " row%s of the range of %s, and %s",
							 pm_full_name(look->dflt),
							 step->move_rows >= COUNT_LIMIT ? "at least " : "",
							 step->move_rows,
							 step->move_rows == 1 ? "" : "s",
							 quote_qualified_identifier(look->set->schema, step->name),
							 why);
}

/* pm_catalog_default_obstacle says what keeps any row in the default, or NULL. */
char *
pm_catalog_default_obstacle(const PmLook *look, int *sqlerrcode)
{
	List	   *names;
	int64		rewrite = pm_rewrite_open(look->set->parent);

	/* rows that are moved by hand are not noted */
	if (rewrite != 0)
	{
		*sqlerrcode = ERRCODE_OBJECT_IN_USE;
		return psprintf("rewrite " INT64_FORMAT " of the table has not ended", rewrite);
	}
	/* its owner's policies would run as the owner of the set */
	if (look->dflt->owner != look->set->owner)
	{
		*sqlerrcode = ERRCODE_INSUFFICIENT_PRIVILEGE;
		return "does not belong to the owner of the table";
	}
	if (pm_catalog_strings("SELECT 'x' FROM pg_partition_tree($1) t JOIN pg_class c ON c.oid = t.relid"
					   " WHERE c.relkind = 'f'", look->dflt->oid) != NIL)
	{
		*sqlerrcode = ERRCODE_FEATURE_NOT_SUPPORTED;
		return "rows cannot be moved out of a foreign table";
	}

	/* they would be decoded as deleted, but the new table is not published yet */
	names = pm_catalog_strings("SELECT quote_ident(p.pubname) FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid"
						   " WHERE r.prrelid IN (SELECT relid FROM pg_partition_ancestors($1)"
						   "  UNION ALL SELECT relid FROM pg_partition_tree($1)) ORDER BY p.pubname", look->dflt->oid);
	if (names == NIL)
		return NULL;
	*sqlerrcode = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
	return psprintf("the subscribers of publication %s would see them deleted", (char *) linitial(names));
}

/* marks steps whose rows wait in the default */
static void
check_default_rows(const PmLook *look, const PmTemplate *tmpl, PartPlan *plan)
{
	PlanStep   *first = NULL;
	PlanStep   *last = NULL;
	PartBound	all;
	char	   *obstacle;
	int			sqlerrcode = 0;
	ListCell   *lc;

	foreach(lc, plan->steps)
	{
		PlanStep   *step = lfirst(lc);

		if (step->kind != STEP_CREATE)
			continue;
		first = first ? first : step;
		last = step;
	}
	if (first == NULL || !tmpl->default_has_rows)
		return;

	/* one probe for all; mostly it finds nothing */
	all = first->bound;
	all.upper = last->bound.upper;
	all.upper_raw = last->bound.upper_raw;
	if (pm_catalog_count_default(look, pm_catalog_key_test(look->set, &all), 1) == 0)
		return;

	obstacle = pm_catalog_default_obstacle(look, &sqlerrcode);
	foreach(lc, plan->steps)
	{
		PlanStep   *step = lfirst(lc);

		if (step->kind != STEP_CREATE)
			continue;
		step->is_hot = true;
		step->move_rows = pm_catalog_count_default(look, pm_catalog_key_test(look->set, &step->bound),
											 Max(COUNT_LIMIT, pm_move_rows + (int64) 1));
		if (step->move_rows == 0 || step->blocked)
			continue;
		if (obstacle)
		{
			pm_catalog_block_move(look, step, sqlerrcode, obstacle);
			step->is_waiting = sqlerrcode == ERRCODE_OBJECT_IN_USE;
		}
		else if (step->move_rows > pm_move_rows)
			pm_catalog_block_move(look, step, ERRCODE_CHECK_VIOLATION,
					   psprintf("partmgr.move_rows is %d", pm_move_rows));
	}
}

/*
 * taken_name says what stands in the name of a new table: a relation, or a type,
 * since each table has one of its name; NULL if nothing does.
 */
static char *
taken_name(const char *name, Oid namespace)
{
	Oid			relation = get_relname_relid(name, namespace);
	Oid			type;

	if (OidIsValid(relation))
		return psprintf("relation %s", pm_qualified_name(relation));
	type = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum(name),
						   ObjectIdGetDatum(namespace));
	/* core gives another name to an array type that it has made itself */
	if (OidIsValid(type) && !OidIsValid(get_element_type(type)))
		return psprintf("type %s", format_type_be_qualified(type));
	return NULL;
}

/*
 * attached_meanwhile tells whether a relation has become a partition of the set
 * since we looked: then its name is no clash, the step is just done.
 */
static bool
attached_meanwhile(const PmLook *look, Oid relation)
{
	ListCell   *lc;

	if (!OidIsValid(relation) || !get_rel_relispartition(relation) ||
		get_partition_parent(relation, true) != look->set->parent)
		return false;
	foreach(lc, look->partitions)
		if (((Partition *) lfirst(lc))->oid == relation)
			return false;
	return look->dflt == NULL || look->dflt->oid != relation;
}

/*
 * pm_catalog_check_steps marks the steps of a plan that cannot be done now:
 * the name is taken, or too many rows wait in the default.
 */
void
pm_catalog_check_steps(const PmLook *look, PmTemplate *tmpl,
					   PartPlan *plan)
{
	Oid			namespace = get_namespace_oid(look->set->schema, true);
	ListCell   *lc;

	foreach(lc, plan->steps)
	{
		PlanStep   *step = lfirst(lc);
		int64		rewrite;
		char	   *taken;

		if (step->kind != STEP_CREATE && (step->kind != STEP_DRAIN || step->blocked))
			continue;
		taken = taken_name(step->name, namespace);
		if (taken == NULL ||
			attached_meanwhile(look, get_relname_relid(step->name, namespace)))
			continue;
		rewrite = pm_rewrite_of_target(get_relname_relid(step->name, namespace));
		if (rewrite != 0)
		{
			step->blocked_code = ERRCODE_OBJECT_IN_USE;
			step->blocked = psprintf("rewrite " INT64_FORMAT " makes %s", rewrite, taken);
			step->is_waiting = true;
			continue;
		}
		step->blocked_code = ERRCODE_DUPLICATE_TABLE;
		step->blocked = psprintf("%s exists, so that no partition of %s can be made for %s",
								 taken,
								 pm_full_name(look->set),
								 pm_ddl_range(&look->set->key, NULL, &step->bound));
	}
	if (look->dflt)
		check_default_rows(look, tmpl, plan);
	pm_obstacle_check(look, tmpl, plan);
}

/*
 * pm_catalog_lock_budget estimates how many partitions one transaction can make
 * before the shared lock table is full, other sessions' share left alone.
 */
int
pm_catalog_lock_budget(const PmTemplate *tmpl)
{
	int64		size = (int64) max_locks_per_xact * (MaxBackends + max_prepared_xacts);
	LockData   *locks = GetLockStatusData();

	size -= locks->nelements;
	return (int) Max(size / 2 / tmpl->locks_per_partition, 1);
}

/* pm_catalog_child_index finds a partition's part of a partitioned index. */
Oid
pm_catalog_child_index(Oid partition, Oid parent_index)
{
	Oid			types[] = {OIDOID, OIDOID};
	Datum		values[] = {ObjectIdGetDatum(partition), ObjectIdGetDatum(parent_index)};

	return pm_config_select_oid("SELECT x.indexrelid FROM pg_index x JOIN pg_inherits i ON i.inhrelid = x.indexrelid"
								" WHERE x.indrelid = $1 AND i.inhparent = $2",
								2, types, values);
}

/*
 * pm_catalog_index_drops returns the statements that drop all indexes, and the
 * constraints that own some, of a partition that is kept without them.
 */
List *
pm_catalog_index_drops(const Partition *partition)
{
	return pm_catalog_strings("SELECT coalesce((SELECT format('ALTER TABLE %I.%I DROP CONSTRAINT %I', n.nspname, t.relname, o.conname)"
						  "  FROM pg_constraint o WHERE o.conindid = x.indexrelid AND o.conrelid = x.indrelid AND o.contype IN ('p', 'u', 'x')),"
						  " format('DROP INDEX %I.%I', n.nspname, c.relname))"
						  " FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid"
						  " JOIN pg_namespace n ON n.oid = t.relnamespace WHERE x.indrelid = $1 ORDER BY c.relname",
						  partition->oid);
}

/*
 * pm_catalog_publications returns the statements that take a partition out of
 * the publications it was added to by name and that its owner may alter.
 */
List *
pm_catalog_publications(const PartSet *set, const Partition *partition)
{
	return pm_catalog_strings("SELECT format('ALTER PUBLICATION %I DROP TABLE %I.%I', p.pubname, n.nspname, c.relname)"
						  " FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid"
						  " JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
						  " WHERE r.prrelid = $1 AND pg_has_role(c.relowner, p.pubowner, 'USAGE') ORDER BY p.pubname",
						  partition->oid);
}
