--
-- What once broke: hostile code, hostile names, absurd numbers.
--
\set VERBOSITY terse
SET client_min_messages = warning;
SET TimeZone = 'UTC';
CREATE EXTENSION partmgr;

-- what a table's own functions set does not outlive maintenance, which may run
-- in the session of somebody else
CREATE FUNCTION sly(int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	IF current_setting('search_path') NOT LIKE '%public%' THEN
		PERFORM set_config('search_path', 'sly', false),
			set_config('lock_timeout', '7ms', false),
			set_config('partmgr_test.sly', 'yes', false);
	END IF;
	RETURN true;
END
$$;
CREATE TABLE sly (id int NOT NULL CHECK (public.sly(id))) PARTITION BY RANGE (id);
SELECT create_parent('sly', 'id', '10', p_premake => 1, p_automatic_maintenance => 'off');
INSERT INTO sly VALUES (25);
UPDATE part_config SET ignore_default_data = false;
SELECT step, partition_name, status, row_estimate FROM run_partition_maintenance('sly');
SHOW search_path;
SHOW lock_timeout;
SELECT coalesce(current_setting('partmgr_test.sly', true), '') AS sly;

-- a type stands in the name of a partition, for each table has one: the others
-- are made
CREATE TABLE typed (id int NOT NULL) PARTITION BY RANGE (id);
CREATE DOMAIN typed_p10 AS int;
SET client_min_messages = error;
SELECT create_parent('typed', 'id', '10', p_premake => 3, p_automatic_maintenance => 'off');
RESET client_min_messages;
SELECT partition_name FROM list_partitions('typed');
SELECT step, partition_name, status, reason FROM run_partition_maintenance('typed', true);

-- trouble with retention does not undo creation
CREATE TABLE held (at date NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE held_old PARTITION OF held FOR VALUES FROM ('2001-01-01') TO ('2002-01-01');
CREATE TABLE held_recent PARTITION OF held FOR VALUES FROM ('2002-01-01') TO (MAXVALUE);
CREATE VIEW holder AS SELECT * FROM held_old;
SELECT create_parent('held', 'at', '1000 years', p_time_zone => 'UTC', p_premake => 1, p_default_table => false);
ALTER TABLE held DETACH PARTITION held_recent;
UPDATE part_config SET retention = '1 year', retention_keep_table = false WHERE parent_table = 'held'::regclass;
SELECT run_maintenance();
SELECT partition_name, range FROM list_partitions('held');

-- a LIST partition that takes NULL can hold what has no age
CREATE TABLE listed (id int) PARTITION BY LIST (id);
CREATE TABLE listed_1 PARTITION OF listed FOR VALUES IN (1, NULL);
CREATE TABLE listed_2 PARTITION OF listed FOR VALUES IN (2);
CREATE TABLE listed_7 PARTITION OF listed FOR VALUES IN (7);
SELECT create_parent('listed', 'id', '1', p_type => 'list', p_premake => 1, p_control_not_null => false,
	p_retention => '2', p_retention_keep_table => false, p_automatic_maintenance => 'off');
INSERT INTO listed VALUES (1), (NULL), (2), (7);
SELECT step, partition_name, range, status FROM run_partition_maintenance('listed');
SELECT * FROM listed ORDER BY id;
SELECT partition_name, range FROM list_partitions('listed') WHERE partition_name = 'listed_1'::regclass;

-- a default that belongs to somebody else: his policies must not run as the
-- owner of the set
CREATE ROLE regress_partmgr_other;
GRANT USAGE ON SCHEMA public TO regress_partmgr_other;
CREATE TABLE given (id int NOT NULL) PARTITION BY RANGE (id);
SELECT create_parent('given', 'id', '10', p_premake => 1, p_automatic_maintenance => 'off');
INSERT INTO given VALUES (25);
ALTER TABLE given_default OWNER TO regress_partmgr_other;
UPDATE part_config SET ignore_default_data = false WHERE parent_table = 'given'::regclass;
SELECT step, partition_name, status, reason FROM run_partition_maintenance('given', true);
ALTER TABLE given_default OWNER TO CURRENT_USER;
SELECT step, partition_name, status FROM run_partition_maintenance('given');
DROP OWNED BY regress_partmgr_other;
DROP ROLE regress_partmgr_other;

-- numbers that would wrap around, mean seconds, or never end
UPDATE part_config SET retention = '213503983 days 1 hour' WHERE parent_table = 'held'::regclass;
UPDATE part_config SET retention = '30' WHERE parent_table = 'held'::regclass;
UPDATE part_config SET premake = 2147483647 WHERE parent_table = 'held'::regclass;
SELECT create_parent('typed', 'id', '10', p_premake => 2147483647);

-- a bound with a fraction keeps its neighbours off, and no partition overlaps it
CREATE TABLE fraction (id numeric NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE fraction_a PARTITION OF fraction FOR VALUES FROM (0) TO (12.5);
SELECT create_parent('fraction', 'id', '10', p_premake => 1, p_start_partition => '0',
	p_default_table => false, p_automatic_maintenance => 'off');
SELECT partition_name, range FROM list_partitions('fraction');
DROP TABLE fraction;
