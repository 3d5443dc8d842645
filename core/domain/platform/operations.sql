-- name: config_set one
-- A value under its key, in place of the one before; no row for whoever is not the operator. $1 key, $2 value, $3 description.
SELECT * FROM set_system_config($1, $2::text::jsonb, $3);

-- name: config_many many
-- Every entry; none for whoever is not the operator.
SELECT * FROM read_system_config();

-- name: replica_observe one
-- What was seen of a replica, on its one row. $1 name, $2 status, $3 lag in seconds, $4 when it was last in step.
INSERT INTO replication_status (replica_name, status, lag_seconds, last_sync_at) VALUES ($1, $2, $3, $4)
ON CONFLICT ON CONSTRAINT replication_status__replica_unique DO UPDATE
SET status = excluded.status, lag_seconds = excluded.lag_seconds, last_sync_at = coalesce(excluded.last_sync_at, replication_status.last_sync_at)
RETURNING id, last_sync_at;

-- name: procedure_tested value
-- A test of a procedure that worked; never back in time. $1 name, $2 when.
UPDATE recovery_procedures SET last_tested_at = greatest(last_tested_at, $2) WHERE procedure_name = $1 RETURNING last_tested_at;
