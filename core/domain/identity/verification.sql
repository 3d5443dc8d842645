-- name: mailed_person_by_email one
-- Whom a mail to this address reaches; nobody whose account has been erased.
SELECT id, name, email, email_verified FROM users WHERE lower(email) = lower($1) AND deleted_at IS NULL;

-- name: mailed_person_by_id one
-- Where mail to a person goes.
SELECT id, name, email, email_verified FROM users WHERE id = $1 AND deleted_at IS NULL;

-- name: address_taken value
-- Whether somebody signs in with this address already.
SELECT EXISTS (SELECT FROM users WHERE lower(email) = lower($1));

-- name: security_event_insert none
-- What was asked about an account, of whomever it is.
INSERT INTO security_events (event_type, user_id, ip_address, user_agent) VALUES ($1, $2, $3, $4);

-- name: verification_drop none
-- A newer secret of a kind makes the older one worthless, unless that was made a moment ago.
DELETE FROM verifications WHERE purpose = $1 AND lower(identifier) = lower($2) AND used_at IS NULL AND created_at <= $3;

-- name: verification_insert value
-- A secret, of which only the digest is kept; nothing while one that was made a moment ago is open.
INSERT INTO verifications (user_id, identifier, purpose, token_digest, new_value, expires_at, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
ON CONFLICT (purpose, lower(identifier)) WHERE used_at IS NULL DO NOTHING
RETURNING id;

-- name: verification_lock one
-- A secret that was presented, kept from whoever presents it at the same moment.
SELECT id, user_id, identifier, purpose::text, new_value, expires_at, used_at FROM verifications
WHERE token_digest = $1 AND purpose = ANY ($2::verification_purpose[]) AND user_id IS NOT NULL FOR UPDATE;

-- name: verification_use none
-- It was used, and is not taken again.
UPDATE verifications SET used_at = $2 WHERE id = $1;

-- name: address_confirm value
-- The address is proven, if it is still theirs; an account that waited for that begins.
UPDATE users SET email_verified = true, status = CASE status WHEN 'pending_verification' THEN 'active' ELSE status END
WHERE id = $1 AND lower(email) = lower($2) AND deleted_at IS NULL RETURNING id;

-- name: address_replace none
-- Another address, proven by the mail that went there.
UPDATE users SET email = $2, email_verified = true, status = CASE status WHEN 'pending_verification' THEN 'active' ELSE status END
WHERE id = $1 AND deleted_at IS NULL;

-- name: proof_asked value
-- Whether an address has to be proven first.
SELECT EXISTS (SELECT FROM tenant_settings WHERE tenant_id = app_tenant_id() AND settings -> 'require_verified_email' = 'true');
