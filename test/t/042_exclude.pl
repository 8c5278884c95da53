# A large default partition is not read under a lock: its range is excluded by a
# constraint first, by maintenance and by rewrites; killed at each step, and with
# rows that come in between.

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
partmgr.max_default_scan = 0
restart_after_crash = on
synchronous_commit = on
log_min_messages = debug1
CONF
plan skip_all => 'needs a debug build' unless is_debug_build($node);
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION partmgr;
CREATE TABLE model ();
CREATE VIEW remains AS SELECT conname, conrelid::regclass FROM pg_constraint WHERE conname LIKE 'partmgr\_%' AND contype = 'c';
SQL

# rows far below in the default
sub make
{
	my ($premake) = @_;

	$node->safe_psql('postgres', <<"SQL");
SET client_min_messages = warning;
DROP TABLE IF EXISTS ev;
CREATE TABLE ev (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE ev_p100 PARTITION OF ev FOR VALUES FROM (100) TO (110);
INSERT INTO ev VALUES (100);
SELECT create_parent('ev', 'id', '10', p_premake => $premake);
UPDATE part_config SET drain_default = false WHERE parent_table = 'ev'::regclass;
INSERT INTO ev SELECT generate_series(-5000, -1);
SQL
	return;
}

sub ahead
{
	my ($premake) = @_;

	$node->safe_psql('postgres', "UPDATE part_config SET premake = $premake WHERE parent_table = 'ev'::regclass");
	return;
}

# the partitions are there, made without reading the default, and nothing else is
sub is_ahead
{
	my ($n, $position, $what) = @_;

	ok( $node->poll_query_until('postgres', qq{SELECT count(*) = $n FROM list_partitions('ev') WHERE state = 'future'}), "$what: $n partitions ahead")
	  or diag($node->safe_psql('postgres', q{SELECT action, message FROM part_log ORDER BY id DESC LIMIT 5}));
	ok($node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM remains'), "$what: no constraint is left");
	my $log = log_since($node, $position);
	unlike($log, qr/DEBUG:  verifying table "ev_default".*\n.*CONTEXT:  .*(ATTACH|PARTITION OF)/, "$what: the default was not read for it");
	return;
}

make(2);
my $position = log_position($node);
ahead(12);
is_ahead(12, $position, 'maintenance');
my @spared = log_since($node, $position) =~ /updated partition constraint for default partition "ev_default" is implied by existing constraints/g;
is(scalar @spared, 10, 'each of them was spared by the constraint');

# a small default is read as ever
$node->append_conf('postgresql.conf', "partmgr.max_default_scan = '1MB'");
$node->reload;
$position = log_position($node);
ahead(13);
ok($node->poll_query_until('postgres', q{SELECT count(*) = 13 FROM list_partitions('ev') WHERE state = 'future'}), 'a small default');
unlike(log_since($node, $position), qr/partmgr_excluded/, 'is not excluded from');
$node->append_conf('postgresql.conf', 'partmgr.max_default_scan = 0');
$node->reload;

# ---------- kill -9 ----------

foreach my $place (qw(exclude-validated step-before applied-create step-after))
{
	make(2);
	$position = log_position($node);
	killed_at($node, $place, sub { ahead(4) });
	is_ahead(4, $position, "killed at $place");
}

# ---------- rows meanwhile ----------

# of the range, before the constraint could keep them out: they are moved, as ever
make(2);
my $gate = close_gate($node, 'postgres', 'maintain-looked');
ahead(4);
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted}) or die;
$node->safe_psql('postgres', 'INSERT INTO ev VALUES (135)');
$gate->quit;
ok($node->poll_query_until('postgres', q{SELECT count(*) >= 4 FROM list_partitions('ev') WHERE state = 'future' OR state = 'current'}), 'a row of the range');
ok($node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM remains'), 'no constraint is left');
is($node->safe_psql('postgres', 'SELECT count(*) FROM ev WHERE id = 135'), '1', 'the row is there');

# what somebody has left
make(2);
$node->safe_psql('postgres', 'ALTER TABLE ev_default ADD CONSTRAINT partmgr_excluded CHECK (id < 0) NOT VALID');
ok($node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM remains'), 'a constraint that nobody needs is taken away');

# a set that will not be maintained any more
foreach my $end (q{UPDATE part_config SET automatic_maintenance = 'off' WHERE parent_table = 'ev'::regclass}, q{SELECT config_cleanup('ev')})
{
	make(2);
	$node->safe_psql('postgres', "BEGIN; ALTER TABLE ev_default ADD CONSTRAINT partmgr_excluded CHECK (id < 0) NOT VALID; $end; COMMIT");
	is($node->safe_psql('postgres', 'SELECT count(*) FROM remains'), '0', "$end: no constraint is left");
}

# ---------- rewrites ----------

my %orders = (
	split => q{split_partition('ev_p100', '5')},
	merge => q{merge_partitions('ev', '100', '120')},
	interval => q{change_interval('ev', '20', true)},
	compress => q{compress_partitions('ev', '1', p_method => 'pglz')});
foreach my $kind (sort keys %orders)
{
	make(2);
	$node->safe_psql('postgres', q{INSERT INTO ev VALUES (110), (119); DROP TABLE model; CREATE TABLE model AS TABLE ev});
	$position = log_position($node);
	$node->safe_psql('postgres', "SELECT $orders{$kind}");
	wait_ended($node);
	is(progress($node, 'state, message'), 'done|', "$kind: done");
	is_same($node, $kind);
	is($node->safe_psql('postgres', 'SELECT count(*) FROM remains'), '0', "$kind: no constraint is left");
	my $log = log_since($node, $position);
	unlike($log, qr/DEBUG:  verifying table "ev_default".*\n.*CONTEXT:  .*ATTACH/, "$kind: the default was not read");
	like($log, qr/updated partition constraint for default partition "ev_default" is implied/, "$kind: a constraint has spared it");
}
make(2);
my $steps = stop_at($node, "phase = 'apply'", sub { $node->safe_psql('postgres', "SELECT $orders{split}") });
is($node->safe_psql('postgres', q{SELECT count(*) FROM remains WHERE conrelid = 'ev_default'::regclass}), '1', 'a constraint on the default');
$node->safe_psql('postgres', 'SELECT cancel_rewrite((SELECT max(id) FROM rewrite_progress))');
$steps->go;
wait_state($node, "state = 'cancelled'", 'cancelled');
is($node->safe_psql('postgres', 'SELECT count(*) FROM remains'), '0', 'and it is gone');

$node->stop;
done_testing();
