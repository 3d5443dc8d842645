-- name: lesson_get one
-- A lesson, what somebody may do with it, and what it asks for.
SELECT a.*, l.title, l.description, l.content_type, l.content_id, l.text_content, l.pdf_url, l.is_downloadable, l.unlock_points,
       greatest(l.release_at, h.release_at) AS release_at, c.file_id, q.id AS assessment_id,
       EXISTS (SELECT FROM lesson_progress p WHERE p.lesson_id = l.id AND p.user_id = $2 AND p.completed) AS completed
FROM lesson_access($2, $1, $3) AS a, lessons l JOIN chapters h ON h.id = l.chapter_id
LEFT JOIN contents c ON c.id = l.content_id LEFT JOIN assessments q ON q.lesson_id = l.id
WHERE l.id = $1;

-- name: lesson_progress_begin none
-- They have been at it; once.
INSERT INTO lesson_progress (user_id, lesson_id) VALUES ($1, $2) ON CONFLICT (user_id, lesson_id) DO NOTHING;

-- name: lesson_note_view none
-- A visit, once a day (UTC); a subscriber without an enrolment has none to note it on.
INSERT INTO student_activity (enrollment_id, type, metadata, created_at)
SELECT $1::uuid, 'ViewedLesson', jsonb_build_object('lesson_id', $2::uuid), $3::timestamptz
WHERE $1 IS NOT NULL AND NOT EXISTS (
    SELECT FROM student_activity a WHERE a.enrollment_id = $1 AND a.type = 'ViewedLesson' AND a.metadata ->> 'lesson_id' = $2::text
    AND a.created_at >= date_trunc('day', $3, 'UTC'));

-- name: lesson_note_download none
-- They took it along.
INSERT INTO student_activity (enrollment_id, type, metadata, created_at)
SELECT $1::uuid, 'DownloadedFile', jsonb_build_object('lesson_id', $2::uuid), $3::timestamptz WHERE $1 IS NOT NULL;

-- name: lesson_requirement value
-- What is still to be handed in before it counts as complete.
SELECT lesson_requirement($1, $2);

-- name: lesson_complete value
-- It is done; the first moment stays.
INSERT INTO lesson_progress AS p (user_id, lesson_id, completed, completed_at) VALUES ($1, $2, true, $3)
ON CONFLICT (user_id, lesson_id) DO UPDATE SET completed = true, completed_at = coalesce(p.completed_at, EXCLUDED.completed_at)
RETURNING completed_at;

-- name: course_standing one
-- How somebody stands in a course, and what they have for it.
SELECT e.progress, e.status::text AS status, f.code AS certificate_code,
       ARRAY(SELECT b.badge_type::text FROM student_badges b WHERE b.enrollment_id = e.id ORDER BY b.earned_at, b.badge_type) AS badges
FROM enrollments e LEFT JOIN certificates f ON f.enrollment_id = e.id AND f.revoked_at IS NULL WHERE e.user_id = $1 AND e.course_id = $2;

-- name: download_begin value
-- A download of the file, good until then.
SELECT begin_download($1, $2, $3::text::download_type, $4);

-- name: lesson_to_unlock one
-- A lesson to be opened before its time.
SELECT l.status::text AS status, l.unlock_points, a.takes, a.is_released, a.is_unlocked FROM lessons l, lesson_access($2, $1, $3) AS a WHERE l.id = $1;

-- name: chapter_to_unlock one
-- A chapter to be opened before its time.
SELECT h.status::text AS status, h.unlock_points, takes_course($2, h.course_id, $3) AS takes,
       h.status = 'published' OR (h.status = 'scheduled' AND h.release_at <= $3) AS is_released,
       EXISTS (SELECT FROM early_unlocks u WHERE u.chapter_id = h.id AND u.user_id = $2) AS is_unlocked
FROM chapters h WHERE h.id = $1 AND h.is_active;

-- name: unlock value
-- Opens it; a trigger takes the points, and refuses it where they are not there.
INSERT INTO early_unlocks (user_id, chapter_id, lesson_id, points_spent, unlocked_at) VALUES ($1, $2, $3, $4, $5) RETURNING id;

-- name: unlock_totals one
-- How often parts of a course were opened early, and for how much.
SELECT count(*) AS unlocks, coalesce(sum(u.points_spent), 0)::bigint AS points_spent FROM early_unlocks u
LEFT JOIN lessons l ON l.id = u.lesson_id LEFT JOIN chapters h ON h.id = u.chapter_id WHERE coalesce(l.course_id, h.course_id) = $1;
