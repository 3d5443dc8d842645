-- name: inviter_is_platform value
-- Whether somebody administers the whole installation.
SELECT EXISTS (SELECT FROM users WHERE id = $1 AND role IN ('admin', 'super_admin') AND deleted_at IS NULL);

-- name: invited_person one
-- Whom an invitation is for, if they have an account already.
SELECT id, email FROM users WHERE (id = $1 OR lower(email) = lower($2)) AND deleted_at IS NULL;

-- name: invitation_replace none
-- A newer invitation makes the open one worthless.
UPDATE invitations SET status = 'Revoked' WHERE lower(email) = lower($1) AND status = 'Pending';

-- name: invitation_insert one
-- An invitation into the present workspace; of its secret only the digest.
INSERT INTO invitations (email, user_id, role, token_digest, invited_by, expires_at, created_at)
VALUES ($1, $2, $3::text::tenant_role, $4, $5, $6, $7) RETURNING id, email, user_id, role::text, status::text, expires_at;

-- name: invitation_notify none
-- Whoever has an account is told there too.
INSERT INTO notifications (user_id, type, title, message) VALUES ($1, 'super_admin_invitation', 'You have been invited', $2);

-- name: workspace_name value
-- What the present workspace is called.
SELECT name FROM tenants WHERE id = app_tenant_id();

-- name: workspace_enter none
-- Goes on in another workspace.
SELECT set_tenant_context($1);

-- name: invitation_lock one
-- The invitation that a secret is of, kept from who answers it at the same moment.
SELECT id, email, user_id, role::text, status::text, expires_at FROM invitations WHERE token_digest = $1 FOR UPDATE;

-- name: address_get value
-- Somebody's address.
SELECT email FROM users WHERE id = $1 AND deleted_at IS NULL;

-- name: invitation_accept none
-- Yes; whose it was is known now.
UPDATE invitations SET status = 'Accepted', accepted_at = $3, user_id = $2 WHERE id = $1;

-- name: invited_join none
-- Belongs to the present workspace, as it was offered.
INSERT INTO memberships (user_id, role) VALUES ($1, $2::text::tenant_role);

-- name: invitation_end one
-- No, or taken back; one that is not open stays as it is.
UPDATE invitations SET status = 'Revoked' WHERE id = $1 AND status = 'Pending' RETURNING id, email, user_id, role::text, status::text, expires_at;

-- name: invitation_exists value
-- Whether there is such an invitation, open or not.
SELECT EXISTS (SELECT FROM invitations WHERE id = $1);
