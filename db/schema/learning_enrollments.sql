-- Who takes a course, how far they are, and what they have earned.

CREATE TYPE enrollment_status AS ENUM ('pending', 'active', 'completed', 'dropped', 'expired', 'cancelled');
CREATE TYPE ban_type AS ENUM ('Temporary', 'Permanent');
CREATE TYPE student_tag AS ENUM ('TopPerformer', 'NeedsHelp', 'SlowLearner', 'ActiveCommunicator');
CREATE TYPE student_badge_type AS ENUM ('FirstLessonCompleted', 'SevenDayStreak', 'HundredPercentProgress', 'DiscussionContributor',
                                        'MonthlyTopPerformer', 'WeeklyTopPerformer');
CREATE TYPE activity_type AS ENUM ('LoggedIn', 'CompletedLesson', 'DownloadedFile', 'MissedAssignment', 'SubmittedAssignment', 'ViewedLesson',
                                   'StartedCourse');

CREATE TABLE enrollments (
    id                   uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id            uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    user_id              uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    course_id            uuid NOT NULL REFERENCES courses ON DELETE CASCADE,
    order_id             uuid REFERENCES orders ON DELETE SET NULL,
    amount               numeric(19, 4) NOT NULL DEFAULT 0 CONSTRAINT enrollments__amount_not_negative CHECK (amount >= 0),
    currency             text NOT NULL DEFAULT 'USD' CONSTRAINT enrollments__currency_iso CHECK (currency ~ '^[A-Z]{3}$'),
    status               enrollment_status NOT NULL DEFAULT 'pending',
    progress             numeric(5, 2) NOT NULL DEFAULT 0 CONSTRAINT enrollments__progress_percent CHECK (progress BETWEEN 0 AND 100),
    enrolled_at          timestamptz,
    completed_at         timestamptz,
    expiry_date          timestamptz,
    banned               boolean NOT NULL DEFAULT false,
    ban_type             ban_type,
    ban_reason           text,
    ban_until            timestamptz,
    follow_up_email_sent boolean NOT NULL DEFAULT false,
    last_activity_at     timestamptz,
    tags                 student_tag[] NOT NULL DEFAULT '{}',
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT enrollments__once UNIQUE (user_id, course_id),
    CONSTRAINT enrollments__ban_has_type CHECK (banned = (ban_type IS NOT NULL)),
    CONSTRAINT enrollments__ban_until_fits CHECK ((ban_type IS NOT DISTINCT FROM 'Temporary') = (ban_until IS NOT NULL)),
    CONSTRAINT enrollments__completed_has_moment CHECK (status <> 'completed' OR completed_at IS NOT NULL),
    CONSTRAINT enrollments__active_has_moment CHECK (status IN ('pending', 'cancelled') OR enrolled_at IS NOT NULL)
);
CREATE INDEX enrollments_user_id_idx ON enrollments (user_id);
CREATE INDEX enrollments_status_idx ON enrollments (status);
CREATE INDEX enrollments_expiry_date_idx ON enrollments (expiry_date) WHERE status = 'active';
CREATE TRIGGER enrollments_transition BEFORE UPDATE ON enrollments FOR EACH ROW EXECUTE FUNCTION
    allow_transitions('status', 'pending>active', 'pending>cancelled', 'pending>expired', 'active>completed', 'active>dropped', 'active>expired',
                      'active>cancelled', 'completed>cancelled', 'dropped>active', 'expired>active', 'cancelled>pending');
COMMENT ON COLUMN enrollments.ban_until IS 'A Temporary ban ends by itself; a Permanent one has no end.';

ALTER TABLE payments ADD FOREIGN KEY (enrollment_id) REFERENCES enrollments ON DELETE CASCADE;
ALTER TABLE login_history ADD FOREIGN KEY (enrollment_id) REFERENCES enrollments ON DELETE CASCADE;

CREATE FUNCTION enrollments_stamp() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status NOT IN ('pending', 'cancelled') THEN
        NEW.enrolled_at := coalesce(NEW.enrolled_at, now());
    END IF;
    IF NEW.status = 'completed' THEN
        NEW.completed_at := coalesce(NEW.completed_at, now());
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER enrollments_stamp BEFORE INSERT OR UPDATE ON enrollments FOR EACH ROW EXECUTE FUNCTION enrollments_stamp();

