-- name: listed many
-- What is not delivered, of every tenant: given up first, then waiting, the oldest first. $1 how many.
SELECT * FROM (
    SELECT 'effect' AS queue, seq, tenant_id, topic AS what, subject, attempts, next_attempt_at, lease_until, given_up_at, last_error, created_at AS since
    FROM outbox WHERE delivered_at IS NULL
    UNION ALL
    SELECT 'delivery', seq, tenant_id, event_type, subject, attempts, next_attempt_at, lease_until, given_up_at, last_error, happened_at
    FROM webhook_deliveries WHERE delivered_at IS NULL) AS q
ORDER BY given_up_at IS NULL, since, seq LIMIT $1;

-- name: effect_one one
-- An effect. What a message is filled with is not shown: it may be a token.
SELECT seq, id, tenant_id, topic, subject, CASE jsonb_typeof(payload) WHEN 'object' THEN payload - 'variables' ELSE payload END AS payload, attempts,
       next_attempt_at, lease_until, delivered_at, given_up_at, outcome, last_error, created_at
FROM outbox WHERE seq = $1;

-- name: delivery_one one
-- A delivery, and where it goes.
SELECT d.seq, d.id, d.tenant_id, d.webhook_id, w.url, w.enabled, d.event_id, d.event_type, d.subject, d.data, d.attempts, d.next_attempt_at, d.lease_until,
       d.delivered_at, d.given_up_at, d.outcome, d.last_error, d.happened_at
FROM webhook_deliveries AS d JOIN webhooks AS w ON w.id = d.webhook_id WHERE d.seq = $1;

-- name: effect_retry value
-- Tried again at once, as if for the first time. Not while somebody has it in hand. $1 effect.
WITH again AS (
    UPDATE outbox SET given_up_at = NULL, attempts = 0, next_attempt_at = now(), lease_until = NULL
    WHERE seq = $1 AND delivered_at IS NULL AND (lease_until IS NULL OR lease_until <= now()) RETURNING seq)
SELECT pg_notify('penstock_effects', 'outbox') IS NOT NULL FROM again;

-- name: delivery_retry value
-- Tried again at once, as if for the first time. Not while somebody has it in hand. $1 delivery.
WITH again AS (
    UPDATE webhook_deliveries SET given_up_at = NULL, attempts = 0, next_attempt_at = now(), lease_until = NULL
    WHERE seq = $1 AND delivered_at IS NULL AND (lease_until IS NULL OR lease_until <= now()) RETURNING seq)
SELECT pg_notify('penstock_effects', 'webhook_deliveries') IS NOT NULL FROM again;

-- name: effect_drop value
-- Never delivered. Not while somebody has it in hand. $1 effect.
DELETE FROM outbox WHERE seq = $1 AND delivered_at IS NULL AND (lease_until IS NULL OR lease_until <= now()) RETURNING true;

-- name: delivery_drop value
-- Never delivered. Not while somebody has it in hand. $1 delivery.
DELETE FROM webhook_deliveries WHERE seq = $1 AND delivered_at IS NULL AND (lease_until IS NULL OR lease_until <= now()) RETURNING true;

-- name: given_up many
-- Everything that was given up.
SELECT 'effect' AS queue, seq FROM outbox WHERE given_up_at IS NOT NULL
UNION ALL SELECT 'delivery', seq FROM webhook_deliveries WHERE given_up_at IS NOT NULL ORDER BY 1, 2;
