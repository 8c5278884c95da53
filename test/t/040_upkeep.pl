# Upkeep by the worker: cold partitions, each task once, in its order; what is
# in use waits and holds up nothing else.

use strict;
use warnings;

use Partmgr;
use PartmgrWorker;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', conf => <<'CONF');
partmgr.interval = '1s'
CONF
my $tablespace = PostgreSQL::Test::Utils::tempdir();
$node->safe_psql('postgres', "CREATE TABLESPACE cold LOCATION '$tablespace'");
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION partmgr;
CREATE ROLE app;
GRANT CREATE ON TABLESPACE cold TO app;
GRANT ALL ON SCHEMA public TO app;
SET ROLE app;
CREATE TABLE ev (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE INDEX ev_v ON ev (v);
SELECT create_parent('ev', 'id', '1000', p_premake => 1, p_start_partition => '0', p_default_table => false,
	p_automatic_maintenance => 'off');
SELECT create_future_partitions('ev', 6);
INSERT INTO ev SELECT n, md5(n::text) FROM generate_series(0, 4500) n;
DELETE FROM ev WHERE id % 10 = 0;
UPDATE part_config SET cold_after = '2000', cold_reindex = true, cold_tablespace = 'cold', cold_cluster = 'ev_v',
	cold_storage = 'fillfactor=100, autovacuum_enabled=false', automatic_maintenance = 'on' WHERE parent_table = 'ev';
SQL

# cold are ev_p0 and ev_p1000: five tasks each
ok( $node->poll_query_until('postgres',
		q{SELECT count(*) = 10 FROM part_upkeep WHERE partition IN ('ev_p0'::regclass, 'ev_p1000'::regclass)}),
	'cold partitions are cared for');
is( $node->safe_psql('postgres',
		q{SELECT string_agg(action, ' ' ORDER BY id) FROM part_log WHERE partition_name = 'public.ev_p0' AND action <> 'create'}),
	'storage tablespace cluster reindex vacuum', 'in the right order');
is( $node->safe_psql('postgres', q{SELECT string_agg(relname || ' ' || spcname, ', ' ORDER BY relname) FROM pg_class
	JOIN pg_tablespace t ON t.oid = reltablespace WHERE relname LIKE 'ev%'}),
	'ev_p0 cold, ev_p0_pkey cold, ev_p0_v_idx cold, ev_p1000 cold, ev_p1000_pkey cold, ev_p1000_v_idx cold',
	'tables and indexes are in the tablespace');
is( $node->safe_psql('postgres', q{SELECT array_to_string(reloptions, ' ') FROM pg_class WHERE relname = 'ev_p1000'}),
	'fillfactor=100 autovacuum_enabled=false', 'storage parameters are set');
is( $node->safe_psql('postgres', q{SELECT relallvisible = relpages AND age(relfrozenxid) < 200 FROM pg_class WHERE relname = 'ev_p1000'}),
	't', 'and it is frozen');
is($node->safe_psql('postgres', q{SELECT indisclustered FROM pg_index WHERE indexrelid = 'ev_p1000_v_idx'::regclass}), 't', 'and clustered');
is($node->safe_psql('postgres', q{SELECT bytes_before > bytes_after FROM part_upkeep WHERE partition = 'ev_p0'::regclass AND task = 'cluster'}),
	't', 'with the sizes');
is($node->safe_psql('postgres', q{SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'ev_p0'}), 'app', 'the owner is the same');

# the parent, now that a partition has known rows
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM part_upkeep WHERE partition = 'ev'::regclass AND task = 'analyze'}),
	'the parent is analyzed');
is($node->safe_psql('postgres', q{SELECT count(*) > 0 FROM pg_statistic WHERE starelid = 'ev'::regclass AND stainherit}), 't', 'with statistics');

# nothing more to do, and nothing done twice
ok($node->poll_query_until('postgres', q{SELECT next_upkeep IS NULL AND upkeep_failures = 0 FROM part_state}), 'then there is nothing more to do');
is($node->safe_psql('postgres', q{SELECT count(*) FROM part_log WHERE action = 'vacuum'}), '2', 'nothing is done twice');

