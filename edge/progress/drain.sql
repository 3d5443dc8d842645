-- name: tenant_set none
-- Names the tenant for what follows in this transaction.
SELECT set_tenant_context($1::uuid);

-- name: session_lock_many none
-- Locks sessions in one order, so that two drains cannot wait for each other.
SELECT FROM playback_sessions WHERE id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE;

-- name: session_play_many many
-- Adds watched time to the sessions of whoever they belong to, and says where each now stands. `counts`: its view is to be
-- written, because it has just been earned, has grown by five minutes, or playback stopped. `n` is the
-- place in $1. $1 ids, $2 users, $3 contents, $4 ms watched, $5 last beat (ms since 1970),
-- $6 seq, $7 position in ms, $8 ms that make a view, $9 stopped, $10 bot.
UPDATE playback_sessions AS s
SET watched_ms = s.watched_ms + d.watched_ms,
    last_beat_at = greatest(s.last_beat_at, to_timestamp(d.last_at_ms / 1000.0::float8)),
    seq = greatest(s.seq, d.seq),
    position_ms = CASE WHEN (d.seq, d.position_ms) > (s.seq, s.position_ms) THEN d.position_ms ELSE s.position_ms END,
    is_bot = s.is_bot OR d.is_bot,
    counted_ms = CASE
        WHEN NOT (s.is_bot OR d.is_bot) AND s.watched_ms + d.watched_ms >= d.view_ms
             AND (s.counted_ms IS NULL OR d.stopped OR s.watched_ms + d.watched_ms >= s.counted_ms + 300000)
        THEN s.watched_ms + d.watched_ms ELSE s.counted_ms END
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
            $9::boolean[], $10::boolean[])
     WITH ORDINALITY AS d (id, user_id, content_id, watched_ms, last_at_ms, seq, position_ms, view_ms, stopped, is_bot, n)
WHERE s.id = d.id AND s.user_id IS NOT DISTINCT FROM d.user_id AND s.content_id = d.content_id
RETURNING d.n, s.watched_ms, s.position_ms, s.seq, s.counted_ms = s.watched_ms AS counts, s.listener_id IS NOT NULL AND NOT s.is_bot AS listens;

-- name: listens_lock_many none
-- Lets one drain at a time count the listeners of these sessions: two sessions of one listener may be in two drains' hands. $1 sessions.
SELECT pg_advisory_xact_lock(key) FROM (
    SELECT DISTINCT hashtextextended(content_id::text || listener_id, 0) AS key FROM playback_sessions WHERE id = ANY ($1::uuid[]) ORDER BY key) AS keys;

-- name: listens_add_many none
-- Writes a listen for each listener of these sessions who by now has heard enough of the episode in one day (UTC, by when sessions began),
-- in all sessions together, and has none yet that day. $1 sessions, $2 ms that are enough, $3 the share of a shorter episode that is.
INSERT INTO listener_events (tenant_id, episode_id, listener_id, event_type, event_data, occurred_at)
SELECT e.tenant_id, e.id, d.listener_id, 'listen', jsonb_strip_nulls(jsonb_build_object('device_type', heard.device_type)), heard.since
FROM (SELECT DISTINCT content_id, listener_id, date_trunc('day', created_at, 'UTC') AS day FROM playback_sessions WHERE id = ANY ($1::uuid[])) AS d
JOIN podcast_episodes AS e ON e.content_id = d.content_id
JOIN contents AS c ON c.id = d.content_id
JOIN generations AS g ON g.id = c.generation_id
CROSS JOIN LATERAL (
    SELECT min(s.created_at) AS since, sum(s.watched_ms) AS ms, (array_agg(s.device_type ORDER BY s.created_at))[1] AS device_type
    FROM playback_sessions AS s
    WHERE s.content_id = d.content_id AND s.listener_id = d.listener_id AND NOT s.is_bot
      AND s.created_at >= d.day AND s.created_at < d.day + interval '1 day') AS heard
