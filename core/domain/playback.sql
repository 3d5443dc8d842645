-- name: entitlement_get one
-- The one answer to "may this person watch this now". $1 user or null, $2 content, $3 when.
SELECT allowed, reason, until, max_height, max_streams FROM entitlement($1::uuid, $2::uuid, false, $3::timestamptz);

-- name: playable_get one
-- What /play tells about a title and where this person stands in it. $1 content, $2 user or null.
SELECT c.title, c.content_type::text AS content_type, g.number AS generation, g.duration_ms,
       g.has_video AND NOT g.is_preview AS has_thumbnails,
       w.position_ms, w.is_completed, w.beat_at, w.playlist_id, w.session_at, w.seq, w.settled_ms, w.settled_at
FROM contents AS c
JOIN generations AS g ON g.id = c.generation_id
LEFT JOIN watch_progress AS w ON w.content_id = c.id AND w.user_id = $2::uuid
WHERE c.id = $1::uuid;

-- name: next_episode_get one
-- What follows $1 in playlist $2, or in the first series it belongs to when $2 is null.
SELECT n.content_id, coalesce(n.title, c.title) AS title, n.playlist_id, n.season_number, n.episode_number
FROM playlist_episodes AS here
JOIN playlists AS p ON p.id = here.playlist_id
JOIN playlist_episodes AS n ON n.playlist_id = here.playlist_id AND n.episode_order > here.episode_order
JOIN contents AS c ON c.id = n.content_id AND c.is_published AND c.is_available
WHERE here.content_id = $1::uuid AND (here.playlist_id = $2::uuid OR ($2::uuid IS NULL AND p.is_series))
ORDER BY here.playlist_id, n.episode_order
LIMIT 1;

-- name: session_open none
-- Stores a playback session and the digest of its token in one statement. Who listens is kept of a podcast's episode alone.
WITH session AS (
    INSERT INTO playback_sessions (id, user_id, content_id, playlist_id, device_id, device_type, ip_address, created_at, expires_at, listener_id)
    VALUES ($1, $2, $3, (SELECT id FROM playlists WHERE id = $4::uuid), $5, $6, $7::text::inet, $8, $9,
            CASE WHEN EXISTS (SELECT FROM podcast_episodes WHERE content_id = $3) THEN $11::text END)
    RETURNING id, user_id, content_id, ip_address, created_at, expires_at
)
INSERT INTO streaming_tokens (session_id, content_id, user_id, token_digest, expires_at, created_at, ip_address)
SELECT id, content_id, user_id, $10, expires_at, created_at, ip_address FROM session;

-- name: session_alive value
-- Of a session that was granted and has not been ended: 'used' when heartbeats say that it is running, else 'granted'.
-- $1 session, $2 now, $3 how long a pause may be.
SELECT CASE WHEN last_beat_at > $2::timestamptz - $3::interval THEN 'used' ELSE 'granted' END
FROM playback_sessions WHERE id = $1::uuid AND ended_at IS NULL AND expires_at > $2::timestamptz;

-- name: sessions_on_devices many
-- The running sessions of a person, newest first. $1 user, $2 now.
SELECT DISTINCT ON (s.device_id) s.device_id, s.device_type, s.created_at, c.title
FROM playback_sessions AS s JOIN contents AS c ON c.id = s.content_id
WHERE s.user_id = $1::uuid AND s.ended_at IS NULL AND s.expires_at > $2::timestamptz
ORDER BY s.device_id, s.created_at DESC;

-- name: sessions_end_on_devices none
-- Ends a person's sessions on these devices. $1 user, $2 devices, $3 now, $4 why.
UPDATE playback_sessions SET ended_at = $3, end_reason = $4
WHERE user_id = $1::uuid AND device_id = ANY ($2::text[]) AND ended_at IS NULL;

-- name: generation_prefix_get value
-- Where a generation's objects lie, while it is or was published. $1 content, $2 number.
SELECT store_prefix FROM generations WHERE content_id = $1::uuid AND number = $2 AND state IN ('published', 'retired');

-- name: content_duration_get value
-- The exact length of a title in milliseconds, if it can be played. $1 content.
SELECT g.duration_ms FROM contents AS c JOIN generations AS g ON g.id = c.generation_id WHERE c.id = $1::uuid;

-- name: public_picture_get one
-- The stored object of a picture that some visible title shows. $1 file.
SELECT f.mime_type, f.checksum, s.storage_key
FROM files AS f JOIN storage AS s ON s.file_id = f.id
WHERE f.id = $1::uuid AND NOT f.is_deleted AND f.mime_type LIKE 'image/%'
  AND (EXISTS (SELECT FROM contents c WHERE c.thumbnail_image_id = f.id AND c.is_published AND c.is_available)
       OR EXISTS (SELECT FROM playlists p WHERE p.thumbnail_image_id = f.id))
LIMIT 1;
