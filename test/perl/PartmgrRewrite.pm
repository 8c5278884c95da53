# PartmgrRewrite.pm: what the tests of the rewrite engine share.
#
#	my $steps = stop_at($node, "phase = 'copy' AND rows_done > 0");	# a step at a time, up to there
#	...								# no transaction of the engine's is open
#	$steps->go;						# on to the end, or the next stop_at
#
# Between two steps a process waits at the fail point rewrite-between-steps.
# Two sessions have its lock in turn: who lets go has the other one in the queue
# behind the process, so that it does one step and no more.

package PartmgrRewrite;

use strict;
use warnings;

use Exporter 'import';
use IPC::Run;
use Partmgr;
use PartmgrCrash;
use PartmgrWorker;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(make_table make_ranges stop_at progress wait_state is_done is_failed
  leftovers is_clean copy_of is_same start_query wait_ended killed_at
  start_fire end_fire);

my $between = 'rewrite-between-steps';

# a plain table with rows of five partitions, a key 'at' that is a number (no test
# depends on the date), and a primary key without it
sub make_table
{
	my ($node, $rows, $columns) = @_;

	$rows //= 1000;
	$columns //= '';
	$node->safe_psql('postgres', <<"SQL");
SET client_min_messages = warning;
DROP TABLE IF EXISTS ev, model;
SET ROLE app;
CREATE TABLE ev (id bigint PRIMARY KEY, at int NOT NULL, n int, t text $columns);
CREATE INDEX ev_n ON ev (n);
INSERT INTO ev SELECT g, g % 50, g, repeat('x', 20) FROM generate_series(1, $rows) g;
SQL
	return;
}

