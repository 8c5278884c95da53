-- The plan: what a set needs at a point in time, for every kind of key.
-- Nothing is carried out here, except where a case needs partitions to stand on.

SET client_min_messages = warning;
DROP EXTENSION IF EXISTS partmgr;
CREATE EXTENSION partmgr;
CREATE SCHEMA plan_test;
SET search_path = plan_test, public;
SET TimeZone = 'Asia/Kolkata';	-- no calendar here is the session's
SET DateStyle = 'ISO, DMY';

-- a set with nothing made yet; create_parent() would go by the clock
CREATE PROCEDURE manage(t regclass, width text, zone text DEFAULT 'UTC', premake int DEFAULT 2,
                       epoch text DEFAULT 'none', retention text DEFAULT NULL, origin text DEFAULT NULL,
                       backfill text DEFAULT NULL)
LANGUAGE sql AS $$
  INSERT INTO part_config (parent_table, control, partition_interval, partition_type, premake, epoch,
                           retention, time_zone, grid_origin)
    SELECT t, a.attname, width, CASE p.partstrat WHEN 'l' THEN 'list' ELSE 'range' END, premake, epoch,
           retention, zone, origin
    FROM pg_partitioned_table p JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
    WHERE p.partrelid = t;
  INSERT INTO part_state (parent_table, next_run, backfill) VALUES (t, 'infinity', backfill)
$$;
CREATE FUNCTION plan(t regclass, at timestamptz DEFAULT '2024-02-28 12:00+00')
RETURNS TABLE (step text, name text, range text, reason text) LANGUAGE sql AS $$
  SELECT step, replace(partition_name, 'plan_test.', ''), range, reason FROM maintenance_plan(t, at)
$$;
-- what the plan says besides, as health tells it for ids
CREATE FUNCTION health(t regclass) RETURNS TABLE (status text, ahead int, gaps bigint, problem text) LANGUAGE sql AS $$
  SELECT status, partitions_ahead, gaps, p FROM partition_health_summary(t) LEFT JOIN unnest(problems) p ON true
$$;
-- a partition made by hand
CREATE PROCEDURE part(t regclass, lower text, upper text, name text DEFAULT NULL) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE TABLE %I PARTITION OF %s FOR VALUES FROM (%s) TO (%s)',
                 coalesce(name, t || '_' || regexp_replace(lower, '[^0-9A-Za-z]', '', 'g')), t,
                 CASE lower WHEN 'MINVALUE' THEN lower ELSE quote_literal(lower) END,
                 CASE upper WHEN 'MAXVALUE' THEN upper ELSE quote_literal(upper) END);
END $$;
-- carry out the creations of a plan
CREATE FUNCTION make(t regclass, at timestamptz DEFAULT '2024-02-28 12:00+00') RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  s text;
  n bigint := 0;
BEGIN
  FOR s IN SELECT sql FROM maintenance_plan(t, at) WHERE step = 'create' LOOP
    EXECUTE s;
    n := n + 1;
  END LOOP;
  RETURN n;
END $$;

--
-- Time: the current partition and as many ahead, in the set's zone
--
CREATE TABLE ev (at timestamptz NOT NULL) PARTITION BY RANGE (at);
CALL manage('ev', '1 day');
SELECT * FROM plan('ev');
UPDATE part_config SET partition_interval = '1 month' WHERE parent_table = 'ev'::regclass;
SELECT * FROM plan('ev', '2100-01-31 23:59:59.999999+00');
UPDATE part_config SET partition_interval = '3 months' WHERE parent_table = 'ev'::regclass;
SELECT * FROM plan('ev');
UPDATE part_config SET partition_interval = '1 week' WHERE parent_table = 'ev'::regclass;
SELECT * FROM plan('ev');
UPDATE part_config SET partition_interval = '15 minutes' WHERE parent_table = 'ev'::regclass;
SELECT * FROM plan('ev');
UPDATE part_config SET partition_interval = '1 second' WHERE parent_table = 'ev'::regclass;
SELECT * FROM plan('ev', '2024-02-28 12:00:00.5+00');
-- a grid from January 31: every month on its last day
UPDATE part_config SET partition_interval = '1 month', grid_origin = '2024-01-31 00:00:00+00' WHERE parent_table = 'ev'::regclass;
SELECT * FROM plan('ev');
-- February 29, years from it
UPDATE part_config SET partition_interval = '1 year', grid_origin = '2024-02-29 00:00:00+00' WHERE parent_table = 'ev'::regclass;
SELECT * FROM plan('ev', '2026-06-01 00:00+00');

