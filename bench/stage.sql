-- What bench/stage.py puts in place: one free film, one that is sold, and people who own it.

-- name: content_insert value
-- A published title. $1 its name, $2 whether everyone may watch.
INSERT INTO contents (title, content_type, is_free, is_published, published_at, duration)
VALUES ($1, 'MOVIE', $2, true, now(), 600) RETURNING id;

-- name: generation_insert none
-- Its one encoding, whole. $1 content, $2 where its objects lie.
INSERT INTO generations (content_id, number, state, store_prefix, duration_ms, width, height, has_video, has_audio, published_at)
VALUES ($1, 1, 'published', $2, 600000, 1280, 720, true, true, now());

-- name: generation_use none
-- Gives the title its encoding. $1 content.
UPDATE contents SET generation_id = (SELECT id FROM generations WHERE content_id = $1 AND number = 1) WHERE id = $1;

-- name: people_insert many
-- $1 people who are signed in and own title $2; their e-mail addresses begin with $3.
WITH people AS (
    INSERT INTO users (name, email) SELECT 'Viewer ' || n, $3::text || n || '@example.com' FROM generate_series(1, $1::integer) AS n
    RETURNING id, email
), signed_in AS (
    INSERT INTO sessions (user_id, token_digest, expires_at)
    SELECT id, sha256(id::text::bytea), now() + interval '1 day' FROM people RETURNING id, user_id
), bought AS (
    INSERT INTO orders (user_id, total_amount, currency, status) SELECT id, 5, 'EUR', 'PAID' FROM people RETURNING id, user_id
), owned AS (
    INSERT INTO user_library (user_id, content_id, order_id) SELECT user_id, $2::uuid, id FROM bought
)
SELECT people.id AS user_id, people.email, signed_in.id AS session_id FROM people JOIN signed_in ON signed_in.user_id = people.id;

-- name: session_end none
-- Ends one playback session. $1 session.
UPDATE playback_sessions SET ended_at = now(), end_reason = 'revoked' WHERE id = $1;

-- name: person_ban none
-- Bans somebody. $1 user.
UPDATE users SET banned = true, ban_reason = 'bench' WHERE id = $1;

-- name: library_delete none
-- Takes a title out of somebody's library. $1 user, $2 content.
DELETE FROM user_library WHERE user_id = $1 AND content_id = $2;
