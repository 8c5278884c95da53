-- Looking at sets: list_partitions, show_partitions, show_partition_info,
-- show_partition_name, check_default.

SET client_min_messages = warning;
DROP EXTENSION IF EXISTS partmgr;
CREATE EXTENSION partmgr;
CREATE SCHEMA look_test;
SET search_path = look_test, public;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET IntervalStyle = 'postgres';

-- a set with nothing made yet; create_parent() would go by the clock
CREATE PROCEDURE manage(t regclass, width text, zone text DEFAULT 'UTC', epoch text DEFAULT 'none',
                        retention text DEFAULT NULL, origin text DEFAULT NULL)
LANGUAGE sql AS $$
  INSERT INTO part_config (parent_table, control, partition_interval, partition_type, epoch, retention, time_zone, grid_origin)
    SELECT t, a.attname, width, CASE p.partstrat WHEN 'l' THEN 'list' ELSE 'range' END, epoch, retention, zone, origin
    FROM pg_partitioned_table p JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
    WHERE p.partrelid = t;
  INSERT INTO part_state (parent_table, next_run) VALUES (t, 'infinity')
$$;

-- time: now lies in a partition of many years
CREATE TABLE ev (at timestamptz NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE ev_p20200101 PARTITION OF ev FOR VALUES FROM ('2020-01-01') TO ('2900-01-01');
CREATE TABLE ev_p29000101 PARTITION OF ev FOR VALUES FROM ('2900-01-01') TO ('2900-02-01');
CREATE TABLE "Ev Old" PARTITION OF ev FOR VALUES FROM ('2001-02-01') TO ('2020-01-01');
CREATE TABLE ev_oldest PARTITION OF ev FOR VALUES FROM (MINVALUE) TO ('2001-01-01');
CREATE TABLE ev_rest PARTITION OF ev DEFAULT;
CALL manage('ev', '1 month');
INSERT INTO ev SELECT timestamptz '2010-01-01' + i * interval '1 hour' FROM generate_series(1, 100) i;
SELECT partition_name, range, lower_time, upper_time, lower_id, upper_id, is_default, state FROM list_partitions('ev');
UPDATE part_config SET retention = '5 years' WHERE parent_table = 'ev'::regclass;
SELECT partition_name, state, row_estimate, bytes > 0 AS has_bytes, last_analyze, last_vacuum FROM list_partitions('ev'::regclass);
VACUUM ANALYZE ev;
SELECT partition_name, row_estimate, last_analyze > now() - interval '1 hour' AS analyzed,
       last_vacuum > now() - interval '1 hour' AS vacuumed FROM list_partitions('ev'::regclass);
SELECT p.bytes = pg_total_relation_size(p.partition_name) AS same FROM list_partitions('ev') p WHERE row_estimate > 0;
-- the bounds are the same whoever looks
BEGIN;
SET LOCAL TimeZone = 'America/New_York';
SET LOCAL DateStyle = 'SQL, DMY';
SELECT range, lower_time, upper_time FROM list_partitions('ev') WHERE partition_name = '"Ev Old"'::regclass;
COMMIT;

-- ids: relative to the highest key
CREATE TABLE ids (id int NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE ids_a PARTITION OF ids FOR VALUES FROM (-10) TO (0);
CREATE TABLE ids_b PARTITION OF ids FOR VALUES FROM (0) TO (10);
CREATE TABLE ids_c PARTITION OF ids FOR VALUES FROM (10) TO (20);
CREATE TABLE ids_d PARTITION OF ids FOR VALUES FROM (20) TO (30);
CREATE TABLE ids_e PARTITION OF ids FOR VALUES FROM (30) TO (MAXVALUE);
CALL manage('ids', '10', NULL, retention => '15');
SELECT partition_name, range, lower_id, upper_id, state FROM list_partitions('ids');
INSERT INTO ids VALUES (5), (15);
SELECT partition_name, state FROM list_partitions('ids');
INSERT INTO ids VALUES (25);
SELECT partition_name, state FROM list_partitions('ids');
CREATE TABLE li (id int) PARTITION BY LIST (id);
CREATE TABLE li_a PARTITION OF li FOR VALUES IN (1, 3);
CREATE TABLE li_b PARTITION OF li FOR VALUES IN (NULL, 2);
CREATE TABLE li_n PARTITION OF li DEFAULT;
CALL manage('li', '1', NULL);
SELECT partition_name, range, lower_id, upper_id, state FROM list_partitions('li');
-- a detach that was cut short, and a bound that cannot be read
CREATE TABLE num (id numeric NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE num_a PARTITION OF num FOR VALUES FROM (0) TO (10);
CREATE TABLE num_b PARTITION OF num FOR VALUES FROM (10) TO (10.5);
CREATE TABLE num_c PARTITION OF num FOR VALUES FROM (1e30) TO (1e31);
CALL manage('num', '10', NULL);
SET allow_system_table_mods = on;
UPDATE pg_inherits SET inhdetachpending = true WHERE inhrelid = 'num_a'::regclass;
SELECT partition_name, range, lower_id, upper_id, state FROM list_partitions('num');
UPDATE pg_inherits SET inhdetachpending = false WHERE inhrelid = 'num_a'::regclass;
RESET allow_system_table_mods;
-- time in a number
CREATE TABLE epoch (at bigint NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE epoch_a PARTITION OF epoch FOR VALUES FROM (978307200000) TO (980985600000);
CALL manage('epoch', '1 month', epoch => 'milliseconds');
CREATE TABLE ymd (at int NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE ymd_a PARTITION OF ymd FOR VALUES FROM (20010101) TO (20010201);
CALL manage('ymd', '1 month', 'America/New_York', epoch => 'yyyymmdd');
SELECT partition_name, range, lower_time, upper_time, state FROM list_partitions('epoch');
SELECT partition_name, range, lower_time, upper_time, state FROM list_partitions('ymd');

-- all sets
SELECT parent_table, count(*) FROM list_partitions() GROUP BY 1 ORDER BY parent_table::text COLLATE "C";
SELECT count(*) FROM (TABLE partition_metadata EXCEPT SELECT * FROM list_partitions()) x;

-- show_partitions
SELECT * FROM show_partitions('ev');
SELECT * FROM show_partitions('look_test.ev'::regclass, 'desc', true);
SELECT * FROM show_partitions('li', 'ASC', true);

-- show_partition_info
SELECT * FROM show_partition_info('ev_p29000101');
SELECT * FROM show_partition_info('"Ev Old"'::regclass, p_parent_table => 'ev');
SELECT * FROM show_partition_info('ev_p29000101', '1 hour');
SELECT * FROM show_partition_info('ev_oldest');
SELECT * FROM show_partition_info('ev_rest');
SELECT * FROM show_partition_info('ids_a');
SELECT * FROM show_partition_info('ids_e');
SELECT * FROM show_partition_info('li_a');
SELECT * FROM show_partition_info('num_b');
SELECT * FROM show_partition_info('epoch_a');
SELECT * FROM show_partition_info('ymd_a');
-- read from a name
SELECT * FROM show_partition_info('ev_p20250301', p_parent_table => 'ev', p_table_exists => false);
SELECT * FROM show_partition_info('ev_p20250301_021500', '15 minutes', 'ev', false);
SELECT * FROM show_partition_info('ids_p-10', p_parent_table => 'ids', p_table_exists => false);
SELECT * FROM show_partition_info('ymd_p20250301', p_parent_table => 'ymd', p_table_exists => false);

-- show_partition_name: by the bounds, whatever the name
SELECT v, n.* FROM unnest('{1999-12-31, 2001-01-15, 2010-06-01, 2024-02-29, 2900-01-31 23:59:59.999999, 2900-02-01, 2950-07-15}'::text[]) v,
  show_partition_name('ev', v) n;
SELECT v, n.* FROM unnest('{-11, -10, -7, -1, 0, 7, 29, 30, 2147483647}'::text[]) v, show_partition_name('ids'::regclass, v) n;
SELECT v, n.* FROM unnest('{1, 2, 3, 4, -5}'::text[]) v, show_partition_name('li', v) n;
SELECT v, n.* FROM unnest('{9.99, 10.2, 10.7, 20, 1e18}'::text[]) v, show_partition_name('num', v) n;
SELECT v, n.* FROM unnest('{2001-01-15, 978307200000, 2001-02-01}'::text[]) v, show_partition_name('epoch', v) n;
SELECT v, n.* FROM unnest('{2001-01-15 23:30, 20010131, 20010201}'::text[]) v, show_partition_name('ymd', v) n;
-- under its own name, under another one, a stranger in its place
CREATE TABLE odd (id int NOT NULL) PARTITION BY RANGE (id);
CALL manage('odd', '10', NULL, origin => '5');
CREATE TABLE odd_p5 PARTITION OF odd FOR VALUES FROM (5) TO (15);
CREATE TABLE odd_other PARTITION OF odd FOR VALUES FROM (15) TO (20);
CREATE TABLE odd_p25 (id int);
CREATE TABLE odd_p35 PARTITION OF odd FOR VALUES FROM (45) TO (55);
SELECT v, n.* FROM unnest('{4, 5, 14, 17, 22, 27, 36, 46}'::text[]) v, show_partition_name('odd', v) n;

-- check_default
SELECT * FROM check_default() WHERE default_table LIKE 'look_test.%';
INSERT INTO ev VALUES ('2001-01-10'), ('2001-01-11'), ('infinity'), ('infinity');
INSERT INTO li VALUES (77);
SELECT * FROM check_default() WHERE default_table LIKE 'look_test.%' ORDER BY 1;
SELECT * FROM check_default(p_exact_count => false) WHERE default_table LIKE 'look_test.%' ORDER BY 1;
SELECT * FROM check_default(p_ignore_infinity => true) WHERE default_table LIKE 'look_test.%' ORDER BY 1;
DELETE FROM ev WHERE at < 'infinity';
SELECT * FROM check_default(false, true) WHERE default_table LIKE 'look_test.%' ORDER BY 1;

-- what cannot be answered
CREATE TABLE plain (at timestamptz);
CREATE TABLE unmanaged (at timestamptz) PARTITION BY RANGE (at);
CREATE TABLE unmanaged_a PARTITION OF unmanaged FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
\set VERBOSITY terse
SELECT * FROM list_partitions('nosuch');
SELECT * FROM list_partitions('plain');
SELECT * FROM list_partitions('unmanaged'::regclass);
SELECT * FROM show_partitions(NULL::text);
SELECT * FROM show_partitions('ev', 'upwards');
SELECT * FROM show_partitions('ev', NULL);
SELECT * FROM show_partitions('unmanaged');
SELECT * FROM show_partition_info(NULL::text);
SELECT * FROM show_partition_info('plain');
SELECT * FROM show_partition_info('unmanaged_a');
SELECT * FROM show_partition_info('ids_a', p_parent_table => 'ev');
SELECT * FROM show_partition_info('ev_p29000101', '3 apples');
SELECT * FROM show_partition_info('ev_p29000101', p_table_exists => false);
SELECT * FROM show_partition_info('ev_of_may', p_parent_table => 'ev', p_table_exists => false);
SELECT * FROM show_partition_name('unmanaged', '2020-01-01');
SELECT * FROM show_partition_name('ev', NULL);
SELECT * FROM show_partition_name('ev', 'tomorrowish');
SELECT * FROM show_partition_name('ev', 'infinity');
SELECT * FROM show_partition_name('ids', '99999999999');
SELECT * FROM show_partition_name('num', '1e40');
SELECT * FROM show_partition_name('odd', '2147483647');
SELECT * FROM check_default(NULL);
SELECT * FROM check_default(true, NULL);

-- who may look: the owner, pg_monitor, and whoever may read the table
CREATE ROLE look_owner;
CREATE ROLE look_reader;
CREATE ROLE look_monitor IN ROLE pg_monitor;
CREATE ROLE look_nobody;
GRANT USAGE, CREATE ON SCHEMA look_test TO look_owner, look_reader, look_monitor, look_nobody;
GRANT SELECT ON ids TO look_reader;
ALTER TABLE ids OWNER TO look_owner;
ALTER TABLE ids_d OWNER TO look_owner;
ALTER TABLE ids_e OWNER TO look_owner;
SET ROLE look_owner;
SELECT DISTINCT parent_table FROM list_partitions() ORDER BY 1;
SET ROLE look_reader;
SELECT DISTINCT parent_table FROM list_partitions() ORDER BY 1;
SELECT partition_name, state FROM list_partitions('ids') LIMIT 1;
SELECT partition_table FROM show_partition_name('ids', '5');
SELECT count(*) FROM show_partitions('ev');
SET ROLE look_monitor;
SELECT count(DISTINCT parent_table) FROM list_partitions() WHERE parent_table IN ('ids'::regclass, 'ev'::regclass);
SET ROLE look_nobody;
SELECT count(*) FROM list_partitions();
SELECT count(*) FROM partition_metadata;
SELECT count(*) FROM check_default();
SELECT * FROM list_partitions('ids');
SELECT * FROM show_partitions('ids');
SELECT * FROM show_partition_info('ids_a');
SELECT * FROM show_partition_name('ids', '5');
SELECT * FROM partition_health_summary('ids');
RESET ROLE;

DROP EXTENSION partmgr;
DROP SCHEMA look_test CASCADE;
DROP ROLE look_owner, look_reader, look_monitor, look_nobody;
