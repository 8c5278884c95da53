# Statements that must not be in a transaction block, run by a worker at top
# level: as the owner, under lock_timeout, and with nothing left behind.

use strict;
use warnings;

use Partmgr;
use PartmgrWorker;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', conf => "partmgr.enabled = off\nsynchronous_commit = on\n");
unless (is_debug_build($node))
{
	$node->stop;
	plan skip_all => 'needs a debug build';
}

$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION testing_toplevel() RETURNS int AS 'partmgr', 'partmgr_testing_toplevel' LANGUAGE C;
CREATE TABLE toplevel_queue (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, sql text, usr regrole,
	lock_timeout int, sqlstate text, message text, left_over text, process text);
CREATE ROLE alice;
CREATE ROLE bob;
CREATE SCHEMA app AUTHORIZATION alice;
GRANT alice TO CURRENT_USER;
SET ROLE alice;
CREATE TABLE app.ev (id int NOT NULL, t text) PARTITION BY RANGE (id);
CREATE TABLE app.p1 PARTITION OF app.ev FOR VALUES FROM (0) TO (10);
CREATE TABLE app.p2 PARTITION OF app.ev FOR VALUES FROM (10) TO (20);
CREATE TABLE app.p3 PARTITION OF app.ev FOR VALUES FROM (20) TO (30);
INSERT INTO app.ev SELECT i, i FROM generate_series(0, 29) i;
SQL

my $untouched = $node->safe_psql('postgres', 'SELECT rolname FROM pg_roles WHERE oid = 10')
  . ' on lock_timeout=100ms work_mem=4MB';

