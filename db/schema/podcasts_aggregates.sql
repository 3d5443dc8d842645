-- Hourly and daily sums, exact at every commit: each batch of events adds itself, in a fixed number of statements.

CREATE TABLE listener_events_hourly (
    tenant_id        uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    episode_id       uuid NOT NULL REFERENCES podcast_episodes ON DELETE CASCADE,
    event_type       text NOT NULL,
    bucket           timestamptz NOT NULL,
    event_count      bigint NOT NULL DEFAULT 0,
    unique_listeners bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (bucket, episode_id, event_type)
);
CREATE TABLE listener_events_daily (
    tenant_id        uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    episode_id       uuid NOT NULL REFERENCES podcast_episodes ON DELETE CASCADE,
    event_type       text NOT NULL,
    bucket           timestamptz NOT NULL,
    event_count      bigint NOT NULL DEFAULT 0,
    unique_listeners bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (bucket, episode_id, event_type)
);
CREATE TABLE metrics_daily (
    tenant_id    uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    episode_id   uuid NOT NULL REFERENCES podcast_episodes ON DELETE CASCADE,
    metric_name  text NOT NULL,
    bucket       date NOT NULL,
    total_value  numeric NOT NULL DEFAULT 0,
    avg_value    numeric GENERATED ALWAYS AS (total_value / record_count) STORED,
    record_count bigint NOT NULL CONSTRAINT metrics_daily__counts_something CHECK (record_count > 0),
    PRIMARY KEY (bucket, episode_id, metric_name)
);
COMMENT ON COLUMN listener_events_hourly.unique_listeners IS 'Each listener once, however many events.';
COMMENT ON TABLE metrics_daily IS 'listener_metrics by name, and attribution_events as attribution:<type>, each event a value of 1.';
SELECT admit(sums, '@staff') FROM unnest(ARRAY['listener_events_hourly', 'listener_events_daily', 'metrics_daily']::regclass[]) AS sums;

-- The upsert locks the buckets, in one order. Who waited for another batch there sees its events in the next statement
-- (a fresh snapshot), so a listener whom both bring is counted by one of them.
CREATE FUNCTION listener_events_sum() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
    unit text;
    sums text;
BEGIN
    FOREACH unit IN ARRAY ARRAY['hour', 'day'] LOOP
        sums := CASE unit WHEN 'hour' THEN 'listener_events_hourly' ELSE 'listener_events_daily' END;
        EXECUTE format($q$
            INSERT INTO %1$I AS s (tenant_id, episode_id, event_type, bucket, event_count)
            SELECT tenant_id, episode_id, event_type, date_trunc(%2$L, occurred_at, 'UTC') AS bucket, count(*) FROM fresh
            GROUP BY 1, 2, 3, 4 ORDER BY bucket, episode_id, event_type
            ON CONFLICT (bucket, episode_id, event_type) DO UPDATE SET event_count = s.event_count + EXCLUDED.event_count$q$, sums, unit);
        EXECUTE format($q$
            UPDATE %1$I s SET unique_listeners = s.unique_listeners + n.listeners
            FROM (SELECT d.bucket, d.episode_id, d.event_type, count(*) AS listeners
                  FROM (SELECT DISTINCT date_trunc(%2$L, occurred_at, 'UTC') AS bucket, episode_id, event_type, listener_id FROM fresh) AS d
                  WHERE NOT EXISTS (
                      SELECT FROM listener_events e
                      WHERE e.episode_id = d.episode_id AND e.event_type = d.event_type AND e.listener_id = d.listener_id
                        AND e.occurred_at >= d.bucket AND e.occurred_at < d.bucket + '1 %2$s'::interval
                        AND NOT EXISTS (SELECT FROM fresh f WHERE f.id = e.id AND f.occurred_at = e.occurred_at))
                  GROUP BY 1, 2, 3) AS n
            WHERE s.bucket = n.bucket AND s.episode_id = n.episode_id AND s.event_type = n.event_type$q$, sums, unit);
    END LOOP;
    PERFORM act_as(was);
    RETURN NULL;
END $$;
CREATE TRIGGER listener_events_sum AFTER INSERT ON listener_events REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION listener_events_sum();

CREATE FUNCTION listener_metrics_sum() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
BEGIN
    INSERT INTO metrics_daily AS m (tenant_id, episode_id, metric_name, bucket, total_value, record_count)
    SELECT tenant_id, episode_id, metric_name, metric_date, sum(metric_value), count(*) FROM fresh GROUP BY 1, 2, 3, 4 ORDER BY 4, 2, 3
    ON CONFLICT (bucket, episode_id, metric_name) DO UPDATE
        SET total_value = m.total_value + EXCLUDED.total_value, record_count = m.record_count + EXCLUDED.record_count;
    PERFORM act_as(was);
    RETURN NULL;
