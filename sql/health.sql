-- partition_health_summary: every status, and who may see what.

SET client_min_messages = warning;
DROP EXTENSION IF EXISTS partmgr;
CREATE EXTENSION partmgr;
CREATE SCHEMA health_test;
SET search_path = health_test, public;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET IntervalStyle = 'postgres';

CREATE PROCEDURE manage(t regclass, width text, zone text DEFAULT NULL, premake int DEFAULT 1, retention text DEFAULT NULL)
LANGUAGE sql AS $$
  INSERT INTO part_config (parent_table, control, partition_interval, partition_type, premake, retention, time_zone)
    SELECT t, a.attname, width, CASE p.partstrat WHEN 'l' THEN 'list' ELSE 'range' END, premake, retention, zone
    FROM pg_partitioned_table p JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
    WHERE p.partrelid = t;
  INSERT INTO part_state (parent_table, next_run) VALUES (t, '2101-01-01')
$$;
CREATE PROCEDURE part(t regclass, lower text, upper text) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE TABLE %I PARTITION OF %s FOR VALUES FROM (%L) TO (%L)', t || '_p' || lower, t, lower, upper);
END $$;
CREATE FUNCTION health(t regclass) RETURNS TABLE (status text, problem text) LANGUAGE sql AS $$
  SELECT status, p FROM partition_health_summary(t) LEFT JOIN unnest(problems) p ON true
$$;

-- HEALTHY: one ahead, as wanted
CREATE TABLE ids (id int NOT NULL) PARTITION BY RANGE (id);
CALL manage('ids', '10');
CALL part('ids', '0', '10');
CALL part('ids', '10', '20');
CALL part('ids', '20', '30');
INSERT INTO ids VALUES (1), (2), (15);
ANALYZE ids;
\x
SELECT parent_table, status, partitions, row_estimate, bytes > 0 AS has_bytes, oldest, newest, partitions_ahead,
  time_ahead, pending_cleanup, default_rows, gaps, name_clashes, last_run, last_error, last_sqlstate, last_error_at, next_run,
  problems FROM partition_health_summary('ids');
-- time: centuries, so that this test has some of them left
CREATE TABLE ev (at timestamptz NOT NULL) PARTITION BY RANGE (at);
CALL manage('ev', '100 years', 'UTC');
CALL part('ev', '2001-01-01', '2101-01-01');
CALL part('ev', '2101-01-01', '2201-01-01');
CREATE TABLE ev_default PARTITION OF ev DEFAULT;
SELECT status, partitions, row_estimate, oldest, newest, partitions_ahead,
  time_ahead > interval '36500 days' AS time_ahead, default_rows, problems FROM partition_health_summary('health_test.ev'::regclass);
\x

-- NO_PARTITIONS
CREATE TABLE none (at timestamptz NOT NULL) PARTITION BY RANGE (at);
CALL manage('none', '100 years', 'UTC');
SELECT * FROM health('none');
CREATE TABLE no_id (id int NOT NULL) PARTITION BY RANGE (id);
CALL manage('no_id', '10');
SELECT * FROM health('no_id');

-- FAILING: the last run did
UPDATE part_state SET failures = 2, last_run = '2024-01-01', last_error_at = '2024-01-01', last_sqlstate = '42501',
  last_error = 'permission denied for schema attic' WHERE parent_table = 'ids'::regclass;
SELECT * FROM health('ids');
SELECT last_run, last_error, last_sqlstate, last_error_at, next_run FROM partition_health_summary('ids');
UPDATE part_state SET failures = 0, last_sqlstate = NULL, last_error = NULL, last_error_at = NULL,
  upkeep_failures = 1, upkeep_sqlstate = '2BP01', upkeep_error = 'cannot drop table' WHERE parent_table = 'ids'::regclass;
SELECT * FROM health('ids');
UPDATE part_state SET upkeep_failures = 0, upkeep_sqlstate = NULL, upkeep_error = NULL WHERE parent_table = 'ids'::regclass;
-- or it cannot even be looked into
CREATE ROLE health_owner;
GRANT USAGE, CREATE ON SCHEMA health_test TO health_owner;
ALTER TABLE ids_p10 OWNER TO health_owner;
REVOKE SELECT ON ids_p10 FROM health_owner;
SELECT * FROM health('ids');
SELECT partition_name, state FROM list_partitions('ids');
GRANT SELECT ON ids_p10 TO health_owner;
ALTER TABLE ids_p10 OWNER TO CURRENT_USER;
-- or its configuration makes no sense any more
ALTER TABLE part_config DISABLE TRIGGER part_config_check;
UPDATE part_config SET time_zone = 'Europe/Atlantis' WHERE parent_table = 'ev'::regclass;
SELECT * FROM health('ev');
SELECT status, partitions, oldest, gaps FROM partition_health_summary('ev');
UPDATE part_config SET time_zone = 'UTC' WHERE parent_table = 'ev'::regclass;
ALTER TABLE part_config ENABLE TRIGGER part_config_check;

