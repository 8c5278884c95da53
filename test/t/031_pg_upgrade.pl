# pg_upgrade carries configuration, state, log and partitions over, and the
# worker goes on with the sets: nothing is suspended, as it is after a restore.
# From the server under test to itself, and from an older one if there is one
# beside it.

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
	'SELECT to_jsonb(d) FROM partman.part_detached d ORDER BY lower_raw',
	'SELECT to_jsonb(h) FROM partman.part_hold h ORDER BY id',
	'SELECT to_jsonb(j) FROM partman.part_job j ORDER BY id',
	'SELECT p.* FROM partman.list_partitions() p ORDER BY p.parent_table::text COLLATE "C", p.partition_name::text COLLATE "C"',
	'SELECT parent_table, status, problems FROM partman.partition_health_summary() ORDER BY parent_table::text COLLATE "C"',
	"SELECT count(*), sum(id) FROM $weird");
my $options = `pg_upgrade --help`;

chdir($PostgreSQL::Test::Utils::tmp_check) or die "cannot change to $PostgreSQL::Test::Utils::tmp_check: $!";

# upgrade(OLD, NEW, OLD_BINDIR): what the new cluster said against it, '' if
# nothing
sub upgrade
{
	my ($old, $new, $from) = @_;
	my @command = ('pg_upgrade', '-d', $old->data_dir, '-D', $new->data_dir, '-b', $from, '-B', $bin,
		'-s', $new->host, '-p', $old->port, '-P', $new->port);

	push @command, '--no-sync' if $options =~ /--no-sync/;
	return '' if run_log([@command]);

	my @logs = sort glob($new->data_dir . '/pg_upgrade_output.d/*/log/pg_upgrade_dump_*.log');
	return join(', ', map { slurp_file($_) =~ /error: (.*)/ ? $1 : () } @logs) || 'pg_upgrade failed';
}

# Can core upgrade a table with a hand-made partition, with nothing of ours in
# the cluster?  Returns what it says against it, '' if nothing.
sub control
{
	my %opt = @_;
	my $old = new_node('hand_old', preload => 0, %opt);
	my $new = new_node('hand_new', preload => 0, start => 0);

	$old->safe_psql('postgres', <<'SQL');
CREATE TABLE hand (id int) PARTITION BY RANGE (id);
CREATE TABLE hand_1 PARTITION OF hand FOR VALUES FROM (0) TO (10);
SQL
	$old->stop;
	return upgrade($old, $new, $opt{old} ? old_bindir() : $bin);
}

