/*-------------------------------------------------------------------------
 *
 * rewrite_check.c
 *		Can this be rewritten?  What stands in the way, and by which key rows are
 *		found again.
 *
 * What can be known beforehand is refused here, before anything is done, with
 * the reason and what to do.  Reads only.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/statvfs.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_tablespace.h"
#include "common/relpath.h"
#include "miscadmin.h"
#include "rewrite.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "compat.h"

/* ---------- the key of a row ---------- */

/* OPERATOR(schema.name) of an operator, which need not be on the search path */
static char *
operator_text(Oid operator)
{
	HeapTuple	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
	Form_pg_operator form;
	char	   *result;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator %u", operator);
	form = (Form_pg_operator) GETSTRUCT(tuple);
	result = psprintf("OPERATOR(%s.%s)", quote_identifier(get_namespace_name(form->oprnamespace)),
					  NameStr(form->oprname));
	ReleaseSysCache(tuple);
	return result;
}

/* Are the rows of a table told apart by this index, at every moment? */
static bool
is_row_key(Relation rel, Relation index)
{
	Form_pg_index form = index->rd_index;

	if (!form->indisunique || !form->indimmediate || !form->indisvalid ||
		RelationGetIndexPredicate(index) != NIL)
		return false;
	for (int i = 0; i < form->indnkeyatts; i++)
	{
		AttrNumber	attnum = form->indkey.values[i];

		if (attnum <= 0 || !TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attnotnull)
			return false;
	}
	return true;
}

static PmRowKey *
make_row_key(Relation rel, Relation index)
{
	PmRowKey   *key = palloc0(sizeof(PmRowKey));

	key->n = index->rd_index->indnkeyatts;
	key->columns = palloc(sizeof(char *) * (key->n + 1));	/* see add_control */
	key->operators = palloc(sizeof(char *) * (key->n + 1));
	for (int i = 0; i < key->n; i++)
	{
		AttrNumber	attnum = index->rd_index->indkey.values[i];
		Oid			type = index->rd_opcintype[i];

		key->columns[i] = pstrdup(quote_identifier(get_attname(RelationGetRelid(rel), attnum, false)));
		key->operators[i] = operator_text(get_opfamily_member(index->rd_opfamily[i], type, type,
															  BTEqualStrategyNumber));
	}
	return key;
}

/* the primary key of a table, or else another one; NULL if it has none */
static PmRowKey *
row_key_of(Oid relation)
{
	Relation	rel = table_open(relation, AccessShareLock);
	PmRowKey   *key = NULL;
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		if (is_row_key(rel, index) && (key == NULL || index->rd_index->indisprimary))
			key = make_row_key(rel, index);
		index_close(index, NoLock);
	}
	table_close(rel, NoLock);
	return key;
}

/* has_column tells whether a key has a column, given quoted. */
static bool
has_column(const PmRowKey *key, const char *column)
{
	for (int i = 0; i < key->n; i++)
		if (strcmp(key->columns[i], column) == 0)
			return true;
	return false;
}

/*
 * add_control adds the key of the set to the key of a row, if it is not there: a
 * row is looked for in one partition then, and not in all.
 */
static void
add_control(const PmRewrite *rewrite, PmRowKey *key)
{
	const char *control = pm_rewrite_option(rewrite, "control");
	TypeCacheEntry *type;

	if (control == NULL || has_column(key, quote_identifier(control)))
		return;
	type = lookup_type_cache(get_atttype(rewrite->table, get_attnum(rewrite->table, control)),
							 TYPECACHE_EQ_OPR);
	if (!OidIsValid(type->eq_opr))
		return;
	key->has_nullable = true;
	key->columns[key->n] = pstrdup(quote_identifier(control));
	key->operators[key->n++] = operator_text(type->eq_opr);
}

/*
 * pm_rewrite_key returns the key by which the rows of a rewrite are found again:
 * the set's, or that of its single source; NULL if there is none.
 */
PmRowKey *
pm_rewrite_key(const PmRewrite *rewrite)
{
	PmRowKey   *key = row_key_of(rewrite->table);

	if (key != NULL)
		add_control(rewrite, key);

	else if (list_length(rewrite->sources) == 1)
		key = row_key_of(((PmSource *) linitial(rewrite->sources))->oid);
	return key;
}