# runs statements, each [sql, role, lock_timeout], and returns the worker's pid
sub start_statements
{
	foreach my $statement (@_)
	{
		my ($sql, $role, $lock_timeout) = @$statement;

		$node->safe_psql('postgres',
			'INSERT INTO toplevel_queue (sql, usr, lock_timeout) VALUES ($q$' . $sql . '$q$, '
			  . "'" . ($role // 'alice') . "', " . ($lock_timeout // 10000) . ')');
	}
	return $node->safe_psql('postgres', 'SELECT testing_toplevel()');
}

# waits for the queue, checks that nothing is left over, and returns the
# outcome of the last statement
sub outcome
{
	my ($what) = @_;

	$node->poll_query_until('postgres', 'SELECT bool_and(sqlstate IS NOT NULL) FROM toplevel_queue')
	  or die "$what: no end";
	is( $node->safe_psql('postgres', 'SELECT DISTINCT left_over, process FROM toplevel_queue'),
		"|$untouched", "$what: the process is as before");
	return $node->safe_psql('postgres',
		'WITH gone AS (DELETE FROM toplevel_queue RETURNING *)'
		  . " SELECT sqlstate || ' ' || message FROM gone ORDER BY id DESC LIMIT 1");
}

sub run_statements
{
	my ($what, @statements) = @_;

	start_statements(@statements);
	return outcome($what);
}

# each kind
is(run_statements('vacuum', ['VACUUM (FREEZE, ANALYZE) app.p1']), '00000 ', 'VACUUM');
is( $node->safe_psql('postgres', "SELECT relallvisible > 0, reltuples FROM pg_class WHERE relname = 'p1'"),
	't|10', 'was one');
is(run_statements('analyze', ['ANALYZE app.ev']), '00000 ', 'ANALYZE of the parent');
is(run_statements('index', ['CREATE INDEX CONCURRENTLY p1_t ON app.p1 (t)']), '00000 ', 'CREATE INDEX CONCURRENTLY');
is(run_statements('reindex', ['REINDEX TABLE CONCURRENTLY app.p1']), '00000 ', 'REINDEX CONCURRENTLY');
is( $node->safe_psql('postgres',
		"SELECT relowner::regrole, indisvalid FROM pg_class c JOIN pg_index ON indexrelid = c.oid WHERE relname LIKE 'p1%'"),
	'alice|t', 'the index is valid, and alice owns it');
is(run_statements('cluster', ['CLUSTER app.p1 USING p1_t']), '00000 ', 'CLUSTER');
is( run_statements('all', map { [$_] } 'VACUUM app.p1', 'REINDEX INDEX CONCURRENTLY app.p1_t',
		'DROP INDEX CONCURRENTLY app.p1_t', 'VACUUM app.p2'),
	'00000 ', 'one after the other in one process');

# a detach waits for a reader, and for nobody's good will
my $reader = $node->background_psql('postgres');
$reader->query_safe('BEGIN; SELECT count(*) FROM app.ev');
my $pid = start_statements(['ALTER TABLE app.ev DETACH PARTITION app.p1 CONCURRENTLY']);
my $activity = "FROM pg_stat_activity WHERE pid = $pid";
ok( $node->poll_query_until('postgres', "SELECT wait_event = 'virtualxid' $activity"),
	'DETACH CONCURRENTLY waits for a reader');
is( $node->safe_psql('postgres', "SELECT backend_type, query $activity"),
	'partmgr top level test|ALTER TABLE app.ev DETACH PARTITION app.p1 CONCURRENTLY', 'one sees what it does');
is( $node->safe_psql('postgres', "SET lock_timeout = '1s'; INSERT INTO app.ev VALUES (11); SELECT count(*) FROM app.ev"),
	'21', 'and is in nobody\'s way');
$reader->query_safe('COMMIT');
is(outcome('detach'), '00000 ', 'it is done when the reader has ended');
my $attached = "SELECT string_agg(inhrelid::regclass || ' ' || inhdetachpending, ', ' ORDER BY inhrelid) FROM pg_inherits"
  . " WHERE inhparent = 'app.ev'::regclass";
is($node->safe_psql('postgres', $attached), 'app.p2 false, app.p3 false', 'detached');

# cut short it leaves a pending detach, and no lock
$reader->query_safe('BEGIN; SELECT count(*) FROM app.ev');
like( run_statements('timeout', [ 'ALTER TABLE app.ev DETACH PARTITION app.p2 CONCURRENTLY', 'alice', 200 ]),
	qr/^55P03 /, 'lock_timeout ends it');
is($node->safe_psql('postgres', $attached), 'app.p2 true, app.p3 false', 'a pending detach is left');
like( run_statements('finalize too early', [ 'ALTER TABLE app.ev DETACH PARTITION app.p2 FINALIZE', 'alice', 200 ]),
	qr/^55P03 /, 'FINALIZE waits for the reader as well');
$reader->query_safe('COMMIT');
is(run_statements('finalize', ['ALTER TABLE app.ev DETACH PARTITION app.p2 FINALIZE']), '00000 ', 'which FINALIZE completes');

# cancelled, and a lock that is not to be had
$reader->query_safe('BEGIN; LOCK TABLE app.p3 IN SHARE UPDATE EXCLUSIVE MODE');
like( run_statements('locked', [ 'VACUUM app.p3', 'alice', 200 ], ['VACUUM app.p2']),
	qr/^00000 /, 'what comes after an error is done');
$pid = start_statements(['CREATE INDEX CONCURRENTLY p3_t ON app.p3 (t)']);
ok( $node->poll_query_until('postgres', "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $pid"),
	'CREATE INDEX CONCURRENTLY waits');
$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
like(outcome('cancel'), qr/^57014 /, 'a cancel ends the statement, and not the worker');
$reader->query_safe('COMMIT');

# an error between two transactions of a statement, under the locks of the session
$reader->query_safe('BEGIN; INSERT INTO app.p3 VALUES (21)');
like( run_statements('index timeout', [ 'CREATE INDEX CONCURRENTLY p3_t ON app.p3 (t)', 'alice', 200 ]),
	qr/^55P03 /, 'lock_timeout ends CREATE INDEX CONCURRENTLY');
$reader->query_safe('COMMIT');
is( $node->safe_psql('postgres', "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('app.p3_t')"),
	'f', 'in the middle');
is(run_statements('drop', ['DROP INDEX CONCURRENTLY app.p3_t']), '00000 ', 'the invalid index can be dropped');

# as whom
like( run_statements('bob', [ 'CREATE INDEX CONCURRENTLY p3_t ON app.p3 (t)', 'bob' ]),
	qr/^42501 /, 'who does not own the table may not');
like(run_statements('syntax', ['VACUUM app.']), qr/^42601 /, 'a syntax error is an error');
like(run_statements('no table', ['VACUUM app.nothing']), qr/^42P01 /, 'so is a missing table');

# code of the owner: it is the owner's, can become nobody else, and what it
# sets is gone with it
$node->safe_psql('postgres', <<'SQL');
SET ROLE alice;
CREATE TABLE app.seen (what text);
CREATE FUNCTION app.spy(t text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	PERFORM pg_advisory_lock(4711);
	PERFORM set_config('work_mem', '7MB', false), set_config('lock_timeout', '7min', false);
	IF current_user <> 'alice' OR session_user <> 'alice' OR current_setting('is_superuser') <> 'off' THEN
		RAISE EXCEPTION 'I am %, %, %', current_user, session_user, current_setting('is_superuser') USING ERRCODE = 'XX042';
	END IF;
	BEGIN
		PERFORM set_config('session_authorization', (SELECT rolname FROM pg_roles WHERE oid = 10), false);
		RAISE EXCEPTION 'escaped' USING ERRCODE = 'XX043';
	EXCEPTION WHEN insufficient_privilege OR cant_change_runtime_param THEN
	END;
	RETURN t;
END $$;
SQL
foreach my $sql ('CREATE INDEX CONCURRENTLY p3_spy ON app.p3 (app.spy(t))', 'VACUUM ANALYZE app.p3',
	'REINDEX TABLE CONCURRENTLY app.p3', 'ANALYZE app.p3', 'CLUSTER app.p3 USING p3_spy')
{
	is(run_statements("code of the owner in $sql", [$sql]), '00000 ', 'runs as the owner');
}

# parallel workers of a build are the owner, too
$node->append_conf('postgresql.conf', "min_parallel_table_scan_size = 0\nmax_parallel_maintenance_workers = 2\n");
$node->reload;
$node->poll_query_until('postgres', "SELECT current_setting('min_parallel_table_scan_size') = '0'");
$node->safe_psql('postgres', <<'SQL');
SET ROLE alice;
CREATE TABLE app.big AS SELECT i::text AS t FROM generate_series(1, 20000) i;
CREATE FUNCTION app.who(t text) RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
	IF t IN ('1', '10000', '20000') THEN
		RAISE LOG 'who: % %', current_user, session_user;
	END IF;
	RETURN t;
END $$;
SQL
my $position = log_position($node);
is(run_statements('parallel', ['CREATE INDEX CONCURRENTLY big_who ON app.big (app.who(t))']), '00000 ', 'parallel build');
my @who = log_since($node, $position) =~ /LOG:  who: (.*)/g;
ok(@who >= 3, 'the function was called');
is(join(', ', grep { $_ ne 'alice alice' } @who), '', 'by alice in each process');

# an event trigger runs outside of a restricted operation; it belongs to a
# superuser, but may call what belongs to others
$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION escape() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
	IF current_setting('application_name') = 'partmgr top level test' THEN
		PERFORM set_config('work_mem', '7MB', false), set_config('lock_timeout', '7min', false),
			pg_advisory_lock(4711);
		EXECUTE (SELECT format('SET SESSION AUTHORIZATION %I', rolname) FROM pg_roles WHERE oid = 10);
	END IF;
END $$;
CREATE EVENT TRIGGER escape ON ddl_command_end EXECUTE FUNCTION escape();
SQL
like( run_statements('escape', ['ALTER TABLE app.ev DETACH PARTITION app.p3 CONCURRENTLY']),
	qr/^55P02 .*"session_authorization"/, 'nothing becomes the superuser again');
$node->safe_psql('postgres', <<'SQL');
CREATE OR REPLACE FUNCTION escape() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
	IF current_setting('application_name') = 'partmgr top level test' THEN
		PERFORM set_config('work_mem', '7MB', false), set_config('lock_timeout', '7min', false),
			pg_advisory_lock(4711);
	END IF;
END $$;
SQL
is(run_statements('set', ['REINDEX TABLE app.p3']), '00000 ', 'settings and advisory locks of a trigger do not stay');

# ended in the middle: nobody holds anything
$reader->query_safe('BEGIN; SELECT count(*) FROM app.p3');
$node->safe_psql('postgres', 'DROP EVENT TRIGGER escape');
$reader->query_safe('LOCK TABLE app.p3 IN SHARE UPDATE EXCLUSIVE MODE');
$pid = start_statements(['VACUUM app.p3']);
$node->poll_query_until('postgres', "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $pid");
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
ok( $node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_locks WHERE pid = $pid"),
	'a worker that is ended is gone');
$reader->query_safe('COMMIT');
$reader->quit;

$node->stop;
done_testing();
