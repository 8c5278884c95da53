-- Where bounds lie: the kinds of key and the calendar, without any table.
-- Needs a library built with PARTMGR_DEBUG (src/testing_key.c).

CREATE SCHEMA key_test;
SET search_path = key_test;
SET client_min_messages = warning;

CREATE FUNCTION kind(regtype, text) RETURNS text
  STRICT LANGUAGE C AS 'partmgr', 'partmgr_test_key_kind';
CREATE FUNCTION grid_c(anyelement, text, text, text, anyelement, int) RETURNS text[]
  LANGUAGE C AS 'partmgr', 'partmgr_test_key_grid';
CREATE FUNCTION add_c(anyelement, text, text, text, anyelement, bigint) RETURNS text
  LANGUAGE C AS 'partmgr', 'partmgr_test_key_add';
CREATE FUNCTION "position"(anyelement, epoch text, round_up bool) RETURNS text
  STRICT LANGUAGE C AS 'partmgr', 'partmgr_test_key_position';
CREATE FUNCTION literal(anyelement, epoch text DEFAULT 'none') RETURNS text
  STRICT LANGUAGE C AS 'partmgr', 'partmgr_test_key_literal';
CREATE FUNCTION same(anyelement, epoch text DEFAULT 'none') RETURNS anyelement
  STRICT LANGUAGE C AS 'partmgr', 'partmgr_test_key_datum';
CREATE FUNCTION wall(timestamptz, zone text) RETURNS timestamp
  STRICT LANGUAGE C AS 'partmgr', 'partmgr_test_key_now';
CREATE FUNCTION instant(timestamp, zone text) RETURNS timestamptz
  STRICT LANGUAGE C AS 'partmgr', 'partmgr_test_key_instant';
CREATE FUNCTION width(text, regtype) RETURNS text
  STRICT LANGUAGE C AS 'partmgr', 'partmgr_test_key_width';

-- the bound at or before v, and the n - 1 after it; as text that every session
-- reads alike
CREATE FUNCTION grid(v anyelement, width text, zone text, n int,
                     epoch text DEFAULT 'none', origin anyelement DEFAULT NULL)
RETURNS text LANGUAGE sql AS $$
  SELECT array_to_string(key_test.grid_c(v, epoch, width, zone, origin, n), ', ')
$$;
-- v + times * width
CREATE FUNCTION add(v anyelement, width text, zone text, times bigint,
                    epoch text DEFAULT 'none')
RETURNS text LANGUAGE sql AS $$
  SELECT key_test.add_c(v, epoch, width, zone, NULL, times)
$$;

--
-- Kinds
--
SELECT epoch, array_agg(t || coalesce(': ' || kind(t, epoch), ': -') ORDER BY o) AS kinds
  FROM unnest('{none,seconds,milliseconds,microseconds,nanoseconds,yyyymmdd,yyyymm,hours}'::text[])
         WITH ORDINALITY AS e(epoch, eo),
       unnest('{timestamptz,timestamp,date,int2,int4,int8,numeric,text,-}'::regtype[])
         WITH ORDINALITY AS ty(t, o)
 GROUP BY eo, epoch ORDER BY eo;

\pset format unaligned
\pset tuples_only on

--
-- Days and hours of a set in New York, across both changes of its clocks
--
SELECT grid(timestamptz '2025-03-08 12:00-05', '1 day', 'America/New_York', 4);
SELECT grid(timestamptz '2025-11-01 12:00-04', '1 day', 'America/New_York', 4);
SELECT grid(timestamptz '2025-03-09 01:30-05', '1 hour', 'America/New_York', 4);
SELECT grid(timestamptz '2025-11-02 00:30-04', '1 hour', 'America/New_York', 5);
-- the other way round in Auckland, and half an hour in Lord Howe
SELECT grid(timestamptz '2025-04-05 12:00+13', '1 day', 'Pacific/Auckland', 4);
SELECT grid(timestamptz '2025-09-27 12:00+12', '1 day', 'Pacific/Auckland', 4);
SELECT grid(timestamptz '2025-04-05 12:00+11', '1 day', 'Australia/Lord_Howe', 3);
-- the local clock in Kolkata (+05:30) and Kathmandu (+05:45)
SELECT grid(timestamptz '2025-09-01 00:07+05:30', '1 hour', 'Asia/Kolkata', 2);
SELECT grid(timestamptz '2025-09-01 00:07+05:30', '15 minutes', 'Asia/Kolkata', 2);
SELECT grid(timestamptz '2025-09-01 00:07+05:45', '6 hours', 'Asia/Kathmandu', 3);
SELECT grid(timestamptz '2025-09-01 00:07:13.999999+00', '1 second', 'UTC', 3);

