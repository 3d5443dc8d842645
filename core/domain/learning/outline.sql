-- name: course_get one
-- A course and how somebody stands to it.
SELECT c.title, c.status::text AS status, c.teacher_id = $2 AS is_teacher, e.progress, coalesce(enrollment_is_open(e, now()), false) AS takes
FROM courses c LEFT JOIN enrollments e ON e.course_id = c.id AND e.user_id = $2 WHERE c.id = $1;

-- name: chapter_many many
-- Its chapters in order; drafts for who sees all ($2).
SELECT id, title, position, status::text AS status, release_at, unlock_points FROM chapters
WHERE course_id = $1 AND ($2 OR (is_active AND status <> 'draft')) ORDER BY position, id;

-- name: lesson_many many
-- Its lessons in order, with what somebody may do with each; drafts for who sees all ($2).
SELECT l.id, l.chapter_id, l.title, l.position, l.status::text AS status, l.content_type, l.is_preview AS shows_preview, l.is_downloadable, l.release_at,
       l.unlock_points, a.is_preview, a.is_released, a.is_unlocked, a.takes, q.id AS assessment_id,
       EXISTS (SELECT FROM lesson_progress p WHERE p.lesson_id = l.id AND p.user_id = $3 AND p.completed) AS completed
FROM lessons l CROSS JOIN LATERAL lesson_access($3, l.id, $4) AS a LEFT JOIN assessments q ON q.lesson_id = l.id
WHERE l.course_id = $1 AND ($2 OR (l.is_active AND l.status <> 'draft')) ORDER BY l.position, l.id;