-- the clocks go forward and back: days of 23 and 25 hours, an hour that comes twice
UPDATE part_config SET partition_interval = '1 day', grid_origin = NULL, time_zone = 'America/New_York', premake = 1
  WHERE parent_table = 'ev'::regclass;
SELECT * FROM plan('ev', '2024-03-10 12:00+00');
SELECT * FROM plan('ev', '2024-11-03 12:00+00');
UPDATE part_config SET partition_interval = '1 hour', premake = 2 WHERE parent_table = 'ev'::regclass;
SELECT * FROM plan('ev', '2024-03-10 06:30+00');
SELECT * FROM plan('ev', '2024-11-03 05:30+00');
-- midnight does not exist (Cairo, 26 April 2024)
UPDATE part_config SET partition_interval = '1 day', time_zone = 'Africa/Cairo' WHERE parent_table = 'ev'::regclass;
SELECT * FROM plan('ev', '2024-04-25 12:00+00');
-- a session in another zone plans the same
SET TimeZone = 'Pacific/Auckland';
SELECT * FROM plan('ev', '2024-04-25 12:00+00');
SET TimeZone = 'Asia/Kolkata';

-- the other columns of time
CREATE TABLE ts (at timestamp NOT NULL) PARTITION BY RANGE (at);
CALL manage('ts', '1 hour', 'Europe/Berlin');
SELECT * FROM plan('ts');
CREATE TABLE dt (at date NOT NULL) PARTITION BY RANGE (at);
CALL manage('dt', '1 day', 'Pacific/Auckland');
SELECT * FROM plan('dt');

-- time in an integer
CREATE TABLE secs (at int NOT NULL) PARTITION BY RANGE (at);
CALL manage('secs', '1 day', epoch => 'seconds');
SELECT * FROM plan('secs');
CREATE TABLE millis (at bigint NOT NULL) PARTITION BY RANGE (at);
CALL manage('millis', '1 month', epoch => 'milliseconds');
SELECT * FROM plan('millis');
CREATE TABLE micros (at numeric NOT NULL) PARTITION BY RANGE (at);
CALL manage('micros', '1 hour', epoch => 'microseconds', premake => 1);
SELECT * FROM plan('micros');
CREATE TABLE nanos (at bigint NOT NULL) PARTITION BY RANGE (at);
CALL manage('nanos', '1 hour', epoch => 'nanoseconds', premake => 1);
SELECT * FROM plan('nanos');
CREATE TABLE ymd (at int NOT NULL) PARTITION BY RANGE (at);
CALL manage('ymd', '1 month', epoch => 'yyyymmdd');
SELECT * FROM plan('ymd');
CREATE TABLE ym (at int NOT NULL) PARTITION BY RANGE (at);
CALL manage('ym', '1 month', epoch => 'yyyymm');
SELECT * FROM plan('ym', '2024-12-31 23:59+00');
-- 32 bits of seconds end on 19 January 2038
SELECT * FROM plan('secs', '2038-01-18 12:00+00');
SELECT * FROM plan('secs', '2038-01-19 01:00+00');
-- and years of four digits in 9999
SELECT * FROM plan('ymd', '9999-11-15 00:00+00');

--
-- Ids: the highest key is the clock
--
CREATE TABLE ids (id bigint NOT NULL) PARTITION BY RANGE (id);
CALL manage('ids', '100', NULL);
-- no row ever: nothing is known, unless it is asked to start somewhere
SELECT * FROM plan('ids');
UPDATE part_state SET backfill = '-150' WHERE parent_table = 'ids'::regclass;
SELECT * FROM plan('ids');
UPDATE part_state SET backfill = NULL WHERE parent_table = 'ids'::regclass;
CALL part('ids', '-200', '-100');
CALL part('ids', '-100', '0');
INSERT INTO ids VALUES (-1), (-150);
SELECT * FROM plan('ids');
-- many intervals are skipped: what lies between is made, too
CALL part('ids', '0', '100');
CALL part('ids', '600', '700');
INSERT INTO ids VALUES (650);
SELECT * FROM plan('ids');
SELECT * FROM health('ids');

