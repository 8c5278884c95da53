# Extra constraints and template tables by the worker: each step in a transaction
# of its own; rows that come in between put it off, and the set does not fail.

use strict;
use warnings;

use Partmgr;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', conf => <<'CONF');
partmgr.interval = '1s'
partmgr.lock_timeout = '20s'
deadlock_timeout = '60s'
CONF
$node->safe_psql('postgres', <<'SQL');
CREATE SCHEMA partman;
CREATE EXTENSION partmgr SCHEMA partman;
CREATE ROLE app;
GRANT ALL ON SCHEMA public TO app;
GRANT ALL ON SCHEMA partman TO app;
SET ROLE app;
CREATE TABLE ev (id int NOT NULL, v int, w text) PARTITION BY RANGE (id);
SELECT partman.create_parent('public.ev', 'id', '10', p_premake => 2, p_start_partition => '0', p_default_table => false,
	p_constraint_cols => '{v,w}');
UPDATE partman.part_config SET optimize_constraint = 1;
ALTER TABLE partman.template_public_ev ADD PRIMARY KEY (v);
SQL

my $definitions = q{SELECT string_agg(pg_get_constraintdef(oid), ' ' ORDER BY conname) FROM pg_constraint
	WHERE conrelid = 'ev_p%d'::regclass AND contype = 'c'};

# fill N: rows that belong to the partition that begins there
sub fill
{
	my $from = shift;
	my $to = $from + 9;

	$node->poll_query_until('postgres', "SELECT to_regclass('ev_p$from') IS NOT NULL");
	$node->safe_psql('postgres', "INSERT INTO ev SELECT n, n, 'w' || n FROM generate_series($from, $to) n");
	return;
}

# SQL leaves it to the worker
fill($_) foreach (0, 10);
fill(20);
ok($node->poll_query_until('postgres', q{SELECT count(*) = 2 FROM pg_constraint WHERE conrelid = 'ev_p0'::regclass AND contype = 'c' AND convalidated}),
	'the worker makes constraints, and validates them');
is($node->safe_psql('postgres', sprintf($definitions, 0)), q{CHECK (((v >= 0) AND (v <= 9))) CHECK (((w >= 'w0'::text) AND (w <= 'w9'::text)))},
	'with the least and the greatest value');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM partman.part_upkeep WHERE task = 'constraint' AND partition = 'ev_p0'::regclass}),
	'and notes it');
is($node->safe_psql('postgres', q{SELECT action, partition_name FROM partman.part_log WHERE action = 'constraint'}), 'constraint|public.ev_p0', 'in the log, too');
ok($node->poll_query_until('postgres', q{SELECT next_upkeep IS NULL AND upkeep_failures = 0 FROM partman.part_state}), 'then there is nothing to do');
is($node->safe_psql('postgres', q{SELECT string_agg(conrelid::regclass::text, ' ' ORDER BY conrelid) FROM pg_constraint WHERE contype = 'p'
	AND conrelid IN (SELECT inhrelid FROM pg_inherits)}), 'ev_p30 ev_p40', 'partitions that the worker made have the key of the template table');

# what was dropped is not made again
$node->safe_psql('postgres', q{SELECT partman.drop_constraints('public.ev', 'public.ev_p0'); UPDATE partman.part_config SET premake = 3});
ok($node->poll_query_until('postgres', q{SELECT to_regclass('ev_p50') IS NOT NULL}), 'the worker came by');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_constraint WHERE contype = 'c' AND conrelid = 'ev_p0'::regclass}), '0', 'and left it alone');

# a row that was written before the constraint was there, and could not be read yet
my $writer = $node->background_psql('postgres');
$writer->query_safe(q{BEGIN; INSERT INTO ev VALUES (15, 1000)});
fill(30);
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_locks WHERE relation = 'ev_p10'::regclass AND NOT granted AND mode = 'AccessExclusiveLock'}),
	'the worker waits for the writer');
$writer->query_safe('COMMIT');
$writer->quit;
ok($node->poll_query_until('postgres', q{SELECT count(*) = 2 FROM pg_constraint WHERE conrelid = 'ev_p10'::regclass AND contype = 'c' AND convalidated}),
	'the constraint is made');
is($node->safe_psql('postgres', sprintf($definitions, 10)), q{CHECK (((v >= 10) AND (v <= 1000))) CHECK (((w >= 'w10'::text) AND (w <= 'w19'::text)))},
	'later, with that row');
is($node->safe_psql('postgres', q{SELECT count(*) > 0 FROM partman.part_log WHERE action = 'postponed' AND message LIKE 'constraint of public.ev_p10: check constraint%'}),
	't', 'the first try is told');
is($node->safe_psql('postgres', q{SELECT count(*) FROM partman.part_log WHERE action = 'failed'}), '0', 'and is no failure');

# a column that is gone blocks that, and nothing else
$node->safe_psql('postgres', 'ALTER TABLE ev DROP COLUMN w');
$node->safe_psql('postgres', 'INSERT INTO ev SELECT n, n FROM generate_series(40, 49) n');
ok($node->poll_query_until('postgres', q{SELECT upkeep_error LIKE 'constraint_cols: column "w"%' FROM partman.part_state}), 'a column that is gone is told');
ok($node->poll_query_until('postgres', q{SELECT to_regclass('ev_p70') IS NOT NULL}), 'partitions are made');
$node->safe_psql('postgres', q{UPDATE partman.part_config SET constraint_cols = '{v}'});
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_constraint WHERE conrelid = 'ev_p20'::regclass AND contype = 'c' AND convalidated}),
	'and corrected');
ok($node->poll_query_until('postgres', q{SELECT upkeep_failures = 0 FROM partman.part_state}), 'heals');

$node->stop;
done_testing();
