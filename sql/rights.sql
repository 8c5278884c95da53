-- Who may do what: a set belongs to the owner of its parent, and everything
-- that is done to it is done as that owner.

SET client_min_messages = warning;
DROP EXTENSION IF EXISTS partmgr;
CREATE SCHEMA "Part Man";
CREATE EXTENSION partmgr SCHEMA "Part Man";
GRANT USAGE ON SCHEMA "Part Man" TO PUBLIC;
CREATE ROLE regress_partmgr_alice;
CREATE ROLE regress_partmgr_bob;
CREATE ROLE regress_partmgr_carol IN ROLE regress_partmgr_alice;
CREATE ROLE regress_partmgr_dan IN ROLE pg_monitor;
CREATE ROLE regress_partmgr_eve NOINHERIT IN ROLE regress_partmgr_alice;
CREATE SCHEMA rights_test;
GRANT USAGE, CREATE ON SCHEMA rights_test TO regress_partmgr_alice, regress_partmgr_bob;
GRANT USAGE ON SCHEMA rights_test TO PUBLIC;
SET search_path = rights_test, "Part Man";
SET timezone = 'UTC';
\set VERBOSITY terse

CREATE FUNCTION try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	EXECUTE statement;
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN n || ' rows';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ': ' || SQLERRM;
END
$$;
GRANT EXECUTE ON FUNCTION try TO PUBLIC;
-- everything that changes a set
CREATE FUNCTION change_all(parent text) RETURNS TABLE (call text, outcome text) LANGUAGE sql AS $$
	SELECT call, try(format(call, parent)) FROM unnest(ARRAY[
		'SELECT run_maintenance(%L)', 'SELECT run_maintenance(%L::regclass)', 'SELECT * FROM run_partition_maintenance(%L)',
		'SELECT * FROM run_partition_maintenance(%L, true)', 'SELECT * FROM maintenance_plan(%L)',
		'SELECT * FROM create_future_partitions(%L, 3)', 'SELECT partition_gap_fill(%L)',
		'SELECT * FROM drop_old_partitions(%L, ''1000'')', 'SELECT * FROM drop_old_partitions(%L, 1)',
		'SELECT * FROM analyze_partitions(%L)', 'SELECT resume_maintenance(%L)',
		'UPDATE part_config SET premake = premake WHERE parent_table = %L::regclass']) call
$$;
-- everything that looks at one
CREATE FUNCTION look_all(parent text) RETURNS TABLE (call text, outcome text) LANGUAGE sql AS $$
	SELECT call, try(format(call, parent)) FROM unnest(ARRAY[
		'SELECT * FROM list_partitions(%L)', 'SELECT * FROM partition_health_summary(%L)', 'SELECT * FROM show_partitions(%L)',
		'SELECT * FROM show_partition_name(%L, ''1'')', 'SELECT * FROM show_partition_info(%L || ''_p0'')']) call
$$;

-- alice's set
SET ROLE regress_partmgr_alice;
CREATE TABLE a (id int NOT NULL) PARTITION BY RANGE (id);
SELECT create_parent('a', 'id', '10', p_premake => 1);
INSERT INTO a VALUES (11), (1000);
SELECT * FROM change_all('a');
SELECT * FROM look_all('a');
SELECT parent_table FROM part_config;
UPDATE part_config SET premake = 2, retention = '100', retention_keep_table = false RETURNING parent_table, premake, retention;
RESET ROLE;
SELECT relname, relowner::regrole FROM pg_class WHERE relname ~ '^a(_|$)' ORDER BY relname;

