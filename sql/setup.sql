-- create_parent: what it makes on an empty parent, and what it takes over.

SET client_min_messages = warning;
DROP EXTENSION IF EXISTS partmgr;
CREATE EXTENSION partmgr;
CREATE SCHEMA setup_test;
SET search_path = setup_test, public;
SET timezone = 'America/New_York';
SET DateStyle = 'ISO, MDY';

-- the partitions of a set by name and range
CREATE FUNCTION parts(parent text, n int DEFAULT NULL) RETURNS TABLE (name text, range text) LANGUAGE sql AS
	$$ SELECT replace(partition_name::text, 'setup_test.', ''), range FROM list_partitions(parent) LIMIT n $$;
-- what was written down about it
CREATE FUNCTION shape(parent regclass) RETURNS TABLE (zone text, origin text, format text) LANGUAGE sql AS
	$$ SELECT time_zone, grid_origin, name_format FROM part_config WHERE parent_table = parent $$;

--
-- ids
--

-- empty: from 0 on, and the whole row of the configuration
CREATE TABLE ids (id int PRIMARY KEY) PARTITION BY RANGE (id);
SELECT create_parent('setup_test.ids', 'id', '10');
SELECT * FROM parts('ids');
\x
SELECT * FROM part_config;
SELECT failures, last_sqlstate, last_error, backfill, last_run = last_success AS succeeded FROM part_state;
\x
-- 5, 15, 25
CREATE TABLE offset_ids (id bigint NOT NULL) PARTITION BY RANGE (id);
SELECT create_parent('offset_ids', 'id', '10', p_offset_id => 5, p_premake => 1);
SELECT * FROM parts('offset_ids');
SELECT * FROM shape('offset_ids');
-- a start is cut to the grid
CREATE TABLE start_ids (id bigint NOT NULL) PARTITION BY RANGE (id);
SELECT create_parent('start_ids', 'id', '100', p_start_partition => '3000000050', p_premake => 1,
	p_default_table => false);
SELECT * FROM parts('start_ids');
SELECT * FROM shape('start_ids');
-- below zero, numeric, small
CREATE TABLE negative_ids (id smallint NOT NULL) PARTITION BY RANGE (id);
SELECT create_parent('negative_ids', 'id', '10', p_start_partition => '-25', p_premake => 1);
SELECT * FROM parts('negative_ids');
CREATE TABLE numeric_ids (id numeric NOT NULL) PARTITION BY RANGE (id);
SELECT create_parent('numeric_ids', 'id', '10', p_premake => 1);
SELECT * FROM parts('numeric_ids');
-- near the end of the type
CREATE TABLE last_ids (id bigint NOT NULL) PARTITION BY RANGE (id);
SELECT create_parent('last_ids', 'id', '1000', p_start_partition => '9223372036854773000');
SELECT * FROM parts('last_ids');
-- LIST
CREATE TABLE kinds (kind int NOT NULL) PARTITION BY LIST (kind);
SELECT create_parent('kinds', 'kind', '1', p_type => 'list', p_premake => 2);
SELECT * FROM parts('kinds');

--
-- time: premake partitions before now, the current one, premake ahead
--

CREATE TABLE days (at timestamptz NOT NULL) PARTITION BY RANGE (at);
BEGIN;
SELECT create_parent('days'::regclass, 'at', '1 day', p_premake => 3);
SELECT count(*) FILTER (WHERE NOT is_default) AS partitions, count(*) FILTER (WHERE is_default) AS defaults,
	min(lower_time) = date_trunc('day', now()) - interval '3 days' AS first,
	max(upper_time) = date_trunc('day', now()) + interval '4 days' AS last,
	bool_and(is_default OR lower_time = date_trunc('day', lower_time)) AS midnights,
	bool_and(is_default OR partition_name::text = 'days_p' || to_char(lower_time, 'YYYYMMDD')) AS names
	FROM list_partitions('days');
SELECT * FROM shape('days');
COMMIT;
CREATE TABLE hours (at timestamp NOT NULL) PARTITION BY RANGE (at);
BEGIN;
SELECT create_parent('hours', 'at', '6 hours', p_premake => 2, p_time_zone => 'Asia/Kolkata');
SELECT count(*), bool_and(is_default OR (lower_time AT TIME ZONE 'Asia/Kolkata')::time IN ('00:00', '06:00', '12:00', '18:00')) AS even,
	min(lower_time) + interval '12 hours' <= now() AND min(lower_time) + interval '18 hours' > now() AS first
	FROM list_partitions('hours');
SELECT * FROM shape('hours');
COMMIT;

