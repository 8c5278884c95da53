# convert_table(p_mode => 'instant'): the table becomes the first partition; the worker
# builds the indexes; killed, cancelled and written to at each step.

use strict;
use warnings;

use Partmgr;
use PartmgrCrash;
use PartmgrRewrite;
use PartmgrWorker;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', conf => <<'CONF');
partmgr.interval = '1s'
restart_after_crash = on
synchronous_commit = on
CONF
plan skip_all => 'needs a debug build' unless is_debug_build($node);
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION partmgr;
CREATE ROLE app LOGIN;
GRANT ALL ON SCHEMA public TO app;
SQL
my $last = '(SELECT max(id) FROM rewrite_progress)';

sub make
{
	make_table($node, 1000, ', CONSTRAINT ev_n_key UNIQUE (n)');
	copy_of($node);
	return;
}

sub begin
{
	$node->safe_psql('postgres', q{SET ROLE app; SELECT convert_table('ev', 'at', '10', p_premake => 2, p_mode => 'instant')});
	return;
}

# whatever there is of it on the table
sub is_bare
{
	my ($what) = @_;

	is( $node->safe_psql('postgres', q{SELECT string_agg(what, ' ') FROM (
			SELECT relname AS what FROM pg_class WHERE relname LIKE 'partmgr\_rewrite\_%'
			UNION ALL SELECT conname FROM pg_constraint WHERE conname LIKE 'partmgr\_rewrite\_%') x}),
		'', "$what: nothing is left behind");
	return;
}

sub is_converted
{
	my ($what, $file) = @_;

	wait_ended($node);
	is(progress($node, 'state, message'), 'done|', "$what: done");
	is_same($node, $what);
	is_bare($what);
	is($node->safe_psql('postgres', q{SELECT pg_relation_filenode('ev_initial')}), $file, "$what: the rows are where they were");
	is( $node->safe_psql('postgres', q{SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relname LIKE 'ev\_%' AND relispartition AND relkind = 'r' ORDER BY 1}),
		"DEFAULT\nFOR VALUES FROM (60) TO (70)\nFOR VALUES FROM (MINVALUE) TO (60)", "$what: the partitions");
	is( $node->safe_psql('postgres', q{SELECT string_agg(pg_get_indexdef(indexrelid), '; ' ORDER BY indexrelid::regclass::text) FROM pg_index WHERE indrelid = 'ev_initial'::regclass AND indisvalid}),
		'CREATE INDEX ev_initial_n ON public.ev_initial USING btree (n); '
		  . 'CREATE UNIQUE INDEX ev_initial_n_key ON public.ev_initial USING btree (n, at); '
		  . 'CREATE UNIQUE INDEX ev_initial_pkey ON public.ev_initial USING btree (id, at)', "$what: its indexes");
	return;
}

sub file_of
{
	return $node->safe_psql('postgres', q{SELECT pg_relation_filenode('ev')});
}

make();
my $file = file_of();
begin();
is_converted('instant', $file);
is( $node->safe_psql('postgres', q{SELECT string_agg(concat_ws(' ', conname, contype), ', ' ORDER BY conname) FROM pg_constraint WHERE conrelid = 'ev_initial'::regclass AND contype IN ('p', 'u')}),
	'ev_initial_n_key u, ev_initial_pkey p', 'constraints stay constraints');
is($node->safe_psql('postgres', q{INSERT INTO ev VALUES (5000, 65, 5000, 'x'), (5001, -5, 5001, 'x'), (5002, 99, 5002, 'x') RETURNING tableoid::regclass}),
	"ev_p60\nev_initial\nev_default", 'rows find their partitions');

# ---------- kill -9, cancel ----------

foreach my $place (qw(watch copy build apply between-steps swap prepare))
{
	make();
	$file = file_of();
	killed_at($node, "rewrite-$place", sub { begin() });
	is_converted("worker killed at $place", $file);
}
foreach my $phase (qw(watch copy build apply))
{
	make();
	my $before = $node->safe_psql('postgres', q{SELECT string_agg(pg_get_indexdef(indexrelid), '; ' ORDER BY 1) FROM pg_index WHERE indrelid = 'ev'::regclass});
	my $steps = stop_at($node, "phase = '$phase'", sub { begin() });
	$node->safe_psql('postgres', "SELECT cancel_rewrite($last)");
	$steps->go;
	wait_state($node, "state = 'cancelled'", "$phase: cancelled");
	is_same($node, "$phase: cancelled");
	is_bare("$phase: cancelled");
	is($node->safe_psql('postgres', q{SELECT string_agg(pg_get_indexdef(indexrelid), '; ' ORDER BY 1) FROM pg_index WHERE indrelid = 'ev'::regclass}),
		$before, "$phase: the table is what it was");
}