# a set with an interval of 10; rows of five intervals are in its default, in
# partitions, or in a single one of 50
sub make_ranges
{
	my ($node, $where, $rows) = @_;

	$rows //= 1000;
	my %ranges = (default => '', many => join('', map { partition($_, $_ + 10) } (0, 10, 20, 30, 40)), one => partition(0, 50));
	$node->safe_psql('postgres', <<"SQL");
SET client_min_messages = warning;
DROP TABLE IF EXISTS ev, model;
SET ROLE app;
CREATE TABLE ev (id bigint, at int NOT NULL, n int, t text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE INDEX ev_n ON ev (n);
CREATE TABLE ev_p100 PARTITION OF ev FOR VALUES FROM (100) TO (110);
$ranges{$where}
SELECT create_parent('ev', 'at', '10', p_premake => 1, p_automatic_maintenance => 'off');
INSERT INTO ev SELECT g, g % 50, g, repeat('x', 20) FROM generate_series(1, $rows) g;
SQL
	return;
}

sub partition
{
	my ($from, $to) = @_;

	return "CREATE TABLE ev_p$from PARTITION OF ev FOR VALUES FROM ($from) TO ($to);\n";
}

# the rows as they are, to be compared with
sub copy_of
{
	my ($node) = @_;

	$node->safe_psql('postgres', 'DROP TABLE IF EXISTS model; CREATE TABLE model AS TABLE ev');
	return;
}

sub is_same
{
	my ($node, $what) = @_;

	is( $node->safe_psql('postgres', q{SELECT (SELECT count(*) FROM (TABLE model EXCEPT ALL TABLE ev) x),
			(SELECT count(*) FROM (TABLE ev EXCEPT ALL TABLE model) x)}),
		'0|0', "$what: no row is lost, none is too many");
	return;
}

# the last rewrite that was asked for
sub progress
{
	my ($node, $columns) = @_;

	return $node->safe_psql('postgres', "SELECT $columns FROM rewrite_progress ORDER BY id DESC LIMIT 1");
}

sub wait_state
{
	my ($node, $condition, $what) = @_;

	ok( $node->poll_query_until('postgres',
			"SELECT $condition FROM (SELECT * FROM rewrite_progress ORDER BY id DESC LIMIT 1) x"), $what)
	  or diag(progress($node, 'x'));
	return;
}

# whatever there is of a rewrite: tables, triggers, locks of the session
sub leftovers
{
	my ($node) = @_;

	return $node->safe_psql('postgres', q{
		SELECT string_agg(what, ' ' ORDER BY what) FROM (
			SELECT relname AS what FROM pg_class WHERE relname LIKE 'partmgr\_rewrite\_%' AND relkind IN ('r', 'p', 'S')
			UNION ALL SELECT relname FROM pg_class WHERE relname ~ '^ev_(p[0-9]|default)' AND relkind = 'r' AND NOT relispartition
			UNION ALL SELECT tgname FROM pg_trigger WHERE tgname LIKE 'partmgr\_rewrite\_%'
			UNION ALL SELECT conname FROM pg_constraint WHERE conname LIKE 'partmgr%' AND contype = 'c'
			UNION ALL SELECT mode FROM pg_locks WHERE relation = 'ev'::regclass AND mode = 'ExclusiveLock'
		) x});
}

sub is_clean
{
	my ($node, $what) = @_;

	is(leftovers($node), '', "$what: nothing is left behind");
	return;
}

# the rewrite ends well, and the rows are those of the model
sub is_done
{
	my ($node, $what) = @_;

	wait_ended($node);
	is(progress($node, 'state, message'), 'done|', "$what: done");
	is_same($node, $what);
	is_clean($node, $what);
	return;
}

sub is_failed
{
	my ($node, $reason, $what) = @_;

	wait_ended($node);
	my ($state, $message) = split /\|/, progress($node, 'state, message');
	is($state, 'failed', "$what: failed");
	like($message, $reason, "$what: with its reason");
	is_same($node, $what);
	is_clean($node, $what);
	return;
}

sub wait_ended
{
	my ($node) = @_;

	return $node->poll_query_until('postgres',
		q{SELECT finished_at IS NOT NULL FROM rewrite_progress ORDER BY id DESC LIMIT 1});
}

# a session that runs statements which may have to wait; quit waits for them
sub start_query
{
	my ($node, $sql) = @_;
	my $session = $node->background_psql('postgres', on_error_stop => 0);

	$session->query_until(qr/started/, "\\echo started\n$sql;\n\\echo ended\n");
	return $session;
}


# ---------- a step at a time ----------

sub lock_of
{
	my ($node) = @_;

	return close_gate($node, 'postgres', $between);
}

# the pid of the process that waits between two steps, or ''
sub stopped
{
	my ($node) = @_;

	return $node->safe_psql('postgres', qq{SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = 1886219629
		AND objid = (failpoint_key('$between')::bigint + 4294967296) % 4294967296 AND mode = 'ShareLock' AND NOT granted});
}

sub wait_stopped
{
	my ($node) = @_;
	my $pid;

	poll_until(sub { return ($pid = stopped($node)) ne '' }) or die "nobody comes to $between";
	return $pid;
}

# stop_at(NODE, CONDITION on rewrite_progress, as p, SUB that begins the rewrite)
sub stop_at
{
	my ($node, $condition, $begin) = @_;
	my $self = bless { node => $node, gates => [ lock_of($node) ] }, 'PartmgrRewrite';

	$begin->();
	$self->to($condition);
	return $self;
}

# steps on until the condition is true
sub to
{
	my ($self, $condition) = @_;
	my $node = $self->{node};

	for my $n (1 .. 200)
	{
		$self->{pid} = wait_stopped($node);
		return if $node->safe_psql('postgres',
			"SELECT $condition FROM rewrite_progress p ORDER BY id DESC LIMIT 1") eq 't';
		$self->step;
	}
	die "no step at which $condition";
}

# one step, and then again stopped
sub step
{
	my ($self) = @_;
	my $node = $self->{node};
	my $next = $node->background_psql('postgres');

	$next->query_until(qr/queued/, "\\echo queued\nSELECT pg_advisory_lock(1886219629, failpoint_key('$between'));\n\\echo got\n");
	poll_until(sub { $node->safe_psql('postgres', qq{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 1886219629
		AND mode = 'ExclusiveLock' AND NOT granted}) eq '1' }) or die 'no lock is waited for';
	$self->{gates}[0]->quit;
	$next->query_until(qr/got/, '');
	$self->{gates} = [$next];
	return;
}

sub go
{
	my ($self) = @_;

	$_->quit foreach @{ $self->{gates} };
	$self->{gates} = [];
	return;
}


# ---------- crashes ----------

# has a process wait at a fail point, and kills it with -9; the server restarts
sub killed_at
{
	my ($node, $place, $begin) = @_;
	my $gate = close_gate($node, 'postgres', $place);
	my $position = log_position($node);
	my $pid;

	$begin->();
	poll_until(sub { ($pid = $node->safe_psql('postgres', q{SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = 1886219629 AND NOT granted})) ne '' })
	  or die "nobody comes to $place";
	kill 'KILL', $pid;
	restart_after($node, $position);
	forget_session($gate);
	return;
}


# ---------- writers and readers ----------

# Writers do the same to ev and to model, and readers compare both in one snapshot;
# the sessions go on until end_fire.
sub start_fire
{
	my ($node, $seconds) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my %files = (
		write => 'SELECT act();',
		read => 'SELECT compare();',
		repeat => "BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT 1;\nSELECT pg_sleep(random() * 0.2);\nSELECT compare();\nCOMMIT;");
	my @runs;

	copy_of($node);
	$node->safe_psql('postgres', <<'SQL');
CREATE INDEX ON model (id);
CREATE SEQUENCE IF NOT EXISTS act_ids START 1000000;
CREATE OR REPLACE FUNCTION compare() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	a text; b text;
BEGIN
	SELECT (SELECT concat(count(*), ' ', sum(id), ' ', sum(n)) FROM ev), (SELECT concat(count(*), ' ', sum(id), ' ', sum(n)) FROM model) INTO a, b;
	IF a <> b THEN RAISE 'differ: % %', a, b; END IF;
END $$;
CREATE OR REPLACE FUNCTION act() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	k int := random() * 15; i bigint := 1 + random() * 20000; j bigint; w int := random() * 49;
	-- now and then a value that is stored outside of the row
	v text := CASE WHEN random() < 0.1 THEN (SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 100)) ELSE 'short' END;
BEGIN
	-- one writer per row at a time
	PERFORM pg_advisory_xact_lock(i);
	CASE
	WHEN k < 4 THEN UPDATE ev SET n = n + 1 WHERE id = i; UPDATE model SET n = n + 1 WHERE id = i;
	WHEN k < 6 THEN UPDATE ev SET at = w WHERE id = i; UPDATE model SET at = w WHERE id = i;
	WHEN k < 8 THEN j := nextval('act_ids'); INSERT INTO ev VALUES (j, w, 1, 'new'); INSERT INTO model VALUES (j, w, 1, 'new');
	WHEN k < 9 THEN DELETE FROM ev WHERE id = i; DELETE FROM model WHERE id = i;
	WHEN k < 10 THEN j := nextval('act_ids'); UPDATE ev SET id = j WHERE id = i; UPDATE model SET id = j WHERE id = i;
	WHEN k < 11 THEN UPDATE ev SET t = 'late' WHERE id = i; PERFORM pg_sleep(random() * 0.05); UPDATE model SET t = 'late' WHERE id = i;
	WHEN k < 12 THEN UPDATE ev SET t = v WHERE id = i; UPDATE model SET t = v WHERE id = i;
	WHEN k < 13 THEN PERFORM FROM ev WHERE id = i FOR UPDATE; UPDATE ev SET n = 0, t = t || 'x' WHERE id = i; UPDATE model SET n = 0, t = t || 'x' WHERE id = i;
	WHEN k < 14 THEN INSERT INTO ev SELECT id, at, -1, v FROM ev WHERE id = i ON CONFLICT DO NOTHING;
	WHEN k < 15 THEN BEGIN DELETE FROM ev WHERE id = i; RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN NULL; END;
	ELSE DELETE FROM ev WHERE id = i; DELETE FROM model WHERE id = i; INSERT INTO ev VALUES (i, w, 2, 'again'); INSERT INTO model VALUES (i, w, 2, 'again');
	END CASE;
END $$;
SQL
	foreach my $name (sort keys %files)
	{
		my $out = '';

		append_to_file("$dir/$name.sql", "$files{$name}\n");
		push @runs, { name => $name, out => \$out };
		$runs[-1]{run} = IPC::Run::start(
			[ 'pgbench', '-n', '-c', $name eq 'write' ? 3 : 1, '-T', $seconds, '-f', "$dir/$name.sql", '-h', $node->host, '-p', $node->port, 'postgres' ],
			'>', \$out, '2>&1');
	}
	return \@runs;
}

# waits for them; what they have met: '' or errors
sub end_fire
{
	my ($runs, $what) = @_;

	foreach my $run (@$runs)
	{
		$run->{run}->finish;
		my @errors = grep { /ERROR|abort/ && !/already moved|could not serialize/ } split /^/, ${ $run->{out} };

		is(join('', @errors), '', "$what: no $run->{name} has met an error");
		like(${ $run->{out} }, qr/number of transactions actually processed: [1-9]/, "$what: each $run->{name} was at work");
	}
	return;
}

1;
