-- Partition keys of several columns, the first of which is the set's.

SET client_min_messages = warning;
DROP EXTENSION IF EXISTS partmgr;
CREATE EXTENSION partmgr;
CREATE SCHEMA columns_test;
SET search_path = columns_test, public;
SET timezone = 'UTC';
SET DateStyle = 'ISO, MDY';

-- runs a statement and returns what went wrong
CREATE FUNCTION try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
BEGIN
	EXECUTE statement;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	RETURN SQLSTATE || ': ' || SQLERRM || ' / ' || detail;
END
$$;
-- the partitions that begin before 2025: the others depend on the day
CREATE FUNCTION parts(parent text) RETURNS SETOF text LANGUAGE sql AS
	$$ SELECT format('%s %s [%s, %s) %s', partition_name, coalesce(range, '?'), coalesce(lower_time::timestamp::text, lower_id::text),
			coalesce(upper_time::timestamp::text, upper_id::text), state)
		FROM list_partitions(parent) WHERE lower_time < '2025-01-01' OR lower_time IS NULL $$;

CREATE TABLE m (tenant int NOT NULL, at date NOT NULL, v int, PRIMARY KEY (at, tenant)) PARTITION BY RANGE (at, tenant);
SELECT create_parent('m', 'at', '1 month', p_start_partition => '2024-10-01', p_premake => 1);
SELECT parts('m');
SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE oid = 'm_p20241001'::regclass;
SELECT step, range FROM run_partition_maintenance('m');
INSERT INTO m VALUES (1, '2024-10-31', 1), (-5, '2024-11-01', 2), (2147483647, '2024-11-30', 3), (7, '2023-02-03', 4), (-7, '2023-02-01', 5);
SELECT tableoid::regclass, v FROM m ORDER BY v;
SELECT partition_table, table_exists FROM show_partition_name('columns_test.m', '2024-11-01');
SELECT partition_table, table_exists FROM show_partition_name('columns_test.m', '2023-02-01');
SELECT child_start_time, child_end_time FROM show_partition_info('columns_test.m_p20241101');
-- rows in the default, both ways
SELECT partition_data_time('columns_test.m');
SELECT tableoid::regclass, v FROM m ORDER BY v;
INSERT INTO m VALUES (1, '2023-04-30', 6);
CALL drain_default_proc('m');
SELECT tableoid::regclass, v FROM m ORDER BY v;
SELECT partition_gap_fill('m') > 0;
-- a row without a tenant has its place in the default, and is in nobody's way
CREATE TABLE n (tenant int, at date NOT NULL, v int) PARTITION BY RANGE (at, tenant);
SELECT create_parent('n', 'at', '1 month', p_start_partition => '2024-10-01', p_premake => 1);
INSERT INTO n VALUES (NULL, '2024-10-31', 1), (NULL, '2023-02-05', 2), (3, '2023-02-06', 3), (NULL, '2023-05-05', 4),
	(4, '2023-06-06', 5), (NULL, '2100-01-01', 6), (3, '2023-04-06', 7);
SELECT partition_data_time('columns_test.n');
CALL drain_default_proc('n', p_mode => 'locking');
SELECT tableoid::regclass, v FROM n ORDER BY v;
SELECT partition_gap_fill('n') > 0;
CALL split_partition_proc('n_p20230201', p_at => '{2023-02-06}', p_mode => 'locking');
SELECT tableoid::regclass, v FROM n ORDER BY v;
SELECT try($$SELECT drop_default('n')$$);
SELECT count(*) FROM run_partition_maintenance('n');
DROP TABLE n;
-- split, merge
CALL split_partition_proc('m_p20241101', p_at => '{2024-11-10}', p_mode => 'locking');
CALL merge_partitions_proc('m', '2023-02-01', '2024-10-01', p_mode => 'locking');
SELECT parts('m');
SELECT tableoid::regclass, v FROM m ORDER BY v;
-- retention: what is detached can come back
SELECT partition_name, range, action FROM drop_old_partitions('m', p_retention => (now() - timestamptz '2024-11-05')::text);
SELECT partition, range FROM part_detached ORDER BY 1;
SELECT reattach_partition('m_p20241001');
SELECT parts('m');
SELECT status FROM partition_health_summary('m');

-- partitions that the other columns divide as well: what they take is left alone
CREATE TABLE d (id int NOT NULL, region text, v int) PARTITION BY RANGE (id, region);
CREATE TABLE d_a PARTITION OF d FOR VALUES FROM (MINVALUE, MINVALUE) TO (0, MINVALUE);
CREATE TABLE d_b PARTITION OF d FOR VALUES FROM (0, MINVALUE) TO (100, MINVALUE);
CREATE TABLE d_c PARTITION OF d FOR VALUES FROM (100, MINVALUE) TO (200, 'eu');
CREATE TABLE d_d PARTITION OF d FOR VALUES FROM (200, 'eu') TO (300, MAXVALUE);
SELECT create_parent('d', 'id', '100', p_premake => 1);
SELECT parts('d');
INSERT INTO d VALUES (50, 'eu', 1), (200, 'de', 2), (200, 'fr', 3), (300, 'us', 4), (301, 'us', 5), (-1, 'us', 6), (450, 'de', 7);
SELECT tableoid::regclass, v FROM d ORDER BY v;
SELECT run_maintenance('d');
SELECT parts('d');
SELECT partition_table, table_exists FROM show_partition_name('columns_test.d', '50');
SELECT partition_table, table_exists FROM show_partition_name('columns_test.d', '450');
-- d_c may hold rows of 200
UPDATE part_config SET retention = '250', retention_keep_table = false WHERE parent_table = 'd'::regclass;
SELECT partition_name, range, action FROM drop_old_partitions('d', p_dry_run => true);
SELECT problems FROM partition_health_summary('d');

-- a time in an identifier, and another column
CREATE TABLE u (id uuid NOT NULL, region text NOT NULL) PARTITION BY RANGE (id, region);
CREATE TABLE u_odd PARTITION OF u FOR VALUES FROM ('017e12ef-9c00-0000-0000-000000000000', MINVALUE) TO ('01856aa0-c800-0000-0000-000000000000', 'eu');
SELECT create_parent('u', 'id', '1 year', p_time_encoder => 'public.uuid7_time_encoder', p_time_decoder => 'public.uuid7_time_decoder',
	p_time_zone => 'UTC', p_premake => 1);
SELECT parts('u');

-- read with others
SELECT count(*) FROM (SELECT run_maintenance(NULL)) x;
SELECT DISTINCT parent_table FROM list_partitions() ORDER BY 1;

-- refusals
CREATE TABLE h (a int NOT NULL, b int NOT NULL) PARTITION BY RANGE (b, a);
SELECT create_parent('h', 'a', '10');
SELECT create_parent('h', 'b', '10', p_on_demand => true, p_default_table => false);
CREATE TABLE x (a int NOT NULL, b int NOT NULL) PARTITION BY RANGE (a, (b + 1));
SELECT create_parent('x', 'a', '10');
UPDATE part_config SET on_demand = true WHERE parent_table = 'm'::regclass;

DROP SCHEMA columns_test CASCADE;
DROP EXTENSION partmgr;
