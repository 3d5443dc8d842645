-- name: jobs_progress many
-- How far these encodings are. $1 jobs.
SELECT j.id, j.content_id, j.state::text AS state, j.progress::float8 AS progress, j.eta_s, j.stage, j.error_code, j.error_message, j.warnings, c.title
FROM transcode_jobs AS j JOIN contents AS c ON c.id = j.content_id
WHERE j.id = ANY ($1::uuid[])
ORDER BY j.created_at;

-- name: titles_found many
-- Titles called so, or whose id ends so. $1 a name, $2 the end of an id, or null.
SELECT id, title FROM contents WHERE lower(title) = lower($1) OR id::text LIKE '%' || $2::text ORDER BY id LIMIT 2;

-- name: content_list many
-- Every title of the tenant that a file was handed in for, for the demo's summary.
SELECT c.id, c.title, c.content_type::text AS content_type, c.is_free, g.duration_ms
FROM contents AS c LEFT JOIN generations AS g ON g.id = c.generation_id
WHERE c.generation_id IS NOT NULL OR EXISTS (SELECT FROM transcode_jobs AS j WHERE j.content_id = c.id)
ORDER BY c.created_at;

-- name: crowd_has_room value
-- Whether no seed has filled this installation and no user is in it but these and the workers' own. $1 e-mail addresses.
SELECT NOT EXISTS (SELECT FROM system_config WHERE key = 'seed')
   AND NOT EXISTS (SELECT FROM users WHERE id <> '00000000-0000-7000-8000-000000000002' AND lower(email) <> ALL ($1::text[]));

-- name: content_describe none
-- Gives a title its genre, making the genre when it is new. $1 content, $2 genre, $3 slug.
WITH genre AS (
    INSERT INTO genres (title, slug) VALUES ($2, $3) ON CONFLICT (tenant_id, slug) DO UPDATE SET title = EXCLUDED.title RETURNING id
)
INSERT INTO content_genres (content_id, genre_id) SELECT $1::uuid, id FROM genre ON CONFLICT DO NOTHING;

-- name: price_set none
-- Prices a title from now on, if it has no price yet. $1 content, $2 price, $3 currency.
INSERT INTO content_prices (content_id, price, currency, effective_from)
SELECT $1::uuid, $2::numeric, $3, now() WHERE NOT EXISTS (SELECT FROM content_prices WHERE content_id = $1);

-- name: series_create value
-- A series without episodes, unless there is one of that title; its id. The episodes' policy must see the series, so they
-- come in a statement of their own. $1 title, $2 description.
INSERT INTO playlists (title, description, is_series)
SELECT $1, $2, true WHERE NOT EXISTS (SELECT FROM playlists WHERE title = $1)
RETURNING id;

-- name: series_episodes_add none
-- The episodes of a series, in order. $1 series, $2 contents.
INSERT INTO playlist_episodes (playlist_id, content_id, episode_order, season_number, episode_number)
SELECT $1::uuid, e.content_id, e.number, 1, e.number FROM unnest($2::uuid[]) WITH ORDINALITY AS e (content_id, number);

-- name: series_picture_set none
-- Lends a series the picture of its first episode.
UPDATE playlists AS p SET thumbnail_image_id = c.thumbnail_image_id
FROM playlist_episodes AS e JOIN contents AS c ON c.id = e.content_id
WHERE e.playlist_id = p.id AND e.episode_order = 1 AND p.thumbnail_image_id IS NULL AND c.thumbnail_image_id IS NOT NULL;

-- name: user_find value
-- A person by e-mail.
SELECT id FROM users WHERE lower(email) = lower($1);

-- name: user_promote none
-- Gives a platform role and a verified address. $1 user, $2 role.
UPDATE users SET role = $2::text::platform_role, email_verified = true WHERE id = $1;

-- name: order_create value
-- A paid order; its id. $1 user, $2 total, $3 currency.
INSERT INTO orders (user_id, total_amount, currency, status) VALUES ($1, $2, $3, 'PAID') RETURNING id;

-- name: order_fill none
-- What was bought: titles at one price each. $1 order, $2 contents, $3 price.
INSERT INTO order_items (order_id, item_type, content_id, price)
SELECT $1, 'CONTENT', c.id, $3 FROM unnest($2::uuid[]) AS c (id);

-- name: library_fill none
-- Puts bought titles into the buyer's library. $1 user, $2 order, $3 contents.
INSERT INTO user_library (user_id, content_id, order_id)
SELECT $1, c.id, $2 FROM unnest($3::uuid[]) AS c (id)
ON CONFLICT (user_id, content_id) DO NOTHING;
