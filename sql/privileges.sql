-- privileges, owner and properties that one table takes from another

SET client_min_messages = warning;
CREATE EXTENSION partmgr;
CREATE SCHEMA priv_test;
SET search_path = priv_test, public;
\set VERBOSITY terse

CREATE ROLE regress_priv_owner;
CREATE ROLE regress_priv_reader;
CREATE ROLE "regress priv Writer";
CREATE ROLE regress_priv_third;
GRANT ALL ON SCHEMA priv_test TO regress_priv_owner;

CREATE VIEW acls AS
	SELECT c.relname, pg_get_userbyid(c.relowner) AS owner, (SELECT array_agg(replace(a::text, 'xtm', 'xt') ORDER BY a::text) FROM unnest(c.relacl) a) AS acl,
		(SELECT string_agg(attname || '=' || array_to_string(attacl, ','), ' ' ORDER BY attnum) FROM pg_attribute
			WHERE attrelid = c.oid AND attacl IS NOT NULL) AS columns
	FROM pg_class c WHERE c.relkind IN ('r', 'p') AND relnamespace = 'priv_test'::regnamespace;

CREATE TABLE ids (id bigint NOT NULL, device int, name text) PARTITION BY RANGE (id);
ALTER TABLE ids OWNER TO regress_priv_owner;
SELECT create_parent('ids', 'id', '10', p_premake => 1, p_start_partition => '0');

--
-- apply_privileges, reapply_privileges
--

SET SESSION AUTHORIZATION regress_priv_owner;
GRANT SELECT ON ids TO regress_priv_reader WITH GRANT OPTION;
GRANT SELECT (name), UPDATE (device, name) ON ids TO "regress priv Writer";
GRANT INSERT ON ids TO PUBLIC;
REVOKE DELETE ON ids FROM regress_priv_owner;

-- what was granted further goes with its ground
GRANT ALL ON ids_p0 TO regress_priv_reader WITH GRANT OPTION;
GRANT UPDATE (id) ON ids_p0 TO "regress priv Writer";
SET SESSION AUTHORIZATION regress_priv_reader;
GRANT SELECT ON priv_test.ids_p0 TO regress_priv_third;
RESET SESSION AUTHORIZATION;
GRANT USAGE ON SCHEMA priv_test TO regress_priv_reader;
SET SESSION AUTHORIZATION regress_priv_reader;
GRANT SELECT ON priv_test.ids_p0 TO regress_priv_third;
SET SESSION AUTHORIZATION regress_priv_owner;
SELECT public.apply_privileges('priv_test', 'ids', 'priv_test', 'ids_p0');
RESET SESSION AUTHORIZATION;
SELECT * FROM acls ORDER BY relname;

-- all, the default too; the owner as well
ALTER TABLE ids_p10 OWNER TO regress_priv_third;
SELECT reapply_privileges('priv_test.ids');
SELECT reapply_privileges('ids'::regclass);
SELECT relname, owner, acl IS NOT DISTINCT FROM first_value(acl) OVER w AS same,
	columns IS NOT DISTINCT FROM first_value(columns) OVER w AS same_columns FROM acls WINDOW w AS (ORDER BY relname) ORDER BY relname;

-- a parent that has none but its owner's
CREATE TABLE bare (id int);
CREATE TABLE rich (id int);
GRANT ALL ON rich TO PUBLIC;
REVOKE UPDATE ON rich FROM postgres;
SELECT apply_privileges('priv_test', 'bare', 'priv_test', 'rich', 42);
SELECT apply_privileges('priv_test', 'bare', 'priv_test', 'bare');
SELECT relname, owner, acl FROM acls WHERE relname IN ('bare', 'rich') ORDER BY 1;

-- the view
SELECT grantor, grantee, table_schema, table_name, privilege_type FROM table_privs
	WHERE table_name = 'ids' AND grantee <> 'regress_priv_owner' ORDER BY 1, 2, 5;
SET SESSION AUTHORIZATION regress_priv_third;
SELECT grantor, grantee, table_name, privilege_type FROM public.table_privs
	WHERE table_schema = 'priv_test' AND table_name IN ('ids', 'bare') ORDER BY 1, 2, 4;
RESET SESSION AUTHORIZATION;

--
-- Properties
--

