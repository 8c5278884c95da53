# Creation has a worker of its own and waits for nothing slow: not in the same
# database, not when the other lane would take all workers, and the commands
# that need a database for themselves end the workers of both lanes.

use strict;
use warnings;

use Partmgr;
use PartmgrWorker;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', conf => <<'CONF');
partmgr.interval = '1s'
partmgr.max_workers = 2
CONF
unless (is_debug_build($node))
{
	$node->stop;
	plan skip_all => 'needs a debug build';
}

# upkeep is due, now and until somebody says otherwise
sub want_upkeep
{
	my ($db) = @_;

	$node->safe_psql($db, "UPDATE part_state SET next_upkeep = '2000-01-01'; SELECT wake_worker()");
	return;
}

sub stop_upkeep
{
	my ($db) = @_;

	$node->safe_psql($db, 'UPDATE part_state SET next_upkeep = NULL');
	return;
}

# the pid of the upkeep worker that waits at the gate of a database
sub wait_upkeep
{
	my ($db) = @_;
	my $who = "FROM pg_stat_activity WHERE backend_type = 'partmgr upkeep worker'"
	  . " AND datname = '$db' AND wait_event = 'advisory'";

	$node->poll_query_until('postgres', "SELECT count(*) = 1 $who")
	  or die "no upkeep worker of database $db waits";
	return $node->safe_psql('postgres', "SELECT pid $who");
}

my @databases = qw(a b c);
my $begin;
foreach my $db (@databases)
{
	make_extension($node, $db);
	make_set($node, $db, 'ev');
	wait_maintained($node, $db, 'ev', "database $db is maintained");
}
ok( $node->poll_query_until('a',
		"SELECT count(*) = 3 AND bool_and(state = 'waiting') AND count(next_due) = 1"
		  . " FROM worker_status() WHERE datname = 'a'"),
	'a lane without anything to do is not due');

# an ANALYZE of the parent waits for partitions that are to be made, and comes
# soon after them; one that cannot be made is not waited for
my $analyzed = q{SELECT count(*) FROM part_upkeep WHERE partition = 'ev'::regclass AND task = 'analyze'};
make_extension($node, 'e');
make_set($node, 'e', 'ev');
$node->safe_psql('e', <<'SQL');
INSERT INTO ev SELECT now(), n FROM generate_series(1, 10) n;
DO $$
BEGIN
	EXECUTE format('ANALYZE %s', (SELECT tableoid::regclass FROM ev LIMIT 1));
END $$;
SQL
my @step = map { close_gate($node, 'e', $_) } qw(step-before upkeep-between-steps);
want_more($node, 'e', 'ev');
wait_worker($node, 'e', 'advisory');
wait_upkeep('e');
is($node->safe_psql('e', $analyzed), '0', 'the parent is not analyzed while a partition is to be made');
$_->quit foreach @step;
ok(poll_until(sub { $node->safe_psql('e', $analyzed) eq '1' }, 20), 'but soon after it');
$node->safe_psql('e', <<'SQL');
DO $$
BEGIN
	EXECUTE format('CREATE TABLE %I ()',
		(SELECT partition_table FROM show_partition_name('ev', (now() + interval '3 days')::text)));
END $$;
DELETE FROM part_upkeep;
SQL
want_more($node, 'e', 'ev');
ok($node->poll_query_until('e', q{SELECT last_sqlstate = '42P07' FROM part_state}), 'a partition cannot be made');
ok(poll_until(sub { $node->safe_psql('e', $analyzed) eq '1' }, 20), 'the parent is analyzed nevertheless');
$node->safe_psql('postgres', 'DROP DATABASE e');

# upkeep of one set is at work, and creation goes on beside it
my %gate = map { $_ => close_gate($node, $_, 'upkeep-between-steps') } @databases;
want_upkeep('a');
my $pid = wait_upkeep('a');
want_more($node, 'a', 'ev');
wait_maintained($node, 'a', 'ev', 'the same set gets a partition meanwhile');
is( $node->safe_psql('a', "SELECT pid FROM worker_status() WHERE datname = 'a' AND lane = 'upkeep' AND state = 'working'"),
	$pid, 'upkeep is still at work');

# the last worker is for creation
want_upkeep('b');
want_more($node, 'c', 'ev');
wait_maintained($node, 'c', 'ev', 'another database gets its partition');
is( $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'partmgr upkeep worker'"),
	'1', 'upkeep of another database waits');
