-- template tables: what new partitions take from them, whose they are, and what
-- happens when they are of no use

SET client_min_messages = warning;
CREATE SCHEMA partman;
CREATE EXTENSION partmgr SCHEMA partman;
CREATE SCHEMA template_test;
SET search_path = template_test, public;
\set VERBOSITY terse

-- a table as the catalogs have it: persistence, storage parameters, indexes
CREATE VIEW look AS
	SELECT c.oid::regclass::text AS name, c.relpersistence AS kept,
		array_to_string(c.reloptions || (SELECT array_agg('toast.' || o) FROM pg_class t, unnest(t.reloptions) o WHERE t.oid = c.reltoastrelid), ' ') AS storage,
		(SELECT string_agg(concat(CASE WHEN x.indisprimary THEN 'PK ' WHEN k.oid IS NOT NULL THEN 'UC ' END,
				regexp_replace(pg_get_indexdef(x.indexrelid), '^.*? USING ', ''), ' in ' || s.spcname,
				CASE WHEN k.condeferrable THEN ' DEFERRABLE' END), ' | ' ORDER BY x.indisprimary DESC, pg_get_indexdef(x.indexrelid))
			FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid LEFT JOIN pg_tablespace s ON s.oid = i.reltablespace
				LEFT JOIN pg_constraint k ON k.conindid = x.indexrelid AND k.conrelid = c.oid AND k.contype IN ('p', 'u')
			WHERE x.indrelid = c.oid) AS indexes
	FROM pg_class c WHERE c.relkind IN ('r', 'p');

--
-- The one that a set gets by itself
--

CREATE ROLE regress_template_owner;
GRANT USAGE, CREATE ON SCHEMA template_test TO regress_template_owner;
CREATE TABLE ids (id bigint NOT NULL, device int NOT NULL DEFAULT 5, "Odd ""name" text, gen int GENERATED ALWAYS AS (device + 1) STORED)
	PARTITION BY RANGE (id);
ALTER TABLE ids OWNER TO regress_template_owner;
SELECT partman.create_parent('template_test.ids', 'id', '10', p_premake => 1, p_start_partition => '0');
SELECT template_table FROM partman.part_config;
SELECT tableowner FROM pg_tables WHERE tablename = 'template_template_test_ids';
SELECT attname, atttypid::regtype, attnotnull, atthasdef FROM pg_attribute
	WHERE attrelid = 'partman.template_template_test_ids'::regclass AND attnum > 0 ORDER BY attnum;
SELECT * FROM look WHERE name ~ '^ids_' ORDER BY name;

-- its owner needs rights on the schema to put indexes on it
GRANT USAGE, CREATE ON SCHEMA partman TO regress_template_owner;
SET SESSION AUTHORIZATION regress_template_owner;
ALTER TABLE partman.template_template_test_ids ADD PRIMARY KEY (device, "Odd ""name") INCLUDE (gen) WITH (fillfactor = 60);
CREATE UNIQUE INDEX ON partman.template_template_test_ids (lower("Odd ""name") DESC) INCLUDE (device) WITH (fillfactor = 70)
	WHERE "Odd ""name" <> ' USING it''s';
ALTER TABLE partman.template_template_test_ids ADD UNIQUE (gen) DEFERRABLE INITIALLY DEFERRED;
CREATE INDEX ON partman.template_template_test_ids (device);
ALTER TABLE partman.template_template_test_ids SET (fillfactor = 80, autovacuum_enabled = false, toast.autovacuum_vacuum_threshold = 77);
RESET SESSION AUTHORIZATION;

-- a plan shows it all
SELECT sql FROM partman.maintenance_plan('template_test.ids');
INSERT INTO ids VALUES (5), (15);
SELECT sql FROM partman.maintenance_plan('template_test.ids') ORDER BY partition_name;
SELECT partman.run_maintenance('template_test.ids');
SELECT * FROM look WHERE name ~ '^ids_' ORDER BY name;
SELECT pg_get_userbyid(relowner), relname FROM pg_class WHERE relname = 'ids_p20';
INSERT INTO ids VALUES (21, 1, 'a'), (22, 1, 'a');
INSERT INTO ids VALUES (21, 1, 'a'), (16, 1, 'a');

-- what the parent has is not made twice; a table has one primary key
ALTER TABLE ids ADD PRIMARY KEY (id);
CREATE UNIQUE INDEX ON ids (id, device);
CREATE UNIQUE INDEX ON partman.template_template_test_ids (id, device);
SELECT partman.run_maintenance('template_test.ids');
SELECT * FROM look WHERE name = 'ids_p30';

