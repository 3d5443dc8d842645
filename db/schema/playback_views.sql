-- Views added up while they come: per title, per hour and day (UTC), for charts that must not count rows.

CREATE TABLE content_view_hours (
    tenant_id  uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    content_id uuid NOT NULL REFERENCES contents ON DELETE CASCADE,
    hour       timestamptz NOT NULL,
    views      bigint NOT NULL DEFAULT 0,
    guests     bigint NOT NULL DEFAULT 0,
    watched_s  bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (content_id, hour)
) WITH (fillfactor = 70);
CREATE INDEX content_view_hours_tenant_id_idx ON content_view_hours (tenant_id, hour);
COMMENT ON TABLE content_view_hours IS 'Views by the hour in which their session began; guests are those without a person.';

CREATE TABLE content_view_days (
    tenant_id  uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    content_id uuid NOT NULL REFERENCES contents ON DELETE CASCADE,
    day        date NOT NULL,
    views      bigint NOT NULL DEFAULT 0,
    guests     bigint NOT NULL DEFAULT 0,
    watched_s  bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (content_id, day)
) WITH (fillfactor = 70);
CREATE INDEX content_view_days_tenant_id_idx ON content_view_days (tenant_id, day);
COMMENT ON TABLE content_view_days IS 'The same by day. The view events behind it may have been archived; these sums stay.';

-- Set-based: as many statements for a batch of views, whatever its size. Rows are locked in one order, so that two batches
-- cannot wait for each other.
CREATE FUNCTION content_views_count() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM contents WHERE id IN (SELECT content_id FROM fresh) ORDER BY id FOR NO KEY UPDATE;
    UPDATE contents SET view_count = view_count + added.views
    FROM (SELECT content_id, count(*) AS views FROM fresh GROUP BY content_id) AS added
    WHERE contents.id = added.content_id;
    INSERT INTO content_view_hours AS h (tenant_id, content_id, hour, views, guests, watched_s)
    SELECT tenant_id, content_id, date_trunc('hour', viewed_at, 'UTC') AS began, count(*), count(*) - count(user_id), sum(watch_duration)
    FROM fresh GROUP BY tenant_id, content_id, began ORDER BY content_id, began
    ON CONFLICT (content_id, hour) DO UPDATE SET
        views = h.views + EXCLUDED.views, guests = h.guests + EXCLUDED.guests, watched_s = h.watched_s + EXCLUDED.watched_s;
    INSERT INTO content_view_days AS d (tenant_id, content_id, day, views, guests, watched_s)
    SELECT tenant_id, content_id, (viewed_at AT TIME ZONE 'UTC')::date AS began, count(*), count(*) - count(user_id), sum(watch_duration)
    FROM fresh GROUP BY tenant_id, content_id, began ORDER BY content_id, began
    ON CONFLICT (content_id, day) DO UPDATE SET
        views = d.views + EXCLUDED.views, guests = d.guests + EXCLUDED.guests, watched_s = d.watched_s + EXCLUDED.watched_s;
    RETURN NULL;
END $$;
CREATE TRIGGER content_views_count AFTER INSERT ON content_views REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION content_views_count();

CREATE FUNCTION content_views_grow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE content_view_hours AS h SET watched_s = h.watched_s + g.grown_s
    FROM (SELECT n.content_id, date_trunc('hour', n.viewed_at, 'UTC') AS hour, sum(n.watch_duration - o.watch_duration) AS grown_s
          FROM after_it AS n JOIN before_it AS o USING (viewed_at, id) WHERE n.watch_duration <> o.watch_duration
          GROUP BY n.content_id, hour ORDER BY n.content_id, hour) AS g
    WHERE h.content_id = g.content_id AND h.hour = g.hour;
    UPDATE content_view_days AS d SET watched_s = d.watched_s + g.grown_s
    FROM (SELECT n.content_id, (n.viewed_at AT TIME ZONE 'UTC')::date AS day, sum(n.watch_duration - o.watch_duration) AS grown_s
          FROM after_it AS n JOIN before_it AS o USING (viewed_at, id) WHERE n.watch_duration <> o.watch_duration
          GROUP BY n.content_id, day ORDER BY n.content_id, day) AS g
    WHERE d.content_id = g.content_id AND d.day = g.day;
    RETURN NULL;
END $$;
CREATE TRIGGER content_views_grow AFTER UPDATE ON content_views REFERENCING OLD TABLE AS before_it NEW TABLE AS after_it
    FOR EACH STATEMENT EXECUTE FUNCTION content_views_grow();

SELECT protect_table(t) FROM unnest(ARRAY['content_view_hours', 'content_view_days']::regclass[]) AS t;
CREATE POLICY content_view_hours_read ON content_view_hours FOR SELECT
    USING (tenant_id = (SELECT app_tenant_id()) AND (SELECT app_is_staff()));
CREATE POLICY content_view_hours_write ON content_view_hours FOR ALL
    USING ((SELECT app_is_service())) WITH CHECK ((SELECT app_is_service()));
CREATE POLICY content_view_days_read ON content_view_days FOR SELECT
    USING (tenant_id = (SELECT app_tenant_id()) AND (SELECT app_is_staff()));
CREATE POLICY content_view_days_write ON content_view_days FOR ALL
    USING ((SELECT app_is_service())) WITH CHECK ((SELECT app_is_service()));
