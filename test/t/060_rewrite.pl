# The rewrite engine: each kind by the worker, processes that are killed in each
# phase, pause and cancel, and the traps of reference/rewrite.md one by one.

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
max_prepared_transactions = 4
restart_after_crash = on
synchronous_commit = on
CONF
plan skip_all => 'needs a debug build' unless is_debug_build($node);
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION partmgr;
CREATE ROLE app LOGIN;
CREATE ROLE other LOGIN;
GRANT ALL ON SCHEMA public TO app;
SQL

my %orders = (
	convert => q{convert_table%s('ev', 'at', '10', p_premake => 1)},
	drain => q{drain_default%s('ev')},
	split => q{split_partition%s('ev_p0', '10')},
	merge => q{merge_partitions%s('ev', '0', '50')},
	interval => q{change_interval%s('ev', '50', true)},
	compress => q{compress_partitions%s('ev', '1', p_method => 'pglz')},
	undo => q{unpartition%s('ev')});
my %ranges = (drain => 'default', split => 'one', merge => 'many', interval => 'many', compress => 'many', undo => 'many');

sub make
{
	my ($kind, $rows) = @_;

	# one test that fails is not to take the others along
	$node->psql('postgres', 'SELECT cancel_rewrite(id) FROM rewrite_progress WHERE finished_at IS NULL');
	wait_ended($node) if progress($node, 'finished_at IS NULL') eq 't';
	$kind eq 'convert' ? make_table($node, $rows) : make_ranges($node, $ranges{$kind}, $rows);
	copy_of($node);
	return;
}

# by the worker, as the owner
sub begin
{
	my ($kind, $more) = @_;
	my $order = sprintf($orders{$kind}, '');

	$order =~ s/\)$/, $more)/ if defined $more;
	$node->safe_psql('postgres', "SET ROLE app; SELECT $order");
	return;
}

sub at_step
{
	my ($kind, $condition, $more) = @_;

	make($kind);
	return stop_at($node, $condition, sub { begin($kind, $more) });
}

# stopped when all rows are copied, but not looked after yet
my $copied = "phase = 'build'";

sub write_rows
{
	my ($sql) = @_;

	$node->safe_psql('postgres', $sql);
	copy_of($node);
	return;
}

sub same_by
{
	my ($kind, $condition, $sql, $what) = @_;
	my $steps = at_step($kind, $condition);

	write_rows($sql);
	$steps->go;
	is_done($node, $what);
	return;
}

sub refused
{
	my ($sql, $message, $what, $user) = @_;
	my ($ret, $out, $err) = $node->psql('postgres', $sql, extra_params => [ '-U', $user // 'app' ]);

	like($err, $message, $what);
	return;
}

my $last = '(SELECT max(id) FROM rewrite_progress)';

# ---------- each kind ----------

my %partitions = (
	convert => 'ev_default ev_p0 ev_p10 ev_p20 ev_p30 ev_p40 ev_p50',
	drain => 'ev_default ev_p0 ev_p10 ev_p100 ev_p20 ev_p30 ev_p40',
	split => 'ev_default ev_p0 ev_p10 ev_p100 ev_p20 ev_p30 ev_p40',
	merge => 'ev_default ev_p0 ev_p100',
	interval => 'ev_default ev_p0 ev_p100',
	compress => 'ev_default ev_p0 ev_p10 ev_p100 ev_p20 ev_p30 ev_p40',
	undo => '');
foreach my $kind (qw(convert drain split merge interval compress undo))
{
	make($kind);
	begin($kind);
	is_done($node, $kind);
	is($node->safe_psql('postgres', q{SELECT string_agg(inhrelid::regclass::text, ' ' ORDER BY inhrelid::regclass::text COLLATE "C")
		FROM pg_inherits WHERE inhparent = 'ev'::regclass}), $partitions{$kind}, "$kind: its partitions");
	is($node->safe_psql('postgres', q{SELECT string_agg(i.relname, ' ') FROM pg_class t JOIN pg_index x ON x.indrelid = t.oid
		JOIN pg_class i ON i.oid = x.indexrelid WHERE i.relname LIKE 'partmgr%'}), '', "$kind: no index has a name of ours");
	is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT pg_get_userbyid(relowner), ' ') FROM pg_class WHERE relname LIKE 'ev%'}),
		'app', "$kind: all is the owner's");
}

