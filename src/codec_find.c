/*-------------------------------------------------------------------------
 *
 * codec_find.c
 *		The functions that write and read the keys of a set, by their names.
 *
 * They are stored as text (a column of type regprocedure would make pg_upgrade
 * refuse the cluster) and looked up at each use.  They run as the owner of the
 * table, so they must belong to somebody whom he trusts anyway.
 *
 * What cannot be used is reported as a sentence, never as an error: one set that
 * cannot be understood must not keep others from being maintained.  Reads catalogs
 * only, and calls nothing of a user's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_partitioned_table.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_tablespace.h"
#include "catalog/pg_type.h"
#include "codec.h"
#include "commands/defrem.h"
#include "internal.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "compat.h"

/* ---------- the functions ---------- */

/* does what stands in parentheses after a name mean this type? */
static bool
means_type(const char *word, Oid type)
{
	if (type == TEXTOID)
		return strcmp(word, "text") == 0;
	return strcmp(word, "timestamptz") == 0 || strcmp(word, "timestamp with time zone") == 0;
}

/*
 * split_name takes apart what a user has written: schema.function, perhaps with
 * the type of its argument in parentheses.
 */
static bool
split_name(const char *text, Oid argtype, char **schema, char **name)
{
	char	   *copy = pstrdup(text);
	char	   *paren = strrchr(copy, '(');
	size_t		length = strlen(copy);
	List	   *names;

	if (paren != NULL && copy[length - 1] == ')')
	{
		copy[length - 1] = *paren = '\0';
		if (!means_type(paren + 1, argtype))
			return false;
	}
	if (!SplitIdentifierString(copy, '.', &names) || list_length(names) != 2)
		return false;
	*schema = linitial(names);
	*name = lsecond(names);
	return true;
}

/* text and varchar hold the same */
static bool
gives_type(Oid result, Oid wanted)
{
	Oid			base = getBaseType(result);

	return base == wanted ||
		((base == TEXTOID || base == VARCHAROID) && (wanted == TEXTOID || wanted == VARCHAROID));
}

/* may a function of this owner run as the owner of the table? */
static bool
is_trusted(Oid function_owner, Oid table_owner)
{
	PmExtension ext;

	return function_owner == table_owner || superuser_arg(function_owner) ||
		is_member_of_role_nosuper(table_owner, function_owner) ||
		(pm_extension_find(&ext) && function_owner == ext.owner);
}

/* what is wrong with a function that exists, or NULL */
static char *
function_problem(Form_pg_proc form, const char *text, Oid result, Oid owner)
{
	if (form->prokind != PROKIND_FUNCTION || form->proretset || !gives_type(form->prorettype, result))
		return psprintf("function %s must return %s", text, format_type_be(result));
	if (!is_trusted(form->proowner, owner))
		return psprintf("function %s belongs to role \"%s\", and would run as the owner of the table",
						text, GetUserNameFromId(form->proowner, true));
	if (!pm_has_privilege(NamespaceRelationId, form->pronamespace, owner, ACL_USAGE) ||
		!pm_has_privilege(ProcedureRelationId, form->oid, owner, ACL_EXECUTE))
		return psprintf("the owner of the table may not call function %s", text);
	return NULL;
}

/*
 * find_function looks up one of the two, as the column says it.  Returns what is
 * wrong, or NULL.  By hand: core's functions raise errors for what is not there,
 * and look with the rights of whoever asks.
 */
static char *
find_function(const char *text, Oid argtype, Oid result, Oid owner, Oid *function)
{
	char	   *schema;
	char	   *name;
	char	   *problem;
	Oid			namespace;
	HeapTuple	tuple = NULL;

	if (!split_name(text, argtype, &schema, &name))
		return psprintf("\"%s\" is not a function with its schema, like schema.name or schema.name(%s)",
						text, format_type_be(argtype));
	namespace = get_namespace_oid(schema, true);
	if (OidIsValid(namespace))
		tuple = SearchSysCache3(PROCNAMEARGSNSP, CStringGetDatum(name),
								PointerGetDatum(buildoidvector(&argtype, 1)), ObjectIdGetDatum(namespace));
	if (!HeapTupleIsValid(tuple))
		return psprintf("function %s(%s) does not exist", quote_qualified_identifier(schema, name),
						format_type_be(argtype));
	*function = ((Form_pg_proc) GETSTRUCT(tuple))->oid;
	problem = function_problem((Form_pg_proc) GETSTRUCT(tuple), text, result, owner);
	ReleaseSysCache(tuple);
	return problem;
}


/* ---------- the key ---------- */