# a partition that is in use waits, the next one does not; outside of the window nothing is done
my $hold = $node->background_psql('postgres');
$hold->query_safe('BEGIN; LOCK TABLE ev_p2000 IN SHARE UPDATE EXCLUSIVE MODE');
$node->safe_psql('postgres', <<'SQL');
UPDATE part_config SET cold_reindex = false, cold_tablespace = NULL, cold_cluster = NULL, cold_storage = NULL,
	maintenance_window = to_char(now() AT TIME ZONE 'UTC' + interval '2 hours', 'HH24:MI-')
		|| to_char(now() AT TIME ZONE 'UTC' + interval '3 hours', 'HH24:MI');
INSERT INTO ev SELECT n FROM generate_series(5000, 6500) n;
SQL
ok($node->poll_query_until('postgres', q{SELECT next_upkeep > now() + interval '1 hour' FROM part_state}), 'the window is waited for');
is($node->safe_psql('postgres', q{SELECT count(*) FROM part_upkeep WHERE task = 'vacuum'}), '2', 'and nothing done before');
$node->safe_psql('postgres', 'UPDATE part_config SET maintenance_window = NULL');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM part_upkeep WHERE partition = 'ev_p3000'::regclass AND task = 'vacuum'}),
	'a partition after one that is in use is vacuumed');
is($node->safe_psql('postgres', q{SELECT count(*) FROM part_upkeep WHERE partition = 'ev_p2000'::regclass}), '0', 'the one in use is not');
is($node->safe_psql('postgres', q{SELECT count(*) > 0 FROM part_log WHERE action = 'postponed' AND message LIKE 'vacuum of public.ev_p2000%'}),
	't', 'which is told');
$hold->query_safe('COMMIT');
$hold->quit;
$node->safe_psql('postgres', 'UPDATE part_config SET premake = 2');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM part_upkeep WHERE partition = 'ev_p2000'::regclass AND task = 'vacuum'}),
	'it is when it is free');

# rows that come in later: once a day at most
$node->safe_psql('postgres', q{UPDATE ev SET v = 'new' WHERE id < 2000});
ok($node->poll_query_until('postgres', q{SELECT pg_stat_get_dead_tuples('ev_p0'::regclass) > 800}), 'rows were changed');
is($node->safe_psql('postgres', q{SELECT count(*) FROM maintenance_plan('ev') WHERE step = 'vacuum'}), '0', 'not again on the same day');
$node->safe_psql('postgres', q{UPDATE part_upkeep SET done_at = now() - interval '2 days'; UPDATE ev SET v = 'newer' WHERE id < 2000});
ok($node->poll_query_until('postgres', q{SELECT count(*) = 2 FROM part_log WHERE partition_name = 'public.ev_p0' AND action = 'vacuum'}),
	'then they are vacuumed again');
like($node->safe_psql('postgres', q{SELECT message FROM part_log WHERE partition_name = 'public.ev_p0' AND action = 'vacuum' ORDER BY id DESC LIMIT 1}),
	qr/rows were written since it was vacuumed/, 'for that reason');

# a failure is one of the set, and heals
$node->safe_psql('postgres', q{UPDATE part_config SET cold_tablespace = 'cold'; REVOKE CREATE ON TABLESPACE cold FROM app});
ok($node->poll_query_until('postgres', q{SELECT upkeep_sqlstate = '42501' FROM part_state}), 'a failure is recorded');
$node->safe_psql('postgres', q{GRANT CREATE ON TABLESPACE cold TO app; UPDATE part_config SET premake = 1});
ok($node->poll_query_until('postgres', q{SELECT count(*) > 3 AND bool_and(upkeep_failures = 0) FROM part_upkeep, part_state WHERE task = 'tablespace'}), 'and heals');

# what a REINDEX that was cut short has left goes
$node->safe_psql('postgres', <<'SQL');
CREATE INDEX ev_p0_left_ccnew ON ev_p0 (v);
UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ev_p0_left_ccnew'::regclass;
UPDATE part_config SET cold_reindex = true;
DELETE FROM part_upkeep WHERE task = 'reindex';
SQL
ok($node->poll_query_until('postgres', q{SELECT count(*) > 3 FROM part_upkeep WHERE task = 'reindex'}), 'reindexed');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE relname ~ '_ccnew'}), '0', 'leftovers are dropped');

$node->stop;
done_testing();
