-- name: attempt_watched_lock one
-- An attempt that is to be watched over, kept from others.
SELECT user_id, status FROM attempts WHERE id = $1 FOR UPDATE;

-- name: proctoring_open value
-- The session that is watching it.
SELECT id FROM proctoring_sessions WHERE attempt_id = $1 AND ended_at IS NULL LIMIT 1;

-- name: proctoring_insert value
-- A session that watches it.
INSERT INTO proctoring_sessions (attempt_id, started_at) VALUES ($1, $2) RETURNING id;

-- name: proctoring_lock one
-- A session and whose attempt it watches, kept from others.
SELECT p.ended_at, t.user_id, t.status FROM proctoring_sessions p JOIN attempts t ON t.id = p.attempt_id WHERE p.id = $1 FOR UPDATE OF p;

-- name: proctoring_get one
-- A session as it stands.
SELECT p.id, p.attempt_id, p.started_at, p.ended_at, (SELECT count(*)::integer FROM proctoring_violations v WHERE v.session_id = p.id) AS violations
FROM proctoring_sessions p WHERE p.id = $1;

-- name: violation_insert none
-- What was seen.
INSERT INTO proctoring_violations (session_id, type, screenshot_key, details, detected_at) VALUES ($1, $2::text::violation_type, $3, $4::text::jsonb, $5);

-- name: proctoring_end none
-- Watched no longer; the first moment stays.
UPDATE proctoring_sessions SET ended_at = coalesce(ended_at, $2) WHERE id = $1;