-- a given default gets nothing, one that is made does
ALTER TABLE partman.template_template_test_ids RESET (fillfactor);
ALTER TABLE partman.template_template_test_ids SET UNLOGGED;
DROP TABLE ids_default;
CREATE TABLE other (LIKE ids) PARTITION BY RANGE (id);
ALTER TABLE other OWNER TO regress_template_owner;
SELECT partman.create_parent('template_test.other', 'id', '10', p_premake => 1, p_start_partition => '0',
	p_template_table => 'partman.template_template_test_ids');
SELECT name, kept, storage, indexes FROM look WHERE name ~ '^other_' ORDER BY name;

-- a call for what was made by hand
CREATE TABLE other_p20 (LIKE other);
ALTER TABLE other_p20 OWNER TO regress_template_owner;
SELECT partman.inherit_template_properties('template_test.other', 'template_test', 'other_p20');
SELECT * FROM look WHERE name = 'other_p20';
SELECT partman.inherit_template_properties('template_test.other', 'template_test', 'other_p20');
SELECT * FROM look WHERE name = 'other_p20';
CREATE TABLE parted (LIKE other) PARTITION BY RANGE (id);
SELECT partman.inherit_template_properties('template_test.other', 'template_test', 'parted');

--
-- It goes with the set, if nobody else uses it
--

SELECT partman.config_cleanup('template_test.ids');
SELECT to_regclass('partman.template_template_test_ids');
SELECT partman.config_cleanup('template_test.other');
SELECT to_regclass('partman.template_template_test_ids');

-- one with rows, or that something depends on, stays, and is taken again
SELECT partman.create_parent('template_test.other', 'id', '10', p_premake => 1, p_default_table => false);
INSERT INTO partman.template_template_test_other VALUES (1, 1);
SET client_min_messages = notice;
SELECT partman.config_cleanup('template_test.other');
SELECT partman.create_parent('template_test.other', 'id', '10', p_premake => 1, p_default_table => false);
DELETE FROM partman.template_template_test_other;
VACUUM (TRUNCATE) partman.template_template_test_other;
CREATE VIEW needs AS SELECT id FROM partman.template_template_test_other;
SELECT partman.config_cleanup('template_test.other');
DROP VIEW needs;
DROP TABLE partman.template_template_test_other;
SET client_min_messages = warning;

-- none at all
SELECT partman.create_parent('template_test.other', 'id', '10', p_premake => 1, p_default_table => false, p_template_table => 'false');
SELECT template_table FROM partman.part_config;
SELECT partman.inherit_template_properties('template_test.other', 'template_test', 'other_p20');
SELECT partman.config_cleanup('template_test.other');
SELECT partman.create_parent('template_test.other', 'id', '10', p_premake => 1, p_default_table => false, p_template_table => 'f');
SELECT partman.config_cleanup('template_test.other');

-- a name that is taken: by a stranger, by another set's, by a type; long ones
CREATE TABLE partman.template_template_test_other (x int);
CREATE TYPE partman.template_template_test_other_1 AS (x int);
SELECT partman.create_parent('template_test.other', 'id', '10', p_premake => 1, p_default_table => false);
SELECT template_table FROM partman.part_config;
ALTER TABLE other RENAME TO earlier;
CREATE TABLE other (LIKE earlier) PARTITION BY RANGE (id);
SELECT partman.create_parent('template_test.other', 'id', '10', p_premake => 1, p_start_partition => '100', p_default_table => false);
SELECT parent_table, template_table FROM partman.part_config ORDER BY 2;
CREATE TABLE a_name_that_is_so_long_that_nothing_can_be_put_before_it_éééé (id int NOT NULL) PARTITION BY RANGE (id);
SELECT partman.create_parent('template_test.a_name_that_is_so_long_that_nothing_can_be_put_before_it_éééé', 'id', '10', p_premake => 1, p_start_partition => '0', p_default_table => false);
SELECT template_table, octet_length(template_table::text) - octet_length('partman.') AS bytes FROM partman.part_config
	WHERE parent_table = 'template_test.a_name_that_is_so_long_that_nothing_can_be_put_before_it_éééé'::regclass;

--
-- One of the user's own
--

