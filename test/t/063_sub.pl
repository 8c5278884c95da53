# Sub-sets with a worker, and while rows are written: partitions that are made are sets,
# rows of those that were there come to partitions of their own, none is lost.

use strict;
use warnings;

use IPC::Run;
use Partmgr;
use PartmgrWorker;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', conf => "partmgr.interval = '1s'\n");

$node->safe_psql('postgres', <<'SQL');
SET client_min_messages = error;
CREATE EXTENSION partmgr;
CREATE TABLE ev (id bigint NOT NULL, n int NOT NULL, v text, PRIMARY KEY (id, n)) PARTITION BY RANGE (id);
CREATE INDEX ON ev (v);
CREATE TABLE model (id bigint NOT NULL, n int NOT NULL, v text, PRIMARY KEY (id, n));
SELECT create_parent('public.ev', 'id', '1000', p_premake => 2, p_start_partition => '0');
INSERT INTO ev SELECT g, g % 500, 'before' FROM generate_series(1, 3000) g;
INSERT INTO model TABLE ev;
CREATE SEQUENCE ids START 10000;
SQL

# writers never pause; a row is written twice or not at all
my $script = $node->basedir . '/write.sql';
PostgreSQL::Test::Utils::append_to_file($script, <<'SQL');
\set n random(0, 499)
\set id random(1, 3000)
BEGIN;
WITH x AS (INSERT INTO ev VALUES (nextval('ids') % 4000, :n, 'during') ON CONFLICT (id, n) DO NOTHING RETURNING *) INSERT INTO model SELECT * FROM x;
WITH x AS (UPDATE ev SET v = v || '.' WHERE id = :id AND v LIKE 'before%' RETURNING id, n) UPDATE model m SET v = m.v || '.' FROM x WHERE m.id = x.id AND m.n = x.n;
COMMIT;
SQL
my $log = $node->basedir . '/pgbench.log';
my $bench = IPC::Run::start([ 'pgbench', '-n', '-c', '3', '-T', '5', '-f', $script, '-d', $node->connstr('postgres') ], '>', $log, '2>&1');
ok($node->poll_query_until('postgres', q{SELECT count(*) > 20 FROM model WHERE v = 'during'}), 'rows are written');

# behind a transaction it fails after a while, and can be tried again; no row is touched
my $made = 0;
for my $try (1 .. 200)
{
	my ($ret) = $node->psql('postgres', q{SELECT create_sub_partition('public.ev', 'n', '100', p_premake => 1)});
	last if $made = $ret == 0;
}
ok($made, 'partitions become sets while rows are written');
is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT c.relkind::text, '') FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
	WHERE i.inhparent = 'ev'::regclass AND c.relname <> 'ev_default'}), 'p', 'all of them');
ok($bench->finish, 'no writer has failed') or diag(slurp_file($log));

# the worker drains what was there
ok( $node->poll_query_until('postgres', q{SELECT NOT EXISTS (SELECT FROM ev_p0_default) AND NOT EXISTS (SELECT FROM ev_p1000_default)}),
	'the worker gives the rows partitions of their own')
  or diag($node->safe_psql('postgres', q{SELECT tableoid::regclass, count(*), min(n), max(n) FROM ev GROUP BY 1; SELECT * FROM part_log ORDER BY id DESC LIMIT 20}));
is($node->safe_psql('postgres', q{SELECT count(*) FROM ((TABLE ev EXCEPT ALL TABLE model) UNION ALL (TABLE model EXCEPT ALL TABLE ev)) x}),
	'0', 'no row is lost');

# what it makes is a set at once
$node->safe_psql('postgres', q{INSERT INTO ev VALUES (4500, 1, 'next')});
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM part_config c JOIN part_config_sub s ON s.sub_parent = 'ev'::regclass
	WHERE c.parent_table = to_regclass('ev_p6000') AND c.control = 'n'}), 'a partition that the worker makes is a set');
is($node->safe_psql('postgres', q{SELECT count(*) FROM part_state WHERE parent_table = to_regclass('ev_p6000')}), '1', 'and is maintained');

$node->stop;
done_testing();
