-- name: claim many
-- Takes effects in hand whose turn it is, of any tenant: due, and the first open one of their subject. The first is looked up for each, which
-- the index does in one probe; as an anti-join the planner reads the whole backlog for every handful. $1 how many, $2 for how many seconds,
-- $3 those that are mail, or those that are not.
WITH due AS (
    SELECT o.seq FROM outbox AS o
    WHERE o.delivered_at IS NULL AND o.given_up_at IS NULL AND (o.topic = 'mail.wanted') = $3 AND o.next_attempt_at <= now()
      AND o.seq = (SELECT e.seq FROM outbox AS e WHERE e.tenant_id = o.tenant_id AND e.subject = o.subject
                   AND e.delivered_at IS NULL AND e.given_up_at IS NULL ORDER BY e.seq LIMIT 1)
    ORDER BY o.next_attempt_at LIMIT $1 FOR UPDATE SKIP LOCKED)
UPDATE outbox AS o SET attempts = o.attempts + 1, lease_until = now() + make_interval(secs => $2), next_attempt_at = now() + make_interval(secs => $2)
FROM due WHERE o.seq = due.seq RETURNING o.*;

-- name: claim_next many
-- Takes in hand what follows each of these effects (`after`) of its subject, if it is its turn. $1 effects, $2 for how many seconds, $3 mail or not.
-- The first open one is found before it is locked: to skip a locked one would be to overtake it.
WITH due AS (
    SELECT first.seq, min(ended.seq) AS after
    FROM unnest($1::bigint[]) AS ended (seq)
    JOIN outbox AS was ON was.seq = ended.seq
    CROSS JOIN LATERAL (SELECT e.seq FROM outbox AS e WHERE e.tenant_id = was.tenant_id AND e.subject = was.subject
                        AND e.delivered_at IS NULL AND e.given_up_at IS NULL ORDER BY e.seq LIMIT 1) AS first
    GROUP BY first.seq),
held AS (
    SELECT o.seq, due.after FROM outbox AS o JOIN due USING (seq)
    WHERE o.delivered_at IS NULL AND o.given_up_at IS NULL AND (o.topic = 'mail.wanted') = $3 AND o.next_attempt_at <= now()
    FOR UPDATE OF o SKIP LOCKED)
UPDATE outbox AS o SET attempts = o.attempts + 1, lease_until = now() + make_interval(secs => $2), next_attempt_at = now() + make_interval(secs => $2)
FROM held WHERE o.seq = held.seq RETURNING o.*, held.after;

-- name: done none
-- Delivered. What a message was filled with may be a token, and is not kept. $1 effects, $2 their fences, $3 what came of each.
UPDATE outbox AS o SET delivered_at = now(), lease_until = NULL, last_error = NULL, outcome = d.said,
    payload = CASE WHEN jsonb_typeof(o.payload) = 'object' AND o.payload ? 'variables' THEN o.payload - 'variables' ELSE o.payload END
FROM unnest($1::bigint[], $2::integer[], $3::text[]) AS d (seq, fence, said)
WHERE o.seq = d.seq AND o.attempts = d.fence AND o.delivered_at IS NULL AND o.given_up_at IS NULL;

-- name: later none
-- These tries failed. $1 effects, $2 their fences, $3 why, $4 seconds until each is tried again.
UPDATE outbox AS o SET next_attempt_at = now() + make_interval(secs => d.delay_s), lease_until = NULL, last_error = d.why
FROM unnest($1::bigint[], $2::integer[], $3::text[], $4::float8[]) AS d (seq, fence, why, delay_s)
WHERE o.seq = d.seq AND o.attempts = d.fence AND o.delivered_at IS NULL AND o.given_up_at IS NULL;

-- name: give_up none
-- Failed for good: what follows it of its subject goes on. $1 effects, $2 their fences, $3 why.
UPDATE outbox AS o SET given_up_at = now(), lease_until = NULL, last_error = d.why
FROM unnest($1::bigint[], $2::integer[], $3::text[]) AS d (seq, fence, why)
WHERE o.seq = d.seq AND o.attempts = d.fence AND o.delivered_at IS NULL AND o.given_up_at IS NULL;

-- name: sweep none
-- Forgets what was delivered a week ago, and what was given up a month ago. $1 how many at most.
DELETE FROM outbox WHERE seq IN (
    SELECT seq FROM outbox WHERE (delivered_at IS NOT NULL OR given_up_at IS NOT NULL) AND coalesce(delivered_at, given_up_at) < now() - interval '7 days'
    AND (delivered_at IS NOT NULL OR given_up_at < now() - interval '30 days') LIMIT $1);

-- name: figures one
-- How many effects wait, how many are given up, and how long the oldest due one has waited. $1 mail or not.
SELECT count(*) FILTER (WHERE given_up_at IS NULL) AS waiting, count(*) FILTER (WHERE given_up_at IS NOT NULL) AS given_up,
       coalesce(extract(epoch FROM now() - min(created_at) FILTER (WHERE given_up_at IS NULL)), 0)::float8 AS oldest_s
FROM outbox WHERE delivered_at IS NULL AND (topic = 'mail.wanted') = $1;
