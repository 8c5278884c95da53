-- query_health.sql: partition_health_summary() by hand, for a set by timestamptz.
WITH part AS (
	SELECT c.oid, c.relname, c.reltuples, pg_total_relation_size(c.oid) AS bytes, pg_get_expr(c.relpartbound, c.oid) AS range
	FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
	WHERE i.inhparent = 'public.t'::regclass),
ends AS (
	SELECT *, regexp_match(range, '^FOR VALUES FROM \(''(.*)''\) TO \(''(.*)''\)$') AS ends FROM part),
typed AS (
	SELECT *, ends[1]::timestamptz AS lower_time, ends[2]::timestamptz AS upper_time FROM ends),
placed AS (
	SELECT *, lag(upper_time) OVER (ORDER BY lower_time) AS previous FROM typed),
summary AS (
	SELECT count(*) FILTER (WHERE range <> 'DEFAULT') AS partitions,
		sum(reltuples) FILTER (WHERE reltuples >= 0)::bigint AS row_estimate, sum(bytes)::bigint AS bytes,
		min(lower_time) AS oldest, max(upper_time) AS newest,
		count(*) FILTER (WHERE lower_time > now()) AS partitions_ahead, max(upper_time) - now() AS time_ahead,
		count(*) FILTER (WHERE upper_time <= now() - c.retention::interval) AS pending_cleanup,
		sum(reltuples) FILTER (WHERE range = 'DEFAULT')::bigint AS default_rows,
		count(*) FILTER (WHERE previous < lower_time) AS gaps,
		(SELECT count(*) FROM generate_series(1, 4) i JOIN pg_class x
			ON x.relname = 't_p' || to_char(now() + i * c.partition_interval::interval, 'YYYYMMDD_HH24MISS')
			AND x.relnamespace = 'public'::regnamespace AND NOT x.relispartition) AS name_clashes
	FROM placed, part_config c WHERE c.parent_table = 'public.t'::regclass GROUP BY c.partition_interval)
SELECT 'public.t'::regclass AS parent_table,
	CASE WHEN partitions = 0 THEN 'NO_PARTITIONS' WHEN failures > 0 THEN 'FAILING' WHEN partitions_ahead = 0 THEN 'BEHIND'
		WHEN gaps > 0 THEN 'GAPS' WHEN default_rows > 0 THEN 'DEFAULT_ROWS' WHEN pending_cleanup > 0 THEN 'CLEANUP_NEEDED'
		ELSE 'HEALTHY' END AS status,
	summary.*, s.last_run, s.last_error, s.last_sqlstate, s.last_error_at, s.next_run,
	array_remove(ARRAY[CASE WHEN gaps > 0 THEN gaps || ' gaps' END, CASE WHEN default_rows > 0 THEN 'rows in the default' END], NULL) AS problems
FROM summary, part_state s WHERE s.parent_table = 'public.t'::regclass;
