-- name: account_owner value
-- Whom a provider's identity belongs to.
SELECT user_id FROM accounts WHERE provider_id = $1 AND account_id = $2;

-- name: person_by_address one
-- Who has this address, kept from changing until the transaction ends.
SELECT id, email_verified FROM users WHERE lower(email) = lower($1) FOR NO KEY UPDATE;

-- name: person_insert none
-- Somebody whom a provider vouches for, with a profile.
WITH person AS (
    INSERT INTO users (id, name, email, email_verified, status, created_at, updated_at)
    VALUES ($1, $2, $3, true, 'active', $4, $4)
    RETURNING id
)
INSERT INTO user_profiles (user_id, display_name, created_at, updated_at) SELECT id, $2, $4, $4 FROM person;

-- name: unproven_ways_drop none
-- The ways in of somebody who never proved the address.
DELETE FROM accounts WHERE user_id = $1;

-- name: address_proven none
-- The provider has proven the address.
UPDATE users SET email_verified = true, status = CASE status WHEN 'pending_verification' THEN 'active' ELSE status END WHERE id = $1;

-- name: account_insert none
-- A way in by a provider; it has no password. The first way in is the primary one.
INSERT INTO accounts (user_id, provider_id, account_id, auth_method, is_primary, scope, created_at, updated_at)
VALUES ($1, $2, $3, $4, NOT EXISTS (SELECT FROM accounts WHERE user_id = $1 AND is_primary), $5, $6, $6);
