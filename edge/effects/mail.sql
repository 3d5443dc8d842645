-- name: recipient one
-- Somebody's address, name, and which kinds of mail they want; without preferences, the defaults hold. $1 user.
SELECT u.email, u.name, coalesce(p.marketing_emails, false) AS marketing, coalesce(p.product_updates, true) AS product,
       coalesce(p.security_alerts, true) AS security
FROM users AS u LEFT JOIN email_preferences AS p ON p.user_id = u.id WHERE u.id = $1;

-- name: template one
-- The tenant's own text of that name, else the installation's. $1 name.
SELECT subject, body, html FROM notification_templates WHERE name = $1 ORDER BY tenant_id NULLS LAST LIMIT 1;

-- name: tenant_name value
-- What the tenant is called.
SELECT name FROM tenants WHERE id = app_tenant_id();
