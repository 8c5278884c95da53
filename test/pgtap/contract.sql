-- The contract: which objects there are, with which signatures, defaults,
-- rights and comments.  Extension partmgr is in schema partman.

BEGIN;
SET search_path = public, pg_catalog;
SELECT * FROM no_plan();

-- ---------- tables ----------

-- column by column: name, type, NOT NULL, default; in this order
CREATE FUNCTION columns_of(relation regclass) RETURNS TABLE (col text) LANGUAGE sql AS $$
	SELECT concat_ws(' ', attname, format_type(atttypid, atttypmod), CASE WHEN attnotnull THEN 'NOT NULL' END,
		'DEFAULT ' || pg_get_expr(adbin, adrelid))
	FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
	WHERE attrelid = relation AND attnum > 0 AND NOT attisdropped ORDER BY attnum
$$;
SELECT results_eq($$SELECT col FROM columns_of('partman.part_config')$$, ARRAY[
	'parent_table regclass NOT NULL',
	'control text NOT NULL',
	'time_encoder text',
	'time_decoder text',
	'partition_interval text NOT NULL',
	$$partition_type text NOT NULL DEFAULT 'range'::text$$,
	'premake integer NOT NULL DEFAULT 4',
	$$automatic_maintenance text NOT NULL DEFAULT 'on'::text$$,
	'template_table regclass',
	'retention text',
	'retention_schema text',
	'retention_keep_index boolean NOT NULL DEFAULT true',
	'retention_keep_table boolean NOT NULL DEFAULT true',
	$$epoch text NOT NULL DEFAULT 'none'::text$$,
	'constraint_cols text[]',
	'optimize_constraint integer NOT NULL DEFAULT 30',
	'infinite_time_partitions boolean NOT NULL DEFAULT false',
	'datetime_string text',
	'jobmon boolean NOT NULL DEFAULT true',
	'sub_partition_set_full boolean NOT NULL DEFAULT false',
	'undo_in_progress boolean NOT NULL DEFAULT false',
	'inherit_privileges boolean DEFAULT false',
	'constraint_valid boolean NOT NULL DEFAULT true',
	'ignore_default_data boolean NOT NULL DEFAULT true',
	'date_trunc_interval text',
	'maintenance_order integer',
	'retention_keep_publication boolean NOT NULL DEFAULT false',
	'maintenance_last_run timestamp with time zone',
	'detach_before_drop boolean NOT NULL DEFAULT false',
	'maintenance_role text DEFAULT CURRENT_USER',
	'async_partitioning_in_progress text',
	'time_zone text',
	'name_format text',
	'grid_origin text',
	'retention_partitions integer',
	'retention_size text',
	'retention_keep_newest integer NOT NULL DEFAULT 0',
	'retention_grace interval',
	'archive_function text',
	$$abort_after_wait text NOT NULL DEFAULT 'none'::text$$,
	'maintenance_window text',
	'analyze_parent boolean NOT NULL DEFAULT true',
	'cold_after text',
	'cold_vacuum boolean NOT NULL DEFAULT true',
	'cold_reindex boolean NOT NULL DEFAULT false',
	'cold_tablespace text',
	'cold_storage text',
	'cold_cluster text',
	'cold_compression text',
	'drain_default boolean NOT NULL DEFAULT true',
	'on_demand boolean NOT NULL DEFAULT false',
	'on_demand_window integer NOT NULL DEFAULT 100'], 'columns of part_config');
SELECT results_eq($$SELECT col FROM columns_of('partman.part_config_sub')$$, ARRAY[
	'sub_parent regclass NOT NULL',
	'sub_control text NOT NULL',
	'sub_time_encoder text',
	'sub_time_decoder text',
	'sub_partition_interval text NOT NULL',
	$$sub_partition_type text NOT NULL DEFAULT 'range'::text$$,
	'sub_premake integer NOT NULL DEFAULT 4',
	$$sub_automatic_maintenance text NOT NULL DEFAULT 'on'::text$$,
	'sub_template_table regclass',
	'sub_retention text',
	'sub_retention_schema text',
	'sub_retention_keep_index boolean NOT NULL DEFAULT true',
	'sub_retention_keep_table boolean NOT NULL DEFAULT true',
	$$sub_epoch text NOT NULL DEFAULT 'none'::text$$,
	'sub_constraint_cols text[]',
	'sub_optimize_constraint integer NOT NULL DEFAULT 30',
	'sub_infinite_time_partitions boolean NOT NULL DEFAULT false',
	'sub_jobmon boolean NOT NULL DEFAULT true',
	'sub_inherit_privileges boolean DEFAULT false',
	'sub_constraint_valid boolean NOT NULL DEFAULT true',
	'sub_ignore_default_data boolean NOT NULL DEFAULT true',
	'sub_default_table boolean NOT NULL DEFAULT true',
	'sub_date_trunc_interval text',
	'sub_maintenance_order integer',
	'sub_retention_keep_publication boolean NOT NULL DEFAULT false',
	'sub_control_not_null boolean NOT NULL DEFAULT true',
	'sub_detach_before_drop boolean NOT NULL DEFAULT false',
	'sub_maintenance_role text DEFAULT CURRENT_USER',
	'sub_time_zone text',
	'sub_name_format text',
	'sub_on_demand boolean NOT NULL DEFAULT false'], 'columns of part_config_sub');
SELECT results_eq($$SELECT col FROM columns_of('partman.part_import')$$, ARRAY[
	'parent_table regclass NOT NULL',
	'source text NOT NULL',
	'source_name text NOT NULL',
	'automatic_maintenance text NOT NULL',
	'imported_at timestamp with time zone NOT NULL'], 'columns of part_import');
SELECT results_eq($$SELECT col FROM columns_of('partman.part_state')$$, ARRAY[
	'parent_table regclass NOT NULL',
	'next_run timestamp with time zone NOT NULL',
	'last_run timestamp with time zone',
	'last_success timestamp with time zone',
	'failures integer NOT NULL DEFAULT 0',
	'last_sqlstate text',
	'last_error text',
	'last_error_at timestamp with time zone',
	'busy integer NOT NULL DEFAULT 0',
	'busy_since timestamp with time zone',
	'blockers text',
	'next_upkeep timestamp with time zone',
	'upkeep_failures integer NOT NULL DEFAULT 0',
	'upkeep_sqlstate text',
	'upkeep_error text',
	'upkeep_error_at timestamp with time zone',
	'upkeep_busy integer NOT NULL DEFAULT 0',
	'upkeep_busy_since timestamp with time zone',
	'upkeep_blockers text',
	'backfill text'], 'columns of part_state');
