-- drop_default: rows get partitions of their own, and nothing is lost.

SET client_min_messages = warning;
DROP EXTENSION IF EXISTS partmgr;
CREATE EXTENSION partmgr;
CREATE SCHEMA default_test;
SET search_path = default_test, public;
SET timezone = 'UTC';
SET DateStyle = 'ISO, MDY';

CREATE FUNCTION parts(parent text) RETURNS text LANGUAGE sql AS
	$$ SELECT string_agg(partition_name || ' ' || range, E'\n') FROM list_partitions(parent) $$;
-- where the rows are
CREATE FUNCTION places(parent regclass, key text) RETURNS TABLE (place regclass, keys text) LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format('SELECT tableoid::regclass, string_agg(%I::text, '' '' ORDER BY %I) FROM %s GROUP BY tableoid ORDER BY min(%I)', key, key, parent, key);
END
$$;

--
-- times: holes in the past, the future, what an old partition leaves of a cell
--

CREATE TABLE ev (at timestamptz NOT NULL, v int GENERATED ALWAYS AS (1) STORED, n int GENERATED ALWAYS AS IDENTITY, w text) PARTITION BY RANGE (at);
CREATE TABLE ev_old PARTITION OF ev FOR VALUES FROM ('2020-01-10') TO ('2020-01-20');
CREATE TABLE ev_new PARTITION OF ev FOR VALUES FROM ('2020-06-01') TO ('2020-07-01');
CREATE INDEX ON ev (w);
CREATE TABLE seen (what text);
CREATE FUNCTION note_it() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO seen VALUES (tg_op); RETURN NULL; END $$;
CREATE TRIGGER note_it AFTER INSERT OR UPDATE OR DELETE ON ev FOR EACH ROW EXECUTE FUNCTION note_it();
SET client_min_messages = notice;
BEGIN;
SELECT create_parent('ev', 'at', '1 month', p_premake => 1, p_time_zone => 'UTC');
SET client_min_messages = warning;
UPDATE part_config SET automatic_maintenance = 'off';
INSERT INTO ev (at, w) SELECT at::timestamptz, repeat('long ', 1000) FROM unnest(ARRAY['2019-12-31 23:59', '2020-01-01', '2020-01-09 23:59:59.999999', '2020-01-20', '2020-01-15',
	'2020-02-29', '2020-05-31', '2020-06-15', '2500-01-01', '0099-01-01']) at;
TRUNCATE seen;
CREATE TEMP TABLE before AS SELECT * FROM ev;
SELECT drop_default('ev');
SELECT place, keys FROM places('ev', 'at');
SELECT count(*) FROM seen;
SELECT count(*) FROM (SELECT * FROM before EXCEPT ALL SELECT * FROM ev) lost;
SELECT count(*) FROM (SELECT * FROM ev EXCEPT ALL SELECT * FROM before) new;
SELECT to_regclass('ev_default');
SELECT action, partition_name, range, row_estimate, lock, message FROM part_log WHERE message LIKE '%rows in the default%' OR action = 'drop_default' ORDER BY id;
SELECT status, unnest(notes) FROM partition_health_summary('ev');
-- it is gone
SELECT drop_default('ev'::regclass);
ROLLBACK;
-- the NOTICE of create_parent, and of one that finds a default
SET client_min_messages = notice;
BEGIN;
CREATE TABLE ev_rest PARTITION OF ev DEFAULT;
SELECT create_parent('ev', 'at', '1 month', p_default_table => false, p_time_zone => 'UTC', p_start_partition => '2100-01-01') IS NOT NULL AS done;
SELECT notes FROM partition_health_summary('ev');
ROLLBACK;
SELECT create_parent('ev', 'at', '1 month', p_default_table => false, p_time_zone => 'UTC');
SET client_min_messages = warning;
SELECT notes FROM partition_health_summary('ev');
DROP TABLE ev, seen;

--
-- ids: what lies between is made too, since the highest id counts from now on
--

