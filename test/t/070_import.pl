# What a real pg_partman maintains is taken over, and given back: version 4.7 on 15, 5.x
# on later majors, from the packages that Debian has.

use strict;
use warnings;

use Partmgr;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', conf => "partmgr.enabled = off\n");
my $version = $node->safe_psql('postgres', q{SELECT default_version FROM pg_available_extensions WHERE name = 'pg_partman'});
plan skip_all => 'there is no pg_partman for this major' if $version eq '';
my $is_4 = $version =~ /^4/;
note "pg_partman $version";

# rows FROM import_pg_partman, without the notes that differ between versions
sub steps
{
	my ($sql) = @_;

	return $node->safe_psql('postgres', "SELECT parent_table, step, note FROM $sql");
}

$node->safe_psql('postgres', <<'SQL');
CREATE SCHEMA partman;
CREATE EXTENSION pg_partman SCHEMA partman;
CREATE SCHEMA keeper;
CREATE EXTENSION partmgr SCHEMA keeper;
CREATE ROLE app;
GRANT ALL ON SCHEMA public, partman TO app;
GRANT ALL ON ALL TABLES IN SCHEMA partman TO app;
CREATE SCHEMA attic AUTHORIZATION app;
CREATE SCHEMA other_attic;
SET ROLE app;
CREATE TABLE "Events" (id bigint NOT NULL, at timestamptz NOT NULL, v text) PARTITION BY RANGE (at);
CREATE TABLE nums (id bigint NOT NULL, v text) PARTITION BY RANGE (id);
CREATE TABLE deep (id bigint NOT NULL, at timestamptz NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE epoch (at bigint NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE busy (at date NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE moved (at date NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE model (id bigint, at timestamptz, v text);
SQL

# as its own version wants to be called
# 4.7 keeps that word for sub-sets
my $month = $is_4 ? 'monthly' : '1 month';
my $check = $is_4 ? 'p_native_check' : 'p_declarative_check';
my $native = $is_4 ? "p_type => 'native'" : "p_type => 'range'";
$node->safe_psql('postgres', <<"SQL");
SET client_min_messages = error;
SET ROLE app;
CREATE TABLE events_template (LIKE "Events");
ALTER TABLE events_template ADD UNIQUE (id);
SELECT partman.create_parent('public.Events', 'at', p_interval => '1 day', $native, p_premake => 3, p_template_table => 'public.events_template');
SELECT partman.create_parent('public.nums', 'id', p_interval => '1000', $native);
SELECT partman.create_parent('public.deep', 'id', p_interval => '100', $native, p_premake => 1);
SELECT partman.create_sub_parent('public.deep', 'at', p_interval => '$month', $native, p_premake => 1, $check => 'yes');
SELECT partman.create_parent('public.epoch', 'at', p_interval => '1 week', $native, p_epoch => 'milliseconds');
SELECT partman.create_parent('public.busy', 'at', p_interval => '1 month', $native);
SELECT partman.create_parent('public.moved', 'at', p_interval => '1 month', $native);
UPDATE partman.part_config SET retention = '30 days', retention_keep_table = false, retention_keep_index = false, premake = 5, inherit_privileges = true
	WHERE parent_table = 'public.Events';
UPDATE partman.part_config SET automatic_maintenance = 'off', retention = '5000', retention_schema = 'attic' WHERE parent_table = 'public.nums';
UPDATE partman.part_config SET undo_in_progress = true WHERE parent_table = 'public.busy';
UPDATE partman.part_config SET retention = '1 year', retention_schema = 'other_attic' WHERE parent_table = 'public.moved';
UPDATE partman.part_config_sub SET sub_retention = '1 year', sub_retention_keep_table = false WHERE sub_parent = 'public.deep';
INSERT INTO "Events" SELECT g, now() - g * interval '1 hour', 'v' FROM generate_series(1, 48) g;
INSERT INTO model TABLE "Events";
SQL
my $tables = q{SELECT string_agg(c.oid::regclass || ' ' || c.relfilenode || ' ' || coalesce(pg_get_expr(c.relpartbound, c.oid), ''), E'\n' ORDER BY c.oid)
	FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')};
my $before = $node->safe_psql('postgres', $tables);
my $theirs = q{SELECT string_agg(to_jsonb(c)::text, E'\n' ORDER BY parent_table) FROM partman.part_config c};
my $configured = $node->safe_psql('postgres', $theirs);

# ---------- a dry run ----------

my $said = steps(q{keeper.import_pg_partman()});
like($said, qr/^public\.Events\|adopt\|at every 1 day, 5 ahead, names like \{parent\}_p/m, 'a dry run says what is adopted');
like($said, qr/^public\.Events\|carry\|retention 30 days, by the real upper bounds of the partitions$/m, 'what is carried over');
like($said, qr/^public\.Events\|carry\|template table public\.events_template$/m, 'templates too');
like($said, qr/^public\.Events\|differ\|its time zone is part of the configuration now/m, 'and what differs');
like($said, qr/^public\.moved\|differ\|nothing is retired: schema "other_attic" does not belong/m, 'what would do harm is known beforehand');
unlike($said, qr/^public\.moved\|carry\|retention/m, 'and not promised');
like($said, qr/^public\.busy\|skip\|undo_partition\(\) is at work on it$/m, 'what is left alone, with the reason');
like($said, qr/^public\.deep\|carry\|new partitions become sets of their own$/m, 'sub-sets');
like($said, qr/^public\.deep_p0\|adopt\|at every 1 mon/m, 'each of them');
is($node->safe_psql('postgres', $tables), $before, 'no table has changed');
is($node->safe_psql('postgres', $theirs), $configured, 'nor has the configuration');
is($node->safe_psql('postgres', 'SELECT count(*) FROM keeper.part_config'), '0', 'nothing is managed');

# ---------- taking over ----------

$said = steps(q{keeper.import_pg_partman('partman', false)});
like($said, qr/^public\.moved\|differ\|nothing is retired: schema "other_attic" does not belong to the owner of table "moved"$/m,
	'what could do harm is not carried over, and said');
is($node->safe_psql('postgres', $tables), $before, 'no table and no file has changed: neither a row nor a partition');
is($node->safe_psql('postgres', q{SELECT string_agg(parent_table, ' ' ORDER BY parent_table) FROM partman.part_config WHERE automatic_maintenance <> 'off'}),
	'public.busy', 'pg_partman does not maintain them any more');
is($node->safe_psql('postgres', q{SELECT partition_interval, premake, retention, retention_keep_table, retention_keep_index, inherit_privileges, automatic_maintenance,
	template_table FROM keeper.part_config WHERE parent_table = 'public."Events"'::regclass}), '1 day|5|30 days|f|f|t|on|events_template', 'settings');
is($node->safe_psql('postgres', q{SELECT partition_interval, retention, retention_schema, automatic_maintenance FROM keeper.part_config
	WHERE parent_table = 'nums'::regclass}), '1000|5000|attic|off', 'of ids');
is($node->safe_psql('postgres', q{SELECT retention IS NULL, retention_schema IS NULL FROM keeper.part_config WHERE parent_table = 'moved'::regclass}), 't|t',
	'no retention where it could not be kept');
is($node->safe_psql('postgres', q{SELECT epoch, partition_interval FROM keeper.part_config WHERE parent_table = 'epoch'::regclass}), 'milliseconds|7 days', 'epochs');
is($node->safe_psql('postgres', q{SELECT sub_control, sub_partition_interval, sub_premake, sub_retention, sub_retention_keep_table
	FROM keeper.part_config_sub WHERE sub_parent = 'deep'::regclass}), 'at|1 month|1|1 year|f', 'sub-sets');
is($node->safe_psql('postgres', q{SELECT count(*) = (SELECT count(*) - 1 FROM partman.part_config) FROM keeper.part_config}), 't', 'all of them');
like(steps(q{keeper.import_pg_partman('partman', false)}), qr/^public\.Events\|skip\|partmgr manages it already$/m, 'once only');
my (undef, undef, $own) = $node->psql('postgres', q{SELECT keeper.import_pg_partman('keeper')});
like($own, qr/ERROR:  schema "keeper" holds the configuration of partmgr itself/, 'not from itself');

# what is made later is like what is there, whoever makes it from whatever session
$node->safe_psql('postgres', q{SET client_min_messages = error; SET timezone = 'Asia/Tokyo'; UPDATE keeper.part_config SET premake = 2 WHERE parent_table = 'deep'::regclass;
	INSERT INTO deep VALUES (150, now());
	SELECT keeper.run_maintenance('deep')});
is($node->safe_psql('postgres', q{SELECT count(*), count(DISTINCT (time_zone, partition_interval)) FROM keeper.part_config WHERE parent_table::text ~ '^deep_p'}),
	'4|1', 'a sub-set that is made later has the calendar of the others');
is($node->safe_psql('postgres', q{SELECT count(DISTINCT regexp_replace(regexp_replace(c.relname, '^deep_p[0-9]+', ''), '[0-9]', '9', 'g')) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
	WHERE i.inhparent::regclass::text ~ '^deep_p' AND c.relname !~ 'default'}), '1', 'and names like theirs');

# it goes on as it was
$node->safe_psql('postgres', 'SET client_min_messages = error; CALL keeper.run_maintenance_proc()');
is($node->safe_psql('postgres', q{SELECT count(*) FROM keeper.partition_health_summary() WHERE status NOT IN ('HEALTHY', 'CLEANUP_NEEDED', 'PAUSED')}), '0', 'all are well')
  or diag($node->safe_psql('postgres', 'SELECT parent_table, status, problems FROM keeper.partition_health_summary()'));
is($node->safe_psql('postgres', q{SELECT count(*) FROM "Events" e FULL JOIN model m USING (id) WHERE e IS DISTINCT FROM m::text::"Events"}), '0', 'no row is lost');
is($node->safe_psql('postgres', q{SELECT count(*) FROM keeper.list_partitions('public."Events"'::regclass) WHERE state = 'future'}), '5', 'partitions ahead');
is($node->safe_psql('postgres', q{SELECT count(*) FROM (SELECT regexp_replace(partition_name::text, '[0-9]', '9', 'g') FROM keeper.list_partitions('public."Events"'::regclass)
	WHERE state <> 'default' GROUP BY 1) x}), '1', 'their names are like those of the others');

# ---------- giving back ----------

like(steps('keeper.undo_import_pg_partman()'), qr/^public\.Events\|return\|automatic_maintenance of pg_partman is on again/m, 'and it can be undone');
is($node->safe_psql('postgres', $theirs), $configured, 'pg_partman\'s configuration is what it was');
is($node->safe_psql('postgres', 'SELECT count(*) FROM keeper.part_config'), '0', 'partmgr has forgotten them');
is($node->safe_psql('postgres', 'SELECT count(*) FROM keeper.part_config_sub'), '0', 'all of it');
is(steps('keeper.undo_import_pg_partman()'), '', 'once only');
my $count = q{SELECT count(*) FROM pg_inherits WHERE inhparent = 'public."Events"'::regclass};
my $existing = $node->safe_psql('postgres', $count);
$node->safe_psql('postgres', q{SET client_min_messages = error; UPDATE partman.part_config SET premake = 8 WHERE parent_table = 'public.Events';
	INSERT INTO "Events" SELECT 100, now() + interval '3 days'; SELECT partman.run_maintenance('public.Events')});
cmp_ok($node->safe_psql('postgres', $count), '>', $existing, 'pg_partman goes on with the partitions that partmgr has made');

# ---------- rights, and copies of the configuration ----------

$node->safe_psql('postgres', <<'SQL');
CREATE ROLE mallory;
GRANT USAGE ON SCHEMA keeper, partman TO mallory, app;
GRANT SELECT ON ALL TABLES IN SCHEMA partman TO mallory;
CREATE SCHEMA lure AUTHORIZATION mallory;
CREATE SCHEMA saved AUTHORIZATION app;
SET ROLE mallory;
CREATE TABLE lure.part_config AS TABLE partman.part_config;
CREATE TABLE lure.part_config_sub AS TABLE partman.part_config_sub;
RESET ROLE;
SET ROLE app;
CREATE TABLE saved.part_config AS TABLE partman.part_config;
CREATE TABLE saved.part_config_sub AS TABLE partman.part_config_sub;
SQL
like($node->safe_psql('postgres', q{SET ROLE mallory; SELECT parent_table, step, note FROM keeper.import_pg_partman()}),
	qr/^public\.Events\|skip\|you are not its owner$/m, 'who does not own a table cannot have it imported');
my ($ret, $out, $err) = $node->psql('postgres', q{SET ROLE app; SELECT keeper.import_pg_partman('lure')});
like($err, qr/ERROR:  table lure\.part_config belongs to somebody else/, 'a table of somebody else is not believed');
($ret, $out, $err) = $node->psql('postgres', q{SELECT keeper.import_pg_partman('keeper_')});
like($err, qr/ERROR:  schema "keeper_" does not exist/, 'there is no such schema');
($ret, $out, $err) = $node->psql('postgres', q{SELECT keeper.import_pg_partman('attic')});
like($err, qr/ERROR:  there is no configuration of pg_partman in schema "attic"/, 'there is no pg_partman');
$node->safe_psql('postgres', 'CREATE VIEW attic.part_config AS TABLE partman.part_config');
($ret, $out, $err) = $node->psql('postgres', q{SELECT keeper.import_pg_partman('attic')});
like($err, qr/ERROR:  attic\.part_config is not a table/, 'nor is a view');

# rows that lack what pg_partman's constraints ask for
$node->safe_psql('postgres', <<'SQL');
SET ROLE app;
CREATE TABLE incomplete (id int NOT NULL) PARTITION BY RANGE (id);
INSERT INTO saved.part_config (parent_table) VALUES (NULL), ('public.incomplete');
SQL
like($node->safe_psql('postgres', q{SET ROLE app; SELECT step, note FROM keeper.import_pg_partman('saved') WHERE parent_table IN ('', 'public.incomplete')}),
	qr/^skip\|its row lacks control, partition_interval or premake\nskip\|its row lacks/, 'incomplete rows are skipped');

# pg_partman can be dropped: copies of its tables do as well, and partmgr can have its schema
$node->safe_psql('postgres', <<'SQL');
SET client_min_messages = error;
DROP VIEW attic.part_config;
DROP EXTENSION pg_partman;
DROP EXTENSION partmgr;
CREATE EXTENSION partmgr SCHEMA partman;
GRANT USAGE ON SCHEMA partman TO app;
SET ROLE app;
SELECT partman.import_pg_partman('saved', false);
SQL
is($node->safe_psql('postgres', q{SELECT premake FROM partman.part_config WHERE parent_table = 'public.Events'}), '8',
	'a copy of the configuration is imported, by the owner of the tables');

$node->stop;
done_testing();
