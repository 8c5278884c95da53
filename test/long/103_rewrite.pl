# Each kind of rewrite while rows are written and read, with workers that are
# killed at random moments: in the end all is as the model says.

use strict;
use warnings;

use Partmgr;
use PartmgrCrash;
use PartmgrRewrite;
use PartmgrWorker;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $seed = $ENV{PARTMGR_SEED} // 103;
note("PARTMGR_SEED=$seed");
srand($seed);

my $node = crash_node('main');
$node->safe_psql('postgres', 'CREATE EXTENSION partmgr; CREATE ROLE app LOGIN; GRANT ALL ON SCHEMA public TO app');

my @kinds = (
	[ 'convert', undef, q{convert_table('ev', 'at', '10', p_premake => 1)} ],
	[ 'drain', 'default', q{drain_default('ev')} ],
	[ 'split', 'one', q{split_partition('ev_p0', '10')} ],
	[ 'merge', 'many', q{merge_partitions('ev', '0', '50')} ],
	[ 'interval', 'many', q{change_interval('ev', '50', true)} ],
	[ 'compress', 'many', q{compress_partitions('ev', '1', p_method => 'pglz')} ],
	[ 'undo', 'many', q{unpartition('ev')} ]);

# a worker that is ended (SIGTERM) leaves the server, and so the writers, alone
foreach my $kind (@kinds)
{
	my ($name, $where, $order) = @$kind;

	defined $where ? make_ranges($node, $where, 20000) : make_table($node, 20000);
	my $fire = start_fire($node, 12);
	$node->safe_psql('postgres', "SET ROLE app; SELECT $order");
	for my $n (1 .. 8)
	{
		usleep(int(rand(700_000)));
		$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'partmgr rewrite worker'});
	}
	wait_ended($node);
	end_fire($fire, $name);
	is_done($node, "$name, its worker ended at random");

	# kill -9 takes the writers along, whose transactions are whole or not there
	defined $where ? make_ranges($node, $where, 20000) : make_table($node, 20000);
	$fire = start_fire($node, 10);
	$node->safe_psql('postgres', "SET ROLE app; SELECT $order");
	usleep(int(rand(2_000_000)));
	my $position = log_position($node);
	my $pid = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'partmgr rewrite worker' LIMIT 1});
	if ($pid ne '')
	{
		kill 'KILL', $pid;
		restart_after($node, $position);
	}
	$_->{run}->finish foreach @$fire;
	is_done($node, "$name, its worker killed");
}

$node->stop;
done_testing();
