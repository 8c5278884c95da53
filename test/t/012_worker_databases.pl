# The worker is never in the way of commands that need a database for
# themselves, and only those with the right to the command can end it.

use strict;
use warnings;

use Partmgr;
use PartmgrWorker;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', conf => <<'CONF');
partmgr.interval = '1s'
partmgr.max_workers = 8
CONF
my $tablespace_dir = PostgreSQL::Test::Utils::tempdir();
$node->safe_psql('postgres', "CREATE TABLESPACE elsewhere LOCATION '$tablespace_dir'");
$node->safe_psql('postgres', 'CREATE ROLE mallory LOGIN CREATEDB');

# Each of them is tried while a worker sleeps in the middle of a step.  Core
# would wait five seconds for it and then fail.
foreach my $case (
	[ 'to_drop',   'DROP DATABASE to_drop' ],
	[ 'to_force',  'DROP DATABASE to_force WITH (FORCE)' ],
	[ 'to_rename', 'ALTER DATABASE to_rename RENAME TO renamed' ],
	[ 'to_move',   'ALTER DATABASE to_move SET TABLESPACE elsewhere' ],
	[ 'to_copy',   'CREATE DATABASE copy TEMPLATE to_copy' ])
{
	my ($db, $sql) = @$case;

	make_extension($node, $db);
	make_set($node, $db, 'ev');
	slow_down_maintenance($node, $db);
	want_more($node, $db, 'ev');
	my $pid = wait_worker($node, $db, 'PgSleep');

	my ($code, $out, $err) =
	  $node->psql('postgres', $sql, connstr => $node->connstr('postgres') . ' user=mallory');
	isnt($code, 0, "not for everybody: $sql");
	is(worker_pid($node, $db), $pid, 'and the worker was not ended by the attempt');

	my $begin = time();
	is($node->psql('postgres', $sql), 0, $sql);
	cmp_ok(time() - $begin, '<', 5, 'did not have to wait');
}

# what is left is maintained under its new name, in its new place, and twice
foreach my $db (qw(renamed to_move to_copy copy))
{
	my $pid = wait_worker($node, $db, 'PgSleep');

	let_go($node, $db, $pid);
	wait_maintained($node, $db, 'ev', "database $db is maintained");
}
ok( $node->poll_query_until('renamed',
		"SELECT count(*) = 0 FROM worker_status() WHERE datname IS NULL OR datname IN ('to_drop', 'to_rename')"),
	'nothing is left of those that are gone');

# a rename that is not committed keeps the worker out as long as it lasts
make_extension($node, 'patient');
make_set($node, 'patient', 'ev');
my $session = $node->background_psql('postgres');
$session->query_safe('BEGIN; ALTER DATABASE patient RENAME TO impatient; ROLLBACK; BEGIN');
$session->query_safe('ALTER DATABASE patient RENAME TO impatient');
my $position = log_position($node);
$session->query_safe('ROLLBACK');
want_more($node, 'patient', 'ev');
wait_maintained($node, 'patient', 'ev', 'after a rollback the worker is back');
unlike(log_since($node, $position), qr/\] partmgr (upkeep )?worker .*(ERROR|FATAL)/, 'without an error');

# a backend that dies in the middle gives the database free
$session->query_safe('BEGIN; ALTER DATABASE patient RENAME TO impatient');
$session->{run}->kill_kill;
want_more($node, 'patient', 'ev');
wait_maintained($node, 'patient', 'ev', 'a session that ended does not block for ever');

# DROP EXTENSION does not wait for a worker between two steps, and the worker
# leaves without a word
SKIP:
{
	skip 'needs a debug build', 4 unless is_debug_build($node);

	my $gate = close_gate($node, 'patient', 'worker-between-steps');
	$node->safe_psql('patient', 'UPDATE part_config SET premake = premake + 2');
	wait_worker($node, 'patient', 'advisory');
	$position = log_position($node);
	is($node->psql('patient', "SET lock_timeout = '5s'; DROP EXTENSION partmgr"), 0,
		'DROP EXTENSION while the worker is between two steps');
	$gate->quit;
	ok( $node->poll_query_until('to_copy',
			"SELECT state = 'no extension' FROM worker_status() WHERE lane = 'create' AND datname = 'patient'"),
		'the worker notices');
	unlike(log_since($node, $position), qr/\] partmgr (upkeep )?worker /, 'quietly');
	is($node->safe_psql('patient', "SELECT count(*) FROM pg_class WHERE relname LIKE 'ev_p%'") > 0,
		1, 'partitions stay');
}

# and the extension may come back
$node->safe_psql('patient', 'DROP EXTENSION IF EXISTS partmgr');
make_extension($node, 'patient');
$node->safe_psql('patient', "SELECT create_parent('ev', 'at', '1 day', p_premake => 7, p_default_table => false)");
want_more($node, 'patient', 'ev');
wait_maintained($node, 'patient', 'ev', 'created again, the extension is maintained again');

# a database that takes no connections, or is a template, is left alone
$node->safe_psql('postgres', 'ALTER DATABASE patient ALLOW_CONNECTIONS false');
$node->safe_psql('postgres', 'ALTER DATABASE to_copy IS_TEMPLATE true');
ok( $node->poll_query_until('copy',
		"SELECT count(*) = 0 FROM worker_status() WHERE datname IN ('patient', 'to_copy')"),
	'templates and closed databases are left alone');
unlike(log_since($node, $position), qr/not currently accepting connections/,
	'nobody tried to connect');

$node->stop;
done_testing();
