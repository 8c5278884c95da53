# The worker finds its databases and sets by itself, works visibly and without
# noise, and obeys its settings.

use strict;
use warnings;

use Partmgr;
use PartmgrWorker;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', conf => <<'CONF');
partmgr.interval = '1s'
partmgr.max_workers = 1
max_prepared_transactions = 2
CONF

# the health of a set in database a, if it had been due so long ago
sub overdue
{
	my ($since) = @_;

	return $node->safe_psql('a', qq{
		BEGIN;
		UPDATE part_state SET next_run = now() - interval '$since';
		SELECT status, problems FROM partition_health_summary('ev');
		ROLLBACK});
}

# the launcher is there, connected to no database
ok( $node->poll_query_until(
		'postgres',
		"SELECT datname IS NULL AND application_name = 'partmgr launcher'"
		  . " FROM pg_stat_activity WHERE backend_type = 'partmgr launcher'"),
	'launcher is visible');

# three databases, one worker at a time, nothing configured
my $start = log_position($node);
foreach my $db (qw(a b c))
{
	make_extension($node, $db);
	make_set($node, $db, 'ev');
	want_more($node, $db, 'ev');
}
wait_maintained($node, $_, 'ev', "first maintenance of database $_")
  foreach (qw(a b c));
is($node->safe_psql('a',
		"SELECT action, count(*) > 0 FROM part_log WHERE parent_table = 'ev'::regclass GROUP BY 1"),
	'create|t', 'part_log tells what was done');

# without any wake, a set is maintained again and again
my $last_run = $node->safe_psql('a', "SELECT max(last_run) FROM part_state");
ok( $node->poll_query_until('a',
		"SELECT last_run > timestamptz '$last_run' + interval '1 s' FROM part_state"),
	'maintenance is repeated');

# a partition that somebody drops is made again
$node->safe_psql('a', <<'SQL');
DO $$ BEGIN EXECUTE (SELECT 'DROP TABLE ' || partition_name FROM list_partitions('ev')
	ORDER BY lower_time DESC LIMIT 1); END $$;
SQL
wait_maintained($node, 'a', 'ev', 'a dropped partition comes back');

unlike(log_since($node, $start), qr/\] partmgr (upkeep worker|worker|launcher) /,
	'success is silent');
ok( $node->poll_query_until('a',
		"SELECT n_tup_upd > 0 FROM pg_stat_user_tables WHERE relname = 'part_state'"),
	'statistics of the worker are reported');

# what the launcher knows
ok( $node->poll_query_until('a',
		"SELECT string_agg(datname || ':' || state, ' ' ORDER BY datname) ="
		  . " 'a:waiting b:waiting c:waiting postgres:no extension' FROM worker_status() WHERE lane = 'create'"),
	'worker_status lists all databases but templates');
is( $node->safe_psql('a',
		"SELECT bool_and(next_due < now() + interval '2 s') FROM worker_status() WHERE lane = 'create' AND state = 'waiting'"),
	't', 'databases with sets are due within the interval');
my ($code, $out, $err) = $node->psql('a', <<'SQL');
CREATE ROLE nobody;
GRANT EXECUTE ON FUNCTION worker_status() TO nobody;
SET ROLE nobody;
SELECT * FROM worker_status();
SQL
like($err, qr/permission denied to see the state of the partmgr worker/,
	'worker_status is for pg_monitor');

# switched off, then on
$node->append_conf('postgresql.conf', "partmgr.enabled = off\n");
$node->reload;
$node->poll_query_until('a', "SELECT NOT current_setting('partmgr.enabled')::bool");
$node->poll_query_until('a',
	"SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'partmgr worker'");
