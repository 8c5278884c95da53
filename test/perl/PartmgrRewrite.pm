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
use Partmgr;
use PartmgrWorker;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(make_table make_ranges stop_at progress wait_state is_done is_failed
  leftovers is_clean copy_of is_same start_query fail_at no_fail_points);

my $between = 'rewrite-between-steps';

# a plain table with rows of five days, which are spread over many blocks
sub make_table
{
	my ($node, $rows, $columns) = @_;

	$rows //= 1000;
	$columns //= '';
	$node->safe_psql('postgres', <<"SQL");
SET client_min_messages = warning;
DROP TABLE IF EXISTS ev, model;
SET ROLE app;
CREATE TABLE ev (id bigint PRIMARY KEY, at timestamptz NOT NULL, n int, t text $columns);
CREATE INDEX ev_n ON ev (n);
INSERT INTO ev SELECT g, '2026-01-01'::timestamptz + g % 5 * interval '1 day', g, repeat('x', 20) FROM generate_series(1, $rows) g;
SQL
	return;
}

# a set of partitions of a day; rows of five days are in its default, or in
# partitions, or in one large one
sub make_ranges
{
	my ($node, $where, $rows) = @_;

	$rows //= 1000;
	my $more = $where eq 'default' ? ''
	  : $where eq 'days' ? join('', map { "CREATE TABLE ev_p2026010$_ PARTITION OF ev FOR VALUES FROM ('2026-01-0$_') TO ('2026-01-0" . ($_ + 1) . "');" } (1 .. 5))
	  : q{CREATE TABLE ev_p20260101 PARTITION OF ev FOR VALUES FROM ('2026-01-01') TO ('2026-01-06');};
	$node->safe_psql('postgres', <<"SQL");
SET client_min_messages = warning;
DROP TABLE IF EXISTS ev, model;
SET ROLE app;
CREATE TABLE ev (id bigint, at timestamptz NOT NULL, n int, t text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE INDEX ev_n ON ev (n);
CREATE TABLE ev_p20270101 PARTITION OF ev FOR VALUES FROM ('2027-01-01') TO ('2027-02-01');
$more
SELECT create_parent('ev', 'at', '1 day', p_premake => 1, p_automatic_maintenance => 'off');
INSERT INTO ev SELECT g, '2026-01-01'::timestamptz + g % 5 * interval '1 day', g, repeat('x', 20) FROM generate_series(1, $rows) g;
SQL
	return;
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
	  or diag(progress($node, 'x')) ;
	return;
}

# whatever there is of a rewrite: tables, triggers, locks of the session
sub leftovers
{
	my ($node) = @_;

	return $node->safe_psql('postgres', q{
		SELECT string_agg(what, ' ' ORDER BY what) FROM (
			SELECT relname AS what FROM pg_class WHERE relname LIKE 'partmgr\_rewrite\_%'
			UNION ALL SELECT tgname FROM pg_trigger WHERE tgname LIKE 'partmgr\_rewrite\_%'
			UNION ALL SELECT conname FROM pg_constraint WHERE conname LIKE 'partmgr%'
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


# ---------- fail points ----------

sub set_fail_points
{
	my ($node, $value) = @_;

	$node->safe_psql('postgres', "ALTER SYSTEM SET partmgr.failpoints = '$value'; SELECT pg_reload_conf()");
	$node->poll_query_until('postgres', "LOAD 'partmgr'; SELECT current_setting('partmgr.failpoints') = '$value'")
	  or die "partmgr.failpoints does not become $value";
	return;
}

sub fail_at
{
	my ($node, $place, $how) = @_;

	set_fail_points($node, "$place=$how");
	return;
}

sub no_fail_points
{
	my ($node) = @_;

	set_fail_points($node, '');
	return;
}

1;
