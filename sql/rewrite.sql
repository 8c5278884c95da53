-- Rows of a set go to other partitions: the default is drained, partitions are
-- split, merged, compressed, and a set becomes a plain table.  What a worker does
-- is tested in test/t.

SET client_min_messages = warning;
DROP EXTENSION IF EXISTS partmgr;
CREATE EXTENSION partmgr;
CREATE SCHEMA rewrite_test;
SET search_path = rewrite_test, public;
SET timezone = 'UTC';
SET DateStyle = 'ISO, MDY';

-- partitions, and how many rows are in them
CREATE FUNCTION parts(parent regclass) RETURNS TABLE (partition_name regclass, range text, keys bigint) LANGUAGE plpgsql AS $$
BEGIN
	FOR partition_name, range IN SELECT p.partition_name, p.range FROM list_partitions(parent) p LOOP
		EXECUTE format('SELECT count(*) FROM %s', partition_name) INTO keys;
		RETURN NEXT;
	END LOOP;
END $$;
-- rows, and their sum
CREATE FUNCTION rows(t regclass) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE format('SELECT count(*) || '' '' || md5(string_agg(x::text, '','' ORDER BY x::text COLLATE "C")) FROM %s x', t) INTO result;
	RETURN result;
END $$;
-- is all that was to be kept what it was?
CREATE TABLE kept (t text PRIMARY KEY, rows text);
CREATE FUNCTION keep(t text) RETURNS void LANGUAGE sql AS $$ INSERT INTO kept VALUES (t, rows(t::regclass)) ON CONFLICT ON CONSTRAINT kept_pkey DO UPDATE SET rows = EXCLUDED.rows $$;
CREATE FUNCTION is_kept(t text) RETURNS boolean LANGUAGE sql AS $$ SELECT k.rows = rows(k.t::regclass) FROM kept k WHERE k.t = is_kept.t $$;
-- names of a partition's indexes and constraints
CREATE FUNCTION named(t regclass) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(what, ', ' ORDER BY what COLLATE "C") FROM (SELECT indexrelid::regclass::text || CASE WHEN indisreplident THEN ' (identity)' ELSE '' END FROM pg_index WHERE indrelid = t
		UNION SELECT conname FROM pg_constraint WHERE conrelid = t AND contype NOT IN ('n')) x(what) $$;
-- what is left of a rewrite: nothing
CREATE VIEW remains AS
	SELECT 'relation ' || relname AS what FROM pg_class WHERE relname LIKE 'partmgr\_rewrite%'
	UNION ALL SELECT 'trigger ' || tgname FROM pg_trigger WHERE tgname LIKE 'partmgr\_rewrite%'
	UNION ALL SELECT 'constraint ' || conname FROM pg_constraint WHERE conname LIKE 'partmgr\_%'
	UNION ALL SELECT 'statistics ' || stxname FROM pg_statistic_ext WHERE stxname LIKE 'partmgr\_%';

--
-- the default is drained
--

CREATE TABLE ev (id int PRIMARY KEY, v text, n int) PARTITION BY RANGE (id);
CREATE INDEX ev_n ON ev (n);
SELECT create_parent('ev', 'id', '10', p_premake => 1, p_start_partition => '0', p_automatic_maintenance => 'off');
INSERT INTO ev SELECT n, 'v' || n, n % 3 FROM generate_series(1, 95, 7) n;
INSERT INTO ev VALUES (-5), (-25), (251);
CREATE TABLE refers (id int CONSTRAINT refers_fk REFERENCES ev);
COMMENT ON CONSTRAINT refers_fk ON refers IS 'it''s said';
INSERT INTO refers SELECT id FROM ev;
SELECT keep('ev');
CALL drain_default_proc('ev');
SELECT * FROM parts('ev');
SELECT is_kept('ev');
SELECT named('ev_p90');
SELECT conname, convalidated, pg_get_constraintdef(oid), obj_description(oid, 'pg_constraint') FROM pg_constraint WHERE confrelid = 'ev'::regclass AND conparentid = 0;
SELECT * FROM remains;
SELECT action, partition_name, range, message FROM part_log WHERE action = 'drain' ORDER BY id;
SELECT id, parent_table, kind, options, state, phase, units, rows_done, message FROM rewrite_progress;
-- nothing is in it any more
CALL drain_default_proc('ev'::regclass, p_policy => 'fast');
SELECT count(*) FROM list_partitions('ev');
\set VERBOSITY sqlstate
INSERT INTO refers VALUES (3);
DELETE FROM ev WHERE id = 251;
\set VERBOSITY default
DROP TABLE refers;

