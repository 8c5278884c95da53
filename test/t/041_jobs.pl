# Jobs: the queue, cancelling, sessions that go away, databases that go away, no
# free worker.

use strict;
use warnings;

use Partmgr;
use PartmgrWorker;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', conf => <<'CONF');
partmgr.interval = '1s'
max_worker_processes = 10
CONF
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION partmgr;
CREATE ROLE app LOGIN;
CREATE ROLE other LOGIN;
GRANT ALL ON SCHEMA public TO app;
SQL

sub make_ids
{
	my ($db) = @_;

	$node->safe_psql($db, <<'SQL');
SET ROLE app;
CREATE TABLE ev (id int NOT NULL, v int) PARTITION BY RANGE (id);
SELECT create_parent('ev', 'id', '10', p_premake => 1, p_start_partition => '0', p_default_table => false);
SELECT create_future_partitions('ev', 3);
INSERT INTO ev SELECT n, n FROM generate_series(0, 29) n;
SQL
	return;
}
make_ids('postgres');

my $valid = q{SELECT bool_and(indisvalid) AND count(*) > 3 FROM pg_index x JOIN pg_class c ON c.oid = indrelid WHERE c.relname LIKE 'ev%'};

sub job_state
{
	my ($id, $state, $what) = @_;

	ok($node->poll_query_until('postgres', "SELECT state = '$state' FROM part_jobs WHERE id = $id"), $what);
	return;
}

# the queue, as the owner
my $id = $node->safe_psql('postgres', q{SELECT queue_create_index_concurrently('ev', 'CREATE INDEX ev_v ON ev (v)')}, extra_params => [ '-U', 'app' ]);
job_state($id, 'done', 'a queued index is created');
is($node->safe_psql('postgres', $valid), 't', 'on all partitions');
is($node->safe_psql('postgres', q{SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE relkind IN ('i', 'I') AND relname LIKE 'ev%'}),
	'app', 'by their owner');
is($node->safe_psql('postgres', "SELECT asked_by, done = total FROM part_jobs WHERE id = $id"), 'app|t', 'the view shows it');
$id = $node->safe_psql('postgres', q{SELECT queue_reindex_partitions('ev'::regclass)});
job_state($id, 'done', 'a queued reindex is done');

# one that waits for an old transaction is cancelled
my $old = $node->background_psql('postgres');
$old->query_safe('BEGIN; INSERT INTO ev VALUES (5, 5)');
$id = $node->safe_psql('postgres', q{SELECT queue_create_index_concurrently('ev', 'CREATE INDEX ev_w ON ev ((v + 1))')});
ok($node->poll_query_until('postgres', q{SELECT message LIKE 'waits: %' FROM part_jobs WHERE state = 'running'}), 'a job waits for a lock');
my ($ret, $out, $err) = $node->psql('postgres', q{SELECT queue_create_index_concurrently('ev', 'CREATE INDEX ev_z ON ev ((v + 2))')});
like($err, qr/job $id does that to table public\.ev already/, 'another one is refused');
($ret, $out, $err) = $node->psql('postgres', "SELECT cancel_job($id)", extra_params => [ '-U', 'other' ]);
like($err, qr/must be owner of table ev/, 'others cannot cancel it');
is($node->safe_psql('postgres', "SELECT cancel_job($id)", extra_params => [ '-U', 'app' ]), 't', 'the owner can');
job_state($id, 'cancelled', 'it is cancelled');
is($node->safe_psql('postgres', "SELECT cancel_job($id)"), 'f', 'only once');
$old->query_safe('ROLLBACK');

# in the middle of the build of a partition, and again
$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM pg_class');
$id = $node->safe_psql('postgres', q{SELECT queue_create_index_concurrently('ev', 'CREATE INDEX ev_w ON ev ((v + 1))')});
ok( $node->poll_query_until('postgres',
		q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'partmgr: creating an index on public.ev_p%' AND wait_event = 'virtualxid'}),
	'a build waits for an old snapshot');
is($node->safe_psql('postgres', "SELECT cancel_job($id)"), 't', 'it is cancelled meanwhile');
job_state($id, 'cancelled', 'and ends');
is($node->safe_psql('postgres', q{SELECT count(*) FILTER (WHERE NOT indisvalid) > 1 FROM pg_index x JOIN pg_class c ON c.oid = indrelid WHERE c.relname LIKE 'ev%'}),
	't', 'something is left');
