/*-------------------------------------------------------------------------
 *
 * rewrite_unit.c
 *		One swap's worth of a rewrite: its tables are made.
 *
 * All scratch tables are named after the rewrite and belong to the owner of the
 * set.  Never touches a row of a source.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "commands/tablespace.h"
#include "create_parent.h"
#include "ddl.h"
#include "ddl_rewrite.h"
#include "rewrite.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "compat.h"

/* pm_rewrite_scratch returns the plain name of a thing of ours. */
char *
pm_rewrite_scratch(const PmRewrite *rewrite, const char *suffix)
{
	return psprintf("partmgr_rewrite_" INT64_FORMAT "%s", rewrite->id, suffix);
}

static char *
scratch_table(const PmRewrite *rewrite, const char *suffix)
{
	return quote_qualified_identifier(rewrite->schema, pm_rewrite_scratch(rewrite, suffix));
}

static Oid
scratch_oid(const PmRewrite *rewrite, const char *suffix)
{
	return get_relname_relid(pm_rewrite_scratch(rewrite, suffix),
							 get_namespace_oid(rewrite->schema, false));
}

/* pm_rewrite_run_sql runs statements as the owner of the table. */
void
pm_rewrite_run_sql(const PmRewrite *rewrite, List *statements)
{
	PmSpi		spi;
	ListCell   *lc;

	pm_spi_begin(&spi, rewrite->owner);
	foreach(lc, statements)
		pm_spi_utility(lfirst(lc));
	pm_spi_end(&spi);
	CommandCounterIncrement();
}

/* pm_rewrite_log writes what a rewrite has done to part_log; rows, bytes: -1 if not known. */
void
pm_rewrite_log(const PmRewrite *rewrite, const char *partition, const char *range,
			   int64 rows, int64 bytes, const char *message)
{
	PmLogEntry	entry = {
		.parent = rewrite->table,
		.action = pm_rewrite_kind_name(rewrite->kind),
		.partition = partition,
		.range = range,
		.rows = rows,
		.bytes = bytes,
		.message = message
	};

	pm_log_write(list_make1(&entry));
}


/* ---------- the set ---------- */

static bool
is_true(const char *option)
{
	return option != NULL && strcmp(option, "true") == 0;
}

/* the order that makes a set of a table that has been converted */
static CreateOrder *
order_of(const PmRewrite *rewrite, Oid parent)
{
	CreateOrder *order = palloc0(sizeof(CreateOrder));
	const char *type = pm_rewrite_option(rewrite, "type");

	order->parent = parent;
	order->now = rewrite->now;
	order->control = pm_rewrite_option(rewrite, "control");
	order->interval = pm_rewrite_option(rewrite, "interval");
	order->type = type;
	order->epoch = pm_rewrite_option(rewrite, "epoch");
	order->premake = pg_strtoint32(pm_rewrite_option(rewrite, "premake"));
	order->default_table = is_true(pm_rewrite_option(rewrite, "default_table"));
	order->automatic = "on";
	order->jobmon = true;
	order->control_not_null = true;
	order->retention = pm_rewrite_option(rewrite, "retention");
	order->encoder = pm_rewrite_option(rewrite, "time_encoder");
	order->decoder = pm_rewrite_option(rewrite, "time_decoder");
	order->keep_table = true;
	order->time_zone = pm_rewrite_option(rewrite, "time_zone");
	order->name_format = pm_rewrite_option(rewrite, "name_format");
	return order;
}

/* pm_rewrite_manage makes a set of the table that has taken the source's place. */
void
pm_rewrite_manage(const PmRewrite *rewrite)
{
	CreateOrder *order = order_of(rewrite, rewrite->frame);

	/* what would be made has been made; what exists is adopted */
	if (rewrite->kind == REWRITE_CONVERT)
		order->default_table = false;
	(void) pm_create_parent(order);
}

/*
 * pm_rewrite_set returns the set that is rewritten, or that a table is converted
 * to.
 */
PartSet *
pm_rewrite_set(const PmRewrite *rewrite)
{
	PartSet    *set;

	if (PM_REWRITE_MAKES_SET(rewrite->kind))
		return pm_create_set(order_of(rewrite, rewrite->frame));
	set = pm_config_read_one(rewrite->table);
	if (set == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("table %s is not managed by partmgr", pm_qualified_name(rewrite->table))));
	if (set->problem)
		ereport(ERROR,
				(errcode(set->problem_code), errmsg("%s", set->problem)));
	return set;
}

