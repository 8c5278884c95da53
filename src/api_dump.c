/*-------------------------------------------------------------------------
 *
 * api_dump.c
 *		dump_partitioned_table_definition(): the statements that make a set what
 *		it is.
 *
 * pg_partman's text to the letter, for people compare it.  What is ours, and what
 * is left out there (encoders, where the bounds lie, sub-sets), comes in only where
 * it is not what one gets without saying it.
 *
 * Changes nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "api.h"
#include "catalog/pg_type.h"
#include "config.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "compat.h"

PG_FUNCTION_INFO_V1(partmgr_dump_partitioned_table_definition);

/* how a value is written */
typedef enum DumpForm
{
	DUMP_QUOTED,
	DUMP_PLAIN,					/* a number */
	DUMP_OURS,					/* quoted, and left out if it is null */
	DUMP_OURS_PLAIN
} DumpForm;

/* one line of a statement */
typedef struct DumpItem
{
	const char *name;			/* of the argument, or of the column */
	const char *value;			/* in SQL */
	DumpForm	form;
} DumpItem;

/* a table's name as pg_partman spells it; one with a dot in it must be quoted */
#define SPELLED(oid) \
	"(SELECT format(CASE WHEN strpos(nspname || relname, '.') = 0 THEN '%s.%s' ELSE '%I.%I' END, nspname, relname)" \
	" FROM pg_class r JOIN pg_namespace n ON n.oid = relnamespace WHERE r.oid = " oid ")"

static const DumpItem create_items[] = {
	{"p_parent_table", SPELLED("c.parent_table")},
	{"p_control", "c.control"},
	{"p_interval", "c.partition_interval"},
	{"p_type", "c.partition_type"},
	{"p_epoch", "c.epoch"},
	{"p_premake", "c.premake", DUMP_PLAIN},
	{"p_default_table", "EXISTS (SELECT FROM pg_partitioned_table p WHERE p.partrelid = c.parent_table AND p.partdefid <> 0)"},
	{"p_automatic_maintenance", "c.automatic_maintenance"},
	{"p_constraint_cols", "c.constraint_cols"},
	{"p_template_table", "CASE WHEN NOT $2 THEN " SPELLED("c.template_table") " END"},
	{"p_jobmon", "c.jobmon"},
	{"p_date_trunc_interval", "c.date_trunc_interval"},
	{"p_control_not_null", "(SELECT a.attnotnull FROM pg_attribute a WHERE a.attrelid = c.parent_table AND a.attname = c.control)"},
	{"p_time_encoder", "c.time_encoder", DUMP_OURS},
	{"p_time_decoder", "c.time_decoder", DUMP_OURS},
	/* ids have no time zone; times have no offset, and begin at a bound */
	{"p_offset_id", "CASE WHEN c.time_zone IS NULL THEN c.grid_origin END", DUMP_OURS_PLAIN},
	{"p_start_partition", "CASE WHEN c.grid_origin IS NOT NULL THEN $3 END", DUMP_OURS},
	{"p_time_zone", "nullif(c.time_zone, current_setting('TimeZone'))", DUMP_OURS},
	{"p_name_format", "c.name_format", DUMP_OURS},
	{"p_on_demand", "nullif(c.on_demand, false)", DUMP_OURS}
};

static const DumpItem update_items[] = {
	{"optimize_constraint", "c.optimize_constraint", DUMP_PLAIN},
	{"retention", "c.retention"},
	{"retention_schema", "c.retention_schema"},
	{"retention_keep_index", "c.retention_keep_index"},
	{"retention_keep_table", "c.retention_keep_table"},
	{"infinite_time_partitions", "c.infinite_time_partitions"},
	{"datetime_string", "c.datetime_string"},
	{"sub_partition_set_full", "c.sub_partition_set_full"},
	{"inherit_privileges", "c.inherit_privileges"},
	{"constraint_valid", "c.constraint_valid"},
	{"ignore_default_data", "c.ignore_default_data"},
	{"maintenance_order", "c.maintenance_order"},
	{"retention_keep_publication", "c.retention_keep_publication"},
	{"detach_before_drop", "c.detach_before_drop"},
	{"maintenance_role", "c.maintenance_role"},
	{"grid_origin", "CASE WHEN c.time_zone IS NOT NULL THEN c.grid_origin END", DUMP_OURS},
	{"retention_partitions", "c.retention_partitions", DUMP_OURS_PLAIN},
	{"retention_size", "c.retention_size", DUMP_OURS},
	{"retention_keep_newest", "nullif(c.retention_keep_newest, 0)", DUMP_OURS_PLAIN},
	{"retention_grace", "c.retention_grace", DUMP_OURS},
	{"archive_function", "c.archive_function", DUMP_OURS},
	{"abort_after_wait", "nullif(c.abort_after_wait, 'none')", DUMP_OURS},
	{"maintenance_window", "c.maintenance_window", DUMP_OURS},
	{"analyze_parent", "nullif(c.analyze_parent, true)", DUMP_OURS},
	{"cold_after", "c.cold_after", DUMP_OURS},
	{"cold_vacuum", "nullif(c.cold_vacuum, true)", DUMP_OURS},
	{"cold_reindex", "nullif(c.cold_reindex, false)", DUMP_OURS},
	{"cold_tablespace", "c.cold_tablespace", DUMP_OURS},
	{"cold_storage", "c.cold_storage", DUMP_OURS},
	{"cold_cluster", "c.cold_cluster", DUMP_OURS},
	{"cold_compression", "c.cold_compression", DUMP_OURS},
	{"drain_default", "nullif(c.drain_default, true)", DUMP_OURS},
	{"on_demand_window", "nullif(c.on_demand_window, 100)", DUMP_OURS_PLAIN}
};

