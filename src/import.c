/*-------------------------------------------------------------------------
 *
 * import.c
 *		Sets that pg_partman maintains are taken over, and given back.
 *
 * What pg_partman keeps of a set is read as JSON, by name: its columns come in
 * another order in an installation that was upgraded, and each version has some
 * that others have not.  The set is adopted as create_parent adopts any table; then
 * what columns of ours have the same name and meaning is filled in.  Neither a row
 * nor a partition is touched: maintenance follows later, and finds its work.
 *
 * pg_partman's tables are read and written as the caller, ours as the extension's
 * owner.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "create_parent.h"
#include "import.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "compat.h"

/* what is looked at one by one */
typedef enum Field
{
	FIELD_CONTROL,
	FIELD_INTERVAL,
	FIELD_TYPE,
	FIELD_PREMAKE,
	FIELD_AUTOMATIC,
	FIELD_EPOCH,
	FIELD_ENCODER,
	FIELD_DECODER,
	FIELD_DATE_TRUNC,
	FIELD_RETENTION,
	FIELD_UNDO,
	FIELD_ASYNC,
	FIELD_INFINITE,
	FIELD_JOBMON,
	FIELD_SUBSCRIPTION,
	FIELD_PUBLICATIONS,
	FIELDS
} Field;

static const char *const field_names[] = {
	[FIELD_CONTROL] = "control",
	[FIELD_INTERVAL] = "partition_interval",
	[FIELD_TYPE] = "partition_type",
	[FIELD_PREMAKE] = "premake",
	[FIELD_AUTOMATIC] = "automatic_maintenance",
	[FIELD_EPOCH] = "epoch",
	[FIELD_ENCODER] = "time_encoder",
	[FIELD_DECODER] = "time_decoder",
	[FIELD_DATE_TRUNC] = "date_trunc_interval",
	[FIELD_RETENTION] = "retention",
	[FIELD_UNDO] = "undo_in_progress",
	[FIELD_ASYNC] = "async_partitioning_in_progress",
	[FIELD_INFINITE] = "infinite_time_partitions",
	[FIELD_JOBMON] = "jobmon",
	[FIELD_SUBSCRIPTION] = "subscription_refresh",
	[FIELD_PUBLICATIONS] = "publications"
};

StaticAssertDecl(lengthof(field_names) == FIELDS, "each field has its name");

/* a row of pg_partman's part_config, with that of part_config_sub */
typedef struct Import
{
	const char *source;			/* its table, qualified */
	char	   *name;			/* as it spells it */
	Oid			parent;			/* or InvalidOid: there is no such table */
	Oid			template;		/* the same */
	char	   *config;			/* JSON */
	char	   *sub;			/* the same, or NULL */
	Oid			sub_template;
	char	   *fields[FIELDS];
	bool		dry_run;
	List	  **notes;
	List	  **skipped;		/* OIDs of tables that were not taken over */
} Import;

static void
note(const Import *import, const char *step, char *text)
{
	PmImportNote *entry = palloc(sizeof(PmImportNote));

	entry->table = import->name;
	entry->step = step;
	entry->note = text;
	*import->notes = lappend(*import->notes, entry);
}

static bool
is_true(const char *value)
{
	return value != NULL && strcmp(value, "true") == 0;
}


/* ---------- reading ---------- */

static bool
is_own(Oid relation)
{
	return has_privs_of_role(GetUserId(), pm_catalog_owner(relation));
}

/*
 * find_source returns pg_partman's table of that name.  It, or a copy of it, must be
 * a plain table of somebody whom the caller trusts anyway.
 */
static char *
find_source(const char *schema, const char *name)
{
	Oid			relation = get_relname_relid(name, get_namespace_oid(schema, false));
	PmExtension ext;

	pm_extension_require(&ext);
	if (strcmp(ext.schema, schema) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("schema \"%s\" holds the configuration of partmgr itself", schema),
				 errhint("Pass the schema in which pg_partman is installed, or that of copies of its tables.")));
	if (!OidIsValid(relation))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("there is no configuration of pg_partman in schema \"%s\"", schema),
				 errdetail("It has no table \"%s\".", name),
				 errhint("Pass the schema in which pg_partman is installed, or that of copies of its tables.")));
	if (get_rel_relkind(relation) != RELKIND_RELATION)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("%s is not a table", pm_qualified_name(relation))));
	if (!superuser_arg(pm_catalog_owner(relation)) && !is_own(relation))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("table %s belongs to somebody else", pm_qualified_name(relation)),
				 errhint("It must belong to a superuser, or to a role of yours.")));
	return pm_qualified_name(relation);
}

