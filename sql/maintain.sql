-- Maintenance by SQL: one set, all sets, what it makes and what it says.

SET client_min_messages = warning;
DROP EXTENSION IF EXISTS partmgr;
CREATE EXTENSION partmgr;
CREATE SCHEMA maintain_test;
SET search_path = maintain_test, public;
SET timezone = 'UTC';
SET DateStyle = 'ISO, MDY';

CREATE FUNCTION parts(parent text) RETURNS text LANGUAGE sql AS
	$$ SELECT string_agg(partition_name::text, ' ') FROM list_partitions(parent) $$;
-- the entries of the log, in order
CREATE FUNCTION log_of(parent regclass) RETURNS TABLE (action text, partition text, range text, row_estimate bigint, sqlstate text, message text)
	LANGUAGE sql AS
	$$ SELECT action, replace(partition_name, 'maintain_test.', ''), range, row_estimate, sqlstate, message FROM part_log
	   WHERE parent_table = parent ORDER BY id $$;

-- a set of ids follows its highest id
CREATE TABLE ids (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
SELECT create_parent('ids', 'id', '10', p_premake => 2);
SELECT parts('ids');
SELECT run_maintenance('maintain_test.ids');
SELECT parts('ids');
INSERT INTO ids VALUES (17);
SELECT * FROM run_partition_maintenance('ids', p_dry_run => true);
SELECT parent_table, step, partition_name, range, reason, lock, row_estimate, bytes, sql LIKE 'CREATE TABLE %' AS sql FROM maintenance_plan('ids');
SELECT parts('ids');
SELECT * FROM run_partition_maintenance('ids');
SELECT * FROM run_partition_maintenance('ids');
SELECT parts('ids');
SELECT * FROM log_of('ids');
-- a row far ahead is in the default, and does not count
INSERT INTO ids VALUES (1000000);
SELECT * FROM run_partition_maintenance('ids'::regclass);
-- unless the set says so; even then there is no flood of partitions
UPDATE part_config SET ignore_default_data = false WHERE parent_table = 'ids'::regclass;
SELECT * FROM run_partition_maintenance('ids'::regclass);
DELETE FROM ids WHERE id = 1000000;

-- rows in the range of a partition to be made are moved, if they are few
INSERT INTO ids SELECT generate_series(60, 69);
SELECT step, partition_name, status, row_estimate FROM run_partition_maintenance('ids');
SELECT tableoid::regclass, count(*) FROM ids GROUP BY tableoid ORDER BY min(id);
-- otherwise that one is reported, and the others are made
INSERT INTO ids SELECT generate_series(90, 99);
SET partmgr.move_rows = 9;
SELECT step, partition_name, status, row_estimate, reason FROM run_partition_maintenance('ids');
SELECT parts('ids');
SELECT action, partition, sqlstate, message FROM log_of('ids') WHERE action = 'blocked';
RESET partmgr.move_rows;
SELECT step, partition_name, status, row_estimate FROM run_partition_maintenance('ids');
SELECT count(*) FROM ids_default;

-- a table in the place of a partition: both are named, the others are made
CREATE TABLE taken (id int NOT NULL) PARTITION BY RANGE (id);
SELECT create_parent('taken', 'id', '10', p_premake => 1, p_default_table => false);
CREATE TABLE taken_p20 (x text);
INSERT INTO taken VALUES (15);
SELECT step, partition_name, status FROM run_partition_maintenance('taken');
INSERT INTO taken_p20 VALUES ('still here');
UPDATE part_config SET premake = 3 WHERE parent_table = 'taken'::regclass;
SELECT step, partition_name, status FROM run_partition_maintenance('taken');
ALTER TABLE taken_p20 RENAME TO mine;
SELECT step, partition_name, status FROM run_partition_maintenance('taken');
SELECT parts('taken');

-- a partition that was made by hand, whatever its name, is as good as ours
CREATE TABLE ours (id int NOT NULL) PARTITION BY RANGE (id);
SELECT create_parent('ours', 'id', '10', p_premake => 1, p_default_table => false);
CREATE TABLE theirs PARTITION OF ours FOR VALUES FROM (20) TO (37);
INSERT INTO ours VALUES (25);
SELECT step, partition_name, range, status, reason FROM run_partition_maintenance('ours');
SELECT parts('ours');

-- holes: ahead they are filled, behind they are reported and filled on demand
DROP TABLE ours_p37;
SELECT step, partition_name, range FROM run_partition_maintenance('ours');
CREATE TABLE early PARTITION OF ours FOR VALUES FROM (-35) TO (-25);
SELECT status, gaps FROM partition_health_summary('ours');
SELECT step, partition_name, range FROM run_partition_maintenance('ours');
SELECT partition_gap_fill('ours');
SELECT partition_name, range FROM list_partitions('ours');
SELECT partition_gap_fill('ours'::regclass);
SELECT status, gaps FROM partition_health_summary('ours');

-- down for months: made up to now, and ahead
CREATE TABLE down (at timestamptz NOT NULL) PARTITION BY RANGE (at);
BEGIN;
SELECT create_parent('down', 'at', '1 day', p_start_partition => (now() - interval '100 days')::text, p_default_table => false);
DO $$ DECLARE p regclass;
BEGIN
	FOR p IN SELECT partition_name FROM list_partitions('down') WHERE lower_time > now() - interval '90 days' LOOP
		EXECUTE 'DROP TABLE ' || p;
	END LOOP;
END $$;
SELECT count(*) FROM list_partitions('down');
SELECT step, count(*), count(DISTINCT reason) AS reasons FROM run_partition_maintenance('down') GROUP BY step;
SELECT count(*), max(upper_time) > now() + interval '4 days' AS ahead, sum(upper_time - lower_time) = max(upper_time) - min(lower_time) AS whole
	FROM list_partitions('down');
COMMIT;
-- but not too many at once
CREATE TABLE minutes (at timestamptz NOT NULL) PARTITION BY RANGE (at);
SET partmgr.max_create = 5;
SET client_min_messages = notice;
BEGIN;
SELECT create_parent('minutes', 'at', '1 minute', p_premake => 3, p_default_table => false);
UPDATE part_config SET premake = 20 WHERE parent_table = 'minutes'::regclass;
SELECT count(*) FROM run_partition_maintenance('minutes') WHERE step = 'create';
SELECT count(*) FROM run_partition_maintenance('minutes') WHERE step = 'create';
COMMIT;
SET client_min_messages = warning;
RESET partmgr.max_create;
-- a number that is asked for by name
CREATE TABLE ahead (id bigint NOT NULL) PARTITION BY RANGE (id);
SELECT create_parent('ahead', 'id', '100', p_premake => 1, p_default_table => false);
INSERT INTO ahead VALUES (50);
SELECT partition_name, status FROM create_future_partitions('ahead', 4);
SELECT partition_name, status FROM create_future_partitions('ahead', 3);
SELECT run_maintenance('ahead');
SELECT parts('ahead');

-- a changed row takes effect at the next run
UPDATE part_config SET partition_interval = '1000', premake = 2, name_format = '{parent}_from_{id}' WHERE parent_table = 'ahead'::regclass;
INSERT INTO ahead VALUES (450);
SELECT partition_name, range, reason FROM run_partition_maintenance('ahead');

-- LIST
CREATE TABLE kinds (kind int) PARTITION BY LIST (kind);
CREATE TABLE kinds_some PARTITION OF kinds FOR VALUES IN (1, 3, NULL);
INSERT INTO kinds VALUES (1), (3), (NULL);
SELECT create_parent('kinds', 'kind', '1', p_type => 'list', p_premake => 2, p_control_not_null => false);
SELECT partition_name, range FROM list_partitions('kinds');
SELECT partition_gap_fill('kinds');
SELECT partition_name, range FROM list_partitions('kinds');

--
-- All sets: one that fails does not stop the others
--

UPDATE part_config SET automatic_maintenance = 'off';
CREATE ROLE regress_partmgr_maintain;
GRANT USAGE, CREATE ON SCHEMA maintain_test TO regress_partmgr_maintain;
CREATE TABLE a1 (id int NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE a2 (id int NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE a3 (id int NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE a4 (id int NOT NULL) PARTITION BY RANGE (id);
ALTER TABLE a2 OWNER TO regress_partmgr_maintain;
SELECT create_parent(t, 'id', '10', p_premake => 1) FROM unnest('{a1,a2,a3,a4}'::text[]) t;
UPDATE part_config SET maintenance_order = 1 WHERE parent_table = 'a3'::regclass;
INSERT INTO a1 VALUES (11); INSERT INTO a2 VALUES (11); INSERT INTO a3 VALUES (11); INSERT INTO a4 VALUES (11);
UPDATE part_config SET automatic_maintenance = 'off' WHERE parent_table = 'a4'::regclass;
REVOKE CREATE ON SCHEMA maintain_test FROM regress_partmgr_maintain;
SELECT parent_table, step, partition_name FROM run_partition_maintenance();
SELECT parts('a1') AS a1, parts('a2') AS a2, parts('a3') AS a3, parts('a4') AS a4;
SELECT failures, last_sqlstate, last_error, last_error_at IS NOT NULL AS dated, next_run > last_run AS later
	FROM part_state WHERE parent_table = 'a2'::regclass;
SELECT action, sqlstate, message FROM log_of('a2') WHERE action = 'failed';
-- by name: its own error
\set VERBOSITY sqlstate
SELECT run_maintenance('a2');
\set VERBOSITY default
-- the cause is gone
GRANT CREATE ON SCHEMA maintain_test TO regress_partmgr_maintain;
SELECT run_maintenance();
SELECT failures, last_sqlstate, last_error FROM part_state WHERE parent_table = 'a2'::regclass;
SELECT parts('a2');
SELECT DISTINCT relowner::regrole FROM pg_class WHERE relname ~ '^a2';
-- by name, whatever automatic_maintenance says
SELECT run_maintenance('a4', p_analyze => true, p_jobmon => false);
SELECT parts('a4');
-- sets that came out of a dump are left out
DELETE FROM part_state WHERE parent_table = 'a1'::regclass;
INSERT INTO a1 VALUES (21); INSERT INTO a3 VALUES (21);
SELECT parent_table, step, partition_name FROM run_partition_maintenance(p_dry_run => true);
SELECT parent_table, step, partition_name FROM maintenance_plan();
SELECT parent_table, step, partition_name FROM maintenance_plan('a1');
SELECT resume_maintenance();

-- a commit after each set
UPDATE part_state SET last_run = NULL;
CALL run_maintenance_proc();
SELECT parts('a1') AS a1, parts('a3') AS a3;
SELECT count(DISTINCT last_run) FROM part_state WHERE parent_table IN ('a1'::regclass, 'a2'::regclass, 'a3'::regclass);
SELECT count(DISTINCT xmin::text) FROM part_state WHERE parent_table IN ('a1'::regclass, 'a2'::regclass, 'a3'::regclass);
-- also from inside another procedure; a set that fails is a warning
REVOKE CREATE ON SCHEMA maintain_test FROM regress_partmgr_maintain;
INSERT INTO a1 VALUES (31); INSERT INTO a2 VALUES (21); INSERT INTO a3 VALUES (31);
CREATE PROCEDURE outer_call() LANGUAGE plpgsql AS $$ BEGIN CALL run_maintenance_proc(p_wait => 0, p_analyze => true, p_jobmon => false); END $$;
CALL outer_call();
SELECT parts('a1') AS a1, parts('a2') AS a2, parts('a3') AS a3;
GRANT CREATE ON SCHEMA maintain_test TO regress_partmgr_maintain;
-- a wait between the sets
SELECT clock_timestamp() AS before \gset
CALL run_maintenance_proc(1);
SELECT clock_timestamp() - :'before' BETWEEN '1.9 seconds' AND '30 seconds' AS waited;

-- statistics
INSERT INTO a1 VALUES (1);
SELECT partition_name, row_estimate, last_analyze IS NOT NULL AS analyzed FROM analyze_partitions('a1');

-- inside a transaction that is rolled back, nothing remains
BEGIN;
INSERT INTO a1 VALUES (55);
SELECT run_maintenance('a1');
ROLLBACK;
SELECT parts('a1');
-- an old snapshot does not make what exists
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM part_config;
SELECT run_maintenance('a1');
COMMIT;

-- the calendar is the set's in every session
CREATE TABLE zones (at timestamptz NOT NULL) PARTITION BY RANGE (at);
SELECT create_parent('zones', 'at', '1 day', p_time_zone => 'Pacific/Auckland', p_premake => 2, p_default_table => false);
DO $$
DECLARE
	zone text;
	n int := 2;
BEGIN
	FOREACH zone IN ARRAY '{UTC,America/New_York,Asia/Kolkata,Pacific/Auckland}'::text[] LOOP
		PERFORM set_config('timezone', zone, true);
		n := n + 100;
		PERFORM create_future_partitions('zones', n);
	END LOOP;
END $$;
SELECT count(*) > 400 AS many, bool_and((lower_time AT TIME ZONE 'Pacific/Auckland')::time = '00:00') AS midnights,
	bool_and(partition_name::text = 'zones_p' || to_char(lower_time AT TIME ZONE 'Pacific/Auckland', 'YYYYMMDD')) AS names,
	count(DISTINCT upper_time - lower_time) AS lengths, sum(upper_time - lower_time) = max(upper_time) - min(lower_time) AS whole
	FROM list_partitions('zones');

DROP SCHEMA maintain_test CASCADE;
DROP ROLE regress_partmgr_maintain;
DROP EXTENSION partmgr;
