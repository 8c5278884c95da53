/*-------------------------------------------------------------------------
 *
 * rewrite_shape.c
 *		Is a source still what it was when the rewrite began?
 *
 * What a target is made from, and what the notes rest on, is written down of
 * each source, and compared before anything is taken for granted.  Where it
 * differs the rewrite ends, and says what was changed: nobody's ALTER TABLE is
 * to be lost because a copy was made before it.  Privileges, comments, storage
 * parameters and indexes may change meanwhile, the swap looks at them anew.
 *
 * Reads the sources only.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "config.h"
#include "lib/stringinfo.h"
#include "rewrite.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

/*
 * What is compared of a source p, by the words for it.  $2 is its unique key, $3
 * whether all that defines it is carried over, $4 and $5 are our triggers: who has
 * switched one off and on again has written it anew.  A constraint of ours may have
 * the name of the first one.
 */
#define SHAPE \
	"jsonb_build_object(" \
	" 'a column', (SELECT md5(string_agg(concat_ws(' ', attnum, attname, atttypid, atttypmod, attnotnull, attgenerated, attidentity, attcollation), ','" \
	"   ORDER BY attnum)) FROM pg_attribute WHERE attrelid = p.relation AND attnum > 0 AND NOT attisdropped)," \
	" 'the owner', (SELECT relowner::text FROM pg_class WHERE oid = p.relation)," \
	" 'the schema', (SELECT relnamespace::text FROM pg_class WHERE oid = p.relation)," \
	" 'the range, or the parent,', (SELECT md5(concat(i.inhparent, ' ', pg_get_expr(c.relpartbound, c.oid))) FROM pg_class c" \
	"   LEFT JOIN pg_inherits i ON i.inhrelid = c.oid WHERE c.oid = p.relation)," \
	" 'the unique key', $2::text," \
	" 'a constraint, default or statistics object', CASE WHEN $3 THEN md5(concat(" \
	"   (SELECT string_agg(concat_ws(' ', conname, pg_get_constraintdef(oid)), ',' ORDER BY conname) FROM pg_constraint" \
	"    WHERE conrelid = p.relation AND contype IN ('c', 'f') AND conname <> $4)," \
	"   (SELECT string_agg(concat_ws(' ', adnum, pg_get_expr(adbin, adrelid)), ',' ORDER BY adnum) FROM pg_attrdef WHERE adrelid = p.relation)," \
	"   (SELECT string_agg(pg_get_statisticsobjdef(oid), ',' ORDER BY oid) FROM pg_statistic_ext WHERE stxrelid = p.relation))) END)"
#define TRIGGERS \
	"jsonb_build_object('a trigger of partmgr', (SELECT string_agg(concat_ws(' ', tgname, tgenabled, tgfoid, xmin), ',' ORDER BY tgname)" \
	" FROM pg_trigger WHERE tgrelid = p.relation AND tgname IN ($4, $5)))"

typedef struct ShapeArgs
{
	Oid			types[6];
	Datum		values[6];
} ShapeArgs;

static char *
key_text(const PmRewrite *rewrite)
{
	PmRowKey   *key = pm_rewrite_key(rewrite);
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; key != NULL && i < key->n; i++)
		appendStringInfo(&buf, "%s %s,", key->columns[i], key->operators[i]);
	return buf.data;
}

static void
set_args(const PmRewrite *rewrite, Oid only, ShapeArgs *args)
{
	const Oid	types[] = {INT8OID, TEXTOID, BOOLOID, TEXTOID, TEXTOID, OIDOID};
	bool		is_whole = PM_REWRITE_IS_WHOLE(rewrite->kind);

	memcpy(args->types, types, sizeof(types));
	args->values[0] = Int64GetDatum(rewrite->id);
	args->values[1] = CStringGetTextDatum(key_text(rewrite));
	args->values[2] = BoolGetDatum(is_whole);
	args->values[3] = CStringGetTextDatum(pm_rewrite_scratch(rewrite, ""));
	args->values[4] = CStringGetTextDatum(pm_rewrite_scratch(rewrite, "_truncate"));
	args->values[5] = ObjectIdGetDatum(only);
}

/* pm_rewrite_note_shape writes down what a source is, without our triggers. */
void
pm_rewrite_note_shape(const PmRewrite *rewrite, Oid source)
{
	ShapeArgs	args;

	set_args(rewrite, source, &args);
	(void) pm_config_write("UPDATE %p p SET shape = " SHAPE
						   " WHERE rewrite = $1 AND relation = $6",
						   lengthof(args.types), args.types, args.values, NULL);
}

/* pm_rewrite_note_triggers adds our triggers, in the transaction that has made them. */
void
pm_rewrite_note_triggers(const PmRewrite *rewrite, Oid source)
{
	ShapeArgs	args;

	set_args(rewrite, source, &args);
	(void) pm_config_write("UPDATE %p p SET shape = shape || " TRIGGERS
						   " WHERE rewrite = $1 AND relation = $6",
						   lengthof(args.types), args.types, args.values, NULL);
}

/* what was changed of the sources, or of only one of them, as part of a sentence; or NULL */
static char *
find_change(const PmRewrite *rewrite, Oid only)
{
	PmExtension ext;
	PmSpi		spi;
	ShapeArgs	args;
	char	   *what = NULL;
	Oid			relation = InvalidOid;

	set_args(rewrite, only, &args);
	pm_config_begin(&spi, &ext);
	if (pm_spi_select_kept(pm_config_sql(&ext, "SELECT w.key, p.relation FROM %p p,"
										 " LATERAL (SELECT " SHAPE " || " TRIGGERS " AS shape) n, jsonb_each(p.shape) w"
										 " WHERE p.rewrite = $1 AND ($6 = 0 OR p.relation = $6)"
										 "  AND w.value IS DISTINCT FROM n.shape -> w.key ORDER BY p.place, w.key DESC LIMIT 1"),
						   lengthof(args.types), args.types, args.values, NULL) > 0)
	{
		what = pm_spi_string(0, 1);
		relation = pm_spi_oid(0, 2);
	}
	pm_spi_end(&spi);
	return what ? psprintf("%s of %s", what, pm_qualified_name(relation)) : NULL;
}

/*
 * pm_rewrite_check_shape raises an error if something was changed of the sources, or
 * of only one of them, on which the rewrite rests.
 */
void
pm_rewrite_check_shape(const PmRewrite *rewrite, Oid only)
{
	char	   *change = find_change(rewrite, only);

	if (change != NULL)
		pm_rewrite_changed(rewrite, psprintf("%s was changed", change));
}