-- what has no partition stays
CREATE TABLE times (at timestamptz, v int, UNIQUE (v, at)) PARTITION BY RANGE (at);
SELECT create_parent('times', 'at', '1 year', p_premake => 1, p_start_partition => '2020-01-01', p_time_zone => 'UTC', p_control_not_null => false, p_automatic_maintenance => 'off');
INSERT INTO times VALUES (NULL, 1), ('infinity', 2), ('-infinity', 3), ('2017-06-01', 4), ('2019-12-31 23:59:59.999999', 5), ('2020-01-01', 6);
SELECT keep('times');
CALL drain_default_proc('times', p_mode => 'locking');
SELECT * FROM parts('times') LIMIT 3;
SELECT at FROM times_default ORDER BY at;
SELECT is_kept('times');
-- LIST
CREATE TABLE kinds (kind int, v int, PRIMARY KEY (kind, v)) PARTITION BY LIST (kind);
SELECT create_parent('kinds', 'kind', '1', p_type => 'list', p_premake => 1, p_start_partition => '1', p_automatic_maintenance => 'off');
INSERT INTO kinds VALUES (1, 1), (2, 2), (5, 3), (5, 4), (-1, 5);
SELECT keep('kinds');
CALL drain_default_proc('kinds');
SELECT * FROM parts('kinds');
SELECT is_kept('kinds');
SELECT * FROM remains;

--
-- split, merge
--

CREATE TABLE sp (id int NOT NULL, v text DEFAULT 'x', g int GENERATED ALWAYS AS (id * 2) STORED, CONSTRAINT sp_pk PRIMARY KEY (id), CONSTRAINT sp_check CHECK (id >= 0)) PARTITION BY RANGE (id);
CREATE INDEX sp_v ON sp (v);
SELECT create_parent('sp', 'id', '100', p_premake => 1, p_start_partition => '0', p_default_table => false, p_automatic_maintenance => 'off');
INSERT INTO sp SELECT n, n FROM generate_series(0, 99) n;
CREATE UNIQUE INDEX own_unique ON sp_p0 (v, id);
CREATE INDEX sp_p0_own ON sp_p0 (g) WHERE g > 10;
ALTER TABLE sp_p0 SET (fillfactor = 50, autovacuum_enabled = off, toast.autovacuum_enabled = off);
ALTER TABLE sp REPLICA IDENTITY USING INDEX sp_pk;
ALTER TABLE sp_p0 REPLICA IDENTITY USING INDEX sp_p0_pkey;
SELECT keep('sp');
CALL split_partition_proc('sp_p0', '25');
SELECT * FROM parts('sp');
SELECT named(partition_name) FROM list_partitions('sp');
SELECT c.reloptions, t.reloptions FROM pg_class c JOIN pg_class t ON t.oid = c.reltoastrelid WHERE c.relname = 'sp_p25';
SELECT is_kept('sp');
CALL split_partition_proc('sp_p50'::regclass, p_at => '{51,70}');
BEGIN;
SELECT split_partition('sp_p0', p_at => '{5}', p_mode => 'locking') > 0 AS done;
SELECT * FROM parts('sp');
ROLLBACK;
SELECT * FROM parts('sp');
SELECT is_kept('sp');
-- together again
CALL merge_partitions_proc('sp', '25', '75');
SELECT * FROM parts('sp');
CALL merge_partitions_proc('sp'::regclass, '0', '1000', p_mode => 'locking', p_policy => 'fast');
SELECT * FROM parts('sp');
SELECT named('sp_p0');
SELECT is_kept('sp');
SELECT * FROM remains;
SELECT action, partition_name, range, message FROM part_log WHERE parent_table = 'sp'::regclass AND action IN ('split', 'merge') ORDER BY id;
-- what has an open end can be cut at points, in the words of its calendar
CREATE TABLE wide (at timestamptz PRIMARY KEY) PARTITION BY RANGE (at);
CREATE TABLE wide_old PARTITION OF wide FOR VALUES FROM (MINVALUE) TO ('2020-01-01 05:00+00');
CREATE TABLE wide_2020 PARTITION OF wide FOR VALUES FROM ('2020-01-01 05:00+00') TO ('2021-01-01 05:00+00');
INSERT INTO wide SELECT '2019-01-01 05:00 UTC'::timestamptz + n * interval '1 day' FROM generate_series(-10, 700) n;
SELECT create_parent('wide', 'at', '1 year', p_premake => 1, p_time_zone => 'America/New_York', p_default_table => false, p_automatic_maintenance => 'off');
SELECT keep('wide');
CALL split_partition_proc('wide_old', p_at => '{2018-12-30,2019-01-01}');
CALL split_partition_proc('wide_2020', '3 months');
SELECT * FROM parts('wide') LIMIT 7;
CALL merge_partitions_proc('wide', '2020-01-01', '2020-07-01');
SELECT * FROM parts('wide') LIMIT 5 OFFSET 3;
SELECT is_kept('wide');

--
-- another interval
--

