-- name: webhook_insert value
-- A webhook in the name of whoever asks. $1 id, $2 url, $3 events, $4 sealed secret, $5 integration.
INSERT INTO webhooks (id, url, event_types, secret, integration_id) VALUES ($1, $2, $3, $4, $5) RETURNING created_at;

-- name: webhook_lock one
-- A webhook as its tenant's staff see it, kept from others until the transaction ends.
SELECT id, url, event_types, secret, enabled FROM webhooks WHERE id = $1 FOR UPDATE;

-- name: webhook_change none
-- Where it is told, and of what.
UPDATE webhooks SET url = $2, event_types = $3 WHERE id = $1;

-- name: webhook_rotate none
-- A new secret signs; the old one signs beside it until then.
UPDATE webhooks SET old_secret = secret, old_secret_until = $3, secret = $2 WHERE id = $1;

-- name: webhook_enable none
-- It begins anew, as if it had never failed.
UPDATE webhooks SET enabled = true, failing_since = NULL, disabled_reason = NULL WHERE id = $1;

-- name: webhook_disable none
-- Nothing more is sent.
UPDATE webhooks SET enabled = false, disabled_reason = $2 WHERE id = $1;

-- name: waiting_give_up value
-- What waited for it is given up, in the product's part: staff may read deliveries, not end them.
SELECT give_up_deliveries($1);

-- name: delivery_insert value
-- An event for one webhook alone.
INSERT INTO webhook_deliveries (webhook_id, event_id, event_type, subject, data) VALUES ($1, $2, $3, $4, $5::text::jsonb) RETURNING id;

-- name: integration_seen value
-- Whether the viewer sees it.
SELECT EXISTS (SELECT FROM integrations WHERE id = $1);
