-- Names: what partitions are called, and which formats people's names follow.
-- Needs a library built with PARTMGR_DEBUG (src/testing_key.c).

CREATE SCHEMA name_test;
SET search_path = name_test;
SET client_min_messages = warning;
SET DateStyle = 'ISO, YMD';

CREATE FUNCTION name_c(anyelement, text, text, text, anyelement, text, text) RETURNS text
  LANGUAGE C AS 'partmgr', 'partmgr_test_name';
CREATE FUNCTION problem_c(anyelement, text, text, text, anyelement, text) RETURNS text
  LANGUAGE C AS 'partmgr', 'partmgr_test_name_problem';
CREATE FUNCTION name_default(text) RETURNS text
  STRICT LANGUAGE C AS 'partmgr', 'partmgr_test_name_default';
CREATE FUNCTION detect_c(anyarray, text, text, text, anyelement, text, text[]) RETURNS text
  LANGUAGE C AS 'partmgr', 'partmgr_test_name_detect';

-- the name of the partition that begins at v
CREATE FUNCTION name(v anyelement, width text, format text DEFAULT NULL, zone text DEFAULT 'UTC',
                     parent text DEFAULT 'ev', epoch text DEFAULT 'none', origin anyelement DEFAULT NULL)
RETURNS text LANGUAGE sql AS $$
  SELECT name_test.name_c(v, epoch, width, zone, origin, parent, format)
$$;
-- what is wrong with a format for a key of v's type
CREATE FUNCTION problem(v anyelement, width text, format text)
RETURNS text LANGUAGE sql AS $$
  SELECT name_test.problem_c(v, 'none', width, 'UTC', NULL, format)
$$;
-- the format of names; bounds as an array of the same length
CREATE FUNCTION detect(bounds anyarray, width text, parent text, names text[], zone text DEFAULT 'UTC',
                       epoch text DEFAULT 'none')
RETURNS text LANGUAGE sql AS $$
  SELECT name_test.detect_c(bounds, epoch, width, zone, NULL, parent, names)
$$;

--
-- The formats of pg_partman, unless told otherwise
--
SELECT name(timestamptz '2025-09-01 00:00+00', '1 month') AS month, name(date '2025-09-01', '1 day') AS day,
       name(timestamptz '2025-09-01 13:00+00', '1 hour') AS hour, name(timestamp '2025-09-01 13:00:01', '1 second') AS second,
       name(100, '100') AS id, name(-100, '100') AS negative, name(0, '1') AS zero,
       name(20250901, '1 day', epoch => 'yyyymmdd') AS date_key, name(202509, '1 month', epoch => 'yyyymm') AS month_key,
       name(1756684800, '1 day', epoch => 'seconds') AS seconds;
SELECT name_default('ev') AS "default", name(NULL::timestamptz, '1 month') AS open, name(NULL::int, '10') AS open_id,
       name(NULL::date, '1 month', '{parent}_y{YYYY}m{MM}_x') AS open_format;
-- the set's clock, not the session's
SET TimeZone = 'Asia/Kolkata';
SELECT name(timestamptz '2025-09-01 04:00+00', '1 month', zone => 'America/New_York') AS new_york,
       name(timestamptz '2025-08-31 12:00+00', '1 month', zone => 'Pacific/Auckland') AS auckland,
       name(timestamptz '2025-08-31 18:30+00', '1 hour', zone => 'Asia/Kolkata') AS kolkata;
SET TimeZone = 'UTC';

--
-- All fields
--
SELECT name(timestamp '2024-12-30 07:08:09', '1 second', '{parent}_{YYYY}.{YY}.{MM}.{DD}-{HH24}.{MI}.{SS} Q{Q} {IYYY}w{IW} d{DDD}');
SELECT name(timestamp '0044-03-15 00:00 BC', '1 day') AS bc, name(timestamp '0044-03-12 00:00 BC', '7 days', '{parent}_{IYYY}w{IW}', origin => timestamp '0044-03-12 00:00 BC') AS bc_week,
       name(timestamp '12025-01-01 00:00', '1 day') AS five_digits, name(timestamptz '4714-11-24 00:00+00 BC', '1 day', zone => 'America/New_York') AS first,
       name('-9223372036854775808'::bigint, '1') AS lowest, name(9223372036854775807, '1') AS highest,
       name(-10, '10', 'x{id}_{parent}') AS anywhere;
