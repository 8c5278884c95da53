/*-------------------------------------------------------------------------
 *
 * rights.c
 *		What the owner of a set would need to maintain it, and has not.
 *
 * Reads only, and refuses nothing: it is told beforehand.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_tablespace.h"
#include "commands/tablespace.h"
#include "internal.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"

#include "compat.h"

/* "role x lacks y on z; run GRANT ..." */
static char *
lacks(Oid role, const char *privilege, const char *object)
{
	const char *name = quote_identifier(GetUserNameFromId(role, false));

	return psprintf("owner %s lacks %s on %s: run GRANT %s ON %s TO %s",
					name, privilege, object, privilege, object, name);
}

/* "owner x of the set does not own partition y: run ALTER TABLE ..." */
static char *
not_owned(const PartSet *set, const Partition *partition)
{
	const char *owner = quote_identifier(GetUserNameFromId(set->owner, false));
	char	   *name = pm_full_name(partition);

	return psprintf("owner %s of the set does not own partition %s: run ALTER TABLE %s OWNER TO %s",
					owner, name, name, owner);
}

/*
 * pm_catalog_rights_problems returns sentences about the rights that the owner
 * of a set would need to maintain it and has not, each with what to run.
 */
List *
pm_catalog_rights_problems(const PmLook *look)
{
	const PartSet *set = look->set;
	Oid			namespace = get_namespace_oid(set->schema, false);
	Oid			tablespace = get_rel_tablespace(set->parent);
	List	   *result = NIL;
	ListCell   *lc;

	if (!pm_has_privilege(NamespaceRelationId, namespace, set->owner, ACL_CREATE))
		result = lappend(result, lacks(set->owner, "CREATE",
									   psprintf("SCHEMA %s", quote_identifier(set->schema))));
	if (OidIsValid(tablespace) &&
		!pm_has_privilege(TableSpaceRelationId, tablespace, set->owner, ACL_CREATE))
		result = lappend(result, lacks(set->owner, "CREATE",
									   psprintf("TABLESPACE %s",
												quote_identifier(get_tablespace_name(tablespace)))));
	foreach(lc, look->partitions)
	{
		Partition  *partition = lfirst(lc);

		if (!has_privs_of_role(set->owner, partition->owner))
			result = lappend(result, not_owned(set, partition));
	}
	/* its rows are moved only if it is the same role */
	if (look->dflt && look->dflt->owner != set->owner)
		result = lappend(result, not_owned(set, look->dflt));

	foreach(lc, pm_catalog_strings("SELECT tgfoid::text FROM pg_trigger WHERE tgrelid = $1"
								   " AND NOT tgisinternal AND tgtype & 1 = 1 ORDER BY tgname", set->parent))
	{
		Oid			function = atooid(lfirst(lc));

		if (!pm_has_privilege(ProcedureRelationId, function, set->owner, ACL_EXECUTE))
			result = lappend(result, lacks(set->owner, "EXECUTE",
										   psprintf("FUNCTION %s", format_procedure_qualified(function))));
	}
	return result;
}
