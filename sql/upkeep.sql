-- Upkeep: what is planned for partitions that are no longer written, and what
-- can be asked for.  What a worker does is tested in test/t/04*.pl.

SET client_min_messages = warning;
DROP EXTENSION IF EXISTS partmgr;
CREATE EXTENSION partmgr;
CREATE SCHEMA upkeep_test;
SET search_path = upkeep_test, public;
SET timezone = 'UTC';

CREATE FUNCTION plan(parent text) RETURNS TABLE (step text, partition_name text, range text, reason text, lock text, sql text)
	LANGUAGE sql AS 'SELECT step, partition_name, range, reason, lock, sql FROM maintenance_plan(parent)';

-- ids: partitions of ten from 0 to 60, the highest id is 55
CREATE TABLE ev (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE INDEX ev_v ON ev (v);
SELECT create_parent('ev', 'id', '10', p_premake => 1, p_start_partition => '0', p_default_table => false, p_automatic_maintenance => 'off');
SELECT count(*) FROM create_future_partitions('ev', 6);
INSERT INTO ev SELECT n, n FROM generate_series(0, 55) n;
-- nothing is known, nothing is configured
SELECT * FROM plan('ev');
-- cold is what ends at or below 55 - 30
UPDATE part_config SET cold_after = '30' WHERE parent_table = 'ev';
SELECT * FROM plan('ev');
SELECT step, partition_name, status FROM run_partition_maintenance('ev', p_dry_run => true);
-- all of it, in its order
UPDATE part_config SET cold_reindex = true, cold_cluster = 'ev_v', cold_tablespace = 'pg_default',
	cold_storage = 'fillfactor=100, autovacuum_enabled = false, toast.autovacuum_enabled=off' WHERE parent_table = 'ev';
SELECT step, sql, lock FROM plan('ev') WHERE partition_name LIKE '%p0';
-- SQL calls leave it to the worker
SELECT * FROM run_partition_maintenance('ev');
SELECT run_maintenance('ev');
SELECT * FROM part_upkeep;
-- what is to be retired is not cared for
UPDATE part_config SET retention = '40', cold_reindex = false, cold_cluster = NULL, cold_tablespace = NULL, cold_storage = NULL
	WHERE parent_table = 'ev';
SELECT step, partition_name FROM plan('ev');
UPDATE part_config SET retention = NULL WHERE parent_table = 'ev';
-- what was done is not done again, unless with something else
INSERT INTO part_upkeep SELECT c.oid, t.task, 'ev'::regclass, now() - interval '2 days',
		CASE t.task WHEN 'vacuum' THEN pg_relation_filenode(c.oid)::text ELSE 'fillfactor=90' END
	FROM pg_class c, (VALUES ('vacuum'), ('storage')) t(task) WHERE c.relname IN ('ev_p0', 'ev_p10');
SELECT step, partition_name FROM plan('ev');
UPDATE part_config SET cold_storage = 'fillfactor=90' WHERE parent_table = 'ev';
SELECT step, partition_name FROM plan('ev');
UPDATE part_config SET cold_storage = 'fillfactor=80' WHERE parent_table = 'ev';
SELECT step, partition_name, reason FROM plan('ev');
UPDATE part_config SET cold_storage = NULL WHERE parent_table = 'ev';
-- a table that was rewritten
UPDATE part_upkeep SET detail = '1' WHERE partition = 'ev_p0'::regclass AND task = 'vacuum';
SELECT step, partition_name, reason FROM plan('ev');
-- an index that is gone holds up only itself
UPDATE part_config SET cold_cluster = 'ev_v' WHERE parent_table = 'ev';
DROP INDEX ev_v;
SELECT step, partition_name, reason, sql FROM plan('ev');
UPDATE part_config SET cold_cluster = NULL WHERE parent_table = 'ev';
-- the parent, when some partition is known to have rows, and once a day
ANALYZE ev_p50;
SELECT step, partition_name, range, reason, lock FROM plan('ev') WHERE step = 'analyze';
INSERT INTO part_upkeep VALUES ('ev', 'analyze', 'ev', now() - interval '1 hour', '1 1');
SELECT count(*) FROM plan('ev') WHERE step = 'analyze';
UPDATE part_upkeep SET done_at = now() - interval '2 days' WHERE task = 'analyze';
SELECT step, reason FROM plan('ev') WHERE step = 'analyze';
UPDATE part_config SET analyze_parent = false WHERE parent_table = 'ev';
SELECT count(*) FROM plan('ev') WHERE step = 'analyze';
-- rows go with the partition
DROP TABLE ev_p0;
SELECT DISTINCT partition FROM part_upkeep ORDER BY 1;

-- time, and a partition with partitions of its own: its tables
CREATE TABLE sub (at timestamptz NOT NULL, kind int NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE sub_2020 PARTITION OF sub FOR VALUES FROM ('2020-01-01') TO ('2021-01-01') PARTITION BY LIST (kind);
CREATE TABLE sub_2020_1 PARTITION OF sub_2020 FOR VALUES IN (1);
CREATE TABLE sub_2020_2 PARTITION OF sub_2020 FOR VALUES IN (2);
SELECT create_parent('sub', 'at', '1 year', p_time_zone => 'UTC', p_default_table => false, p_automatic_maintenance => 'off');
UPDATE part_config SET cold_after = '3 years' WHERE parent_table = 'sub';
SELECT step, partition_name, range, reason FROM maintenance_plan('sub', '2024-01-01') WHERE step <> 'create';
SELECT count(*) FROM maintenance_plan('sub', '2023-12-31') WHERE step <> 'create';

--
-- what is refused
--

UPDATE part_config SET cold_after = 'soon' WHERE parent_table = 'sub';
UPDATE part_config SET cold_after = '30' WHERE parent_table = 'sub';
UPDATE part_config SET cold_storage = 'fillfactor=1' WHERE parent_table = 'sub';
UPDATE part_config SET cold_storage = 'nonsense=1' WHERE parent_table = 'sub';
UPDATE part_config SET cold_storage = 'toast.nonsense=1' WHERE parent_table = 'sub';
UPDATE part_config SET cold_storage = 'other.fillfactor=1' WHERE parent_table = 'sub';
UPDATE part_config SET cold_storage = 'fillfactor=90); DROP TABLE sub; --' WHERE parent_table = 'sub';
UPDATE part_config SET cold_storage = 'fillfactor=90), DROP COLUMN kind; --' WHERE parent_table = 'sub';
UPDATE part_config SET cold_storage = 'fillfactor=' WHERE parent_table = 'sub';
UPDATE part_config SET cold_storage = '' WHERE parent_table = 'sub';
UPDATE part_config SET cold_tablespace = 'nowhere' WHERE parent_table = 'sub';
UPDATE part_config SET cold_tablespace = 'pg_global' WHERE parent_table = 'sub';
UPDATE part_config SET cold_cluster = 'sub_2020' WHERE parent_table = 'sub';
UPDATE part_config SET cold_cluster = 'ev_pkey' WHERE parent_table = 'sub';
-- parameters without a value
UPDATE part_config SET cold_storage = 'autovacuum_enabled' WHERE parent_table = 'sub';
SELECT sql FROM maintenance_plan('sub', '2024-01-01') WHERE step = 'storage';

CREATE ROLE regress_upkeep_owner;
CREATE ROLE regress_upkeep_other;
GRANT ALL ON SCHEMA upkeep_test TO regress_upkeep_owner;
GRANT USAGE ON SCHEMA upkeep_test TO regress_upkeep_other;
ALTER TABLE sub OWNER TO regress_upkeep_owner;
SET ROLE regress_upkeep_owner;
UPDATE part_config SET cold_tablespace = 'pg_global' WHERE parent_table = 'sub';
-- tables of another owner are left alone
SELECT count(*) FROM maintenance_plan('sub', '2024-01-01') WHERE step <> 'create';
SELECT partition_name, message FROM vacuum_partitions('sub') WHERE partition_name LIKE '%sub\_2020%';

SET ROLE regress_upkeep_other;
SELECT * FROM vacuum_partitions('sub');
CALL reindex_partitions('sub');
CALL create_index_concurrently('sub', 'CREATE INDEX ON sub (kind)');
SELECT queue_reindex_partitions('sub');
RESET ROLE;

SELECT * FROM vacuum_partitions('nothing');
SELECT * FROM vacuum_partitions(NULL::text);
SELECT * FROM vacuum_partitions('sub', NULL);
CREATE TABLE unmanaged (id int) PARTITION BY RANGE (id);
SELECT * FROM vacuum_partitions('unmanaged');
CALL reindex_partitions('unmanaged');
-- no worker for the queue here
SELECT queue_reindex_partitions('sub');
SELECT queue_create_index_concurrently('sub', 'CREATE INDEX ON sub (kind)');
-- not in a transaction block or a function
BEGIN;
CALL reindex_partitions('sub');
ROLLBACK;
BEGIN;
CALL create_index_concurrently('sub', 'CREATE INDEX ON sub (kind)');
ROLLBACK;
CREATE FUNCTION in_function() RETURNS void LANGUAGE plpgsql AS $$ BEGIN CALL reindex_partitions('sub'); END $$;
SELECT in_function();
-- definitions
CALL create_index_concurrently('sub', NULL);
CALL create_index_concurrently('sub', 'nonsense');
CALL create_index_concurrently('sub', 'DROP TABLE sub');
CALL create_index_concurrently('sub', '');
CALL create_index_concurrently('sub', 'CREATE INDEX ON sub (kind); DROP TABLE sub');
CALL create_index_concurrently('sub', 'CREATE INDEX CONCURRENTLY ON sub (kind)');
CALL create_index_concurrently('sub', 'CREATE INDEX ON ev (v)');
CALL create_index_concurrently('sub', 'CREATE INDEX ON nothing (v)');
-- jobs
SELECT cancel_job(NULL);
SELECT cancel_job(42);
SELECT * FROM part_jobs;

--
-- without preloading, each has its own worker
--

SELECT partition_name, bytes_before > 0 AS before, bytes_after > 0 AS after, seconds > 0 AS seconds, message FROM vacuum_partitions('ev');
SELECT c.relname, c.relallvisible > 0 AS vacuumed, c.reltuples FROM pg_class c WHERE relname IN ('ev_p10', 'ev_p50') ORDER BY 1;
DELETE FROM ev_p50 WHERE id < 54;
SELECT partition_name, bytes_before >= bytes_after AS shrunk, message FROM vacuum_partitions('ev'::regclass, true);
-- a session that needs itself a lock would wait for ever
BEGIN;
LOCK TABLE ev_p20 IN SHARE MODE;
SELECT partition_name, message FROM vacuum_partitions('ev') WHERE message IS NOT NULL;
ROLLBACK;

SET client_min_messages = notice;
CALL reindex_partitions('ev');
CALL create_index_concurrently('ev', 'CREATE INDEX ev_w ON ev (upper(v), id DESC) WITH (fillfactor = 70) WHERE v > ''1''');
SELECT i.indexrelid::regclass, indrelid::regclass, indisvalid FROM pg_index i WHERE indexrelid::regclass::text LIKE 'ev%upper%' OR indexrelid = 'ev_w'::regclass
	ORDER BY indrelid::regclass::text;
SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'ev_p20'::regclass AND NOT indisprimary;
-- the same again: nothing is left to do
CALL create_index_concurrently('ev', 'CREATE INDEX ev_w ON ev (upper(v), id DESC) WITH (fillfactor = 70) WHERE v > ''1''');
-- names are those of the caller's search_path; tables below partitions; what is there is taken
CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';
CREATE INDEX sub_there ON sub_2020_1 (twice(kind));
ALTER TABLE sub OWNER TO CURRENT_USER;
SET client_min_messages = warning;
CALL create_index_concurrently('sub'::regclass, 'CREATE INDEX sub_twice ON sub (twice(kind))');
SET client_min_messages = notice;
SELECT indrelid::regclass, indexrelid::regclass, indisvalid, inhparent::regclass FROM pg_index LEFT JOIN pg_inherits ON inhrelid = indexrelid
	WHERE indrelid IN (SELECT relid FROM pg_partition_tree('sub')) AND indrelid::regclass::text ~ '^sub(_2020.*)?$' ORDER BY indrelid::regclass::text;
-- what an interrupted build has left is dropped
CREATE TABLE dup (id int NOT NULL, v int) PARTITION BY RANGE (id);
CREATE TABLE dup_0 PARTITION OF dup FOR VALUES FROM (0) TO (10);
CREATE TABLE dup_10 PARTITION OF dup FOR VALUES FROM (10) TO (20);
SELECT create_parent('dup', 'id', '10', p_default_table => false, p_automatic_maintenance => 'off', p_premake => 1);
INSERT INTO dup VALUES (1, 1), (1, 1), (11, 1);
CALL create_index_concurrently('dup', 'CREATE UNIQUE INDEX dup_u ON dup (id)');
SELECT indrelid::regclass, indexrelid::regclass, indisvalid FROM pg_index WHERE indrelid::regclass::text LIKE 'dup%' ORDER BY 1, 2;
DELETE FROM dup WHERE id = 1;
CALL create_index_concurrently('dup', 'CREATE UNIQUE INDEX dup_u ON dup (id)');
SELECT indrelid::regclass, indexrelid::regclass, indisvalid FROM pg_index WHERE indrelid::regclass::text LIKE 'dup%' ORDER BY 1, 2;
-- a long message ends with a whole character
CREATE TABLE long (id int NOT NULL) PARTITION BY RANGE (id);
SELECT create_parent('long', 'id', '10', p_premake => 1, p_default_table => false);
CREATE FUNCTION complain(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE '%', repeat('é', 300); END $$;
INSERT INTO long VALUES (1);
CREATE STATISTICS long_s ON (complain(id)), id FROM long_p0;
SELECT message = repeat('é', 127) FROM vacuum_partitions('long') WHERE partition_name LIKE '%long_p0';
-- foreign tables have no indexes
CREATE FOREIGN DATA WRAPPER upkeep_fdw;
CREATE SERVER upkeep_server FOREIGN DATA WRAPPER upkeep_fdw;
DROP INDEX dup_u;
CREATE FOREIGN TABLE dup_far PARTITION OF dup FOR VALUES FROM (1000) TO (1010) SERVER upkeep_server;
CALL create_index_concurrently('dup', 'CREATE INDEX dup_v ON dup (v)');
-- jobs
SELECT kind, definition, state, done = total AS all_done, asked_by = current_user AS mine, sqlstate, message FROM part_jobs WHERE parent_table <> 'ev'::regclass ORDER BY id;
SELECT cancel_job(id) FROM part_jobs WHERE parent_table = 'sub'::regclass;
SELECT action, partition_name FROM part_log WHERE action IN ('reindex', 'create index') AND parent_table = 'dup'::regclass ORDER BY id;
SET client_min_messages = warning;
SELECT config_cleanup('dup');
SELECT count(*) FROM part_jobs WHERE parent_table = 'dup'::regclass;
SET ROLE regress_upkeep_other;
SELECT count(*) FROM part_jobs;
SELECT count(*) FROM part_upkeep;
RESET ROLE;

DROP FOREIGN DATA WRAPPER upkeep_fdw CASCADE;
DROP SCHEMA upkeep_test CASCADE;
DROP EXTENSION partmgr;
DROP ROLE regress_upkeep_owner, regress_upkeep_other;