WHERE heard.ms >= CASE WHEN g.duration_ms < $2::bigint THEN g.duration_ms * $3::float8 ELSE $2 END
  AND NOT EXISTS (SELECT FROM listener_events AS l
                  WHERE l.episode_id = e.id AND l.event_type = 'listen' AND l.listener_id = d.listener_id
                    AND l.occurred_at >= d.day AND l.occurred_at < d.day + interval '1 day')
ORDER BY heard.since, e.id;

-- name: view_upsert_many none
-- Writes the views of these sessions, one each, with the time watched so far.
INSERT INTO content_views (tenant_id, content_id, user_id, session_id, viewed_at, watch_duration, device_type)
SELECT tenant_id, content_id, user_id, id, created_at, counted_ms / 1000, device_type
FROM playback_sessions
WHERE id = ANY ($1::uuid[]) AND counted_ms IS NOT NULL
ORDER BY content_id, id
ON CONFLICT (viewed_at, session_id) DO UPDATE SET watch_duration = EXCLUDED.watch_duration
WHERE content_views.watch_duration < EXCLUDED.watch_duration;

-- name: progress_upsert_many none
-- Moves the resume points that this is newer for, by (session's start, seq). Two points are kept: that of the newest session, and that of
-- the newest which played long enough to be meant (`settled_`); resume_point_ms() chooses, and need not when they are of one session.
-- Watched time adds up, completion stays. A sub-select that chooses the newer row as a whole would be shorter and takes 8 us a row.
INSERT INTO watch_progress AS w (tenant_id, user_id, content_id, playlist_id, last_position, duration, position_ms, newest_ms, watched_ms,
                                 is_completed, completed_at, device_type, session_id, session_at, seq, beat_at, updated_at,
                                 settled_ms, settled_at, settled_seq)
SELECT c.tenant_id, d.user_id, d.content_id, CASE WHEN d.playlist_id IS NOT NULL THEN (SELECT id FROM playlists WHERE id = d.playlist_id) END,
       point.ms / 1000, (d.duration_ms + 999) / 1000, point.ms, d.newest_ms, d.watched_ms,
       d.completed, CASE WHEN d.completed THEN to_timestamp(d.at_ms / 1000.0::float8) END, d.device_type, d.session_id,
       to_timestamp(d.session_at_ms / 1000.0::float8), d.seq, to_timestamp(d.at_ms / 1000.0::float8), clock_timestamp(),
       d.settled_ms, to_timestamp(d.settled_at_ms / 1000.0::float8), d.settled_seq
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[], $6::bigint[], $7::boolean[], $8::text[], $9::uuid[],
            $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[])
     AS d (user_id, content_id, playlist_id, newest_ms, duration_ms, watched_ms, completed, device_type, session_id,
           session_at_ms, seq, at_ms, settled_ms, settled_at_ms, settled_seq)
JOIN contents AS c ON c.id = d.content_id
JOIN users AS u ON u.id = d.user_id
CROSS JOIN LATERAL (SELECT CASE WHEN d.session_at_ms = d.settled_at_ms THEN d.newest_ms
                                ELSE resume_point_ms(d.newest_ms, false, d.settled_ms, d.duration_ms) END AS ms) AS point
