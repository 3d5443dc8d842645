-- name: api_key_insert one
-- A key of a person's, unless they have $7 that are neither revoked nor over.
INSERT INTO api_keys (id, user_id, key_hash, prefix, name, scopes, expires_at, created_at)
SELECT $1, $2, $3, $4, $5, $6, $8, $9
WHERE (SELECT count(*) FROM api_keys WHERE user_id = $2 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $9)) < $7
RETURNING id;

-- name: api_key_revoke one
-- Ends a key; one that has been ended stays as it was.
UPDATE api_keys SET revoked_at = coalesce(revoked_at, $2) WHERE id = $1 RETURNING id, revoked_at;

-- name: api_key_get one
-- A key of the present tenant by its digest, with what decides whether its owner is welcome and what they are there.
SELECT k.id, k.tenant_id, k.user_id, k.scopes, k.expires_at, k.revoked_at,
       u.role::text, u.status::text, u.banned, u.ban_expires, u.ban_reason, must_verify(u) AS must_verify,
       (SELECT m.role::text FROM memberships m WHERE m.user_id = k.user_id) AS tenant_role
FROM api_keys k JOIN users u ON u.id = k.user_id
WHERE k.key_hash = $1;

-- name: api_usage_insert none
-- What was asked with keys; a key that is gone meanwhile is left out of its row.
INSERT INTO api_usage (api_key_id, endpoint, method, status_code, response_time_ms, occurred_at)
SELECT k.id, u.endpoint, u.method, u.status_code, u.response_time_ms, u.occurred_at
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::integer[], $5::integer[], $6::timestamptz[])
     AS u (api_key_id, endpoint, method, status_code, response_time_ms, occurred_at)
LEFT JOIN api_keys k ON k.id = u.api_key_id;

-- name: api_keys_touch none
-- The latest success of each.
UPDATE api_keys k SET last_used_at = greatest(k.last_used_at, u.used_at)
FROM unnest($1::uuid[], $2::timestamptz[]) AS u (id, used_at) WHERE k.id = u.id;