SELECT change_interval('sp', '50') IS NULL AS new_only;
CALL change_interval_proc('sp', '20', p_policy => 'fast');
SELECT partition_interval, name_format FROM part_config WHERE parent_table = 'sp'::regclass;
SELECT * FROM parts('sp');
CALL change_interval_proc('sp', '50', true);
SELECT * FROM parts('sp');
CALL change_interval_proc('sp', '200', true);
SELECT * FROM parts('sp');
BEGIN;
SELECT change_interval('sp', '40', true, p_mode => 'locking') > 0 AS done;
SELECT * FROM parts('sp');
ROLLBACK;
SELECT is_kept('sp');
SELECT kind, state, units, rows_done FROM rewrite_progress WHERE kind = 'interval' ORDER BY id;
-- a name that is too coarse is replaced
CREATE TABLE named_so (at date PRIMARY KEY) PARTITION BY RANGE (at);
CREATE TABLE named_so_2020 PARTITION OF named_so FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE named_so_2021 PARTITION OF named_so FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
INSERT INTO named_so SELECT '2020-01-01'::date + n FROM generate_series(0, 700) n;
SELECT create_parent('named_so', 'at', '1 year', p_premake => 1, p_default_table => false, p_time_zone => 'UTC', p_name_format => '{parent}_{YYYY}', p_automatic_maintenance => 'off', p_start_partition => '2020-01-01');
SELECT keep('named_so');
SET timezone = 'Asia/Tokyo';
CALL change_interval_proc('named_so', '3 months', true);
SET timezone = 'UTC';
SELECT partition_interval, name_format FROM part_config WHERE parent_table = 'named_so'::regclass;
SELECT * FROM parts('named_so') LIMIT 5;
SELECT is_kept('named_so');
SELECT * FROM remains;

--
-- cold partitions are compressed
--

SET default_toast_compression = 'pglz';
CREATE TABLE cold (id int PRIMARY KEY, v text, w text) PARTITION BY RANGE (id);
CREATE INDEX cold_v ON cold (w);
SELECT create_parent('cold', 'id', '10', p_premake => 1, p_start_partition => '0', p_default_table => false, p_automatic_maintenance => 'off');
SELECT count(*) FROM create_future_partitions('cold', 3);
INSERT INTO cold SELECT n, repeat('long ' || n, 2000), 100 - n FROM generate_series(0, 35) n;
CREATE FUNCTION packed() RETURNS TABLE (part regclass, method text, columns text, options text[], firsts text) LANGUAGE sql AS $$
	SELECT c.oid, string_agg(DISTINCT coalesce(pg_column_compression(v), '-'), ' '), (SELECT string_agg(attcompression::text, '' ORDER BY attnum) FROM pg_attribute WHERE attrelid = c.oid AND attnum > 1),
		c.reloptions, (SELECT string_agg(id::text, ' ' ORDER BY x.ctid) FROM rewrite_test.cold x WHERE x.tableoid = c.oid AND x.ctid < '(0,4)')
	FROM rewrite_test.cold JOIN pg_class c ON c.oid = cold.tableoid GROUP BY c.oid, c.reloptions ORDER BY min(id) $$;
SELECT * FROM packed();
SELECT keep('cold');
CALL compress_partitions_proc('cold', '10', p_order_index => 'cold_v');
SELECT * FROM packed();
SELECT named('cold_p0');
SELECT is_kept('cold');
SELECT partition, task, parent_table, detail FROM part_upkeep ORDER BY partition::text COLLATE "C";
SELECT partition_name, range, message = format('%s; size before: %s bytes, after: %s', detail, bytes_before, bytes_after) AS message, bytes = bytes_after AS bytes
	FROM part_log l JOIN part_upkeep ON partition = l.partition_name::regclass AND task = action WHERE action = 'compress' ORDER BY id;
SELECT n = format('2 partitions compressed by lz4: %s bytes, were %s', (SELECT sum(bytes_after) FROM part_upkeep), (SELECT sum(bytes_before) FROM part_upkeep)) AS said FROM partition_health_summary('cold'), unnest(notes) n;
-- the second time there is nothing to do
SELECT string_agg(oid::text, ',' ORDER BY oid) AS tables FROM pg_class WHERE relname LIKE 'cold\_p%' AND relkind = 'r' \gset
CALL compress_partitions_proc('cold', '10', p_order_index => 'rewrite_test.cold_v');
SELECT string_agg(oid::text, ',' ORDER BY oid) = :'tables' AS same FROM pg_class WHERE relname LIKE 'cold\_p%' AND relkind = 'r';
SELECT kind, state, units, rows_done FROM rewrite_progress WHERE kind = 'compress' ORDER BY id;
-- in another manner there is
SELECT compress_partitions('cold', '20', p_method => 'pglz', p_mode => 'locking') > 0 AS done;
SELECT * FROM packed();
SELECT partition, detail FROM part_upkeep ORDER BY partition::text COLLATE "C";
SELECT regexp_replace(n, '[0-9]{2,}', 'n', 'g') AS note FROM partition_health_summary('cold'), unnest(notes) n;
SELECT is_kept('cold');
SELECT * FROM remains;

--
-- what a partition has of its own stays with who takes its place
--