SELECT results_eq($$SELECT col FROM columns_of('partman.part_log')$$, ARRAY[
	'id bigint NOT NULL',
	'logged_at timestamp with time zone NOT NULL',
	'parent_table regclass NOT NULL',
	'action text NOT NULL',
	'partition_name text',
	'range text',
	'row_estimate bigint',
	'bytes bigint',
	'lock text',
	'lock_held interval',
	'sqlstate text',
	'message text'], 'columns of part_log');
SELECT results_eq($$SELECT col FROM columns_of('partman.part_detached')$$, ARRAY[
	'partition regclass NOT NULL',
	'parent_table regclass NOT NULL',
	'range text NOT NULL',
	'lower_raw bigint',
	'upper_raw bigint',
	'reason text NOT NULL',
	'marked_at timestamp with time zone NOT NULL',
	'drop_after timestamp with time zone',
	'is_settled boolean NOT NULL DEFAULT false',
	'home_schema text NOT NULL',
	'verdict text',
	'retry_after timestamp with time zone'], 'columns of part_detached');
SELECT results_eq($$SELECT col FROM columns_of('partman.part_hold')$$, ARRAY[
	'id bigint NOT NULL',
	'parent_table regclass NOT NULL',
	'lower text',
	'upper text',
	'reason text NOT NULL',
	'held_by text NOT NULL',
	'held_at timestamp with time zone NOT NULL'], 'columns of part_hold');
SELECT results_eq($$SELECT col FROM columns_of('partman.part_upkeep')$$, ARRAY[
	'partition regclass NOT NULL',
	'task text NOT NULL',
	'parent_table regclass NOT NULL',
	'done_at timestamp with time zone NOT NULL',
	'detail text NOT NULL',
	'bytes_before bigint',
	'bytes_after bigint'], 'columns of part_upkeep');
SELECT results_eq($$SELECT col FROM columns_of('partman.part_job')$$, ARRAY[
	'id bigint NOT NULL',
	'parent_table regclass NOT NULL',
	'kind text NOT NULL',
	'definition text',
	'search_path text',
	'is_queued boolean NOT NULL',
	$$state text NOT NULL DEFAULT 'queued'::text$$,
	'asked_by text NOT NULL',
	'asked_at timestamp with time zone NOT NULL',
	'started_at timestamp with time zone',
	'finished_at timestamp with time zone',
	'total integer',
	'done integer NOT NULL DEFAULT 0',
	$$finished oid[] NOT NULL DEFAULT '{}'::oid[]$$,
	'index_oid oid',
	'worker_pid integer',
	'interrupted integer NOT NULL DEFAULT 0',
	'sqlstate text',
	'message text'], 'columns of part_job');
SELECT results_eq($$SELECT col FROM columns_of('partman.part_jobs')$$, ARRAY[
	'id bigint',
	'parent_table regclass',
	'kind text',
	'definition text',
	'state text',
	'done integer',
	'total integer',
	'asked_by text',
	'asked_at timestamp with time zone',
	'started_at timestamp with time zone',
	'finished_at timestamp with time zone',
	'sqlstate text',
	'message text'], 'columns of part_jobs');
SELECT is_empty($$SELECT attrelid::regclass, attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
	WHERE relnamespace = 'partman'::regnamespace AND relkind = 'r' AND atttypid::regtype::text ~ '^reg' AND atttypid <> 'regclass'::regtype$$,
	'only regclass among the reg* types: pg_upgrade refuses the others');
SELECT col_is_pk('partman', 'part_config', 'parent_table', 'key of part_config');
SELECT col_is_pk('partman', 'part_config_sub', 'sub_parent', 'key of part_config_sub');
SELECT col_is_pk('partman', 'part_import', 'parent_table', 'key of part_import');
SELECT col_is_pk('partman', 'part_state', 'parent_table', 'key of part_state');
SELECT col_is_pk('partman', 'part_log', 'id', 'key of part_log');
SELECT col_is_pk('partman', 'part_detached', 'partition', 'key of part_detached');
SELECT col_is_pk('partman', 'part_hold', 'id', 'key of part_hold');
SELECT col_is_pk('partman', 'part_upkeep', ARRAY['partition', 'task'], 'key of part_upkeep');
SELECT col_is_pk('partman', 'part_job', 'id', 'key of part_job');
SELECT col_is_pk('partman', 'part_rewrite', 'id', 'key of part_rewrite');
SELECT results_eq($$SELECT conname::text COLLATE "default" FROM pg_constraint WHERE conrelid = 'partman.part_config'::regclass AND contype IN ('c', 'p') ORDER BY conname$$,
	ARRAY['control_constraint_col_chk', 'part_config_abort_after_wait_check', 'part_config_archive_drops_check',
		'part_config_archive_function_check', 'part_config_automatic_maintenance_check', 'part_config_cold_cluster_check',
		'part_config_cold_compression_check', 'part_config_cold_storage_check', 'part_config_cold_tablespace_check',
		'part_config_epoch_check', 'part_config_grace_drops_check', 'part_config_length_check',
		'part_config_on_demand_window_check', 'part_config_parent_table_pkey', 'part_config_retention_grace_check',
		'part_config_retention_keep_newest_check', 'part_config_retention_partitions_check', 'part_config_type_check',
		'positive_premake_check', 'retention_schema_not_empty_chk'],
	'constraints of part_config have the names they have in pg_partman, if it has them');
