-- name: person_insert none
-- A person, their credential account and their profile, or nothing at all.
WITH person AS (
    INSERT INTO users (id, name, email, status, last_login, created_at, updated_at)
    VALUES ($1, $2, $3, 'pending_verification', $5, $5, $5)
    RETURNING id
), credential AS (
    INSERT INTO accounts (user_id, provider_id, account_id, auth_method, is_primary, password, created_at, updated_at)
    SELECT id, 'credential', id::text, 'email', true, $4, $5, $5 FROM person
)
INSERT INTO user_profiles (user_id, display_name, created_at, updated_at) SELECT id, $2, $5, $5 FROM person;

-- name: person_get one
-- A person as their own client sees them.
SELECT id, name, email, email_verified, role::text, last_login, created_at, updated_at,
       CASE WHEN banned THEN coalesce(ban_expires, '9999-12-31Z') END AS banned_until FROM users WHERE id = $1;

-- name: logins_list many
-- The ways a person can sign in, the primary one first.
SELECT id, provider_id, account_id, created_at, updated_at FROM accounts
WHERE user_id = $1 ORDER BY is_primary DESC, created_at, id;

-- name: candidate_by_email one
-- Whoever signs in with this address, and what decides whether they may.
SELECT u.id AS user_id, u.status::text, u.banned, u.ban_expires, u.ban_reason, must_verify(u) AS must_verify, u.locked_until,
       a.id AS account_id, a.password
FROM users u LEFT JOIN accounts a ON a.user_id = u.id AND a.provider_id = 'credential'
WHERE lower(u.email) = lower($1);

-- name: candidate_by_id one
-- The same for a person already known.
SELECT u.id AS user_id, u.status::text, u.banned, u.ban_expires, u.ban_reason, must_verify(u) AS must_verify, u.locked_until,
       a.id AS account_id, a.password
FROM users u LEFT JOIN accounts a ON a.user_id = u.id AND a.provider_id = 'credential'
WHERE u.id = $1;

-- name: person_lock value
-- Puts sign-ins, failures and password changes of one person in a row.
SELECT id FROM users WHERE id = $1 FOR NO KEY UPDATE;

-- name: failure_record value
-- One more wrong password; the one that fills the measure locks. A lock that has passed starts the count again.
UPDATE users SET
    login_attempts = CASE WHEN locked_until <= $2 THEN 1 ELSE login_attempts + 1 END,
    locked_until = CASE
        WHEN (CASE WHEN locked_until <= $2 THEN 1 ELSE login_attempts + 1 END) >= $3 THEN $4::timestamptz
        WHEN locked_until > $2 THEN locked_until
    END
WHERE id = $1
RETURNING locked_until;

-- name: login_record none
-- A sign-in that succeeded.
UPDATE users SET last_login = $2, login_attempts = 0, locked_until = NULL WHERE id = $1;

-- name: login_remember none
-- A try to come in; without a reason it succeeded, and is a visit to each course that the person takes here, too.
INSERT INTO login_history (user_id, enrollment_id, ip_address, user_agent, success, failure_reason, created_at)
SELECT $1::uuid, came.enrollment_id, $2::inet, $3::text, $4::text IS NULL, $4, $5::timestamptz
FROM (SELECT NULL::uuid AS enrollment_id
      UNION ALL SELECT id FROM enrollments WHERE user_id = $1::uuid AND status = 'active' AND $4::text IS NULL) AS came;

-- name: presence_note_many none
-- Says that these sessions are in use, each at most once a minute; somebody who acts in a person's name is not that person. $1 sessions.
INSERT INTO online_sessions AS o (user_id, session_id, ip_address, user_agent, last_activity_at)
SELECT s.user_id, s.id::text, s.ip_address, s.user_agent, now()
FROM sessions AS s WHERE s.id = ANY ($1::uuid[]) AND s.impersonated_by IS NULL AND s.expires_at > now()
ORDER BY s.id
ON CONFLICT (session_id) DO UPDATE SET last_activity_at = EXCLUDED.last_activity_at
WHERE o.last_activity_at <= EXCLUDED.last_activity_at - interval '1 minute';

