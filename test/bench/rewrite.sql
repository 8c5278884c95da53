-- rewrite.sql: what the writers and readers of the case rewrite call.

-- The fire: a table, and a model that each transaction writes the same to.
CREATE PROCEDURE hand.make_fire(n int, width interval) LANGUAGE plpgsql AS $$
BEGIN
	CREATE TABLE ev (id bigint PRIMARY KEY, at timestamptz NOT NULL, n int, t text);
	CREATE INDEX ev_n ON ev (n);
	CREATE TABLE model (id bigint, at timestamptz, n int, t text);
	CREATE SEQUENCE fire_ids START 1000000;
	INSERT INTO ev SELECT g, current_date - width + random() * width, g, repeat(chr(65 + g % 26), 50) FROM generate_series(1, n) g;
	INSERT INTO model SELECT * FROM ev;
	CREATE INDEX ON model (id);
END
$$;

-- One write of some kind to both: also large values, keys that change, rows that
-- are deleted and come again, rows that are locked first, subtransactions that
-- are undone.  One writer per id at a time, so that the model is exact.
CREATE FUNCTION hand.fire(n int, width interval) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	kind int := random() * 14;
	i bigint := 1 + random() * n;
	j bigint;
	ts timestamptz := current_date - width + random() * width;
	big text := CASE WHEN random() < 0.05 THEN (SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 100))
		ELSE 'u' || random() END;
BEGIN
	PERFORM pg_advisory_xact_lock(i);
	CASE
	WHEN kind < 4 THEN
		UPDATE ev SET n = ev.n + 1, t = big WHERE id = i;
		UPDATE model SET n = model.n + 1, t = big WHERE id = i;
	WHEN kind < 6 THEN
		UPDATE ev SET at = ts WHERE id = i;
		UPDATE model SET at = ts WHERE id = i;
	WHEN kind < 8 THEN
		j := nextval('fire_ids');
		INSERT INTO ev VALUES (j, ts, 1, big);
		INSERT INTO model VALUES (j, ts, 1, big);
	WHEN kind < 9 THEN
		DELETE FROM ev WHERE id = i;
		DELETE FROM model WHERE id = i;
	WHEN kind < 10 THEN
		DELETE FROM ev WHERE id = i;
		DELETE FROM model WHERE id = i;
		INSERT INTO ev VALUES (i, ts, 7, big);
		INSERT INTO model VALUES (i, ts, 7, big);
	WHEN kind < 11 THEN
		j := nextval('fire_ids');
		UPDATE ev SET id = j WHERE id = i;
		UPDATE model SET id = j WHERE id = i;
	WHEN kind < 12 THEN
		PERFORM FROM ev WHERE id = i FOR UPDATE;
		PERFORM pg_sleep(random() * 0.05);
		UPDATE ev SET n = 0 WHERE id = i;
		UPDATE model SET n = 0 WHERE id = i;
	WHEN kind < 13 THEN
		BEGIN
			DELETE FROM ev WHERE id = i;
			RAISE division_by_zero;
		EXCEPTION WHEN division_by_zero THEN
			NULL;
		END;
	ELSE
		-- where there is no partition yet
		j := nextval('fire_ids');
		INSERT INTO ev VALUES (j, current_date + 20 + random() * interval '3 days', 2, 'late');
		INSERT INTO model SELECT * FROM ev WHERE id = j;
	END CASE;
END
$$;

-- for readers: both in one snapshot
CREATE FUNCTION hand.equal(a text, b text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF a <> b THEN
		RAISE 'differ: % %', a, b;
	END IF;
END
$$;

-- Tells when locks that keep writers out come and go, every millisecond or two.
-- To be called in another database: it holds a snapshot, and is ended from outside.
CREATE PROCEDURE hand.watch_locks(of_database oid, of_relation oid) LANGUAGE plpgsql AS $$
DECLARE
	before text := '';
	here text;
BEGIN
	LOOP
		SELECT coalesce(string_agg(DISTINCT mode, ' ' ORDER BY mode), '') INTO here FROM pg_locks
			WHERE locktype = 'relation' AND database = of_database AND relation = of_relation AND granted
			AND mode IN ('ExclusiveLock', 'AccessExclusiveLock');
		IF here <> before THEN
			RAISE NOTICE '% %', extract(epoch FROM clock_timestamp()), here;
			before := here;
		END IF;
		PERFORM pg_sleep(0.001);
	END LOOP;
END
$$;
