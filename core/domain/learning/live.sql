-- name: live_lock one
-- A live class as who holds it or staff see it, kept from others.
SELECT course_id, status::text AS status, started_at, ended_at FROM live_sessions WHERE id = $1 FOR UPDATE;

-- name: live_move one
-- Its new state, and since when.
UPDATE live_sessions SET status = $2::text::live_session_status,
       started_at = CASE WHEN $2 = 'live' THEN $3::timestamptz ELSE started_at END, ended_at = CASE WHEN $2 = 'ended' THEN $3::timestamptz ELSE ended_at END
WHERE id = $1 RETURNING course_id, status::text AS status, started_at, ended_at;

-- name: live_empty none
-- Everybody has left.
UPDATE live_session_participants SET left_at = greatest($2, joined_at) WHERE session_id = $1 AND left_at IS NULL;

-- name: live_door one
-- A live class to somebody at its door; it cannot end while they come in.
SELECT s.status::text AS status, s.teacher_id = $2 AS is_host, takes_course($2, s.course_id, $3) AS takes FROM live_sessions s WHERE s.id = $1 FOR SHARE;

-- name: live_join none
-- They are there, once.
INSERT INTO live_session_participants (session_id, user_id, role, joined_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (session_id, user_id) WHERE left_at IS NULL DO NOTHING;

-- name: live_leave none
-- They have left.
UPDATE live_session_participants SET left_at = greatest($3, joined_at) WHERE session_id = $1 AND user_id = $2 AND left_at IS NULL;

-- name: live_presence one
-- When somebody was last there.
SELECT session_id, role, joined_at, left_at FROM live_session_participants WHERE session_id = $1 AND user_id = $2 ORDER BY left_at DESC NULLS FIRST LIMIT 1;