-- Months, quarters, years, weeks; also for a column without a zone
SELECT grid(timestamptz '2025-02-15 00:00+00', '1 month', 'America/New_York', 4);
SELECT grid(timestamptz '2025-02-15 00:00+00', '3 months', 'Pacific/Auckland', 4);
SELECT grid(timestamptz '2025-02-15 00:00+00', '1 year', 'Asia/Kolkata', 2);
SELECT grid(timestamp '2025-02-15 00:00', '3 months', 'Asia/Kolkata', 3);
SELECT grid(date '2025-02-15', '1 month', 'Asia/Kolkata', 3);
SELECT grid(date '2025-01-01', '7 days', 'UTC', 3);          -- Mondays
SELECT grid(timestamptz '1999-12-30 12:00+00', '1 week', 'America/New_York', 3);
SELECT grid(date '2025-01-01', '14 days', 'UTC', 3);
SELECT grid(date '2025-01-01', '10 days', 'UTC', 3);
SELECT grid(date '1999-12-01', '10 days', 'UTC', 4);

-- An origin of one's own: January 31, February 29, weeks from Sunday
SELECT grid(date '2024-01-31', '1 month', 'UTC', 6, origin => date '2024-01-31');
SELECT grid(date '2023-03-30', '1 month', 'UTC', 3, origin => date '2024-01-31');
SELECT grid(timestamptz '2025-02-28 04:59+00', '1 month', 'America/New_York', 3,
            origin => timestamptz '2024-01-31 00:00-05');
SELECT grid(date '2024-02-29', '1 year', 'UTC', 6, origin => date '2024-02-29');
SELECT grid(date '2023-03-01', '1 year', 'UTC', 2, origin => date '2024-02-29');
SELECT grid(date '2025-01-01', '7 days', 'UTC', 2, origin => date '2000-01-02');
SELECT grid(timestamptz '2025-03-08 12:00+00', '1 day', 'America/New_York', 4,
            origin => timestamptz '2025-01-01 02:30-05');    -- 02:30 is skipped
SELECT grid(timestamptz '2025-11-01 12:00+00', '1 day', 'America/New_York', 3,
            origin => timestamptz '2025-01-01 01:30-05');    -- 01:30 comes twice

-- Midnight does not exist, or comes twice; a day that does not exist at all
SELECT grid(timestamptz '2018-11-03 12:00-03', '1 day', 'America/Sao_Paulo', 4);
SELECT grid(timestamptz '2024-04-25 12:00+02', '1 day', 'Africa/Cairo', 3);
SELECT grid(timestamptz '2023-04-27 12:00+02', '1 month', 'Africa/Cairo', 2,
            origin => timestamptz '2000-01-28 00:00+02');
SELECT grid(timestamptz '2010-11-06 12:00-02:30', '1 day', 'America/St_Johns', 4);
SELECT grid(timestamptz '2010-11-07 02:45+00', '1 day', 'America/St_Johns', 2);  -- 23:15 again
SELECT grid(timestamptz '2024-11-02 12:00-04', '1 day', 'America/Havana', 3);
SELECT grid(timestamptz '2011-12-29 12:00-10', '1 day', 'Pacific/Apia', 3);
SELECT grid(timestamptz '2011-12-29 12:00-10', '2 days', 'Pacific/Apia', 3,
            origin => timestamptz '2011-12-28 00:00-10');
