-- Grants, running sessions, how far people got, and what counts as a view.

CREATE TABLE playback_sessions (
    id          uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id   uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    user_id     uuid REFERENCES users ON DELETE CASCADE,
    content_id  uuid NOT NULL REFERENCES contents ON DELETE CASCADE,
    playlist_id uuid REFERENCES playlists ON DELETE SET NULL,
    device_id   text NOT NULL CONSTRAINT playback_sessions__device_short CHECK (length(device_id) BETWEEN 1 AND 64),
    device_type text,
    ip_address  inet,
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL,
    ended_at    timestamptz,
    end_reason  text,
    watched_ms  bigint NOT NULL DEFAULT 0,
    last_beat_at timestamptz,
    seq         bigint NOT NULL DEFAULT -1,
    position_ms bigint NOT NULL DEFAULT 0,
    counted_ms  bigint,
    is_bot      boolean NOT NULL DEFAULT false,
    listener_id text CONSTRAINT playback_sessions__listener_given CHECK (listener_id <> ''),
    CONSTRAINT playback_sessions__at_most_a_day CHECK (expires_at <= created_at + interval '24 hours')
) WITH (fillfactor = 70);
CREATE INDEX playback_sessions_user_id_idx ON playback_sessions (user_id);
CREATE INDEX playback_sessions_content_id_idx ON playback_sessions (content_id);
CREATE INDEX playback_sessions_playlist_id_idx ON playback_sessions (playlist_id);
CREATE INDEX playback_sessions_tenant_id_idx ON playback_sessions (tenant_id);
CREATE INDEX playback_sessions_live_idx ON playback_sessions (expires_at) WHERE ended_at IS NULL;
CREATE INDEX playback_sessions_listener_idx ON playback_sessions (content_id, listener_id, created_at) WHERE listener_id IS NOT NULL;
COMMENT ON COLUMN playback_sessions.position_ms IS 'Where the beat with the highest seq was.';
COMMENT ON COLUMN playback_sessions.counted_ms IS 'The watched time that its view was last written with; null: no view yet.';
COMMENT ON COLUMN playback_sessions.listener_id IS 'Of a podcast''s episode alone: a keyed digest of address and User-Agent, by which listens are counted.';
COMMENT ON TABLE playback_sessions IS 'One press of play. Its lease lives in Redis; a null user is a guest watching free content.';

CREATE TABLE streaming_tokens (
    id           uuid PRIMARY KEY DEFAULT uuid7(),
    session_id   uuid NOT NULL REFERENCES playback_sessions ON DELETE CASCADE,
    content_id   uuid NOT NULL REFERENCES contents ON DELETE CASCADE,
    user_id      uuid REFERENCES users ON DELETE CASCADE,
    token_digest bytea NOT NULL CONSTRAINT streaming_tokens__token_unique UNIQUE
                 CONSTRAINT streaming_tokens__digest_sha256 CHECK (length(token_digest) = 32),
    expires_at   timestamptz NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    revoked_at   timestamptz,
    ip_address   inet,
    CONSTRAINT streaming_tokens__at_most_a_day CHECK (expires_at > created_at AND expires_at <= created_at + interval '24 hours')
);
CREATE INDEX streaming_tokens_session_id_idx ON streaming_tokens (session_id);
CREATE INDEX streaming_tokens_user_id_idx ON streaming_tokens (user_id);
CREATE INDEX streaming_tokens_content_id_idx ON streaming_tokens (content_id);
CREATE INDEX streaming_tokens_expires_at_idx ON streaming_tokens (expires_at);
COMMENT ON COLUMN streaming_tokens.token_digest IS 'SHA-256 of the token; the token itself is never stored.';

CREATE TABLE watch_progress (
    id            uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id     uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    user_id       uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    content_id    uuid REFERENCES contents ON DELETE SET NULL,
    playlist_id   uuid REFERENCES playlists ON DELETE SET NULL,
    last_position bigint NOT NULL CONSTRAINT watch_progress__position_not_negative CHECK (last_position >= 0),
    duration      bigint NOT NULL,
    position_ms   bigint NOT NULL DEFAULT 0,
    newest_ms     bigint NOT NULL DEFAULT 0,
    settled_ms    bigint,
    settled_at    timestamptz,
    settled_seq   bigint,
    watched_ms    bigint NOT NULL DEFAULT 0,
    is_completed  boolean NOT NULL DEFAULT false,
    completed_at  timestamptz,
    device_type   text,
    session_id    uuid,
    session_at    timestamptz,
    seq           bigint NOT NULL DEFAULT 0,
    beat_at       timestamptz NOT NULL DEFAULT now(),
    archived_at   timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT watch_progress__once UNIQUE (user_id, content_id),
    CONSTRAINT watch_progress__within_duration CHECK (last_position <= duration)
) WITH (fillfactor = 70);
CREATE INDEX watch_progress_content_id_idx ON watch_progress (content_id);
CREATE INDEX watch_progress_completed_idx ON watch_progress (user_id, is_completed);
CREATE INDEX watch_progress_playlist_id_idx ON watch_progress (playlist_id);
CREATE INDEX watch_progress_tenant_id_idx ON watch_progress (tenant_id);
COMMENT ON COLUMN watch_progress.last_position IS 'Seconds; position_ms has the exact point.';
COMMENT ON COLUMN watch_progress.newest_ms IS 'Where the newest session is, however short; the resume point when nothing is lost by it.';
COMMENT ON COLUMN watch_progress.settled_ms IS 'Where the newest session is that has played long enough to be meant.';
COMMENT ON COLUMN watch_progress.session_at IS 'When the session that wrote last began: an older session never moves a newer one''s point.';
COMMENT ON COLUMN watch_progress.archived_at IS 'Set when the content was deleted; the record stays.';

