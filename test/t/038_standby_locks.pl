# What a reader on a standby has to do with maintenance on the primary: which
# locks are replayed there, and wait for it.  No lock_timeout protects him.

use strict;
use warnings;

use Partmgr;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = new_node('primary',
	init => { allows_streaming => 1 },
	conf => "partmgr.interval = '1s'\npartmgr.enabled = off\nsynchronous_commit = on\n");
$primary->safe_psql('postgres', <<'SQL');
CREATE EXTENSION partmgr;
CREATE TABLE ev (id bigint NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE wd (id bigint NOT NULL) PARTITION BY RANGE (id);
SELECT create_parent(t, 'id', '10', p_premake => 9, p_default_table => t = 'wd') FROM unnest(ARRAY['ev', 'wd']) t;
INSERT INTO ev SELECT generate_series(0, 95);
INSERT INTO wd SELECT generate_series(0, 95);
UPDATE part_config SET retention_keep_table = false;
ANALYZE;
SQL
$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->append_conf('postgresql.conf', "max_standby_streaming_delay = -1\nhot_standby_feedback = off\n");
$standby->start;

# a transaction on the standby that has read something
sub reader
{
	my ($sql) = @_;
	my $session = $standby->background_psql('postgres', on_error_stop => 0);

	$session->query_safe("BEGIN; $sql");
	return $session;
}

# how far the primary is now, for the standby to get there
sub mark
{
	return $primary->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
}

sub replayed
{
	my ($mark) = @_;

	return "SELECT pg_last_wal_replay_lsn() >= '$mark'";
}

# the startup process waits for a lock on a table
my $waits = q{SELECT string_agg(l.relation::regclass::text, ',' ORDER BY l.relation::regclass::text) FROM pg_locks l
	JOIN pg_stat_activity a USING (pid) WHERE a.backend_type = 'startup' AND NOT l.granted};
# and has those that make everybody wait
my $has = q{SELECT string_agg(l.relation::regclass::text, ',' ORDER BY l.relation::regclass::text) FROM pg_locks l
	JOIN pg_stat_activity a USING (pid) WHERE a.backend_type = 'startup' AND l.granted AND l.relation IS NOT NULL};

sub replay_waits_for
{
	my ($mark, $table, $what) = @_;

	ok($standby->poll_query_until('postgres', "SELECT ($waits) = '$table'"), "$what: replay waits for a lock on $table");
	is($standby->safe_psql('postgres', replayed($mark)), 'f', "$what: and goes no further");
	return;
}

sub replay_arrives
{
	my ($mark, $what) = @_;

	ok($standby->poll_query_until('postgres', replayed($mark)), $what);
	return;
}

# ---------- creation ----------

$primary->wait_for_catchup($standby);
my $reader = reader('SELECT count(*) FROM ev');
$primary->safe_psql('postgres', q{SELECT create_future_partitions('ev', 12)});
replay_arrives(mark(), 'creation without a default: replayed beside a reader of the whole set');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM list_partitions('ev') WHERE state = 'future'}), '12',
	'and the partitions are there');
like($reader->query_safe('SELECT count(*) FROM ev; COMMIT;'), qr/96/, 'the reader reads on');
$reader->quit;

unlike($primary->safe_psql('postgres', q{SELECT string_agg(lock, ' ') FROM maintenance_plan('ev')}), qr/replayed/,
	'the plan says nothing of standbys');
$primary->safe_psql('postgres', q{UPDATE part_config SET premake = 12 WHERE parent_table = 'wd'::regclass});
like($primary->safe_psql('postgres', q{SELECT string_agg(lock, ' ') FROM maintenance_plan('wd')}),
	qr/ACCESS EXCLUSIVE on the default partition; replayed on standbys/, 'with a default it does');

$reader = reader('SELECT count(*) FROM wd');
$primary->safe_psql('postgres', q{SELECT create_future_partitions('wd', 12)});
my $mark = mark();
replay_waits_for($mark, 'wd_default', 'creation with a default, beside a reader of the default');
$reader->query_safe('COMMIT');
replay_arrives($mark, 'when the reader has ended, it is replayed');

