# Retention as the worker does it: in two phases, within its window, asking the
# archive function, and in nobody's way.  (What the plan says, and what SQL calls
# do of it, is in sql/grace.sql; crashes in test/long.)

use strict;
use warnings;

use Partmgr;
use PartmgrWorker;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', conf => "partmgr.interval = '1s'\n");

# sets with partitions of ten ids from 0 on, the highest id is 69
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION partmgr;
CREATE PROCEDURE make(t text, d boolean DEFAULT false) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE %I (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)', t);
	PERFORM create_parent(t, 'id', '10', p_premake => 6, p_default_table => d, p_automatic_maintenance => 'off');
	EXECUTE format('INSERT INTO %I SELECT i, ''row '' || i FROM generate_series(0, 69) i', t);
	UPDATE part_config SET retention_keep_table = false, premake = 1, automatic_maintenance = 'on' WHERE parent_table = t::regclass;
END $$;
CREATE FUNCTION parts(t regclass) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(replace(replace(partition_name::text, t || '_', ''), 'public.', '') || CASE WHEN state IN ('detached', 'pending detach') THEN ' (' || state || ')' ELSE '' END,
		' ' ORDER BY lower_id) FROM list_partitions(t)
	WHERE NOT is_default
$$;
CREATE PROCEDURE pass(t regclass) LANGUAGE sql AS $$
	UPDATE part_detached SET drop_after = now(), retry_after = NULL WHERE parent_table = t AND drop_after IS NOT NULL
$$;
CREATE FUNCTION logged(t regclass, p text) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(action, ' ' ORDER BY id) FROM part_log WHERE parent_table = t AND partition_name LIKE '%' || p AND action <> 'create'
$$;
SQL

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sub becomes
{
	my ($query, $expected, $what) = @_;

	ok($node->poll_query_until('postgres', $query, $expected), $what)
	  or diag("$query: " . sql($query));
	return;
}

# a session that stays, with a name
sub session
{
	my ($name, $sql, @params) = @_;
	my $session = $node->background_psql('postgres', extra_params => \@params);

	$session->query_safe("SET application_name = '$name'; $sql");
	return $session;
}

# the set is left alone from now on
sub finish
{
	my ($table) = @_;

	sql("UPDATE part_config SET automatic_maintenance = 'off' WHERE parent_table = '$table'");
	return;
}

# ---------- two phases ----------

sql(q{CALL make('ev'); UPDATE part_config SET retention = '40', retention_grace = '7 days' WHERE parent_table = 'ev'});
becomes(q{SELECT parts('ev')}, 'p0 (detached) p10 (detached) p20 p30 p40 p50 p60 p70', 'expired partitions are detached');
is(sql('SELECT count(*), min(id) FROM ev'), '50|20', 'and their rows are not in the table');
is(sql(q{SELECT string_agg(DISTINCT (drop_after - marked_at)::text || ' ' || reason, ',') FROM part_detached}),
	'7 days age', 'to be dropped when the grace is over');
sql(q{CALL pass('ev')});
becomes(q{SELECT parts('ev')}, 'p20 p30 p40 p50 p60 p70', 'then they are dropped');
is(sql(q{SELECT logged('ev', 'p0'), logged('ev', 'p10')}), 'detach drop|detach drop', 'the log has both phases');
is(sql(q{SELECT bool_and(lock = 'SHARE UPDATE EXCLUSIVE') FROM part_log WHERE action = 'detach'}), 't', 'without a strong lock on the parent');
sql(q{UPDATE part_config SET retention = '10' WHERE parent_table = 'ev'});
becomes(q{SELECT parts('ev')}, 'p20 (detached) p30 (detached) p40 (detached) p50 p60 p70', 'retention is made shorter');
sql(q{UPDATE part_config SET retention = '30' WHERE parent_table = 'ev'});
becomes(q{SELECT parts('ev')}, 'p20 (detached) p30 p40 p50 p60 p70', 'and longer: what is wanted again comes back');
is(sql('SELECT count(*), min(id) FROM ev'), '40|30', 'with its rows');
becomes(q{SELECT upkeep_failures, upkeep_busy, next_upkeep IS NULL FROM part_state WHERE parent_table = 'ev'::regclass}, '0|0|t', 'then upkeep rests');
is(sql(q{SELECT status FROM partition_health_summary('ev')}), 'HEALTHY', 'and the set is healthy');
finish('ev');

