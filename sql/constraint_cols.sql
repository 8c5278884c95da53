-- extra constraints: CHECKs on the least and greatest values of columns in
-- partitions that are written no more

SET client_min_messages = warning;
CREATE EXTENSION partmgr;
CREATE SCHEMA cons_test;
SET search_path = cons_test, public;
\set VERBOSITY terse

CREATE VIEW constraints AS
	SELECT conrelid::regclass::text AS partition, conname, pg_get_constraintdef(oid) AS definition FROM pg_constraint
	WHERE contype = 'c' AND conname LIKE 'partmanconstr%' AND connamespace = 'cons_test'::regnamespace;

--
-- Which partition
--

CREATE TABLE ids (id bigint NOT NULL, at timestamptz, "Weird ""col" text, amount float8, nothing int) PARTITION BY RANGE (id);
SELECT create_parent('ids', 'id', '10', p_premake => 2, p_start_partition => '0', p_default_table => false,
	p_constraint_cols => '{at,"Weird \"col",amount,nothing}');
SELECT constraint_cols, optimize_constraint, constraint_valid FROM part_config;
UPDATE part_config SET optimize_constraint = 2;
INSERT INTO ids SELECT n, '2026-01-01 00:00+00'::timestamptz + n * '1 hour'::interval, 'it''s ' || n, n / 3.0 FROM generate_series(0, 19) n;

-- too few behind the newest with rows
SELECT run_maintenance('ids');
SELECT * FROM constraints;
INSERT INTO ids SELECT n, '2026-01-01 00:00+00'::timestamptz + n * '1 hour'::interval, 'it''s ' || n, n / 3.0 FROM generate_series(20, 29) n;
SELECT run_maintenance('ids');
SELECT * FROM constraints;

-- a session with other habits makes the same
SET DateStyle = 'SQL, DMY';
SET extra_float_digits = -10;
SET IntervalStyle = 'sql_standard';
SET TimeZone = 'Asia/Kolkata';
INSERT INTO ids SELECT n, '2026-01-02 00:00+00'::timestamptz + n * '1 hour'::interval, 'it''s ' || n, n / 3.0 FROM generate_series(30, 39) n;
SELECT run_maintenance('ids');
RESET DateStyle;
RESET extra_float_digits;
RESET IntervalStyle;
SET TimeZone = 'UTC';
SELECT * FROM constraints ORDER BY 1, 2;
EXPLAIN (COSTS OFF) SELECT FROM ids WHERE at >= '2026-01-03 00:00+00';

-- the next one, and only that; noted, so that nobody makes it again
INSERT INTO ids SELECT n, '2026-01-02 00:00+00'::timestamptz, 'x', n FROM generate_series(40, 49) n;
SELECT run_maintenance('ids');
SELECT DISTINCT partition FROM constraints ORDER BY 1;
SELECT partition, task, detail FROM part_upkeep ORDER BY partition::text;
SELECT action, partition_name, message FROM part_log WHERE action = 'constraint' ORDER BY id;

--
-- By hand
--

SELECT drop_constraints('ids', 'cons_test.ids_p0', p_debug => true);
SELECT drop_constraints('cons_test.ids', 'cons_test.ids_p0', true);
SELECT drop_constraints('ids'::regclass, 'ids_p10'::regclass);
SELECT * FROM constraints;
SELECT apply_constraints('ids', 'cons_test.ids_p0');
SELECT apply_constraints('ids'::regclass, 'ids_p0'::regclass, p_analyze => true);
SELECT * FROM constraints ORDER BY 1, 2;
SELECT drop_constraints('ids', 'cons_test.ids_p0');
SELECT apply_constraints('ids');
SELECT DISTINCT partition FROM constraints ORDER BY 1;

-- not validated, and validated later
UPDATE part_config SET constraint_valid = false;
SELECT apply_constraints('ids', 'cons_test.ids_p0');
SELECT * FROM constraints WHERE definition LIKE '%NOT VALID' ORDER BY 1, 2;
UPDATE part_config SET constraint_valid = true;
SELECT apply_constraints('ids', 'cons_test.ids_p0');
SELECT * FROM constraints WHERE definition LIKE '%NOT VALID';

