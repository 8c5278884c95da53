-- convert_table: a plain table becomes a set, and all that hangs on it is there
-- afterwards.  What a worker does is tested in test/t.

SET client_min_messages = warning;
DROP EXTENSION IF EXISTS partmgr;
CREATE EXTENSION partmgr;
CREATE SCHEMA convert_test;
SET search_path = convert_test, public;
SET timezone = 'UTC';
SET DateStyle = 'ISO, MDY';
CREATE ROLE regress_convert_owner;
CREATE ROLE regress_convert_other;
CREATE ROLE "regress convert Reader";
GRANT ALL ON SCHEMA convert_test TO regress_convert_owner, regress_convert_other;

-- all that can be known of a table, one line each
CREATE FUNCTION about(t regclass) RETURNS SETOF text LANGUAGE sql SET search_path = pg_catalog AS $$
	SELECT concat_ws(' ', 'column', attname, format_type(atttypid, atttypmod), CASE WHEN attnotnull THEN 'not null' END, pg_get_expr(adbin, adrelid),
			nullif(attidentity, ''), nullif(attgenerated, ''), attstorage, nullif(attcompression, ''), nullif(attstattarget, -1),
			(SELECT string_agg(x::text, ',' ORDER BY x::text) FROM unnest(attacl) x), col_description(t, attnum), nullif(attcollation, 0)::regcollation)
		FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum WHERE attrelid = t AND attnum > 0 AND NOT attisdropped
	UNION ALL SELECT concat_ws(' ', 'constraint', conname, pg_get_constraintdef(oid), obj_description(oid, 'pg_constraint'))
		FROM pg_constraint WHERE conrelid = t
	UNION ALL SELECT concat_ws(' ', 'index', replace(pg_get_indexdef(indexrelid), ' ON ONLY ', ' ON '), CASE WHEN indisreplident THEN 'identity' END,
			CASE WHEN indisprimary THEN 'primary' END, obj_description(indexrelid, 'pg_class')) FROM pg_index WHERE indrelid = t
	UNION ALL SELECT concat_ws(' ', 'trigger', tgenabled, pg_get_triggerdef(oid), obj_description(oid, 'pg_trigger')) FROM pg_trigger WHERE tgrelid = t AND NOT tgisinternal
	UNION ALL SELECT concat_ws(' ', 'policy', polname, polcmd, CASE WHEN polpermissive THEN 'permissive' END, polroles::regrole[], pg_get_expr(polqual, polrelid),
			pg_get_expr(polwithcheck, polrelid), obj_description(oid, 'pg_policy')) FROM pg_policy WHERE polrelid = t
	UNION ALL SELECT concat_ws(' ', 'table', relnamespace::regnamespace, relname, 'owner', relowner::regrole, 'identity', relreplident, 'security', relrowsecurity, relforcerowsecurity,
			(SELECT string_agg(x::text, ',' ORDER BY x::text) FROM unnest(relacl) x), obj_description(t, 'pg_class')) FROM pg_class WHERE oid = t
	UNION ALL SELECT concat_ws(' ', 'statistics', pg_get_statisticsobjdef(oid), nullif(stxstattarget, -1), stxowner::regrole, obj_description(oid, 'pg_statistic_ext')) FROM pg_statistic_ext WHERE stxrelid = t
	UNION ALL SELECT concat_ws(' ', 'sequence', d.objid::regclass, attname, deptype, relowner::regrole, seqstart, seqincrement, seqmin, seqmax, seqcycle, pg_sequence_last_value(d.objid),
			(SELECT string_agg(x::text, ',' ORDER BY x::text) FROM unnest(relacl) x), obj_description(d.objid, 'pg_class'))
		FROM pg_depend d JOIN pg_sequence ON seqrelid = d.objid JOIN pg_class c ON c.oid = d.objid JOIN pg_attribute ON attrelid = refobjid AND attnum = refobjsubid
		WHERE refobjid = t AND deptype IN ('a', 'i')
	UNION ALL SELECT concat_ws(' ', 'publication', pubname, pg_get_expr(prqual, prrelid), (SELECT string_agg(attname, ',' ORDER BY attname) FROM pg_attribute WHERE attrelid = t AND attnum = ANY (prattrs)))
		FROM pg_publication_rel JOIN pg_publication p ON p.oid = prpubid WHERE prrelid = t
	UNION ALL SELECT DISTINCT concat_ws(' ', 'view', v.oid::regclass, relowner::regrole, reloptions, relacl, obj_description(v.oid, 'pg_class'), pg_get_viewdef(v.oid))
		FROM pg_depend JOIN pg_rewrite r ON r.oid = objid JOIN pg_class v ON v.oid = ev_class WHERE refobjid = t AND v.relkind = 'v'
	UNION ALL SELECT DISTINCT concat_ws(' ', 'function', proowner::regrole, (SELECT string_agg(x::text, ',' ORDER BY x::text) FROM unnest(proacl) x), obj_description(f.oid, 'pg_proc'), pg_get_functiondef(f.oid))
		FROM pg_depend JOIN pg_proc f ON f.oid = objid WHERE pg_depend.classid = 'pg_proc'::regclass
		AND (refobjid = t OR refobjid IN (SELECT reltype FROM pg_class WHERE oid = t UNION SELECT typarray FROM pg_class c JOIN pg_type y ON y.oid = c.reltype WHERE c.oid = t))
	UNION ALL SELECT concat_ws(' ', 'referenced by', conrelid::regclass, conname, pg_get_constraintdef(oid), obj_description(oid, 'pg_constraint')) FROM pg_constraint WHERE confrelid = t AND conparentid = 0