CREATE FUNCTION enrollments_paid() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
BEGIN
    IF (SELECT c.pricing_type = 'paid' AND c.price > 0 FROM courses c WHERE c.id = NEW.course_id)
       AND NOT EXISTS (SELECT FROM orders o WHERE o.id = NEW.order_id AND o.user_id = NEW.user_id AND o.status = 'PAID')
       AND NOT EXISTS (SELECT FROM payments p WHERE p.enrollment_id = NEW.id AND p.status = 'SUCCESS') THEN
        PERFORM break_rule('enrollments__paid_course_is_paid', 'the course has to be paid for first');
    END IF;
    PERFORM act_as(was);
    RETURN NEW;
END $$;
CREATE TRIGGER enrollments_paid_insert BEFORE INSERT ON enrollments FOR EACH ROW WHEN (NEW.status = 'active') EXECUTE FUNCTION enrollments_paid();
CREATE TRIGGER enrollments_paid_update BEFORE UPDATE OF status ON enrollments FOR EACH ROW
    WHEN (NEW.status = 'active' AND OLD.status IN ('pending', 'dropped', 'expired')) EXECUTE FUNCTION enrollments_paid();

-- The course is locked before its students are counted: the last seat is given once. (Not FOR UPDATE: two who enrol at once both hold the
-- key share of their foreign key, and would wait for each other.) Progress moves nobody in or out, and must
-- not make all students of a course wait for one another.
CREATE FUNCTION enrollments_counted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
    crowded record;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NOT EXISTS (SELECT id, status, course_id FROM changed EXCEPT SELECT id, status, course_id FROM former) THEN
            PERFORM act_as(was);
            RETURN NULL;
        END IF;
    END IF;
    PERFORM FROM courses WHERE id IN (SELECT course_id FROM changed) ORDER BY id FOR NO KEY UPDATE;
    UPDATE courses c SET total_students = n.students
    FROM (SELECT w.course_id, count(e.id) AS students FROM (SELECT DISTINCT course_id FROM changed) AS w
          LEFT JOIN enrollments e ON e.course_id = w.course_id AND e.status IN ('pending', 'active', 'completed') GROUP BY w.course_id) AS n
    WHERE c.id = n.course_id AND c.total_students <> n.students;
    IF TG_OP <> 'DELETE' THEN
        SELECT c.title, c.max_students INTO crowded FROM courses c
        WHERE c.id IN (SELECT course_id FROM changed) AND c.total_students > c.max_students LIMIT 1;
        IF FOUND THEN
            PERFORM break_rule('enrollments__course_has_room', format('the course takes %s students and is full', crowded.max_students));
        END IF;
    END IF;
    PERFORM act_as(was);
    RETURN NULL;
END $$;
CREATE TRIGGER enrollments_counted_insert AFTER INSERT ON enrollments REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION enrollments_counted();
CREATE TRIGGER enrollments_counted_update AFTER UPDATE ON enrollments REFERENCING OLD TABLE AS former NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION enrollments_counted();
CREATE TRIGGER enrollments_counted_delete AFTER DELETE ON enrollments REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION enrollments_counted();

-- The one way into a course, for commerce too.
CREATE FUNCTION enroll(person uuid, wanted uuid, paid_by uuid DEFAULT NULL, until timestamptz DEFAULT NULL) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
    course courses;
    held enrollments;
    bought record;