SELECT results_eq($$SELECT conname::text COLLATE "default" FROM pg_constraint WHERE connamespace = 'partman'::regnamespace AND contype <> 'n'
	AND conrelid <> 'partman.part_config'::regclass ORDER BY conname$$,
	ARRAY['part_config_sub_automatic_maintenance_check', 'part_config_sub_epoch_check', 'part_config_sub_length_check',
		'part_config_sub_pkey', 'part_config_sub_premake_check', 'part_config_sub_retention_schema_not_empty_chk',
		'part_config_sub_sub_parent_fkey', 'part_config_sub_type_check', 'part_detached_pkey', 'part_hold_pkey',
		'part_hold_reason_check', 'part_import_pkey', 'part_job_definition_check', 'part_job_kind_check', 'part_job_pkey',
		'part_job_state_check', 'part_log_pkey', 'part_rewrite_kind_check', 'part_rewrite_phase_check', 'part_rewrite_pkey',
		'part_rewrite_source_pkey', 'part_rewrite_state_check', 'part_state_pkey', 'part_upkeep_pkey'], 'constraints of the other tables');

-- ---------- functions ----------

CREATE FUNCTION signature(p pg_proc) RETURNS text LANGUAGE sql AS $$
	SELECT format('%s %s(%s)%s %s%s', CASE p.prokind WHEN 'p' THEN 'procedure' ELSE 'function' END, p.proname,
		pg_get_function_arguments(p.oid), ' -> ' || pg_get_function_result(p.oid), p.provolatile, CASE WHEN p.prosecdef THEN ' definer' END)
$$;
CREATE TEMP TABLE signatures AS SELECT p.oid, p.proname::text COLLATE "default" AS proname, p.proargtypes[0] = 'regclass'::regtype AS is_regclass, signature(p) AS text
	FROM pg_depend d JOIN pg_proc p ON p.oid = d.objid
	WHERE d.classid = 'pg_proc'::regclass AND d.deptype = 'e' AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'partmgr');