$$;
-- what is left of a rewrite: nothing
CREATE VIEW remains AS
	SELECT 'relation ' || relname AS what FROM pg_class WHERE relname LIKE 'partmgr\_rewrite%'
	UNION ALL SELECT 'trigger ' || tgname FROM pg_trigger WHERE tgname LIKE 'partmgr\_rewrite%'
	UNION ALL SELECT 'constraint ' || conname FROM pg_constraint WHERE conname LIKE 'partmgr\_%'
	UNION ALL SELECT 'statistics ' || stxname FROM pg_statistic_ext WHERE stxname LIKE 'partmgr\_%';

--
-- everything that a table can have
--

CREATE TABLE kinds (kind int PRIMARY KEY);
INSERT INTO kinds SELECT generate_series(0, 3);
GRANT SELECT ON kinds TO PUBLIC;
ALTER TABLE kinds OWNER TO regress_convert_owner;
CREATE TABLE ev (
	gone int,
	id bigint GENERATED ALWAYS AS IDENTITY (START WITH 100 INCREMENT BY 5) PRIMARY KEY WITH (fillfactor = 80),
	num int GENERATED BY DEFAULT AS IDENTITY,
	at int NOT NULL,
	ser serial,
	kind int DEFAULT 1 CONSTRAINT ev_kind_fk REFERENCES kinds,
	later int CONSTRAINT ev_later_fk REFERENCES kinds ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED,
	"Txt ""x""" text COLLATE "C",
	gen int GENERATED ALWAYS AS (at * 2) STORED,
	small text COMPRESSION pglz DEFAULT 'none',
	due timestamptz DEFAULT '2020-01-01 00:00 UTC',
	CONSTRAINT ev_at_check CHECK (at > -1000),
	CONSTRAINT "Odd check" CHECK ("Txt ""x""" <> 'no') NOT VALID
) WITH (fillfactor = 70, autovacuum_enabled = false, toast.autovacuum_enabled = false);
ALTER TABLE ev DROP COLUMN gone, ALTER "Txt ""x""" SET STORAGE EXTERNAL;
INSERT INTO ev (at, kind, later, "Txt ""x""", due) SELECT n * 3, n % 4, nullif(n % 4, 0), 'text ' || n, '2020-01-01'::timestamptz + n * interval '1 hour' FROM generate_series(1, 100) n;
ALTER TABLE ev ALTER num SET STATISTICS 7, ALTER at SET STATISTICS 500;
CREATE UNIQUE INDEX ev_unique ON ev (num);
ALTER TABLE ev ADD CONSTRAINT ev_ser_key UNIQUE (ser, at) DEFERRABLE;
CREATE INDEX ev_part ON ev (at DESC NULLS LAST) WHERE kind = 1;
CREATE INDEX "Ev expr" ON ev (lower("Txt ""x"""), (at % 10));
CREATE INDEX ev_incl ON ev USING btree (kind) INCLUDE (at, num) WITH (fillfactor = 60);
CREATE INDEX ev_hash ON ev USING hash (kind);
CREATE STATISTICS ev_stat (ndistinct, dependencies) ON kind, later FROM ev;
CREATE STATISTICS "Ev stat" ON kind, at, (num % 3) FROM ev;
CREATE TABLE seen (what text);
GRANT INSERT ON seen TO PUBLIC;
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO convert_test.seen VALUES (concat_ws(' ', tg_name, tg_when, tg_op, tg_level)); RETURN NEW; END $$;
CREATE TRIGGER t_before BEFORE INSERT ON ev FOR EACH ROW WHEN (NEW.at > 0) EXECUTE FUNCTION note();
CREATE TRIGGER t_after AFTER INSERT OR UPDATE OF at ON ev FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER "T statement" AFTER INSERT ON ev REFERENCING NEW TABLE AS fresh EXECUTE FUNCTION note('argument');
CREATE TRIGGER t_off BEFORE INSERT ON ev FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER t_replica AFTER INSERT ON ev FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER t_always AFTER DELETE ON ev FOR EACH ROW EXECUTE FUNCTION note();
CREATE CONSTRAINT TRIGGER t_constraint AFTER INSERT ON ev DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note();
ALTER TABLE ev DISABLE TRIGGER t_off, ENABLE REPLICA TRIGGER t_replica, ENABLE ALWAYS TRIGGER t_always;
CREATE POLICY p_all ON ev USING (kind < 3) WITH CHECK (kind < 2);
CREATE POLICY "P some" ON ev AS RESTRICTIVE FOR SELECT TO regress_convert_other, "regress convert Reader" USING (at > (SELECT min(kind) FROM kinds) AND current_user <> 'x');
CREATE POLICY p_insert ON ev FOR INSERT TO CURRENT_USER WITH CHECK (true);
ALTER TABLE ev ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
COMMENT ON TABLE ev IS 'it''s the table';
COMMENT ON COLUMN ev.at IS 'when';
COMMENT ON CONSTRAINT ev_at_check ON ev IS 'checked';
COMMENT ON CONSTRAINT ev_pkey ON ev IS 'one only';
COMMENT ON CONSTRAINT ev_ser_key ON ev IS 'it''s one';
COMMENT ON CONSTRAINT ev_kind_fk ON ev IS 'there is one';
COMMENT ON CONSTRAINT t_constraint ON ev IS 'a trigger''s';
COMMENT ON SEQUENCE ev_id_seq IS 'ids';
COMMENT ON SEQUENCE ev_ser_seq IS 'serials';
ALTER STATISTICS ev_stat SET STATISTICS 123;
COMMENT ON STATISTICS "Ev stat" IS 'more''s';
COMMENT ON INDEX ev_part IS 'part';
COMMENT ON INDEX ev_pkey IS 'key';
COMMENT ON TRIGGER t_off ON ev IS 'is off';
COMMENT ON POLICY p_all ON ev IS 'everybody''s';
COMMENT ON STATISTICS ev_stat IS 'statistics';
GRANT SELECT, INSERT ON ev TO regress_convert_other WITH GRANT OPTION;
GRANT SELECT (at, "Txt ""x"""), UPDATE (kind) ON ev TO "regress convert Reader" WITH GRANT OPTION;
GRANT USAGE ON SEQUENCE ev_id_seq, ev_ser_seq TO regress_convert_other;
GRANT SELECT ON SEQUENCE ev_num_seq TO "regress convert Reader" WITH GRANT OPTION;
ALTER TABLE ev OWNER TO regress_convert_owner;
ALTER STATISTICS ev_stat OWNER TO regress_convert_owner;
ALTER STATISTICS "Ev stat" OWNER TO regress_convert_owner;
SET client_min_messages = error;	-- wal_level
CREATE PUBLICATION regress_convert FOR TABLE ev (id, at) WHERE (at > 5) WITH (publish_via_partition_root);
SET client_min_messages = warning;
GRANT CREATE ON DATABASE :DBNAME TO regress_convert_owner;
ALTER PUBLICATION regress_convert OWNER TO regress_convert_owner;
ALTER TABLE ev REPLICA IDENTITY USING INDEX ev_pkey;
CREATE VIEW ev_plain AS SELECT * FROM ev;
CREATE VIEW ev_barrier WITH (security_barrier, check_option = local) AS SELECT id, at FROM ev WHERE at > 10;
CREATE VIEW ev_both AS SELECT p.id, b.at, e.kind FROM ev_plain p JOIN ev_barrier b USING (id) JOIN ev e USING (id);
COMMENT ON VIEW ev_plain IS 'all';
GRANT SELECT ON ev_barrier TO "regress convert Reader";
GRANT SELECT ON ev TO regress_convert_owner, regress_convert_other;
ALTER VIEW ev_barrier OWNER TO regress_convert_other;
CREATE FUNCTION ev_text(ev) RETURNS text LANGUAGE sql AS $$ SELECT $1.at || ' ' || $1.kind $$;
CREATE FUNCTION ev_first() RETURNS ev LANGUAGE sql STABLE AS $$ SELECT * FROM convert_test.ev ORDER BY id LIMIT 1 $$;
CREATE FUNCTION ev_some(n int DEFAULT 3) RETURNS SETOF ev LANGUAGE sql SECURITY DEFINER SET search_path = convert_test AS $$ SELECT * FROM ev ORDER BY id LIMIT n $$;
CREATE FUNCTION ev_count(many ev[] DEFAULT NULL) RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM ev; END;
CREATE PROCEDURE ev_touch() LANGUAGE sql BEGIN ATOMIC UPDATE ev SET kind = kind WHERE id = 100; END;
COMMENT ON FUNCTION ev_text(ev) IS 'text';
REVOKE ALL ON FUNCTION ev_some FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ev_some TO regress_convert_other WITH GRANT OPTION;
ALTER FUNCTION ev_first() OWNER TO regress_convert_other;
ALTER FUNCTION ev_count OWNER TO regress_convert_owner;
CREATE TABLE before AS SELECT * FROM ev;
CREATE TABLE was AS SELECT about('ev') AS line;
SELECT * FROM convert_table_plan('ev', 'at');
CALL convert_table_proc('ev', 'at', '100', p_premake => 1);
UPDATE part_config SET automatic_maintenance = 'off';
-- the keys alone have changed
SELECT * FROM (SELECT line AS "was, and is not" FROM was EXCEPT SELECT about('ev')) x ORDER BY "was, and is not" COLLATE "C";
SELECT * FROM (SELECT about('ev') AS "is, and was not" EXCEPT SELECT line FROM was) x ORDER BY "is, and was not" COLLATE "C";
SELECT * FROM remains;
-- its partitions
SELECT partition_name, range, c.relowner::regrole, c.relreplident, c.reloptions, t.reloptions AS toast,
		(SELECT count(*) FROM pg_index WHERE indrelid = c.oid) AS indexes, (SELECT string_agg(indexrelid::regclass::text, ' ') FROM pg_index WHERE indrelid = c.oid AND indisreplident) AS identity
	FROM list_partitions('ev') JOIN pg_class c ON c.oid = partition_name JOIN pg_class t ON t.oid = c.reltoastrelid WHERE NOT is_default;
