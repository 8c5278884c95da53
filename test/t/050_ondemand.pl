# Partitions on demand: many sessions at once, foreign keys, no free worker, a
# worker that fails or is killed, cancels, time keys, writers on a moving frontier.

use strict;
use warnings;

use Partmgr;
use PartmgrWorker;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

# as a server is by default
my $node = new_node('main', conf => <<'CONF');
max_worker_processes = 8
partmgr.interval = '1h'
partmgr.on_demand_timeout = '30s'
max_connections = 40
CONF
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION partmgr;
CREATE ROLE app LOGIN;
CREATE ROLE writer LOGIN;
GRANT ALL ON SCHEMA public TO app;
SET ROLE app;
CREATE TABLE ev (at timestamptz NOT NULL, n int, PRIMARY KEY (at, n)) PARTITION BY RANGE (at);
SELECT create_parent('ev', 'at', '1 day', p_premake => 1, p_default_table => false, p_on_demand => true);
GRANT INSERT ON ev TO writer;
CREATE TABLE ids (id int NOT NULL, v int) PARTITION BY RANGE (id);
SELECT create_parent('ids', 'id', '10', p_premake => 1, p_start_partition => '0', p_default_table => false,
	p_on_demand => true, p_automatic_maintenance => 'off');
UPDATE part_config SET on_demand_window = 100000;
SQL

# SQL of many sessions at the same moment; the number of those that failed
sub at_once
{
	my ($sessions, $sql) = @_;
	my @runs = map { start_psql(ref $sql ? $sql->($_) : $sql) } 1 .. $sessions;
	my @errors = grep { $_ ne '' } map { end_psql($_) } @runs;

	diag($_) foreach @errors;
	return scalar @errors;
}

# a session that goes on while the test looks; its errors when it has ended
sub start_psql
{
	my ($sql) = @_;
	my $err = '';

	return { err => \$err, h => IPC::Run::start(
			[ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-c', $sql ],
			'<', \undef, '>', \my $out, '2>', \$err) };
}

sub end_psql
{
	my ($run) = @_;

	$run->{h}->finish;
	return ${ $run->{err} };
}

# time keys: the partition is the owner's, the calendar the set's
$node->safe_psql('postgres', q{INSERT INTO ev VALUES (now() + interval '5 days', 1)}, extra_params => [ '-U', 'writer' ]);
is($node->safe_psql('postgres', q{SELECT ev.tableoid::regclass::text = 'ev_p' || to_char(ev.at AT TIME ZONE time_zone, 'YYYYMMDD')
	FROM ev, part_config WHERE parent_table = 'ev'::regclass}), 't', 'a row of next week has its partition');
is($node->safe_psql('postgres', q{SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE relname ~ '^ev'}), 'app', 'which is the owner\'s');
my ($rc, $out, $err) = $node->psql('postgres', q{INSERT INTO ev VALUES (now() + interval '1000000 days', 1)});
like($err, qr/no partition of relation "ev".*more than 100000 intervals after now/s, 'a time that is too far away is refused');
($rc, $out, $err) = $node->psql('postgres', q{INSERT INTO ev VALUES ('infinity', 1)});
like($err, qr/no partition of relation "ev".*No partition is made on demand for such a key/s, 'and infinity');

# many want the same one
is(at_once(24, q{INSERT INTO ids VALUES (25, 1)}), 0, '24 sessions need the same partition');
is($node->safe_psql('postgres', q{SELECT count(*) FROM part_log WHERE action = 'on_demand' AND partition_name = 'public.ids_p20'}),
	'1', 'it is made once');
is($node->safe_psql('postgres', 'SELECT count(*) FROM ids_p20'), '24', 'all rows are there');
is(at_once(16, sub { my $i = shift; return "INSERT INTO ids SELECT n, $i FROM generate_series(100, 190, 10) n" }),
	0, '16 sessions need the same ten partitions');
is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT tableoid) FROM ids WHERE id >= 100'), '160|10', 'all rows are there');
is(at_once(16, sub { my $i = 1000 + 20 * shift; return "BEGIN; INSERT INTO ids VALUES ($i); INSERT INTO ids VALUES ($i + 10); COMMIT" }),
	0, '16 sessions need partitions of their own');

