-- convert_table with p_mode => 'instant': the table becomes the first partition as it
-- is.  What the worker does, and crashes, are tested in test/t/061_instant.pl.

SET client_min_messages = warning;
DROP EXTENSION IF EXISTS partmgr;
CREATE EXTENSION partmgr;
CREATE SCHEMA instant_test;
SET search_path = instant_test, public;
SET timezone = 'UTC';
SET DateStyle = 'ISO, MDY';

-- everything that a table can have, but a unique index without the key
CREATE TABLE refs (id int PRIMARY KEY);
INSERT INTO refs VALUES (1), (2);
CREATE TABLE ev (
	id bigint GENERATED ALWAYS AS IDENTITY (START 100),
	at int,
	gone int,
	ref int REFERENCES refs,
	t text DEFAULT 'x' CONSTRAINT "T is not empty" CHECK (t <> ''),
	twice int GENERATED ALWAYS AS (at * 2) STORED,
	n serial
);
ALTER TABLE ev DROP COLUMN gone;
ALTER TABLE ev ADD CONSTRAINT ev_pkey PRIMARY KEY (id, at);
CREATE INDEX ev_t ON ev (t) WHERE t <> 'x';
CREATE INDEX "by n" ON ev ((n + 1) DESC) INCLUDE (t);
CREATE STATISTICS ev_s ON ref, t FROM ev;
GRANT SELECT ON ev TO PUBLIC;
COMMENT ON TABLE ev IS 'events';
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER each_row BEFORE INSERT ON ev FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER each_statement AFTER UPDATE ON ev EXECUTE FUNCTION note();
ALTER TABLE ev ENABLE ROW LEVEL SECURITY;
CREATE POLICY few ON ev FOR SELECT USING (n > 0);
CREATE VIEW looks AS SELECT id, at, t FROM ev;
CREATE FUNCTION counts() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM ev; END;
CREATE TABLE points (id bigint, at int, FOREIGN KEY (id, at) REFERENCES ev);
INSERT INTO ev (at, ref) SELECT g, abs(g) % 2 + 1 FROM generate_series(-30, 69) g;
INSERT INTO points SELECT id, at FROM ev LIMIT 3;
CREATE TEMP TABLE before AS SELECT pg_relation_filenode('ev') AS file, sum(hashtext(ev::text)) AS rows FROM ev;

SELECT object, what FROM convert_table_plan('ev', 'at') WHERE NOT is_problem;
CALL convert_table_proc('ev', 'at', '10', p_premake => 3, p_mode => 'instant');
SELECT state, phase, message FROM rewrite_progress;
SELECT action, partition_name, message FROM part_log ORDER BY id;

-- the rows are where they were
SELECT file = pg_relation_filenode('ev_initial') AS same_file, rows = (SELECT sum(hashtext(ev::text)) FROM ev) AS same_rows FROM before;
SELECT partition_name, range, state FROM list_partitions('ev');
\d ev
-- (17 hands down identity)
SELECT attname, attnotnull, CASE WHEN attname <> 'id' THEN pg_get_expr(adbin, adrelid) END AS default FROM pg_attribute
	LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum WHERE attrelid = 'ev_initial'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum;
SELECT indexrelid::regclass, pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'ev_initial'::regclass ORDER BY indexrelid::regclass::text COLLATE "C";
SELECT conname, contype, convalidated, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'ev_initial'::regclass AND contype <> 'n' ORDER BY conname COLLATE "C";
SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'ev_initial'::regclass AND NOT tgisinternal;
SELECT stxname FROM pg_statistic_ext WHERE stxrelid = 'ev_initial'::regclass;
SELECT count(*) AS policies FROM pg_policy WHERE polrelid = 'ev_initial'::regclass;
SELECT relname, (SELECT count(*) FROM aclexplode(relacl) WHERE grantee <> relowner) AS others, relrowsecurity FROM pg_class WHERE relname LIKE 'ev\_initial';
SELECT obj_description('ev'::regclass), counts(), (SELECT count(*) FROM looks);
INSERT INTO ev (at, ref) VALUES (75, 1), (81, 1), (-1000, 1), (2000, 1) RETURNING id, n, at, tableoid::regclass;
SELECT conname, convalidated FROM pg_constraint WHERE conrelid = 'points'::regclass AND conparentid = 0 AND contype = 'f';
INSERT INTO points VALUES (1, 1);
SELECT status, problems FROM partition_health_summary('ev');

-- and it is a set like any other
SELECT split_partition('ev_initial', p_at => ARRAY['0', '50'], p_mode => 'locking');
SELECT partition_name, range FROM list_partitions('ev');

-- what is refused
CREATE TABLE other (id int PRIMARY KEY, at int NOT NULL);
CALL convert_table_proc('other', 'at', '10', p_mode => 'instant');
SELECT convert_table('other', 'at', '10', p_mode => 'at once');
CREATE TABLE "Other" (id int, at int NOT NULL);
CALL convert_table_proc('"Other"', 'at', '1', p_type => 'list', p_mode => 'instant');
CREATE TABLE "Other_initial" ();
CALL convert_table_proc('"Other"', 'at', '10', p_mode => 'instant');
DROP TABLE "Other_initial";
INSERT INTO "Other" VALUES (1, 2147483640);
CALL convert_table_proc('"Other"', 'at', '10', p_mode => 'instant');
CREATE TABLE far (at timestamptz NOT NULL);
INSERT INTO far VALUES ('infinity');
CALL convert_table_proc('far', 'at', '1 day', p_mode => 'instant');
CREATE TABLE someday (at timestamptz NOT NULL);
INSERT INTO someday VALUES ('9999-12-31');
CALL convert_table_proc('someday', 'at', '1 day', p_mode => 'instant');
-- names that are as long as can be
CREATE TABLE long (at int NOT NULL, n int);
DO $$ BEGIN FOR i IN 1 .. 2 LOOP EXECUTE format('CREATE INDEX %I ON long (n, at)', repeat('b', 62) || i); END LOOP; END $$;
CALL convert_table_proc('long', 'at', '10', p_mode => 'instant');
SELECT indexrelid::regclass FROM pg_index WHERE indrelid IN ('long'::regclass, 'long_initial'::regclass) ORDER BY indexrelid::regclass::text COLLATE "C";
-- the key is only carried along by a unique index
CREATE TABLE along (id int, at int NOT NULL);
CREATE UNIQUE INDEX along_id ON along (id) INCLUDE (at);
SELECT convert_table('along', 'at', '10', p_mode => 'locking');
\d along
-- without any index, without any row
DELETE FROM "Other";
CALL convert_table_proc('"Other"', 'at', '10', p_default_table => false, p_mode => 'instant');
SELECT partition_name, range FROM list_partitions('"Other"');
SELECT conname FROM pg_constraint WHERE conname LIKE 'partmgr\_%' AND contype = 'c'
UNION ALL SELECT relname FROM pg_class WHERE relname LIKE 'partmgr\_rewrite\_%' ORDER BY 1;

DROP SCHEMA instant_test CASCADE;
DROP EXTENSION partmgr;