# ---------- kill -9 ----------

foreach my $place (qw(watch copy build apply clean between-steps locked applied swap prepare))
{
	make('convert');
	killed_at($node, "rewrite-$place", sub { begin('convert') });
	is_done($node, "worker killed at $place");
}
make('drain');
killed_at($node, 'rewrite-swap', sub { begin('drain') });
is_done($node, 'a drain killed in the swap');

# ended in the swap, between two transactions: locks of the session go with it
foreach my $place (qw(rewrite-locked rewrite-applied))
{
	make('convert');
	my $gate = close_gate($node, 'postgres', $place);
	my $pid;

	begin('convert');
	poll_until(sub { ($pid = $node->safe_psql('postgres', q{SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = 1886219629 AND NOT granted})) ne '' })
	  or die "nobody comes to $place";
	is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_locks WHERE relation = 'ev'::regclass AND mode = 'ExclusiveLock' AND granted}), '1', "$place: writers are kept out");
	$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid, 10000)");
	is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_locks WHERE relation = 'ev'::regclass AND mode = 'ExclusiveLock' AND granted}), '0', "$place: and no more when it is ended");
	$gate->quit;
	is_done($node, "worker ended at $place");
}

my $steps = at_step('convert', $copied);
my $position = log_position($node);
$node->stop('immediate');
forget_session($_) foreach @{ $steps->{gates} };
$node->start;
is_done($node, 'immediate restart');

# a CALL
my $call;
sub call_killed_at
{
	my ($place) = @_;

	make('convert');
	killed_at($node, $place, sub { $call = start_query($node, 'CALL ' . sprintf($orders{convert}, '_proc')) });
	forget_session($call);
	return;
}

foreach my $place (qw(rewrite-build rewrite-locked rewrite-clean))
{
	call_killed_at($place);
	is(progress($node, 'state'), 'interrupted', "a CALL killed at $place is interrupted");
	$node->safe_psql('postgres', "SELECT resume_rewrite($last)");
	is_done($node, "a CALL killed at $place goes on by the worker");
	call_killed_at($place);
	is($node->safe_psql('postgres', "SELECT cancel_rewrite($last)"), 't', "a CALL killed at $place is cancelled");
	ok(progress($node, 'finished_at IS NOT NULL') eq 't', 'and has ended') or diag(progress($node, 'state, phase'));
	is_same($node, "a CALL killed at $place and cancelled");
	is_clean($node, "a CALL killed at $place and cancelled");
	# do not spoil what comes
	$node->safe_psql('postgres', "UPDATE part_rewrite SET state = 'running', is_queued = true WHERE finished_at IS NULL; SELECT wake_worker()");
	wait_ended($node);
}

# ---------- pause, resume, cancel ----------

foreach my $phase (qw(watch copy build apply))
{
	$steps = at_step('convert', "phase = '$phase'");
	my $id = progress($node, 'id');
	refused("SELECT $_($id)", qr/must be owner|does not exist/, "$phase: others cannot call $_", 'other')
	  foreach qw(pause_rewrite resume_rewrite cancel_rewrite);
	$node->safe_psql('postgres', "SELECT pause_rewrite($last)", extra_params => [ '-U', 'app' ]);
	is(progress($node, 'state'), 'paused', "$phase: paused");
	$steps->go;
	write_rows("UPDATE ev SET n = 0 WHERE id < 10; INSERT INTO ev VALUES (5000, 5, 5, 'paused')");
	$node->safe_psql('postgres', "SELECT resume_rewrite($last)", extra_params => [ '-U', 'app' ]);
	is_done($node, "$phase: paused and resumed");
	my $before = "SELECT relfilenode, oid FROM pg_class WHERE relname = 'ev'";
	$steps = at_step('convert', "phase = '$phase'");
	my $file = $node->safe_psql('postgres', $before);
	is($node->safe_psql('postgres', "SELECT cancel_rewrite($last)", extra_params => [ '-U', 'app' ]), 't', "$phase: cancelled");
	$steps->go;
	wait_state($node, "state = 'cancelled'", "$phase: and ends");
	is($node->safe_psql('postgres', $before), $file, "$phase: the table is what it was");
	is_same($node, "$phase: cancelled");
	is_clean($node, "$phase: cancelled");
}