ORDER BY d.user_id, d.content_id
ON CONFLICT (user_id, content_id) DO UPDATE SET
    watched_ms = w.watched_ms + EXCLUDED.watched_ms,
    is_completed = w.is_completed OR EXCLUDED.is_completed,
    completed_at = coalesce(w.completed_at, EXCLUDED.completed_at),
    newest_ms = EXCLUDED.newest_ms,
    duration = EXCLUDED.duration,
    playlist_id = coalesce(EXCLUDED.playlist_id, w.playlist_id),
    device_type = EXCLUDED.device_type,
    session_id = EXCLUDED.session_id,
    session_at = EXCLUDED.session_at,
    seq = EXCLUDED.seq,
    beat_at = EXCLUDED.beat_at,
    updated_at = EXCLUDED.updated_at,
    settled_at = greatest(w.settled_at, EXCLUDED.settled_at),
    settled_seq = CASE WHEN coalesce((EXCLUDED.settled_at, EXCLUDED.settled_seq, EXCLUDED.settled_ms) >= (w.settled_at, w.settled_seq, w.settled_ms), EXCLUDED.settled_at IS NOT NULL)
                       THEN EXCLUDED.settled_seq ELSE w.settled_seq END,
    settled_ms = CASE WHEN coalesce((EXCLUDED.settled_at, EXCLUDED.settled_seq, EXCLUDED.settled_ms) >= (w.settled_at, w.settled_seq, w.settled_ms), EXCLUDED.settled_at IS NOT NULL)
                      THEN EXCLUDED.settled_ms ELSE w.settled_ms END,
    position_ms = CASE WHEN EXCLUDED.session_at = EXCLUDED.settled_at THEN EXCLUDED.newest_ms
                  ELSE resume_point_ms(EXCLUDED.newest_ms, EXCLUDED.session_at = greatest(w.settled_at, EXCLUDED.settled_at),
                                       CASE WHEN coalesce((EXCLUDED.settled_at, EXCLUDED.settled_seq, EXCLUDED.settled_ms) >= (w.settled_at, w.settled_seq, w.settled_ms), EXCLUDED.settled_at IS NOT NULL)
                                            THEN EXCLUDED.settled_ms ELSE w.settled_ms END, EXCLUDED.duration * 1000) END,
    last_position = CASE WHEN EXCLUDED.session_at = EXCLUDED.settled_at THEN EXCLUDED.newest_ms
                    ELSE resume_point_ms(EXCLUDED.newest_ms, EXCLUDED.session_at = greatest(w.settled_at, EXCLUDED.settled_at),
                                       CASE WHEN coalesce((EXCLUDED.settled_at, EXCLUDED.settled_seq, EXCLUDED.settled_ms) >= (w.settled_at, w.settled_seq, w.settled_ms), EXCLUDED.settled_at IS NOT NULL)
                                            THEN EXCLUDED.settled_ms ELSE w.settled_ms END, EXCLUDED.duration * 1000) END / 1000
WHERE (EXCLUDED.session_at, EXCLUDED.seq, EXCLUDED.beat_at, EXCLUDED.newest_ms)
      >= (coalesce(w.session_at, '-infinity'), w.seq, w.beat_at, w.newest_ms);

-- name: progress_moved_many many
-- Which of these rows this very transaction has written. $1 users, $2 titles.
SELECT user_id, content_id FROM watch_progress
WHERE user_id = ANY ($1::uuid[]) AND content_id = ANY ($2::uuid[]) AND xmin = pg_current_xact_id()::xid;

-- name: progress_add_many none
-- What beats that came late still change: time watched, completion, the point of a session that was meant. $1 users, $2 contents, $3 ms
-- watched, $4 completed, $5 ms since 1970, $6 to $8 the settled point: ms, start of its session in ms since 1970, seq.
UPDATE watch_progress AS w SET
    watched_ms = w.watched_ms + d.watched_ms,
    is_completed = w.is_completed OR d.completed,
    completed_at = CASE WHEN d.completed THEN coalesce(w.completed_at, to_timestamp(d.at_ms / 1000.0::float8)) ELSE w.completed_at END,
    updated_at = clock_timestamp(),
    settled_at = greatest(w.settled_at, d.settled_at),
    settled_seq = CASE WHEN coalesce((d.settled_at, d.settled_seq, d.settled_ms) >= (w.settled_at, w.settled_seq, w.settled_ms), d.settled_at IS NOT NULL)
                       THEN d.settled_seq ELSE w.settled_seq END,
    settled_ms = CASE WHEN coalesce((d.settled_at, d.settled_seq, d.settled_ms) >= (w.settled_at, w.settled_seq, w.settled_ms), d.settled_at IS NOT NULL)
                      THEN d.settled_ms ELSE w.settled_ms END,
    position_ms = resume_point_ms(w.newest_ms, w.session_at = greatest(w.settled_at, d.settled_at),
                                       CASE WHEN coalesce((d.settled_at, d.settled_seq, d.settled_ms) >= (w.settled_at, w.settled_seq, w.settled_ms), d.settled_at IS NOT NULL)
                                            THEN d.settled_ms ELSE w.settled_ms END, w.duration * 1000),
    last_position = resume_point_ms(w.newest_ms, w.session_at = greatest(w.settled_at, d.settled_at),
                                       CASE WHEN coalesce((d.settled_at, d.settled_seq, d.settled_ms) >= (w.settled_at, w.settled_seq, w.settled_ms), d.settled_at IS NOT NULL)
                                            THEN d.settled_ms ELSE w.settled_ms END, w.duration * 1000) / 1000
