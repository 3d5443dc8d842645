-- name: profile_seen value
-- Whether there is such a person to be followed.
SELECT EXISTS (SELECT FROM user_profiles WHERE user_id = $1);

-- name: follow_insert none
-- One follows another, once.
INSERT INTO follows (follower_id, following_id, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING;

-- name: follow_delete none
-- One follows another no more.
DELETE FROM follows WHERE follower_id = $1 AND following_id = $2;

-- name: followers_count value
-- How many follow a person.
SELECT count(*) FROM follows WHERE following_id = $1;

-- name: session_end value
-- Ends a session of the person's own, with the tokens that would renew it.
SELECT end_session($1, $2, $3);

-- name: gdpr_request_open one
-- The request of this kind that waits already.
SELECT id, request_type, status FROM gdpr_requests
WHERE user_id = $1 AND request_type = $2 AND status IN ('pending', 'in_progress') ORDER BY requested_at LIMIT 1;

-- name: gdpr_request_insert one
-- A request that the administrators have to answer.
INSERT INTO gdpr_requests (user_id, request_type, notes) VALUES ($1, $2, $3) RETURNING id, request_type, status;

-- name: mail_turn_off none
-- Notes that a person wants no more mail of a kind. $1 user, $2 marketing, product or security.
INSERT INTO email_preferences AS p (user_id, marketing_emails, product_updates, security_alerts)
SELECT id, false, $2::text <> 'product', $2::text <> 'security' FROM users WHERE id = $1::uuid
ON CONFLICT (user_id) DO UPDATE SET
    marketing_emails = p.marketing_emails AND $2::text <> 'marketing',
    product_updates = p.product_updates AND $2::text <> 'product',
    security_alerts = p.security_alerts AND $2::text <> 'security',
    updated_at = now();
