-- name: assessment_lock value
-- The last position of an assessment that the viewer may change, kept from others; 0 where it has no question.
SELECT (SELECT coalesce(max(q.position), 0) FROM questions q WHERE q.assessment_id = a.id) FROM assessments a WHERE a.id = $1 FOR UPDATE;

-- name: question_insert value
-- A question.
INSERT INTO questions (assessment_id, type, question, options, correct_answer, marks, position)
VALUES ($1, $2::text::question_type, $3, $4, $5::text::jsonb, $6, $7) RETURNING id;

-- name: assessment_is_taught value
-- Whether the viewer teaches the course of this assessment, or is staff.
SELECT (SELECT app_is_staff()) OR course_id = ANY ((SELECT taught_courses())::uuid[]) FROM assessments WHERE id = $1;

-- name: answer_key many
-- Its questions with their answers.
SELECT id, position, type::text AS type, question, options, marks, correct_answer FROM questions WHERE assessment_id = $1 ORDER BY position;