SELECT results_eq($$SELECT text FROM signatures WHERE is_regclass IS NOT TRUE ORDER BY text COLLATE "C"$$, ARRAY[
	'function analyze_partitions(p_parent_table text) -> TABLE(partition_name text, row_estimate bigint, last_analyze timestamp with time zone) v',
	'function apply_cluster(p_parent_schema text, p_parent_tablename text, p_child_schema text, p_child_tablename text) -> void v',
	'function apply_constraints(p_parent_table text, p_child_table text DEFAULT NULL::text, p_analyze boolean DEFAULT false, p_job_id bigint DEFAULT NULL::bigint) -> void v',
	'function apply_privileges(p_parent_schema text, p_parent_tablename text, p_child_schema text, p_child_tablename text, p_job_id bigint DEFAULT NULL::bigint) -> void v',
	'function autovacuum_off(p_parent_schema text, p_parent_tablename text, p_source_schema text DEFAULT NULL::text, p_source_tablename text DEFAULT NULL::text) -> boolean v',
	'function autovacuum_reset(p_parent_schema text, p_parent_tablename text, p_source_schema text DEFAULT NULL::text, p_source_tablename text DEFAULT NULL::text) -> boolean v',
	'function calculate_time_partition_info(p_time_interval interval, p_start_time timestamp with time zone, p_date_trunc_interval text DEFAULT NULL::text, OUT base_timestamp timestamp with time zone, OUT datetime_string text) -> record s',
	'function cancel_job(p_job bigint) -> boolean v',
	'function cancel_rewrite(p_rewrite bigint) -> boolean v',
	'function change_interval(p_parent_table text, p_interval text, p_existing boolean DEFAULT false, p_mode text DEFAULT ''online''::text, p_policy text DEFAULT ''strict''::text, p_rows_per_second integer DEFAULT NULL::integer) -> bigint v',
	'function check_automatic_maintenance_value(p_automatic_maintenance text) -> boolean i',
	'function check_control_type(p_parent_schema text, p_parent_tablename text, p_control text) -> TABLE(general_type text, exact_type text) s',
	'function check_default(p_exact_count boolean DEFAULT true, p_ignore_infinity boolean DEFAULT false) -> TABLE(default_table text, count bigint) v',
	'function check_epoch_type(p_type text) -> boolean i',
	'function check_name_length(p_object_name text, p_suffix text DEFAULT NULL::text, p_table_partition boolean DEFAULT false) -> text i',
	'function check_partition_type(p_type text) -> boolean i',
	'function check_subpart_sameconfig(p_parent_table text) -> TABLE(sub_control text, sub_partition_interval text, sub_partition_type text, sub_premake integer, sub_automatic_maintenance text, sub_template_table text, sub_retention text, sub_retention_schema text, sub_retention_keep_index boolean, sub_retention_keep_table boolean, sub_epoch text, sub_constraint_cols text[], sub_optimize_constraint integer, sub_infinite_time_partitions boolean, sub_jobmon boolean, sub_inherit_privileges boolean, sub_constraint_valid boolean, sub_date_trunc_interval text, sub_ignore_default_data boolean, sub_default_table boolean, sub_maintenance_order integer, sub_retention_keep_publication boolean, sub_control_not_null boolean, sub_detach_before_drop boolean, sub_maintenance_role text) s',
	'function check_subpartition_limits(p_parent_table text, p_type text, OUT sub_min text, OUT sub_max text) -> record s',
	'function compress_partitions(p_parent_table text, p_older_than text, p_method text DEFAULT ''lz4''::text, p_order_index text DEFAULT NULL::text, p_mode text DEFAULT ''online''::text, p_policy text DEFAULT ''strict''::text, p_rows_per_second integer DEFAULT NULL::integer) -> bigint v',
	'function config_cleanup(p_parent_table text, p_config_table boolean DEFAULT true, p_config_sub_table boolean DEFAULT true, p_template_table boolean DEFAULT true) -> void v',
	'function convert_table(p_table text, p_control text, p_interval text, p_type text DEFAULT ''range''::text, p_epoch text DEFAULT ''none''::text, p_premake integer DEFAULT 4, p_default_table boolean DEFAULT true, p_time_zone text DEFAULT NULL::text, p_name_format text DEFAULT NULL::text, p_retention text DEFAULT NULL::text, p_time_encoder text DEFAULT NULL::text, p_time_decoder text DEFAULT NULL::text, p_mode text DEFAULT ''online''::text, p_policy text DEFAULT ''strict''::text, p_rows_per_second integer DEFAULT NULL::integer) -> bigint v',
	'function convert_table_plan(p_table text, p_control text) -> TABLE(object text, what text, is_problem boolean) s',
	'function create_future_partitions(p_parent_table text, p_count integer) -> TABLE(parent_table regclass, step text, partition_name text, range text, reason text, status text, row_estimate bigint, bytes bigint) v',
	'function create_parent(p_parent_table text, p_control text, p_interval text, p_type text DEFAULT ''range''::text, p_epoch text DEFAULT ''none''::text, p_premake integer DEFAULT 4, p_start_partition text DEFAULT NULL::text, p_default_table boolean DEFAULT true, p_automatic_maintenance text DEFAULT ''on''::text, p_constraint_cols text[] DEFAULT NULL::text[], p_template_table text DEFAULT NULL::text, p_jobmon boolean DEFAULT true, p_date_trunc_interval text DEFAULT NULL::text, p_control_not_null boolean DEFAULT true, p_time_encoder text DEFAULT NULL::text, p_time_decoder text DEFAULT NULL::text, p_offset_id bigint DEFAULT 0, p_retention text DEFAULT NULL::text, p_time_zone text DEFAULT NULL::text, p_name_format text DEFAULT NULL::text, p_retention_keep_table boolean DEFAULT true, p_inherit_privileges boolean DEFAULT false, p_on_demand boolean DEFAULT false) -> boolean v',
	'function create_partition(p_parent_table text, p_control text, p_interval text, p_type text DEFAULT ''range''::text, p_epoch text DEFAULT ''none''::text, p_premake integer DEFAULT 4, p_start_partition text DEFAULT NULL::text, p_default_table boolean DEFAULT true, p_automatic_maintenance text DEFAULT ''on''::text, p_constraint_cols text[] DEFAULT NULL::text[], p_template_table text DEFAULT NULL::text, p_jobmon boolean DEFAULT true, p_date_trunc_interval text DEFAULT NULL::text, p_control_not_null boolean DEFAULT true, p_time_encoder text DEFAULT NULL::text, p_time_decoder text DEFAULT NULL::text, p_offset_id bigint DEFAULT 0, p_retention text DEFAULT NULL::text, p_time_zone text DEFAULT NULL::text, p_name_format text DEFAULT NULL::text, p_retention_keep_table boolean DEFAULT true, p_inherit_privileges boolean DEFAULT false, p_on_demand boolean DEFAULT false) -> boolean v',
	'function create_partition_id(p_parent_table text, p_partition_ids bigint[], p_start_partition text DEFAULT NULL::text) -> boolean v',
	'function create_partition_time(p_parent_table text, p_partition_times timestamp with time zone[], p_start_partition text DEFAULT NULL::text) -> boolean v',
	'function create_sub_parent(p_top_parent text, p_control text, p_interval text, p_type text DEFAULT ''range''::text, p_default_table boolean DEFAULT true, p_declarative_check text DEFAULT NULL::text, p_constraint_cols text[] DEFAULT NULL::text[], p_premake integer DEFAULT 4, p_start_partition text DEFAULT NULL::text, p_epoch text DEFAULT ''none''::text, p_jobmon boolean DEFAULT true, p_date_trunc_interval text DEFAULT NULL::text, p_control_not_null boolean DEFAULT true, p_time_encoder text DEFAULT NULL::text, p_time_decoder text DEFAULT NULL::text) -> boolean v',
	'function create_sub_partition(p_top_parent text, p_control text, p_interval text, p_type text DEFAULT ''range''::text, p_default_table boolean DEFAULT true, p_declarative_check text DEFAULT NULL::text, p_constraint_cols text[] DEFAULT NULL::text[], p_premake integer DEFAULT 4, p_start_partition text DEFAULT NULL::text, p_epoch text DEFAULT ''none''::text, p_jobmon boolean DEFAULT true, p_date_trunc_interval text DEFAULT NULL::text, p_control_not_null boolean DEFAULT true, p_time_encoder text DEFAULT NULL::text, p_time_decoder text DEFAULT NULL::text) -> boolean v',
	'function drain_default(p_parent_table text, p_mode text DEFAULT ''online''::text, p_policy text DEFAULT ''strict''::text, p_rows_per_second integer DEFAULT NULL::integer) -> bigint v',
	'function drop_constraints(p_parent_table text, p_child_table text, p_debug boolean DEFAULT false) -> void v',
	'function drop_default(p_parent_table text) -> bigint v',
	'function drop_old_partitions(p_parent_table text DEFAULT NULL::text, p_retention text DEFAULT NULL::text, p_dry_run boolean DEFAULT false) -> TABLE(parent_table regclass, partition_name text, range text, row_estimate bigint, bytes bigint, action text) v',
	'function drop_old_partitions(p_parent_table text, p_months integer, p_dry_run boolean DEFAULT false) -> TABLE(parent_table regclass, partition_name text, range text, row_estimate bigint, bytes bigint, action text) v',
	'function drop_partition_id(p_parent_table text, p_retention bigint DEFAULT NULL::bigint, p_keep_table boolean DEFAULT NULL::boolean, p_keep_index boolean DEFAULT NULL::boolean, p_retention_schema text DEFAULT NULL::text) -> integer v',
	'function drop_partition_time(p_parent_table text, p_retention interval DEFAULT NULL::interval, p_keep_table boolean DEFAULT NULL::boolean, p_keep_index boolean DEFAULT NULL::boolean, p_retention_schema text DEFAULT NULL::text, p_reference_timestamp timestamp with time zone DEFAULT CURRENT_TIMESTAMP) -> integer v',
	'function dump_partitioned_table_definition(p_parent_table text, p_ignore_template_table boolean DEFAULT false) -> text v',
	'function hold_partition(p_parent_table text, p_from text, p_to text, p_reason text) -> bigint v',
	'function import_pg_partman(p_schema text DEFAULT ''partman''::text, p_dry_run boolean DEFAULT true) -> TABLE(parent_table text, step text, note text) v',
	'function inherit_parent_properties(p_parent_schema text, p_parent_tablename text, p_child_tablename text, p_child_schema text DEFAULT NULL::text) -> void v',
	'function inherit_replica_identity(p_parent_schemaname text, p_parent_tablename text, p_child_tablename text) -> void v',
	'function inherit_template_properties(p_parent_table text, p_child_schema text, p_child_tablename text) -> boolean v',
	'function list_holds(p_parent_table text DEFAULT NULL::text) -> TABLE(hold bigint, parent_table regclass, lower text, upper text, reason text, held_by text, held_at timestamp with time zone, partitions regclass[]) s',
	'function list_partitions(p_parent_table text DEFAULT NULL::text) -> TABLE(parent_table regclass, partition_name regclass, range text, lower_time timestamp with time zone, upper_time timestamp with time zone, lower_id bigint, upper_id bigint, is_default boolean, state text, row_estimate bigint, bytes bigint, last_analyze timestamp with time zone, last_vacuum timestamp with time zone) s',
	'function maintenance_plan(p_parent_table text DEFAULT NULL::text, p_at timestamp with time zone DEFAULT now()) -> TABLE(parent_table regclass, step text, partition_name text, range text, reason text, lock text, row_estimate bigint, bytes bigint, sql text) v',
	'function merge_partitions(p_parent_table text, p_from text, p_to text, p_mode text DEFAULT ''online''::text, p_policy text DEFAULT ''strict''::text, p_rows_per_second integer DEFAULT NULL::integer) -> bigint v',
	'function part_config_changed() -> trigger v',
	'function part_config_check() -> trigger v',
	'function part_config_forget() -> event_trigger v definer',
	'function part_config_sub_check() -> trigger v',
	'function partition_data_id(p_parent_table text, p_batch_count integer DEFAULT 1, p_batch_interval bigint DEFAULT NULL::bigint, p_lock_wait numeric DEFAULT 0, p_order text DEFAULT ''ASC''::text, p_analyze boolean DEFAULT true, p_source_table text DEFAULT NULL::text, p_ignored_columns text[] DEFAULT NULL::text[], p_override_system_value boolean DEFAULT false) -> bigint v',
	'function partition_data_time(p_parent_table text, p_batch_count integer DEFAULT 1, p_batch_interval interval DEFAULT NULL::interval, p_lock_wait numeric DEFAULT 0, p_order text DEFAULT ''ASC''::text, p_analyze boolean DEFAULT true, p_source_table text DEFAULT NULL::text, p_ignored_columns text[] DEFAULT NULL::text[], p_override_system_value boolean DEFAULT false, p_ignore_infinity boolean DEFAULT false) -> bigint v',
	'function partition_gap_fill(p_parent_table text) -> integer v',
	'function partition_health_summary(p_parent_table text DEFAULT NULL::text) -> TABLE(parent_table regclass, status text, partitions bigint, row_estimate bigint, bytes bigint, oldest text, newest text, partitions_ahead integer, time_ahead interval, pending_cleanup bigint, default_rows bigint, gaps bigint, name_clashes bigint, last_run timestamp with time zone, last_error text, last_sqlstate text, last_error_at timestamp with time zone, next_run timestamp with time zone, problems text[], notes text[]) s',
	'function partman_safe_obj_name(p_object_name text) -> text i',
	'function partmgr_copy_covers(bigint, "any") -> boolean i',
	'function partmgr_copy_divert(bigint, record) -> boolean i',
	'function partmgr_rewrite_note() -> trigger v',
	'function partmgr_unpacked(anyelement) -> anyelement i',
	'function pause_rewrite(p_rewrite bigint) -> boolean v',
	'function queue_create_index_concurrently(p_parent_table text, p_definition text) -> bigint v',
	'function queue_reindex_partitions(p_parent_table text) -> bigint v',
	'function reapply_privileges(p_parent_table text) -> void v',
	'function reattach_partition(p_partition text) -> void v',
	'function release_hold(p_hold bigint) -> void v',
	'function resume_maintenance(p_parent_table text DEFAULT NULL::text) -> bigint v',
	'function resume_rewrite(p_rewrite bigint) -> void v',
	'function run_maintenance(p_parent_table text DEFAULT NULL::text, p_analyze boolean DEFAULT false, p_jobmon boolean DEFAULT true) -> void v',
	'function run_partition_maintenance(p_parent_table text DEFAULT NULL::text, p_dry_run boolean DEFAULT false) -> TABLE(parent_table regclass, step text, partition_name text, range text, reason text, status text, row_estimate bigint, bytes bigint) v',
	'function show_partition_info(p_child_table text, p_partition_interval text DEFAULT NULL::text, p_parent_table text DEFAULT NULL::text, p_table_exists boolean DEFAULT true, OUT child_start_time timestamp with time zone, OUT child_end_time timestamp with time zone, OUT child_start_id bigint, OUT child_end_id bigint, OUT suffix text) -> record s',
	'function show_partition_name(p_parent_table text, p_value text, OUT partition_schema text, OUT partition_table text, OUT suffix_timestamp timestamp with time zone, OUT suffix_id bigint, OUT table_exists boolean) -> record s',
	'function show_partitions(p_parent_table text, p_order text DEFAULT ''ASC''::text, p_include_default boolean DEFAULT false) -> TABLE(partition_schemaname text, partition_tablename text) s',
	'function split_partition(p_partition text, p_interval text DEFAULT NULL::text, p_at text[] DEFAULT NULL::text[], p_mode text DEFAULT ''online''::text, p_policy text DEFAULT ''strict''::text, p_rows_per_second integer DEFAULT NULL::integer) -> bigint v',
	'function stop_sub_partition(p_parent_table text, p_jobmon boolean DEFAULT true) -> boolean v',
	'function text_eq_regclass(text, regclass) -> boolean s',
	'function undo_import_pg_partman(p_schema text DEFAULT ''partman''::text) -> TABLE(parent_table text, step text, note text) v',
	'function undo_partition(p_parent_table text, p_target_table text, p_loop_count integer DEFAULT 1, p_batch_interval text DEFAULT NULL::text, p_keep_table boolean DEFAULT true, p_lock_wait numeric DEFAULT 0, p_ignored_columns text[] DEFAULT NULL::text[], p_drop_cascade boolean DEFAULT false, OUT partitions_undone integer, OUT rows_undone bigint) -> record v',
	'function unpartition(p_parent_table text, p_mode text DEFAULT ''online''::text, p_policy text DEFAULT ''strict''::text, p_rows_per_second integer DEFAULT NULL::integer) -> bigint v',
	'function uuid7_time_decoder(uuidv7 text) -> timestamp with time zone i',
	'function uuid7_time_encoder(ts timestamp with time zone) -> uuid i',
	'function vacuum_partitions(p_parent_table text, p_full boolean DEFAULT false) -> TABLE(partition_name text, bytes_before bigint, bytes_after bigint, seconds double precision, message text) v',
	'function wake_worker() -> void v',
	'function worker_status(OUT datid oid, OUT datname text, OUT state text, OUT lane text, OUT next_due timestamp with time zone, OUT pid integer) -> SETOF record v',
	'procedure change_interval_proc(IN p_parent_table text, IN p_interval text, IN p_existing boolean DEFAULT false, IN p_mode text DEFAULT ''online''::text, IN p_policy text DEFAULT ''strict''::text, IN p_rows_per_second integer DEFAULT NULL::integer) v',
	'procedure compress_partitions_proc(IN p_parent_table text, IN p_older_than text, IN p_method text DEFAULT ''lz4''::text, IN p_order_index text DEFAULT NULL::text, IN p_mode text DEFAULT ''online''::text, IN p_policy text DEFAULT ''strict''::text, IN p_rows_per_second integer DEFAULT NULL::integer) v',
	'procedure convert_table_proc(IN p_table text, IN p_control text, IN p_interval text, IN p_type text DEFAULT ''range''::text, IN p_epoch text DEFAULT ''none''::text, IN p_premake integer DEFAULT 4, IN p_default_table boolean DEFAULT true, IN p_time_zone text DEFAULT NULL::text, IN p_name_format text DEFAULT NULL::text, IN p_retention text DEFAULT NULL::text, IN p_time_encoder text DEFAULT NULL::text, IN p_time_decoder text DEFAULT NULL::text, IN p_mode text DEFAULT ''online''::text, IN p_policy text DEFAULT ''strict''::text, IN p_rows_per_second integer DEFAULT NULL::integer) v',
	'procedure create_index_concurrently(IN p_parent_table text, IN p_definition text) v',
	'procedure drain_default_proc(IN p_parent_table text, IN p_mode text DEFAULT ''online''::text, IN p_policy text DEFAULT ''strict''::text, IN p_rows_per_second integer DEFAULT NULL::integer) v',
	'procedure merge_partitions_proc(IN p_parent_table text, IN p_from text, IN p_to text, IN p_mode text DEFAULT ''online''::text, IN p_policy text DEFAULT ''strict''::text, IN p_rows_per_second integer DEFAULT NULL::integer) v',
	'procedure partition_data_async(IN p_parent_table text, IN p_loop_count integer DEFAULT NULL::integer, IN p_interval text DEFAULT NULL::text, IN p_lock_wait integer DEFAULT 0, IN p_lock_wait_tries integer DEFAULT 10, IN p_wait integer DEFAULT 1, IN p_order text DEFAULT ''ASC''::text, IN p_ignored_columns text[] DEFAULT NULL::text[], IN p_quiet boolean DEFAULT false) v',
	'procedure partition_data_proc(IN p_parent_table text, IN p_loop_count integer DEFAULT NULL::integer, IN p_interval text DEFAULT NULL::text, IN p_lock_wait integer DEFAULT 0, IN p_lock_wait_tries integer DEFAULT 10, IN p_wait integer DEFAULT 1, IN p_order text DEFAULT ''ASC''::text, IN p_source_table text DEFAULT NULL::text, IN p_ignored_columns text[] DEFAULT NULL::text[], IN p_quiet boolean DEFAULT false, IN p_ignore_infinity boolean DEFAULT false) v',
	'procedure reapply_constraints_proc(IN p_parent_table text, IN p_drop_constraints boolean DEFAULT false, IN p_apply_constraints boolean DEFAULT false, IN p_analyze boolean DEFAULT true, IN p_wait integer DEFAULT 0, IN p_dryrun boolean DEFAULT false) v',
	'procedure reindex_partitions(IN p_parent_table text) v',
	'procedure resume_rewrite_proc(IN p_rewrite bigint) v',
	'procedure run_analyze(IN p_skip_locked boolean DEFAULT false, IN p_quiet boolean DEFAULT false, IN p_parent_table text DEFAULT NULL::text) v',
	'procedure run_maintenance_proc(IN p_wait integer DEFAULT 0, IN p_analyze boolean DEFAULT false, IN p_jobmon boolean DEFAULT true) v',
	'procedure split_partition_proc(IN p_partition text, IN p_interval text DEFAULT NULL::text, IN p_at text[] DEFAULT NULL::text[], IN p_mode text DEFAULT ''online''::text, IN p_policy text DEFAULT ''strict''::text, IN p_rows_per_second integer DEFAULT NULL::integer) v',
	'procedure undo_partition_proc(IN p_parent_table text, IN p_target_table text DEFAULT NULL::text, IN p_loop_count integer DEFAULT NULL::integer, IN p_interval text DEFAULT NULL::text, IN p_keep_table boolean DEFAULT true, IN p_lock_wait integer DEFAULT 0, IN p_lock_wait_tries integer DEFAULT 10, IN p_wait integer DEFAULT 1, IN p_ignored_columns text[] DEFAULT NULL::text[], IN p_drop_cascade boolean DEFAULT false, IN p_quiet boolean DEFAULT false) v',
	'procedure unpartition_proc(IN p_parent_table text, IN p_mode text DEFAULT ''online''::text, IN p_policy text DEFAULT ''strict''::text, IN p_rows_per_second integer DEFAULT NULL::integer) v'
	], 'functions, with table arguments as text');
