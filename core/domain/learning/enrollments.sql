-- name: course_entry one
-- What a course says to somebody at its door.
SELECT c.status::text AS status, c.pricing_type::text AS pricing_type,
       EXISTS (SELECT FROM enrollments e WHERE e.course_id = c.id AND e.user_id = $2 AND e.banned AND (e.ban_until IS NULL OR e.ban_until > $3)) AS is_banned
FROM courses c WHERE c.id = $1;

-- name: is_subscribed value
-- Whether a running subscription of theirs opens courses.
SELECT subscribed_to_courses($1, $2);

-- name: enroll value
-- Lets somebody in who does not pay now.
SELECT enroll($1, $2);

-- name: enrollment_get one
-- An enrolment as it stands.
SELECT id, course_id, user_id, status::text AS status, progress, enrolled_at, completed_at, expiry_date, banned, ban_until, tags::text[] AS tags
FROM enrollments WHERE id = $1;

-- name: enrollment_lock one
-- Somebody's enrolment in a course, kept from others.
SELECT id, status::text AS status FROM enrollments WHERE user_id = $1 AND course_id = $2 FOR UPDATE;

-- name: enrollment_drop none
-- They leave.
UPDATE enrollments SET status = 'dropped' WHERE id = $1;

-- name: enrollment_is_taught value
-- Whether the viewer teaches the course of this enrolment, or is staff.
SELECT (SELECT app_is_staff()) OR course_id = ANY ((SELECT taught_courses())::uuid[]) FROM enrollments WHERE id = $1;

-- name: enrollment_ban none
-- Keeps them out, until then or for good.
UPDATE enrollments SET banned = true, ban_reason = $2, ban_until = $3, ban_type = CASE WHEN $3::timestamptz IS NULL THEN 'Permanent' ELSE 'Temporary' END::ban_type
WHERE id = $1;

-- name: enrollment_unban none
-- Lets them in again.
UPDATE enrollments SET banned = false, ban_reason = NULL, ban_until = NULL, ban_type = NULL WHERE id = $1;

-- name: enrollment_tag none
-- What is noted of them.
UPDATE enrollments SET tags = $2::text[]::student_tag[] WHERE id = $1;
