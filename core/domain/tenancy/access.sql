-- name: facts_get one
-- What somebody is in the present workspace, may do by their roles there, and owns.
SELECT (SELECT role::text FROM memberships WHERE user_id = $1) AS tenant_role,
       has_permission($1, $2::text, $3::text) AS has_permission,
       EXISTS (SELECT FROM resource_ownership WHERE resource_type = $2 AND resource_id = $4::uuid AND owner_id = $1) AS is_owner;

-- name: policies_list many
-- The policies of the present workspace that count.
SELECT policy_definition::text AS definition FROM access_control_policies WHERE enabled;

-- name: policy_set value
-- A policy, by its name.
INSERT INTO access_control_policies (name, description, policy_definition, enabled) VALUES ($1, $2, $3::text::jsonb, $4)
ON CONFLICT (tenant_id, name) DO UPDATE SET description = excluded.description, policy_definition = excluded.policy_definition, enabled = excluded.enabled
RETURNING id;

-- name: access_note none
-- What was asked, and what was answered.
INSERT INTO access_logs (user_id, resource_type, resource_id, action, allowed, reason) VALUES ($1, $2, $3, $4, $5, $6);