/* pm_collation_name is the name of a collation with its schema, quoted. */
char *
pm_collation_name(Oid collation)
{
	HeapTuple	tuple = SearchSysCache1(COLLOID, ObjectIdGetDatum(collation));
	Form_pg_collation form;
	char	   *name;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for collation %u", collation);
	form = (Form_pg_collation) GETSTRUCT(tuple);
	name = quote_qualified_identifier(get_namespace_name(form->collnamespace), NameStr(form->collname));
	ReleaseSysCache(tuple);
	return name;
}

/* the order in which a table is partitioned by its first key column; false: by another one */
static bool
read_key_order(Oid parent, AttrNumber attnum, Oid *collation, Oid *opclass)
{
	HeapTuple	tuple = SearchSysCache1(PARTRELID, ObjectIdGetDatum(parent));
	bool		isnull;
	bool		is_key;

	if (!HeapTupleIsValid(tuple))
		return false;
	is_key = ((Form_pg_partitioned_table) GETSTRUCT(tuple))->partattrs.values[0] == attnum;
	*collation = ((oidvector *) DatumGetPointer(SysCacheGetAttr(PARTRELID, tuple, Anum_pg_partitioned_table_partcollation, &isnull)))->values[0];
	*opclass = ((oidvector *) DatumGetPointer(SysCacheGetAttr(PARTRELID, tuple, Anum_pg_partitioned_table_partclass, &isnull)))->values[0];
	ReleaseSysCache(tuple);
	return is_key;
}

/*
 * Is the order of the partition key the usual one of its type?  It is if nothing is
 * partitioned by the column yet.
 */
static char *
read_order(Oid parent, const PartKey *key, Codec *codec)
{
	Oid			opclass;
	Oid			column_collation;
	Oid			type;
	int32		typmod;

	get_atttypetypmodcoll(parent, key->attnum, &type, &typmod, &column_collation);
	codec->base.column = pstrdup(quote_identifier(key->attname));
	if (!read_key_order(parent, key->attnum, &codec->collation, &opclass))
	{
		codec->collation = column_collation;
		return NULL;
	}
	if (opclass != GetDefaultOpClass(key->type, BTREE_AM_OID))
		return psprintf("column \"%s\" is not partitioned in the order of its type", key->attname);
	if (column_collation != codec->collation)
		codec->base.column = psprintf("%s COLLATE %s", codec->base.column, pm_collation_name(codec->collation));
	return NULL;
}

/* what no codec can help with, or NULL */
static char *
kind_problem(const PartKey *key, const char *epoch, const char *encoder, const char *decoder)
{
	if (encoder == NULL || decoder == NULL)
		return pstrdup("time_encoder and time_decoder need each other");
	if (strcmp(epoch, "none") != 0)
		return psprintf("time_encoder and time_decoder do not go with epoch \"%s\"", epoch);
	if (key->type != TEXTOID && key->type != VARCHAROID && key->type != UUIDOID &&
		key->type != INT8OID && key->type != NUMERICOID)
		return psprintf("time_encoder and time_decoder do not go with type %s of column \"%s\"",
						format_type_be(key->type), key->attname);
	return NULL;
}

/*
 * pm_codec_attach makes a key one that functions read, given by name.  False with
 * what is wrong; the kind of the key is set nevertheless.
 */
bool
pm_codec_attach(Oid parent, const char *epoch, const char *encoder, const char *decoder,
				PartKey *key, char **problem)
{
	Codec	   *codec = palloc0(sizeof(Codec));

	key->kind = KEY_ENCODED;
	key->axis = AXIS_INSTANT;
	key->codec = NULL;
	*problem = kind_problem(key, epoch, encoder, decoder);
	if (*problem)
		return false;
	codec->context = CurrentMemoryContext;
	codec->owner = pm_catalog_owner(parent);
	codec->type = key->type;
	get_typlenbyval(key->type, &codec->typlen, &codec->typbyval);
	codec->encoder_name = pstrdup(encoder);
	codec->decoder_name = pstrdup(decoder);
	*problem = read_order(parent, key, codec);
	if (*problem)
		return false;
	*problem = find_function(encoder, TIMESTAMPTZOID, key->type, codec->owner, &codec->encoder);
	if (*problem)
		*problem = psprintf("time_encoder: %s", *problem);
	else if ((*problem = find_function(decoder, TEXTOID, TIMESTAMPTZOID, codec->owner, &codec->decoder)) != NULL)
		*problem = psprintf("time_decoder: %s", *problem);
	if (*problem)
		return false;
	pm_codec_open(codec);
	key->codec = &codec->base;
	return true;
}
