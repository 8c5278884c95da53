-- hand.sql: what an administrator would write instead of calling partmgr.
--
-- Loaded once into the database that all others are copied from.  Partitions
-- have pg_partman 4's names, which partmgr takes over from partitions it finds.

CREATE SCHEMA hand;

-- the table of all measurements: a primary key and two indexes
CREATE PROCEDURE hand.make_parent(parent text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE %I (id bigint NOT NULL, created_at timestamptz NOT NULL,'
		' customer int, payload text, PRIMARY KEY (id, created_at))'
		' PARTITION BY RANGE (created_at)', parent);
	EXECUTE format('CREATE INDEX ON %I (created_at)', parent);
	EXECUTE format('CREATE INDEX ON %I (customer)', parent);
END
$$;

CREATE FUNCTION hand.partition_name(parent text, lower timestamptz, width interval) RETURNS text
	LANGUAGE sql STABLE AS $$
	SELECT parent || to_char(lower, CASE WHEN width < '1 day' THEN '"_p"YYYY_MM_DD_HH24MI' ELSE '"_p"YYYY_MM_DD' END)
$$;

-- Ways to make n partitions from first on.  They differ in who makes the
-- indexes, and when: LIKE, or ATTACH.
--
--	attach		LIKE without indexes, ATTACH makes them
--	like		LIKE with indexes, ATTACH takes them over
--	two passes	as attach; all tables first, then all are attached
--	descending	as attach; the newest first
--	partition of	CREATE TABLE ... PARTITION OF, which locks the parent exclusively
CREATE PROCEDURE hand.make_partitions(way text, parent text, first timestamptz, width interval, n int)
	LANGUAGE plpgsql AS $$
DECLARE
	how text := CASE way WHEN 'like' THEN 'ALL' ELSE 'ALL EXCLUDING INDEXES' END;
	lower timestamptz;
	name text;
BEGIN
	IF way = 'two passes' THEN
		FOR i IN 0 .. n - 1 LOOP
			name := hand.partition_name(parent, first + i * width, width);
			EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING %s)', name, parent, how);
		END LOOP;
	END IF;
	FOR i IN 0 .. n - 1 LOOP
		lower := first + width * CASE way WHEN 'descending' THEN n - 1 - i ELSE i END;
		name := hand.partition_name(parent, lower, width);
		IF way = 'partition of' THEN
			EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
				name, parent, lower, lower + width);
			CONTINUE;
		END IF;
		IF way <> 'two passes' THEN
			EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING %s)', name, parent, how);
		END IF;
		EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
			parent, name, lower, lower + width);
	END LOOP;
END
$$;

-- last: ATTACH need not look into it for rows
CREATE PROCEDURE hand.make_default(way text, parent text) LANGUAGE plpgsql AS $$
BEGIN
	IF way = 'partition of' THEN
		EXECUTE format('CREATE TABLE %I PARTITION OF %I DEFAULT', parent || '_default', parent);
		RETURN;
	END IF;
	EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL EXCLUDING INDEXES)', parent || '_default', parent);
	EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I DEFAULT', parent, parent || '_default');
END
$$;

-- partitions that end before a point in time, dropped one by one, or all at once
CREATE PROCEDURE hand.drop_before(way text, parent text, first timestamptz, width interval, n int)
	LANGUAGE plpgsql AS $$
DECLARE
	names text[];
	name text;
BEGIN
	SELECT array_agg(quote_ident(hand.partition_name(parent, first + i * width, width)) ORDER BY i)
		INTO names FROM generate_series(0, n - 1) i;
	IF way = 'one statement' THEN
		EXECUTE 'DROP TABLE ' || array_to_string(names, ', ');
		RETURN;
	END IF;
	FOREACH name IN ARRAY names LOOP
		EXECUTE 'DROP TABLE ' || name;
	END LOOP;
END
$$;

-- What both sides must end in: how many partitions of which widths there are,
-- and which indexes and constraints they have.
CREATE FUNCTION hand.state(parent regclass) RETURNS text LANGUAGE sql AS $$
	WITH part AS (
		SELECT c.oid, c.reloptions, pg_get_expr(c.relpartbound, c.oid) AS bound,
			regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''(.*)''\) TO \(''(.*)''\)') AS ends
		FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = parent),
	kind AS (
		SELECT CASE WHEN bound = 'DEFAULT' THEN bound
				ELSE (ends[2]::timestamptz - ends[1]::timestamptz)::text END AS width,
			(SELECT string_agg(concat_ws(' ', indisprimary, indkey, indisvalid, x.relispartition), ', ' ORDER BY indkey::text)
				FROM pg_index JOIN pg_class x ON x.oid = indexrelid WHERE indrelid = part.oid) AS indexes,
			(SELECT string_agg(concat_ws(' ', contype, conislocal, coninhcount), ', ' ORDER BY contype)
				FROM pg_constraint WHERE conrelid = part.oid) AS constraints
		FROM part),
	counts AS (SELECT width, indexes, constraints, count(*) AS n FROM kind GROUP BY 1, 2, 3)
	SELECT string_agg(format('%s of %s: %s; %s', n, width, indexes, constraints), ' | '
		ORDER BY width, indexes, constraints) FROM counts
$$;
