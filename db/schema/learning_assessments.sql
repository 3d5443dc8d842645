-- Quizzes, assignments and exams: asked, answered, watched over, marked.

CREATE TYPE test_type AS ENUM ('quiz', 'assignment', 'final_exam', 'practice');
CREATE TYPE question_type AS ENUM ('mcq', 'multiple_select', 'true_false', 'short_answer', 'long_answer', 'fill_blank');
CREATE TYPE violation_type AS ENUM ('phone_detected', 'multiple_faces', 'no_face', 'looking_away', 'audio_detected', 'tab_switch', 'copy_paste', 'other');
CREATE TYPE submission_status AS ENUM ('Pending', 'Graded', 'Returned');

CREATE TABLE assessments (
    id                uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id         uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    course_id         uuid NOT NULL REFERENCES courses ON DELETE CASCADE,
    lesson_id         uuid CONSTRAINT assessments__one_a_lesson UNIQUE REFERENCES lessons ON DELETE CASCADE,
    type              test_type NOT NULL,
    title             text,
    description       text,
    file_key          text,
    duration_minutes  integer CONSTRAINT assessments__duration_positive CHECK (duration_minutes > 0),
    total_marks       integer NOT NULL CONSTRAINT assessments__marks_not_negative CHECK (total_marks >= 0),
    passing_marks     integer NOT NULL DEFAULT 0 CONSTRAINT assessments__passing_not_negative CHECK (passing_marks >= 0),
    required          boolean NOT NULL DEFAULT true,
    shuffle_questions boolean NOT NULL DEFAULT false,
    show_result       boolean NOT NULL DEFAULT true,
    max_attempts      integer NOT NULL DEFAULT 1 CONSTRAINT assessments__attempts_positive CHECK (max_attempts > 0),
    due_date          timestamptz,
    missed_for        timestamptz,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT assessments__passing_within_total CHECK (passing_marks <= total_marks),
    CONSTRAINT assessments__lesson_of_course FOREIGN KEY (lesson_id, course_id) REFERENCES lessons (id, course_id) ON DELETE CASCADE
);
CREATE INDEX assessments_due_idx ON assessments (due_date) WHERE type = 'assignment';
COMMENT ON COLUMN assessments.missed_for IS 'The due date for which those who missed it have been noted.';
COMMENT ON CONSTRAINT assessments__lesson_of_course ON assessments IS 'Nobody hangs a quiz on a lesson of somebody else''s course.';
COMMENT ON CONSTRAINT assessments__one_a_lesson ON assessments IS 'A lesson has one assignment or one quiz or neither.';

CREATE FUNCTION assessments_default_marks() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.total_marks := coalesce(NEW.total_marks, CASE NEW.type WHEN 'quiz' THEN 10 ELSE 100 END);
    RETURN NEW;
END $$;
CREATE TRIGGER assessments_default_marks BEFORE INSERT ON assessments FOR EACH ROW EXECUTE FUNCTION assessments_default_marks();
SELECT admit('assessments', '@staff OR course_id = ANY ((SELECT my_courses())::uuid[]) OR course_id = ANY ((SELECT taught_courses())::uuid[])',
             '@staff OR course_id = ANY ((SELECT taught_courses())::uuid[])');

