-- What PostgreSQL lays in the way of anybody who manages partitions: fifteen
-- traps, each with what partmgr does about it.  Numbers are those of the table
-- in test/README.md, which names the other tests of each.

SET client_min_messages = warning;
DROP EXTENSION IF EXISTS partmgr;
CREATE EXTENSION partmgr;
CREATE SCHEMA traps_test;
SET search_path = traps_test, public;

-- ids from 0 to 69 in partitions of ten
CREATE PROCEDURE make(t text, more text DEFAULT '') LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE TABLE %I (id int PRIMARY KEY %s) PARTITION BY RANGE (id)', t, more);
  PERFORM create_parent(t, 'id', '10', p_premake => 6, p_default_table => false, p_automatic_maintenance => 'off');
  EXECUTE format('INSERT INTO %I SELECT generate_series(0, 69)', t);
  UPDATE part_config SET retention_keep_table = false, premake = 1 WHERE parent_table = t::regclass;
END $$;
CREATE FUNCTION parts(t regclass) RETURNS text LANGUAGE sql AS $$
  SELECT string_agg(partition_name::text || CASE state WHEN 'detached' THEN ' (detached)' WHEN 'pending detach' THEN ' (pending)' ELSE '' END, ' ' ORDER BY lower_id)
  FROM list_partitions(t)
$$;
-- the locks of this transaction on a table
CREATE FUNCTION locks(t regclass) RETURNS text LANGUAGE sql AS $$
  SELECT string_agg(mode, ' ' ORDER BY mode) FROM pg_locks
  WHERE relation = t AND pid = pg_backend_pid() AND mode NOT IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock')
$$;

-- 1. A pending detach refuses rows and hides from pg_partition_tree: it is seen,
-- finalized, and in nothing's way
CALL make('pending');
SET allow_system_table_mods = on;
UPDATE pg_inherits SET inhdetachpending = true WHERE inhrelid = 'pending_p0'::regclass;
RESET allow_system_table_mods;
SELECT count(*) FROM pg_partition_tree('pending') WHERE relid = 'pending_p0'::regclass;
SELECT parts('pending');
UPDATE part_config SET premake = 2, retention = '50' WHERE parent_table = 'pending';
SELECT step, partition_name FROM maintenance_plan('pending');
SELECT run_maintenance('pending');
SELECT parts('pending'), to_regclass('pending_p0');

-- 2. DETACH is refused while a row is referenced, also ON DELETE CASCADE: seen
-- before anything is tried
CALL make('referenced');
CREATE TABLE refers (id int REFERENCES referenced ON DELETE CASCADE);
INSERT INTO refers VALUES (3);
UPDATE part_config SET retention = '50' WHERE parent_table = 'referenced';
SELECT step, partition_name FROM maintenance_plan('referenced');
SELECT run_maintenance('referenced');
SELECT parts('referenced');

-- 3. DROP of an attached partition fails with an incoming foreign key, and
-- CASCADE would take the key: detached first, and the key stays
DELETE FROM refers;
SELECT sql FROM maintenance_plan('referenced');

-- 4. The locks on the referencing table are those of core's plain detach, and
-- the plan says so
SELECT lock FROM maintenance_plan('referenced');
BEGIN;
SELECT run_maintenance('referenced');
SELECT locks('refers');
COMMIT;
SELECT parts('referenced'), (SELECT count(*) FROM pg_constraint WHERE conrelid = 'refers'::regclass AND conparentid = 0 AND contype = 'f');

-- 5. A foreign key out of the parent stays on what is detached: it goes first
CREATE TABLE target (id int PRIMARY KEY);
INSERT INTO target SELECT generate_series(0, 99);
CALL make('pointing', 'REFERENCES target');
UPDATE part_config SET retention = '50', retention_grace = '1 day' WHERE parent_table = 'pointing';
SELECT run_maintenance('pointing');
SELECT conname, confrelid::regclass FROM pg_constraint WHERE conrelid = 'pointing_p0'::regclass AND contype = 'f';
UPDATE part_detached SET drop_after = now();
SELECT sql FROM maintenance_plan('pointing');
SELECT run_maintenance('pointing');
SELECT parts('pointing');

