-- Every error, and every refusal, that a user can reach: SQLSTATE, message,
-- detail and hint.

SET client_min_messages = warning;
DROP EXTENSION IF EXISTS partmgr;
CREATE EXTENSION partmgr;
CREATE SCHEMA errors_test;
SET search_path = errors_test, public;
SET timezone = 'UTC';

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
	RETURN NEXT state || ': ' || message;
	IF detail <> '' AND detail !~ '^(Failing row|Key)' THEN RETURN NEXT 'detail: ' || detail; END IF;
	IF hint <> '' THEN RETURN NEXT 'hint: ' || hint; END IF;
END
$$;
-- create_parent with these arguments
CREATE FUNCTION try_create(arguments text) RETURNS SETOF text LANGUAGE sql AS
	$$ SELECT * FROM try('SELECT create_parent(' || arguments || ')') $$;
-- an UPDATE of the configuration of one set
CREATE FUNCTION try_update(parent text, assignment text) RETURNS SETOF text LANGUAGE sql AS
	$$ SELECT * FROM try(format('UPDATE part_config SET %s WHERE parent_table = %L::regclass', assignment, parent)) $$;
\pset format unaligned
\pset tuples_only on

CREATE TABLE ev (at timestamptz NOT NULL, id int) PARTITION BY RANGE (at);
CREATE TABLE ids (id int NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE kinds (id int NOT NULL) PARTITION BY LIST (id);

-- which table
SELECT try_create($$NULL::text, 'at', '1 day'$$);
SELECT try_create($$NULL::regclass, 'at', '1 day'$$);
SELECT try_create($$'nosuch', 'at', '1 day'$$);
SELECT try_create($$'nosuch.ev', 'at', '1 day'$$);
SELECT try_create($$'', 'at', '1 day'$$);
SELECT try_create($$'a.b.c.d', 'at', '1 day'$$);
SELECT try_create($$'"ev', 'at', '1 day'$$);
SELECT try_create($$'other.errors_test.ev', 'at', '1 day'$$);
SELECT try_create($$'1', 'at', '1 day'$$);
SELECT try_create($$1::regclass, 'at', '1 day'$$);
CREATE SCHEMA "Errors";
CREATE SCHEMA errors;
CREATE TABLE "Errors"."Both" (id int NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE errors.both (id int NOT NULL) PARTITION BY RANGE (id);
SELECT try_create($$'Errors.Both', 'id', '10'$$);

-- tables that cannot be managed
CREATE TABLE plain (id int NOT NULL);
CREATE VIEW looks AS SELECT 1 AS id;
CREATE TEMP TABLE passing (id int NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE hashed (id int NOT NULL) PARTITION BY HASH (id);
CREATE TABLE expression (id int NOT NULL) PARTITION BY RANGE ((id + 1));
CREATE TABLE two (id int NOT NULL, at date NOT NULL) PARTITION BY RANGE (at, id);
CREATE TABLE texts (id text NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE days (d date NOT NULL) PARTITION BY LIST (d);
CREATE TABLE loose (id int) PARTITION BY RANGE (id);
SELECT try_create($$'plain', 'id', '10'$$);
SELECT try_create($$'looks', 'id', '10'$$);
SELECT try_create($$'passing', 'id', '10'$$);
SELECT try_create($$'hashed', 'id', '10'$$);
SELECT try_create($$'expression', 'id', '10'$$);
SELECT try_create($$'two', 'id', '10'$$);
SELECT try_create($$'texts', 'id', '10'$$);
SELECT try_create($$'days', 'd', '1 day', p_type => 'list'$$);
SELECT try_create($$'loose', 'id', '10'$$);

-- arguments that do not fit the table
SELECT try_create($$'ev', 'nosuch', '1 day'$$);
SELECT try_create($$'ev', 'id', '1 day'$$);
SELECT try_create($$'ev', 'at', '1 day', p_type => 'list'$$);
SELECT try_create($$'kinds', 'id', '1'$$);
SELECT try_create($$'kinds', 'id', '10', p_type => 'list'$$);
SELECT try_create($$'ev', 'at', '1 day', p_epoch => 'seconds'$$);
SELECT try_create($$'ev', 'at', '1 day', p_offset_id => 5$$);
SELECT try_create($$'ids', 'id', '10', p_date_trunc_interval => 'day'$$);
SELECT try_create($$'ids', 'id', '10', p_time_zone => 'UTC'$$);

-- intervals
SELECT try_create($$'ids', 'id', '1 day'$$);
SELECT try_create($$'ids', 'id', '0'$$);
SELECT try_create($$'ids', 'id', '-10'$$);
SELECT try_create($$'ids', 'id', '1.5'$$);
SELECT try_create($$'ids', 'id', '99999999999999999999'$$);
SELECT try_create($$'ids', 'id', '1'$$);
SELECT try_create($$'ev', 'at', 'often'$$);
SELECT try_create($$'ev', 'at', '1 month 1 day'$$);
SELECT try_create($$'ev', 'at', '-1 day'$$);
SELECT try_create($$'ev', 'at', '0'$$);
SELECT try_create($$'ev', 'at', '500 ms'$$);
SELECT try_create(format($$'ev', 'at', %L$$, word))
	FROM unnest('{yearly,quarterly,monthly,weekly,daily,hourly,half-hour,quarter-hour,Daily}'::text[]) word;
-- a bare number would be so many seconds, which nobody means
SELECT try_create($$'ev', 'at', '10'$$);
SELECT try_create($$'ev', 'at', '1 day', p_retention => '12'$$);
SELECT try_create($$'ids', 'id', '1 hour', p_epoch => 'yyyymmdd'$$);
SELECT try_create($$'ids', 'id', '1 day', p_epoch => 'yyyymm'$$);
SELECT try_create($$'ids', 'id', '1500 ms', p_epoch => 'seconds'$$);

-- values that none may have
SELECT try_create(format($$'ev', 'at', '1 day', %s => NULL$$, name)) FROM unnest(
	'{p_type,p_epoch,p_premake,p_default_table,p_automatic_maintenance,p_jobmon,p_control_not_null,p_offset_id,
	  p_retention_keep_table,p_inherit_privileges}'::text[]) name;
SELECT try_create($$'ev', NULL, '1 day'$$);
SELECT try_create($$'ev', 'at', NULL$$);
SELECT try_create($$'ev', 'at', '1 day', p_type => 'hash'$$);
SELECT try_create($$'ev', 'at', '1 day', p_epoch => 'lustra'$$);
SELECT try_create($$'ev', 'at', '1 day', p_automatic_maintenance => 'maybe'$$);
SELECT try_create($$'ev', 'at', '1 day', p_premake => 0$$);
SELECT try_create($$'ev', 'at', '1 day', p_start_partition => 'soon'$$);
SELECT try_create($$'ev', 'at', '1 day', p_start_partition => 'infinity'$$);
SELECT try_create($$'ev', 'at', '1 second', p_start_partition => '2020-01-01'$$);
SELECT try_create($$'ids', 'id', '10', p_start_partition => 'ten'$$);
SELECT try_create($$'ev', 'at', '1 day', p_date_trunc_interval => 'fortnight'$$);
SELECT try_create($$'ev', 'at', '1 day', p_retention => 'long'$$);
SELECT try_create($$'ids', 'id', '10', p_retention => '1 day'$$);
SELECT try_create($$'ev', 'at', '1 day', p_time_zone => 'Mars/Phobos'$$);
SELECT try_create($$'ev', 'at', '1 day', p_name_format => '{parent}_{YYYY}'$$);
SELECT try_create($$'ev', 'at', '1 day', p_name_format => '{parent}'$$);
SELECT try_create($$'ev', 'at', '1 day', p_name_format => '{parent}_{MM}_{DD}'$$);
SELECT try_create($$'ev', 'at', '1 day', p_name_format => '{parent}_{id}'$$);
SELECT try_create($$'ev', 'at', '1 day', p_name_format => '{parent}_{moon}'$$);
SELECT try_create($$'ev', 'at', '1 day', p_name_format => '{parent}_{parent}_{YYYY}{MM}{DD}'$$);
SELECT try_create($$'ids', 'id', '10', p_name_format => '{parent}_{YYYY}'$$);

-- arguments of pg_partman that are refused rather than ignored
SELECT try_create($$'ev', 'at', '1 day', p_time_encoder => 'f'$$);
SELECT try_create($$'ev', 'at', '1 day', p_time_decoder => 'f'$$);
-- nothing was written so far
SELECT count(*) FROM part_config;

-- a set that is managed
SELECT create_parent('ev', 'at', '1 day', p_template_table => 'false');
SELECT try_create($$'ev', 'at', '1 day'$$);
SELECT create_parent('ids', 'id', '10');

-- maintenance
SELECT try('SELECT run_maintenance(''plain'')');
SELECT try('SELECT run_maintenance(''nosuch'')');
SELECT try('SELECT run_maintenance(''ev'', NULL)');
SELECT try('SELECT * FROM run_partition_maintenance(''plain''::regclass)');
SELECT try('SELECT * FROM run_partition_maintenance(''ev'', NULL)');
SELECT try('SELECT * FROM maintenance_plan(''plain'')');
SELECT try('SELECT * FROM maintenance_plan(''ev'', NULL)');
SELECT try('SELECT * FROM maintenance_plan(''ev'', ''infinity'')');
SELECT try('SELECT * FROM create_future_partitions(NULL::text, 1)');
SELECT try('SELECT * FROM create_future_partitions(''ev'', NULL)');
SELECT try('SELECT * FROM create_future_partitions(''ev'', 0)');
SELECT try('SELECT * FROM create_future_partitions(''ev'', 1000000)');
SELECT try('SELECT partition_gap_fill(NULL::text)');
SELECT try('SELECT partition_gap_fill(''plain'')');
SELECT try('SELECT * FROM drop_old_partitions(NULL::text, 1)');
SELECT try('SELECT * FROM drop_old_partitions(''ev'', NULL::int)');
SELECT try('SELECT * FROM drop_old_partitions(''ev'', 0)');
SELECT try('SELECT * FROM drop_old_partitions(''ev'', 1, NULL)');
SELECT try('SELECT * FROM drop_old_partitions(''ids'', 1)');
SELECT try('SELECT * FROM drop_old_partitions(''ev'')');
SELECT try('SELECT * FROM drop_old_partitions(''ev'', ''long'')');
SELECT try('SELECT * FROM drop_old_partitions(''ev'', ''12'')');
SELECT try('SELECT * FROM drop_old_partitions(''ids'', ''1 day'')');
SELECT try('SELECT * FROM drop_old_partitions(''ev'', ''1 day'', NULL)');
SELECT try('SELECT * FROM analyze_partitions(NULL::regclass)');
SELECT try('SELECT * FROM analyze_partitions(''plain'')');
SELECT try('SELECT config_cleanup(NULL::text)');
SELECT try('SELECT config_cleanup(''plain'')');
SELECT try('SELECT resume_maintenance(''plain'')');
SELECT try('CALL run_maintenance_proc()');
CALL run_maintenance_proc(-1);
CALL run_maintenance_proc(NULL);
CALL run_maintenance_proc(0, NULL);
BEGIN;
CALL run_maintenance_proc();
ROLLBACK;

-- a set that came out of a dump
BEGIN;
DELETE FROM part_state;
SELECT try('SELECT run_maintenance(''ev'')');
SELECT try('SELECT * FROM drop_old_partitions(''ev'', 1)');
ROLLBACK;

-- changes of the configuration
SELECT try_update('ev', assignment) FROM unnest(ARRAY[
	$$parent_table = 'plain'$$, $$control = 'id'$$, $$partition_type = 'list'$$, $$epoch = 'seconds'$$,
	$$partition_interval = NULL$$, $$partition_interval = 'often'$$, $$partition_interval = '500 ms'$$,
	$$premake = 0$$, $$automatic_maintenance = 'maybe'$$,
	$$retention = 'long'$$, $$retention = '-1 day'$$, $$retention_schema = ''$$, $$retention_schema = 'nosuch'$$,
	$$time_zone = NULL$$, $$time_zone = 'Mars/Phobos'$$,
	$$name_format = '{parent}'$$, $$grid_origin = 'then'$$, $$grid_origin = 'infinity'$$]) assignment;
SELECT try_update('ids', assignment) FROM unnest(ARRAY[
	$$partition_interval = '1 day'$$, $$partition_interval = '1'$$, $$retention = '1 day'$$, $$retention = '0'$$,
	$$time_zone = 'UTC'$$, $$name_format = '{parent}_{YYYY}'$$, $$grid_origin = 'first'$$]) assignment;
-- by hand
SELECT try($$INSERT INTO part_config (parent_table, control, partition_interval) VALUES (99, 'id', '10')$$);
SELECT try($$INSERT INTO part_config (parent_table, control, partition_interval) VALUES ('plain', 'id', '10')$$);
SELECT try($$INSERT INTO part_config (parent_table, control, partition_interval) VALUES ('kinds', 'id', '10')$$);
SELECT try($$INSERT INTO part_config (parent_table, control, partition_interval) VALUES ('two', 'at', '10')$$);
SELECT try($$INSERT INTO part_config (parent_table, control, partition_interval) VALUES ('ids', 'id', '10')$$);
SELECT try($$INSERT INTO part_config (parent_table, control, partition_interval) VALUES ('ev', 'id', '10')$$);
-- the triggers are for these tables only
SELECT try('SELECT part_config_check()');
CREATE TABLE mine (parent_table int, epoch int);
CREATE TRIGGER mine BEFORE INSERT ON mine FOR EACH ROW EXECUTE FUNCTION part_config_check();
CREATE TRIGGER mine_too AFTER UPDATE ON mine FOR EACH ROW EXECUTE FUNCTION part_config_changed();
SELECT try('INSERT INTO mine VALUES (1, 2)');

-- looking
SELECT try('SELECT * FROM list_partitions(''plain'')');
SELECT try('SELECT * FROM partition_health_summary(''plain'')');
SELECT try('SELECT * FROM show_partitions(''plain'')');
SELECT try('SELECT * FROM show_partitions(''ev'', ''UP'')');
SELECT try('SELECT * FROM show_partitions(NULL::text)');
SELECT try('SELECT * FROM show_partition_name(''plain'', ''1'')');
SELECT try('SELECT * FROM show_partition_name(''ev'', ''soon'')');
SELECT try('SELECT * FROM show_partition_name(''ids'', NULL)');
SELECT try('SELECT * FROM show_partition_info(''plain'')');
SELECT try('SELECT * FROM show_partition_info(''ids_p0'', p_parent_table => ''ev'')');
SELECT try('SELECT * FROM show_partition_info(NULL::text)');
SELECT try('SELECT * FROM show_partition_info(''ids_p0'', ''much'')');

-- texts that nobody needs, and that would be read with those of all sets
SELECT try('UPDATE part_config SET retention = repeat('' '', 20000) || ''10'' WHERE parent_table = ''ids''::regclass');
SELECT try('UPDATE part_config SET maintenance_window = repeat(''Sun, '', 3000) || ''1:00-2:00'' WHERE parent_table = ''ids''::regclass');
SELECT try('SELECT hold_partition(''ids'', ''1'', ''2'', repeat(''x'', 20000))');

-- settings
SET partmgr.nosuch = 1;
SET partmgr.interval = 5;
SET partmgr.max_create = 0;

-- without the extension's own version of the SQL
BEGIN;
UPDATE pg_extension SET extversion = '0.1' WHERE extname = 'partmgr';
SELECT try('SELECT run_maintenance()');
SELECT try_create($$'kinds', 'id', '1', p_type => 'list'$$);
SELECT try('UPDATE part_config SET premake = 3');
ROLLBACK;

DROP SCHEMA errors_test, errors, "Errors" CASCADE;
DROP EXTENSION partmgr;