-- all that can be known of a partition, one line each, without its name
CREATE FUNCTION about(t regclass) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT concat_ws(' ', 'column', attname, CASE WHEN attnotnull THEN 'not null' END, pg_get_expr(adbin, adrelid), attstorage, nullif(attcompression, ''),
			nullif(attstattarget, -1), (SELECT string_agg(o, ' ') FROM unnest(attoptions) o WHERE o LIKE 'n\_%'), col_description(t, attnum), (SELECT string_agg(split_part(x::text, '/', 1), ',' ORDER BY x::text) FROM unnest(attacl) x))
		FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum WHERE attrelid = t AND attnum > 0 AND NOT attisdropped
	UNION ALL SELECT concat_ws(' ', 'index', regexp_replace(pg_get_indexdef(indexrelid), '^(.*) ON \S*', '\1'), CASE WHEN indisreplident THEN 'identity' END,
			CASE WHEN indisclustered THEN 'clustered' END, obj_description(indexrelid, 'pg_class'),
			(SELECT string_agg(attnum || '=' || attstattarget, ',') FROM pg_attribute WHERE attrelid = indexrelid AND attstattarget >= 0)) FROM pg_index WHERE indrelid = t
	UNION ALL SELECT concat_ws(' ', 'constraint', conname, pg_get_constraintdef(oid)) FROM pg_constraint WHERE conrelid = t AND contype NOT IN ('n', 't')
	UNION ALL SELECT concat_ws(' ', 'table', c.relnamespace::regnamespace, c.relreplident, c.reloptions, x.reloptions, c.relacl IS NULL, obj_description(t, 'pg_class')) FROM pg_class c JOIN pg_class x ON x.oid = c.reltoastrelid WHERE c.oid = t
	UNION ALL SELECT concat_ws(' ', 'sequence', objid::regclass, attname) FROM pg_depend JOIN pg_attribute ON attrelid = refobjid AND attnum = refobjsubid
		WHERE classid = 'pg_class'::regclass AND refobjid = t AND deptype = 'a' AND objsubid = 0 AND refobjsubid > 0 AND pg_depend.objid IN (SELECT oid FROM pg_class WHERE relkind = 'S')
	UNION ALL SELECT concat_ws(' ', 'statistics', regexp_replace(pg_get_statisticsobjdef(oid), ' FROM .*', ''), nullif(stxstattarget, -1), obj_description(oid, 'pg_statistic_ext'))
		FROM pg_statistic_ext WHERE stxrelid = t
$$;
CREATE TABLE was (line text);
CREATE FUNCTION differs(t regclass) RETURNS TABLE (was text, "is" text) LANGUAGE sql AS $$
	SELECT * FROM ((SELECT line, NULL FROM rewrite_test.was EXCEPT ALL SELECT rewrite_test.about(t), NULL) UNION ALL (SELECT NULL, rewrite_test.about(t) EXCEPT ALL SELECT NULL, line FROM rewrite_test.was)) x(was, "is") ORDER BY was COLLATE "C", "is" COLLATE "C" $$;