# moved to another schema
sql(q{CREATE SCHEMA attic; CALL make('moved');
	UPDATE part_config SET retention = '50', retention_keep_table = true, retention_schema = 'attic', retention_keep_index = false WHERE parent_table = 'moved'});
becomes(q{SELECT string_agg(relname, ' ') FROM pg_class WHERE relnamespace = 'attic'::regnamespace}, 'moved_p0', 'a partition is moved, its indexes are gone');
is(sql(q{SELECT logged('moved', 'p0')}), 'detach settle', 'after it was detached');
is(sql('SELECT count(*) FROM attic.moved_p0'), '10', 'with its rows');
finish('moved');

# ---------- the archive function ----------

sql(<<'SQL');
CREATE TABLE verdicts (partition text PRIMARY KEY, verdict text);
INSERT INTO verdicts VALUES ('arc_p0', 'error'), ('arc_p10', 'drop'), ('arc_p20', 'retry'), ('arc_p30', 'keep');
CREATE TABLE archived (partition text, lower text, upper text, n bigint);
CREATE FUNCTION archive(parent regclass, partition regclass, lower text, upper text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	v text := (SELECT verdict FROM public.verdicts WHERE verdicts.partition = archive.partition::text OR 'public.' || verdicts.partition = archive.partition::text);
	n bigint;
BEGIN
	IF v = 'error' THEN
		RAISE EXCEPTION 'the archive is full';
	END IF;
	EXECUTE format('SELECT count(*) FROM %s', partition) INTO n;
	INSERT INTO public.archived VALUES (partition::text, lower, upper, n);
	RETURN v;
END $$;
CALL make('arc');
UPDATE part_config SET retention = '20', archive_function = 'public.archive' WHERE parent_table = 'arc';
SQL
becomes(q{SELECT parts('arc')}, 'p0 (detached) p20 (detached) p30 (detached) p40 p50 p60 p70', 'what the function lets go is dropped, an error keeps it');
becomes(q{SELECT string_agg(partition::text || ' ' || coalesce(verdict, '-'), ', ' ORDER BY lower_raw) FROM part_detached WHERE parent_table = 'arc'::regclass},
	'arc_p0 -, arc_p20 retry, arc_p30 keep', 'all were asked, whatever became of the first');
becomes(q{SELECT upkeep_sqlstate, upkeep_error FROM part_state WHERE parent_table = 'arc'::regclass}, 'P0001|the archive is full', 'the error is recorded');
like(sql(q{SELECT status, problems FROM partition_health_summary('arc')}), qr/^FAILING.*the archive is full/, 'and health tells of it');
sql(q{UPDATE verdicts SET verdict = 'drop'; CALL pass('arc')});
becomes(q{SELECT parts('arc')}, 'p30 (detached) p40 p50 p60 p70', 'asked again after an error and after retry; keep is for good');
is(sql(q{SELECT string_agg(regexp_replace(partition, '^public[.]', '') || ' ' || lower || ' ' || upper || ' ' || n, ', ' ORDER BY partition, n) FROM (SELECT DISTINCT * FROM archived) a}),
	'arc_p0 0 10 10, arc_p10 10 20 10, arc_p20 20 30 10, arc_p30 30 40 10', 'the function knew what it was about');
becomes(q{SELECT upkeep_failures FROM part_state WHERE parent_table = 'arc'::regclass}, '0', 'the failure is forgotten');
is(sql(q{SELECT status FROM partition_health_summary('arc')}), 'HEALTHY', 'so health is as before');
finish('arc');

# ---------- the window ----------

# from two hours from now on, on the clocks of the set, which are UTC's
my $window = sql(q{SELECT to_char(now() AT TIME ZONE 'UTC' + interval '2 hours', 'HH24:MI-') || to_char(now() AT TIME ZONE 'UTC' + interval '3 hours', 'HH24:MI')});
my $opens = sql(q{SELECT date_trunc('minute', now() + interval '2 hours')});
sql(qq{CALL make('win'); UPDATE part_config SET retention = '40', retention_grace = '0', maintenance_window = '$window' WHERE parent_table = 'win'});
becomes(qq{SELECT next_upkeep = '$opens' FROM part_state WHERE parent_table = 'win'::regclass}, 't', 'the window is closed: upkeep comes back when it opens');
sql(q{UPDATE part_config SET premake = 2 WHERE parent_table = 'win'});
becomes(q{SELECT parts('win')}, 'p0 p10 p20 p30 p40 p50 p60 p70 p80', 'creation does not mind, and nothing is detached');
# somebody's detach that was cut short is finalized nevertheless
my $reader = session('reader', 'BEGIN; SELECT count(*) FROM win');
my ($ret, $out, $err) = $node->psql('postgres', q{SET lock_timeout = '200ms'; ALTER TABLE win DETACH PARTITION win_p50 CONCURRENTLY});
like($err, qr/lock timeout/, 'a detach is cut short');
becomes(qq{SELECT next_upkeep = '$opens' FROM part_state WHERE parent_table = 'win'::regclass}, 't', 'still closed');
$reader->query_safe('COMMIT');
becomes(q{SELECT parts('win')}, 'p0 p10 p20 p30 p40 p60 p70 p80', 'a pending detach is finalized outside of the window');
is(sql(q{SELECT logged('win', 'p50'), logged('win', 'p0'), to_regclass('win_p50')}), 'finalize||win_p50', 'and nothing else is done; the table stays');
my $window_now = sql(q{SELECT to_char(now() AT TIME ZONE 'UTC' - interval '1 hour', 'HH24:MI-') || to_char(now() AT TIME ZONE 'UTC' + interval '3 hours', 'HH24:MI')});
sql(qq{DROP TABLE win_p50; UPDATE part_config SET maintenance_window = '$window_now' WHERE parent_table = 'win'});
becomes(q{SELECT logged('win', 'p0'), logged('win', 'p10')}, 'detach drop|detach drop', 'the window is open');
finish('win');

# ---------- a plain detach beside a long reader ----------

sql(<<'SQL');
CREATE TABLE rungs (t text, at timestamptz, busy int, pause interval);
CREATE FUNCTION note_rung() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF new.upkeep_busy > old.upkeep_busy THEN
		INSERT INTO public.rungs VALUES ((SELECT relname FROM pg_class WHERE oid = new.parent_table), clock_timestamp(), new.upkeep_busy, new.next_upkeep - clock_timestamp());
	END IF;
	RETURN new;
END $$;
CREATE TRIGGER note_rung BEFORE UPDATE ON part_state FOR EACH ROW EXECUTE FUNCTION note_rung();
CALL make('wd', true);
SQL
$reader = session('the report', q{BEGIN; SELECT count(*) FROM wd});
my $pid = $reader->query_safe('SELECT pg_backend_pid()');
# who has been there for long is named before those who happen to be, such as our polling
becomes(qq{SELECT xact_start < clock_timestamp() - interval '1.5 s' FROM pg_stat_activity WHERE pid = $pid}, 't', 'a long reader');
sql(q{UPDATE part_config SET retention = '40' WHERE parent_table = 'wd'});
becomes(qq{SELECT upkeep_blockers ~ 'process $pid .*user postgres, application the report, idle in transaction, since' FROM part_state WHERE parent_table = 'wd'::regclass},
	't', 'who is in the way of a plain detach is known');
becomes(q{SELECT count(*) > 8 FROM rungs WHERE t = 'wd'}, 't', 'the ladder is climbed, and begun again');
is( sql(q{SELECT busy, pause BETWEEN interval '50 ms' * power(2, busy - 1) * 0.5 AND interval '50 ms' * power(2, busy - 1) * 1.25
		OR pause BETWEEN interval '0.9 s' AND interval '1 s' FROM rungs WHERE t = 'wd' AND busy <= 8 ORDER BY busy}),
	join("\n", map { "$_|t" } 1 .. 8), 'its pauses grow');
# the other lane's worker may have been in the way for a moment, too
is(sql(q{SELECT DISTINCT action, sqlstate FROM part_log WHERE parent_table = 'wd'::regclass AND action NOT IN ('create')
	AND (message ~ 'application the report' OR message !~ 'partmgr (upkeep )?worker')}),
	'postponed|55P03', 'the log says so as well');
cmp_ok(sql(q{SELECT count(*) FROM part_log WHERE parent_table = 'wd'::regclass AND message ~ 'application the report'}), '>', 0, 'and by whom');
sql(q{UPDATE part_config SET premake = 2 WHERE parent_table = 'wd'});
becomes(q{SELECT blockers ~ 'lock timeout: process .*application the report' AND busy > 2 FROM part_state WHERE parent_table = 'wd'::regclass}, 't', 'with a default, creation has to wait as well');
cmp_ok(sql(q{SELECT count(*) FROM part_log WHERE parent_table = 'wd'::regclass AND action = 'postponed'}), '<', 8, 'nothing is logged over and over');
is(sql(q{SET lock_timeout = '1s'; INSERT INTO wd VALUES (70, 'now'); SELECT count(*) FROM wd}), '71', 'nobody waits');
is(sql(q{SELECT failures, upkeep_failures FROM part_state WHERE parent_table = 'wd'::regclass}), '0|0', 'and that is no failure');
$reader->query_safe('COMMIT');
becomes(q{SELECT parts('wd')}, 'p30 p40 p50 p60 p70 p80 p90', 'when the reader has ended, they are dropped');
is(sql(q{SELECT string_agg(DISTINCT lock, ',') FROM part_log WHERE parent_table = 'wd'::regclass AND action = 'detach'}), 'ACCESS EXCLUSIVE', 'a plain detach it was');
becomes(q{SELECT upkeep_busy, upkeep_blockers FROM part_state WHERE parent_table = 'wd'::regclass}, '0|', 'the ladder is forgotten');

# autovacuum, by name: one that has much to do, slowly
sql(q{UPDATE part_config SET retention = NULL WHERE parent_table = 'wd'; INSERT INTO wd SELECT i, repeat('x', 2000) FROM generate_series(30, 39) i ON CONFLICT (id) DO UPDATE SET v = excluded.v;
	ALTER TABLE wd_p30 SET (autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1, fillfactor = 10)});
sql(q{UPDATE wd SET v = v || 'x' WHERE id BETWEEN 30 AND 39}) for 1 .. 20;
sql(q{ALTER SYSTEM SET autovacuum = on; ALTER SYSTEM SET autovacuum_naptime = '1s'});
$node->reload;
becomes(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'autovacuum worker' AND query LIKE '%wd_p30%' AND xact_start < now() - interval '1 s'}, '1', 'autovacuum is slow');
sql(q{UPDATE part_config SET retention = '30' WHERE parent_table = 'wd'});
becomes(q{SELECT upkeep_blockers ~ 'autovacuum worker.*VACUUM.*public.wd_p30' FROM part_state WHERE parent_table = 'wd'::regclass}, 't', 'autovacuum in the way is named');
sql(q{ALTER SYSTEM RESET autovacuum; SELECT pg_reload_conf(); SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'autovacuum worker'});
becomes(q{SELECT parts('wd')}, 'p40 p50 p60 p70 p80 p90', 'when it has ended, the partition goes');
finish('wd');