/* ---------- refusals ---------- */

/* what stands in the way of one source: what it is, and the rest of the sentence */
#define SOURCE_PROBLEMS(which) \
	"SELECT " which " FROM (" \
	"SELECT format('%I.%I', n.nspname, c.relname), CASE c.relkind WHEN 'p' THEN 'is itself partitioned'" \
	"  WHEN 'f' THEN 'is a foreign table' ELSE 'is not a table' END" \
	" FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1 AND c.relkind <> 'r'" \
	" UNION ALL SELECT format('%I.%I', n.nspname, c.relname), CASE c.relpersistence WHEN 't' THEN 'is temporary' ELSE 'is unlogged' END" \
	" FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1 AND c.relpersistence <> 'p'" \
	" UNION ALL SELECT format('publication %I', p.pubname), 'publishes all new tables, also those that a rewrite needs'" \
	" FROM pg_publication p WHERE p.puballtables" \
	" UNION ALL SELECT format('publication %I', p.pubname), 'publishes all new tables of the schema, also those that a rewrite needs'" \
	" FROM pg_publication_namespace pn JOIN pg_publication p ON p.oid = pn.pnpubid" \
	" JOIN pg_class c ON c.relnamespace = pn.pnnspid WHERE c.oid = $1) x(what, how)"

/* and of one that is a partition */
#define PARTITION_PROBLEMS \
	"SELECT format('publication %I publishes %I.%I by its name', p.pubname, n.nspname, c.relname)" \
	" FROM pg_publication_rel pr JOIN pg_publication p ON p.oid = pr.prpubid JOIN pg_class c ON c.oid = pr.prrelid" \
	" JOIN pg_namespace n ON n.oid = c.relnamespace WHERE pr.prrelid = $1" \
	" UNION ALL SELECT format('publication %I publishes partitions by their names (publish_via_partition_root is off)', p.pubname)" \
	" FROM pg_publication_rel pr JOIN pg_publication p ON p.oid = pr.prpubid" \
	" WHERE pr.prrelid IN (SELECT relid FROM pg_partition_ancestors($1)) AND pr.prrelid <> $1 AND NOT p.pubviaroot" \
	" UNION ALL SELECT format('%s depends on %I.%I itself', pg_describe_object(d.classid, d.objid, d.objsubid), n.nspname, c.relname)" \
	" FROM pg_depend d JOIN pg_class c ON c.oid = $1 JOIN pg_namespace n ON n.oid = c.relnamespace" \
	" WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND d.deptype = 'n'" \
	"  AND (d.classid IN ('pg_rewrite'::regclass, 'pg_proc'::regclass)" \
	"   OR d.classid = 'pg_policy'::regclass AND NOT EXISTS (SELECT FROM pg_policy WHERE oid = d.objid AND polrelid = $1))" \
	" UNION ALL SELECT format('%s has the type of the rows of %I.%I', pg_describe_object(d.classid, d.objid, d.objsubid), n.nspname, c.relname)" \
	" FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_type t ON t.oid = c.reltype JOIN pg_depend d" \
	"  ON d.refclassid = 'pg_type'::regclass AND d.refobjid IN (t.oid, t.typarray) AND d.deptype = 'n' WHERE c.oid = $1" \
	" UNION ALL SELECT format('foreign key %I of %s points at %I.%I itself', k.conname, k.conrelid::regclass, n.nspname, c.relname)" \
	" FROM pg_depend d JOIN pg_constraint k ON k.oid = d.objid JOIN pg_class c ON c.oid = k.confrelid JOIN pg_namespace n ON n.oid = c.relnamespace" \
	" WHERE d.classid = 'pg_constraint'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1" \
	"  AND k.confrelid = $1 AND k.contype = 'f' AND k.conparentid = 0" \
	" UNION ALL SELECT format('%I.%I has a constraint of its own, %I', n.nspname, c.relname, k.conname)" \
	" FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace" \
	" WHERE k.conrelid = $1 AND (k.contype = 'f' AND k.conparentid = 0 OR k.contype = 'c' AND k.coninhcount = 0 AND k.conname NOT LIKE 'partmanconstr\\_%')" \
	" UNION ALL SELECT format('%I.%I has row level security of its own', n.nspname, c.relname)" \
	" FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace" \
	" WHERE c.oid = $1 AND (c.relrowsecurity OR EXISTS (SELECT FROM pg_policy WHERE polrelid = $1))" \
	" UNION ALL SELECT format('%I.%I has a trigger of its own, %I', n.nspname, c.relname, t.tgname)" \
	" FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace" \
	" WHERE t.tgrelid = $1 AND NOT t.tgisinternal AND t.tgparentid = 0 AND t.tgname NOT LIKE 'partmgr\\_rewrite\\_%'" \
	" UNION ALL SELECT format('trigger %I of %s is about %I.%I itself', t.tgname, t.tgrelid::regclass, n.nspname, c.relname)" \
	" FROM pg_depend d JOIN pg_trigger t ON t.oid = d.objid JOIN pg_class c ON c.oid = t.tgconstrrelid JOIN pg_namespace n ON n.oid = c.relnamespace" \
	" WHERE d.classid = 'pg_trigger'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1" \
	"  AND t.tgconstrrelid = $1 AND NOT t.tgisinternal AND t.tgrelid <> $1" \
	" UNION ALL SELECT format('%I.%I generates column %I in its own way', n.nspname, c.relname, a.attname)" \
	" FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_inherits h ON h.inhrelid = c.oid" \
	" JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped JOIN pg_attribute b ON b.attrelid = h.inhparent AND b.attname = a.attname" \
	" LEFT JOIN pg_attrdef ad ON ad.adrelid = a.attrelid AND ad.adnum = a.attnum LEFT JOIN pg_attrdef bd ON bd.adrelid = b.attrelid AND bd.adnum = b.attnum" \
	" WHERE c.oid = $1 AND c.relispartition AND (a.attgenerated <> '' AND pg_get_expr(ad.adbin, ad.adrelid) IS DISTINCT FROM pg_get_expr(bd.adbin, bd.adrelid)" \
	"  OR a.attidentity <> '' AND EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass" \
	"   AND d.refobjid = c.oid AND d.refobjsubid = a.attnum AND d.deptype = 'i'))"