# while an index is built, which waits for a snapshot that is older
make();
$file = file_of();
my $reader = $node->background_psql('postgres');
$reader->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
begin();
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid WHERE c.relname LIKE 'partmgr\_rewrite\_%' AND NOT indisvalid}) or die;
my $pid = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE query LIKE '%CREATE UNIQUE INDEX CONCURRENTLY%' AND backend_type = 'partmgr worker' OR query LIKE 'partmgr: rewrite%CONCURRENTLY%'});
my $position = log_position($node);
kill 'KILL', $pid;
restart_after($node, $position);
forget_session($reader);
is_converted('killed while an index is built', $file);

make();
$reader = $node->background_psql('postgres');
$reader->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
begin();
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid WHERE c.relname LIKE 'partmgr\_rewrite\_%' AND NOT indisvalid}) or die;
$node->safe_psql('postgres', "SELECT cancel_rewrite($last)");
wait_state($node, "state = 'cancelled'", 'cancelled while an index is built');
is_bare('cancelled while an index is built');
$reader->query_safe('COMMIT');

# ---------- what happens meanwhile ----------

# writers go on, up to the end of the first partition
make();
my $steps = stop_at($node, "phase = 'apply'", sub { begin() });
my ($ret, $out, $err) = $node->psql('postgres', q{INSERT INTO ev VALUES (5000, 60, 5000, 'x')});
like($err, qr/violates check constraint "partmgr_rewrite_\d+"/, 'no row can be written beyond the first partition');
$node->safe_psql('postgres', q{INSERT INTO ev VALUES (5000, 49, 5000, 'x'); UPDATE ev SET at = -1 WHERE id = 7; DELETE FROM ev WHERE id = 8; VACUUM FULL ev});
copy_of($node);
$file = file_of();
$steps->go;
is_converted('written to meanwhile', $file);

foreach my $change (
	[ 'ALTER TABLE ev ADD COLUMN more int', qr/a column of public\.ev was changed/ ],
	[ 'ALTER TABLE ev ALTER n SET DEFAULT 5', qr/a constraint, default or statistics object of public\.ev was changed/ ],
	[ q{DO $$ BEGIN EXECUTE format('ALTER TABLE ev DROP CONSTRAINT %I', (SELECT conname FROM pg_constraint WHERE contype = 'c' AND conname LIKE 'partmgr\_rewrite\_%')); END $$}, qr/our constraint is gone/ ],
	[ q{DO $$ BEGIN EXECUTE format('DROP INDEX %I', (SELECT relname FROM pg_class WHERE relname LIKE 'partmgr\_rewrite\_%\_x%' ORDER BY oid LIMIT 1)); END $$}, qr/an index of ours is gone/ ])
{
	make();
	$steps = stop_at($node, "phase = 'apply'", sub { begin() });
	$node->safe_psql('postgres', $change->[0]);
	copy_of($node);
	$steps->go;
	wait_ended($node);
	like(progress($node, 'state, message'), qr/^failed\|.*$change->[1]/, $change->[0]);
	is_same($node, $change->[0]);
	is_bare($change->[0]);
}

# a reader holds up the swap, and nothing else
make();
$steps = stop_at($node, "phase = 'apply'", sub { begin() });
$reader->query_safe('BEGIN; SELECT count(*) FROM ev');
$steps->go;
wait_state($node, "message LIKE 'waits for a lock:%'", 'a reader with a lock is waited for');
$reader->query_safe('COMMIT');
$reader->quit;
is_converted('a reader with a lock', file_of_initial());

sub file_of_initial
{
	wait_ended($node);
	return $node->safe_psql('postgres', q{SELECT pg_relation_filenode('ev_initial')});
}

$node->stop;
done_testing();
