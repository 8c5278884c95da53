# Immediate shutdown, errors and kill -9 inside the steps of a run: afterwards
# no table stands alone, configuration and rows are whole, and the run is
# completed.  (013_worker_crash.pl does the places between the steps.)

use strict;
use warnings;

use Partmgr;
use PartmgrWorker;
use PostgreSQL::Test::Utils;
use Test::More;

# what was committed must not be lost in a crash, for the comparison
my $node = new_node('main', conf => "partmgr.interval = '1s'\npartmgr.enabled = off\nsynchronous_commit = on\n");
plan skip_all => 'needs a debug build' unless is_debug_build($node);

sub set_conf
{
	my ($name, $value) = @_;

	$node->safe_psql('postgres', "ALTER SYSTEM SET $name = '$value'");
	$node->reload;
	# a psql that the server turns away, while it recovers, does not read its input
	poll_until(sub { eval { $node->safe_psql('postgres', "SELECT setting = '$value' FROM pg_settings WHERE name = '$name'") eq 't' } })
	  or die "$name does not become $value";
	return;
}

# The node's shutdown leaves sessions without a server: theirs to be forgotten.
sub crash
{
	my (@sessions) = @_;

	$node->stop('immediate');
	$_->{run}->finish foreach @sessions;
	return;
}

# A set with everything to do: two partitions to make, with rows that wait for
# the first of them in the default, and two to retire.
my $retire;
my $number = 0;
my $config;

sub make_work
{
	my ($retention) = @_;

	$retire = $retention;
	$number++;
	$node->safe_psql('postgres', <<SQL);
DROP TABLE IF EXISTS ev;
DROP SCHEMA IF EXISTS retired CASCADE;
CREATE SCHEMA retired;
CREATE TABLE ev (at timestamptz NOT NULL, n int, PRIMARY KEY (at, n)) PARTITION BY RANGE (at);
SELECT create_parent('ev', 'at', '1 day', p_premake => 1, p_start_partition => (now() - interval '4 days')::text);
INSERT INTO ev SELECT now() + n * interval '1 day', n FROM generate_series(-4, 2) n;
UPDATE part_config SET premake = 3, retention = '2 days', $retention;
UPDATE part_state SET last_success = NULL;
SQL
	$config = $node->safe_psql('postgres', q{SELECT to_jsonb(c) - 'maintenance_last_run' FROM part_config c});
	return;
}

# what must hold at every moment
sub is_whole
{
	my ($what) = @_;

	is($node->safe_psql('postgres', q{SELECT to_jsonb(c) - 'maintenance_last_run' FROM part_config c}), $config, "$what: configuration is whole");
	is($node->safe_psql('postgres', 'SELECT count(*) FROM part_state'), '1', "$what: so is the state");
	is( $node->safe_psql('postgres', q{
			SELECT string_agg(relname, ',') FROM pg_class
			WHERE relname ~ '^ev_' AND relkind = 'r' AND NOT relispartition AND relnamespace <> 'retired'::regnamespace
			AND oid NOT IN (SELECT partition FROM part_detached)}),
		'', "$what: no table stands alone but those that retention has marked");
	is( $node->safe_psql('postgres', q{
			SELECT count(*) FILTER (WHERE previous <> lower_time)
			FROM (SELECT lower_time, lag(upper_time) OVER (ORDER BY lower_time) AS previous
				FROM list_partitions('ev') WHERE NOT is_default) p}),
		'0', "$what: no hole, no overlap");
	is( $node->safe_psql('postgres', q{
			SELECT count(*) FROM pg_inherits i JOIN pg_index x ON x.indexrelid = i.inhrelid WHERE NOT x.indisvalid}),
		'0', "$what: indexes are valid");
	# a row is in the set, or in a partition that was retired
	is( $node->safe_psql('postgres', q{SELECT count(*) FROM ev WHERE n >= -1}), '4', "$what: rows are whole");
	return;
}

sub completes
{
	my ($what) = @_;

	set_conf('partmgr.enabled', 'on');
	ok( $node->poll_query_until('postgres', q{
			SELECT failures = 0 AND (SELECT count(*) = 0 FROM maintenance_plan('ev')) FROM part_state}),
		"$what: the run is completed");
	set_conf('partmgr.enabled', 'off');
	is_whole("$what, completed");
	is( $node->safe_psql('postgres', q{
			SELECT count(*) FILTER (WHERE state = 'future'), count(*) FILTER (WHERE state = 'expired') FROM list_partitions('ev')}),
		'5|0', "$what: with all that was to be done, ahead of the row two days ahead");
	is($node->safe_psql('postgres', 'SELECT count(*) FROM ONLY ev_default'), '0', "$what: the default is empty");
	is($node->safe_psql('postgres', q{SELECT count(*) > 0 FROM pg_class WHERE relnamespace = 'retired'::regnamespace AND relkind = 'r'}),
		't', "$what: partitions were moved away")
	  if $retire =~ /schema/;
	return;
}

$node->safe_psql('postgres', 'CREATE EXTENSION partmgr');
my $move = "retention_schema = 'retired'";
my $drop = 'retention_keep_table = false';

# ---------- immediate shutdown after each statement of each step ----------