SELECT v, name(v, '3 months', '{parent}_{YYYY}_q{Q}') AS quarter, name(v, '7 days', '{parent}_{IYYY}w{IW}', origin => v) AS week,
       name(v, '1 day', '{parent}_{YYYY}_{DDD}') AS day
  FROM unnest('{2024-01-01,2024-12-30,2025-01-01,2024-10-01,2024-12-31}'::date[]) v;

--
-- Lower bounds that the format does not tell: off the grid
--
SELECT v, name(v, '1 month', '{parent}_{YYYY}_{MM}') AS month, name(v, '1 year', '{parent}_{YYYY}') AS year,
       name(v, '1 day') AS day
  FROM unnest('{2025-01-01 00:00,2025-09-01 00:00,2025-09-15 00:00,2025-09-15 05:30,2025-09-15 05:30:00.25}'::timestamp[]) v;
-- months from the 15th, and from January 31: on the grid, so no more is needed;
-- but September 1 must not be called as September 15 is
SELECT v, name(v, '1 month', '{parent}_{YYYY}_{MM}', origin => date '2000-01-15') AS from_15,
       name(v, '1 month', '{parent}_{YYYY}_{MM}', origin => date '2000-01-31') AS from_31,
       name(v, '2 months', '{parent}_{YYYY}_{MM}', origin => date '2000-01-15') AS odd_months
  FROM unnest('{2025-09-15,2025-09-01,2025-09-30,2025-10-01,2025-02-28}'::date[]) v;
-- {YYYY}_{IW}: the days around New Year whose week is another year's
SELECT v, name(v, '7 days', '{parent}_{YYYY}_{IW}') AS mixed, name(v, '7 days', '{parent}_{IYYY}_{IW}') AS iso
  FROM unnest('{2023-12-25,2024-01-01,2024-12-23,2024-12-30,2025-01-06}'::date[]) v;

--
-- Where the clocks go back
--
SELECT v AT TIME ZONE 'UTC' AS utc, name(v, '1 hour', zone => 'America/New_York') AS full,
       name(v, '1 hour', '{parent}_{YYYY}{MM}{DD}h{HH24}', zone => 'America/New_York') AS hour,
       name(v, '15 minutes', zone => 'America/New_York', origin => timestamptz '2000-01-01 00:00+00') AS quarter
  FROM generate_series(timestamptz '2025-11-02 04:00+00', '2025-11-02 07:00+00', '1 hour') v;
SELECT name(timestamptz '2025-04-05 14:00+00', '1 hour', zone => 'Pacific/Auckland') AS auckland,
       name(timestamptz '2025-04-05 15:00+00', '1 hour', zone => 'Australia/Lord_Howe') AS lord_howe,
       name(timestamptz '2025-04-05 15:00+00', '1 hour', '{parent}_{YYYY}{MM}{DD}{HH24}', zone => 'Australia/Lord_Howe') AS hour_only,
       name(timestamptz '1945-10-14 18:15+00', '1 hour', zone => 'Asia/Kolkata') AS kolkata_1945,
       name(timestamptz '2010-11-07 02:31+00', '1 minute', zone => 'America/St_Johns') AS st_johns,
       name(timestamptz '2025-11-02 06:30+00', '1 month', '{parent}_{YYYY}_{MM}', zone => 'America/New_York') AS bridging;
-- in no zone do two partitions get the same name
SELECT w, f, z, n, count(*) AS same
  FROM unnest('{UTC,America/New_York,Asia/Kolkata,Pacific/Auckland,America/Sao_Paulo,America/St_Johns,Pacific/Apia,Australia/Lord_Howe,Africa/Casablanca}'::text[]) z,
       (VALUES ('1 hour', '{parent}_{YYYY}{MM}{DD}_{HH24}'), ('1 hour', NULL), ('15 minutes', '{parent}_{YYYY}{DDD}{HH24}{MI}')) x (w, f),
       generate_series(timestamptz '2010-09-15 00:00+00', '2011-04-15 00:00+00', '1 hour') t,
       name(t, w, f, z) n
 GROUP BY w, f, z, n HAVING count(*) > 1;

