-- Courses, chapters, lessons: what is taught, and when it opens.

CREATE TYPE course_difficulty AS ENUM ('beginner', 'intermediate', 'advanced', 'expert');
CREATE TYPE course_status AS ENUM ('draft', 'under_review', 'published', 'archived');
CREATE TYPE pricing_type AS ENUM ('free', 'paid', 'subscription');
CREATE TYPE part_status AS ENUM ('draft', 'scheduled', 'published');

CREATE TABLE courses (
    id                   uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id            uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    teacher_id           uuid NOT NULL DEFAULT coalesce(app_user_id(), '00000000-0000-7000-8000-000000000002') REFERENCES users ON DELETE CASCADE,
    category_id          uuid REFERENCES categories ON DELETE SET NULL,
    title                text NOT NULL CONSTRAINT courses__title_given CHECK (title <> '' AND length(title) <= 300),
    slug                 text NOT NULL CONSTRAINT courses__slug_plain CHECK (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$'),
    description          text NOT NULL DEFAULT '',
    small_description    text NOT NULL DEFAULT '',
    file_key             text,
    thumbnail_url        text,
    trailer_url          text,
    difficulty           course_difficulty NOT NULL DEFAULT 'beginner',
    status               course_status NOT NULL DEFAULT 'draft',
    pricing_type         pricing_type NOT NULL DEFAULT 'free',
    price                numeric(19, 4) NOT NULL DEFAULT 0 CONSTRAINT courses__price_not_negative CHECK (price >= 0),
    discount_price       numeric(19, 4) CONSTRAINT courses__discount_not_negative CHECK (discount_price >= 0),
    currency             text NOT NULL DEFAULT 'USD' CONSTRAINT courses__currency_iso CHECK (currency ~ '^[A-Z]{3}$'),
    stripe_price_id      text CONSTRAINT courses__stripe_price_unique UNIQUE,
    duration_minutes     integer NOT NULL DEFAULT 0 CONSTRAINT courses__duration_not_negative CHECK (duration_minutes >= 0),
    language             text,
    prerequisites        text[] NOT NULL DEFAULT '{}',
    what_you_will_learn  text[] NOT NULL DEFAULT '{}',
    target_audience      text[] NOT NULL DEFAULT '{}',
    requirements         text[] NOT NULL DEFAULT '{}',
    tags                 text[] NOT NULL DEFAULT '{}',
    is_featured          boolean NOT NULL DEFAULT false,
    is_bestseller        boolean NOT NULL DEFAULT false,
    max_students         integer CONSTRAINT courses__max_students_positive CHECK (max_students > 0),
    certificate_enabled  boolean NOT NULL DEFAULT true,
    certificate_template text,
    total_chapters       integer NOT NULL DEFAULT 0,
    total_lectures       integer NOT NULL DEFAULT 0,
    total_students       integer NOT NULL DEFAULT 0,
    total_reviews        integer NOT NULL DEFAULT 0,
    avg_rating           numeric(3, 2) CONSTRAINT courses__avg_rating_in_range CHECK (avg_rating BETWEEN 1 AND 5),
    published_at         timestamptz,
    deleted_at           timestamptz,
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    search               tsvector GENERATED ALWAYS AS (setweight(to_tsvector('simple', title), 'A')
                         || setweight(to_tsvector('simple', small_description || ' ' || description), 'B')) STORED,
    CONSTRAINT courses__slug_unique UNIQUE (tenant_id, slug),
    CONSTRAINT courses__has_picture CHECK (num_nonnulls(file_key, thumbnail_url) > 0),
    CONSTRAINT courses__discount_within_price CHECK (discount_price <= price),
    CONSTRAINT courses__free_costs_nothing CHECK (pricing_type <> 'free' OR price = 0),
    CONSTRAINT courses__sold_has_price CHECK (pricing_type <> 'paid' OR status <> 'published' OR price > 0),
    CONSTRAINT courses__published_has_moment CHECK (status <> 'published' OR published_at IS NOT NULL),
    CONSTRAINT courses__deleted_is_hidden CHECK (deleted_at IS NULL OR status <> 'published')
);
CREATE INDEX courses_status_idx ON courses (status);
CREATE INDEX courses_featured_idx ON courses (is_featured);
CREATE INDEX courses_teacher_status_idx ON courses (teacher_id, status);
CREATE INDEX courses_category_featured_idx ON courses (category_id, is_featured);
CREATE INDEX courses_published_idx ON courses (published_at) WHERE status = 'published';
CREATE INDEX courses_search_idx ON courses USING gin (search);
COMMENT ON COLUMN courses.price IS 'In whole units with four places; a price in cents is a hundredth of it, without loss.';
COMMENT ON COLUMN courses.stripe_price_id IS 'What Stripe calls the price, where it is kept there too: a payment tells Stripe the amount itself.';
COMMENT ON COLUMN courses.file_key IS 'Object key of the picture; or thumbnail_url, when it lies elsewhere.';
COMMENT ON COLUMN courses.duration_minutes IS 'All of it: hours are duration_minutes / 60.';
COMMENT ON COLUMN courses.deleted_at IS 'Set aside by its teacher: nobody finds it any more, enrolments stay readable, and it can be brought back.';
COMMENT ON COLUMN courses.total_students IS 'The total_* columns and avg_rating are kept by triggers, one statement a batch.';
CREATE TRIGGER courses_transition BEFORE UPDATE ON courses FOR EACH ROW EXECUTE FUNCTION
    allow_transitions('status', 'draft>under_review', 'draft>published', 'under_review>published', 'under_review>draft',
                      'published>archived', 'archived>published', 'archived>draft');

CREATE TABLE chapters (
    id          uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id   uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    course_id   uuid NOT NULL REFERENCES courses ON DELETE CASCADE,
    title       text NOT NULL CONSTRAINT chapters__title_given CHECK (title <> ''),
    description text,
    position    integer NOT NULL,
    is_active   boolean NOT NULL DEFAULT true,
    status      part_status NOT NULL DEFAULT 'draft',
    release_at  timestamptz,
    unlock_points integer CONSTRAINT chapters__unlock_points_not_negative CHECK (unlock_points >= 0),
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT chapters__of_course_unique UNIQUE (id, course_id),
    CONSTRAINT chapters__scheduled_has_release CHECK (status <> 'scheduled' OR release_at IS NOT NULL)
);
CREATE INDEX chapters_order_idx ON chapters (course_id, position);
COMMENT ON COLUMN chapters.unlock_points IS 'What it costs to open it before release_at; null: nobody can.';
CREATE TRIGGER chapters_transition BEFORE UPDATE ON chapters FOR EACH ROW EXECUTE FUNCTION
    allow_transitions('status', 'draft>scheduled', 'draft>published', 'scheduled>published', 'scheduled>draft', 'published>draft');

CREATE TABLE lessons (
    id              uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id       uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    course_id       uuid NOT NULL REFERENCES courses ON DELETE CASCADE,
    chapter_id      uuid NOT NULL,
    content_id      uuid REFERENCES contents ON DELETE SET NULL,
    title           text NOT NULL CONSTRAINT lessons__title_given CHECK (title <> ''),
    description     text,
    content_type    text NOT NULL DEFAULT 'video' CONSTRAINT lessons__type_known CHECK (content_type IN ('video', 'audio', 'pdf', 'text', 'live')),
    pdf_url         text,
    text_content    text,
    is_preview      boolean NOT NULL DEFAULT false,
    is_downloadable boolean NOT NULL DEFAULT false,
    position        integer NOT NULL,
    is_active       boolean NOT NULL DEFAULT true,
    status          part_status NOT NULL DEFAULT 'draft',
    release_at      timestamptz,
    unlock_points   integer CONSTRAINT lessons__unlock_points_not_negative CHECK (unlock_points >= 0),
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT lessons__of_course_unique UNIQUE (id, course_id),
    CONSTRAINT lessons__chapter_of_course FOREIGN KEY (chapter_id, course_id) REFERENCES chapters (id, course_id) ON DELETE CASCADE,
    CONSTRAINT lessons__scheduled_has_release CHECK (status <> 'scheduled' OR release_at IS NOT NULL)
);
CREATE INDEX lessons_chapter_idx ON lessons (chapter_id, course_id);
CREATE INDEX lessons_order_idx ON lessons (chapter_id, position);
CREATE TRIGGER lessons_transition BEFORE UPDATE ON lessons FOR EACH ROW EXECUTE FUNCTION
    allow_transitions('status', 'draft>scheduled', 'draft>published', 'scheduled>published', 'scheduled>draft', 'published>draft');
COMMENT ON TABLE lessons IS 'A lesson''s video or sound is a content: transcoded, authorised and resumed like any other.';
COMMENT ON CONSTRAINT lessons__chapter_of_course ON lessons IS 'A lesson''s chapter belongs to the lesson''s own course.';

-- Nothing empty is published: a course needs a chapter, a chapter needs a lesson.
CREATE FUNCTION has_parts_to_publish() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
    is_filled boolean;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE %I = $1)', TG_ARGV[0], TG_ARGV[1]) USING NEW.id INTO is_filled;
    IF NOT is_filled THEN
        PERFORM break_rule(TG_TABLE_NAME || '__published_has_' || TG_ARGV[0], format('it has no %s yet', TG_ARGV[0]),
                           format('Add %s first, then publish.', TG_ARGV[0]));
    END IF;
    PERFORM act_as(was);
    RETURN NEW;
