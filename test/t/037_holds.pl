# A hold that comes while the worker is about to drop a detached partition: the
# worker has decided before, and looks again under the lock of its mark.

use strict;
use warnings;

use Partmgr;
use PartmgrWorker;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', conf => "partmgr.interval = '1s'\n");
unless (is_debug_build($node))
{
	$node->stop;
	plan skip_all => 'needs a debug build';
}
$node->safe_psql('postgres', 'CREATE EXTENSION partmgr');

# p0 is detached at once, and its drop waits for the grace
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE ev (id int NOT NULL) PARTITION BY RANGE (id);
SELECT create_parent('ev', 'id', '10', p_premake => 3, p_default_table => false);
INSERT INTO ev VALUES (5), (25);
UPDATE part_config SET retention = '10', retention_keep_table = false, retention_grace = '1 year';
SQL
ok( $node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM list_partitions('ev') WHERE partition_name = 'ev_p0'::regclass AND state = 'detached'}),
	'the oldest partition is detached');

my $gate = close_gate($node, 'postgres', 'upkeep-before');
$node->safe_psql('postgres', q{UPDATE part_detached SET drop_after = now(); UPDATE part_state SET next_upkeep = now(); SELECT wake_worker()});
ok( $node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type LIKE 'partmgr%' AND wait_event = 'advisory'}),
	'the worker is about to drop it');
my $hold = $node->safe_psql('postgres', q{SELECT hold_partition('ev', '0', '10', 'in the last moment')});
$gate->quit;

ok( $node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM part_state WHERE upkeep_failures = 0 AND next_upkeep IS NULL}),
	'the worker has gone on');
is($node->safe_psql('postgres', q{SELECT id FROM ev_p0}), '5', 'and the partition is there');
is( $node->safe_psql('postgres', q{SELECT count(*) FROM part_log WHERE partition_name = 'public.ev_p0' AND action = 'drop' AND sqlstate IS NULL}),
	'0', 'nothing says it was dropped');
is( $node->safe_psql('postgres', q{SELECT unnest(notes) FROM partition_health_summary('ev')}),
	'detached partition "public.ev_p0" is not dropped because of a hold: in the last moment', 'health says why it stays');

# once it is released, it goes
$node->safe_psql('postgres', "SELECT release_hold($hold)");
ok($node->poll_query_until('postgres', q{SELECT to_regclass('ev_p0') IS NULL}), 'released, it is dropped');

# One that comes after the worker has decided to detach, and before it does.
# What the worker has to do besides must not come to that gate first.
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE late (id int NOT NULL) PARTITION BY RANGE (id);
SELECT create_parent('late', 'id', '10', p_premake => 3, p_default_table => false);
INSERT INTO late VALUES (5), (25);
UPDATE part_config SET analyze_parent = false;
SQL
ok( $node->poll_query_until('postgres', q{SELECT bool_and(next_upkeep IS NULL AND next_run > now()) AND NOT EXISTS
		(SELECT FROM pg_stat_activity WHERE backend_type LIKE 'partmgr%worker') FROM part_state}),
	'the worker has done all');
$gate = close_gate($node, 'postgres', 'upkeep-between-steps');
$node->safe_psql('postgres', <<'SQL');
UPDATE part_config SET retention = '10', retention_keep_table = false, retention_grace = '1 year' WHERE parent_table = 'late';
SQL
ok( $node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM part_detached, pg_stat_activity
		WHERE partition = 'late_p0'::regclass AND backend_type LIKE 'partmgr%' AND wait_event = 'advisory'}),
	'the worker is about to detach');
$hold = $node->safe_psql('postgres', q{SELECT hold_partition('late', '0', '10', 'just in time')});
$gate->quit;
ok( $node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM part_state WHERE parent_table = 'late'::regclass AND upkeep_failures = 0 AND next_upkeep IS NULL}),
	'the worker has gone on');
is( $node->safe_psql('postgres', q{SELECT string_agg(partition_name || ' ' || state, ', ' ORDER BY lower_id) FROM list_partitions('late') WHERE lower_id < 10}),
	'late_p0 expired', 'the partition is attached');
is($node->safe_psql('postgres', q{SELECT count(*) FROM part_detached WHERE parent_table = 'late'::regclass}), '0', 'and its mark is gone');
$node->safe_psql('postgres', "SELECT release_hold($hold)");
ok( $node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM list_partitions('late') WHERE partition_name = 'late_p0'::regclass AND state = 'detached'}),
	'released, it is detached');

$node->stop;
done_testing();