CREATE TABLE mine (LIKE earlier);
CREATE UNIQUE INDEX ON mine (device);
CREATE TABLE strange (id bigint, unknown int);
CREATE UNIQUE INDEX ON strange (unknown);
CREATE VIEW v AS SELECT 1 AS id;
CREATE TEMP TABLE passing (id bigint);
CREATE ROLE regress_template_other;
GRANT ALL ON SCHEMA template_test, partman TO regress_template_other;
CREATE TABLE theirs (LIKE earlier);
ALTER TABLE theirs OWNER TO regress_template_other;
CREATE TABLE dbas (LIKE earlier);

-- refused
CREATE TABLE n (LIKE earlier) PARTITION BY RANGE (id);
ALTER TABLE n OWNER TO regress_template_owner;
SELECT partman.create_parent('template_test.n', 'id', '10', p_template_table => 'template_test.nowhere');
SELECT partman.create_parent('template_test.n', 'id', '10', p_template_table => 'template_test.strange');
SELECT partman.create_parent('template_test.n', 'id', '10', p_template_table => 'template_test.v');
SELECT partman.create_parent('template_test.n', 'id', '10', p_template_table => 'template_test.n');
SELECT partman.create_parent('template_test.n', 'id', '10', p_template_table => 'template_test.ids_p0');
DO $$ BEGIN PERFORM partman.create_parent('template_test.n', 'id', '10', p_template_table => 'pg_temp.passing');
EXCEPTION WHEN wrong_object_type THEN RAISE WARNING 'a temporary table: %', substring(SQLERRM, 'is temporary'); END $$;
SELECT partman.create_parent('template_test.n', 'id', '10', p_template_table => 'template_test.theirs');
SET SESSION AUTHORIZATION regress_template_owner;
SELECT partman.create_parent('template_test.n', 'id', '10', p_template_table => 'template_test.theirs');
RESET SESSION AUTHORIZATION;
SELECT count(*) FROM partman.part_config WHERE parent_table = 'template_test.n'::regclass;

-- of a role that the owner of the set belongs to, or of one who can be him anyway
GRANT regress_template_other TO regress_template_owner;
SELECT partman.create_parent('template_test.n', 'id', '10', p_premake => 1, p_start_partition => '0', p_default_table => false,
	p_template_table => 'template_test.theirs');
UPDATE partman.part_config SET template_table = 'template_test.dbas' WHERE parent_table = 'template_test.n'::regclass;
UPDATE partman.part_config SET template_table = 'template_test.theirs' WHERE parent_table = 'template_test.n'::regclass;
UPDATE partman.part_config SET template_table = 'template_test.strange' WHERE parent_table = 'template_test.n'::regclass;
UPDATE partman.part_config SET template_table = 4294967295 WHERE parent_table = 'template_test.n'::regclass;

-- a set of a superuser takes nothing of others, whoever he belongs to
CREATE TABLE supers (LIKE earlier) PARTITION BY RANGE (id);
SELECT partman.create_parent('template_test.supers', 'id', '10', p_template_table => 'template_test.theirs');

-- renamed, and moved: it is still the same
ALTER TABLE theirs RENAME TO "Their own";
CREATE UNIQUE INDEX "an index" ON "Their own" (device, lower("Odd ""name"));
INSERT INTO n VALUES (5, 1);
SELECT partman.run_maintenance('template_test.n');
SELECT * FROM look WHERE name ~ '^n_p' ORDER BY name;

-- not trusted any more; a column that the set has not; gone
REVOKE regress_template_other FROM regress_template_owner;
INSERT INTO n VALUES (15, 1);
SELECT partman.run_maintenance('template_test.n');
SELECT notes FROM partman.partition_health_summary('template_test.n');
GRANT regress_template_other TO regress_template_owner;
ALTER TABLE "Their own" ADD COLUMN extra int;
CREATE UNIQUE INDEX "on extra" ON "Their own" (extra);
INSERT INTO n VALUES (25, 1);
SELECT partman.run_maintenance('template_test.n');
SELECT notes FROM partman.partition_health_summary('template_test.n');
SELECT * FROM look WHERE name ~ '^n_p[34]0' ORDER BY name;
DROP TABLE "Their own";
SELECT template_table FROM partman.part_config WHERE parent_table = 'template_test.n'::regclass;
INSERT INTO n VALUES (35, 1);
SELECT partman.run_maintenance('template_test.n');