# a step that would take ten minutes
$node->safe_psql('postgres', <<'SQL');
DROP TABLE ev, model;
CREATE OR REPLACE FUNCTION slow(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	IF current_setting('application_name') = 'partmgr rewrite worker' THEN PERFORM pg_sleep(600); END IF;
	RETURN $1;
END $$;
CREATE TABLE ev (id int PRIMARY KEY, at int NOT NULL);
CREATE INDEX ON ev (slow(at));
INSERT INTO ev VALUES (1, 1);
CREATE TABLE model AS TABLE ev;
SELECT convert_table('ev', 'at', '10', p_premake => 1);
SQL
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE 'partmgr: rewrite%'}) or die;
$node->safe_psql('postgres', "SELECT cancel_rewrite($last)");
wait_state($node, "state = 'cancelled'", 'a long step is cancelled in the middle');
is_clean($node, 'a long step');

# ---------- traps: writers ----------

same_by('convert', $copied, 'UPDATE ev SET at = 49 - at, t = repeat(\'y\', 500) WHERE id % 3 = 0', 'rows moved by UPDATE');
same_by('convert', $copied, 'UPDATE ev SET id = -id WHERE id % 3 = 0; DELETE FROM ev WHERE id % 5 = 0', 'the key was changed');
same_by('convert', $copied, q{TRUNCATE ev; INSERT INTO ev VALUES (1, 1, 1, 'after TRUNCATE')}, 'TRUNCATE after the copy');
same_by('convert', "phase = 'apply'", q{TRUNCATE ev; INSERT INTO ev VALUES (1, 1, 1, 'after TRUNCATE')}, 'TRUNCATE while changes are applied');
same_by('drain', "phase = 'apply'", q{TRUNCATE ev; INSERT INTO ev VALUES (1, 1, 1, 'after TRUNCATE')}, 'TRUNCATE of the set in a drain');
same_by('convert', $copied, q{SET session_replication_role = replica; INSERT INTO ev VALUES (5000, 5, 5, 'replica'); UPDATE ev SET n = -1 WHERE id = 7}, 'a writer in the role replica');
same_by('convert', $copied, q{GRANT ALL ON ev TO other; SET ROLE other; INSERT INTO ev VALUES (5000, 5, 5, 'no rights'); DELETE FROM ev WHERE id = 7}, 'a writer without rights');
same_by('convert', $copied, q{INSERT INTO ev VALUES (5000, 1000, 5, 'far away'), (5001, -1000, 5, 'far away')}, 'rows outside of all windows');
same_by('drain', $copied, q{UPDATE ev SET at = 105 WHERE id % 10 = 3; INSERT INTO ev VALUES (5000, 105, 5, 'x'); UPDATE ev SET at = 7 WHERE id = 5000}, 'rows go out of the default, and in');
same_by('convert', $copied, q{BEGIN; DELETE FROM ev; ROLLBACK; BEGIN; SAVEPOINT a; DELETE FROM ev WHERE id < 100; ROLLBACK TO a; DELETE FROM ev WHERE id = 7; RELEASE a; COMMIT}, 'rollback and savepoint');
same_by('undo', $copied, q{UPDATE ev SET at = (at + 10) % 50}, 'rows go from partition to partition before unpartition');

make('convert');
$node->safe_psql('postgres', 'ALTER TABLE ev ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY');
begin('convert');
is_done($node, 'FORCE ROW LEVEL SECURITY');