/* pm_rewrite_frame looks at the frame as if it were the set. */
PmLook *
pm_rewrite_frame(const PmRewrite *rewrite)
{
	PartSet    *set = pm_rewrite_set(rewrite);

	set->parent = rewrite->frame;
	set->schema = rewrite->schema;
	set->name = get_rel_name(rewrite->frame);
	set->has_marks = set->has_holds = false;
	set->retention_bytes = 0;
	set->has_retention = false;
	return pm_catalog_look(set);
}


/* ---------- targets ---------- */

/* a target's name once it has its place */
char *
pm_rewrite_target_name(const PmRewrite *rewrite, const PartSet *set, const PartBound *bound)
{
	if (rewrite->kind == REWRITE_COMPRESS)
		return get_rel_name(((PmSource *) linitial(rewrite->sources))->oid);
	return pm_name_partition(rewrite->name, set->name_format, &set->key, &set->grid, bound);
}

/* pm_rewrite_is_source tells whether rows of a table are copied in this swap. */
bool
pm_rewrite_is_source(const PmRewrite *rewrite, Oid relation)
{
	ListCell   *lc;

	foreach(lc, rewrite->sources)
		if (((PmSource *) lfirst(lc))->oid == relation)
			return true;
	return false;
}

/* the name until then: that of a source is still taken; a twin's may be a stranger's here */
static char *
name_for_now(const PmRewrite *rewrite, const PartSet *set, const PartBound *bound, int n)
{
	char	   *name = pm_rewrite_target_name(rewrite, set, bound);
	Oid			taken = get_relname_relid(name, get_namespace_oid(rewrite->schema, false));

	if (OidIsValid(taken) && (rewrite->kind == REWRITE_COMPRESS || pm_rewrite_is_source(rewrite, taken)))
		return pm_rewrite_scratch(rewrite, psprintf("_t%d", n));
	return name;
}

/*
 * pm_rewrite_template returns what targets take from the set, or from the table
 * that is rewritten.
 */
PmTemplate *
pm_rewrite_template(const PmRewrite *rewrite)
{
	PmLook		look = {0};
	PmTemplate *tmpl;
	Oid			source = ((PmSource *) linitial(rewrite->sources))->oid;
	Oid			tablespace = get_rel_tablespace(source);

	if (rewrite->kind == REWRITE_CONVERT)
		return pm_catalog_template(pm_rewrite_frame(rewrite));
	look.set = pm_rewrite_set(rewrite);
	/* what is in the rest moves on: the columns are asked for */
	if (OidIsValid(rewrite->rest))
		look.dflt = pm_rewrite_frame(rewrite)->dflt;
	tmpl = pm_catalog_template(&look);
	/* indexes come when rows are there; a crash would empty what is not logged, and not its source */
	tmpl->keys = tmpl->key_tails = NIL;
	tmpl->is_unlogged = false;
	if (rewrite->kind != REWRITE_DRAIN)
		tmpl->storage = NULL;
	/* what was moved away, when it was cold, stays there */
	if (rewrite->kind != REWRITE_DRAIN)
		tmpl->tablespace = OidIsValid(tablespace) ? get_tablespace_name(tablespace) : NULL;
	return tmpl;
}

/*
 * pm_rewrite_make_target makes a target on the frame; rows of its range that have
 * come to the rest go there.  Returns it.
 */
Oid
pm_rewrite_make_target(PmRewrite *rewrite, const PmLook *frame, PmTemplate *tmpl,
					   const PartBound *bound, int n)
{
	PlanStep	step = {.kind = STEP_CREATE, .bound = *bound};
	const PartSet *set = frame->set;
	const char *compression = pm_rewrite_option(rewrite, "compression");
	Oid			source = ((PmSource *) linitial(rewrite->sources))->oid;
	char	   *target;
	Oid			oid;
	List	   *statements = NIL;

	step.name = name_for_now(rewrite, set, bound, n);
	step.move_rows = frame->dflt ? 1 : 0;
	if (rewrite->kind == REWRITE_CONVERT || rewrite->kind == REWRITE_DRAIN)
		pm_rewrite_fit_bound(rewrite, &set->key, &step.bound);
	pm_ddl_apply(frame, tmpl, &step, rewrite->now);
	target = quote_qualified_identifier(rewrite->schema, step.name);
	oid = get_relname_relid(step.name, get_namespace_oid(rewrite->schema, false));
	if (rewrite->kind == REWRITE_CONVERT)
		statements = pm_ddl_rewrite_strip(oid);
	if (rewrite->kind != REWRITE_DRAIN)
		statements = list_concat(statements, pm_ddl_rewrite_storage(target, source));
	if (rewrite->kind != REWRITE_CONVERT && rewrite->kind != REWRITE_DRAIN)
		statements = list_concat(statements, pm_catalog_grants(source, target));
	/* a vacuum would be in the way of the swap, for as long as it takes */
	statements = lappend(statements, pm_ddl_rewrite_autovacuum(target, false));
	if (compression)
		statements = list_concat(statements, pm_ddl_rewrite_compression(target, source, compression));
	if (rewrite->kind != REWRITE_CONVERT)
		statements = lappend(statements, pm_ddl_rewrite_bound(target, &set->key, bound));
	pm_rewrite_run_sql(rewrite, statements);
	pm_rewrite_give_own(rewrite, oid);
	return oid;
}