--
-- 63 bytes: the parent's name is cut between two characters, the rest is whole
--
CREATE FUNCTION shape(n text) RETURNS text LANGUAGE sql AS $$
  SELECT format('%s bytes, %s characters, %s', octet_length(n), char_length(n),
                regexp_replace(n, '^(a*)(\u00e4*)(\U0001F418*)', ''))
$$;
SELECT shape(name(date '2025-09-01', '1 month', parent => repeat('a', 53))) AS fits,
       shape(name(date '2025-09-01', '1 month', parent => repeat('a', 54))) AS cut,
       shape(name(date '2025-09-01', '1 month', parent => repeat('a', 63))) AS longest;
SELECT shape(name(date '2025-09-01', '1 month', parent => repeat(U&'\00e4', 31))) AS two_bytes,
       shape(name(date '2025-09-01', '1 month', parent => 'a' || repeat(U&'\00e4', 31))) AS odd,
       shape(name(date '2025-09-01', '1 month', parent => 'a' || repeat(U&'\+01F418', 15))) AS elephants,
       shape(name('-9223372036854775808'::bigint, '1', parent => 'aa' || repeat(U&'\00e4', 30))) AS id,
       shape(name(timestamptz '2025-11-02 06:00:00+00', '1 hour', zone => 'America/New_York', parent => repeat(U&'\00e4', 31))) AS offset,
       shape(name_default('a' || repeat(U&'\00e4', 31))) AS "default";
SELECT shape(name(date '2025-09-15', '1 month', repeat('a', 50) || '_{YYYY}_{MM}')) AS literal_prefix,
       shape(name(date '2025-09-15', '1 month', '{parent}' || repeat('_', 50) || '{YYYY}_{MM}', parent => repeat('a', 40))) AS no_room;

--
-- What is wrong with a format
--
\pset null (good)
SELECT f, problem(NULL::date, w, f) FROM (VALUES
  ('1 month', '{parent}_p{YYYY}{MM}{DD}'), ('1 month', '{parent}_{YYYY}_{MM}'), ('1 month', '{parent}_{IYYY}_{IW}'),
  ('1 day', '{parent}_{YYYY}_{MM}'), ('1 year', '{parent}_{YYYY}'), ('1 year', '{YY}'),
  ('1 month', '{parent}_{YYYY}'), ('3 months', '{parent}_{YYYY}q{Q}'), ('2 months', '{parent}_{YYYY}q{Q}'),
  ('6 months', '{parent}_{YYYY}q{Q}'), ('7 days', '{parent}_{IYYY}w{IW}'), ('6 days', '{parent}_{IYYY}w{IW}'),
  ('31 days', '{parent}_{YYYY}_{MM}'), ('30 days', '{parent}_{YYYY}_{MM}'), ('366 days', '{parent}_{YYYY}'), ('365 days', '{parent}_{YYYY}'),
  ('1 day', '{parent}_{YYYY}_{DD}'), ('1 day', '{parent}_{MM}_{DD}'), ('1 day', '{parent}_{YYYY}_{DDD}'),
  ('1 month', '{parent}_{IYYY}_{MM}'), ('1 month', '{parent}_{HH24}'),
  ('1 month', '{parent}'), ('1 month', ''), ('1 month', '{parent}_{id}'),
  ('1 month', '{parent}_{yyyy}_{MM}'), ('1 month', '{parent}_{YYYY_{MM}'), ('1 month', '{parent}_YYYY}_{MM}'), ('1 month', '{}{YYYY}{MM}'), ('1 month', '{'),
  ('1 month', '{parent}{parent}_{YYYY}_{MM}'), ('1 month', repeat('x', 56) || '_{YYYY}{MM}'), ('1 month', repeat('x', 57) || '_{YYYY}{MM}')) v (w, f);