static const DumpItem sub_create_items[] = {
	{"p_top_parent", SPELLED("c.sub_parent")},
	{"p_control", "c.sub_control"},
	{"p_interval", "c.sub_partition_interval"},
	{"p_type", "c.sub_partition_type"},
	{"p_default_table", "c.sub_default_table"},
	{"p_declarative_check", "text 'yes'"},
	{"p_constraint_cols", "c.sub_constraint_cols"},
	{"p_premake", "c.sub_premake", DUMP_PLAIN},
	{"p_epoch", "c.sub_epoch"},
	{"p_jobmon", "c.sub_jobmon"},
	{"p_date_trunc_interval", "c.sub_date_trunc_interval"},
	{"p_control_not_null", "c.sub_control_not_null"},
	{"p_time_encoder", "c.sub_time_encoder"},
	{"p_time_decoder", "c.sub_time_decoder"}
};

static const DumpItem sub_update_items[] = {
	{"sub_automatic_maintenance", "c.sub_automatic_maintenance"},
	{"sub_template_table", "CASE WHEN NOT $2 THEN " SPELLED("c.sub_template_table") " END"},
	{"sub_retention", "c.sub_retention"},
	{"sub_retention_schema", "c.sub_retention_schema"},
	{"sub_retention_keep_index", "c.sub_retention_keep_index"},
	{"sub_retention_keep_table", "c.sub_retention_keep_table"},
	{"sub_optimize_constraint", "c.sub_optimize_constraint", DUMP_PLAIN},
	{"sub_infinite_time_partitions", "c.sub_infinite_time_partitions"},
	{"sub_inherit_privileges", "c.sub_inherit_privileges"},
	{"sub_constraint_valid", "c.sub_constraint_valid"},
	{"sub_ignore_default_data", "c.sub_ignore_default_data"},
	{"sub_maintenance_order", "c.sub_maintenance_order"},
	{"sub_retention_keep_publication", "c.sub_retention_keep_publication"},
	{"sub_detach_before_drop", "c.sub_detach_before_drop"},
	{"sub_maintenance_role", "c.sub_maintenance_role"},
	{"sub_time_zone", "nullif(c.sub_time_zone, current_setting('TimeZone'))", DUMP_OURS},
	{"sub_name_format", "c.sub_name_format", DUMP_OURS},
	{"sub_on_demand", "nullif(c.sub_on_demand, false)", DUMP_OURS}
};

/* a statement: a call, or an update */
typedef struct DumpStatement
{
	const char *head;
	const char *assign;			/* between name and value */
	const char *tail;
	const DumpItem *items;
	int			nitems;
	const char *from;
} DumpStatement;

#define FROM_SET "%c c WHERE c.parent_table = $1::regclass"
#define FROM_SUB "%b c WHERE c.sub_parent = $1::regclass"

/* of what the dump is made */
typedef struct DumpSource
{
	Oid			parent;
	bool		ignore_template;
	const char *start;			/* or NULL */
} DumpSource;

/* read_values evaluates the items of a statement; NULL if there is no row. */
static char **
read_values(const DumpStatement *statement, const DumpSource *source)
{
	PmExtension ext;
	PmSpi		spi;
	StringInfoData sql;
	MemoryContext caller = CurrentMemoryContext;
	char	  **values = NULL;
	Oid			types[] = {OIDOID, BOOLOID, TEXTOID};
	Datum		args[] = {
		ObjectIdGetDatum(source->parent),
		BoolGetDatum(source->ignore_template),
		source->start ? CStringGetTextDatum(source->start) : (Datum) 0
	};

	/* all three arguments are mentioned in each */
	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT $2 AND $3 IS NULL");
	for (int i = 0; i < statement->nitems; i++)
		appendStringInfo(&sql, ", %s", statement->items[i].value);
	pm_config_begin(&spi, &ext);
	if (pm_spi_select(psprintf("%s FROM %s", sql.data, pm_config_sql(&ext, statement->from)),
					  3, types, args, source->start ? NULL : "  n") == 1)
	{
		values = MemoryContextAlloc(caller, sizeof(char *) * statement->nitems);
		for (int i = 0; i < statement->nitems; i++)
			values[i] = pm_spi_string(0, i + 2);
	}
	pm_spi_end(&spi);
	return values;
}

