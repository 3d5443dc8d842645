-- What counts as being active in a course, and the streak that comes of it.

-- A lesson that is watched is viewed once a day, however many heartbeats say so.
CREATE FUNCTION lesson_views_noted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
BEGIN
    INSERT INTO student_activity (tenant_id, enrollment_id, type, metadata, created_at)
    SELECT e.tenant_id, e.id, 'ViewedLesson', jsonb_build_object('lesson_id', l.id), n.last_watched_at
    FROM changed n JOIN lessons l ON l.id = n.lesson_id JOIN enrollments e ON e.course_id = l.course_id AND e.user_id = n.user_id
    WHERE NOT EXISTS (SELECT FROM student_activity a WHERE a.enrollment_id = e.id AND a.type = 'ViewedLesson' AND a.metadata ->> 'lesson_id' = l.id::text
                      AND a.created_at >= date_trunc('day', n.last_watched_at, 'UTC') AND a.created_at < date_trunc('day', n.last_watched_at, 'UTC') + interval '1 day');
    PERFORM act_as(was);
    RETURN NULL;
END $$;
CREATE TRIGGER lesson_watch_analytics_viewed_insert AFTER INSERT ON lesson_watch_analytics REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION lesson_views_noted();
CREATE TRIGGER lesson_watch_analytics_viewed_update AFTER UPDATE ON lesson_watch_analytics REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION lesson_views_noted();

-- Coming in counts for the course that the visit names, else for all that the person takes. A sign-in that is written down
-- twice, for the person and for the course, is one.
CREATE FUNCTION students_came_in() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
BEGIN
    INSERT INTO student_activity (tenant_id, enrollment_id, type)
    SELECT DISTINCT e.tenant_id, e.id, 'LoggedIn'::activity_type
    FROM changed n JOIN enrollments e ON e.user_id = n.user_id AND e.id = coalesce(n.enrollment_id, e.id) AND e.status = 'active'
    WHERE n.success AND NOT EXISTS (SELECT FROM student_activity a WHERE a.enrollment_id = e.id AND a.type = 'LoggedIn' AND a.created_at > now() - interval '1 minute');
    PERFORM act_as(was);
    RETURN NULL;
END $$;
CREATE TRIGGER login_history_came_in AFTER INSERT ON login_history REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION students_came_in();

-- Activity. A day is a day where the student lives, as their profile says, else in UTC.
CREATE FUNCTION known_zone(zone text) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    PERFORM now() AT TIME ZONE zone;
    RETURN coalesce(zone, 'UTC');
EXCEPTION
    WHEN invalid_parameter_value THEN
        RETURN 'UTC';
END $$;
CREATE FUNCTION longest_streak(moments timestamptz[], zone text) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(max(run.days), 0)::integer
    FROM (SELECT count(*) AS days
          FROM (SELECT d.day, d.day - row_number() OVER (ORDER BY d.day)::integer AS island
                FROM (SELECT DISTINCT (m AT TIME ZONE zone)::date AS day FROM unnest(moments) AS m) AS d) AS i
          GROUP BY i.island) AS run
$$;
COMMENT ON FUNCTION longest_streak(timestamptz[], text) IS 'Most days in a row, in that zone, on each of which one of the moments lies.';

CREATE FUNCTION activity_noted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
BEGIN
    UPDATE enrollments e SET last_activity_at = n.at
    FROM (SELECT enrollment_id, max(created_at) AS at FROM changed WHERE type <> 'MissedAssignment' GROUP BY enrollment_id) AS n
    WHERE e.id = n.enrollment_id AND (e.last_activity_at IS NULL OR e.last_activity_at < n.at);
    -- Seven days in a row lie within eight, and an hour when the clocks change.
    INSERT INTO student_badges (tenant_id, enrollment_id, badge_type, metadata)
    SELECT e.tenant_id, e.id, 'SevenDayStreak', jsonb_build_object('time_zone', z.zone)
    FROM (SELECT enrollment_id, max(created_at) AS at FROM changed WHERE type <> 'MissedAssignment' GROUP BY enrollment_id) AS n
    JOIN enrollments e ON e.id = n.enrollment_id
    LEFT JOIN user_profiles p ON p.user_id = e.user_id
    CROSS JOIN LATERAL (SELECT known_zone(p.timezone) AS zone) AS z
    CROSS JOIN LATERAL (SELECT array_agg(a.created_at) AS moments FROM student_activity a
                        WHERE a.enrollment_id = e.id AND a.type <> 'MissedAssignment' AND a.created_at > n.at - interval '193 hours' AND a.created_at <= n.at) AS m
    WHERE NOT EXISTS (SELECT FROM student_badges b WHERE b.enrollment_id = e.id AND b.badge_type = 'SevenDayStreak')
      AND longest_streak(m.moments, z.zone) >= 7
    ON CONFLICT (enrollment_id, badge_type) DO NOTHING;
    PERFORM act_as(was);
    RETURN NULL;
END $$;
CREATE TRIGGER student_activity_noted AFTER INSERT ON student_activity REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION activity_noted();