# carry_over(OLD, %opt): all tests of an upgrade of that node
sub carry_over
{
	my ($old, %opt) = @_;
	my $new = new_node($old->name . '_new', conf => "partmgr.enabled = off\n", start => 0);

	$old->safe_psql('postgres', <<SQL);
CREATE ROLE owner NOLOGIN;
CREATE SCHEMA partman;
CREATE EXTENSION partmgr SCHEMA partman;
GRANT USAGE ON SCHEMA partman TO PUBLIC;
CREATE SCHEMA "My.S" AUTHORIZATION owner;
GRANT ALL ON SCHEMA public TO owner;
CREATE TABLE back_p20210101 ();
SET ROLE owner;
CREATE TABLE $weird (id bigint, at timestamptz NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
SELECT partman.create_parent('$weird'::regclass, 'at', '1 day', p_retention => '30 days', p_time_zone => 'Asia/Kolkata');
INSERT INTO $weird SELECT n, now() FROM generate_series(1, 100) n;
CREATE TABLE ids (id int) PARTITION BY RANGE (id);
SELECT partman.create_parent('ids', 'id', '100', p_control_not_null => false);
-- one of the older partitions cannot be made yet
CREATE TABLE back (at date NOT NULL) PARTITION BY RANGE (at);
SELECT partman.create_parent('back', 'at', '1 year', p_start_partition => '2020-01-01');
-- retention has begun with one partition, and may not with another; work waits
CREATE TABLE held (id int PRIMARY KEY) PARTITION BY RANGE (id);
SELECT partman.create_parent('held', 'id', '10', p_retention => '20', p_retention_keep_table => false, p_default_table => false);
INSERT INTO held SELECT generate_series(0, 39);
UPDATE partman.part_config SET retention_grace = '1 year' WHERE parent_table = 'held'::regclass;
SELECT partman.hold_partition('held', '12', '13', 'case 4711');
SELECT partman.queue_reindex_partitions('held');
RESET ROLE;
SELECT partman.run_maintenance();
SQL
	my @before = map { $old->safe_psql('postgres', "SET timezone = 'UTC'; $_") } @same;
	my $count = $old->safe_psql('postgres', 'SELECT count(*) FROM pg_inherits');
	isnt($before[0], '', 'there is a configuration to carry over');
	isnt($before[2], '', 'and a log');
	like($before[1], qr/"backfill": "2020-01-01/, 'and a partition that is still to be made');
	like($before[3], qr/^[^\n]*"partition": "held_p0"[^\n]*$/, 'and one that is detached');
	like($before[4], qr/4711/, 'and a hold');
	like($before[5], qr/"state": "queued"/, 'and a job');
	$old->stop;

	# Of two servers one can be too old for the other: a minor release can bring
	# something that pg_dump hands on (15.20: the option pg_attver of columns) to
	# majors whose minor release of that day has it, too.
	my $said = upgrade($old, $new, $opt{old} ? old_bindir() : $bin);
	my $core = $said ? control(%opt) : '';
	if ($core)
	{
	  SKIP:
		{
			diag "not tested: core cannot upgrade partitioned tables between these servers: $core";
			skip $core, 1;
		}
		return;
	}
	is($said, '', 'pg_upgrade') or die 'pg_upgrade failed';

	$new->start;
	my @after = map { $new->safe_psql('postgres', "SET timezone = 'UTC'; $_") } @same;
	is($after[$_], $before[$_], $same[$_]) foreach 0 .. $#same;
	is($new->safe_psql('postgres', 'SELECT count(*) FROM pg_inherits'), $count, 'all partitions and their indexes');
	is( $new->safe_psql('postgres', "SELECT count(*) FROM partman.partition_health_summary() WHERE status = 'RESTORED'"),
		'0', 'nothing is suspended after an upgrade');
	is($new->safe_psql('postgres', q{SELECT count(*) FROM pg_event_trigger WHERE evtname = 'partmgr_forget'}),
		'1', 'the event trigger is there');

	# and the worker goes on
	$new->safe_psql('postgres', 'DROP TABLE back_p20210101');
	$new->safe_psql('postgres', "UPDATE partman.part_config SET premake = 6 WHERE parent_table = '$weird'::regclass");
	$new->append_conf('postgresql.conf', "partmgr.enabled = on\npartmgr.interval = '1s'\n");
	$new->reload;
	ok( $new->poll_query_until('postgres', qq{SELECT count(*) = 6 FROM partman.list_partitions('$weird'::regclass)
			WHERE state = 'future'}),
		'the worker maintains the sets of the new cluster');
	ok( $new->poll_query_until('postgres', q{SELECT count(*) = 1 FROM partman.list_partitions('back')
			WHERE partition_name::text = 'back_p20210101'}),
		'and makes what was left to make');
	$new->safe_psql('postgres', q{
		INSERT INTO ids VALUES (250);
		SELECT partman.run_maintenance('ids')});
	is( $new->safe_psql('postgres', q{SELECT max(upper_id) FROM partman.list_partitions('ids')}),
		'700', 'an id set goes on from its highest key');
	ok($new->poll_query_until('postgres', q{SELECT state = 'done' FROM partman.part_jobs}), 'the job is done');
	is( $new->safe_psql('postgres', q{
			SELECT partman.hold_partition('held', '0', '5', 'new');
			SELECT partman.reattach_partition('held_p0');
			SELECT min(id) FROM held}),
		"2\n\n0", 'the numbers of holds go on, and what was detached can be put back');
	is($new->safe_psql('postgres', q{SELECT DISTINCT status FROM partman.partition_health_summary()}),
		'HEALTHY', 'all is well in the end');
	$new->stop;
}

my $same = new_node('same', conf => "partmgr.enabled = off\n");

# Since 18 a library outside of $libdir serves CREATE EXTENSION, but not
# pg_upgrade, which insists on LOAD '$libdir/...'.
my ($ret, $out, $err) = $same->psql('postgres', q{LOAD '$libdir/partmgr'});
if ($ret != 0)
{
	$same->stop;
	plan skip_all => "pg_upgrade finds no library outside of \$libdir: $err";
}
subtest 'to the same server' => sub { carry_over($same) };

SKIP:
{
	skip 'no older server beside this one', 1 unless defined old_bindir();
	my $older = new_node('older', conf => "partmgr.enabled = off\n", old => 1);
	subtest 'from ' . old_bindir() => sub { carry_over($older, old => 1) };
}
done_testing();