SELECT w, f, problem(NULL::timestamptz, w, f) AS instants, problem(NULL::timestamp, w, f) AS local FROM (VALUES
  ('24 hours', '{YYYY}{MM}{DD}'), ('25 hours', '{YYYY}{MM}{DD}'), ('1 hour', '{YYYY}{MM}{DD}{HH24}'), ('30 minutes', '{YYYY}{MM}{DD}{HH24}'),
  ('15 minutes', '{YYYY}{MM}{DD}{HH24}{MI}'), ('1 second', '{YYYY}{MM}{DD}{HH24}{MI}{SS}'), ('0.5 seconds', '{YYYY}{MM}{DD}{HH24}{MI}{SS}'),
  ('1 hour', '{YYYY}{MM}{DD}{MI}')) v (w, f);
SELECT f, problem(NULL::int, '10', f) FROM unnest('{"{parent}_p{id}","{id}","{parent}","{parent}_{YYYY}","{parent}_{ID}"}'::text[]) f;
\pset null ''

--
-- The formats that people use
--
SELECT detect('{2025-09-01,2025-10-01}'::timestamptz[], '1 month', 'webhook_events_new', '{webhook_events_2025_09,webhook_events_2025_10}') AS other_prefix,
       detect('{2025-01-01,2025-02-01}'::date[], '1 month', 'events', '{events_2025_01,events_2025_02}') AS months,
       detect('{2023-01-01,2024-01-01}'::date[], '1 year', 'fait_attributions', '{fait_attributions_2023,fait_attributions_2024}') AS years,
       detect('{20230101,20240101}'::int[], '1 year', 'fait_attributions', '{fait_attributions_2023,fait_attributions_2024}', epoch => 'yyyymmdd') AS date_keys,
       detect('{2025-09-01}'::date[], '1 month', 'ev', '{ev_p20250901}') AS pg_partman,
       detect('{0,100}'::int[], '100', 'ev', '{ev_p0,ev_p100}') AS ids,
       detect('{-20,-10}'::bigint[], '10', 'ev', '{ev_p-20,ev_p-10}') AS negative_ids;
SELECT t, detect(ARRAY[d - w::interval, d], w, 'ev',
                 ARRAY['ev' || to_char(d - w::interval, t), 'ev' || to_char(d, t)]) AS format
  FROM (VALUES
    ('1 month', '_YYYY_MM'), ('1 month', 'YYYYMM'), ('1 month', '-YYYY-MM'), ('1 month', '.YYYY.MM'), ('1 month', '_"y"YYYY"m"MM'),
    ('1 month', '_"y"YYYY"_m"MM'), ('1 month', '_YYMM'), ('1 month', '_YY_MM'), ('1 month', '_MM_YYYY'), ('1 month', '_part_YYYY_MM_DD'),
    ('1 month', '_YYYY-MM-DD'), ('1 day', '_YYYYMMDD'), ('1 day', '_"y"YYYY"m"MM"d"DD'), ('1 day', '_YYYY_DDD'), ('1 day', '_DD_MM_YYYY'),
    ('1 day', '_YYMMDD'), ('3 months', '_YYYY"_q"Q'), ('3 months', '_YYYY"q"Q'), ('3 months', '_YYYY"_Q"Q'), ('3 months', '-YYYY"-Q"Q'),
    ('7 days', '_IYYY"w"IW'), ('7 days', '_IYYY"_w"IW'), ('7 days', '_IYYY_IW'), ('1 year', '_YYYY'), ('1 year', '_"y"YYYY'),
    ('1 hour', '_pYYYYMMDD_HH24MISS'), ('1 hour', '_YYYY_MM_DD_HH24'), ('1 hour', '_YYYYMMDDHH24'), ('1 hour', '_YYYYMMDD"h"HH24'),
    ('15 minutes', '_YYYYMMDD_HH24MI'),
    -- not readable: a month's name, no padding, too coarse
    ('1 month', '_YYYY_mon'), ('1 month', '_YYYY_FMMM'), ('1 day', '_YYYY_MM'), ('7 days', '_YYYY_MM')) v (w, t),
  LATERAL (SELECT CASE WHEN w = '7 days' THEN timestamp '2025-05-05 00:00' WHEN w ~ 'year|3' THEN '2025-07-01 00:00'
                       ELSE '2025-05-01 00:00' END AS d) x;