-- each of them as regclass too, alike but for the default of that argument
SELECT set_eq($$SELECT proname::text, count(*) FROM signatures WHERE is_regclass AND proname !~ '^regclass_' GROUP BY proname$$,
	$$SELECT proname::text, count(*) FROM signatures WHERE text ~ '\((IN )?p_(parent_table|top_parent|child_table|partition|table) text' GROUP BY proname$$,
	'each function exists with table arguments as regclass, too');
SELECT is_empty($$SELECT t.text FROM signatures t WHERE is_regclass IS FALSE AND text ~ '\((IN )?p_(parent_table|top_parent|child_table|partition|table) text' AND NOT EXISTS (
	SELECT FROM signatures r WHERE r.is_regclass AND r.proname = t.proname AND r.text IN (
		regexp_replace(t.text, '(\((IN )?p_\w+) text( DEFAULT NULL::text)?', '\1 regclass'),
		regexp_replace(regexp_replace(t.text, '(\((IN )?p_\w+) text( DEFAULT NULL::text)?', '\1 regclass'), '(p_child_table) text( DEFAULT NULL)::text', '\1 regclass\2::regclass'),
		regexp_replace(regexp_replace(t.text, '(\((IN )?p_\w+) text( DEFAULT NULL::text)?', '\1 regclass'), '(p_child_table) text', '\1 regclass'),
		t.text))$$, 'and with the same other arguments, results and volatility');

