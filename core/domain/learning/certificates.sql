-- name: certificate_say one
-- What the certificate of that code says.
SELECT coalesce(p.display_name, u.name) AS holder, c.title AS course, f.issued_at, f.revoked_at
FROM certificates f JOIN enrollments e ON e.id = f.enrollment_id JOIN courses c ON c.id = e.course_id
JOIN users u ON u.id = e.user_id LEFT JOIN user_profiles p ON p.user_id = u.id WHERE f.code = $1;

-- name: certificate_is_taught value
-- Whether the viewer teaches the course of this certificate, or is staff.
SELECT (SELECT app_is_staff()) OR e.course_id = ANY ((SELECT taught_courses())::uuid[])
FROM certificates f JOIN enrollments e ON e.id = f.enrollment_id WHERE f.id = $1;

-- name: certificate_issue one
-- A certificate; a trigger refuses it before the course is done.
INSERT INTO certificates (enrollment_id, issued_at) VALUES ($1, $2) RETURNING id, enrollment_id, code, issued_at, revoked_at, revoke_reason;

-- name: certificate_revoke none
-- It holds no longer.
UPDATE certificates SET revoked_at = greatest($2, issued_at), revoke_reason = $3 WHERE id = $1 AND revoked_at IS NULL;

-- name: certificate_get one
-- A certificate as it stands.
SELECT id, enrollment_id, code, issued_at, revoked_at, revoke_reason FROM certificates WHERE id = $1;

-- name: enrollment_is_of_taught value
-- Whether the viewer teaches the course of this enrolment, or is staff.
SELECT (SELECT app_is_staff()) OR course_id = ANY ((SELECT taught_courses())::uuid[]) FROM enrollments WHERE id = $1;
