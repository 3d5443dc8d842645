-- name: order_insert value
-- A new order.
INSERT INTO orders (user_id, total_amount, currency, created_at) VALUES ($1, $2, $3, $4) RETURNING id;

-- name: order_line_insert none
-- One of its lines, at the price of today.
INSERT INTO order_items (order_id, item_type, content_id, playlist_id, course_id, plan_id, title, price, billing_period)
VALUES ($1, $2::text::item_type, CASE $2::text WHEN 'CONTENT' THEN $3::uuid END, CASE $2::text WHEN 'PLAYLIST' THEN $3::uuid END, CASE $2::text WHEN 'COURSE' THEN $3::uuid END,
        CASE $2::text WHEN 'PLAN' THEN $3::uuid END, $4, $5, $6);

-- name: order_lock one
-- An order, kept from others until the transaction ends. What its buyer is given or loses is held before it (hold_purchases): with titles go
-- keys to other orders of theirs, and two who each held one would wait for each other's. Its payments are locked after it, never before.
WITH buyer AS MATERIALIZED (SELECT hold_purchases(user_id) FROM orders WHERE id = $1)
SELECT o.id, o.user_id, o.total_amount, o.currency, o.status::text FROM buyer CROSS JOIN orders o WHERE o.id = $1 FOR UPDATE OF o;

-- name: order_get one
-- An order as it is now, for an answer.
SELECT id, user_id, total_amount, currency, status::text FROM orders WHERE id = $1;

-- name: order_lines_many many
-- What was ordered.
SELECT id, item_type::text, coalesce(content_id, playlist_id, course_id, plan_id) AS item_id, title, price, billing_period
FROM order_items WHERE order_id = $1 ORDER BY id;

-- name: order_move none
-- Another state; the schema knows which moves there are.
UPDATE orders SET status = $2 WHERE id = $1;

-- name: order_tries_cancel none
-- Calls off the payments of an order that are still open.
UPDATE payments SET status = 'CANCELLED', failure_reason = $2 WHERE order_id = $1 AND status = 'INITIATED';

-- name: order_owned_many many
-- Lines of an order that its buyer has by now. A plan is not among them: paid again, it lasts longer.
SELECT i.id FROM order_items i
WHERE i.order_id = $1 AND i.gone_at IS NULL AND i.item_type <> 'PLAN'
AND has_already($2, i.item_type, coalesce(i.content_id, i.playlist_id, i.course_id), $3);
