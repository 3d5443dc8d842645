-- What happened: changes by people, errors, searches, calls. And what is still to be sent out.

CREATE TABLE audit_logs (
    id            uuid NOT NULL DEFAULT uuid7(),
    tenant_id     uuid DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    user_id       uuid REFERENCES users ON DELETE SET NULL,
    kind          text NOT NULL DEFAULT 'change' CONSTRAINT audit_logs__kind_known CHECK (kind IN ('change', 'activity')),
    action        text NOT NULL CONSTRAINT audit_logs__action_given CHECK (action <> ''),
    resource_type text NOT NULL,
    resource_id   uuid,
    changes       jsonb,
    metadata      jsonb,
    ip_address    inet,
    user_agent    text,
    occurred_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (occurred_at, id)
) PARTITION BY RANGE (occurred_at);
CREATE INDEX audit_logs_entity_idx ON audit_logs (resource_type, resource_id);
CREATE INDEX audit_logs_occurred_at_idx ON audit_logs (occurred_at);
CREATE INDEX audit_logs_action_idx ON audit_logs (action);
COMMENT ON TABLE audit_logs IS 'change: written by trigger for every row that a person changed; activity: what people did, told by the product.';
COMMENT ON COLUMN audit_logs.user_id IS 'Null once the person is erased: what was changed stays known, by whom does not. Their activity goes with them.';
SELECT register_partitions('audit_logs', '1 month', 3);
CREATE TRIGGER audit_logs_keep BEFORE UPDATE OR DELETE ON audit_logs FOR EACH ROW
    WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION refuse_change('audit_logs');
SELECT admit('audit_logs', '(@staff AND tenant_id IS NOT NULL) OR @service', '@service');

CREATE FUNCTION forget_activity() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
BEGIN
    DELETE FROM audit_logs WHERE user_id = OLD.id AND kind = 'activity';
    PERFORM act_as(was);
    RETURN OLD;
END $$;
CREATE TRIGGER users_forget_activity BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION forget_activity();

CREATE TABLE error_logs (
    id          uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id   uuid DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    user_id     uuid REFERENCES users ON DELETE SET NULL,
    error_type  text NOT NULL,
    status_code integer,
    message     text NOT NULL,
    stack       text,
    endpoint    text,
    method      text,
    metadata    jsonb,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX error_logs_error_type_idx ON error_logs (error_type);
CREATE INDEX error_logs_status_code_idx ON error_logs (status_code);
CREATE INDEX error_logs_created_at_idx ON error_logs (created_at);
COMMENT ON COLUMN error_logs.stack IS 'For the operator alone; never leaves through the API.';
SELECT admit('error_logs', '(@staff AND tenant_id IS NOT NULL) OR @service', '@service');

CREATE TABLE search_analytics (
    id             uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id      uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    user_id        uuid REFERENCES users ON DELETE SET NULL,
    query          text NOT NULL CONSTRAINT search_analytics__query_short CHECK (length(query) <= 500),
    results_count  integer NOT NULL DEFAULT 0 CONSTRAINT search_analytics__results_not_negative CHECK (results_count >= 0),
    clicked_result text,
    ip_address     inet,
    user_agent     text,
    created_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX search_analytics_query_idx ON search_analytics (query);
CREATE INDEX search_analytics_results_count_idx ON search_analytics (results_count);
CREATE INDEX search_analytics_created_at_idx ON search_analytics (created_at);
SELECT admit('search_analytics', '@staff', '@service');

CREATE TABLE api_usage (
    id               uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id        uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    api_key_id       uuid REFERENCES api_keys ON DELETE SET NULL,
    endpoint         text NOT NULL,
    method           text NOT NULL,
    status_code      integer NOT NULL CONSTRAINT api_usage__status_is_http CHECK (status_code BETWEEN 100 AND 599),
    response_time_ms integer NOT NULL CONSTRAINT api_usage__time_not_negative CHECK (response_time_ms >= 0),
    occurred_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX api_usage_occurred_at_idx ON api_usage (occurred_at);
SELECT admit('api_usage', '@staff', '@service');
