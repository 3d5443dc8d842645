-- Which campaign brought whom: events, their paths, and what is made of them.

CREATE TABLE attribution_events (
    id               uuid NOT NULL DEFAULT uuid7(),
    tenant_id        uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    campaign_id      uuid NOT NULL REFERENCES campaigns ON DELETE CASCADE,
    episode_id       uuid REFERENCES podcast_episodes ON DELETE CASCADE,
    listener_id      text NOT NULL,
    attribution_type text NOT NULL CONSTRAINT attribution_events__type_given CHECK (attribution_type <> ''),
    attribution_data jsonb NOT NULL DEFAULT '{}',
    occurred_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (occurred_at, id)
) PARTITION BY RANGE (occurred_at);
CREATE INDEX attribution_events_id_idx ON attribution_events (id);
CREATE INDEX attribution_events_occurred_at_idx ON attribution_events (occurred_at);
CREATE INDEX attribution_events_listener_idx ON attribution_events (campaign_id, listener_id, occurred_at);
SELECT register_partitions('attribution_events', '1 day', 7);
SELECT admit('attribution_events', '@staff', '@service');

CREATE FUNCTION attribution_events_sum() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
BEGIN
    INSERT INTO metrics_daily AS m (tenant_id, episode_id, metric_name, bucket, total_value, record_count)
    SELECT tenant_id, episode_id, 'attribution:' || attribution_type, (occurred_at AT TIME ZONE 'UTC')::date, count(*), count(*)
    FROM fresh WHERE episode_id IS NOT NULL GROUP BY 1, 2, 3, 4 ORDER BY 4, 2, 3
    ON CONFLICT (bucket, episode_id, metric_name) DO UPDATE
        SET total_value = m.total_value + EXCLUDED.total_value, record_count = m.record_count + EXCLUDED.record_count;
    PERFORM act_as(was);
    RETURN NULL;
END $$;
CREATE TRIGGER attribution_events_sum AFTER INSERT ON attribution_events REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION attribution_events_sum();

CREATE FUNCTION refresh_metrics_daily() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    since date := (SELECT (now() - lookback)::date FROM refresh_policies WHERE aggregate = 'metrics_daily');
    wrong bigint;
BEGIN
    PERFORM FROM metrics_daily WHERE bucket >= since ORDER BY bucket, episode_id, metric_name FOR UPDATE;
    WITH counted AS (
        SELECT tenant_id, episode_id, metric_name, metric_date AS bucket, sum(metric_value) AS total, count(*) AS records
        FROM listener_metrics WHERE metric_date >= since GROUP BY 1, 2, 3, 4
        UNION ALL
        SELECT tenant_id, episode_id, 'attribution:' || attribution_type, (occurred_at AT TIME ZONE 'UTC')::date, count(*), count(*)
        FROM attribution_events WHERE occurred_at >= since::timestamp AT TIME ZONE 'UTC' AND episode_id IS NOT NULL GROUP BY 1, 2, 3, 4
    ), gone AS (
        DELETE FROM metrics_daily m WHERE m.bucket >= since
        AND NOT EXISTS (SELECT FROM counted c WHERE (c.bucket, c.episode_id, c.metric_name) = (m.bucket, m.episode_id, m.metric_name))
    )
    INSERT INTO metrics_daily AS m (tenant_id, episode_id, metric_name, bucket, total_value, record_count) SELECT * FROM counted
    ON CONFLICT (bucket, episode_id, metric_name) DO UPDATE SET total_value = EXCLUDED.total_value, record_count = EXCLUDED.record_count
        WHERE (m.total_value, m.record_count) <> (EXCLUDED.total_value, EXCLUDED.record_count);
    GET DIAGNOSTICS wrong = ROW_COUNT;
    RETURN wrong;
END $$;
COMMENT ON FUNCTION refresh_metrics_daily() IS 'Counts the tenant''s last days again from their sources; how many sums were wrong.';

-- A partitioned table's key holds the time too, so whoever points at an event keeps its time beside its id; looked up when not given.
CREATE FUNCTION find_event_time() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    event uuid := (to_jsonb(NEW) ->> TG_ARGV[0])::uuid;
BEGIN
    IF event IS NOT NULL AND to_jsonb(NEW) ->> TG_ARGV[1] IS NULL THEN
        NEW := jsonb_populate_record(NEW, jsonb_build_object(TG_ARGV[1],
            coalesce((SELECT occurred_at FROM attribution_events WHERE id = event), 'epoch')));
    END IF;
    RETURN NEW;