/* foreign keys of others at the set that cannot be taken off for a moment */
#define REFERENCE_PROBLEMS \
	"SELECT format('foreign key %I of partitioned table %I.%I points at the set, and cannot be checked afterwards', k.conname, n.nspname, c.relname)" \
	" FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace" \
	" WHERE k.confrelid = $1 AND k.contype = 'f' AND k.conparentid = 0 AND c.relkind = 'p'" \
	" UNION ALL SELECT format('foreign key %I of %I.%I is not validated, or its table belongs to somebody else', k.conname, n.nspname, c.relname)" \
	" FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_class t ON t.oid = $1" \
	" WHERE k.confrelid = $1 AND k.contype = 'f' AND k.conparentid = 0 AND (NOT k.convalidated OR NOT pg_has_role(t.relowner, c.relowner, 'USAGE'))" \
	" UNION ALL SELECT format('index %s is not valid', indexrelid::regclass) FROM pg_index WHERE indrelid = $1 AND NOT indisvalid"

/* what takes a table's place goes where that is */
#define TWIN_PROBLEMS \
	"SELECT format('%I.%I is in a schema in which the owner of the table has no CREATE', n.nspname, c.relname)" \
	" FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace" \
	" WHERE c.oid = $1 AND NOT has_schema_privilege(c.relowner, n.oid, 'CREATE')"

static void
refuse(const PmRewrite *rewrite, const char *reason)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cannot rewrite table %s: %s", pm_qualified_name(rewrite->table), reason)));
}

/*
 * check_owner: a rewrite makes tables that belong to the owner of the set, with
 * the rows of the sources.
 */
static void
check_owner(const PmRewrite *rewrite, Oid source)
{
	List	   *owners = pm_catalog_strings("SELECT relowner::text FROM pg_class WHERE oid = $1", source);

	if (owners == NIL || strcmp(linitial(owners), psprintf("%u", rewrite->owner)) != 0)
		refuse(rewrite, psprintf("%s does not belong to the owner of the table", pm_qualified_name(source)));
}