-- name: password_add none
-- A password for somebody who came in without one so far.
INSERT INTO accounts (user_id, provider_id, account_id, auth_method, password, created_at, updated_at)
VALUES ($1::uuid, 'credential', $1::uuid::text, 'email', $2, $3, $3)
ON CONFLICT (provider_id, account_id) DO NOTHING;

-- name: password_replace none
-- Another hash in place of the very one that was verified.
UPDATE accounts SET password = $3 WHERE user_id = $1 AND provider_id = 'credential' AND password = $2;

-- name: name_replace none
-- Another name.
UPDATE users SET name = $2 WHERE id = $1;

-- name: session_insert none
-- A session; of its secret only the digest.
INSERT INTO sessions (id, user_id, token_digest, expires_at, ip_address, user_agent, impersonated_by, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8);

-- name: session_visitor value
-- The admin who acts by this session, if one does.
SELECT impersonated_by FROM sessions WHERE id = $1;

-- name: refresh_token_insert none
-- A refresh token; of itself only the digest.
INSERT INTO refresh_tokens (session_id, user_id, token_digest, parent_id, expires_at, created_at)
VALUES ($1, $2, $3, $4, $5, $6);

-- name: session_lock_by_refresh_token value
-- Puts everything that happens to one session in a row. The person first: deleting one takes the same order.
SELECT s.id FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id JOIN users u ON u.id = s.user_id
WHERE t.token_digest = $1
FOR KEY SHARE OF u FOR NO KEY UPDATE OF s;

-- name: refresh_token_get one
-- A refresh token with its session and person, read under the session's lock; `is_superseded` once a child of it was used.
SELECT t.id, t.session_id, t.user_id, t.used_at, t.revoked_at, t.expires_at,
       s.revoked_at AS session_revoked_at, s.expires_at AS session_expires_at, s.impersonated_by,
       u.status::text, u.banned, u.ban_expires, u.ban_reason, must_verify(u) AS must_verify,
       EXISTS (SELECT FROM refresh_tokens c WHERE c.parent_id = t.id AND c.used_at IS NOT NULL) AS is_superseded
FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id JOIN users u ON u.id = t.user_id
WHERE t.token_digest = $1;

-- name: refresh_token_use none
-- Spends a refresh token; its first use is the one that counts.
UPDATE refresh_tokens SET used_at = $2 WHERE id = $1 AND used_at IS NULL;

-- name: session_extend none
-- A session in use lives on.
UPDATE sessions SET expires_at = $2 WHERE id = $1 AND expires_at < $2;

-- name: sessions_end many
-- Ends one session ($2 and not $3), all others ($3) or all ($2 null) of a person.
UPDATE sessions SET revoked_at = $4
WHERE user_id = $1 AND revoked_at IS NULL AND ($2::uuid IS NULL OR (id = $2) <> $3::boolean)
RETURNING id;

-- name: refresh_tokens_revoke none
-- No token of these sessions is taken again.
UPDATE refresh_tokens SET revoked_at = $2 WHERE session_id = ANY ($1::uuid[]) AND revoked_at IS NULL;

-- name: standing_get one
-- Whether a session and its person are still welcome, and what the person is in the present tenant.
SELECT s.revoked_at, s.expires_at, u.role::text, u.status::text, u.banned, u.ban_expires, u.ban_reason, must_verify(u) AS must_verify,
       (SELECT m.role::text FROM memberships m WHERE m.user_id = u.id) AS tenant_role,
       s.impersonated_by IS NOT NULL AND NOT EXISTS (
           SELECT FROM users a WHERE a.id = s.impersonated_by AND a.role IN ('admin', 'super_admin') AND NOT is_banned(a, now())) AS is_orphan
FROM sessions s JOIN users u ON u.id = s.user_id
WHERE s.id = $1 AND s.user_id = $2;
