-- What people mean to watch, with whom they share it, and what they recommend.

CREATE TYPE watchlist_status AS ENUM ('not_watched', 'watching', 'completed');
CREATE TYPE family_role AS ENUM ('admin', 'member');
CREATE TYPE family_invitation_status AS ENUM ('pending', 'accepted', 'declined');
CREATE TYPE recommendation_status AS ENUM ('pending', 'accepted', 'rejected');

CREATE TABLE families (
    id         uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id  uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    name       text NOT NULL CONSTRAINT families__name_given CHECK (name <> ''),
    created_by uuid NOT NULL DEFAULT app_user_id() REFERENCES users ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE family_memberships (
    id        uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    family_id uuid NOT NULL REFERENCES families ON DELETE CASCADE,
    user_id   uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    role      family_role NOT NULL DEFAULT 'member',
    joined_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT family_memberships__once UNIQUE (user_id, family_id)
);

-- Policies ask these once a statement; they look as the service, whose own policies need no answer: that ends the circle in
-- which the policy of family_memberships asks what only family_memberships can tell.
CREATE FUNCTION my_families() RETURNS uuid[] LANGUAGE plpgsql STABLE AS $$
DECLARE
    was text;
    answer uuid[] := '{}';
BEGIN
    IF NOT app_is_service() THEN
        was := act_as_service();
        answer := (SELECT coalesce(array_agg(family_id), '{}') FROM family_memberships WHERE user_id = app_user_id());
        PERFORM act_as(was);
    END IF;
    RETURN answer;
END $$;
CREATE FUNCTION families_i_manage() RETURNS uuid[] LANGUAGE plpgsql STABLE AS $$
DECLARE
    was text;
    answer uuid[] := '{}';
BEGIN
    IF NOT app_is_service() THEN
        was := act_as_service();
        answer := (SELECT coalesce(array_agg(id), '{}') FROM (
            SELECT family_id AS id FROM family_memberships WHERE user_id = app_user_id() AND role = 'admin'
            UNION SELECT id FROM families WHERE created_by = app_user_id()) AS f);
        PERFORM act_as(was);
    END IF;
    RETURN answer;
END $$;
CREATE FUNCTION my_family_people() RETURNS uuid[] LANGUAGE plpgsql STABLE AS $$
DECLARE
    was text;
    answer uuid[] := '{}';
BEGIN
    IF NOT app_is_service() THEN
        was := act_as_service();
        answer := (SELECT coalesce(array_agg(DISTINCT user_id), '{}') FROM family_memberships
                   WHERE family_id IN (SELECT m.family_id FROM family_memberships m WHERE m.user_id = app_user_id()));
        PERFORM act_as(was);
    END IF;
    RETURN answer;
END $$;

SELECT admit('families', 'id = ANY ((SELECT my_families())::uuid[]) OR created_by = @user OR @service',
             'id = ANY ((SELECT families_i_manage())::uuid[]) OR @service', 'created_by = @user OR @service');
SELECT admit('family_memberships', 'family_id = ANY ((SELECT my_families())::uuid[]) OR user_id = @user OR @service',
             'family_id = ANY ((SELECT families_i_manage())::uuid[]) OR @service');

CREATE TABLE family_invitations (
    id           uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id    uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    family_id    uuid NOT NULL REFERENCES families ON DELETE CASCADE,
    email        text NOT NULL CONSTRAINT family_invitations__email_shape CHECK (length(email) <= 254 AND email ~ '^[^@\s]+@[^@\s]+\.[^@\s]+$'),
    token_digest bytea NOT NULL CONSTRAINT family_invitations__token_unique UNIQUE
                 CONSTRAINT family_invitations__digest_sha256 CHECK (length(token_digest) = 32),
    status       family_invitation_status NOT NULL DEFAULT 'pending',
    expires_at   timestamptz NOT NULL,
    accepted_at  timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT family_invitations__expires_after_start CHECK (expires_at > created_at),
    CONSTRAINT family_invitations__accepted_has_moment CHECK ((status = 'accepted') = (accepted_at IS NOT NULL)),
    CONSTRAINT family_invitations__in_time CHECK (accepted_at <= expires_at)
);
CREATE UNIQUE INDEX family_invitations__once ON family_invitations (family_id, lower(email));
CREATE INDEX family_invitations_email_idx ON family_invitations (lower(email));
CREATE INDEX family_invitations_status_idx ON family_invitations (status);
CREATE TRIGGER family_invitations_transition BEFORE UPDATE ON family_invitations FOR EACH ROW EXECUTE FUNCTION
    allow_transitions('status', 'pending>accepted', 'pending>declined');
SELECT admit('family_invitations', 'family_id = ANY ((SELECT families_i_manage())::uuid[]) OR @service',
             'family_id = ANY ((SELECT families_i_manage())::uuid[]) OR @service');

CREATE TABLE watchlist_entries (
    id            uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id     uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    user_id       uuid NOT NULL DEFAULT app_user_id() REFERENCES users ON DELETE CASCADE,
    media_item_id uuid NOT NULL REFERENCES media_items ON DELETE CASCADE,
    status        watchlist_status NOT NULL DEFAULT 'not_watched',
    rating        integer CONSTRAINT watchlist_entries__rating_in_range CHECK (rating BETWEEN 1 AND 10),
    notes         text,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT watchlist_entries__once UNIQUE (user_id, media_item_id)
);
CREATE INDEX watchlist_entries_status_idx ON watchlist_entries (status);
COMMENT ON TABLE watchlist_entries IS 'Read by its owner and by the people of the owner''s families.';
SELECT admit('watchlist_entries', 'user_id = @user OR user_id = ANY ((SELECT my_family_people())::uuid[]) OR @service', 'user_id = @user OR @service');

CREATE TABLE recommendations (
    id             uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id      uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    media_item_id  uuid NOT NULL REFERENCES media_items ON DELETE CASCADE,
    recommended_by uuid NOT NULL DEFAULT app_user_id() REFERENCES users ON DELETE CASCADE,
    recommended_to uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    message        text,
    status         recommendation_status NOT NULL DEFAULT 'pending',
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT recommendations__to_somebody_else CHECK (recommended_by <> recommended_to)
);
CREATE INDEX recommendations_status_idx ON recommendations (status);
CREATE TRIGGER recommendations_transition BEFORE UPDATE ON recommendations FOR EACH ROW EXECUTE FUNCTION
    allow_transitions('status', 'pending>accepted', 'pending>rejected');
COMMENT ON TABLE recommendations IS 'Answered by whom it was made to, and by nobody else.';
SELECT admit('recommendations', 'recommended_by = @user OR recommended_to = @user OR @service', 'recommended_to = @user OR @service',
             '(recommended_by = @user AND status = ''pending'') OR @service');
