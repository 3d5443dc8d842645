-- Fine-grained rights: roles and permissions, ownership and policies, and what was refused.

CREATE TABLE roles (
    id          uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id   uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    name        text NOT NULL CONSTRAINT roles__name_given CHECK (name <> ''),
    description text,
    CONSTRAINT roles__name_unique UNIQUE (tenant_id, name)
);
SELECT admit('roles', '@member', '@staff');

CREATE TABLE permissions (
    id            uuid PRIMARY KEY DEFAULT uuid7(),
    name          text NOT NULL CONSTRAINT permissions__name_unique UNIQUE CONSTRAINT permissions__name_given CHECK (name <> ''),
    description   text,
    resource_type text NOT NULL,
    action        text NOT NULL,
    CONSTRAINT permissions__resource_action_unique UNIQUE (resource_type, action)
);
COMMENT ON TABLE permissions IS 'What there is to be allowed; the same for every tenant.';
SELECT admit('permissions', '@member');

CREATE TABLE user_roles (
    user_id     uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    role_id     uuid NOT NULL REFERENCES roles ON DELETE CASCADE,
    tenant_id   uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    assigned_at timestamptz NOT NULL DEFAULT now(),
    assigned_by uuid REFERENCES users ON DELETE SET NULL,
    PRIMARY KEY (user_id, role_id),
    CONSTRAINT user_roles__holder_is_member FOREIGN KEY (user_id, tenant_id) REFERENCES memberships (user_id, tenant_id) ON DELETE CASCADE
);
CREATE INDEX user_roles_holder_idx ON user_roles (user_id, tenant_id);
COMMENT ON CONSTRAINT user_roles__holder_is_member ON user_roles IS 'Whoever leaves the tenant loses its roles.';
SELECT admit('user_roles', 'user_id = @user OR @staff', '@staff');

CREATE TABLE role_permissions (
    role_id       uuid NOT NULL REFERENCES roles ON DELETE CASCADE,
    permission_id uuid NOT NULL REFERENCES permissions ON DELETE CASCADE,
    tenant_id     uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    granted_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (role_id, permission_id)
);
SELECT admit('role_permissions', '@member', '@staff');

CREATE TABLE resource_ownership (
    id            uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id     uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    resource_type text NOT NULL,
    resource_id   uuid NOT NULL,
    owner_id      uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    CONSTRAINT resource_ownership__one_owner UNIQUE (resource_type, resource_id)
);
SELECT admit('resource_ownership', 'owner_id = @user OR @staff', '@staff');

CREATE TABLE access_control_policies (
    id                uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id         uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    name              text NOT NULL,
    description       text,
    policy_definition jsonb NOT NULL CONSTRAINT access_control_policies__is_object CHECK (jsonb_typeof(policy_definition) = 'object'),
    enabled           boolean NOT NULL DEFAULT true,
    CONSTRAINT access_control_policies__name_unique UNIQUE (tenant_id, name)
);
SELECT admit('access_control_policies', '@staff', '@staff');

CREATE TABLE access_logs (
    id            uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id     uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    user_id       uuid REFERENCES users ON DELETE SET NULL,
    resource_type text NOT NULL,
    resource_id   uuid,
    action        text NOT NULL,
    allowed       boolean NOT NULL,
    reason        text,
    ip_address    inet,
    user_agent    text,
    occurred_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT access_logs__refusal_says_why CHECK (allowed OR reason IS NOT NULL)
);
CREATE INDEX access_logs_occurred_at_idx ON access_logs (occurred_at);
CREATE INDEX access_logs_resource_idx ON access_logs (resource_type, resource_id);
CREATE TRIGGER access_logs_keep BEFORE UPDATE ON access_logs FOR EACH ROW
    WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION refuse_change();
SELECT admit('access_logs', '@staff', '@service');

-- Which permissions a person has here: what a command asks before it acts.
CREATE FUNCTION has_permission(holder uuid, wanted_type text, wanted_action text) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
DECLARE
    was text := act_as_service();
    answer boolean := (SELECT EXISTS (
        SELECT FROM user_roles ur JOIN role_permissions rp USING (role_id) JOIN permissions p ON p.id = rp.permission_id
        WHERE ur.user_id = holder AND ur.tenant_id = app_tenant_id() AND p.resource_type = wanted_type AND p.action = wanted_action));
BEGIN
    PERFORM act_as(was);
    RETURN answer;
END $$;
COMMENT ON FUNCTION has_permission(uuid, text, text) IS 'Whether a role that the person holds in the present tenant grants this action.';
