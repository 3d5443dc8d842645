-- name: tenant_insert one
-- A workspace; what is not said is as in a single-tenant installation.
INSERT INTO tenants (name, slug, description) VALUES (coalesce($1, 'Default Workspace'), coalesce($2, 'default'), $3)
RETURNING id, name, slug, description;

-- name: tenant_update one
-- Another name.
UPDATE tenants SET name = $2, description = $3 WHERE id = $1 RETURNING id, name, slug, description;

-- name: tenant_enter none
-- Goes on in another workspace.
SELECT set_tenant_context($1);

-- name: tenant_find value
-- The workspace of that slug or id.
SELECT id FROM tenants WHERE slug = $1 OR id::text = $1;

-- name: member_insert none
-- Somebody belongs to the present workspace.
INSERT INTO memberships (user_id, role) VALUES ($1, $2::text::tenant_role);

-- name: member_update none
-- Somebody is something else here.
UPDATE memberships SET role = $2::text::tenant_role WHERE user_id = $1;

-- name: member_delete none
-- Somebody belongs here no more.
DELETE FROM memberships WHERE user_id = $1;

-- name: members_lock none
-- Puts changes of who is in charge of the present workspace in a row: two at once would each count the other.
SELECT pg_advisory_xact_lock(hashtextextended('members:' || app_tenant_id(), 0));

-- name: place_get one
-- What somebody is here, and how many are in charge.
SELECT m.role::text, (SELECT count(*)::int FROM memberships l WHERE l.role IN ('Admin', 'SuperAdmin')) AS leaders
FROM memberships m WHERE m.user_id = $1;

-- name: role_get value
-- What somebody is here.
SELECT role::text FROM memberships WHERE user_id = $1;

-- name: platform_admin value
-- Whether somebody administers the whole installation.
SELECT EXISTS (SELECT FROM users WHERE id = $1 AND role IN ('admin', 'super_admin') AND deleted_at IS NULL);
