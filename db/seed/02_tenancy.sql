-- Roles and rules of the default workspace, and a second workspace that shares its people.

INSERT INTO permissions (id, name, description, resource_type, action)
SELECT pg_temp.sid('permission:' || name), name, what, split_part(name, '.', 1), split_part(name, '.', 2)
FROM (VALUES ('contents.publish', 'Make a title visible'), ('contents.price', 'Set what a title costs'), ('courses.review', 'Approve a course'),
             ('users.suspend', 'Suspend an account'), ('reports.read', 'Read reports')) AS p (name, what)
ON CONFLICT DO NOTHING;
INSERT INTO roles (id, name, description)
SELECT pg_temp.sid('role:' || name), name, what
FROM (VALUES ('Editor', 'Looks after the catalogue'), ('Dean', 'Looks after the courses'), ('Analyst', 'Reads reports')) AS r (name, what);
INSERT INTO role_permissions (role_id, permission_id, granted_at)
SELECT pg_temp.sid('role:' || role), p.id, pg_temp.ago(200)
FROM (VALUES ('Editor', 'contents.publish'), ('Editor', 'contents.price'), ('Dean', 'courses.review'), ('Analyst', 'reports.read')) AS g (role, name) JOIN permissions p USING (name);
INSERT INTO user_roles (user_id, role_id, assigned_at, assigned_by)
SELECT p.id, pg_temp.sid('role:' || g.role), pg_temp.ago(100), a.id
FROM (VALUES (1, 'Editor'), (1, 'Analyst'), (2, 'Dean')) AS g (n, role) JOIN people p USING (n), people a WHERE a.n = 1;
INSERT INTO access_control_policies (id, name, description, policy_definition)
VALUES (pg_temp.sid('policy:hours'), 'Finance for those in charge', 'Payouts are looked at by administrators', '{"effect": "allow", "resource_type": "payouts", "action": "read", "roles": ["Admin", "SuperAdmin"]}');
INSERT INTO access_logs (id, user_id, resource_type, resource_id, action, allowed, reason, ip_address, occurred_at)
SELECT pg_temp.sid('access:' || n), id, 'payouts', pg_temp.sid('payout:' || n), 'read', n = 1, CASE WHEN n <> 1 THEN 'not staff' END, '192.0.2.7', pg_temp.ago(n) FROM people WHERE n <= 3;
INSERT INTO invitations (id, token_digest, email, role, status, invited_by, expires_at, accepted_at, created_at)
SELECT pg_temp.sid('invitation:' || v.email), pg_temp.secret(v.email), v.email, 'Member', v.status::invitation_status, p.id, pg_temp.ago(-7), CASE v.status WHEN 'Accepted' THEN pg_temp.ago(1) END, pg_temp.ago(3)
FROM (VALUES ('dana@example.org', 'Pending'), ('carol@example.com', 'Accepted'), ('eve@example.org', 'Revoked')) AS v (email, status), people p WHERE p.n = 1;
INSERT INTO white_label_settings (brand_name, primary_color) VALUES ('Penstock Cinema', '#1f6feb') ON CONFLICT DO NOTHING;
INSERT INTO tenant_settings (settings) VALUES ('{"default_language": "en", "currency": "USD"}') ON CONFLICT DO NOTHING;

INSERT INTO tenants (id, name, slug, description, created_at)
VALUES (pg_temp.sid('tenant:north'), 'North Campus', 'north-campus', 'A school with rows of its own', pg_temp.ago(300));
SELECT set_tenant_context(pg_temp.sid('tenant:north'));
INSERT INTO memberships (id, user_id, role, created_at)
SELECT pg_temp.sid('north:' || n), id, CASE n WHEN 2 THEN 'Admin' ELSE 'Member' END::tenant_role, pg_temp.ago(90) FROM people WHERE n = 2 OR n % 10 = 4;
INSERT INTO tenant_quotas (max_users, max_podcasts, max_campaigns) VALUES (current_setting('seed.users')::integer + 100, 20, 50);
INSERT INTO tenant_settings (settings) VALUES ('{"default_language": "de"}');
INSERT INTO white_label_settings (brand_name, primary_color, custom_domain) VALUES ('North Campus', '#0a7f5a', 'learn.north-campus.example');
SELECT set_tenant_context('00000000-0000-7000-8000-000000000001');