END $$;
CREATE TRIGGER courses_publishable BEFORE INSERT OR UPDATE OF status ON courses FOR EACH ROW WHEN (NEW.status = 'published')
    EXECUTE FUNCTION has_parts_to_publish('chapters', 'course_id');
CREATE TRIGGER chapters_publishable BEFORE INSERT OR UPDATE OF status ON chapters FOR EACH ROW WHEN (NEW.status = 'published')
    EXECUTE FUNCTION has_parts_to_publish('lessons', 'chapter_id');

CREATE FUNCTION count_course_parts() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
BEGIN
    EXECUTE format('UPDATE courses c SET %1$I = (SELECT count(*) FROM %2$I p WHERE p.course_id = c.id)
                    WHERE c.id IN (SELECT course_id FROM changed)', TG_ARGV[0], TG_TABLE_NAME);
    PERFORM act_as(was);
    RETURN NULL;
END $$;
CREATE TRIGGER chapters_count_added AFTER INSERT ON chapters REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION count_course_parts('total_chapters');
CREATE TRIGGER chapters_count_gone AFTER DELETE ON chapters REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION count_course_parts('total_chapters');
CREATE TRIGGER lessons_count_added AFTER INSERT ON lessons REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION count_course_parts('total_lectures');
CREATE TRIGGER lessons_count_gone AFTER DELETE ON lessons REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION count_course_parts('total_lectures');

-- Whoever was made a teacher may begin a course; what they began is theirs.
CREATE FUNCTION may_teach() RETURNS boolean LANGUAGE plpgsql STABLE AS $$
DECLARE
    was text := act_as_service();
    answer boolean := EXISTS (SELECT FROM users WHERE id = app_user_id() AND role IN ('teacher', 'admin', 'super_admin'));
BEGIN
    PERFORM act_as(was);
    RETURN answer;
END $$;
-- Lessons that the viewer has opened before their release, by themselves or with their chapter.
CREATE FUNCTION my_unlocked_lessons() RETURNS uuid[] LANGUAGE plpgsql STABLE AS $$
DECLARE
    was text := act_as_service();
    answer uuid[] := (SELECT coalesce(array_agg(l.id), '{}') FROM early_unlocks u JOIN lessons l ON l.id = u.lesson_id OR l.chapter_id = u.chapter_id
                      WHERE u.user_id = app_user_id() AND l.status <> 'draft');
BEGIN
    PERFORM act_as(was);
    RETURN answer;
END $$;

SELECT admit('courses', '@staff OR teacher_id = @user OR (status = ''published'' AND @known)', '@staff OR teacher_id = @user',
             '@staff OR (teacher_id = @user AND (SELECT may_teach()))');
SELECT admit('chapters', '@staff OR (is_active AND (status = ''published'' OR (status = ''scheduled'' AND @known)) AND EXISTS (SELECT FROM courses c WHERE c.id = course_id))
    OR EXISTS (SELECT FROM courses c WHERE c.id = course_id AND c.teacher_id = @user)',
    '@staff OR EXISTS (SELECT FROM courses c WHERE c.id = course_id AND c.teacher_id = @user)');
-- A scheduled lesson is announced by its chapter. A draft chapter hides its lessons, whatever they say of themselves.
SELECT admit('lessons', '@staff OR (is_active AND @known AND (status = ''published'' OR (status = ''scheduled''
    AND (release_at <= now() OR id = ANY ((SELECT my_unlocked_lessons())::uuid[])))) AND EXISTS (SELECT FROM chapters h WHERE h.id = chapter_id))
    OR EXISTS (SELECT FROM courses c WHERE c.id = course_id AND c.teacher_id = @user)',
    '@staff OR EXISTS (SELECT FROM courses c WHERE c.id = course_id AND c.teacher_id = @user)');