END $$;
CREATE TRIGGER listener_metrics_sum AFTER INSERT ON listener_metrics REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION listener_metrics_sum();

-- What refreshes the sums from the events where those were corrected by hand: how often, and how far it looks back.
CREATE TABLE refresh_policies (
    aggregate text PRIMARY KEY,
    every     interval NOT NULL CONSTRAINT refresh_policies__every_positive CHECK (every > '0'),
    lookback  interval NOT NULL CONSTRAINT refresh_policies__lookback_positive CHECK (lookback > '0')
);
SELECT admit('refresh_policies', 'true');
INSERT INTO refresh_policies (aggregate, every, lookback) VALUES
    ('listener_events_hourly', '1 hour', '3 hours'), ('listener_events_daily', '1 day', '3 days'), ('metrics_daily', '1 day', '3 days');

CREATE FUNCTION refresh_listener_events(sums text, since timestamptz) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    unit text := CASE sums WHEN 'listener_events_hourly' THEN 'hour' ELSE 'day' END;
    wrong bigint;
BEGIN
    -- Buckets that changed meanwhile are locked by their writers: take all of them first, then count.
    EXECUTE format('SELECT count(*) FROM (SELECT FROM %I WHERE bucket >= date_trunc(%L, $1, ''UTC'') ORDER BY bucket, episode_id, event_type FOR UPDATE) AS locked',
                   sums, unit) USING since;
    EXECUTE format($q$
        WITH counted AS (
            SELECT tenant_id, episode_id, event_type, date_trunc(%2$L, occurred_at, 'UTC') AS bucket, count(*) AS events, count(DISTINCT listener_id) AS listeners
            FROM listener_events WHERE occurred_at >= date_trunc(%2$L, $1, 'UTC') GROUP BY 1, 2, 3, 4)
        INSERT INTO %1$I AS s (tenant_id, episode_id, event_type, bucket, event_count, unique_listeners)
        SELECT * FROM (SELECT tenant_id, episode_id, event_type, bucket, events, listeners FROM counted
                       UNION ALL
                       SELECT o.tenant_id, o.episode_id, o.event_type, o.bucket, 0, 0 FROM %1$I o
                       WHERE o.bucket >= date_trunc(%2$L, $1, 'UTC') AND NOT EXISTS (SELECT FROM counted c
                             WHERE (c.bucket, c.episode_id, c.event_type) = (o.bucket, o.episode_id, o.event_type))) AS right_now
        ON CONFLICT (bucket, episode_id, event_type) DO UPDATE
            SET event_count = EXCLUDED.event_count, unique_listeners = EXCLUDED.unique_listeners
            WHERE (s.event_count, s.unique_listeners) <> (EXCLUDED.event_count, EXCLUDED.unique_listeners)$q$, sums, unit) USING since;
    GET DIAGNOSTICS wrong = ROW_COUNT;
    RETURN wrong;
END $$;
COMMENT ON FUNCTION refresh_listener_events(text, timestamptz) IS
    'Counts the tenant''s buckets again from the events; how many were wrong. A bucket whose events are past retention is out of reach: pass a later moment.';

CREATE TABLE refresh_runs (
    tenant_id uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    aggregate text NOT NULL REFERENCES refresh_policies ON DELETE CASCADE,
    ran_at    timestamptz NOT NULL,
    mended    bigint NOT NULL,
    PRIMARY KEY (tenant_id, aggregate)
);
COMMENT ON COLUMN refresh_runs.mended IS 'How many sums were wrong at the last refresh: more than 0 says that events were changed by hand.';
SELECT admit('refresh_runs', '@staff', '@service');

CREATE FUNCTION run_refresh_policies(at timestamptz) RETURNS SETOF refresh_runs LANGUAGE plpgsql AS $$
DECLARE
    due refresh_policies;
BEGIN
    FOR due IN SELECT p.* FROM refresh_policies p LEFT JOIN refresh_runs r ON r.aggregate = p.aggregate AND r.tenant_id = app_tenant_id()
               WHERE r.ran_at IS NULL OR r.ran_at + p.every <= at ORDER BY p.aggregate LOOP
        RETURN QUERY
            INSERT INTO refresh_runs AS r (aggregate, ran_at, mended)
            VALUES (due.aggregate, at, CASE due.aggregate WHEN 'metrics_daily' THEN refresh_metrics_daily()
                                                          ELSE refresh_listener_events(due.aggregate, at - due.lookback) END)
            ON CONFLICT (tenant_id, aggregate) DO UPDATE SET ran_at = EXCLUDED.ran_at, mended = EXCLUDED.mended RETURNING r.*;
    END LOOP;
END $$;
COMMENT ON FUNCTION run_refresh_policies(timestamptz) IS 'Refreshes what is due in the present tenant, and says what was wrong.';
