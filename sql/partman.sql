-- pg_partman's smaller functions
\set VERBOSITY terse
SET client_min_messages = warning;
SET TimeZone = 'UTC';
CREATE SCHEMA partman;
CREATE EXTENSION partmgr SCHEMA partman;
CREATE SCHEMA pt;
SET search_path = pt, partman;

-- what a call comes to: its result, or the error
CREATE FUNCTION try(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	RETURN 'done';
EXCEPTION WHEN OTHERS THEN
	RETURN format('%s: %s', SQLSTATE, SQLERRM);
END
$$;

-- the partitions of a set with their bounds
CREATE FUNCTION bounds(regclass) RETURNS TABLE (name text, bound text) LANGUAGE sql AS $$
	SELECT c.relname::text, pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
	WHERE inhparent = $1 ORDER BY pg_get_expr(c.relpartbound, c.oid) COLLATE "C"
$$;

--
-- create_partition is create_parent
--
CREATE TABLE ids (id bigint NOT NULL) PARTITION BY RANGE (id);
SELECT create_partition('pt.ids', 'id', '10', p_premake := 2, p_default_table := false);
SELECT * FROM bounds('ids');
CREATE TABLE ev (at timestamptz NOT NULL) PARTITION BY RANGE (at);
SELECT create_partition('ev'::regclass, 'at', '1 week', p_premake := 1, p_default_table := false, p_date_trunc_interval := 'week');
SELECT partition_interval, date_trunc_interval, datetime_string, name_format, maintenance_role = current_user AS mine,
	maintenance_last_run IS NULL AS never FROM part_config WHERE parent_table = 'pt.ev';
SELECT try($$SELECT create_partition('pt.ids', 'id', '10')$$);

--
-- partitions by their lower bounds
--
SELECT create_partition_id('pt.ids', ARRAY[105, 111, 15, NULL, 200]);
SELECT create_partition_id('ids'::regclass, ARRAY[105, 3]);
SELECT create_partition_id('pt.ids', '{}');
SELECT create_partition_id('pt.ids', ARRAY[9223372036854775807]);
SELECT * FROM bounds('ids');
SELECT create_partition_time('pt.ev', ARRAY['2020-02-05 10:00+00', '2020-02-07 00:00+00', '2020-02-12 10:00+00']::timestamptz[], '2020-02-06');
SELECT * FROM bounds('ev') WHERE bound ~ '2020';
SELECT create_partition_time('ev'::regclass, ARRAY['2020-02-05 10:00+00']::timestamptz[]);
CREATE TABLE li (k int NOT NULL) PARTITION BY LIST (k);
SELECT create_partition('pt.li', 'k', '1', p_type := 'list', p_premake := 1, p_default_table := false);
SELECT create_partition_id('pt.li', ARRAY[7, 0, 7]);
SELECT * FROM bounds('li');
-- what they are, what is in the way
SELECT action, partition_name, message FROM part_log WHERE parent_table = 'pt.li' ORDER BY id DESC LIMIT 1;
CREATE TABLE li_p8 (x int);
SELECT create_partition_id('pt.li', ARRAY[8]);
SELECT try(sql) FROM unnest(ARRAY[
	$$SELECT create_partition_id('pt.ev', ARRAY[1])$$,
	$$SELECT create_partition_time('pt.ids', ARRAY[now()])$$,
	$$SELECT create_partition_time('pt.ev', ARRAY['infinity']::timestamptz[])$$,
	$$SELECT create_partition_time('pt.ev', NULL)$$,
	$$SELECT create_partition_id('pt.bounds', ARRAY[1])$$,
	$$SELECT create_partition_id(NULL, ARRAY[1])$$]) sql;
CREATE ROLE partman_stranger;
GRANT USAGE ON SCHEMA partman, pt TO partman_stranger;
SET ROLE partman_stranger;
SELECT try($$SELECT partman.create_partition_id('pt.ids', ARRAY[1])$$);
SELECT try($$SELECT partman.drop_partition_id('pt.ids', 1)$$);
RESET ROLE;
REVOKE USAGE ON SCHEMA partman, pt FROM partman_stranger;

--
-- retention by call
--
INSERT INTO ids VALUES (7), (109), (205);
SELECT try($$SELECT drop_partition_id('pt.ids')$$);
SELECT drop_partition_id('pt.ids', 90);	-- up to 115: 105 to 115 goes, 111 is none
SELECT * FROM bounds('ids');
SELECT to_regclass('ids_p105') AS kept;
SELECT create_partition_id('pt.ids', ARRAY[120]);
SELECT drop_partition_id('ids'::regclass, 1, p_keep_table := false);
SELECT * FROM bounds('ids');
SELECT to_regclass('ids_p200') AS newest_stays, to_regclass('ids_p120') AS gone;
CREATE SCHEMA old;
CREATE INDEX ON ev (at);
UPDATE part_config SET retention = '1 day' WHERE parent_table = 'pt.ev';
SELECT drop_partition_time('pt.ev', p_reference_timestamp := '2020-02-13 10:00+00', p_keep_index := false);	-- exactly that old
SELECT drop_partition_time('pt.ev', p_reference_timestamp := '2020-02-13 10:00:01+00', p_keep_index := false);
SELECT relname, (SELECT count(*) FROM pg_index WHERE indrelid = c.oid) AS indexes, relispartition
	FROM pg_class c WHERE relname LIKE 'ev\_p202002%' AND relkind = 'r' ORDER BY 1;
SELECT drop_partition_time('pt.ev', p_retention := '1 month', p_retention_schema := 'old', p_reference_timestamp := '2021-01-01');
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
	WHERE relname LIKE 'ev\_p202002%' AND relkind = 'r' ORDER BY 2;
SELECT retention, retention_keep_table, retention_keep_index, retention_schema FROM part_config WHERE parent_table = 'pt.ev';
CREATE SCHEMA theirs AUTHORIZATION partman_stranger;
SELECT try(sql) FROM unnest(ARRAY[
	$$SELECT drop_partition_time('pt.ids', '1 day')$$,
	$$SELECT drop_partition_id('pt.ev', 1)$$,
	$$SELECT drop_partition_time('pt.ev', p_retention_schema := 'theirs')$$,
	$$SELECT drop_partition_time('pt.ev', p_retention_schema := 'nowhere')$$,
	$$SELECT drop_partition_time('pt.ev', p_reference_timestamp := NULL)$$,
	$$SELECT drop_partition_time('pt.ev', p_reference_timestamp := 'infinity')$$,
	$$SELECT drop_partition_time('pt.ev', '-1 day')$$]) sql;

--
-- datetime_string, and the name_format that it means
--
UPDATE part_config SET datetime_string = 'YYYY_MM_DD' WHERE parent_table = 'pt.ev';
SELECT datetime_string, name_format FROM part_config WHERE parent_table = 'pt.ev';
SELECT create_partition_time('pt.ev', ARRAY['2020-03-02']::timestamptz[]);
SELECT * FROM bounds('ev') WHERE bound ~ '2020';
UPDATE part_config SET datetime_string = 'yyyy"week of"MMDD' WHERE parent_table = 'pt.ev';
SELECT datetime_string, name_format FROM part_config WHERE parent_table = 'pt.ev';
-- another format has no datetime_string, and the default one is null
UPDATE part_config SET name_format = '{parent}_{IYYY}w{IW}' WHERE parent_table = 'pt.ev';
SELECT datetime_string, name_format FROM part_config WHERE parent_table = 'pt.ev';
UPDATE part_config SET datetime_string = 'YYYYMMDD' WHERE parent_table = 'pt.ev';
SELECT datetime_string, name_format FROM part_config WHERE parent_table = 'pt.ev';
UPDATE part_config SET partition_interval = '1 hour' WHERE parent_table = 'pt.ev';
SELECT datetime_string, name_format FROM part_config WHERE parent_table = 'pt.ev';
UPDATE part_config SET datetime_string = NULL WHERE parent_table = 'pt.ev';
SELECT datetime_string, name_format FROM part_config WHERE parent_table = 'pt.ev';
SELECT datetime_string, name_format FROM part_config WHERE parent_table = 'pt.ids';
SELECT try(sql) FROM unnest(ARRAY[
	$$UPDATE part_config SET datetime_string = 'YYYY"q"Q' WHERE parent_table = 'pt.ev'$$,
	$$UPDATE part_config SET datetime_string = 'IYYY"w"IW' WHERE parent_table = 'pt.ev'$$,
	$$UPDATE part_config SET datetime_string = 'YYYYMonDD' WHERE parent_table = 'pt.ev'$$,
	$$UPDATE part_config SET datetime_string = 'YYYY{MM}' WHERE parent_table = 'pt.ev'$$,
	$$UPDATE part_config SET datetime_string = 'YYYYMMDD' WHERE parent_table = 'pt.ev'$$,	-- too coarse
	$$UPDATE part_config SET datetime_string = 'YYYYMMDD' WHERE parent_table = 'pt.ids'$$]) sql;
UPDATE part_config SET partition_interval = '7 days' WHERE parent_table = 'pt.ev';

--
-- maintenance_last_run
--
-- both triggers fire for every column but that one
SELECT tgname, array_agg(attname ORDER BY attnum) FILTER (WHERE NOT attnum = ANY (tgattr)) AS without
	FROM pg_trigger JOIN pg_attribute ON attrelid = tgrelid AND attnum > 0
	WHERE tgrelid = 'part_config'::regclass AND NOT tgisinternal GROUP BY 1 ORDER BY 1;
BEGIN;
SELECT run_maintenance('pt.ids');
SELECT maintenance_last_run AS first FROM part_config WHERE parent_table = 'pt.ids' \gset
SELECT run_maintenance('pt.ids');
SELECT maintenance_last_run > :'first' AS later, maintenance_last_run > now() AS by_the_clock FROM part_config WHERE parent_table = 'pt.ids';
-- in the order of maintenance
UPDATE part_config SET maintenance_order = CASE parent_table::text WHEN 'li' THEN 1 WHEN 'ids' THEN 2 END;
SELECT run_maintenance();
SELECT parent_table FROM part_config ORDER BY maintenance_last_run;
COMMIT;
-- a part of maintenance is none
UPDATE part_config SET maintenance_last_run = '2020-01-01';
SELECT partition_gap_fill('pt.li') > 0 AS filled;
SELECT drop_partition_id('pt.ids', 1000);
SELECT count(*) FROM part_config WHERE maintenance_last_run > '2020-01-01';
-- a set that fails
CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
	IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() WHERE object_identity ~ 'ids_p2') THEN
		RAISE EXCEPTION 'not this one';
	END IF;
