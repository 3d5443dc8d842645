-- What was sold besides courses: titles, a series, subscriptions; and what partners get of it.

CREATE TEMP TABLE bought ON COMMIT DROP AS
SELECT p.n, p.id AS user_id, pg_temp.sid('order:' || p.n) AS order_id, k, t.id AS content_id, t.title, t.price, greatest(p.joined_at, pg_temp.ago(120 - p.n % 110)) AS at,
       CASE WHEN p.n <= 3 THEN 'PAID' WHEN p.n % 29 = 0 THEN 'REFUNDED' WHEN p.n % 17 = 0 THEN 'FAILED' WHEN p.n % 23 = 0 THEN 'PENDING' ELSE 'PAID' END AS status
FROM people p, generate_series(0, 1) AS k, LATERAL (SELECT (pg_temp.pick('buys:' || p.n, 13) + k * 5) % 13 AS wanted) AS w
JOIN (SELECT *, row_number() OVER (ORDER BY n) - 1 AS rank FROM titles WHERE price > 0) AS t ON t.rank = w.wanted
WHERE p.n <> 2 AND k <= p.n % 2;
INSERT INTO orders (id, user_id, total_amount, currency, status, created_at) SELECT order_id, user_id, sum(price), 'USD', status::order_status, at FROM bought GROUP BY order_id, user_id, status, at;
INSERT INTO order_items (id, order_id, item_type, content_id, title, price) SELECT pg_temp.sid(format('item:%s:%s', n, k)), order_id, 'CONTENT', content_id, title, price FROM bought;
INSERT INTO payments (id, order_id, user_id, provider, provider_transaction_id, method, amount, currency, status, paid_at, failure_reason, created_at)
SELECT pg_temp.sid('payment:' || order_id), order_id, user_id, 'stripe', CASE WHEN status IN ('PAID', 'REFUNDED') THEN 'seed_' || order_id END, 'stripe', sum(price), 'USD',
       CASE status WHEN 'PAID' THEN 'SUCCESS' WHEN 'PENDING' THEN 'INITIATED' ELSE status END::payment_status, CASE WHEN status IN ('PAID', 'REFUNDED') THEN at END, CASE status WHEN 'FAILED' THEN 'card declined' END, at
FROM bought GROUP BY order_id, user_id, status, at;
INSERT INTO refunds (id, payment_id, amount, reason, status, provider_refund_id, refunded_at, created_at)
SELECT pg_temp.sid('refund:' || order_id), pg_temp.sid('payment:' || order_id), sum(price), 'Bought by mistake', 'SUCCESS', 'seed_refund_' || order_id, at + interval '1 day', at + interval '1 day' FROM bought WHERE status = 'REFUNDED' GROUP BY order_id, at;
INSERT INTO user_library (id, user_id, content_id, order_id, acquired_at) SELECT pg_temp.sid(format('owned:%s:%s', n, k)), user_id, content_id, order_id, at FROM bought WHERE status = 'PAID';
INSERT INTO direct_purchases (id, user_id, content_id, price, currency, status, reference, recorded_by, purchased_at, refunded_at)
SELECT pg_temp.sid('direct:' || p.n), p.id, t.id, t.price, 'USD', CASE WHEN p.n % 5 = 2 THEN 'PAID' ELSE 'REFUNDED' END, 'seed-receipt-' || p.n, (SELECT id FROM people WHERE n = 1), greatest(p.joined_at, pg_temp.ago(90 - p.n % 80)),
       CASE WHEN p.n % 5 <> 2 THEN greatest(p.joined_at, pg_temp.ago(90 - p.n % 80)) + interval '2 days' END
FROM people p JOIN (SELECT *, row_number() OVER (ORDER BY n) - 1 AS rank FROM titles WHERE price > 0) AS t ON t.rank = (pg_temp.pick('buys:' || p.n, 13) + 3) % 13 WHERE p.n % 31 = 7;
INSERT INTO carts (id, user_id, created_at) SELECT pg_temp.sid('cart:' || n), id, pg_temp.ago(2) FROM people WHERE n = 3 OR n % 13 = 0;
INSERT INTO cart_items (id, cart_id, item_type, content_id, price, currency, added_at)
SELECT pg_temp.sid('in_cart:' || p.n), pg_temp.sid('cart:' || p.n), 'CONTENT', t.id, t.price, 'USD', pg_temp.ago(2) FROM people p, titles t WHERE (p.n = 3 OR p.n % 13 = 0) AND t.n = 9;

