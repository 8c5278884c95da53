/*-------------------------------------------------------------------------
 *
 * rewrite_carry.c
 *		What happens to everything that hangs on a table when a set takes its
 *		place, and what cannot be: known, and said, before anything is done.
 *
 * Reads only.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "config.h"
#include "rewrite.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "compat.h"

/* one kind of thing: which there are of it, and what becomes of them */
typedef struct CarryRule
{
	const char *what;			/* query: the things, in words; $1 is the table */
	const char *how;
	bool		is_problem;
} CarryRule;

#define NAME_OF "format('%I.%I', n.nspname, c.relname)"
#define DEPENDS(class) \
	" FROM pg_depend d WHERE d.classid = '" class "'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1"
#define TYPE_OF_TABLE \
	"(SELECT t.oid FROM pg_type t, pg_class c WHERE c.oid = $1 AND t.oid IN (c.reltype, (SELECT typarray FROM pg_type WHERE oid = c.reltype)))"

/* for every table that is replaced */
static const CarryRule rules[] = {
	/* what stands in the way */
	{"SELECT format('rule %I', rulename) FROM pg_rewrite WHERE ev_class = $1 ORDER BY 1",
	"rules are not carried over: drop it, or make it a trigger", true},
	{"SELECT CASE WHEN inhparent = $1 THEN format('child %s', inhrelid::regclass) ELSE format('parent %s', inhparent::regclass) END"
		" FROM pg_inherits i JOIN pg_class c ON c.oid = $1 WHERE c.relkind = 'r' AND (inhparent = $1 OR inhrelid = $1) ORDER BY 1",
	"a table with parents or children by inheritance cannot be partitioned", true},
	{"SELECT format('type %s', reloftype::regtype) FROM pg_class WHERE oid = $1 AND reloftype <> 0",
	"the table is of a type, and has to be made NOT OF it first", true},
	{"SELECT format('trigger %I', tgname) FROM pg_trigger WHERE tgrelid = $1 AND NOT tgisinternal AND tgtype & 1 = 1"
		" AND (tgoldtable IS NOT NULL OR tgnewtable IS NOT NULL) ORDER BY 1",
	"row triggers of partitioned tables have no transition tables", true},
	{"SELECT format('constraint %I', conname) FROM pg_constraint WHERE conrelid = $1 AND contype = 'x' ORDER BY 1",
	"exclusion constraints hold in each partition only", true},
	{"SELECT format('constraint %I', conname) FROM pg_constraint WHERE conrelid = $1 AND contype = 'c' AND connoinherit ORDER BY 1",
	"a constraint that is NO INHERIT cannot stand on a partitioned table", true},
	{"SELECT pg_describe_object(d.refclassid, d.refobjid, 0) FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = $1"
		" AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'",
	"the table belongs to it", true},
	{"SELECT format('%s %I.%I', CASE c.relkind WHEN 'm' THEN 'materialized view' ELSE 'rule of' END, n.nspname, c.relname)"
		" FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace"
		" WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1"
		" AND c.oid <> $1 AND (c.relkind <> 'v' OR r.rulename <> '_RETURN') GROUP BY 1 ORDER BY 1",
	"it reads the table, and cannot be made to read another one: drop it, and make it again afterwards", true},
	{"SELECT DISTINCT pg_describe_object(d.classid, d.objid, d.objsubid) FROM pg_depend d WHERE d.refclassid = 'pg_type'::regclass"
		" AND d.refobjid IN " TYPE_OF_TABLE " AND d.deptype = 'n' AND d.classid <> 'pg_proc'::regclass ORDER BY 1",
	"it has the type of the table's rows", true},
	{"SELECT DISTINCT format('%s, which needs %s', pg_describe_object(x.classid, x.objid, 0), f.oid::regprocedure)"
		" FROM pg_depend d JOIN pg_proc f ON f.oid = d.objid JOIN pg_depend x ON x.refclassid = 'pg_proc'::regclass AND x.refobjid = f.oid"
		" AND x.deptype IN ('n', 'a') WHERE d.classid = 'pg_proc'::regclass AND (d.refclassid = 'pg_class'::regclass AND d.refobjid = $1"
		" OR d.refclassid = 'pg_type'::regclass AND d.refobjid IN " TYPE_OF_TABLE ") ORDER BY 1",
	"the function has the type of the table's rows, or is written for it, and must be made again", true},
	{"SELECT format('publication %I', p.pubname) FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid"
		" JOIN pg_class c ON c.oid = $1 WHERE r.prrelid = $1 AND NOT pg_has_role(c.relowner, p.pubowner, 'USAGE') ORDER BY 1",
	"it does not belong to the owner of the table, who cannot put the new one into it", true},
	{"SELECT format('publication %I', p.pubname) FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE r.prrelid = $1"
		" AND NOT p.pubviaroot AND EXISTS (SELECT FROM pg_class WHERE oid = $1 AND relkind = 'r') ORDER BY 1",
	"it would publish the partitions by their names: set publish_via_partition_root", true},
	{"SELECT DISTINCT format('view %I.%I', n.nspname, v.relname) FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid"
		" JOIN pg_class v ON v.oid = r.ev_class JOIN pg_namespace n ON n.oid = v.relnamespace JOIN pg_constraint k ON k.oid = d.refobjid"
		" WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_constraint'::regclass AND k.conrelid = $1 ORDER BY 1",
	"it groups by the primary key: name all columns", true},
	{"SELECT format('foreign key %I of %I.%I', k.conname, n.nspname, c.relname) FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid"
		" JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_class t ON t.oid = $1 WHERE k.confrelid = $1 AND k.conrelid <> $1 AND k.contype = 'f'"
		" AND k.conparentid = 0 AND c.relkind = 'r' AND (NOT k.convalidated OR NOT pg_has_role(t.relowner, c.relowner, 'USAGE')) ORDER BY 1",
	"it is not validated, or its table belongs to somebody else: it cannot be taken off and put on again", true},
	{"SELECT format('%s %I.%I', CASE c.relkind WHEN 'v' THEN 'view' ELSE 'table' END, n.nspname, c.relname) FROM pg_depend d"
		" JOIN pg_rewrite r ON r.oid = d.objid JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace"
		" WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND c.relkind = 'v'"
		" AND NOT has_schema_privilege(c.relowner, n.oid, 'CREATE') GROUP BY 1 ORDER BY 1",
	"its owner has no CREATE on its schema, which making it anew needs", true},
	{"SELECT format('%s', f.oid::regprocedure) FROM pg_depend d JOIN pg_proc f ON f.oid = d.objid WHERE d.classid = 'pg_proc'::regclass"
		" AND (d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 OR d.refclassid = 'pg_type'::regclass AND d.refobjid IN " TYPE_OF_TABLE ")"
		" AND (f.prokind = 'a' OR NOT has_schema_privilege(f.proowner, f.pronamespace, 'CREATE')) GROUP BY 1 ORDER BY 1",
	"it is an aggregate, or its owner has no CREATE on its schema, which making it anew needs", true},
	{"SELECT format('policy %I of %s', p.polname, p.polrelid::regclass) FROM pg_depend d JOIN pg_policy p ON p.oid = d.objid"
		" WHERE d.classid = 'pg_policy'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND p.polrelid <> $1 GROUP BY 1 ORDER BY 1",
	"it reads the table: drop it, and make it again afterwards", true},
	{"SELECT format('default of a column of %s', a.adrelid::regclass) FROM pg_depend d JOIN pg_attrdef a ON a.oid = d.objid"
		" WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass AND a.adrelid <> $1 AND d.refobjid IN"
		" (SELECT objid FROM pg_depend WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass AND refobjid = $1 AND deptype = 'i') GROUP BY 1 ORDER BY 1",
	"it uses the sequence of an identity column, which is another one then", true},
	{"SELECT format('trigger %I of %s', tgname, tgrelid::regclass) FROM pg_trigger WHERE tgconstrrelid = $1 AND NOT tgisinternal AND tgrelid <> $1 ORDER BY 1",
	"it is about the table: drop it, and make it again afterwards", true},
	{"SELECT format('constraint %I', conname) FROM pg_constraint WHERE conrelid = $1 AND contype IN ('c', 'f') AND NOT convalidated ORDER BY 1",
	"it is not validated", true},
	{"SELECT format('index %s', indexrelid::regclass) FROM pg_index WHERE indrelid = $1 AND NOT indisvalid ORDER BY 1",
	"it is not valid: drop it, or build it again", true},
	{"SELECT format('statistics %I', s.stxname) FROM pg_statistic_ext s JOIN pg_class c ON c.oid = s.stxrelid WHERE stxrelid = $1"
		" AND (s.stxnamespace <> c.relnamespace OR NOT pg_has_role(c.relowner, s.stxowner, 'USAGE')) ORDER BY 1",
	"they are in another schema, or belong to somebody else", true},
	{"SELECT format('%s', inhparent::regclass) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE inhrelid = $1 AND c.relispartition",
	"the table is a partition of it", true},
	{"SELECT format('security label of %s', provider) FROM pg_seclabel WHERE objoid = $1 AND classoid = 'pg_class'::regclass ORDER BY 1",
	"security labels are not carried over", true},
	{"SELECT format('foreign key %I', conname) FROM pg_constraint WHERE conrelid = $1 AND confrelid = $1 AND contype = 'f' AND conparentid = 0 ORDER BY 1",
	"it points at the table itself", true},
	{"SELECT format('foreign key %I of partitioned table %I.%I', k.conname, n.nspname, c.relname) FROM pg_constraint k"
		" JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
		" WHERE k.confrelid = $1 AND k.conrelid <> $1 AND k.contype = 'f' AND k.conparentid = 0 AND c.relkind = 'p' ORDER BY 1",
	"it cannot be checked afterwards, and would be under a strong lock", true},

	/* what comes along */
	{"SELECT format('foreign key %I', conname) FROM pg_constraint WHERE conrelid = $1 AND contype = 'f' AND conrelid <> confrelid AND conparentid = 0 ORDER BY 1",
	"carried over, as validated", false},
	{"SELECT format('foreign key %I of %I.%I', k.conname, n.nspname, c.relname) FROM pg_constraint k"
		" JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
		" WHERE k.confrelid = $1 AND k.conrelid <> $1 AND k.contype = 'f' AND k.conparentid = 0 AND c.relkind = 'r' ORDER BY 1",
	"taken off for the swap, put on again not checked, and checked afterwards", false},
	{"SELECT format('constraint %I', conname) FROM pg_constraint WHERE conrelid = $1 AND contype = 'c' AND NOT connoinherit ORDER BY 1",
	"carried over", false},
	{"SELECT format('trigger %I', tgname) FROM pg_trigger WHERE tgrelid = $1 AND NOT tgisinternal AND tgname NOT LIKE 'partmgr\\_rewrite\\_%' ORDER BY 1",
	"carried over, in its state", false},
	{"SELECT format('policy %I', polname) FROM pg_policy WHERE polrelid = $1 ORDER BY 1",
	"carried over", false},
	{"SELECT format('publication %I', p.pubname) FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE r.prrelid = $1 ORDER BY 1",
	"carried over; subscribers need the new table", false},
	{"SELECT DISTINCT format('view %I.%I', n.nspname, c.relname) FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid"
		" JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace"
		" WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND c.relkind = 'v' ORDER BY 1",
	"made to read the new table", false},
	{"SELECT DISTINCT f.oid::regprocedure::text FROM pg_depend d JOIN pg_proc f ON f.oid = d.objid WHERE d.classid = 'pg_proc'::regclass"
		" AND (d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 OR d.refclassid = 'pg_type'::regclass AND d.refobjid IN " TYPE_OF_TABLE ") ORDER BY 1",
	"made again, with its owner and privileges", false},
	{"SELECT format('sequence %I.%I', n.nspname, c.relname) FROM pg_depend d JOIN pg_class c ON c.oid = d.objid JOIN pg_namespace n ON n.oid = c.relnamespace"
		" WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND c.relkind = 'S'"
		" AND d.deptype IN ('a', 'i') ORDER BY 1",
	"goes on where it is", false},
	{"SELECT format('statistics %I', stxname) FROM pg_statistic_ext WHERE stxrelid = $1 ORDER BY 1",
	"carried over", false},
	{"SELECT 'owner, privileges, comments, defaults, generated columns, storage' FROM pg_class WHERE oid = $1",
	"carried over", false}
};

