# What ALTER DATABASE and ALTER ROLE set does not reach the worker's work.

use strict;
use warnings;

use Partmgr;
use PartmgrWorker;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', conf => "partmgr.interval = '1s'\n");

make_extension($node, 'odd');
make_set($node, 'odd', 'ev');
wait_maintained($node, 'odd', 'ev', 'first maintenance');
my $format = $node->safe_psql('odd',
	"SELECT regexp_replace(min(partition_tablename), '[0-9]', '9', 'g') FROM show_partitions('ev')");

$node->safe_psql('odd', <<'SQL');
-- catches a worker that has somebody's settings
CREATE FUNCTION witness() RETURNS event_trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
	IF current_setting('application_name') = 'partmgr worker' THEN
		INSERT INTO public.seen SELECT name, setting FROM pg_catalog.pg_settings
		WHERE name IN ('default_transaction_read_only', 'default_transaction_isolation', 'transaction_timeout',
			'statement_timeout', 'lock_timeout', 'DateStyle', 'TimeZone', 'IntervalStyle', 'row_security',
			'session_replication_role', 'exit_on_error', 'default_tablespace')
		ON CONFLICT DO NOTHING;
	END IF;
END $$;
CREATE TABLE seen (name text PRIMARY KEY, setting text);
CREATE EVENT TRIGGER witness ON ddl_command_start WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION witness();

CREATE SCHEMA evil;
CREATE TABLE evil.part_config (parent_table regclass);
CREATE TABLE evil.pg_class (oid oid);
CREATE ROLE powerless;
SQL

my $superuser = $node->safe_psql('postgres', 'SELECT rolname FROM pg_roles WHERE oid = 10');
my @settings = (
	"default_transaction_isolation = 'serializable'",
	"default_transaction_deferrable = on",
	"search_path = evil, pg_catalog",
	"DateStyle = 'SQL, DMY'",
	"IntervalStyle = 'sql_standard'",
	"TimeZone = 'Pacific/Auckland'",
	"statement_timeout = '1ms'",
	"lock_timeout = '1ms'",
	"idle_in_transaction_session_timeout = '1ms'",
	"row_security = off",
	"session_replication_role = replica",
	"transform_null_equals = on",
	"quote_all_identifiers = on",
	"application_name = 'mine'",
	"exit_on_error = on",
	"role = powerless",
	"default_transaction_read_only = on");
push @settings, "transaction_timeout = '1ms'"
  if $node->safe_psql('postgres', "SELECT count(*) FROM pg_settings WHERE name = 'transaction_timeout'");

# the change that gives the worker something to do comes last, in a session
# that has started before
my $session = $node->background_psql('odd');
$node->append_conf('postgresql.conf', "partmgr.enabled = off\n");
$node->reload;
$node->poll_query_until('odd', "SELECT NOT current_setting('partmgr.enabled')::bool");
foreach my $setting (@settings)
{
	$session->query_safe("ALTER DATABASE odd SET $setting");
	$session->query_safe("ALTER ROLE \"$superuser\" IN DATABASE odd SET $setting");
}
$session->query_safe(
	"UPDATE part_config SET premake = premake + 2 WHERE parent_table = 'ev'::regclass");

# sessions of the database are useless now: ask in this one
$node->append_conf('postgresql.conf', "partmgr.enabled = on\n");
$node->reload;
ok( poll_until(
		sub { $session->query_safe(missing('ev')) eq '0' }),
	'the worker does its work whatever the settings of the database are');
is( $session->query_safe('SELECT failures, last_sqlstate IS NULL FROM part_state'),
	'0|t', 'without a failure');
is( $session->query_safe(<<"SQL"),
SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM seen
WHERE name <> 'transaction_timeout'
SQL
	'DateStyle=ISO, MDY IntervalStyle=postgres TimeZone=UTC default_tablespace='
	  . ' default_transaction_isolation=read committed default_transaction_read_only=off'
	  . ' exit_on_error=off lock_timeout=100 row_security=on session_replication_role=origin'
	  . ' statement_timeout=0',
	'it sees its own settings');
is( $session->query_safe("SELECT count(*) FROM seen WHERE name = 'transaction_timeout' AND setting <> '0'"),
	'0', 'and no transaction_timeout');
is( $session->query_safe(
		"SELECT count(DISTINCT regexp_replace(partition_tablename, '[0-9]', '9', 'g')) FROM show_partitions('ev')"
		  . " WHERE regexp_replace(partition_tablename, '[0-9]', '9', 'g') <> '$format'"),
	'0', 'names look as before');
is( $session->query_safe(<<'SQL'),
SELECT count(*) FROM (SELECT lower_time, lag(upper_time) OVER (ORDER BY lower_time) AS previous
	FROM list_partitions('ev')) p WHERE lower_time <> previous
SQL
	'0', 'and bounds meet');
$session->quit;

$node->stop;
done_testing();
