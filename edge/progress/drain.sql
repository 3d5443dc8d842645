-- name: ledger_add_many many
-- Notes beats as taken; gives back the ones not seen before.
INSERT INTO beat_ledger (event_id)
SELECT DISTINCT event_id FROM unnest($1::uuid[]) AS sent (event_id) ORDER BY event_id
ON CONFLICT DO NOTHING
RETURNING event_id;

-- name: tenant_set none
-- Names the tenant for what follows in this transaction.
SELECT set_tenant_context($1::uuid);

-- name: session_lock_many many
-- Locks sessions in one order, so that two drains cannot wait for each other.
SELECT id FROM playback_sessions WHERE id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE;

-- name: session_add_watched many
-- Adds watched time to sessions; gives back what a view is counted from. $1 ids, $2 ms, $3 last beat (ms since 1970).
UPDATE playback_sessions AS s
SET watched_ms = s.watched_ms + d.watched_ms,
    last_beat_at = greatest(s.last_beat_at, to_timestamp(d.last_at_ms / 1000.0))
FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS d (id, watched_ms, last_at_ms)
WHERE s.id = d.id
RETURNING s.id;

-- name: view_upsert_many none
-- Counts a view for sessions that have played 30 s, or half of a short title; once per session, its length kept current.
INSERT INTO content_views (tenant_id, content_id, user_id, session_id, viewed_at, watch_duration, device_type)
SELECT s.tenant_id, s.content_id, s.user_id, s.id, s.created_at, s.watched_ms / 1000, s.device_type
FROM playback_sessions AS s
JOIN contents AS c ON c.id = s.content_id
JOIN generations AS g ON g.id = c.generation_id
WHERE s.id = ANY ($1::uuid[]) AND s.watched_ms >= least(30000, g.duration_ms / 2)
ORDER BY s.content_id, s.id
ON CONFLICT (viewed_at, session_id) DO UPDATE SET watch_duration = EXCLUDED.watch_duration;

-- name: progress_upsert_many none
-- Moves resume points forward in the order of (session, seq); watched time adds up, completion stays.
INSERT INTO watch_progress AS w (tenant_id, user_id, content_id, playlist_id, last_position, duration, position_ms, watched_ms,
                                 is_completed, completed_at, device_type, session_id, session_at, seq, beat_at, updated_at)
SELECT c.tenant_id, d.user_id, d.content_id, p.id, d.position_ms / 1000, (d.duration_ms + 999) / 1000, d.position_ms, d.watched_ms,
       d.completed, CASE WHEN d.completed THEN to_timestamp(d.at_ms / 1000.0) END, d.device_type, d.session_id,
       to_timestamp(d.session_at_ms / 1000.0), d.seq, to_timestamp(d.at_ms / 1000.0), clock_timestamp()
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[], $6::bigint[], $7::boolean[], $8::text[], $9::uuid[],
            $10::bigint[], $11::bigint[], $12::bigint[])
     AS d (user_id, content_id, playlist_id, position_ms, duration_ms, watched_ms, completed, device_type, session_id,
           session_at_ms, seq, at_ms)
JOIN contents AS c ON c.id = d.content_id
JOIN users AS u ON u.id = d.user_id
LEFT JOIN playlists AS p ON p.id = d.playlist_id
ORDER BY d.user_id, d.content_id
ON CONFLICT (user_id, content_id) DO UPDATE SET
    watched_ms = w.watched_ms + EXCLUDED.watched_ms,
    is_completed = w.is_completed OR EXCLUDED.is_completed,
    completed_at = coalesce(w.completed_at, EXCLUDED.completed_at),
    (last_position, duration, position_ms, playlist_id, device_type, session_id, session_at, seq, beat_at, updated_at) = (
        SELECT EXCLUDED.last_position, EXCLUDED.duration, EXCLUDED.position_ms, coalesce(EXCLUDED.playlist_id, w.playlist_id),
               EXCLUDED.device_type, EXCLUDED.session_id, EXCLUDED.session_at, EXCLUDED.seq, EXCLUDED.beat_at, EXCLUDED.updated_at
        WHERE (EXCLUDED.session_at, EXCLUDED.seq) >= (coalesce(w.session_at, '-infinity'), w.seq)
        UNION ALL
        SELECT w.last_position, w.duration, w.position_ms, w.playlist_id, w.device_type, w.session_id, w.session_at, w.seq,
               w.beat_at, w.updated_at
        WHERE (EXCLUDED.session_at, EXCLUDED.seq) < (coalesce(w.session_at, '-infinity'), w.seq));

-- name: playlist_latest_clear none
-- Takes the resume mark off the other episodes of these series. $1 users, $2 playlists, $3 contents.
UPDATE playlist_progress AS pp SET is_latest_watched = false
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS d (user_id, playlist_id, content_id)
WHERE pp.user_id = d.user_id AND pp.playlist_id = d.playlist_id AND pp.content_id <> d.content_id AND pp.is_latest_watched;

-- name: playlist_latest_set none
-- Puts the resume mark of a series on the episode watched last. $1 users, $2 playlists, $3 contents.
INSERT INTO playlist_progress (playlist_id, content_id, user_id, is_latest_watched, updated_at)
SELECT e.playlist_id, e.content_id, d.user_id, true, clock_timestamp()
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS d (user_id, playlist_id, content_id)
JOIN LATERAL (SELECT DISTINCT playlist_id, content_id FROM playlist_episodes
              WHERE playlist_id = d.playlist_id AND content_id = d.content_id) AS e ON true
JOIN users AS u ON u.id = d.user_id
ORDER BY d.user_id, e.playlist_id
ON CONFLICT (user_id, playlist_id, content_id) DO UPDATE SET is_latest_watched = true, updated_at = clock_timestamp();

-- name: ledger_forget_old none
-- Drops ledger rows older than any beat that could still come.
DELETE FROM beat_ledger WHERE seen_at < now() - interval '8 days';

-- name: views_partitions_ensure value
-- Makes the coming months' partitions of the view events.
SELECT ensure_month_partitions('content_views', now()::date, 3);
