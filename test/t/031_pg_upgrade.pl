# pg_upgrade carries configuration, state, log and partitions over, and the
# worker goes on with the sets: nothing is suspended, as it is after a restore.

use strict;
use warnings;

use Partmgr;
use PostgreSQL::Test::Utils;
use Test::More;

chomp(my $bin = `pg_config --bindir`);
plan skip_all => "no pg_upgrade in $bin" unless -x "$bin/pg_upgrade";

my $weird = '"My.S"."we""ird.Näme"';
my @same = (
	'SELECT to_jsonb(c) FROM partman.part_config c ORDER BY parent_table::text COLLATE "C"',
	'SELECT to_jsonb(s) FROM partman.part_state s ORDER BY parent_table::text COLLATE "C"',
	'SELECT to_jsonb(l) FROM partman.part_log l ORDER BY id',
	'SELECT p.* FROM partman.list_partitions() p ORDER BY p.parent_table::text COLLATE "C", p.partition_name::text COLLATE "C"',
	'SELECT parent_table, status, problems FROM partman.partition_health_summary() ORDER BY parent_table::text COLLATE "C"',
	"SELECT count(*), sum(id) FROM $weird");

my $old = new_node('old', conf => "partmgr.enabled = off\n");

# Since 18 a library outside of $libdir serves CREATE EXTENSION, but not
# pg_upgrade, which insists on LOAD '$libdir/...'.
my ($ret, $out, $err) = $old->psql('postgres', q{LOAD '$libdir/partmgr'});
if ($ret != 0)
{
	$old->stop;
	plan skip_all => "pg_upgrade finds no library outside of \$libdir: $err";
}
my $new = new_node('new', conf => "partmgr.enabled = off\n", start => 0);

$old->safe_psql('postgres', <<SQL);
CREATE ROLE owner NOLOGIN;
CREATE SCHEMA partman;
CREATE EXTENSION partmgr SCHEMA partman;
GRANT USAGE ON SCHEMA partman TO PUBLIC;
CREATE SCHEMA "My.S" AUTHORIZATION owner;
GRANT ALL ON SCHEMA public TO owner;
SET ROLE owner;
CREATE TABLE $weird (id bigint, at timestamptz NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
SELECT partman.create_parent('$weird'::regclass, 'at', '1 day', p_retention => '30 days', p_time_zone => 'Asia/Kolkata');
INSERT INTO $weird SELECT n, now() FROM generate_series(1, 100) n;
CREATE TABLE ids (id int) PARTITION BY RANGE (id);
SELECT partman.create_parent('ids', 'id', '100', p_control_not_null => false);
RESET ROLE;
SELECT partman.run_maintenance();
SQL
my @before = map { $old->safe_psql('postgres', "SET timezone = 'UTC'; $_") } @same;
my $count = $old->safe_psql('postgres', 'SELECT count(*) FROM pg_inherits');
isnt($before[0], '', 'there is a configuration to carry over');
isnt($before[2], '', 'and a log');
$old->stop;

chdir($PostgreSQL::Test::Utils::tmp_check) or die "cannot change to $PostgreSQL::Test::Utils::tmp_check: $!";
my @command = ('pg_upgrade', '-d', $old->data_dir, '-D', $new->data_dir, '-b', $bin, '-B', $bin,
	'-s', $new->host, '-p', $old->port, '-P', $new->port);
push @command, '--no-sync' if `pg_upgrade --help` =~ /--no-sync/;
ok(run_log([@command]), 'pg_upgrade') or die 'pg_upgrade failed';

$new->start;
my @after = map { $new->safe_psql('postgres', "SET timezone = 'UTC'; $_") } @same;
is($after[$_], $before[$_], $same[$_]) foreach 0 .. $#same;
is($new->safe_psql('postgres', 'SELECT count(*) FROM pg_inherits'), $count, 'all partitions and their indexes');
is( $new->safe_psql('postgres', "SELECT count(*) FROM partman.partition_health_summary() WHERE status = 'RESTORED'"),
	'0', 'nothing is suspended after an upgrade');
is($new->safe_psql('postgres', q{SELECT count(*) FROM pg_event_trigger WHERE evtname = 'partmgr_forget'}),
	'1', 'the event trigger is there');

# and the worker goes on
$new->safe_psql('postgres', "UPDATE partman.part_config SET premake = 6 WHERE parent_table = '$weird'::regclass");
$new->append_conf('postgresql.conf', "partmgr.enabled = on\npartmgr.interval = '1s'\n");
$new->reload;
ok( $new->poll_query_until('postgres', qq{SELECT count(*) = 6 FROM partman.list_partitions('$weird'::regclass)
		WHERE state = 'future'}),
	'the worker maintains the sets of the new cluster');

$new->stop;
done_testing();