/* a table that pg_partman has written down, as it stands in the catalogs, unquoted */
#define BY_SPELLING(text) \
	"(SELECT CASE WHEN count(*) = 1 THEN min(r.oid) END FROM pg_class r JOIN pg_namespace n ON n.oid = r.relnamespace" \
	" WHERE n.nspname || '.' || r.relname = " text " AND r.relkind IN ('r', 'p', 'f'))"

static char *
read_sql(const char *config, const char *sub)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "SELECT coalesce(j ->> 'parent_table', ''), parent, " BY_SPELLING("j ->> 'template_table'")
					 ", j::text, k::text, " BY_SPELLING("k ->> 'sub_template_table'"));
	for (int i = 0; i < FIELDS; i++)
		appendStringInfo(&buf, ", j ->> '%s'", field_names[i]);
	/* a set comes before those that are part of it */
	appendStringInfo(&buf, " FROM (SELECT to_jsonb(c) AS j, to_jsonb(b) AS k, " BY_SPELLING("c.parent_table") " AS parent"
					 " FROM %s c LEFT JOIN %s b ON b.sub_parent = c.parent_table) x"
					 " ORDER BY (SELECT count(*) FROM pg_partition_ancestors(parent)), j ->> 'parent_table'", config, sub);
	return buf.data;
}

static List *
read_all(const char *schema, bool dry_run, List **notes, List **skipped)
{
	char	   *source = find_source(schema, "part_config");
	char	   *sql = read_sql(source, find_source(schema, "part_config_sub"));
	List	   *result = NIL;
	PmSpi		spi;
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext old;
	uint64		rows;

	pm_spi_begin(&spi, GetUserId());
	rows = pm_spi_select(sql, 0, NULL, NULL, NULL);
	old = MemoryContextSwitchTo(caller);
	for (uint64 i = 0; i < rows; i++)
	{
		Import	   *import = palloc0(sizeof(Import));

		import->source = source;
		import->name = pm_spi_string(i, 1);
		import->parent = pm_spi_oid(i, 2);
		import->template = pm_spi_oid(i, 3);
		import->config = pm_spi_string(i, 4);
		import->sub = pm_spi_string(i, 5);
		import->sub_template = pm_spi_oid(i, 6);
		for (int f = 0; f < FIELDS; f++)
			import->fields[f] = pm_spi_string(i, 7 + f);
		import->dry_run = dry_run;
		import->notes = notes;
		import->skipped = skipped;
		result = lappend(result, import);
	}
	MemoryContextSwitchTo(old);
	pm_spi_end(&spi);
	return result;
}


/* ---------- may it be taken over? ---------- */

static char *
why_not(const Import *import)
{
	if (!import->fields[FIELD_CONTROL] || !import->fields[FIELD_INTERVAL] || !import->fields[FIELD_PREMAKE])
		return "its row lacks control, partition_interval or premake";
	if (!OidIsValid(import->parent))
		return "there is no such table";
	if (get_rel_relkind(import->parent) != RELKIND_PARTITIONED_TABLE)
		return "it is partitioned by triggers, which partmgr does not maintain: make a partitioned table of it first";
	if (!is_own(import->parent))
		return "you are not its owner";
	if (pm_config_exists(import->parent))
		return "partmgr manages it already";
	if (get_rel_relispartition(import->parent) &&
		list_member_oid(*import->skipped, get_partition_parent(import->parent, true)))
		return "nor is the table above taken over";
	if (is_true(import->fields[FIELD_UNDO]))
		return "undo_partition() is at work on it";
	if (import->fields[FIELD_ASYNC])
		return "partition_data_async() is at work on it";
	return NULL;
}


/* ---------- taking over ---------- */