FROM (SELECT user_id, content_id, watched_ms, completed, at_ms, settled_ms, to_timestamp(settled_at_ms / 1000.0::float8) AS settled_at, settled_seq
      FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::boolean[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
           AS sent (user_id, content_id, watched_ms, completed, at_ms, settled_ms, settled_at_ms, settled_seq) OFFSET 0) AS d
WHERE w.user_id = d.user_id AND w.content_id = d.content_id;

-- name: contents_of_series_or_course_many many
-- Which of these titles are in a playlist, and which are a lesson's. $1 titles.
SELECT asked.id AS content_id, EXISTS (SELECT FROM playlist_episodes AS e WHERE e.content_id = asked.id) AS is_episode,
       EXISTS (SELECT FROM lessons AS l WHERE l.content_id = asked.id) AS is_lesson
FROM unnest($1::uuid[]) AS asked (id);

-- name: lessons_watched none
-- Notes in their courses what of these lessons these people have watched. $1 people, $2 titles.
SELECT lessons_watched($1::uuid[], $2::uuid[]);

-- name: playlist_watch_many none
-- Notes when an episode of a series was last watched: the start of the session, so that order of arrival does not matter. Without a
-- playlist of its own, a beat is about the series that its title belongs to. $1 users, $2 contents, $3 playlists or null, $4 ms since 1970.
INSERT INTO playlist_progress AS pp (playlist_id, content_id, user_id, watched_at, updated_at)
SELECT e.playlist_id, e.content_id, d.user_id, max(to_timestamp(d.session_at_ms / 1000.0)), clock_timestamp()
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[]) AS d (user_id, content_id, playlist_id, session_at_ms)
JOIN playlist_episodes AS e ON e.content_id = d.content_id
JOIN playlists AS p ON p.id = e.playlist_id AND (p.id = d.playlist_id OR (d.playlist_id IS NULL AND p.is_series))
JOIN users AS u ON u.id = d.user_id
GROUP BY d.user_id, e.playlist_id, e.content_id
ORDER BY d.user_id, e.playlist_id, e.content_id
ON CONFLICT (user_id, playlist_id, content_id) DO UPDATE SET watched_at = EXCLUDED.watched_at, updated_at = clock_timestamp()
WHERE pp.watched_at IS NULL OR pp.watched_at < EXCLUDED.watched_at;

-- name: playlist_latest_clear none
-- Takes the resume mark off episodes of these people that another one of the series has been watched after. $1 users.
UPDATE playlist_progress AS pp SET is_latest_watched = false
WHERE pp.user_id = ANY ($1::uuid[]) AND pp.is_latest_watched
  AND EXISTS (SELECT FROM playlist_progress AS later
              WHERE later.user_id = pp.user_id AND later.playlist_id = pp.playlist_id
                AND (later.watched_at, later.content_id) > (pp.watched_at, pp.content_id));