-- rows are where they belong, and the same
SELECT count(*), count(*) FILTER (WHERE tableoid <> 'ev_default'::regclass) AS placed FROM ev;
SELECT count(*) FROM (SELECT * FROM before EXCEPT ALL SELECT * FROM ev) x;
-- all of it works
INSERT INTO ev (at, kind) VALUES (5, 1) RETURNING id, num, ser, gen, small, due;
SELECT ev_text(e), e.ev_text FROM ev e WHERE id = 100;
SELECT (ev_first()).id, ev_count(), (SELECT sum(id) FROM ev_some());
CALL ev_touch();
SELECT count(*), max(id) FROM ev_plain;
SELECT count(*) FROM ev_both;
SELECT what, count(*) FROM seen GROUP BY 1 ORDER BY 1;
SELECT * FROM pg_publication_tables WHERE pubname = 'regress_convert';
SET ROLE regress_convert_other;
SELECT count(*) FROM ev_first();
SELECT count(*) FROM ev_barrier;
RESET ROLE;
SELECT parent_table, action, partition_name, range, row_estimate, message FROM part_log ORDER BY id;
SELECT id, parent_table, kind, options, state, phase, units, rows_done, message FROM rewrite_progress;
SELECT parent_table, control, partition_interval, partition_type, premake, time_zone, name_format, retention FROM part_config;
SELECT status, problems FROM partition_health_summary('ev');