-- beyond the table of changes, by the rule
SELECT grid(timestamptz '2425-03-10 12:00+00', '1 day', 'America/New_York', 2);
SELECT grid(timestamptz '2425-07-10 12:00+00', '1 day', 'America/New_York', 2);

\pset format aligned
\pset tuples_only off

--
-- Every session sees the same
--
CREATE TABLE seen (zone text, datestyle text, intervalstyle text, digest text);
CREATE FUNCTION look() RETURNS text LANGUAGE sql AS $$
  SELECT md5(string_agg(concat_ws('|', z, w, t,
             grid_c(timestamptz 'epoch' + t * interval '1 second', 'none', w, z, NULL, 3),
             grid_c((timestamp 'epoch' + t * interval '1 second'), 'none', w, z, NULL, 3),
             add_c(timestamptz 'epoch' + t * interval '1 second', 'none', w, z, NULL, -5)), ',' ORDER BY z, w, t))
    FROM unnest('{UTC,America/New_York,Asia/Kolkata,Pacific/Auckland}'::text[]) z,
         unnest('{1 day,1 hour,15 minutes,1 month,7 days,3 months}'::text[]) w,
         unnest('{1741503600,1762059600,1743861600,1758981600,1756684800,-100000000000}'::bigint[]) t
$$;
CREATE PROCEDURE look_around() LANGUAGE plpgsql AS $$
DECLARE
  z text; d text; i text;
BEGIN
  FOREACH z IN ARRAY '{UTC,America/New_York,Asia/Kolkata,Pacific/Auckland}'::text[] LOOP
    FOREACH d IN ARRAY '{"ISO, MDY","SQL, DMY","German","Postgres, MDY"}'::text[] LOOP
      FOREACH i IN ARRAY '{postgres,iso_8601,sql_standard,postgres_verbose}'::text[] LOOP
        PERFORM set_config('TimeZone', z, true), set_config('DateStyle', d, true),
                set_config('IntervalStyle', i, true);
        INSERT INTO seen VALUES (z, d, i, look());
      END LOOP;
    END LOOP;
  END LOOP;
END $$;
CALL look_around();
SELECT count(*) AS sessions, count(DISTINCT digest) AS answers FROM seen;

-- Literals too are read alike, and say the same value
CREATE FUNCTION read_back() RETURNS TABLE (bad text) LANGUAGE plpgsql AS $$
DECLARE
  z text; d text; v timestamptz;
BEGIN
  FOREACH z IN ARRAY '{UTC,America/New_York,Asia/Kolkata,Pacific/Auckland}'::text[] LOOP
    FOREACH d IN ARRAY '{"ISO, MDY","ISO, DMY","ISO, YMD","SQL, DMY","German","Postgres, MDY"}'::text[] LOOP
      PERFORM set_config('TimeZone', z, true), set_config('DateStyle', d, true);
      FOR v IN SELECT make_timestamptz(y, 1 + abs(y) % 12, 1 + abs(y) % 28, 3, 4, s, 'UTC')
                 FROM unnest('{-4712,-44,-1,1,12,99,1000,1899,2025,9999,10000,294276}'::int[]) y,
                      unnest('{0,5,0.000001,59.999999,12.5}'::float8[]) s
      LOOP
        bad := literal(v);
        IF substr(bad, 2, length(bad) - 2)::timestamptz <> v OR same(v) <> v THEN RETURN NEXT; END IF;
        bad := literal(v::timestamp);
        IF substr(bad, 2, length(bad) - 2)::timestamp <> v::timestamp THEN RETURN NEXT; END IF;
        bad := literal(v::date);
        IF substr(bad, 2, length(bad) - 2)::date <> v::date OR same(v::date) <> v::date THEN RETURN NEXT; END IF;
      END LOOP;
    END LOOP;
  END LOOP;
END $$;
SELECT * FROM read_back();
SELECT literal(timestamptz '2025-09-01 00:00-04') AS a, literal(timestamp '2025-09-01 00:00:00.5') AS b,
       literal(date '0044-03-15 BC') AS c, literal(timestamptz '0044-03-15 00:00+00 BC') AS d,
       literal(-42) AS e, literal(-42.0) AS f, literal('-32768'::int2) AS g,
       literal(date '5874897-12-31') AS h;
