-- What follows when lessons are completed: the same whether a command says so or a heartbeat. Every effect is one statement a batch.

-- A lesson with a required quiz is not complete before the quiz was taken, whoever says so; see lesson_requirement().
CREATE FUNCTION lesson_progress_gate() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
BEGIN
    IF lesson_requirement(NEW.user_id, NEW.lesson_id) IS NOT NULL THEN
        NEW.completed := false;
        NEW.completed_at := NULL;
    END IF;
    PERFORM act_as(was);
    RETURN NEW;
END $$;
CREATE TRIGGER lesson_progress_gate_insert BEFORE INSERT ON lesson_progress FOR EACH ROW WHEN (NEW.completed) EXECUTE FUNCTION lesson_progress_gate();
CREATE TRIGGER lesson_progress_gate_update BEFORE UPDATE ON lesson_progress FOR EACH ROW WHEN (NEW.completed AND NOT OLD.completed)
    EXECUTE FUNCTION lesson_progress_gate();

-- Handing in what was missing completes a lesson whose video has been watched to its end.
CREATE FUNCTION lessons_handed_in() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
BEGIN
    INSERT INTO lesson_progress (tenant_id, user_id, lesson_id, completed, completed_at)
    SELECT DISTINCT n.tenant_id, n.user_id, l.id, true, now()
    FROM changed n JOIN assessments a ON a.id = n.assessment_id JOIN lessons l ON l.id = a.lesson_id
    JOIN watch_progress w ON w.content_id = l.content_id AND w.user_id = n.user_id AND w.is_completed
    WHERE n.status::text NOT IN ('in_progress', 'expired')
    ON CONFLICT (user_id, lesson_id) DO UPDATE SET completed = true, completed_at = EXCLUDED.completed_at
    WHERE NOT lesson_progress.completed AND EXCLUDED.completed;
    PERFORM act_as(was);
    RETURN NULL;
END $$;
CREATE TRIGGER attempts_handed_in AFTER UPDATE ON attempts REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION lessons_handed_in();
CREATE TRIGGER assignment_submissions_handed_in AFTER INSERT ON assignment_submissions REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION lessons_handed_in();

