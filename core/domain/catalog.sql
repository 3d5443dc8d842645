-- name: content_lock one
-- A content as its editor sees it, kept from others until the transaction ends.
SELECT is_published, published_at FROM contents WHERE id = $1 FOR UPDATE;

-- name: content_publish value
-- Shows it; the moment of the first time stays.
UPDATE contents SET is_published = true, published_at = coalesce(published_at, $2) WHERE id = $1 RETURNING published_at;

-- name: content_unpublish none
-- Hides it.
UPDATE contents SET is_published = false WHERE id = $1;

-- name: content_price_periods many
-- The periods of a content's prices in one currency.
SELECT effective_from AS start, effective_to AS end FROM content_prices WHERE content_id = $1 AND currency = $2;

-- name: content_price_end none
-- The price without an end holds until the next begins.
UPDATE content_prices SET effective_to = $3
WHERE content_id = $1 AND currency = $2 AND effective_to IS NULL AND effective_from < $3;

-- name: content_price_insert value
-- Sets a price in the name of whoever asks.
INSERT INTO content_prices (content_id, price, currency, effective_from, effective_to, created_by)
VALUES ($1, $2, $3, $4, $5, coalesce(app_user_id(), '00000000-0000-7000-8000-000000000002')) RETURNING id;

-- name: content_offer_many many
-- What it costs at a moment, by currency.
SELECT DISTINCT ON (currency) price, currency, effective_from, effective_to FROM content_prices
WHERE content_id = $1 AND effective_from <= $2 AND (effective_to IS NULL OR effective_to > $2)
ORDER BY currency, effective_from DESC;

-- name: content_seen value
-- Whether the viewer sees it.
SELECT EXISTS (SELECT FROM contents WHERE id = $1);

-- name: playlist_lock value
-- Keeps a playlist from others until the transaction ends.
SELECT true FROM playlists WHERE id = $1 FOR UPDATE;

-- name: playlist_price_periods many
-- The periods of a playlist's prices in one currency, in days.
SELECT effective_from AS start, effective_to AS end FROM playlist_prices WHERE playlist_id = $1 AND currency = $2;

-- name: playlist_price_end none
-- The price without an end holds until the day on which the next begins.
UPDATE playlist_prices SET effective_to = $3
WHERE playlist_id = $1 AND currency = $2 AND effective_to IS NULL AND effective_from < $3;

-- name: playlist_price_insert value
-- Sets a price in the name of whoever asks.
INSERT INTO playlist_prices (playlist_id, price, currency, effective_from, effective_to, created_by)
VALUES ($1, $2, $3, $4, $5, coalesce(app_user_id(), '00000000-0000-7000-8000-000000000002')) RETURNING id;

-- name: playlist_offer_many many
-- What it costs on a day, by currency.
SELECT DISTINCT ON (currency) price, currency, effective_from, effective_to FROM playlist_prices
WHERE playlist_id = $1 AND effective_from <= $2 AND (effective_to IS NULL OR effective_to > $2)
ORDER BY currency, effective_from DESC;

-- name: playlist_seen value
-- Whether the viewer sees it.
SELECT EXISTS (SELECT FROM playlists WHERE id = $1);
