/*-------------------------------------------------------------------------
 *
 * template_make.c
 *		The template table that a set gets by itself, and how it goes again.
 *
 * It is called after the set and lives in the extension's schema, where the
 * owner of the set mostly may not create anything; so it is made as the owner of the
 * extension, and given away.  It goes when the set is forgotten, if it is empty
 * and nobody else uses it.
 *
 * Checks no rights: the caller does.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_tablespace.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "config.h"
#include "ddl_partman.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "compat.h"

#define TEMPLATE_PREFIX "template_"

static Oid
owner_of(Oid relation)
{
	return pm_config_select_oid("SELECT relowner FROM pg_class WHERE oid = $1", 1,
								(Oid[]) {OIDOID}, (Datum[]) {ObjectIdGetDatum(relation)});
}

/* is a table the template table of a set? */
static bool
is_used(Oid table)
{
	return OidIsValid(pm_config_select_oid("SELECT parent_table::oid FROM %c WHERE template_table = $1::regclass"
										   " UNION ALL SELECT sub_parent::oid FROM %b WHERE sub_template_table = $1::regclass LIMIT 1",
										   1, (Oid[]) {OIDOID}, (Datum[]) {ObjectIdGetDatum(table)}));
}

/* is a table one that was made here, for a set of this owner, and that nobody uses? */
static bool
is_free(Oid table, Oid owner, const PmExtension *ext)
{
	const char *name = get_rel_name(table);

	return name != NULL && strncmp(name, TEMPLATE_PREFIX, strlen(TEMPLATE_PREFIX)) == 0 &&
		get_rel_namespace(table) == get_namespace_oid(ext->schema, false) &&
		get_rel_relkind(table) == RELKIND_RELATION && !get_rel_relispartition(table) &&
		!OidIsValid(getExtensionOfObject(RelationRelationId, table)) &&
		owner_of(table) == owner && !is_used(table);
}

static void
run_as(Oid userid, char *sql)
{
	PmSpi		spi;

	pm_spi_begin(&spi, userid);
	pm_spi_utility(sql);
	pm_spi_end(&spi);
	CommandCounterIncrement();
}

/* makes a template table of that name, which is free */
static Oid
make(const PartSet *set, const PmExtension *ext, const char *name)
{
	Oid			namespace = get_namespace_oid(ext->schema, false);
	char	   *table = quote_qualified_identifier(ext->schema, name);
	bool		may_create = pm_has_privilege(NamespaceRelationId, namespace, set->owner, ACL_CREATE);

	run_as(may_create ? set->owner : ext->owner, pm_ddl_template_create(table, set));
	if (!may_create)
		run_as(ext->owner, pm_ddl_owner(table, set->owner));
	return get_relname_relid(name, namespace);
}

/*
 * pm_template_table_make returns the template table that a set gets if none was
 * asked for.  One that an earlier set of the name has left is taken again; a name
 * that is taken otherwise gets a number.
 */
Oid
pm_template_table_make(const PartSet *set)
{
	char	   *wanted = psprintf(TEMPLATE_PREFIX "%s_%s", set->schema, set->name);
	PmExtension ext;
	Oid			namespace;

	pm_extension_require(&ext);
	namespace = get_namespace_oid(ext.schema, false);
	for (int n = 0;; n++)
	{
		char	   *name = pm_name_suffixed(wanted, n == 0 ? "" : psprintf("_%d", n));
		Oid			taken = get_relname_relid(name, namespace);

		if (OidIsValid(taken) && is_free(taken, set->owner, &ext))
		{
			ereport(NOTICE,
					(errmsg("table %s is the template table, as it was before", pm_qualified_name(taken))));
			return taken;
		}
		if (!OidIsValid(taken) &&
			!SearchSysCacheExists2(TYPENAMENSP, CStringGetDatum(name), ObjectIdGetDatum(namespace)))
			return make(set, &ext, name);
	}
}

/* a table to be dropped, for pm_attempt */
typedef struct DropCall
{
	Oid			table;
	Oid			owner;
} DropCall;

static void
call_drop(void *arg)
{
	DropCall   *call = arg;

	run_as(call->owner, pm_ddl_template_drop(call->table));
}

/* drops a template table of ours that nobody needs; what hangs on it keeps it */
static void
release(Oid table, Oid owner)
{
	DropCall	call = {.table = table, .owner = owner};
	const char *why = "it has rows";
	PmExtension ext;

	pm_extension_require(&ext);
	if (!is_free(table, owner, &ext))
		return;
	if (pm_size_blocks(table) == 0)
	{
		ErrorData  *edata = pm_attempt(call_drop, &call);

		why = edata ? edata->message : NULL;
	}
	if (why)
		ereport(NOTICE,
				(errmsg("template table %s was kept: %s", pm_qualified_name(table), why)));
}

/* pm_set_forget forgets a set, and drops its template table; false if there was no set. */
bool
pm_set_forget(Oid parent)
{
	const bool	replace = true;
	Oid			table = pm_config_select_oid("SELECT template_table::oid FROM %c WHERE parent_table = $1::regclass",
											 1, (Oid[]) {OIDOID}, (Datum[]) {ObjectIdGetDatum(parent)});
	bool		found = pm_config_delete(parent, !replace);

	if (OidIsValid(table) && SearchSysCacheExists1(RELOID, ObjectIdGetDatum(table)))
		release(table, owner_of(parent));
	return found;
}
