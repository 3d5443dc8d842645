-- name: episode_lock one
-- An episode, kept from others until the transaction ends, and whether its sound is published.
SELECT e.published_at, e.audio_url, e.content_id, c.is_published FROM podcast_episodes e LEFT JOIN contents c ON c.id = e.content_id
WHERE e.id = $1 FOR UPDATE OF e;

-- name: episode_publish none
-- When it comes out; null takes it back.
UPDATE podcast_episodes SET published_at = $2 WHERE id = $1;

-- name: listing_seen value
-- Whether the viewer sees it.
SELECT EXISTS (SELECT FROM marketplace_listings WHERE id = $1);

-- name: revenue_insert value
-- What a listing brought in.
INSERT INTO marketplace_revenue (listing_id, amount, currency, transaction_date) VALUES ($1, $2, $3, $4) RETURNING id;

-- name: revenue_many many
-- What a listing has brought in, by currency.
SELECT currency, sum(amount) AS amount, count(*)::integer AS entries FROM marketplace_revenue WHERE listing_id = $1 GROUP BY currency ORDER BY currency;
