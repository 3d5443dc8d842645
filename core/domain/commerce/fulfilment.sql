-- name: library_fill none
-- Puts what a buyer's paid orders hold into their library: of one order, or of all where it is null; of some contents, or of all.
-- What they own for good stays as it is; a rental becomes their own. What they have by a direct purchase the schema leaves out
-- (user_library_leaves_direct), once nobody else is giving them anything.
INSERT INTO user_library (user_id, content_id, playlist_id, order_id, acquired_at)
SELECT DISTINCT ON (b.content_id) $1::uuid, b.content_id, b.playlist_id, b.order_id, $4::timestamptz
FROM (SELECT i.content_id, NULL::uuid AS playlist_id, o.id AS order_id FROM orders o JOIN order_items i ON i.order_id = o.id
      WHERE o.user_id = $1 AND o.status = 'PAID' AND i.item_type = 'CONTENT' AND ($2::uuid IS NULL OR o.id = $2)
      UNION ALL
      SELECT e.content_id, i.playlist_id, o.id FROM orders o JOIN order_items i ON i.order_id = o.id JOIN playlist_episodes e ON e.playlist_id = i.playlist_id
      WHERE o.user_id = $1 AND o.status = 'PAID' AND i.item_type = 'PLAYLIST' AND ($2::uuid IS NULL OR o.id = $2)) AS b
WHERE b.content_id IS NOT NULL AND ($3::uuid[] IS NULL OR b.content_id = ANY ($3))
ORDER BY b.content_id, b.order_id, b.playlist_id NULLS FIRST
ON CONFLICT (user_id, content_id) DO UPDATE SET playlist_id = EXCLUDED.playlist_id, order_id = EXCLUDED.order_id, acquired_at = EXCLUDED.acquired_at, expires_at = NULL
    WHERE user_library.expires_at IS NOT NULL;

-- name: library_take_back many
-- Takes out of a library what an order put in.
DELETE FROM user_library WHERE order_id = $1 RETURNING content_id;

-- name: courses_begin many
-- Begins the courses of an order, always in the same order, so that two orders cannot wait for each other.
SELECT enroll($2, c.course_id, $1) AS enrollment_id
FROM (SELECT DISTINCT course_id FROM order_items WHERE order_id = $1 AND course_id IS NOT NULL ORDER BY course_id) AS c;

-- name: courses_end none
-- Ends the enrolments that an order paid for.
SELECT withdraw_enrollment(e.user_id, e.course_id) FROM enrollments e WHERE e.order_id = $1 ORDER BY e.course_id;

-- name: payment_name_enrollment none
-- A payment for one course alone names the enrolment that it began.
UPDATE payments SET enrollment_id = $2 WHERE order_id = $1 AND course_id IS NOT NULL AND status = 'SUCCESS' AND enrollment_id IS NULL;

-- name: plan_lines_many many
-- The plans of an order.
SELECT i.plan_id, i.price, o.currency, coalesce(i.billing_period, 'month') AS billing_period
FROM order_items i JOIN orders o ON o.id = i.order_id WHERE i.order_id = $1 AND i.plan_id IS NOT NULL ORDER BY i.plan_id;

-- name: subscription_extend one
-- The running subscription of a person to a plan lasts a period longer; nothing when none runs.
UPDATE subscriptions SET status = 'active', cancel_at_period_end = false, cancelled_at = NULL,
       current_period_end = greatest(current_period_end, $3) + CASE $4 WHEN 'year' THEN interval '1 year' ELSE interval '1 month' END
WHERE user_id = $1 AND plan_id = $2 AND status IN ('trialing', 'active', 'past_due') AND current_period_end > $3
RETURNING id, current_period_end - CASE $4 WHEN 'year' THEN interval '1 year' ELSE interval '1 month' END AS period_start, current_period_end AS period_end;

-- name: subscription_close_past none
-- One that is over, and that nobody has ended yet, makes room for a new one.
UPDATE subscriptions SET status = 'expired'
WHERE user_id = $1 AND plan_id = $2 AND status IN ('trialing', 'active', 'past_due') AND current_period_end <= $3;

-- name: subscription_start one
-- A subscription from now on, for a period.
INSERT INTO subscriptions (user_id, plan_id, status, current_period_start, current_period_end, provider)
VALUES ($1, $2, 'active', $3::timestamptz, $3::timestamptz + CASE $4 WHEN 'year' THEN interval '1 year' ELSE interval '1 month' END,
        (SELECT provider FROM payments WHERE order_id = $5 AND status = 'SUCCESS' LIMIT 1))
RETURNING id, current_period_start AS period_start, current_period_end AS period_end;

-- name: billing_insert none
-- What was billed for a period.
INSERT INTO billing_transactions (user_id, plan_id, subscription_id, order_id, amount, currency, status, period_start, period_end, occurred_at, stripe_transaction_id)
VALUES ($1, $2, $3, $4, $5, $6, 'succeeded', $7, $8, $9,
        (SELECT provider_transaction_id FROM payments p WHERE p.order_id = $4 AND p.status = 'SUCCESS' AND p.provider = 'stripe'
         AND NOT EXISTS (SELECT FROM billing_transactions b WHERE b.stripe_transaction_id = p.provider_transaction_id) LIMIT 1));

-- name: periods_take_back many
-- Takes off the subscriptions of an order the time that it paid for; one that is over with it is cancelled.
WITH taken AS (
    UPDATE billing_transactions SET status = 'refunded' WHERE order_id = $1 AND status = 'succeeded' AND subscription_id IS NOT NULL
    RETURNING subscription_id, period_end - period_start AS length
)
UPDATE subscriptions s SET
    status = CASE WHEN s.current_period_end - t.length <= $2 THEN 'cancelled' ELSE s.status END,
    cancelled_at = CASE WHEN s.current_period_end - t.length <= $2 THEN $2 ELSE s.cancelled_at END,
    current_period_end = CASE WHEN s.current_period_end - t.length <= $2 THEN s.current_period_end ELSE s.current_period_end - t.length END
FROM taken t WHERE s.id = t.subscription_id AND s.status IN ('trialing', 'active', 'past_due')
RETURNING s.id;

-- name: referral_convert many
-- Whoever was brought by somebody has paid for something.
UPDATE referrals SET status = 'converted' WHERE referred_user_id = $1 AND status = 'signed_up'
AND EXISTS (SELECT FROM orders WHERE id = $2 AND total_amount > 0) RETURNING id, referrer_id;