SELECT same(1::int2) AS a, same(-2) AS b, same(9223372036854775807) AS c, same(-12::numeric) AS d,
       same(20250901, 'yyyymmdd') AS e;

--
-- Floor and next agree with each other and with the server's own calendar, for
-- many moments in zones with all sorts of changes
--
CREATE TABLE moment AS
SELECT z, w, t, (grid_c(t, 'none', w, z, NULL, 3)::timestamptz[]) AS b
  FROM unnest('{UTC,America/New_York,Asia/Kolkata,Pacific/Auckland,America/Sao_Paulo,Africa/Cairo,America/St_Johns,America/Havana,Pacific/Apia,Asia/Gaza,Africa/Casablanca,Antarctica/Troll,Australia/Lord_Howe,Asia/Kathmandu,Europe/Dublin}'::text[]) z,
       unnest('{1 day,7 days,1 month,3 months,1 hour,15 minutes,10 days}'::text[]) w,
       generate_series(timestamptz '1987-01-01 00:11+00', '2026-12-01 00:00+00', '331 hours 37 minutes') t;
-- (days and the 1st of a month may begin at 1:00 or so, where the clocks skip midnight)
SELECT count(*) > 100000 AS many,
       count(*) FILTER (WHERE b[1] > t OR b[2] <= t OR b[3] <= b[2]) AS wrong,
       count(*) FILTER (WHERE w = '1 day' AND z <> 'America/St_Johns'
                          AND b[1] <> date_trunc('day', t, z)
                          -- core takes the second of two midnights
                          AND (b[1] AT TIME ZONE z) <> date_trunc('day', t AT TIME ZONE z)) AS odd_days,
       count(*) FILTER (WHERE w = '1 month' AND date_trunc('day', b[1] AT TIME ZONE z) <> date_trunc('month', t AT TIME ZONE z)) AS odd_months,
       count(*) FILTER (WHERE w = '3 months' AND date_trunc('day', b[1] AT TIME ZONE z) <> date_trunc('quarter', t AT TIME ZONE z)) AS odd_quarters,
       count(*) FILTER (WHERE w = '7 days' AND (b[1] AT TIME ZONE z)::date <> date_trunc('week', t AT TIME ZONE z)::date) AS odd_weeks,
       count(*) FILTER (WHERE w = '1 hour' AND b[2] - b[1] <> '1 hour') AS odd_hours
  FROM moment;
-- a bound is its own floor, and all of a partition has the same bounds
SELECT count(*) AS wrong
  FROM moment,
       LATERAL (SELECT grid_c(b[1], 'none', w, z, NULL, 2)::timestamptz[] AS first,
                       grid_c(b[2] - interval '1 microsecond', 'none', w, z, NULL, 2)::timestamptz[] AS last) x
 WHERE first <> b[1:2] OR last <> b[1:2];

\pset format unaligned
\pset tuples_only on

--
-- Adding, for cut-offs and horizons: as timestamptz + interval in that zone
--
SELECT add(timestamptz '2025-08-31 12:00-04', '1 month', 'America/New_York', -6);
SELECT add(timestamptz '2025-03-08 02:30-05', '1 day', 'America/New_York', 1);     -- in the gap
SELECT add(timestamptz '2025-11-01 01:30-04', '1 day', 'America/New_York', 1);     -- comes twice
SELECT add(timestamptz '2024-02-29 00:00+00', '1 year', 'UTC', 1);
SELECT add(timestamptz '2024-02-29 00:00+00', '1 hour', 'UTC', -24);
SELECT add(date '2024-05-31', '3 months', 'UTC', -1), add(timestamp '2024-05-31 10:00', '30 days', 'UTC', 2);
SELECT add(100, '30', 'UTC', -10), add(100, '30', 'UTC', 0);
\pset format aligned
\pset tuples_only off
-- beyond the axis
SELECT add(timestamptz '294276-12-31 00:00+00', '1 month', 'UTC', 1) AS a,
       add(timestamptz '2025-01-01 00:00+00', '1 year', 'UTC', -9223372036854775808) AS b,
       add(timestamptz '2025-01-01 00:00+00', '1 year', 'UTC', 9223372036854775807) AS c,
       add(timestamptz '2025-01-01 00:00+00', '1 day', 'UTC', 2147483647) AS d,
       add(timestamptz '2025-01-01 00:00+00', '1 day', 'America/New_York', -2147483647) AS e,
       add(timestamptz '4714-11-24 00:00+00 BC', '1 hour', 'UTC', -1) AS f,
       add(9223372036854775807, '1', 'UTC', 1) AS g,
       add(0::bigint, '9223372036854775807', 'UTC', 2) AS h;
