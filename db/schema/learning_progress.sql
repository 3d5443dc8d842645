-- What watching a lesson's video leaves in the course: called by the drain in its transaction, only for titles that are lessons.

-- The facts are in watch_progress, which the same transaction has just written, so nothing here adds up and a batch told twice changes
-- nothing. What follows from a lesson begun or completed (progress of the course, activities, badges) hangs on lesson_progress.
CREATE FUNCTION lessons_watched(people uuid[], titles uuid[]) RETURNS void LANGUAGE sql AS $$
    WITH seen AS MATERIALIZED (
        SELECT e.id AS enrollment_id, e.tenant_id, e.last_activity_at, l.id AS lesson_id, w.user_id, w.watched_ms, w.duration, w.beat_at,
               w.is_completed, w.completed_at
        FROM unnest(people, titles) AS d (user_id, content_id)
        JOIN watch_progress AS w ON w.user_id = d.user_id AND w.content_id = d.content_id
        JOIN lessons AS l ON l.content_id = d.content_id
        JOIN enrollments AS e ON e.course_id = l.course_id AND e.user_id = d.user_id
        WHERE enrollment_is_open(e, now())),
    measured AS (
        INSERT INTO lesson_watch_analytics AS a (tenant_id, lesson_id, user_id, watch_duration, total_duration, last_watched_at)
        SELECT tenant_id, lesson_id, user_id, least(watched_ms / 1000, 2147483647), least(duration, 2147483647), beat_at
        FROM seen WHERE duration > 0 ORDER BY user_id, lesson_id
        ON CONFLICT (user_id, lesson_id) DO UPDATE SET
            watch_duration = greatest(a.watch_duration, EXCLUDED.watch_duration), total_duration = EXCLUDED.total_duration,
            last_watched_at = greatest(a.last_watched_at, EXCLUDED.last_watched_at), updated_at = now()),
    marked AS (
        INSERT INTO lesson_progress AS p (tenant_id, user_id, lesson_id, completed, completed_at)
        SELECT tenant_id, user_id, lesson_id, is_completed, CASE WHEN is_completed THEN coalesce(completed_at, beat_at) END
        FROM seen ORDER BY user_id, lesson_id
        ON CONFLICT (user_id, lesson_id) DO UPDATE SET completed = true, completed_at = EXCLUDED.completed_at, updated_at = now()
        WHERE EXCLUDED.completed AND NOT p.completed)
    -- Not for each heartbeat: an enrolment has more triggers than this is worth.
    UPDATE enrollments AS e SET last_activity_at = active.at
    FROM (SELECT enrollment_id, max(beat_at) AS at FROM seen
          GROUP BY enrollment_id, last_activity_at HAVING coalesce(last_activity_at, '-infinity') < max(beat_at) - interval '1 minute') AS active
    WHERE e.id = active.enrollment_id
$$;
COMMENT ON FUNCTION lessons_watched(uuid[], uuid[]) IS
    'Notes for students on their way through a course how far they have watched these lessons; of people without a running enrolment nothing.';
