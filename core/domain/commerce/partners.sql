-- name: referral_insert value
-- The viewer names somebody whom they bring. Null when somebody has named that address before.
INSERT INTO referrals (referrer_id, referred_email, created_at) VALUES ($1, $2, $3)
ON CONFLICT (tenant_id, lower(referred_email)) DO NOTHING RETURNING id;

-- name: referral_find one
-- A referral by its address.
SELECT id, referrer_id, status FROM referrals WHERE lower(referred_email) = lower($1);

-- name: referral_lock one
-- A referral, kept from others until the transaction ends.
SELECT id, status FROM referrals WHERE id = $1 FOR UPDATE;

-- name: commission_insert value
-- What somebody is owed for whom they brought.
INSERT INTO referral_commissions (referral_id, amount, currency) VALUES ($1, $2, $3) RETURNING id;

-- name: commission_lock one
-- A commission, kept from others until the transaction ends.
SELECT id, referral_id, amount, currency, status, paid_at FROM referral_commissions WHERE id = $1 FOR UPDATE;

-- name: commission_pay none
-- It has been paid.
UPDATE referral_commissions SET status = 'paid', paid_at = $2 WHERE id = $1;

-- name: earnings_many many
-- What a teacher's courses have brought in by currency, less what was given back of it, and what was paid out or is about to be.
SELECT currency, sum(earned) AS earned, sum(paid_out) AS paid_out FROM (
    SELECT o.currency, i.price * (1 - coalesce((SELECT sum(r.amount) FROM refunds r JOIN payments p ON p.id = r.payment_id
                                                WHERE p.order_id = o.id AND r.status = 'SUCCESS'), 0) / nullif(o.total_amount, 0)) AS earned, 0 AS paid_out
    FROM courses c JOIN order_items i ON i.course_id = c.id JOIN orders o ON o.id = i.order_id
    WHERE c.teacher_id = $1 AND o.status = 'PAID' AND i.price > 0
    UNION ALL
    SELECT currency, 0, amount FROM payouts WHERE user_id = $1 AND status NOT IN ('failed', 'cancelled')
) AS money GROUP BY currency ORDER BY currency;

-- name: payee_lock value
-- Two payouts to one person are decided one after the other.
SELECT pg_advisory_xact_lock(hashtextextended('payout:' || $1::uuid, 0)) IS NOT NULL;

-- name: payout_insert value
-- Money that is to go out.
INSERT INTO payouts (user_id, amount, currency, method, created_at) VALUES ($1, $2, $3, $4::payment_method, $5) RETURNING id;

-- name: payout_lock one
-- A payout, kept from others until the transaction ends.
SELECT id, user_id, amount, currency, status, reference, paid_at FROM payouts WHERE id = $1 FOR UPDATE;

-- name: payout_move none
-- Another state; the schema knows which moves there are.
UPDATE payouts SET status = $2, reference = coalesce($3, reference), paid_at = CASE WHEN $2 = 'paid' THEN $4::timestamptz END WHERE id = $1;