CREATE FUNCTION as_core() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  z text; wrong bigint := 0;
BEGIN
  FOREACH z IN ARRAY '{America/New_York,Pacific/Auckland,America/Sao_Paulo,America/St_Johns,Pacific/Apia}'::text[] LOOP
    PERFORM set_config('TimeZone', z, true);
    wrong := wrong + (SELECT count(*) FROM generate_series(timestamptz '2008-01-01 00:30+00', '2013-01-01 00:00+00', '31 hours') t,
        unnest('{1 day,1 month,7 days,1 year}'::text[]) w, unnest('{-13,-1,1,5}'::int[]) n
       WHERE add(t, w, z, n)::timestamptz <> t + n * w::interval);
  END LOOP;
  RETURN wrong;
END $$;
SELECT as_core();

--
-- Now, and back
--
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SELECT wall('2025-11-02 05:30+00', 'America/New_York') AS first, wall('2025-11-02 06:30+00', 'America/New_York') AS second,
       wall('1883-11-18 12:00+00', 'America/New_York') AS long_ago;
SELECT instant('2025-11-02 01:30', 'America/New_York') AS earlier, instant('2025-03-09 02:30', 'America/New_York') AS after_gap,
       instant('2025-07-01 00:00', 'Asia/Kolkata') AS plain,
       instant('294276-12-31 23:59', 'America/New_York') AS last;

--
-- Time in numbers
--
SELECT "position"(0, 'seconds', false) AS a, "position"(-1::bigint, 'seconds', true) AS b,
       "position"(1756684800123, 'milliseconds', false) AS c, "position"(-1::bigint, 'microseconds', false) AS d;
SELECT "position"(1756684800000000001, 'nanoseconds', false) AS down, "position"(1756684800000000001, 'nanoseconds', true) AS up,
       "position"(-1::bigint, 'nanoseconds', false) AS down_negative, "position"(-1::bigint, 'nanoseconds', true) AS up_negative;
SELECT n, "position"(n, 'yyyymmdd', false) AS down, "position"(n, 'yyyymmdd', true) AS up
  FROM unnest('{20230101,20240229,20230229,20231232,20230000,20231300,20230431,20230400,10101,10100,0,-20230101,99991231,99991232,2147483647}'::int[]) n;
SELECT n, "position"(n, 'yyyymm', false) AS down, "position"(n, 'yyyymm', true) AS up
  FROM unnest('{202301,202300,202313,202399,101,100,0,-202301,999912,999913,20230101}'::int[]) n;
\pset format unaligned
\pset tuples_only on
SELECT grid(1756684800, '1 month', 'America/New_York', 3, 'seconds');
SELECT grid(1756684800000, '1 day', 'UTC', 2, 'milliseconds');
SELECT grid(1756684800000000::numeric, '1 day', 'UTC', 2, 'microseconds');
SELECT grid(1756684800000000001, '1 hour', 'UTC', 2, 'nanoseconds');
SELECT grid(20240131, '1 month', 'UTC', 4, 'yyyymmdd');
SELECT grid(20241230, '7 days', 'UTC', 3, 'yyyymmdd');
SELECT grid(202411, '1 month', 'UTC', 4, 'yyyymm');
SELECT grid(202411, '3 months', 'UTC', 3, 'yyyymm');

