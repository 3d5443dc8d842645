-- Support calls of a course, and the queue of those who want to speak.

CREATE TYPE support_call_status AS ENUM ('Active', 'Ended', 'Cancelled');
CREATE TYPE support_request_status AS ENUM ('Pending', 'Accepted', 'Rejected', 'Completed');

CREATE TABLE support_calls (
    id             uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id      uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    course_id      uuid NOT NULL REFERENCES courses ON DELETE CASCADE,
    created_by     uuid NOT NULL DEFAULT coalesce(app_user_id(), '00000000-0000-7000-8000-000000000002') REFERENCES users ON DELETE CASCADE,
    stream_call_id text CONSTRAINT support_calls__stream_unique UNIQUE,
    title          text,
    description    text,
    status         support_call_status NOT NULL DEFAULT 'Active',
    ended_at       timestamptz,
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT support_calls__over_has_moment CHECK ((status = 'Active') = (ended_at IS NULL))
);
CREATE INDEX support_calls_status_idx ON support_calls (status);
CREATE TRIGGER support_calls_transition BEFORE UPDATE ON support_calls FOR EACH ROW EXECUTE FUNCTION
    allow_transitions('status', 'Active>Ended', 'Active>Cancelled');
SELECT admit('support_calls', '@staff OR course_id = ANY ((SELECT my_courses())::uuid[]) OR course_id = ANY ((SELECT taught_courses())::uuid[])',
             '@staff OR course_id = ANY ((SELECT taught_courses())::uuid[])');

CREATE TABLE support_call_requests (
    id              uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id       uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    support_call_id uuid NOT NULL REFERENCES support_calls ON DELETE CASCADE,
    user_id         uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    support_type    text NOT NULL,
    status          support_request_status NOT NULL DEFAULT 'Pending',
    position        integer NOT NULL CONSTRAINT support_call_requests__position_positive CHECK (position > 0),
    joined_at       timestamptz,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT support_call_requests__once UNIQUE (support_call_id, user_id),
    CONSTRAINT support_call_requests__place_unique UNIQUE (support_call_id, position),
    CONSTRAINT support_call_requests__joins_when_accepted CHECK (joined_at IS NULL OR status IN ('Accepted', 'Completed'))
);
CREATE TRIGGER support_call_requests_transition BEFORE UPDATE ON support_call_requests FOR EACH ROW EXECUTE FUNCTION
    allow_transitions('status', 'Pending>Accepted', 'Pending>Rejected', 'Accepted>Completed');

-- The call is locked while a place in its queue is given out, and while it is seen to be open.
CREATE FUNCTION support_call_requests_queue() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
BEGIN
    IF (SELECT status FROM support_calls WHERE id = NEW.support_call_id FOR UPDATE) <> 'Active' THEN
        PERFORM break_rule('support_call_requests__call_is_active', 'the call is over');
    END IF;
    NEW.position := coalesce(NEW.position, (SELECT coalesce(max(position), 0) + 1 FROM support_call_requests WHERE support_call_id = NEW.support_call_id));
    PERFORM act_as(was);
    RETURN NEW;
END $$;
CREATE TRIGGER support_call_requests_queue BEFORE INSERT ON support_call_requests FOR EACH ROW EXECUTE FUNCTION support_call_requests_queue();
SELECT admit('support_call_requests', 'user_id = @user OR @staff OR EXISTS (SELECT FROM support_calls c WHERE c.id = support_call_id AND c.created_by = @user)');