static CreateOrder *
order_for(const Import *import)
{
	CreateOrder *order = palloc0(sizeof(CreateOrder));
	const char *const *fields = (const char *const *) import->fields;

	order->parent = import->parent;
	order->now = GetCurrentTimestamp();
	order->control = fields[FIELD_CONTROL];
	order->interval = fields[FIELD_INTERVAL];
	/* version 4 says native */
	order->type = linitial(pm_catalog_strings("SELECT CASE partstrat WHEN 'l' THEN 'list' ELSE 'range' END"
											  " FROM pg_partitioned_table WHERE partrelid = $1", import->parent));
	order->epoch = fields[FIELD_EPOCH] ? fields[FIELD_EPOCH] : "none";
	order->premake = pg_strtoint32(fields[FIELD_PREMAKE]);
	order->automatic = fields[FIELD_AUTOMATIC] && strcmp(fields[FIELD_AUTOMATIC], "on") == 0 ? "on" : "off";
	order->has_template = true;
	order->template_table = import->template;
	order->jobmon = true;
	order->encoder = fields[FIELD_ENCODER];
	order->decoder = fields[FIELD_DECODER];
	order->keep_table = true;
	order->defer = true;
	return order;
}

/* settings that mean the same, and are not settled by create_parent */
static const char *const settings =
"{retention,retention_schema,retention_keep_index,retention_keep_table,constraint_cols,optimize_constraint,"
"infinite_time_partitions,jobmon,inherit_privileges,constraint_valid,ignore_default_data,date_trunc_interval,"
"maintenance_order,retention_keep_publication,detach_before_drop,maintenance_role}";

static const char *const harmless_settings =
"{constraint_cols,optimize_constraint,infinite_time_partitions,jobmon,inherit_privileges,constraint_valid,"
"ignore_default_data,date_trunc_interval,maintenance_order,maintenance_role}";

static const char *const sub_settings =
"{sub_premake,sub_retention,sub_retention_schema,sub_retention_keep_index,sub_retention_keep_table,sub_epoch,"
"sub_constraint_cols,sub_optimize_constraint,sub_infinite_time_partitions,sub_jobmon,sub_inherit_privileges,"
"sub_constraint_valid,sub_ignore_default_data,sub_default_table,sub_date_trunc_interval,sub_maintenance_order,"
"sub_retention_keep_publication,sub_control_not_null,sub_detach_before_drop,sub_maintenance_role}";

/* one try to fill in settings, for pm_attempt */
typedef struct Filling
{
	const Import *import;
	const char *columns;
} Filling;

static void
call_fill(void *arg)
{
	Filling    *filling = arg;

	pm_import_fill(filling->import->parent, false, filling->import->config, filling->columns, InvalidOid);
}

/* what retention would do must be known to be right: else there is none */
static void
fill(const Import *import)
{
	Filling		filling = {.import = import, .columns = settings};
	ErrorData  *edata = pm_attempt(call_fill, &filling);

	if (edata == NULL)
		return;
	pm_error_clip(edata);
	note(import, "differ", psprintf("nothing is retired: %s", edata->message));
	filling.columns = harmless_settings;
	call_fill(&filling);
}

/* a value of a JSON object as text; NULL: none */
static char *
member(const char *object, const char *name)
{
	PmSpi		spi;
	char	   *value;
	Oid			types[] = {TEXTOID, TEXTOID};
	Datum		values[] = {CStringGetTextDatum(object), CStringGetTextDatum(name)};

	pm_spi_begin(&spi, GetUserId());
	(void) pm_spi_select("SELECT $1::jsonb ->> $2", 2, types, values, NULL);
	value = pm_spi_string(0, 1);
	pm_spi_end(&spi);
	return value;
}

/*
 * New partitions of the set are to be sets as well, in the calendar of those that are
 * there and with names like theirs, as far as there are any.
 */
