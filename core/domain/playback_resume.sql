-- name: standing_get one
-- Where a person stands in one title that they may see. $1 user, $2 content.
SELECT w.position_ms, w.duration * 1000 AS duration_ms, w.is_completed, w.beat_at, w.playlist_id, w.session_at, w.seq, w.settled_ms,
       w.settled_at
FROM contents AS c LEFT JOIN watch_progress AS w ON w.content_id = c.id AND w.user_id = $1::uuid
WHERE c.id = $2::uuid;

-- name: watched_list many
-- A page of what a person has watched, the latest first. $1 user, $2 and $3 time and title of the last item before it or null,
-- $4 titles to leave out, $5 only what is not finished and can be played, $6 how many.
SELECT w.content_id, c.title, c.content_type::text AS content_type, c.thumbnail_image_id, w.position_ms,
       coalesce(g.duration_ms, w.duration * 1000) AS duration_ms, w.is_completed, w.beat_at, w.playlist_id, w.session_at, w.seq,
       w.settled_ms, w.settled_at
FROM watch_progress AS w
JOIN contents AS c ON c.id = w.content_id AND (NOT $5::boolean OR (c.is_published AND c.is_available AND c.generation_id IS NOT NULL))
LEFT JOIN generations AS g ON g.id = c.generation_id
WHERE w.user_id = $1::uuid AND w.archived_at IS NULL AND NOT ($5::boolean AND w.is_completed)
  AND ($2::timestamptz IS NULL OR (w.beat_at, w.content_id) < ($2::timestamptz, $3::uuid))
  AND w.content_id <> ALL ($4::uuid[])
ORDER BY w.beat_at DESC, w.content_id DESC
LIMIT $6;

-- name: watched_get_many many
-- The same of these titles, begun or not. $1 user, $2 titles.
SELECT c.id AS content_id, c.title, c.content_type::text AS content_type, c.thumbnail_image_id, w.position_ms,
       coalesce(g.duration_ms, w.duration * 1000) AS duration_ms, w.is_completed, w.beat_at, w.playlist_id, w.session_at, w.seq,
       w.settled_ms, w.settled_at
FROM contents AS c
LEFT JOIN generations AS g ON g.id = c.generation_id
LEFT JOIN watch_progress AS w ON w.content_id = c.id AND w.user_id = $1::uuid
WHERE c.id = ANY ($2::uuid[]) AND c.is_published AND c.is_available;

-- name: up_next_list many
-- Where the episode watched last is finished: the one that follows, unless that was begun too. Parameters as of watched_list.
SELECT n.content_id, coalesce(n.title, c.title) AS title, c.content_type::text AS content_type, c.thumbnail_image_id, g.duration_ms,
       w.beat_at, pp.playlist_id
FROM playlist_progress AS pp
JOIN watch_progress AS w ON w.user_id = pp.user_id AND w.content_id = pp.content_id AND w.is_completed
JOIN LATERAL (SELECT n.content_id, n.title FROM playlist_episodes AS here
              JOIN playlist_episodes AS n ON n.playlist_id = here.playlist_id AND n.episode_order > here.episode_order
              WHERE here.playlist_id = pp.playlist_id AND here.content_id = pp.content_id
              ORDER BY n.episode_order LIMIT 1) AS n ON true
JOIN contents AS c ON c.id = n.content_id AND c.is_published AND c.is_available
JOIN generations AS g ON g.id = c.generation_id
WHERE pp.user_id = $1::uuid AND pp.is_latest_watched
  AND NOT EXISTS (SELECT FROM watch_progress AS b WHERE b.user_id = pp.user_id AND b.content_id = n.content_id)
  AND n.content_id <> ALL ($4::uuid[])
  AND ($2::timestamptz IS NULL OR (w.beat_at, n.content_id) < ($2::timestamptz, $3::uuid))
ORDER BY w.beat_at DESC, n.content_id DESC
LIMIT $5;

-- name: next_episode_many many
-- What follows each of these titles, in the playlist named beside it or in the first series it belongs to. $1 titles, $2 playlists.
SELECT DISTINCT ON (here.content_id) here.content_id AS here_id, n.content_id, coalesce(n.title, c.title) AS title, n.playlist_id,
       n.season_number, n.episode_number
FROM unnest($1::uuid[], $2::uuid[]) AS asked (content_id, playlist_id)
JOIN playlist_episodes AS here ON here.content_id = asked.content_id
JOIN playlists AS p ON p.id = here.playlist_id AND (p.id = asked.playlist_id OR (asked.playlist_id IS NULL AND p.is_series))
JOIN playlist_episodes AS n ON n.playlist_id = here.playlist_id AND n.episode_order > here.episode_order
JOIN contents AS c ON c.id = n.content_id AND c.is_published AND c.is_available
ORDER BY here.content_id, here.playlist_id, n.episode_order;
