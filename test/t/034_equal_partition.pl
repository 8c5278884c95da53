# A partition made by partmgr is what CREATE TABLE ... PARTITION OF makes:
# both are read from the catalogs, row by row and column by column, and
# compared as text.
#
# partmgr gives more on purpose, and only this: statistics objects and targets,
# comments, the replica identity, and privileges with inherit_privileges.

use strict;
use warnings;

use Partmgr;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', conf => <<'CONF');
partmgr.enabled = off
allow_in_place_tablespaces = on
wal_level = logical
CONF
my $major = int($node->safe_psql('postgres', 'SHOW server_version_num') / 10000);

# What the catalogs say of a partition.  Each query has one column, text, and
# :oid for the partition; OIDs of its own objects are left out or named.
my %section = (
	class => q{
		SELECT (to_jsonb(c) - '{oid,relname,reltype,relfilenode,reltoastrelid,relpages,reltuples,
			relallvisible,relallfrozen,relfrozenxid,relminmxid,relpartbound}'::text[])::text
			|| ' toast ' || (reltoastrelid <> 0)
		FROM pg_class c WHERE oid = :oid},
	attribute => q{
		SELECT (to_jsonb(a) - '{attrelid,attcacheoff}'::text[])::text
		FROM pg_attribute a WHERE attrelid = :oid AND attnum > 0},
	attrdef => q{
		SELECT adnum || ' ' || pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = :oid},
	constraint => q{
		SELECT (to_jsonb(c) - '{oid,conrelid,conindid,conparentid,conbin,confrelid}'::text[])::text
			|| pg_get_constraintdef(oid) || ' on ' || conrelid::regclass || ' to ' || confrelid::regclass
			|| ' index ' || conindid::regclass
			|| ' parent ' || coalesce((SELECT conname FROM pg_constraint p WHERE p.oid = c.conparentid), '-')
		FROM pg_constraint c WHERE :oid IN (conrelid, confrelid)},
	index => q{
		SELECT (to_jsonb(i) - '{indexrelid,indrelid,indexprs,indpred}'::text[])::text
			|| pg_get_indexdef(indexrelid)
			|| (SELECT (to_jsonb(c) - '{oid,relfilenode,relpages,reltuples,relallvisible,relallfrozen}'::text[])::text
				FROM pg_class c WHERE c.oid = i.indexrelid)
			|| ' targets ' || (SELECT string_agg(coalesce(attstattarget::text, '-'), ',' ORDER BY attnum)
				FROM pg_attribute a WHERE a.attrelid = i.indexrelid)
			|| ' parent ' || coalesce((SELECT inhparent::regclass::text FROM pg_inherits WHERE inhrelid = indexrelid), '-')
		FROM pg_index i WHERE indrelid = :oid},
	trigger => q{
		SELECT (to_jsonb(t) - '{oid,tgrelid,tgparentid,tgconstrrelid,tgconstrindid,tgconstraint,tgqual}'::text[])::text
			|| pg_get_triggerdef(oid)
			|| ' parent ' || coalesce((SELECT tgname FROM pg_trigger p WHERE p.oid = t.tgparentid), '-')
		FROM pg_trigger t WHERE tgrelid = :oid},
	inherits => q{
		SELECT inhparent::regclass || ' ' || inhseqno || inhdetachpending FROM pg_inherits WHERE inhrelid = :oid},
	depend => q{
		SELECT pg_describe_object(classid, objid, objsubid) || ' ' || deptype::text || ' '
			|| pg_describe_object(refclassid, refobjid, refobjsubid)
		FROM pg_depend WHERE (classid = 'pg_class'::regclass AND objid = :oid)
			OR (refclassid = 'pg_class'::regclass AND refobjid = :oid)
			OR (classid = 'pg_constraint'::regclass AND objid IN (SELECT oid FROM pg_constraint WHERE conrelid = :oid))
			OR (classid = 'pg_trigger'::regclass AND objid IN (SELECT oid FROM pg_trigger WHERE tgrelid = :oid))
			OR (classid = 'pg_class'::regclass AND objid IN (SELECT indexrelid FROM pg_index WHERE indrelid = :oid))},
	publication => q{
		SELECT pubname FROM pg_publication p
		WHERE EXISTS (SELECT FROM pg_publication_tables t, pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE t.pubname = p.pubname AND t.schemaname = n.nspname AND t.tablename = c.relname AND c.oid = :oid)},
	statistics => q{
		SELECT stxkeys::text || stxkind::text || coalesce(stxstattarget::text, '-') || coalesce(pg_get_expr(stxexprs, stxrelid), '-')
		FROM pg_statistic_ext WHERE stxrelid = :oid},
	comment => q{
		SELECT objsubid || ' ' || description FROM pg_description WHERE objoid = :oid AND classoid = 'pg_class'::regclass
		UNION ALL
		SELECT conname || ' ' || description FROM pg_description d JOIN pg_constraint c ON c.oid = d.objoid
		WHERE d.classoid = 'pg_constraint'::regclass AND conrelid = :oid AND contype = 'c'});

