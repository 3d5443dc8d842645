-- People: who they are, how they sign in, where they are signed in.

CREATE TYPE platform_role AS ENUM ('user', 'student', 'teacher', 'admin', 'super_admin');
CREATE TYPE user_status AS ENUM ('active', 'inactive', 'suspended', 'pending_verification');
CREATE TYPE auth_method AS ENUM ('email', 'google', 'apple', 'phone', 'github', 'oidc');

CREATE TABLE users (
    id               uuid PRIMARY KEY DEFAULT uuid7(),
    name             text NOT NULL CONSTRAINT users__name_given CHECK (name <> ''),
    email            text NOT NULL CONSTRAINT users__email_shape
                     CHECK (length(email) <= 254 AND email ~ '^[^@\s]+@[^@\s]+\.[^@\s]+$'),
    email_verified   boolean NOT NULL DEFAULT false,
    phone            text CONSTRAINT users__phone_unique UNIQUE,
    phone_verified   boolean NOT NULL DEFAULT false,
    image            text,
    username         text CONSTRAINT users__username_shape CHECK (username ~ '^[a-z0-9_.]{3,30}$'),
    display_username text,
    role             platform_role NOT NULL DEFAULT 'user',
    status           user_status NOT NULL DEFAULT 'active',
    banned           boolean NOT NULL DEFAULT false,
    ban_reason       text,
    ban_expires      timestamptz,
    points           integer NOT NULL DEFAULT 0 CONSTRAINT users__points_not_negative CHECK (points >= 0),
    stripe_customer_id     text CONSTRAINT users__stripe_customer_unique UNIQUE,
    stripe_subscription_id text,
    last_login       timestamptz,
    login_attempts   integer NOT NULL DEFAULT 0,
    locked_until     timestamptz,
    deleted_at       timestamptz,
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT users__ban_expiry_needs_ban CHECK (banned OR ban_expires IS NULL)
);
CREATE UNIQUE INDEX users__email_unique ON users (lower(email));
CREATE UNIQUE INDEX users__username_unique ON users (lower(username));
CREATE INDEX users_role_idx ON users (role);
CREATE INDEX users_status_idx ON users (status);
CREATE INDEX users_email_verified_idx ON users (email) WHERE email_verified;
COMMENT ON INDEX users__email_unique IS 'One account per mailbox, however it is capitalised.';
COMMENT ON COLUMN users.deleted_at IS 'When the person was erased: what must stay (orders, points, posts) stays under a name that says nothing.';
COMMENT ON COLUMN users.role IS 'Platform role; a role inside one tenant is on memberships.';
CREATE TRIGGER users_touch BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

CREATE FUNCTION is_banned(subject users, at timestamptz) RETURNS boolean LANGUAGE sql IMMUTABLE AS
$$ SELECT subject.status = 'suspended' OR (subject.banned AND (subject.ban_expires IS NULL OR subject.ban_expires > at)) $$;
COMMENT ON FUNCTION is_banned(users, timestamptz) IS 'A ban whose end has passed no longer blocks.';

