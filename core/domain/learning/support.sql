-- name: call_door value
-- Whether somebody takes the course of this call; null where there is no such call.
SELECT takes_course($2, course_id, $3) FROM support_calls WHERE id = $1;

-- name: support_request_insert value
-- A place at the end of the queue, which a trigger gives.
INSERT INTO support_call_requests (support_call_id, user_id, support_type) VALUES ($1, $2, $3) RETURNING id;

-- name: support_request_is_held value
-- Whether the viewer holds the call: teaches the course, or is staff.
SELECT (SELECT app_is_staff()) OR c.course_id = ANY ((SELECT taught_courses())::uuid[])
FROM support_call_requests r JOIN support_calls c ON c.id = r.support_call_id WHERE r.id = $1;

-- name: support_request_lock one
-- A place in the queue, kept from others.
SELECT r.id, r.support_call_id, r.user_id, r.status::text AS status, r.position, r.joined_at, c.status::text AS call_status, c.stream_call_id
FROM support_call_requests r JOIN support_calls c ON c.id = r.support_call_id WHERE r.id = $1 FOR UPDATE OF r;

-- name: support_request_move none
-- Its new state.
UPDATE support_call_requests SET status = $2::text::support_request_status WHERE id = $1;

-- name: support_request_join none
-- They are in it.
UPDATE support_call_requests SET joined_at = coalesce(joined_at, $2) WHERE id = $1;

-- name: call_lock one
-- A call as who holds it sees it, kept from others.
SELECT status::text AS status, ended_at FROM support_calls WHERE id = $1 FOR UPDATE;

-- name: call_end one
-- It is over.
UPDATE support_calls SET status = $2::text::support_call_status, ended_at = $3 WHERE id = $1 RETURNING status::text AS status, ended_at;

-- name: call_empty none
-- Who waits is turned away, who was let in is done.
UPDATE support_call_requests SET status = CASE status WHEN 'Pending' THEN 'Rejected' ELSE 'Completed' END::support_request_status
WHERE support_call_id = $1 AND status IN ('Pending', 'Accepted');