static void
take_sub(const Import *import, const PartSet *set)
{
	const char *type = member(import->sub, "sub_partition_type");
	const char *columns[] = {"control", "partition_interval", "partition_type", "epoch", "time_encoder", "time_decoder",
	"time_zone"};
	const char *values[lengthof(columns)];

	for (int i = 0; i < 6; i++)
		values[i] = member(import->sub, psprintf("sub_%s", columns[i]));
	values[1] = pm_interval_word(values[1]);
	values[2] = type && strcmp(type, "list") == 0 ? "list" : "range";
	if (values[3] == NULL)
		values[3] = "none";
	values[6] = pg_get_timezone_name(set->grid.zone ? set->grid.zone : session_timezone);
	pm_sub_insert(import->parent, lengthof(columns), columns, values);
	pm_import_fill(import->parent, true, import->sub, sub_settings, import->sub_template);
}

/* sets the flag by which pg_partman maintains a set, or leaves it alone */
static void
set_flag(const char *source, const char *name, const char *flag)
{
	PmSpi		spi;
	Oid			types[] = {TEXTOID, TEXTOID};
	Datum		values[] = {CStringGetTextDatum(name), CStringGetTextDatum(flag)};

	pm_spi_begin(&spi, GetUserId());
	pm_spi_write(psprintf("UPDATE %s SET automatic_maintenance = $2 WHERE parent_table = $1", source),
				 2, types, values, NULL);
	pm_spi_end(&spi);
}


/* ---------- what is said of it ---------- */

static void
tell_set(const Import *import, const PartSet *set)
{
	note(import, "adopt", psprintf("%s every %s, %d ahead, names like %s%s%s",
								   import->fields[FIELD_CONTROL], pm_key_interval_text(&set->key, &set->grid.interval),
								   set->premake, set->name_format,
								   set->grid.zone ? ", time zone " : "",
								   set->grid.zone ? pg_get_timezone_name(set->grid.zone) : ""));
	if (import->fields[FIELD_RETENTION] && set->has_retention)
		note(import, "carry", psprintf("retention %s, by the real upper bounds of the partitions", import->fields[FIELD_RETENTION]));
	if (OidIsValid(import->template))
		note(import, "carry", psprintf("template table %s", pm_qualified_name(import->template)));
	if (import->sub)
		note(import, "carry", "new partitions become sets of their own");
	if (import->fields[FIELD_AUTOMATIC] && strcmp(import->fields[FIELD_AUTOMATIC], "on") != 0)
		note(import, "carry", "it is maintained only when it is named");
}

static void
tell_differences(const Import *import, const PartSet *set)
{
	if (set->key.axis == AXIS_INSTANT &&
		set->grid.origin != pm_key_default_origin(&set->key, &set->grid.interval, set->grid.zone))
		note(import, "differ", psprintf("its bounds are not on the calendar of time zone %s: undo, SET timezone to that of pg_partman's sessions, and import again",
										pg_get_timezone_name(set->grid.zone)));
	else if (set->key.axis == AXIS_INSTANT)
		note(import, "differ", "its time zone is part of the configuration now; pg_partman takes that of the session");
	if (set->key.axis != AXIS_ID && !is_true(import->fields[FIELD_INFINITE]))
		note(import, "differ", "partitions are made by the clock, also when no rows come");
	if (is_true(import->fields[FIELD_JOBMON]))
		note(import, "differ", "nothing is written for pg_jobmon: see part_log");
	if (import->fields[FIELD_SUBSCRIPTION])
		note(import, "differ", psprintf("subscription %s is not refreshed", import->fields[FIELD_SUBSCRIPTION]));
	if (import->fields[FIELD_PUBLICATIONS])
		note(import, "differ", "new partitions are not added to publications: publish the table itself");
}


/* ---------- one set ---------- */

static void
call_import(void *arg)
{
	Import	   *import = arg;
	PartSet    *set;

	if (!import->dry_run)
		LockRelationOid(import->parent, ShareUpdateExclusiveLock);
	(void) pm_create_parent(order_for(import));
	fill(import);
	set = pm_config_read_one(import->parent);
	if (import->sub)
		take_sub(import, set);
	pm_import_remember(import->parent, import->source, import->name, import->fields[FIELD_AUTOMATIC]);
	set_flag(import->source, import->name, "off");
	tell_set(import, set);
	tell_differences(import, set);
	note(import, "stop", "pg_partman leaves it alone from now on; calls that name the table still maintain it: remove them");
}