-- the ends of the types
CREATE TABLE id2 (id smallint NOT NULL) PARTITION BY RANGE (id);
CALL manage('id2', '100', NULL);
CALL part('id2', '32500', '32600');
INSERT INTO id2 VALUES (32550);
SELECT * FROM plan('id2');
SELECT make('id2');
SELECT * FROM plan('id2');
SELECT * FROM health('id2');
-- up to MAXVALUE by hand: nothing is missing any more
CALL part('id2', '32700', 'MAXVALUE');
SELECT * FROM plan('id2');
SELECT * FROM health('id2');
CREATE TABLE id8 (id bigint NOT NULL) PARTITION BY RANGE (id);
CALL manage('id8', '1000000000000000000', NULL, premake => 4);
CALL part('id8', '7000000000000000000', '8000000000000000000');
INSERT INTO id8 VALUES (7500000000000000000);
SELECT * FROM plan('id8');
CREATE TABLE low8 (id bigint NOT NULL) PARTITION BY RANGE (id);
CALL manage('low8', '1000000000000000000', NULL, premake => 1);
CREATE TABLE low8_default PARTITION OF low8 DEFAULT;
UPDATE part_config SET ignore_default_data = false WHERE parent_table = 'low8'::regclass;
INSERT INTO low8 VALUES (-9223372036854775808);
-- the lower bound of that one's partition cannot be written, the next can
SELECT * FROM plan('low8');
SELECT * FROM health('low8');
CREATE TABLE low4 (id int NOT NULL) PARTITION BY RANGE (id);
CALL manage('low4', '1000000000', NULL, premake => 1);
CALL part('low4', '-2147483648', '-2000000000');
INSERT INTO low4 VALUES (-2147483648);
SELECT * FROM plan('low4');

-- LIST: one value each, whatever values the others have
CREATE TABLE li (id int) PARTITION BY LIST (id);
CALL manage('li', '1', NULL, premake => 3);
CREATE TABLE li_odd PARTITION OF li FOR VALUES IN (1, 3, 5, 7);
CREATE TABLE li_even PARTITION OF li FOR VALUES IN (2, 6, NULL);
INSERT INTO li VALUES (3);
SELECT * FROM plan('li');
INSERT INTO li VALUES (7);
SELECT * FROM plan('li');
SELECT * FROM health('li');

--
-- Catching up, gaps, backfill
--
CREATE TABLE down (at timestamptz NOT NULL) PARTITION BY RANGE (at);
CALL manage('down', '1 month');
CALL part('down', '2023-07-01 00:00+00', '2023-08-01 00:00+00');
CALL part('down', '2023-10-01 00:00+00', '2023-11-01 00:00+00');
-- down for three months: up to now and ahead; August and September stay a gap
SELECT * FROM plan('down');
-- a hole ahead is filled, one behind is not
CALL part('down', '2024-04-01 00:00+00', '2024-05-01 00:00+00');
SELECT * FROM plan('down');
-- asked to start earlier: what is missing from there on
UPDATE part_state SET backfill = '2023-05-10 00:00:00+00' WHERE parent_table = 'down'::regclass;
SELECT * FROM plan('down');
-- but never what retention would take out at once
UPDATE part_config SET retention = '6 months' WHERE parent_table = 'down'::regclass;
SELECT * FROM plan('down');
-- a cap makes the nearest first
SET partmgr.max_create = 3;
UPDATE part_config SET retention = NULL WHERE parent_table = 'down'::regclass;
SELECT * FROM plan('down');
SET partmgr.max_create = 5;
SELECT * FROM plan('down');
RESET partmgr.max_create;
-- a second at a time over years is not even counted out
CREATE TABLE tick (at timestamptz NOT NULL) PARTITION BY RANGE (at);
CALL manage('tick', '1 second', backfill => '1970-01-01 00:00:00+00');
SELECT count(*), min(range), max(range) FROM plan('tick');

-- a gap is told, the first ten by their bounds
CREATE TABLE gaps (id int NOT NULL) PARTITION BY RANGE (id);
CALL manage('gaps', '10', NULL, premake => 1);
DO $$ BEGIN
  FOR i IN 0..12 LOOP CALL part('gaps', (i * 20)::text, (i * 20 + 10)::text); END LOOP;
END $$;
CALL part('gaps', '250', '260');
INSERT INTO gaps VALUES (241);
SELECT * FROM plan('gaps');
SELECT * FROM health('gaps');

-- a key far beyond the partitions makes none
CREATE TABLE far (id bigint NOT NULL) PARTITION BY RANGE (id);
CALL manage('far', '10', NULL, retention => '100');
CALL part('far', '0', '10');
CALL part('far', '10', '20');
CREATE TABLE far_default PARTITION OF far DEFAULT;
UPDATE part_config SET ignore_default_data = false WHERE parent_table = 'far'::regclass;
INSERT INTO far VALUES (5), (15), (9223372036854775807);
SELECT * FROM plan('far');
SELECT * FROM health('far');
-- the rows in the default count only if asked
UPDATE part_config SET ignore_default_data = true WHERE parent_table = 'far'::regclass;
SELECT * FROM plan('far');

