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

-- rows of a default that is published by name stay: subscribers would see them
-- deleted, and not come in again
CREATE TABLE told (id int NOT NULL) PARTITION BY RANGE (id);
SELECT create_parent('told', 'id', '10', p_premake => 1, p_automatic_maintenance => 'off');
INSERT INTO told VALUES (25);
UPDATE part_config SET ignore_default_data = false WHERE parent_table = 'told'::regclass;
SET client_min_messages = error;
CREATE PUBLICATION partmgr_robust FOR TABLE told_p0;
SELECT step, partition_name, status FROM run_partition_maintenance('told', true);
ALTER PUBLICATION partmgr_robust SET TABLE told_default;
SELECT step, partition_name, status, reason FROM run_partition_maintenance('told');
ALTER PUBLICATION partmgr_robust SET TABLE told;
RESET client_min_messages;
SELECT run_maintenance('told');
SELECT problems FROM partition_health_summary('told');
DROP PUBLICATION partmgr_robust;
SELECT step, partition_name, status, row_estimate FROM run_partition_maintenance('told');

-- nor can rows be moved out of a foreign table, but partitions without rows there are made
CREATE EXTENSION file_fdw;
CREATE SERVER partmgr_robust FOREIGN DATA WRAPPER file_fdw;
CREATE TABLE far (id int NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE far_p10 PARTITION OF far FOR VALUES FROM (10) TO (20);
CREATE FOREIGN TABLE far_default PARTITION OF far DEFAULT SERVER partmgr_robust
	OPTIONS (program 'echo 25', format 'csv');
INSERT INTO far VALUES (15);
SELECT create_parent('far', 'id', '10', p_premake => 2, p_automatic_maintenance => 'off');
SELECT partition_name, range FROM list_partitions('far');
SELECT step, partition_name, status, reason FROM run_partition_maintenance('far', true);
SELECT problems FROM partition_health_summary('far');
-- nor if it is below the default
ALTER TABLE far DETACH PARTITION far_default;
CREATE TABLE far_rest PARTITION OF far DEFAULT PARTITION BY RANGE (id);
ALTER TABLE far_rest ATTACH PARTITION far_default DEFAULT;
SELECT step, partition_name, status, reason FROM run_partition_maintenance('far', true);
DROP TABLE far;
DROP SERVER partmgr_robust;
DROP EXTENSION file_fdw;

-- a row that does not arrive in the new partition is not deleted in the default
CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE FUNCTION equip() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE (SELECT format('CREATE TRIGGER swallow BEFORE INSERT ON %s FOR EACH ROW WHEN (NEW.id = 26) EXECUTE FUNCTION public.swallow()',
		objid::regclass) FROM pg_event_trigger_ddl_commands() WHERE command_tag = 'CREATE TABLE');
END
$$;
CREATE TABLE greedy (id int NOT NULL) PARTITION BY RANGE (id);
SELECT create_parent('greedy', 'id', '10', p_premake => 1, p_automatic_maintenance => 'off');
INSERT INTO greedy VALUES (25), (26);
UPDATE part_config SET ignore_default_data = false WHERE parent_table = 'greedy'::regclass;
CREATE EVENT TRIGGER partmgr_equip ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION equip();
\set VERBOSITY default
\set SHOW_CONTEXT never
SELECT run_maintenance('greedy');
\set VERBOSITY terse
SELECT tableoid::regclass, id FROM greedy ORDER BY id;
DROP EVENT TRIGGER partmgr_equip;
SELECT run_maintenance('greedy');
SELECT tableoid::regclass, id FROM greedy ORDER BY id;

-- a foreign partition that cannot be read keeps nobody from finding the highest key
CREATE FOREIGN DATA WRAPPER partmgr_robust;
CREATE SERVER partmgr_robust FOREIGN DATA WRAPPER partmgr_robust;
CREATE TABLE remote (id int NOT NULL) PARTITION BY RANGE (id);
CREATE FOREIGN TABLE remote_p0 PARTITION OF remote FOR VALUES FROM (0) TO (10) SERVER partmgr_robust;
CREATE TABLE remote_p10 PARTITION OF remote FOR VALUES FROM (10) TO (20);
INSERT INTO remote VALUES (15);
SELECT create_parent('remote', 'id', '10', p_premake => 1, p_default_table => false, p_automatic_maintenance => 'on');
SELECT partition_name, range FROM list_partitions('remote');
SELECT status, problems FROM partition_health_summary('remote');
-- one that may hold a higher key is told
CREATE FOREIGN TABLE remote_p30 PARTITION OF remote FOR VALUES FROM (30) TO (40) SERVER partmgr_robust;
INSERT INTO remote VALUES (25);
SELECT run_maintenance('remote');
SELECT status, problems FROM partition_health_summary('remote');
-- nobody else has a row: then it is asked
DELETE FROM ONLY remote_p10;
DELETE FROM ONLY remote_p20;
SELECT run_maintenance('remote');
DROP TABLE remote;
DROP SERVER partmgr_robust;
DROP FOREIGN DATA WRAPPER partmgr_robust;

-- a highest key that is not believed is told, once
CREATE TABLE astray (id bigint NOT NULL) PARTITION BY RANGE (id);
SELECT create_parent('astray', 'id', '10', p_premake => 1, p_retention => '10');
UPDATE part_config SET ignore_default_data = false WHERE parent_table = 'astray'::regclass;
INSERT INTO astray VALUES (1000000000);
\set VERBOSITY default
SELECT run_maintenance('astray');
\set VERBOSITY terse
SELECT run_maintenance();
SELECT * FROM create_future_partitions('astray', 2);
SELECT * FROM drop_old_partitions('astray');
DROP TABLE astray;

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