# a writer who commits late: his note comes before others, and is seen after them
$steps = at_step('convert', $copied);
my $late = $node->background_psql('postgres');
$late->query_safe(q{BEGIN; INSERT INTO ev VALUES (5000, 5, 5, 'late'); UPDATE ev SET at = 33 WHERE id = 7});
$node->safe_psql('postgres', 'UPDATE ev SET n = -1 WHERE id = 8');
$steps->go;
wait_state($node, "message LIKE 'waits for a lock:%' OR message LIKE 'waits for %transaction%'", 'a writer holds up the swap');
$late->query_safe('COMMIT');
$late->quit;
copy_of($node);
is_done($node, 'a late commit');

# prepared before the trigger
make('convert');
$node->safe_psql('postgres', q{BEGIN; INSERT INTO ev VALUES (5000, 5, 5, 'prepared'); PREPARE TRANSACTION 'p'});
begin('convert');
wait_state($node, "phase = 'watch' AND message LIKE 'waits for a lock:%'", 'a prepared transaction holds up the triggers');
$node->safe_psql('postgres', q{COMMIT PREPARED 'p'});
copy_of($node);
is_done($node, 'a prepared transaction');

# ---------- traps: the table changes ----------

same_by('convert', "phase = 'copy' AND rows_done = 0", 'VACUUM FULL ev', 'VACUUM FULL before the copy');
foreach my $sql ('VACUUM FULL ev', 'CLUSTER ev USING ev_n')
{
	# pages enough for a second batch
	make('convert', 150000);
	$steps = stop_at($node, "phase = 'copy' AND rows_done > 0", sub { begin('convert') });
	cmp_ok(progress($node, 'rows_done'), '<', 150000, 'in the middle of the copy');
	$node->safe_psql('postgres', "DELETE FROM ev WHERE id % 2 = 0; UPDATE ev SET at = 9 WHERE id % 7 = 0");
	write_rows($sql);
	$steps->go;
	is_done($node, $sql);
}
foreach my $change (
	[ 'ALTER TABLE ev ADD COLUMN more int', qr/a column of public\.ev was changed/ ],
	[ q{ALTER TABLE ev DISABLE TRIGGER USER; INSERT INTO ev VALUES (5000, 5, 5, 'x')}, qr/a trigger of partmgr of public\.ev was changed/ ],
	[ q{ALTER TABLE ev DISABLE TRIGGER USER; INSERT INTO ev VALUES (5000, 5, 5, 'x'); ALTER TABLE ev ENABLE TRIGGER USER}, qr/a trigger of partmgr of public\.ev was changed/ ])
{
	$steps = at_step('convert', $copied);
	write_rows($change->[0]);
	$steps->go;
	is_failed($node, $change->[1], $change->[0]);
}

# a key of another type, and again of the old one: writers are not disturbed
$steps = at_step('convert', $copied);
write_rows(q{ALTER TABLE ev ALTER id TYPE numeric; INSERT INTO ev VALUES (5000, 5, 5, 'numeric'); UPDATE ev SET id = -id WHERE id = 7;
	ALTER TABLE ev ALTER id TYPE bigint});
$steps->go;
is_done($node, 'a key that was of another type for a while');
$steps = at_step('convert', $copied);
write_rows(q{ALTER TABLE ev ALTER id TYPE numeric; INSERT INTO ev VALUES (5000, 5, 5, 'numeric')});
$steps->go;
is_failed($node, qr/was changed/, 'a key of another type');

# switched off before the copy has begun
$steps = at_step('convert', "phase = 'copy'");
$node->safe_psql('postgres', 'ALTER TABLE ev DISABLE TRIGGER USER');
$steps->to("$copied OR finished_at IS NOT NULL OR state <> 'running'");
write_rows(q{INSERT INTO ev VALUES (5000, 5, 5, 'x'); UPDATE ev SET n = -1 WHERE id = 7});
$steps->go;
is_failed($node, qr/trigger/, 'triggers switched off before the copy');

# another owner for a while: what is written then counts, too
$steps = at_step('convert', $copied);
write_rows(q{ALTER TABLE ev OWNER TO postgres; INSERT INTO ev VALUES (5000, 5, 5, 'x'); DELETE FROM ev WHERE id = 7; ALTER TABLE ev OWNER TO app});
$steps->go;
is_done($node, 'another owner for a while');

