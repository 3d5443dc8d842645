-- name: integration_lock value
-- Keeps an integration from others until the transaction ends.
SELECT true FROM integrations WHERE id = $1 FOR UPDATE;

-- name: token_store value
-- A token of an integration in place of the one of that type. $1 id, $2 integration, $3 type, $4 sealed, $5 until when.
INSERT INTO integration_tokens (id, integration_id, token_type, token_value_encrypted, expires_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT ON CONSTRAINT integration_tokens__once DO UPDATE SET token_value_encrypted = excluded.token_value_encrypted, expires_at = excluded.expires_at
RETURNING id;

-- name: token_find value
-- The id of an integration's token of that type.
SELECT id FROM integration_tokens WHERE integration_id = $1 AND token_type = $2;

-- name: sync_insert value
-- An exchange that begins.
INSERT INTO integration_sync_logs (integration_id, sync_type, started_at) VALUES ($1, $2, $3) RETURNING id;

-- name: sync_lock one
-- An exchange, kept from others until the transaction ends.
SELECT integration_id, status FROM integration_sync_logs WHERE id = $1 FOR UPDATE;

-- name: sync_finish none
-- How it ended. $1 exchange, $2 status, $3 records, $4 error, $5 when.
UPDATE integration_sync_logs SET status = $2, records_synced = $3, error_message = $4, completed_at = $5 WHERE id = $1;

-- name: integration_status none
-- Whether the other side works, as the last exchange went.
UPDATE integrations SET status = $2 WHERE id = $1 AND status <> $2;
