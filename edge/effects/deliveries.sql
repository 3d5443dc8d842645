-- name: claim many
-- Takes deliveries in hand, of any tenant: due, the first open one of their webhook and subject, and no more of a webhook than it has
-- places for, so that one that answers slowly holds up no other. $1 how many, $2 for how many seconds, $3 places of a webhook.
WITH due AS (
    SELECT d.seq
    FROM webhooks AS w
    CROSS JOIN LATERAL (
        SELECT q.seq, q.next_attempt_at FROM webhook_deliveries AS q
        WHERE q.webhook_id = w.id AND q.delivered_at IS NULL AND q.given_up_at IS NULL AND q.next_attempt_at <= now()
          AND NOT EXISTS (SELECT FROM webhook_deliveries AS e WHERE e.webhook_id = q.webhook_id AND e.subject = q.subject AND e.seq < q.seq
                          AND e.delivered_at IS NULL AND e.given_up_at IS NULL)
        ORDER BY q.next_attempt_at
        LIMIT greatest(0, $3::bigint - (SELECT count(*) FROM webhook_deliveries AS h WHERE h.webhook_id = w.id AND h.delivered_at IS NULL
                                        AND h.given_up_at IS NULL AND h.lease_until > now()))) AS d
    WHERE w.enabled
    ORDER BY d.next_attempt_at LIMIT $1),
held AS (
    SELECT q.seq FROM webhook_deliveries AS q JOIN due USING (seq)
    WHERE q.next_attempt_at <= now() AND q.delivered_at IS NULL AND q.given_up_at IS NULL FOR UPDATE OF q SKIP LOCKED)
UPDATE webhook_deliveries AS q
SET attempts = q.attempts + 1, lease_until = now() + make_interval(secs => $2), next_attempt_at = now() + make_interval(secs => $2)
FROM held, webhooks AS w WHERE q.seq = held.seq AND w.id = q.webhook_id
RETURNING q.*, w.url, w.secret, CASE WHEN w.old_secret_until > now() THEN w.old_secret END AS old_secret, w.failing_since, w.created_by;

-- name: claim_next one
-- Takes in hand what follows a delivery of its webhook and subject, if it is its turn. $1 the delivery, $2 for how many seconds.
WITH held AS (
    SELECT q.seq FROM webhook_deliveries AS q
    WHERE q.seq = (SELECT min(e.seq) FROM webhook_deliveries AS e
                   JOIN webhook_deliveries AS was ON was.seq = $1 AND e.webhook_id = was.webhook_id AND e.subject = was.subject
                   WHERE e.delivered_at IS NULL AND e.given_up_at IS NULL)
      AND q.delivered_at IS NULL AND q.given_up_at IS NULL AND q.next_attempt_at <= now()
    FOR UPDATE SKIP LOCKED)
UPDATE webhook_deliveries AS q
SET attempts = q.attempts + 1, lease_until = now() + make_interval(secs => $2), next_attempt_at = now() + make_interval(secs => $2)
FROM held, webhooks AS w WHERE q.seq = held.seq AND w.id = q.webhook_id AND w.enabled
RETURNING q.*, w.url, w.secret, CASE WHEN w.old_secret_until > now() THEN w.old_secret END AS old_secret, w.failing_since, w.created_by;

-- name: done none
-- Told. $1 delivery, $2 fence, $3 the answer.
UPDATE webhook_deliveries SET delivered_at = now(), lease_until = NULL, last_error = NULL, outcome = $3
WHERE seq = $1 AND attempts = $2 AND delivered_at IS NULL AND given_up_at IS NULL;

-- name: later none
-- This try failed. $1 delivery, $2 fence, $3 why, $4 seconds until it is tried again.
UPDATE webhook_deliveries SET next_attempt_at = now() + make_interval(secs => $4), lease_until = NULL, last_error = $3
WHERE seq = $1 AND attempts = $2 AND delivered_at IS NULL AND given_up_at IS NULL;

-- name: give_up none
-- Failed for good. $1 delivery, $2 fence, $3 why.
UPDATE webhook_deliveries SET given_up_at = now(), lease_until = NULL, last_error = $3
WHERE seq = $1 AND attempts = $2 AND delivered_at IS NULL AND given_up_at IS NULL;

-- name: sweep none
-- Forgets what ended a month ago. $1 how many at most.
DELETE FROM webhook_deliveries WHERE seq IN (
    SELECT seq FROM webhook_deliveries
    WHERE (delivered_at IS NOT NULL OR given_up_at IS NOT NULL) AND coalesce(delivered_at, given_up_at) < now() - interval '30 days' LIMIT $1);

-- name: figures one
-- How many deliveries wait, how many are given up, and how long the oldest has waited.
SELECT count(*) FILTER (WHERE given_up_at IS NULL) AS waiting, count(*) FILTER (WHERE given_up_at IS NOT NULL) AS given_up,
       coalesce(extract(epoch FROM now() - min(happened_at) FILTER (WHERE given_up_at IS NULL)), 0)::float8 AS oldest_s
FROM webhook_deliveries WHERE delivered_at IS NULL;

-- name: fan_out none
-- One delivery for each webhook of the tenant that is enabled and lists the event; told twice, it makes one.
-- $1 event, $2 its type, $3 subject, $4 when, $5 what is sent.
INSERT INTO webhook_deliveries (webhook_id, event_id, event_type, subject, happened_at, data)
SELECT w.id, $1, $2::text, $3, $4, $5::text::jsonb FROM webhooks AS w
WHERE w.enabled AND w.tenant_id = app_tenant_id() AND $2 = ANY (w.event_types)
ON CONFLICT ON CONSTRAINT webhook_deliveries__once DO NOTHING;

-- name: webhook_works none
-- It has answered. $1 webhook.
UPDATE webhooks SET failing_since = NULL WHERE id = $1 AND failing_since IS NOT NULL;

-- name: webhook_fails none
-- Remembers the first failure. $1 webhook.
UPDATE webhooks SET failing_since = now() WHERE id = $1 AND failing_since IS NULL;

-- name: webhook_failing_days value
-- For how many days it has failed; null when it works or is disabled. $1 webhook.
SELECT extract(epoch FROM now() - failing_since)::float8 / 86400 FROM webhooks WHERE id = $1 AND enabled;

-- name: webhook_disable value
-- Tells it nothing more; who made it, if it was still enabled. $1 webhook, $2 why.
UPDATE webhooks SET enabled = false, disabled_reason = $2 WHERE id = $1 AND enabled RETURNING coalesce(created_by, '00000000-0000-7000-8000-000000000002');

-- name: webhook_give_up none
-- Gives up what waited for it. $1 webhook, $2 why.
UPDATE webhook_deliveries SET given_up_at = now(), lease_until = NULL, last_error = $2
WHERE webhook_id = $1 AND delivered_at IS NULL AND given_up_at IS NULL;

-- name: owner_note none
-- Tells its owner. $1 whom, $2 title, $3 message.
INSERT INTO notifications (user_id, type, title, message, priority) VALUES ($1, 'reminder', $2, $3, 'high');
