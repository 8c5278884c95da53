# Who does not own a table can do nothing to it through partmgr, and nobody
# becomes somebody else: not by functions, not by UPDATE, not by code that runs
# while the worker maintains a set, not by names.

use strict;
use warnings;

use Partmgr;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', conf => "partmgr.interval = '1s'\npartmgr.enabled = off\n");

sub enable_worker
{
	$node->safe_psql('postgres', 'ALTER SYSTEM SET partmgr.enabled = ' . ($_[0] ? 'on' : 'off'));
	$node->reload;
	$node->poll_query_until('postgres', q{SELECT } . ($_[0] ? '' : 'NOT ') . q{current_setting('partmgr.enabled')::bool});
	# a worker that is at work ends its run first
	$node->poll_query_until('postgres', q{SELECT count(*) OPERATOR(pg_catalog.=) 0
		FROM pg_stat_activity WHERE backend_type OPERATOR(pg_catalog.=) 'partmgr worker'})
	  unless $_[0];
	return;
}

# as_role(ROLE, SQL): SQLSTATE of the error, or its output
sub as_role
{
	my ($role, $sql) = @_;
	my ($ret, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nSET ROLE $role;\n$sql");

	return ($err =~ /(?:ERROR|FATAL):  (\w{5}):/) ? $1 : $out;
}

$node->safe_psql('postgres', <<'SQL');
CREATE SCHEMA partman;
CREATE EXTENSION partmgr SCHEMA partman;
GRANT USAGE ON SCHEMA partman TO PUBLIC;
CREATE ROLE alice LOGIN;
CREATE ROLE mallory NOLOGIN;
CREATE ROLE watcher NOLOGIN IN ROLE pg_monitor;
GRANT ALL ON SCHEMA public TO alice, mallory;
CREATE SCHEMA retired AUTHORIZATION mallory;
SET ROLE alice;
CREATE TABLE ev (at timestamptz NOT NULL, secret text) PARTITION BY RANGE (at);
SELECT partman.create_parent('ev', 'at', '1 day', p_premake => 2, p_start_partition => (now() - interval '10 days')::text);
CREATE TABLE other (at timestamptz NOT NULL) PARTITION BY RANGE (at);
SELECT partman.hold_partition('ev', '2000-01-01', '2000-01-02', 'alice''s case');
CREATE TABLE plain (id int PRIMARY KEY, at timestamptz NOT NULL);
RESET ROLE;
INSERT INTO partman.part_job (parent_table, kind, is_queued, asked_by, asked_at) VALUES ('ev', 'reindex', false, 'alice', now());
INSERT INTO partman.part_rewrite (parent_table, kind, options, is_queued, state, asked_by, asked_at) VALUES ('ev', 'drain', '{}', false, 'paused', 'alice', now());
INSERT INTO partman.part_upkeep VALUES ('ev', 'analyze', 'ev', now(), '');
UPDATE partman.part_state SET last_error = 'alice''s secret', last_sqlstate = '22012', last_error_at = now();
SQL

# ---------- mallory owns nothing ----------

# every SQL function with the arguments that would hurt alice, and what mallory
# gets
my %calls = (
	create_parent => [ "'public.other', 'at', '1 day'", '42501' ],
	import_pg_partman => [ "'public'", '42P01' ],
	undo_import_pg_partman => [ "'public'", '42P01' ],
	create_sub_partition => [ "'public.ev', 'secret', '1 day'", '42501' ],
	create_sub_parent => [ "'public.ev', 'secret', '1 day'", '42501' ],
	stop_sub_partition => [ "'public.ev'", '42501' ],
	config_cleanup => [ "'public.ev'", '42501' ],
	resume_maintenance => [ "'public.ev'", '42501' ],
	run_maintenance => [ "'public.ev'", '42501' ],
	run_partition_maintenance => [ "'public.ev'", '42501' ],
	maintenance_plan => [ "'public.ev'", '42501' ],
	create_future_partitions => [ "'public.ev', 9", '42501' ],
	partition_gap_fill => [ "'public.ev'", '42501' ],
	drop_old_partitions => [ "'public.ev', '1 day'", '42501' ],
	analyze_partitions => [ "'public.ev'", '42501' ],
	vacuum_partitions => [ "'public.ev'", '42501' ],
	queue_reindex_partitions => [ "'public.ev'", '42501' ],
	queue_create_index_concurrently => [ "'public.ev', 'CREATE INDEX ON public.ev (secret)'", '42501' ],
	cancel_job => [ '1', '42501' ],
	list_partitions => [ "'public.ev'", '42501' ],
	hold_partition => [ "'public.ev', NULL, NULL, 'x'", '42501' ],
	release_hold => [ '1', '42501' ],
	list_holds => [ "'public.ev'", '42501' ],
	reattach_partition => [ "'public.ev_default'", '42501' ],
	drop_default => [ "'public.ev'", '42501' ],
	partition_health_summary => [ "'public.ev'", '42501' ],
	show_partitions => [ "'public.ev'", '42501' ],
	show_partition_info => [ "'public.ev_default'", '42501' ],
	show_partition_name => [ "'public.ev', '2026-01-01'", '42501' ],
	regclass_eq_text => [ "'public.ev', 'public.ev'", 't' ],
	text_eq_regclass => [ "'public.ev', 'public.ev'", 't' ],
	regclass_matches => [ "'public.ev', 'e'", 't' ],
	regclass_like => [ "'public.ev', 'public.%'", 't' ],
	regclass_ne_text => [ "'public.ev', 'public.ev'", 'f' ],
	regclass_matches_not => [ "'public.ev', 'nowhere'", 't' ],
	regclass_like_not => [ "'public.ev', 'nowhere%'", 't' ],
	regclass_ilike => [ "'public.ev', 'PUBLIC.%'", 't' ],
	create_partition => [ "'public.other', 'at', '1 day'", '42501' ],
	create_partition_time => [ "'public.ev', ARRAY[now()]", '42501' ],
	create_partition_id => [ "'public.ev', ARRAY[1::bigint]", '42501' ],
	drop_partition_time => [ "'public.ev', '1 day'", '42501' ],
	drop_partition_id => [ "'public.ev', 1", '42501' ],
	dump_partitioned_table_definition => [ "'public.ev'", '42501' ],
	check_subpart_sameconfig => [ "'public.ev'", '' ],
	check_subpartition_limits => [ "'public.ev', 'time'", '|' ],
	calculate_time_partition_info => [ "interval '1 day', '2026-01-01 12:00+00'", '2026-01-01 00:00:00+00|YYYYMMDD' ],
	check_control_type => [ "'pg_catalog', 'pg_class', 'relname'", '|name' ],
	check_name_length => [ "'ev', '_x'", 'ev_x' ],
	partman_safe_obj_name => [ "'a.B'", 'a."B"' ],
	check_automatic_maintenance_value => [ "'on'", 't' ],
	check_epoch_type => [ "'none'", 't' ],
	check_partition_type => [ "'hash'", 'f' ],
	check_default => [ '', '' ],
	uuid7_time_encoder => [ "'2026-01-01 00:00+00'", '019b76da-a800-0000-0000-000000000000' ],
	uuid7_time_decoder => [ "'x'", '22P02' ],
	worker_status => [ '', '42501' ],
	wake_worker => [ '', '42501' ],
	convert_table => [ "'public.plain', 'at', '1 day'", '42501' ],
	convert_table_plan => [ "'public.plain', 'at'", '42501' ],
	drain_default => [ "'public.ev'", '42501' ],
	split_partition => [ "'public.ev_default', '1 hour'", '42501' ],
	merge_partitions => [ "'public.ev', '2000-01-01', '2100-01-01'", '42501' ],
	change_interval => [ "'public.ev', '2 days', true", '42501' ],
	compress_partitions => [ "'public.ev', '1 day'", '42501' ],
	unpartition => [ "'public.ev'", '42501' ],
	partition_data_time => [ "'public.ev'", '42501' ],
	partition_data_id => [ "'public.ev'", '42501' ],
	apply_constraints => [ "'public.ev'", '42501' ],
	drop_constraints => [ "'public.ev', 'public.ev_default'", '42501' ],
	reapply_privileges => [ "'public.ev'", '42501' ],
	apply_privileges => [ "'public', 'ev', 'public', 'ev_default'", '42501' ],
	inherit_template_properties => [ "'public.ev', 'public', 'ev_default'", '42501' ],
	inherit_parent_properties => [ "'public', 'ev', 'ev_default'", '42501' ],
	inherit_replica_identity => [ "'public', 'ev', 'ev_default'", '42501' ],
	apply_cluster => [ "'public', 'ev', 'public', 'ev_default'", '42501' ],
	autovacuum_off => [ "'public', 'ev'", '42501' ],
	autovacuum_reset => [ "'public', 'ev'", '42501' ],
	undo_partition => [ "'public.ev', 'public.other'", '42501' ],
	pause_rewrite => [ '1', '42501' ],
	resume_rewrite => [ '1', '42501' ],
	cancel_rewrite => [ '1', '42501' ],
	partmgr_rewrite_note => [ '', '42804' ],
	partmgr_unpacked => [ "'x'::text", 'x' ],
	partmgr_copy_covers => [ '1, 1', '0A000' ],
	partmgr_copy_divert => [ '1, ROW(1)', '0A000' ],
	part_config_check => [ '', '42804' ],
	part_config_changed => [ '', '42804' ],
	part_config_sub_check => [ '', '42804' ],
	part_config_forget => [ '', '42804' ]);

my $state = q{
	SELECT (SELECT string_agg(to_jsonb(c)::text, E'\n' ORDER BY parent_table::text) FROM partman.part_config c),
		(SELECT string_agg(to_jsonb(s)::text, E'\n' ORDER BY parent_table::text) FROM partman.part_state s),
		(SELECT string_agg(to_jsonb(h)::text, E'\n' ORDER BY id) FROM partman.part_hold h),
		(SELECT string_agg(i.inhrelid::regclass::text, ',' ORDER BY inhrelid) FROM pg_inherits i)};
my $before = $node->safe_psql('postgres', $state);

my $functions = $node->safe_psql('postgres', q{
	SELECT DISTINCT p.oid::regprocedure, p.proname, p.prokind, coalesce((SELECT typname FROM pg_type t WHERE t.oid = p.proargtypes[0]), '')
	FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid JOIN pg_proc p ON p.oid = d.objid
	WHERE d.refclassid = 'pg_extension'::regclass AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
		AND e.extname = 'partmgr' AND p.prokind = 'f' ORDER BY 1});
foreach my $line (split(/\n/, $functions))
{
	my ($signature, $name, $kind, $first) = split(/\|/, $line);
	my ($args, $wanted) = @{ $calls{$name} // die "no call of $name: add it to this test" };

	$args .= '::regclass' if $first eq 'regclass' && $args =~ /^'[^']*'$/;
	$args =~ s/^('[^']*'),/$1::$first,/ if $first eq 'regclass' || $first eq 'text';
	$args =~ s/'1 day'$/12/ if $name eq 'drop_old_partitions' && $signature =~ /integer/;
	is(as_role('mallory', "SELECT * FROM " . ($name =~ /^partmgr_/ ? 'pg_catalog' : 'partman') . ".$name($args)"), $wanted, "mallory: $signature");
}
foreach my $sql ('SELECT partman.run_maintenance()', 'CALL partman.run_maintenance_proc()',
	'SELECT * FROM partman.run_partition_maintenance()', 'SELECT * FROM partman.maintenance_plan()',
	'SELECT * FROM partman.drop_old_partitions()', "SELECT * FROM partman.drop_old_partitions(p_retention => '1 day')",
	'SELECT * FROM partman.list_partitions()', 'SELECT * FROM partman.partition_health_summary()',
	'SELECT * FROM partman.partition_metadata', 'SELECT nullif(partman.resume_maintenance(), 0)',
	'SELECT * FROM partman.list_holds()', 'SELECT * FROM partman.part_hold', 'SELECT * FROM partman.part_detached',
	'SELECT * FROM partman.part_job', 'SELECT * FROM partman.part_jobs', 'SELECT * FROM partman.part_upkeep',
	'SELECT * FROM partman.part_rewrite', 'SELECT * FROM partman.rewrite_progress',
	'SELECT * FROM partman.part_config', 'SELECT * FROM partman.part_state', 'SELECT * FROM partman.part_log',
	'COPY partman.part_config TO STDOUT', 'COPY partman.part_log TO STDOUT',
	"UPDATE partman.part_config SET retention = '1 second', retention_keep_table = false RETURNING *",
	'SELECT premake FROM partman.part_config FOR UPDATE')
{
	is(as_role('mallory', $sql), '', "mallory gets nothing: $sql");
}
foreach my $sql ('DELETE FROM partman.part_config', 'TRUNCATE partman.part_config',
	"INSERT INTO partman.part_config (parent_table, control, partition_interval) VALUES ('other', 'at', '1 day')",
	"UPDATE partman.part_config SET parent_table = 'other'", "UPDATE partman.part_config SET control = 'x'",
	'DELETE FROM partman.part_hold', 'DELETE FROM partman.part_job', 'DELETE FROM partman.part_rewrite', 'SELECT * FROM partman.part_rewrite_source', 'DELETE FROM partman.part_upkeep', 'UPDATE partman.part_detached SET drop_after = now()',
	'UPDATE partman.part_state SET failures = 9', 'DELETE FROM partman.part_state', 'DELETE FROM partman.part_log',
	'SELECT 1 FROM partman.part_state FOR UPDATE', 'SELECT 1 FROM partman.part_log FOR SHARE',
	'SELECT last_error FROM partman.part_state FOR KEY SHARE',
	"INSERT INTO partman.part_log (logged_at, parent_table, action) VALUES (now(), 'ev', 'x')")
{
	is(as_role('mallory', $sql), '42501', "mallory may not: $sql");
	is(as_role('alice', $sql), '42501', "nor alice: $sql");
}
foreach my $table ('part_config', 'part_config_sub', 'part_import', 'part_state', 'part_log', 'part_detached', 'part_hold')
{
	foreach my $mode ('ROW SHARE', 'ROW EXCLUSIVE', 'SHARE UPDATE EXCLUSIVE', 'SHARE', 'SHARE ROW EXCLUSIVE', 'EXCLUSIVE', 'ACCESS EXCLUSIVE')
	{
		is(as_role('mallory', "BEGIN; LOCK TABLE partman.$table IN $mode MODE; COMMIT"), '42501', "mallory: LOCK $table IN $mode");
	}
}
is($node->safe_psql('postgres', $state), $before, 'nothing of alice\'s has changed');

# a leaky function in a condition sees no row of alice's
$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION public.leak(text) RETURNS bool LANGUAGE plpgsql COST 0.0000001 AS $$BEGIN RAISE NOTICE 'leak %', $1; RETURN true; END$$;
SQL
foreach my $sql ('SELECT * FROM partman.part_config WHERE leak(control)', 'SELECT * FROM partman.part_state WHERE leak(last_error)',
	'UPDATE partman.part_config SET premake = 3 WHERE leak(control)')
{
	my ($ret, $out, $err) = $node->psql('postgres', "SET ROLE mallory; $sql");
	is("$out$err", '', "no leak: $sql");
}
like(as_role('alice', 'SELECT last_error FROM partman.part_state'), qr/^alice's secret$/, 'alice reads her error');
like(as_role('watcher', 'SELECT last_error FROM partman.part_state'), qr/^alice's secret$/, 'so does pg_monitor');
is(as_role('watcher', 'UPDATE partman.part_config SET premake = 3'), '', 'which changes nothing');
is($node->safe_psql('postgres', $state), $before, 'indeed');
is(as_role('mallory', "SELECT partman.run_maintenance('public.ev')"), '42501', 'mallory is still nobody');

# alice's own row, within limits
is(as_role('alice', "UPDATE partman.part_config SET premake = 3 RETURNING premake"), '3', 'alice changes her set');
is(as_role('alice', "UPDATE partman.part_config SET retention_schema = 'retired'"), '42501',
	'partitions cannot be pushed into a schema of somebody else');

# ---------- code that runs in maintenance ----------

# All of alice's code tries all ways up, and notes whom it found itself to be.
# It is run by the worker and by a superuser's run_maintenance().
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE victim (n int);
CREATE TABLE stamped (n int, who text);
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.who := current_user; RETURN NEW; END$$;
CREATE TRIGGER stamp BEFORE INSERT ON stamped FOR EACH ROW EXECUTE FUNCTION stamp();
GRANT INSERT ON stamped TO alice;
SET ROLE alice;
CREATE TABLE notes (what text, who text, via text, role text);
CREATE FUNCTION try(via text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE sql text;
BEGIN
	INSERT INTO public.notes VALUES ('begin', current_user, via, current_setting('session_replication_role'));
	FOREACH sql IN ARRAY ARRAY['SET ROLE postgres', 'SET SESSION AUTHORIZATION postgres', 'RESET ROLE',
		'RESET SESSION AUTHORIZATION', 'SET SESSION AUTHORIZATION DEFAULT', 'ALTER ROLE alice SUPERUSER', 'CREATE ROLE evil SUPERUSER',
		'DROP TABLE public.victim', 'INSERT INTO public.victim VALUES (1)', 'COPY public.notes TO PROGRAM ''true''',
		'ALTER SYSTEM SET partmgr.interval = 5', 'SELECT set_config(''role'', ''postgres'', false)',
		'SET session_replication_role = replica', 'SET partmgr.lock_timeout = 1', 'CREATE TEMP TABLE t (a int)']
	LOOP
		BEGIN
			EXECUTE sql;
			INSERT INTO public.notes VALUES (sql, current_user, via, 'succeeded');
		EXCEPTION WHEN OTHERS THEN
			NULL;
		END;
	END LOOP;
	BEGIN
		INSERT INTO public.stamped VALUES (1, via);
	EXCEPTION WHEN OTHERS THEN
		NULL;
	END;
END $$;
CREATE FUNCTION try_row() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM public.try(TG_NAME || ' ' || TG_OP); RETURN COALESCE(NEW, OLD); END$$;
CREATE FUNCTION inner_try(via text, x anyelement) RETURNS anyelement LANGUAGE plpgsql AS $$BEGIN PERFORM public.try(via); RETURN x; END$$;
CREATE FUNCTION immutable_try(via text, x int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$BEGIN PERFORM public.inner_try(via, x); RETURN x; END$$;
SQL

is($node->safe_psql('postgres', q{SELECT rolname FROM pg_roles WHERE rolsuper OR rolname = 'evil'}), 'postgres',
	'one superuser to begin with');

# a set whose default holds a row of the next partition
sub make_trap
{
	my ($table, $extra) = @_;

	# as herself: with SET ROLE her code could become the session's user here
	$node->safe_psql('postgres', <<SQL, extra_params => [ '-U', 'alice' ]);
CREATE TABLE $table (at timestamptz NOT NULL, a int DEFAULT immutable_try('default', 1),
	g int GENERATED ALWAYS AS (immutable_try('generated', a)) STORED, CHECK (immutable_try('check', a) = a)) PARTITION BY RANGE (at);
CREATE INDEX ON $table (immutable_try('index', a));
CREATE INDEX ON $table (a) WHERE immutable_try('predicate', 1) = 1 AND a > 0;
SELECT partman.create_parent('$table', 'at', '1 day', p_premake => 1);
INSERT INTO $table (at, a) VALUES (now() + interval '2 days', 1);
$extra
SQL
	$node->safe_psql('postgres', <<SQL);
TRUNCATE stamped, notes;
UPDATE partman.part_config SET premake = 3 WHERE parent_table = '$table'::regclass;
SQL
	return;
}

# what alice's code must not have managed
sub check_trap
{
	my ($what) = @_;

	is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT who, ',') FROM notes}), 'alice',
		"$what: alice's code was run, as alice");
	is( $node->safe_psql('postgres', q{SELECT DISTINCT what, who FROM notes WHERE role = 'succeeded'
			AND NOT (what ~ '^RESET' AND who = 'alice') ORDER BY 1, 2}),
		'', "$what: no way up");
	is($node->safe_psql('postgres', q{SELECT DISTINCT via, role FROM notes WHERE what = 'begin' AND role <> 'origin' ORDER BY 1}),
		'', "$what: with triggers in force");
	is($node->safe_psql('postgres', q{SELECT DISTINCT who FROM stamped}), 'alice', "$what: triggers of others' tables fired");
	is( $node->safe_psql('postgres', q{SELECT rolname FROM pg_roles WHERE rolsuper OR rolname = 'evil'}), 'postgres',
		"$what: one superuser");
	is($node->safe_psql('postgres', 'SELECT count(*) FROM victim'), '0', "$what: the victim is whole");
	return;
}

my $triggers = <<'SQL';
CREATE TRIGGER al BEFORE DELETE ON TABLE_default FOR EACH ROW EXECUTE FUNCTION try_row();
CREATE TRIGGER al2 AFTER DELETE ON TABLE_default FOR EACH ROW EXECUTE FUNCTION try_row();
CREATE TRIGGER al3 AFTER DELETE ON TABLE_default FOR EACH STATEMENT EXECUTE FUNCTION try_row();
ALTER TABLE TABLE_default ENABLE ALWAYS TRIGGER al, ENABLE ALWAYS TRIGGER al2, ENABLE ALWAYS TRIGGER al3;
CREATE TRIGGER re BEFORE DELETE ON TABLE_default FOR EACH ROW EXECUTE FUNCTION try_row();
ALTER TABLE TABLE_default ENABLE REPLICA TRIGGER re;
SQL
my $rule = <<'SQL';
CREATE RULE ru AS ON DELETE TO TABLE_default DO ALSO INSERT INTO stamped VALUES (2, 'rule');
ALTER TABLE TABLE_default ENABLE ALWAYS RULE ru;
SQL
my $deferred = <<'SQL';
CREATE CONSTRAINT TRIGGER de AFTER DELETE ON TABLE_default DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION try_row();
ALTER TABLE TABLE_default ENABLE ALWAYS TRIGGER de;
CREATE CONSTRAINT TRIGGER de2 AFTER INSERT ON TABLE DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION try_row();
ALTER TABLE TABLE ENABLE ALWAYS TRIGGER de2;
SQL

my %trap = (plain => '', triggers => $triggers, rule => $rule, deferred => $deferred);
foreach my $kind (sort keys %trap)
{
	foreach my $who ('superuser', 'worker')
	{
		my $table = "trap_${kind}_$who";
		(my $extra = $trap{$kind}) =~ s/TABLE(?=_default| DEFERRABLE| ENABLE)/$table/g;
		$extra =~ s/ALTER TABLE \Q$table\E_default/ALTER TABLE ${table}_default/g;

		make_trap($table, $extra);
		if ($who eq 'worker')
		{
			enable_worker(1);
			ok( $node->poll_query_until('postgres', qq{SELECT failures > 0 OR (SELECT count(*) = 0 FROM partman.maintenance_plan('$table'))
					FROM partman.part_state WHERE parent_table = '$table'::regclass}),
				"$kind: the worker has been there");
			enable_worker(0);
		}
		else
		{
			$node->psql('postgres', "SELECT partman.run_maintenance('$table')");
		}
		check_trap("$kind, $who");
		# as alice: a mere SELECT runs the code in an index predicate
		is($node->safe_psql('postgres', "SELECT count(*) FROM $table", extra_params => [ '-U', 'alice' ]), '1',
			"$kind, $who: the row is still there");
		$node->safe_psql('postgres', "DROP TABLE $table");
	}
}

# an event trigger's function, which belongs to alice
$node->safe_psql('postgres', <<'SQL');
SET ROLE alice;
CREATE FUNCTION try_event() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN
	-- what it does would call it again
	IF current_setting('alice.busy', true) = 'yes' THEN
		RETURN;
	END IF;
	PERFORM set_config('alice.busy', 'yes', true);
	PERFORM public.try('event ' || TG_EVENT);
	PERFORM set_config('alice.busy', 'no', true);
END$$;
CREATE TABLE evented (at timestamptz NOT NULL) PARTITION BY RANGE (at);
SELECT partman.create_parent('evented', 'at', '1 day', p_premake => 1, p_start_partition => (now() - interval '5 days')::text);
RESET ROLE;
CREATE EVENT TRIGGER a ON ddl_command_start EXECUTE FUNCTION try_event();
CREATE EVENT TRIGGER b ON ddl_command_end EXECUTE FUNCTION try_event();
CREATE EVENT TRIGGER c ON sql_drop EXECUTE FUNCTION try_event();
TRUNCATE stamped, notes;
UPDATE partman.part_config SET premake = 2, retention = '2 days', retention_keep_table = false WHERE parent_table = 'evented'::regclass;
SQL
enable_worker(1);
ok( $node->poll_query_until('postgres', q{SELECT count(*) FILTER (WHERE state = 'expired') = 0
		AND count(*) FILTER (WHERE state = 'future') = 2 FROM partman.list_partitions('evented')}),
	'event triggers: maintained by the worker');
enable_worker(0);
check_trap('event triggers');
is($node->safe_psql('postgres', 'SELECT string_agg(DISTINCT via, \',\' ORDER BY via) FROM notes'),
	'event ddl_command_end,event ddl_command_start,event sql_drop', 'all of them have fired');
$node->safe_psql('postgres', 'DROP EVENT TRIGGER a; DROP EVENT TRIGGER b; DROP EVENT TRIGGER c; DROP TABLE evented');

# ---------- hostile names ----------

# Objects of the same names as what we use, in front of pg_catalog, for every
# session and for the worker.
$node->safe_psql('postgres', <<'SQL');
CREATE SCHEMA evil;
GRANT ALL ON SCHEMA evil TO PUBLIC;
SET ROLE mallory;
CREATE TABLE evil.trapped (what text);
GRANT ALL ON evil.trapped TO PUBLIC;
CREATE FUNCTION evil.trap(what text) RETURNS void LANGUAGE plpgsql AS $$BEGIN
	RAISE LOG 'TRAPPED %', what;
	INSERT INTO evil.trapped VALUES (what);
END$$;
DO $$
DECLARE f record;
BEGIN
	FOR f IN SELECT * FROM (VALUES ('now', '', 'timestamptz'), ('pg_has_role', 'oid, text', 'bool'), ('pg_has_role', 'name, text', 'bool'),
		('clock_timestamp', '', 'timestamptz'), ('random', '', 'float8'), ('aclexplode', 'aclitem[]', 'int'), ('quote_ident', 'name', 'text'),
		('quote_ident', 'text', 'text'), ('max', 'int', 'int'), ('count', 'int', 'int'), ('least', 'int, int', 'int'),
		('pg_event_trigger_dropped_objects', '', 'int'), ('format', 'text, name', 'text'), ('format', 'text, name, name, name', 'text'),
		('pg_total_relation_size', 'oid', 'bigint'), ('pg_backend_pid', '', 'int'), ('interval_pl', 'interval, interval', 'interval')) v(name, args, result)
	LOOP
		EXECUTE format('CREATE FUNCTION evil.%I(%s) RETURNS %s LANGUAGE sql AS %L', f.name, f.args, f.result,
			format('SELECT evil.trap(%L); SELECT NULL::%s', f.name, f.result));
	END LOOP;
	FOR f IN SELECT * FROM (VALUES ('=', 'oid', 'oid', 'bool'), ('=', 'regclass', 'regclass', 'bool'), ('=', 'text', 'text', 'bool'), ('=', 'int4', 'int4', 'bool'),
		('>=', 'timestamptz', 'timestamptz', 'bool'), ('<', 'timestamptz', 'timestamptz', 'bool'), ('<=', 'timestamptz', 'timestamptz', 'bool'),
		('>=', 'int8', 'int8', 'bool'), ('<', 'int8', 'int8', 'bool'), ('+', 'timestamptz', 'interval', 'timestamptz'), ('||', 'text', 'text', 'text'),
		('=', '"char"', '"char"', 'bool'), ('=', 'name', 'name', 'bool'), ('<>', 'oid', 'oid', 'bool'), ('&', 'int2', 'int4', 'int4')) v(op, l, r, result)
	LOOP
		EXECUTE format('CREATE FUNCTION evil.op_%s(%s, %s) RETURNS %s LANGUAGE sql AS %L',
			md5(f.op || f.l || f.r), f.l, f.r, f.result, format('SELECT evil.trap(%L); SELECT NULL::%s', f.op || ' ' || f.l, f.result));
		EXECUTE format('CREATE OPERATOR evil.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = evil.op_%s)', f.op, f.l, f.r, md5(f.op || f.l || f.r));
	END LOOP;
END $$;
CREATE VIEW evil.pg_class AS SELECT evil.trap('pg_class')::text::oid AS oid, NULL::text AS relname;
CREATE VIEW evil.pg_inherits AS SELECT evil.trap('pg_inherits')::text::oid AS inhrelid;
CREATE VIEW evil.part_config AS SELECT evil.trap('part_config')::text::regclass AS parent_table;
CREATE TABLE evil.canary (a int);
RESET ROLE;
CREATE TABLE public.canary (a int);
SQL
my $drop = q{x"; DROP TABLE public.canary; --};
(my $quoted = $drop) =~ s/"/""/g;
$node->safe_psql('postgres', <<SQL);
GRANT CREATE ON DATABASE postgres TO alice;
SET ROLE alice;
CREATE SCHEMA "table";
CREATE TABLE "table"."select" ("order" bigint NOT NULL, "user" text, "$quoted" int, "%s%n%c" int, "group" int GENERATED ALWAYS AS ("%s%n%c" + 1) STORED)
	PARTITION BY RANGE ("order");
CREATE SCHEMA "$quoted";
CREATE TABLE "$quoted"."$quoted" ("$quoted" timestamptz NOT NULL, "%s" int) PARTITION BY RANGE ("$quoted");
CREATE TABLE "table"."%s%n'\$1\\" ("%c" date NOT NULL) PARTITION BY RANGE ("%c");
SQL
my $canary = (my $literal = $drop) =~ s/'/''/gr;
$node->safe_psql('postgres', <<SQL);
ALTER DATABASE postgres SET search_path = evil, pg_catalog, public;
SQL
# The trap works: a query in such a session runs into it.
$node->psql('postgres', 'SELECT now(); SELECT 1::oid = 2::oid; SELECT \'a\'::text || \'b\'::text;');
isnt($node->safe_psql('postgres', 'SELECT pg_catalog.count(*) FROM evil.trapped'), '0', 'the traps are set');
$node->safe_psql('postgres', 'TRUNCATE evil.trapped');
$node->safe_psql('postgres', <<SQL);
SET ROLE alice;
SELECT partman.create_parent('"table"."select"'::regclass, 'order', '10', p_premake => 1);
SELECT partman.create_parent('"$quoted"."$quoted"'::regclass, '$literal', '1 day', p_premake => 1);
SELECT partman.create_parent('"table"."%s%n''\$1\\"'::regclass, '%c', '1 day', p_premake => 1, p_name_format => '{parent}%s"%n; DROP TABLE canary_{YYYY}_{MM}_{DD}');
INSERT INTO "table"."select" ("order", "%s%n%c") SELECT n, n FROM pg_catalog.generate_series(1, 25) n;
SQL
$node->safe_psql('postgres', 'SELECT partman.run_maintenance()');
$node->safe_psql('postgres', 'UPDATE partman.part_config SET premake = 4, ignore_default_data = false');
enable_worker(1);
ok( $node->poll_query_until('postgres', 'SELECT count(*) OPERATOR(pg_catalog.=) 0 FROM partman.maintenance_plan()'),
	'hostile names: the worker maintains the sets');
enable_worker(0);
is($node->safe_psql('postgres', 'SELECT DISTINCT what FROM evil.trapped'), '', 'hostile names: no trap was stepped into');
is($node->safe_psql('postgres', q{SELECT pg_catalog.to_regclass('public.canary')}), 'public.canary', 'hostile names: the canary lives');
is( $node->safe_psql('postgres', q{SELECT pg_catalog.count(*) FROM ONLY "table".select_default}), '0',
	'hostile names: the rows of the default have moved');
is($node->safe_psql('postgres', q{SELECT pg_catalog.sum("group") FROM "table"."select"}), '350', 'hostile names: and are all there');
$node->safe_psql('postgres', 'SELECT * FROM partman.partition_health_summary(); SELECT * FROM partman.check_default(); SELECT * FROM partman.maintenance_plan(); SELECT * FROM partman.partition_metadata; DROP TABLE "table"."select"');
is($node->safe_psql('postgres', 'SELECT DISTINCT what FROM evil.trapped'), '', 'hostile names: looking and dropping are safe as well');
is($node->safe_psql('postgres', q{SELECT pg_catalog.string_agg(last_error, ';') FROM partman.part_state WHERE last_error OPERATOR(pg_catalog.<>) 'alice''s secret'}),
	'', 'hostile names: no error');
$node->safe_psql('postgres', 'ALTER DATABASE postgres RESET search_path');

# ---------- FORCE ROW LEVEL SECURITY ----------

$node->safe_psql('postgres', <<'SQL');
SET ROLE alice;
CREATE TABLE forced (id bigint NOT NULL, a int) PARTITION BY RANGE (id);
SELECT partman.create_parent('forced', 'id', '10', p_premake => 1);
ALTER TABLE forced ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY none ON forced USING (false) WITH CHECK (false);
RESET ROLE;
INSERT INTO forced SELECT n, n FROM generate_series(1, 45) n;
DO $$
DECLARE r regclass;
BEGIN
	FOR r IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'forced'::regclass LOOP
		EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', r);
		EXECUTE format('CREATE POLICY none ON %s USING (false) WITH CHECK (false)', r);
	END LOOP;
END $$;
SQL
is(as_role('alice', 'SELECT count(*) FROM forced'), '0', 'FORCE RLS: the owner sees no row');
my $rows = $node->safe_psql('postgres', 'SELECT count(*) FROM ONLY forced_default');
cmp_ok($rows, '>', 20, 'FORCE RLS: rows wait in the default');
is(as_role('alice', 'SELECT count FROM partman.check_default() WHERE default_table ~ \'forced\''), $rows, 'FORCE RLS: check_default counts them');
is(as_role('alice', q{SELECT default_rows FROM partman.partition_health_summary('forced')}), $rows, 'FORCE RLS: so does health');
is(as_role('alice', q{UPDATE partman.part_config SET ignore_default_data = false WHERE parent_table = 'forced'::regclass RETURNING 1}), '1',
	'FORCE RLS: ids of the default count');
is(as_role('alice', q{SELECT coalesce(sum(row_estimate), 0) FROM partman.run_partition_maintenance('forced')}), $rows,
	'FORCE RLS: all are moved');
is($node->safe_psql('postgres', 'SELECT (SELECT count(*) FROM ONLY forced_default), count(*), sum(a) FROM forced'), '0|45|1035',
	'FORCE RLS: and none is lost');
is($node->safe_psql('postgres', q{SELECT max(upper_id) FROM partman.list_partitions('forced')}), '60',
	'FORCE RLS: the highest id is seen, and one partition is ahead of it');

# ---------- a right that the owner lacks ----------

# break_and_heal(NAME, BREAK, PATTERN): after BREAK the set fails in the worker;
# what health says to run heals it
sub break_and_heal
{
	my ($name, $table, $break, $pattern) = @_;

	$node->safe_psql('postgres', $break);
	$node->safe_psql('postgres', "UPDATE partman.part_config SET premake = premake + 1 WHERE parent_table = '$table'::regclass");
	ok( $node->poll_query_until('postgres', qq{SELECT coalesce(last_sqlstate, upkeep_sqlstate) = '42501' AND failures + upkeep_failures > 0 FROM partman.part_state
			WHERE parent_table = '$table'::regclass}),
		"$name: the worker records the failure");
	my $problems = $node->safe_psql('postgres', "SELECT array_to_string(problems, E'\\n') FROM partman.partition_health_summary('$table')");
	my ($statement) = $problems =~ /$pattern/;
	ok(defined $statement, "$name: health says what to run") or diag($problems);
	$node->safe_psql('postgres', $statement // $break);
	ok( $node->poll_query_until('postgres', qq{SELECT failures + upkeep_failures = 0 AND last_error IS NULL AND (SELECT count(*) = 0 FROM partman.maintenance_plan('$table'))
			FROM partman.part_state WHERE parent_table = '$table'::regclass}),
		"$name: that heals it");
	return;
}

$node->safe_psql('postgres', <<'SQL');
CREATE SCHEMA lent;
GRANT ALL ON SCHEMA lent TO alice;
CREATE FUNCTION lent.noop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
SET ROLE alice;
CREATE TABLE lent.heal (at timestamptz NOT NULL) PARTITION BY RANGE (at);
CREATE TRIGGER noop BEFORE INSERT ON lent.heal FOR EACH ROW EXECUTE FUNCTION lent.noop();
SELECT partman.create_parent('lent.heal', 'at', '1 day', p_premake => 1, p_start_partition => (now() - interval '5 days')::text);
SQL
enable_worker(1);
break_and_heal('CREATE on the schema', 'lent.heal', 'REVOKE CREATE ON SCHEMA lent FROM alice', qr/(GRANT CREATE ON SCHEMA lent TO alice)/);
break_and_heal('EXECUTE on a trigger function', 'lent.heal', 'REVOKE EXECUTE ON FUNCTION lent.noop() FROM PUBLIC',
	qr/(GRANT EXECUTE ON FUNCTION lent\.noop\(\) TO alice)/);
break_and_heal('a partition of somebody else', 'lent.heal', q{
		DO $$DECLARE r regclass; BEGIN
			SELECT partition_name INTO r FROM partman.list_partitions('lent.heal') WHERE NOT is_default ORDER BY lower_time LIMIT 1;
			EXECUTE format('ALTER TABLE %s OWNER TO mallory', r);
		END$$;
		UPDATE partman.part_config SET retention = '2 days', retention_keep_table = false WHERE parent_table = 'lent.heal'::regclass},
	qr/(ALTER TABLE lent\.heal_p\d+ OWNER TO alice)/);

# create_parent says so at once
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE lent.late (at timestamptz NOT NULL) PARTITION BY RANGE (at);
ALTER TABLE lent.late OWNER TO alice;
REVOKE CREATE ON SCHEMA lent FROM alice;
SQL
my ($ret, $out, $err) = $node->psql('postgres', q{SELECT partman.create_parent('lent.late', 'at', '1 day')});
like($err, qr/GRANT CREATE ON SCHEMA lent TO alice/, 'create_parent says what to grant');

$node->stop;
done_testing();
