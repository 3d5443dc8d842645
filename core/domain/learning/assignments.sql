-- name: assignment_get one
-- What is to be handed in.
SELECT id, course_id, lesson_id, type::text AS type, due_date, total_marks FROM assessments WHERE id = $1;

-- name: submission_put one
-- The work; handed in again it takes the place of the old, which is marked no longer.
INSERT INTO assignment_submissions AS s (assessment_id, user_id, file_key, description, link, submitted_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (user_id, assessment_id) DO UPDATE SET file_key = EXCLUDED.file_key, description = EXCLUDED.description, link = EXCLUDED.link, status = 'Pending',
    grade = NULL, feedback = NULL, graded_by = NULL, submission_count = s.submission_count + 1, submitted_at = EXCLUDED.submitted_at
RETURNING id, assessment_id, status::text AS status, submission_count, submitted_at, grade, feedback;

-- name: submission_note none
-- They handed something in.
INSERT INTO student_activity (enrollment_id, type, metadata, created_at)
SELECT e.id, 'SubmittedAssignment', jsonb_build_object('assessment_id', $3::uuid), $4 FROM enrollments e WHERE e.user_id = $1 AND e.course_id = $2;

-- name: submission_is_taught value
-- Whether the viewer teaches the course of this work, or is staff.
SELECT (SELECT app_is_staff()) OR a.course_id = ANY ((SELECT taught_courses())::uuid[])
FROM assignment_submissions s JOIN assessments a ON a.id = s.assessment_id WHERE s.id = $1;

-- name: submission_lock one
-- Work, kept from others, with what it can get.
SELECT s.id, s.assessment_id, s.user_id, s.status::text AS status, s.submission_count, s.submitted_at, s.grade, s.feedback, a.total_marks
FROM assignment_submissions s JOIN assessments a ON a.id = s.assessment_id WHERE s.id = $1 FOR UPDATE OF s;

-- name: submission_grade one
-- Marked.
UPDATE assignment_submissions SET status = 'Graded', grade = $2, feedback = $3, graded_by = $4 WHERE id = $1
RETURNING id, assessment_id, status::text AS status, submission_count, submitted_at, grade, feedback;

-- name: submission_return one
-- Read by whose it is.
UPDATE assignment_submissions SET status = 'Returned' WHERE id = $1
RETURNING id, assessment_id, status::text AS status, submission_count, submitted_at, grade, feedback;
