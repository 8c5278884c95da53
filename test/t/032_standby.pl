# A standby: what SQL does there, and that the new primary goes on where the
# old one was.  (The processes are the business of 014_worker_standby.pl.)

use strict;
use warnings;

use Partmgr;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = new_node('primary',
	init => { allows_streaming => 1 },
	# asynchronous commits are not yet written when wait_for_catchup looks how far to wait
	conf => "partmgr.enabled = off\nsynchronous_commit = on\n");
$primary->safe_psql('postgres', <<'SQL');
CREATE SCHEMA partman;
CREATE EXTENSION partmgr SCHEMA partman;
CREATE TABLE ev (at timestamptz NOT NULL) PARTITION BY RANGE (at);
SELECT partman.create_parent('ev', 'at', '1 day', p_premake => 2, p_start_partition => (now() - interval '5 days')::text);
SQL
$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;

my $list = q{SELECT partition_name, range, state FROM partman.list_partitions('ev') ORDER BY lower_time NULLS LAST};
$primary->safe_psql('postgres', q{SELECT partman.create_future_partitions('ev', 4)});
$primary->wait_for_catchup($standby);
is($standby->safe_psql('postgres', $list), $primary->safe_psql('postgres', $list), 'partitions arrive');
like($standby->safe_psql('postgres', $list), qr/future/, 'and there are some');
is( $standby->safe_psql('postgres', 'SELECT to_jsonb(c) FROM partman.part_config c'),
	$primary->safe_psql('postgres', 'SELECT to_jsonb(c) FROM partman.part_config c'),
	'so does the configuration');
is($standby->safe_psql('postgres', 'SELECT status FROM partman.partition_health_summary()'), 'HEALTHY',
	'health can be read');

# there is something to do, and the standby keeps out of it without a word
$primary->safe_psql('postgres', <<'SQL');
UPDATE partman.part_config SET premake = 7, retention = '2 days', retention_keep_table = false;
SQL
$primary->wait_for_catchup($standby);
my $before = $standby->safe_psql('postgres', $list);
foreach my $sql ('SELECT partman.run_maintenance()', q{SELECT partman.run_maintenance('ev')},
	'CALL partman.run_maintenance_proc()')
{
	my ($ret, $out, $err) = $standby->psql('postgres', $sql);
	is("$ret/$err", '0/', "on a standby: $sql returns silently");
}
isnt($standby->safe_psql('postgres', 'SELECT count(*) FROM partman.maintenance_plan()'), '0',
	'the plan can be read there');

# what changes something says so
foreach my $sql (q{SELECT partman.create_future_partitions('ev', 9)}, q{SELECT partman.partition_gap_fill('ev')},
	q{SELECT * FROM partman.drop_old_partitions('ev', '1 day')}, q{SELECT partman.resume_maintenance()},
	q{SELECT * FROM partman.run_partition_maintenance('ev')}, q{SELECT partman.config_cleanup('ev')},
	q{UPDATE partman.part_config SET premake = 1})
{
	my ($ret, $out, $err) = $standby->psql('postgres', "\\set VERBOSITY verbose\n$sql");
	ok($ret != 0 && $err =~ /ERROR:  (25006|0A000|55000)/ || $sql =~ /resume|gap_fill/ && $ret == 0, "on a standby: $sql")
	  or diag("$ret: $err");
}
is($standby->safe_psql('postgres', $list), $before, 'nothing has changed');

$primary->stop('immediate');
$standby->append_conf('postgresql.conf', "partmgr.enabled = on\npartmgr.interval = '1s'\n");
$standby->reload;
$standby->promote;
ok( $standby->poll_query_until('postgres', q{SELECT count(*) FILTER (WHERE state = 'future') = 7
		AND count(*) FILTER (WHERE state = 'expired') = 0 FROM partman.list_partitions('ev')}),
	'the new primary makes and retires partitions');
is($standby->safe_psql('postgres', q{SELECT failures, last_error FROM partman.part_state}), '0|', 'without an error');

$standby->stop;
done_testing();