--
-- what points at it, and what it points at
--

CREATE TABLE ord (id int, at int, kind int, PRIMARY KEY (at, id), UNIQUE (id, at));
INSERT INTO ord SELECT n, n * 2, n % 3 FROM generate_series(1, 50) n;
CREATE TABLE item (id int, ord_at int, ord_id int, CONSTRAINT item_ord FOREIGN KEY (ord_at, ord_id) REFERENCES ord ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED);
INSERT INTO item SELECT n, n * 2, n FROM generate_series(1, 50) n;
CREATE TABLE "Other Item" (at int, id int, CONSTRAINT "Other ""fk""" FOREIGN KEY (id, at) REFERENCES ord (id, at) MATCH FULL ON UPDATE CASCADE);
INSERT INTO "Other Item" VALUES (2, 1), (NULL, NULL);
ALTER TABLE ord REPLICA IDENTITY FULL;
COMMENT ON CONSTRAINT item_ord ON item IS 'what it''s of';
CREATE TABLE was2 AS SELECT about('ord') AS line;
SELECT * FROM convert_table_plan('ord', 'at') WHERE object LIKE 'foreign%';
CALL convert_table_proc('ord', 'at', '50', p_premake => 1, p_default_table => false);
SELECT line AS "was, and is not" FROM was2 EXCEPT SELECT about('ord');
SELECT about('ord') AS "is, and was not" EXCEPT SELECT line FROM was2;
SELECT conrelid::regclass, conname, convalidated FROM pg_constraint WHERE confrelid = 'ord'::regclass AND conparentid = 0 ORDER BY 2;
SELECT DISTINCT relreplident FROM pg_class WHERE relname LIKE 'ord\_p%' AND relkind = 'r';
SELECT partition_name, range FROM list_partitions('ord');
SELECT * FROM remains;
\set VERBOSITY sqlstate
INSERT INTO item VALUES (51, 2, 2);
UPDATE ord SET at = 4 WHERE id = 1;
\set VERBOSITY default
DELETE FROM ord WHERE id = 50;
SELECT count(*) FROM item;
DROP TABLE item, "Other Item", ord, was2;

--
-- kinds of keys
--

CREATE FUNCTION parts(parent regclass, n int DEFAULT 3) RETURNS TABLE (partition_name regclass, range text, keys bigint) LANGUAGE plpgsql AS $$
BEGIN
	FOR partition_name, range IN SELECT p.partition_name, p.range FROM list_partitions(parent) p LIMIT n LOOP
		EXECUTE format('SELECT count(*) FROM %s', partition_name) INTO keys;
		RETURN NEXT;
	END LOOP;
END $$;
CREATE TABLE kt (id int, at timestamptz, PRIMARY KEY (id));
INSERT INTO kt SELECT n, '2020-01-01 UTC'::timestamptz + n * interval '10 days' FROM generate_series(1, 80) n;
CALL convert_table_proc('kt', 'at', '1 year', p_premake => 1, p_time_zone => 'Europe/Berlin', p_name_format => '{parent}_y{YYYY}', p_retention => '50 years');
SELECT attnotnull FROM pg_attribute WHERE attrelid = 'kt'::regclass AND attname = 'at';
-- since 18 that has a name, here as where no row moves, and where another one has it
CREATE TABLE kt_now (at int CONSTRAINT kt_now_at_not_null CHECK (at IS NOT NULL), v text CONSTRAINT kt_v NOT NULL);
INSERT INTO kt_now VALUES (1, 1);
CALL convert_table_proc('kt_now', 'at', '10', p_premake => 1, p_mode => 'instant');
SELECT conrelid::regclass, conname FROM pg_constraint WHERE contype = 'n' AND conrelid::regclass::text LIKE 'kt%'
	AND conname NOT IN ('kt_at_not_null', 'kt_id_not_null', 'kt_now_at_not_null1', 'kt_v');