want_more($node, 'a', 'ev');
stays_unmaintained($node, 'a', 'ev', 'nothing is done while partmgr.enabled is off');
like(overdue('3 days'), qr/BEHIND.*long overdue, and partmgr.enabled is off/, 'health says so in the end');
unlike(overdue('1 hour'), qr/overdue/, 'but not at once: somebody may do it by hand');
$node->append_conf('postgresql.conf', "partmgr.enabled = on\n");
$node->reload;
wait_maintained($node, 'a', 'ev', 'switched on, the set is maintained at once');

# a long interval: only wakes matter now
$node->append_conf('postgresql.conf', "partmgr.interval = '1d'\n");
$node->reload;
want_more($node, 'b', 'ev');
wait_maintained($node, 'b', 'ev', 'a change of part_config wakes the worker');

$node->safe_psql('postgres', 'CREATE DATABASE later');
ok( $node->poll_query_until('a',
		"SELECT state = 'no extension' FROM worker_status() WHERE lane = 'create' AND datname = 'later'"),
	'a new database is looked at once');
$node->safe_psql('later', 'BEGIN; CREATE EXTENSION partmgr; ROLLBACK');
is($node->safe_psql('a', "SELECT state FROM worker_status() WHERE lane = 'create' AND datname = 'later'"),
	'no extension', 'CREATE EXTENSION that was rolled back wakes nobody');
make_extension($node, 'later');
ok( $node->poll_query_until('a',
		"SELECT state = 'waiting' AND next_due IS NULL FROM worker_status() WHERE lane = 'create' AND datname = 'later'"),
	'CREATE EXTENSION wakes the worker');
make_set($node, 'later', 'ev');
ok( $node->poll_query_until('a',
		"SELECT state = 'waiting' AND next_due > now() + interval '1 h' FROM worker_status() WHERE lane = 'create' AND datname = 'later'"),
	'create_parent wakes the worker, which comes back after the interval');

# the wake of a prepared transaction comes with COMMIT PREPARED
$node->safe_psql('b', <<'SQL');
BEGIN;
UPDATE part_config SET premake = premake + 1;
PREPARE TRANSACTION 'more';
SQL
is($node->safe_psql('b', missing('ev')), '0', 'prepared change is not visible');
$node->safe_psql('b', "COMMIT PREPARED 'more'");
wait_maintained($node, 'b', 'ev', 'COMMIT PREPARED wakes the worker');

# a shorter interval takes effect for a database that was to wait for a day
$last_run = $node->safe_psql('c', 'SELECT max(last_run) FROM part_state');
$node->append_conf('postgresql.conf', "partmgr.interval = '1s'\n");
$node->reload;
want_more($node, 'c', 'ev');
wait_maintained($node, 'c', 'ev', 'woken again');
$last_run = $node->safe_psql('c', 'SELECT max(last_run) FROM part_state');
ok( $node->poll_query_until('c',
		"SELECT last_run > timestamptz '$last_run' + interval '1 s' FROM part_state"),
	'a shorter partmgr.interval takes effect');

# max_workers: while one is at work, nobody else is
slow_down_maintenance($node, 'a');
want_more($node, 'a', 'ev');
my $pid = wait_worker($node, 'a', 'PgSleep');
is( $node->safe_psql('postgres',
		"SELECT state || ' ' || query FROM pg_stat_activity WHERE pid = $pid"),
	'active partmgr: maintaining public.ev', 'one sees what the worker does');
want_more($node, 'b', 'ev');
stays_unmaintained($node, 'b', 'ev', 'partmgr.max_workers is respected');
is( $node->safe_psql('postgres',
		"SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'partmgr worker'"),
	'1', 'one worker at a time');
let_go($node, 'a', $pid);
wait_maintained($node, 'b', 'ev', 'the other database has its turn then');
wait_maintained($node, 'a', 'ev', 'and the cancelled set comes back');

like(overdue('11 minutes'), qr/BEHIND.*long overdue, and the worker does not come/, 'a worker that hangs is told');
unlike(overdue('9 minutes'), qr/overdue/, 'one that is busy is not');

$node->stop;
done_testing();