CREATE TABLE user_profiles (
    user_id            uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    first_name         text,
    last_name          text,
    display_name       text,
    bio                text,
    avatar_url         text,
    date_of_birth      date,
    country            text CONSTRAINT user_profiles__country_iso CHECK (country ~ '^[A-Z]{2}$'),
    timezone           text,
    preferred_language text,
    designation        text,
    social_website     text,
    social_github      text,
    social_facebook    text,
    social_twitter     text,
    social_linkedin    text,
    preferences        jsonb NOT NULL DEFAULT '{}' CONSTRAINT user_profiles__preferences_object CHECK (jsonb_typeof(preferences) = 'object'),
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER user_profiles_touch BEFORE UPDATE ON user_profiles FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

CREATE TABLE accounts (
    id                       uuid PRIMARY KEY DEFAULT uuid7(),
    user_id                  uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    provider_id              text NOT NULL,
    account_id               text NOT NULL,
    auth_method              auth_method NOT NULL DEFAULT 'email',
    provider_data            jsonb,
    is_primary               boolean NOT NULL DEFAULT false,
    password                 text CONSTRAINT accounts__password_is_hash CHECK (password LIKE '$argon2id$%'),
    access_token             text,
    refresh_token            text,
    id_token                 text,
    access_token_expires_at  timestamptz,
    refresh_token_expires_at timestamptz,
    scope                    text,
    created_at               timestamptz NOT NULL DEFAULT now(),
    updated_at               timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT accounts__provider_account_unique UNIQUE (provider_id, account_id),
    CONSTRAINT accounts__credential_has_password CHECK (provider_id <> 'credential' OR password IS NOT NULL)
);
CREATE INDEX accounts_user_id_idx ON accounts (user_id);
CREATE UNIQUE INDEX accounts__one_primary ON accounts (user_id) WHERE is_primary;
COMMENT ON INDEX accounts__one_primary IS 'One way in is the one that mails and screens speak of.';
COMMENT ON COLUMN accounts.password IS 'argon2id hash, for provider_id = credential.';
CREATE TRIGGER accounts_touch BEFORE UPDATE ON accounts FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

CREATE TABLE sessions (
    id              uuid PRIMARY KEY DEFAULT uuid7(),
    user_id         uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    token_digest    bytea NOT NULL CONSTRAINT sessions__token_unique UNIQUE,
    expires_at      timestamptz NOT NULL,
    ip_address      inet,
    user_agent      text,
    impersonated_by uuid REFERENCES users ON DELETE SET NULL,
    revoked_at      timestamptz,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT sessions__expires_after_start CHECK (expires_at > created_at)
);
CREATE INDEX sessions_user_id_idx ON sessions (user_id);
CREATE INDEX sessions_impersonated_by_idx ON sessions (impersonated_by);
CREATE INDEX sessions_ended_idx ON sessions (least(revoked_at, expires_at));
COMMENT ON INDEX sessions_ended_idx IS 'By when they ended, or will: what archive_sessions() looks for.';
COMMENT ON COLUMN sessions.token_digest IS 'SHA-256 of the session''s secret; the secret itself is never stored.';
CREATE TRIGGER sessions_touch BEFORE UPDATE ON sessions FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

CREATE TABLE refresh_tokens (
    id           uuid PRIMARY KEY DEFAULT uuid7(),
    session_id   uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
    user_id      uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    token_digest bytea NOT NULL CONSTRAINT refresh_tokens__token_unique UNIQUE,
    parent_id    uuid REFERENCES refresh_tokens ON DELETE CASCADE,
    expires_at   timestamptz NOT NULL,
    used_at      timestamptz,
    revoked_at   timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX refresh_tokens_session_id_idx ON refresh_tokens (session_id);
CREATE INDEX refresh_tokens_user_id_idx ON refresh_tokens (user_id);
CREATE INDEX refresh_tokens_parent_id_idx ON refresh_tokens (parent_id);
COMMENT ON TABLE refresh_tokens IS 'Each is used once; presenting a used one again ends its session.';

SELECT protect_table(t) FROM unnest(ARRAY['users', 'user_profiles', 'accounts', 'sessions', 'refresh_tokens']::regclass[]) AS t;
CREATE POLICY users_write ON users FOR ALL USING ((SELECT app_is_service())) WITH CHECK ((SELECT app_is_service()));
CREATE POLICY user_profiles_read ON user_profiles FOR SELECT
    USING (user_id = (SELECT app_user_id()) OR (SELECT app_role()) IN ('authenticated', 'staff', 'service_role'));
CREATE POLICY user_profiles_write ON user_profiles FOR ALL
    USING (user_id = (SELECT app_user_id()) OR (SELECT app_is_service()))
    WITH CHECK (user_id = (SELECT app_user_id()) OR (SELECT app_is_service()));
CREATE POLICY accounts_service ON accounts FOR ALL USING ((SELECT app_is_service())) WITH CHECK ((SELECT app_is_service()));
CREATE POLICY sessions_read ON sessions FOR SELECT USING (user_id = (SELECT app_user_id()) OR (SELECT app_is_service()));
CREATE POLICY sessions_write ON sessions FOR ALL USING ((SELECT app_is_service())) WITH CHECK ((SELECT app_is_service()));
CREATE POLICY refresh_tokens_service ON refresh_tokens FOR ALL
    USING ((SELECT app_is_service())) WITH CHECK ((SELECT app_is_service()));

INSERT INTO users (id, name, email, role)
VALUES ('00000000-0000-7000-8000-000000000002', 'Penstock', 'system@penstock.invalid', 'super_admin');
COMMENT ON TABLE users IS 'Global: memberships place a person in tenants. Row ...0002 is the product itself, the author of what no person did.';
