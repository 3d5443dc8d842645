-- Who belongs to a tenant, in what role, and how they are asked in.

CREATE TYPE tenant_role AS ENUM ('Member', 'Admin', 'SuperAdmin');
CREATE TYPE invitation_status AS ENUM ('Pending', 'Accepted', 'Expired', 'Revoked');

CREATE TABLE memberships (
    id         uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id  uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    user_id    uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    role       tenant_role NOT NULL DEFAULT 'Member',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT memberships__once UNIQUE (user_id, tenant_id)
);
COMMENT ON TABLE memberships IS 'Places a person in a tenant; Admin and SuperAdmin act there as staff.';
SELECT admit('memberships', 'user_id = @user OR @staff', '@staff');

-- Accounts are the installation's: the staff of the default workspace see all of them, that of any other its members alone.
CREATE POLICY users_read ON users FOR SELECT USING (
    id = (SELECT app_user_id()) OR (SELECT app_is_service())
    OR ((SELECT app_is_staff()) AND ((SELECT app_tenant_id()) = '00000000-0000-7000-8000-000000000001'
                                     OR EXISTS (SELECT FROM memberships m WHERE m.user_id = users.id))));

CREATE TABLE invitations (
    id           uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id    uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    token_digest bytea NOT NULL CONSTRAINT invitations__token_unique UNIQUE CONSTRAINT invitations__digest_sha256 CHECK (length(token_digest) = 32),
    email        text NOT NULL CONSTRAINT invitations__email_shape CHECK (length(email) <= 254 AND email ~ '^[^@\s]+@[^@\s]+\.[^@\s]+$'),
    user_id      uuid REFERENCES users ON DELETE CASCADE,
    role         tenant_role NOT NULL DEFAULT 'Member',
    status       invitation_status NOT NULL DEFAULT 'Pending',
    invited_by   uuid NOT NULL DEFAULT '00000000-0000-7000-8000-000000000002' REFERENCES users ON DELETE SET DEFAULT,
    expires_at   timestamptz NOT NULL,
    accepted_at  timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT invitations__expires_after_start CHECK (expires_at > created_at),
    CONSTRAINT invitations__accepted_has_moment CHECK ((status = 'Accepted') = (accepted_at IS NOT NULL))
);
CREATE INDEX invitations_email_idx ON invitations (lower(email));
CREATE INDEX invitations_status_idx ON invitations (status);
CREATE UNIQUE INDEX invitations__one_open ON invitations (tenant_id, lower(email)) WHERE status = 'Pending';
CREATE TRIGGER invitations_transition BEFORE UPDATE ON invitations FOR EACH ROW EXECUTE FUNCTION
    allow_transitions('status', 'Pending>Accepted', 'Pending>Expired', 'Pending>Revoked');
COMMENT ON COLUMN invitations.user_id IS 'Set when the address belongs to somebody who is already known.';
SELECT admit('invitations', 'user_id = @user OR @staff', '@staff');

CREATE TABLE tenant_settings (
    tenant_id  uuid PRIMARY KEY DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    settings   jsonb NOT NULL DEFAULT '{}' CONSTRAINT tenant_settings__is_object CHECK (jsonb_typeof(settings) = 'object'),
    updated_at timestamptz NOT NULL DEFAULT now()
);
SELECT admit('tenant_settings', '@staff', '@staff');

CREATE TABLE tenant_quotas (
    tenant_id     uuid PRIMARY KEY DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    max_users     integer CONSTRAINT tenant_quotas__users_not_negative CHECK (max_users >= 0),
    max_podcasts  integer CONSTRAINT tenant_quotas__podcasts_not_negative CHECK (max_podcasts >= 0),
    max_campaigns integer CONSTRAINT tenant_quotas__campaigns_not_negative CHECK (max_campaigns >= 0),
    max_bytes     bigint CONSTRAINT tenant_quotas__bytes_not_negative CHECK (max_bytes >= 0),
    updated_at    timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN tenant_quotas.max_bytes IS 'Of uploaded files and of what was encoded from them, together; looked at when a file is handed in.';
COMMENT ON TABLE tenant_quotas IS 'What a tenant may grow to; null is without limit. Set by the operator, never by the tenant.';
SELECT admit('tenant_quotas', '@staff');

-- The quota's row is locked first: two that come at once would each count without the other. And in a statement of its own: one that
-- counts too would do so in a snapshot from before it waited.
CREATE FUNCTION within_quota() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
    over record;
BEGIN
    PERFORM FROM tenant_quotas WHERE tenant_id IN (SELECT tenant_id FROM added) ORDER BY tenant_id FOR UPDATE;
    EXECUTE format('SELECT q.tenant_id, q.%1$I AS most, count(*) AS there FROM tenant_quotas AS q JOIN %2$I AS t ON t.tenant_id = q.tenant_id
                    WHERE q.tenant_id IN (SELECT tenant_id FROM added) GROUP BY 1, 2 HAVING count(*) > q.%1$I',
                   TG_ARGV[0], TG_TABLE_NAME) INTO over;
    IF over.most IS NOT NULL THEN
        PERFORM break_rule(TG_TABLE_NAME || '__within_quota', format('the tenant may have %s %s', over.most, TG_TABLE_NAME),
                           'The operator sets the quota of a tenant.');
    END IF;
    PERFORM act_as(was);
    RETURN NULL;
END $$;
CREATE TRIGGER memberships_quota AFTER INSERT ON memberships REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION within_quota('max_users');

CREATE TABLE white_label_settings (
    tenant_id     uuid PRIMARY KEY DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    brand_name    text,
    logo_url      text,
    primary_color text CONSTRAINT white_label_settings__color_hex CHECK (primary_color ~ '^#[0-9a-fA-F]{6}$'),
    custom_domain text CONSTRAINT white_label_settings__domain_unique UNIQUE
                  CONSTRAINT white_label_settings__domain_shape CHECK (custom_domain ~ '^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$'),
    updated_at    timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE white_label_settings IS 'A tenant''s own face; anyone who opens its pages sees it.';
SELECT admit('white_label_settings', '@known', '@staff');