# ---------- cancelling who is in the way ----------

sql(<<'SQL');
CREATE ROLE olga LOGIN;
CREATE ROLE rita LOGIN;
GRANT CREATE, USAGE ON SCHEMA public TO olga;
CALL make('olgas', true);
ALTER TABLE olgas OWNER TO olga;
DO $$ BEGIN EXECUTE (SELECT string_agg(format('ALTER TABLE %s OWNER TO olga', inhrelid::regclass), ';') FROM pg_inherits WHERE inhparent = 'olgas'::regclass); END $$;
GRANT SELECT ON olgas TO rita;
SQL
my $slow = q{BEGIN; SELECT count(*) FROM olgas; SELECT 'slow', pg_sleep(600);};
my $busy = q{SELECT count(*) = 1 FROM pg_stat_activity WHERE usename = 'rita' AND query LIKE '%slow%' AND state = 'active'};
$reader = $node->background_psql('postgres', on_error_stop => 0, extra_params => [ '-U', 'rita' ]);
$reader->query_until(qr/begun/, "\\echo begun\n$slow\n\\echo ended\n");
becomes($busy, 't', 'somebody else\'s long statement');
my $position = log_position($node);
sql(q{UPDATE part_config SET retention = '40', abort_after_wait = 'blockers' WHERE parent_table = 'olgas'});
becomes(q{SELECT count(*) > 8 FROM rungs WHERE t = 'olgas'}, 't', 'is in the way');
is(sql($busy), 't', 'who may not cancel others does not');
like(log_since($node, $position), qr/cannot cancel process \d+/, 'the server log tells');
is(sql(q{SELECT count(*) FROM part_log WHERE parent_table = 'olgas'::regclass AND action = 'cancelled'}), '0', 'and the log does not say otherwise');
sql('GRANT pg_signal_backend TO olga');
becomes(q{SELECT parts('olgas')}, 'p20 p30 p40 p50 p60 p70', 'who may cancel does, after the ladder');
like(sql(q{SELECT message FROM part_log WHERE parent_table = 'olgas'::regclass AND action = 'cancelled'}), qr/processes cancelled .*: \d+/, 'and says so');
$reader->query_until(qr/ended/, "\n");
$reader->quit;
finish('olgas');