-- all of them, each in a transaction of its own
CALL reapply_constraints_proc('cons_test.ids', p_drop_constraints => true, p_apply_constraints => true, p_dryrun => true);
SET client_min_messages = notice;
CALL reapply_constraints_proc('cons_test.ids', p_drop_constraints => true, p_apply_constraints => true, p_dryrun => true);
SET client_min_messages = warning;
CALL reapply_constraints_proc('ids', true);
SELECT count(*) FROM constraints;
CALL reapply_constraints_proc('ids'::regclass, p_apply_constraints => true, p_analyze => false);
SELECT partition, count(*) FROM constraints GROUP BY 1 ORDER BY 1;
BEGIN;
CALL reapply_constraints_proc('ids', true);
ROLLBACK;

-- what is written into an old partition has to fit, until the constraint is gone
INSERT INTO ids VALUES (5, '2027-01-01');
SELECT drop_constraints('ids', 'cons_test.ids_p0');
INSERT INTO ids VALUES (5, '2027-01-01');

--
-- It is in nobody's way
--

-- a partition with constraints is detached, and taken back
ALTER TABLE ids DETACH PARTITION ids_p10;
ALTER TABLE ids ATTACH PARTITION ids_p10 FOR VALUES FROM (10) TO (20);
UPDATE part_config SET retention = '25', retention_grace = '1 day', retention_keep_table = false;
SELECT run_maintenance('ids');
SELECT to_regclass('ids_p10'), relispartition FROM pg_class WHERE relname = 'ids_p10';
UPDATE part_config SET retention = NULL, retention_grace = NULL;
SELECT reattach_partition('cons_test.ids_p10');
SELECT reattach_partition('cons_test.ids_p0');
SELECT * FROM constraints WHERE partition = 'ids_p10' ORDER BY 1, 2;

-- one that is rewritten keeps what it can: the same values, or parts of them
ALTER TABLE ids_p20 DROP CONSTRAINT partmanconstr_ids_p20_amount;
ALTER TABLE ids_p20 ADD CONSTRAINT partmanconstr_ids_p20_amount CHECK (amount > 1000) NOT VALID;
CALL compress_partitions_proc('ids', '10', 'pglz', p_mode => 'locking');
SELECT * FROM constraints ORDER BY 1, 2;
CALL split_partition_proc('cons_test.ids_p10', '5', p_mode => 'locking');
CALL merge_partitions_proc('ids', '20', '40', p_mode => 'locking');
SELECT partition, count(*) FROM constraints GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM ids;

--
-- Names: 63 bytes, whatever the partition and the column are called
--

CREATE TABLE "a name that is just about as long as names of tables can be éé" (id int NOT NULL,
	"a column whose name is just about as long as names can be, eleven" int, b int) PARTITION BY RANGE (id);
SELECT create_parent('"a name that is just about as long as names of tables can be éé"', 'id', '10', p_premake => 2, p_start_partition => '0', p_default_table => false);
UPDATE part_config SET optimize_constraint = 0, constraint_cols = '{"a column whose name is just about as long as names can be, elev",b}' WHERE premake = 2 AND parent_table <> 'ids'::regclass;
INSERT INTO "a name that is just about as long as names of tables can be éé" VALUES (1, 1, 1), (11, 2, 2);
SELECT run_maintenance('"a name that is just about as long as names of tables can be éé"');
SELECT conname, octet_length(conname::text), definition FROM constraints WHERE partition LIKE '%about%' ORDER BY 1;
DROP TABLE "a name that is just about as long as names of tables can be éé";

-- kinds of values
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN small AS int CHECK (VALUE < 100);
CREATE TABLE kinds (id int NOT NULL, e mood, d small, c char(5), v varchar(20), n numeric, i interval, t time, day date, a int[], ip inet)
	PARTITION BY RANGE (id);
