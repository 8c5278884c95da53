# Somebody else between plan and step: a partition dropped, renamed, attached
# elsewhere or made again under the same name, a parent dropped; a disk that is
# full; a standby promoted in the middle.  What is not meant is left alone, and
# all goes on by itself.

use strict;
use warnings;

use Partmgr;
use PartmgrCrash;
use PartmgrWorker;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = crash_node('main', init => { allows_streaming => 1 });

# sets with partitions of ten ids from 0 on, the highest id is 69
my $make = <<'SQL';
CREATE PROCEDURE make(t text, d boolean DEFAULT false) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE %I (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)', t);
	PERFORM create_parent(t, 'id', '10', p_premake => 6, p_default_table => d, p_automatic_maintenance => 'off');
	EXECUTE format('INSERT INTO %I SELECT i, ''row '' || i FROM generate_series(0, 69) i', t);
	UPDATE part_config SET retention_keep_table = false, premake = 1, automatic_maintenance = 'on' WHERE parent_table = t::regclass;
END $$;
SQL
$node->safe_psql('postgres', "SET client_min_messages = warning; CREATE EXTENSION partmgr; $make");

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sub becomes
{
	my ($query, $expected, $what) = @_;

	ok($node->poll_query_until('postgres', $query, $expected), $what)
	  or diag("$query: " . sql($query) . "\n" . sql('SELECT * FROM part_log ORDER BY id DESC LIMIT 10; SELECT * FROM part_state'));
	return;
}

# does something while a worker stands at a place
sub meanwhile
{
	my ($begin, $place, $sql) = @_;
	my $gate = close_gate($node, 'postgres', $place);

	sql($begin);
	worker_waits($node, q{wait_event = 'advisory'}, $place);
	sql($sql);
	$gate->quit;
	return;
}

sub well
{
	my ($set, $what) = @_;

	becomes("SELECT status FROM partition_health_summary('$set')", 'HEALTHY', "$what: healthy");
	becomes("SELECT upkeep_failures FROM part_state WHERE parent_table = '$set'::regclass", '0', "$what: no failure is left");
	sql("UPDATE part_config SET automatic_maintenance = 'off' WHERE parent_table = '$set'");
	return;
}

my $retire = q{UPDATE part_config SET retention = '50' WHERE parent_table = '%s'};

# ---------- between the mark and the detach ----------

sql(q{CALL make('made')});
meanwhile(sprintf($retire, 'made'), 'upkeep-between-steps',
	q{DROP TABLE made_p0; CREATE TABLE made_p0 PARTITION OF made FOR VALUES FROM (1000) TO (1010); INSERT INTO made VALUES (25, 'x') ON CONFLICT DO NOTHING});
well('made', 'made again under the same name');
is(sql(q{SELECT range FROM list_partitions('made') WHERE partition_name = 'made_p0'::regclass}), q{FROM ('1000') TO ('1010')}, 'it is left alone');

sql(q{CALL make('renamed')});
meanwhile(sprintf($retire, 'renamed'), 'upkeep-between-steps', 'ALTER TABLE renamed_p0 RENAME TO old_one');
well('renamed', 'renamed');
becomes(q{SELECT to_regclass('old_one') IS NULL}, 't', 'it is retired under its new name');

sql(q{CALL make('gone')});
meanwhile(sprintf($retire, 'gone'), 'upkeep-between-steps', 'DROP TABLE gone_p0');
well('gone', 'dropped');

# retention is made longer, and the mark does not outlive that
sql(q{CALL make('longer')});
meanwhile(sprintf($retire, 'longer'), 'upkeep-between-steps',
	q{ALTER TABLE longer_p0 RENAME TO longer_first; UPDATE part_config SET retention = NULL WHERE parent_table = 'longer'});
becomes(q{SELECT count(*) FROM part_detached}, '0', 'no mark is left of what was not detached');
sql('ALTER TABLE longer DETACH PARTITION longer_first');
well('longer', 'retention longer in the middle');
is(sql('SELECT count(*) FROM longer_first'), '10', 'what somebody then detaches is his');

# ---------- before a plain detach ----------

sql(q{CALL make('plain', true)});
meanwhile(sprintf($retire, 'plain'), 'upkeep-before', 'ALTER TABLE plain_p0 RENAME TO plain_old');
well('plain', 'renamed before a plain detach');
becomes(q{SELECT to_regclass('plain_old') IS NULL}, 't', 'it is retired under its new name');

# ---------- between the detach and the drop ----------

my %between = (
	dropped => [ 'DROP TABLE dropped_p0', q{SELECT to_regclass('dropped_p0') IS NULL} ],
	moved => [ 'ALTER TABLE moved_p0 RENAME TO moved_old', q{SELECT to_regclass('moved_old') IS NULL} ],
	elsewhere => [ q{CREATE TABLE other (LIKE elsewhere INCLUDING ALL) PARTITION BY RANGE (id);
		ALTER TABLE other ATTACH PARTITION elsewhere_p0 FOR VALUES FROM (0) TO (10)}, 'SELECT count(*) = 10 FROM other' ],
	again => [ 'DROP TABLE again_p0; CREATE TABLE again_p0 (precious int); INSERT INTO again_p0 VALUES (1)', 'SELECT precious = 1 FROM again_p0' ],
	back => [ q{ALTER TABLE back ATTACH PARTITION back_p0 FOR VALUES FROM (0) TO (10); UPDATE part_config SET retention = NULL WHERE parent_table = 'back'},
		'SELECT count(*) = 70 FROM back' ]);
