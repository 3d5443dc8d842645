-- What people are told, and what they ask for help with.

CREATE TYPE notification_type AS ENUM ('course_update', 'payment', 'achievement', 'reminder', 'announcement', 'live_session', 'test_result', 'violation',
    'blog_approved', 'blog_rejected', 'comment_received', 'reaction_received', 'points_earned', 'admin_reply', 'super_admin_invitation',
    'family_activity', 'recommendation');
CREATE TYPE notification_priority AS ENUM ('low', 'medium', 'high', 'urgent');
CREATE TYPE announcement_target_role AS ENUM ('AllStudents', 'AllTeachers', 'AllUsers', 'SpecificStudents', 'SpecificTeachers', 'CourseStudents');
CREATE TYPE announcement_status AS ENUM ('Draft', 'Scheduled', 'Published', 'Expired');
CREATE TYPE help_request_status AS ENUM ('Pending', 'InProgress', 'Resolved', 'Closed');
CREATE TYPE help_request_user_type AS ENUM ('Teacher', 'Student', 'Admin');

CREATE TABLE notifications (
    id         uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id  uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    user_id    uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    type       notification_type NOT NULL,
    title      text NOT NULL,
    message    text NOT NULL DEFAULT '',
    link       text,
    priority   notification_priority NOT NULL DEFAULT 'medium',
    channel    text NOT NULL DEFAULT 'in_app' CONSTRAINT notifications__channel_known CHECK (channel IN ('in_app', 'email', 'push', 'sms')),
    is_read    boolean NOT NULL DEFAULT false,
    read_at    timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT notifications__read_has_moment CHECK (is_read = (read_at IS NOT NULL))
);
CREATE INDEX notifications_is_read_idx ON notifications (is_read);
CREATE INDEX notifications_unread_idx ON notifications (user_id, created_at) WHERE NOT is_read;
CREATE FUNCTION notifications_read() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.read_at := CASE WHEN NEW.is_read THEN coalesce(NEW.read_at, now()) END;
    RETURN NEW;
END $$;
CREATE TRIGGER notifications_read BEFORE INSERT OR UPDATE OF is_read ON notifications FOR EACH ROW EXECUTE FUNCTION notifications_read();
SELECT admit('notifications', 'user_id = @user OR @service', 'user_id = @user OR @service', '@service');

CREATE TABLE notification_templates (
    id        uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id uuid DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    name      text NOT NULL CONSTRAINT notification_templates__name_given CHECK (name <> ''),
    subject   text NOT NULL DEFAULT '',
    body      text NOT NULL,
    html      text,
    type      notification_type NOT NULL,
    variables text[] NOT NULL DEFAULT '{}',
    CONSTRAINT notification_templates__name_unique UNIQUE NULLS NOT DISTINCT (tenant_id, name)
);
COMMENT ON COLUMN notification_templates.body IS 'As text, with {{ variables }} in it; so have subject and html.';
COMMENT ON COLUMN notification_templates.html IS 'Null: made from the text. What is put in for a variable is escaped.';
COMMENT ON COLUMN notification_templates.tenant_id IS 'Null: the text that holds where a tenant has none of its own.';
SELECT admit('notification_templates', '@staff', '(tenant_id IS NOT NULL AND @staff) OR @service');

CREATE TABLE announcements (
    id               uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id        uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    created_by_id    uuid NOT NULL DEFAULT coalesce(app_user_id(), '00000000-0000-7000-8000-000000000002') REFERENCES users ON DELETE CASCADE,
    title            text NOT NULL CONSTRAINT announcements__title_given CHECK (title <> ''),
    body             text NOT NULL,
    target_role      announcement_target_role NOT NULL,
    target_course_id uuid REFERENCES courses ON DELETE SET NULL,
    target_user_ids  uuid[] NOT NULL DEFAULT '{}',
    scheduled_at     timestamptz,
    published_at     timestamptz,
    status           announcement_status NOT NULL DEFAULT 'Draft',
    is_urgent        boolean NOT NULL DEFAULT false,
    attachment_keys  text[] NOT NULL DEFAULT '{}',
    view_count       integer NOT NULL DEFAULT 0 CONSTRAINT announcements__views_not_negative CHECK (view_count >= 0),
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT announcements__scheduled_has_moment CHECK (status <> 'Scheduled' OR scheduled_at IS NOT NULL),
    CONSTRAINT announcements__published_has_moment CHECK (status NOT IN ('Published', 'Expired') OR published_at IS NOT NULL),
    CONSTRAINT announcements__specific_names_people CHECK (target_role NOT IN ('SpecificStudents', 'SpecificTeachers') OR cardinality(target_user_ids) > 0)
);
CREATE INDEX announcements_status_idx ON announcements (status);
CREATE INDEX announcements_published_at_idx ON announcements (published_at);
CREATE INDEX announcements_target_role_idx ON announcements (target_role);
CREATE TRIGGER announcements_transition BEFORE UPDATE ON announcements FOR EACH ROW EXECUTE FUNCTION
    allow_transitions('status', 'Draft>Scheduled', 'Draft>Published', 'Scheduled>Published', 'Scheduled>Draft', 'Published>Expired');

CREATE FUNCTION my_platform_role() RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    was text := act_as_service();
    answer text := (SELECT role::text FROM users WHERE id = app_user_id());
