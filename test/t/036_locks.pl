# The application never waits for us, and nothing is lost between us: writers
# of all kinds beside maintenance.

use strict;
use warnings;

use Partmgr;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes;

my $node = new_node('main', conf => "partmgr.interval = '1s'\npartmgr.enabled = off\n");

sub enable_worker
{
	my ($on) = @_;

	$node->safe_psql('postgres', 'ALTER SYSTEM SET partmgr.enabled = ' . ($on ? 'on' : 'off'));
	$node->reload;
	$node->poll_query_until('postgres', 'SELECT ' . ($on ? '' : 'NOT ') . q{current_setting('partmgr.enabled')::bool});
	return;
}

$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION partmgr;
CREATE TABLE ev (at timestamptz NOT NULL, n int, PRIMARY KEY (at, n)) PARTITION BY RANGE (at);
SELECT create_parent('ev', 'at', '1 day', p_premake => 2, p_default_table => false);
CREATE TABLE wd (at timestamptz NOT NULL, n int, PRIMARY KEY (at, n)) PARTITION BY RANGE (at);
SELECT create_parent('wd', 'at', '1 day', p_premake => 2);
SQL

# ---------- an open writer ----------

# by SQL: our own locks are seen in our own transaction
my $writer = $node->background_psql('postgres');
$writer->query_safe(q{BEGIN; INSERT INTO ev VALUES (now(), 1); INSERT INTO wd VALUES (now(), 1);});
my $locks = q{SELECT string_agg(DISTINCT mode, ',' ORDER BY mode) FROM pg_locks WHERE pid = pg_backend_pid() AND relation = '%s'::regclass};
foreach my $set ('ev', 'wd')
{
	my $out = $node->safe_psql('postgres', sprintf(qq{
		SET lock_timeout = '100ms';
		BEGIN;
		SELECT count(*) FROM create_future_partitions('$set', 5);
		$locks;
		COMMIT;}, $set));
	like($out, qr/^3$/m, "$set: partitions are made while a writer is open");
	like($out, qr/ShareUpdateExclusiveLock/, "$set: with SHARE UPDATE EXCLUSIVE on the parent");
	unlike($out, qr/\b(?:AccessExclusive|Exclusive|ShareRowExclusive|Share)Lock/, "$set: and nothing stronger");
}

# by the worker
$node->safe_psql('postgres', q{UPDATE part_config SET premake = 7});
enable_worker(1);
ok( $node->poll_query_until('postgres', q{SELECT count(*) FILTER (WHERE state = 'future') = 14 FROM list_partitions()}),
	'the worker makes partitions while a writer is open');
is($node->safe_psql('postgres', q{SELECT count(*) FROM part_log WHERE action IN ('failed', 'postponed')}), '0', 'at once');

# retention beside the writer: the detach waits for it, and is in nobody's way
$writer->query_safe('COMMIT');
$node->safe_psql('postgres', q{
	SELECT to_char(current_date - 30, 'YYYY-MM-DD') AS a, to_char(current_date - 29, 'YYYY-MM-DD') AS b \gset
	CREATE TABLE ev_old PARTITION OF ev FOR VALUES FROM (:'a') TO (:'b');});
$writer->query_safe(q{BEGIN; INSERT INTO ev VALUES (now(), 2);});
$node->safe_psql('postgres', q{UPDATE part_config SET retention = '20 days', retention_keep_table = false, premake = 8 WHERE parent_table = 'ev'::regclass});
ok( $node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM list_partitions('ev') WHERE state = 'pending detach'}),
	'retention beside a writer begins a detach');
ok( $node->poll_query_until('postgres', q{SELECT count(*) FILTER (WHERE state = 'future') = 8 FROM list_partitions('ev')}),
	'a future partition is made meanwhile');
is( $node->safe_psql('postgres', q{SELECT count(*) FROM pg_locks WHERE relation = 'ev'::regclass AND pid IN
	(SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'partmgr%')}),
	'0', 'the one who waits holds no lock on the parent');
is($node->safe_psql('postgres', q{SELECT failures, last_error, upkeep_failures, upkeep_error FROM part_state WHERE parent_table = 'ev'::regclass}),
	'0||0|', 'and that is no failure');