foreach my $set (sort keys %between)
{
	sql("CALL make('$set'); UPDATE part_config SET retention_grace = '1 day' WHERE parent_table = '$set'; " . sprintf($retire, $set));
	becomes("SELECT count(*) FROM list_partitions('$set') WHERE state = 'detached'", '1', "$set: detached");
	meanwhile("UPDATE part_detached SET drop_after = now(); UPDATE part_state SET next_upkeep = now() WHERE parent_table = '$set'::regclass; SELECT wake_worker()", 'upkeep-before', $between{$set}[0]);
	well($set, "$set between detach and drop");
	becomes($between{$set}[1], 't', "$set: what is not meant is left alone");
}

# ---------- a parent dropped in the middle ----------

foreach my $place ('upkeep-between-steps', 'upkeep-toplevel-done')
{
	sql(q{CALL make('parent')});
	meanwhile(sprintf($retire, 'parent'), $place, 'DROP TABLE parent');
	becomes(q{SELECT (SELECT count(*) FROM part_config WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = parent_table)) +
		(SELECT count(*) FROM part_state WHERE parent_table NOT IN (SELECT parent_table FROM part_config))}, '0', "parent dropped at $place: nothing is left");
	sql('DROP TABLE IF EXISTS parent_p0');
}
sql(q{CALL make('after')});
sql(sprintf($retire, 'after'));
becomes(q{SELECT to_regclass('after_p0') IS NULL}, 't', 'the next set is maintained');
well('after', 'after a dropped parent');

# ---------- a full disk ----------

SKIP:
{
	my $disk = $ENV{PARTMGR_SMALL_DISK} // '';

	skip 'no small disk could be mounted (needs root)', 4 if $disk eq '';
	mkdir "$disk/space";
	sql("CREATE TABLESPACE small LOCATION '$disk/space'");
	sql(q{CALL make('disk'); ALTER TABLE disk SET TABLESPACE small; ALTER INDEX disk_pkey SET TABLESPACE small});
	open(my $full, '>', "$disk/full") or die;
	$full->autoflush(1);
	1 while print {$full} 'x' x 4096;
	1 while print {$full} 'x';
	sql(q{UPDATE part_config SET premake = 3 WHERE parent_table = 'disk'});
	becomes(q{SELECT last_sqlstate FROM part_state WHERE parent_table = 'disk'::regclass}, '53100', 'a full disk is recorded');
	sql(q{CALL make('beside'); UPDATE part_config SET premake = 3 WHERE parent_table = 'beside'});
	becomes(q{SELECT partitions_ahead FROM partition_health_summary('beside')}, '3', 'other sets go on');
	is(sql(q{SELECT count(*) FROM pg_class WHERE relname LIKE 'disk_p%' AND relkind = 'r' AND NOT relispartition}), '0', 'nothing is left half made');
	close $full;
	truncate "$disk/full", 0;
	unlink "$disk/full";
	well('disk', 'there is room again');
	is(sql(q{SELECT count(*) FROM pg_class c JOIN pg_tablespace t ON t.oid = reltablespace WHERE relname ~ '^disk_p[0-9]+$' AND spcname = 'small'}), '3', 'the partitions are made where they were to be');
	sql(q{DROP TABLE disk, beside; DROP TABLESPACE small});
}

# ---------- a standby promoted in the middle ----------

# one set has only its mark, another a detach that waits for a reader, a third
# one is between the detach and the drop
sql(q{CALL make('waits'); CALL make('mark'); CALL make('drop', true)});
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
my $gate = close_gate($node, 'postgres', 'upkeep-between-steps');
sql(sprintf($retire, 'mark'));
worker_waits($node, q{wait_event = 'advisory'}, 'the mark');
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', q{SELECT count(*) FROM part_detached}), '1', 'the mark is on the standby');
sql('UPDATE mark SET v = v WHERE id = 5');
$gate->quit;
becomes(q{SELECT to_regclass('mark_p0') IS NULL}, 't', 'the primary goes on');
my $reader = $node->background_psql('postgres');
$reader->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM waits');
sql(sprintf($retire, 'waits'));
becomes(q{SELECT count(*) FROM pg_inherits WHERE inhdetachpending}, '1', 'a detach waits');
sql(q{INSERT INTO waits SELECT generate_series(70, 75)});
$node->wait_for_catchup($standby);
$node->stop('immediate');
forget_session($reader);
$node = $standby;
$node->promote;
becomes(q{SELECT to_regclass('waits_p0') IS NULL AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhdetachpending)}, 't', 'the new primary finalizes and drops');
is(sql('SELECT count(*), min(id), max(id) FROM waits'), '56|20|75', 'and has all rows');
sql(sprintf($retire, 'drop'));
becomes(q{SELECT to_regclass('drop_p0') IS NULL}, 't', 'and retires others');
well($_, "$_ after the promotion") foreach 'waits', 'mark', 'drop';

$node->stop;
done_testing();
