# Fast shutdown while the worker is at work; crashes between any two steps and
# between the last step and its note; a worker killed by signal 9.  Afterwards
# all is whole and goes on by itself.

use strict;
use warnings;

use Partmgr;
use PartmgrWorker;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', conf => <<'CONF');
partmgr.interval = '1s'
restart_after_crash = on
synchronous_commit = on
CONF

make_extension($node, 'postgres');
make_set($node, 'postgres', 'ev');
wait_maintained($node, 'postgres', 'ev', 'first maintenance');

# no holes, no overlaps, and bookkeeping for what there is
sub is_whole
{
	my ($what) = @_;

	is( $node->safe_psql('postgres', <<'SQL'),
SELECT count(*) FILTER (WHERE lower_time <> previous),
	(SELECT count(*) FROM part_config), (SELECT count(*) FROM part_state),
	(SELECT count(*) FROM pg_class c WHERE relname LIKE 'ev_p%' AND relkind = 'r' AND NOT relispartition)
FROM (SELECT lower_time, lag(upper_time) OVER (ORDER BY lower_time) AS previous FROM list_partitions('ev')) p
SQL
		'0|1|1|0', $what);
	return;
}

# fast shutdown: the worker ends at once, wherever it is
slow_down_maintenance($node, 'postgres');
want_more($node, 'postgres', 'ev');
wait_worker($node, 'postgres', 'PgSleep');
my $begin = time();
$node->stop('fast');
cmp_ok(time() - $begin, '<', 5, 'fast shutdown does not wait for a worker at work');
$node->start;
my $pid = wait_worker($node, 'postgres', 'PgSleep');
pass('after the start the worker takes up the work again');
let_go($node, 'postgres', $pid);
wait_maintained($node, 'postgres', 'ev', 'and completes it');
is_whole('whole after a fast shutdown');

SKIP:
{
	skip 'needs a debug build', 20 unless is_debug_build($node);

	# immediate shutdown at each place between and in the steps of a run
	foreach my $place ('maintain-looked', 'step-before', 'step-after',
		'worker-between-steps', 'note-before')
	{
		my $gate = close_gate($node, 'postgres', $place);

		$node->safe_psql('postgres', 'UPDATE part_config SET premake = premake + 2');
		wait_worker($node, 'postgres', 'advisory');
		$node->stop('immediate');
		$gate->{run}->finish;
		$node->start;
		wait_maintained($node, 'postgres', 'ev', "immediate shutdown at $place: completed");
		is_whole("whole after immediate shutdown at $place");
	}
}

# kill -9 of a worker: the server restarts itself, and goes on
slow_down_maintenance($node, 'postgres');
want_more($node, 'postgres', 'ev');
$pid = wait_worker($node, 'postgres', 'PgSleep');
my $position = log_position($node);
kill 'KILL', $pid;
$node->wait_for_log(qr/database system is ready to accept connections/, $position);
$node->poll_query_until('postgres', 'SELECT true');
$pid = wait_worker($node, 'postgres', 'PgSleep');
let_go($node, 'postgres', $pid);
wait_maintained($node, 'postgres', 'ev', 'after kill -9 of a worker the work is completed');
is_whole('whole after kill -9');

$node->stop;
done_testing();