/* append_statement adds a statement to the text, if there is a row for it. */
static void
append_statement(StringInfo buf, const DumpStatement *statement, const DumpSource *source)
{
	char	  **values = read_values(statement, source);
	const char *separator = "";

	if (values == NULL)
		return;
	appendStringInfo(buf, "%s%s", buf->len > 0 ? "\n" : "", statement->head);
	for (int i = 0; i < statement->nitems; i++)
	{
		const DumpItem *item = &statement->items[i];
		bool		is_plain = item->form == DUMP_PLAIN || item->form == DUMP_OURS_PLAIN;

		if (values[i] == NULL && (item->form == DUMP_OURS || item->form == DUMP_OURS_PLAIN))
			continue;
		appendStringInfo(buf, "%s\n\t%s %s %s", separator, item->name, statement->assign,
						 values[i] == NULL ? "NULL" : is_plain ? values[i] : quote_literal_cstr(values[i]));
		separator = ",";
	}
	appendStringInfoString(buf, statement->tail);
}

/*
 * first_start returns where a set would begin if it were made now, on the grid that
 * it has: the default number of partitions back.
 */
static char *
first_start(const PartSet *set)
{
	const PartKey *key = &set->key;
	int64		pos;
	int64		earlier;

	if (key->axis == AXIS_ID)
		return NULL;
	pos = pm_key_now(key, set->grid.zone, GetCurrentTransactionStartTimestamp());
	if (!pm_key_floor(key, &set->grid, pos, &pos))
		return NULL;
	for (int i = 0; i < set->premake && pm_key_floor(key, &set->grid, pos - 1, &earlier); i++)
		pos = earlier;
	return pm_position_text(key, pos);
}

/* the set's name as pg_partman spells it */
static char *
spelled(const PartSet *set)
{
	bool		has_dot = strchr(set->schema, '.') != NULL || strchr(set->name, '.') != NULL;

	return has_dot ? pm_full_name(set) : psprintf("%s.%s", set->schema, set->name);
}

/* the head of a call of one of our functions */
static char *
call_of(const PmExtension *ext, const char *function)
{
	return psprintf("SELECT %s(", quote_qualified_identifier(ext->schema, function));
}

/*
 * append_existing has the sub-sets that exist already, since they were made by the
 * call before, get the settings that those to come are given.
 */
static void
append_existing(StringInfo buf, const PmExtension *ext, const PartSet *set, const char *where)
{
	bool		is_first = true;

	if (!set->has_sub)
		return;
	appendStringInfoString(buf, pm_config_sql(ext, "\nUPDATE %c c SET"));
	for (int i = 0; i < lengthof(sub_update_items); i++)
	{
		const char *column = sub_update_items[i].name + strlen("sub_");

		if (strcmp(column, "time_zone") == 0 || strcmp(column, "name_format") == 0)
			continue;
		appendStringInfo(buf, "%s\n\t%s = s.sub_%s", is_first ? "" : ",", column, column);
		is_first = false;
	}
	appendStringInfoString(buf, pm_config_sql(ext, "\nFROM %b s, pg_catalog.pg_inherits i"));
	appendStringInfo(buf, "\nWHERE s.sub_parent = %s AND i.inhparent = s.sub_parent AND c.parent_table = i.inhrelid::regclass;", where);
}

/*
 * partmgr_dump_partitioned_table_definition(p_parent_table, p_ignore_template_table)
 * returns the call and the updates that give a table the configuration that this
 * set has.  Errors: not managed, or not the caller's to see.
 */
Datum
partmgr_dump_partitioned_table_definition(PG_FUNCTION_ARGS)
{
	bool		isnull;
	DumpSource	source = {0};
	PartSet    *set;
	PmExtension ext;
	StringInfoData buf;
	char	   *where;

	pm_extension_require(&ext);
	pm_arg_not_null(fcinfo, 0, "p_parent_table");
	pm_arg_not_null(fcinfo, 1, "p_ignore_template_table");
	source.parent = pm_arg_relation(fcinfo, 0, &isnull);
	source.ignore_template = PG_GETARG_BOOL(1);
	pm_api_check_read(source.parent);
	set = pm_config_read_one(source.parent);
	if (set == NULL)
		pm_api_not_managed(source.parent);
	source.start = first_start(set);
	where = quote_literal_cstr(spelled(set));

	initStringInfo(&buf);
	append_statement(&buf, &(DumpStatement) {
		call_of(&ext, "create_partition"), ":=", "\n);", create_items, lengthof(create_items), FROM_SET
	}, &source);
	append_statement(&buf, &(DumpStatement) {
		pm_config_sql(&ext, "UPDATE %c SET"), "=", psprintf("\nWHERE parent_table = %s;", where), update_items, lengthof(update_items), FROM_SET
	}, &source);
	append_statement(&buf, &(DumpStatement) {
		call_of(&ext, "create_sub_partition"), ":=", "\n);", sub_create_items, lengthof(sub_create_items), FROM_SUB
	}, &source);
	append_statement(&buf, &(DumpStatement) {
		pm_config_sql(&ext, "UPDATE %b SET"), "=", psprintf("\nWHERE sub_parent = %s;", where), sub_update_items, lengthof(sub_update_items), FROM_SUB
	}, &source);
	append_existing(&buf, &ext, set, where);
	PG_RETURN_TEXT_P(cstring_to_text(buf.data));
}
