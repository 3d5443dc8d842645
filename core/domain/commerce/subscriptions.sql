-- name: subscription_lock one
-- A subscription of the viewer's, kept from others until the transaction ends.
SELECT id, plan_id, status::text, current_period_end, cancel_at_period_end FROM subscriptions WHERE id = $1 AND user_id = $2 FOR UPDATE;

-- name: subscription_mark none
-- Whether it ends with the period that is paid for.
UPDATE subscriptions SET cancel_at_period_end = $2, cancelled_at = CASE WHEN $2 THEN coalesce(cancelled_at, $3::timestamptz) END WHERE id = $1;

-- name: subscription_end none
-- Ends it at once.
UPDATE subscriptions SET status = 'cancelled', cancelled_at = $2 WHERE id = $1;

-- name: renewal_open_get value
-- The order for the next period that is not paid yet.
SELECT o.id FROM orders o JOIN order_items i ON i.order_id = o.id
WHERE o.user_id = $1 AND o.status = 'PENDING' AND i.plan_id = $2 AND (SELECT count(*) FROM order_items n WHERE n.order_id = o.id) = 1
AND coalesce(i.billing_period, 'month') = $3 ORDER BY o.created_at DESC LIMIT 1;
