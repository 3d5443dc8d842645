-- name: payment_open_get one
-- The try to pay an order in this way that is still open.
SELECT id, amount, currency, provider_session_id FROM payments WHERE order_id = $1 AND provider = $2 AND status = 'INITIATED' ORDER BY created_at LIMIT 1;

-- name: payment_insert value
-- A new try. One for a course alone names it.
INSERT INTO payments (order_id, user_id, provider, method, amount, currency, course_id, created_at)
SELECT o.id, o.user_id, $2, $3::payment_method, o.total_amount, o.currency,
       (SELECT min(i.course_id::text)::uuid FROM order_items i WHERE i.order_id = o.id HAVING count(*) = 1), $4
FROM orders o WHERE o.id = $1 RETURNING id;

-- name: payment_get one
-- A payment as it is now, with its order.
SELECT id, order_id, user_id, provider, provider_transaction_id, provider_session_id, amount, currency, status::text FROM payments WHERE id = $1;

-- name: payment_lock one
-- The same, kept from others; its order is locked before it.
SELECT id, order_id, user_id, provider, provider_transaction_id, provider_session_id, amount, currency, status::text FROM payments WHERE id = $1 FOR UPDATE;

-- name: payment_by_transaction one
-- What a transaction of a provider has paid.
SELECT id, order_id, status::text FROM payments WHERE provider = $1 AND provider_transaction_id = $2;

-- name: payment_session_keep none
-- Remembers what the provider calls the page on which this payment is made.
UPDATE payments SET provider_session_id = $2 WHERE id = $1 AND status = 'INITIATED';

-- name: payment_succeed none
-- The money is in.
UPDATE payments SET status = 'SUCCESS', paid_at = $2, provider_transaction_id = $3 WHERE id = $1;

-- name: payment_end none
-- No money came of it.
UPDATE payments SET status = $2, failure_reason = $3 WHERE id = $1;

-- name: payment_of_reference value
-- The payment of an order that a reference belongs to: the one that it settled, else the open one.
SELECT id FROM payments WHERE order_id = $1 AND provider = 'manual' AND (status = 'INITIATED' OR provider_transaction_id = $2)
ORDER BY provider_transaction_id IS NOT NULL DESC, created_at LIMIT 1;