SELECT attrelid::regclass, attnotnull FROM pg_attribute WHERE attrelid::regclass IN ('kt_now', 'kt_now_initial') AND attname = 'at' ORDER BY 1;
SELECT partition_name, range, message FROM part_log WHERE parent_table = 'kt_now'::regclass AND action = 'instant';
DROP TABLE kt_now;
SELECT * FROM parts('kt');
-- the calendar of the session
SET timezone = 'America/New_York';
CREATE TABLE kts (id int PRIMARY KEY, at timestamp);
INSERT INTO kts VALUES (1, '2020-02-29 23:59:59.999999'), (2, '2020-03-01');
CALL convert_table_proc('kts', 'at', '1 month', p_premake => 1);
SELECT * FROM parts('kts', 2);
SET timezone = 'UTC';
CREATE TABLE kd (d date, v text, PRIMARY KEY (d, v));
INSERT INTO kd SELECT '2020-01-01'::date + n, 'v' FROM generate_series(0, 800) n;
CALL convert_table_proc('kd', 'd', '1 year', p_premake => 1);
SELECT * FROM parts('kd');
-- a fact table with days as numbers
CREATE TABLE fact (day int NOT NULL, product int, amount numeric, UNIQUE (product, day));
ALTER TABLE fact ALTER product SET NOT NULL;
INSERT INTO fact SELECT to_char('2020-01-01'::date + n, 'YYYYMMDD')::int, n % 5, n FROM generate_series(0, 800) n;
CALL convert_table_proc('fact', 'day', '1 year', p_epoch => 'yyyymmdd', p_premake => 1);
SELECT * FROM parts('fact');
CREATE TABLE ms (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), at bigint);
INSERT INTO ms (at) SELECT 1577836800000 + n * 86400000::bigint FROM generate_series(0, 800) n;
CALL convert_table_proc('ms', 'at', '1 year', p_epoch => 'milliseconds', p_premake => 1);
SELECT * FROM parts('ms');
SELECT parent_table, partition_interval, epoch, time_zone, name_format, retention FROM part_config ORDER BY parent_table::text COLLATE "C";
CREATE TABLE kl (id int PRIMARY KEY, kind smallint NOT NULL);
INSERT INTO kl SELECT n, n % 3 * 2 FROM generate_series(1, 30) n;
CALL convert_table_proc('kl', 'kind', '1', p_type => 'list', p_premake => 1);
SELECT * FROM parts('kl', 9);
-- nothing in it
CREATE TABLE empty (id bigint PRIMARY KEY, v text);
CALL convert_table_proc('empty', 'id', '1000', p_premake => 2);
SELECT * FROM parts('empty', 9);
SELECT * FROM remains;
DROP TABLE kt, kts, kd, fact, ms, kl, empty;

--
-- a key of a domain, which need not have the bounds of a grid as values
--

CREATE DOMAIN above_0 AS int NOT NULL CHECK (VALUE > 0);
CREATE TABLE dom (id above_0 PRIMARY KEY, v text);
INSERT INTO dom SELECT n, n FROM generate_series(1, 3000) n;
SELECT * FROM convert_table_plan('dom', 'id') WHERE is_problem;
SET statement_timeout = '1s';
CALL convert_table_proc('dom', 'id', '1000', p_premake => 1, p_rows_per_second => 100);
RESET statement_timeout;
-- written meanwhile
UPDATE dom SET id = id + 5000 WHERE id % 100 = 0;
DELETE FROM dom WHERE id % 100 = 1;
INSERT INTO dom SELECT n, 'new' FROM generate_series(3001, 3500) n;
SELECT max(id) AS dom FROM rewrite_progress \gset
CALL resume_rewrite_proc(:dom);
SELECT * FROM parts('dom', 9);
SELECT count(*) FILTER (WHERE v = 'new') AS new, count(*) FILTER (WHERE id > 5000) AS moved, count(*) FROM dom;
\set VERBOSITY sqlstate
INSERT INTO dom VALUES (0);
\set VERBOSITY default
CALL drain_default_proc('dom');
SELECT status FROM partition_health_summary('dom');
UPDATE part_config SET automatic_maintenance = 'off' WHERE parent_table = 'dom'::regclass;
-- truncated meanwhile; nothing infinite, and nothing that ends the grid
CREATE DOMAIN finite AS timestamptz CHECK (VALUE < 'infinity') CHECK (VALUE > '-infinity') CHECK (VALUE IS NOT NULL);
CREATE TABLE dom_at (id int PRIMARY KEY, at finite);
INSERT INTO dom_at SELECT n, '2020-01-01 UTC'::timestamptz + n * interval '1 hour' FROM generate_series(1, 3000) n;
SET statement_timeout = '1s';
CALL convert_table_proc('dom_at', 'at', '1 month', p_premake => 1, p_rows_per_second => 100);
RESET statement_timeout;
TRUNCATE dom_at;
INSERT INTO dom_at VALUES (1, '2020-05-05 UTC');
SELECT max(id) AS dom FROM rewrite_progress \gset
CALL resume_rewrite_proc(:dom);
SELECT * FROM parts('dom_at', 1);
-- both ends
CREATE DOMAIN percent AS smallint CHECK (VALUE BETWEEN 1 AND 100);
CREATE TABLE dom_part (of percent);
INSERT INTO dom_part SELECT generate_series(1, 100);
CALL convert_table_proc('dom_part', 'of', '20', p_premake => 2, p_mode => 'locking', p_default_table => false);
SELECT run_maintenance('dom_part'), run_maintenance('dom');
SELECT * FROM parts('dom_part', 9);
SELECT status, problems FROM partition_health_summary('dom_part');
-- of the default, too
CREATE TABLE dom_rest (id above_0 PRIMARY KEY) PARTITION BY RANGE (id);
SELECT create_parent('dom_rest', 'id', '10', p_start_partition => '20', p_premake => 1, p_automatic_maintenance => 'off');
INSERT INTO dom_rest SELECT generate_series(1, 25);
CALL drain_default_proc('dom_rest');
SELECT * FROM parts('dom_rest', 9);
SELECT * FROM remains;
DROP TABLE dom, dom_at, dom_part, dom_rest;

