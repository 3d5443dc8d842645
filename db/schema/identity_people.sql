-- What people care for and whom they follow.

CREATE TABLE follows (
    id           uuid PRIMARY KEY DEFAULT uuid7(),
    follower_id  uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    following_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT follows__once UNIQUE (follower_id, following_id),
    CONSTRAINT follows__not_oneself CHECK (follower_id <> following_id)
);
SELECT admit('follows', '@member', 'follower_id = @user OR @service');

CREATE TABLE user_interests (
    id            uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id     uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    user_id       uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    category_id   uuid REFERENCES categories ON DELETE CASCADE,
    interest_name text,
    priority      integer NOT NULL DEFAULT 0,
    CONSTRAINT user_interests__says_what CHECK (num_nonnulls(category_id, interest_name) > 0),
    CONSTRAINT user_interests__once UNIQUE NULLS NOT DISTINCT (tenant_id, user_id, category_id, interest_name)
);
SELECT admit('user_interests', 'user_id = @user OR @service', 'user_id = @user OR @service');

-- Teaching is added to what somebody is; an admin stays one.
CREATE FUNCTION make_teacher(person uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
BEGIN
    UPDATE users SET role = 'teacher' WHERE id = person AND role IN ('user', 'student');
    PERFORM act_as(was);
END $$;
