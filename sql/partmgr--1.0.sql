/* sql/partmgr--1.0.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION partmgr" to load this file. \quit

-- Rights.  A set belongs to the owner of its parent.  part_config: everybody
-- may read and change the rows of the tables whose owner he is (or is a member
-- of); rows come and go through functions only.  part_state and part_log: the
-- same for reading, nobody writes them.  pg_monitor reads all three.  All
-- functions are SECURITY INVOKER and check the right to each table they touch;
-- what they do to tables they do as the table's owner.  Rights are granted
-- column by column, because a right to the table would let anybody LOCK it.

--
-- Tables
--

-- one row per managed set; plain UPDATE changes it
CREATE TABLE part_config (
	-- pg_partman's columns first, in its order; regclass: follows renames, and is dumped as a name
	parent_table regclass CONSTRAINT part_config_parent_table_pkey PRIMARY KEY,
	control text NOT NULL,
	time_encoder text,
	time_decoder text,
	partition_interval text NOT NULL,
	partition_type text NOT NULL DEFAULT 'range'
		CONSTRAINT part_config_type_check CHECK (partition_type IN ('range', 'list')),
	premake int NOT NULL DEFAULT 4
		CONSTRAINT positive_premake_check CHECK (premake BETWEEN 1 AND 100000),
	automatic_maintenance text NOT NULL DEFAULT 'on'
		CONSTRAINT part_config_automatic_maintenance_check CHECK (automatic_maintenance IN ('on', 'off')),
	template_table regclass,
	retention text,
	retention_schema text
		CONSTRAINT retention_schema_not_empty_chk CHECK (retention_schema <> ''),
	retention_keep_index boolean NOT NULL DEFAULT true,
	retention_keep_table boolean NOT NULL DEFAULT true,
	epoch text NOT NULL DEFAULT 'none'
		CONSTRAINT part_config_epoch_check CHECK (epoch IN ('none', 'seconds', 'milliseconds',
			'microseconds', 'nanoseconds', 'yyyymmdd', 'yyyymm')),
	constraint_cols text[],
	optimize_constraint int NOT NULL DEFAULT 30,
	infinite_time_partitions boolean NOT NULL DEFAULT false,
	datetime_string text,
	jobmon boolean NOT NULL DEFAULT true,
	sub_partition_set_full boolean NOT NULL DEFAULT false,
	undo_in_progress boolean NOT NULL DEFAULT false,
	inherit_privileges boolean DEFAULT false,
	constraint_valid boolean NOT NULL DEFAULT true,
	ignore_default_data boolean NOT NULL DEFAULT true,
	date_trunc_interval text,
	maintenance_order int,
	retention_keep_publication boolean NOT NULL DEFAULT false,
	maintenance_last_run timestamptz,
	detach_before_drop boolean NOT NULL DEFAULT false,
	maintenance_role text DEFAULT current_user,
	async_partitioning_in_progress text,
	time_zone text,
	name_format text,
	grid_origin text,
	retention_partitions int
		CONSTRAINT part_config_retention_partitions_check CHECK (retention_partitions >= 1),
	retention_size text,
	retention_keep_newest int NOT NULL DEFAULT 0
		CONSTRAINT part_config_retention_keep_newest_check CHECK (retention_keep_newest >= 0),
	retention_grace interval
		CONSTRAINT part_config_retention_grace_check CHECK (retention_grace BETWEEN '0' AND '1000 years'),
	archive_function text
		CONSTRAINT part_config_archive_function_check CHECK (archive_function <> ''),
	abort_after_wait text NOT NULL DEFAULT 'none'
		CONSTRAINT part_config_abort_after_wait_check CHECK (abort_after_wait IN ('none', 'blockers')),
	maintenance_window text,
	analyze_parent boolean NOT NULL DEFAULT true,
	cold_after text,
	cold_vacuum boolean NOT NULL DEFAULT true,
	cold_reindex boolean NOT NULL DEFAULT false,
	cold_tablespace text
		CONSTRAINT part_config_cold_tablespace_check CHECK (cold_tablespace <> ''),
	cold_storage text
		CONSTRAINT part_config_cold_storage_check CHECK (cold_storage <> ''),
	cold_cluster text
		CONSTRAINT part_config_cold_cluster_check CHECK (cold_cluster <> ''),
	cold_compression text
		CONSTRAINT part_config_cold_compression_check CHECK (cold_compression IN ('lz4', 'pglz')),
	drain_default boolean NOT NULL DEFAULT true,
	on_demand boolean NOT NULL DEFAULT false,
	on_demand_window int NOT NULL DEFAULT 100
		CONSTRAINT part_config_on_demand_window_check CHECK (on_demand_window BETWEEN 1 AND 100000),
	-- what is written here is read for all sets together, and told in messages
	CONSTRAINT part_config_length_check
		CHECK (octet_length(concat(partition_interval, retention, retention_schema, time_zone, name_format, grid_origin,
			retention_size, archive_function, maintenance_window, cold_after, cold_tablespace, cold_storage, cold_cluster)) <= 10000),
	CONSTRAINT part_config_grace_drops_check
		CHECK (retention_grace IS NULL OR NOT retention_keep_table),
	CONSTRAINT part_config_archive_drops_check
		CHECK (archive_function IS NULL OR NOT retention_keep_table),
	CONSTRAINT control_constraint_col_chk
		CHECK (constraint_cols IS NULL OR control <> ALL (constraint_cols))
);
CREATE INDEX part_config_type_idx ON part_config (partition_type);
CREATE INDEX part_config_template_table_idx ON part_config (template_table);

-- sets that were taken over from pg_partman, so that it can be undone
CREATE TABLE part_import (
	parent_table regclass PRIMARY KEY,
	source text NOT NULL,			-- its part_config
	source_name text NOT NULL,		-- how it spells the table
	automatic_maintenance text NOT NULL,	-- what the flag was there
	imported_at timestamptz NOT NULL
);
COMMENT ON TABLE part_import IS 'sets that were taken over from pg_partman';

-- what each partition of a set gets as a set of its own: pg_partman's columns,
-- in its order, then ours
CREATE TABLE part_config_sub (
	sub_parent regclass CONSTRAINT part_config_sub_pkey PRIMARY KEY
		CONSTRAINT part_config_sub_sub_parent_fkey REFERENCES part_config
			ON UPDATE CASCADE ON DELETE CASCADE,
	sub_control text NOT NULL,
	sub_time_encoder text,
	sub_time_decoder text,
	sub_partition_interval text NOT NULL,
	sub_partition_type text NOT NULL DEFAULT 'range'
		CONSTRAINT part_config_sub_type_check CHECK (sub_partition_type IN ('range', 'list')),
	sub_premake int NOT NULL DEFAULT 4
		CONSTRAINT part_config_sub_premake_check CHECK (sub_premake BETWEEN 1 AND 100000),
	sub_automatic_maintenance text NOT NULL DEFAULT 'on'
		CONSTRAINT part_config_sub_automatic_maintenance_check CHECK (sub_automatic_maintenance IN ('on', 'off')),
	sub_template_table regclass,
	sub_retention text,
	sub_retention_schema text
		CONSTRAINT part_config_sub_retention_schema_not_empty_chk CHECK (sub_retention_schema <> ''),
	sub_retention_keep_index boolean NOT NULL DEFAULT true,
	sub_retention_keep_table boolean NOT NULL DEFAULT true,
	sub_epoch text NOT NULL DEFAULT 'none'
		CONSTRAINT part_config_sub_epoch_check CHECK (sub_epoch IN ('none', 'seconds', 'milliseconds',
			'microseconds', 'nanoseconds', 'yyyymmdd', 'yyyymm')),
	sub_constraint_cols text[],
	sub_optimize_constraint int NOT NULL DEFAULT 30,
	sub_infinite_time_partitions boolean NOT NULL DEFAULT false,
	sub_jobmon boolean NOT NULL DEFAULT true,
	sub_inherit_privileges boolean DEFAULT false,
	sub_constraint_valid boolean NOT NULL DEFAULT true,
	sub_ignore_default_data boolean NOT NULL DEFAULT true,
	sub_default_table boolean NOT NULL DEFAULT true,
	sub_date_trunc_interval text,
	sub_maintenance_order int,
	sub_retention_keep_publication boolean NOT NULL DEFAULT false,
	sub_control_not_null boolean NOT NULL DEFAULT true,
	sub_detach_before_drop boolean NOT NULL DEFAULT false,
	sub_maintenance_role text DEFAULT current_user,
	sub_time_zone text,
	sub_name_format text,
	sub_on_demand boolean NOT NULL DEFAULT false,
	CONSTRAINT part_config_sub_length_check
		CHECK (octet_length(concat(sub_partition_interval, sub_retention, sub_retention_schema, sub_time_zone, sub_name_format)) <= 10000)
);
COMMENT ON TABLE part_config_sub IS 'sets whose partitions are sets themselves: with what settings; change them with UPDATE';

COMMENT ON TABLE part_config IS 'managed partition sets, one row each; change them with UPDATE';
COMMENT ON COLUMN part_config.parent_table IS 'the partitioned table';
COMMENT ON COLUMN part_config.control IS 'its partition key column';
COMMENT ON COLUMN part_config.time_encoder IS 'function(timestamptz) that makes a key of a time, where the key is an identifier with a time in it';
COMMENT ON COLUMN part_config.time_decoder IS 'function(text) that reads the time in a key';
COMMENT ON COLUMN part_config.partition_interval IS 'width of new partitions: an interval, or a number of ids';
COMMENT ON COLUMN part_config.partition_type IS 'range or list';
COMMENT ON COLUMN part_config.premake IS 'how many partitions to keep ahead of now, or of the highest id';
COMMENT ON COLUMN part_config.automatic_maintenance IS 'on: the worker and run_maintenance() without a name maintain the set';
COMMENT ON COLUMN part_config.template_table IS 'the table from which new partitions take what the parent cannot have';
COMMENT ON COLUMN part_config.retention IS 'partitions whose upper bound is older than this (an interval, or a number of ids) are retired; null: never';
COMMENT ON COLUMN part_config.retention_schema IS 'retired partitions are detached and moved to this schema, which must belong to the owner of the table';
COMMENT ON COLUMN part_config.retention_keep_index IS 'false: indexes of retired partitions that are kept are dropped';
COMMENT ON COLUMN part_config.retention_keep_table IS 'true: retired partitions are detached and kept; false: dropped';
COMMENT ON COLUMN part_config.epoch IS 'how a number means time: none, seconds, milliseconds, microseconds, nanoseconds, yyyymmdd, yyyymm';
COMMENT ON COLUMN part_config.constraint_cols IS 'columns of which old partitions get a CHECK on the least and greatest value';
COMMENT ON COLUMN part_config.optimize_constraint IS 'so many partitions behind the newest with rows get that CHECK';
COMMENT ON COLUMN part_config.infinite_time_partitions IS 'accepted for pg_partman''s sake: time sets always follow the clock';
COMMENT ON COLUMN part_config.datetime_string IS 'the time in the names of partitions, as to_char() writes it; name_format says more';
COMMENT ON COLUMN part_config.jobmon IS 'accepted for pg_partman''s sake: part_log is the record';
COMMENT ON COLUMN part_config.sub_partition_set_full IS 'true: the set is a partition, and has all partitions that fit into it';
COMMENT ON COLUMN part_config.undo_in_progress IS 'true: undo_partition() has begun; the set is not maintained';
COMMENT ON COLUMN part_config.inherit_privileges IS 'true: new partitions get the privileges of the parent';
COMMENT ON COLUMN part_config.constraint_valid IS 'false: those CHECKs are NOT VALID';
COMMENT ON COLUMN part_config.ignore_default_data IS 'false: ids in the default partition count for the highest key';
COMMENT ON COLUMN part_config.date_trunc_interval IS 'to which field the first bound was cut; null: what suits the interval';
COMMENT ON COLUMN part_config.maintenance_order IS 'sets with a lower number are maintained first, nulls last';
COMMENT ON COLUMN part_config.retention_keep_publication IS 'true: retired partitions that are kept stay in the publications they were added to';
COMMENT ON COLUMN part_config.maintenance_last_run IS 'when the set was maintained last';
COMMENT ON COLUMN part_config.maintenance_role IS 'accepted for pg_partman''s sake: a set is maintained as its owner';
COMMENT ON COLUMN part_config.async_partitioning_in_progress IS 'accepted for pg_partman''s sake: rows are moved by rewrites, see rewrite_progress';
COMMENT ON COLUMN part_config.time_zone IS 'the time zone in which days, months and names are counted; null on id sets';
COMMENT ON COLUMN part_config.name_format IS 'name of new partitions, for example {parent}_{YYYY}_{MM}; null: pg_partman''s';
COMMENT ON COLUMN part_config.grid_origin IS 'a bound from which all others are counted; null: the calendar''s, or 0';
COMMENT ON COLUMN part_config.retention_partitions IS 'so many partitions up to the current one are kept, older ones are retired; null: any number';
COMMENT ON COLUMN part_config.retention_size IS 'the oldest partitions are retired while the set is larger than this, for example 500 GB; null: any size';
COMMENT ON COLUMN part_config.retention_keep_newest IS 'so many partitions up to the current one stay, whatever retention says';
COMMENT ON COLUMN part_config.retention_grace IS 'retired partitions are detached first, and dropped after this time; null: at once';
COMMENT ON COLUMN part_config.detach_before_drop IS 'true: SQL calls detach before they drop; the worker always does';
COMMENT ON COLUMN part_config.archive_function IS 'called before a detached partition is dropped: function(parent regclass, partition regclass, lower text, upper text) returning drop, keep or retry';
COMMENT ON COLUMN part_config.abort_after_wait IS 'what the worker does when a lock is not to be had: none (come back later), or blockers (cancel them)';
COMMENT ON COLUMN part_config.maintenance_window IS 'when the worker retires partitions and cares for cold ones, in the set''s time zone, for example Sat,Sun 22:00-04:00; null: at any time';
COMMENT ON COLUMN part_config.analyze_parent IS 'true: the worker analyzes the parent after partitions came or went, once a day at most';
COMMENT ON COLUMN part_config.cold_after IS 'partitions whose upper bound is older than this (an interval, or a number of ids) are cold, and cared for; null: never';
COMMENT ON COLUMN part_config.cold_vacuum IS 'true: cold partitions are vacuumed and frozen';
COMMENT ON COLUMN part_config.cold_reindex IS 'true: the indexes of cold partitions are built anew, concurrently';
COMMENT ON COLUMN part_config.cold_tablespace IS 'cold partitions and their indexes are moved to this tablespace';
COMMENT ON COLUMN part_config.cold_storage IS 'storage parameters that cold partitions get, for example fillfactor=100, autovacuum_enabled=false';
COMMENT ON COLUMN part_config.cold_cluster IS 'cold partitions are rewritten in the order of this index of the parent';
COMMENT ON COLUMN part_config.cold_compression IS 'cold partitions are written anew, with their values compressed by this method: lz4 or pglz';
COMMENT ON COLUMN part_config.drain_default IS 'true: the worker makes partitions for rows that wait in the default';
COMMENT ON COLUMN part_config.on_demand IS 'true: a row that no partition takes has one made, where the library is preloaded';
COMMENT ON COLUMN part_config.on_demand_window IS 'so many intervals from now, or from the highest id, such a row may be away';

-- Lets people write WHERE parent_table = 'public.events', as scripts written for
-- pg_partman do; PostgreSQL itself would read that literal as an OID.  In
-- pg_catalog, since such scripts do not set a search_path.  Nothing that worked
-- before changes: regclass = regclass and regclass = oid are other operators.
CREATE FUNCTION regclass_eq_text(regclass, text) RETURNS boolean
	AS 'MODULE_PATHNAME', 'partmgr_regclass_eq_text' LANGUAGE C STABLE STRICT;
COMMENT ON FUNCTION regclass_eq_text(regclass, text) IS 'is this the table of that name?';
CREATE OPERATOR pg_catalog.= (FUNCTION = regclass_eq_text, LEFTARG = regclass, RIGHTARG = text);
COMMENT ON OPERATOR pg_catalog.= (regclass, text) IS 'is this the table of that name?';
CREATE FUNCTION text_eq_regclass(text, regclass) RETURNS boolean
	LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
	AS $$ SELECT $2 = $1 $$;
COMMENT ON FUNCTION text_eq_regclass(text, regclass) IS 'is this the table of that name?';
CREATE OPERATOR pg_catalog.= (FUNCTION = text_eq_regclass, LEFTARG = text, RIGHTARG = regclass,
	COMMUTATOR = OPERATOR(pg_catalog.=));
COMMENT ON OPERATOR pg_catalog.= (text, regclass) IS 'is this the table of that name?';

-- The same for patterns: the name as pg_partman has it in its tables.
CREATE FUNCTION regclass_matches(regclass, text) RETURNS boolean
	LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
	AS $$
	SELECT concat(n.nspname, '.', c.relname) ~ $2 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1
$$;
COMMENT ON FUNCTION regclass_matches(regclass, text) IS 'does the name of the table match the regular expression?';
CREATE OPERATOR pg_catalog.~ (FUNCTION = regclass_matches, LEFTARG = regclass, RIGHTARG = text);
COMMENT ON OPERATOR pg_catalog.~ (regclass, text) IS 'does the name of the table match the regular expression?';
CREATE FUNCTION regclass_like(regclass, text) RETURNS boolean
	LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
	AS $$
	SELECT concat(n.nspname, '.', c.relname) LIKE $2 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1
$$;
COMMENT ON FUNCTION regclass_like(regclass, text) IS 'is the name of the table like the pattern?';
CREATE OPERATOR pg_catalog.~~ (FUNCTION = regclass_like, LEFTARG = regclass, RIGHTARG = text);
COMMENT ON OPERATOR pg_catalog.~~ (regclass, text) IS 'is the name of the table like the pattern?';

-- and what else scripts ask of a text
CREATE FUNCTION regclass_ne_text(regclass, text) RETURNS boolean
	LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
	AS $$ SELECT ($1 = $2) IS FALSE $$;		-- NOT would be the operator itself
COMMENT ON FUNCTION regclass_ne_text(regclass, text) IS 'is this not the table of that name?';
CREATE OPERATOR pg_catalog.<> (FUNCTION = regclass_ne_text, LEFTARG = regclass, RIGHTARG = text,
	NEGATOR = OPERATOR(pg_catalog.=));
COMMENT ON OPERATOR pg_catalog.<> (regclass, text) IS 'is this not the table of that name?';
CREATE FUNCTION regclass_matches_not(regclass, text) RETURNS boolean
	LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
	AS $$ SELECT ($1 ~ $2) IS FALSE $$;
COMMENT ON FUNCTION regclass_matches_not(regclass, text) IS 'does the name of the table not match the regular expression?';
CREATE OPERATOR pg_catalog.!~ (FUNCTION = regclass_matches_not, LEFTARG = regclass, RIGHTARG = text,
	NEGATOR = OPERATOR(pg_catalog.~));
COMMENT ON OPERATOR pg_catalog.!~ (regclass, text) IS 'does the name of the table not match the regular expression?';
CREATE FUNCTION regclass_like_not(regclass, text) RETURNS boolean
	LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
	AS $$ SELECT ($1 ~~ $2) IS FALSE $$;
COMMENT ON FUNCTION regclass_like_not(regclass, text) IS 'is the name of the table not like the pattern?';
CREATE OPERATOR pg_catalog.!~~ (FUNCTION = regclass_like_not, LEFTARG = regclass, RIGHTARG = text,
	NEGATOR = OPERATOR(pg_catalog.~~));
COMMENT ON OPERATOR pg_catalog.!~~ (regclass, text) IS 'is the name of the table not like the pattern?';
CREATE FUNCTION regclass_ilike(regclass, text) RETURNS boolean
	LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
	AS $$
	SELECT concat(n.nspname, '.', c.relname) ILIKE $2 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1
$$;
COMMENT ON FUNCTION regclass_ilike(regclass, text) IS 'is the name of the table like the pattern, in any case?';
CREATE OPERATOR pg_catalog.~~* (FUNCTION = regclass_ilike, LEFTARG = regclass, RIGHTARG = text);
COMMENT ON OPERATOR pg_catalog.~~* (regclass, text) IS 'is the name of the table like the pattern, in any case?';

-- What COPY into a set with on_demand asks for each row: does a partition take
-- it?  If not, it is kept for the end.  In pg_catalog, since whoever may COPY
-- need not have a right on our schema.  Not immutable in truth, but so marked:
-- COPY gives up inserting many rows at once beside a volatile function.
CREATE FUNCTION pg_catalog.partmgr_copy_covers(bigint, "any") RETURNS boolean
	AS 'MODULE_PATHNAME', 'partmgr_copy_covers' LANGUAGE C IMMUTABLE;
COMMENT ON FUNCTION pg_catalog.partmgr_copy_covers(bigint, "any") IS 'used by COPY into sets with on_demand; not to be called';
CREATE FUNCTION pg_catalog.partmgr_copy_divert(bigint, record) RETURNS boolean
	AS 'MODULE_PATHNAME', 'partmgr_copy_divert' LANGUAGE C IMMUTABLE;
COMMENT ON FUNCTION pg_catalog.partmgr_copy_divert(bigint, record) IS 'used by COPY into sets with on_demand; not to be called';

-- The trigger that notes changed rows while a table is rewritten, and what has
-- values compressed anew.  In pg_catalog for the same reason.
CREATE FUNCTION pg_catalog.partmgr_rewrite_note() RETURNS trigger
	AS 'MODULE_PATHNAME', 'partmgr_rewrite_note' LANGUAGE C;
COMMENT ON FUNCTION pg_catalog.partmgr_rewrite_note() IS 'trigger on a table that is rewritten: notes the rows that change';
CREATE FUNCTION pg_catalog.partmgr_unpacked(anyelement) RETURNS anyelement
	AS 'MODULE_PATHNAME', 'partmgr_unpacked' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION pg_catalog.partmgr_unpacked(anyelement) IS 'the value, not compressed';

-- our bookkeeping; no row: the set came out of a dump and waits for resume_maintenance()
CREATE TABLE part_state (
	parent_table regclass PRIMARY KEY,
	next_run timestamptz NOT NULL,
	last_run timestamptz,
	last_success timestamptz,
	failures int NOT NULL DEFAULT 0,
	last_sqlstate text,
	last_error text,
	last_error_at timestamptz,
	-- tries of the lock ladder that found the set locked, since when and by whom
	busy int NOT NULL DEFAULT 0,
	busy_since timestamptz,
	blockers text,
	-- retention and upkeep, which are another worker's
	next_upkeep timestamptz,
	upkeep_failures int NOT NULL DEFAULT 0,
	upkeep_sqlstate text,
	upkeep_error text,
	upkeep_error_at timestamptz,
	upkeep_busy int NOT NULL DEFAULT 0,
	upkeep_busy_since timestamptz,
	upkeep_blockers text,
	-- partitions are wanted from here on, but not all could be made yet
	backfill text
);

COMMENT ON TABLE part_state IS 'how the maintenance of each set is doing';
COMMENT ON COLUMN part_state.parent_table IS 'the set';
COMMENT ON COLUMN part_state.next_run IS 'when the worker looks at the set again';
COMMENT ON COLUMN part_state.last_run IS 'when it was maintained last, by the worker or by hand';
COMMENT ON COLUMN part_state.last_success IS 'when that last succeeded';
COMMENT ON COLUMN part_state.failures IS 'failed runs since then';
COMMENT ON COLUMN part_state.last_sqlstate IS 'SQLSTATE of the last failure; null after a success';
COMMENT ON COLUMN part_state.last_error IS 'its message';
COMMENT ON COLUMN part_state.last_error_at IS 'its time';
COMMENT ON COLUMN part_state.busy IS 'times in a row that creation found the set locked';
COMMENT ON COLUMN part_state.busy_since IS 'since when';
COMMENT ON COLUMN part_state.blockers IS 'who held the locks at the last try';
COMMENT ON COLUMN part_state.next_upkeep IS 'when the upkeep worker looks at the set; null: there is nothing to do';
COMMENT ON COLUMN part_state.upkeep_failures IS 'runs of retention and upkeep that failed since the last success';
COMMENT ON COLUMN part_state.upkeep_sqlstate IS 'SQLSTATE of the last failure of retention or upkeep; null after a success';
COMMENT ON COLUMN part_state.upkeep_error IS 'its message';
COMMENT ON COLUMN part_state.upkeep_error_at IS 'its time';
COMMENT ON COLUMN part_state.upkeep_busy IS 'times in a row that retention or upkeep found the set locked';
COMMENT ON COLUMN part_state.upkeep_busy_since IS 'since when';
COMMENT ON COLUMN part_state.upkeep_blockers IS 'who held the locks at the last try';
COMMENT ON COLUMN part_state.backfill IS 'older partitions are still to be made from this bound on';

-- what was done, when
CREATE TABLE part_log (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	logged_at timestamptz NOT NULL,
	parent_table regclass NOT NULL,
	action text NOT NULL,
	partition_name text,
	range text,
	row_estimate bigint,
	bytes bigint,
	lock text,
	lock_held interval,
	sqlstate text,
	message text
);
CREATE INDEX part_log_parent_table_idx ON part_log (parent_table, logged_at);
CREATE INDEX part_log_logged_at_idx ON part_log (logged_at);

COMMENT ON TABLE part_log IS 'what maintenance did, failed to do or postponed; kept for partmgr.log_days';
COMMENT ON COLUMN part_log.id IS 'order of the entries';
COMMENT ON COLUMN part_log.logged_at IS 'when';
COMMENT ON COLUMN part_log.parent_table IS 'the set';
COMMENT ON COLUMN part_log.action IS 'create, on_demand, drain, detach, finalize, settle, archive, drop, reattach, drop_default, held, failed, blocked, postponed, a kind of upkeep, or of rewrite';
COMMENT ON COLUMN part_log.partition_name IS 'the partition, with its schema';
COMMENT ON COLUMN part_log.range IS 'its bounds';
COMMENT ON COLUMN part_log.row_estimate IS 'estimated rows of a retired partition, or rows moved out of the default';
COMMENT ON COLUMN part_log.bytes IS 'size of a retired partition, or of one after upkeep or a rewrite';
COMMENT ON COLUMN part_log.lock IS 'the strongest lock on the parent';
COMMENT ON COLUMN part_log.lock_held IS 'how long it was held';
COMMENT ON COLUMN part_log.sqlstate IS 'SQLSTATE of a failure';
COMMENT ON COLUMN part_log.message IS 'the reason, or the error';

-- partitions that were detached, or are about to be: their bounds, which DETACH
-- erases, and what is to become of them.  Written before the detach.
CREATE TABLE part_detached (
	partition regclass PRIMARY KEY,
	parent_table regclass NOT NULL,
	range text NOT NULL,
	-- the bounds in the key's own numbers; null: open
	lower_raw bigint,
	upper_raw bigint,
	reason text NOT NULL,
	marked_at timestamptz NOT NULL,
	drop_after timestamptz,
	-- what follows the detach is done: indexes, publications, schema
	is_settled boolean NOT NULL DEFAULT false,
	home_schema text NOT NULL,
	verdict text,
	retry_after timestamptz
);
CREATE INDEX part_detached_parent_table_idx ON part_detached (parent_table);

COMMENT ON TABLE part_detached IS 'partitions that retention has detached, or is detaching';
COMMENT ON COLUMN part_detached.partition IS 'the partition';
COMMENT ON COLUMN part_detached.parent_table IS 'the set it belonged to';
COMMENT ON COLUMN part_detached.range IS 'its bounds, as ATTACH PARTITION takes them';
COMMENT ON COLUMN part_detached.lower_raw IS 'its lower bound as the key''s number';
COMMENT ON COLUMN part_detached.upper_raw IS 'its upper bound as the key''s number';
COMMENT ON COLUMN part_detached.reason IS 'why it was retired: age, count, size or asked';
COMMENT ON COLUMN part_detached.marked_at IS 'when';
COMMENT ON COLUMN part_detached.drop_after IS 'when the grace ends; null: it is kept';
COMMENT ON COLUMN part_detached.is_settled IS 'indexes, publications and schema are as the configuration says';
COMMENT ON COLUMN part_detached.home_schema IS 'the schema in which it was when attached';
COMMENT ON COLUMN part_detached.verdict IS 'what the archive function has said: keep or retry';
COMMENT ON COLUMN part_detached.retry_after IS 'the archive function is not called before';

-- legal holds: what overlaps them is not retired and not dropped
CREATE TABLE part_hold (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	parent_table regclass NOT NULL,
	-- positions as text, as part_config has them; null: open
	lower text,
	upper text,
	reason text NOT NULL
		CONSTRAINT part_hold_reason_check CHECK (octet_length(reason) <= 10000),
	held_by text NOT NULL,
	held_at timestamptz NOT NULL
);
CREATE INDEX part_hold_parent_table_idx ON part_hold (parent_table);

COMMENT ON TABLE part_hold IS 'ranges that must not be retired or dropped, whatever retention says';
COMMENT ON COLUMN part_hold.id IS 'what release_hold() takes';
COMMENT ON COLUMN part_hold.parent_table IS 'the set';
COMMENT ON COLUMN part_hold.lower IS 'from here on; null: from the beginning';
COMMENT ON COLUMN part_hold.upper IS 'up to, but not including; null: to the end';
COMMENT ON COLUMN part_hold.reason IS 'why';
COMMENT ON COLUMN part_hold.held_by IS 'the role that called hold_partition()';
COMMENT ON COLUMN part_hold.held_at IS 'when';

-- what upkeep has done; a parent that was analyzed has a row, too
CREATE TABLE part_upkeep (
	partition regclass NOT NULL,
	task text NOT NULL,
	parent_table regclass NOT NULL,
	done_at timestamptz NOT NULL,
	-- with what it was done; it is done again when that is another one
	detail text NOT NULL,
	bytes_before bigint,
	bytes_after bigint,
	PRIMARY KEY (partition, task)
);
CREATE INDEX part_upkeep_parent_table_idx ON part_upkeep (parent_table);

COMMENT ON TABLE part_upkeep IS 'what was done to partitions that are no longer written';
COMMENT ON COLUMN part_upkeep.partition IS 'the partition, a table below it, or the parent';
COMMENT ON COLUMN part_upkeep.task IS 'analyze (of the parent), constraint, storage, tablespace, cluster, reindex, vacuum, compress, or drain (of the default)';
COMMENT ON COLUMN part_upkeep.parent_table IS 'the set';
COMMENT ON COLUMN part_upkeep.done_at IS 'when, the last time';
COMMENT ON COLUMN part_upkeep.detail IS 'with what: the tablespace, the parameters, the index, the file that was vacuumed';
COMMENT ON COLUMN part_upkeep.bytes_before IS 'size with indexes before';
COMMENT ON COLUMN part_upkeep.bytes_after IS 'and after';

-- work that somebody has asked for, and that a worker does at top level
CREATE TABLE part_job (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	parent_table regclass NOT NULL,
	kind text NOT NULL CONSTRAINT part_job_kind_check CHECK (kind IN ('reindex', 'create index')),
	definition text
		CONSTRAINT part_job_definition_check CHECK (octet_length(definition) <= 100000),
	-- where names in the definition are looked up
	search_path text,
	-- true: the upkeep worker does it; false: a worker that its CALL has started
	is_queued boolean NOT NULL,
	state text NOT NULL DEFAULT 'queued'
		CONSTRAINT part_job_state_check CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
	asked_by text NOT NULL,
	asked_at timestamptz NOT NULL,
	started_at timestamptz,
	finished_at timestamptz,
	total int,
	done int NOT NULL DEFAULT 0,
	-- tables that are done, and the index of the parent
	finished oid[] NOT NULL DEFAULT '{}',
	index_oid oid,
	worker_pid int,
	interrupted int NOT NULL DEFAULT 0,
	sqlstate text,
	message text
);
CREATE INDEX part_job_parent_table_idx ON part_job (parent_table);

COMMENT ON TABLE part_job IS 'reindexing and new indexes that were asked for; the view part_jobs shows it';
COMMENT ON COLUMN part_job.id IS 'what cancel_job() takes';
COMMENT ON COLUMN part_job.parent_table IS 'the set';
COMMENT ON COLUMN part_job.kind IS 'reindex or create index';
COMMENT ON COLUMN part_job.definition IS 'CREATE INDEX, as it was asked for';
COMMENT ON COLUMN part_job.search_path IS 'where names in the definition are looked up';
COMMENT ON COLUMN part_job.is_queued IS 'true: for the upkeep worker; false: for the worker of a CALL';
COMMENT ON COLUMN part_job.state IS 'queued, running, done, failed or cancelled';
COMMENT ON COLUMN part_job.asked_by IS 'the role that asked for it';
COMMENT ON COLUMN part_job.asked_at IS 'when';
COMMENT ON COLUMN part_job.started_at IS 'when a worker began';
COMMENT ON COLUMN part_job.finished_at IS 'when it ended';
COMMENT ON COLUMN part_job.total IS 'tables that hold rows of the set';
COMMENT ON COLUMN part_job.done IS 'of these, how many are done';
COMMENT ON COLUMN part_job.finished IS 'the tables that this job has done';
COMMENT ON COLUMN part_job.index_oid IS 'the index of the parent that is being completed';
COMMENT ON COLUMN part_job.worker_pid IS 'the process that works on it';
COMMENT ON COLUMN part_job.interrupted IS 'how often in a row its worker was gone before it had done a table';
COMMENT ON COLUMN part_job.sqlstate IS 'SQLSTATE of a failure';
COMMENT ON COLUMN part_job.message IS 'the failure, or what is waited for';

-- rows that go to other tables, and how far they are
CREATE TABLE part_rewrite (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	parent_table regclass NOT NULL,
	kind text NOT NULL CONSTRAINT part_rewrite_kind_check
		CHECK (kind IN ('convert', 'drain', 'split', 'merge', 'interval', 'compress', 'undo', 'instant')),
	options jsonb NOT NULL,
	-- true: the worker does it; false: the session of a CALL
	is_queued boolean NOT NULL,
	state text NOT NULL DEFAULT 'queued' CONSTRAINT part_rewrite_state_check
		CHECK (state IN ('queued', 'running', 'paused', 'cancelling', 'done', 'failed', 'cancelled')),
	phase text NOT NULL DEFAULT 'prepare' CONSTRAINT part_rewrite_phase_check
		CHECK (phase IN ('prepare', 'watch', 'copy', 'build', 'apply', 'clean')),
	asked_by text NOT NULL,
	asked_at timestamptz NOT NULL,
	started_at timestamptz,
	phase_at timestamptz,
	finished_at timestamptz,
	worker_pid int,
	-- tables of ours: where rows are routed, what changed, what has no target yet
	frame oid,
	notes oid,
	rest oid,
	units int NOT NULL DEFAULT 0,
	rows_done bigint NOT NULL DEFAULT 0,
	rows_total bigint NOT NULL DEFAULT 0,
	bytes_done bigint NOT NULL DEFAULT 0,
	bytes_total bigint NOT NULL DEFAULT 0,
	sqlstate text,
	message text
);
CREATE INDEX part_rewrite_parent_table_idx ON part_rewrite (parent_table);

COMMENT ON TABLE part_rewrite IS 'rewrites that were asked for; the view rewrite_progress shows them';
COMMENT ON COLUMN part_rewrite.id IS 'what pause_rewrite(), resume_rewrite() and cancel_rewrite() take';
COMMENT ON COLUMN part_rewrite.parent_table IS 'the set, or the table that is to become one';
COMMENT ON COLUMN part_rewrite.kind IS 'convert, drain, split, merge, interval, compress, undo or instant';
COMMENT ON COLUMN part_rewrite.options IS 'what was asked for';
COMMENT ON COLUMN part_rewrite.is_queued IS 'true: for the worker; false: for the session of a CALL';
COMMENT ON COLUMN part_rewrite.state IS 'queued, running, paused, cancelling, done, failed or cancelled';
COMMENT ON COLUMN part_rewrite.phase IS 'prepare, watch, copy, build, apply or clean';
COMMENT ON COLUMN part_rewrite.asked_by IS 'the role that asked for it';
COMMENT ON COLUMN part_rewrite.asked_at IS 'when';
COMMENT ON COLUMN part_rewrite.started_at IS 'when a process began';
COMMENT ON COLUMN part_rewrite.phase_at IS 'when the phase began';
COMMENT ON COLUMN part_rewrite.finished_at IS 'when it ended';
COMMENT ON COLUMN part_rewrite.worker_pid IS 'the process that works on it, or did';
COMMENT ON COLUMN part_rewrite.frame IS 'the table through which rows are routed';
COMMENT ON COLUMN part_rewrite.notes IS 'the table of keys of rows that were changed meanwhile';
COMMENT ON COLUMN part_rewrite.rest IS 'the table of rows for which there is no partition yet';
COMMENT ON COLUMN part_rewrite.units IS 'swaps done';
COMMENT ON COLUMN part_rewrite.rows_done IS 'rows copied';
COMMENT ON COLUMN part_rewrite.rows_total IS 'rows to be copied, estimated';
COMMENT ON COLUMN part_rewrite.bytes_done IS 'bytes of the sources read';
COMMENT ON COLUMN part_rewrite.bytes_total IS 'bytes of the sources to be read';
COMMENT ON COLUMN part_rewrite.sqlstate IS 'SQLSTATE of a failure';
COMMENT ON COLUMN part_rewrite.message IS 'the failure, or what is waited for';

CREATE TABLE part_rewrite_source (
	rewrite bigint NOT NULL,
	relation oid NOT NULL,
	place int NOT NULL,
	file oid NOT NULL,
	blocks bigint NOT NULL,
	next_block bigint NOT NULL,
	shape jsonb,
	PRIMARY KEY (rewrite, relation)
);

COMMENT ON TABLE part_rewrite_source IS 'the tables whose rows a rewrite copies';
COMMENT ON COLUMN part_rewrite_source.rewrite IS 'the rewrite';
COMMENT ON COLUMN part_rewrite_source.relation IS 'the table';
COMMENT ON COLUMN part_rewrite_source.place IS 'their order';
COMMENT ON COLUMN part_rewrite_source.file IS 'its file when copying began; 0: it has not';
COMMENT ON COLUMN part_rewrite_source.blocks IS 'its end at that time';
COMMENT ON COLUMN part_rewrite_source.next_block IS 'copied up to here';
COMMENT ON COLUMN part_rewrite_source.shape IS 'what must not be changed of it, as it was when the rewrite began';

ALTER TABLE part_config ENABLE ROW LEVEL SECURITY;
COMMENT ON COLUMN part_config_sub.sub_parent IS 'the set whose partitions become sets';
COMMENT ON COLUMN part_config_sub.sub_default_table IS 'true: each of them has a default partition';
COMMENT ON COLUMN part_config_sub.sub_control_not_null IS 'true: their key column must be NOT NULL';
COMMENT ON COLUMN part_import.parent_table IS 'the set';
COMMENT ON COLUMN part_import.source IS 'pg_partman''s table from which it was taken over';
COMMENT ON COLUMN part_import.source_name IS 'how that spells the set';
COMMENT ON COLUMN part_import.automatic_maintenance IS 'what the flag was there';
COMMENT ON COLUMN part_import.imported_at IS 'when';
-- the others say of the new sets what their twins say
DO $$
DECLARE
	twin record;
BEGIN
	FOR twin IN SELECT s.attname, col_description(c.attrelid, c.attnum) AS text FROM pg_catalog.pg_attribute s
		JOIN pg_catalog.pg_attribute c ON s.attname = 'sub_' || c.attname
		WHERE s.attrelid = '@extschema@.part_config_sub'::pg_catalog.regclass AND c.attrelid = '@extschema@.part_config'::pg_catalog.regclass LOOP
		EXECUTE pg_catalog.format('COMMENT ON COLUMN @extschema@.part_config_sub.%I IS %L', twin.attname, twin.text);
	END LOOP;
END
$$;

ALTER TABLE part_import ENABLE ROW LEVEL SECURITY;
ALTER TABLE part_config_sub ENABLE ROW LEVEL SECURITY;
ALTER TABLE part_upkeep ENABLE ROW LEVEL SECURITY;
ALTER TABLE part_job ENABLE ROW LEVEL SECURITY;
ALTER TABLE part_rewrite ENABLE ROW LEVEL SECURITY;
ALTER TABLE part_rewrite_source ENABLE ROW LEVEL SECURITY;
ALTER TABLE part_detached ENABLE ROW LEVEL SECURITY;
ALTER TABLE part_hold ENABLE ROW LEVEL SECURITY;
ALTER TABLE part_state ENABLE ROW LEVEL SECURITY;
ALTER TABLE part_log ENABLE ROW LEVEL SECURITY;

CREATE POLICY read_own ON part_config FOR SELECT
	USING (pg_has_role((SELECT relowner FROM pg_class WHERE oid = parent_table), 'USAGE')
		   OR pg_has_role('pg_monitor', 'USAGE'));
CREATE POLICY change_own ON part_config FOR UPDATE
	USING (pg_has_role((SELECT relowner FROM pg_class WHERE oid = parent_table), 'USAGE'));
CREATE POLICY read_own ON part_import FOR SELECT
	USING (pg_has_role((SELECT relowner FROM pg_class WHERE oid = parent_table), 'USAGE')
		   OR pg_has_role('pg_monitor', 'USAGE'));
CREATE POLICY read_own ON part_config_sub FOR SELECT
	USING (pg_has_role((SELECT relowner FROM pg_class WHERE oid = sub_parent), 'USAGE')
		   OR pg_has_role('pg_monitor', 'USAGE'));
CREATE POLICY change_own ON part_config_sub FOR UPDATE
	USING (pg_has_role((SELECT relowner FROM pg_class WHERE oid = sub_parent), 'USAGE'));
CREATE POLICY read_own ON part_state FOR SELECT
	USING (pg_has_role((SELECT relowner FROM pg_class WHERE oid = parent_table), 'USAGE')
		   OR pg_has_role('pg_monitor', 'USAGE'));
CREATE POLICY read_own ON part_log FOR SELECT
	USING (pg_has_role((SELECT relowner FROM pg_class WHERE oid = parent_table), 'USAGE')
		   OR pg_has_role('pg_monitor', 'USAGE'));

CREATE POLICY read_own ON part_detached FOR SELECT
	USING (pg_has_role((SELECT relowner FROM pg_class WHERE oid = parent_table), 'USAGE')
		   OR pg_has_role('pg_monitor', 'USAGE'));
CREATE POLICY read_own ON part_hold FOR SELECT
	USING (pg_has_role((SELECT relowner FROM pg_class WHERE oid = parent_table), 'USAGE')
		   OR pg_has_role('pg_monitor', 'USAGE'));

CREATE POLICY read_own ON part_upkeep FOR SELECT
	USING (pg_has_role((SELECT relowner FROM pg_class WHERE oid = parent_table), 'USAGE')
		   OR pg_has_role('pg_monitor', 'USAGE'));
CREATE POLICY read_own ON part_job FOR SELECT
	USING (pg_has_role((SELECT relowner FROM pg_class WHERE oid = parent_table), 'USAGE')
		   OR pg_has_role('pg_monitor', 'USAGE'));
CREATE POLICY read_own ON part_rewrite FOR SELECT
	USING (pg_has_role((SELECT relowner FROM pg_class WHERE oid = parent_table), 'USAGE')
		   OR pg_has_role('pg_monitor', 'USAGE'));

REVOKE ALL ON part_config, part_config_sub, part_import, part_state, part_log, part_detached, part_hold, part_upkeep, part_job, part_rewrite, part_rewrite_source FROM PUBLIC;
GRANT SELECT ON part_config, part_config_sub, part_import, part_state, part_log, part_detached, part_hold, part_upkeep, part_job, part_rewrite TO PUBLIC;
GRANT UPDATE (time_encoder, time_decoder, partition_interval, premake, automatic_maintenance, template_table, retention,
	constraint_cols, optimize_constraint, datetime_string, sub_partition_set_full, undo_in_progress, constraint_valid,
	date_trunc_interval, maintenance_role, async_partitioning_in_progress,
	retention_schema, retention_keep_index, retention_keep_table,
	infinite_time_partitions, jobmon, inherit_privileges, ignore_default_data,
	maintenance_order, retention_keep_publication, time_zone, name_format,
	grid_origin, retention_partitions, retention_size, retention_keep_newest,
	retention_grace, detach_before_drop, archive_function, abort_after_wait,
	maintenance_window, analyze_parent, cold_after, cold_vacuum, cold_reindex,
	cold_tablespace, cold_storage, cold_cluster, cold_compression, drain_default,
	on_demand, on_demand_window) ON part_config TO PUBLIC;
GRANT UPDATE (sub_control, sub_time_encoder, sub_time_decoder, sub_partition_interval, sub_partition_type, sub_premake,
	sub_automatic_maintenance, sub_template_table, sub_retention, sub_retention_schema, sub_retention_keep_index,
	sub_retention_keep_table, sub_epoch, sub_constraint_cols, sub_optimize_constraint, sub_infinite_time_partitions,
	sub_jobmon, sub_inherit_privileges, sub_constraint_valid, sub_ignore_default_data, sub_default_table,
	sub_date_trunc_interval, sub_maintenance_order, sub_retention_keep_publication, sub_control_not_null,
	sub_detach_before_drop, sub_maintenance_role, sub_time_zone, sub_name_format, sub_on_demand) ON part_config_sub TO PUBLIC;

-- state and log are not dumped: a restored set is recognized by its absence
SELECT pg_catalog.pg_extension_config_dump('part_config',
	'WHERE parent_table IN (SELECT oid FROM pg_catalog.pg_class)');
SELECT pg_catalog.pg_extension_config_dump('part_config_sub',
	'WHERE sub_parent IN (SELECT oid FROM pg_catalog.pg_class)');
SELECT pg_catalog.pg_extension_config_dump('part_detached',
	'WHERE parent_table IN (SELECT oid FROM pg_catalog.pg_class)'
	' AND partition IN (SELECT oid FROM pg_catalog.pg_class)');
SELECT pg_catalog.pg_extension_config_dump('part_hold',
	'WHERE parent_table IN (SELECT oid FROM pg_catalog.pg_class)');
SELECT pg_catalog.pg_extension_config_dump(pg_catalog.pg_get_serial_sequence('part_hold', 'id'), '');

-- refuses configurations that make no sense
CREATE FUNCTION part_config_check() RETURNS trigger
	AS 'MODULE_PATHNAME', 'partmgr_config_check' LANGUAGE C;
COMMENT ON FUNCTION part_config_check() IS 'trigger on part_config: refuses what maintenance could not carry out';
REVOKE ALL ON FUNCTION part_config_check() FROM PUBLIC;

-- a changed row takes effect at once
CREATE FUNCTION part_config_changed() RETURNS trigger
	AS 'MODULE_PATHNAME', 'partmgr_config_changed' LANGUAGE C;
COMMENT ON FUNCTION part_config_changed() IS 'trigger on part_config: tells all sessions, makes a changed set due and wakes the worker';
REVOKE ALL ON FUNCTION part_config_changed() FROM PUBLIC;

-- Both, on all columns but the one that every maintenance writes: that is no
-- change of the configuration.
DO $$
DECLARE
	columns text := (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
		WHERE attrelid = '@extschema@.part_config'::regclass AND attnum > 0 AND attname <> 'maintenance_last_run');
BEGIN
	EXECUTE format('CREATE TRIGGER part_config_check BEFORE INSERT OR UPDATE OF %s ON @extschema@.part_config
		FOR EACH ROW EXECUTE FUNCTION @extschema@.part_config_check()', columns);
	EXECUTE format('CREATE TRIGGER part_config_changed AFTER INSERT OR UPDATE OF %s ON @extschema@.part_config
		FOR EACH ROW EXECUTE FUNCTION @extschema@.part_config_changed()', columns);
END
$$;

-- the same for part_config_sub
CREATE FUNCTION part_config_sub_check() RETURNS trigger
	AS 'MODULE_PATHNAME', 'partmgr_config_sub_check' LANGUAGE C;
COMMENT ON FUNCTION part_config_sub_check() IS 'trigger on part_config_sub: refuses what partitions could not be made with';
REVOKE ALL ON FUNCTION part_config_sub_check() FROM PUBLIC;
CREATE TRIGGER part_config_sub_check BEFORE INSERT OR UPDATE ON part_config_sub
	FOR EACH ROW EXECUTE FUNCTION part_config_sub_check();

-- A dropped parent takes its rows along.  In plpgsql: a function in C would
-- break every DROP in the database if the library were missing.
CREATE FUNCTION part_config_forget() RETURNS event_trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	-- once: the server makes the list anew for each query
	gone oid[] := (SELECT array_agg(objid) FROM pg_event_trigger_dropped_objects()
		WHERE object_type IN ('table', 'foreign table'));
	templates oid[];
	relation regclass;
BEGIN
	WITH forgotten AS (DELETE FROM @extschema@.part_config WHERE parent_table = ANY (gone) RETURNING template_table)
		SELECT array_agg(template_table) INTO templates FROM forgotten;
	IF templates IS NOT NULL THEN
		DELETE FROM @extschema@.part_state s WHERE NOT EXISTS
			(SELECT FROM @extschema@.part_config c WHERE c.parent_table = s.parent_table);
		DELETE FROM @extschema@.part_hold h WHERE NOT EXISTS
			(SELECT FROM @extschema@.part_config c WHERE c.parent_table = h.parent_table);
		DELETE FROM @extschema@.part_detached d WHERE NOT EXISTS
			(SELECT FROM @extschema@.part_config c WHERE c.parent_table = d.parent_table);
		DELETE FROM @extschema@.part_upkeep u WHERE NOT EXISTS
			(SELECT FROM @extschema@.part_config c WHERE c.parent_table = u.parent_table);
		DELETE FROM @extschema@.part_job j WHERE NOT EXISTS
			(SELECT FROM @extschema@.part_config c WHERE c.parent_table = j.parent_table);
	END IF;
	-- The template table that a set got by itself goes with it: empty, still called
	-- so, and used by nobody else.  Whatever keeps it must not keep the set.
	FOR relation IN SELECT c.oid FROM pg_class c WHERE c.oid = ANY (templates) AND c.relkind = 'r'
			AND c.relnamespace = '@extschema@'::regnamespace AND pg_relation_size(c.oid) = 0
			AND c.relname IN (SELECT concat('template_', schema_name, '_', object_name) FROM pg_event_trigger_dropped_objects()
				WHERE object_type = 'table')
			AND NOT EXISTS (SELECT FROM @extschema@.part_config WHERE template_table = c.oid)
			AND NOT EXISTS (SELECT FROM @extschema@.part_config_sub WHERE sub_template_table = c.oid) LOOP
		BEGIN
			EXECUTE format('DROP TABLE %s', relation);
		EXCEPTION WHEN OTHERS THEN
			RAISE NOTICE 'template table % was kept: %', relation, SQLERRM;
		END;
	END LOOP;
	-- A number that means nothing would be dumped, and could mean another table
	-- where it is restored.  Whatever keeps the row from being changed must not
	-- keep the table.
	IF EXISTS (SELECT FROM @extschema@.part_config WHERE template_table = ANY (gone)) THEN
		BEGIN
			FOR relation IN UPDATE @extschema@.part_config SET template_table = NULL WHERE template_table = ANY (gone) RETURNING parent_table LOOP
				RAISE WARNING 'new partitions of table % take nothing from a template table any more', relation
					USING HINT = 'Set template_table in part_config to another one.';
			END LOOP;
		EXCEPTION WHEN OTHERS THEN
			RAISE WARNING 'part_config still names a template table that was dropped: %', SQLERRM;
		END;
	END IF;
	IF EXISTS (SELECT FROM @extschema@.part_config_sub WHERE sub_template_table = ANY (gone)) THEN
		UPDATE @extschema@.part_config_sub SET sub_template_table = NULL WHERE sub_template_table = ANY (gone);
	END IF;
	IF EXISTS (SELECT FROM @extschema@.part_import) THEN
		DELETE FROM @extschema@.part_import WHERE parent_table = ANY (gone);
	END IF;
	IF EXISTS (SELECT FROM @extschema@.part_upkeep) THEN
		DELETE FROM @extschema@.part_upkeep WHERE partition = ANY (gone);
	END IF;
	IF EXISTS (SELECT FROM @extschema@.part_detached) THEN
		DELETE FROM @extschema@.part_detached WHERE partition = ANY (gone);
	END IF;
END
$$;
COMMENT ON FUNCTION part_config_forget() IS 'event trigger: a dropped parent takes its configuration along';
CREATE EVENT TRIGGER partmgr_forget ON sql_drop
	WHEN TAG IN ('DROP TABLE', 'DROP FOREIGN TABLE', 'DROP SCHEMA', 'DROP OWNED', 'DROP EXTENSION')
	EXECUTE FUNCTION part_config_forget();

--
-- Set up
--

CREATE FUNCTION create_parent(
	p_parent_table text,
	p_control text,
	p_interval text,
	p_type text DEFAULT 'range',
	p_epoch text DEFAULT 'none',
	p_premake int DEFAULT 4,
	p_start_partition text DEFAULT NULL,
	p_default_table boolean DEFAULT true,
	p_automatic_maintenance text DEFAULT 'on',
	p_constraint_cols text[] DEFAULT NULL,
	p_template_table text DEFAULT NULL,
	p_jobmon boolean DEFAULT true,
	p_date_trunc_interval text DEFAULT NULL,
	p_control_not_null boolean DEFAULT true,
	p_time_encoder text DEFAULT NULL,
	p_time_decoder text DEFAULT NULL,
	p_offset_id bigint DEFAULT 0,
	p_retention text DEFAULT NULL,
	p_time_zone text DEFAULT NULL,
	p_name_format text DEFAULT NULL,
	p_retention_keep_table boolean DEFAULT true,
	p_inherit_privileges boolean DEFAULT false,
	p_on_demand boolean DEFAULT false
)
	RETURNS boolean
	AS 'MODULE_PATHNAME', 'partmgr_create_parent' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION create_parent(text, text, text, text, text, int, text, boolean, text, text[], text, boolean, text, boolean, text, text, bigint, text, text, text, boolean, boolean, boolean) IS 'manage a partitioned table, taking over the partitions it has';
CREATE FUNCTION create_parent(
	p_parent_table regclass,
	p_control text,
	p_interval text,
	p_type text DEFAULT 'range',
	p_epoch text DEFAULT 'none',
	p_premake int DEFAULT 4,
	p_start_partition text DEFAULT NULL,
	p_default_table boolean DEFAULT true,
	p_automatic_maintenance text DEFAULT 'on',
	p_constraint_cols text[] DEFAULT NULL,
	p_template_table text DEFAULT NULL,
	p_jobmon boolean DEFAULT true,
	p_date_trunc_interval text DEFAULT NULL,
	p_control_not_null boolean DEFAULT true,
	p_time_encoder text DEFAULT NULL,
	p_time_decoder text DEFAULT NULL,
	p_offset_id bigint DEFAULT 0,
	p_retention text DEFAULT NULL,
	p_time_zone text DEFAULT NULL,
	p_name_format text DEFAULT NULL,
	p_retention_keep_table boolean DEFAULT true,
	p_inherit_privileges boolean DEFAULT false,
	p_on_demand boolean DEFAULT false
)
	RETURNS boolean
	AS 'MODULE_PATHNAME', 'partmgr_create_parent' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION create_parent(regclass, text, text, text, text, int, text, boolean, text, text[], text, boolean, text, boolean, text, text, bigint, text, text, text, boolean, boolean, boolean) IS 'manage a partitioned table, taking over the partitions it has';

CREATE FUNCTION create_sub_partition(
	p_top_parent text,
	p_control text,
	p_interval text,
	p_type text DEFAULT 'range',
	p_default_table boolean DEFAULT true,
	p_declarative_check text DEFAULT NULL,
	p_constraint_cols text[] DEFAULT NULL,
	p_premake int DEFAULT 4,
	p_start_partition text DEFAULT NULL,
	p_epoch text DEFAULT 'none',
	p_jobmon boolean DEFAULT true,
	p_date_trunc_interval text DEFAULT NULL,
	p_control_not_null boolean DEFAULT true,
	p_time_encoder text DEFAULT NULL,
	p_time_decoder text DEFAULT NULL
)
	RETURNS boolean
	AS 'MODULE_PATHNAME', 'partmgr_create_sub_partition' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION create_sub_partition(text, text, text, text, boolean, text, text[], int, text, text, boolean, text, boolean, text, text) IS 'make each partition of a set, now and later, a set of its own';
CREATE FUNCTION create_sub_partition(
	p_top_parent regclass,
	p_control text,
	p_interval text,
	p_type text DEFAULT 'range',
	p_default_table boolean DEFAULT true,
	p_declarative_check text DEFAULT NULL,
	p_constraint_cols text[] DEFAULT NULL,
	p_premake int DEFAULT 4,
	p_start_partition text DEFAULT NULL,
	p_epoch text DEFAULT 'none',
	p_jobmon boolean DEFAULT true,
	p_date_trunc_interval text DEFAULT NULL,
	p_control_not_null boolean DEFAULT true,
	p_time_encoder text DEFAULT NULL,
	p_time_decoder text DEFAULT NULL
)
	RETURNS boolean
	AS 'MODULE_PATHNAME', 'partmgr_create_sub_partition' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION create_sub_partition(regclass, text, text, text, boolean, text, text[], int, text, text, boolean, text, boolean, text, text) IS 'make each partition of a set, now and later, a set of its own';
CREATE FUNCTION create_sub_parent(
	p_top_parent text,
	p_control text,
	p_interval text,
	p_type text DEFAULT 'range',
	p_default_table boolean DEFAULT true,
	p_declarative_check text DEFAULT NULL,
	p_constraint_cols text[] DEFAULT NULL,
	p_premake int DEFAULT 4,
	p_start_partition text DEFAULT NULL,
	p_epoch text DEFAULT 'none',
	p_jobmon boolean DEFAULT true,
	p_date_trunc_interval text DEFAULT NULL,
	p_control_not_null boolean DEFAULT true,
	p_time_encoder text DEFAULT NULL,
	p_time_decoder text DEFAULT NULL
)
	RETURNS boolean
	AS 'MODULE_PATHNAME', 'partmgr_create_sub_partition' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION create_sub_parent(text, text, text, text, boolean, text, text[], int, text, text, boolean, text, boolean, text, text) IS 'make each partition of a set, now and later, a set of its own';
CREATE FUNCTION create_sub_parent(
	p_top_parent regclass,
	p_control text,
	p_interval text,
	p_type text DEFAULT 'range',
	p_default_table boolean DEFAULT true,
	p_declarative_check text DEFAULT NULL,
	p_constraint_cols text[] DEFAULT NULL,
	p_premake int DEFAULT 4,
	p_start_partition text DEFAULT NULL,
	p_epoch text DEFAULT 'none',
	p_jobmon boolean DEFAULT true,
	p_date_trunc_interval text DEFAULT NULL,
	p_control_not_null boolean DEFAULT true,
	p_time_encoder text DEFAULT NULL,
	p_time_decoder text DEFAULT NULL
)
	RETURNS boolean
	AS 'MODULE_PATHNAME', 'partmgr_create_sub_partition' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION create_sub_parent(regclass, text, text, text, boolean, text, text[], int, text, text, boolean, text, boolean, text, text) IS 'make each partition of a set, now and later, a set of its own';
CREATE FUNCTION stop_sub_partition(
	p_parent_table text,
	p_jobmon boolean DEFAULT true
)
	RETURNS boolean
	AS 'MODULE_PATHNAME', 'partmgr_stop_sub_partition' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION stop_sub_partition(text, boolean) IS 'new partitions of a set are no sets of their own any more';
CREATE FUNCTION stop_sub_partition(
	p_parent_table regclass,
	p_jobmon boolean DEFAULT true
)
	RETURNS boolean
	AS 'MODULE_PATHNAME', 'partmgr_stop_sub_partition' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION stop_sub_partition(regclass, boolean) IS 'new partitions of a set are no sets of their own any more';

CREATE FUNCTION import_pg_partman(p_schema text DEFAULT 'partman', p_dry_run boolean DEFAULT true)
	RETURNS TABLE (parent_table text, step text, note text)
	AS 'MODULE_PATHNAME', 'partmgr_import_pg_partman' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION import_pg_partman(text, boolean) IS 'take over the sets that pg_partman maintains, or say what that would do';
CREATE FUNCTION undo_import_pg_partman(p_schema text DEFAULT 'partman')
	RETURNS TABLE (parent_table text, step text, note text)
	AS 'MODULE_PATHNAME', 'partmgr_undo_import_pg_partman' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION undo_import_pg_partman(text) IS 'give the sets that were taken over back to pg_partman';

CREATE FUNCTION create_partition(
	p_parent_table text,
	p_control text,
	p_interval text,
	p_type text DEFAULT 'range',
	p_epoch text DEFAULT 'none',
	p_premake int DEFAULT 4,
	p_start_partition text DEFAULT NULL,
	p_default_table boolean DEFAULT true,
	p_automatic_maintenance text DEFAULT 'on',
	p_constraint_cols text[] DEFAULT NULL,
	p_template_table text DEFAULT NULL,
	p_jobmon boolean DEFAULT true,
	p_date_trunc_interval text DEFAULT NULL,
	p_control_not_null boolean DEFAULT true,
	p_time_encoder text DEFAULT NULL,
	p_time_decoder text DEFAULT NULL,
	p_offset_id bigint DEFAULT 0,
	p_retention text DEFAULT NULL,
	p_time_zone text DEFAULT NULL,
	p_name_format text DEFAULT NULL,
	p_retention_keep_table boolean DEFAULT true,
	p_inherit_privileges boolean DEFAULT false,
	p_on_demand boolean DEFAULT false
)
	RETURNS boolean
	AS 'MODULE_PATHNAME', 'partmgr_create_parent' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION create_partition(text, text, text, text, text, int, text, boolean, text, text[], text, boolean, text, boolean, text, text, bigint, text, text, text, boolean, boolean, boolean) IS 'manage a partitioned table, taking over the partitions it has';
CREATE FUNCTION create_partition(
	p_parent_table regclass,
	p_control text,
	p_interval text,
	p_type text DEFAULT 'range',
	p_epoch text DEFAULT 'none',
	p_premake int DEFAULT 4,
	p_start_partition text DEFAULT NULL,
	p_default_table boolean DEFAULT true,
	p_automatic_maintenance text DEFAULT 'on',
	p_constraint_cols text[] DEFAULT NULL,
	p_template_table text DEFAULT NULL,
	p_jobmon boolean DEFAULT true,
	p_date_trunc_interval text DEFAULT NULL,
	p_control_not_null boolean DEFAULT true,
	p_time_encoder text DEFAULT NULL,
	p_time_decoder text DEFAULT NULL,
	p_offset_id bigint DEFAULT 0,
	p_retention text DEFAULT NULL,
	p_time_zone text DEFAULT NULL,
	p_name_format text DEFAULT NULL,
	p_retention_keep_table boolean DEFAULT true,
	p_inherit_privileges boolean DEFAULT false,
	p_on_demand boolean DEFAULT false
)
	RETURNS boolean
	AS 'MODULE_PATHNAME', 'partmgr_create_parent' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION create_partition(regclass, text, text, text, text, int, text, boolean, text, text[], text, boolean, text, boolean, text, text, bigint, text, text, text, boolean, boolean, boolean) IS 'manage a partitioned table, taking over the partitions it has';

CREATE FUNCTION config_cleanup(
	p_parent_table text,
	p_config_table boolean DEFAULT true,
	p_config_sub_table boolean DEFAULT true,
	p_template_table boolean DEFAULT true
)
	RETURNS void
	AS 'MODULE_PATHNAME', 'partmgr_config_cleanup' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION config_cleanup(text, boolean, boolean, boolean) IS 'stop managing a set; its tables stay as they are';
CREATE FUNCTION config_cleanup(
	p_parent_table regclass,
	p_config_table boolean DEFAULT true,
	p_config_sub_table boolean DEFAULT true,
	p_template_table boolean DEFAULT true
)
	RETURNS void
	AS 'MODULE_PATHNAME', 'partmgr_config_cleanup' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION config_cleanup(regclass, boolean, boolean, boolean) IS 'stop managing a set; its tables stay as they are';

CREATE FUNCTION resume_maintenance(p_parent_table text DEFAULT NULL)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'partmgr_resume_maintenance' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION resume_maintenance(text) IS 'let sets that came out of a dump be maintained again; returns how many';
CREATE FUNCTION resume_maintenance(p_parent_table regclass)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'partmgr_resume_maintenance' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION resume_maintenance(regclass) IS 'let sets that came out of a dump be maintained again; returns how many';

--
-- Times in a UUID of version 7
--

CREATE FUNCTION uuid7_time_encoder(ts timestamptz)
	RETURNS uuid
	AS 'MODULE_PATHNAME', 'partmgr_uuid7_time_encoder' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION uuid7_time_encoder(timestamptz) IS 'the lowest UUID of version 7 of a time, for bounds and conditions';

CREATE FUNCTION uuid7_time_decoder(uuidv7 text)
	RETURNS timestamptz
	AS 'MODULE_PATHNAME', 'partmgr_uuid7_time_decoder' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION uuid7_time_decoder(text) IS 'the time in a UUID of version 7';

--
-- Maintain
--

CREATE FUNCTION run_maintenance(
	p_parent_table text DEFAULT NULL,
	p_analyze boolean DEFAULT false,
	p_jobmon boolean DEFAULT true
)
	RETURNS void
	AS 'MODULE_PATHNAME', 'partmgr_run_maintenance' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION run_maintenance(text, boolean, boolean) IS 'maintain one set, or all';
CREATE FUNCTION run_maintenance(p_parent_table regclass, p_analyze boolean DEFAULT false, p_jobmon boolean DEFAULT true)
	RETURNS void
	AS 'MODULE_PATHNAME', 'partmgr_run_maintenance' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION run_maintenance(regclass, boolean, boolean) IS 'maintain one set, or all';

CREATE PROCEDURE run_maintenance_proc(p_wait int DEFAULT 0, p_analyze boolean DEFAULT false, p_jobmon boolean DEFAULT true)
	AS 'MODULE_PATHNAME', 'partmgr_run_maintenance_proc' LANGUAGE C;
COMMENT ON PROCEDURE run_maintenance_proc(int, boolean, boolean) IS 'maintain all sets, with a commit after each';

CREATE FUNCTION run_partition_maintenance(p_parent_table text DEFAULT NULL, p_dry_run boolean DEFAULT false)
	RETURNS TABLE (parent_table regclass, step text, partition_name text, range text,
		reason text, status text, row_estimate bigint, bytes bigint)
	AS 'MODULE_PATHNAME', 'partmgr_run_partition_maintenance' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION run_partition_maintenance(text, boolean) IS 'maintain one set, or all; a row for each step done or planned';
CREATE FUNCTION run_partition_maintenance(p_parent_table regclass, p_dry_run boolean DEFAULT false)
	RETURNS TABLE (parent_table regclass, step text, partition_name text, range text,
		reason text, status text, row_estimate bigint, bytes bigint)
	AS 'MODULE_PATHNAME', 'partmgr_run_partition_maintenance' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION run_partition_maintenance(regclass, boolean) IS 'maintain one set, or all; a row for each step done or planned';

CREATE FUNCTION maintenance_plan(p_parent_table text DEFAULT NULL, p_at timestamptz DEFAULT now())
	RETURNS TABLE (parent_table regclass, step text, partition_name text, range text,
		reason text, lock text, row_estimate bigint, bytes bigint, sql text)
	AS 'MODULE_PATHNAME', 'partmgr_maintenance_plan' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION maintenance_plan(text, timestamptz) IS 'what maintenance would do at a point in time, and why';
CREATE FUNCTION maintenance_plan(p_parent_table regclass, p_at timestamptz DEFAULT now())
	RETURNS TABLE (parent_table regclass, step text, partition_name text, range text,
		reason text, lock text, row_estimate bigint, bytes bigint, sql text)
	AS 'MODULE_PATHNAME', 'partmgr_maintenance_plan' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION maintenance_plan(regclass, timestamptz) IS 'what maintenance would do at a point in time, and why';

CREATE FUNCTION create_future_partitions(p_parent_table text, p_count int)
	RETURNS TABLE (parent_table regclass, step text, partition_name text, range text,
		reason text, status text, row_estimate bigint, bytes bigint)
	AS 'MODULE_PATHNAME', 'partmgr_create_future_partitions' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION create_future_partitions(text, int) IS 'make partitions until there are so many ahead';
CREATE FUNCTION create_future_partitions(p_parent_table regclass, p_count int)
	RETURNS TABLE (parent_table regclass, step text, partition_name text, range text,
		reason text, status text, row_estimate bigint, bytes bigint)
	AS 'MODULE_PATHNAME', 'partmgr_create_future_partitions' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION create_future_partitions(regclass, int) IS 'make partitions until there are so many ahead';

CREATE FUNCTION partition_gap_fill(p_parent_table text)
	RETURNS integer
	AS 'MODULE_PATHNAME', 'partmgr_partition_gap_fill' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION partition_gap_fill(text) IS 'make the missing partitions between the first and the last; returns how many';
CREATE FUNCTION partition_gap_fill(p_parent_table regclass)
	RETURNS integer
	AS 'MODULE_PATHNAME', 'partmgr_partition_gap_fill' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION partition_gap_fill(regclass) IS 'make the missing partitions between the first and the last; returns how many';

CREATE FUNCTION create_partition_time(
	p_parent_table text,
	p_partition_times timestamptz[],
	p_start_partition text DEFAULT NULL
)
	RETURNS boolean
	AS 'MODULE_PATHNAME', 'partmgr_create_partition_exact' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION create_partition_time(text, timestamptz[], text) IS 'make partitions that begin exactly there, where there is room';
CREATE FUNCTION create_partition_time(
	p_parent_table regclass,
	p_partition_times timestamptz[],
	p_start_partition text DEFAULT NULL
)
	RETURNS boolean
	AS 'MODULE_PATHNAME', 'partmgr_create_partition_exact' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION create_partition_time(regclass, timestamptz[], text) IS 'make partitions that begin exactly there, where there is room';

CREATE FUNCTION create_partition_id(
	p_parent_table text,
	p_partition_ids bigint[],
	p_start_partition text DEFAULT NULL
)
	RETURNS boolean
	AS 'MODULE_PATHNAME', 'partmgr_create_partition_exact' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION create_partition_id(text, bigint[], text) IS 'make partitions that begin exactly there, where there is room';
CREATE FUNCTION create_partition_id(
	p_parent_table regclass,
	p_partition_ids bigint[],
	p_start_partition text DEFAULT NULL
)
	RETURNS boolean
	AS 'MODULE_PATHNAME', 'partmgr_create_partition_exact' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION create_partition_id(regclass, bigint[], text) IS 'make partitions that begin exactly there, where there is room';

CREATE FUNCTION drop_old_partitions(p_parent_table text, p_months int, p_dry_run boolean DEFAULT false)
	RETURNS TABLE (parent_table regclass, partition_name text, range text, row_estimate bigint,
		bytes bigint, action text)
	AS 'MODULE_PATHNAME', 'partmgr_drop_old_partitions_months' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION drop_old_partitions(text, int, boolean) IS 'retire partitions that are older than so many months';
CREATE FUNCTION drop_old_partitions(p_parent_table regclass, p_months int, p_dry_run boolean DEFAULT false)
	RETURNS TABLE (parent_table regclass, partition_name text, range text, row_estimate bigint,
		bytes bigint, action text)
	AS 'MODULE_PATHNAME', 'partmgr_drop_old_partitions_months' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION drop_old_partitions(regclass, int, boolean) IS 'retire partitions that are older than so many months';

CREATE FUNCTION drop_old_partitions(
	p_parent_table text DEFAULT NULL,
	p_retention text DEFAULT NULL,
	p_dry_run boolean DEFAULT false
)
	RETURNS TABLE (parent_table regclass, partition_name text, range text, row_estimate bigint,
		bytes bigint, action text)
	AS 'MODULE_PATHNAME', 'partmgr_drop_old_partitions' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION drop_old_partitions(text, text, boolean) IS 'retire partitions by the configured retention, or another one';
CREATE FUNCTION drop_old_partitions(p_parent_table regclass, p_retention text DEFAULT NULL, p_dry_run boolean DEFAULT false)
	RETURNS TABLE (parent_table regclass, partition_name text, range text, row_estimate bigint,
		bytes bigint, action text)
	AS 'MODULE_PATHNAME', 'partmgr_drop_old_partitions' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION drop_old_partitions(regclass, text, boolean) IS 'retire partitions by the configured retention, or another one';

CREATE FUNCTION drop_partition_time(
	p_parent_table text,
	p_retention interval DEFAULT NULL,
	p_keep_table boolean DEFAULT NULL,
	p_keep_index boolean DEFAULT NULL,
	p_retention_schema text DEFAULT NULL,
	p_reference_timestamp timestamptz DEFAULT CURRENT_TIMESTAMP
)
	RETURNS int
	AS 'MODULE_PATHNAME', 'partmgr_drop_partition_asked' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION drop_partition_time(text, interval, boolean, boolean, text, timestamptz) IS 'retire partitions by the configured retention, or another one; returns how many';
CREATE FUNCTION drop_partition_time(
	p_parent_table regclass,
	p_retention interval DEFAULT NULL,
	p_keep_table boolean DEFAULT NULL,
	p_keep_index boolean DEFAULT NULL,
	p_retention_schema text DEFAULT NULL,
	p_reference_timestamp timestamptz DEFAULT CURRENT_TIMESTAMP
)
	RETURNS int
	AS 'MODULE_PATHNAME', 'partmgr_drop_partition_asked' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION drop_partition_time(regclass, interval, boolean, boolean, text, timestamptz) IS 'retire partitions by the configured retention, or another one; returns how many';

CREATE FUNCTION drop_partition_id(
	p_parent_table text,
	p_retention bigint DEFAULT NULL,
	p_keep_table boolean DEFAULT NULL,
	p_keep_index boolean DEFAULT NULL,
	p_retention_schema text DEFAULT NULL
)
	RETURNS int
	AS 'MODULE_PATHNAME', 'partmgr_drop_partition_asked' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION drop_partition_id(text, bigint, boolean, boolean, text) IS 'retire partitions by the configured retention, or another one; returns how many';
CREATE FUNCTION drop_partition_id(
	p_parent_table regclass,
	p_retention bigint DEFAULT NULL,
	p_keep_table boolean DEFAULT NULL,
	p_keep_index boolean DEFAULT NULL,
	p_retention_schema text DEFAULT NULL
)
	RETURNS int
	AS 'MODULE_PATHNAME', 'partmgr_drop_partition_asked' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION drop_partition_id(regclass, bigint, boolean, boolean, text) IS 'retire partitions by the configured retention, or another one; returns how many';

CREATE PROCEDURE run_analyze(p_skip_locked boolean DEFAULT false, p_quiet boolean DEFAULT false, p_parent_table text DEFAULT NULL)
	AS 'MODULE_PATHNAME', 'partmgr_run_analyze' LANGUAGE C;
COMMENT ON PROCEDURE run_analyze(boolean, boolean, text) IS 'ANALYZE the parents of all sets, or of one, with a commit after each';

CREATE FUNCTION analyze_partitions(p_parent_table text)
	RETURNS TABLE (partition_name text, row_estimate bigint, last_analyze timestamptz)
	AS 'MODULE_PATHNAME', 'partmgr_analyze_partitions' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION analyze_partitions(text) IS 'ANALYZE a parent with all its partitions';
CREATE FUNCTION analyze_partitions(p_parent_table regclass)
	RETURNS TABLE (partition_name text, row_estimate bigint, last_analyze timestamptz)
	AS 'MODULE_PATHNAME', 'partmgr_analyze_partitions' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION analyze_partitions(regclass) IS 'ANALYZE a parent with all its partitions';

--
-- Keep, take back
--

CREATE FUNCTION hold_partition(p_parent_table text, p_from text, p_to text, p_reason text)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'partmgr_hold_partition' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION hold_partition(text, text, text, text) IS 'keep what overlaps a range of the key from being retired or dropped; returns the number of the hold';
CREATE FUNCTION hold_partition(p_parent_table regclass, p_from text, p_to text, p_reason text)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'partmgr_hold_partition' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION hold_partition(regclass, text, text, text) IS 'keep what overlaps a range of the key from being retired or dropped; returns the number of the hold';

CREATE FUNCTION release_hold(p_hold bigint)
	RETURNS void
	AS 'MODULE_PATHNAME', 'partmgr_release_hold' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION release_hold(bigint) IS 'end a hold';

CREATE FUNCTION list_holds(p_parent_table text DEFAULT NULL)
	RETURNS TABLE (hold bigint, parent_table regclass, lower text, upper text, reason text,
		held_by text, held_at timestamptz, partitions regclass[])
	AS 'MODULE_PATHNAME', 'partmgr_list_holds' LANGUAGE C STABLE;
COMMENT ON FUNCTION list_holds(text) IS 'the holds of one set, or all, with the partitions that they keep';
CREATE FUNCTION list_holds(p_parent_table regclass)
	RETURNS TABLE (hold bigint, parent_table regclass, lower text, upper text, reason text,
		held_by text, held_at timestamptz, partitions regclass[])
	AS 'MODULE_PATHNAME', 'partmgr_list_holds' LANGUAGE C STABLE;
COMMENT ON FUNCTION list_holds(regclass) IS 'the holds of one set, or all, with the partitions that they keep';

CREATE FUNCTION reattach_partition(p_partition text)
	RETURNS void
	AS 'MODULE_PATHNAME', 'partmgr_reattach_partition' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION reattach_partition(text) IS 'put a partition that retention has detached back, with its bounds';
CREATE FUNCTION reattach_partition(p_partition regclass)
	RETURNS void
	AS 'MODULE_PATHNAME', 'partmgr_reattach_partition' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION reattach_partition(regclass) IS 'put a partition that retention has detached back, with its bounds';

CREATE FUNCTION drop_default(p_parent_table text)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'partmgr_drop_default' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION drop_default(text) IS 'give the rows of the default partition partitions of their own, and drop it; returns how many rows there were';
CREATE FUNCTION drop_default(p_parent_table regclass)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'partmgr_drop_default' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION drop_default(regclass) IS 'give the rows of the default partition partitions of their own, and drop it; returns how many rows there were';

--
-- Upkeep
--

CREATE FUNCTION vacuum_partitions(p_parent_table text, p_full boolean DEFAULT false)
	RETURNS TABLE (partition_name text, bytes_before bigint, bytes_after bigint, seconds double precision, message text)
	AS 'MODULE_PATHNAME', 'partmgr_vacuum_partitions' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION vacuum_partitions(text, boolean) IS 'VACUUM (ANALYZE) each partition, in a worker process';
CREATE FUNCTION vacuum_partitions(p_parent_table regclass, p_full boolean DEFAULT false)
	RETURNS TABLE (partition_name text, bytes_before bigint, bytes_after bigint, seconds double precision, message text)
	AS 'MODULE_PATHNAME', 'partmgr_vacuum_partitions' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION vacuum_partitions(regclass, boolean) IS 'VACUUM (ANALYZE) each partition, in a worker process';

CREATE PROCEDURE reindex_partitions(p_parent_table text)
	AS 'MODULE_PATHNAME', 'partmgr_reindex_partitions' LANGUAGE C;
COMMENT ON PROCEDURE reindex_partitions(text) IS 'REINDEX TABLE CONCURRENTLY each partition, in a worker process';
CREATE PROCEDURE reindex_partitions(p_parent_table regclass)
	AS 'MODULE_PATHNAME', 'partmgr_reindex_partitions' LANGUAGE C;
COMMENT ON PROCEDURE reindex_partitions(regclass) IS 'REINDEX TABLE CONCURRENTLY each partition, in a worker process';

CREATE PROCEDURE create_index_concurrently(p_parent_table text, p_definition text)
	AS 'MODULE_PATHNAME', 'partmgr_create_index_concurrently' LANGUAGE C;
COMMENT ON PROCEDURE create_index_concurrently(text, text) IS 'create an index on all partitions without keeping writers out; a second call goes on where the first was interrupted';
CREATE PROCEDURE create_index_concurrently(p_parent_table regclass, p_definition text)
	AS 'MODULE_PATHNAME', 'partmgr_create_index_concurrently' LANGUAGE C;
COMMENT ON PROCEDURE create_index_concurrently(regclass, text) IS 'create an index on all partitions without keeping writers out; a second call goes on where the first was interrupted';

CREATE FUNCTION queue_reindex_partitions(p_parent_table text)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'partmgr_queue_reindex_partitions' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION queue_reindex_partitions(text) IS 'have the upkeep worker do what reindex_partitions() does; returns the number of the job';
CREATE FUNCTION queue_reindex_partitions(p_parent_table regclass)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'partmgr_queue_reindex_partitions' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION queue_reindex_partitions(regclass) IS 'have the upkeep worker do what reindex_partitions() does; returns the number of the job';

CREATE FUNCTION queue_create_index_concurrently(p_parent_table text, p_definition text)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'partmgr_queue_create_index_concurrently' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION queue_create_index_concurrently(text, text) IS 'have the upkeep worker do what create_index_concurrently() does; returns the number of the job';
CREATE FUNCTION queue_create_index_concurrently(p_parent_table regclass, p_definition text)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'partmgr_queue_create_index_concurrently' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION queue_create_index_concurrently(regclass, text) IS 'have the upkeep worker do what create_index_concurrently() does; returns the number of the job';

CREATE FUNCTION cancel_job(p_job bigint)
	RETURNS boolean
	AS 'MODULE_PATHNAME', 'partmgr_cancel_job' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION cancel_job(bigint) IS 'take a job back, or interrupt it; false if it has ended already';

-- its owner reads the table for all, hence the condition of the table's policy
CREATE VIEW part_jobs WITH (security_barrier) AS
	SELECT j.id, j.parent_table, j.kind, j.definition,
		CASE WHEN j.state = 'running' AND NOT EXISTS
			(SELECT FROM pg_catalog.pg_stat_activity a WHERE a.pid = j.worker_pid
				AND pg_catalog.starts_with(a.backend_type, 'partmgr ')
				AND (j.is_queued OR a.backend_start <= j.started_at))
			THEN CASE WHEN j.is_queued THEN 'queued' ELSE 'interrupted' END
			ELSE j.state END AS state,
		j.done, j.total, j.asked_by, j.asked_at, j.started_at, j.finished_at, j.sqlstate, j.message
	FROM part_job j
	WHERE pg_catalog.pg_has_role((SELECT relowner FROM pg_catalog.pg_class WHERE oid = j.parent_table), 'USAGE')
		OR pg_catalog.pg_has_role('pg_monitor', 'USAGE');
COMMENT ON VIEW part_jobs IS 'reindexing and new indexes that were asked for, and how far they are';
GRANT SELECT ON part_jobs TO PUBLIC;

--
-- Rows that go to other tables
--

CREATE FUNCTION convert_table(
	p_table text,
	p_control text,
	p_interval text,
	p_type text DEFAULT 'range',
	p_epoch text DEFAULT 'none',
	p_premake int DEFAULT 4,
	p_default_table boolean DEFAULT true,
	p_time_zone text DEFAULT NULL,
	p_name_format text DEFAULT NULL,
	p_retention text DEFAULT NULL,
	p_time_encoder text DEFAULT NULL,
	p_time_decoder text DEFAULT NULL,
	p_mode text DEFAULT 'online',
	p_policy text DEFAULT 'strict',
	p_rows_per_second int DEFAULT NULL
)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'partmgr_convert_table' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION convert_table(text, text, text, text, text, int, boolean, text, text, text, text, text, text, text, int) IS 'make a set of a plain table, under its name, while it is used; by the worker: returns the number of the rewrite';
CREATE PROCEDURE convert_table_proc(
	p_table text,
	p_control text,
	p_interval text,
	p_type text DEFAULT 'range',
	p_epoch text DEFAULT 'none',
	p_premake int DEFAULT 4,
	p_default_table boolean DEFAULT true,
	p_time_zone text DEFAULT NULL,
	p_name_format text DEFAULT NULL,
	p_retention text DEFAULT NULL,
	p_time_encoder text DEFAULT NULL,
	p_time_decoder text DEFAULT NULL,
	p_mode text DEFAULT 'online',
	p_policy text DEFAULT 'strict',
	p_rows_per_second int DEFAULT NULL
)
	AS 'MODULE_PATHNAME', 'partmgr_convert_table' LANGUAGE C;
COMMENT ON PROCEDURE convert_table_proc(text, text, text, text, text, int, boolean, text, text, text, text, text, text, text, int) IS 'make a set of a plain table, under its name, while it is used; in this session';
CREATE FUNCTION convert_table(
	p_table regclass,
	p_control text,
	p_interval text,
	p_type text DEFAULT 'range',
	p_epoch text DEFAULT 'none',
	p_premake int DEFAULT 4,
	p_default_table boolean DEFAULT true,
	p_time_zone text DEFAULT NULL,
	p_name_format text DEFAULT NULL,
	p_retention text DEFAULT NULL,
	p_time_encoder text DEFAULT NULL,
	p_time_decoder text DEFAULT NULL,
	p_mode text DEFAULT 'online',
	p_policy text DEFAULT 'strict',
	p_rows_per_second int DEFAULT NULL
)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'partmgr_convert_table' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION convert_table(regclass, text, text, text, text, int, boolean, text, text, text, text, text, text, text, int) IS 'make a set of a plain table, under its name, while it is used; by the worker: returns the number of the rewrite';
CREATE PROCEDURE convert_table_proc(
	p_table regclass,
	p_control text,
	p_interval text,
	p_type text DEFAULT 'range',
	p_epoch text DEFAULT 'none',
	p_premake int DEFAULT 4,
	p_default_table boolean DEFAULT true,
	p_time_zone text DEFAULT NULL,
	p_name_format text DEFAULT NULL,
	p_retention text DEFAULT NULL,
	p_time_encoder text DEFAULT NULL,
	p_time_decoder text DEFAULT NULL,
	p_mode text DEFAULT 'online',
	p_policy text DEFAULT 'strict',
	p_rows_per_second int DEFAULT NULL
)
	AS 'MODULE_PATHNAME', 'partmgr_convert_table' LANGUAGE C;
COMMENT ON PROCEDURE convert_table_proc(regclass, text, text, text, text, int, boolean, text, text, text, text, text, text, text, int) IS 'make a set of a plain table, under its name, while it is used; in this session';

CREATE FUNCTION drain_default(
	p_parent_table text,
	p_mode text DEFAULT 'online',
	p_policy text DEFAULT 'strict',
	p_rows_per_second int DEFAULT NULL
)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'partmgr_drain_default' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION drain_default(text, text, text, int) IS 'give the rows of the default partition partitions of their own; by the worker: returns the number of the rewrite';
CREATE PROCEDURE drain_default_proc(
	p_parent_table text,
	p_mode text DEFAULT 'online',
	p_policy text DEFAULT 'strict',
	p_rows_per_second int DEFAULT NULL
)
	AS 'MODULE_PATHNAME', 'partmgr_drain_default' LANGUAGE C;
COMMENT ON PROCEDURE drain_default_proc(text, text, text, int) IS 'give the rows of the default partition partitions of their own; in this session';
CREATE FUNCTION drain_default(
	p_parent_table regclass,
	p_mode text DEFAULT 'online',
	p_policy text DEFAULT 'strict',
	p_rows_per_second int DEFAULT NULL
)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'partmgr_drain_default' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION drain_default(regclass, text, text, int) IS 'give the rows of the default partition partitions of their own; by the worker: returns the number of the rewrite';
CREATE PROCEDURE drain_default_proc(
	p_parent_table regclass,
	p_mode text DEFAULT 'online',
	p_policy text DEFAULT 'strict',
	p_rows_per_second int DEFAULT NULL
)
	AS 'MODULE_PATHNAME', 'partmgr_drain_default' LANGUAGE C;
COMMENT ON PROCEDURE drain_default_proc(regclass, text, text, int) IS 'give the rows of the default partition partitions of their own; in this session';

CREATE FUNCTION split_partition(
	p_partition text,
	p_interval text DEFAULT NULL,
	p_at text[] DEFAULT NULL,
	p_mode text DEFAULT 'online',
	p_policy text DEFAULT 'strict',
	p_rows_per_second int DEFAULT NULL
)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'partmgr_split_partition' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION split_partition(text, text, text[], text, text, int) IS 'make several partitions of one; by the worker: returns the number of the rewrite';
CREATE PROCEDURE split_partition_proc(
	p_partition text,
	p_interval text DEFAULT NULL,
	p_at text[] DEFAULT NULL,
	p_mode text DEFAULT 'online',
	p_policy text DEFAULT 'strict',
	p_rows_per_second int DEFAULT NULL
)
	AS 'MODULE_PATHNAME', 'partmgr_split_partition' LANGUAGE C;
COMMENT ON PROCEDURE split_partition_proc(text, text, text[], text, text, int) IS 'make several partitions of one; in this session';
CREATE FUNCTION split_partition(
	p_partition regclass,
	p_interval text DEFAULT NULL,
	p_at text[] DEFAULT NULL,
	p_mode text DEFAULT 'online',
	p_policy text DEFAULT 'strict',
	p_rows_per_second int DEFAULT NULL
)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'partmgr_split_partition' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION split_partition(regclass, text, text[], text, text, int) IS 'make several partitions of one; by the worker: returns the number of the rewrite';
CREATE PROCEDURE split_partition_proc(
	p_partition regclass,
	p_interval text DEFAULT NULL,
	p_at text[] DEFAULT NULL,
	p_mode text DEFAULT 'online',
	p_policy text DEFAULT 'strict',
	p_rows_per_second int DEFAULT NULL
)
	AS 'MODULE_PATHNAME', 'partmgr_split_partition' LANGUAGE C;
COMMENT ON PROCEDURE split_partition_proc(regclass, text, text[], text, text, int) IS 'make several partitions of one; in this session';

CREATE FUNCTION merge_partitions(
	p_parent_table text,
	p_from text,
	p_to text,
	p_mode text DEFAULT 'online',
	p_policy text DEFAULT 'strict',
	p_rows_per_second int DEFAULT NULL
)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'partmgr_merge_partitions' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION merge_partitions(text, text, text, text, text, int) IS 'make one partition of those between two bounds; by the worker: returns the number of the rewrite';
CREATE PROCEDURE merge_partitions_proc(
	p_parent_table text,
	p_from text,
	p_to text,
	p_mode text DEFAULT 'online',
	p_policy text DEFAULT 'strict',
	p_rows_per_second int DEFAULT NULL
)
	AS 'MODULE_PATHNAME', 'partmgr_merge_partitions' LANGUAGE C;
COMMENT ON PROCEDURE merge_partitions_proc(text, text, text, text, text, int) IS 'make one partition of those between two bounds; in this session';
CREATE FUNCTION merge_partitions(
	p_parent_table regclass,
	p_from text,
	p_to text,
	p_mode text DEFAULT 'online',
	p_policy text DEFAULT 'strict',
	p_rows_per_second int DEFAULT NULL
)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'partmgr_merge_partitions' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION merge_partitions(regclass, text, text, text, text, int) IS 'make one partition of those between two bounds; by the worker: returns the number of the rewrite';
CREATE PROCEDURE merge_partitions_proc(
	p_parent_table regclass,
	p_from text,
	p_to text,
	p_mode text DEFAULT 'online',
	p_policy text DEFAULT 'strict',
	p_rows_per_second int DEFAULT NULL
)
	AS 'MODULE_PATHNAME', 'partmgr_merge_partitions' LANGUAGE C;
COMMENT ON PROCEDURE merge_partitions_proc(regclass, text, text, text, text, int) IS 'make one partition of those between two bounds; in this session';

CREATE FUNCTION change_interval(
	p_parent_table text,
	p_interval text,
	p_existing boolean DEFAULT false,
	p_mode text DEFAULT 'online',
	p_policy text DEFAULT 'strict',
	p_rows_per_second int DEFAULT NULL
)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'partmgr_change_interval' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION change_interval(text, text, boolean, text, text, int) IS 'change the width of new partitions, or of all; by the worker: returns the number of the rewrite';
CREATE PROCEDURE change_interval_proc(
	p_parent_table text,
	p_interval text,
	p_existing boolean DEFAULT false,
	p_mode text DEFAULT 'online',
	p_policy text DEFAULT 'strict',
	p_rows_per_second int DEFAULT NULL
)
	AS 'MODULE_PATHNAME', 'partmgr_change_interval' LANGUAGE C;
COMMENT ON PROCEDURE change_interval_proc(text, text, boolean, text, text, int) IS 'change the width of new partitions, or of all; in this session';
CREATE FUNCTION change_interval(
	p_parent_table regclass,
	p_interval text,
	p_existing boolean DEFAULT false,
	p_mode text DEFAULT 'online',
	p_policy text DEFAULT 'strict',
	p_rows_per_second int DEFAULT NULL
)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'partmgr_change_interval' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION change_interval(regclass, text, boolean, text, text, int) IS 'change the width of new partitions, or of all; by the worker: returns the number of the rewrite';
CREATE PROCEDURE change_interval_proc(
	p_parent_table regclass,
	p_interval text,
	p_existing boolean DEFAULT false,
	p_mode text DEFAULT 'online',
	p_policy text DEFAULT 'strict',
	p_rows_per_second int DEFAULT NULL
)
	AS 'MODULE_PATHNAME', 'partmgr_change_interval' LANGUAGE C;
COMMENT ON PROCEDURE change_interval_proc(regclass, text, boolean, text, text, int) IS 'change the width of new partitions, or of all; in this session';

CREATE FUNCTION compress_partitions(
	p_parent_table text,
	p_older_than text,
	p_method text DEFAULT 'lz4',
	p_order_index text DEFAULT NULL,
	p_mode text DEFAULT 'online',
	p_policy text DEFAULT 'strict',
	p_rows_per_second int DEFAULT NULL
)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'partmgr_compress_partitions' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION compress_partitions(text, text, text, text, text, text, int) IS 'write old partitions anew, compressed; by the worker: returns the number of the rewrite';
CREATE PROCEDURE compress_partitions_proc(
	p_parent_table text,
	p_older_than text,
	p_method text DEFAULT 'lz4',
	p_order_index text DEFAULT NULL,
	p_mode text DEFAULT 'online',
	p_policy text DEFAULT 'strict',
	p_rows_per_second int DEFAULT NULL
)
	AS 'MODULE_PATHNAME', 'partmgr_compress_partitions' LANGUAGE C;
COMMENT ON PROCEDURE compress_partitions_proc(text, text, text, text, text, text, int) IS 'write old partitions anew, compressed; in this session';
CREATE FUNCTION compress_partitions(
	p_parent_table regclass,
	p_older_than text,
	p_method text DEFAULT 'lz4',
	p_order_index text DEFAULT NULL,
	p_mode text DEFAULT 'online',
	p_policy text DEFAULT 'strict',
	p_rows_per_second int DEFAULT NULL
)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'partmgr_compress_partitions' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION compress_partitions(regclass, text, text, text, text, text, int) IS 'write old partitions anew, compressed; by the worker: returns the number of the rewrite';
CREATE PROCEDURE compress_partitions_proc(
	p_parent_table regclass,
	p_older_than text,
	p_method text DEFAULT 'lz4',
	p_order_index text DEFAULT NULL,
	p_mode text DEFAULT 'online',
	p_policy text DEFAULT 'strict',
	p_rows_per_second int DEFAULT NULL
)
	AS 'MODULE_PATHNAME', 'partmgr_compress_partitions' LANGUAGE C;
COMMENT ON PROCEDURE compress_partitions_proc(regclass, text, text, text, text, text, int) IS 'write old partitions anew, compressed; in this session';

CREATE FUNCTION unpartition(
	p_parent_table text,
	p_mode text DEFAULT 'online',
	p_policy text DEFAULT 'strict',
	p_rows_per_second int DEFAULT NULL
)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'partmgr_unpartition' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION unpartition(text, text, text, int) IS 'make a plain table of a set, under its name, while it is used; by the worker: returns the number of the rewrite';
CREATE PROCEDURE unpartition_proc(
	p_parent_table text,
	p_mode text DEFAULT 'online',
	p_policy text DEFAULT 'strict',
	p_rows_per_second int DEFAULT NULL
)
	AS 'MODULE_PATHNAME', 'partmgr_unpartition' LANGUAGE C;
COMMENT ON PROCEDURE unpartition_proc(text, text, text, int) IS 'make a plain table of a set, under its name, while it is used; in this session';
CREATE FUNCTION unpartition(
	p_parent_table regclass,
	p_mode text DEFAULT 'online',
	p_policy text DEFAULT 'strict',
	p_rows_per_second int DEFAULT NULL
)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'partmgr_unpartition' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION unpartition(regclass, text, text, int) IS 'make a plain table of a set, under its name, while it is used; by the worker: returns the number of the rewrite';
CREATE PROCEDURE unpartition_proc(
	p_parent_table regclass,
	p_mode text DEFAULT 'online',
	p_policy text DEFAULT 'strict',
	p_rows_per_second int DEFAULT NULL
)
	AS 'MODULE_PATHNAME', 'partmgr_unpartition' LANGUAGE C;
COMMENT ON PROCEDURE unpartition_proc(regclass, text, text, int) IS 'make a plain table of a set, under its name, while it is used; in this session';

CREATE FUNCTION convert_table_plan(p_table text, p_control text)
	RETURNS TABLE (object text, what text, is_problem boolean)
	AS 'MODULE_PATHNAME', 'partmgr_convert_table_plan' LANGUAGE C STABLE;
COMMENT ON FUNCTION convert_table_plan(text, text) IS 'what hangs on a table, what becomes of it when the table is converted, and what stands in the way';
CREATE FUNCTION convert_table_plan(p_table regclass, p_control text)
	RETURNS TABLE (object text, what text, is_problem boolean)
	AS 'MODULE_PATHNAME', 'partmgr_convert_table_plan' LANGUAGE C STABLE;
COMMENT ON FUNCTION convert_table_plan(regclass, text) IS 'what hangs on a table, what becomes of it when the table is converted, and what stands in the way';

CREATE FUNCTION pause_rewrite(p_rewrite bigint)
	RETURNS boolean
	AS 'MODULE_PATHNAME', 'partmgr_pause_rewrite' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION pause_rewrite(bigint) IS 'have a rewrite stop where it is; false if it is not at work';
CREATE FUNCTION resume_rewrite(p_rewrite bigint)
	RETURNS void
	AS 'MODULE_PATHNAME', 'partmgr_resume_rewrite' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION resume_rewrite(bigint) IS 'have the worker go on with a rewrite';
CREATE PROCEDURE resume_rewrite_proc(p_rewrite bigint)
	AS 'MODULE_PATHNAME', 'partmgr_resume_rewrite' LANGUAGE C;
COMMENT ON PROCEDURE resume_rewrite_proc(bigint) IS 'go on with a rewrite in this session';
CREATE FUNCTION cancel_rewrite(p_rewrite bigint)
	RETURNS boolean
	AS 'MODULE_PATHNAME', 'partmgr_cancel_rewrite' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION cancel_rewrite(bigint) IS 'end a rewrite and leave all as it was; false if it has ended already';

-- rows of a table of ours, counted by the statistics: notes that are not applied yet
CREATE VIEW rewrite_progress WITH (security_barrier) AS
	SELECT r.id, r.parent_table, r.kind, r.options,
		CASE WHEN r.state = 'running' AND NOT EXISTS
			(SELECT FROM pg_catalog.pg_locks l WHERE l.locktype = 'advisory' AND l.granted
				AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
				AND l.classid = 1886218103 AND l.objid::bigint = r.id AND l.objsubid = 3)
			THEN CASE WHEN r.is_queued THEN 'queued' ELSE 'interrupted' END
			ELSE r.state END AS state,
		CASE WHEN r.finished_at IS NULL THEN r.phase END AS phase, r.units, r.rows_done, nullif(r.rows_total, 0) AS rows_total, r.bytes_done, r.bytes_total,
		CASE WHEN r.phase = 'copy' AND r.rows_done > 0 THEN
			(r.rows_done / greatest(EXTRACT(epoch FROM pg_catalog.clock_timestamp() - r.started_at), 0.001))::bigint END AS rows_per_second,
		pg_catalog.pg_stat_get_live_tuples(r.notes) AS notes,
		r.started_at, r.phase_at,
		CASE WHEN r.phase = 'copy' AND r.bytes_done > 0 AND r.bytes_total >= r.bytes_done THEN
			pg_catalog.clock_timestamp() + (pg_catalog.clock_timestamp() - r.started_at)
				* ((r.bytes_total - r.bytes_done)::double precision / r.bytes_done) END AS copied_at,
		r.finished_at, r.asked_by, r.sqlstate, r.message
	FROM part_rewrite r
	WHERE pg_catalog.pg_has_role((SELECT relowner FROM pg_catalog.pg_class WHERE oid = r.parent_table), 'USAGE')
		OR pg_catalog.pg_has_role('pg_monitor', 'USAGE');
COMMENT ON VIEW rewrite_progress IS 'rewrites that were asked for, how far they are and how they ended';
GRANT SELECT ON rewrite_progress TO PUBLIC;

--
-- pg_partman's functions that move rows
--

CREATE FUNCTION partition_data_time(
	p_parent_table text,
	p_batch_count int DEFAULT 1,
	p_batch_interval interval DEFAULT NULL,
	p_lock_wait numeric DEFAULT 0,
	p_order text DEFAULT 'ASC',
	p_analyze boolean DEFAULT true,
	p_source_table text DEFAULT NULL,
	p_ignored_columns text[] DEFAULT NULL,
	p_override_system_value boolean DEFAULT false,
	p_ignore_infinity boolean DEFAULT false
)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'partmgr_partition_data' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION partition_data_time(text, int, interval, numeric, text, boolean, text, text[], boolean, boolean) IS 'move rows of the default, or of another table, to partitions; returns how many';
CREATE FUNCTION partition_data_time(
	p_parent_table regclass,
	p_batch_count int DEFAULT 1,
	p_batch_interval interval DEFAULT NULL,
	p_lock_wait numeric DEFAULT 0,
	p_order text DEFAULT 'ASC',
	p_analyze boolean DEFAULT true,
	p_source_table text DEFAULT NULL,
	p_ignored_columns text[] DEFAULT NULL,
	p_override_system_value boolean DEFAULT false,
	p_ignore_infinity boolean DEFAULT false
)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'partmgr_partition_data' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION partition_data_time(regclass, int, interval, numeric, text, boolean, text, text[], boolean, boolean) IS 'move rows of the default, or of another table, to partitions; returns how many';
CREATE FUNCTION partition_data_id(
	p_parent_table text,
	p_batch_count int DEFAULT 1,
	p_batch_interval bigint DEFAULT NULL,
	p_lock_wait numeric DEFAULT 0,
	p_order text DEFAULT 'ASC',
	p_analyze boolean DEFAULT true,
	p_source_table text DEFAULT NULL,
	p_ignored_columns text[] DEFAULT NULL,
	p_override_system_value boolean DEFAULT false
)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'partmgr_partition_data' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION partition_data_id(text, int, bigint, numeric, text, boolean, text, text[], boolean) IS 'move rows of the default, or of another table, to partitions; returns how many';
CREATE FUNCTION partition_data_id(
	p_parent_table regclass,
	p_batch_count int DEFAULT 1,
	p_batch_interval bigint DEFAULT NULL,
	p_lock_wait numeric DEFAULT 0,
	p_order text DEFAULT 'ASC',
	p_analyze boolean DEFAULT true,
	p_source_table text DEFAULT NULL,
	p_ignored_columns text[] DEFAULT NULL,
	p_override_system_value boolean DEFAULT false
)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'partmgr_partition_data' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION partition_data_id(regclass, int, bigint, numeric, text, boolean, text, text[], boolean) IS 'move rows of the default, or of another table, to partitions; returns how many';
CREATE PROCEDURE partition_data_proc(
	p_parent_table text,
	p_loop_count int DEFAULT NULL,
	p_interval text DEFAULT NULL,
	p_lock_wait int DEFAULT 0,
	p_lock_wait_tries int DEFAULT 10,
	p_wait int DEFAULT 1,
	p_order text DEFAULT 'ASC',
	p_source_table text DEFAULT NULL,
	p_ignored_columns text[] DEFAULT NULL,
	p_quiet boolean DEFAULT false,
	p_ignore_infinity boolean DEFAULT false
)
	AS 'MODULE_PATHNAME', 'partmgr_partition_data_proc' LANGUAGE C;
COMMENT ON PROCEDURE partition_data_proc(text, int, text, int, int, int, text, text, text[], boolean, boolean) IS 'move all rows of the default, or of another table, to partitions';
CREATE PROCEDURE partition_data_proc(
	p_parent_table regclass,
	p_loop_count int DEFAULT NULL,
	p_interval text DEFAULT NULL,
	p_lock_wait int DEFAULT 0,
	p_lock_wait_tries int DEFAULT 10,
	p_wait int DEFAULT 1,
	p_order text DEFAULT 'ASC',
	p_source_table text DEFAULT NULL,
	p_ignored_columns text[] DEFAULT NULL,
	p_quiet boolean DEFAULT false,
	p_ignore_infinity boolean DEFAULT false
)
	AS 'MODULE_PATHNAME', 'partmgr_partition_data_proc' LANGUAGE C;
COMMENT ON PROCEDURE partition_data_proc(regclass, int, text, int, int, int, text, text, text[], boolean, boolean) IS 'move all rows of the default, or of another table, to partitions';
CREATE PROCEDURE partition_data_async(
	p_parent_table text,
	p_loop_count int DEFAULT NULL,
	p_interval text DEFAULT NULL,
	p_lock_wait int DEFAULT 0,
	p_lock_wait_tries int DEFAULT 10,
	p_wait int DEFAULT 1,
	p_order text DEFAULT 'ASC',
	p_ignored_columns text[] DEFAULT NULL,
	p_quiet boolean DEFAULT false
)
	AS 'MODULE_PATHNAME', 'partmgr_partition_data_async' LANGUAGE C;
COMMENT ON PROCEDURE partition_data_async(text, int, text, int, int, int, text, text[], boolean) IS 'move all rows of the default to partitions while everybody keeps writing';
CREATE PROCEDURE partition_data_async(
	p_parent_table regclass,
	p_loop_count int DEFAULT NULL,
	p_interval text DEFAULT NULL,
	p_lock_wait int DEFAULT 0,
	p_lock_wait_tries int DEFAULT 10,
	p_wait int DEFAULT 1,
	p_order text DEFAULT 'ASC',
	p_ignored_columns text[] DEFAULT NULL,
	p_quiet boolean DEFAULT false
)
	AS 'MODULE_PATHNAME', 'partmgr_partition_data_async' LANGUAGE C;
COMMENT ON PROCEDURE partition_data_async(regclass, int, text, int, int, int, text, text[], boolean) IS 'move all rows of the default to partitions while everybody keeps writing';
CREATE FUNCTION undo_partition(
	p_parent_table text,
	p_target_table text,
	p_loop_count int DEFAULT 1,
	p_batch_interval text DEFAULT NULL,
	p_keep_table boolean DEFAULT true,
	p_lock_wait numeric DEFAULT 0,
	p_ignored_columns text[] DEFAULT NULL,
	p_drop_cascade boolean DEFAULT false,
	OUT partitions_undone int,
	OUT rows_undone bigint
)
	AS 'MODULE_PATHNAME', 'partmgr_undo_partition' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION undo_partition(text, text, int, text, boolean, numeric, text[], boolean) IS 'move rows of partitions to a plain table, and let the empty ones go';
CREATE FUNCTION undo_partition(
	p_parent_table regclass,
	p_target_table text,
	p_loop_count int DEFAULT 1,
	p_batch_interval text DEFAULT NULL,
	p_keep_table boolean DEFAULT true,
	p_lock_wait numeric DEFAULT 0,
	p_ignored_columns text[] DEFAULT NULL,
	p_drop_cascade boolean DEFAULT false,
	OUT partitions_undone int,
	OUT rows_undone bigint
)
	AS 'MODULE_PATHNAME', 'partmgr_undo_partition' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION undo_partition(regclass, text, int, text, boolean, numeric, text[], boolean) IS 'move rows of partitions to a plain table, and let the empty ones go';
CREATE PROCEDURE undo_partition_proc(
	p_parent_table text,
	p_target_table text DEFAULT NULL,
	p_loop_count int DEFAULT NULL,
	p_interval text DEFAULT NULL,
	p_keep_table boolean DEFAULT true,
	p_lock_wait int DEFAULT 0,
	p_lock_wait_tries int DEFAULT 10,
	p_wait int DEFAULT 1,
	p_ignored_columns text[] DEFAULT NULL,
	p_drop_cascade boolean DEFAULT false,
	p_quiet boolean DEFAULT false
)
	AS 'MODULE_PATHNAME', 'partmgr_undo_partition_proc' LANGUAGE C;
COMMENT ON PROCEDURE undo_partition_proc(text, text, int, text, boolean, int, int, int, text[], boolean, boolean) IS 'the same for all partitions; without a target the set becomes a plain table under its name';
CREATE PROCEDURE undo_partition_proc(
	p_parent_table regclass,
	p_target_table text DEFAULT NULL,
	p_loop_count int DEFAULT NULL,
	p_interval text DEFAULT NULL,
	p_keep_table boolean DEFAULT true,
	p_lock_wait int DEFAULT 0,
	p_lock_wait_tries int DEFAULT 10,
	p_wait int DEFAULT 1,
	p_ignored_columns text[] DEFAULT NULL,
	p_drop_cascade boolean DEFAULT false,
	p_quiet boolean DEFAULT false
)
	AS 'MODULE_PATHNAME', 'partmgr_undo_partition_proc' LANGUAGE C;
COMMENT ON PROCEDURE undo_partition_proc(regclass, text, int, text, boolean, int, int, int, text[], boolean, boolean) IS 'the same for all partitions; without a target the set becomes a plain table under its name';

--
-- Extra constraints, privileges, properties
--

CREATE FUNCTION apply_constraints(
	p_parent_table text,
	p_child_table text DEFAULT NULL,
	p_analyze boolean DEFAULT false,
	p_job_id bigint DEFAULT NULL
)
	RETURNS void
	AS 'MODULE_PATHNAME', 'partmgr_apply_constraints' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION apply_constraints(text, text, boolean, bigint) IS 'give a partition CHECKs on the least and greatest values of constraint_cols; without a name, the one whose turn it is';
CREATE FUNCTION apply_constraints(
	p_parent_table regclass,
	p_child_table regclass DEFAULT NULL,
	p_analyze boolean DEFAULT false,
	p_job_id bigint DEFAULT NULL
)
	RETURNS void
	AS 'MODULE_PATHNAME', 'partmgr_apply_constraints' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION apply_constraints(regclass, regclass, boolean, bigint) IS 'give a partition CHECKs on the least and greatest values of constraint_cols; without a name, the one whose turn it is';

CREATE FUNCTION drop_constraints(p_parent_table text, p_child_table text, p_debug boolean DEFAULT false)
	RETURNS void
	AS 'MODULE_PATHNAME', 'partmgr_drop_constraints' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION drop_constraints(text, text, boolean) IS 'drop these CHECKs from a partition';
CREATE FUNCTION drop_constraints(p_parent_table regclass, p_child_table regclass, p_debug boolean DEFAULT false)
	RETURNS void
	AS 'MODULE_PATHNAME', 'partmgr_drop_constraints' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION drop_constraints(regclass, regclass, boolean) IS 'drop these CHECKs from a partition';

CREATE PROCEDURE reapply_constraints_proc(
	p_parent_table text,
	p_drop_constraints boolean DEFAULT false,
	p_apply_constraints boolean DEFAULT false,
	p_analyze boolean DEFAULT true,
	p_wait int DEFAULT 0,
	p_dryrun boolean DEFAULT false
)
	AS 'MODULE_PATHNAME', 'partmgr_reapply_constraints_proc' LANGUAGE C;
COMMENT ON PROCEDURE reapply_constraints_proc(text, boolean, boolean, boolean, int, boolean) IS 'drop these CHECKs from all old partitions, or make them, with a commit after each';
CREATE PROCEDURE reapply_constraints_proc(
	p_parent_table regclass,
	p_drop_constraints boolean DEFAULT false,
	p_apply_constraints boolean DEFAULT false,
	p_analyze boolean DEFAULT true,
	p_wait int DEFAULT 0,
	p_dryrun boolean DEFAULT false
)
	AS 'MODULE_PATHNAME', 'partmgr_reapply_constraints_proc' LANGUAGE C;
COMMENT ON PROCEDURE reapply_constraints_proc(regclass, boolean, boolean, boolean, int, boolean) IS 'drop these CHECKs from all old partitions, or make them, with a commit after each';

CREATE FUNCTION reapply_privileges(p_parent_table text)
	RETURNS void
	AS 'MODULE_PATHNAME', 'partmgr_reapply_privileges' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION reapply_privileges(text) IS 'give all partitions of a set the owner and the privileges of the parent';
CREATE FUNCTION reapply_privileges(p_parent_table regclass)
	RETURNS void
	AS 'MODULE_PATHNAME', 'partmgr_reapply_privileges' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION reapply_privileges(regclass) IS 'give all partitions of a set the owner and the privileges of the parent';

CREATE FUNCTION apply_privileges(
	p_parent_schema text,
	p_parent_tablename text,
	p_child_schema text,
	p_child_tablename text,
	p_job_id bigint DEFAULT NULL
)
	RETURNS void
	AS 'MODULE_PATHNAME', 'partmgr_apply_privileges' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION apply_privileges(text, text, text, text, bigint) IS 'give a table the owner and the privileges of another one, and no others';

CREATE FUNCTION inherit_template_properties(p_parent_table text, p_child_schema text, p_child_tablename text)
	RETURNS boolean
	AS 'MODULE_PATHNAME', 'partmgr_inherit_template_properties' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION inherit_template_properties(text, text, text) IS 'give a table what new partitions of a set take from its template table';
CREATE FUNCTION inherit_template_properties(p_parent_table regclass, p_child_schema text, p_child_tablename text)
	RETURNS boolean
	AS 'MODULE_PATHNAME', 'partmgr_inherit_template_properties' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION inherit_template_properties(regclass, text, text) IS 'give a table what new partitions of a set take from its template table';

CREATE FUNCTION inherit_parent_properties(
	p_parent_schema text,
	p_parent_tablename text,
	p_child_tablename text,
	p_child_schema text DEFAULT NULL
)
	RETURNS void
	AS 'MODULE_PATHNAME', 'partmgr_inherit_parent_properties' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION inherit_parent_properties(text, text, text, text) IS 'give the columns of a table the statistics targets of another one';

CREATE FUNCTION inherit_replica_identity(p_parent_schemaname text, p_parent_tablename text, p_child_tablename text)
	RETURNS void
	AS 'MODULE_PATHNAME', 'partmgr_inherit_replica_identity' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION inherit_replica_identity(text, text, text) IS 'give a partition the replica identity of its parent';

CREATE FUNCTION apply_cluster(
	p_parent_schema text,
	p_parent_tablename text,
	p_child_schema text,
	p_child_tablename text
)
	RETURNS void
	AS 'MODULE_PATHNAME', 'partmgr_apply_cluster' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION apply_cluster(text, text, text, text) IS 'have a table clustered by the same index as another one';

CREATE FUNCTION autovacuum_off(
	p_parent_schema text,
	p_parent_tablename text,
	p_source_schema text DEFAULT NULL,
	p_source_tablename text DEFAULT NULL
)
	RETURNS boolean
	AS 'MODULE_PATHNAME', 'partmgr_autovacuum_off' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION autovacuum_off(text, text, text, text) IS 'keep autovacuum from the partitions of a table, and from another table';

CREATE FUNCTION autovacuum_reset(
	p_parent_schema text,
	p_parent_tablename text,
	p_source_schema text DEFAULT NULL,
	p_source_tablename text DEFAULT NULL
)
	RETURNS boolean
	AS 'MODULE_PATHNAME', 'partmgr_autovacuum_reset' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION autovacuum_reset(text, text, text, text) IS 'let autovacuum come to them again';

-- privileges of tables, faster than information_schema.table_privileges
CREATE VIEW table_privs AS
	SELECT grantor.rolname AS grantor, coalesce(grantee.rolname, 'PUBLIC') AS grantee, n.nspname AS table_schema,
		c.relname AS table_name, a.privilege_type
	FROM pg_catalog.pg_class c
		JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		CROSS JOIN LATERAL pg_catalog.aclexplode(coalesce(c.relacl, pg_catalog.acldefault('r', c.relowner))) a
		JOIN pg_catalog.pg_roles grantor ON grantor.oid = a.grantor
		LEFT JOIN pg_catalog.pg_roles grantee ON grantee.oid = a.grantee
	WHERE c.relkind IN ('r', 'v', 'p')
		AND (a.grantee = 0 OR pg_catalog.pg_has_role(a.grantor, 'USAGE') OR pg_catalog.pg_has_role(a.grantee, 'USAGE'));
COMMENT ON VIEW table_privs IS 'privileges of tables and views that the user has, has given, or everybody has';
GRANT SELECT ON table_privs TO PUBLIC;

--
-- Look
--

CREATE FUNCTION list_partitions(p_parent_table text DEFAULT NULL)
	RETURNS TABLE (parent_table regclass, partition_name regclass, range text,
		lower_time timestamptz, upper_time timestamptz, lower_id bigint, upper_id bigint,
		is_default boolean, state text, row_estimate bigint, bytes bigint,
		last_analyze timestamptz, last_vacuum timestamptz)
	AS 'MODULE_PATHNAME', 'partmgr_list_partitions' LANGUAGE C STABLE;
COMMENT ON FUNCTION list_partitions(text) IS 'the partitions of one set, or all';
CREATE FUNCTION list_partitions(p_parent_table regclass)
	RETURNS TABLE (parent_table regclass, partition_name regclass, range text,
		lower_time timestamptz, upper_time timestamptz, lower_id bigint, upper_id bigint,
		is_default boolean, state text, row_estimate bigint, bytes bigint,
		last_analyze timestamptz, last_vacuum timestamptz)
	AS 'MODULE_PATHNAME', 'partmgr_list_partitions' LANGUAGE C STABLE;
COMMENT ON FUNCTION list_partitions(regclass) IS 'the partitions of one set, or all';

CREATE VIEW partition_metadata AS SELECT * FROM list_partitions(NULL::text);
COMMENT ON VIEW partition_metadata IS 'the partitions of all sets';
GRANT SELECT ON partition_metadata TO PUBLIC;

CREATE FUNCTION partition_health_summary(p_parent_table text DEFAULT NULL)
	RETURNS TABLE (parent_table regclass, status text, partitions bigint, row_estimate bigint,
		bytes bigint, oldest text, newest text, partitions_ahead int, time_ahead interval,
		pending_cleanup bigint, default_rows bigint, gaps bigint, name_clashes bigint,
		last_run timestamptz, last_error text, last_sqlstate text, last_error_at timestamptz,
		next_run timestamptz, problems text[], notes text[])
	AS 'MODULE_PATHNAME', 'partmgr_partition_health_summary' LANGUAGE C STABLE;
COMMENT ON FUNCTION partition_health_summary(text) IS 'how each set is doing, the worst first';
CREATE FUNCTION partition_health_summary(p_parent_table regclass)
	RETURNS TABLE (parent_table regclass, status text, partitions bigint, row_estimate bigint,
		bytes bigint, oldest text, newest text, partitions_ahead int, time_ahead interval,
		pending_cleanup bigint, default_rows bigint, gaps bigint, name_clashes bigint,
		last_run timestamptz, last_error text, last_sqlstate text, last_error_at timestamptz,
		next_run timestamptz, problems text[], notes text[])
	AS 'MODULE_PATHNAME', 'partmgr_partition_health_summary' LANGUAGE C STABLE;
COMMENT ON FUNCTION partition_health_summary(regclass) IS 'how each set is doing, the worst first';

CREATE FUNCTION show_partitions(p_parent_table text, p_order text DEFAULT 'ASC', p_include_default boolean DEFAULT false)
	RETURNS TABLE (partition_schemaname text, partition_tablename text)
	AS 'MODULE_PATHNAME', 'partmgr_show_partitions' LANGUAGE C STABLE;
COMMENT ON FUNCTION show_partitions(text, text, boolean) IS 'the partitions of a set in the order of their bounds';
CREATE FUNCTION show_partitions(
	p_parent_table regclass,
	p_order text DEFAULT 'ASC',
	p_include_default boolean DEFAULT false
)
	RETURNS TABLE (partition_schemaname text, partition_tablename text)
	AS 'MODULE_PATHNAME', 'partmgr_show_partitions' LANGUAGE C STABLE;
COMMENT ON FUNCTION show_partitions(regclass, text, boolean) IS 'the partitions of a set in the order of their bounds';

CREATE FUNCTION show_partition_info(
	p_child_table text,
	p_partition_interval text DEFAULT NULL,
	p_parent_table text DEFAULT NULL,
	p_table_exists boolean DEFAULT true,
	OUT child_start_time timestamptz,
	OUT child_end_time timestamptz,
	OUT child_start_id bigint,
	OUT child_end_id bigint,
	OUT suffix text
)
	AS 'MODULE_PATHNAME', 'partmgr_show_partition_info' LANGUAGE C STABLE;
COMMENT ON FUNCTION show_partition_info(text, text, text, boolean) IS 'the bounds of a partition';
CREATE FUNCTION show_partition_info(
	p_child_table regclass,
	p_partition_interval text DEFAULT NULL,
	p_parent_table text DEFAULT NULL,
	p_table_exists boolean DEFAULT true,
	OUT child_start_time timestamptz,
	OUT child_end_time timestamptz,
	OUT child_start_id bigint,
	OUT child_end_id bigint,
	OUT suffix text
)
	AS 'MODULE_PATHNAME', 'partmgr_show_partition_info' LANGUAGE C STABLE;
COMMENT ON FUNCTION show_partition_info(regclass, text, text, boolean) IS 'the bounds of a partition';

CREATE FUNCTION show_partition_name(
	p_parent_table text,
	p_value text,
	OUT partition_schema text,
	OUT partition_table text,
	OUT suffix_timestamp timestamptz,
	OUT suffix_id bigint,
	OUT table_exists boolean
)
	AS 'MODULE_PATHNAME', 'partmgr_show_partition_name' LANGUAGE C STABLE;
COMMENT ON FUNCTION show_partition_name(text, text) IS 'the partition that a value belongs to, whether it exists or not';
CREATE FUNCTION show_partition_name(
	p_parent_table regclass,
	p_value text,
	OUT partition_schema text,
	OUT partition_table text,
	OUT suffix_timestamp timestamptz,
	OUT suffix_id bigint,
	OUT table_exists boolean
)
	AS 'MODULE_PATHNAME', 'partmgr_show_partition_name' LANGUAGE C STABLE;
COMMENT ON FUNCTION show_partition_name(regclass, text) IS 'the partition that a value belongs to, whether it exists or not';

CREATE FUNCTION dump_partitioned_table_definition(p_parent_table text, p_ignore_template_table boolean DEFAULT false)
	RETURNS text
	AS 'MODULE_PATHNAME', 'partmgr_dump_partitioned_table_definition' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION dump_partitioned_table_definition(text, boolean) IS 'the statements that make a set what it is';
CREATE FUNCTION dump_partitioned_table_definition(
	p_parent_table regclass,
	p_ignore_template_table boolean DEFAULT false
)
	RETURNS text
	AS 'MODULE_PATHNAME', 'partmgr_dump_partitioned_table_definition' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION dump_partitioned_table_definition(regclass, boolean) IS 'the statements that make a set what it is';

CREATE FUNCTION check_default(p_exact_count boolean DEFAULT true, p_ignore_infinity boolean DEFAULT false)
	RETURNS TABLE (default_table text, count bigint)
	AS 'MODULE_PATHNAME', 'partmgr_check_default' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION check_default(boolean, boolean) IS 'the default partitions that hold rows';

--
-- What scripts written for pg_partman ask
--

CREATE FUNCTION calculate_time_partition_info(
	p_time_interval interval,
	p_start_time timestamptz,
	p_date_trunc_interval text DEFAULT NULL,
	OUT base_timestamp timestamptz,
	OUT datetime_string text
)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
	AS $$
	SELECT date_trunc(coalesce(p_date_trunc_interval, CASE
			WHEN p_time_interval >= '1000 years' THEN 'millennium'
			WHEN p_time_interval >= '100 years' THEN 'century'
			WHEN p_time_interval >= '10 years' THEN 'decade'
			WHEN p_time_interval >= '1 year' THEN 'year'
			WHEN p_time_interval >= '1 month' THEN 'month'
			WHEN p_time_interval >= '1 day' THEN 'day'
			WHEN p_time_interval >= '1 minute' THEN 'hour'
			ELSE 'minute'
		END), p_start_time),
		CASE WHEN p_time_interval < '1 day' THEN 'YYYYMMDD_HH24MISS' ELSE 'YYYYMMDD' END
$$;
COMMENT ON FUNCTION calculate_time_partition_info(interval, timestamptz, text) IS 'where the first partition of an interval begins, and how its time is written in names';

CREATE FUNCTION check_control_type(p_parent_schema text, p_parent_tablename text, p_control text)
	RETURNS TABLE (general_type text, exact_type text)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
	AS $$
	SELECT CASE
			WHEN t.typname IN ('timestamptz', 'timestamp', 'date') THEN 'time'
			WHEN t.typname IN ('int2', 'int4', 'int8', 'numeric') THEN 'id'
			WHEN t.typname IN ('text', 'varchar') THEN 'text'
			WHEN t.typname = 'uuid' THEN 'uuid'
		END, t.typname::text
	FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
	WHERE a.attrelid = to_regclass(format('%I.%I', p_parent_schema, p_parent_tablename)) AND a.attname = p_control
		AND NOT a.attisdropped
$$;
COMMENT ON FUNCTION check_control_type(text, text, text) IS 'the type of a column: time, id, text or uuid, and its name';

CREATE FUNCTION check_name_length(p_object_name text, p_suffix text DEFAULT NULL, p_table_partition boolean DEFAULT false)
	RETURNS text
	AS 'MODULE_PATHNAME', 'partmgr_check_name_length' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION check_name_length(text, text, boolean) IS 'a name with something after it, shortened to 63 bytes if it must be';

CREATE FUNCTION partman_safe_obj_name(p_object_name text) RETURNS text
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
	AS $$
	SELECT CASE WHEN strpos(p_object_name, '.') = 0 THEN quote_ident(p_object_name)
		ELSE format('%I.%I', split_part(p_object_name, '.', 1), split_part(p_object_name, '.', 2)) END
$$;
COMMENT ON FUNCTION partman_safe_obj_name(text) IS 'a name as pg_partman spells it, with quotes around what needs them';

CREATE FUNCTION check_subpart_sameconfig(p_parent_table text)
	RETURNS TABLE (
		sub_control text, sub_partition_interval text, sub_partition_type text,
		sub_premake int, sub_automatic_maintenance text, sub_template_table text,
		sub_retention text, sub_retention_schema text, sub_retention_keep_index boolean,
		sub_retention_keep_table boolean, sub_epoch text, sub_constraint_cols text[],
		sub_optimize_constraint int, sub_infinite_time_partitions boolean, sub_jobmon boolean,
		sub_inherit_privileges boolean, sub_constraint_valid boolean, sub_date_trunc_interval text,
		sub_ignore_default_data boolean, sub_default_table boolean, sub_maintenance_order int,
		sub_retention_keep_publication boolean, sub_control_not_null boolean, sub_detach_before_drop boolean,
		sub_maintenance_role text)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
	AS $$
	SELECT DISTINCT
		a.sub_control, a.sub_partition_interval, a.sub_partition_type, a.sub_premake,
		a.sub_automatic_maintenance, a.sub_template_table::text, a.sub_retention, a.sub_retention_schema,
		a.sub_retention_keep_index, a.sub_retention_keep_table, a.sub_epoch, a.sub_constraint_cols,
		a.sub_optimize_constraint, a.sub_infinite_time_partitions, a.sub_jobmon, a.sub_inherit_privileges,
		a.sub_constraint_valid, a.sub_date_trunc_interval, a.sub_ignore_default_data, a.sub_default_table,
		a.sub_maintenance_order, a.sub_retention_keep_publication, a.sub_control_not_null, a.sub_detach_before_drop,
		a.sub_maintenance_role
	FROM @extschema@.part_config_sub a JOIN pg_inherits h ON h.inhrelid = a.sub_parent
	WHERE h.inhparent::regclass = p_parent_table
$$;
COMMENT ON FUNCTION check_subpart_sameconfig(text) IS 'with what settings the partitions of a set make sub-sets: more than one row if they differ';
CREATE FUNCTION check_subpart_sameconfig(p_parent_table regclass)
	RETURNS TABLE (
		sub_control text, sub_partition_interval text, sub_partition_type text,
		sub_premake int, sub_automatic_maintenance text, sub_template_table text,
		sub_retention text, sub_retention_schema text, sub_retention_keep_index boolean,
		sub_retention_keep_table boolean, sub_epoch text, sub_constraint_cols text[],
		sub_optimize_constraint int, sub_infinite_time_partitions boolean, sub_jobmon boolean,
		sub_inherit_privileges boolean, sub_constraint_valid boolean, sub_date_trunc_interval text,
		sub_ignore_default_data boolean, sub_default_table boolean, sub_maintenance_order int,
		sub_retention_keep_publication boolean, sub_control_not_null boolean, sub_detach_before_drop boolean,
		sub_maintenance_role text)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
	AS $$
	SELECT DISTINCT
		a.sub_control, a.sub_partition_interval, a.sub_partition_type, a.sub_premake,
		a.sub_automatic_maintenance, a.sub_template_table::text, a.sub_retention, a.sub_retention_schema,
		a.sub_retention_keep_index, a.sub_retention_keep_table, a.sub_epoch, a.sub_constraint_cols,
		a.sub_optimize_constraint, a.sub_infinite_time_partitions, a.sub_jobmon, a.sub_inherit_privileges,
		a.sub_constraint_valid, a.sub_date_trunc_interval, a.sub_ignore_default_data, a.sub_default_table,
		a.sub_maintenance_order, a.sub_retention_keep_publication, a.sub_control_not_null, a.sub_detach_before_drop,
		a.sub_maintenance_role
	FROM @extschema@.part_config_sub a JOIN pg_inherits h ON h.inhrelid = a.sub_parent
	WHERE h.inhparent = p_parent_table
$$;
COMMENT ON FUNCTION check_subpart_sameconfig(regclass) IS 'with what settings the partitions of a set make sub-sets: more than one row if they differ';

CREATE FUNCTION check_subpartition_limits(p_parent_table text, p_type text, OUT sub_min text, OUT sub_max text)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
	AS $$
	SELECT CASE p_type WHEN 'time' THEN i.child_start_time::text WHEN 'id' THEN i.child_start_id::text END,
		CASE p_type WHEN 'time' THEN i.child_end_time::text WHEN 'id' THEN i.child_end_id::text END
	FROM @extschema@.part_config c JOIN pg_inherits h ON h.inhparent = c.parent_table,
		LATERAL @extschema@.show_partition_info(h.inhrelid::regclass) i
	WHERE h.inhrelid::regclass = p_parent_table
$$;
COMMENT ON FUNCTION check_subpartition_limits(text, text) IS 'within which bounds the partitions of a sub-set must lie; null if it is none, or of another kind';
CREATE FUNCTION check_subpartition_limits(p_parent_table regclass, p_type text, OUT sub_min text, OUT sub_max text)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
	AS $$
	SELECT CASE p_type WHEN 'time' THEN i.child_start_time::text WHEN 'id' THEN i.child_start_id::text END,
		CASE p_type WHEN 'time' THEN i.child_end_time::text WHEN 'id' THEN i.child_end_id::text END
	FROM @extschema@.part_config c JOIN pg_inherits h ON h.inhparent = c.parent_table,
		LATERAL @extschema@.show_partition_info(h.inhrelid::regclass) i
	WHERE h.inhrelid = p_parent_table
$$;
COMMENT ON FUNCTION check_subpartition_limits(regclass, text) IS 'within which bounds the partitions of a sub-set must lie; null if it is none, or of another kind';

CREATE FUNCTION check_automatic_maintenance_value(p_automatic_maintenance text) RETURNS boolean
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
	AS $$ SELECT p_automatic_maintenance IN ('on', 'off') $$;
COMMENT ON FUNCTION check_automatic_maintenance_value(text) IS 'is this a value for part_config.automatic_maintenance?';

CREATE FUNCTION check_epoch_type(p_type text) RETURNS boolean
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
	AS $$ SELECT p_type IN ('none', 'seconds', 'milliseconds', 'microseconds', 'nanoseconds', 'yyyymmdd', 'yyyymm') $$;
COMMENT ON FUNCTION check_epoch_type(text) IS 'is this a value for part_config.epoch?';

CREATE FUNCTION check_partition_type(p_type text) RETURNS boolean
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
	AS $$ SELECT p_type IN ('range', 'list') $$;
COMMENT ON FUNCTION check_partition_type(text) IS 'is this a value for part_config.partition_type?';

--
-- The worker
--

CREATE FUNCTION worker_status(OUT datid oid, OUT datname text, OUT state text, OUT lane text, OUT next_due timestamptz, OUT pid int)
	RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'partmgr_worker_status' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION worker_status() IS 'what the launcher knows of each database, for each lane of work';
REVOKE ALL ON FUNCTION worker_status() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION worker_status() TO pg_monitor;

-- Called below, and by nobody else: tells the launcher, at commit, that this
-- database has the extension now.
CREATE FUNCTION wake_worker() RETURNS void
	AS 'MODULE_PATHNAME', 'partmgr_wake_worker' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION wake_worker() IS 'make the worker look at this database when the transaction commits';
REVOKE ALL ON FUNCTION wake_worker() FROM PUBLIC;
SELECT wake_worker();