# a row without a partition
make('convert');
$node->safe_psql('postgres', 'ALTER TABLE ev ALTER at DROP NOT NULL');
$steps = stop_at($node, $copied, sub { begin('convert') });
write_rows(q{INSERT INTO ev VALUES (5000, NULL, 5, 'null'); UPDATE ev SET at = NULL WHERE id = 7});
$steps->go;
is_failed($node, qr/null value in column "at" of relation "ev" violates not-null constraint/, 'a key that becomes null');

# partitions that come and go before unpartition's swap
$steps = at_step('undo', "phase = 'apply'");
write_rows(q{SET ROLE app; CREATE TABLE ev_p200 PARTITION OF ev FOR VALUES FROM (200) TO (210); INSERT INTO ev VALUES (5000, 205, 5, 'x')});
$steps->go;
is_done($node, 'a partition that came before the end of unpartition');
$steps = at_step('undo', "phase = 'apply'");
write_rows('ALTER TABLE ev DETACH PARTITION ev_p20');
$steps->go;
wait_ended($node);
like(progress($node, 'message'), qr/the range, or the parent, of public.ev_p20 was changed/, 'a partition detached before the end of unpartition');
is_same($node, 'a partition detached before the end of unpartition');
is($node->safe_psql('postgres', "SELECT to_regclass('ev_p20') IS NOT NULL"), 't', 'which is not dropped');
$node->safe_psql('postgres', 'DROP TABLE IF EXISTS ev_p20');

# retention does not take what is being rewritten
$steps = at_step('undo', "phase = 'apply'");
$node->safe_psql('postgres', q{UPDATE part_config SET retention = '20', automatic_maintenance = 'on' WHERE parent_table = 'ev'::regclass; SET ROLE app; INSERT INTO ev VALUES (5000, 100, 5, 'x')});
copy_of($node);
is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT reason, ' ') FROM run_partition_maintenance('ev', true) WHERE step = 'detach' AND status = 'blocked' AND partition_name LIKE '%ev_p0'}),
	"rewrite " . progress($node, 'id') . ' copies the rows of partition public.ev_p0', 'retention does not take what is being rewritten');
$node->safe_psql('postgres', q{SET ROLE app; SELECT run_maintenance('ev')});
$steps->go;
is_done($node, 'maintenance while a set is undone');

# what was changed of the table, but for columns
$steps = at_step('convert', $copied);
write_rows('SET ROLE app; GRANT SELECT ON ev TO other; ALTER TABLE ev ADD CONSTRAINT ev_c CHECK (n > -5), ALTER n SET DEFAULT 7');
$steps->go;
wait_ended($node);
is( $node->safe_psql('postgres', q{SELECT has_table_privilege('other', 'ev', 'SELECT'), EXISTS (SELECT FROM pg_constraint WHERE conrelid = 'ev'::regclass
		AND conname = 'ev_c'), (SELECT atthasdef FROM pg_attribute WHERE attrelid = 'ev'::regclass AND attname = 'n')}),
	't|t|t', 'privileges, constraints and defaults that came meanwhile are there');

# values of a column of the same type, after all rows were copied
$steps = at_step('convert', "phase = 'apply'");
write_rows('ALTER TABLE ev ALTER n TYPE int USING n + 100');
$steps->go;
is_done($node, 'values changed by ALTER TABLE');

# foreign keys: who deletes what a row pointed at is not told of a copy
make('convert');
$node->safe_psql('postgres', <<'SQL');
DROP TABLE IF EXISTS kinds;
CREATE TABLE kinds (n int PRIMARY KEY);
INSERT INTO kinds SELECT generate_series(0, 1000);
ALTER TABLE kinds OWNER TO app;
ALTER TABLE ev ADD CONSTRAINT ev_kind FOREIGN KEY (n) REFERENCES kinds;
SQL
$steps = stop_at($node, "phase = 'apply'", sub { begin('convert') });
write_rows('DELETE FROM ev WHERE n = 7; DELETE FROM kinds WHERE n = 7; UPDATE ev SET n = 8 WHERE n = 9; DELETE FROM kinds WHERE n = 9');
$steps->go;
is_done($node, 'rows that a foreign key pointed at');
is( $node->safe_psql('postgres', q{SELECT conrelid::regclass, convalidated FROM pg_constraint WHERE contype = 'f' AND confrelid = 'kinds'::regclass AND conname = 'ev_kind' AND NOT convalidated}),
	'', 'the foreign key is there, and valid');