stop_upkeep('a');
$gate{a}->quit;
ok(wait_upkeep('b'), 'until the first one has ended');

# who needs the database for himself ends both workers
$node->append_conf('postgresql.conf', "partmgr.max_workers = 4\n");
$node->reload;
$gate{c}->quit;
$node->safe_psql('c', <<'SQL');
CREATE FUNCTION slow_upkeep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF current_setting('application_name') = 'partmgr upkeep worker' THEN
		PERFORM pg_sleep(600);
	END IF;
	RETURN new;
END $$;
CREATE TRIGGER slow_upkeep BEFORE UPDATE ON part_state FOR EACH ROW EXECUTE FUNCTION slow_upkeep();
SQL
slow_down_maintenance($node, 'c');
# a changed configuration wakes both lanes
want_more($node, 'c', 'ev');
foreach my $step ([ 'c', 'ALTER DATABASE c RENAME TO d' ], [ 'd', 'DROP DATABASE d' ])
{
	my ($db, $sql) = @$step;

	ok( $node->poll_query_until('postgres',
			"SELECT string_agg(backend_type, ', ' ORDER BY backend_type) = 'partmgr upkeep worker, partmgr worker'"
			  . " FROM pg_stat_activity WHERE datname = '$db' AND wait_event = 'PgSleep'"),
		"both lanes of $db are at work at once");
	$begin = time();
	is($node->psql('postgres', $sql), 0, $sql);
	cmp_ok(time() - $begin, '<', 5, 'did not have to wait');
}

# the end of one lane's worker does not touch the other
$pid = wait_upkeep('b');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
ok( $node->poll_query_until('b',
		"SELECT state = 'waiting' AND next_due > now() + interval '2 s' FROM worker_status() WHERE datname = 'b' AND lane = 'upkeep'"),
	'an upkeep worker that was ended comes back after a pause');
ok( $node->poll_query_until('b',
		"SELECT next_due < now() + interval '2 s' FROM worker_status() WHERE datname = 'b' AND lane = 'create'"),
	'creation goes on');
want_more($node, 'b', 'ev');
wait_maintained($node, 'b', 'ev', 'without it');
isnt(wait_upkeep('b'), $pid, 'a wake brings it back at once');
stop_upkeep('b');
$gate{b}->quit;

# a single worker: creation first, and each lane has its turn
$node->append_conf('postgresql.conf', "partmgr.max_workers = 1\n");
$node->reload;
$node->poll_query_until('a', "SELECT current_setting('partmgr.max_workers') = '1'");
my $gate = close_gate($node, 'a', 'upkeep-between-steps');
want_upkeep('a');
wait_upkeep('a');
want_more($node, 'a', 'ev');
stays_unmaintained($node, 'a', 'ev', 'a single worker does one thing at a time');
stop_upkeep('a');
$gate->quit;
wait_maintained($node, 'a', 'ev', 'then creation has its turn');

# what is due in a moment is waited for in the process, and that can be ended
$node->append_conf('postgresql.conf', "partmgr.interval = '1min'\n");
$node->reload;
$node->poll_query_until('a', "SELECT current_setting('partmgr.interval') = '1min'");
$node->safe_psql('a', <<'SQL');
CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF current_setting('application_name') = 'partmgr upkeep worker' THEN
		new.next_upkeep := clock_timestamp() + interval '200 ms';
		INSERT INTO public.rounds VALUES (pg_backend_pid());
	END IF;
	RETURN new;
END $$;
CREATE TABLE rounds (pid int);
CREATE TRIGGER again BEFORE UPDATE ON part_state FOR EACH ROW EXECUTE FUNCTION again();
SQL
want_upkeep('a');
ok( $node->poll_query_until('a', 'SELECT count(DISTINCT pid) = 2 FROM rounds'),
	'a set that is always due in a moment does not keep one worker for ever');
is( $node->safe_psql('a', 'SELECT min(n) > 1 FROM (SELECT count(*) AS n FROM rounds GROUP BY pid ORDER BY n DESC LIMIT 1) r'),
	't', 'which runs several times');
ok( $node->poll_query_until('postgres',
		"SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'partmgr upkeep worker'"
		  . " AND wait_event IN ('Extension', 'PartmgrWorkerNap')"),
	'and sleeps in between');
$begin = time();
is($node->psql('postgres', 'DROP DATABASE a'), 0, 'DROP DATABASE ends a worker that sleeps');
cmp_ok(time() - $begin, '<', 5, 'at once');

$node->stop;
done_testing();
