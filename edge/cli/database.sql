-- name: size_get one
-- The database as a whole; the ratio is null until something was read. A statistic counts since stats_since, or since the database was made.
SELECT d.datname::text AS database, pg_database_size(d.datid) AS size_bytes, d.stats_reset AS stats_since,
       round(d.blks_hit::numeric / nullif(d.blks_hit + d.blks_read, 0), 4)::float8 AS cache_hit_ratio, d.deadlocks, d.temp_bytes
FROM pg_stat_database d WHERE d.datname = current_database();

-- name: connections_get one
-- Connections of clients, to every database of the server, and how many it takes. States of other roles' are shown to members of pg_monitor alone.
SELECT count(*) AS used, count(*) FILTER (WHERE datname = current_database()) AS here, count(*) FILTER (WHERE state = 'active') AS active,
       count(*) FILTER (WHERE state LIKE 'idle in transaction%') AS idle_in_transaction,
       coalesce(max(extract(epoch FROM now() - xact_start)) FILTER (WHERE pid <> pg_backend_pid()), 0)::float8 AS longest_transaction_s,
       current_setting('max_connections')::integer AS most
FROM pg_stat_activity WHERE backend_type = 'client backend';

-- name: tables_many many
-- Size, rows and dead rows of each table, its partitions in one line with it, the largest first.
SELECT r.root::regclass::text AS table, sum(pg_total_relation_size(s.relid))::bigint AS total_bytes, sum(pg_table_size(s.relid))::bigint AS table_bytes,
       sum(pg_indexes_size(s.relid))::bigint AS index_bytes, sum(s.n_live_tup)::bigint AS live_rows, sum(s.n_dead_tup)::bigint AS dead_rows,
       max(greatest(s.last_vacuum, s.last_autovacuum)) AS last_vacuum, max(greatest(s.last_analyze, s.last_autoanalyze)) AS last_analyze
FROM pg_stat_user_tables s CROSS JOIN LATERAL (SELECT coalesce(pg_partition_root(s.relid)::oid, s.relid) AS root) AS r
GROUP BY r.root ORDER BY total_bytes DESC, 1;

-- name: indexes_many many
-- Size and use of each index, those of partitions in one line with their parent's. What holds a rule (unique, exclusion) is needed unread.
SELECT r.root::regclass::text AS index, min(t.root::regclass::text) AS table, sum(pg_relation_size(s.indexrelid))::bigint AS bytes, sum(s.idx_scan)::bigint AS scans,
       bool_or(i.indisunique OR i.indisexclusion) AS holds_rule, bool_and(i.indisvalid) AS is_valid
FROM pg_stat_user_indexes s JOIN pg_index i ON i.indexrelid = s.indexrelid
CROSS JOIN LATERAL (SELECT coalesce(pg_partition_root(s.indexrelid)::oid, s.indexrelid) AS root) AS r
CROSS JOIN LATERAL (SELECT coalesce(pg_partition_root(s.relid)::oid, s.relid) AS root) AS t
GROUP BY r.root ORDER BY bytes DESC, 1;

-- name: statements_state value
-- Whether slow statements are counted: the library comes with the server's start, the extension with the database.
SELECT CASE WHEN current_setting('pg_stat_statements.max', true) IS NULL THEN 'library_missing'
            WHEN NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_stat_statements') THEN 'extension_missing' ELSE 'loaded' END;
