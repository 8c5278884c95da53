-- Retention in two phases: detached, then dropped when the grace is over.  By
-- SQL here; what the worker does of it is in test/t.

SET client_min_messages = warning;
DROP EXTENSION IF EXISTS partmgr;
CREATE EXTENSION partmgr;
CREATE SCHEMA grace_test;
SET search_path = grace_test, public;

-- id sets with partitions of 10 from 0 on, the highest key 69
CREATE PROCEDURE make(t text) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE TABLE %I (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)', t);
  PERFORM create_parent(t, 'id', '10', p_premake => 6, p_default_table => false, p_automatic_maintenance => 'off');
  EXECUTE format('INSERT INTO %I SELECT i, ''row '' || i FROM generate_series(0, 69) i', t);
  UPDATE part_config SET retention_keep_table = false, premake = 1 WHERE parent_table = t::regclass;
END $$;
CREATE FUNCTION parts(t regclass) RETURNS text LANGUAGE sql AS $$
  SELECT string_agg(partition_name::text || CASE state WHEN 'detached' THEN ' (detached)' ELSE '' END, ' ' ORDER BY lower_id)
  FROM list_partitions(t)
$$;
CREATE FUNCTION plan(t regclass) RETURNS TABLE (step text, partition text, range text, reason text) LANGUAGE sql AS $$
  SELECT step, replace(partition_name, 'grace_test.', ''), range, reason FROM maintenance_plan(t)
$$;
CREATE FUNCTION pass(t regclass) RETURNS void LANGUAGE sql AS $$
  UPDATE part_detached SET drop_after = now(), retry_after = NULL WHERE parent_table = t
$$;

--
-- Detached, marked, dropped
--
CALL make('ev');
UPDATE part_config SET retention = '40', retention_grace = '7 days' WHERE parent_table = 'ev';
SELECT * FROM plan('ev');
SELECT step, lock, sql FROM maintenance_plan('ev') LIMIT 1;
SELECT partition_name, row_estimate >= -1 AS rows, action FROM drop_old_partitions('ev', NULL::text, true);
SELECT run_maintenance('ev');
SELECT parts('ev');
SELECT count(*), min(id) FROM ev;
SELECT partition, range, reason, drop_after - marked_at AS grace, is_settled FROM part_detached ORDER BY lower_raw;
SELECT action, partition_name, range, lock, lock_held > '0' AS held, message FROM part_log WHERE action <> 'create' ORDER BY id;
-- not before its time
SELECT * FROM plan('ev');
SELECT run_maintenance('ev');
SELECT parts('ev');
SELECT pass('ev');
SELECT * FROM plan('ev');
SELECT run_maintenance('ev');
SELECT parts('ev'), (SELECT count(*) FROM part_detached);
SELECT action, partition_name, lock FROM part_log WHERE action = 'drop' ORDER BY id;

--
-- Wanted again: what retention would not take any more comes back
--
UPDATE part_config SET retention = '10' WHERE parent_table = 'ev';
SELECT run_maintenance('ev');
SELECT parts('ev');
UPDATE part_config SET retention = '20' WHERE parent_table = 'ev';
SELECT * FROM plan('ev');
SELECT run_maintenance('ev');
SELECT parts('ev');
UPDATE part_config SET retention = NULL WHERE parent_table = 'ev';
-- its range is taken: reported, and it is not dropped as long as it is wanted
CREATE TABLE other PARTITION OF ev FOR VALUES FROM (35) TO (37);
SELECT * FROM plan('ev');
SELECT pass('ev');
SELECT run_maintenance('ev');
SELECT parts('ev');
SELECT status, problems FROM partition_health_summary('ev');
DROP TABLE other;
SELECT run_maintenance('ev');
SELECT parts('ev'), (SELECT count(*) FROM part_detached);
SELECT count(*), min(id) FROM ev;

