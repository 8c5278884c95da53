# kill -9 of a worker before, inside and after each kind of step, while writers
# write and a reader reads: the server restarts, and all goes on by itself.

use strict;
use warnings;

use Partmgr;
use PartmgrCrash;
use PartmgrWorker;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = crash_node('main');
make_scene($node);
start_clients($node);

sub kill_worker
{
	my ($pid, @sessions) = @_;
	my $position = log_position($node);

	note($node->safe_psql('postgres', "SELECT backend_type, query FROM pg_stat_activity WHERE pid = $pid"));
	kill 'KILL', $pid;
	restart_after($node, $position);
	forget_session($_) foreach @sessions;
	return;
}

# what happens all the time
foreach my $place (qw(maintain-looked step-before ddl-statement applied-create step-after worker-between-steps note-before
	upkeep-looked upkeep-before upkeep-after upkeep-toplevel-done upkeep-between-steps
	applied-detach archive-said-drop applied-drop))
{
	my ($gate, $pid) = gate_at($node, $place);

	kill_worker($pid, $gate);
	pass("killed at $place");
}

# what takes a change of the configuration
my %want = (
	'applied-reattach' => [ q{retention = '40', retention_keep_table = false, retention_grace = '1 day'}, q{retention = NULL} ],
	'applied-settle' => [ q{retention = NULL}, q{retention = '50', retention_grace = NULL, retention_keep_table = true, retention_schema = 'attic'} ]
);
foreach my $place (sort keys %want)
{
	my ($before, $then) = @{ $want{$place} };

	$node->safe_psql('postgres', "UPDATE part_config SET $before WHERE parent_table = 'rest'");
	$node->poll_query_until('postgres', q{SELECT upkeep_failures = 0 AND NOT EXISTS (SELECT FROM maintenance_plan('rest')) FROM part_state WHERE parent_table = 'rest'::regclass})
	  or die "no rest before $place";
	my $gate = close_gate($node, 'postgres', $place);
	$node->safe_psql('postgres', "UPDATE part_config SET $then WHERE parent_table = 'rest'");
	kill_worker(worker_waits($node, q{wait_event = 'advisory'}, $place), $gate);
	pass("killed at $place");
}
is($node->safe_psql('postgres', 'SELECT count(*) FROM rest') + ($node->poll_query_until('postgres', q{SELECT to_regclass('attic.rest_p0') IS NOT NULL}) ? 10 : 0),
	70, 'moved in the end, with its rows');

# while a detach waits for a reader, and while it is finalized
foreach my $n (1, 2)
{
	my ($reader, $pid) = hold_up_detach($node);

	kill_worker($pid, $reader);
	pass("killed while a detach waits for a reader, $n");
}
my $gate = close_gate($node, 'postgres', 'applied-finalize');
my ($reader, $pid) = hold_up_detach($node);
$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
$node->poll_query_until('postgres', q{SELECT bool_or(inhdetachpending) FROM pg_inherits WHERE inhparent = 'ev'::regclass});
$reader->query_safe('COMMIT');
kill_worker(worker_waits($node, q{wait_event = 'advisory'}, 'applied-finalize'), $gate, $reader);
pass('killed while a detach is finalized');

stop_clients();
is_whole($node, 'after 20 times kill -9');
$node->stop;
done_testing();
