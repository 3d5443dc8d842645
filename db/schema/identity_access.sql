-- Proving who one is, and what is remembered of it.

CREATE TYPE verification_purpose AS ENUM ('email', 'email_change', 'password_reset', 'magic_link', 'phone', 'auth_code');

CREATE TABLE verifications (
    id           uuid PRIMARY KEY DEFAULT uuid7(),
    user_id      uuid REFERENCES users ON DELETE CASCADE,
    identifier   text NOT NULL CONSTRAINT verifications__identifier_given CHECK (identifier <> ''),
    purpose      verification_purpose NOT NULL,
    token_digest bytea NOT NULL CONSTRAINT verifications__token_unique UNIQUE
                 CONSTRAINT verifications__digest_sha256 CHECK (length(token_digest) = 32),
    new_value    text,
    expires_at   timestamptz NOT NULL,
    used_at      timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT verifications__expires_after_start CHECK (expires_at > created_at)
);
CREATE INDEX verifications_identifier_idx ON verifications (identifier);
CREATE UNIQUE INDEX verifications__one_open ON verifications (purpose, lower(identifier)) WHERE used_at IS NULL;
COMMENT ON TABLE verifications IS 'Every secret that is mailed, by purpose; of the secret only its SHA-256.';
COMMENT ON INDEX verifications__one_open IS 'A newer mail makes the older one worthless: its row is replaced.';
COMMENT ON COLUMN verifications.new_value IS 'The address or number that email_change and phone are about to confirm; of an auth_code the challenge it answers.';
SELECT admit('verifications', '@service');

CREATE TABLE api_keys (
    id           uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id    uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    user_id      uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    key_hash     bytea NOT NULL CONSTRAINT api_keys__key_unique UNIQUE CONSTRAINT api_keys__hash_sha256 CHECK (length(key_hash) = 32),
    prefix       text,
    name         text NOT NULL CONSTRAINT api_keys__name_given CHECK (name <> ''),
    scopes       text[] NOT NULL DEFAULT '{}',
    last_used_at timestamptz,
    expires_at   timestamptz,
    revoked_at   timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT api_keys__expires_after_start CHECK (expires_at > created_at)
);
COMMENT ON COLUMN api_keys.key_hash IS 'SHA-256 of the key, which is shown once; prefix is the part that people may recognise it by.';
SELECT admit('api_keys', 'user_id = @user OR @staff', 'user_id = @user OR @staff', 'user_id = @user OR @service');

CREATE TABLE login_history (
    id             uuid PRIMARY KEY DEFAULT uuid7(),
    user_id        uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    enrollment_id  uuid,
    ip_address     inet,
    user_agent     text,
    device         text,
    browser        text,
    country        text,
    city           text,
    success        boolean NOT NULL DEFAULT true,
    failure_reason text,
    device_info    jsonb,
    created_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT login_history__failure_says_why CHECK (success OR failure_reason IS NOT NULL)
);
CREATE INDEX login_history_success_idx ON login_history (success);
CREATE INDEX login_history_created_at_idx ON login_history (created_at);
CREATE INDEX login_history_ip_address_idx ON login_history (ip_address);
CREATE TRIGGER login_history_keep BEFORE UPDATE ON login_history FOR EACH ROW EXECUTE FUNCTION refuse_change();
COMMENT ON TABLE login_history IS 'Every try to come in. With an enrolment it is a student''s visit to that course.';
SELECT admit('login_history', 'user_id = @user OR @service');

CREATE TABLE online_sessions (
    id               uuid PRIMARY KEY DEFAULT uuid7(),
    user_id          uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    session_id       text NOT NULL CONSTRAINT online_sessions__session_unique UNIQUE,
    ip_address       inet,
    user_agent       text,
    last_activity_at timestamptz NOT NULL DEFAULT now(),
    created_at       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX online_sessions_last_activity_at_idx ON online_sessions (last_activity_at);
COMMENT ON TABLE online_sessions IS 'Who is there now: signed-in people by their last request, to the minute. Rows a day old are swept.';
COMMENT ON COLUMN online_sessions.session_id IS 'The id of the session it came by.';
SELECT admit('online_sessions', 'user_id = @user OR @service OR (@staff AND EXISTS (SELECT FROM users u WHERE u.id = online_sessions.user_id))', '@service');

CREATE TABLE email_preferences (
    user_id          uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    marketing_emails boolean NOT NULL DEFAULT false,
    product_updates  boolean NOT NULL DEFAULT true,
    security_alerts  boolean NOT NULL DEFAULT true,
    updated_at       timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE email_preferences IS 'One row a person; without one, the defaults hold.';
SELECT admit('email_preferences', 'user_id = @user OR @service', 'user_id = @user OR @service');

CREATE TABLE user_metrics (
    user_id      uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    metric_name  text NOT NULL CONSTRAINT user_metrics__name_given CHECK (metric_name <> ''),
    metric_value numeric,
    metric_data  jsonb,
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, metric_name)
);
SELECT admit('user_metrics', 'user_id = @user OR @service');

CREATE TABLE security_events (
    id          uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id   uuid DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    user_id     uuid REFERENCES users ON DELETE SET NULL,
    event_type  text NOT NULL,
    severity    text NOT NULL DEFAULT 'info' CONSTRAINT security_events__severity_known CHECK (severity IN ('info', 'low', 'medium', 'high', 'critical')),
    details     jsonb NOT NULL DEFAULT '{}',
    ip_address  inet,
    user_agent  text,
    occurred_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX security_events_occurred_at_idx ON security_events (occurred_at);
CREATE INDEX security_events_severity_idx ON security_events (severity, occurred_at);
CREATE TRIGGER security_events_keep BEFORE UPDATE ON security_events FOR EACH ROW
    WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION refuse_change();
COMMENT ON COLUMN security_events.tenant_id IS 'Null before it is known which tenant somebody knocks at.';
SELECT admit('security_events', '@staff AND tenant_id IS NOT NULL OR @service');

CREATE TABLE gdpr_requests (
    id           uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id    uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    user_id      uuid REFERENCES users ON DELETE SET NULL,
    request_type text NOT NULL CONSTRAINT gdpr_requests__type_known CHECK (request_type IN ('access', 'erasure', 'rectification', 'restriction')),
    status       text NOT NULL DEFAULT 'pending'
                 CONSTRAINT gdpr_requests__status_known CHECK (status IN ('pending', 'in_progress', 'completed', 'rejected')),
    requested_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    notes        text,
    CONSTRAINT gdpr_requests__completed_has_moment CHECK ((status IN ('completed', 'rejected')) = (completed_at IS NOT NULL))
);
CREATE INDEX gdpr_requests_status_idx ON gdpr_requests (status);
CREATE TRIGGER gdpr_requests_transition BEFORE UPDATE ON gdpr_requests FOR EACH ROW EXECUTE FUNCTION
    allow_transitions('status', 'pending>in_progress', 'pending>completed', 'pending>rejected', 'in_progress>completed', 'in_progress>rejected');
COMMENT ON COLUMN gdpr_requests.user_id IS 'Null once the erasure that was asked for has been carried out: the request itself must stay provable.';
SELECT admit('gdpr_requests', 'user_id = @user OR @staff', '@staff', '(user_id = @user AND status = ''pending'') OR @staff');
