-- name: takes_course value
-- Whether somebody takes a course now.
SELECT takes_course($1, $2, $3);

-- name: assessment_get one
-- What is to be taken or handed in.
SELECT id, course_id, lesson_id, type::text AS type, duration_minutes, shuffle_questions, max_attempts, due_date, total_marks FROM assessments WHERE id = $1;

-- name: attempt_begin_lock none
-- One beginning at a time.
SELECT pg_advisory_xact_lock(hashtextextended(concat_ws(':', 'attempt', $1::uuid, $2::uuid), 0));

-- name: attempt_last one
-- Somebody's last attempt.
SELECT id, number, status, started_at, question_order FROM attempts WHERE user_id = $1 AND assessment_id = $2 ORDER BY number DESC LIMIT 1;

-- name: attempt_expire none
-- Its time is over.
UPDATE attempts SET status = 'expired' WHERE id = $1;

-- name: question_ids many
-- The questions as they stand.
SELECT id FROM questions WHERE assessment_id = $1 ORDER BY position;

-- name: attempt_insert one
-- A new attempt.
INSERT INTO attempts (id, assessment_id, user_id, number, question_order, total_questions, started_at)
VALUES ($1, $2, $3, $4, $5, cardinality($5::uuid[]), $6) RETURNING id, number, started_at, question_order;

-- name: question_asked_many many
-- These questions in this order, as a student sees them.
SELECT q.id, q.type::text AS type, q.question, q.options, q.marks FROM unnest($1::uuid[]) WITH ORDINALITY AS o (id, nth) JOIN questions q ON q.id = o.id ORDER BY o.nth;

-- name: question_many many
-- These questions as they are marked.
SELECT id, type::text AS type, cardinality(options) AS options, marks, correct_answer FROM questions WHERE id = ANY ($1::uuid[]) ORDER BY position;

-- name: attempt_lock one
-- An attempt with what it is measured by, kept from others.
SELECT t.id, t.user_id, t.assessment_id, t.status, t.started_at, t.completed_at, t.question_order, t.answers,
       a.type::text AS type, a.duration_minutes, a.total_marks, a.passing_marks, a.show_result
FROM attempts t JOIN assessments a ON a.id = t.assessment_id WHERE t.id = $1 FOR UPDATE OF t;

-- name: attempt_is_taught value
-- Whether the viewer teaches the course of this attempt, or is staff.
SELECT (SELECT app_is_staff()) OR a.course_id = ANY ((SELECT taught_courses())::uuid[]) FROM attempts t JOIN assessments a ON a.id = t.assessment_id WHERE t.id = $1;

-- name: points_before value
-- What the best of the other attempts has earned.
SELECT coalesce(max(points_earned), 0) FROM attempts WHERE user_id = $1 AND assessment_id = $2 AND id <> $3;

-- name: attempt_store none
-- What came of it.
UPDATE attempts SET status = $2, answers = $3::text::jsonb, hand_marks = $4::text::jsonb, total_questions = $5, correct_answers = $6, score = $7,
       possible_marks = $8, points_earned = $9, passed = $10, completed_at = $11 WHERE id = $1;

-- name: points_earn value
-- Points for an attempt, once.
SELECT earn_points($1, $2, $3, 'attempts', $4);