static void
skip(Import *import, char *reason)
{
	note(import, "skip", reason);
	*import->skipped = lappend_oid(*import->skipped, import->parent);
}

static void
import_one(Import *import)
{
	List	   *before = list_copy(*import->notes);
	char	   *reason = why_not(import);
	ErrorData  *edata;

	if (reason)
	{
		skip(import, reason);
		return;
	}
	edata = pm_attempt(call_import, import);
	if (edata == NULL)
		return;
	pm_error_clip(edata);
	*import->notes = before;
	skip(import, edata->message);
}

/* all sets, for pm_attempt */
typedef struct ImportAll
{
	List	   *imports;
	const char *source;
	bool		is_done;
} ImportAll;

static void
import_all(ImportAll *all)
{
	ListCell   *lc;

	foreach(lc, all->imports)
	{
		CHECK_FOR_INTERRUPTS();
		import_one(lfirst(lc));
	}
	pm_import_name_subs(all->source);
}

/* does all of it, and takes it back: so a dry run finds what the real one would find */
static void
call_dry_run(void *arg)
{
	ImportAll  *all = arg;

	import_all(all);
	all->is_done = true;
	elog(ERROR, "the dry run is taken back");
}

/*
 * pm_import takes over all sets that pg_partman maintains, or says what that would
 * do; returns a list of PmImportNote.
 *
 * Locks: SHARE UPDATE EXCLUSIVE on each table, to the end of the transaction; those of
 * the rows of pg_partman's configuration, in a dry run as well.
 */
List *
pm_import(const char *schema, bool dry_run)
{
	List	   *notes = NIL;
	List	   *skipped = NIL;
	ImportAll	all = {.source = find_source(schema, "part_config")};
	ErrorData  *edata;

	all.imports = read_all(schema, dry_run, &notes, &skipped);
	if (!dry_run)
		import_all(&all);
	else
	{
		edata = pm_attempt(call_dry_run, &all);
		if (!all.is_done)
			ReThrowError(edata);
	}
	if (skipped != NIL)
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg_plural("%d table is not taken over", "%d tables are not taken over",
							   list_length(skipped), list_length(skipped)),
				 errhint("See the rows with step skip: pg_partman goes on with them, and if it is gone, nobody.")));
	return notes;
}


/* ---------- giving back ---------- */

/* one set, for pm_attempt */
typedef struct Return
{
	const char *source;
	const PmImported *imported;
} Return;

static void
call_return(void *arg)
{
	const Return *back = arg;
	Oid			parent = back->imported->parent;
	ListCell   *lc;

	if (get_rel_name(parent) != NULL && !is_own(parent))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of table %s", pm_qualified_name(parent))));
	if (pm_hold_exists(parent))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("table %s has holds", pm_qualified_name(parent)),
				 errhint("See list_holds(), and end them with release_hold().")));
	/* with those below that were made meanwhile, of which pg_partman knows nothing */
	foreach(lc, pm_catalog_strings("SELECT relid::oid::text FROM pg_partition_tree($1) WHERE NOT isleaf", parent))
	{
		pm_exclude_forget(atooid(lfirst(lc)));
		(void) pm_config_delete(atooid(lfirst(lc)), false);
	}
	(void) pm_config_delete(parent, false);
	set_flag(back->source, back->imported->name, back->imported->automatic);
	pm_import_forget(parent);
}

/*
 * pm_import_undo gives back to pg_partman what was taken over from it; returns a list
 * of PmImportNote.  Partitions that were made meanwhile stay.
 */
List *
pm_import_undo(const char *schema)
{
	char	   *source = find_source(schema, "part_config");
	List	   *notes = NIL;
	ListCell   *lc;

	foreach(lc, pm_import_all(source))
	{
		Return		back = {.source = source, .imported = lfirst(lc)};
		Import		import = {.name = back.imported->name, .notes = &notes};
		ErrorData  *edata = pm_attempt(call_return, &back);

		if (edata == NULL)
			note(&import, "return", psprintf("automatic_maintenance of pg_partman is %s again; partmgr has forgotten the table",
											 back.imported->automatic));
		else
		{
			pm_error_clip(edata);
			note(&import, "skip", edata->message);
		}
	}
	return notes;
}
