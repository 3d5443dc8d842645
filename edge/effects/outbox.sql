-- name: claim many
-- Takes effects in hand whose turn it is, of any tenant: due, and the first open one of their subject. $1 how many, $2 for how many seconds.
WITH due AS (
    SELECT o.seq FROM outbox AS o
    WHERE o.delivered_at IS NULL AND o.given_up_at IS NULL AND o.next_attempt_at <= now()
      AND NOT EXISTS (SELECT FROM outbox AS e WHERE e.tenant_id = o.tenant_id AND e.subject = o.subject AND e.seq < o.seq
                      AND e.delivered_at IS NULL AND e.given_up_at IS NULL)
    ORDER BY o.next_attempt_at LIMIT $1 FOR UPDATE SKIP LOCKED)
UPDATE outbox AS o SET attempts = o.attempts + 1, lease_until = now() + make_interval(secs => $2), next_attempt_at = now() + make_interval(secs => $2)
FROM due WHERE o.seq = due.seq RETURNING o.*;

-- name: claim_next one
-- Takes in hand what follows an effect of its subject, if it is its turn. $1 the effect, $2 for how many seconds.
-- The first open one is found before it is locked: to skip a locked one would be to overtake it.
WITH due AS (
    SELECT o.seq FROM outbox AS o
    WHERE o.seq = (SELECT min(e.seq) FROM outbox AS e JOIN outbox AS was ON was.seq = $1 AND e.tenant_id = was.tenant_id AND e.subject = was.subject
                   WHERE e.delivered_at IS NULL AND e.given_up_at IS NULL)
      AND o.delivered_at IS NULL AND o.given_up_at IS NULL AND o.next_attempt_at <= now()
    FOR UPDATE SKIP LOCKED)
UPDATE outbox AS o SET attempts = o.attempts + 1, lease_until = now() + make_interval(secs => $2), next_attempt_at = now() + make_interval(secs => $2)
FROM due WHERE o.seq = due.seq RETURNING o.*;

-- name: done none
-- Delivered. What a message was filled with may be a token, and is not kept. $1 effect, $2 fence, $3 what came of it.
UPDATE outbox SET delivered_at = now(), lease_until = NULL, last_error = NULL, outcome = $3,
    payload = CASE jsonb_typeof(payload) WHEN 'object' THEN payload - 'variables' ELSE payload END
WHERE seq = $1 AND attempts = $2 AND delivered_at IS NULL AND given_up_at IS NULL;

-- name: later none
-- This try failed. $1 effect, $2 fence, $3 why, $4 seconds until it is tried again.
UPDATE outbox SET next_attempt_at = now() + make_interval(secs => $4), lease_until = NULL, last_error = $3
WHERE seq = $1 AND attempts = $2 AND delivered_at IS NULL AND given_up_at IS NULL;

-- name: give_up none
-- Failed for good: what follows it of its subject goes on. $1 effect, $2 fence, $3 why.
UPDATE outbox SET given_up_at = now(), lease_until = NULL, last_error = $3
WHERE seq = $1 AND attempts = $2 AND delivered_at IS NULL AND given_up_at IS NULL;

-- name: sweep none
-- Forgets what was delivered a week ago, and what was given up a month ago. $1 how many at most.
DELETE FROM outbox WHERE seq IN (
    SELECT seq FROM outbox WHERE (delivered_at IS NOT NULL OR given_up_at IS NOT NULL) AND coalesce(delivered_at, given_up_at) < now() - interval '7 days'
    AND (delivered_at IS NOT NULL OR given_up_at < now() - interval '30 days') LIMIT $1);

-- name: figures one
-- How many effects wait, how many are given up, and how long the oldest due one has waited.
SELECT count(*) FILTER (WHERE given_up_at IS NULL) AS waiting, count(*) FILTER (WHERE given_up_at IS NOT NULL) AS given_up,
       coalesce(extract(epoch FROM now() - min(created_at) FILTER (WHERE given_up_at IS NULL)), 0)::float8 AS oldest_s
FROM outbox WHERE delivered_at IS NULL;
