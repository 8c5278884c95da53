# What keeps one partition keeps no other: a step that fails, and a step that
# does not end.

use strict;
use warnings;

use Partmgr;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', conf => <<'CONF');
partmgr.interval = '1s'
partmgr.step_timeout = '1s'
CONF
$node->safe_psql('postgres', 'CREATE EXTENSION partmgr');

# a view stands on the oldest of four expired partitions
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE ev (id int NOT NULL) PARTITION BY RANGE (id);
SELECT create_parent('ev', 'id', '10', p_premake => 5, p_default_table => false, p_automatic_maintenance => 'off');
CREATE VIEW looks AS SELECT * FROM ev_p0;
INSERT INTO ev VALUES (5), (45);
UPDATE part_config SET retention = '10', retention_keep_table = false, automatic_maintenance = 'on';
SQL
ok( $node->poll_query_until('postgres', q{SELECT string_agg(partition_tablename, ' ' ORDER BY partition_tablename) LIKE 'ev_p30 %' FROM show_partitions('ev')}),
	'all are detached');
ok( $node->poll_query_until('postgres', q{SELECT upkeep_sqlstate = '2BP01' AND upkeep_error LIKE '%looks%' AND to_regclass('ev_p10') IS NULL AND to_regclass('ev_p20') IS NULL FROM part_state}),
	'the others are dropped, and what depends on the first is recorded');
$node->safe_psql('postgres', 'DROP VIEW looks');
ok( $node->poll_query_until('postgres', q{SELECT to_regclass('ev_p0') IS NULL}),
	'it heals');
ok($node->poll_query_until('postgres', 'SELECT upkeep_failures = 0 FROM part_state'), 'the failure is forgotten');

# a function of one table sleeps in the worker; another set goes on
$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION slow(int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	IF current_setting('application_name') LIKE 'partmgr%' THEN
		PERFORM pg_sleep(600);
	END IF;
	RETURN true;
END $$;
CREATE TABLE slow (id int NOT NULL CHECK (public.slow(id))) PARTITION BY RANGE (id);
SELECT create_parent('slow', 'id', '10', p_premake => 1);
INSERT INTO slow VALUES (25);
UPDATE part_config SET ignore_default_data = false WHERE parent_table = 'slow';
SQL
ok( $node->poll_query_until('postgres', q{SELECT last_sqlstate = '57014' FROM part_state WHERE parent_table = 'slow'}),
	'a step that does not end is cancelled');
$node->safe_psql('postgres', q{UPDATE part_config SET premake = 8 WHERE parent_table = 'ev'});
ok( $node->poll_query_until('postgres', q{SELECT partitions_ahead >= 8 FROM partition_health_summary('ev')}),
	'the other set is maintained');

# the same with a function that catches the cancel, of the set that comes first
$node->safe_psql('postgres', <<'SQL');
DROP TABLE slow;
CREATE FUNCTION stubborn(int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	WHILE current_setting('application_name') LIKE 'partmgr%' LOOP
		BEGIN
			PERFORM pg_sleep(600);
		EXCEPTION WHEN query_canceled THEN
			NULL;
		END;
	END LOOP;
	RETURN true;
END $$;
CREATE TABLE stubborn (id int NOT NULL CHECK (public.stubborn(id))) PARTITION BY RANGE (id);
SELECT create_parent('stubborn', 'id', '10', p_premake => 1);
INSERT INTO stubborn VALUES (25);
UPDATE part_config SET ignore_default_data = false, maintenance_order = 1 WHERE parent_table = 'stubborn';
UPDATE part_config SET premake = 9, maintenance_order = 2 WHERE parent_table = 'ev';
SQL
ok( $node->poll_query_until('postgres', q{SELECT last_sqlstate = '57014' AND last_error LIKE '%could not be cancelled'
		FROM part_state WHERE parent_table = 'stubborn'}),
	'a step that cannot be cancelled ends its worker');
ok( $node->poll_query_until('postgres', q{SELECT partitions_ahead >= 9 FROM partition_health_summary('ev')}),
	'the other set is maintained');

$node->stop;
done_testing();