static PmCarry *
add_carry(List **list, const char *what, const char *how, bool is_problem)
{
	PmCarry    *carry = palloc0(sizeof(PmCarry));

	carry->what = what;
	carry->how = how;
	carry->is_problem = is_problem;
	*list = lappend(*list, carry);
	return carry;
}

/* what is unique is so together with the key of the set */
static void
add_indexes(List **list, Oid table, const char *control)
{
	char	   *name = quote_literal_cstr(control);
	ListCell   *lc;

	foreach(lc, pm_catalog_texts(psprintf("SELECT format('index %%I', c.relname) FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid"
										  " WHERE x.indrelid = $1 AND x.indisunique AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = $1"
										  "  AND a.attname = %s AND a.attnum = ANY ((x.indkey::int2[])[0:x.indnkeyatts - 1])) ORDER BY 1", name), table))
		add_carry(list, lfirst(lc), psprintf("column \"%s\" is added to it: what is unique is so within a partition, and ON CONFLICT must name the column, too", control), false);
	foreach(lc, pm_catalog_texts(psprintf("SELECT format('index %%I', c.relname) FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid"
										  " WHERE x.indrelid = $1 AND (NOT x.indisunique OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = $1"
										  "  AND a.attname = %s AND a.attnum = ANY ((x.indkey::int2[])[0:x.indnkeyatts - 1]))) ORDER BY 1", name), table))
		add_carry(list, lfirst(lc), "carried over", false);
}

