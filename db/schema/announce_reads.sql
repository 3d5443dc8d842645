-- Tables whose answers to guests may be kept in memory: every change of one is announced, and every edge forgets what it kept.
-- A payload is {"r": table}; equal ones within a transaction are one. announce.sql says what else goes over the channel.

CREATE FUNCTION announce_read() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('penstock_changed', jsonb_build_object('r', TG_TABLE_NAME)::text);
    RETURN NULL;
END $$;

-- `counted` are columns that change with every batch of heartbeats: a statement that sets nothing else is not announced,
-- and what was kept shows them a few seconds old.
CREATE FUNCTION announce_reads(target regclass, counted text[] DEFAULT '{}') RETURNS void LANGUAGE plpgsql AS $$
DECLARE watched text;
BEGIN
    SELECT string_agg(quote_ident(attname), ', ') INTO watched FROM pg_attribute
    WHERE attrelid = target AND attnum > 0 AND NOT attisdropped AND NOT attname = ANY (counted);
    EXECUTE format('CREATE TRIGGER %I AFTER INSERT OR DELETE OR TRUNCATE OR UPDATE OF %s ON %s FOR EACH STATEMENT EXECUTE FUNCTION announce_read()',
                   (SELECT relname FROM pg_class WHERE oid = target) || '_announce_read', watched, target);
END $$;

SELECT announce_reads('contents', ARRAY['view_count', 'updated_at']);
SELECT announce_reads(t) FROM unnest(ARRAY['categories', 'genres', 'content_categories', 'content_genres', 'content_prices', 'playlists',
    'playlist_episodes', 'playlist_prices', 'generations', 'renditions', 'text_tracks']::regclass[]) AS t;