# foreign keys: the referenced row is from the same transaction; another one that
# has written to the referenced table is waited for, and not for ever
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE customer (id int PRIMARY KEY);
CREATE TABLE ord (id int NOT NULL, customer int REFERENCES customer) PARTITION BY RANGE (id);
SELECT create_parent('ord', 'id', '10', p_premake => 1, p_start_partition => '0', p_default_table => false,
	p_on_demand => true, p_automatic_maintenance => 'off');
UPDATE part_config SET on_demand_window = 100000 WHERE parent_table = 'ord';
SQL
is(at_once(1, 'BEGIN; INSERT INTO customer VALUES (1); INSERT INTO ord VALUES (55, 1); COMMIT'), 0, 'a referenced row of the same transaction');
my $other = $node->background_psql('postgres');
$other->query_safe('BEGIN; INSERT INTO customer VALUES (2)');
($rc, $out, $err) = $node->psql('postgres', 'SET partmgr.on_demand_timeout = 300; BEGIN; INSERT INTO customer VALUES (3); INSERT INTO ord VALUES (65, 3)');
like($err, qr/no partition of relation "ord".*No partition could be made on demand: canceling statement due to lock timeout/s,
	'another transaction has the referenced table');
my $waits = start_psql('BEGIN; SET LOCAL partmgr.on_demand_timeout = 60000; INSERT INTO customer VALUES (4); INSERT INTO ord VALUES (75, 4); COMMIT');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'partmgr on-demand worker'}), 'it is waited for');
$other->query_safe('COMMIT');
$other->quit;
is(end_psql($waits), '', 'and then the partition is made');

# a worker that fails, hangs, is ended, has no slot
$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION hinder() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
	IF current_setting('application_name') = 'partmgr on-demand worker' THEN
		IF (SELECT how FROM public.hindrance) = 'fail' THEN
			RAISE 'not today' USING HINT = 'Try tomorrow.';
		END IF;
		PERFORM pg_sleep(600);
	END IF;
END $$;
CREATE TABLE hindrance (how text);
INSERT INTO hindrance VALUES ('fail');
CREATE EVENT TRIGGER hinder ON ddl_command_start WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION hinder();
GRANT SELECT ON hindrance TO PUBLIC;
SQL
my $workers = q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'partmgr on-demand worker'};
my $asleep = q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'partmgr on-demand worker' AND wait_event = 'PgSleep'};
($rc, $out, $err) = $node->psql('postgres', 'INSERT INTO ids VALUES (5005)');
like($err, qr/No partition could be made on demand: not today\.\nHINT:  Try tomorrow\./, 'an error in the worker is told');
$node->safe_psql('postgres', q{UPDATE hindrance SET how = 'sleep'});
($rc, $out, $err) = $node->psql('postgres', 'SET partmgr.on_demand_timeout = 200; INSERT INTO ids VALUES (5005)');
like($err, qr/No partition could be made on demand within 200 ms: the process for it was ended/, 'a worker that hangs is not waited for');
is($node->safe_psql('postgres', $workers), '0', 'and is gone');
is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT sqlstate || ' ' || message, ', ' ORDER BY sqlstate || ' ' || message) FROM part_log
	WHERE action = 'failed' AND parent_table = 'ids'::regclass}),
	'57014 on demand: canceling statement due to user request, P0001 on demand: not today', 'part_log tells of both');
