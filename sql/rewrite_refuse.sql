-- What a rewrite refuses, with the reason, before anything is done.

SET client_min_messages = warning;
DROP EXTENSION IF EXISTS partmgr;
CREATE EXTENSION partmgr;
CREATE ROLE regress_refuse_other;
CREATE SCHEMA refuse_test;
SET search_path = refuse_test, public;
\set VERBOSITY terse

--
-- a partition that is being detached, of whose rows some see all and some none
--

CREATE TABLE num (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
SELECT create_parent('num', 'id', '10', p_premake => 1, p_start_partition => '0', p_default_table => false, p_automatic_maintenance => 'off');
INSERT INTO num SELECT n, 'v' FROM generate_series(0, 15) n;
UPDATE pg_inherits SET inhdetachpending = true WHERE inhrelid = 'num_p0'::regclass;
SELECT unpartition('num', p_mode => 'locking');
CALL unpartition_proc('num');
CALL split_partition_proc('num_p0', '5');
CALL merge_partitions_proc('num', '0', '20');
UPDATE pg_inherits SET inhdetachpending = false WHERE inhrelid = 'num_p0'::regclass;

--
-- statistics that are somebody else's, or elsewhere
--

CREATE TABLE stat (id int PRIMARY KEY, n int, m int);
CREATE STATISTICS stat_n ON n, m FROM stat;
ALTER STATISTICS stat_n OWNER TO regress_refuse_other;
ALTER TABLE stat OWNER TO pg_database_owner;
GRANT ALL ON SCHEMA refuse_test TO pg_database_owner;
SELECT convert_table('stat', 'id', '10', p_mode => 'locking');
SELECT object, what FROM convert_table_plan('stat', 'id') WHERE object LIKE 'statistics%';
ALTER STATISTICS stat_n OWNER TO pg_database_owner;
ALTER STATISTICS stat_n SET SCHEMA public;
SELECT convert_table('stat', 'id', '10', p_mode => 'locking');
DROP STATISTICS public.stat_n;
SELECT convert_table('stat', 'id', '10', p_mode => 'locking') > 0 AS converted;

--
-- a partition of somebody else, of which the owner of the set may see no row
--

CREATE TABLE own (id int) PARTITION BY RANGE (id);
SELECT create_parent('own', 'id', '10', p_premake => 1, p_start_partition => '0', p_default_table => false, p_automatic_maintenance => 'off', p_control_not_null => false);
INSERT INTO own VALUES (1);
ALTER TABLE own_p0 OWNER TO regress_refuse_other;
CREATE TABLE own_target (id int);
SELECT undo_partition('own', 'own_target', p_loop_count => 10, p_keep_table => false);
SELECT count(*) FROM own;

-- nothing was begun but what is done
SELECT kind, state FROM rewrite_progress;

DROP SCHEMA refuse_test CASCADE;
DROP EXTENSION partmgr;
DROP ROLE regress_refuse_other;
