-- dump_partitioned_table_definition
\set VERBOSITY terse
SET client_min_messages = warning;
SET TimeZone = 'UTC';
CREATE SCHEMA partman;
CREATE EXTENSION partmgr SCHEMA partman;
CREATE SCHEMA dt;
SET search_path = dt, partman;

-- nothing of ours: pg_partman's text
CREATE TABLE ev (at timestamptz NOT NULL) PARTITION BY RANGE (at);
SELECT create_partition('dt.ev', 'at', '1 month', p_premake := 2);
UPDATE part_config SET maintenance_role = 'somebody' WHERE parent_table = 'dt.ev';
SELECT dump_partitioned_table_definition('dt.ev');

-- all that is ours
CREATE FUNCTION f(regclass, regclass, text, text) RETURNS text LANGUAGE sql AS $$ SELECT 'drop' $$;
CREATE SCHEMA "Odd";
CREATE TABLE "Odd"."Ids'" (id bigint, at timestamptz) PARTITION BY RANGE (id);
SELECT create_parent('Odd.Ids''', 'id', '10', p_default_table := false, p_offset_id := 5, p_control_not_null := false,
	p_name_format := '{parent}_from_{id}', p_jobmon := false, p_automatic_maintenance := 'off');
UPDATE part_config SET retention = '100', retention_keep_table = false, retention_partitions = 7, retention_size = '5 GB',
	retention_keep_newest = 2, retention_grace = '1 day', archive_function = 'dt.f', abort_after_wait = 'blockers',
	maintenance_window = 'Sat 01:00-02:00', analyze_parent = false, cold_after = '50', cold_vacuum = false, cold_reindex = true,
	cold_storage = 'fillfactor=100', drain_default = false, on_demand_window = 50, maintenance_order = 3, detach_before_drop = true,
	maintenance_role = 'somebody'
	WHERE parent_table = 'Odd.Ids''';
SELECT dump_partitioned_table_definition('"Odd"."Ids''"'::regclass, true);

-- where the bounds lie, and in what zone
CREATE TABLE "with.dot" (at timestamptz NOT NULL) PARTITION BY RANGE (at);
SELECT create_partition('dt."with.dot"', 'at', '1 week', p_default_table := false, p_time_zone := 'Asia/Tokyo', p_start_partition := '2026-11-18');
UPDATE part_config SET maintenance_role = 'somebody' WHERE parent_table = '"with.dot"'::regclass;
-- the start is counted from now
SELECT regexp_replace(dump_partitioned_table_definition('"with.dot"'::regclass), 'p_start_partition := ''....-..-..', 'p_start_partition := ''some day');

-- partitions that are sets
CREATE TABLE top (id bigint NOT NULL, at timestamptz NOT NULL) PARTITION BY RANGE (id);
SELECT create_partition('dt.top', 'id', '100', p_default_table := false);
INSERT INTO part_config_sub (sub_parent, sub_control, sub_partition_interval, sub_default_table, sub_retention, sub_time_zone, sub_maintenance_role)
	VALUES ('dt.top', 'at', '1 day', false, '30 days', 'Asia/Tokyo', 'somebody');
UPDATE part_config SET maintenance_role = 'somebody' WHERE parent_table = 'dt.top';
SELECT dump_partitioned_table_definition('dt.top');

-- what was dumped makes the same set
CREATE TABLE before AS SELECT * FROM part_config WHERE parent_table::oid <> 'top'::regclass;
CREATE TABLE dumps AS SELECT parent_table, dump_partitioned_table_definition(parent_table) AS dump FROM part_config WHERE parent_table::oid <> 'top'::regclass;
DO $$
DECLARE
	one record;
	part regclass;
BEGIN
	FOR one IN SELECT * FROM dumps LOOP
		PERFORM config_cleanup(one.parent_table, p_template_table => false);
		FOR part IN SELECT inhrelid FROM pg_inherits WHERE inhparent = one.parent_table LOOP
			EXECUTE format('DROP TABLE %s', part);
		END LOOP;
		EXECUTE one.dump;
	END LOOP;
END
$$;
SELECT parent_table FROM (TABLE before EXCEPT SELECT * FROM part_config) x;
SELECT parent_table, count(*) FROM list_partitions(NULL::text) WHERE parent_table::oid <> 'top'::regclass GROUP BY 1 ORDER BY 1;

-- errors
CREATE TABLE plain (x int);
SELECT dump_partitioned_table_definition('dt.plain');
SELECT dump_partitioned_table_definition('dt.nothing');
SELECT dump_partitioned_table_definition(NULL::text);
SELECT dump_partitioned_table_definition('dt.ev', NULL);
CREATE ROLE partman_stranger;
GRANT USAGE ON SCHEMA partman, dt TO partman_stranger;
SET ROLE partman_stranger;
SELECT partman.dump_partitioned_table_definition('dt.ev');
RESET ROLE;
DROP SCHEMA dt, "Odd" CASCADE;
REVOKE USAGE ON SCHEMA partman FROM partman_stranger;
DROP ROLE partman_stranger;
DROP EXTENSION partmgr;
DROP SCHEMA partman CASCADE;