-- infinity goes to the default, or nowhere
CREATE TABLE inf (id int PRIMARY KEY, at timestamptz NOT NULL);
INSERT INTO inf VALUES (1, 'infinity'), (2, '-infinity'), (3, '2020-05-05'), (4, '2021-05-05');
CALL convert_table_proc('inf', 'at', '1 year', p_premake => 1, p_default_table => false);
SELECT count(*) FROM inf;
SELECT * FROM remains;
CALL convert_table_proc('inf', 'at', '1 year', p_premake => 1);
SELECT * FROM parts('inf', 2);
SELECT id, at FROM inf_default ORDER BY id;

-- without a unique key it is done under lock
CREATE TABLE nokey (at int NOT NULL, v int UNIQUE, w int);
CREATE UNIQUE INDEX ON nokey (at) WHERE v > 0;
ALTER TABLE nokey ADD UNIQUE (at, w) DEFERRABLE;
INSERT INTO nokey SELECT n, n, n FROM generate_series(1, 30) n;
SELECT * FROM convert_table_plan('nokey', 'at');
CALL convert_table_proc('nokey', 'at', '10', p_premake => 1);
BEGIN;
SELECT convert_table('nokey', 'at', '10', p_premake => 1, p_mode => 'locking') > 0 AS done;
SELECT * FROM parts('nokey', 9);
SELECT * FROM remains;
ROLLBACK;
CALL convert_table_proc('nokey'::regclass, 'at', '10', p_premake => 1, p_mode => 'locking', p_policy => 'fast');
SELECT * FROM parts('nokey', 9);
SELECT * FROM remains;

--
-- names
--

CREATE SCHEMA "Convert ""Schema""";
CREATE TABLE "Convert ""Schema"""."Täble 'x' ""y""" ("The Id" int GENERATED ALWAYS AS IDENTITY, "At ""it"" ü" int, "from" text, PRIMARY KEY ("The Id"));
INSERT INTO "Convert ""Schema"""."Täble 'x' ""y""" ("At ""it"" ü", "from") SELECT n, n FROM generate_series(1, 25) n;
CREATE INDEX "The Index" ON "Convert ""Schema"""."Täble 'x' ""y""" ("from", "At ""it"" ü");
CREATE VIEW "The View" AS SELECT * FROM "Convert ""Schema"""."Täble 'x' ""y""";
CALL convert_table_proc('"Convert ""Schema"""."Täble ''x'' ""y"""', 'At "it" ü', '10', p_premake => 1);
SELECT * FROM parts('"Convert ""Schema"""."Täble ''x'' ""y"""', 9);
SELECT indexrelid::regclass, pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = '"Convert ""Schema"""."Täble ''x'' ""y"""'::regclass ORDER BY indexrelid::regclass::text COLLATE "C";
SELECT count(*), sum("At ""it"" ü") FROM "The View";
-- 63 bytes, the whole of it and with a character of two bytes where it is cut
SELECT repeat('l', 63) AS long, repeat('k', 63) AS key, repeat('i', 63) AS index \gset
CREATE TABLE :"long" (:"key" int PRIMARY KEY, v int);
CREATE INDEX :"index" ON :"long" (v);
INSERT INTO :"long" SELECT n, n FROM generate_series(1, 25) n;
CALL convert_table_proc(:'long', :'key', '10', p_premake => 1);
CREATE TABLE öööööööööööööööööööööööööööööö_x (id int PRIMARY KEY);
INSERT INTO öööööööööööööööööööööööööööööö_x SELECT generate_series(1, 25);
CALL convert_table_proc('öööööööööööööööööööööööööööööö_x', 'id', '10', p_premake => 1);
SELECT relname FROM pg_class WHERE relname ~ '^(lll|iii|ööö)' AND relkind <> 'i' ORDER BY relname;
SELECT * FROM remains;
DROP SCHEMA "Convert ""Schema""" CASCADE;
-- a name that is taken
CREATE TABLE taken (id int PRIMARY KEY);
INSERT INTO taken SELECT generate_series(1, 25);
CREATE VIEW taken_p10 AS SELECT 1;
CALL convert_table_proc('taken', 'id', '10', p_premake => 1);
DROP VIEW taken_p10;
CREATE VIEW taken_default AS SELECT 1;
CALL convert_table_proc('taken', 'id', '10', p_premake => 1);
DROP VIEW taken_default;
SELECT relname, relkind FROM pg_class WHERE relname ~ '^taken' ORDER BY relname;
SELECT * FROM remains;

