-- Legal holds, and partitions that are taken back.

SET client_min_messages = warning;
DROP EXTENSION IF EXISTS partmgr;
CREATE EXTENSION partmgr;
CREATE SCHEMA holds_test;
SET search_path = holds_test, public;
SET timezone = 'UTC';
SET DateStyle = 'ISO, MDY';

CREATE FUNCTION parts(parent text) RETURNS text LANGUAGE sql AS
	$$ SELECT string_agg(concat_ws(' ', partition_name, CASE WHEN state IN ('expired', 'detached') THEN state END), ', ') FROM list_partitions(parent) $$;
-- a set of ids with partitions of ten from 0 to 70, and a row in each up to 55
CREATE PROCEDURE make_set(name text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE %I (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)', name);
	PERFORM create_parent(name, 'id', '10', p_premake => 1, p_retention_keep_table => false, p_start_partition => '0',
		p_default_table => false);
	PERFORM create_future_partitions(name, 6);
	EXECUTE format('INSERT INTO %I SELECT n FROM generate_series(5, 55, 10) n', name);
END
$$;
CREATE FUNCTION holds(parent text DEFAULT NULL) RETURNS TABLE (hold bigint, parent_table regclass, lower text, upper text, reason text,
	mine boolean, now boolean, partitions regclass[]) LANGUAGE sql AS
	$$ SELECT hold, parent_table, lower, upper, reason, held_by = current_user, held_at <= clock_timestamp(), partitions FROM list_holds(parent) ORDER BY hold $$;
CREATE FUNCTION health(t regclass) RETURNS TABLE (status text, problems text[], notes text[]) LANGUAGE sql AS
	$$ SELECT status, problems, notes FROM partition_health_summary(t) $$;

--
-- a hold keeps what overlaps it
--

CALL make_set('kept');
SELECT hold_partition('kept', '12', '31', 'case 4711');
SELECT hold_partition('kept'::regclass, NULL, '3', 'audit');
SELECT * FROM holds();
UPDATE part_config SET retention = '10' WHERE parent_table = 'kept'::regclass;
SELECT parts('kept');
-- what is held is a row, in a dry run too
SELECT partition_name, range, action FROM drop_old_partitions('kept', p_dry_run => true);
SELECT step, partition_name, status FROM run_partition_maintenance('kept', p_dry_run => true);
SELECT * FROM health('kept');
SELECT partition_name, action FROM drop_old_partitions('kept', '20');
SELECT action, partition_name, message FROM part_log WHERE parent_table = 'kept'::regclass AND action <> 'create' ORDER BY id;
SELECT parts('kept');
INSERT INTO kept VALUES (65);
-- run_maintenance() keeps to it, by name or not
SELECT run_maintenance('kept');
SELECT parts('kept');
SELECT run_maintenance();
SELECT parent_table, partition_name, action FROM drop_old_partitions();
SELECT parts('kept');
-- expired and held is no reason to act
SELECT * FROM health('kept');
-- let go
SELECT release_hold(1);
SELECT * FROM holds('kept');
SELECT partition_name, action FROM drop_old_partitions('kept');
SELECT release_hold(2);
SELECT partition_name, action FROM drop_old_partitions('kept');
SELECT count(*) FROM list_holds('kept'::regclass);

-- nothing of a set: both ends open; a range that no partition takes
CALL make_set('whole');
SELECT hold_partition('whole', NULL, NULL, 'the court says so');
SELECT hold_partition('whole', '1000', NULL, 'what may come');
SELECT * FROM holds('whole');
UPDATE part_config SET retention = '10' WHERE parent_table = 'whole'::regclass;
SELECT partition_name, action FROM drop_old_partitions('whole', '30');
-- all sets, of which one has nothing but held partitions
SELECT parent_table, partition_name, action FROM drop_old_partitions(p_dry_run => true);

-- detached partitions are not dropped; the grace is over at once
CALL make_set('graced');
UPDATE part_config SET retention = '30', retention_grace = '0' WHERE parent_table = 'graced'::regclass;
SELECT hold_partition('graced', '15', '16', 'case 12');
SELECT partition_name, action FROM drop_old_partitions('graced');
SELECT hold_partition('graced', '0', '10', 'case 13') AS h \gset
SELECT parts('graced');
SELECT partitions FROM holds('graced') WHERE reason = 'case 13';
SELECT partition_name, action FROM drop_old_partitions('graced');
SELECT run_maintenance('graced');
SELECT parts('graced');
SELECT * FROM health('graced');
SELECT release_hold(:h);
SELECT partition_name, action FROM drop_old_partitions('graced');
SELECT parts('graced');

-- times: in the set's zone, whatever the session's; times in a number also as that number
CREATE TABLE times (at timestamptz NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE times_a PARTITION OF times FOR VALUES FROM ('2024-01-01 00:00+13') TO ('2024-02-01 00:00+13');
CREATE TABLE times_b PARTITION OF times FOR VALUES FROM ('2024-02-01 00:00+13') TO ('2024-03-01 00:00+13');
SELECT create_parent('times', 'at', '1 month', p_time_zone => 'Pacific/Auckland', p_default_table => false);
SELECT hold_partition('times', '2024-01-15', '2024-02-01', 'to the end of January there');
SELECT hold_partition('times', '2024-01-15', '2024-02-01 00:00:00+00', 'and here') AS h \gset
SELECT lower, upper, partitions FROM holds('times');
CREATE TABLE keys (day int NOT NULL) PARTITION BY RANGE (day);
CREATE TABLE keys_2024 PARTITION OF keys FOR VALUES FROM (20240101) TO (20250101);
CREATE TABLE keys_2025 PARTITION OF keys FOR VALUES FROM (20250101) TO (20260101);
SELECT create_parent('keys', 'day', '1 year', p_epoch => 'yyyymmdd', p_premake => 1, p_default_table => false);
SELECT hold_partition('keys', '20240301', '20250101', 'as number');
SELECT hold_partition('keys', '2024-03-01', '2025-01-02', 'as date');
CREATE TABLE millis (at bigint NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE millis_a PARTITION OF millis FOR VALUES FROM (1704067200000) TO (1706745600000);
SELECT create_parent('millis', 'at', '1 month', p_epoch => 'milliseconds', p_premake => 1, p_time_zone => 'UTC', p_default_table => false);
SELECT hold_partition('millis', '1704067200000', '1704067200001', 'as number');
SELECT hold_partition('millis', '2024-01-31', NULL, 'as time');
SELECT parent_table, lower, upper, partitions[1:2] FROM holds() WHERE parent_table IN ('keys'::regclass, 'millis'::regclass);
-- LIST
CREATE TABLE kinds (kind int NOT NULL) PARTITION BY LIST (kind);
CREATE TABLE kinds_1_2 PARTITION OF kinds FOR VALUES IN (1, 2);
CREATE TABLE kinds_3 PARTITION OF kinds FOR VALUES IN (3);
CREATE TABLE kinds_9 PARTITION OF kinds FOR VALUES IN (9);
INSERT INTO kinds VALUES (9);
SELECT create_parent('kinds', 'kind', '1', p_type => 'list', p_premake => 1, p_retention => '5', p_retention_keep_table => false, p_default_table => false);
SELECT hold_partition('kinds', '2', '3', 'two');
SELECT partition_name, range, action FROM drop_old_partitions('kinds');

-- errors
SELECT hold_partition(NULL::text, '1', '2', 'x');
SELECT hold_partition('kept', '1', '2', NULL);
SELECT hold_partition('kept', '1', '2', E' \n');
SELECT hold_partition('kept', '2', '2', 'x');
SELECT hold_partition('kept', '3', '2', 'x');
SELECT hold_partition('kept', 'soon', NULL, 'x');
SELECT hold_partition('times', '-infinity', NULL, 'x');
SELECT hold_partition('millis', '99999999999999999', NULL, 'x');
SELECT hold_partition('kept_p60', '1', '2', 'x');
SELECT hold_partition('nosuch', '1', '2', 'x');
SELECT release_hold(NULL);
SELECT release_hold(1);
SELECT list_holds('kept_p60');
-- a hold is not forgotten by the way
SELECT config_cleanup('times');
SELECT release_hold(hold) FROM list_holds('times');
SELECT config_cleanup('times');
SELECT count(*) FROM part_hold WHERE parent_table = 'times'::regclass;
-- nor by setting up anew a set that was restored
BEGIN;
DELETE FROM part_state WHERE parent_table = 'whole'::regclass;
SELECT create_parent('whole', 'id', '10', p_default_table => false);
SELECT reason FROM list_holds('whole') ORDER BY hold;
ROLLBACK;
-- a dropped set takes its holds along
DROP TABLE kinds;
SELECT reason FROM part_hold WHERE reason = 'two';

-- who may
CREATE ROLE holds_owner;
CREATE ROLE holds_reader;
CREATE ROLE holds_monitor IN ROLE pg_monitor;
GRANT USAGE ON SCHEMA holds_test TO holds_owner, holds_reader, holds_monitor;
GRANT CREATE ON SCHEMA holds_test TO holds_owner;
GRANT SELECT ON whole TO holds_reader;
ALTER TABLE graced OWNER TO holds_owner;
SELECT format('ALTER TABLE %s OWNER TO holds_owner', partition_name) FROM list_partitions('graced') \gexec
SET ROLE holds_owner;
SELECT hold_partition('graced', '40', '50', 'mine') > 0 AS mine;
SELECT parent_table, reason FROM list_holds() ORDER BY hold;
SELECT hold_partition('whole', '1', '2', 'not mine');
SELECT release_hold(3);
SELECT list_holds('whole');
SET ROLE holds_reader;
SELECT hold_partition('whole', '1', '2', 'x');
SELECT * FROM list_holds();
SELECT list_holds('whole');
SET ROLE holds_monitor;
SELECT count(*) > 1 AS all FROM list_holds();
SELECT reason, held_by FROM list_holds('graced') ORDER BY hold;
SELECT hold_partition('whole', '1', '2', 'x');
RESET ROLE;

--
-- reattach_partition
--

CALL make_set('back');
UPDATE part_config SET retention = '30', retention_grace = '1 day' WHERE parent_table = 'back'::regclass;
SELECT run_maintenance('back');
SELECT parts('back');
SELECT count(*) FROM back;
-- it would go again
SELECT reattach_partition('back_p0');
SELECT hold_partition('back', '5', '6', 'case 1') AS h \gset
SELECT reattach_partition('back_p0');
SELECT parts('back');
SELECT id FROM back ORDER BY id LIMIT 1;
SELECT partition FROM part_detached WHERE parent_table = 'back'::regclass;
SELECT action, partition_name, range, message, lock FROM part_log WHERE parent_table = 'back'::regclass AND action = 'reattach';
SELECT run_maintenance('back');
SELECT parts('back');
-- a longer retention brings the rest back by itself; off, it is asked for
UPDATE part_config SET retention = '40', automatic_maintenance = 'off' WHERE parent_table = 'back'::regclass;
SELECT reattach_partition('back_p10'::regclass);
SELECT parts('back');
-- gone by hand: only a mark that partmgr has written will do
SELECT reattach_partition('back_p20');
ALTER TABLE back DETACH PARTITION back_p20;
SELECT reattach_partition('back_p20');
DROP TABLE back_p20;
-- its range is taken
SELECT release_hold(:h);
UPDATE part_config SET retention = '20' WHERE parent_table = 'back'::regclass;
SELECT run_maintenance('back');
SELECT parts('back');
UPDATE part_config SET retention = NULL WHERE parent_table = 'back'::regclass;
CREATE TABLE taken PARTITION OF back FOR VALUES FROM (3) TO (4);
SELECT reattach_partition('back_p0');
DROP TABLE taken;
-- attached by hand, to this table or another one
ALTER TABLE back ATTACH PARTITION back_p0 FOR VALUES FROM (0) TO (10);
SELECT reattach_partition('back_p0');
CREATE TABLE other (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
ALTER TABLE other ATTACH PARTITION back_p10 FOR VALUES FROM (10) TO (20);
SELECT reattach_partition('back_p10');
ALTER TABLE other DETACH PARTITION back_p10;
SELECT reattach_partition('back_p10');
SELECT parts('back');
-- errors
SELECT reattach_partition(NULL::regclass);
SELECT reattach_partition('nosuch');
SELECT reattach_partition('back');
-- the rule counts: one more is one too many
UPDATE part_config SET retention_partitions = 3 WHERE parent_table = 'back'::regclass;
SELECT run_maintenance('back');
SELECT parts('back');
SELECT reattach_partition('back_p10');
UPDATE part_config SET retention_partitions = 4 WHERE parent_table = 'back'::regclass;
SELECT reattach_partition('back_p10');
SELECT parts('back');

-- what was moved comes back to its parent's schema, unless its name is taken there
CREATE SCHEMA "Attic";
CALL make_set('moved');
UPDATE part_config SET retention = '30', retention_schema = 'Attic' WHERE parent_table = 'moved'::regclass;
SELECT run_maintenance('moved');
SELECT partition FROM part_detached WHERE parent_table = 'moved'::regclass ORDER BY lower_raw;
UPDATE part_config SET retention = '100', automatic_maintenance = 'off' WHERE parent_table = 'moved'::regclass;
CREATE TABLE moved_p10 (x int);
SELECT reattach_partition('"Attic".moved_p0');
SELECT reattach_partition('"Attic".moved_p10');
SELECT parts('moved');
-- by itself it comes back in the same way
UPDATE part_config SET retention = '20', retention_grace = '1 day' WHERE parent_table = 'moved'::regclass;
DROP TABLE moved_p10;
SELECT run_maintenance('moved');
SELECT parts('moved');
UPDATE part_config SET retention = '100' WHERE parent_table = 'moved'::regclass;
SELECT step, partition_name, status FROM run_partition_maintenance('moved');
SELECT parts('moved');

-- with a default partition; who may
CALL make_set('owned');
CREATE TABLE owned_default PARTITION OF owned DEFAULT;
UPDATE part_config SET retention = '40', retention_grace = '1 day' WHERE parent_table = 'owned'::regclass;
SELECT run_maintenance('owned');
UPDATE part_config SET retention = NULL, retention_grace = NULL WHERE parent_table = 'owned'::regclass;
SET ROLE holds_owner;
SELECT reattach_partition('owned_p0');
RESET ROLE;
ALTER TABLE owned_p0 OWNER TO holds_owner;
SET ROLE holds_owner;
SELECT reattach_partition('owned_p0');
RESET ROLE;
ALTER TABLE owned_p0 OWNER TO CURRENT_USER;
INSERT INTO owned VALUES (7);
SELECT reattach_partition('owned_p0');
DELETE FROM owned_default;
SELECT reattach_partition('owned_p0');
SELECT parts('owned');

-- a set that is a partition of another one: its holds keep the partition, whoever would drop that
CREATE TABLE top (id int NOT NULL, sub int NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE top_p0 PARTITION OF top FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (sub);
CREATE TABLE top_p10 PARTITION OF top FOR VALUES FROM (10) TO (20) PARTITION BY RANGE (sub);
SELECT create_parent('top', 'id', '10', p_premake => 1, p_retention_keep_table => false, p_default_table => false);
SELECT create_future_partitions('top', 6);
SELECT create_parent('top_p0', 'sub', '10', p_premake => 1, p_default_table => false);
INSERT INTO top VALUES (5, 5), (55, 55);
SELECT hold_partition('top_p0', '3', '4', 'below') AS h \gset
UPDATE part_config SET retention = '20' WHERE parent_table = 'top'::regclass;
SELECT partition_name, action FROM drop_old_partitions('top');
SELECT * FROM health('top');
SELECT partition_name, action FROM drop_old_partitions('top', '1');
SELECT run_maintenance();
SELECT parts('top');
-- detached, and its grace over
SELECT release_hold(:h);
UPDATE part_config SET retention_grace = '0' WHERE parent_table = 'top'::regclass;
SELECT partition_name, action FROM drop_old_partitions('top');
SELECT hold_partition('top_p0', '3', '4', 'below again') AS h \gset
SELECT partition_name, action FROM drop_old_partitions('top');
SELECT parts('top');
SELECT release_hold(:h);
SELECT partition_name, action FROM drop_old_partitions('top');

DROP SCHEMA holds_test, "Attic" CASCADE;
DROP EXTENSION partmgr;
DROP ROLE holds_owner, holds_reader, holds_monitor;