/* foreign keys of others need a unique key that is still there */
static void
add_references(List **list, Oid table, const char *control)
{
	ListCell   *lc;

	foreach(lc, pm_catalog_texts(psprintf("SELECT format('foreign key %%I of %%I.%%I', k.conname, n.nspname, c.relname) FROM pg_constraint k"
										  " JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
										  " WHERE k.confrelid = $1 AND k.conrelid <> $1 AND k.contype = 'f' AND k.conparentid = 0 AND NOT EXISTS (SELECT FROM pg_attribute a"
										  "  WHERE a.attrelid = $1 AND a.attname = %s AND a.attnum = ANY (k.confkey)) ORDER BY 1",
										  quote_literal_cstr(control)), table))
		add_carry(list, lfirst(lc), psprintf("it points at columns that are unique only together with \"%s\": drop it, or add that column to it", control), true);
}

/* a key that may be null now must not be null anywhere */
static void
add_nulls(List **list, const PmRewrite *rewrite, const char *control)
{
	PmSpi		spi;
	uint64		rows;

	if (pm_catalog_texts(psprintf("SELECT 'x' FROM pg_attribute WHERE attrelid = $1 AND attname = %s AND NOT attnotnull",
								  quote_literal_cstr(control)), rewrite->table) == NIL)
		return;
	pm_spi_begin(&spi, rewrite->owner);
	rows = pm_spi_select(psprintf("SELECT FROM ONLY %s WHERE %s IS NULL LIMIT 1", pm_qualified_name(rewrite->table),
								  quote_identifier(control)), 0, NULL, NULL, NULL);
	pm_spi_end(&spi);
	if (rows > 0)
		add_carry(list, psprintf("column %s", quote_identifier(control)), "some of its values are null, and such rows have no partition", true);
	else
		add_carry(list, psprintf("column %s", quote_identifier(control)), "becomes NOT NULL", false);
}