CREATE TABLE own (id int, a int DEFAULT 1, b int DEFAULT 2, c text DEFAULT 'c', d text, e text, f int, CONSTRAINT own_pk PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE INDEX own_first ON own (a);
CREATE UNIQUE INDEX own_second ON own (b, id);
CREATE STATISTICS own_ab ON a, b FROM own;
COMMENT ON COLUMN own.a IS 'of all';
COMMENT ON COLUMN own.b IS 'of all';
ALTER TABLE own ALTER b SET STATISTICS 50;
SELECT create_parent('own', 'id', '100', p_premake => 1, p_start_partition => '0', p_automatic_maintenance => 'off');
INSERT INTO own (id, d, e, f) SELECT n, n, n, n FROM generate_series(1, 99) n;
INSERT INTO own (id) VALUES (105), (1005);
-- the same for one that is compressed, one that is split, and the default
CREATE PROCEDURE make_own(t text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('ALTER TABLE %s ALTER a SET DEFAULT 7, ALTER b DROP DEFAULT, ALTER d SET DEFAULT ''own'', ALTER a SET STATISTICS 300, ALTER b SET STATISTICS -1, ALTER a SET (n_distinct = 5), ALTER b SET NOT NULL,'
		' ALTER c SET STORAGE EXTERNAL, ALTER d SET STORAGE MAIN, ALTER e SET COMPRESSION pglz, SET (fillfactor = 60, toast.autovacuum_enabled = off)', t);
	EXECUTE format('COMMENT ON TABLE %s IS ''it''''s its own''', t);
	EXECUTE format('COMMENT ON COLUMN %s.a IS ''of its own''', t);
	EXECUTE format('COMMENT ON COLUMN %s.b IS NULL', t);
	EXECUTE format('CREATE SEQUENCE %s_seq OWNED BY %1$s.f', t);
	EXECUTE format('ALTER TABLE %s ALTER f SET DEFAULT nextval(%L)', t, t || '_seq');
	EXECUTE format('CREATE UNIQUE INDEX "Mine %s" ON %1$s (d)', t);
	EXECUTE format('CREATE INDEX %s_expr ON %1$s ((a + b), e) WHERE a > 0', t);
	EXECUTE format('ALTER INDEX %s_expr ALTER COLUMN 1 SET STATISTICS 70', t);
	EXECUTE format('COMMENT ON INDEX %s_expr IS ''an index''''s comment''', t);
	-- names that are nobody's but theirs; two have changed theirs
	EXECUTE format('ALTER INDEX %s_a_idx RENAME TO %1$s_swap', t);
	EXECUTE format('ALTER INDEX %s_b_id_idx RENAME TO %1$s_a_idx', t);
	EXECUTE format('ALTER INDEX %s_swap RENAME TO %1$s_b_id_idx', t);
	EXECUTE format('ALTER INDEX %s_pkey RENAME TO "Key of %1$s"', t);
	EXECUTE format('ALTER TABLE %s CLUSTER ON %1$s_a_idx', t);
	EXECUTE format('ALTER STATISTICS %s_a_b_stat RENAME TO "Known of %1$s"', t);
	EXECUTE format('CREATE STATISTICS %s_a_b_stat (mcv, dependencies) ON a, c, (b + 1) FROM %1$s', t);
	EXECUTE format('CREATE STATISTICS %s_e ON (lower(c)) FROM %1$s', t);
	EXECUTE format('ALTER STATISTICS %s_e SET STATISTICS 33', t);
	EXECUTE format('COMMENT ON STATISTICS %s_a_b_stat IS ''its own''', t);
END $$;
CALL make_own('own_p0');
CALL make_own('own_default');
ALTER TABLE own_p0 REPLICA IDENTITY USING INDEX own_p0_a_idx;
ALTER TABLE own_default REPLICA IDENTITY FULL;
GRANT SELECT (a) ON own_p0 TO PUBLIC;
INSERT INTO was SELECT about('own_p0');
CREATE TABLE was_default AS SELECT about('own_default') AS line;
INSERT INTO own_default (id, b) VALUES (5000, 0);
SELECT keep('own');
CALL compress_partitions_proc('own', '1', 'pglz');
SELECT * FROM differs('own_p0');
CALL split_partition_proc('own_p0', '50');
SELECT * FROM differs('own_p0') WHERE coalesce(was, "is") !~ '^(constraint|index|statistics)';
SELECT * FROM about('own_p50') x ORDER BY x COLLATE "C";
INSERT INTO own_p0 (id, b) VALUES (0, 0) RETURNING *;
DELETE FROM own WHERE id = 0;
SELECT is_kept('own');
TRUNCATE was;
INSERT INTO was SELECT * FROM was_default;
CALL drain_default_proc('own');
SELECT * FROM differs('own_default');
SELECT regexp_replace(about('own_p1000'), 'p1000', 'p100') EXCEPT ALL SELECT about('own_p100');
SELECT is_kept('own');
SELECT * FROM remains;
-- in another schema, too
CREATE SCHEMA "Rewrite else";
ALTER TABLE own_p100 SET SCHEMA "Rewrite else";
ALTER TABLE own_default SET SCHEMA "Rewrite else";
CREATE TABLE own_default (id int);
CREATE TABLE own_p100 (id int);
INSERT INTO own VALUES (205), (1205);
SELECT keep('own');
CALL compress_partitions_proc('own', '1', 'pglz');
CALL drain_default_proc('own');
SELECT * FROM parts('own');
SELECT named('"Rewrite else".own_p100'), named('"Rewrite else".own_default');
SELECT partition_name FROM part_log WHERE action = 'compress' AND parent_table = 'own'::regclass ORDER BY id;
SELECT is_kept('own');
SELECT * FROM remains;
DROP TABLE "Rewrite else".own_p100, "Rewrite else".own_default;
DROP SCHEMA "Rewrite else";

--
-- a plain table again
--

CREATE TABLE un (id int GENERATED ALWAYS AS IDENTITY, at int, v text, ser serial, CONSTRAINT un_pk PRIMARY KEY (id, at), CONSTRAINT un_v CHECK (v <> 'no')) PARTITION BY RANGE (at);
CREATE INDEX un_idx ON un (v) WHERE at > 0;
CREATE UNIQUE INDEX un_unique ON un (at);
SELECT create_parent('un', 'at', '10', p_premake => 1, p_start_partition => '0', p_control_not_null => false, p_automatic_maintenance => 'off');
INSERT INTO un (at, v) SELECT n, n FROM generate_series(1, 30) n;
CREATE VIEW un_view AS SELECT id, v FROM un;
CREATE TABLE un_refers (at int CONSTRAINT un_fk REFERENCES un (at));
INSERT INTO un_refers SELECT at FROM un;
COMMENT ON TABLE un IS 'the table';
COMMENT ON CONSTRAINT un_pk ON un IS 'the key';
COMMENT ON CONSTRAINT un_v ON un IS 'the check';
COMMENT ON CONSTRAINT un_fk ON un_refers IS 'the reference';
COMMENT ON SEQUENCE un_id_seq IS 'the sequence';
CREATE STATISTICS un_stat ON id, at FROM un;
ALTER STATISTICS un_stat SET STATISTICS 77;
COMMENT ON STATISTICS un_stat IS 'the statistics';
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.v := 'seen'; RETURN NEW; END $$;
CREATE TRIGGER un_note BEFORE INSERT ON un FOR EACH ROW EXECUTE FUNCTION note();
SELECT keep('un');
BEGIN;
SELECT unpartition('un', p_mode => 'locking') > 0 AS done;
SELECT relkind FROM pg_class WHERE relname = 'un';
ROLLBACK;
SELECT is_kept('un');
CALL unpartition_proc('un');
SELECT relkind, obj_description(oid, 'pg_class') FROM pg_class WHERE relname = 'un';
SELECT named('un');
INSERT INTO un (at) VALUES (31) RETURNING *;
DELETE FROM un WHERE at = 31;
SELECT is_kept('un');
SELECT count(*) FROM un_view;
SELECT conname, convalidated, obj_description(oid, 'pg_constraint') FROM pg_constraint WHERE confrelid = 'un'::regclass OR conrelid = 'un'::regclass AND contype <> 'n' ORDER BY conname;
SELECT stxname, stxstattarget, obj_description(oid, 'pg_statistic_ext'), obj_description('un_id_seq'::regclass, 'pg_class') FROM pg_statistic_ext WHERE stxrelid = 'un'::regclass;
SELECT relname FROM pg_class WHERE relname LIKE 'un\_%' ORDER BY relname;
SELECT count(*) FROM part_config WHERE control = 'at' AND partition_interval = '10';
SELECT parent_table, kind, state, units, rows_done, message FROM rewrite_progress WHERE kind = 'undo';
SELECT * FROM remains;
-- and back
CALL convert_table_proc('un', 'at', '10', p_premake => 1);
SELECT * FROM parts('un');
SELECT is_kept('un');

--
-- what is refused
--

CREATE ROLE regress_rewrite_other;
GRANT USAGE ON SCHEMA rewrite_test TO regress_rewrite_other;
CREATE TABLE plain (id int PRIMARY KEY);
CREATE TABLE bare (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE bare_0 PARTITION OF bare FOR VALUES FROM (0) TO (10);
\set VERBOSITY terse
CALL drain_default_proc(NULL::text);
CALL drain_default_proc('nowhere');
CALL drain_default_proc('plain');
CALL drain_default_proc('bare');
CALL drain_default_proc('sp');
CALL drain_default_proc('ev', p_mode => 'fast');
CALL drain_default_proc('ev', p_policy => 'online');
CALL drain_default_proc('ev', p_rows_per_second => -1);
-- more partitions than may be made at once; an id that is too far away stays
INSERT INTO ev VALUES (261), (271), (281), (1001);
SET partmgr.max_create = 2;
CALL drain_default_proc('ev');
DELETE FROM ev WHERE id = 281;
CALL drain_default_proc('ev');
RESET partmgr.max_create;
SELECT id FROM ev_default;
CREATE VIEW "ev_p1000" AS SELECT 1;
CALL drain_default_proc('ev');
DROP VIEW "ev_p1000";
SELECT id FROM ev_default;
CALL split_partition_proc(NULL::text, '5');
CALL split_partition_proc('plain', '5');
CALL split_partition_proc('sp', '5');
CALL split_partition_proc('bare_0', '5');
CALL split_partition_proc('sp_p0');
CALL split_partition_proc('sp_p0', '5', '{5}');
CALL split_partition_proc('sp_p0', '0');
CALL split_partition_proc('sp_p0', '1 day');
CALL split_partition_proc('sp_p0', '1000');
CALL split_partition_proc('sp_p0', p_at => '{}');
CALL split_partition_proc('sp_p0', p_at => '{NULL}');
CALL split_partition_proc('sp_p0', p_at => '{x}');
CALL split_partition_proc('sp_p0', p_at => '{0}');
CALL split_partition_proc('sp_p0', p_at => '{200}');
CALL split_partition_proc('sp_p0', p_at => '{50,20}');
CALL split_partition_proc('ev_default', p_at => '{50}');
CALL split_partition_proc('wide_min', '1 month');
SET partmgr.max_create = 3;
CALL split_partition_proc('sp_p0', '10');
RESET partmgr.max_create;
CALL merge_partitions_proc('bare', '0', '10');
CALL merge_partitions_proc('ev', NULL, '10');
CALL merge_partitions_proc('ev', '0', NULL);
CALL merge_partitions_proc('ev', '0', '10');
CALL merge_partitions_proc('ev', '5', '25');
CALL merge_partitions_proc('ev', '50', '20');
CALL merge_partitions_proc('ev', 'a', 'b');
CALL merge_partitions_proc('ev', '80', '300');
CALL change_interval_proc('bare', '5');
CALL change_interval_proc('sp', NULL);
CALL change_interval_proc('sp', '1 day');
CALL change_interval_proc('sp', '5', NULL);
CALL change_interval_proc('kinds', '5');
CALL compress_partitions_proc('bare', '5');
CALL compress_partitions_proc('cold', NULL);
CALL compress_partitions_proc('cold', '1 day');
CALL compress_partitions_proc('cold', '5', 'zstd');
CALL compress_partitions_proc('cold', '5', NULL);
CALL compress_partitions_proc('cold', '5', p_order_index => 'nothing');
CALL compress_partitions_proc('cold', '5', p_order_index => 'ev_n');
CALL unpartition_proc('bare');
CALL unpartition_proc('plain');
-- there is no worker
SELECT drain_default('ev'), split_partition('sp_p0', '5');
SELECT change_interval('sp', '5', true);
SELECT unpartition('sp');
-- inside a transaction
BEGIN;
CALL merge_partitions_proc('ev', '0', '50');
ROLLBACK;
-- somebody else's
SET ROLE regress_rewrite_other;
CALL drain_default_proc('ev');
CALL split_partition_proc('sp_p0', '5');
CALL merge_partitions_proc('ev', '0', '50');
CALL change_interval_proc('sp', '5');
CALL compress_partitions_proc('cold', '5');
CALL unpartition_proc('sp');
SELECT count(*) FROM rewrite_progress;
RESET ROLE;
-- where the owner could not put it back
CREATE SCHEMA "Rewrite shut";
CREATE TABLE shut (id int PRIMARY KEY) PARTITION BY RANGE (id);
SELECT create_parent('shut', 'id', '10', p_premake => 1, p_start_partition => '0', p_automatic_maintenance => 'off');
INSERT INTO shut VALUES (55);
ALTER TABLE shut_default SET SCHEMA "Rewrite shut";
ALTER TABLE shut OWNER TO regress_rewrite_other;
ALTER TABLE "Rewrite shut".shut_default OWNER TO regress_rewrite_other;
CALL drain_default_proc('shut');
DROP TABLE shut;
DROP SCHEMA "Rewrite shut";
-- what a partition has of its own, that others would miss
CREATE VIEW looks AS SELECT * FROM sp_p0;
CALL split_partition_proc('sp_p0', '50');
CALL unpartition_proc('sp');
DROP VIEW looks;
CREATE TRIGGER own BEFORE INSERT ON sp_p0 FOR EACH ROW EXECUTE FUNCTION note();
CALL split_partition_proc('sp_p0', '50');
DROP TRIGGER own ON sp_p0;
CREATE FUNCTION reads() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM rewrite_test.sp_p0; END;
CALL split_partition_proc('sp_p0', '50');
DROP FUNCTION reads;
CREATE FUNCTION reads(sp_p0) RETURNS int LANGUAGE sql AS 'SELECT 1';
CALL split_partition_proc('sp_p0', '50');
DROP FUNCTION reads;
CREATE TABLE holds (v sp_p0[]);
CALL split_partition_proc('sp_p0', '50');
DROP TABLE holds;
CREATE POLICY "By it" ON kept USING (rows <> (SELECT min(v) FROM sp_p0));
CALL split_partition_proc('sp_p0', '50');
CALL unpartition_proc('sp');
DROP POLICY "By it" ON kept;
CREATE CONSTRAINT TRIGGER about AFTER INSERT ON kept FROM sp_p0 FOR EACH ROW EXECUTE FUNCTION note();
CALL split_partition_proc('sp_p0', '50');
DROP TRIGGER about ON kept;
CREATE RULE "Own" AS ON DELETE TO sp_p0 DO INSTEAD NOTHING;
CALL split_partition_proc('sp_p0', '50');
DROP RULE "Own" ON sp_p0;
CREATE TABLE refers (id int CONSTRAINT refers_fk REFERENCES sp_p0);
CALL split_partition_proc('sp_p0', '50');
DROP TABLE refers;
SET client_min_messages = error;	-- wal_level
CREATE PUBLICATION "Regress rewrite" FOR TABLE sp_p0;
CALL split_partition_proc('sp_p0', '50');
DROP PUBLICATION "Regress rewrite";
CREATE PUBLICATION "Regress rewrite" FOR TABLE sp;
CALL split_partition_proc('sp_p0', '50');
DROP PUBLICATION "Regress rewrite";
SET client_min_messages = warning;
ALTER TABLE sp_p0 OWNER TO regress_rewrite_other;
CALL split_partition_proc('sp_p0', '50');
ALTER TABLE sp_p0 OWNER TO CURRENT_USER;
CREATE TABLE points (id int CONSTRAINT points_fk REFERENCES sp) PARTITION BY HASH (id);
CALL split_partition_proc('sp_p0', '50');
\set VERBOSITY default
CALL unpartition_proc('sp');
\set VERBOSITY terse
DROP TABLE points;
-- partitioned itself, unlogged
CREATE TABLE mixed (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE mixed_0 PARTITION OF mixed FOR VALUES FROM (0) TO (10) PARTITION BY HASH (id);
CREATE TABLE mixed_0_0 PARTITION OF mixed_0 FOR VALUES WITH (MODULUS 1, REMAINDER 0);
CREATE UNLOGGED TABLE mixed_10 PARTITION OF mixed FOR VALUES FROM (10) TO (20);
SELECT create_parent('mixed', 'id', '10', p_premake => 1, p_automatic_maintenance => 'off', p_default_table => false);
CALL split_partition_proc('mixed_0', '5');
CALL split_partition_proc('mixed_0_0', '5');
CALL split_partition_proc('mixed_10', '5');
CALL merge_partitions_proc('mixed', '0', '20');
CALL unpartition_proc('mixed');
SELECT * FROM remains;
SELECT is_kept('sp'), is_kept('cold'), is_kept('wide');

--
-- paused, resumed, cancelled
--

CREATE TABLE slow (id int PRIMARY KEY, v text);
INSERT INTO slow SELECT n, n FROM generate_series(1, 3000) n;
SET statement_timeout = '1s';
CALL convert_table_proc('slow', 'id', '1000', p_premake => 1, p_rows_per_second => 1000);
RESET statement_timeout;
SELECT max(id) AS slow FROM rewrite_progress \gset
SELECT state FROM rewrite_progress WHERE id = :slow;
-- all that is written meanwhile
UPDATE slow SET v = 'changed' WHERE id % 100 = 0;
UPDATE slow SET id = -id WHERE id % 100 = 1;
DELETE FROM slow WHERE id % 100 = 2;
INSERT INTO slow SELECT n, 'new' FROM generate_series(3001, 3500) n;
SELECT keep('slow');
\set VERBOSITY sqlstate
CALL convert_table_proc('slow', 'id', '1000');
\set VERBOSITY terse
SELECT pause_rewrite(:slow);
SELECT pause_rewrite(:slow);
SELECT state FROM rewrite_progress WHERE id = :slow;
SELECT resume_rewrite(:slow);
BEGIN;
CALL resume_rewrite_proc(:slow);
ROLLBACK;
SET ROLE regress_rewrite_other;
SELECT pause_rewrite(:slow);
SELECT cancel_rewrite(:slow);
CALL resume_rewrite_proc(:slow);
RESET ROLE;
CALL resume_rewrite_proc(:slow);
SELECT state, units FROM rewrite_progress WHERE id = :slow;
SELECT * FROM parts('slow');
SELECT is_kept('slow');
-- it has ended
SELECT pause_rewrite(:slow), cancel_rewrite(:slow);
\set VERBOSITY sqlstate
CALL resume_rewrite_proc(:slow);
\set VERBOSITY terse
SELECT pause_rewrite(NULL);
SELECT pause_rewrite(-1);
SELECT cancel_rewrite(-1);
CALL resume_rewrite_proc(-1);
-- what has come meanwhile
CREATE TABLE late (id int PRIMARY KEY) PARTITION BY RANGE (id);
SELECT create_parent('late', 'id', '10000', p_premake => 1, p_start_partition => '0', p_default_table => false, p_automatic_maintenance => 'off');
INSERT INTO late SELECT generate_series(0, 3000);
SET statement_timeout = '1s';
CALL split_partition_proc('late_p0', '5000', p_rows_per_second => 100);
RESET statement_timeout;
CREATE VIEW late_view AS SELECT * FROM late_p0;
SELECT max(id) AS late FROM rewrite_progress \gset
CALL resume_rewrite_proc(:late);
SELECT state, units FROM rewrite_progress WHERE id = :late;
SELECT * FROM parts('late');
SELECT * FROM remains;
DROP TABLE late CASCADE;
-- all is as it was
SET statement_timeout = '1s';
CALL unpartition_proc('slow', p_rows_per_second => 1000);
RESET statement_timeout;
BEGIN;
SELECT cancel_rewrite(max(id)) FROM rewrite_progress;
SELECT * FROM remains;
ROLLBACK;
SELECT count(*) > 0 AS there FROM remains;
SELECT cancel_rewrite(max(id)) FROM rewrite_progress;
SELECT cancel_rewrite(max(id)) FROM rewrite_progress;
SELECT kind, state, units FROM rewrite_progress ORDER BY id DESC LIMIT 1;
SELECT * FROM remains;
SELECT is_kept('slow');
-- the table is dropped meanwhile
SET statement_timeout = '1s';
CALL unpartition_proc('slow', p_rows_per_second => 1000);
RESET statement_timeout;
DROP TABLE slow;
SELECT cancel_rewrite(max(id)) FROM rewrite_progress;
SELECT kind, state, units FROM rewrite_progress ORDER BY id DESC LIMIT 1;

DROP SCHEMA rewrite_test CASCADE;
DROP EXTENSION partmgr;
DROP ROLE regress_rewrite_other;
