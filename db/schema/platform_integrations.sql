-- Other systems: what is connected, with which secrets, and how the last exchange went.

CREATE TABLE integrations (
    id               uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id        uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    name             text NOT NULL CONSTRAINT integrations__name_given CHECK (name <> ''),
    integration_type text NOT NULL,
    status           text NOT NULL DEFAULT 'inactive' CONSTRAINT integrations__status_known CHECK (status IN ('inactive', 'active', 'failing')),
    configuration    jsonb NOT NULL DEFAULT '{}',
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT integrations__name_unique UNIQUE (tenant_id, name)
);
CREATE INDEX integrations_status_idx ON integrations (status);
SELECT admit('integrations', '@staff', '@staff');

CREATE TABLE integration_tokens (
    id                    uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id             uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    integration_id        uuid NOT NULL REFERENCES integrations ON DELETE CASCADE,
    token_type            text NOT NULL,
    token_value_encrypted bytea NOT NULL,
    expires_at            timestamptz,
    CONSTRAINT integration_tokens__once UNIQUE (integration_id, token_type)
);
COMMENT ON COLUMN integration_tokens.token_value_encrypted IS 'Sealed with a key that the database does not have; written, and never read through the API.';
SELECT admit('integration_tokens', '@staff', '@staff');

CREATE TABLE integration_sync_logs (
    id             uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id      uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    integration_id uuid NOT NULL REFERENCES integrations ON DELETE CASCADE,
    sync_type      text NOT NULL,
    status         text NOT NULL DEFAULT 'running' CONSTRAINT integration_sync_logs__status_known CHECK (status IN ('running', 'succeeded', 'failed')),
    records_synced bigint NOT NULL DEFAULT 0 CONSTRAINT integration_sync_logs__records_not_negative CHECK (records_synced >= 0),
    error_message  text,
    started_at     timestamptz NOT NULL DEFAULT now(),
    completed_at   timestamptz,
    CONSTRAINT integration_sync_logs__ended_has_moment CHECK ((status = 'running') = (completed_at IS NULL)),
    CONSTRAINT integration_sync_logs__failure_says_why CHECK (status <> 'failed' OR error_message IS NOT NULL)
);
CREATE INDEX integration_sync_logs_status_idx ON integration_sync_logs (status);
CREATE TRIGGER integration_sync_logs_transition BEFORE UPDATE ON integration_sync_logs FOR EACH ROW EXECUTE FUNCTION
    allow_transitions('status', 'running>succeeded', 'running>failed');
SELECT admit('integration_sync_logs', '@staff', '@staff');

CREATE TABLE etl_imports (
    id               uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id        uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    import_type      text NOT NULL,
    source           text NOT NULL,
    status           text NOT NULL DEFAULT 'running' CONSTRAINT etl_imports__status_known CHECK (status IN ('running', 'succeeded', 'failed')),
    records_imported bigint NOT NULL DEFAULT 0 CONSTRAINT etl_imports__records_not_negative CHECK (records_imported >= 0),
    error_message    text,
    started_at       timestamptz NOT NULL DEFAULT now(),
    completed_at     timestamptz,
    CONSTRAINT etl_imports__ended_has_moment CHECK ((status = 'running') = (completed_at IS NULL)),
    CONSTRAINT etl_imports__failure_says_why CHECK (status <> 'failed' OR error_message IS NOT NULL)
);
CREATE INDEX etl_imports_status_idx ON etl_imports (status);
CREATE TRIGGER etl_imports_transition BEFORE UPDATE ON etl_imports FOR EACH ROW EXECUTE FUNCTION
    allow_transitions('status', 'running>succeeded', 'running>failed');
SELECT admit('etl_imports', '@staff', '@service');
