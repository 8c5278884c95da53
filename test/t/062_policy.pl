# What the worker does with rows by itself: a default is drained also where creation is
# blocked by its rows, within the window; maintenance and health know what a rewrite makes.  And a refusal that only
# later majors know.

use strict;
use warnings;

use Partmgr;
use PartmgrCrash;
use PartmgrRewrite;
use PartmgrWorker;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', conf => "partmgr.interval = '1s'\npartmgr.move_rows = 10\n");
plan skip_all => 'needs a debug build' unless is_debug_build($node);
$node->safe_psql('postgres', 'CREATE EXTENSION partmgr');

# rows of the ranges that are to be made, more than creation may move; and one far away
sub make
{
	my ($automatic) = @_;

	$node->safe_psql('postgres', <<"SQL");
SET client_min_messages = error;
DROP TABLE IF EXISTS ev, model;
CREATE TABLE ev (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE ev_p0 PARTITION OF ev FOR VALUES FROM (0) TO (100);
CREATE TABLE ev_default PARTITION OF ev DEFAULT;
INSERT INTO ev SELECT generate_series(1, 450);
INSERT INTO ev VALUES (99999);
SELECT create_parent('ev', 'id', '100', p_premake => 2, p_automatic_maintenance => '$automatic');
UPDATE part_config SET on_demand_window = 20 WHERE parent_table = 'ev'::regclass;
CREATE TABLE model AS TABLE ev;
SQL
	return;
}

make('on');
ok( $node->poll_query_until('postgres', q{SELECT count(*) = 1 AND min(id) = 99999 FROM ONLY ev_default}),
	'rows that block creation are drained by the worker, but for one that is far away')
  or diag($node->safe_psql('postgres', q{SELECT * FROM part_state; SELECT * FROM part_log; SELECT * FROM rewrite_progress}));
is_same($node, 'by itself');
ok($node->poll_query_until('postgres', q{SELECT last_error IS NULL AND next_run > now() - interval '1 minute' FROM partition_health_summary('ev') WHERE status <> 'FAILING'}),
	'and the set is no failure any more');
is($node->safe_psql('postgres', q{SELECT options ->> 'windowed' FROM rewrite_progress WHERE kind = 'drain' ORDER BY id LIMIT 1}), 'true', 'it was a rewrite');

# its targets have the names of the partitions that are to be made
make('off');
my $steps = stop_at($node, "phase = 'build'", sub { $node->safe_psql('postgres', "SELECT drain_default('ev')") });
my $id = progress($node, 'id');
my ($ret, $out, $err) = $node->psql('postgres', "SELECT run_maintenance('ev')");
unlike($err, qr/exists, so that no partition/, 'maintenance does not complain of what a rewrite makes');
like($err, qr/NOTICE:  rewrite $id makes relation public.ev_p\d00/, 'it waits for it');
unlike($node->safe_psql('postgres', q{SELECT problems::text || notes::text FROM partition_health_summary('ev')}), qr/rename it/, 'nor does health');
$steps->go;
wait_ended($node);
is(progress($node, 'state, message'), 'done|', 'done');
is_same($node, 'drained');

# nothing to do
$node->safe_psql('postgres', 'DELETE FROM ONLY ev_default');
my $file = $node->safe_psql('postgres', q{SELECT pg_relation_filenode('ev_default')});
$node->safe_psql('postgres', "CALL drain_default_proc('ev')");
is(progress($node, 'state, units'), 'done|0', 'an empty default has nothing to be drained');
is($node->safe_psql('postgres', q{SELECT pg_relation_filenode('ev_default')}), $file, 'and stays');

# from 17 on a partition can generate a column in its own way: its rows would change
SKIP:
{
	skip 'a partition generates columns as its parent', 1 if $node->safe_psql('postgres', 'SHOW server_version_num') < 170000;
	$node->safe_psql('postgres', <<'SQL');
CREATE TABLE gen (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED) PARTITION BY RANGE (id);
CREATE TABLE gen_p0 (id int NOT NULL, twice int GENERATED ALWAYS AS (id + id + 1) STORED);
ALTER TABLE gen ATTACH PARTITION gen_p0 FOR VALUES FROM (0) TO (10);
INSERT INTO gen VALUES (1);
SELECT create_parent('gen', 'id', '10', p_premake => 1, p_automatic_maintenance => 'off');
SQL
	($ret, $out, $err) = $node->psql('postgres', "SELECT split_partition('gen_p0', p_at => ARRAY['5'], p_mode => 'locking')");
	like($err, qr/cannot rewrite table public.gen: public.gen_p0 generates column twice in its own way/, 'a column with an expression of its own');
}

$node->stop;
done_testing();