# look(TABLE, SECTION): its rows, sorted, the table's own name replaced, and the
# numbers that core has picked
sub look
{
	my ($table, $what) = @_;
	my ($schema, $plain) = $table =~ /^(\w+)\.(\w+)$/;
	my $oid = $node->safe_psql('postgres', "SELECT '$table'::regclass::oid");

	(my $sql = $section{$what}) =~ s/:oid/$oid/g;
	my $text = $node->safe_psql('postgres', $sql);
	$text =~ s/\Q$plain\E/PARTITION/g;
	$text =~ s/(RI_ConstraintTrigger_[ac])_\d+/$1/g;
	# a foreign key that points here is numbered through over all partitions
	$text =~ s/(_fkey)_?\d+/$1/g;
	$text =~ s/(pg_toast)_\d+/$1/g;
	# some builds of the server keep a position in the WAL with each column
	$text =~ s/pg_attver=\d+/pg_attver/g;
	return join("\n", sort split(/\n/, $text));
}

# same(IS, SHOULD, NAME) is is() that shows only the rows that differ
sub same
{
	my ($is, $should, $name) = @_;
	my %is = map { $_ => 1 } split(/\n/, $is);
	my %should = map { $_ => 1 } split(/\n/, $should);

	return if ok($is eq $should, $name);
	diag("made: $_") foreach grep { !$should{$_} } sort keys %is;
	diag("hand: $_") foreach grep { !$is{$_} } sort keys %should;
}

# compare(MADE, HAND, NAME, SECTIONS...): all sections but the named ones
sub compare
{
	my ($made, $hand, $name, @without) = @_;

	foreach my $what (sort keys %section)
	{
		next if grep { $_ eq $what } @without;
		same(look($made, $what), look($hand, $what), "$name: $what");
	}
}

