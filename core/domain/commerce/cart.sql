-- name: offers_many many
-- In which currencies the viewer can buy a thing at a moment, and for how much.
SELECT title, price, currency FROM sale_offers($1::text::item_type, $2, $3, $4) ORDER BY currency;

-- name: has_already value
-- Whether buying it would give a person nothing new.
SELECT has_already($1, $2::text::item_type, $3, $4);

-- name: cart_open value
-- The viewer's cart, made if there is none, kept from their other requests until the transaction ends.
INSERT INTO carts (user_id) VALUES ($1) ON CONFLICT (user_id, tenant_id) DO UPDATE SET updated_at = now() RETURNING id;

-- name: cart_lines_many many
-- What lies in the viewer's cart, with what it cost then and costs now in the same currency. Null: not for sale any more.
SELECT i.id, i.item_type::text, coalesce(i.content_id, i.playlist_id, i.course_id, i.plan_id) AS item_id, i.billing_period,
       i.price, i.currency, o.title, o.price AS price_now,
       has_already(c.user_id, i.item_type, coalesce(i.content_id, i.playlist_id, i.course_id, i.plan_id), $2) AS is_owned
FROM carts c JOIN cart_items i ON i.cart_id = c.id
LEFT JOIN LATERAL (SELECT s.title, s.price
                   FROM sale_offers(i.item_type, coalesce(i.content_id, i.playlist_id, i.course_id, i.plan_id), i.billing_period, $2) AS s
                   WHERE coalesce(s.currency, i.currency) = i.currency) AS o ON true
WHERE c.user_id = $1 ORDER BY i.added_at, i.id;

-- name: cart_item_put value
-- Puts a thing into a cart. What is there already stays, with the price of then; null for that.
INSERT INTO cart_items (cart_id, item_type, content_id, playlist_id, course_id, plan_id, billing_period, price, currency, added_at)
VALUES ($1, $2::text::item_type, CASE $2::text WHEN 'CONTENT' THEN $3::uuid END, CASE $2::text WHEN 'PLAYLIST' THEN $3::uuid END, CASE $2::text WHEN 'COURSE' THEN $3::uuid END,
        CASE $2::text WHEN 'PLAN' THEN $3::uuid END, $4, $5, $6, $7)
ON CONFLICT ON CONSTRAINT cart_items__once DO NOTHING RETURNING id;

-- name: cart_item_drop none
-- Takes a line out of the viewer's cart.
DELETE FROM cart_items i USING carts c WHERE i.cart_id = c.id AND c.user_id = $1 AND i.id = $2;

-- name: cart_empty none
-- Nothing is left in the viewer's cart.
DELETE FROM cart_items i USING carts c WHERE i.cart_id = c.id AND c.user_id = $1;