-- bob can do nothing to it
SET ROLE regress_partmgr_bob;
SELECT * FROM change_all('a');
SELECT * FROM look_all('a');
SELECT try($$SELECT create_parent('a', 'id', '10')$$);
SELECT try($$SELECT config_cleanup('a')$$);
SELECT count(*) FROM part_config;
SELECT count(*) FROM part_state;
SELECT count(*) FROM part_log;
SELECT count(*) FROM partition_metadata;
SELECT count(*) FROM list_partitions();
SELECT count(*) FROM partition_health_summary();
SELECT count(*) FROM check_default();
SELECT run_maintenance();
SELECT * FROM run_partition_maintenance();
SELECT * FROM maintenance_plan();
SELECT * FROM drop_old_partitions(p_retention => '1');
SELECT resume_maintenance();
CALL run_maintenance_proc();
-- nor to the tables of the extension
SELECT try(statement) FROM unnest(ARRAY[
	'UPDATE part_config SET premake = 100', 'UPDATE part_config SET control = ''x''', 'UPDATE part_config SET parent_table = 0',
	'INSERT INTO part_config (parent_table, control, partition_interval) VALUES (''a''::regclass, ''id'', ''10'')',
	'DELETE FROM part_config', 'TRUNCATE part_config', 'LOCK TABLE part_config', 'LOCK TABLE part_config IN ROW EXCLUSIVE MODE',
	'SELECT * FROM part_config FOR UPDATE', 'SELECT * FROM part_config FOR KEY SHARE',
	'UPDATE part_state SET next_run = ''infinity''', 'DELETE FROM part_state', 'LOCK TABLE part_state', 'SELECT * FROM part_state FOR SHARE',
	'INSERT INTO part_log (logged_at, parent_table, action) VALUES (now(), 0, ''x'')', 'DELETE FROM part_log', 'LOCK TABLE part_log',
	'ALTER TABLE part_config DISABLE TRIGGER part_config_check', 'DROP EXTENSION partmgr',
	'SELECT wake_worker()', 'SELECT * FROM worker_status()', 'SET partmgr.max_create = 1', 'SET partmgr.move_rows = 1',
	'SET partmgr.lock_timeout = 1']) statement;
-- with SELECT on the parent he may look, but read no errors of others
RESET ROLE;
GRANT SELECT ON a TO regress_partmgr_bob;
UPDATE part_state SET last_error = 'secret', last_sqlstate = 'XX000';
SET ROLE regress_partmgr_bob;
SELECT * FROM look_all('a');
SELECT count(*) FROM list_partitions();
SELECT parent_table, last_error, last_sqlstate FROM partition_health_summary();
SELECT try('SELECT run_maintenance(''a'')');
SELECT count(*) FROM part_config;

-- a set of his own, and nobody else's
CREATE TABLE b (id int NOT NULL) PARTITION BY RANGE (id);
SELECT create_parent('b', 'id', '10', p_premake => 1);
INSERT INTO b VALUES (11);
SELECT parent_table FROM part_config;
SELECT parent_table, partition_name FROM run_partition_maintenance();
UPDATE part_config SET premake = 2 RETURNING parent_table;
SELECT parent_table, count(*) FROM part_log GROUP BY parent_table;
-- columns that make the set what it is belong to nobody
SELECT try('UPDATE part_config SET control = ''id''');
SELECT try('SELECT * FROM part_config FOR UPDATE');
RESET ROLE;

-- members of the owner's role are owners, if they inherit
SET ROLE regress_partmgr_carol;
SELECT parent_table FROM part_config;
INSERT INTO a VALUES (35);
SELECT parent_table, partition_name FROM run_partition_maintenance('a');
RESET ROLE;
SELECT DISTINCT relowner::regrole FROM pg_class WHERE relname ~ '^a(_|$)';
SET ROLE regress_partmgr_eve;
SELECT count(*) FROM part_config;
SELECT try('SELECT run_maintenance(''a'')');
RESET ROLE;

-- pg_monitor sees all, and changes nothing
UPDATE part_state SET last_error = 'secret', last_sqlstate = 'XX000';
SET ROLE regress_partmgr_dan;
SELECT parent_table FROM part_config ORDER BY parent_table::text;
SELECT count(DISTINCT parent_table) FROM part_log;
SELECT parent_table, last_error FROM partition_health_summary() ORDER BY parent_table::text;
SELECT * FROM look_all('a');
SELECT * FROM change_all('a');
SELECT * FROM run_partition_maintenance();
SELECT count(*) FROM worker_status();
RESET ROLE;

-- a superuser maintains all of them, as their owners
INSERT INTO a VALUES (45);
INSERT INTO b VALUES (21);
SELECT parent_table, partition_name FROM run_partition_maintenance();
SELECT relname, relowner::regrole FROM pg_class WHERE relname IN ('a_p60', 'b_p40') ORDER BY relname;

-- functions of the owner's run as the owner, also when rows are moved, and
-- cannot change the session of the caller
SET ROLE regress_partmgr_alice;
CREATE TABLE told (who text, path text);
CREATE FUNCTION spy() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO rights_test.told VALUES (current_user, current_setting('search_path'));
	EXECUTE current_setting('spy.statement');