$old->query_safe('ROLLBACK');
($ret, $out, $err) = $node->psql('postgres', q{CALL create_index_concurrently('ev', 'CREATE INDEX ev_w ON ev ((v + 1))')});
is($ret, 0, 'a CALL goes on');
like($err, qr/NOTICE:  index of public\.ev_p0 is there/, 'with a NOTICE for each partition');
is($node->safe_psql('postgres', $valid), 't', 'all is valid');
is($node->safe_psql('postgres', q{SELECT max(n) FROM (SELECT count(*) AS n FROM pg_index x JOIN pg_class c ON c.oid = indrelid WHERE c.relname LIKE 'ev%' GROUP BY indrelid) x}),
	'2', 'and nothing twice');

# a CALL that is cancelled takes its worker along; so does one whose session ends
for my $how ('pg_cancel_backend', 'pg_terminate_backend')
{
	$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM pg_class');
	my $call = $node->background_psql('postgres', on_error_stop => 0);
	my $pid = $call->query_safe('SELECT pg_backend_pid()');
	$call->query_until(qr/start/, "\\echo start\nCALL reindex_partitions('ev');\n");
	ok( $node->poll_query_until('postgres',
			q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'partmgr job worker' AND wait_event = 'virtualxid'}),
		"a CALL's worker waits");
	$node->safe_psql('postgres', "SELECT $how($pid)");
	ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'partmgr job worker'}),
		"$how ends the worker, too");
	is($node->safe_psql('postgres', q{SELECT state FROM part_jobs ORDER BY id DESC LIMIT 1}), 'interrupted', 'which the view tells');
	$old->query_safe('ROLLBACK');
	eval { $call->quit; };
}
is($node->psql('postgres', q{CALL reindex_partitions('ev')}), 0, 'a new one is not held up');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE relname ~ '_cc(new|old)'}), '0', 'leftovers are dropped');

# vacuum_partitions: cancelled with its worker
$node->safe_psql('postgres', 'ALTER TABLE ev_p0 SET (parallel_workers = 0)');
$node->safe_psql('postgres', 'INSERT INTO ev SELECT n % 10, n FROM generate_series(1, 200000) n; DELETE FROM ev WHERE v % 2 = 0');
my $vacuum = $node->background_psql('postgres', on_error_stop => 0);
my $pid = $vacuum->query_safe('SELECT pg_backend_pid()');
$vacuum->query_until(qr/start/, "SET vacuum_cost_delay = 100; SET vacuum_cost_limit = 1;\n\\echo start\nSELECT * FROM vacuum_partitions('ev');\n");
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'VACUUM%' AND backend_type = 'partmgr job worker'}),
	'a VACUUM goes slowly, as the session has it');
$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'partmgr job worker'}), 'its worker ends with it');
$vacuum->quit;

# the upkeep worker is killed in a job, and goes on
$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM pg_class');
$id = $node->safe_psql('postgres', q{SELECT queue_reindex_partitions('ev')});
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'partmgr: reindexing%' AND wait_event = 'virtualxid'}),
	'a queued job is at work');
$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'partmgr: reindexing%'});
$old->query_safe('ROLLBACK');
job_state($id, 'done', 'it goes on after its worker was ended');

# a worker that is ended in a statement while the clock of lock waits goes on is no crash
$node->safe_psql('postgres', <<'SQL');
ALTER SYSTEM SET partmgr.lock_timeout = '2ms';
SELECT pg_reload_conf();
SET ROLE app;
CREATE TABLE ticking (id int NOT NULL, v int) PARTITION BY RANGE (id);
SELECT create_parent('ticking', 'id', '10', p_premake => 1, p_start_partition => '0', p_default_table => false);
INSERT INTO ticking VALUES (1, 1);
CREATE FUNCTION slow(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM pg_sleep(600); RETURN $1; END $$;
SQL
for my $n (1 .. 5)
{
	($ret, $out, $err) = $node->psql('postgres', q{SET statement_timeout = '500ms'; CALL create_index_concurrently('ticking', 'CREATE INDEX ON ticking (slow(v))')});
	like($err, qr/statement timeout/, "a CALL is ended in the middle of its work: $n");
}
is($node->safe_psql('postgres', 'SELECT 1'), '1', 'the server is there');
$node->safe_psql('postgres', 'DROP TABLE ticking; DROP FUNCTION slow; ALTER SYSTEM RESET partmgr.lock_timeout; SELECT pg_reload_conf()');

# a database whose queue is worked on can be dropped; the upkeep worker steps aside
$node->safe_psql('postgres', 'CREATE DATABASE gone');
$node->safe_psql('gone', 'CREATE EXTENSION partmgr; GRANT ALL ON SCHEMA public TO app');
make_ids('gone');
$node->safe_psql('gone', <<'SQL');
CREATE FUNCTION slow(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM pg_sleep(600); RETURN $1; END $$;
SELECT queue_create_index_concurrently('ev', 'CREATE INDEX ON ev (slow(v))');
SQL
ok( $node->poll_query_until('postgres',
		q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'partmgr: creating an index%' AND datname = 'gone' AND wait_event = 'PgSleep'}),
	'a job in a database');
$node->safe_psql('postgres', 'DROP DATABASE gone');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_database WHERE datname = 'gone'}), '0', 'which can be dropped');