BEGIN
    -- Two at once, from two tabs or a shop and its webhook, make one enrolment.
    PERFORM pg_advisory_xact_lock(hashtextextended(concat_ws(':', 'enroll', person, wanted), 0));
    SELECT * INTO course FROM courses WHERE id = wanted;
    SELECT i.price, o.currency INTO bought FROM order_items i JOIN orders o ON o.id = i.order_id WHERE o.id = paid_by AND i.course_id = wanted LIMIT 1;
    IF paid_by IS NOT NULL AND NOT FOUND THEN
        PERFORM break_rule('enrollments__paid_course_is_paid', 'the order does not hold the course');
    END IF;
    SELECT * INTO held FROM enrollments WHERE user_id = person AND course_id = wanted FOR UPDATE;
    IF held.id IS NULL THEN
        INSERT INTO enrollments (tenant_id, user_id, course_id, order_id, amount, currency, status, expiry_date)
        VALUES (course.tenant_id, person, wanted, paid_by, coalesce(bought.price, 0), coalesce(bought.currency, course.currency), 'active', until)
        RETURNING * INTO held;
    ELSIF held.status IN ('active', 'completed') AND (held.expiry_date IS NULL OR held.expiry_date > now()) AND paid_by IS NULL THEN
        PERFORM act_as(was);
        RETURN held.id;
    ELSE
        IF course.pricing_type = 'paid' AND course.price > 0 AND (held.status = 'expired' OR held.expiry_date <= now())
           AND (paid_by IS NULL OR paid_by = held.order_id) THEN
            PERFORM break_rule('enrollments__paid_course_is_paid', 'the time that was paid for is over');
        END IF;
        IF held.status = 'cancelled' THEN
            UPDATE enrollments SET status = 'pending' WHERE id = held.id;
        END IF;
        UPDATE enrollments SET status = CASE held.status WHEN 'completed' THEN held.status ELSE 'active' END, expiry_date = until,
               order_id = coalesce(paid_by, held.order_id), amount = coalesce(bought.price, held.amount), currency = coalesce(bought.currency, held.currency)
        WHERE id = held.id;
    END IF;
    INSERT INTO outbox (tenant_id, topic, subject, payload)
    VALUES (held.tenant_id, 'enrollment.activated', 'enrollment:' || held.id,
            jsonb_build_object('enrollment_id', held.id, 'user_id', person, 'course_id', wanted, 'order_id', paid_by));
    PERFORM act_as(was);
    RETURN held.id;
END $$;
COMMENT ON FUNCTION enroll(uuid, uuid, uuid, timestamptz) IS
    'enroll(person, course, order that paid for it or null, end or null for none): the id of the running enrolment, made or taken up again.
     Refused by enrollments__paid_course_is_paid unless the order holds the course and is PAID, and by enrollments__course_has_room.';

CREATE FUNCTION withdraw_enrollment(person uuid, wanted uuid) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
    gone boolean;
BEGIN
    UPDATE enrollments SET status = 'cancelled' WHERE user_id = person AND course_id = wanted AND status IN ('pending', 'active', 'completed');
    gone := FOUND;
    PERFORM act_as(was);
    RETURN gone;
END $$;
COMMENT ON FUNCTION withdraw_enrollment(uuid, uuid) IS 'What a refund does: the enrolment is cancelled and its access ends. Whether there was one.';

CREATE FUNCTION enrollment_is_open(e enrollments, at timestamptz) RETURNS boolean LANGUAGE sql IMMUTABLE AS
$$ SELECT e.status IN ('active', 'completed') AND (e.expiry_date IS NULL OR e.expiry_date > at)
          AND NOT (e.banned AND (e.ban_until IS NULL OR e.ban_until > at)) $$;
COMMENT ON FUNCTION enrollment_is_open(enrollments, timestamptz) IS 'Gives access: running or finished, not past its end, not banned now.';

-- Policies ask these once a statement. They see past the policies of what they read, which would otherwise lead back to themselves.
CREATE FUNCTION my_courses() RETURNS uuid[] LANGUAGE plpgsql STABLE AS $$
DECLARE
    was text := act_as_service();
    answer uuid[] := (SELECT coalesce(array_agg(e.course_id), '{}') FROM enrollments e WHERE e.user_id = app_user_id() AND enrollment_is_open(e, now()));
BEGIN
    PERFORM act_as(was);
    RETURN answer;
END $$;
CREATE FUNCTION taught_courses() RETURNS uuid[] LANGUAGE plpgsql STABLE AS $$
DECLARE
    was text := act_as_service();
    answer uuid[] := (SELECT coalesce(array_agg(id), '{}') FROM courses WHERE teacher_id = app_user_id());