INSERT INTO plans (id, name, description, price_monthly, price_yearly, currency, features, max_streams, max_height, created_at)
SELECT pg_temp.sid('plan:' || name), name, what, monthly, yearly, 'USD', jsonb_build_object('downloads', height > 720), streams, height, pg_temp.ago(390)
FROM (VALUES ('Basic', 'One screen, HD ready', 6.99, 69.90, 1, 720), ('Standard', 'Two screens, full HD', 11.99, 119.90, 2, 1080), ('Family', 'Four screens, 4K', 17.99, 179.90, 4, 2160)) AS p (name, what, monthly, yearly, streams, height);
CREATE TEMP TABLE subscribed ON COMMIT DROP AS
SELECT p.n, p.id AS user_id, pg_temp.sid('subscription:' || p.n) AS id, l.id AS plan_id, l.price_monthly AS price, CASE WHEN p.n % 35 = 0 THEN 'past_due' WHEN p.n % 45 = 0 THEN 'cancelled' WHEN p.n % 20 = 0 THEN 'trialing' ELSE 'active' END AS status, p.n % 25 AS days
FROM people p JOIN plans l ON l.id = pg_temp.sid('plan:' || (ARRAY['Basic', 'Standard', 'Family'])[1 + p.n % 3]) WHERE p.n IN (1, 3) OR p.n % 5 = 0;
INSERT INTO subscriptions (id, user_id, plan_id, status, current_period_start, current_period_end, cancelled_at, provider, provider_subscription_id, created_at)
SELECT id, user_id, plan_id, status::subscription_status, pg_temp.ago(days), pg_temp.ago(days - 30), CASE status WHEN 'cancelled' THEN pg_temp.ago(1) END, 'stripe', 'seed_' || id, pg_temp.ago(days) FROM subscribed;
INSERT INTO billing_transactions (id, user_id, plan_id, subscription_id, amount, currency, status, stripe_transaction_id, occurred_at)
SELECT pg_temp.sid('billing:' || n), user_id, plan_id, id, price, 'USD', CASE status WHEN 'past_due' THEN 'failed' ELSE 'succeeded' END, 'seed_bill_' || id, pg_temp.ago(days) FROM subscribed WHERE status <> 'trialing';
INSERT INTO billing_addresses (id, user_id, first_name, last_name, email, address_line1, city, state, postal_code, country, created_at)
SELECT pg_temp.sid('address:' || n), id, first_name, last_name, handle || '@example.com', (1 + n % 90) || ' Example Street', 'Springfield', 'Oregon', to_char(97000 + n % 900, 'FM00000'), 'US', joined_at FROM people WHERE n <= 3 OR n % 4 = 0;
INSERT INTO payouts (id, user_id, amount, currency, status, method, reference, paid_at, created_at)
SELECT pg_temp.sid('payout:' || n), id, 120 + n % 80, 'USD', CASE n WHEN 2 THEN 'paid' ELSE 'pending' END, 'bank_transfer', 'seed-' || n, CASE n WHEN 2 THEN pg_temp.ago(5) END, pg_temp.ago(9) FROM people WHERE role = 'teacher';
INSERT INTO affiliates (id, name, contact_email, commission_rate, created_at) VALUES (pg_temp.sid('affiliate:1'), 'Film Notes', 'hello@filmnotes.example', 0.08, pg_temp.ago(200)), (pg_temp.sid('affiliate:2'), 'The Evening Course', 'post@evening.example', 0.1, pg_temp.ago(100));
INSERT INTO agencies (id, name, contact_email, commission_rate, created_at) VALUES (pg_temp.sid('agency:1'), 'Quiet Media', 'desk@quietmedia.example', 0.15, pg_temp.ago(200));
INSERT INTO ai_token_balances (user_id, balance) SELECT id, 50000 FROM people WHERE n <= 3;
INSERT INTO ai_token_usage (id, user_id, token_count, usage_type, created_at) SELECT pg_temp.sid('tokens:' || n), id, 1200 * n, 'transcript', pg_temp.ago(n) FROM people WHERE n <= 3;