refused('INSERT INTO ev VALUES (6000, 5, 7)', qr/violates foreign key constraint "ev_kind"/, 'and is enforced');
refused('DELETE FROM kinds WHERE n = 8', qr/violates foreign key constraint "ev_kind"/, 'on both sides');
$node->safe_psql('postgres', 'DROP TABLE ev, model, kinds');

# what has come to hang on it, and cannot be carried over
foreach my $thing (
	[ 'convert', 'CREATE TABLE kid () INHERITS (ev); INSERT INTO kid VALUES (7000, 5, 5)', qr/child public.kid/ ],
	[ 'convert', 'CREATE MATERIALIZED VIEW mv AS SELECT * FROM ev', qr/materialized view public.mv/ ],
	[ 'convert', 'CREATE RULE r AS ON DELETE TO ev DO INSTEAD NOTHING', qr/rule r/ ],
	[ 'split', 'ALTER TABLE ev_p0 ENABLE ROW LEVEL SECURITY', qr/row level security/ ],
	[ 'split', 'CREATE VIEW looks AS SELECT * FROM ev_p0', qr/looks/ ])
{
	$steps = at_step($thing->[0], "phase = 'apply'");
	write_rows($thing->[1]);
	$steps->go;
	wait_ended($node);
	like(progress($node, 'state, message'), qr/^failed\|cannot rewrite table public.ev: .*$thing->[2]/, $thing->[1]);
	is_same($node, $thing->[1]);
	is_clean($node, $thing->[1]);
	$node->safe_psql('postgres', 'DROP TABLE ev CASCADE');
}
make('split');
$node->safe_psql('postgres', 'GRANT SELECT ON ev_p0 TO other');
$steps = stop_at($node, "phase = 'apply'", sub { begin('split') });
$node->safe_psql('postgres', 'REVOKE SELECT ON ev_p0 FROM other');
$steps->go;
is_done($node, 'a REVOKE on a partition');
is($node->safe_psql('postgres', q{SELECT has_table_privilege('other', 'ev_p0', 'SELECT')}), 'f', 'is kept');
$steps = at_step('convert', "phase = 'apply'");
write_rows(q{COMMENT ON TABLE ev IS 'said'; COMMENT ON COLUMN ev.n IS 'of n'; ALTER TABLE ev REPLICA IDENTITY FULL; ALTER TABLE ev ALTER n SET STATISTICS 7});
$steps->go;
is_done($node, 'comments and the like');
is($node->safe_psql('postgres', q{SELECT obj_description('ev'::regclass), col_description('ev'::regclass, 3), relreplident, attstattarget FROM pg_class c JOIN pg_attribute ON attrelid = c.oid AND attnum = 3 WHERE c.oid = 'ev'::regclass}),
	'said|of n|f|7', 'are those of the last moment');

# an index less, and one more
$steps = at_step('convert', "phase = 'apply'");
$node->safe_psql('postgres', 'CREATE INDEX ev_more ON ev (t)');
$steps->go;
is_done($node, 'an index more');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_index WHERE indrelid = 'ev'::regclass}), '3', 'which the set has');
$steps = at_step('convert', "phase = 'apply'");
$node->safe_psql('postgres', 'DROP INDEX ev_n');
$steps->go;
is_done($node, 'an index less');
make('convert');

# more notes than one statement takes, and a second unique index
$node->safe_psql('postgres', <<'SQL');
DROP TABLE ev;
CREATE TABLE ev (id int PRIMARY KEY, at int NOT NULL, slot int NOT NULL UNIQUE);
ALTER TABLE ev OWNER TO app;
INSERT INTO ev SELECT g, 5, g FROM generate_series(1, 20000) g;
SQL
$steps = stop_at($node, $copied, sub { begin('convert') });
write_rows('UPDATE ev SET slot = -slot; UPDATE ev SET slot = 20001 + slot');
$steps->go;
is_done($node, 'values of a unique index change places');