CREATE TABLE questions (
    id             uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id      uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    assessment_id  uuid NOT NULL REFERENCES assessments ON DELETE CASCADE,
    type           question_type NOT NULL DEFAULT 'mcq',
    question       text NOT NULL CONSTRAINT questions__question_given CHECK (question <> ''),
    options        text[] NOT NULL DEFAULT '{}',
    correct_answer jsonb,
    marks          integer NOT NULL DEFAULT 1 CONSTRAINT questions__marks_not_negative CHECK (marks >= 0),
    position       integer NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT questions__position_unique UNIQUE (assessment_id, position),
    CONSTRAINT questions__answer_is_option CHECK (type <> 'mcq' OR CASE WHEN jsonb_typeof(correct_answer) = 'number'
        THEN (correct_answer #>> '{}')::numeric BETWEEN 0 AND cardinality(options) - 1 AND (correct_answer #>> '{}')::numeric % 1 = 0 ELSE false END)
);
COMMENT ON COLUMN questions.correct_answer IS 'mcq: the index into options, from 0; multiple_select: a list of them; true_false: a boolean; else the text. Null: marked by hand.';
-- Questions are seen once an attempt has begun: the clock of an exam runs while they are read.
CREATE FUNCTION my_attempted() RETURNS uuid[] LANGUAGE plpgsql STABLE AS $$
DECLARE
    was text := act_as_service();
    answer uuid[] := (SELECT coalesce(array_agg(DISTINCT assessment_id), '{}') FROM attempts WHERE user_id = app_user_id());
BEGIN
    PERFORM act_as(was);
    RETURN answer;
END $$;
SELECT admit('questions', '@staff OR assessment_id = ANY ((SELECT my_attempted())::uuid[])
             OR EXISTS (SELECT FROM assessments a WHERE a.id = assessment_id AND a.course_id = ANY ((SELECT taught_courses())::uuid[]))',
             '@staff OR EXISTS (SELECT FROM assessments a WHERE a.id = assessment_id AND a.course_id = ANY ((SELECT taught_courses())::uuid[]))');

CREATE TABLE attempts (
    id              uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id       uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    assessment_id   uuid NOT NULL REFERENCES assessments ON DELETE CASCADE,
    user_id         uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    number          integer NOT NULL DEFAULT 1 CONSTRAINT attempts__number_positive CHECK (number > 0),
    status          text NOT NULL DEFAULT 'in_progress' CONSTRAINT attempts__status_known CHECK (status IN ('in_progress', 'submitted', 'graded', 'expired')),
    question_order  uuid[] NOT NULL DEFAULT '{}',
    answers         jsonb NOT NULL DEFAULT '{}' CONSTRAINT attempts__answers_object CHECK (jsonb_typeof(answers) = 'object'),
    hand_marks      jsonb NOT NULL DEFAULT '{}' CONSTRAINT attempts__hand_marks_object CHECK (jsonb_typeof(hand_marks) = 'object'),
    total_questions integer NOT NULL DEFAULT 0,
    correct_answers integer NOT NULL DEFAULT 0,
    score           numeric(6, 2) CONSTRAINT attempts__score_not_negative CHECK (score >= 0),
    possible_marks  integer NOT NULL DEFAULT 0 CONSTRAINT attempts__possible_not_negative CHECK (possible_marks >= 0),
    points_earned   integer NOT NULL DEFAULT 0 CONSTRAINT attempts__points_not_negative CHECK (points_earned >= 0),
    passed          boolean,
    started_at      timestamptz NOT NULL DEFAULT now(),
    completed_at    timestamptz,
    updated_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT attempts__number_unique UNIQUE (user_id, assessment_id, number),
    CONSTRAINT attempts__right_within_all CHECK (correct_answers BETWEEN 0 AND total_questions),
    CONSTRAINT attempts__handed_in_has_moment CHECK ((status IN ('submitted', 'graded')) = (completed_at IS NOT NULL)),
    CONSTRAINT attempts__ends_after_start CHECK (completed_at >= started_at)
);
CREATE INDEX attempts_status_idx ON attempts (status);
CREATE TRIGGER attempts_transition BEFORE UPDATE ON attempts FOR EACH ROW EXECUTE FUNCTION
    allow_transitions('status', 'in_progress>submitted', 'in_progress>graded', 'in_progress>expired', 'submitted>graded');
COMMENT ON COLUMN attempts.question_order IS 'What was asked, in the order in which it was put to this student.';
COMMENT ON COLUMN attempts.hand_marks IS 'Marks that a teacher gave, by question.';
COMMENT ON COLUMN attempts.score IS 'The marks of what was right. A percentage is score * 100 / possible_marks; passing_marks are marks too.';
COMMENT ON COLUMN attempts.possible_marks IS 'The marks of all questions that were asked.';
COMMENT ON COLUMN attempts.points_earned IS 'That share of the assessment''s total_marks, rounded down.';

CREATE FUNCTION attempts_within_limits() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
    taken assessments;
BEGIN
    SELECT * INTO taken FROM assessments WHERE id = NEW.assessment_id;
    IF NEW.number > taken.max_attempts THEN
        PERFORM break_rule('attempts__within_limit', format('it may be taken %s times', taken.max_attempts));
    END IF;
    IF NEW.points_earned > taken.total_marks THEN
        PERFORM break_rule('attempts__points_within_total', format('at most %s points can be earned', taken.total_marks));
    END IF;
    PERFORM act_as(was);
    RETURN NEW;
END $$;
CREATE TRIGGER attempts_within_limits BEFORE INSERT OR UPDATE OF number, points_earned ON attempts FOR EACH ROW EXECUTE FUNCTION attempts_within_limits();
SELECT admit('attempts', 'user_id = @user OR @staff OR EXISTS (SELECT FROM assessments a WHERE a.id = assessment_id AND a.course_id = ANY ((SELECT taught_courses())::uuid[]))');

-- What came of an attempt, for those it is shown to: a teacher always, a student where the assessment says so.
CREATE VIEW attempt_results WITH (security_invoker = true) AS
SELECT t.id, t.assessment_id, t.user_id, t.number, t.status, t.total_questions, t.correct_answers, t.score,
       round(100 * t.score / nullif(t.possible_marks, 0), 2) AS percentage, t.points_earned, t.passed, t.completed_at
FROM attempts t JOIN assessments a ON a.id = t.assessment_id
WHERE t.status IN ('submitted', 'graded')
  AND (a.show_result OR (SELECT app_is_staff()) OR a.course_id = ANY ((SELECT taught_courses())::uuid[]));

CREATE TABLE assignment_submissions (
    id               uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id        uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    assessment_id    uuid NOT NULL REFERENCES assessments ON DELETE CASCADE,
    user_id          uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    file_key         text,
    description      text,
    link             text,
    status           submission_status NOT NULL DEFAULT 'Pending',
    grade            integer CONSTRAINT assignment_submissions__grade_not_negative CHECK (grade >= 0),
    feedback         text,
    graded_by        uuid REFERENCES users ON DELETE SET NULL,
    submission_count integer NOT NULL DEFAULT 1 CONSTRAINT assignment_submissions__count_positive CHECK (submission_count > 0),
    submitted_at     timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT assignment_submissions__once UNIQUE (user_id, assessment_id),
    CONSTRAINT assignment_submissions__has_work CHECK (num_nonnulls(file_key, description, link) > 0),
    CONSTRAINT assignment_submissions__graded_has_grade CHECK (status = 'Pending' OR grade IS NOT NULL)
);
CREATE INDEX assignment_submissions_status_idx ON assignment_submissions (status);
CREATE TRIGGER assignment_submissions_transition BEFORE UPDATE ON assignment_submissions FOR EACH ROW EXECUTE FUNCTION
    allow_transitions('status', 'Pending>Graded', 'Graded>Returned', 'Graded>Pending', 'Returned>Pending');
CREATE FUNCTION grade_within_points() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
    most integer := (SELECT total_marks FROM assessments WHERE id = NEW.assessment_id);
BEGIN
    IF NEW.grade > most THEN
        PERFORM break_rule('assignment_submissions__grade_within_points', format('the assignment gives at most %s points', most));
    END IF;
    PERFORM act_as(was);
    RETURN NEW;
END $$;
CREATE TRIGGER assignment_submissions_grade BEFORE INSERT OR UPDATE OF grade ON assignment_submissions FOR EACH ROW EXECUTE FUNCTION grade_within_points();
COMMENT ON COLUMN assignment_submissions.submission_count IS 'Handing in again replaces the work and raises this.';
SELECT admit('assignment_submissions', 'user_id = @user OR @staff OR EXISTS (SELECT FROM assessments a WHERE a.id = assessment_id AND a.course_id = ANY ((SELECT taught_courses())::uuid[]))');

CREATE TABLE proctoring_sessions (
    id          uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id   uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    attempt_id  uuid NOT NULL REFERENCES attempts ON DELETE CASCADE,
    screenshots text[] NOT NULL DEFAULT '{}',
    ai_analysis jsonb,
    started_at  timestamptz NOT NULL DEFAULT now(),
    ended_at    timestamptz
);
COMMENT ON COLUMN proctoring_sessions.screenshots IS 'Object keys.';
SELECT admit('proctoring_sessions', 'EXISTS (SELECT FROM attempts a WHERE a.id = attempt_id)');

CREATE TABLE proctoring_violations (
    id             uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id      uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    session_id     uuid NOT NULL REFERENCES proctoring_sessions ON DELETE CASCADE,
    type           violation_type NOT NULL,
    screenshot_key text,
    details        jsonb,
    detected_at    timestamptz NOT NULL DEFAULT now()
);
SELECT admit('proctoring_violations', 'EXISTS (SELECT FROM proctoring_sessions s WHERE s.id = session_id)');