ALTER TABLE ids ALTER COLUMN device SET STATISTICS 500, ALTER COLUMN name SET STATISTICS 0;
SELECT inherit_parent_properties('priv_test', 'ids', 'ids_p0');
SELECT inherit_parent_properties('priv_test', 'ids', p_child_tablename => 'ids_p10', p_child_schema => 'priv_test');
SELECT inherit_parent_properties('priv_test', 'bare', 'rich');
SELECT attrelid::regclass, attname, attstattarget FROM pg_attribute
	WHERE attrelid IN ('ids_p0'::regclass, 'ids_p10'::regclass, 'ids_default'::regclass) AND attnum > 0 AND attstattarget >= 0 ORDER BY 1, attnum;

ALTER TABLE ids ADD PRIMARY KEY (id);
ALTER TABLE ids REPLICA IDENTITY USING INDEX ids_pkey;
SELECT inherit_replica_identity('priv_test', 'ids', 'ids_p0');
ALTER TABLE ids REPLICA IDENTITY FULL;
SELECT inherit_replica_identity('priv_test', 'ids', p_child_tablename => 'ids_p10');
SELECT relname, relreplident FROM pg_class WHERE relname ~ '^ids_(p|def).*[0t]$' ORDER BY 1;
ALTER TABLE ids REPLICA IDENTITY DEFAULT;
SELECT inherit_replica_identity('priv_test', 'ids', 'ids_p10');
SELECT relname, relreplident FROM pg_class WHERE relname = 'ids_p10';

SELECT autovacuum_off('priv_test', 'ids', 'priv_test', 'rich');
SELECT relname, reloptions FROM pg_class WHERE relnamespace = 'priv_test'::regnamespace AND relkind IN ('r', 'p') ORDER BY 1;
SELECT autovacuum_reset('priv_test', 'ids', p_source_schema => 'priv_test', p_source_tablename => 'rich');
SELECT autovacuum_off('priv_test', 'bare');
SELECT relname, reloptions FROM pg_class WHERE relnamespace = 'priv_test'::regnamespace AND relkind IN ('r', 'p') ORDER BY 1;

CREATE INDEX "by id" ON bare (id DESC);
CREATE INDEX ON rich (id);
CREATE INDEX "same here" ON rich (id DESC);
ALTER TABLE bare CLUSTER ON "by id";
SELECT apply_cluster('priv_test', 'bare', 'priv_test', 'rich');
SELECT apply_cluster('priv_test', 'ids', 'priv_test', 'ids_p0');
SELECT indexrelid::regclass FROM pg_index WHERE indisclustered AND indrelid IN ('rich'::regclass, 'ids_p0'::regclass);

--
-- Refusals
--

SELECT apply_privileges('priv_test', 'nowhere', 'priv_test', 'rich');
SELECT apply_privileges('nowhere', 'ids', 'priv_test', 'rich');
SELECT apply_privileges('priv_test', 'acls', 'priv_test', 'rich');
SELECT apply_privileges('priv_test', 'ids', 'priv_test', NULL);
SELECT reapply_privileges('priv_test.bare');
SELECT inherit_replica_identity('priv_test', 'ids', 'nowhere');
SET SESSION AUTHORIZATION regress_priv_owner;
SELECT public.apply_privileges('priv_test', 'ids', 'priv_test', 'rich');
SELECT public.apply_privileges('priv_test', 'rich', 'priv_test', 'ids_p0');
SELECT public.inherit_parent_properties('priv_test', 'ids', 'rich');
SELECT public.inherit_replica_identity('priv_test', 'rich', 'ids_p0');
SELECT public.autovacuum_off('priv_test', 'ids', 'priv_test', 'rich');
SELECT public.apply_cluster('priv_test', 'bare', 'priv_test', 'ids_p0');
SET SESSION AUTHORIZATION regress_priv_reader;
SELECT public.reapply_privileges('priv_test.ids');
SELECT public.autovacuum_reset('priv_test', 'ids');
SELECT public.inherit_template_properties('priv_test.ids', 'priv_test', 'ids_p0');
RESET SESSION AUTHORIZATION;

-- a partition of somebody else is not taken from him
ALTER TABLE ids_p10 OWNER TO regress_priv_third;
SET SESSION AUTHORIZATION regress_priv_owner;
SELECT public.reapply_privileges('priv_test.ids');
RESET SESSION AUTHORIZATION;

SET client_min_messages = error;
DROP SCHEMA priv_test CASCADE;
DROP EXTENSION partmgr;
DROP OWNED BY regress_priv_owner;
DROP ROLE regress_priv_owner, regress_priv_reader, "regress priv Writer", regress_priv_third;
