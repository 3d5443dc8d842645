-- Who watched what, for thirty days.

SELECT ensure_month_partitions('content_views', (now() - interval '2 months')::date, 3);
CREATE TEMP TABLE viewing ON COMMIT DROP AS
SELECT p.n, k, p.id AS user_id, t.id AS content_id, t.kind, t.seconds, pg_temp.sid(format('viewing:%s:%s', p.n, k)) AS id, pg_temp.ago(0.2 + pg_temp.pick(format('when:%s:%s', p.n, k), 2900) / 100.0) AS at,
       CASE WHEN pg_temp.pick(format('finished:%s:%s', p.n, k), 3) = 0 THEN t.seconds ELSE greatest(60, t.seconds * (10 + pg_temp.pick(format('part:%s:%s', p.n, k), 80)) / 100) END AS position_s,
       (ARRAY['web', 'ios', 'android', 'tv'])[1 + p.n % 4] AS device
FROM people p, generate_series(0, 2) AS k JOIN titles t ON t.seconds > 0
WHERE t.n = CASE WHEN p.n <= 3 AND k = 0 THEN 11 ELSE (SELECT (ARRAY[1,2,3,4,5,6,7,8,9,10,11,12,13,14,16,17,18])[1 + (pg_temp.pick('first:view:' || p.n, 17) + k * 6) % 17]) END;
INSERT INTO watch_progress (id, user_id, content_id, playlist_id, last_position, duration, position_ms, newest_ms, watched_ms, is_completed, completed_at, device_type, session_id, session_at, beat_at, created_at)
SELECT pg_temp.sid('resume:' || id), user_id, content_id, CASE kind WHEN 'EPISODE' THEN pg_temp.sid('playlist:Harbour, season one') END, position_s, seconds, position_s * 1000, position_s * 1000, position_s * 1000, position_s = seconds, CASE WHEN position_s = seconds THEN at END, device, id, at, at, at
FROM viewing ON CONFLICT (user_id, content_id) DO NOTHING;
INSERT INTO playlist_progress (id, playlist_id, content_id, user_id, is_latest_watched, watched_at)
SELECT pg_temp.sid('series:' || id), pg_temp.sid('playlist:Harbour, season one'), content_id, user_id, rank = 1, at
FROM (SELECT *, row_number() OVER (PARTITION BY n ORDER BY at DESC, k) AS rank FROM (SELECT DISTINCT ON (n, content_id) * FROM viewing WHERE kind = 'EPISODE' ORDER BY n, content_id, at DESC) AS once) AS ranked;
INSERT INTO playback_sessions (id, user_id, content_id, device_id, device_type, ip_address, created_at, expires_at, ended_at, end_reason, watched_ms, last_beat_at, seq, position_ms)
SELECT id, user_id, content_id, 'seed-' || n, device, ('192.0.2.' || n % 250)::inet, at, at + interval '12 hours', at + position_s * interval '1 second', 'ended', position_s * 1000, at + position_s * interval '1 second', position_s / 10, position_s * 1000 FROM viewing;
INSERT INTO streaming_tokens (id, session_id, content_id, user_id, token_digest, expires_at, created_at)
SELECT pg_temp.sid('play:' || id), id, content_id, user_id, pg_temp.secret('play:' || id), at + interval '12 hours', at FROM viewing;
INSERT INTO content_views (id, content_id, user_id, session_id, viewed_at, watch_duration, device_type) SELECT pg_temp.sid('view:' || id), content_id, user_id, id, at, position_s, device FROM viewing;
