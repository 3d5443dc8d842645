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

-- name: claim_next many
-- Takes in hand what follows each of these deliveries (`after`) of its webhook and subject, if it is its turn. $1 deliveries, $2 for how many
-- seconds.
WITH due AS (
    SELECT first.seq, min(ended.seq) AS after
    FROM unnest($1::bigint[]) AS ended (seq)
    JOIN webhook_deliveries AS was ON was.seq = ended.seq
    CROSS JOIN LATERAL (SELECT e.seq FROM webhook_deliveries AS e WHERE e.webhook_id = was.webhook_id AND e.subject = was.subject
                        AND e.delivered_at IS NULL AND e.given_up_at IS NULL ORDER BY e.seq LIMIT 1) AS first
    GROUP BY first.seq),
held AS (
    SELECT q.seq, due.after FROM webhook_deliveries AS q JOIN due USING (seq)
    WHERE q.delivered_at IS NULL AND q.given_up_at IS NULL AND q.next_attempt_at <= now() FOR UPDATE OF q SKIP LOCKED)
UPDATE webhook_deliveries AS q
SET attempts = q.attempts + 1, lease_until = now() + make_interval(secs => $2), next_attempt_at = now() + make_interval(secs => $2)
FROM held, webhooks AS w WHERE q.seq = held.seq AND w.id = q.webhook_id AND w.enabled
RETURNING q.*, w.url, w.secret, CASE WHEN w.old_secret_until > now() THEN w.old_secret END AS old_secret, w.failing_since, w.created_by, held.after;

-- name: done none
-- Told. $1 deliveries, $2 their fences, $3 the answer to each.
UPDATE webhook_deliveries AS q SET delivered_at = now(), lease_until = NULL, last_error = NULL, outcome = d.said
FROM unnest($1::bigint[], $2::integer[], $3::text[]) AS d (seq, fence, said)
WHERE q.seq = d.seq AND q.attempts = d.fence AND q.delivered_at IS NULL AND q.given_up_at IS NULL;

-- name: later none
-- These tries failed. $1 deliveries, $2 their fences, $3 why, $4 seconds until each is tried again.
UPDATE webhook_deliveries AS q SET next_attempt_at = now() + make_interval(secs => d.delay_s), lease_until = NULL, last_error = d.why
FROM unnest($1::bigint[], $2::integer[], $3::text[], $4::float8[]) AS d (seq, fence, why, delay_s)
WHERE q.seq = d.seq AND q.attempts = d.fence AND q.delivered_at IS NULL AND q.given_up_at IS NULL;

-- name: give_up none
-- Failed for good. $1 deliveries, $2 their fences, $3 why.
UPDATE webhook_deliveries AS q SET given_up_at = now(), lease_until = NULL, last_error = d.why
FROM unnest($1::bigint[], $2::integer[], $3::text[]) AS d (seq, fence, why)
WHERE q.seq = d.seq AND q.attempts = d.fence AND q.delivered_at IS NULL AND q.given_up_at IS NULL;

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

-- name: fan_out_many many
-- One delivery for each webhook of an effect's tenant that is enabled and lists it; told twice, it makes one. How many were made, by effect, where
-- there were any. $1 effects.
WITH told AS (
    INSERT INTO webhook_deliveries (tenant_id, webhook_id, event_id, event_type, subject, happened_at, data)
    SELECT e.tenant_id, w.id, e.id, e.topic, e.subject, e.created_at, e.payload
    FROM outbox AS e JOIN webhooks AS w ON w.tenant_id = e.tenant_id AND w.enabled AND e.topic = ANY (w.event_types)
    WHERE e.seq = ANY ($1::bigint[]) ORDER BY e.seq, w.id
    ON CONFLICT ON CONSTRAINT webhook_deliveries__once DO NOTHING RETURNING event_id)
SELECT event_id, count(*) AS told FROM told GROUP BY event_id;

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