/* ---------- prepare ---------- */

static void
make_notes(PmRewrite *rewrite)
{
	PmRowKey   *key = pm_rewrite_key(rewrite);

	pm_rewrite_run_sql(rewrite, pm_ddl_rewrite_notes(scratch_table(rewrite, "_notes"),
													 ((PmSource *) linitial(rewrite->sources))->oid, key));
	rewrite->notes = scratch_oid(rewrite, "_notes");
	pm_rewrite_run_sql(rewrite, pm_ddl_rewrite_strip(rewrite->notes));
}

static void
make_frame(PmRewrite *rewrite, List *windows)
{
	char	   *name = scratch_table(rewrite, "");
	bool		is_whole = PM_REWRITE_IS_WHOLE(rewrite->kind);
	char	   *by = NULL;
	const char *control = NULL;

	if (PM_REWRITE_MAKES_SET(rewrite->kind))
	{
		control = pm_rewrite_option(rewrite, "control");
		by = psprintf("%s (%s)", strcmp(pm_rewrite_option(rewrite, "type"), "list") == 0 ? "LIST" : "RANGE",
					  quote_identifier(control));
	}
	else if (rewrite->kind != REWRITE_UNDO)
		by = linitial(pm_catalog_texts("SELECT pg_get_partkeydef($1)", rewrite->table));
	pm_rewrite_run_sql(rewrite, list_make1(pm_ddl_rewrite_frame(name, rewrite->table, is_whole, by)));
	rewrite->frame = scratch_oid(rewrite, "");
	pm_rewrite_run_sql(rewrite, pm_ddl_rewrite_strip(rewrite->frame));
	if (rewrite->kind == REWRITE_UNDO)
		pm_rewrite_run_sql(rewrite, list_make1(pm_ddl_rewrite_autovacuum(name, false)));
	if (is_whole)
		pm_rewrite_run_sql(rewrite, pm_ddl_rewrite_table(name, rewrite->table,
														 PM_REWRITE_MAKES_SET(rewrite->kind) ? control : NULL));
}

static void
make_targets(PmRewrite *rewrite, List *windows)
{
	PmTemplate *tmpl = pm_rewrite_template(rewrite);
	PmLook	   *frame = pm_rewrite_frame(rewrite);
	int			n = 0;
	ListCell   *lc;

	foreach(lc, windows)
		(void) pm_rewrite_make_target(rewrite, frame, tmpl, lfirst(lc), ++n);
}

/* the rest takes the rows for which there is no target yet; it may become the default */
static void
make_rest(PmRewrite *rewrite)
{
	PmLook	   *frame = pm_rewrite_frame(rewrite);
	PmTemplate *tmpl = pm_rewrite_template(rewrite);
	char	   *plain = pm_rewrite_scratch(rewrite, "_rest");
	Oid			source = ((PmSource *) linitial(rewrite->sources))->oid;
	Oid			tablespace = get_rel_tablespace(source);
	List	   *statements = NIL;
	ListCell   *lc;

	tmpl->storage = NULL;
	if (rewrite->kind == REWRITE_DRAIN)
		tmpl->tablespace = OidIsValid(tablespace) ? get_tablespace_name(tablespace) : NULL;
	foreach(lc, pm_ddl_default_statements(frame->set, tmpl, plain, false))
		statements = lappend(statements, ((PmStatement *) lfirst(lc))->sql);
	pm_rewrite_run_sql(rewrite, statements);
	rewrite->rest = scratch_oid(rewrite, "_rest");
	pm_rewrite_run_sql(rewrite, pm_ddl_rewrite_strip(rewrite->rest));
	if (rewrite->kind == REWRITE_DRAIN)
		pm_rewrite_run_sql(rewrite, pm_ddl_rewrite_storage(pm_qualified_name(rewrite->rest), source));
	pm_rewrite_give_own(rewrite, rewrite->rest);
}