END $$;
INSERT INTO ids VALUES (207);
UPDATE part_config SET premake = 5 WHERE parent_table = 'pt.ids';
CREATE EVENT TRIGGER refuse ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION refuse();
SELECT run_maintenance();
DROP EVENT TRIGGER refuse;
SELECT parent_table, maintenance_last_run IS NULL AS failed FROM part_config ORDER BY 1;

--
-- a set that is being undone, or whose rows pg_partman was moving, is not maintained
--
CREATE TABLE target (id bigint);
SELECT undo_partition('pt.ids', 'pt.target', p_loop_count := 1, p_batch_interval := '1');
SELECT undo_in_progress FROM part_config WHERE parent_table = 'pt.ids';
UPDATE part_config SET maintenance_last_run = '2020-01-01';
UPDATE part_config SET async_partitioning_in_progress = 'job 1' WHERE parent_table = 'pt.li';
SELECT run_maintenance();
SELECT run_maintenance('pt.ids');
SELECT run_maintenance('pt.li');
SELECT count(*) FROM run_partition_maintenance('pt.ids');
SELECT parent_table FROM part_config WHERE maintenance_last_run > '2020-01-01';
CALL run_maintenance_proc();
SELECT parent_table FROM part_config WHERE maintenance_last_run > '2020-01-01';
UPDATE part_config SET undo_in_progress = false, async_partitioning_in_progress = NULL;
SELECT run_maintenance();
SELECT count(*) FROM part_config WHERE maintenance_last_run > '2020-01-01';