-- 6. A foreign key made on the child before ATTACH brings ACCESS EXCLUSIVE on
-- the referenced table: ATTACH makes it
UPDATE part_config SET premake = 2 WHERE parent_table = 'pointing';
BEGIN;
SELECT run_maintenance('pointing');
SELECT locks('target'), locks('pointing');
COMMIT;
SELECT count(*) FROM pg_constraint WHERE conrelid = 'pointing_p80'::regclass AND contype = 'f';

-- 7. No CHECK spares the scan of ATTACH for an expression key: such keys are
-- refused
CREATE TABLE expression (id int NOT NULL) PARTITION BY RANGE ((id + 1));
SELECT create_parent('expression', 'id', '10');

-- 8. Foreign tables are no partitions where there is a unique index; where they
-- are, they are retired as others
CREATE FOREIGN DATA WRAPPER regress_traps;
CREATE SERVER regress_traps FOREIGN DATA WRAPPER regress_traps;
CREATE TABLE far (at timestamptz NOT NULL) PARTITION BY RANGE (at);
SELECT create_parent('far', 'at', '1 year', p_premake => 1, p_default_table => false, p_automatic_maintenance => 'off');
CREATE FOREIGN TABLE far_old PARTITION OF far FOR VALUES FROM ('2001-01-01') TO ('2002-01-01') SERVER regress_traps;
UPDATE part_config SET retention = '10 years', retention_keep_table = false WHERE parent_table = 'far';
SELECT step, partition_name, sql FROM maintenance_plan('far');
SELECT run_maintenance('far');
SELECT to_regclass('far_old');
-- with a grace, too, and among others
CREATE FOREIGN TABLE far_old PARTITION OF far FOR VALUES FROM ('2001-01-01') TO ('2002-01-01') SERVER regress_traps;
CREATE TABLE far_plain PARTITION OF far FOR VALUES FROM ('2002-01-01') TO ('2003-01-01');
CREATE FOREIGN TABLE far_other PARTITION OF far FOR VALUES FROM ('2003-01-01') TO ('2004-01-01') SERVER regress_traps;
SELECT action, partition_name FROM drop_old_partitions('far', '10 years');
UPDATE part_config SET retention_grace = '0' WHERE parent_table = 'far';
CREATE FOREIGN TABLE far_old PARTITION OF far FOR VALUES FROM ('2001-01-01') TO ('2002-01-01') SERVER regress_traps;
SELECT run_maintenance('far');
SELECT run_maintenance('far');
SELECT to_regclass('far_old'), (SELECT count(*) FROM part_detached WHERE parent_table = 'far'::regclass);

-- 9. Storage parameters and TABLESPACE pg_default are refused on partitioned
-- tables: new partitions do not name them
CALL make('spaced');
ALTER TABLE spaced SET TABLESPACE pg_default;
SELECT step, sql FROM maintenance_plan('spaced');
UPDATE part_config SET premake = 2 WHERE parent_table = 'spaced';
SELECT sql FROM maintenance_plan('spaced');