-- where nobody has heard of the drop
UPDATE partman.part_config SET template_table = 'template_test.mine' WHERE parent_table = 'template_test.other'::regclass;
ALTER EVENT TRIGGER partmgr_forget DISABLE;
DROP TABLE mine;
ALTER EVENT TRIGGER partmgr_forget ENABLE;
INSERT INTO other VALUES (115, 1);
SELECT partman.run_maintenance('template_test.other');
SELECT status, notes FROM partman.partition_health_summary('template_test.other');
UPDATE partman.part_config SET premake = 2 WHERE parent_table = 'template_test.other'::regclass;
UPDATE partman.part_config SET template_table = NULL WHERE parent_table = 'template_test.other'::regclass;
SELECT notes FROM partman.partition_health_summary('template_test.other');

--
-- Partitions that are made in other ways
--

CREATE TABLE ways (id bigint NOT NULL, device int) PARTITION BY RANGE (id);
SELECT partman.create_parent('template_test.ways', 'id', '10', p_premake => 1, p_start_partition => '0');
ALTER TABLE partman.template_template_test_ways ADD PRIMARY KEY (device);
ALTER TABLE partman.template_template_test_ways SET (fillfactor = 50);

-- rows are moved out of the default
INSERT INTO ways VALUES (5, 1), (25, 1), (26, 2), (45, 1);
CALL partman.partition_data_proc('template_test.ways', p_quiet => true);
SELECT * FROM look WHERE name ~ '^ways_' ORDER BY name;

-- a rewrite: drained ones are new, of those that are rewritten each keeps its own
INSERT INTO ways VALUES (75, 1), (76, 2);
CALL partman.drain_default_proc('template_test.ways', p_mode => 'locking');
SELECT * FROM look WHERE name ~ '^ways_p7' ORDER BY name;
CALL partman.split_partition_proc('template_test.ways_p70', '5', p_mode => 'locking');
CALL partman.merge_partitions_proc('template_test.ways', '0', '20', p_mode => 'locking');
SELECT * FROM look WHERE name ~ '^ways_p(0|10|7.*)$' ORDER BY name;

-- and the set is let go
CALL partman.unpartition_proc('template_test.ways', p_mode => 'locking');
SELECT to_regclass('partman.template_template_test_ways'), count(*) FROM ways;

-- those of sub-sets, which share it; a partition that is partitioned gets nothing
CREATE TABLE tops (id bigint NOT NULL, sub int NOT NULL, v text) PARTITION BY RANGE (id);
SELECT partman.create_parent('template_test.tops', 'id', '100', p_premake => 1, p_start_partition => '0', p_default_table => false);
ALTER TABLE partman.template_template_test_tops SET (fillfactor = 44);
CREATE UNIQUE INDEX ON partman.template_template_test_tops (v);
SELECT partman.create_sub_partition('template_test.tops', 'sub', '10', p_premake => 1, p_start_partition => '0', p_declarative_check => 'yes', p_default_table => false);
SELECT sub_template_table FROM partman.part_config_sub;
SELECT DISTINCT template_table FROM partman.part_config WHERE parent_table::text ~ '^tops';
SELECT * FROM look WHERE name ~ '^tops' ORDER BY name;
DROP TABLE partman.template_template_test_tops;
SELECT sub_template_table FROM partman.part_config_sub;
INSERT INTO tops VALUES (50, 5), (150, 5);
SELECT partman.run_maintenance('template_test.tops');
SELECT * FROM look WHERE name ~ '^tops_p200' ORDER BY name;

-- dropped with its set: as it was made, and by nobody else needed
CREATE TABLE going (id bigint NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE going2 (LIKE going) PARTITION BY RANGE (id);
SELECT partman.create_parent('template_test.going', 'id', '10', p_start_partition => '0');
SELECT partman.create_parent('template_test.going2', 'id', '10', p_start_partition => '0', p_template_table => 'partman.template_template_test_going');
DROP TABLE going;
SELECT to_regclass('partman.template_template_test_going');
DROP TABLE going2;
SELECT to_regclass('partman.template_template_test_going');
CREATE TABLE going3 (id bigint NOT NULL) PARTITION BY RANGE (id);
SELECT partman.create_parent('template_test.going3', 'id', '10', p_start_partition => '0');
DROP TABLE going3;
SELECT to_regclass('partman.template_template_test_going3');

SET client_min_messages = error;
DROP SCHEMA template_test CASCADE;
DROP EXTENSION partmgr;
DROP SCHEMA partman CASCADE;
DROP ROLE regress_template_owner, regress_template_other;
