# On a standby nothing runs; after the promotion the worker is at work.

use strict;
use warnings;

use Partmgr;
use PartmgrWorker;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = new_node('primary',
	init => { allows_streaming => 1 },
	conf => "partmgr.interval = '1s'\nsynchronous_commit = on\n");
make_extension($primary, 'postgres');
make_set($primary, 'postgres', 'ev');

$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;

want_more($primary, 'postgres', 'ev');
wait_maintained($primary, 'postgres', 'ev', 'primary is maintained');
$primary->wait_for_catchup($standby);
is($standby->safe_psql('postgres', missing('ev')), '0',
	'the standby has the same partitions');
is( $standby->safe_psql('postgres',
		"SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'partmgr%'"),
	'0', 'nothing of us runs on a standby');

# somebody has asked for more, but the primary dies first
$primary->append_conf('postgresql.conf', "partmgr.enabled = off\n");
$primary->reload;
$primary->poll_query_until('postgres', "SELECT NOT current_setting('partmgr.enabled')::bool");
want_more($primary, 'postgres', 'ev');
is($primary->safe_psql('postgres', missing('ev')), '1', 'a partition is missing');
$primary->wait_for_catchup($standby);
$primary->stop('immediate');

$standby->promote;
wait_maintained($standby, 'postgres', 'ev', 'after the promotion the worker is at work');
ok( $standby->poll_query_until('postgres',
		"SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'partmgr launcher'"),
	'the launcher is there');

$standby->stop;
done_testing();
