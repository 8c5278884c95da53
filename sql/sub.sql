-- Sets whose partitions are sets themselves.  What a worker does with them is tested
-- in test/t.

SET client_min_messages = warning;
DROP EXTENSION IF EXISTS partmgr;
CREATE EXTENSION partmgr;
CREATE SCHEMA sub_test;
SET search_path = sub_test, public;
SET timezone = 'UTC';
SET DateStyle = 'ISO, MDY';
\set VERBOSITY terse

-- the tables of a set, as they hang together
CREATE FUNCTION tree(root regclass) RETURNS TABLE (level int, partition_name text, range text) LANGUAGE sql AS $$
	SELECT t.level, repeat('  ', t.level) || c.relname, pg_get_expr(c.relpartbound, c.oid)
	FROM pg_partition_tree(root) t JOIN pg_class c ON c.oid = t.relid
	ORDER BY (SELECT string_agg(a.relid::regclass::text, '/' ORDER BY a.n DESC) FROM pg_partition_ancestors(t.relid) WITH ORDINALITY a(relid, n)) COLLATE "C" $$;

--
-- ids below ids: within the limits of the partition, whatever the interval
--

CREATE TABLE num (id bigint NOT NULL, v text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
SELECT create_parent('num', 'id', '100', p_premake => 1, p_start_partition => '0', p_default_table => false);
SELECT create_sub_partition('sub_test.num', 'id', '30', p_premake => 2, p_declarative_check => 'yes', p_default_table => false);
SELECT * FROM tree('num');
SELECT parent_table, control, partition_interval, premake FROM part_config ORDER BY parent_table::text;
SELECT sub_parent, sub_control, sub_partition_interval, sub_partition_type, sub_premake, sub_default_table FROM part_config_sub;
INSERT INTO num SELECT generate_series(0, 80);
-- a partition that is made later is a set from its birth; those that exist go on, up to their limits
SELECT run_maintenance();
SELECT * FROM tree('num');
SELECT run_maintenance();
SELECT parent_table, sub_partition_set_full FROM part_config ORDER BY parent_table::text;
SELECT parent_table, status, problems FROM partition_health_summary() ORDER BY parent_table::text;
SELECT count(*) FROM maintenance_plan('num_p0');
-- what belongs into a gap of a sub-set is no gap of another one
DROP TABLE num_p0_p30;
SELECT partition_gap_fill('num_p0');
SELECT partition_name, range FROM list_partitions('num_p0');
-- let go
SELECT stop_sub_partition('sub_test.num');
SELECT count(*) FROM part_config_sub;
INSERT INTO num SELECT 150;
SELECT run_maintenance('num');
SELECT relname, relkind FROM pg_class WHERE relname LIKE 'num\_p_00' ORDER BY 1;
DROP TABLE num;
SELECT count(*) FROM part_config;

--
-- days below ids, with rows that are there already
--

CREATE TABLE ev (id int NOT NULL, at timestamptz NOT NULL, v text, PRIMARY KEY (id, at)) PARTITION BY RANGE (id);
CREATE INDEX ev_v ON ev (v);
SELECT create_parent('ev', 'id', '100', p_premake => 1, p_start_partition => '0', p_automatic_maintenance => 'off');
INSERT INTO ev SELECT n, timestamptz '2020-01-01 12:00' + n * interval '1 day', 'v' || n FROM generate_series(1, 30) n;
INSERT INTO ev VALUES (-5, '2020-01-01', 'no partition takes it');
CREATE TABLE model AS SELECT * FROM ev;
SELECT oid AS rows_oid, pg_relation_filenode(oid) AS rows_file FROM pg_class WHERE relname = 'ev_p0' \gset
SELECT oid AS index_oid FROM pg_class WHERE relname = 'ev_p0_pkey' \gset
SELECT create_sub_partition('ev', 'at', '1 month', p_premake => 1, p_start_partition => '2020-01-01', p_date_trunc_interval => 'month') AS made
	WHERE NOT EXISTS (SELECT FROM part_config_sub);
-- no row was touched: their table is the default of the new one now, with its indexes
SELECT :rows_oid::regclass, pg_relation_filenode(:rows_oid) = :rows_file AS same_file, :index_oid::regclass;
SELECT count(*) FROM ((TABLE ev EXCEPT ALL TABLE model) UNION ALL (TABLE model EXCEPT ALL TABLE ev)) x;
SELECT conname FROM pg_constraint WHERE conname LIKE 'partmgr%';
SELECT count(*) > 0 AS has_partitions, bool_and(c.relkind = 'p') AS all_sets FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
	WHERE i.inhparent = 'ev'::regclass AND c.relname <> 'ev_default';
SELECT relkind FROM pg_class WHERE relname = 'ev_default';
-- and they can be drained, as from any default
CALL drain_default_proc('ev_p0');
SELECT tableoid::regclass, count(*) FROM ev GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM ((TABLE ev EXCEPT ALL TABLE model) UNION ALL (TABLE model EXCEPT ALL TABLE ev)) x;
-- rows that wait in the default on top get a partition that is a set
UPDATE part_config SET ignore_default_data = false WHERE parent_table = 'ev';
INSERT INTO ev SELECT n, '2020-02-03 12:00' FROM generate_series(301, 305) n;
SELECT tableoid::regclass, count(*) FROM ev WHERE id > 300 GROUP BY 1;
SELECT run_maintenance('ev');
SELECT relkind FROM pg_class WHERE relname = 'ev_p300';
SELECT tableoid::regclass, count(*) FROM ev WHERE id > 300 GROUP BY 1;
-- the same by the engine
INSERT INTO ev SELECT n, '2020-02-03 12:00' FROM generate_series(501, 505) n;
CALL drain_default_proc('ev');
SELECT relkind FROM pg_class WHERE relname = 'ev_p500';
SELECT tableoid::regclass, count(*) FROM ev WHERE id > 500 GROUP BY 1;
SELECT conname FROM pg_constraint WHERE conname LIKE 'partmgr%';

--
-- settings: what is changed acts on partitions that are made later
--

CREATE SCHEMA old;
UPDATE part_config_sub SET sub_premake = 2, sub_retention = '10 years', sub_retention_schema = 'old', sub_retention_keep_table = false,
	sub_retention_keep_index = false, sub_optimize_constraint = 7, sub_infinite_time_partitions = true, sub_jobmon = false,
	sub_inherit_privileges = true, sub_constraint_valid = false, sub_ignore_default_data = false, sub_maintenance_order = 9,
	sub_retention_keep_publication = true, sub_detach_before_drop = true, sub_automatic_maintenance = 'off', sub_constraint_cols = '{v}',
	sub_default_table = false, sub_name_format = '{parent}_{YYYY}_{MM}'
	WHERE sub_parent = 'ev';
SELECT count(*) > 0 AS made FROM create_future_partitions('ev', 8);
SELECT DISTINCT premake, retention, retention_schema, retention_keep_table, retention_keep_index, optimize_constraint, infinite_time_partitions, jobmon,
	inherit_privileges, constraint_valid, ignore_default_data, maintenance_order, retention_keep_publication, detach_before_drop,
	automatic_maintenance, constraint_cols, name_format, time_zone
	FROM part_config WHERE parent_table::text ~ '^ev_p1[0-9]00$' \gx
SELECT count(*) FROM pg_class WHERE relname ~ '^ev_p1[0-9]00_default$';
SELECT count(*) > 0 AS named FROM pg_class WHERE relname ~ '^ev_p1[0-9]00_\d{4}_\d\d$';

--
-- three levels: what one partition has below it, its siblings get as well
--

CREATE TABLE deep (a int NOT NULL, b int NOT NULL, c int NOT NULL) PARTITION BY RANGE (a);
SELECT create_parent('deep', 'a', '10', p_premake => 1, p_start_partition => '0', p_default_table => false, p_automatic_maintenance => 'off');
SELECT create_sub_partition('deep', 'b', '10', p_premake => 1, p_default_table => false);
SELECT create_sub_partition('deep_p0', 'c', '10', p_premake => 1, p_default_table => false);
SELECT create_sub_partition('deep_p10', 'c', '10', p_premake => 1, p_default_table => false);
INSERT INTO deep VALUES (11, 1, 1);
SELECT run_maintenance('deep');
SELECT * FROM tree('deep_p20');
SELECT sub_parent, sub_control FROM part_config_sub WHERE sub_parent::text LIKE 'deep%' ORDER BY sub_parent::text;
-- a set goes with all that is below it
DROP TABLE deep_p20;
SELECT count(*) FROM part_config WHERE parent_table::text LIKE 'deep_p20%';
SELECT sub_parent FROM part_config_sub WHERE sub_parent::text LIKE 'deep%' ORDER BY sub_parent::text;
-- retention takes a partition with all that is below it
UPDATE part_config SET retention = '1', retention_keep_table = false WHERE parent_table = 'deep';
INSERT INTO deep VALUES (11, 2, 2);
SELECT run_maintenance('deep');
SELECT relname FROM pg_class WHERE relname LIKE 'deep%' AND relkind = 'p' ORDER BY relname;

-- one that is detached and kept is no set to grow; when it comes back it is
CREATE TABLE kept (id int NOT NULL, at timestamptz NOT NULL) PARTITION BY RANGE (id);
SELECT create_parent('kept', 'id', '10', p_premake => 1, p_start_partition => '0', p_default_table => false);
SELECT create_sub_partition('kept', 'at', '1 year', p_premake => 1, p_start_partition => '2000-01-01', p_default_table => false);
INSERT INTO kept VALUES (15, '2000-05-05');
UPDATE part_config SET retention = '1' WHERE parent_table = 'kept';
SELECT run_maintenance('kept');
SELECT relname, relispartition FROM pg_class WHERE relname = 'kept_p0';
UPDATE part_config SET premake = 3 WHERE parent_table = 'kept_p0';
SELECT count(*) AS partitions FROM pg_inherits WHERE inhparent = 'kept_p0'::regclass \gset
SELECT run_maintenance();
SELECT run_maintenance('kept_p0');
SELECT count(*) - :partitions AS more FROM pg_inherits WHERE inhparent = 'kept_p0'::regclass;
UPDATE part_config SET retention = NULL WHERE parent_table = 'kept';
SELECT reattach_partition('kept_p0');
SELECT run_maintenance();
SELECT count(*) - :partitions > 0 AS more FROM pg_inherits WHERE inhparent = 'kept_p0'::regclass;
DROP TABLE kept;

-- too many rows to be read under the locks: their partitions come later
CREATE TABLE big (id int NOT NULL, at int NOT NULL) PARTITION BY RANGE (id);
SELECT create_parent('big', 'id', '10', p_premake => 1, p_start_partition => '0', p_default_table => false);
INSERT INTO big SELECT n % 20, n FROM generate_series(1, 40) n;
SET partmgr.max_default_scan = 0;
SELECT create_sub_partition('big', 'at', '10', p_premake => 1, p_start_partition => '0');
SELECT * FROM tree('big');
RESET partmgr.max_default_scan;
SELECT run_maintenance();
SELECT run_maintenance();
SELECT tableoid::regclass, count(*) FROM big GROUP BY 1 ORDER BY 1;
DROP TABLE big;

-- a hold keeps what is below the partitions, in the same key and in another one
CREATE TABLE held (at date NOT NULL, k int NOT NULL) PARTITION BY RANGE (at);
SELECT create_parent('held', 'at', '1 month', p_start_partition => '2020-01-01', p_premake => 1, p_default_table => false, p_automatic_maintenance => 'off', p_time_zone => 'UTC');
INSERT INTO held SELECT '2020-01-01'::date + n, n % 20 FROM generate_series(0, 59) n;
SELECT create_sub_partition('held', 'at', '10 days', p_premake => 1, p_start_partition => '2020-01-01');
SELECT hold_partition('held', '2020-01-05', '2020-01-06', 'a case') > 0 AS held;
SELECT count(*) AS partitions FROM list_partitions('held_p20200101') WHERE NOT is_default;
SELECT partition_name, action FROM drop_old_partitions('held_p20200101', '1 day') ORDER BY 1;
SELECT count(*) FROM held WHERE at BETWEEN '2020-01-05' AND '2020-01-05';
DROP TABLE held;

-- bounds stay what they were, also where they have no place on the axis; and names that are cut short
CREATE TABLE odd_name_that_is_so_long_that_those_of_its_defaults_are_equal (at date NOT NULL, k int NOT NULL, other int NOT NULL) PARTITION BY RANGE (at, other);
CREATE TABLE odd_1 PARTITION OF odd_name_that_is_so_long_that_those_of_its_defaults_are_equal FOR VALUES FROM ('2020-01-01', 3) TO ('2020-02-01', 7);
CREATE TABLE odd_2 PARTITION OF odd_name_that_is_so_long_that_those_of_its_defaults_are_equal FOR VALUES FROM ('2090-01-01', MINVALUE) TO ('infinity', MINVALUE);
INSERT INTO odd_1 VALUES ('2020-01-15', 1, 1);
SELECT create_parent('odd_name_that_is_so_long_that_those_of_its_defaults_are_equal', 'at', '1 month', p_premake => 1, p_automatic_maintenance => 'off');
SET client_min_messages = error;
SELECT create_sub_partition('odd_name_that_is_so_long_that_those_of_its_defaults_are_equal', 'k', '10', p_premake => 1);
SET client_min_messages = warning;
SELECT c.relname, c.relkind, pg_get_expr(relpartbound, c.oid) FROM pg_class c WHERE relname LIKE 'odd\__' ORDER BY 1;
SELECT tableoid::regclass, * FROM odd_1;
SELECT count(*) > 2 AS sets, bool_and(partdefid <> 0) AS have_defaults FROM pg_inherits JOIN pg_partitioned_table ON partrelid = inhrelid
	WHERE inhparent = 'odd_name_that_is_so_long_that_those_of_its_defaults_are_equal'::regclass;
DROP TABLE odd_name_that_is_so_long_that_those_of_its_defaults_are_equal;

-- settings that have lost their sense keep no partition from being made; nor does a column that was renamed
CREATE SCHEMA gone;
CREATE TABLE lost (id int NOT NULL, k int NOT NULL) PARTITION BY RANGE (id);
SELECT create_parent('lost', 'id', '10', p_premake => 1, p_start_partition => '0', p_default_table => false, p_automatic_maintenance => 'off');
SELECT create_sub_partition('lost', 'k', '10', p_premake => 1);
UPDATE part_config_sub SET sub_retention = '10', sub_retention_schema = 'gone', sub_jobmon = false WHERE sub_parent = 'lost';
UPDATE part_config_sub SET sub_retention_schema = 'nowhere' WHERE sub_parent = 'lost';
DROP SCHEMA gone;
ALTER TABLE lost RENAME k TO kk;
CREATE TABLE lost_p20_default (id int);
INSERT INTO lost VALUES (10, 1);
SELECT run_maintenance('lost');
SELECT control, retention, jobmon FROM part_config WHERE parent_table = 'lost_p20';
SELECT partition_name FROM list_partitions('lost_p20') WHERE is_default;
DROP TABLE lost, lost_p20_default;

--
-- partitions that are partitioned already
--

CREATE TABLE made (a int NOT NULL, b date NOT NULL) PARTITION BY RANGE (a);
CREATE TABLE made_p0 PARTITION OF made FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (b);
CREATE TABLE made_p0_2020 PARTITION OF made_p0 FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
INSERT INTO made VALUES (1, '2020-05-05');
SELECT create_parent('made', 'a', '10', p_premake => 1, p_default_table => false, p_automatic_maintenance => 'off');
SELECT create_sub_partition('made', 'b', '1 year', p_premake => 1, p_default_table => false);
SELECT partition_name, range FROM list_partitions('made_p0') WHERE upper_time < '2022-01-01';
SELECT parent_table FROM part_config WHERE parent_table::text LIKE 'made%' ORDER BY parent_table::text;
SELECT * FROM made;

--
-- a partition of the past has one partition, and no more
--

CREATE TABLE days (at timestamptz NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE days_1990 PARTITION OF days FOR VALUES FROM ('1990-01-01') TO ('1991-01-01');
SELECT create_parent('days', 'at', '1 year', p_premake => 1, p_default_table => false, p_automatic_maintenance => 'off');
SELECT create_sub_partition('days', 'at', '1 week', p_premake => 1, p_default_table => false);
SELECT partition_name, range FROM list_partitions('days_1990');
SELECT run_maintenance('days_1990');
SELECT partition_name, range FROM list_partitions('days_1990');
-- the current one ends with the year
SELECT bool_and(upper_time <= date_trunc('year', now()) + interval '1 year' AND lower_time >= date_trunc('year', now())) AS is_inside
	FROM list_partitions(to_char(now(), '"days_"YYYY')::text);

--
-- refusals: nothing is changed
--

CREATE TABLE bad (id int NOT NULL, n int, at timestamptz, PRIMARY KEY (id)) PARTITION BY RANGE (id);
SELECT create_sub_partition('bad', 'at', '1 day');
SELECT create_parent('bad', 'id', '10', p_premake => 1, p_start_partition => '0', p_default_table => false, p_automatic_maintenance => 'off');
SELECT create_sub_partition('bad', 'at', '1 day');
ALTER TABLE bad DROP CONSTRAINT bad_pkey;
SELECT create_sub_partition('bad', 'nothing', '1 day');
SELECT create_sub_partition('bad', 'at', '1 week ago');
SELECT create_sub_partition('bad', 'id', '10');
SELECT create_sub_partition('bad', 'id', '20');
SELECT create_sub_partition('bad', 'at', '1 day', p_epoch => 'seconds');
SELECT create_sub_partition('bad', 'at', '1 day', p_epoch => 'aeons');
SELECT create_sub_partition('bad', 'at', '1 day', p_type => 'hash');
SELECT create_sub_partition('bad', 'at', '1 day', p_premake => 0);
SELECT create_sub_partition('bad', NULL, '1 day');
SELECT create_sub_partition(NULL::text, 'at', '1 day');
-- null keys need a default
SELECT create_sub_partition('bad', 'at', '1 day');
SELECT count(*) FROM part_config_sub WHERE sub_parent = 'bad';
ALTER TABLE bad ALTER at SET NOT NULL;
CREATE TABLE bad_other PARTITION OF bad FOR VALUES FROM (1000) TO (1010) PARTITION BY RANGE (n);
SELECT create_sub_partition('bad', 'at', '1 day');
DROP TABLE bad_other;
INSERT INTO bad VALUES (1, 1, '2020-01-01');
CREATE VIEW bad_view AS TABLE bad_p0;
SELECT create_sub_partition('bad', 'at', '1 day');
DROP VIEW bad_view;
ALTER TABLE bad_p0 ENABLE ROW LEVEL SECURITY;
SELECT create_sub_partition('bad', 'at', '1 day');
ALTER TABLE bad_p0 DISABLE ROW LEVEL SECURITY;
ALTER TABLE bad_p0 ADD CONSTRAINT own CHECK (n > 0);
SELECT create_sub_partition('bad', 'at', '1 day');
ALTER TABLE bad_p0 DROP CONSTRAINT own;
SELECT create_sub_partition('bad', 'id', '5', p_type => 'list');
UPDATE pg_inherits SET inhdetachpending = true WHERE inhrelid = 'bad_p0'::regclass;
SELECT create_sub_partition('bad', 'at', '1 day');
UPDATE pg_inherits SET inhdetachpending = false WHERE inhrelid = 'bad_p0'::regclass;
CREATE ROLE regress_sub_other;
ALTER TABLE bad_p0 OWNER TO regress_sub_other;
SELECT create_sub_partition('bad', 'at', '1 day');
ALTER TABLE bad_p0 OWNER TO CURRENT_USER;
-- foreign keys that point at rows
ALTER TABLE bad ADD PRIMARY KEY (id, at);
CREATE TABLE points (id int, at timestamptz, CONSTRAINT points_fk FOREIGN KEY (id, at) REFERENCES bad);
SELECT create_sub_partition('bad', 'at', '1 day');
DROP TABLE points;
SELECT create_sub_partition('bad', 'at', '1 day');
SELECT create_sub_partition('bad', 'at', '1 day');
UPDATE part_config_sub SET sub_partition_interval = 'nonsense' WHERE sub_parent = 'bad';
UPDATE part_config_sub SET sub_retention = 'nonsense' WHERE sub_parent = 'bad';
UPDATE part_config_sub SET sub_control = 'nothing' WHERE sub_parent = 'bad';
UPDATE part_config_sub SET sub_parent = 'made' WHERE sub_parent = 'bad';
UPDATE part_config_sub SET sub_time_zone = 'Nowhere' WHERE sub_parent = 'bad';
SELECT stop_sub_partition('sub_test.nothing');
SELECT stop_sub_partition('part_config');
-- whose set it is
GRANT USAGE ON SCHEMA sub_test TO regress_sub_other;
SET ROLE regress_sub_other;
SET search_path = sub_test, public;
SELECT create_sub_partition('made', 'b', '1 day');
SELECT stop_sub_partition('made');
SELECT count(*) FROM part_config_sub;
RESET ROLE;

DROP SCHEMA sub_test CASCADE;
DROP SCHEMA old CASCADE;
DROP EXTENSION partmgr;
DROP ROLE regress_sub_other;