SELECT create_parent('kinds', 'id', '10', p_premake => 2, p_start_partition => '0', p_default_table => false,
	p_constraint_cols => '{e,d,c,v,n,i,t,day,a,ip}');
UPDATE part_config SET optimize_constraint = 0 WHERE parent_table = 'kinds'::regclass;
INSERT INTO kinds VALUES (1, 'sad', 1, 'a', 'b', 'NaN', '-1 day -02:00', '01:02', '2026-02-03', '{1,2}', '10.0.0.1'),
	(2, 'happy', 99, 'zz', '', -1.50, '1 year', '23:59', 'infinity', '{1}', '::1');
INSERT INTO kinds (id) VALUES (3), (11);
SELECT run_maintenance('kinds');
SELECT definition FROM constraints WHERE partition = 'kinds_p0' ORDER BY conname;

--
-- Refusals
--

CREATE TABLE r (id int NOT NULL, j json, x int) PARTITION BY RANGE (id);
SELECT create_parent('r', 'id', '10', p_constraint_cols => '{nope}');
SELECT create_parent('r', 'id', '10', p_constraint_cols => '{j}');
SELECT create_parent('r', 'id', '10', p_constraint_cols => '{id}');
SELECT create_parent('r', 'id', '10', p_premake => 2, p_start_partition => '0', p_default_table => false);
UPDATE part_config SET constraint_cols = '{x,nope}' WHERE parent_table = 'r'::regclass;
UPDATE part_config SET constraint_cols = '{j}' WHERE parent_table = 'r'::regclass;
SELECT apply_constraints('r');
SELECT apply_constraints('r', 'cons_test.ids_p0');
SELECT drop_constraints('r', 'cons_test.r_p0');
CALL reapply_constraints_proc('r', p_drop_constraints => true);
CALL reapply_constraints_proc('r', p_apply_constraints => true, p_analyze => false);
CALL reapply_constraints_proc('r', p_wait => -1);
SELECT apply_constraints('kinds', 'cons_test.kinds');
SELECT apply_constraints('kinds', 'cons_test.nowhere');
SELECT apply_constraints('constraints');
CREATE ROLE regress_cons_other;
GRANT USAGE ON SCHEMA cons_test TO regress_cons_other;
SET SESSION AUTHORIZATION regress_cons_other;
SELECT public.apply_constraints('cons_test.kinds'::regclass);
SELECT public.drop_constraints('cons_test.kinds'::regclass, 'cons_test.kinds_p0'::regclass);
CALL public.reapply_constraints_proc('cons_test.kinds'::regclass);
RESET SESSION AUTHORIZATION;
REVOKE USAGE ON SCHEMA cons_test FROM regress_cons_other;
DROP ROLE regress_cons_other;

-- a column that is gone is told, and does not keep partitions from being made
ALTER TABLE kinds DROP COLUMN e;
INSERT INTO kinds (id, d) VALUES (19, 7), (21, 5);
SELECT run_maintenance('kinds');
SELECT count(*) FROM show_partitions('kinds');
SELECT definition FROM constraints WHERE partition = 'kinds_p10';
UPDATE part_config SET constraint_cols = '{d}' WHERE parent_table = 'kinds'::regclass;

-- nor does an error, and the set is maintained
CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
	IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() d JOIN pg_constraint k ON k.conrelid = d.objid
		WHERE conname LIKE 'partmanconstr_kinds_p20%') THEN RAISE 'not here'; END IF;
END $$;
CREATE EVENT TRIGGER refuse ON ddl_command_end WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION refuse();
INSERT INTO kinds (id, d) VALUES (32, 1);
SELECT run_maintenance('kinds');
DROP EVENT TRIGGER refuse;
SELECT count(*) FROM show_partitions('kinds');

-- what the worker would do
SELECT partition_name, reason, lock, sql FROM maintenance_plan('kinds');

SET client_min_messages = error;
DROP SCHEMA cons_test CASCADE;
DROP EXTENSION partmgr;