--
-- rows ahead of now move the horizon, one gap on they do not
--
CREATE TABLE ahead (at date NOT NULL) PARTITION BY RANGE (at);
SELECT create_partition('pt.ahead', 'at', '1 day', p_premake := 3, p_default_table := false);
INSERT INTO ahead SELECT (now() AT TIME ZONE 'UTC')::date + 2;
SELECT run_maintenance('pt.ahead');
SELECT count(*) FILTER (WHERE lower_time::date > (now() AT TIME ZONE 'UTC')::date) FROM list_partitions('pt.ahead');
SELECT run_maintenance('pt.ahead');
SELECT run_maintenance();
SELECT count(*) FILTER (WHERE lower_time::date > (now() AT TIME ZONE 'UTC')::date) FROM list_partitions('pt.ahead');
SELECT create_partition_time('pt.ahead', ARRAY[date_trunc('day', now()) + interval '30 days']);
INSERT INTO ahead SELECT (now() AT TIME ZONE 'UTC')::date + 30;
SELECT run_maintenance('pt.ahead');
SELECT count(*) FILTER (WHERE lower_time::date > (now() AT TIME ZONE 'UTC')::date) FROM list_partitions('pt.ahead');

--
-- run_analyze
--
SET client_min_messages = notice;
CALL run_analyze();
CALL run_analyze(true, true);
CALL run_analyze(p_parent_table := 'pt.li');
BEGIN;
CALL run_analyze();
ROLLBACK;
CALL run_analyze(p_parent_table := 'pt.target');
CALL run_analyze(NULL);
SELECT relname FROM pg_class WHERE oid IN (SELECT parent_table FROM part_config) AND reltuples < 0;