-- BEHIND
INSERT INTO ids VALUES (20);
SELECT * FROM health('ids');
CREATE TABLE late (at date NOT NULL) PARTITION BY RANGE (at);
CALL manage('late', '100 years', 'UTC');
CALL part('late', '1900-01-01', '2001-01-01');
SELECT status, regexp_replace(problem, '20\d\d-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?', 'NOW') AS problem FROM health('late');
SELECT partitions_ahead, time_ahead FROM partition_health_summary('late');
CALL part('late', '2001-01-01', '2101-01-01');
SELECT * FROM health('late');
-- or because nobody maintains it; who calls run_maintenance by the clock has days to do so
BEGIN;
UPDATE part_state SET next_run = now() - interval '47 hours' WHERE parent_table = 'no_id'::regclass;
SELECT * FROM health('no_id');
UPDATE part_state SET next_run = now() - interval '49 hours' WHERE parent_table = 'no_id'::regclass;
SELECT * FROM health('no_id');
UPDATE part_state SET next_run = now() - interval '30 days' WHERE parent_table = 'ev'::regclass;
SELECT * FROM health('ev');
UPDATE part_state SET next_run = now() - interval '32 days' WHERE parent_table = 'ev'::regclass;
SELECT * FROM health('ev');
UPDATE part_state SET next_run = '-infinity' WHERE parent_table = 'ev'::regclass;
SELECT * FROM health('ev');
UPDATE part_config SET automatic_maintenance = 'off' WHERE parent_table = 'ev'::regclass;
SELECT * FROM health('ev');
ROLLBACK;

-- POSTPONED: a lock is not to be had for longer than partmgr.interval
BEGIN;
UPDATE part_state SET busy = 3, busy_since = now() - interval '59 seconds', blockers = 'the table is locked: process 1 (psql)' WHERE parent_table = 'ev'::regclass;
SELECT * FROM health('ev');
UPDATE part_state SET busy_since = now() - interval '61 seconds' WHERE parent_table = 'ev'::regclass;
SELECT status, regexp_replace(problem, '\d{4}-\d\d-\d\d [0-9:.]+\+00', 'NOW') AS problem FROM health('ev');
UPDATE part_state SET busy_since = NULL, blockers = NULL, upkeep_busy_since = now() - interval '1 hour', upkeep_blockers = 'the table is in use: process 2 (psql)' WHERE parent_table = 'ev'::regclass;
SELECT status, regexp_replace(problem, '\d{4}-\d\d-\d\d [0-9:.]+\+00', 'NOW') AS problem FROM health('ev');
CREATE ROLE health_stranger;
GRANT SELECT ON ev TO health_stranger;
GRANT USAGE ON SCHEMA health_test TO health_stranger;
SET LOCAL ROLE health_stranger;
SELECT status, regexp_replace(problem, '\d{4}-\d\d-\d\d [0-9:.]+\+00', 'NOW') AS problem FROM health('ev');
ROLLBACK;

-- BLOCKED: the name is taken; the default holds too many rows
CREATE TABLE bl (id int NOT NULL) PARTITION BY RANGE (id);
CALL manage('bl', '10', premake => 3);
CREATE TABLE bl_default PARTITION OF bl DEFAULT;
CALL part('bl', '0', '10');
CALL part('bl', '10', '20');
INSERT INTO bl VALUES (5);
CREATE TABLE bl_p20 (id int);
SELECT * FROM health('bl');
SELECT name_clashes, default_rows FROM partition_health_summary('bl');
-- that is no failure of its own
UPDATE part_state SET failures = 1, last_sqlstate = '42P07', last_error =
  (SELECT split_part(problem, ': rename', 1) FROM health('bl')) WHERE parent_table = 'bl'::regclass;
SELECT * FROM health('bl');
UPDATE part_state SET failures = 0, last_sqlstate = NULL, last_error = NULL WHERE parent_table = 'bl'::regclass;
DROP TABLE bl_p20;
INSERT INTO bl SELECT 20 FROM generate_series(1, 5);
SET partmgr.move_rows = 4;
SELECT * FROM health('bl');
SET partmgr.move_rows = 5;
SELECT * FROM health('bl');
RESET partmgr.move_rows;
DELETE FROM bl WHERE id = 20;
-- a detach was cut short: maintenance brings it to its end
SET allow_system_table_mods = on;
UPDATE pg_inherits SET inhdetachpending = true WHERE inhrelid = 'bl_p10'::regclass;
SELECT * FROM health('bl');
UPDATE pg_inherits SET inhdetachpending = false WHERE inhrelid = 'bl_p10'::regclass;
RESET allow_system_table_mods;