-- A lesson is completed once, so nothing needs to be looked up to say so once.
CREATE FUNCTION note_lessons_completed(people uuid[], done uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF people IS NULL THEN
        RETURN;
    END IF;
    INSERT INTO student_activity (tenant_id, enrollment_id, type, metadata)
    SELECT e.tenant_id, e.id, 'CompletedLesson', jsonb_build_object('lesson_id', l.id)
    FROM unnest(people, done) AS d (user_id, lesson_id) JOIN lessons l ON l.id = d.lesson_id JOIN enrollments e ON e.course_id = l.course_id AND e.user_id = d.user_id;
    INSERT INTO student_badges (tenant_id, enrollment_id, badge_type, metadata)
    SELECT DISTINCT ON (e.id) e.tenant_id, e.id, 'FirstLessonCompleted'::student_badge_type, jsonb_build_object('lesson_id', l.id)
    FROM unnest(people, done) AS d (user_id, lesson_id) JOIN lessons l ON l.id = d.lesson_id JOIN enrollments e ON e.course_id = l.course_id AND e.user_id = d.user_id
    ORDER BY e.id, l.id
    ON CONFLICT (enrollment_id, badge_type) DO NOTHING;
END $$;

-- Run after lesson_progress_counted_*: triggers of one event run in the order of their names.
CREATE FUNCTION lessons_begun() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
BEGIN
    INSERT INTO student_activity (tenant_id, enrollment_id, type, metadata)
    SELECT DISTINCT ON (e.id) e.tenant_id, e.id, 'StartedCourse'::activity_type, jsonb_build_object('lesson_id', l.id)
    FROM changed n JOIN lessons l ON l.id = n.lesson_id JOIN enrollments e ON e.course_id = l.course_id AND e.user_id = n.user_id
    WHERE NOT EXISTS (SELECT FROM student_activity a WHERE a.enrollment_id = e.id AND a.type = 'StartedCourse')
    ORDER BY e.id, l.id;
    PERFORM note_lessons_completed(array_agg(user_id), array_agg(lesson_id)) FROM changed WHERE completed;
    PERFORM act_as(was);
    RETURN NULL;
END $$;
CREATE FUNCTION lessons_completed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
BEGIN
    PERFORM note_lessons_completed(array_agg(d.user_id), array_agg(d.lesson_id))
    FROM (SELECT user_id, lesson_id FROM changed WHERE completed EXCEPT SELECT user_id, lesson_id FROM former WHERE completed) AS d;
    PERFORM act_as(was);
    RETURN NULL;
END $$;
CREATE TRIGGER lesson_progress_earned_insert AFTER INSERT ON lesson_progress REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION lessons_begun();
CREATE TRIGGER lesson_progress_earned_update AFTER UPDATE ON lesson_progress REFERENCING OLD TABLE AS former NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION lessons_completed();

-- A course is completed by all its lessons and, where it has a required final exam, by passing that.
CREATE FUNCTION complete_enrollments(candidates uuid[]) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    done uuid[];
BEGIN
    WITH moved AS (
        UPDATE enrollments e SET status = 'completed' WHERE e.id = ANY (candidates) AND e.status = 'active' AND e.progress >= 100
        AND NOT EXISTS (SELECT FROM assessments a WHERE a.course_id = e.course_id AND a.lesson_id IS NULL AND a.type = 'final_exam' AND a.required
                        AND NOT EXISTS (SELECT FROM attempts t WHERE t.assessment_id = a.id AND t.user_id = e.user_id AND t.passed))
        RETURNING e.id)
    SELECT array_agg(id) INTO done FROM moved;
    IF done IS NULL THEN
        RETURN 0;
    END IF;
    INSERT INTO student_badges (tenant_id, enrollment_id, badge_type)
    SELECT tenant_id, id, 'HundredPercentProgress' FROM enrollments WHERE id = ANY (done) ORDER BY id
    ON CONFLICT (enrollment_id, badge_type) DO NOTHING;
    INSERT INTO certificates (tenant_id, enrollment_id)
    SELECT e.tenant_id, e.id FROM enrollments e JOIN courses c ON c.id = e.course_id WHERE e.id = ANY (done) AND c.certificate_enabled ORDER BY e.id
    ON CONFLICT (enrollment_id) DO NOTHING;
    INSERT INTO outbox (tenant_id, topic, subject, payload)
    SELECT e.tenant_id, 'course.completed', 'enrollment:' || e.id,
           jsonb_build_object('enrollment_id', e.id, 'user_id', e.user_id, 'course_id', e.course_id, 'certificate_id', f.id)
    FROM enrollments e LEFT JOIN certificates f ON f.enrollment_id = e.id WHERE e.id = ANY (done) ORDER BY e.id;
    RETURN cardinality(done);
END $$;

CREATE FUNCTION enrollments_complete() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
    candidates uuid[] := (SELECT array_agg(n.id) FROM (SELECT id FROM changed WHERE status = 'active' AND progress >= 100
                                                       EXCEPT SELECT id FROM former WHERE status = 'active' AND progress >= 100) AS n);
BEGIN
    IF candidates IS NOT NULL THEN
        PERFORM complete_enrollments(candidates);
    END IF;
    PERFORM act_as(was);
    RETURN NULL;
END $$;
CREATE TRIGGER enrollments_complete AFTER UPDATE ON enrollments REFERENCING OLD TABLE AS former NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION enrollments_complete();

CREATE FUNCTION final_exams_passed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
    candidates uuid[] := (SELECT array_agg(e.id) FROM changed n JOIN assessments a ON a.id = n.assessment_id AND a.type = 'final_exam'
                          JOIN enrollments e ON e.course_id = a.course_id AND e.user_id = n.user_id WHERE n.passed AND e.status = 'active');
BEGIN
    IF candidates IS NOT NULL THEN
        PERFORM complete_enrollments(candidates);
    END IF;
    PERFORM act_as(was);
    RETURN NULL;
END $$;
CREATE TRIGGER attempts_passed AFTER UPDATE ON attempts REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION final_exams_passed();

-- A lesson that appears, disappears or is deleted changes what everybody on the way has done of the course.
CREATE FUNCTION lessons_recounted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
    courses uuid[];
BEGIN
    IF TG_OP = 'UPDATE' THEN
        courses := (SELECT array_agg(DISTINCT n.course_id) FROM (SELECT id, course_id, status = 'published' AND is_active FROM changed
                                                                 EXCEPT SELECT id, course_id, status = 'published' AND is_active FROM former) AS n);
    ELSE
        courses := (SELECT array_agg(DISTINCT course_id) FROM former WHERE status = 'published' AND is_active);
    END IF;
    IF courses IS NOT NULL THEN
        PERFORM FROM enrollments WHERE course_id = ANY (courses) AND status = 'active' ORDER BY id FOR NO KEY UPDATE;
        UPDATE enrollments e SET progress = p.percent
        FROM (SELECT r.id, coalesce(round(100.0 * count(lp.id) / nullif(count(l.id), 0), 2), 0) AS percent
              FROM enrollments r LEFT JOIN lessons l ON l.course_id = r.course_id AND l.is_active AND l.status = 'published'
              LEFT JOIN lesson_progress lp ON lp.lesson_id = l.id AND lp.user_id = r.user_id AND lp.completed
              WHERE r.course_id = ANY (courses) AND r.status = 'active' GROUP BY r.id) AS p
        WHERE e.id = p.id AND e.progress <> p.percent;
    END IF;
    PERFORM act_as(was);
    RETURN NULL;
END $$;
CREATE TRIGGER lessons_recounted_update AFTER UPDATE ON lessons REFERENCING OLD TABLE AS former NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION lessons_recounted();
CREATE TRIGGER lessons_recounted_delete AFTER DELETE ON lessons REFERENCING OLD TABLE AS former FOR EACH STATEMENT EXECUTE FUNCTION lessons_recounted();