# manage(PARENT, ARGUMENTS) makes it a set of monthly partitions and returns
# the newest one
sub manage
{
	my ($parent, $args) = @_;

	$node->safe_psql('postgres',
		"SELECT partman.create_parent('$parent', 'at', '1 month', p_premake => 1" . ($args // '') . ')');
	return $node->safe_psql('postgres', qq{
		SELECT partition_schemaname || '.' || partition_tablename
		FROM partman.show_partitions('$parent', 'DESC') LIMIT 1});
}

# by_hand(PARENT) has core make a partition, far away
sub by_hand
{
	my ($parent) = @_;

	$node->safe_psql('postgres', <<SQL);
SET ROLE owner;
CREATE TABLE ${parent}_hand PARTITION OF $parent FOR VALUES FROM ('2100-01-01') TO ('2100-02-01');
SQL
	return "${parent}_hand";
}

$node->safe_psql('postgres', <<'SQL');
CREATE SCHEMA partman;
CREATE EXTENSION partmgr SCHEMA partman;
CREATE ROLE owner;
CREATE ROLE reader;
CREATE ROLE writer;
CREATE ROLE "Näme ""x""";
GRANT ALL ON SCHEMA public TO owner;
CREATE TABLESPACE one LOCATION '';
CREATE TABLESPACE two LOCATION '';
GRANT CREATE ON TABLESPACE one, two TO owner;
CREATE ACCESS METHOD other_heap TYPE TABLE HANDLER heap_tableam_handler;
CREATE FUNCTION noop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
SET ROLE owner;
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TYPE pair AS (x int, y text);
CREATE TABLE referenced (id int PRIMARY KEY, at timestamptz, UNIQUE (id, at));
CREATE TABLE parts (id int, at timestamptz, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE parts_all PARTITION OF parts DEFAULT;
SQL

# ---------- everything that a table can have ----------

my $using = $major >= 17 ? 'USING other_heap' : '';
my $named = $major >= 18 ? 'CONSTRAINT a_is_required' : '';
$node->safe_psql('postgres', <<SQL);
SET ROLE owner;
CREATE TABLE every (
	gone int,
	id int GENERATED BY DEFAULT AS IDENTITY,
	at timestamptz NOT NULL DEFAULT now(),
	a int $named NOT NULL,
	b text COLLATE "C" DEFAULT 'x' || current_user,
	serial serial,
	g int GENERATED ALWAYS AS (a * 2) STORED,
	d positive DEFAULT 7,
	e varchar(10) NOT NULL,
	j jsonb COMPRESSION pglz,
	n numeric(10,2)[],
	p pair,
	ref int REFERENCES referenced ON DELETE SET NULL,
	parts_id int,
	parts_at timestamptz,
	up_id int,
	up_at timestamptz,
	also_gone text,
	CONSTRAINT every_pk PRIMARY KEY (at, id),
	UNIQUE NULLS NOT DISTINCT (a, at) INCLUDE (b) USING INDEX TABLESPACE two,
	CONSTRAINT a_small CHECK (a < 1000),
	CHECK (b <> '' AND d > 3),
	FOREIGN KEY (parts_id, parts_at) REFERENCES parts MATCH FULL ON UPDATE CASCADE,
	FOREIGN KEY (ref, at) REFERENCES referenced (id, at) DEFERRABLE INITIALLY DEFERRED
) PARTITION BY RANGE (at) $using TABLESPACE one;
ALTER TABLE every ALTER e SET STORAGE EXTERNAL;
ALTER TABLE every DROP COLUMN gone, DROP COLUMN also_gone;
ALTER TABLE every ADD FOREIGN KEY (up_at, up_id) REFERENCES every (at, id);
ALTER TABLE every ADD CONSTRAINT late CHECK (a > -1000) NOT VALID;
ALTER TABLE every ADD COLUMN added int DEFAULT 42 NOT NULL;
ALTER TABLE every ALTER b SET STATISTICS 500, ALTER a SET (n_distinct = 5);
CREATE INDEX ON every (a DESC NULLS LAST) WHERE b IS NOT NULL;
CREATE INDEX every_expr ON every (lower(b), (a + d));
CREATE INDEX every_brin ON every USING brin (at) WITH (pages_per_range = 8) TABLESPACE two;
CREATE INDEX ON every USING gin (j jsonb_path_ops) WITH (fastupdate = off);
CREATE INDEX ON every USING hash (e);
CREATE INDEX ON every (b COLLATE "POSIX" text_pattern_ops) INCLUDE (e);
ALTER INDEX every_expr ALTER COLUMN 2 SET STATISTICS 300;
CREATE STATISTICS every_stat ON a, d FROM every;
CREATE STATISTICS every_stat2 (mcv) ON (a % 10), b FROM every;
ALTER STATISTICS every_stat2 SET STATISTICS 50;
CREATE TABLE refers (every_at timestamptz, every_id int,
	FOREIGN KEY (every_at, every_id) REFERENCES every ON DELETE CASCADE);
CREATE TRIGGER plain BEFORE INSERT OR UPDATE OF a ON every
	FOR EACH ROW WHEN (NEW.a > 5) EXECUTE FUNCTION noop('arg', 'two');
CREATE TRIGGER after AFTER DELETE ON every FOR EACH ROW EXECUTE FUNCTION noop();
CREATE CONSTRAINT TRIGGER cons AFTER INSERT ON every
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION noop();
CREATE TRIGGER off BEFORE UPDATE ON every FOR EACH ROW EXECUTE FUNCTION noop();
CREATE TRIGGER always BEFORE UPDATE ON every FOR EACH ROW EXECUTE FUNCTION noop();
CREATE TRIGGER replica BEFORE UPDATE ON every FOR EACH ROW EXECUTE FUNCTION noop();
CREATE TRIGGER statement BEFORE UPDATE ON every FOR EACH STATEMENT EXECUTE FUNCTION noop();
ALTER TABLE every DISABLE TRIGGER off;
ALTER TABLE every ENABLE ALWAYS TRIGGER always;
ALTER TABLE every ENABLE REPLICA TRIGGER replica;
ALTER TABLE every ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON every USING (false);
COMMENT ON TABLE every IS 'a table';
COMMENT ON COLUMN every.a IS 'a column';
COMMENT ON CONSTRAINT a_small ON every IS 'a constraint';
COMMENT ON INDEX every_brin IS 'an index';
RESET ROLE;
CREATE PUBLICATION all_tables FOR ALL TABLES;
CREATE PUBLICATION one_table FOR TABLE every;
CREATE PUBLICATION one_schema FOR TABLES IN SCHEMA public;
SQL
$node->safe_psql('postgres', <<'SQL') if $major >= 17;
ALTER TABLE every ADD CONSTRAINT no_twins EXCLUDE USING btree (at WITH =, serial WITH =);
SQL
$node->safe_psql('postgres', <<'SQL') if $major >= 18;
ALTER TABLE every ADD COLUMN v int GENERATED ALWAYS AS (a + 1) VIRTUAL;
ALTER TABLE every ADD CONSTRAINT wish CHECK (d < 100) NOT ENFORCED;
ALTER TABLE every ADD CONSTRAINT fk_wish FOREIGN KEY (a) REFERENCES referenced NOT ENFORCED;
ALTER TABLE every ADD CONSTRAINT n_late NOT NULL n NOT VALID;
SQL

my $made = manage('public.every');
my $hand = by_hand('public.every');
compare($made, $hand, 'everything', qw(statistics comment attribute depend));

# statistics targets are the parent's, and all else in pg_attribute is core's
my $targets = q{
	SELECT attname, attstattarget FROM pg_attribute
	WHERE attrelid = '%s'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attname};
is( $node->safe_psql('postgres', sprintf($targets, $made)),
	$node->safe_psql('postgres', sprintf($targets, 'public.every')),
	'statistics targets of the parent');
$node->safe_psql('postgres', "ALTER TABLE $hand ALTER b SET STATISTICS 500");
same(look($made, 'attribute'), look($hand, 'attribute'), 'everything: attribute');

# so are comments and statistics objects
is(look($made, 'comment') =~ s/^\d+ //mr, "a column\na_small a constraint", 'comments of the parent');
is(look($hand, 'comment'), '', 'a partition made by hand has none');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_statistic_ext WHERE stxrelid = '$made'::regclass"),
	'2', 'statistics objects of the parent');

# dependencies: those of the statistics objects come on top
sub depend
{
	return join("\n", grep { !/^statistics object/ } split(/\n/, look($_[0], 'depend')));
}
same(depend($made), depend($hand), 'everything: depend');

# rows can be written, and go away again with the partition
$node->safe_psql('postgres', <<SQL);
INSERT INTO referenced SELECT 1, lower_time + '1 hour' FROM partman.list_partitions('every') WHERE partition_name = '$made'::regclass;
INSERT INTO every (at, a, e, d, n, ref) SELECT at, 1, 'e', 7, '{}', 1 FROM referenced;
SQL
is($node->safe_psql('postgres', "SELECT count(*), min(g), min(added) FROM $made"), '1|2|42',
	'a row can be written');

# ---------- the default partition ----------

my $define = <<'SQL';
SET ROLE owner;
CREATE TABLE def (at timestamptz NOT NULL, a int CHECK (a > 0), b text DEFAULT 'b', UNIQUE (at)) PARTITION BY RANGE (at);
SQL
$node->safe_psql('postgres', $define);
manage('public.def');
my %default = map { $_ => look('public.def_default', $_) } sort keys %section;
$node->safe_psql('postgres', <<'SQL');
SET ROLE owner;
DROP TABLE def_default;
CREATE TABLE def_default PARTITION OF def DEFAULT;
SQL
same($default{$_}, look('public.def_default', $_), "default partition: $_") foreach sort keys %default;

# ---------- replica identity ----------

foreach my $identity ('FULL', 'NOTHING', 'USING INDEX ident_at_id_key')
{
	$node->safe_psql('postgres', <<SQL);
DROP TABLE IF EXISTS ident;
SET ROLE owner;
CREATE TABLE ident (id int NOT NULL, at timestamptz NOT NULL, UNIQUE (at, id)) PARTITION BY RANGE (at);
ALTER TABLE ident REPLICA IDENTITY $identity;
SQL
	my $part = manage('public.ident');
	my $core = by_hand('public.ident');
	(my $own = $identity) =~ s/ident_at/ident_hand_at/;
	$node->safe_psql('postgres', "ALTER TABLE $core REPLICA IDENTITY $own");
	compare($part, $core, "replica identity $identity");
	same(look('public.ident_default', 'class'), look($core, 'class'),
		"replica identity $identity: default partition");
}

# ---------- privileges ----------

my $privileges = q{
	SELECT coalesce(attname, ''), grantor::regrole, grantee::regrole, privilege_type, is_grantable
	FROM (SELECT NULL::name AS attname, x.* FROM pg_class, aclexplode(relacl) x WHERE oid = '%1$s'::regclass
		UNION ALL
		SELECT a.attname, x.* FROM pg_attribute a, aclexplode(attacl) x WHERE attrelid = '%1$s'::regclass) y
	ORDER BY 1, 2, 3, 4, 5};
$node->safe_psql('postgres', <<'SQL');
SET ROLE owner;
ALTER DEFAULT PRIVILEGES GRANT INSERT, DELETE ON TABLES TO writer;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT TRUNCATE ON TABLES TO PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO reader WITH GRANT OPTION;
CREATE TABLE granted (at timestamptz, a int, "odd ""col" text) PARTITION BY RANGE (at);
REVOKE ALL ON granted FROM writer, PUBLIC, reader;
GRANT SELECT ON granted TO reader WITH GRANT OPTION;
GRANT INSERT (a, "odd ""col"), UPDATE ON granted TO writer;
GRANT REFERENCES (a) ON granted TO PUBLIC;
GRANT SELECT ("odd ""col") ON granted TO "Näme ""x""" WITH GRANT OPTION;
GRANT TRIGGER ON granted TO "Näme ""x""";
CREATE TABLE ungranted (at timestamptz, a int) PARTITION BY RANGE (at);
REVOKE ALL ON ungranted FROM writer, PUBLIC, reader;
SQL
$made = manage('public.granted', ', p_inherit_privileges => true, p_control_not_null => false');
my $of_parent = $node->safe_psql('postgres', sprintf($privileges, 'public.granted'));
same($node->safe_psql('postgres', sprintf($privileges, $made)), $of_parent,
	'inherit_privileges: grants of the parent, options and columns, and none of the default privileges');
same($node->safe_psql('postgres', sprintf($privileges, 'public.granted_default')), $of_parent,
	'inherit_privileges: the same for the default partition');
like($of_parent, qr/^odd "col\|owner\|"Näme ""x"""\|SELECT\|t$/m, 'grants to odd names were compared');

$made = manage('public.ungranted', ', p_control_not_null => false');
$hand = by_hand('public.ungranted');
same($node->safe_psql('postgres', sprintf($privileges, $made)),
	$node->safe_psql('postgres', sprintf($privileges, $hand)),
	'without inherit_privileges default privileges rule, as by hand');
is($node->safe_psql('postgres', "SELECT relowner::regrole FROM pg_class WHERE oid = '$made'::regclass"),
	'owner', 'the partition belongs to the owner of the set');

$node->stop;
done_testing();