-- the same bounds from every session
CREATE FUNCTION bounds_from(session_zone text, width text, age interval) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	PERFORM set_config('timezone', session_zone, true);
	CREATE TABLE same (at timestamptz NOT NULL) PARTITION BY RANGE (at);
	PERFORM create_parent('same', 'at', width, p_time_zone => 'Europe/Berlin',
		p_start_partition => (now() AT TIME ZONE 'UTC' - age)::text);
	SELECT string_agg(partition_name || range, ', ' ORDER BY range) INTO result FROM list_partitions('same');
	PERFORM config_cleanup('same');
	DROP TABLE same;
	RETURN result;
END
$$;
BEGIN;
SELECT width, count(DISTINCT bounds_from(zone, width, age::interval)) FROM
	unnest('{UTC,America/New_York,Asia/Kolkata,Pacific/Auckland}'::text[]) zone,
	(VALUES ('1 month', '2 years'), ('1 week', '1 year'), ('1 day', '300 days'), ('1 hour', '3 days')) w(width, age)
	GROUP BY width ORDER BY width;
COMMIT;

-- a start is cut as pg_partman cuts it, in the set's zone
CREATE FUNCTION first_of(width text, start text, epoch text DEFAULT 'none', cut text DEFAULT NULL, type regtype DEFAULT 'timestamptz',
	OUT name text, OUT range text, OUT origin text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE s (at %s NOT NULL) PARTITION BY RANGE (at)', type);
	PERFORM create_parent('s', 'at', width, p_time_zone => 'Europe/Berlin', p_start_partition => start, p_epoch => epoch,
		p_date_trunc_interval => cut, p_premake => 1, p_default_table => false);
	SELECT p.name, p.range INTO name, range FROM parts('s', 1) p;
	SELECT s.origin INTO origin FROM shape('s') s;
	PERFORM config_cleanup('s');
	DROP TABLE s;
END
$$;
SELECT * FROM first_of('1 month', '2024-02-29 10:30');
SELECT * FROM first_of('3 months', '2024-02-29 10:30');
SELECT * FROM first_of('1 year', '2024-02-29 10:30');
SELECT * FROM first_of('10 years', '1994-02-28 10:30');
SELECT * FROM first_of('100 years', '1994-02-28 10:30');
SELECT * FROM first_of('1 week', '2026-10-07 10:30');
SELECT * FROM first_of('1 week', '2026-10-07 10:30', cut => 'week');
SELECT * FROM first_of('30 days', '2026-10-07 10:30');
SELECT * FROM first_of('1 week', '2026-10-25 10:30');
SELECT * FROM first_of('1 week', '2026-10-25 23:30-05');
SELECT name LIKE '%\_100000' AS name, origin LIKE '%:00:00+00' AS origin FROM first_of('6 hours', (current_date - 2) || ' 10:30');
SELECT name LIKE '%\_100000' AS name, origin FROM first_of('15 minutes', (current_date - 2) || ' 10:20');
SELECT * FROM first_of('1 month', '2024-02-29', type => 'date');
SELECT * FROM first_of('1 month', '2024-02-29', 'seconds', type => 'int');
SELECT * FROM first_of('1 month', '2024-02-29', 'milliseconds', type => 'bigint');
SELECT * FROM first_of('1 month', '2024-02-29', 'nanoseconds', type => 'numeric');
SELECT * FROM first_of('1 month', '2024-02-29', 'yyyymmdd', type => 'int');
SELECT * FROM first_of('1 month', '2024-02-29', 'yyyymm', type => 'int');

--
-- Sets that exist already
--

-- names that follow a pattern go on in it, across the change of the clocks
CREATE TABLE webhook_events (received_at timestamptz NOT NULL) PARTITION BY RANGE (received_at);
CREATE TABLE webhook_events_2025_09 PARTITION OF webhook_events FOR VALUES FROM ('2025-09-01') TO ('2025-10-01');
CREATE TABLE webhook_events_2025_10 PARTITION OF webhook_events FOR VALUES FROM ('2025-10-01') TO ('2025-11-01');
SELECT create_parent('webhook_events', 'received_at', '1 month');
SELECT * FROM shape('webhook_events');
SELECT * FROM parts('webhook_events', 5);
-- any others get pg_partman's
CREATE TABLE fancy (id int NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE huey PARTITION OF fancy FOR VALUES FROM (0) TO (10);
CREATE TABLE louie PARTITION OF fancy FOR VALUES FROM (10) TO (20);
INSERT INTO fancy VALUES (11);
SELECT create_parent('fancy', 'id', '10', p_premake => 1);
SELECT * FROM shape('fancy');
SELECT * FROM parts('fancy');
-- a format that is asked for
CREATE TABLE asked (id int NOT NULL) PARTITION BY RANGE (id);
SELECT create_parent('asked', 'id', '10', p_premake => 1, p_name_format => 'from_{id}_{parent}');
SELECT * FROM parts('asked');

-- the calendar is the one in which the bounds were made, or that is asked for
CREATE FUNCTION zone_of(made_in text, asked text DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	day timestamp := date_trunc('day', now() AT TIME ZONE made_in);
	result text;
BEGIN
	CREATE TABLE z (at timestamptz NOT NULL) PARTITION BY RANGE (at);
	EXECUTE format('CREATE TABLE z_1 PARTITION OF z FOR VALUES FROM (%L) TO (%L)', day AT TIME ZONE made_in,
		(day + interval '1 day') AT TIME ZONE made_in);
	PERFORM create_parent('z', 'at', '1 day', p_premake => 1, p_time_zone => asked);
	SELECT concat_ws(', ', zone, CASE WHEN origin <> '' THEN 'origin' END, (SELECT count(*) FROM parts('z')))
		INTO result FROM shape('z');
	PERFORM config_cleanup('z');
	DROP TABLE z;
	RETURN result;
END
$$;
SELECT zone_of('UTC');
SELECT zone_of('America/New_York');
SELECT zone_of('UTC', 'UTC');
-- days that begin at 18:30
SELECT zone_of('Asia/Kolkata', 'UTC');
-- weeks from Sunday; ids 5, 15, 25
CREATE TABLE weeks (at timestamptz NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE weeks_1 PARTITION OF weeks FOR VALUES FROM ('2026-02-22') TO ('2026-03-01');
CREATE TABLE weeks_2 PARTITION OF weeks FOR VALUES FROM ('2026-03-01') TO ('2026-03-08');
SELECT create_parent('weeks', 'at', '1 week', p_name_format => '{parent}_{YYYY}{MM}{DD}');
SELECT * FROM shape('weeks');
SELECT * FROM parts('weeks', 4);
CREATE TABLE fives (id int NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE fives_5 PARTITION OF fives FOR VALUES FROM (5) TO (15);
CREATE TABLE fives_15 PARTITION OF fives FOR VALUES FROM (15) TO (25);
INSERT INTO fives VALUES (15);
SELECT create_parent('fives', 'id', '10', p_premake => 1);
SELECT * FROM shape('fives');
SELECT * FROM parts('fives');
-- an interval that is not the old one: a bridge
CREATE TABLE wider (id int NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE wider_0 PARTITION OF wider FOR VALUES FROM (0) TO (10);
CREATE TABLE wider_10 PARTITION OF wider FOR VALUES FROM (10) TO (20);
INSERT INTO wider VALUES (19);
SELECT create_parent('wider', 'id', '100', p_premake => 1);
SELECT * FROM shape('wider');
SELECT * FROM parts('wider');
-- older ones only if asked for
CREATE TABLE years (d date NOT NULL) PARTITION BY RANGE (d);
CREATE TABLE years_y2024 PARTITION OF years FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
SELECT create_parent('years', 'd', '1 year', p_start_partition => '2021-07-01');
SELECT * FROM parts('years', 5);
-- open ends
CREATE TABLE ends (id numeric NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE ends_min PARTITION OF ends FOR VALUES FROM (MINVALUE) TO (10);
CREATE TABLE ends_max PARTITION OF ends FOR VALUES FROM (1000) TO (MAXVALUE);
INSERT INTO ends VALUES (1);
SELECT create_parent('ends', 'id', '10', p_premake => 1, p_default_table => false);
SELECT * FROM parts('ends');

--
-- The default partition
--

-- one with rows that is there already: they are moved
CREATE TABLE had (id int NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE leftovers PARTITION OF had DEFAULT;
INSERT INTO had SELECT generate_series(1, 25);
SELECT create_parent('had', 'id', '10', p_premake => 1);
SELECT * FROM parts('had');
SELECT tableoid::regclass, count(*) FROM had GROUP BY tableoid ORDER BY 1;
-- a table of its name is attached, and its rows are moved
CREATE TABLE waiting (id int NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE waiting_default (LIKE waiting);
INSERT INTO waiting_default SELECT generate_series(1, 25);
SELECT create_parent('waiting', 'id', '10', p_premake => 1);
SELECT * FROM parts('waiting');
SELECT tableoid::regclass, count(*) FROM waiting GROUP BY tableoid ORDER BY 1;
-- none
CREATE TABLE without (id int NOT NULL) PARTITION BY RANGE (id);
SELECT create_parent('without', 'id', '10', p_premake => 1, p_default_table => false);
SELECT * FROM parts('without');

--
-- Trouble
--

-- a name that is taken: a warning, and all others are made
CREATE TABLE taken (id int NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE taken_p10 (x text);
SELECT create_parent('taken', 'id', '10', p_premake => 2);
SELECT * FROM parts('taken');
-- all taken: false, and the configuration stays
CREATE TABLE none (id int NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE none_p0 (x text);
CREATE VIEW none_p10 AS SELECT 1 AS x;
SELECT create_parent('none', 'id', '10', p_premake => 1, p_default_table => false);
SELECT parent_table FROM part_config WHERE parent_table = 'none'::regclass;
DROP TABLE none_p0;
DROP VIEW none_p10;
SELECT run_maintenance('none');
SELECT * FROM parts('none');
-- an error leaves nothing behind
CREATE TABLE whole (id int NOT NULL) PARTITION BY RANGE (id);
CREATE VIEW whole_default AS SELECT 1 AS id;
SELECT create_parent('whole', 'id', '10');
SELECT count(*) FROM part_config WHERE parent_table = 'whole'::regclass;
SELECT count(*) FROM pg_inherits WHERE inhparent = 'whole'::regclass;

--
-- Names
--

CREATE SCHEMA "My.S";
CREATE TABLE "My.S"."we""ird.Näme" ("Sp ""Al" int NOT NULL) PARTITION BY RANGE ("Sp ""Al");
SELECT create_parent('"My.S"."we""ird.Näme"', 'Sp "Al', '10', p_premake => 1);
SELECT * FROM parts('"My.S"."we""ird.Näme"');
-- pg_partman's spelling
CREATE SCHEMA "Partman_Test";
CREATE TABLE "Partman_Test"."Id_Table" (id int NOT NULL) PARTITION BY RANGE (id);
SELECT create_parent('Partman_Test.Id_Table', 'id', '10', p_premake => 1);
SELECT parent_table FROM part_config WHERE parent_table = '"Partman_Test"."Id_Table"'::regclass;
-- 63 bytes
CREATE TABLE "ääääääääääääääääääääääääääääääx" (id int NOT NULL) PARTITION BY RANGE (id);
SELECT create_parent('ääääääääääääääääääääääääääääääx', 'id', '10', p_premake => 1);
SELECT name, octet_length(name) FROM parts('ääääääääääääääääääääääääääääääx');

--
-- Letting go, and again
--

SELECT config_cleanup('ids');
SELECT count(*) FROM part_config WHERE parent_table = 'ids'::regclass;
SELECT count(*) FROM part_state WHERE parent_table = 'ids'::regclass;
SELECT count(*) FROM pg_inherits WHERE inhparent = 'ids'::regclass;
INSERT INTO ids VALUES (12);
SELECT create_parent('ids', 'id', '10', p_retention => '100', p_retention_keep_table => false,
	p_inherit_privileges => true, p_jobmon => false, p_automatic_maintenance => 'off');
SELECT * FROM parts('ids');
SELECT retention, retention_keep_table, inherit_privileges, jobmon, automatic_maintenance FROM part_config
	WHERE parent_table = 'ids'::regclass;
-- a set that came out of a dump is set up anew, or resumed
DELETE FROM part_state WHERE parent_table IN ('ids'::regclass, 'kinds'::regclass, 'asked'::regclass);
SET client_min_messages = notice;
SELECT create_parent('ids', 'id', '20', p_premake => 1);
SET client_min_messages = warning;
SELECT partition_interval, retention FROM part_config WHERE parent_table = 'ids'::regclass;
SELECT resume_maintenance('kinds');
SELECT resume_maintenance('kinds');
SELECT resume_maintenance();
SELECT count(*) FROM part_config WHERE parent_table NOT IN (SELECT parent_table FROM part_state);

-- a dropped parent takes its configuration along; a renamed one keeps it
DROP TABLE taken CASCADE;
ALTER TABLE asked RENAME TO renamed;
ALTER TABLE renamed RENAME COLUMN id TO number;
ALTER TABLE renamed SET SCHEMA "My.S";
UPDATE part_config SET premake = 2 WHERE parent_table = '"My.S".renamed'::regclass RETURNING parent_table, control, premake;
SELECT run_maintenance('"My.S".renamed');
SELECT count(*) FROM part_state WHERE parent_table NOT IN (SELECT oid FROM pg_class);

DROP SCHEMA setup_test, "My.S", "Partman_Test" CASCADE;
SELECT count(*) FROM part_config;
DROP EXTENSION partmgr;