-- 10. LIKE copies neither owner nor grants, replica identity, statistics
-- targets, publications
CREATE ROLE regress_traps_owner;
CREATE ROLE regress_traps_reader;
GRANT CREATE, USAGE ON SCHEMA traps_test TO regress_traps_owner;
SET ROLE regress_traps_owner;
CREATE TABLE given (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
RESET ROLE;
ALTER TABLE given ALTER v SET STATISTICS 42;
ALTER TABLE given REPLICA IDENTITY FULL;
GRANT SELECT ON given TO regress_traps_reader;
SELECT create_parent('given', 'id', '10', p_premake => 1, p_default_table => false);
UPDATE part_config SET inherit_privileges = true, premake = 2 WHERE parent_table = 'given';
INSERT INTO given VALUES (0);
SELECT run_maintenance('given');
SELECT c.relname, relowner::regrole, relreplident, attstattarget, has_table_privilege('regress_traps_reader', c.oid, 'SELECT') AS granted
  FROM pg_class c JOIN pg_attribute a ON attrelid = c.oid AND attname = 'v' WHERE c.oid = 'given_p20'::regclass;

-- 11. Bounds print in the way of their type and of the session's zone: they are
-- read as values
CREATE TABLE small (id int NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE large (id bigint NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE exact (id numeric NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE small_0 PARTITION OF small FOR VALUES FROM (0) TO (10);
CREATE TABLE large_0 PARTITION OF large FOR VALUES FROM (0) TO (10);
CREATE TABLE exact_0 PARTITION OF exact FOR VALUES FROM (0.0) TO ('10.00');
SELECT create_parent(t, 'id', '10', p_premake => 1, p_default_table => false) FROM unnest(ARRAY['small', 'large', 'exact']) t;
SELECT parent_table, lower_id, upper_id FROM list_partitions() WHERE parent_table IN ('small'::regclass, 'large', 'exact') ORDER BY 1, 2;
CREATE TABLE zoned (at timestamptz NOT NULL) PARTITION BY RANGE (at);
SET timezone = 'America/New_York';
SELECT create_parent('zoned', 'at', '1 day', p_premake => 2, p_default_table => false, p_time_zone => 'UTC');
SET timezone = 'Asia/Tokyo';
SELECT count(*) FROM maintenance_plan('zoned');
SELECT count(*) FILTER (WHERE extract(hour FROM lower_time AT TIME ZONE 'UTC') <> 0) FROM list_partitions('zoned');
RESET timezone;

-- 12. A parent has no size, and no rows are known before ANALYZE: the sums are
-- those of the partitions, and what is not known is not 0
SELECT pg_total_relation_size('spaced'), bytes > 0 AS has_bytes, row_estimate FROM partition_health_summary('spaced');
ANALYZE spaced_p0;
SELECT row_estimate FROM partition_health_summary('spaced');

-- 13. DETACH erases the bounds: they are written down before, and are there for
-- the way back
CALL make('bounded');
UPDATE part_config SET retention = '50', retention_grace = '1 day' WHERE parent_table = 'bounded';
SELECT run_maintenance('bounded');
SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE oid = 'bounded_p0'::regclass;
SELECT range, lower_raw, upper_raw FROM part_detached WHERE partition = 'bounded_p0';
UPDATE part_config SET retention = NULL WHERE parent_table = 'bounded';
SELECT run_maintenance('bounded');
SELECT parts('bounded');

-- 14. Names cut to 63 bytes meet: the second set says so, and makes nothing
-- half
CALL make('a_name_that_is_so_long_that_its_partitions_are_cut_together_1');
CREATE TABLE a_name_that_is_so_long_that_its_partitions_are_cut_together_2 (id int PRIMARY KEY) PARTITION BY RANGE (id);
\set VERBOSITY terse
SELECT create_parent('a_name_that_is_so_long_that_its_partitions_are_cut_together_2', 'id', '10', p_default_table => false);
\set VERBOSITY default
SELECT count(DISTINCT inhrelid), min(length(inhrelid::regclass::text)) FROM pg_inherits WHERE inhparent = 'a_name_that_is_so_long_that_its_partitions_are_cut_together_1'::regclass;

-- 15. Two configurations of one table undo each other: there is only one; and a
-- table that was made again under the name of a detached one is left alone
SELECT create_parent('spaced', 'id', '5');
UPDATE part_config SET retention = '50' WHERE parent_table = 'bounded';
SELECT run_maintenance('bounded');
DROP TABLE bounded_p0;
CREATE TABLE bounded_p0 (precious int);
UPDATE part_detached SET drop_after = now();
SELECT run_maintenance('bounded');
SELECT to_regclass('bounded_p0') IS NOT NULL AS is_there;

SET client_min_messages = error;
DROP SCHEMA traps_test CASCADE;
DROP SERVER regress_traps CASCADE;
DROP FOREIGN DATA WRAPPER regress_traps;
DROP OWNED BY regress_traps_owner;
DROP ROLE regress_traps_owner, regress_traps_reader;
DROP EXTENSION partmgr;
