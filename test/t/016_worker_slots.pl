# No free slot for a background worker: one line in the log, and the work is
# done when there is a slot again.

use strict;
use warnings;

use Partmgr;
use PartmgrWorker;
use PostgreSQL::Test::Utils;
use Test::More;

# room for our launcher and one worker
my $node = new_node('main', conf => <<'CONF');
max_worker_processes = 2
max_logical_replication_workers = 0
partmgr.interval = '1s'
partmgr.max_workers = 2
CONF

foreach my $db (qw(a b))
{
	make_extension($node, $db);
	make_set($node, $db, 'ev');
	wait_maintained($node, $db, 'ev', "database $db is maintained");
}

# the shortage begins with the upkeep of a, or with b, whichever is due first
my $start = log_position($node);
slow_down_maintenance($node, 'a');
want_more($node, 'a', 'ev');
my $pid = wait_worker($node, 'a', 'PgSleep');
my $position = log_position($node);
want_more($node, 'b', 'ev');
$node->wait_for_log(qr/no free background worker slot for the maintenance of database "[ab]"/, $start);
stays_unmaintained($node, 'b', 'ev', 'there is no room for a second worker');
my @lines = log_since($node, $position) =~ /no free background worker slot/g;
cmp_ok(scalar @lines, '<=', 1, 'one line for the whole shortage');
like(log_since($node, $start), qr/HINT: .*max_worker_processes/, 'with a hint');

let_go($node, 'a', $pid);
wait_maintained($node, $_, 'ev', "database $_ is maintained when there is room") foreach (qw(b a));

$node->stop;
done_testing();