/* Bytes that are free where a table is; -1 if that cannot be known. */
static int64
free_bytes(Oid relation)
{
	Oid			tablespace = get_rel_tablespace(relation);
	struct statvfs space;
	char	   *path = GetDatabasePath(MyDatabaseId,
									   OidIsValid(tablespace) ? tablespace : MyDatabaseTableSpace);

	if (statvfs(path, &space) != 0)
		return -1;
	return (int64) space.f_bavail * (int64) space.f_frsize;
}

/* A rewrite needs as much room again as the sources of one swap take. */
static void
check_space(const PmRewrite *rewrite)
{
	int64		needed = 0;
	int64		available = free_bytes(((PmSource *) linitial(rewrite->sources))->oid);
	ListCell   *lc;

	foreach(lc, rewrite->sources)
		needed += pm_size_bytes(((PmSource *) lfirst(lc))->oid);
	if (available >= 0 && available < needed)
		ereport(ERROR,
				(errcode(ERRCODE_DISK_FULL),
				 errmsg("cannot rewrite table %s: it needs " INT64_FORMAT " bytes, and " INT64_FORMAT " are free",
						pm_qualified_name(rewrite->table), needed, available)));
}

/* pm_rewrite_source_problems returns what stands in the way of a source, as PmCarry. */
List *
pm_rewrite_source_problems(Oid source)
{
	List	   *result = NIL;
	ListCell   *lc;
	ListCell   *lc2;

	forboth(lc, pm_catalog_strings(SOURCE_PROBLEMS("what"), source),
			lc2, pm_catalog_strings(SOURCE_PROBLEMS("how"), source))
	{
		PmCarry    *problem = palloc0(sizeof(PmCarry));

		problem->what = lfirst(lc);
		problem->how = lfirst(lc2);
		problem->is_problem = true;
		result = lappend(result, problem);
	}
	return result;
}

static void
check_source(const PmRewrite *rewrite, Oid source)
{
	List	   *problems = pm_catalog_strings(SOURCE_PROBLEMS("concat(what, ' ', how)"), source);

	if (problems == NIL && !PM_REWRITE_MAKES_SET(rewrite->kind))
		problems = pm_catalog_strings(PARTITION_PROBLEMS, source);
	if (problems == NIL)
	{
		check_owner(rewrite, source);
		if (rewrite->kind == REWRITE_COMPRESS || rewrite->kind == REWRITE_DRAIN)
			problems = pm_catalog_strings(TWIN_PROBLEMS, source);
	}
	if (problems != NIL)
		refuse(rewrite, linitial(problems));
}

/*
 * pm_rewrite_check_again raises an error if something has come that stands in the
 * way; the sources are locked, so the catalogs are read only.
 */
void
pm_rewrite_check_again(const PmRewrite *rewrite)
{
	ListCell   *lc;

	foreach(lc, rewrite->sources)
		check_source(rewrite, ((PmSource *) lfirst(lc))->oid);
	if (PM_REWRITE_IS_WHOLE(rewrite->kind))
		pm_rewrite_check_carry(rewrite, pm_rewrite_option(rewrite, "control"), false);
}

/*
 * pm_rewrite_check raises an error if the sources cannot be rewritten: what they
 * are, who publishes them or depends on them, the key, the disk.
 */
void
pm_rewrite_check(const PmRewrite *rewrite, bool needs_key)
{
	bool		is_convert = PM_REWRITE_MAKES_SET(rewrite->kind);
	List	   *problems;
	ListCell   *lc;

	foreach(lc, rewrite->sources)
		check_source(rewrite, ((PmSource *) lfirst(lc))->oid);
	if (is_convert || rewrite->kind == REWRITE_UNDO)
		pm_rewrite_check_carry(rewrite, pm_rewrite_option(rewrite, "control"), true);
	else
	{
		problems = pm_catalog_strings(REFERENCE_PROBLEMS, rewrite->table);
		if (problems != NIL)
			refuse(rewrite, linitial(problems));
	}
	if (needs_key && pm_rewrite_key(rewrite) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot rewrite table %s while it is written: it has no unique key",
						pm_qualified_name(rewrite->table)),
				 errdetail("Needed is a primary key, or a unique index on columns that are NOT NULL, not partial and not deferrable."),
				 errhint("With p_mode => 'locking' convert_table(), drain_default(), unpartition() and the others do it in one transaction, under a lock that keeps writers out.")));
	if (rewrite->kind != REWRITE_INSTANT)
		check_space(rewrite);
}