# the number of a process that is gone may be somebody else's by now
my $victim = $node->background_psql('postgres');
$pid = $victim->query_safe('SELECT pg_backend_pid()');
my $stale = $node->safe_psql('postgres', qq{INSERT INTO part_job (parent_table, kind, is_queued, state, asked_by, asked_at, started_at, worker_pid)
	VALUES ('ev', 'reindex', false, 'running', 'app', now(), now() - interval '1 day', $pid) RETURNING id});
$victim->query_until(qr/start/, "\\echo start\nSELECT pg_sleep(2), 'undisturbed';\n");
is($node->safe_psql('postgres', "SELECT state FROM part_jobs WHERE id = $stale"), 'interrupted', 'the job of a process that is gone');
is($node->safe_psql('postgres', "SELECT cancel_job($stale)", extra_params => [ '-U', 'app' ]), 't', 'is taken back');
$victim->query_until(qr/undisturbed/, '');
pass('and nobody else is cancelled');
$victim->quit;

# jobs that ended long ago are deleted; who does that and does not commit keeps nobody out
$node->safe_psql('postgres', q{UPDATE part_job SET finished_at = now() - interval '1 year' WHERE finished_at IS NOT NULL});
my $open = $node->background_psql('postgres');
$open->query_safe(q{BEGIN; SELECT queue_reindex_partitions('ev')});
is($node->psql('postgres', q{SET lock_timeout = '1s'; SELECT queue_create_index_concurrently('ev', 'CREATE INDEX ON ev (id, v)')}),
	0, 'another job can be asked for');
$open->query_safe('ROLLBACK');
$open->quit;
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM part_jobs WHERE state IN ('queued', 'running')}), 'it is done');

# a job whose worker is gone again and again holds up the queue no longer
$id = $node->safe_psql('postgres', q{INSERT INTO part_job (parent_table, kind, is_queued, state, asked_by, asked_at, started_at, worker_pid, interrupted)
	VALUES ('ev', 'reindex', true, 'running', 'app', now(), now(), 1, 2) RETURNING id});
$node->safe_psql('postgres', 'SELECT wake_worker()');
job_state($id, 'done', 'a job that was interrupted goes on');
$id = $node->safe_psql('postgres', q{INSERT INTO part_job (parent_table, kind, is_queued, state, asked_by, asked_at, started_at, worker_pid, interrupted)
	VALUES ('ev', 'reindex', true, 'running', 'app', now(), now(), 1, 3) RETURNING id});
$node->safe_psql('postgres', 'SELECT wake_worker()');
job_state($id, 'failed', 'not for ever');
is($node->safe_psql('postgres', "SELECT message FROM part_jobs WHERE id = $id"), 'the worker of the job has ended early 4 times', 'and says why');

# no worker to be had
$old->quit;
$node->append_conf('postgresql.conf', 'max_worker_processes = 1');
$node->restart;
($ret, $out, $err) = $node->psql('postgres', q{SELECT * FROM vacuum_partitions('ev')});
like($err, qr/no free background worker slot/, 'vacuum_partitions without a worker slot');
($ret, $out, $err) = $node->psql('postgres', q{CALL reindex_partitions('ev')});
like($err, qr/no free background worker slot/, 'a CALL without one');
is($node->safe_psql('postgres', q{SELECT state FROM part_jobs ORDER BY id DESC LIMIT 1}), 'failed', 'its job has failed');

$node->stop;
done_testing();