CREATE TABLE ids (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
SELECT create_parent('ids', 'id', '10', p_premake => 1, p_start_partition => '0');
INSERT INTO ids SELECT generate_series(1, 95, 7);
INSERT INTO ids VALUES (-5), (-25);
SELECT * FROM places('ids', 'id');
CREATE TABLE refers (id int REFERENCES ids);
INSERT INTO refers SELECT id FROM ids;
SELECT drop_default('ids');
SELECT * FROM places('ids', 'id');
SELECT parts('ids');
SELECT count(*) FROM refers JOIN ids USING (id);
\set VERBOSITY sqlstate
INSERT INTO refers VALUES (51);
INSERT INTO ids VALUES (51), (99);
INSERT INTO refers VALUES (51);
DELETE FROM ids WHERE id = 92;
\set VERBOSITY default
SELECT run_maintenance('ids');
SELECT status, problems, notes FROM partition_health_summary('ids');
SELECT action, partition_name, row_estimate FROM part_log WHERE parent_table = 'ids'::regclass AND action = 'drop_default';
DROP TABLE refers;

-- an empty one; its bounds do not matter, nor does what keeps rows in it
CREATE TABLE vacant (id int NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE vacant_0 PARTITION OF vacant FOR VALUES FROM (0) TO (10);
CREATE TABLE "The Rest" PARTITION OF vacant DEFAULT PARTITION BY HASH (id);
CREATE TABLE rest_0 PARTITION OF "The Rest" FOR VALUES WITH (MODULUS 1, REMAINDER 0);
SELECT create_parent('vacant', 'id', '10', p_premake => 1, p_default_table => false);
BEGIN;
SELECT drop_default('vacant');
SELECT to_regclass('"The Rest"'), to_regclass('rest_0');
ROLLBACK;
-- partitioned itself, with rows
INSERT INTO vacant VALUES (25), (26);
SELECT drop_default('vacant');
SELECT * FROM places('vacant', 'id');

-- LIST
CREATE TABLE kinds (kind int) PARTITION BY LIST (kind);
SELECT create_parent('kinds', 'kind', '1', p_type => 'list', p_premake => 1, p_start_partition => '1', p_control_not_null => false);
INSERT INTO kinds VALUES (2), (5), (5), (-1);
BEGIN;
SELECT drop_default('kinds');
SELECT * FROM places('kinds', 'kind');
SELECT partition_name, range FROM list_partitions('kinds');
ROLLBACK;
INSERT INTO kinds VALUES (NULL);
SELECT drop_default('kinds');

-- numeric and dates, up to where the types end
CREATE TABLE nums (n numeric) PARTITION BY RANGE (n);
SELECT create_parent('nums', 'n', '10', p_premake => 1, p_start_partition => '0', p_control_not_null => false);
INSERT INTO nums VALUES (25.5), (-0.5), (39.999), (40);
BEGIN;
SELECT drop_default('nums');
SELECT * FROM places('nums', 'n');
ROLLBACK;
INSERT INTO nums VALUES (NULL), ('NaN'), ('Infinity'), ('-Infinity'), ('1e30'), ('-1e30');
SELECT drop_default('nums');
SELECT count(*) FROM nums;
CREATE TABLE days (d date) PARTITION BY RANGE (d);
SELECT create_parent('days', 'd', '1 day', p_premake => 1, p_control_not_null => false);
INSERT INTO days VALUES ('infinity'), ('-infinity'), (NULL), ('5874897-12-31'), ('4713-01-01 BC'), ('2000-01-01');
SELECT drop_default('days');
DELETE FROM days WHERE d IS NULL OR NOT isfinite(d);
SELECT drop_default('days');
DELETE FROM days WHERE d > '3000-01-01';
SELECT drop_default('days');
SELECT tableoid::regclass, d FROM days ORDER BY d;
CREATE TABLE small (id smallint) PARTITION BY RANGE (id);
SELECT create_parent('small', 'id', '10000', p_premake => 1, p_start_partition => '0', p_control_not_null => false);
INSERT INTO small VALUES (32767), (30000), (-32768), (25000);
SELECT drop_default('small');
DELETE FROM small WHERE id IN (32767, 30000, -32768);
SELECT drop_default('small');
SELECT * FROM places('small', 'id');
-- numbers that are no time
CREATE TABLE secs (at bigint NOT NULL) PARTITION BY RANGE (at);
SELECT create_parent('secs', 'at', '1 day', p_epoch => 'seconds', p_premake => 1, p_time_zone => 'UTC');
INSERT INTO secs VALUES (0), (9000000000000000000), (9000000000000000001);
SELECT drop_default('secs');
DELETE FROM secs WHERE at > 1;
SELECT drop_default('secs');
SELECT * FROM places('secs', 'at');

--
-- errors: nothing is changed
--

CREATE TABLE far (id int NOT NULL) PARTITION BY RANGE (id);
SELECT create_parent('far', 'id', '10', p_premake => 1, p_start_partition => '0');
INSERT INTO far VALUES (55), (1000000);
SELECT drop_default('far');
DELETE FROM far WHERE id = 1000000;
SET partmgr.max_create = 3;
SELECT drop_default('far');
SET partmgr.max_create = 4;
BEGIN;
SELECT drop_default('far');
ROLLBACK;
INSERT INTO far VALUES (-5);
SELECT drop_default('far');
DELETE FROM far WHERE id < 0;
RESET partmgr.max_create;
CREATE TABLE far_p50 (x int);
SELECT drop_default('far');
DROP TABLE far_p50;
SELECT * FROM places('far', 'id');
-- what looks at the default keeps it
CREATE VIEW looks AS SELECT * FROM far_default;
SELECT drop_default('far');
DROP VIEW looks;
-- published by name
SET client_min_messages = error;	-- wal_level
CREATE PUBLICATION partmgr_default FOR TABLE far;
SET client_min_messages = warning;
SELECT drop_default('far');
DROP PUBLICATION partmgr_default;
-- rows that come in while nobody can write
CREATE FUNCTION meddle() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO default_test.far_default VALUES (-7); END $$;
CREATE EVENT TRIGGER partmgr_meddle ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION meddle();
SELECT drop_default('far');
DROP EVENT TRIGGER partmgr_meddle;
SELECT * FROM places('far', 'id');
-- a foreign table; an owner of its own
CREATE TABLE away (id int NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE away_0 PARTITION OF away FOR VALUES FROM (0) TO (10);
CREATE EXTENSION file_fdw SCHEMA public;
CREATE SERVER partmgr_default FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE away_rest PARTITION OF away DEFAULT SERVER partmgr_default OPTIONS (program 'echo 42');
SELECT create_parent('away', 'id', '10', p_premake => 1, p_default_table => false);
SELECT drop_default('away');
ALTER FOREIGN TABLE away_rest OPTIONS (SET program 'true');
SELECT drop_default('away');
CREATE ROLE default_owner;
GRANT USAGE, CREATE ON SCHEMA default_test TO default_owner;
ALTER TABLE far OWNER TO default_owner;
SELECT drop_default('far');
DELETE FROM far_default;
SELECT drop_default('far');
SET ROLE default_owner;
SELECT drop_default('ids');
RESET ROLE;
SELECT drop_default(NULL::text);
SELECT drop_default('far_p0');
SELECT drop_default('ids');

DROP SCHEMA default_test CASCADE;
DROP EXTENSION file_fdw CASCADE;
DROP EXTENSION partmgr;
DROP ROLE default_owner;