static void
note_total(PmRewrite *rewrite)
{
	double		rows = 0;
	int64		bytes = 0;
	ListCell   *lc;

	foreach(lc, rewrite->sources)
	{
		Oid			source = ((PmSource *) lfirst(lc))->oid;
		List	   *texts = pm_catalog_strings("SELECT reltuples::text FROM pg_class WHERE oid = $1", source);

		rows += Max(strtod(linitial(texts), NULL), 0);
		bytes += pm_size_blocks(source) * BLCKSZ;
	}
	pm_rewrite_note_total(rewrite, (int64) rows, bytes);
}

/* pm_rewrite_add_source notes a source, and what it is. */
void
pm_rewrite_add_source(PmRewrite *rewrite, const PmSource *source)
{
	pm_rewrite_save_source(rewrite, source);
	pm_rewrite_note_shape(rewrite, source->oid);
}

/*
 * pm_rewrite_missing returns partitions, as sources, that have come since it was
 * decided to make a plain table of their set.
 */
List *
pm_rewrite_missing(const PmRewrite *rewrite)
{
	PmRewrite	now = *rewrite;
	List	   *windows;
	List	   *missing = NIL;
	ListCell   *lc;

	if (rewrite->kind != REWRITE_UNDO)
		return NIL;
	(void) pm_rewrite_choose(&now, &windows);
	foreach(lc, now.sources)
		if (!pm_rewrite_is_source(rewrite, ((PmSource *) lfirst(lc))->oid))
			missing = lappend(missing, lfirst(lc));
	return missing;
}

/* pm_rewrite_add_missing makes sources of them; false if there are none. */
bool
pm_rewrite_add_missing(PmRewrite *rewrite)
{
	PmRewrite	others = *rewrite;
	ListCell   *lc;

	others.sources = pm_rewrite_missing(rewrite);
	if (others.sources == NIL)
		return false;
	pm_rewrite_check(&others, OidIsValid(rewrite->notes));
	foreach(lc, others.sources)
		pm_rewrite_add_source(rewrite, lfirst(lc));
	pm_rewrite_set_phase(rewrite, PHASE_WATCH);
	return true;
}

/* a rewrite has nothing left to do */
static void
end_well(PmRewriteRun *run, const PmRewrite *rewrite)
{
	(void) pm_rewrite_set_state(rewrite->id, "{running}", "done", 0, NULL);
	run->is_over = true;
	if (!pm_config_exists(rewrite->table))
		return;
	/* what was in the way of maintenance may be gone */
	pm_config_make_due(rewrite->table, GetCurrentTimestamp());
	pm_worker_wake();
}

static bool
has_rows_to_drain(const PmRewrite *rewrite)
{
	PmLook	   *look = pm_catalog_look(pm_rewrite_set(rewrite));

	return pm_catalog_count_default(look, pm_default_finite(&look->set->key), 1) > 0;
}

/*
 * pm_rewrite_prepare chooses the sources of the next swap and makes the tables
 * for it; if nothing is left, the rewrite is over.
 *
 * Locks: ACCESS SHARE on the sources, to the end of the transaction; what is made is
 * not seen by anybody yet.
 */
void
pm_rewrite_prepare(PmRewriteRun *run, PmRewrite *rewrite)
{
	List	   *windows;
	ListCell   *lc;

	if (!pm_rewrite_choose(rewrite, &windows))
	{
		end_well(run, rewrite);
		return;
	}
	LockRelationOid(rewrite->table, AccessShareLock);
	foreach(lc, rewrite->sources)
		LockRelationOid(((PmSource *) lfirst(lc))->oid, AccessShareLock);
	pm_rewrite_check(rewrite, !run->in_one && rewrite->kind != REWRITE_INSTANT);
	if (rewrite->kind == REWRITE_DRAIN && !has_rows_to_drain(rewrite))
	{
		end_well(run, rewrite);
		return;
	}
	make_frame(rewrite, windows);
	if (PM_REWRITE_MAKES_SET(rewrite->kind))
		pm_codec_check(pm_rewrite_set(rewrite), rewrite->now);
	make_targets(rewrite, windows);
	if (rewrite->kind == REWRITE_CONVERT || rewrite->kind == REWRITE_DRAIN)
	{
		pm_rewrite_survey(rewrite);
		make_rest(rewrite);
	}
	if (rewrite->kind == REWRITE_INSTANT)
		pm_instant_prepare(rewrite);
	else if (!run->in_one)
		make_notes(rewrite);
	foreach(lc, rewrite->sources)
		pm_rewrite_add_source(rewrite, lfirst(lc));
	note_total(rewrite);
	pm_rewrite_set_phase(rewrite, PHASE_WATCH);
}
