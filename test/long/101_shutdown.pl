# Immediate shutdown, a cancelled statement and the end of a worker before,
# inside and after each kind of step, while writers write and a reader reads.

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
my @places = qw(maintain-looked step-before ddl-statement applied-create step-after worker-between-steps note-before
  upkeep-looked upkeep-before upkeep-after upkeep-toplevel-done upkeep-between-steps
  applied-detach archive-said-drop applied-drop);

foreach my $place (@places)
{
	my ($gate, $pid) = gate_at($node, $place);

	$node->stop('immediate');
	forget_session($gate);
	$node->start;
	pass("immediate shutdown at $place");
}

# a cancel is for the step, and the worker goes on
foreach my $place (@places)
{
	my ($gate, $pid) = gate_at($node, $place);

	is($node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)"), 't', "cancel at $place");
	$gate->quit;
}

# the launcher backs off from a database where workers come to their end so
foreach my $place ('step-after', 'upkeep-between-steps', 'applied-detach')
{
	my ($gate, $pid) = gate_at($node, $place);

	is($node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)"), 't', "terminate at $place");
	$gate->quit;
	$node->safe_psql('postgres', 'SELECT wake_worker()');
}

# a detach that waits for a reader
foreach my $how ('cancel', 'terminate')
{
	my ($reader, $pid) = hold_up_detach($node);

	$node->safe_psql('postgres', "SELECT pg_${how}_backend($pid)");
	ok( $node->poll_query_until('postgres', q{SELECT bool_or(inhdetachpending) FROM pg_inherits WHERE inhparent = 'ev'::regclass}),
		"$how while a detach waits: it is pending");
	$reader->query_safe('COMMIT');
	$reader->quit;
	ok( $node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM part_log WHERE action = 'finalize' AND parent_table = 'ev'::regclass}),
		'and finalized');
	$node->safe_psql('postgres', q{DELETE FROM part_log});
}
my ($reader) = hold_up_detach($node);
$node->stop('immediate');
forget_session($reader);
$node->start;
pass('immediate shutdown while a detach waits');

stop_clients();
is_whole($node, 'after ' . (2 * @places + 6) . ' interruptions');
$node->stop;
done_testing();