# ---------- foreign keys ----------

sql(q{CALL make('fk'); CREATE TABLE refers (fk_id int REFERENCES fk); INSERT INTO refers VALUES (3);
	UPDATE part_config SET retention = '40', retention_grace = '1 day' WHERE parent_table = 'fk'});
becomes(q{SELECT parts('fk')}, 'p0 p10 (detached) p20 p30 p40 p50 p60 p70', 'a partition whose rows are referenced stays, the other goes');
becomes(q{SELECT upkeep_sqlstate FROM part_state WHERE parent_table = 'fk'::regclass}, '23503', 'that is recorded');
like(sql(q{SELECT message FROM part_log WHERE parent_table = 'fk'::regclass AND action = 'blocked' LIMIT 1}),
	qr/rows of partition public.fk_p0 are referenced by constraint "refers_fk_id_fkey" of table public.refers/, 'with the constraint');
like(sql(q{SELECT status, problems FROM partition_health_summary('fk')}), qr/^BLOCKED.*refers_fk_id_fkey/, 'health tells, too');
sql('DELETE FROM refers');
becomes(q{SELECT parts('fk')}, 'p0 (detached) p10 (detached) p20 p30 p40 p50 p60 p70', 'when the reference is gone, so is the partition');
finish('fk');

# ---------- a concurrent detach beside a long reader ----------

