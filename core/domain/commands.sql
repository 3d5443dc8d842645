-- name: key_lock value
-- Whether nobody else is at this key of the viewer's; held until the transaction ends.
SELECT pg_try_advisory_xact_lock(hashtextextended(concat_ws(':', app_tenant_id(), app_user_id(), $1::text), 0));

-- name: key_get one
-- What was done under this key of the viewer's.
SELECT command, request_hash, answer FROM idempotency_keys
WHERE key = $1 AND user_id IS NOT DISTINCT FROM app_user_id();

-- name: key_insert none
-- Keeps the answer for whoever sends the same again.
INSERT INTO idempotency_keys (key, command, request_hash, answer) VALUES ($1, $2, $3, $4);

-- name: keys_sweep none
-- Forgets the viewer's keys of yesterday.
DELETE FROM idempotency_keys WHERE user_id IS NOT DISTINCT FROM app_user_id() AND created_at < $1::timestamptz - interval '1 day';

-- name: outbox_insert none
-- An effect that is delivered after this transaction commits, and only then.
INSERT INTO outbox (topic, subject, payload) VALUES ($1, $2, $3::text::jsonb);

-- name: service_begin value
-- Takes the product's part for the next statements; answers whose it was before.
SELECT act_as_service();

-- name: service_end none
-- Gives the part back.
SELECT act_as($1);
