-- Partitions on demand: INSERT, UPDATE, MERGE and COPY never fail for want of a
-- partition.  With ids, so that no result depends on the day.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS partmgr;
CREATE EXTENSION partmgr;
CREATE SCHEMA ondemand_test;
SET search_path = ondemand_test, public;
SET timezone = 'UTC';
-- also where all is slow
SET partmgr.on_demand_timeout = '1min';
RESET client_min_messages;

CREATE FUNCTION parts(regclass) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(inhrelid::regclass::text, ' ' ORDER BY length(inhrelid::regclass::text), inhrelid::regclass::text)
	FROM pg_inherits WHERE inhparent = $1
$$;

-- it is asked for, and needs room
CREATE TABLE ev (id int NOT NULL, v text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
SELECT create_parent('ev', 'id', '10', p_on_demand => true);
SELECT create_parent('ev', 'id', '10', p_default_table => false, p_on_demand => NULL);
-- where the library is not there from the beginning of each session, that is told
BEGIN;
SELECT create_parent('ev', 'id', '10', p_premake => 1, p_start_partition => '0', p_default_table => false,
	p_on_demand => true);
SELECT status, problems FROM partition_health_summary('ev');
ROLLBACK;
SET session_preload_libraries = 'partmgr';

CREATE TABLE with_default (id int NOT NULL) PARTITION BY RANGE (id);
SET client_min_messages = error;
SELECT create_parent('with_default', 'id', '10', p_start_partition => '0');
UPDATE part_config SET on_demand = true WHERE parent_table = 'with_default';
SELECT create_parent('ev', 'id', '10', p_premake => 1, p_start_partition => '0', p_default_table => false,
	p_on_demand => true);
\set VERBOSITY terse
UPDATE part_config SET on_demand_window = 0 WHERE parent_table = 'ev';
\set VERBOSITY default
RESET client_min_messages;
SELECT parts('ev');

-- without it: core's error
UPDATE part_config SET on_demand = false WHERE parent_table = 'ev';
INSERT INTO ev VALUES (25, 'a');
UPDATE part_config SET on_demand = true WHERE parent_table = 'ev';

-- INSERT in its forms
INSERT INTO ev VALUES (25, 'a') RETURNING tableoid::regclass, *;
INSERT INTO ev VALUES (1, 'b'), (35, 'b'), (45, 'b'), (2, 'b') RETURNING tableoid::regclass, id;
INSERT INTO ev SELECT n, 'c' FROM generate_series(55, 75, 10) n;
INSERT INTO ev VALUES (85, 'd') ON CONFLICT DO NOTHING;
INSERT INTO ev VALUES (85, 'd'), (95, 'd') ON CONFLICT (id) DO UPDATE SET v = 'updated' RETURNING *;
WITH x AS (INSERT INTO ev VALUES (105, 'e') RETURNING id), y AS (INSERT INTO ev VALUES (115, 'e'), (106, 'e') RETURNING id)
SELECT id FROM x UNION ALL SELECT id FROM y ORDER BY id;
PREPARE ins(int) AS INSERT INTO ev VALUES ($1, 'f');
EXECUTE ins(125);
EXECUTE ins(126);
EXECUTE ins(135);
DO $$
DECLARE
	r record;
BEGIN
	FOR i IN 14 .. 16 LOOP
		INSERT INTO ev VALUES (i * 10, 'g');
	END LOOP;
	FOR r IN INSERT INTO ev SELECT n, 'h' FROM generate_series(170, 180, 5) n RETURNING id LOOP
		RAISE NOTICE 'inserted %', r.id;
	END LOOP;
	FOR r IN EXECUTE 'INSERT INTO ev VALUES (195, $1) RETURNING tableoid::regclass AS part' USING 'i' LOOP
		RAISE NOTICE 'inserted into %', r.part;
	END LOOP;
END $$;
CREATE FUNCTION add_row(int) RETURNS int LANGUAGE sql AS 'INSERT INTO ev VALUES ($1, ''j'') RETURNING id';
SELECT add_row(n) FROM generate_series(200, 220, 10) n;
DO $$ BEGIN EXECUTE 'EXPLAIN ANALYZE INSERT INTO ev VALUES (235, ''k'')'; END $$;
EXPLAIN (COSTS OFF) INSERT INTO ev VALUES (245, 'k');
SELECT parts('ev');
SELECT count(*), min(id), max(id) FROM ev;

-- the partition stays, the row does not
BEGIN;
SAVEPOINT s;
INSERT INTO ev VALUES (255, 'l');
ROLLBACK TO s;
INSERT INTO ev VALUES (256, 'l');
ROLLBACK;
INSERT INTO ev SELECT n, (1 / (n - 285))::text FROM generate_series(265, 285, 10) n;
SELECT to_regclass('ev_p250'), to_regclass('ev_p260'), count(*) FROM ev WHERE id >= 250;

-- the isolation levels
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM ev WHERE id > 300;
INSERT INTO ev VALUES (305, 'm') RETURNING tableoid::regclass;
SELECT count(*) FROM ev WHERE id > 300;
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
INSERT INTO ev VALUES (315, 'm') RETURNING tableoid::regclass;
INSERT INTO ev VALUES (316, 'm');
COMMIT;

-- triggers and transition tables see what there is
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_LEVEL = 'ROW' THEN
		RAISE NOTICE '% % row %', TG_WHEN, TG_OP, coalesce(new.id, old.id);
		RETURN new;
	ELSIF TG_WHEN = 'AFTER' THEN
		RAISE NOTICE 'AFTER % statement of % rows', TG_OP, (SELECT count(*) FROM fresh);
	ELSE
		RAISE NOTICE '% % statement', TG_WHEN, TG_OP;
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER b_row BEFORE INSERT ON ev FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER a_row AFTER INSERT ON ev FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER b_stmt BEFORE INSERT ON ev FOR EACH STATEMENT EXECUTE FUNCTION note();
CREATE TRIGGER a_stmt AFTER INSERT ON ev REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION note();
INSERT INTO ev VALUES (317, 'n'), (325, 'n'), (335, 'n');
COPY ev FROM STDIN;
337	o
345	o
347	o
\.
DROP TRIGGER b_row ON ev;
DROP TRIGGER a_row ON ev;
DROP TRIGGER b_stmt ON ev;
DROP TRIGGER a_stmt ON ev;

-- a trigger that brings rows for other partitions of the same set
CREATE FUNCTION echo() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF new.v = 'echo' THEN
		INSERT INTO ev VALUES (new.id + 10, 'echoed');
	END IF;
	RETURN new;
END $$;
CREATE TRIGGER echo BEFORE INSERT ON ev FOR EACH ROW EXECUTE FUNCTION echo();
INSERT INTO ev VALUES (355, 'echo'), (375, 'echo');
SELECT tableoid::regclass, * FROM ev WHERE id > 350 ORDER BY id;
DROP TRIGGER echo ON ev;

-- UPDATE that moves rows
UPDATE ev SET id = id + 1000 WHERE id IN (1, 25) RETURNING tableoid::regclass, id;
UPDATE ev SET v = 'p', id = id + 20 WHERE id >= 1025;
UPDATE ev SET v = 'q' WHERE id = 2;
SELECT tableoid::regclass, * FROM ev WHERE id > 1000 ORDER BY id;

-- MERGE
CREATE TABLE src (id int, v text);
INSERT INTO src VALUES (2, 'merged'), (1105, 'merged'), (1115, 'merged'), (1205, 'not');
MERGE INTO ev USING src ON ev.id = src.id
	WHEN MATCHED THEN UPDATE SET v = src.v
	WHEN NOT MATCHED AND src.v = 'not' THEN DO NOTHING
	WHEN NOT MATCHED THEN INSERT VALUES (src.id, src.v);
SELECT tableoid::regclass, * FROM ev WHERE v = 'merged' ORDER BY id;
SELECT to_regclass('ev_p1200');
MERGE INTO ev USING src ON ev.id = src.id AND false
	WHEN NOT MATCHED THEN INSERT VALUES (src.id + 200 + (random() * 0)::int, src.v);

-- the limits: far away, infinity and null are core's to refuse
INSERT INTO ev VALUES (100000, 'far');
INSERT INTO ev VALUES (-100000, 'far');
INSERT INTO ev VALUES (NULL, 'null');
MERGE INTO ev USING src ON ev.id = src.id WHEN MATCHED THEN UPDATE SET id = 50000;
UPDATE part_config SET on_demand_window = 2000, retention = '1100' WHERE parent_table = 'ev';
INSERT INTO ev VALUES (-9, 'expired');
UPDATE part_config SET retention = NULL WHERE parent_table = 'ev';
SET partmgr.on_demand_max = 2;
INSERT INTO ev SELECT n, 'many' FROM generate_series(1305, 1335, 10) n;
RESET partmgr.on_demand_max;
SELECT parts('ev') LIKE '%ev_p1310', count(*) FROM ev WHERE v = 'many';

-- a name that is taken
CREATE TABLE ev_p1400 ();
INSERT INTO ev VALUES (1405, 'taken');
DROP TABLE ev_p1400;
SET partmgr.on_demand_timeout = 300;
BEGIN;
CREATE TABLE ev_p1400 ();
INSERT INTO ev VALUES (1405, 'taken by this transaction');
ROLLBACK;

-- what this transaction has changed
BEGIN;
ALTER TABLE ev ADD COLUMN extra int;
INSERT INTO ev VALUES (1405, 'altered');
ROLLBACK;
BEGIN;
TRUNCATE ev;
INSERT INTO ev VALUES (1405, 'truncated');
ROLLBACK;
BEGIN;
UPDATE part_config SET on_demand_window = 3000 WHERE parent_table = 'ev';
INSERT INTO ev VALUES (1405, 'configured') RETURNING tableoid::regclass;
ROLLBACK;
BEGIN;
UPDATE part_config SET on_demand = false WHERE parent_table = 'ev';
INSERT INTO ev VALUES (1415, 'switched off');
ROLLBACK;
UPDATE part_config SET on_demand = false WHERE parent_table = 'ev';
BEGIN;
UPDATE part_config SET on_demand = true WHERE parent_table = 'ev';
INSERT INTO ev VALUES (1415, 'switched on');
ROLLBACK;
UPDATE part_config SET on_demand = true WHERE parent_table = 'ev';
SET partmgr.on_demand_timeout = '1min';

-- foreign keys: the referenced row comes from the same transaction
CREATE TABLE customer (id int PRIMARY KEY);
CREATE TABLE ord (id int NOT NULL, customer int REFERENCES customer) PARTITION BY RANGE (id);
SET client_min_messages = error;
SELECT create_parent('ord', 'id', '10', p_premake => 1, p_start_partition => '0', p_default_table => false, p_on_demand => true);
RESET client_min_messages;
BEGIN;
INSERT INTO customer VALUES (1);
INSERT INTO ord VALUES (55, 1) RETURNING tableoid::regclass;
COMMIT;
INSERT INTO ord VALUES (65, 2);
BEGIN;
TRUNCATE customer CASCADE;
INSERT INTO customer VALUES (1);
INSERT INTO ord VALUES (75, 1);
ROLLBACK;
BEGIN;
ALTER TABLE customer ADD COLUMN name text;
INSERT INTO ord VALUES (75, 1);
ROLLBACK;
SELECT parts('ord');

-- COPY: columns, defaults, generated and identity columns, WHERE, formats
CREATE TABLE cp (n int GENERATED BY DEFAULT AS IDENTITY, gone int, id int NOT NULL, twice int GENERATED ALWAYS AS (id * 2) STORED,
	"we""ird col" text DEFAULT 'dflt', at date DEFAULT '2026-01-01') PARTITION BY RANGE (id);
ALTER TABLE cp DROP COLUMN gone;
SET client_min_messages = error;
SELECT create_parent('cp', 'id', '10', p_premake => 1, p_start_partition => '0', p_default_table => false, p_on_demand => true);
RESET client_min_messages;
COPY cp (id) FROM STDIN;
1
25
\.
COPY cp (id, "we""ird col") FROM STDIN (FORMAT csv, HEADER) WHERE id <> 45;
id,x
35,"a,b"
45,no
2,yes
\.
COPY cp (id) FROM STDIN;
55
x
\.
SELECT tableoid::regclass, * FROM cp ORDER BY id;
SELECT to_regclass('cp_p40');
COPY cp (id) FROM STDIN;
1000000
\.
COPY (SELECT id + 60 FROM cp WHERE id < 30) TO PROGRAM 'cat > /dev/null';
SELECT pg_catalog.partmgr_copy_covers(1, 1);
SELECT pg_catalog.partmgr_copy_divert(NULL, ROW(1));
-- not even with a COPY around it
COPY cp (id) FROM STDIN WHERE pg_catalog.partmgr_copy_covers(1, 'text'::text);
95
\.
COPY cp (id) FROM STDIN WHERE pg_catalog.partmgr_copy_divert(1, ROW(id));
95
\.
COPY cp (id) FROM STDIN WHERE pg_catalog.partmgr_copy_divert(NULL, ROW(n, id, 'forged'::text, at));
95
\.
CREATE RULE nothing AS ON INSERT TO cp WHERE new.id > 1000 DO INSTEAD NOTHING;
COPY cp (id) FROM STDIN;
95
\.
DROP RULE nothing ON cp;

-- whoever may insert needs no other right, and the partition is the owner's
CREATE ROLE ondemand_owner;
CREATE ROLE ondemand_user;
GRANT ALL ON SCHEMA ondemand_test TO ondemand_owner;
GRANT USAGE ON SCHEMA ondemand_test TO ondemand_user;
SET ROLE ondemand_owner;
CREATE TABLE mine (id int NOT NULL, v text, secret text DEFAULT 'default') PARTITION BY RANGE (id);
SET client_min_messages = error;
SELECT create_parent('mine', 'id', '10', p_premake => 1, p_start_partition => '0', p_default_table => false, p_on_demand => true);
RESET client_min_messages;
GRANT INSERT (id, v) ON mine TO ondemand_user;
SET ROLE ondemand_user;
INSERT INTO mine (id, v) VALUES (35, 'x');
COPY mine (id, v) FROM STDIN;
1	x
45	x
\.
COPY mine FROM STDIN;
\.
SELECT count(*) FROM mine;
INSERT INTO mine (id) VALUES (100000);
RESET ROLE;
SELECT tableoid::regclass, pg_get_userbyid((SELECT relowner FROM pg_class c WHERE c.oid = mine.tableoid)), * FROM mine ORDER BY id;

-- sets that are part of another table
CREATE TABLE top (region text NOT NULL, id int NOT NULL) PARTITION BY LIST (region);
CREATE TABLE eu (id int NOT NULL, region text NOT NULL) PARTITION BY RANGE (id);
ALTER TABLE top ATTACH PARTITION eu FOR VALUES IN ('eu');
CREATE TABLE us PARTITION OF top FOR VALUES IN ('us') PARTITION BY RANGE (id);
SET client_min_messages = error;
SELECT create_parent('eu', 'id', '10', p_premake => 1, p_start_partition => '0', p_default_table => false, p_on_demand => true);
SELECT create_parent('us', 'id', '100', p_premake => 1, p_start_partition => '0', p_default_table => false, p_on_demand => true);
RESET client_min_messages;
INSERT INTO top VALUES ('eu', 55), ('us', 355), ('eu', 57) RETURNING tableoid::regclass, *;
INSERT INTO eu VALUES (65, 'eu') RETURNING tableoid::regclass, *;
COPY top FROM STDIN;
eu	75
us	455
eu	56
\.
INSERT INTO eu VALUES (85, 'us');
INSERT INTO top VALUES ('asia', 1);
SELECT tableoid::regclass, * FROM top ORDER BY region, id;

-- LIST, numeric and date keys
CREATE TABLE li (id int NOT NULL) PARTITION BY LIST (id);
CREATE TABLE nu (id numeric NOT NULL) PARTITION BY RANGE (id);
SET client_min_messages = error;
SELECT create_parent('li', 'id', '1', 'list', p_premake => 1, p_start_partition => '0', p_default_table => false, p_on_demand => true);
SELECT create_parent('nu', 'id', '10', p_premake => 1, p_start_partition => '0', p_default_table => false, p_on_demand => true);
RESET client_min_messages;
INSERT INTO li VALUES (5), (7), (0) RETURNING tableoid::regclass;
INSERT INTO nu VALUES (35.5), (-0.5), (39.99) RETURNING tableoid::regclass;
INSERT INTO nu VALUES ('NaN');
COPY nu FROM STDIN;
49.999
\.
SELECT parts('li'), parts('nu');

-- what it looks like: the log, and the health summary
SELECT action, partition_name, range, message FROM part_log WHERE parent_table = 'li'::regclass ORDER BY id;
SELECT notes FROM partition_health_summary('li');
-- while there is no row, the distance is that to the partitions
CREATE TABLE em (id int NOT NULL) PARTITION BY RANGE (id);
SET client_min_messages = error;
SELECT create_parent('em', 'id', '10', p_premake => 1, p_start_partition => '0', p_default_table => false, p_on_demand => true);
RESET client_min_messages;
INSERT INTO em VALUES (100000);
INSERT INTO em VALUES (-100000);
INSERT INTO em VALUES (1000) RETURNING tableoid::regclass;
SELECT status, notes FROM partition_health_summary('em');

CREATE TABLE li_default PARTITION OF li DEFAULT;
SELECT status, problems FROM partition_health_summary('li');
INSERT INTO li VALUES (50) RETURNING tableoid::regclass;

SET client_min_messages = warning;
DROP SCHEMA ondemand_test CASCADE;
DROP EXTENSION partmgr;
DROP ROLE ondemand_owner;
DROP ROLE ondemand_user;