\pset format aligned
\pset tuples_only off

-- What has no place
SELECT "position"('infinity'::timestamptz, 'none', true) AS a, "position"('-infinity'::date, 'none', true) AS b,
       "position"('NaN'::numeric, 'none', true) AS c, "position"('-Infinity'::numeric, 'none', true) AS d,
       "position"(1.5, 'none', true) AS e, "position"(9223372036854775808, 'none', true) AS f,
       "position"(1e1000, 'none', true) AS g, "position"(-9223372036854775808.0, 'none', true) AS h,
       "position"(-9223372036854775809.0, 'none', true) AS i;
SELECT "position"(date '294277-01-01', 'none', true) AS a, "position"(date '294276-12-31', 'none', true) AS b,
       "position"(9223372036854775807, 'seconds', true) AS c, "position"((-9223372036854775807 - 1), 'microseconds', true) AS d,
       "position"(9223372036854775807, 'nanoseconds', true) AS e;

\pset format unaligned
\pset tuples_only on

--
-- Ids: around zero, and the ends of the types
--
SELECT grid(5, '10', NULL, 2) AS positive, grid(-5, '10', NULL, 2) AS negative, grid(0, '10', NULL, 2) AS zero,
       grid(-10, '10', NULL, 2) AS on_it, grid(5, '10', NULL, 2, origin => 3) AS origin;
SELECT grid(7::numeric, '10', NULL, 3) AS "numeric", grid(7::int2, '1', NULL, 3) AS list;
SELECT grid(9223372036854775000, '100', NULL, 20);
SELECT grid((-9223372036854775807 - 1), '1000', NULL, 3);
SELECT grid(9223372036854775807, '1000000', NULL, 2, origin => (-9223372036854775807 - 1));
SELECT grid((-9223372036854775807 - 1), '9223372036854775807', NULL, 5, origin => 9223372036854775807);
SELECT grid(2147483000, '1000000', NULL, 3);
SELECT grid((-32768)::int2, '1000', NULL, 3);
SELECT grid(32760::int2, '10', NULL, 3);

-- The ends of time
SELECT grid(timestamptz '294276-11-15 00:00+00', '1 month', 'America/New_York', 4);
SELECT grid(timestamptz '294276-12-31 23:30+00', '1 hour', 'UTC', 3);
SELECT grid(timestamptz '4714-11-24 00:00+00 BC', '1 month', 'America/New_York', 3);
SELECT grid(timestamptz '4714-11-24 00:00+00 BC', '1 day', 'Pacific/Auckland', 3);
SELECT grid(timestamptz '4714-11-24 00:00+00 BC', '1 day', 'UTC', 3);
SELECT grid(date '4714-11-24 BC', '1 year', 'UTC', 2);
SELECT grid(date '294276-12-30', '1 day', 'UTC', 4);
SELECT grid(date '2025-01-01', '2147483647 days', 'UTC', 2);
SELECT grid(date '2025-01-01', '178956970 years', 'UTC', 2);
SELECT grid(timestamp '0001-01-15 00:00 BC', '1 month', 'UTC', 3);
SELECT grid(2147400000, '1 day', 'UTC', 4, 'seconds');       -- January 19, 2038
SELECT grid(9223286400000000000, '1 day', 'UTC', 3, 'nanoseconds');
SELECT grid(99991215, '1 month', 'UTC', 3, 'yyyymmdd');
SELECT grid(999911, '1 month', 'UTC', 3, 'yyyymm');

\pset format aligned
\pset tuples_only off

--
-- Widths in words
--
SELECT w, width(w, 'timestamptz'), width(w, 'timestamptz')::interval = w::interval AS same
  FROM unnest('{1 mon,3 mons,12 mons,1 year,10 years,18 mons,1 day,7 days,1 week,01:00,02:00,00:15,00:01:30,00:00:01,00:00:00.5,24:00}'::text[]) w;
SELECT width('1000000', 'bigint'), width('1', 'bigint');

DROP SCHEMA key_test CASCADE;
