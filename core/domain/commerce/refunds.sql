-- name: refunded_get one
-- What was given back of a payment, and what is on its way.
SELECT coalesce(sum(amount) FILTER (WHERE status <> 'FAILED'), 0) AS promised, coalesce(sum(amount) FILTER (WHERE status = 'SUCCESS'), 0) AS done
FROM refunds WHERE payment_id = $1;

-- name: refund_insert value
-- A refund that is on its way.
INSERT INTO refunds (payment_id, amount, reason, created_by, created_at) VALUES ($1, $2, $3, $4, $5) RETURNING id;

-- name: refund_open_get value
-- A refund of a payment that is still on its way, of this amount or of any.
SELECT id FROM refunds WHERE payment_id = $1 AND status = 'PENDING' AND ($2::numeric IS NULL OR amount = $2) ORDER BY created_at LIMIT 1;

-- name: refund_get one
-- A refund with its payment.
SELECT r.id, r.payment_id, r.amount, r.status, r.provider_refund_id, p.order_id, p.currency, p.provider, p.provider_transaction_id
FROM refunds r JOIN payments p ON p.id = r.payment_id WHERE r.id = $1;

-- name: refund_succeed none
-- The money is back with the buyer.
UPDATE refunds SET status = 'SUCCESS', provider_refund_id = $2, refunded_at = $3 WHERE id = $1;

-- name: refund_fail none
-- It did not get there; the payment can be given back again.
UPDATE refunds SET status = 'FAILED', provider_refund_id = $2 WHERE id = $1;

-- name: payment_refund none
-- All of a payment is back.
UPDATE payments SET status = 'REFUNDED' WHERE id = $1;

-- name: order_still_paid value
-- Whether another payment still pays for an order.
SELECT EXISTS (SELECT FROM payments WHERE order_id = $1 AND status = 'SUCCESS');