-- the set's zone says what the local time is
SELECT detect('{2025-08-31 18:30+00,2025-09-30 18:30+00}'::timestamptz[], '1 month', 'ev', '{ev_2025_09,ev_2025_10}', 'Asia/Kolkata') AS kolkata,
       detect('{2025-08-31 18:30+00,2025-09-30 18:30+00}'::timestamptz[], '1 month', 'ev', '{ev_2025_09,ev_2025_10}', 'UTC') AS utc;
-- more than half, and the newest; open and unreadable ones are left out
SELECT detect('{2025-01-01,2025-02-01,2025-03-01}'::date[], '1 month', 'ev', '{january,ev_2025_02,ev_2025_03}') AS two_of_three,
       detect('{2025-01-01,2025-02-01}'::date[], '1 month', 'ev', '{january,ev_2025_02}') AS one_of_two,
       detect('{2025-01-01,2025-02-01,2025-03-01}'::date[], '1 month', 'ev', '{ev_2025_01,ev_2025_02,march}') AS newest_differs,
       detect('{2025-03-01,2025-01-01,2025-02-01}'::date[], '1 month', 'ev', '{ev_2025_03,x,ev_2025_02}') AS any_order,
       detect(ARRAY[NULL, NULL, date '2025-03-01'], '1 month', 'ev', '{old,older,ev_2025_03}') AS open,
       detect(ARRAY[date '2025-04-01', '2025-05-01', '2025-03-01'], '1 month', 'ev', '{!a,!b,ev_2025_03}') AS unreadable,
       detect('{}'::date[], '1 month', 'ev', '{}') AS none;
-- January 1 is week 1, month 1 and the year's first day
SELECT detect('{2025-01-01}'::date[], '1 month', 'ev', '{ev_2025_01}') AS month, detect('{2024-01-01}'::date[], '7 days', 'ev', '{ev_2024_01}') AS week,
       detect('{2020-02-01,2020-03-01}'::date[], '1 month', 'ev', '{ev_202002,ev_202003}') AS long_year;
-- the parent's name: only a whole word, exactly as written, also when it was cut
SELECT detect('{2025-01-01}'::date[], '1 month', 'ev', '{events_2025_01}') AS longer_word,
       detect('{2025-01-01}'::date[], '1 month', 'Ev', '{ev_2025_01}') AS "case",
       detect('{2025-01-01}'::date[], '1 month', 'ev_', '{ev_2025_01}') AS underscore,
       detect('{2025-01-01}'::date[], '1 month', 't2025', '{t2025202501}') AS digits,
       detect('{2025-01-01}'::date[], '1 month', 'ev', '{2025_01}') AS no_prefix,
       detect('{2025-01-01}'::date[], '1 month', repeat('a', 60), ARRAY[repeat('a', 53) || '_p20250101']) AS cut,
       detect('{8,100}'::int[], '4', repeat('a', 60), ARRAY[repeat('a', 60) || '_p8', repeat('a', 58) || '_p100']) AS cut_ids,
       detect('{2025-01-01}'::date[], '1 month', 'a' || repeat(U&'\00e4', 31), ARRAY['a' || repeat(U&'\00e4', 27) || '_2025_01']) AS cut_multibyte;
-- braces, padded ids, chance
SELECT detect('{2025-01-01}'::date[], '1 month', 'ev', '{"{x}_2025_01"}') AS braces,
       detect('{2025-01-01}'::date[], '1 month', '{x}', '{"{x}_2025_01"}') AS parent_with_braces,
       detect('{100,200}'::int[], '100', 'ev', '{ev_000100,ev_000200}') AS padded_ids,
       detect('{100,200}'::int[], '100', 'ev', '{ev_1,ev_2}') AS numbered,
       detect('{100,200}'::int[], '100', 'ev', '{ev_a,ev_b}') AS letters;
-- a found format gives the names it was found in
SELECT bool_and(name(b, '1 month', f) = n) AS same
  FROM unnest('{2025-01-01,2025-02-01,2025-03-01}'::date[], '{ev_2025-01,ev_2025-02,ev_2025-03}'::text[]) u (b, n),
       detect('{2025-01-01,2025-02-01,2025-03-01}'::date[], '1 month', 'ev', '{ev_2025-01,ev_2025-02,ev_2025-03}') f;

DROP SCHEMA name_test CASCADE;