# ---------- traps: readers ----------

# older than the copy, by their own snapshot or by somebody's who has exported it
foreach my $how ('', 'exported')
{
	make('convert');
	my $reader = $node->background_psql('postgres');
	my $snapshot = $reader->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pg_export_snapshot()');
	if ($how)
	{
		my $dump = $node->background_psql('postgres');
		$dump->query_safe("BEGIN ISOLATION LEVEL REPEATABLE READ; SET TRANSACTION SNAPSHOT '$snapshot'; SELECT 1");
		$reader->query_safe('ROLLBACK');
		$reader->quit;
		$reader = $dump;
	}
	begin('convert');
	wait_state($node, "phase = 'apply' AND message LIKE 'waits for 1 transaction with a snapshot from before the last rows were copied%'", "an old $how snapshot is waited for");
	is($reader->query_safe('SELECT count(*) FROM ev'), '1000', 'and sees all rows');
	$reader->query_safe('COMMIT');
	$reader->quit;
	is_done($node, "an old $how snapshot");
}
make('convert');
my $reader = $node->background_psql('postgres');
$reader->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
begin('convert', "p_policy => 'fast'");
is_done($node, 'the fast policy does not wait');
$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction'});
forget_session($reader);
$reader = $node->background_psql('postgres');

# who has read the table holds it up, also the fast policy
make('convert');
$reader->query_safe('BEGIN; SELECT count(*) FROM ev');
begin('convert', "p_policy => 'fast'");
wait_state($node, "message LIKE 'waits for %'", 'a reader with a lock is waited for');
$reader->query_safe('COMMIT');
is_done($node, 'a reader with a lock');

# a snapshot from between the copy and the swap, whose transaction then waits for us
$steps = at_step('convert', "phase = 'apply'");
$steps->step;
write_rows(q{INSERT INTO ev VALUES (5000, 5, 5, 'x')});
my $gate = close_gate($node, 'postgres', 'rewrite-locked');
$reader->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
$steps->go;
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_locks WHERE relation = 'ev'::regclass AND mode = 'ExclusiveLock' AND granted}) or die;
$reader->query_until(qr/waits/, "\\echo waits\nUPDATE ev SET n = 6 WHERE id = 5000;\n");
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_locks WHERE relation = 'ev'::regclass AND NOT granted}) or die;
$gate->quit;
is($reader->query('SELECT count(*) FROM ev'), '1001', 'a REPEATABLE READ transaction that waits for the swap sees all rows');
is($reader->query('SELECT n FROM ev WHERE id = 5000'), '6', 'and what it has updated');
$reader->query('ROLLBACK');
is_done($node, 'a waiting snapshot');

# EXECUTE of a prepared query reads with the snapshot with which it has waited
make('convert');
$node->safe_psql('postgres', q{INSERT INTO ev VALUES (5000, 5, 5, 'x'); DROP TABLE model; CREATE TABLE model AS TABLE ev});
$reader->query_safe('PREPARE locks AS SELECT count(*) FROM (SELECT FROM ev FOR UPDATE) x');
$steps = stop_at($node, "phase = 'apply'", sub { begin('convert') });
$steps->step;
$gate = close_gate($node, 'postgres', 'rewrite-locked');
write_rows('UPDATE ev SET n = n + 1');
$steps->go;
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_locks WHERE relation = 'ev'::regclass AND mode = 'ExclusiveLock' AND granted}) or die;
$reader->query_until(qr/waits/, "\\echo waits\nEXECUTE locks;\n");
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_locks WHERE relation = 'ev'::regclass AND NOT granted}) or die;
$gate->quit;
is($reader->query('SELECT 1'), "1001\n1", 'EXECUTE that waits for the swap sees all rows');
is_done($node, 'an EXECUTE');