-- ---------- rights ----------

SELECT is_empty($$SELECT s.text FROM signatures s WHERE NOT has_function_privilege('public', s.oid, 'EXECUTE')
	AND s.proname NOT IN ('worker_status', 'wake_worker', 'part_config_check', 'part_config_changed', 'part_config_forget', 'part_config_sub_check')$$,
	'everybody may call the functions');
SELECT ok(NOT has_function_privilege('public', 'partman.worker_status()', 'EXECUTE'), 'but worker_status');
SELECT ok(has_function_privilege('pg_monitor', 'partman.worker_status()', 'EXECUTE'), 'which is for pg_monitor');
SELECT ok(NOT has_function_privilege('public', 'partman.wake_worker()', 'EXECUTE'), 'and wake_worker');
SELECT results_eq($$SELECT relname::text COLLATE "default", has_table_privilege('public', oid, 'SELECT'), has_table_privilege('public', oid, 'INSERT'),
		has_table_privilege('public', oid, 'UPDATE'), has_table_privilege('public', oid, 'DELETE'), has_table_privilege('public', oid, 'TRUNCATE'),
		relrowsecurity FROM pg_class WHERE relnamespace = 'partman'::regnamespace AND relkind = 'r' ORDER BY relname$$,
	$$SELECT t, true, false, false, false, false, true
		FROM unnest(ARRAY['part_config', 'part_config_sub', 'part_detached', 'part_hold', 'part_import', 'part_job', 'part_log', 'part_rewrite']) t
	UNION ALL SELECT 'part_rewrite_source', false, false, false, false, false, true
	UNION ALL SELECT t, true, false, false, false, false, true FROM unnest(ARRAY['part_state', 'part_upkeep']) t$$,
	'tables are for reading, under row security');