# a reader that does not need the default
$reader->query_safe('BEGIN; SELECT count(*) FROM wd WHERE id BETWEEN 90 AND 94');
$primary->safe_psql('postgres', q{SELECT create_future_partitions('wd', 13)});
replay_arrives(mark(), 'creation with a default, beside a reader of another partition: replayed');
like($reader->query_safe('SELECT count(*) FROM wd WHERE id BETWEEN 90 AND 94; COMMIT;'), qr/5/, 'and he reads on');
$reader->quit;

# ---------- retention ----------

# by the worker, concurrently: no lock on the parent is replayed
sub enable_worker
{
	my ($on) = @_;

	$primary->safe_psql('postgres', 'ALTER SYSTEM SET partmgr.enabled = ' . ($on ? 'on' : 'off'));
	$primary->reload;
	return;
}

$primary->safe_psql('postgres', q{UPDATE part_config SET premake = 10, retention = CASE parent_table WHEN 'ev'::regclass THEN '75' END});
my $recent = reader('SELECT count(*) FROM ev WHERE id >= 60');
my $old = reader('SELECT count(*) FROM ev WHERE id < 5');
enable_worker(1);
ok($primary->poll_query_until('postgres', q{SELECT to_regclass('ev_p0') IS NULL AND to_regclass('ev_p10') IS NULL}),
	'concurrent detach, then drop: the primary does not wait for readers on a standby');
$mark = mark();
replay_waits_for($mark, 'ev_p0', 'concurrent detach, beside a reader of the partition');
is($standby->safe_psql('postgres', 'SELECT count(*) FROM ev WHERE id >= 20'), '76', 'nobody else waits there');
my ($ret, $out, $err) = $standby->psql('postgres', q{SET lock_timeout = '100ms'; SELECT count(*) FROM ev WHERE id < 5});
is("$ret/$out", '0/0', 'the parent is not locked, and for new readers the partition is gone') or diag($err);
$old->query_safe('COMMIT');
replay_arrives($mark, 'when that reader has ended, all of it is replayed, beside readers of other partitions');
like($recent->query_safe('SELECT count(*) FROM ev WHERE id >= 60; COMMIT;'), qr/36/, 'which read on');
$old->quit;
$recent->quit;
is($standby->safe_psql('postgres', q{SELECT count(*) FROM list_partitions('ev') WHERE state <> 'future'}), '8', 'retention has arrived');

# with a default the parent itself is locked: any reader of the set is in the way
my $any = reader('SELECT count(*) FROM wd WHERE id BETWEEN 90 AND 94');
$primary->safe_psql('postgres', q{UPDATE part_config SET retention = '75' WHERE parent_table = 'wd'::regclass});
ok($primary->poll_query_until('postgres', q{SELECT to_regclass('wd_p0') IS NULL}), 'plain detach on the primary');
$mark = mark();
replay_waits_for($mark, 'wd', 'plain detach, beside any reader of the set');
$any->query_safe('COMMIT');
replay_arrives($mark, 'when he has ended, it is replayed');
$any->quit;
enable_worker(0);

# ---------- max_standby_streaming_delay ----------

$standby->append_conf('postgresql.conf', "max_standby_streaming_delay = '500ms'\n");
$standby->reload;
$standby->poll_query_until('postgres', q{SELECT current_setting('max_standby_streaming_delay') = '500ms'});
my $session = $standby->background_psql('postgres', on_error_stop => 0);
$session->query_safe('BEGIN; SELECT count(*) FROM wd; SELECT count(*) FROM ev');
my $pid = $session->query_safe('SELECT pg_backend_pid()');
$primary->safe_psql('postgres', q{SELECT create_future_partitions('ev', 14)});
replay_arrives(mark(), 'without a default nobody is cancelled');
is($standby->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE pid = $pid"), '1', 'the reader is there');
$primary->safe_psql('postgres', q{SELECT create_future_partitions('wd', 14)});
replay_arrives(mark(), 'with a default replay goes on after max_standby_streaming_delay');
is($standby->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE pid = $pid"), '0',
	'and the reader of the default is gone');
like(slurp_file($standby->logfile), qr/conflict with recovery.*\n.*holding a relation lock for too long/,
	'for a reason that the log tells');
$session->{run}->finish if ref $session && $session->{run};

$standby->stop;
$primary->stop;
done_testing();
