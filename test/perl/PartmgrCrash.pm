# PartmgrCrash.pm: what the crash tests in test/long share: sets that live, with
# writers that never pause and a reader, and the question whether all is whole.
#
#	my $node = crash_node('main');
#	make_scene($node);
#	start_clients($node);
#	...								# whatever may happen to a server
#	stop_clients();
#	is_whole($node, 'after all that');
#
# A writer writes down the id of each row whose commit was acknowledged.  He
# takes a lost connection as it comes and connects again; any other error he
# meets is a failure of the test.

package PartmgrCrash;

use strict;
use warnings;

use Exporter 'import';
use Partmgr;
use PartmgrWorker;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(crash_node make_scene start_clients stop_clients is_whole
  heals gate_at hold_up_detach forget_session worker_waits restart_after);

my @live = qw(ev wd arc);
my ($dir, @clients);

# a node that starts again after a crash
sub crash_node
{
	my ($name, %opt) = @_;

	my $conf = delete $opt{conf} // '';

	return new_node($name, %opt, conf => <<"CONF");
partmgr.interval = '1s'
synchronous_commit = on
restart_after_crash = on
log_statement = none
max_worker_processes = 20
$conf
CONF
}

# Three sets that rows flow through, each retired in another way (concurrently;
# plainly, because of a default partition; asking an archive function), and one
# at rest, whose retention the tests change.
sub make_scene
{
	my ($node) = @_;

	$node->safe_psql('postgres', <<'SQL');
SET client_min_messages = warning;
CREATE EXTENSION partmgr;
CREATE FUNCTION archive(parent regclass, partition regclass, lower text, upper text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('INSERT INTO public.archived SELECT id FROM %s ON CONFLICT DO NOTHING', partition);
	RETURN 'drop';
END $$;
CREATE TABLE archived (id bigint PRIMARY KEY);
CREATE PROCEDURE live(t text, d boolean, more text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE SEQUENCE %I', t || '_ids');
	EXECUTE format('CREATE TABLE %I (id bigint PRIMARY KEY, w int) PARTITION BY RANGE (id)', t);
	PERFORM create_parent(t, 'id', '200', p_premake => 25, p_default_table => d);
	EXECUTE format('INSERT INTO %I VALUES (nextval(%L))', t, t || '_ids');
	EXECUTE format('UPDATE part_config SET retention = ''1000'', retention_keep_table = false %s WHERE parent_table = %L::regclass', more, t);
END $$;
CALL live('ev', false, '');
CALL live('wd', true, '');
CALL live('arc', false, ', archive_function = ''public.archive''');
CREATE SCHEMA attic;
CREATE TABLE rest (id int PRIMARY KEY) PARTITION BY RANGE (id);
SELECT create_parent('rest', 'id', '10', p_premake => 6, p_default_table => false);
INSERT INTO rest SELECT generate_series(0, 69);
SQL
	return;
}

# runs a shell script as long as the clients are to run
sub client
{
	my ($script) = @_;
	my $pid = fork();

	die "cannot fork: $!" unless defined $pid;
	if ($pid == 0)
	{
		exec('bash', '-c', "while [ -d $dir ] && [ ! -e $dir/stop ]; do $script; sleep 0.05; done 2>/dev/null");
		exit 1;
	}
	push @clients, $pid;
	return;
}

sub start_clients
{
	my ($node) = @_;
	my $psql = "psql -XqAt -d '" . $node->connstr('postgres') . "'";

	$dir //= PostgreSQL::Test::Utils::tempdir();
	unlink "$dir/stop";
	foreach my $table (@live)
	{
		my $insert = "INSERT INTO $table SELECT nextval('${table}_ids'), 1 FROM pg_sleep(0.004) RETURNING id;";

		client("for i in {1..200}; do echo \"$insert\"; done | $psql >>$dir/$table.acked 2>>$dir/$table.errors");
	}
	client("$psql -c 'BEGIN ISOLATION LEVEL REPEATABLE READ' -c 'SELECT count(*) FROM ev' -c 'SELECT pg_sleep(1)' -c COMMIT >/dev/null 2>&1; sleep 0.5");
	return;
}

sub stop_clients
{
	append_to_file("$dir/stop", '');
	waitpid($_, 0) foreach @clients;
	@clients = ();
	return;
}

# also after a failure nobody stays behind
END
{
	my $status = $?;

	stop_clients() if @clients;
	$? = $status;
}

# Waits until all sets are well again by themselves.
sub heals
{
	my ($node, $what) = @_;

	ok( $node->poll_query_until('postgres', q{
			SELECT (SELECT bool_and(status = 'HEALTHY') FROM partition_health_summary())
				AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhdetachpending)
				AND NOT EXISTS (SELECT FROM maintenance_plan())}),
		"$what: everything is well again without anybody's help")
	  or diag($node->safe_psql('postgres',
			q{SELECT parent_table, status, problems FROM partition_health_summary();
			SELECT parent_table, step, partition_name, reason FROM maintenance_plan();
			SELECT * FROM part_state; SELECT * FROM part_detached;
			SELECT * FROM (SELECT * FROM part_log ORDER BY id DESC LIMIT 20) l}));
	return;
}

sub is_whole
{
	my ($node, $what) = @_;

	heals($node, $what);
	is( $node->safe_psql('postgres', q{
			SELECT string_agg(c.oid::regclass::text, ' ') FROM pg_class c WHERE relname ~ '^(ev|wd|arc|rest)_(p|default)' AND relkind = 'r'
			AND NOT relispartition AND NOT EXISTS (SELECT FROM part_detached WHERE partition = c.oid)}),
		'', "$what: no table stands alone");
	is( $node->safe_psql('postgres', q{
			SELECT count(*) FILTER (WHERE previous <> lower_id) FROM (SELECT lower_id,
				lag(upper_id) OVER (PARTITION BY parent_table ORDER BY lower_id) AS previous
				FROM list_partitions() WHERE NOT is_default AND state <> 'detached') p}),
		'0', "$what: no hole, no overlap");
	is( $node->safe_psql('postgres', q{SELECT count(*) FROM part_detached JOIN pg_inherits ON inhrelid = partition}),
		'0', "$what: nothing that is attached is marked");
	foreach my $table (@live)
	{
		next unless defined $dir && -e "$dir/$table.acked";
		my $out = $node->safe_psql('postgres', <<"SQL");
CREATE TEMP TABLE acked (id bigint);
\\copy acked FROM '$dir/$table.acked'
SELECT count(*) FROM acked;
SELECT count(*) - count(DISTINCT id) FROM $table;
SELECT count(*) FROM acked WHERE id > (SELECT max(id) - 1000 FROM $table) AND id NOT IN (SELECT id FROM $table);
SELECT count(*) FROM acked WHERE '$table' = 'arc' AND id NOT IN (SELECT id FROM arc UNION ALL SELECT id FROM archived);
SQL
		my ($acked, $double, $lost, $unarchived) = split /\n/, $out;

		cmp_ok($acked, '>', 100, "$what: $acked rows were written to $table");
		is("$double|$lost|$unarchived", '0|0|0', "$what: no row of $table is there twice, lost, or dropped without having been archived");
		is(join('', grep { /ERROR:/ } split /^/, slurp_file("$dir/$table.errors")), '', "$what: no writer of $table met an error");
	}
	return;
}

# Closes a fail point and waits until a worker comes there; returns the session
# that holds it, and the worker's pid.
sub gate_at
{
	my ($node, $place) = @_;
	my $gate = close_gate($node, 'postgres', $place);

	return ($gate, worker_waits($node, "wait_event = 'advisory'", $place));
}

# the pid of a worker of which something is true
sub worker_waits
{
	my ($node, $condition, $place) = @_;
	my $pid;

	poll_until(sub {
		$pid = $node->safe_psql('postgres',
			"SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'partmgr %worker' AND $condition LIMIT 1");
		return $pid ne '';
	}) or die "no worker comes to $place";
	return $pid;
}

# A reader with a snapshot that a detach of the set ev has to wait for; returns
# the session, and the pid of the worker that waits.
sub hold_up_detach
{
	my ($node) = @_;
	my $reader = $node->background_psql('postgres');

	# as long as one is pending, another one does not begin
	$node->poll_query_until('postgres', q{SELECT NOT EXISTS (SELECT FROM pg_inherits WHERE inhdetachpending)})
	  or die 'a detach stays pending';
	$reader->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM ev');
	return ($reader, worker_waits($node, q{wait_event = 'virtualxid' AND query LIKE 'partmgr: detaching public.ev_p%'}, 'a reader'));
}

# a session whose server is gone
sub forget_session
{
	my ($session) = @_;

	eval { $session->{run}->finish; };
	return;
}

# the server restarts by itself
sub restart_after
{
	my ($node, $position) = @_;

	$node->wait_for_log(qr/database system is ready to accept connections/, $position);
	poll_until(sub { return ($node->psql('postgres', 'SELECT 1'))[0] == 0 }) or die 'no connection';
	return;
}

1;
