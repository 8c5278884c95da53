# One set's trouble stays its own: it is recorded with its SQLSTATE, tried
# again less and less often, and heals by itself when the cause is gone.

use strict;
use warnings;

use Partmgr;
use PartmgrWorker;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', conf => "partmgr.interval = '1s'\n");

make_extension($node, 'postgres');
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE alice;
CREATE SCHEMA locked;
GRANT USAGE, CREATE ON SCHEMA locked TO alice;
GRANT CREATE ON SCHEMA public TO alice;
SQL
make_set($node, 'postgres', $_) foreach (qw(good1 clash trigger_fails good2));
$node->safe_psql('postgres', <<'SQL');
SET ROLE alice;
CREATE TABLE locked.noright (at timestamptz NOT NULL) PARTITION BY RANGE (at);
SELECT create_parent('locked.noright', 'at', '1 day', p_premake => 1, p_default_table => false);
SQL
wait_maintained($node, 'postgres', $_, "$_ is maintained")
  foreach (qw(good1 clash trigger_fails good2 locked.noright));

# what is in the way, in one transaction with what makes it matter
my $start = log_position($node);
$node->safe_psql('postgres', <<'SQL');
BEGIN;
REVOKE CREATE ON SCHEMA locked FROM alice;
CREATE FUNCTION fail() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
	IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() WHERE object_identity LIKE '%trigger_fails%') THEN
		RAISE EXCEPTION 'not today' USING ERRCODE = 'PM042';
	END IF;
END $$;
CREATE EVENT TRIGGER fail ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION fail();
UPDATE part_config SET premake = premake + 1;
DO $$ BEGIN EXECUTE (SELECT format('CREATE TABLE %s ()', partition_name)
	FROM maintenance_plan('clash') WHERE step = 'create' LIMIT 1); END $$;
COMMIT;
SQL

wait_maintained($node, 'postgres', $_, "$_ goes on") foreach (qw(good1 good2));
ok( $node->poll_query_until('postgres', <<'SQL'),
SELECT string_agg(parent_table || ' ' || last_sqlstate, ', ' ORDER BY parent_table::text)
	= 'clash 42P07, locked.noright 42501, trigger_fails PM042'
FROM part_state WHERE failures > 0
SQL
	'each failure is recorded with its SQLSTATE');
is( $node->safe_psql('postgres',
		"SELECT last_error FROM part_state WHERE parent_table = 'trigger_fails'::regclass"),
	'not today', 'the message is untouched');
ok( $node->poll_query_until('postgres',
		"SELECT failures >= 2 AND next_run - last_run > interval '1.5 s' FROM part_state"
		  . " WHERE parent_table = 'trigger_fails'::regclass"),
	'tries become rarer');
like(log_since($node, $start),
	qr/\] partmgr worker .*LOG: .*not today.*CONTEXT: .*maintenance of partition set public\.trigger_fails/s,
	'the log names the set');
unlike(log_since($node, $start), qr/exited with exit code/,
	'no worker had to end for it');
is( $node->safe_psql('postgres',
		"SELECT count(*) > 0 FROM part_log WHERE parent_table = 'locked.noright'::regclass"
		  . " AND action IN ('failed', 'blocked') AND sqlstate = '42501'"),
	't', 'part_log has it too');

# the causes go away
$node->safe_psql('postgres', <<'SQL');
GRANT CREATE ON SCHEMA locked TO alice;
DROP EVENT TRIGGER fail;
DO $$ BEGIN EXECUTE (SELECT format('DROP TABLE %s', partition_name)
	FROM maintenance_plan('clash') WHERE step = 'create' LIMIT 1); END $$;
SQL
wait_maintained($node, 'postgres', $_, "$_ has healed by itself")
  foreach (qw(clash trigger_fails locked.noright));
is($node->safe_psql('postgres', 'SELECT count(*) FROM part_state WHERE last_sqlstate IS NOT NULL'),
	'0', 'the record of the error is cleared');

# a cancelled step is a failure of its set, and no more
slow_down_maintenance($node, 'postgres');
want_more($node, 'postgres', 'good1');
my $pid = wait_worker($node, 'postgres', 'PgSleep');
let_go($node, 'postgres', $pid);
ok( $node->poll_query_until('postgres',
		"SELECT count(*) > 0 FROM part_log WHERE parent_table = 'good1'::regclass AND sqlstate = '57014'"),
	'a cancel is recorded');
wait_maintained($node, 'postgres', 'good1', 'and the set comes back');

# a locked table is postponed, not waited for; the others go on
my $locker = $node->background_psql('postgres');
$locker->query_safe('BEGIN; LOCK TABLE good1 IN SHARE UPDATE EXCLUSIVE MODE');
$node->safe_psql('postgres', 'UPDATE part_config SET premake = premake + 1');
wait_maintained($node, 'postgres', 'good2', 'good2 goes on beside a locked set');
ok( $node->poll_query_until('postgres',
		"SELECT count(*) > 0 FROM part_log WHERE parent_table = 'good1'::regclass AND action = 'postponed'"),
	'the locked set is postponed');
$locker->query_safe('COMMIT');
$locker->quit;
wait_maintained($node, 'postgres', 'good1', 'and maintained when the lock is gone');

# a worker that somebody ends: the launcher tries again after a pause
slow_down_maintenance($node, 'postgres');
want_more($node, 'postgres', 'good1');
$pid = wait_worker($node, 'postgres', 'PgSleep');
let_go($node, 'postgres', $pid, 'pg_terminate_backend');
wait_maintained($node, 'postgres', 'good1', 'a worker that was ended is replaced');

# so is the launcher
my $launcher = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'partmgr launcher'";
$pid = $node->safe_psql('postgres', $launcher);
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
want_more($node, 'postgres', 'good1');
wait_maintained($node, 'postgres', 'good1', 'a launcher that was ended is replaced');
isnt($node->safe_psql('postgres', $launcher), $pid, 'by another process');

$node->stop;
done_testing();