--
-- what is refused: words and values
--

\set VERBOSITY terse
CALL convert_table_proc(NULL::text, 'id', '10');
CALL convert_table_proc('nowhere', 'id', '10');
CALL convert_table_proc('taken', NULL, '10');
CALL convert_table_proc('taken', 'no', '10');
CALL convert_table_proc('taken', 'id', NULL);
CALL convert_table_proc('taken', 'id', '1 day');
CALL convert_table_proc('taken', 'id', '-10');
CALL convert_table_proc('taken', 'id', '10', p_type => NULL);
CALL convert_table_proc('taken', 'id', '10', p_type => 'hash');
CALL convert_table_proc('taken', 'id', '10', p_epoch => NULL);
CALL convert_table_proc('taken', 'id', '10', p_epoch => 'weeks');
CALL convert_table_proc('taken', 'id', '10', p_premake => NULL);
CALL convert_table_proc('taken', 'id', '10', p_premake => 0);
CALL convert_table_proc('taken', 'id', '10', p_default_table => NULL);
CALL convert_table_proc('taken', 'id', '1 year', p_epoch => 'seconds', p_time_zone => 'Mars/Phobos');
CALL convert_table_proc('taken', 'id', '10', p_mode => 'quick');
CALL convert_table_proc('taken', 'id', '10', p_mode => NULL);
CALL convert_table_proc('taken', 'id', '10', p_policy => 'loose');
CALL convert_table_proc('taken', 'id', '10', p_policy => NULL);
CALL convert_table_proc('taken', 'id', '10', p_rows_per_second => 0);
SELECT convert_table_plan(NULL::text, 'id');
SELECT convert_table_plan('taken', NULL);
SELECT convert_table_plan('taken', 'no');
-- partitions
SET partmgr.max_create = 2;
CALL convert_table_proc('taken', 'id', '10', p_premake => 1);
RESET partmgr.max_create;
SELECT count(*) FROM taken;
-- the worker is asked for, and is not there
SELECT convert_table('taken', 'id', '10');
-- in a transaction, in a function
BEGIN;
CALL convert_table_proc('taken', 'id', '10');
ROLLBACK;
CREATE FUNCTION asks() RETURNS void LANGUAGE plpgsql AS $$ BEGIN CALL convert_table_proc('taken', 'id', '10'); END $$;
SELECT asks();
-- where it may commit
CREATE TABLE outside (id int PRIMARY KEY);
INSERT INTO outside SELECT generate_series(1, 25);
DO $$ BEGIN CALL convert_table_proc('outside', 'id', '10', p_premake => 1); END $$;
SELECT * FROM parts('outside', 9);
CREATE PROCEDURE calls() LANGUAGE plpgsql AS $$ BEGIN CALL convert_table_proc('taken', 'id', '10', p_mode => 'locking'); END $$;
BEGIN;
CALL calls();
SELECT count(*) FROM parts('taken', 9);
ROLLBACK;
\set VERBOSITY default
-- not the owner
SET ROLE regress_convert_other;
CALL convert_table_proc('taken', 'id', '10');
SELECT convert_table_plan('taken', 'id');
RESET ROLE;

--
-- what is refused: tables
--