-- name: playlist_latest_set none
-- Puts the mark on the episode watched last, where a series has none. $1 users.
UPDATE playlist_progress AS pp SET is_latest_watched = true, updated_at = clock_timestamp()
FROM (SELECT DISTINCT ON (user_id, playlist_id) id, user_id, playlist_id FROM playlist_progress
      WHERE user_id = ANY ($1::uuid[]) ORDER BY user_id, playlist_id, watched_at DESC NULLS LAST, content_id DESC) AS last
WHERE pp.id = last.id
  AND NOT EXISTS (SELECT FROM playlist_progress AS held
                  WHERE held.user_id = last.user_id AND held.playlist_id = last.playlist_id AND held.is_latest_watched);

-- name: keeper_lock value
-- Whether this process keeps house now: one of all drains does.
SELECT pg_try_advisory_xact_lock(hashtext('penstock progress keeper'));

-- name: ledger_forget_old none
-- Drops some ledger rows older than any beat that could still come; few enough for one statement's time. $1 how many at most.
DELETE FROM beat_ledger WHERE (session_id, block) IN
    (SELECT session_id, block FROM beat_ledger WHERE seen_on < current_date - 8 LIMIT $1::bigint);

-- name: ledger_crowded_forget_old none
-- The same of those noted one by one. $1 how many at most.
DELETE FROM beat_ledger_crowded WHERE (session_id, event_id) IN
    (SELECT session_id, event_id FROM beat_ledger_crowded WHERE seen_on < current_date - 8 LIMIT $1::bigint);

-- name: errors_forget_old none
-- Drops some failures written down more than $1 days ago, of the present tenant and of none. $2 how many at most.
DELETE FROM error_logs WHERE id IN
    (SELECT id FROM error_logs WHERE created_at < now() - make_interval(days => $1::integer) ORDER BY created_at LIMIT $2::bigint);

-- name: sessions_archive value
-- Moves some sessions that ended more than $1 days ago to their archive; how many. $2 how many at most.
SELECT archive_sessions(now() - make_interval(days => $1::integer), $2::integer);

-- name: presence_forget_old none
-- Drops who has not been seen for a day.
DELETE FROM online_sessions WHERE last_activity_at < now() - interval '1 day';

-- name: views_settle none
-- Brings views up to date whose session fell silent before it could say that it stops.
UPDATE content_views AS v SET watch_duration = s.watched_ms / 1000
FROM playback_sessions AS s
WHERE s.ended_at IS NULL AND s.expires_at > now() - interval '1 day' AND s.last_beat_at < now() - interval '10 minutes'
  AND s.counted_ms < s.watched_ms AND v.viewed_at = s.created_at AND v.session_id = s.id AND v.watch_duration < s.watched_ms / 1000;

-- name: views_partitions_ensure value
-- Makes the coming months' partitions of the view events.
SELECT ensure_month_partitions('content_views', now()::date, 3);

-- name: views_partitions_detach value
-- Takes partitions older than $1 months out of the view events; they stay as tables of their own. How many.
SELECT detach_month_partitions('content_views', (now() - make_interval(months => $1::integer))::date);

-- name: partitions_keep many
-- Makes and drops a few partitions of the tables in time_partitions; no rows when nothing is left to do.
SELECT partition, done FROM keep_partitions(now());

-- name: tenants_all many
-- Every tenant.
SELECT id FROM tenants ORDER BY id;

-- name: aggregates_refresh many
-- Refreshes what is due in the present tenant, and says how many rows were wrong.
SELECT aggregate, mended FROM run_refresh_policies(now());

-- name: courses_keep many
-- What time brings about in the present tenant's courses: what was done, and how often.
SELECT chore, done FROM keep_courses(now());

-- name: shop_keep one
-- Ends what time alone ends in a shop: subscriptions that are over, orders that nobody paid.
SELECT end_subscriptions($1) AS subscriptions, end_orders($1) AS orders;
