-- name: family_insert value
-- A family, made by whoever acts.
INSERT INTO families (name) VALUES ($1) RETURNING id;

-- name: membership_insert none
-- Somebody is in a family; once.
INSERT INTO family_memberships (family_id, user_id, role) VALUES ($1, $2, $3::text::family_role) ON CONFLICT (user_id, family_id) DO NOTHING;

-- name: family_managed one
-- A family that whoever acts is in charge of.
SELECT name FROM families WHERE id = $1 AND id = ANY (families_i_manage());

-- name: family_lock one
-- Puts those who leave a family in a row.
SELECT name FROM families WHERE id = $1 FOR UPDATE;

-- name: place_get one
-- What somebody is in a family, and how many others are what.
SELECT m.role::text, a.members::int, a.admins::int FROM family_memberships m CROSS JOIN LATERAL (
    SELECT count(*) AS members, count(*) FILTER (WHERE o.role = 'admin') AS admins FROM family_memberships o WHERE o.family_id = m.family_id) AS a
WHERE m.family_id = $1 AND m.user_id = $2;

-- name: membership_delete none
-- Somebody is in a family no more.
DELETE FROM family_memberships WHERE family_id = $1 AND user_id = $2;

-- name: family_delete none
-- A family that nobody is in.
DELETE FROM families WHERE id = $1;

-- name: address_is_member value
-- Whether the address is that of somebody who is in the family already.
SELECT EXISTS (SELECT FROM family_memberships m JOIN users u ON u.id = m.user_id WHERE m.family_id = $1 AND lower(u.email) = lower($2));

-- name: address_get value
-- The address that somebody has proven to be theirs, or signed up with.
SELECT email FROM users WHERE id = $1 AND deleted_at IS NULL;

-- name: invitation_drop none
-- A newer invitation makes the older one worthless.
DELETE FROM family_invitations WHERE family_id = $1 AND lower(email) = lower($2);

-- name: invitation_insert value
-- An invitation; of its secret only the digest.
INSERT INTO family_invitations (family_id, email, token_digest, expires_at, created_at) VALUES ($1, $2, $3, $4, $5) RETURNING id;

-- name: invitation_lock one
-- The invitation that a secret is of, kept from who answers it at the same moment.
SELECT id, family_id, email, status::text, expires_at FROM family_invitations WHERE token_digest = $1 FOR UPDATE;

-- name: invitation_accept none
-- Yes.
UPDATE family_invitations SET status = 'accepted', accepted_at = $2 WHERE id = $1;

-- name: invitation_decline none
-- No.
UPDATE family_invitations SET status = 'declined' WHERE id = $1;
