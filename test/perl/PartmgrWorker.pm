# PartmgrWorker.pm: what the TAP tests of the background worker share.
#
#	use Partmgr;
#	use PartmgrWorker;
#
#	make_set($node, 'postgres', 'ev');		# daily, one partition ahead
#	want_more($node, 'postgres', 'ev');		# asks for one more
#	wait_maintained($node, 'postgres', 'ev', 'what the test says');
#
# Whether the worker has been at a set is seen by what it does: want_more
# raises premake by one, and then a partition is missing until the worker has
# made it.

package PartmgrWorker;

use strict;
use warnings;

use Exporter 'import';
use Partmgr;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(make_extension make_set want_more missing wait_maintained
  stays_unmaintained worker_pid wait_worker slow_down_maintenance let_go
  close_gate log_since log_position);

# a database with the extension; the database is made unless it exists
sub make_extension
{
	my ($node, $db) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE \"$db\"")
	  unless $node->safe_psql('postgres',
		"SELECT 1 FROM pg_database WHERE datname = '$db'");
	$node->safe_psql($db, 'CREATE EXTENSION partmgr');
	return;
}

# a set of daily partitions; more arguments of create_parent as text
sub make_set
{
	my ($node, $db, $table, $more) = @_;

	$more = defined $more ? ", $more" : '';
	$node->safe_psql($db, <<"SQL");
CREATE TABLE $table (at timestamptz NOT NULL, n int) PARTITION BY RANGE (at);
SELECT create_parent('$table', 'at', '1 day', p_premake => 1, p_default_table => false$more);
SQL
	return;
}

# one more partition is wanted
sub want_more
{
	my ($node, $db, $table) = @_;

	$node->safe_psql($db,
		"UPDATE part_config SET premake = premake + 1 WHERE parent_table = '$table'::regclass");
	return;
}

# partitions that a set lacks, by its plan
sub missing
{
	my ($table) = @_;

	return "SELECT count(*) FROM maintenance_plan('$table') WHERE step = 'create'";
}

# waits until a set has all its partitions, and noted a success
sub wait_maintained
{
	my ($node, $db, $table, $what) = @_;

	ok( $node->poll_query_until(
			$db,
			"SELECT (" . missing($table) . ") = 0 AND failures = 0 AND last_success IS NOT NULL"
			  . " FROM part_state WHERE parent_table = '$table'::regclass"),
		$what);
	return;
}

# A set that misses a partition is left alone for a while: three times the
# shortest interval.
sub stays_unmaintained
{
	my ($node, $db, $table, $what) = @_;
	my $touched = poll_until(sub { $node->safe_psql($db, missing($table)) eq '0' }, 3);

	ok(!$touched, $what);
	return;
}

# the pid of the worker in a database, '' if there is none
sub worker_pid
{
	my ($node, $db) = @_;

	return $node->safe_psql('postgres',
		"SELECT pid FROM pg_stat_activity WHERE backend_type = 'partmgr worker' AND datname = '$db'");
}

# waits until the worker of a database waits for something
sub wait_worker
{
	my ($node, $db, $event) = @_;

	$node->poll_query_until('postgres',
		"SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'partmgr worker'"
		  . " AND datname = '$db' AND wait_event = '$event'")
	  or die "no worker of database $db waits for $event";
	return worker_pid($node, $db);
}

# has the worker of a database sleep in the middle of each creation of a
# partition (wait_event PgSleep), until it is cancelled or ended
sub slow_down_maintenance
{
	my ($node, $db) = @_;

	$node->safe_psql($db, <<'SQL');
CREATE OR REPLACE FUNCTION slow_down() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
	IF current_setting('application_name') = 'partmgr worker' THEN
		PERFORM pg_sleep(600);
	END IF;
END $$;
CREATE EVENT TRIGGER slow_down ON ddl_command_start
	WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION slow_down();
SQL
	return;
}

# ends that for good, and cancels (or ends) the worker that sleeps
sub let_go
{
	my ($node, $db, $pid, $how) = @_;

	$how //= 'pg_cancel_backend';
	$node->safe_psql($db, "BEGIN; DROP EVENT TRIGGER slow_down; SELECT $how($pid); COMMIT");
	return;
}

# Closes a fail point of a database: who comes there waits (wait_event
# advisory).  Returns the session that holds it; its quit opens the gate.
sub close_gate
{
	my ($node, $db, $name) = @_;
	my $gate = $node->background_psql($db);

	$gate->query_safe(<<"SQL");
CREATE OR REPLACE FUNCTION failpoint_key(text) RETURNS int
	AS 'partmgr', 'partmgr_failpoint_key' LANGUAGE C STRICT;
SELECT pg_advisory_lock(1886219629, failpoint_key('$name'));
SQL
	return $gate;
}

# the end of the server's log, and what has come after it
sub log_position
{
	my ($node) = @_;

	return -s $node->logfile;
}

sub log_since
{
	my ($node, $position) = @_;

	return slurp_file($node->logfile, $position);
}

1;
