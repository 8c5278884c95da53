-- query_bounds.sql: the bounds of all partitions of all sets, by hand.
SELECT i.inhparent, i.inhrelid, pg_get_expr(c.relpartbound, c.oid)
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent IN (SELECT oid FROM pg_class WHERE relkind = 'p');