SELECT results_eq($$SELECT relname::text COLLATE "default", has_table_privilege('public', oid, 'SELECT'), has_table_privilege('public', oid, 'INSERT, UPDATE, DELETE'),
		reloptions COLLATE "default" FROM pg_class WHERE relnamespace = 'partman'::regnamespace AND relkind = 'v' ORDER BY relname$$,
	$$VALUES ('part_jobs', true, false, '{security_barrier=true}'::text[]), ('partition_metadata', true, false, NULL),
		('rewrite_progress', true, false, '{security_barrier=true}'), ('table_privs', true, false, NULL)$$, 'so are views');
SELECT is_empty($$SELECT relname FROM pg_class WHERE relnamespace = 'partman'::regnamespace
	AND CASE relkind WHEN 'S' THEN has_sequence_privilege('public', oid, 'USAGE, SELECT, UPDATE') END$$, 'sequences are nobody''s');
SELECT results_eq($$SELECT attname::text COLLATE "default" FROM pg_attribute WHERE attrelid = 'partman.part_config'::regclass AND attnum > 0
	AND NOT has_column_privilege('public', attrelid, attnum, 'UPDATE') ORDER BY attnum$$,
	ARRAY['parent_table', 'control', 'partition_type', 'epoch', 'maintenance_last_run'], 'all columns of part_config can be updated but those that make the set');
SELECT is_empty($$SELECT attrelid::regclass, attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
	WHERE relnamespace = 'partman'::regnamespace AND relkind IN ('r', 'v') AND relname NOT IN ('part_config', 'part_config_sub')
	AND attnum > 0 AND has_column_privilege('public', attrelid, attnum, 'UPDATE, INSERT, REFERENCES')$$, 'nobody writes the other tables');
SELECT policies_are('partman', t, ARRAY['read_own', 'change_own'], 'policies of ' || t)
	FROM unnest(ARRAY['part_config', 'part_config_sub']::name[]) t;
SELECT policies_are('partman', t, ARRAY['read_own'], 'policies of ' || t)
	FROM unnest(ARRAY['part_state', 'part_log', 'part_detached', 'part_hold', 'part_upkeep', 'part_job', 'part_rewrite', 'part_import']::name[]) t;
SELECT is((SELECT count(DISTINCT replace(replace(pg_get_expr(polqual, polrelid), relname, 'it'), 'sub_parent', 'parent_table'))::int FROM pg_policy JOIN pg_class ON pg_class.oid = polrelid
	WHERE relnamespace = 'partman'::regnamespace AND polname = 'read_own' AND polcmd = 'r' AND polroles = '{0}'), 1, 'who may read is the same for all tables');
SELECT is_empty($$SELECT text FROM signatures s JOIN pg_proc p USING (oid) WHERE p.prosecdef AND NOT p.proconfig @> '{"search_path=pg_catalog, pg_temp"}'$$,
	'no SECURITY DEFINER function without a search_path');

-- ---------- comments, dumps ----------

SELECT is_empty($$SELECT pg_describe_object(classid, objid, objsubid) FROM pg_depend
	WHERE deptype = 'e' AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'partmgr')
	AND classid IN ('pg_proc'::regclass, 'pg_operator'::regclass)
	AND obj_description(objid, classid::regclass::name) IS NULL$$, 'functions have comments');