sql(q{CALL make('con')});
$reader = session('reader', 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM con');
sql(q{UPDATE part_config SET retention = '40' WHERE parent_table = 'con'});
becomes(q{SELECT parts('con')}, 'p0 (pending detach) p10 p20 p30 p40 p50 p60 p70', 'a detach waits for a reader');
is($reader->query_safe('SELECT count(*), min(id) FROM con'), '70|0', 'who still sees all of it');
is(sql(q{SET lock_timeout = '1s'; INSERT INTO con VALUES (62, 'x') ON CONFLICT DO NOTHING; UPDATE con SET v = 'y' WHERE id = 69; SELECT count(*), min(id) FROM con}), '60|10', 'others go on without it');
sql(q{UPDATE part_config SET premake = 2 WHERE parent_table = 'con'});
becomes(q{SELECT parts('con')}, 'p0 (pending detach) p10 p20 p30 p40 p50 p60 p70 p80', 'creation goes on');
is( sql(q{SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE a.backend_type = 'partmgr upkeep worker' AND l.locktype = 'relation'
		AND l.relation IN (SELECT 'con'::regclass UNION SELECT inhrelid FROM pg_inherits WHERE inhparent = 'con'::regclass)}),
	'0', 'the worker that waits holds no lock on the set');
$reader->query_safe('COMMIT');
becomes(q{SELECT parts('con')}, 'p20 p30 p40 p50 p60 p70 p80', 'when the reader has ended, both are dropped');

# ---------- a reader of a partition itself ----------

# While the lock on the partition is asked for, others who go there wait: never
# for longer than lock_timeout.
$reader = session('direct reader', 'BEGIN; SELECT count(*) FROM con_p20');
sql(q{UPDATE part_config SET retention = '30' WHERE parent_table = 'con'});
becomes(q{SELECT parts('con')}, 'p20 (pending detach) p30 p40 p50 p60 p70 p80', 'a reader of the partition itself');
my $longest = 0;
my $waits = 0;
my $begin = time();
poll_until(sub {
	my $wait = sql(q{SELECT 1000 * extract(epoch FROM clock_timestamp() - waitstart) FROM pg_locks
		WHERE relation = 'con_p20'::regclass AND mode = 'AccessExclusiveLock' AND NOT granted});

	$waits++ if $wait ne '';
	$longest = $wait if $wait ne '' && $wait > $longest;
	return time() - $begin > 4;
}, 10);
cmp_ok($longest, '<', 1000, 'nobody waits behind us for long');
like(sql(q{SELECT string_agg(upkeep_blockers, '') FROM part_state WHERE parent_table = 'con'::regclass}) . sql(q{SELECT message FROM part_log WHERE parent_table = 'con'::regclass AND action = 'postponed' ORDER BY id DESC LIMIT 1}),
	qr/application direct reader/, 'who is in the way is known');
is(sql(q{SELECT upkeep_failures FROM part_state WHERE parent_table = 'con'::regclass}), '0', 'and that is no failure');
$reader->query_safe('COMMIT');
becomes(q{SELECT parts('con')}, 'p30 p40 p50 p60 p70 p80', 'it is finalized and dropped when the reader has ended');

# who holds one that is detached keeps no other one
sql(q{UPDATE part_config SET retention = '10', retention_grace = '1 day' WHERE parent_table = 'con'});
becomes(q{SELECT parts('con')}, 'p30 (detached) p40 (detached) p50 p60 p70 p80', 'two are detached');
$reader->query_safe('BEGIN; SELECT count(*) FROM con_p30');
sql(q{CALL pass('con')});
becomes(q{SELECT parts('con')}, 'p30 (detached) p50 p60 p70 p80', 'a reader of a detached partition keeps that one only');
like(sql(q{SELECT upkeep_blockers FROM part_state WHERE parent_table = 'con'::regclass}), qr/application direct reader/, 'and is named');
$reader->query_safe('COMMIT');
becomes(q{SELECT parts('con')}, 'p50 p60 p70 p80', 'then it is dropped');
becomes(q{SELECT status FROM partition_health_summary('con')}, 'HEALTHY', 'and the set is healthy');
$reader->quit;

unlike(log_since($node, 0), qr/had no effect/, 'no step was done twice');
$node->stop;
done_testing();