# Two gates one behind the other let the worker pass from one statement to the
# next: while it waits at one, the other queues up behind it.
foreach my $retention ($move, $drop)
{
	my $statements = 0;
	my $last = 0;

	for (my $stop_at = 1; !$last; $stop_at += ($stop_at < 4 ? 1 : 3))
	{
		make_work($retention);
		my @gates = map { $node->background_psql('postgres') } 1, 2;
		$_->query_safe(q{
			CREATE OR REPLACE FUNCTION failpoint_key(text) RETURNS int AS 'partmgr', 'partmgr_failpoint_key' LANGUAGE C STRICT})
		  foreach $gates[0];
		my $lock = q{SELECT pg_advisory_lock(1886219629, failpoint_key('ddl-statement'));};
		my $unlock = q{SELECT pg_advisory_unlock(1886219629, failpoint_key('ddl-statement'));};

		$gates[0]->query_safe($lock);
		set_conf('partmgr.enabled', 'on');
		my $reached = 0;
		while ($reached < $stop_at)
		{
			my $at_gate = sub {
				return $node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity
					WHERE backend_type LIKE 'partmgr%' AND wait_event = 'advisory'}) > 0;
			};
			my $done = sub {
				return $node->safe_psql('postgres', q{SELECT last_success IS NOT NULL AND next_upkeep IS NULL
					AND (SELECT count(*) = 0 FROM maintenance_plan('ev')) FROM part_state}) eq 't';
			};

			poll_until(sub { $at_gate->() || $done->() }) or die 'the worker does not come to a statement';
			last unless $at_gate->();
			$reached++;
			last if $reached == $stop_at;

			# the other gate queues up, then this one opens
			$gates[1]->query_until(qr/queued/, "\\echo queued\n$lock\n");
			$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_locks
				WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND NOT granted});
			$gates[0]->query_safe($unlock);
			@gates = reverse @gates;
		}
		$last = 1 if $reached < $stop_at;
		$statements = $reached;
		set_conf('partmgr.enabled', 'off');
		crash(@gates);
		$node->start;
		is_whole("$retention, shutdown after statement $reached");
		completes("$retention, shutdown after statement $reached");
	}
	cmp_ok($statements, '>', 6, "$retention: a run has more than 6 statements");
}

# ---------- errors and kill -9 ----------

foreach my $place ('maintain-looked', 'step-before', 'ddl-statement', 'step-after', 'note-before')
{
	make_work($move);
	set_conf('partmgr.failpoints', "$place=error");
	my $position = -s $node->logfile;
	set_conf('partmgr.enabled', 'on');
	$node->wait_for_log(qr/fail point $place/, $position);
	if ($place ne 'note-before')
	{
		ok( $node->poll_query_until('postgres',
				"SELECT failures > 0 AND last_sqlstate = 'XX000' AND last_error = 'fail point $place' FROM part_state"),
			"error at $place: recorded");
		is($node->safe_psql('postgres', "SELECT count(*) > 0 FROM part_log WHERE action = 'failed' AND sqlstate = 'XX000' AND parent_table = 'ev'::regclass"),
			't', "error at $place: and logged");
	}
	is_whole("error at $place");
	set_conf('partmgr.failpoints', '');
	completes("error at $place");
}

foreach my $place ('ddl-statement', 'note-before')
{
	make_work($move);
	set_conf('partmgr.failpoints', "$place=kill");
	my $position = -s $node->logfile;

	# the server ends all processes, and with restart_after_crash off itself
	$node->safe_psql('postgres', 'ALTER SYSTEM SET restart_after_crash = on');
	set_conf('partmgr.enabled', 'on');
	$node->wait_for_log(qr/was terminated by signal 9/, $position);
	$node->stop('immediate');
	$node->append_conf('postgresql.auto.conf', "partmgr.failpoints = ''\npartmgr.enabled = off");
	$node->start;
	is_whole("kill -9 at $place");
	completes("kill -9 at $place");
}

# ---------- a run by SQL is one transaction ----------

foreach my $place ('ddl-statement', 'maintain-looked')
{
	make_work($drop);
	my $before = $node->safe_psql('postgres', q{SELECT * FROM list_partitions('ev') ORDER BY partition_name});
	my ($ret, $out, $err) = $node->psql('postgres', "SET partmgr.failpoints = '$place=error'; SELECT run_maintenance('ev')");
	like($err, qr/fail point $place/, "SQL, error at $place: the error flies");
	is($node->safe_psql('postgres', q{SELECT * FROM list_partitions('ev') ORDER BY partition_name}), $before,
		"SQL, error at $place: nothing has changed");
	is_whole("SQL, error at $place");

	# all sets: a warning and a record
	($ret, $out, $err) = $node->psql('postgres', "SET partmgr.failpoints = '$place=error'; SELECT run_maintenance()");
	is($ret, 0, "SQL, all sets, error at $place: goes on");
	like($err, qr/WARNING: .*fail point $place/, "SQL, all sets, error at $place: a warning");
	is($node->safe_psql('postgres', 'SELECT failures, last_sqlstate FROM part_state'), '1|XX000',
		"SQL, all sets, error at $place: and a record");
	is_whole("SQL, all sets, error at $place");
	completes("SQL, error at $place");
}

$node->stop;
done_testing();