END $$;

CREATE TABLE attribution_event_metadata (
    event_id          uuid PRIMARY KEY,
    event_occurred_at timestamptz NOT NULL,
    tenant_id         uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    metadata          jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT attribution_event_metadata__event_exists FOREIGN KEY (event_occurred_at, event_id)
        REFERENCES attribution_events (occurred_at, id) ON DELETE CASCADE
);
CREATE INDEX attribution_event_metadata_event_idx ON attribution_event_metadata (event_occurred_at, event_id);
CREATE TRIGGER attribution_event_metadata_time BEFORE INSERT ON attribution_event_metadata FOR EACH ROW
    EXECUTE FUNCTION find_event_time('event_id', 'event_occurred_at');
SELECT admit('attribution_event_metadata', '@staff', '@service');

CREATE TABLE attribution_models (
    id            uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id     uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    name          text NOT NULL CONSTRAINT attribution_models__name_given CHECK (name <> ''),
    model_type    text NOT NULL CONSTRAINT attribution_models__type_known
                  CHECK (model_type IN ('first_touch', 'last_touch', 'linear', 'time_decay', 'position_based')),
    configuration jsonb NOT NULL DEFAULT '{}',
    enabled       boolean NOT NULL DEFAULT true,
    CONSTRAINT attribution_models__name_unique UNIQUE (tenant_id, name)
);
SELECT admit('attribution_models', '@staff', '@staff');

CREATE TABLE attribution_paths (
    id                     uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id              uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    campaign_id            uuid NOT NULL REFERENCES campaigns ON DELETE CASCADE,
    listener_id            text NOT NULL,
    touchpoints            jsonb NOT NULL DEFAULT '[]' CONSTRAINT attribution_paths__touchpoints_list CHECK (jsonb_typeof(touchpoints) = 'array'),
    conversion_event_id    uuid,
    conversion_occurred_at timestamptz,
    CONSTRAINT attribution_paths__conversion_whole CHECK ((conversion_event_id IS NULL) = (conversion_occurred_at IS NULL)),
    CONSTRAINT attribution_paths__conversion_exists FOREIGN KEY (conversion_occurred_at, conversion_event_id)
        REFERENCES attribution_events (occurred_at, id) ON DELETE SET NULL
);
CREATE INDEX attribution_paths_conversion_idx ON attribution_paths (conversion_occurred_at, conversion_event_id);
CREATE INDEX attribution_paths_listener_idx ON attribution_paths (campaign_id, listener_id);
CREATE TRIGGER attribution_paths_time BEFORE INSERT ON attribution_paths FOR EACH ROW
    EXECUTE FUNCTION find_event_time('conversion_event_id', 'conversion_occurred_at');
SELECT admit('attribution_paths', '@staff', '@service');

CREATE TABLE attribution_validations (
    id                      uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id               uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    attribution_event_id    uuid NOT NULL,
    attribution_occurred_at timestamptz NOT NULL,
    validation_type         text NOT NULL,
    passed                  boolean NOT NULL,
    details                 jsonb NOT NULL DEFAULT '{}',
    created_at              timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT attribution_validations__event_exists FOREIGN KEY (attribution_occurred_at, attribution_event_id)
        REFERENCES attribution_events (occurred_at, id) ON DELETE CASCADE
);
CREATE INDEX attribution_validations_event_idx ON attribution_validations (attribution_occurred_at, attribution_event_id);
CREATE TRIGGER attribution_validations_time BEFORE INSERT ON attribution_validations FOR EACH ROW
    EXECUTE FUNCTION find_event_time('attribution_event_id', 'attribution_occurred_at');
SELECT admit('attribution_validations', '@staff', '@service');

CREATE TABLE attribution_analytics (
    id            uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id     uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    campaign_id   uuid NOT NULL REFERENCES campaigns ON DELETE CASCADE,
    analysis_date date NOT NULL,
    metrics       jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT attribution_analytics__once UNIQUE (tenant_id, campaign_id, analysis_date)
);
SELECT admit('attribution_analytics', '@staff', '@service');