-- a change of mind: tables are to be kept
UPDATE part_config SET retention = '20' WHERE parent_table = 'ev';
SELECT run_maintenance('ev');
\set VERBOSITY terse
UPDATE part_config SET retention_keep_table = true WHERE parent_table = 'ev';	-- grace says otherwise
\set VERBOSITY default
UPDATE part_config SET retention_keep_table = true, retention_grace = NULL WHERE parent_table = 'ev';
SELECT pass('ev');
SELECT * FROM plan('ev');
\set VERBOSITY terse
UPDATE part_config SET retention_keep_table = false, retention_grace = '-1 day' WHERE parent_table = 'ev';
\set VERBOSITY default
-- what was detached is carried on with, also without a retention
BEGIN;
UPDATE part_config SET retention = NULL WHERE parent_table = 'ev';
SELECT partition_name, action FROM drop_old_partitions('ev');
ROLLBACK;

-- attached elsewhere, or dropped and made again under the same name: left alone
UPDATE part_config SET retention_keep_table = false, retention_grace = '1 day' WHERE parent_table = 'ev';
CREATE TABLE elsewhere (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
ALTER TABLE elsewhere ATTACH PARTITION ev_p30 FOR VALUES FROM (30) TO (40);
SELECT pass('ev');
SELECT * FROM plan('ev');
ALTER TABLE elsewhere DETACH PARTITION ev_p30;
DROP TABLE ev_p30;
CREATE TABLE ev_p30 (precious int);
SELECT * FROM plan('ev');
SELECT run_maintenance('ev');
SELECT to_regclass('ev_p30'), (SELECT count(*) FROM part_detached);
DROP TABLE ev_p30, ev, elsewhere;
SELECT count(*) FROM part_detached;

--
-- Moved, and dropped after a time
--
CREATE SCHEMA attic;
CALL make('moved');
UPDATE part_config SET retention = '50', retention_schema = 'attic', retention_grace = '1 day', retention_keep_index = false WHERE parent_table = 'moved';
SELECT run_maintenance('moved');
SELECT parts('moved');
SELECT count(*) FROM pg_index WHERE indrelid = 'attic.moved_p0'::regclass;
UPDATE part_config SET retention = '60' WHERE parent_table = 'moved';
SELECT run_maintenance('moved');
SELECT parts('moved');
SELECT pass('moved');
UPDATE part_config SET retention = '50' WHERE parent_table = 'moved';
SELECT run_maintenance('moved');
SELECT pass('moved');
SELECT run_maintenance('moved');
SELECT parts('moved');

--
-- By number, by size, and what is kept of the newest
--
CALL make('numbered');
SELECT * FROM drop_old_partitions('numbered');	-- there is none yet
UPDATE part_config SET retention_partitions = 4 WHERE parent_table = 'numbered';
SELECT partition_name, action FROM drop_old_partitions('numbered', NULL::text, true);
SELECT * FROM plan('numbered');
UPDATE part_config SET retention_keep_newest = 6 WHERE parent_table = 'numbered';
SELECT * FROM plan('numbered');
UPDATE part_config SET retention = '10' WHERE parent_table = 'numbered';
SELECT * FROM plan('numbered');
UPDATE part_config SET retention_keep_newest = 2, retention = NULL, retention_partitions = 5, retention_grace = '1 day' WHERE parent_table = 'numbered';
SELECT run_maintenance('numbered');
SELECT parts('numbered');
-- one more is wanted: the newest of those that went
UPDATE part_config SET retention_partitions = 6 WHERE parent_table = 'numbered';
SELECT * FROM plan('numbered');
SELECT run_maintenance('numbered');
SELECT parts('numbered');
\set VERBOSITY terse
UPDATE part_config SET retention_partitions = 0 WHERE parent_table = 'numbered';
\set VERBOSITY default
\set VERBOSITY terse
UPDATE part_config SET retention_keep_newest = -1 WHERE parent_table = 'numbered';
\set VERBOSITY default

CALL make('sized');
ALTER TABLE sized ALTER v SET STORAGE PLAIN;
INSERT INTO sized_p0 SELECT i, repeat('x', 2000) FROM generate_series(0, 9) i ON CONFLICT (id) DO UPDATE SET v = excluded.v;
UPDATE part_config SET retention_size = '1 MB' WHERE parent_table = 'sized';
SELECT * FROM plan('sized');
UPDATE part_config SET retention_size = '250 kB' WHERE parent_table = 'sized';
SELECT step, partition, reason FROM plan('sized');
SELECT partition_name, action FROM drop_old_partitions('sized', NULL::text, true);
UPDATE part_config SET retention_size = '1 bytes' WHERE parent_table = 'sized';
SELECT step, partition FROM plan('sized');	-- never the current one
UPDATE part_config SET retention_size = 'much' WHERE parent_table = 'sized';
UPDATE part_config SET retention_size = '-1 GB' WHERE parent_table = 'sized';

--
-- The archive function
--
CALL make('arc');
CREATE TABLE archived (parent regclass, partition regclass, lower text, upper text, rows bigint, who name);
CREATE FUNCTION archive(parent regclass, partition regclass, lower text, upper text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  n bigint;
BEGIN
  EXECUTE format('SELECT count(*) FROM %s', partition) INTO n;
  INSERT INTO grace_test.archived VALUES (parent, partition, lower, upper, n, current_user);
  RETURN (SELECT verdict FROM grace_test.verdict);
END $$;
CREATE TABLE verdict (verdict text);
INSERT INTO verdict VALUES ('retry');
UPDATE part_config SET retention = '50', archive_function = 'grace_test.archive' WHERE parent_table = 'arc';
SELECT * FROM plan('arc');
SELECT run_maintenance('arc');
SELECT parts('arc');
SELECT * FROM plan('arc');
SELECT run_maintenance('arc');
SELECT partition, verdict, retry_after > now() AS later FROM part_detached;
SELECT * FROM plan('arc');
UPDATE part_detached SET retry_after = now();
UPDATE verdict SET verdict = 'perhaps';
SELECT run_maintenance('arc');
UPDATE verdict SET verdict = NULL;
SELECT run_maintenance('arc');
UPDATE verdict SET verdict = 'drop';
SELECT run_maintenance('arc');
SELECT * FROM plan('arc');
SELECT run_maintenance('arc');
SELECT parts('arc');
SELECT parent, lower, upper, rows, who = current_user AS as_owner FROM archived ORDER BY lower;
SELECT action, partition_name, message FROM part_log WHERE parent_table = 'arc'::regclass AND action <> 'create' ORDER BY id;
-- keep is for good
UPDATE verdict SET verdict = 'keep';
UPDATE part_config SET retention = '40' WHERE parent_table = 'arc';
SELECT run_maintenance('arc');
SELECT run_maintenance('arc');
SELECT * FROM plan('arc');
SELECT parts('arc');
-- what can be wrong with it
UPDATE part_config SET retention = '30' WHERE parent_table = 'arc';
SELECT run_maintenance('arc');
UPDATE part_config SET archive_function = 'archive' WHERE parent_table = 'arc';
UPDATE part_config SET archive_function = 'grace_test.nothing' WHERE parent_table = 'arc';
CREATE FUNCTION number(regclass, regclass, text, text) RETURNS int LANGUAGE sql AS 'SELECT 1';
UPDATE part_config SET archive_function = 'grace_test.number' WHERE parent_table = 'arc';
UPDATE part_config SET archive_function = 'no such"' WHERE parent_table = 'arc';
\set VERBOSITY terse
UPDATE part_config SET retention_keep_table = true WHERE parent_table = 'arc';
\set VERBOSITY default
-- it is checked again at each call
CREATE ROLE regress_grace_other;
ALTER FUNCTION archive OWNER TO regress_grace_other;
SELECT run_maintenance('arc');
DROP FUNCTION archive;
SELECT run_maintenance('arc');
DROP ROLE regress_grace_other;
SELECT parts('arc');
UPDATE part_config SET archive_function = NULL WHERE parent_table = 'arc';

--
-- Foreign keys: what is referenced stays, its own go before the drop
--
CREATE TABLE target (id int PRIMARY KEY);
INSERT INTO target SELECT generate_series(0, 69);
CALL make('fk');
ALTER TABLE fk ADD FOREIGN KEY (id) REFERENCES target;
CREATE TABLE refers (fk_id int REFERENCES fk);
INSERT INTO refers VALUES (3);
UPDATE part_config SET retention = '40', retention_grace = '1 day' WHERE parent_table = 'fk';
SELECT step, partition_name, lock FROM maintenance_plan('fk');
SELECT run_maintenance('fk');
SELECT parts('fk');
SELECT status, problems FROM partition_health_summary('fk');
CREATE INDEX ON refers (fk_id);
DELETE FROM refers;
SELECT run_maintenance('fk');
SELECT parts('fk');
SELECT pass('fk');
SELECT string_agg(regexp_replace(sql, E'\n', ' ', 'g'), ' | ' ORDER BY partition_name) FROM maintenance_plan('fk');
SELECT run_maintenance('fk');
SELECT parts('fk');
-- without a grace: detached and dropped in one transaction
UPDATE part_config SET retention = '30', retention_grace = NULL WHERE parent_table = 'fk';
SELECT sql FROM maintenance_plan('fk');
SELECT run_maintenance('fk');
SELECT parts('fk'), (SELECT count(*) FROM part_detached WHERE parent_table = 'fk'::regclass);
CALL make('before');
UPDATE part_config SET retention = '50', detach_before_drop = true WHERE parent_table = 'before';
SELECT sql FROM maintenance_plan('before');

--
-- The window, which only the worker observes
--
UPDATE part_config SET maintenance_window = 'Sat, sunday 22:00 - 04:00' WHERE parent_table = 'before';
UPDATE part_config SET maintenance_window = '00:00-24:00' WHERE parent_table = 'before';
UPDATE part_config SET maintenance_window = '22-04' WHERE parent_table = 'before';
UPDATE part_config SET maintenance_window = 'Someday 22:00-04:00' WHERE parent_table = 'before';
UPDATE part_config SET maintenance_window = '22:60-04:00' WHERE parent_table = 'before';
UPDATE part_config SET maintenance_window = '25:00-04:00' WHERE parent_table = 'before';
UPDATE part_config SET maintenance_window = '22:00-04:00 daily' WHERE parent_table = 'before';
\set VERBOSITY terse
UPDATE part_config SET abort_after_wait = 'self' WHERE parent_table = 'before';
\set VERBOSITY default
SELECT run_maintenance('before');
SELECT parts('before');

-- a mark ends when its partition is attached and stays; what somebody detaches afterwards is his
CALL make('his');
UPDATE part_config SET automatic_maintenance = 'on', retention = '40', retention_grace = '1 day' WHERE parent_table = 'his';
SELECT run_maintenance('his');
UPDATE part_config SET retention = NULL WHERE parent_table = 'his';
ALTER TABLE his ATTACH PARTITION his_p0 FOR VALUES FROM (0) TO (10);
ALTER TABLE his ATTACH PARTITION his_p10 FOR VALUES FROM (10) TO (20);
SELECT count(*) FROM drop_old_partitions('his', '1000');
SELECT partition FROM part_detached WHERE parent_table = 'his'::regclass ORDER BY 1;
SELECT run_maintenance();
SELECT partition FROM part_detached WHERE parent_table = 'his'::regclass ORDER BY 1;
ALTER TABLE his DETACH PARTITION his_p0;
SELECT plan('his');
UPDATE part_config SET retention = '50', retention_grace = '0' WHERE parent_table = 'his';
SELECT plan('his');
SELECT run_maintenance('his');
SELECT count(*) FROM his_p0;
-- one that is about to be detached keeps its mark, with a new grace
INSERT INTO part_detached VALUES ('his_p10', 'his', 'FROM (10) TO (20)', 10, 20, 'age', now(), now(), false, 'grace_test'),
  ('his_p60', 'his', 'FROM (60) TO (70)', 60, 70, 'age', now(), now(), false, 'grace_test');
UPDATE part_config SET retention = '40', retention_grace = '1 day' WHERE parent_table = 'his';
SELECT run_maintenance('his');
SELECT partition, drop_after > now() FROM part_detached WHERE parent_table = 'his'::regclass ORDER BY 1;
SELECT parts('his');

-- foreign tables go as others do
CREATE FOREIGN DATA WRAPPER grace_fdw;
CREATE SERVER grace_server FOREIGN DATA WRAPPER grace_fdw;
CREATE PROCEDURE make_far(t text) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE TABLE %I (at date NOT NULL) PARTITION BY RANGE (at)', t);
  EXECUTE format('CREATE FOREIGN TABLE %I PARTITION OF %I FOR VALUES FROM (''2019-01-01'') TO (''2020-01-01'') SERVER grace_server', t || '_a', t);
  EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (''2020-01-01'') TO (''2021-01-01'')', t || '_b', t);
  EXECUTE format('CREATE FOREIGN TABLE %I PARTITION OF %I FOR VALUES FROM (''2021-01-01'') TO (''2022-01-01'') SERVER grace_server', t || '_c', t);
  EXECUTE format('CREATE FOREIGN TABLE %I PARTITION OF %I FOR VALUES FROM (''2022-01-01'') TO (''2023-01-01'') SERVER grace_server', t || '_d', t);
  EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (''2023-01-01'') TO (''2024-01-01'')', t || '_e', t);
  PERFORM create_parent(t, 'at', '1 year', p_premake => 1, p_default_table => false, p_retention_keep_table => false,
    p_automatic_maintenance => 'off', p_retention => '1 year');
END $$;
CALL make_far('far');
SELECT sql FROM maintenance_plan('far') WHERE partition_name ~ 'far_[a-e]$';
SELECT partition_name, action FROM drop_old_partitions('far') WHERE partition_name ~ 'far_[a-e]$';
CALL make_far('farther');
UPDATE part_config SET retention_grace = '0' WHERE parent_table = 'farther';
SELECT partition_name, action FROM drop_old_partitions('farther') WHERE partition_name ~ 'farther_[a-e]$';
SELECT partition_name, action FROM drop_old_partitions('farther') WHERE partition_name ~ 'farther_[a-e]$';

-- a set that is released takes its marks along
CALL make('released');
UPDATE part_config SET retention = '50', retention_grace = '1 day' WHERE parent_table = 'released';
SELECT run_maintenance('released');
SELECT config_cleanup('released');
SELECT count(*) FROM part_detached WHERE parent_table = 'released'::regclass;

--
-- partition_gap_fill() fills what is missing ahead last: the cap must not go there
--
CREATE TABLE gaps (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE gaps_p0 PARTITION OF gaps FOR VALUES FROM (0) TO (10);
CREATE TABLE gaps_p30 PARTITION OF gaps FOR VALUES FROM (30) TO (40);
CREATE TABLE gaps_p1000 PARTITION OF gaps FOR VALUES FROM (1000) TO (1010);
INSERT INTO gaps VALUES (35);
SELECT create_parent('gaps', 'id', '10', p_premake => 1, p_default_table => false, p_automatic_maintenance => 'off');
SET partmgr.max_create = 4;
SELECT partition_gap_fill('gaps');
RESET partmgr.max_create;
SELECT parts('gaps');

SET client_min_messages = error;
DROP SCHEMA grace_test, attic CASCADE;
DROP FOREIGN DATA WRAPPER grace_fdw CASCADE;
DROP EXTENSION partmgr;