my $slowest = 0;
for my $n (10 .. 40)
{
	my $begin = Time::HiRes::time();

	$node->safe_psql('postgres', "SET lock_timeout = '5s'; INSERT INTO ev VALUES (now(), $n)");
	my $time = Time::HiRes::time() - $begin;
	$slowest = $time if $time > $slowest;
}
cmp_ok($slowest, '<', 1, 'no other writer waits long for the one who waits');
$writer->query_safe('COMMIT');
ok( $node->poll_query_until('postgres', q{SELECT to_regclass('ev_old') IS NULL}),
	'when the writer has ended, the partition is dropped');
is( $node->safe_psql('postgres', q{SELECT string_agg(action || coalesce(': ' || lock, ''), ', ' ORDER BY id) FROM part_log
	WHERE parent_table = 'ev'::regclass AND partition_name = 'public.ev_old'}),
	'detach: SHARE UPDATE EXCLUSIVE, drop', 'in two steps, without ACCESS EXCLUSIVE on the parent');
is($node->safe_psql('postgres', q{SELECT count(*) FROM part_log WHERE action = 'failed'}), '0', 'neither of them has failed');

# a writer in the default itself: creation comes back later
$writer->query_safe(q{BEGIN; INSERT INTO wd VALUES (now() + interval '60 days', 1);});
$node->safe_psql('postgres', q{UPDATE part_config SET premake = 9 WHERE parent_table = 'wd'::regclass});
ok( $node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM part_log WHERE action = 'postponed' AND parent_table = 'wd'::regclass}),
	'a writer in the default postpones creation');
like($node->safe_psql('postgres', q{SELECT message FROM part_log WHERE action = 'postponed' AND parent_table = 'wd'::regclass LIMIT 1}),
	qr/lock/, 'the log says why');
$writer->query_safe('ROLLBACK');
ok( $node->poll_query_until('postgres', q{SELECT count(*) FILTER (WHERE state = 'future') = 9 FROM list_partitions('wd')}),
	'when it has ended, the partitions are made');
$writer->quit;

# ---------- rows move out of the default under fire ----------

$node->safe_psql('postgres', <<'SQL');
CREATE SEQUENCE ids;
CREATE TABLE fire (id bigint DEFAULT nextval('ids'), at timestamptz NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
SELECT create_parent('fire', 'at', '1 hour', p_premake => 1);
-- creation is to meet rows of the ranges that it makes
UPDATE part_config SET drain_default = false WHERE parent_table = 'fire'::regclass;
SQL
my $script = PostgreSQL::Test::Utils::tempdir() . '/fire.sql';
PostgreSQL::Test::Utils::append_to_file($script, <<'SQL');
INSERT INTO fire (at) VALUES (now() + random() * interval '20 hours');
UPDATE fire SET at = at + random() * interval '3 hours' WHERE id = currval('ids');
SQL
my ($in, $bench_out, $bench_err) = ('', '', '');
my $bench = IPC::Run::start([ 'pgbench', '-n', '-c', '4', '-t', '1000', '-f', $script, '-d', $node->connstr('postgres') ],
	'<', \$in, '>', \$bench_out, '2>', \$bench_err);
# Rows must be known to come in: where the default was empty a moment ago nobody
# makes writers wait, and core then refuses the row that was routed there.
ok( $node->poll_query_until('postgres', 'SELECT count(*) > 100 FROM fire_default'), 'under fire: rows come into the default');
foreach my $premake (4, 7, 10, 13, 16, 19)
{
	$node->safe_psql('postgres', "UPDATE part_config SET premake = $premake WHERE parent_table = 'fire'::regclass");
	ok( $node->poll_query_until('postgres', qq{SELECT count(*) FILTER (WHERE state = 'future') >= $premake FROM list_partitions('fire')}),
		"under fire: $premake partitions ahead");
}
ok($bench->finish, 'under fire: no writer has failed') or diag($bench_err);
is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT id) FROM fire'), '4000|4000', 'under fire: each row is there once');
is( $node->safe_psql('postgres', q{SELECT count(*) FROM ONLY fire_default
		WHERE at < (SELECT max(upper_time) FROM list_partitions('fire'))}),
	'0', 'under fire: no row is left behind in the default');
cmp_ok($node->safe_psql('postgres', q{SELECT coalesce(sum(row_estimate), 0) FROM part_log WHERE action = 'create' AND parent_table = 'fire'::regclass}),
	'>', 0, 'under fire: rows were moved');

$node->stop;
done_testing();
