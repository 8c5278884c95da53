-- query_list.sql: list_partitions() by hand, for a set by timestamptz.
WITH part AS (
	SELECT i.inhparent, c.oid, pg_get_expr(c.relpartbound, c.oid) AS range, i.inhdetachpending, c.reltuples
	FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
	WHERE i.inhparent = 'public.t'::regclass),
ends AS (
	SELECT *, regexp_match(range, '^FOR VALUES FROM \(''(.*)''\) TO \(''(.*)''\)$') AS ends FROM part),
typed AS (
	SELECT *, ends[1]::timestamptz AS lower_time, ends[2]::timestamptz AS upper_time FROM ends)
SELECT inhparent::regclass AS parent_table, oid::regclass AS partition_name, range, lower_time, upper_time,
	NULL::bigint AS lower_id, NULL::bigint AS upper_id, range = 'DEFAULT' AS is_default,
	CASE WHEN range = 'DEFAULT' THEN 'default' WHEN inhdetachpending THEN 'pending detach'
		WHEN upper_time <= now() THEN 'past' WHEN lower_time > now() THEN 'future' ELSE 'current' END AS state,
	nullif(reltuples, -1)::bigint AS row_estimate, pg_total_relation_size(oid) AS bytes,
	greatest(pg_stat_get_last_analyze_time(oid), pg_stat_get_last_autoanalyze_time(oid)) AS last_analyze,
	greatest(pg_stat_get_last_vacuum_time(oid), pg_stat_get_last_autovacuum_time(oid)) AS last_vacuum
FROM typed ORDER BY lower_time NULLS LAST;
