-- name: application_lock one
-- An application, kept from others.
SELECT user_id, status::text AS status, reviewed_by, reviewed_at, rejection_reason FROM teacher_applications WHERE id = $1 FOR UPDATE;

-- name: application_review one
-- Decided, by whom and when.
UPDATE teacher_applications SET status = $2::text::teacher_application_status, reviewed_by = $3, reviewed_at = $4, rejection_reason = $5 WHERE id = $1
RETURNING user_id, status::text AS status, reviewed_by, reviewed_at, rejection_reason;

-- name: teacher_make none
-- They may teach.
SELECT make_teacher($1);

-- name: review_feature none
-- Shown to all, or not.
UPDATE course_reviews SET is_featured = $2 WHERE id = $1;
