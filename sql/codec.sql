-- Keys with a time in them: UUIDs of version 7, ULIDs, Snowflake numbers.

SET client_min_messages = warning;
DROP EXTENSION IF EXISTS partmgr;
DROP ROLE IF EXISTS codec_owner, codec_other, codec_group;
CREATE SCHEMA codec_partmgr;
CREATE EXTENSION partmgr SCHEMA codec_partmgr;
CREATE SCHEMA codec_test;
SET search_path = codec_test, codec_partmgr, public;
SET timezone = 'UTC';
SET DateStyle = 'ISO, MDY';

-- the partitions that begin before 2025: the others depend on the day
CREATE FUNCTION parts(parent text) RETURNS SETOF text LANGUAGE sql AS
	$$ SELECT format('%s %s [%s, %s) %s', partition_name, range, lower_time::timestamp, upper_time::timestamp, state)
		FROM list_partitions(parent) WHERE lower_time < '2025-01-01' OR lower_time IS NULL AND state IS NOT NULL $$;
-- runs a statement and returns what went wrong, a line each
CREATE FUNCTION try(statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	state text; message text; detail text; hint text;
BEGIN
	EXECUTE statement;
	RETURN NEXT 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
		detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	-- times and keys depend on the day
	message := regexp_replace(message, '20[2-9][0-9]-[-0-9:. ]+\+00', 'TIME', 'g');
	message := regexp_replace(message, '''01[0-9A-Z]{24}''', 'KEY', 'g');
	detail := regexp_replace(detail, '2[0-9]{3}-[-0-9:. ]+\+00', 'TIME', 'g');
	detail := regexp_replace(detail, '''0[0-9A-Za-z]{7}[-0-9A-Za-z]*''', 'KEY', 'g');
	RETURN NEXT state || ': ' || message;
	IF detail <> '' THEN RETURN NEXT 'detail: ' || detail; END IF;
	IF hint <> '' THEN RETURN NEXT 'hint: ' || hint; END IF;
END
$$;

-- a ULID: 48 bits of milliseconds as ten digits of base 32, and 16 that are random
CREATE FUNCTION ulid(at timestamptz, tail text DEFAULT '0000000000000000') RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
	digits constant text := '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
	ms bigint := floor(extract(epoch FROM at) * 1000);
	result text := '';
BEGIN
	FOR i IN 1 .. 10 LOOP
		result := substr(digits, (ms % 32)::int + 1, 1) || result;
		ms := ms / 32;
	END LOOP;
	RETURN result || tail;
END
$$;
CREATE FUNCTION ulid_encode(at timestamptz) RETURNS text LANGUAGE sql IMMUTABLE STRICT
	AS $$ SELECT codec_test.ulid(at) $$;
CREATE FUNCTION ulid_decode(key text) RETURNS timestamptz LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
	digit int;
	ms bigint := 0;
BEGIN
	IF key = 'no time' THEN RETURN NULL; END IF;
	FOR i IN 1 .. 10 LOOP
		digit := strpos('0123456789ABCDEFGHJKMNPQRSTVWXYZ', substr(key, i, 1));
		IF digit = 0 OR length(key) <> 26 THEN
			RAISE EXCEPTION '% is no ULID', key;
		END IF;
		ms := ms * 32 + digit - 1;
	END LOOP;
	RETURN to_timestamp(ms / 1000.0);
END
$$;
-- a Snowflake number: milliseconds since 2010-11-04 01:42:54.657, and 22 bits
CREATE FUNCTION snow_encode(at timestamptz) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT
	AS $$ SELECT (floor(extract(epoch FROM at) * 1000)::bigint - 1288834974657) << 22 $$;
CREATE FUNCTION snow_decode(key text) RETURNS timestamptz LANGUAGE sql IMMUTABLE STRICT
	AS $$ SELECT to_timestamp(((key::bigint >> 22) + 1288834974657) / 1000.0) $$;

--
-- our own functions
--
SELECT uuid7_time_encoder('2026-01-01'), uuid7_time_encoder('1970-01-01'), uuid7_time_encoder('2024-02-29 12:34:56.789999+02');
SELECT uuid7_time_decoder('018df533-3bd5-7abc-8def-0123456789ab'), uuid7_time_decoder(uuid7_time_encoder('2026-01-01')::text);
SELECT uuid7_time_encoder(NULL) IS NULL, uuid7_time_decoder(NULL) IS NULL;
SELECT uuid7_time_encoder('10889-08-02 05:31:50.655'), uuid7_time_decoder('ffffffff-ffff-ffff-ffff-ffffffffffff');
SELECT try($$SELECT uuid7_time_encoder('1969-12-31 23:59:59.999')$$);
SELECT try($$SELECT uuid7_time_encoder('10889-08-02 05:31:50.656')$$);
SELECT try($$SELECT uuid7_time_encoder('infinity')$$);
SELECT try($$SELECT uuid7_time_decoder('f47ac10b-58cc-4372-a567-0e02b2c3d479')$$);
SELECT try($$SELECT uuid7_time_decoder('7')$$);
SELECT proname, provolatile, proparallel, proisstrict FROM pg_proc WHERE proname LIKE 'uuid7%' ORDER BY 1;

--
-- UUID
--
CREATE TABLE u (id uuid PRIMARY KEY, v int) PARTITION BY RANGE (id);
SELECT create_parent('u', 'id', '1 year', p_time_encoder => 'codec_partmgr.uuid7_time_encoder',
	p_time_decoder => 'codec_partmgr.uuid7_time_decoder(text)', p_time_zone => 'UTC',
	p_start_partition => '2022-01-01', p_premake => 1);
SELECT time_encoder, time_decoder, epoch, time_zone FROM part_config WHERE parent_table = 'u'::regclass;
SELECT parts('u');
-- whatever the session's zone and style, nothing more is to be done
SET timezone = 'Asia/Tokyo';
SET DateStyle = 'German';
SELECT count(*) FROM run_partition_maintenance('u');
SET timezone = 'UTC';
SET DateStyle = 'ISO, MDY';
-- rows go where their time is
INSERT INTO u VALUES ('0182a000-0000-7abc-8def-0123456789ab', 1), ('018df533-3bd5-7abc-8def-0123456789ab', 2);
SELECT tableoid::regclass, uuid7_time_decoder(id::text), v FROM u ORDER BY id;
-- a query that names a time reads the partitions it needs
SET enable_indexscan = off;
SET enable_bitmapscan = off;
EXPLAIN (COSTS OFF) SELECT * FROM u WHERE id >= uuid7_time_encoder('2023-03-01') AND id < uuid7_time_encoder('2023-04-01');
SELECT * FROM show_partition_info('codec_test.u_p20230101');
SELECT partition_table, suffix_timestamp, table_exists FROM show_partition_name('codec_test.u', '2023-05-06');
SELECT partition_table, suffix_timestamp, table_exists FROM show_partition_name('codec_test.u', '018df533-3bd5-7abc-8def-0123456789ab');
SELECT partition_table, suffix_timestamp, table_exists FROM show_partition_name('codec_test.u', '2019-05-06');
SELECT partition_table, suffix_timestamp, table_exists FROM show_partition_name('codec_test.u', uuid7_time_encoder('2019-05-06')::text);
SELECT try($$SELECT show_partition_name('codec_test.u', 'f47ac10b-58cc-4372-a567-0e02b2c3d479')$$);
SELECT try($$SELECT show_partition_name('codec_test.u', 'x')$$);
SELECT status, problems FROM partition_health_summary('u');

-- bounds with a tail: what is next goes on from exactly there
CREATE TABLE odd (id uuid NOT NULL, v int) PARTITION BY RANGE (id);
CREATE TABLE odd_first PARTITION OF odd FOR VALUES
	FROM ('0180a1b2-c3d4-7000-8000-000000000001') TO ('01856aa0-c800-7000-8000-000000000000');
CREATE TABLE odd_second PARTITION OF odd FOR VALUES
	FROM ('01856aa0-c800-7000-8000-000000000000') TO ('018cc251-f400-7abc-8000-00000000000a');
SELECT create_parent('odd', 'id', '1 year', p_time_encoder => 'codec_partmgr.uuid7_time_encoder',
	p_time_decoder => 'codec_partmgr.uuid7_time_decoder', p_time_zone => 'UTC', p_premake => 1);
SELECT parts('odd');
INSERT INTO odd VALUES ('018cc251-f400-7000-8000-000000000000', 1), ('018cc251-f400-7abc-8000-00000000000a', 2),
	('0180a1b2-c3d4-7000-8000-000000000000', 3);
SELECT tableoid::regclass, v FROM odd ORDER BY v;
SELECT partition_table FROM show_partition_name('codec_test.odd', '018cc251-f400-7abc-8000-000000000009');
SELECT partition_table FROM show_partition_name('codec_test.odd', '018cc251-f400-7abc-8000-00000000000a');
-- a row just before such a bound has a partition made that ends there
SELECT partition_data_time('codec_test.odd');
SELECT parts('odd');
-- retention goes by the time, and never takes a row inside: odd_second may hold
-- rows of this very millisecond
SELECT partition_name, action FROM drop_old_partitions('odd', p_retention => (now() - timestamptz '2024-01-01 00:00:00')::text, p_dry_run => true);
SELECT partition_name, action FROM drop_old_partitions('odd', p_retention => (now() - timestamptz '2024-01-01 00:00:01')::text);
SELECT parts('odd');
SELECT partition, range FROM part_detached ORDER BY 1;
SELECT reattach_partition('odd_second');
SELECT parts('odd');
-- partitions that follow each other at such a bound can be merged
CALL merge_partitions_proc('odd', '2023-01-01', '2025-01-01', p_mode => 'locking');
SELECT parts('odd');
SELECT tableoid::regclass, v FROM odd ORDER BY v;

--
-- ULID, in text
--
CREATE TABLE l (id text NOT NULL, v int) PARTITION BY RANGE (id);
SELECT create_parent('l', 'id', '1 month', p_time_encoder => 'codec_test.ulid_encode(timestamptz)',
	p_time_decoder => 'codec_test.ulid_decode', p_time_zone => 'Europe/Berlin', p_start_partition => '2024-10-01', p_premake => 1);
SELECT parts('l');
INSERT INTO l VALUES (ulid('2024-10-15', 'ABCDEFGHJKMNPQRS'), 1), (ulid('2024-11-01 00:00+01'), 2), (ulid('2024-10-31 23:59:59.999+01', 'ZZZZZZZZZZZZZZZZ'), 3);
SELECT tableoid::regclass, v FROM l ORDER BY v;
SELECT partition_table FROM show_partition_name('codec_test.l', '2024-11-05');
SELECT partition_table FROM show_partition_name('codec_test.l', ulid('2024-11-05', 'QQQQQQQQQQQQQQQQ'));
EXPLAIN (COSTS OFF) SELECT * FROM l WHERE id >= ulid_encode('2024-10-05') AND id < ulid_encode('2024-10-06');

-- rows in the default: those without a time stay there, and keep nothing from being done
INSERT INTO l VALUES (ulid('2024-03-05', 'ABCDEFGHJKMNPQRS'), 4), (ulid('2024-03-06'), 5), (ulid('2024-05-06'), 6),
	('no time', 7), ('', 8), ('~''\x', 9), (ulid('2024-03-06', 'U'), 10);
INSERT INTO l SELECT '!' || n, 11 FROM generate_series(1, 1500) n;
SELECT count(*) FROM run_partition_maintenance('l');
SELECT try($$SELECT drop_default('l')$$);
SELECT partition_data_time('codec_test.l', 10);
SELECT parts('l');
SELECT tableoid::regclass, v, count(*) FROM l GROUP BY 1, 2 ORDER BY 2;
SELECT * FROM check_default(true) WHERE default_table = 'codec_test.l_default';
SELECT status, problems FROM partition_health_summary('l');
-- the same by the rewrite engine
INSERT INTO l VALUES (ulid('2024-06-05', 'ABCDEFGHJKMNPQRS'), 12), (ulid('2024-07-06'), 13);
CALL drain_default_proc('l', p_mode => 'locking');
SELECT tableoid::regclass, v, count(*) FROM l GROUP BY 1, 2 ORDER BY 2;
-- a gap
SELECT partition_gap_fill('l');
SELECT parts('l');
-- from a table of its own
CREATE TABLE l_source (LIKE l);
INSERT INTO l_source VALUES (ulid('2024-08-05', 'AB'), 14), (ulid('2024-08-06', 'ABCDEFGHJKMNPQRS'), 15), ('nothing', 16), (ulid('2024-08-06'), 17);
SELECT partition_data_time('codec_test.l', 10, p_source_table => 'codec_test.l_source');
SELECT v FROM l_source ORDER BY v;
SELECT tableoid::regclass, v FROM l WHERE v > 13 ORDER BY v;
-- split and merge
CALL split_partition_proc('l_p20241001', p_at => '{2024-10-15}', p_mode => 'locking');
SELECT parts('l');
SELECT tableoid::regclass, v FROM l WHERE v <= 3 ORDER BY v;
-- holds and retention
SELECT hold_partition('l', '2024-03-10', '2024-03-11', 'evidence') > 0;
SELECT partition_name, action FROM drop_old_partitions('l', p_retention => (now() - timestamptz '2024-06-02')::text);
SELECT parts('l');

-- a table becomes a set
CREATE TABLE c (id text PRIMARY KEY, v int);
INSERT INTO c SELECT ulid('2024-01-01'::timestamptz + n * interval '1 day', 'ABCDEFGHJKMNPQRS'), n FROM generate_series(0, 99) n;
INSERT INTO c VALUES ('garbage', -1);
CALL convert_table_proc('c', 'id', '1 month', p_time_encoder => 'codec_test.ulid_encode', p_time_decoder => 'codec_test.ulid_decode',
	p_time_zone => 'UTC', p_premake => 1, p_mode => 'locking');
SELECT parts('c');
SELECT tableoid::regclass, count(*), min(v), max(v) FROM c GROUP BY 1 ORDER BY 3;

-- or the first partition of one
CREATE TABLE i (id text NOT NULL, v int);
INSERT INTO i SELECT * FROM c WHERE v >= 0;
CALL convert_table_proc('i', 'id', '1 year', p_time_encoder => 'codec_test.ulid_encode', p_time_decoder => 'codec_test.ulid_decode',
	p_time_zone => 'UTC', p_premake => 1, p_mode => 'instant');
SELECT partition_name, lower_time, upper_time > now() FROM list_partitions('i') LIMIT 1;
SELECT tableoid::regclass, count(*) FROM i GROUP BY 1;
CREATE TABLE i_bad (LIKE i);
INSERT INTO i_bad VALUES ('zzz', 1);
CALL convert_table_proc('i_bad', 'id', '1 year', p_time_encoder => 'codec_test.ulid_encode', p_time_decoder => 'codec_test.ulid_decode',
	p_time_zone => 'UTC', p_premake => 1, p_mode => 'instant');

--
-- Snowflake numbers
--
CREATE TABLE s (id bigint NOT NULL, v int) PARTITION BY RANGE (id);
CREATE TABLE s_old PARTITION OF s FOR VALUES FROM (MINVALUE) TO (0);
SELECT create_parent('s', 'id', '1 year', p_time_encoder => 'codec_test.snow_encode', p_time_decoder => 'codec_test.snow_decode',
	p_time_zone => 'UTC', p_start_partition => '2022-01-01', p_premake => 1, p_default_table => false);
SELECT parts('s');
INSERT INTO s VALUES (snow_encode('2023-07-01') + 17, 1);
SELECT tableoid::regclass, v FROM s;
SELECT partition_table FROM show_partition_name('codec_test.s', '2022-02-03');
SELECT partition_table FROM show_partition_name('codec_test.s', (snow_encode('2022-02-03') + 5)::text);
SELECT hold_partition('s', snow_encode('2022-03-10')::text, (snow_encode('2022-03-11') + 1)::text, 'evidence') > 0;
SELECT lower, upper FROM part_hold WHERE parent_table = 's'::regclass;

--
-- Refusals
--
\pset format unaligned
\pset tuples_only on
CREATE TABLE t (id text NOT NULL, at timestamptz) PARTITION BY RANGE (id);
CREATE TABLE tu (id uuid NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE tt (id timestamptz NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE ti (id int NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE tl (id text NOT NULL) PARTITION BY LIST (id);
CREATE FUNCTION try_codec(parent text, encoder text, decoder text, more text DEFAULT '') RETURNS SETOF text LANGUAGE sql AS
	$$ SELECT try(format('SELECT create_parent(%L, %L, %L, p_time_encoder => %L, p_time_decoder => %L, p_default_table => false%s)',
		parent, 'id', '1 month', encoder, decoder, more)) $$;
-- both are needed, for types that go with them
SELECT try_codec('t', NULL, NULL);
SELECT try_codec('tu', NULL, NULL);
SELECT try_codec('t', 'codec_test.ulid_encode', NULL);
SELECT try_codec('t', NULL, 'codec_test.ulid_decode');
SELECT try_codec('tt', 'codec_test.ulid_encode', 'codec_test.ulid_decode');
SELECT try_codec('ti', 'codec_test.ulid_encode', 'codec_test.ulid_decode');
SELECT try_codec('s', 'codec_test.snow_encode', 'codec_test.snow_decode', $$, p_epoch => 'seconds'$$);
SELECT try_codec('tl', 'codec_test.ulid_encode', 'codec_test.ulid_decode', $$, p_type => 'list'$$);
SELECT try_codec('t', 'codec_test.ulid_encode', 'codec_test.ulid_decode', $$, p_on_demand => true$$);
-- functions that are not there, or others
SELECT try_codec('t', 'ulid_encode', 'codec_test.ulid_decode');
SELECT try_codec('t', 'codec_test.ulid_encode', 'codec_test.ulid_decode(bigint)');
SELECT try_codec('t', 'codec_test.ulid_encode; DROP TABLE t', 'codec_test.ulid_decode');
SELECT try_codec('t', 'codec_test.nowhere', 'codec_test.ulid_decode');
SELECT try_codec('t', 'nowhere.ulid_encode', 'codec_test.ulid_decode');
SELECT try_codec('t', 'codec_test.ulid_encode', 'codec_test.nowhere');
SELECT try_codec('tu', 'codec_test.ulid_encode', 'codec_test.ulid_decode');
SELECT try_codec('t', 'codec_test.ulid_encode', 'pg_catalog.upper');
-- functions that do not do what they must
CREATE FUNCTION "No"(at timestamptz) RETURNS text LANGUAGE sql AS $$ SELECT NULL::text $$;
SELECT try_codec('t', 'codec_test."No"', 'codec_test.ulid_decode');
CREATE FUNCTION no_time(key text) RETURNS timestamptz IMMUTABLE LANGUAGE sql AS $$ SELECT 'infinity'::timestamptz $$;
SELECT try_codec('t', 'codec_test.ulid_encode', 'codec_test.no_time');
CREATE FUNCTION other_time(key text) RETURNS timestamptz IMMUTABLE LANGUAGE sql AS $$ SELECT codec_test.ulid_decode(key) + '2 s' $$;
SELECT try_codec('t', 'codec_test.ulid_encode', 'codec_test.other_time');
CREATE FUNCTION random_tail(at timestamptz) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT codec_test.ulid(at, gen_random_uuid()::text) $$;
SELECT try_codec('t', 'codec_test.random_tail', 'codec_test.ulid_decode');
CREATE FUNCTION backwards(at timestamptz) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT codec_test.ulid(timestamptz '2200-01-01' - (at - '2000-01-01')) $$;
SELECT try_codec('t', 'codec_test.backwards', 'codec_test.ulid_decode');
CREATE FUNCTION fails(key text) RETURNS timestamptz IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RAISE division_by_zero; END $$;
SELECT try_codec('t', 'codec_test.ulid_encode', 'codec_test.fails');
-- keys that count two seconds cannot tell one from the next
CREATE FUNCTION two_encode(at timestamptz) RETURNS bigint IMMUTABLE LANGUAGE sql AS $$ SELECT floor(extract(epoch FROM at) / 2)::bigint $$;
CREATE FUNCTION two_decode(key text) RETURNS timestamptz IMMUTABLE LANGUAGE sql AS $$ SELECT to_timestamp(key::bigint * 2) $$;
CREATE TABLE twos (id bigint NOT NULL) PARTITION BY RANGE (id);
SELECT try($$SELECT create_parent('twos', 'id', '1 second', p_time_encoder => 'codec_test.two_encode',
	p_time_decoder => 'codec_test.two_decode', p_default_table => false)$$);
-- a collation that orders the keys otherwise; the partition key can have another one
CREATE FUNCTION base62(at timestamptz, tail text DEFAULT '0') RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
	digits constant text := '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
	s bigint := floor(extract(epoch FROM at));
	result text := '';
BEGIN
	FOR i IN 1 .. 7 LOOP
		result := substr(digits, (s % 62)::int + 1, 1) || result;
		s := s / 62;
	END LOOP;
	RETURN result || tail;
END
$$;
CREATE FUNCTION base62_encode(at timestamptz) RETURNS varchar LANGUAGE sql IMMUTABLE STRICT
	AS $$ SELECT codec_test.base62(at) $$;
CREATE FUNCTION base62_decode(key text) RETURNS timestamptz LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
	s bigint := 0;
BEGIN
	FOR i IN 1 .. 7 LOOP
		s := s * 62 + strpos('0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz', substr(key, i, 1)) - 1;
	END LOOP;
	RETURN to_timestamp(s);
END
$$;
CREATE TABLE tc (id text COLLATE "en-x-icu" NOT NULL, v int) PARTITION BY RANGE (id);
SELECT try_codec('tc', 'codec_test.base62_encode', 'codec_test.base62_decode');
DROP TABLE tc;
CREATE TABLE tc (id text COLLATE "en-x-icu" NOT NULL, v int) PARTITION BY RANGE (id COLLATE "C");
CREATE TABLE tc_z PARTITION OF tc FOR VALUES FROM (MINVALUE) TO ('01VAAAA1''\z');
SELECT create_parent('tc', 'id', '1 month', p_time_encoder => 'codec_test.base62_encode', p_time_decoder => 'codec_test.base62_decode',
	p_time_zone => 'UTC', p_start_partition => '2024-11-01', p_premake => 1);
INSERT INTO tc VALUES (base62('2024-09-03', 'z'), 1), (base62('2024-08-03', 'A'), 2), (base62('2024-11-03', 'z'), 3),
	(base62('2024-08-31 23:59:59', 'z'), 4), (base62('2024-08-01', 'A'), 5);
SELECT partition_data_time('codec_test.tc', 1);
CALL drain_default_proc('tc', p_mode => 'locking');
SELECT parts('tc');
SELECT tableoid::regclass, v FROM tc ORDER BY v;
-- an order of its own
CREATE TABLE tp (id text NOT NULL) PARTITION BY RANGE (id text_pattern_ops);
SELECT try_codec('tp', 'codec_test.ulid_encode', 'codec_test.ulid_decode');
-- volatile functions work, and are told of
CREATE FUNCTION slow_encode(at timestamptz) RETURNS text LANGUAGE sql AS $$ SELECT codec_test.ulid(at) $$;
CREATE FUNCTION slow_decode(key text) RETURNS timestamptz LANGUAGE sql AS $$ SELECT codec_test.ulid_decode(key) $$;
SELECT create_parent('t', 'id', '1 year', p_time_encoder => 'codec_test.slow_encode', p_time_decoder => 'codec_test.slow_decode',
	p_time_zone => 'UTC', p_default_table => false);

-- changing them
SELECT try($$UPDATE part_config SET time_encoder = NULL, time_decoder = NULL WHERE parent_table = 't'::regclass$$);
SELECT try($$UPDATE part_config SET time_encoder = 'codec_test.backwards' WHERE parent_table = 't'::regclass$$);
SELECT try($$UPDATE part_config SET time_encoder = 'codec_test.nowhere' WHERE parent_table = 't'::regclass$$);
SELECT try($$UPDATE part_config SET time_encoder = 'codec_test.ulid_encode', time_decoder = 'codec_test.ulid_decode' WHERE parent_table = 't'::regclass$$);
SELECT try($$UPDATE part_config SET on_demand = true WHERE parent_table = 't'::regclass$$);
SELECT try($$UPDATE part_config SET grid_origin = '2000-01-01 00:00:00.0005' WHERE parent_table = 't'::regclass$$);

-- one that is gone is the trouble of its own set, which says so
ALTER FUNCTION ulid_decode RENAME TO ulid_decode_away;
SELECT try($$SELECT run_maintenance('t')$$);
SELECT * FROM run_partition_maintenance() WHERE parent_table = 'u'::regclass;
SELECT status, problems FROM partition_health_summary('t');
-- and can be dealt with
SELECT try($$UPDATE part_config SET premake = 2 WHERE parent_table = 't'::regclass$$);
ALTER FUNCTION ulid_decode_away RENAME TO ulid_decode;
SELECT try($$SELECT run_maintenance('t')$$);
-- one that fails, or returns nothing, says it itself
CREATE OR REPLACE FUNCTION slow_decode(key text) RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'broken'; END $$;
UPDATE part_config SET time_decoder = 'codec_test.ulid_decode', time_encoder = 'codec_test.ulid_encode' WHERE parent_table = 't'::regclass;
CREATE OR REPLACE FUNCTION ulid_encode(at timestamptz) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE EXCEPTION 'encoder broken'; END $$;
SELECT try($$SELECT create_future_partitions('t', 20)$$);
CREATE OR REPLACE FUNCTION ulid_encode(at timestamptz) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT NULL $$;
SELECT try($$SELECT create_future_partitions('t', 20)$$);
CREATE OR REPLACE FUNCTION ulid_encode(at timestamptz) RETURNS text LANGUAGE sql IMMUTABLE STRICT AS $$ SELECT codec_test.ulid(at) $$;
CREATE FUNCTION ulid_decode_broken(key text) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$ SELECT codec_test.ulid_decode(key) $$;
UPDATE part_config SET time_decoder = 'codec_test.ulid_decode_broken' WHERE parent_table = 't'::regclass;
CREATE OR REPLACE FUNCTION ulid_decode_broken(key text) RETURNS timestamptz LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE EXCEPTION 'decoder broken'; END $$;
SELECT try($$SELECT create_future_partitions('t', 20)$$);
CREATE OR REPLACE FUNCTION ulid_decode_broken(key text) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$ SELECT NULL::timestamptz $$;
SELECT try($$SELECT create_future_partitions('t', 20)$$);

-- a configuration out of a dump gets through, and says what is wrong
SELECT config_cleanup('t');
INSERT INTO part_config (parent_table, control, partition_interval, time_zone, grid_origin, time_encoder, time_decoder)
	VALUES ('t', 'id', '1 year', 'UTC', '2000-01-01', 'codec_test.nowhere', 'codec_test.ulid_decode');
SELECT status, problems FROM partition_health_summary('t');
DELETE FROM part_config WHERE parent_table = 't'::regclass;

-- whose functions: they run as the owner of the table
CREATE ROLE codec_owner;
CREATE ROLE codec_other;
CREATE ROLE codec_group;
GRANT codec_group TO codec_owner;
GRANT CREATE, USAGE ON SCHEMA codec_test TO codec_owner, codec_other, codec_group;
GRANT USAGE ON SCHEMA codec_partmgr TO codec_owner;
CREATE TABLE o (id text NOT NULL) PARTITION BY RANGE (id);
ALTER TABLE o OWNER TO codec_owner;
CREATE FUNCTION o_encode(at timestamptz) RETURNS text LANGUAGE plpgsql AS
	$$ BEGIN PERFORM set_config('search_path', 'codec_test', false); RETURN ulid(at, lpad('', 16, left(current_user, 1))); END $$;
ALTER FUNCTION o_encode OWNER TO codec_other;
SELECT try_codec('o', 'codec_test.o_encode', 'codec_test.ulid_decode');
-- nor a superuser's table by anybody's function
SELECT try_codec('tp', 'codec_test.o_encode', 'codec_test.ulid_decode');
ALTER FUNCTION o_encode OWNER TO codec_group;
REVOKE EXECUTE ON FUNCTION o_encode FROM public;
REVOKE EXECUTE ON FUNCTION o_encode FROM codec_group;
SELECT try_codec('o', 'codec_test.o_encode', 'codec_test.ulid_decode');
GRANT EXECUTE ON FUNCTION o_encode TO codec_owner;
SET client_min_messages = error;
SELECT try_codec('o', 'codec_test.o_encode', 'codec_test.ulid_decode', $$, p_premake => 1, p_time_zone => 'UTC'$$);
RESET client_min_messages;
SELECT current_user = session_user, current_setting('search_path');
SELECT bool_and(range ~ 'c{16}') FROM list_partitions('o');
-- he changes hands
ALTER TABLE o OWNER TO codec_other;
SELECT try($$SELECT run_maintenance('o')$$);

\pset format aligned
\pset tuples_only off
SET client_min_messages = error;
DROP SCHEMA codec_test CASCADE;
DROP EXTENSION partmgr;
DROP SCHEMA codec_partmgr;
DROP OWNED BY codec_owner, codec_other, codec_group;
DROP ROLE codec_owner, codec_other, codec_group;
