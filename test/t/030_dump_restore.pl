# A dump and its restore into a new cluster, whose worker is awake between the
# sections: the restored sets are left alone until resume_maintenance(), also
# by a retention that would have much to do.

use strict;
use warnings;

use Partmgr;
use PostgreSQL::Test::Utils;
use Test::More;

my $weird = '"My.S"."we""ird.Näme"';

# what a restore must bring back, and what nobody may touch meanwhile
my $config = q{SELECT to_jsonb(c) FROM "Part Man".part_config c ORDER BY parent_table::text COLLATE "C"};
my $tables = q{
	SELECT n.nspname, c.relname, c.relkind, pg_get_expr(c.relpartbound, c.oid), i.inhparent::regclass,
		(SELECT bool_and(x.indisvalid) FROM pg_index x WHERE x.indrelid = c.oid)
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
	WHERE n.nspname IN ('public', 'My.S') AND c.relkind IN ('r', 'p') AND c.relname NOT LIKE 'awake%'
	ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"};

# ---------- the original: nothing maintains it ----------

my $old = new_node('old', conf => "partmgr.enabled = off\n");
$old->safe_psql('postgres', <<SQL);
SET timezone = 'Pacific/Auckland';
CREATE ROLE owner NOLOGIN;
CREATE SCHEMA "Part Man";
CREATE EXTENSION partmgr SCHEMA "Part Man";
GRANT USAGE ON SCHEMA "Part Man" TO PUBLIC;
CREATE SCHEMA "My.S" AUTHORIZATION owner;
GRANT ALL ON SCHEMA public TO owner;
SET ROLE owner;
CREATE TABLE $weird (id bigint GENERATED ALWAYS AS IDENTITY, "At ""time""" timestamptz NOT NULL,
	PRIMARY KEY (id, "At ""time""")) PARTITION BY RANGE ("At ""time""");
CREATE INDEX ON $weird ("At ""time""");
SELECT "Part Man".create_parent('$weird'::regclass, 'At "time"', '1 day', p_premake => 2,
	p_start_partition => (now() - interval '10 days')::text);
INSERT INTO $weird ("At ""time""") SELECT now() - n * interval '1 day' FROM generate_series(0, 9) n;
UPDATE "Part Man".part_config SET retention = '3 days', retention_keep_table = false, premake = 5
	WHERE parent_table = '$weird'::regclass;
CREATE TABLE ids (id bigint PRIMARY KEY) PARTITION BY RANGE (id);
SELECT "Part Man".create_parent('ids', 'id', '100', p_retention => '200', p_retention_keep_table => false);
INSERT INTO ids SELECT generate_series(1, 1000);
CREATE TABLE marked (id bigint PRIMARY KEY) PARTITION BY RANGE (id);
SELECT "Part Man".create_parent('marked', 'id', '100', p_retention => '300', p_retention_keep_table => false,
	p_default_table => false, p_start_partition => '0');
SELECT "Part Man".create_future_partitions('marked', 10);
INSERT INTO marked SELECT generate_series(1, 1000);
UPDATE "Part Man".part_config SET retention_grace = '1 year', retention_schema = 'My.S' WHERE parent_table = 'marked'::regclass;
SELECT "Part Man".hold_partition('marked', NULL, NULL, 'released');
SELECT "Part Man".hold_partition('marked', '210', '220', 'case "4711"');
SELECT "Part Man".release_hold(1);
SELECT "Part Man".run_maintenance('marked');
SQL
my $marks = q{SELECT to_jsonb(d) FROM "Part Man".part_detached d ORDER BY lower_raw};
my $holds = q{SELECT to_jsonb(h) FROM "Part Man".part_hold h ORDER BY id};
my $marked = $old->safe_psql('postgres', $marks);
my $held = $old->safe_psql('postgres', $holds);
like($marked, qr/"partition": "\\"My.S\\".marked_p0"/, 'the original has detached partitions');
like($held, qr/^\{"id": 2, .*4711.*\}$/, 'and a hold');
my $wanted = $old->safe_psql('postgres', $config);
my $before = $old->safe_psql('postgres', $tables);
like($wanted, qr/"retention": "3 days"/, 'the original has a retention');
is($old->safe_psql('postgres', qq{SELECT count(*) > 5 FROM "Part Man".list_partitions('$weird'::regclass) WHERE state = 'expired'}),
	't', 'and much to retire');

my $dump = $old->backup_dir . '.dump';
$old->command_ok([ 'pg_dump', '-Fc', '-f', $dump, '-d', $old->connstr('postgres') ], 'pg_dump');

# ---------- the restore ----------

my $new = new_node('new', conf => "partmgr.interval = '1s'\n");
$new->safe_psql('postgres', 'CREATE ROLE owner NOLOGIN');
$new->safe_psql('postgres', 'CREATE DATABASE copy');

# The worker is really awake: a set of the new cluster's own is maintained
# twice after a moment.
sub worker_passes
{
	my ($when) = @_;
	my $runs = q{SELECT extract(epoch FROM last_success) FROM "Part Man".part_state WHERE parent_table = 'awake'::regclass};

	for my $pass (1, 2)
	{
		my $last = $new->safe_psql('copy', $runs);
		ok($new->poll_query_until('copy', "SELECT ($runs) > $last"), "$when: the worker passes by ($pass)");
	}
}

sub restore_section
{
	my ($section) = @_;

	$new->command_ok([ 'pg_restore', '--exit-on-error', "--section=$section", '-d', $new->connstr('copy'), $dump ],
		"pg_restore --section=$section");
}

restore_section('pre-data');
$new->safe_psql('copy', <<'SQL');
CREATE TABLE awake (at timestamptz NOT NULL) PARTITION BY RANGE (at);
SELECT "Part Man".create_parent('awake', 'at', '1 day');
SQL
my $schema = $new->safe_psql('copy', $tables);
worker_passes('after pre-data');
is($new->safe_psql('copy', $tables), $schema, 'nothing is touched after pre-data');

restore_section('data');
worker_passes('after data');
is($new->safe_psql('copy', $tables), $schema, 'nothing is touched after data');

restore_section('post-data');
worker_passes('after post-data');
is($new->safe_psql('copy', $tables), $before, 'the tables are those of the original, indexes valid');
is( $new->safe_psql('copy', qq{SELECT to_jsonb(c) FROM "Part Man".part_config c
		WHERE parent_table <> 'awake'::regclass ORDER BY parent_table::text COLLATE "C"}),
	$wanted, 'so is the configuration');
is($new->safe_psql('copy', $marks), $marked, 'the marks name the tables of the copy');
is($new->safe_psql('copy', $holds), $held, 'the hold is there');
is( $new->safe_psql('copy', q{SELECT partitions FROM "Part Man".list_holds('marked')}),
	'{marked_p200}', 'and keeps the partition of the copy');
is($new->safe_psql('copy', q{SELECT "Part Man".hold_partition('marked', '0', '50', 'new')}), '3', 'the numbers of holds go on');
is($new->safe_psql('copy', qq{SELECT count(*) FROM $weird}), '10', 'and the rows are there');

# ---------- until somebody says so ----------

is( $new->safe_psql('copy', q{SELECT parent_table, status FROM "Part Man".partition_health_summary()
		WHERE status = 'RESTORED' ORDER BY parent_table::text COLLATE "C"}),
	qq{"My.S"."we""ird.Näme"|RESTORED\nids|RESTORED\nmarked|RESTORED}, 'health says RESTORED');
$new->safe_psql('copy', 'SELECT "Part Man".run_maintenance()');
$new->safe_psql('copy', 'CALL "Part Man".run_maintenance_proc()');
is($new->safe_psql('copy', $tables), $before, 'run_maintenance() without a name leaves them alone');
my ($ret, $out, $err) = $new->psql('copy', qq{\\set VERBOSITY verbose\nSELECT "Part Man".run_maintenance('ids')});
isnt($ret, 0, 'run_maintenance() by name is refused');
like($err, qr/55000.*suspended since it was restored/s, 'with the reason');
like($err, qr/HINT: .*resume_maintenance/, 'and what to do');
is($new->safe_psql('copy', $tables), $before, 'still nothing is touched');

# a changed configuration arms nothing
$new->safe_psql('copy', q{UPDATE "Part Man".part_config SET premake = 6 WHERE parent_table = 'ids'::regclass});
worker_passes('after UPDATE part_config');
is($new->safe_psql('copy', $tables), $before, 'an UPDATE of part_config does not wake a restored set');

# ---------- resume one, then all ----------

is($new->safe_psql('copy', q{SELECT "Part Man".resume_maintenance('ids')}), '1', 'resume_maintenance of one set');
ok( $new->poll_query_until('copy', q{SELECT count(*) > 0 AND NOT bool_or(lower_id < 700)
		FROM "Part Man".list_partitions('ids') WHERE NOT is_default}),
	'it is maintained: old ids are dropped');
is( $new->safe_psql('copy', q{SELECT status FROM "Part Man".partition_health_summary('"My.S"."we""ird.Näme"')}),
	'RESTORED', 'the other is still left alone');
is($new->safe_psql('copy', 'SELECT "Part Man".resume_maintenance()'), '2', 'resume_maintenance of all');
ok( $new->poll_query_until('copy', qq{SELECT count(*) FILTER (WHERE state = 'expired') = 0
		AND count(*) FILTER (WHERE state = 'future') = 5 FROM "Part Man".list_partitions('$weird'::regclass)}),
	'it is maintained: retention and premake of the original');
is($new->safe_psql('copy', 'SELECT count(*) FROM "Part Man".maintenance_plan()'), '0', 'nothing is left to do');

# what was detached can be taken back, and what is held stays
is( $new->safe_psql('copy', q{SELECT "Part Man".reattach_partition('"My.S".marked_p0');
		SELECT string_agg(partition_name || ' ' || state, ', ') FROM "Part Man".list_partitions('marked') WHERE upper_id <= 300}),
	qq{\nmarked_p0 expired, marked_p200 expired, "My.S".marked_p100 detached}, 'the marks know the bounds');

# a partition of the restored set goes on from the original's grid and names
is( $new->safe_psql('copy', qq{SELECT count(*) FROM "Part Man".list_partitions('$weird'::regclass)
		WHERE lower_time IS NOT NULL
		AND (lower_time AT TIME ZONE 'Pacific/Auckland')::time <> '00:00'}),
	'0', 'days are those of the set, in its zone');
is($new->safe_psql('copy', 'SELECT "Part Man".resume_maintenance()'), '0', 'there is nothing to resume any more');

# ---------- a dump of the schema alone, and of the data alone ----------

$new->safe_psql('postgres', 'CREATE DATABASE other');
$new->command_ok([ 'pg_restore', '--exit-on-error', '--schema-only', '-d', $new->connstr('other'), $dump ], 'schema only');
is($new->safe_psql('other', 'SELECT count(*) FROM "Part Man".part_config'), '0', 'a schema without data has no sets');

$old->stop;
$new->stop;
done_testing();