--
-- config_cleanup
--
CREATE TABLE two (id bigint NOT NULL, at timestamptz NOT NULL) PARTITION BY RANGE (id);
SELECT create_partition('pt.two', 'id', '10', p_default_table := false, p_template_table := 'false');
INSERT INTO part_config_sub (sub_parent, sub_control, sub_partition_interval) VALUES ('pt.two', 'at', '1 day');
SELECT config_cleanup('pt.two', p_config_table := false);
SELECT config_cleanup('li'::regclass, true, false, false);
INSERT INTO part_config_sub (sub_parent, sub_control, sub_partition_interval) VALUES ('pt.two', 'at', '1 day');
SELECT config_cleanup('pt.two');
SELECT config_cleanup('pt.ids');
SELECT count(*) FROM part_config_sub;
SELECT config_cleanup('pt.ids');
SELECT config_cleanup('pt.ev', NULL);
SET client_min_messages = warning;

--
-- what scripts ask
--
SELECT i, (calculate_time_partition_info(i::interval, '2024-07-18 13:14:15+00')).*
	FROM unnest(ARRAY['1000 years', '100 years', '10 years', '1 year', '3 months', '1 week', '1 day', '6 hours', '1 minute', '30 seconds']) i;
SELECT * FROM calculate_time_partition_info('1 day', '2024-07-18 13:14:15+00', 'month');
CREATE TABLE "Kinds" (a timestamptz, b date, c int, d numeric, e text, f varchar(10), g uuid, h point);
SELECT attname, t.* FROM pg_attribute, check_control_type('pt', 'Kinds', attname) t WHERE attrelid = '"Kinds"'::regclass AND attnum > 0 ORDER BY attnum;
SELECT * FROM check_control_type('pt', 'Kinds', 'nothing');
SELECT check_name_length('ev', '20240718', true), check_name_length('ev', '_x'), check_name_length('ev');
SELECT n, octet_length(n) FROM (VALUES (check_name_length(repeat('a', 70), '20240718', true)),
	(check_name_length(repeat('é', 40), '_default')), (check_name_length(repeat('a', 70)))) v (n);
SELECT try($$SELECT check_name_length('ev', NULL, true)$$), check_name_length(NULL, 'x') IS NULL AS null;
SELECT partman_safe_obj_name('Some.Table'), partman_safe_obj_name('plain.table_'), partman_safe_obj_name('Alone');
SELECT check_automatic_maintenance_value('on'), check_automatic_maintenance_value('On'), check_epoch_type('seconds'),
	check_epoch_type('years'), check_partition_type('list'), check_partition_type('hash');
CREATE TABLE top (id bigint NOT NULL, at timestamptz NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE top_p0 PARTITION OF top FOR VALUES FROM (0) TO (100) PARTITION BY RANGE (id);
CREATE TABLE top_p100 PARTITION OF top FOR VALUES FROM (100) TO (200) PARTITION BY RANGE (id);
SELECT create_partition('pt.top', 'id', '100', p_default_table := false);
SELECT create_partition(t, 'id', '10', p_default_table := false) FROM unnest(ARRAY['pt.top_p0', 'pt.top_p100']) t;
SELECT * FROM check_subpartition_limits('pt.top_p0', 'id');
SELECT * FROM check_subpartition_limits('pt.top_p0', 'time');
SELECT * FROM check_subpartition_limits('pt.top', 'id');
INSERT INTO part_config_sub (sub_parent, sub_control, sub_partition_interval) VALUES ('pt.top_p0', 'at', '1 day'), ('pt.top_p100', 'at', '2 days');
SELECT sub_control, sub_partition_interval, sub_premake, sub_template_table FROM check_subpart_sameconfig('pt.top') ORDER BY 2;
SELECT count(*) FROM check_subpart_sameconfig('pt.ev');
SELECT * FROM check_subpartition_limits('top_p100'::regclass, 'id');
SELECT count(*) FROM check_subpart_sameconfig('top'::regclass);
-- tables by their names, and by patterns
SELECT parent_table FROM part_config WHERE parent_table ~ 'top_p\d' ORDER BY 1;
SELECT parent_table FROM part_config WHERE parent_table LIKE 'pt.top%' ORDER BY 1;
SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace JOIN part_config ON nspname || '.' || relname = parent_table ORDER BY 1;

DROP SCHEMA pt, old, theirs CASCADE;
DROP ROLE partman_stranger;
DROP EXTENSION partmgr;
DROP SCHEMA partman CASCADE;
