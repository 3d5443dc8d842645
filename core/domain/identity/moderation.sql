-- name: role_get value
-- What somebody is in the installation.
SELECT role::text FROM users WHERE id = $1 AND deleted_at IS NULL;

-- name: subject_lock one
-- Whom it is about, kept from others until the transaction ends.
SELECT role::text, deleted_at FROM users WHERE id = $1 FOR NO KEY UPDATE;

-- name: ban_set one
-- Keeps somebody out.
UPDATE users SET banned = true, ban_reason = $2, ban_expires = $3 WHERE id = $1
RETURNING id AS user_id, role::text, status::text, banned, ban_reason, ban_expires, deleted_at;

-- name: ban_lift one
-- Lets somebody in again; why they were kept out stays readable in the audit.
UPDATE users SET banned = false, ban_reason = NULL, ban_expires = NULL, locked_until = NULL, login_attempts = 0 WHERE id = $1
RETURNING id AS user_id, role::text, status::text, banned, ban_reason, ban_expires, deleted_at;

-- name: role_set one
-- Another platform role.
UPDATE users SET role = $2::text::platform_role WHERE id = $1
RETURNING id AS user_id, role::text, status::text, banned, ban_reason, ban_expires, deleted_at;

-- name: person_erase one
-- The person is gone; triggers take what was about them.
UPDATE users SET deleted_at = $2 WHERE id = $1
RETURNING id AS user_id, role::text, status::text, banned, ban_reason, ban_expires, deleted_at;

-- name: visit_note none
-- Who acts in whose name, and why they said they would.
INSERT INTO security_events (event_type, severity, user_id, details, ip_address, user_agent)
VALUES ('impersonation_started', 'high', $1, jsonb_build_object('user_id', $2::uuid, 'session_id', $3::uuid, 'reason', $4::text), $5, $6);