-- Where to go on: at the newest point when it goes on from the settled one, or one of the two is the end and nothing is lost by it;
-- else at the settled one. So a film opened by mistake keeps its place. (core/domain/playback_resume.py decides alike.)
CREATE FUNCTION resume_point_ms(newest_ms bigint, is_one_session boolean, settled_ms bigint, duration_ms bigint) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN settled_ms IS NULL OR is_one_session OR abs(newest_ms - settled_ms) <= 30000
                     OR greatest(newest_ms, settled_ms) >= duration_ms * 0.9
                THEN newest_ms ELSE least(settled_ms, duration_ms) END
$$;

CREATE FUNCTION watch_progress_archive() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.archived_at := now();
    RETURN NEW;
END $$;
CREATE TRIGGER watch_progress_archive BEFORE UPDATE OF content_id ON watch_progress FOR EACH ROW
    WHEN (OLD.content_id IS NOT NULL AND NEW.content_id IS NULL) EXECUTE FUNCTION watch_progress_archive();

CREATE TABLE playlist_progress (
    id                uuid PRIMARY KEY DEFAULT uuid7(),
    playlist_id       uuid NOT NULL REFERENCES playlists ON DELETE CASCADE,
    content_id        uuid NOT NULL REFERENCES contents ON DELETE CASCADE,
    user_id           uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    is_latest_watched boolean NOT NULL DEFAULT false,
    watched_at        timestamptz,
    updated_at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT playlist_progress__once UNIQUE (user_id, playlist_id, content_id)
);
CREATE INDEX playlist_progress_playlist_id_idx ON playlist_progress (playlist_id);
CREATE INDEX playlist_progress_user_id_idx ON playlist_progress (user_id);
CREATE INDEX playlist_progress_content_id_idx ON playlist_progress (content_id);
CREATE INDEX playlist_progress_latest_idx ON playlist_progress (user_id, playlist_id, is_latest_watched);
CREATE UNIQUE INDEX playlist_progress__one_latest ON playlist_progress (user_id, playlist_id) WHERE is_latest_watched;
COMMENT ON COLUMN playlist_progress.watched_at IS 'When the last session that played this episode began.';
COMMENT ON INDEX playlist_progress__one_latest IS 'A series has one resume point per person.';

CREATE TABLE content_views (
    id             uuid NOT NULL DEFAULT uuid7(),
    tenant_id      uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    content_id     uuid NOT NULL REFERENCES contents ON DELETE CASCADE,
    user_id        uuid REFERENCES users ON DELETE SET NULL,
    session_id     uuid NOT NULL,
    viewed_at      timestamptz NOT NULL DEFAULT now(),
    watch_duration bigint NOT NULL DEFAULT 0,
    device_type    text,
    PRIMARY KEY (viewed_at, id),
    CONSTRAINT content_views__once_per_session UNIQUE (viewed_at, session_id)
) PARTITION BY RANGE (viewed_at);
CREATE INDEX content_views_content_id_idx ON content_views (content_id);
CREATE INDEX content_views_user_id_idx ON content_views (user_id);
CREATE INDEX content_views_viewed_at_idx ON content_views (viewed_at);
CREATE INDEX content_views_session_id_idx ON content_views (session_id);
CREATE INDEX content_views_tenant_id_idx ON content_views (tenant_id);
COMMENT ON TABLE content_views IS 'One row per session that watched long enough; viewed_at is the session''s start, so a repeat lands on the same key.';

CREATE TABLE beat_ledger (
    session_id uuid NOT NULL,
    block      bigint NOT NULL,
    event_ids  uuid[] NOT NULL,
    seen_on    date NOT NULL DEFAULT current_date,
    PRIMARY KEY (session_id, block)
) WITH (fillfactor = 70);
CREATE INDEX beat_ledger_seen_on_idx ON beat_ledger (seen_on);
COMMENT ON TABLE beat_ledger IS 'Which heartbeats have had their effect: written in the same transaction, so one sent twice counts once.';
COMMENT ON COLUMN beat_ledger.block IS 'Beats whose seq is 32 * block to 32 * block + 31: one row where there would be 32, and a repeat is looked for in one place.';
COMMENT ON COLUMN beat_ledger.seen_on IS 'The day of the newest of them: a day, since rows whose indexed columns stay as they are can be changed in their page.';