SELECT is_empty($$SELECT relname FROM pg_class WHERE relnamespace = 'partman'::regnamespace AND relkind IN ('r', 'v')
	AND obj_description(oid, 'pg_class') IS NULL$$, 'tables and views have comments');
SELECT is_empty($$SELECT attrelid::regclass, attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
	WHERE relnamespace = 'partman'::regnamespace AND relkind = 'r' AND attnum > 0 AND NOT attisdropped
	AND col_description(attrelid, attnum) IS NULL$$, 'columns have comments');
SELECT is_empty($$SELECT classid::regclass, objid FROM pg_depend
	WHERE deptype = 'e' AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'partmgr')
	AND classid = 'pg_class'::regclass AND objid::regclass::text !~ '^partman\.(part_(config(_sub|_type_idx|_template_table_idx)?|import|state|log|detached|hold|upkeep|jobs?|rewrite(_source)?|(log|hold|job|rewrite)_id_seq)|partition_metadata|rewrite_progress|table_privs)$'$$,
	'no other relations');
SELECT results_eq($$SELECT e::regclass::text, c COLLATE "default" FROM pg_extension, unnest(extconfig, extcondition) AS u(e, c) WHERE extname = 'partmgr'$$,
	$$VALUES ('partman.part_config', 'WHERE parent_table IN (SELECT oid FROM pg_catalog.pg_class)'),
		('partman.part_config_sub', 'WHERE sub_parent IN (SELECT oid FROM pg_catalog.pg_class)'),
		('partman.part_detached', 'WHERE parent_table IN (SELECT oid FROM pg_catalog.pg_class) AND partition IN (SELECT oid FROM pg_catalog.pg_class)'),
		('partman.part_hold', 'WHERE parent_table IN (SELECT oid FROM pg_catalog.pg_class)'),
		('partman.part_hold_id_seq', '')$$,
	'configuration, marks and holds are dumped, without what is gone');
SELECT is((SELECT extversion FROM pg_extension WHERE extname = 'partmgr'), '1.0', 'version');
SELECT ok(NOT (SELECT extrelocatable FROM pg_extension WHERE extname = 'partmgr'), 'the schema is chosen once');

-- ---------- settings ----------

SELECT results_eq($$SELECT name, setting, unit, vartype, context FROM pg_settings WHERE name LIKE 'partmgr.%' AND name <> 'partmgr.failpoints' ORDER BY name$$,
	$$VALUES ('partmgr.detach_timeout', '600000', 'ms', 'integer', 'sighup'), ('partmgr.drop_pause', '1000', 'ms', 'integer', 'sighup'),
		('partmgr.enabled', 'on', NULL, 'bool', 'sighup'), ('partmgr.interval', '60', 's', 'integer', 'sighup'),
		('partmgr.lock_timeout', '100', 'ms', 'integer', 'superuser'), ('partmgr.log_days', '90', NULL, 'integer', 'sighup'),
		('partmgr.max_create', '1000', NULL, 'integer', 'superuser'), ('partmgr.max_default_scan', '65536', 'kB', 'integer', 'superuser'),
		('partmgr.max_rewrites', '1', NULL, 'integer', 'sighup'),
		('partmgr.max_workers', '2', NULL, 'integer', 'sighup'),
		('partmgr.move_rows', '10000', NULL, 'integer', 'superuser'), ('partmgr.on_demand_max', '100', NULL, 'integer', 'superuser'),
		('partmgr.on_demand_timeout', '2000', 'ms', 'integer', 'user'), ('partmgr.step_timeout', '600000', 'ms', 'integer', 'sighup'),
		('partmgr.vacuum_cost_delay', '2', 'ms', 'real', 'sighup')$$, 'settings') FROM partman.run_maintenance();
SELECT is_empty($$SELECT name FROM pg_settings WHERE name LIKE 'partmgr.%' AND short_desc !~ '^[A-Z].*\.$'$$, 'settings have descriptions');

-- ---------- as pg_partman's users call it ----------

CREATE TABLE public.events (id bigint NOT NULL, at timestamptz NOT NULL) PARTITION BY RANGE (at);
SELECT ok(partman.create_parent('public.events', 'at', '1 day'), 'create_parent by position');
CREATE TABLE public.ids (id bigint NOT NULL) PARTITION BY RANGE (id);
SELECT ok(partman.create_parent(p_parent_table := 'public.ids', p_control := 'id', p_interval := '10', p_type := 'range', p_epoch := 'none',
	p_premake := 4, p_start_partition := NULL, p_default_table := true, p_automatic_maintenance := 'on', p_constraint_cols := NULL,
	p_template_table := NULL, p_jobmon := true, p_date_trunc_interval := NULL, p_control_not_null := true, p_time_encoder := NULL,
	p_time_decoder := NULL, p_offset_id := 0), 'create_parent by name');
SELECT lives_ok($$UPDATE partman.part_config SET premake = 6, retention = '30 days' WHERE parent_table = 'public.events'$$, 'UPDATE part_config');
SELECT lives_ok($$SELECT partman.run_maintenance()$$, 'run_maintenance()');
SELECT lives_ok($$SELECT partman.run_maintenance('public.events', false, true)$$, 'run_maintenance(table, analyze, jobmon)');
SELECT lives_ok($$SELECT partman.run_maintenance(p_analyze := true, p_jobmon := false)$$, 'run_maintenance with names');
SELECT has_table('public', 'events_default', 'the default has pg_partman''s name');
SELECT has_table('public', 'ids_p20', 'an id partition has pg_partman''s name');
SELECT has_table('public', 'events_p' || to_char(CURRENT_TIMESTAMP, 'YYYYMMDD'), 'a day has pg_partman''s name');
SELECT is((SELECT count(*)::int FROM partman.show_partitions('public.events')), 4 + 1 + 6, 'show_partitions: premake before, the current, six ahead');
SELECT is(partman.partition_gap_fill('public.ids'), 0, 'partition_gap_fill');
SELECT lives_ok($$SELECT partman.config_cleanup('public.ids')$$, 'config_cleanup');

SELECT * FROM finish();
ROLLBACK;
