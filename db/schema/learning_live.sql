-- Live classes, unlocking early, reviews, and becoming a teacher.

CREATE TYPE live_session_status AS ENUM ('scheduled', 'live', 'ended', 'cancelled');
CREATE TYPE teacher_application_status AS ENUM ('Pending', 'Approved', 'Rejected');

CREATE TABLE live_sessions (
    id               uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id        uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    course_id        uuid NOT NULL REFERENCES courses ON DELETE CASCADE,
    teacher_id       uuid NOT NULL DEFAULT app_user_id() REFERENCES users ON DELETE CASCADE,
    content_id       uuid REFERENCES contents ON DELETE SET NULL,
    title            text NOT NULL CONSTRAINT live_sessions__title_given CHECK (title <> ''),
    description      text,
    scheduled_at     timestamptz NOT NULL,
    duration_minutes integer CONSTRAINT live_sessions__duration_positive CHECK (duration_minutes > 0),
    status           live_session_status NOT NULL DEFAULT 'scheduled',
    started_at       timestamptz,
    ended_at         timestamptz,
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX live_sessions_status_idx ON live_sessions (status, scheduled_at);
CREATE TRIGGER live_sessions_transition BEFORE UPDATE ON live_sessions FOR EACH ROW EXECUTE FUNCTION
    allow_transitions('status', 'scheduled>live', 'scheduled>cancelled', 'live>ended');
COMMENT ON COLUMN live_sessions.content_id IS 'The recording: a content of type LIVE_RECORDING.';
SELECT admit('live_sessions', '@staff OR teacher_id = @user OR course_id = ANY ((SELECT my_courses())::uuid[])',
             '@staff OR (teacher_id = @user AND course_id = ANY ((SELECT taught_courses())::uuid[]))');

CREATE TABLE live_session_participants (
    id         uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id  uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    session_id uuid NOT NULL REFERENCES live_sessions ON DELETE CASCADE,
    user_id    uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    role       text NOT NULL DEFAULT 'attendee' CONSTRAINT live_session_participants__role_known CHECK (role IN ('host', 'co_host', 'attendee')),
    joined_at  timestamptz NOT NULL DEFAULT now(),
    left_at    timestamptz,
    CONSTRAINT live_session_participants__leaves_after_joining CHECK (left_at >= joined_at)
);
CREATE UNIQUE INDEX live_session_participants__present_once ON live_session_participants (session_id, user_id) WHERE left_at IS NULL;
SELECT admit('live_session_participants', 'EXISTS (SELECT FROM live_sessions s WHERE s.id = session_id)');

CREATE TABLE early_unlocks (
    id           uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id    uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    user_id      uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    chapter_id   uuid REFERENCES chapters ON DELETE CASCADE,
    lesson_id    uuid REFERENCES lessons ON DELETE CASCADE,
    points_spent integer NOT NULL CONSTRAINT early_unlocks__points_not_negative CHECK (points_spent >= 0),
    unlocked_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT early_unlocks__one_thing CHECK (num_nonnulls(chapter_id, lesson_id) = 1),
    CONSTRAINT early_unlocks__once UNIQUE NULLS NOT DISTINCT (user_id, chapter_id, lesson_id)
);
SELECT admit('early_unlocks', 'user_id = @user OR @staff OR EXISTS (SELECT FROM lessons l WHERE l.id = lesson_id AND l.course_id = ANY ((SELECT taught_courses())::uuid[]))
             OR EXISTS (SELECT FROM chapters h WHERE h.id = chapter_id AND h.course_id = ANY ((SELECT taught_courses())::uuid[]))');

CREATE TABLE course_reviews (
    id            uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id     uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    course_id     uuid NOT NULL REFERENCES courses ON DELETE CASCADE,
    user_id       uuid NOT NULL DEFAULT app_user_id() REFERENCES users ON DELETE CASCADE,
    rating        integer NOT NULL CONSTRAINT course_reviews__rating_in_range CHECK (rating BETWEEN 1 AND 5),
    comment       text,
    is_featured   boolean NOT NULL DEFAULT false,
    helpful_count integer NOT NULL DEFAULT 0 CONSTRAINT course_reviews__helpful_not_negative CHECK (helpful_count >= 0),
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT course_reviews__once UNIQUE (user_id, course_id)
);
CREATE INDEX course_reviews_rating_idx ON course_reviews (rating);
CREATE INDEX course_reviews_created_at_idx ON course_reviews (created_at);
CREATE FUNCTION rate_courses() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
BEGIN
    PERFORM FROM courses WHERE id IN (SELECT course_id FROM changed) ORDER BY id FOR NO KEY UPDATE;
    UPDATE courses c SET (avg_rating, total_reviews) = (SELECT round(avg(r.rating), 2), count(*) FROM course_reviews r WHERE r.course_id = c.id)
    WHERE c.id IN (SELECT course_id FROM changed);
    PERFORM act_as(was);
    RETURN NULL;
END $$;
CREATE TRIGGER course_reviews_rate_insert AFTER INSERT ON course_reviews REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION rate_courses();
CREATE TRIGGER course_reviews_rate_update AFTER UPDATE ON course_reviews REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION rate_courses();
CREATE TRIGGER course_reviews_rate_delete AFTER DELETE ON course_reviews REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION rate_courses();
SELECT admit('course_reviews', '@known AND EXISTS (SELECT FROM courses c WHERE c.id = course_id)', '(user_id = @user AND NOT is_featured) OR @staff',
             '(user_id = @user AND NOT is_featured AND course_id = ANY ((SELECT my_courses())::uuid[])) OR @service');

CREATE TABLE teacher_applications (
    id               uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id        uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    user_id          uuid NOT NULL DEFAULT app_user_id() REFERENCES users ON DELETE CASCADE,
    status           teacher_application_status NOT NULL DEFAULT 'Pending',
    application_data jsonb NOT NULL,
    rejection_reason text,
    reviewed_by      uuid REFERENCES users ON DELETE SET NULL,
    reviewed_at      timestamptz,
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT teacher_applications__once UNIQUE (user_id, tenant_id),
    CONSTRAINT teacher_applications__reviewed_has_moment CHECK ((status = 'Pending') = (reviewed_at IS NULL))
);
CREATE INDEX teacher_applications_status_idx ON teacher_applications (status);
CREATE INDEX teacher_applications_created_at_idx ON teacher_applications (created_at);
CREATE TRIGGER teacher_applications_transition BEFORE UPDATE ON teacher_applications FOR EACH ROW EXECUTE FUNCTION
    allow_transitions('status', 'Pending>Approved', 'Pending>Rejected');
SELECT admit('teacher_applications', 'user_id = @user OR @staff', '@staff', '(user_id = @user AND status = ''Pending'') OR @staff');