my $session = start_psql('SET partmgr.on_demand_timeout = 60000; INSERT INTO ids VALUES (5005)');
ok($node->poll_query_until('postgres', $asleep), 'a worker hangs');
my $queued = start_psql('SET partmgr.on_demand_timeout = 500; INSERT INTO ids VALUES (5006)');
like(end_psql($queued), qr/other sessions wait for partitions of this table/, 'who queues does not wait for ever');
is(at_once(4, 'INSERT INTO ids VALUES (25, 2)'), 0, 'rows with a partition do not wait');
$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'partmgr on-demand worker'});
like(end_psql($session), qr/The process that makes partitions on demand has ended early/, 'a worker that was ended');
$session = start_psql('SET partmgr.on_demand_timeout = 60000; INSERT INTO ids VALUES (5005)');
ok($node->poll_query_until('postgres', $asleep), 'a worker hangs again');
$node->safe_psql('postgres', q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SET partmgr.on_demand_timeout = 60000%'});
like(end_psql($session), qr/canceling statement due to user request/, 'a cancel ends the wait');
ok($node->poll_query_until('postgres', "SELECT ($workers) = 0"), 'and the worker');
$node->safe_psql('postgres', 'DROP EVENT TRIGGER hinder');
is(at_once(1, 'INSERT INTO ids VALUES (5005)'), 0, 'when nothing is in the way it is made');

# the locks of the statement are the weakest; a VACUUM of the parent or a running
# maintenance is waited for
my $locks = $node->background_psql('postgres');
$locks->query_safe('BEGIN; INSERT INTO ids VALUES (5105)');
is($locks->query_safe(q{SELECT string_agg(DISTINCT mode, ' ') FROM pg_locks WHERE pid = pg_backend_pid() AND relation = 'ids'::regclass}),
	'RowExclusiveLock', 'the session holds no lock beside that of its INSERT');
is($locks->query_safe(q{SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'object'}), '0', 'and is not in the queue');
$locks->query_safe('COMMIT');
$locks->query_safe('BEGIN; LOCK TABLE ids IN SHARE UPDATE EXCLUSIVE MODE');
$session = start_psql('SET partmgr.on_demand_timeout = 60000; INSERT INTO ids VALUES (5205)');
ok($node->poll_query_until('postgres', "SELECT ($workers) = 1"), 'the parent is locked');
$locks->query_safe('COMMIT');
is(end_psql($session), '', 'the INSERT waits for that');
$locks->quit;

# COPY in binary, of more rows than fit into work_mem, and with bad lines left out
my $file = $node->basedir . '/rows';
$node->safe_psql('postgres', "COPY (SELECT 300000 + n % 50 * 10, n FROM generate_series(1, 100000) n) TO '$file' (FORMAT binary)");
is($node->safe_psql('postgres', "SET work_mem = '64kB'; COPY ids FROM '$file' (FORMAT binary); SELECT count(*), count(DISTINCT tableoid) FROM ids WHERE id >= 300000"),
	'100000|50', 'COPY in binary');
SKIP:
{
	skip 'ON_ERROR is since 17', 1 if $node->pg_version < 17;
	append_to_file("$file.txt", "310005\t1\nbad\t1\n310015\t1\n310006\tbad\n25\t9\n");
	$node->safe_psql('postgres', "COPY ids FROM '$file.txt' (ON_ERROR ignore)");
	is($node->safe_psql('postgres', "SELECT string_agg(id::text, ' ' ORDER BY id) FROM ids WHERE id >= 310000"), '310005 310015', 'COPY with ON_ERROR ignore');
}

# rows that are written directly into a partition are on their own
($rc, $out, $err) = $node->psql('postgres', 'INSERT INTO ids_p20 VALUES (315005)');
like($err, qr/new row for relation "ids_p20" violates partition constraint/, 'a row for another partition');

# writers on a moving frontier: a new partition every few milliseconds, no error, no lost row
$node->safe_psql('postgres', <<'SQL');
CREATE SEQUENCE frontier;
CREATE TABLE fr (id bigint NOT NULL, v int) PARTITION BY RANGE (id);
SELECT create_parent('fr', 'id', '300', p_premake => 1, p_start_partition => '0', p_default_table => false,
	p_on_demand => true, p_automatic_maintenance => 'off');
UPDATE part_config SET on_demand_window = 100000 WHERE parent_table = 'fr';
SQL
my $script = $node->basedir . '/frontier.sql';
append_to_file($script, "INSERT INTO fr VALUES (nextval('frontier'), :client_id);\n");
command_ok([ 'pgbench', '-n', '-c', '16', '-j', '2', '-t', '600', '-f', $script, $node->connstr('postgres') ],
	'16 clients write into partitions that are not there yet');
is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT id) FROM fr'), '9600|9600', 'no row is lost');
is($node->safe_psql('postgres', q{SELECT count(*) FROM part_log WHERE parent_table = 'fr'::regclass AND action = 'on_demand' GROUP BY partition_name HAVING count(*) > 1}),
	'', 'no partition is made twice');

