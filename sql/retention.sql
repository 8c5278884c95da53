-- Retention: what goes, what stays, and where it goes.

SET client_min_messages = warning;
DROP EXTENSION IF EXISTS partmgr;
CREATE EXTENSION partmgr;
CREATE SCHEMA retention_test;
SET search_path = retention_test, public;
SET timezone = 'UTC';
SET DateStyle = 'ISO, MDY';

CREATE FUNCTION parts(parent text) RETURNS text LANGUAGE sql AS
	$$ SELECT string_agg(partition_name::text, ' ') FROM list_partitions(parent) $$;
-- a set of ids with partitions of ten from 0 to 60 and a row in each up to 55
CREATE PROCEDURE make_set(name text, keep_table boolean DEFAULT false) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE %I (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)', name);
	EXECUTE format('CREATE INDEX ON %I (v)', name);
	PERFORM create_parent(name, 'id', '10', p_premake => 1, p_retention_keep_table => keep_table, p_start_partition => '0');
	PERFORM create_future_partitions(name, 6);
	EXECUTE format('INSERT INTO %I SELECT n FROM generate_series(5, 55, 10) n', name);
END
$$;

-- by the distance from the highest id: what ends at or below 55 - 20 goes
CALL make_set('dropped');
UPDATE part_config SET retention = '20' WHERE parent_table = 'dropped'::regclass;
SELECT parent_table, step, partition_name, range, reason, status, row_estimate, bytes > 0 AS bytes
	FROM run_partition_maintenance('dropped', p_dry_run => true);
SELECT parts('dropped');
SELECT run_maintenance('dropped');
SELECT parts('dropped');
SELECT action, partition_name, range, row_estimate, bytes > 0 AS bytes, message FROM part_log
	WHERE parent_table = 'dropped'::regclass AND action <> 'create' ORDER BY id;
SELECT count(*) FROM pg_class WHERE relname LIKE 'dropped\_p_' OR relname LIKE 'dropped\_p1_';
SELECT id FROM dropped ORDER BY id;

-- kept
CALL make_set('kept', true);
UPDATE part_config SET retention = '30' WHERE parent_table = 'kept'::regclass;
SELECT step, partition_name, status FROM run_partition_maintenance('kept');
SELECT parts('kept');
SELECT relname, relispartition, count(indexrelid) FROM pg_class c LEFT JOIN pg_index i ON i.indrelid = c.oid
	WHERE relname IN ('kept_p0', 'kept_p10') GROUP BY relname, relispartition ORDER BY relname;
-- and can come back
ALTER TABLE kept ATTACH PARTITION kept_p10 FOR VALUES FROM (10) TO (20);
SELECT partition_name, action FROM drop_old_partitions('kept', p_dry_run => true);
-- kept without its indexes
UPDATE part_config SET retention = '20', retention_keep_index = false WHERE parent_table = 'kept'::regclass;
SELECT step, partition_name, status FROM run_partition_maintenance('kept');
SELECT relname, relispartition, count(indexrelid) FROM pg_class c LEFT JOIN pg_index i ON i.indrelid = c.oid
	WHERE relname IN ('kept_p0', 'kept_p10', 'kept_p20') GROUP BY relname, relispartition ORDER BY relname;

-- moved to a schema
CREATE SCHEMA "Old ones";
CALL make_set('moved');
UPDATE part_config SET retention = '30', retention_schema = 'Old ones' WHERE parent_table = 'moved'::regclass;
SELECT partition_name, range, action FROM drop_old_partitions('moved', p_dry_run => true);
SELECT partition_name, range, action FROM drop_old_partitions('moved');
SELECT c.oid::regclass, relispartition FROM pg_class c WHERE relname LIKE 'moved%' AND relkind = 'r' AND NOT relispartition ORDER BY 1;
SELECT * FROM "Old ones".moved_p10;
-- something of that name is there already: an error, and nothing half done
CREATE TABLE "Old ones".moved_p20 (x int);
UPDATE part_config SET retention = '20' WHERE parent_table = 'moved'::regclass;
SELECT run_maintenance('moved');
SELECT parts('moved');

-- publications
CALL make_set('published', true);
SET client_min_messages = error;	-- wal_level
CREATE PUBLICATION partmgr_retention FOR TABLE published_p0, published_p10;
SET client_min_messages = warning;
UPDATE part_config SET retention = '40', retention_keep_publication = true WHERE parent_table = 'published'::regclass;
SELECT run_maintenance('published');
UPDATE part_config SET retention = '30', retention_keep_publication = false WHERE parent_table = 'published'::regclass;
SELECT run_maintenance('published');
SELECT tablename FROM pg_publication_tables WHERE pubname = 'partmgr_retention';
DROP PUBLICATION partmgr_retention;

