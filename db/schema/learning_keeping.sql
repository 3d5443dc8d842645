-- What time alone brings about in courses; the keeper asks for it every few minutes, a tenant at a time.

CREATE FUNCTION expire_enrollments(at timestamptz) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    done integer;
BEGIN
    UPDATE enrollments SET status = 'expired' WHERE status IN ('active', 'pending') AND expiry_date <= at;
    GET DIAGNOSTICS done = ROW_COUNT;
    RETURN done;
END $$;

-- What is scheduled opens by itself, to the second; this makes it count as published, in the course's progress too.
CREATE FUNCTION release_parts(at timestamptz) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    lessons_done integer;
    chapters_done integer;
BEGIN
    UPDATE lessons SET status = 'published' WHERE status = 'scheduled' AND release_at <= at;
    GET DIAGNOSTICS lessons_done = ROW_COUNT;
    UPDATE chapters h SET status = 'published' WHERE status = 'scheduled' AND release_at <= at AND EXISTS (SELECT FROM lessons l WHERE l.chapter_id = h.id);
    GET DIAGNOSTICS chapters_done = ROW_COUNT;
    RETURN lessons_done + chapters_done;
END $$;

CREATE FUNCTION expire_attempts(at timestamptz) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    done integer;
BEGIN
    UPDATE attempts t SET status = 'expired' FROM assessments a
    WHERE a.id = t.assessment_id AND t.status = 'in_progress' AND t.started_at + make_interval(mins => a.duration_minutes) < at;
    GET DIAGNOSTICS done = ROW_COUNT;
    RETURN done;
END $$;

-- Each due date is looked at once; one that is moved is looked at again, and nobody misses the same assignment twice.
CREATE FUNCTION note_missed_assignments(at timestamptz) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    done integer;
BEGIN
    WITH due AS (
        UPDATE assessments SET missed_for = due_date WHERE type = 'assignment' AND due_date <= at AND missed_for IS DISTINCT FROM due_date RETURNING id, course_id, due_date)
    INSERT INTO student_activity (tenant_id, enrollment_id, type, metadata, created_at)
    SELECT e.tenant_id, e.id, 'MissedAssignment', jsonb_build_object('assessment_id', d.id, 'due_date', d.due_date), at
    FROM due d JOIN enrollments e ON e.course_id = d.course_id AND e.status IN ('active', 'completed') AND e.enrolled_at < d.due_date
    WHERE NOT EXISTS (SELECT FROM assignment_submissions s WHERE s.assessment_id = d.id AND s.user_id = e.user_id)
      AND NOT EXISTS (SELECT FROM student_activity x WHERE x.enrollment_id = e.id AND x.type = 'MissedAssignment' AND x.metadata ->> 'assessment_id' = d.id::text)
    ORDER BY e.id;
    GET DIAGNOSTICS done = ROW_COUNT;
    RETURN done;
END $$;

-- Discussions of a course are the comments under its blogs: five of them make a contributor.
CREATE FUNCTION award_contributors(at timestamptz) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    done integer;
BEGIN
    INSERT INTO student_badges (tenant_id, enrollment_id, badge_type, earned_at, metadata)
    SELECT e.tenant_id, e.id, 'DiscussionContributor', at, jsonb_build_object('comments', n.comments)
    FROM (SELECT b.course_id, c.author_id, count(*) AS comments FROM blog_comments c JOIN blogs b ON b.id = c.blog_id
          WHERE b.course_id IS NOT NULL AND c.created_at <= at GROUP BY b.course_id, c.author_id HAVING count(*) >= 5) AS n
    JOIN enrollments e ON e.course_id = n.course_id AND e.user_id = n.author_id AND e.status IN ('active', 'completed')
    ORDER BY e.id ON CONFLICT (enrollment_id, badge_type) DO NOTHING;
    GET DIAGNOSTICS done = ROW_COUNT;
    RETURN done;
END $$;

-- Of the last whole week or month (UTC), whoever earned most in a course, by quizzes and graded assignments; several, if they are level.
CREATE FUNCTION award_top_performers(at timestamptz, period text, badge student_badge_type) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    ends timestamptz := date_trunc(period, at, 'UTC');
    begins timestamptz := date_trunc(period, ends - interval '1 hour', 'UTC');
    done integer;
BEGIN
    INSERT INTO student_badges (tenant_id, enrollment_id, badge_type, earned_at, metadata)
    SELECT e.tenant_id, e.id, badge, at, jsonb_build_object('since', begins, 'until', ends, 'points', r.points)
    FROM (SELECT w.course_id, w.user_id, sum(w.points) AS points, rank() OVER (PARTITION BY w.course_id ORDER BY sum(w.points) DESC) AS place
          FROM (SELECT a.course_id, t.user_id, t.points_earned AS points FROM attempts t JOIN assessments a ON a.id = t.assessment_id
                WHERE t.completed_at >= begins AND t.completed_at < ends
                UNION ALL
                SELECT a.course_id, s.user_id, s.grade FROM assignment_submissions s JOIN assessments a ON a.id = s.assessment_id
                WHERE s.status IN ('Graded', 'Returned') AND s.submitted_at >= begins AND s.submitted_at < ends) AS w
          GROUP BY w.course_id, w.user_id HAVING sum(w.points) > 0) AS r
    JOIN enrollments e ON e.course_id = r.course_id AND e.user_id = r.user_id AND e.status IN ('active', 'completed')
    WHERE r.place = 1 ORDER BY e.id
    ON CONFLICT (enrollment_id, badge_type) DO NOTHING;
    GET DIAGNOSTICS done = ROW_COUNT;
    RETURN done;
END $$;

CREATE FUNCTION keep_courses(at timestamptz) RETURNS TABLE (chore text, done integer) LANGUAGE sql VOLATILE AS $$
    SELECT * FROM (VALUES
        ('enrolments expired', expire_enrollments(at)),
        ('parts released', release_parts(at)),
        ('attempts expired', expire_attempts(at)),
        ('assignments missed', note_missed_assignments(at)),
        ('contributors', award_contributors(at)),
        ('performers of the week', award_top_performers(at, 'week', 'WeeklyTopPerformer')),
        ('performers of the month', award_top_performers(at, 'month', 'MonthlyTopPerformer'))) AS v (chore, done)
    WHERE v.done > 0
$$;
COMMENT ON FUNCTION keep_courses(timestamptz) IS 'All of the above for the present tenant, each as often as one likes: what was done, and how often.';