/* is a thing said to be in the way already? */
static bool
is_listed(List *problems, const char *what)
{
	ListCell   *lc;

	foreach(lc, problems)
		if (strcmp(((PmCarry *) lfirst(lc))->what, what) == 0)
			return true;
	return false;
}

/*
 * pm_rewrite_carry returns what hangs on a table that is to be replaced, what
 * becomes of it, and what stands in the way; problems first.  control is the key
 * of the set that it becomes, or NULL; look: at the rows, too.
 */
List *
pm_rewrite_carry(const PmRewrite *rewrite, const char *control, bool look)
{
	List	   *problems = NIL;
	List	   *rest = NIL;
	ListCell   *lc;

	if (control)
	{
		add_references(&problems, rewrite->table, control);
		if (look)
			add_nulls(&rest, rewrite, control);
		add_indexes(&rest, rewrite->table, control);
	}
	for (int i = 0; i < lengthof(rules); i++)
		foreach(lc, pm_catalog_strings(rules[i].what, rewrite->table))
			if (rules[i].is_problem || !is_listed(problems, lfirst(lc)))
				add_carry(rules[i].is_problem ? &problems : &rest, lfirst(lc), rules[i].how, rules[i].is_problem);
	foreach(lc, rest)
		if (((PmCarry *) lfirst(lc))->is_problem)
			problems = lappend(problems, lfirst(lc));
	foreach(lc, rest)
		if (!((PmCarry *) lfirst(lc))->is_problem)
			problems = lappend(problems, lfirst(lc));
	return problems;
}

/* pm_rewrite_check_carry raises an error if something stands in the way. */
void
pm_rewrite_check_carry(const PmRewrite *rewrite, const char *control, bool look)
{
	List	   *all = pm_rewrite_carry(rewrite, control, look);
	PmCarry    *first = all ? linitial(all) : NULL;

	if (first && first->is_problem)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot rewrite table %s: %s: %s", pm_qualified_name(rewrite->table),
						first->what, first->how),
				 PM_REWRITE_MAKES_SET(rewrite->kind) ? errhint("convert_table_plan() lists all that stands in the way.") : 0));
}
