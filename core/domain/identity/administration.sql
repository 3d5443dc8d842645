-- name: people_page many
-- A page of the accounts, the newest first; the product's own ($1) and those of erased people are none.
SELECT id, name, email, email_verified, role::text, last_login, created_at, updated_at,
       CASE WHEN banned THEN coalesce(ban_expires, '9999-12-31Z') END AS banned_until FROM users
WHERE id <> $1 AND deleted_at IS NULL ORDER BY created_at DESC, id DESC LIMIT $2 OFFSET $3;

-- name: people_count value
-- How many accounts there are.
SELECT count(*) FROM users WHERE id <> $1 AND deleted_at IS NULL;

-- name: logins_of_many many
-- The ways these people can sign in, the primary one of each first.
SELECT user_id, id, provider_id, account_id, created_at, updated_at FROM accounts
WHERE user_id = ANY ($1::uuid[]) ORDER BY user_id, is_primary DESC, created_at, id;

-- name: person_there value
-- Whether there is such an account, kept as it is until the transaction ends.
SELECT true FROM users WHERE id = $1 AND deleted_at IS NULL FOR NO KEY UPDATE;

-- name: person_unseen none
-- Who made the account is not who will use it.
UPDATE users SET last_login = NULL WHERE id = $1;

-- name: person_change none
-- Name, address and whether it is proven; null leaves each as it is, but another address is unproven unless that is said.
UPDATE users SET
    name = coalesce($2, name),
    email = coalesce($3, email),
    email_verified = coalesce($4, CASE WHEN lower($3) <> lower(email) THEN false END, email_verified),
    status = CASE WHEN $4 AND status = 'pending_verification' THEN 'active' ELSE status END
WHERE id = $1;

-- name: password_set none
-- A password, whether there was one or not.
INSERT INTO accounts (user_id, provider_id, account_id, auth_method, password, created_at, updated_at)
VALUES ($1::uuid, 'credential', $1::uuid::text, 'email', $2, $3, $3)
ON CONFLICT (provider_id, account_id) DO UPDATE SET password = EXCLUDED.password, updated_at = EXCLUDED.updated_at;