CREATE TABLE beat_ledger_crowded (
    session_id uuid NOT NULL,
    event_id   uuid NOT NULL,
    seen_on    date NOT NULL DEFAULT current_date,
    PRIMARY KEY (session_id, event_id)
);
CREATE INDEX beat_ledger_crowded_seen_on_idx ON beat_ledger_crowded (seen_on);
COMMENT ON TABLE beat_ledger_crowded IS 'Beats of a block that is full, because their client does not count: each by itself, so that no row grows without end.';

-- Partitions are made ahead of time; there is no default partition, which would make DETACH ... CONCURRENTLY impossible.
CREATE FUNCTION ensure_month_partitions(parent regclass, first date, months integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    from_month date;
    made integer := 0;
    part text;
BEGIN
    FOR n IN 0..months LOOP
        from_month := date_trunc('month', first)::date + make_interval(months => n);
        part := format('%s_%s', parent::text, to_char(from_month, 'YYYYMM'));
        IF to_regclass(part) IS NULL THEN
            EXECUTE format('CREATE TABLE %I PARTITION OF %s FOR VALUES FROM (%L) TO (%L) WITH (fillfactor = 70)', part, parent,
                           from_month::timestamp AT TIME ZONE 'UTC', (from_month + interval '1 month')::timestamp AT TIME ZONE 'UTC');
            PERFORM protect_table(part::regclass);
            made := made + 1;
        END IF;
    END LOOP;
    RETURN made;
END $$;
SELECT ensure_month_partitions('content_views', (now() - interval '2 months')::date, 14);

-- What is older than `before` leaves the parent and stays as a table of its own, to be archived or dropped by whoever runs the place.
CREATE FUNCTION detach_month_partitions(parent regclass, before date) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    part regclass;
    gone integer := 0;
BEGIN
    IF NOT app_is_service() THEN
        RAISE EXCEPTION 'only the drain keeps partitions' USING ERRCODE = 'insufficient_privilege';
    END IF;
    FOR part IN
        SELECT i.inhrelid::regclass FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent = parent AND c.relname ~ '_[0-9]{6}$'
          AND to_date(right(c.relname, 6), 'YYYYMM') + interval '1 month' <= date_trunc('month', before)
        ORDER BY c.relname
    LOOP
        EXECUTE format('ALTER TABLE %s DETACH PARTITION %s', parent, part);
        gone := gone + 1;
    END LOOP;
    RETURN gone;
END $$;

SELECT protect_table(t) FROM unnest(ARRAY['playback_sessions', 'streaming_tokens', 'watch_progress', 'playlist_progress',
    'content_views', 'beat_ledger', 'beat_ledger_crowded']::regclass[]) AS t;
CREATE POLICY playback_sessions_read ON playback_sessions FOR SELECT
    USING (tenant_id = (SELECT app_tenant_id()) AND (user_id = (SELECT app_user_id()) OR (SELECT app_is_staff())));
CREATE POLICY playback_sessions_write ON playback_sessions FOR ALL
    USING (tenant_id = (SELECT app_tenant_id()) AND (SELECT app_is_service()))
    WITH CHECK (tenant_id = (SELECT app_tenant_id()) AND (SELECT app_is_service()));
CREATE POLICY streaming_tokens_service ON streaming_tokens FOR ALL
    USING ((SELECT app_is_service())) WITH CHECK ((SELECT app_is_service()));
CREATE POLICY watch_progress_read ON watch_progress FOR SELECT
    USING (tenant_id = (SELECT app_tenant_id()) AND (user_id = (SELECT app_user_id()) OR (SELECT app_is_service())));
CREATE POLICY watch_progress_write ON watch_progress FOR ALL
    USING ((SELECT app_is_service())) WITH CHECK ((SELECT app_is_service()));
CREATE POLICY playlist_progress_read ON playlist_progress FOR SELECT
    USING (user_id = (SELECT app_user_id()) OR (SELECT app_is_service()));
CREATE POLICY playlist_progress_write ON playlist_progress FOR ALL
    USING ((SELECT app_is_service())) WITH CHECK ((SELECT app_is_service()));
CREATE POLICY content_views_read ON content_views FOR SELECT
    USING (tenant_id = (SELECT app_tenant_id()) AND (user_id = (SELECT app_user_id()) OR (SELECT app_is_staff())));
CREATE POLICY content_views_write ON content_views FOR ALL
    USING ((SELECT app_is_service())) WITH CHECK ((SELECT app_is_service()));
CREATE POLICY beat_ledger_service ON beat_ledger FOR ALL USING ((SELECT app_is_service())) WITH CHECK ((SELECT app_is_service()));
CREATE POLICY beat_ledger_crowded_service ON beat_ledger_crowded FOR ALL USING ((SELECT app_is_service())) WITH CHECK ((SELECT app_is_service()));