# the locking mode in a transaction whose snapshot is old
$reader->quit;
make('convert');
refused("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT convert_table('ev', 'at', '10', p_premake => 1, p_mode => 'locking')",
	qr/ERROR:  p_mode => 'locking' needs a transaction that is READ COMMITTED/, 'locking mode in REPEATABLE READ');

# a default of the database is not ours
$node->safe_psql('postgres', "ALTER DATABASE postgres SET default_transaction_isolation = 'repeatable read'");
$steps = at_step('convert', "phase = 'apply'", "p_policy => 'fast'");
write_rows(q{INSERT INTO ev VALUES (5000, 5, 5, 'x')});
$steps->go;
is_done($node, 'REPEATABLE READ by default');
$node->safe_psql('postgres', 'ALTER DATABASE postgres RESET default_transaction_isolation');

# ---------- traps: others ----------

# maintenance makes a partition in a drain, of what is in the default and of what is not
$steps = at_step('drain', $copied);
$node->safe_psql('postgres', q{SET ROLE app; SELECT create_future_partitions('ev', 3); SELECT run_maintenance('ev')});
write_rows(q{WITH d AS (DELETE FROM ev WHERE at BETWEEN 20 AND 29 RETURNING *) INSERT INTO ev SELECT id, 107, n, t FROM d;
	CREATE TABLE mine PARTITION OF ev FOR VALUES FROM (20) TO (30); ALTER TABLE mine OWNER TO app; INSERT INTO ev VALUES (5000, 25, 5, 'x')});
$steps->go;
is_done($node, 'partitions made during a drain');

# an error that does not go away is not tried again and again
sub failures_of
{
	my ($from) = @_;
	my @lines = log_since($node, $from) =~ /LOG:  rewrite \d+ failed/g;

	return scalar @lines;
}
$steps = at_step('convert', "phase = 'apply'");
$node->safe_psql('postgres', 'CREATE VIEW in_the_way AS SELECT * FROM ' . $node->safe_psql('postgres', 'SELECT frame::regclass FROM part_rewrite ORDER BY id DESC LIMIT 1'));
$position = log_position($node);
$node->safe_psql('postgres', "SELECT cancel_rewrite($last)");
$steps->go;
# two looks of ours are far apart for a loop without pauses
poll_until(sub { failures_of($position) > 0 }) or die;
poll_until(sub { failures_of($position) > 20 }, 2);
cmp_ok(failures_of($position), '<', 20, 'a cancel that cannot be done is tried with pauses');
$node->safe_psql('postgres', 'DROP VIEW in_the_way');
wait_state($node, "state = 'cancelled'", 'and is done at last');
is_clean($node, 'a cancel with something in the way');

# a foreign key of others that does not hold
$node->safe_psql('postgres', <<'SQL');
DROP TABLE ev, model;
CREATE TABLE ev (id int, at int, PRIMARY KEY (id, at));
INSERT INTO ev VALUES (1, 1);
CREATE TABLE refs (id int, at int, FOREIGN KEY (id, at) REFERENCES ev);
SET session_replication_role = replica;
INSERT INTO refs VALUES (9, 9);
RESET session_replication_role;
CREATE TABLE model AS TABLE ev;
SQL
$node->safe_psql('postgres', "SELECT convert_table('ev', 'at', '10', p_premake => 1)");
ok(wait_ended($node), 'a foreign key that does not hold ends the rewrite');
like(progress($node, 'message'), qr/^swapped, but not all could be cleaned up: .*refs_id_at_fkey/, 'which says so');
is($node->safe_psql('postgres', q{SELECT convalidated FROM pg_constraint WHERE conname = 'refs_id_at_fkey'}), 'f', 'it is there, not validated');
is_clean($node, 'a foreign key that does not hold');
$node->safe_psql('postgres', 'DROP TABLE refs');

# ---------- many writers ----------

foreach my $kind (qw(convert drain))
{
	make($kind, 20000);
	my $fire = start_fire($node, 4);
	begin($kind);
	wait_ended($node);
	end_fire($fire, $kind);
	is_done($node, "$kind under fire");
}

$node->stop;
done_testing();
