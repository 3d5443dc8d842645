-- The operator's own: configuration, backups, replicas, failing over.

CREATE TABLE system_config (
    id          uuid PRIMARY KEY DEFAULT uuid7(),
    key         text NOT NULL CONSTRAINT system_config__key_unique UNIQUE CONSTRAINT system_config__key_given CHECK (key <> ''),
    value       jsonb NOT NULL,
    description text,
    updated_by  uuid REFERENCES users ON DELETE SET NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);
CREATE FUNCTION system_config_name_editor() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_by := coalesce(app_user_id(), NEW.updated_by);
    RETURN NEW;
END $$;
CREATE TRIGGER system_config_name_editor BEFORE INSERT OR UPDATE OF value ON system_config FOR EACH ROW EXECUTE FUNCTION system_config_name_editor();
COMMENT ON TABLE system_config IS 'Of the installation, not of a tenant.';
SELECT admit('system_config', '@service');

CREATE TABLE backup_records (
    id              uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id       uuid DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    backup_type     text NOT NULL,
    backup_location text,
    size_bytes      bigint CONSTRAINT backup_records__size_not_negative CHECK (size_bytes >= 0),
    status          text NOT NULL DEFAULT 'running' CONSTRAINT backup_records__status_known CHECK (status IN ('running', 'succeeded', 'failed')),
    started_at      timestamptz NOT NULL DEFAULT now(),
    completed_at    timestamptz,
    CONSTRAINT backup_records__ended_has_moment CHECK ((status = 'running') = (completed_at IS NULL)),
    CONSTRAINT backup_records__whole CHECK (status <> 'succeeded' OR (backup_location IS NOT NULL AND size_bytes IS NOT NULL))
);
CREATE INDEX backup_records_status_idx ON backup_records (status);
CREATE TRIGGER backup_records_transition BEFORE UPDATE ON backup_records FOR EACH ROW EXECUTE FUNCTION
    allow_transitions('status', 'running>succeeded', 'running>failed');
SELECT admit('backup_records', '(@staff AND tenant_id IS NOT NULL) OR @service', '@service');

CREATE TABLE replication_status (
    id           uuid PRIMARY KEY DEFAULT uuid7(),
    replica_name text NOT NULL CONSTRAINT replication_status__replica_unique UNIQUE,
    status       text NOT NULL,
    lag_seconds  numeric(12, 3) CONSTRAINT replication_status__lag_not_negative CHECK (lag_seconds >= 0),
    last_sync_at timestamptz
);
CREATE INDEX replication_status_status_idx ON replication_status (status);
COMMENT ON TABLE replication_status IS 'Open to read without any tenant: monitoring asks before it knows one.';
SELECT admit('replication_status', 'true');

CREATE TABLE failover_events (
    id           uuid PRIMARY KEY DEFAULT uuid7(),
    event_type   text NOT NULL,
    source_node  text NOT NULL,
    target_node  text,
    status       text NOT NULL DEFAULT 'running' CONSTRAINT failover_events__status_known CHECK (status IN ('running', 'succeeded', 'failed')),
    occurred_at  timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    CONSTRAINT failover_events__ended_has_moment CHECK ((status = 'running') = (completed_at IS NULL))
);
CREATE INDEX failover_events_occurred_at_idx ON failover_events (occurred_at);
CREATE INDEX failover_events_status_idx ON failover_events (status);
CREATE TRIGGER failover_events_transition BEFORE UPDATE ON failover_events FOR EACH ROW EXECUTE FUNCTION
    allow_transitions('status', 'running>succeeded', 'running>failed');
SELECT admit('failover_events', 'true');

CREATE TABLE recovery_procedures (
    id             uuid PRIMARY KEY DEFAULT uuid7(),
    procedure_name text NOT NULL CONSTRAINT recovery_procedures__name_unique UNIQUE,
    description    text,
    steps          jsonb NOT NULL DEFAULT '[]' CONSTRAINT recovery_procedures__steps_list CHECK (jsonb_typeof(steps) = 'array'),
    last_tested_at timestamptz
);
SELECT admit('recovery_procedures', '@service');