BEGIN
    PERFORM act_as(was);
    RETURN answer;
END $$;
SELECT admit('announcements', '@staff OR created_by_id = @user OR (status = ''Published'' AND CASE target_role
        WHEN ''AllUsers'' THEN @known
        WHEN ''AllStudents'' THEN (SELECT my_platform_role()) IN (''user'', ''student'')
        WHEN ''AllTeachers'' THEN (SELECT my_platform_role()) = ''teacher''
        WHEN ''CourseStudents'' THEN target_course_id = ANY ((SELECT my_courses())::uuid[])
        ELSE @user = ANY (target_user_ids) END)',
    '@staff OR created_by_id = @user', '@staff OR (created_by_id = @user AND target_course_id = ANY ((SELECT taught_courses())::uuid[]))');

CREATE TABLE announcement_reads (
    id              uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id       uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    announcement_id uuid NOT NULL REFERENCES announcements ON DELETE CASCADE,
    user_id         uuid NOT NULL DEFAULT app_user_id() REFERENCES users ON DELETE CASCADE,
    read_at         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT announcement_reads__once UNIQUE (user_id, announcement_id)
);
CREATE FUNCTION count_announcement_reads() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
BEGIN
    UPDATE announcements a SET view_count = a.view_count + n.more
    FROM (SELECT announcement_id, count(*) AS more FROM fresh GROUP BY announcement_id) AS n WHERE a.id = n.announcement_id;
    PERFORM act_as(was);
    RETURN NULL;
END $$;
CREATE TRIGGER announcement_reads_count AFTER INSERT ON announcement_reads REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION count_announcement_reads();
SELECT admit('announcement_reads', 'user_id = @user OR @staff', 'user_id = @user OR @service',
             '(user_id = @user AND EXISTS (SELECT FROM announcements a WHERE a.id = announcement_id)) OR @service');

CREATE TABLE help_requests (
    id              uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id       uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    user_id         uuid NOT NULL DEFAULT app_user_id() REFERENCES users ON DELETE CASCADE,
    subject         text NOT NULL CONSTRAINT help_requests__subject_given CHECK (subject <> ''),
    message         text NOT NULL CONSTRAINT help_requests__message_given CHECK (message <> ''),
    user_type       help_request_user_type NOT NULL,
    status          help_request_status NOT NULL DEFAULT 'Pending',
    response        text,
    responded_at    timestamptz,
    user_reply      text,
    user_replied_at timestamptz,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT help_requests__reply_follows_response CHECK (user_reply IS NULL OR response IS NOT NULL)
);
CREATE INDEX help_requests_status_idx ON help_requests (status);
CREATE INDEX help_requests_created_at_idx ON help_requests (created_at);
CREATE INDEX help_requests_user_type_idx ON help_requests (user_type);
CREATE TRIGGER help_requests_transition BEFORE UPDATE ON help_requests FOR EACH ROW EXECUTE FUNCTION
    allow_transitions('status', 'Pending>InProgress', 'Pending>Resolved', 'Pending>Closed', 'InProgress>Resolved', 'InProgress>Closed', 'Resolved>Closed');
CREATE TRIGGER help_requests_responded BEFORE UPDATE ON help_requests FOR EACH ROW EXECUTE FUNCTION stamp_change('response', 'responded_at');
CREATE TRIGGER help_requests_replied BEFORE UPDATE ON help_requests FOR EACH ROW EXECUTE FUNCTION stamp_change('user_reply', 'user_replied_at');

CREATE TABLE help_request_messages (
    id              uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id       uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    help_request_id uuid NOT NULL REFERENCES help_requests ON DELETE CASCADE,
    author_id       uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    is_staff        boolean NOT NULL,
    message         text NOT NULL CONSTRAINT help_request_messages__given CHECK (message <> ''),
    created_at      timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE help_request_messages IS 'The whole conversation, turn by turn; response and user_reply of the request are its latest turns.';
CREATE FUNCTION help_requests_remember() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
BEGIN
    IF NEW.response IS DISTINCT FROM OLD.response AND NEW.response <> '' THEN
        INSERT INTO help_request_messages (tenant_id, help_request_id, author_id, is_staff, message)
        VALUES (NEW.tenant_id, NEW.id, coalesce(app_user_id(), '00000000-0000-7000-8000-000000000002'), true, NEW.response);
    END IF;
    IF NEW.user_reply IS DISTINCT FROM OLD.user_reply AND NEW.user_reply <> '' THEN
        INSERT INTO help_request_messages (tenant_id, help_request_id, author_id, is_staff, message)
        VALUES (NEW.tenant_id, NEW.id, NEW.user_id, false, NEW.user_reply);
    END IF;
    PERFORM act_as(was);
    RETURN NULL;
END $$;
CREATE TRIGGER help_requests_remember AFTER UPDATE OF response, user_reply ON help_requests FOR EACH ROW EXECUTE FUNCTION help_requests_remember();
SELECT admit('help_requests', 'user_id = @user OR @staff', '@staff', '(user_id = @user AND status = ''Pending'' AND response IS NULL) OR @staff');
SELECT admit('help_request_messages', 'EXISTS (SELECT FROM help_requests h WHERE h.id = help_request_id)');
