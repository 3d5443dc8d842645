-- name: content_there value
-- Whether there is such a title, on sale or not.
SELECT EXISTS (SELECT FROM contents WHERE id = $1);

-- name: buyer_there value
-- Whether there is such a person.
SELECT EXISTS (SELECT FROM users WHERE id = $1);

-- name: owned_get value
-- Whether a person owns a title at a moment, however they came by it.
SELECT owns_content($1, $2, $3);

-- name: purchase_insert one
-- A purchase without an order; nothing where that person has one of that title.
INSERT INTO direct_purchases (user_id, content_id, price, currency, reference, recorded_by, purchased_at)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (user_id, content_id) WHERE status = 'PAID' DO NOTHING
RETURNING id AS purchase_id, user_id, content_id, price, currency, status, purchased_at, refunded_at;

-- name: purchase_lock one
-- A purchase, kept from others until the transaction ends; as an order is (order_lock).
WITH buyer AS MATERIALIZED (SELECT hold_purchases(user_id) FROM direct_purchases WHERE id = $1)
SELECT d.id AS purchase_id, d.user_id, d.content_id, d.price, d.currency, d.status, d.purchased_at, d.refunded_at
FROM buyer CROSS JOIN direct_purchases d WHERE d.id = $1 FOR UPDATE OF d;

-- name: purchase_refund one
-- Its money is back with the buyer.
UPDATE direct_purchases SET status = 'REFUNDED', refunded_at = $2 WHERE id = $1
RETURNING id AS purchase_id, user_id, content_id, price, currency, status, purchased_at, refunded_at;
