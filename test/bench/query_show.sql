-- query_show.sql: show_partitions() by hand: the names, in the order of the bounds.
SELECT n.nspname, c.relname
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE i.inhparent = 'public.t'::regclass AND pg_get_expr(c.relpartbound, c.oid) <> 'DEFAULT'
ORDER BY substring(pg_get_expr(c.relpartbound, c.oid) FROM 'FROM \(''(.*?)''\)')::timestamptz;