-- GAPS
CREATE TABLE ga (id int NOT NULL) PARTITION BY RANGE (id);
CALL manage('ga', '10');
CALL part('ga', '0', '10');
CALL part('ga', '30', '40');
CALL part('ga', '40', '50');
INSERT INTO ga VALUES (35);
SELECT * FROM health('ga');
SELECT partition_gap_fill('ga');
SELECT * FROM health('ga');

-- DEFAULT_ROWS
INSERT INTO bl VALUES (-5), (-7);
SELECT * FROM health('bl');
DELETE FROM bl WHERE id < 0;

-- RIGHTS
CREATE SCHEMA health_private;
CREATE TABLE health_private.ev (at timestamptz NOT NULL) PARTITION BY RANGE (at);
CALL manage('health_private.ev', '100 years', 'UTC');
CREATE TABLE health_private.ev_a PARTITION OF health_private.ev FOR VALUES FROM ('2001-01-01') TO ('2101-01-01');
CREATE TABLE health_private.ev_b PARTITION OF health_private.ev FOR VALUES FROM ('2101-01-01') TO ('2201-01-01');
CREATE TABLE health_private.ev_rest PARTITION OF health_private.ev DEFAULT;
ALTER TABLE health_private.ev OWNER TO health_owner;
ALTER TABLE health_private.ev_a OWNER TO health_owner;
SELECT * FROM health('health_private.ev');

-- RESTORED, PAUSED
DELETE FROM part_state WHERE parent_table = 'ga'::regclass;
SELECT * FROM health('ga');
SELECT last_run, next_run FROM partition_health_summary('ga');
INSERT INTO part_state (parent_table, next_run) VALUES ('ga', '2101-01-01');
UPDATE part_config SET automatic_maintenance = 'off' WHERE parent_table = 'ga'::regclass;
SELECT * FROM health('ga');
UPDATE part_config SET automatic_maintenance = 'on' WHERE parent_table = 'ga'::regclass;

-- CLEANUP_NEEDED
UPDATE part_config SET retention = '15' WHERE parent_table = 'ga'::regclass;
SELECT * FROM health('ga');
SELECT pending_cleanup FROM partition_health_summary('ga');
UPDATE part_config SET retention_partitions = 1 WHERE parent_table = 'ga'::regclass;
SELECT * FROM health('ga');
UPDATE part_config SET retention_partitions = NULL WHERE parent_table = 'ga'::regclass;
-- good to know: what a hold keeps, the last one, what a default costs
UPDATE part_config SET retention = '1' WHERE parent_table = 'ids'::regclass;
SELECT hold_partition('ids', '5', '15', 'case ' || n) > 0 AS held FROM generate_series(1, 2) n;
SELECT status, unnest(notes) AS note FROM partition_health_summary('ids');
SELECT status, unnest(notes) AS note FROM partition_health_summary('ev');
SELECT release_hold(hold) FROM list_holds('ids');
UPDATE part_config SET retention = NULL WHERE parent_table = 'ids'::regclass;
UPDATE part_config SET retention = '30' WHERE parent_table = 'ga'::regclass;
SELECT * FROM health('ga');

-- LIST
CREATE TABLE li (id int) PARTITION BY LIST (id);
CALL manage('li', '1');
CREATE TABLE li_a PARTITION OF li FOR VALUES IN (1, 3, NULL);
CREATE TABLE li_b PARTITION OF li FOR VALUES IN (2);
CREATE TABLE li_text PARTITION OF li FOR VALUES IN (4);
INSERT INTO li VALUES (3);
SELECT status, oldest, newest, partitions_ahead, problems FROM partition_health_summary('li');

-- all sets, the worst first
INSERT INTO ids VALUES (21);
SELECT parent_table, status FROM partition_health_summary();

-- who owns a table, and pg_monitor, see why it fails; who may only read it, that it does
UPDATE part_state SET failures = 2, last_run = '2024-01-01', last_error_at = '2024-01-01', last_sqlstate = '42501',
  last_error = 'permission denied for schema attic' WHERE parent_table = 'ga'::regclass;
CREATE ROLE health_reader;
CREATE ROLE health_monitor IN ROLE pg_monitor;
GRANT SELECT ON ga TO health_reader;
GRANT USAGE ON SCHEMA health_test TO health_reader, health_monitor;
SET ROLE health_reader;
SELECT parent_table, status, last_run, last_error, last_sqlstate, last_error_at, next_run, problems FROM partition_health_summary();
SET ROLE health_monitor;
SELECT status, last_run, last_error, last_sqlstate, problems FROM partition_health_summary('ga');
SET ROLE health_owner;
SELECT parent_table, status FROM partition_health_summary();
SELECT status FROM partition_health_summary('ga');
RESET ROLE;
SELECT * FROM partition_health_summary('nosuch');
SELECT * FROM partition_health_summary('ga_p0');

DROP EXTENSION partmgr;
DROP SCHEMA health_test, health_private CASCADE;
DROP ROLE health_owner, health_reader, health_monitor;
