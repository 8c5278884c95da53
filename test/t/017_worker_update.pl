# A library that is newer than the installed SQL: the worker says so once and
# does nothing else, until ALTER EXTENSION ... UPDATE.

use strict;
use warnings;

use Partmgr;
use PartmgrWorker;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', conf => "partmgr.interval = '1s'\n");

make_extension($node, 'postgres');
make_set($node, 'postgres', 'ev');
wait_maintained($node, 'postgres', 'ev', 'first maintenance');
my $version = $node->safe_psql('postgres',
	"SELECT extversion FROM pg_extension WHERE extname = 'partmgr'");

my $position = log_position($node);
want_more($node, 'postgres', 'ev');
wait_maintained($node, 'postgres', 'ev', 'the version fits');
$node->safe_psql('postgres', <<'SQL');
BEGIN;
UPDATE part_config SET premake = premake + 1;
UPDATE pg_extension SET extversion = '0.1' WHERE extname = 'partmgr';
COMMIT;
SQL
$node->wait_for_log(
	qr/extension partmgr in database "postgres" needs an update.*\n.*HINT: .*ALTER EXTENSION partmgr UPDATE/,
	$position);
my $partitions = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'ev'::regclass";
my $before = $node->safe_psql('postgres', $partitions);
my $changed = poll_until(sub { $node->safe_psql('postgres', $partitions) ne $before }, 3);
ok(!$changed, 'nothing is maintained');
my ($code, $out, $err) = $node->psql('postgres', 'SELECT * FROM list_partitions()');
like($err, qr/needs an update.*ALTER EXTENSION partmgr UPDATE/s, 'functions say what to do');
$node->safe_psql('postgres', 'SELECT wake_worker()');
ok( $node->poll_query_until('postgres',
		"SELECT state = 'needs update' AND next_due IS NULL FROM worker_status() WHERE lane = 'create' AND datname = 'postgres'"),
	'woken, a worker looks again');
my @lines = log_since($node, $position) =~ /\] partmgr (?:\w+ )?worker .*needs an update/g;
is(scalar @lines, 1, 'one line');

# only the wake is tested here: there is no older version to update from
$node->safe_psql('postgres', <<"SQL");
BEGIN;
UPDATE pg_extension SET extversion = '$version' WHERE extname = 'partmgr';
ALTER EXTENSION partmgr UPDATE;
COMMIT;
SQL
wait_maintained($node, 'postgres', 'ev', 'after the update maintenance goes on');

# after a start of the server, a line again
$node->safe_psql('postgres', "UPDATE pg_extension SET extversion = '0.1' WHERE extname = 'partmgr'");
$position = log_position($node);
$node->restart;
$node->wait_for_log(qr/extension partmgr in database "postgres" needs an update/, $position);
pass('the line comes again after a restart');

$node->stop;
done_testing();