-- a row inside the window is never touched: the real upper bound counts
CREATE TABLE wide (id int NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE wide_all PARTITION OF wide FOR VALUES FROM (0) TO (46);
CREATE TABLE wide_46 PARTITION OF wide FOR VALUES FROM (46) TO (60);
INSERT INTO wide VALUES (3), (45), (55);
SELECT create_parent('wide', 'id', '10', p_premake => 1, p_retention => '10', p_retention_keep_table => false);
SELECT * FROM drop_old_partitions('wide');
SELECT partition_name, range, action FROM drop_old_partitions('wide', '9');
SELECT * FROM wide ORDER BY id;

-- the last partition stays, and the default
CALL make_set('last');
INSERT INTO last VALUES (300);
UPDATE part_config SET retention = '5', ignore_default_data = false, premake = 1 WHERE parent_table = 'last'::regclass;
SELECT partition_name, action FROM drop_old_partitions('last');
SELECT parts('last');
SELECT id FROM last ORDER BY id;
-- one row astray, far beyond all partitions, makes none of them old
CALL make_set('astray');
INSERT INTO astray VALUES (1000000000);
UPDATE part_config SET retention = '5', ignore_default_data = false WHERE parent_table = 'astray'::regclass;
SELECT partition_name, action FROM drop_old_partitions('astray');
-- an open lower end is old, an open upper end is not
CREATE TABLE ends (id int NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE ends_min PARTITION OF ends FOR VALUES FROM (MINVALUE) TO (10);
CREATE TABLE ends_max PARTITION OF ends FOR VALUES FROM (10) TO (MAXVALUE);
INSERT INTO ends VALUES (1), (1000000);
SELECT create_parent('ends', 'id', '10', p_premake => 1, p_retention => '5', p_default_table => false, p_retention_keep_table => false);
SELECT partition_name, range, action FROM drop_old_partitions('ends');

-- an empty set has no age
CREATE TABLE empty (id int NOT NULL) PARTITION BY RANGE (id);
SELECT create_parent('empty', 'id', '10', p_retention => '5', p_retention_keep_table => false);
SELECT * FROM drop_old_partitions('empty');

-- another distance than the configured one, which stays
SELECT partition_name, action FROM drop_old_partitions('kept', '10');
SELECT retention FROM part_config WHERE parent_table = 'kept'::regclass;

-- LIST: by the highest value
CREATE TABLE kinds (kind int NOT NULL) PARTITION BY LIST (kind);
CREATE TABLE kinds_1_9 PARTITION OF kinds FOR VALUES IN (1, 9);
CREATE TABLE kinds_2_3 PARTITION OF kinds FOR VALUES IN (2, 3);
CREATE TABLE kinds_10 PARTITION OF kinds FOR VALUES IN (10);
INSERT INTO kinds VALUES (1), (2), (3), (9), (10);
SELECT create_parent('kinds', 'kind', '1', p_type => 'list', p_premake => 1, p_retention => '5', p_retention_keep_table => false);
SELECT partition_name, range, action FROM drop_old_partitions('kinds');
SELECT * FROM kinds ORDER BY kind;

-- foreign keys: rows that are referenced stay, with core's own error
CALL make_set('referenced');
CREATE TABLE refers (id int REFERENCES referenced);
INSERT INTO refers VALUES (5);
UPDATE part_config SET retention = '30' WHERE parent_table = 'referenced'::regclass;
\set VERBOSITY sqlstate
SELECT run_maintenance('referenced');
\set VERBOSITY default
SELECT parts('referenced');
DELETE FROM refers;
SELECT run_maintenance('referenced');
SELECT parts('referenced');
-- views on a partition: never CASCADE
CALL make_set('viewed');
CREATE VIEW looks AS SELECT * FROM viewed_p0;
UPDATE part_config SET retention = '30' WHERE parent_table = 'viewed'::regclass;
\set VERBOSITY sqlstate
SELECT run_maintenance('viewed');
\set VERBOSITY default
SELECT parts('viewed');
-- all sets: one that fails does not stop the others
UPDATE part_config SET automatic_maintenance = 'off';
UPDATE part_config SET automatic_maintenance = 'on', retention = '10'
	WHERE parent_table IN ('viewed'::regclass, 'referenced'::regclass, 'empty'::regclass);
SELECT parent_table, partition_name, action FROM drop_old_partitions(p_dry_run => true);
SELECT parent_table, partition_name, action FROM drop_old_partitions();

--
-- time
--

CREATE TABLE ev (at timestamptz NOT NULL) PARTITION BY RANGE (at);
BEGIN;
SELECT create_parent('ev', 'at', '1 month', p_start_partition => (now() - interval '20 months')::text,
	p_retention_keep_table => false);
INSERT INTO ev SELECT generate_series(now() - interval '20 months', now(), interval '5 days');
-- as the analytics application calls it
SELECT count(*), min(action), max(action), bool_and(bytes > 0) AS bytes FROM drop_old_partitions('ev', 12, true);
SELECT count(*) FROM list_partitions('ev');
SELECT count(*), min(action), max(action) FROM drop_old_partitions('ev'::regclass, 12);
SELECT min(upper_time) > now() - interval '12 months' AS kept, min(lower_time) <= now() - interval '12 months' AS no_more
	FROM list_partitions('ev');
SELECT count(*) = count(*) FILTER (WHERE at >= date_trunc('month', now() - interval '12 months')) AS kept FROM ev;
-- an age in other words
SELECT count(*) FROM drop_old_partitions('ev', '1 year');
SELECT count(*), bool_and(partition_name LIKE 'retention_test.ev_p%01') AS names FROM drop_old_partitions('ev', '200 days');
SELECT min(upper_time) > now() - interval '200 days' AS kept FROM list_partitions('ev');
COMMIT;
-- a partition that would go at once is not made
CREATE TABLE short (at timestamptz NOT NULL) PARTITION BY RANGE (at);
BEGIN;
SELECT create_parent('short', 'at', '1 day', p_premake => 1, p_retention => '3 days', p_default_table => false,
	p_start_partition => (now() - interval '10 days')::text);
SELECT count(*), min(upper_time) > now() - interval '3 days' AS young FROM list_partitions('short');
SELECT * FROM run_partition_maintenance('short');
COMMIT;

DROP SCHEMA retention_test, "Old ones" CASCADE;
DROP EXTENSION partmgr;