# ids near the end of what is kept ahead wake the worker
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE soon (id int NOT NULL) PARTITION BY RANGE (id);
SELECT create_parent('soon', 'id', '10', p_premake => 4, p_start_partition => '0', p_default_table => false, p_on_demand => true);
SQL
ok($node->poll_query_until('postgres', q{SELECT next_run > now() + interval '30 minutes' FROM part_state WHERE parent_table = 'soon'::regclass}),
	'the set is not due');
$node->safe_psql('postgres', 'INSERT INTO soon VALUES (35)');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_inherits WHERE inhparent = 'soon'::regclass}), '5', 'a row before the last quarter');
ok(poll_until(sub {
	$node->safe_psql('postgres', 'INSERT INTO soon VALUES (45)');
	return $node->safe_psql('postgres', q{SELECT count(*) FROM pg_inherits WHERE inhparent = 'soon'::regclass}) eq '9';
}), 'one in it wakes the worker');
is($node->safe_psql('postgres', q{SELECT count(*) FROM part_log WHERE parent_table = 'soon'::regclass AND action = 'on_demand'}), '0', 'and nothing is made on demand');

# prepared transactions, and a worker that is killed
$node->append_conf('postgresql.conf', "max_prepared_transactions = 2\nrestart_after_crash = on\n");
$node->restart;
$node->safe_psql('postgres', q{BEGIN; INSERT INTO ids VALUES (6005); PREPARE TRANSACTION 'x'});
$node->safe_psql('postgres', q{COMMIT PREPARED 'x'});
is($node->safe_psql('postgres', 'SELECT tableoid::regclass FROM ids WHERE id = 6005'), 'ids_p6000', 'a transaction that is prepared');
SKIP:
{
	skip 'needs a debug build', 4 unless is_debug_build($node);
	foreach my $point (qw(demand-before demand-applied))
	{
		my $gate = close_gate($node, 'postgres', $point);

		$session = start_psql('SET partmgr.on_demand_timeout = 60000; INSERT INTO ids VALUES (7005)');
		ok($node->poll_query_until('postgres',
				q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'partmgr on-demand worker' AND wait_event = 'advisory'}),
			"a worker is at $point");
		kill 'KILL', $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'partmgr on-demand worker'});
		end_psql($session);
		$gate->{run}->finish;
		$node->poll_query_until('postgres', 'SELECT 1', '1');
		is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE relname = 'ids_p7000'}), '0', 'killed there it leaves nothing behind');
	}
}
is(at_once(1, 'INSERT INTO ids VALUES (7005)'), 0, 'and then the partition is made');
$node->stop;

# no free slot: the launcher and the one of logical replication have both
$node->append_conf('postgresql.conf', "max_worker_processes = 2\n");
$node->start;
($rc, $out, $err) = $node->psql('postgres', 'SET partmgr.on_demand_timeout = 200; INSERT INTO ids VALUES (8005)');
like($err, qr/there is no free background worker slot\.\nHINT:  You might need to increase max_worker_processes/, 'no free slot');
$node->stop;

# without shared_preload_libraries a session can have it
$node->append_conf('postgresql.conf', "max_worker_processes = 8\nshared_preload_libraries = ''\n");
$node->start;
($rc, $out, $err) = $node->psql('postgres', 'INSERT INTO ids VALUES (8005)');
like($err, qr/no partition of relation "ids"/, 'without the library there is nothing');
like($node->safe_psql('postgres', q{SELECT problems FROM partition_health_summary('ids')}), qr/only in sessions that have loaded the library/, 'which health tells');
$node->safe_psql('postgres', q{ALTER DATABASE postgres SET session_preload_libraries = 'partmgr'});
is(at_once(8, 'INSERT INTO ids VALUES (8005)'), 0, 'with it in the session there is');
unlike($node->safe_psql('postgres', q{SELECT problems FROM partition_health_summary('ids')}), qr/loaded the library/, 'and health is content');
$node->stop;
done_testing();