\set VERBOSITY terse
CREATE TABLE parent (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE parent_0 PARTITION OF parent FOR VALUES FROM (0) TO (10);
CALL convert_table_proc('parent', 'id', '10');
SELECT convert_table_plan('parent', 'id');
CALL convert_table_proc('parent_0', 'id', '10');
CREATE UNLOGGED TABLE fleeting (id int PRIMARY KEY);
CALL convert_table_proc('fleeting', 'id', '10');
SELECT * FROM convert_table_plan('fleeting', 'id') WHERE is_problem;
CREATE TEMP TABLE mine (id int PRIMARY KEY);
\set VERBOSITY sqlstate
CALL convert_table_proc('mine', 'id', '10');
\set VERBOSITY terse
SELECT what FROM convert_table_plan('mine', 'id') WHERE is_problem;
CREATE VIEW looks AS SELECT * FROM taken;
CALL convert_table_proc('looks', 'id', '10');
\set VERBOSITY default
SELECT convert_table_plan('looks', 'id');
\set VERBOSITY terse
CREATE MATERIALIZED VIEW stored AS SELECT * FROM taken;
CALL convert_table_proc('stored', 'id', '10');
CREATE SEQUENCE counter;
CALL convert_table_proc('counter', 'last_value', '10');
SELECT convert_table_plan('counter', 'last_value');
CALL convert_table_proc('taken_pkey', 'id', '10');
SELECT convert_table_plan('taken_pkey', 'id');
CREATE FOREIGN DATA WRAPPER regress_convert;
CREATE SERVER regress_convert FOREIGN DATA WRAPPER regress_convert;
CREATE FOREIGN TABLE away (id int) SERVER regress_convert;
CALL convert_table_proc('away', 'id', '10');
SELECT convert_table_plan('away', 'id');
DROP FOREIGN DATA WRAPPER regress_convert CASCADE;
-- stands in the way: known to the plan, and to the procedure
CREATE FUNCTION bad(t regclass, control text) RETURNS TABLE (object text, what text) LANGUAGE sql AS $$ SELECT object, what FROM convert_table_plan(t, control) WHERE is_problem $$;
SELECT * FROM bad('taken', 'id');
CALL convert_table_proc('taken', 'id', '10');
DROP MATERIALIZED VIEW stored;
DROP VIEW looks;
CREATE TABLE "Bad" (id int PRIMARY KEY, at int, up int);
CREATE RULE "The rule" AS ON DELETE TO "Bad" DO INSTEAD NOTHING;
SELECT * FROM bad('"Bad"', 'id');
CALL convert_table_proc('"Bad"', 'id', '10');
DROP RULE "The rule" ON "Bad";
CREATE TABLE kid () INHERITS ("Bad");
SELECT * FROM bad('"Bad"', 'id');
CALL convert_table_proc('"Bad"', 'id', '10');
DROP TABLE kid;
CREATE TYPE shape AS (id int, v text);
CREATE TABLE shaped OF shape (PRIMARY KEY (id));
CALL convert_table_proc('shaped', 'id', '10');
DROP TYPE shape CASCADE;
CREATE TRIGGER "Moves" AFTER UPDATE ON "Bad" REFERENCING OLD TABLE AS o FOR EACH ROW EXECUTE FUNCTION note();
CALL convert_table_proc('"Bad"', 'id', '10');
DROP TRIGGER "Moves" ON "Bad";
ALTER TABLE "Bad" ADD CONSTRAINT "No two" EXCLUDE (at WITH =);
CALL convert_table_proc('"Bad"', 'id', '10');
ALTER TABLE "Bad" DROP CONSTRAINT "No two", ADD CONSTRAINT "Mine alone" CHECK (at > 0) NO INHERIT;
CALL convert_table_proc('"Bad"', 'id', '10');
ALTER TABLE "Bad" DROP CONSTRAINT "Mine alone";
ALTER EXTENSION partmgr ADD TABLE "Bad";
CALL convert_table_proc('"Bad"', 'id', '10');
ALTER EXTENSION partmgr DROP TABLE "Bad";
CREATE TABLE log_of_bad (v int);
CREATE RULE "On other" AS ON INSERT TO log_of_bad DO ALSO DELETE FROM "Bad";
CALL convert_table_proc('"Bad"', 'id', '10');
DROP TABLE log_of_bad;
CREATE TABLE has_type (v "Bad", w "Bad"[]);
SELECT * FROM bad('"Bad"', 'id');
CALL convert_table_proc('"Bad"', 'id', '10');
DROP TABLE has_type;
CREATE FUNCTION bad_id("Bad") RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1.id';
CREATE VIEW needs AS SELECT bad_id(b) FROM "Bad" b;
SELECT * FROM bad('"Bad"', 'id');
CALL convert_table_proc('"Bad"', 'id', '10');
DROP FUNCTION bad_id CASCADE;
ALTER TABLE "Bad" OWNER TO regress_convert_owner;
SET client_min_messages = error;	-- wal_level
CREATE PUBLICATION "Of others" FOR TABLE "Bad" WITH (publish_via_partition_root);
SET client_min_messages = warning;
CALL convert_table_proc('"Bad"', 'id', '10');
DROP PUBLICATION "Of others";
CREATE TABLE self (id int PRIMARY KEY, up int CONSTRAINT "Up" REFERENCES self);
CALL convert_table_proc('self', 'id', '10');
DROP TABLE self;
CREATE TABLE points (id int CONSTRAINT points_fk REFERENCES "Bad") PARTITION BY HASH (id);
CALL convert_table_proc('"Bad"', 'id', '10');
DROP TABLE points;
CREATE TABLE points (id int CONSTRAINT points_fk REFERENCES "Bad");
SELECT * FROM bad('"Bad"', 'at');
CALL convert_table_proc('"Bad"', 'at', '10');
DROP TABLE points;
INSERT INTO "Bad" VALUES (1);
SELECT * FROM bad('"Bad"', 'at');
CALL convert_table_proc('"Bad"', 'at', '10');
-- all of it at once
CREATE RULE "The rule" AS ON DELETE TO "Bad" DO INSTEAD NOTHING;
CREATE TABLE kid () INHERITS ("Bad");
SELECT * FROM bad('"Bad"', 'at');
DROP TABLE kid;
DROP RULE "The rule" ON "Bad";
SET client_min_messages = error;	-- wal_level
CREATE PUBLICATION regress_convert_all FOR ALL TABLES;
CALL convert_table_proc('"Bad"', 'id', '10');
SELECT * FROM bad('"Bad"', 'id');
DROP PUBLICATION regress_convert_all;
CREATE PUBLICATION "Regress schema" FOR TABLES IN SCHEMA convert_test;
CALL convert_table_proc('"Bad"', 'id', '10');
SELECT * FROM bad('"Bad"', 'id');
DROP PUBLICATION "Regress schema";
SET client_min_messages = warning;
-- nothing of all this has left anything
SELECT * FROM remains;
SELECT kind, state, units, sqlstate, message FROM rewrite_progress WHERE state <> 'done' ORDER BY id;

DROP SCHEMA convert_test CASCADE;
DROP PUBLICATION regress_convert;
DROP EXTENSION partmgr;
REVOKE ALL ON DATABASE :DBNAME FROM regress_convert_owner;
DROP ROLE regress_convert_owner, regress_convert_other, "regress convert Reader";