BEGIN
    PERFORM act_as(was);
    RETURN answer;
END $$;

SELECT admit('enrollments', 'user_id = @user OR @staff OR course_id = ANY ((SELECT taught_courses())::uuid[])');

CREATE TABLE lesson_progress (
    id           uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id    uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    user_id      uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    lesson_id    uuid NOT NULL REFERENCES lessons ON DELETE CASCADE,
    completed    boolean NOT NULL DEFAULT false,
    completed_at timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT lesson_progress__once UNIQUE (user_id, lesson_id),
    CONSTRAINT lesson_progress__completed_has_moment CHECK (completed = (completed_at IS NOT NULL))
);
CREATE INDEX lesson_progress_user_id_idx ON lesson_progress (user_id);
SELECT admit('lesson_progress', 'user_id = @user OR @staff OR EXISTS (SELECT FROM lessons l WHERE l.id = lesson_id AND l.course_id = ANY ((SELECT taught_courses())::uuid[]))');

-- A course's progress is the share of its published lessons that are completed. The enrolments are locked by a statement of their own:
-- of two lessons completed at once, the second then counts the first. What was completed stays so when lessons are added.
CREATE FUNCTION enrollments_progress() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
BEGIN
    PERFORM FROM enrollments e WHERE (e.user_id, e.course_id) IN (SELECT c.user_id, l.course_id FROM changed c JOIN lessons l ON l.id = c.lesson_id)
    ORDER BY e.id FOR NO KEY UPDATE;
    UPDATE enrollments e SET progress = CASE e.status WHEN 'completed' THEN greatest(e.progress, p.percent) ELSE p.percent END, last_activity_at = now()
    FROM (SELECT w.user_id, w.course_id, round(100.0 * count(*) FILTER (WHERE lp.completed) / count(*), 2) AS percent
          FROM (SELECT DISTINCT c.user_id, l.course_id FROM changed c JOIN lessons l ON l.id = c.lesson_id) AS w
          JOIN lessons l ON l.course_id = w.course_id AND l.is_active AND l.status = 'published'
          LEFT JOIN lesson_progress lp ON lp.lesson_id = l.id AND lp.user_id = w.user_id
          GROUP BY w.user_id, w.course_id) AS p
    WHERE e.user_id = p.user_id AND e.course_id = p.course_id;
    PERFORM act_as(was);
    RETURN NULL;
END $$;
CREATE TRIGGER lesson_progress_counted_insert AFTER INSERT ON lesson_progress REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION enrollments_progress();
CREATE TRIGGER lesson_progress_counted_update AFTER UPDATE ON lesson_progress REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION enrollments_progress();

CREATE TABLE lesson_watch_analytics (
    id              uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id       uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    lesson_id       uuid NOT NULL REFERENCES lessons ON DELETE CASCADE,
    user_id         uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    watch_duration  integer NOT NULL DEFAULT 0 CONSTRAINT lesson_watch_analytics__watched_not_negative CHECK (watch_duration >= 0),
    total_duration  integer NOT NULL CONSTRAINT lesson_watch_analytics__total_positive CHECK (total_duration > 0),
    completion_rate double precision GENERATED ALWAYS AS (least(100.0, 100.0 * watch_duration / total_duration)) STORED,
    last_watched_at timestamptz NOT NULL DEFAULT now(),
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT lesson_watch_analytics__once UNIQUE (user_id, lesson_id)
);
CREATE INDEX lesson_watch_analytics_user_id_idx ON lesson_watch_analytics (user_id);
CREATE INDEX lesson_watch_analytics_rate_idx ON lesson_watch_analytics (completion_rate);
COMMENT ON COLUMN lesson_watch_analytics.watch_duration IS 'Seconds, seen again counted again; completion_rate stops at 100.';
SELECT admit('lesson_watch_analytics', 'user_id = @user OR @staff OR EXISTS (SELECT FROM lessons l WHERE l.id = lesson_id AND l.course_id = ANY ((SELECT taught_courses())::uuid[]))');