END $$;
CREATE FUNCTION tell(v int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	PERFORM rights_test.spy();
	RETURN v;
END $$;
CREATE TABLE spied (id int NOT NULL, v int) PARTITION BY RANGE (id);
CREATE INDEX ON spied (tell(v));
SELECT create_parent('spied', 'id', '10', p_premake => 1);
SET spy.statement = '';
INSERT INTO spied VALUES (11, 1), (25, 2), (26, 3);
DELETE FROM told;
RESET ROLE;
SET spy.statement = 'RESET ROLE';
SELECT try('SELECT run_maintenance(''spied'')');
SET spy.statement = 'RESET SESSION AUTHORIZATION';
SELECT try('SELECT run_maintenance(''spied'')');
SET spy.statement = 'CREATE TEMP TABLE pg_class ()';
SELECT try('SELECT run_maintenance(''spied'')');
SET spy.statement = 'DELETE FROM "Part Man".part_config';
SELECT try('SELECT run_maintenance(''spied'')');
SET spy.statement = 'SET search_path = rights_test';
SELECT try('SELECT run_maintenance(''spied'')');
SHOW search_path;
SELECT DISTINCT * FROM told;
SELECT tableoid::regclass, count(*) FROM spied GROUP BY tableoid ORDER BY min(id);
SET spy.statement = '';

-- names that lie in wait: operators, functions and tables in the search path
SET ROLE regress_partmgr_alice;
CREATE FUNCTION lie(regclass, regclass) RETURNS boolean LANGUAGE sql AS $$ SELECT 1 / 0 > 0 $$;
CREATE OPERATOR = (LEFTARG = regclass, RIGHTARG = regclass, FUNCTION = lie);
CREATE FUNCTION max(int) RETURNS int LANGUAGE sql AS $$ SELECT 1 / 0 $$;
CREATE FUNCTION count(int) RETURNS int LANGUAGE sql AS $$ SELECT 1 / 0 $$;
CREATE TABLE pg_inherits (inhrelid oid, inhparent oid);
CREATE TABLE part_config_x ();
CREATE TABLE "it's; DROP TABLE a --" ("id""; --" int NOT NULL) PARTITION BY RANGE ("id""; --");
SELECT create_parent('"it''s; DROP TABLE a --"', 'id"; --', '10', p_premake => 1);
RESET ROLE;
SET search_path = rights_test, "Part Man", pg_catalog;
INSERT INTO "it's; DROP TABLE a --" VALUES (11);
INSERT INTO a VALUES (41);
SELECT partition_name FROM run_partition_maintenance('a');
SELECT partition_name FROM run_partition_maintenance('"it''s; DROP TABLE a --"');
SET search_path = rights_test, "Part Man";
DROP TABLE rights_test.pg_inherits, part_config_x;
DROP OPERATOR = (regclass, regclass);
DROP FUNCTION lie, rights_test.max, rights_test.count(int);

-- row security is none for maintenance
SET ROLE regress_partmgr_alice;
CREATE TABLE secret (id int NOT NULL) PARTITION BY RANGE (id);
ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
ALTER TABLE secret FORCE ROW LEVEL SECURITY;
SELECT create_parent('secret', 'id', '10', p_premake => 1);
RESET ROLE;
ALTER TABLE secret_default ENABLE ROW LEVEL SECURITY;
ALTER TABLE secret_default FORCE ROW LEVEL SECURITY;
ALTER TABLE secret_p10 ENABLE ROW LEVEL SECURITY;
ALTER TABLE secret_p10 FORCE ROW LEVEL SECURITY;
INSERT INTO secret VALUES (12), (25), (26);
SET ROLE regress_partmgr_alice;
SELECT count(*) FROM secret;
SELECT partition_name, status, row_estimate FROM run_partition_maintenance('secret');
RESET ROLE;
SELECT tableoid::regclass, count(*) FROM secret GROUP BY tableoid ORDER BY min(id);

-- rights that the owner lacks: create_parent and health say what to run
CREATE SCHEMA theirs;
CREATE TABLE theirs.t (id int NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE theirs.t_0 PARTITION OF theirs.t FOR VALUES FROM (0) TO (10);
CREATE FUNCTION theirs.trig() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
REVOKE EXECUTE ON FUNCTION theirs.trig() FROM PUBLIC;
CREATE TRIGGER t AFTER INSERT ON theirs.t FOR EACH ROW EXECUTE FUNCTION theirs.trig();
ALTER TABLE ONLY theirs.t OWNER TO regress_partmgr_alice;
GRANT USAGE ON SCHEMA theirs TO regress_partmgr_alice;
SELECT create_parent('theirs.t', 'id', '10', p_default_table => false);
SELECT status, unnest(problems) FROM partition_health_summary('theirs.t');
INSERT INTO theirs.t VALUES (5);
SELECT try('SELECT run_maintenance(''theirs.t'')');
GRANT CREATE ON SCHEMA theirs TO regress_partmgr_alice;
GRANT EXECUTE ON FUNCTION theirs.trig() TO regress_partmgr_alice;
SELECT status, unnest(problems) FROM partition_health_summary('theirs.t');
ALTER TABLE theirs.t_0 OWNER TO regress_partmgr_alice;
SELECT try('SELECT run_maintenance(''theirs.t'')');
SELECT status, problems FROM partition_health_summary('theirs.t');

-- what is retired goes only to a schema of the table's owner
CREATE SCHEMA bobs AUTHORIZATION regress_partmgr_bob;
CREATE SCHEMA alices AUTHORIZATION regress_partmgr_alice;
SET ROLE regress_partmgr_alice;
SELECT try($$UPDATE part_config SET retention_schema = 'bobs' WHERE parent_table = 'a'::regclass$$);
SELECT try($$UPDATE part_config SET retention_schema = 'public' WHERE parent_table = 'a'::regclass$$);
UPDATE part_config SET retention = '30', retention_schema = 'alices' WHERE parent_table = 'a'::regclass;
RESET ROLE;
-- also if that changes later
ALTER SCHEMA alices OWNER TO regress_partmgr_bob;
SELECT try('SELECT run_maintenance(''a'')');
SELECT count(*) FROM pg_class WHERE relnamespace = 'alices'::regnamespace;
ALTER SCHEMA alices OWNER TO regress_partmgr_alice;
SELECT run_maintenance('a');
SELECT relname, relowner::regrole FROM pg_class WHERE relnamespace = 'alices'::regnamespace AND relkind = 'r' ORDER BY relname;

-- a given-away table takes its set along
ALTER TABLE a OWNER TO regress_partmgr_bob;
SET ROLE regress_partmgr_alice;
SELECT parent_table FROM part_config WHERE parent_table = 'a'::regclass;
SELECT try('SELECT run_maintenance(''a'')');
SET ROLE regress_partmgr_bob;
SELECT parent_table FROM part_config WHERE parent_table = 'a'::regclass;
SELECT config_cleanup('a');
RESET ROLE;

-- privileges of the parent, if asked for
SET ROLE regress_partmgr_alice;
CREATE TABLE granted (id int NOT NULL, v text) PARTITION BY RANGE (id);
GRANT SELECT, INSERT ON granted TO regress_partmgr_bob;
GRANT UPDATE (v) ON granted TO regress_partmgr_dan;
GRANT DELETE ON granted TO regress_partmgr_carol WITH GRANT OPTION;
SELECT create_parent('granted', 'id', '10', p_premake => 1, p_inherit_privileges => true);
RESET ROLE;
SELECT relname, relacl = (SELECT relacl FROM pg_class WHERE oid = 'granted'::regclass) AS same,
	attacl = (SELECT attacl FROM pg_attribute WHERE attrelid = 'granted'::regclass AND attname = 'v') AS same_columns
	FROM pg_class c JOIN pg_attribute a ON attrelid = c.oid AND attname = 'v'
	WHERE relname ~ '^granted_' ORDER BY relname;

DROP SCHEMA rights_test, theirs, bobs, alices CASCADE;
DROP EXTENSION partmgr;
DROP SCHEMA "Part Man" CASCADE;
DROP OWNED BY regress_partmgr_alice, regress_partmgr_bob, regress_partmgr_carol, regress_partmgr_dan, regress_partmgr_eve;
DROP ROLE regress_partmgr_alice, regress_partmgr_bob, regress_partmgr_carol, regress_partmgr_dan, regress_partmgr_eve;