--
-- Bridges: a changed interval goes on from the real last bound
--
CREATE TABLE br (at timestamptz NOT NULL) PARTITION BY RANGE (at);
CALL manage('br', '1 month');
CALL part('br', '2024-02-01 00:00+00', '2024-03-01 00:00+00');
UPDATE part_config SET partition_interval = '1 week' WHERE parent_table = 'br'::regclass;
SELECT * FROM plan('br');
UPDATE part_config SET partition_interval = '1 year' WHERE parent_table = 'br'::regclass;
SELECT * FROM plan('br');
UPDATE part_config SET partition_interval = '1 day', time_zone = 'Asia/Tokyo' WHERE parent_table = 'br'::regclass;
SELECT * FROM plan('br');
-- ids 5, 15, 25 and a new interval
CREATE TABLE brid (id int NOT NULL) PARTITION BY RANGE (id);
CALL manage('brid', '10', NULL, origin => '5');
CALL part('brid', '5', '15');
INSERT INTO brid VALUES (7);
SELECT * FROM plan('brid');
UPDATE part_config SET partition_interval = '100', grid_origin = NULL WHERE parent_table = 'brid'::regclass;
SELECT * FROM plan('brid');
-- a partition in the middle of a cell
CALL part('brid', '120', '130');
SELECT * FROM plan('brid');
-- nothing is made where everything is taken already
CREATE TABLE open (at timestamptz NOT NULL) PARTITION BY RANGE (at);
CALL manage('open', '1 day');
CALL part('open', 'MINVALUE', '2024-02-28 00:00+00');
CALL part('open', '2024-03-01 00:00+00', 'infinity');
SELECT * FROM plan('open');

--
-- Retention: by the upper bound, never inside the window, never the last
--
CREATE TABLE ret (at timestamptz NOT NULL) PARTITION BY RANGE (at);
CALL manage('ret', '1 month', retention => '3 months', premake => 1);
DO $$ BEGIN
  FOR i IN 0..7 LOOP
    CALL part('ret', timestamp '2023-08-01' + i * interval '1 month' || '+00',
              timestamp '2023-09-01' + i * interval '1 month' || '+00', 'ret_' || i);
  END LOOP;
END $$;
-- December ends on 1 January: one microsecond too young, and old enough
SELECT * FROM plan('ret', '2024-03-31 23:59:59.999999+00');
SELECT * FROM plan('ret', '2024-04-01 00:00:00+00');
-- what happens to them is the configuration's
UPDATE part_config SET retention_keep_table = false WHERE parent_table = 'ret'::regclass;
SELECT * FROM plan('ret', '2023-12-15 00:00+00');
CREATE SCHEMA plan_old;
UPDATE part_config SET retention_schema = 'plan_old' WHERE parent_table = 'ret'::regclass;
SELECT * FROM plan('ret', '2023-12-15 00:00+00');
-- nothing is left but the newest
SELECT step, name, reason FROM plan('ret', '2030-01-01 00:00+00');
-- ids: by distance from the highest key
CREATE TABLE retid (id int NOT NULL) PARTITION BY RANGE (id);
CALL manage('retid', '10', NULL, retention => '20', premake => 1);
DO $$ BEGIN
  FOR i IN 0..5 LOOP CALL part('retid', (i * 10)::text, (i * 10 + 10)::text); END LOOP;
END $$;
SELECT * FROM plan('retid');
INSERT INTO retid VALUES (39);
SELECT * FROM plan('retid');
INSERT INTO retid VALUES (40);
SELECT * FROM plan('retid');
-- LIST: by the highest of its values
CREATE TABLE retli (id int) PARTITION BY LIST (id);
CALL manage('retli', '1', NULL, retention => '2', premake => 1);
CREATE TABLE retli_a PARTITION OF retli FOR VALUES IN (1, 5);
CREATE TABLE retli_b PARTITION OF retli FOR VALUES IN (2, 3);
CREATE TABLE retli_c PARTITION OF retli FOR VALUES IN (4, 6, 7);
INSERT INTO retli VALUES (6);
SELECT * FROM plan('retli');

-- a set that has all it needs has no plan
CREATE TABLE done (at timestamptz NOT NULL) PARTITION BY RANGE (at);
CALL manage('done', '1 day', 'America/New_York', premake => 30, retention => '1 year');
SELECT make('done');
SELECT * FROM plan('done');
SELECT count(*) FROM plan('done', '2024-02-29 12:00+00');
-- the last of them would go: it stays, as long as there is no other
SELECT step, count(*), min(name), max(name) FROM plan('done', '2030-01-01 00:00+00') GROUP BY step ORDER BY step;

DROP EXTENSION partmgr;
DROP SCHEMA plan_test, plan_old CASCADE;
