-- Tenants: shops, networks or schools side by side in one installation.

CREATE TABLE tenants (
    id          uuid PRIMARY KEY DEFAULT uuid7(),
    name        text NOT NULL DEFAULT 'Default Workspace' CONSTRAINT tenants__name_given CHECK (name <> ''),
    slug        text NOT NULL DEFAULT 'default' CONSTRAINT tenants__slug_unique UNIQUE
                CONSTRAINT tenants__slug_plain CHECK (slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    description text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE tenants IS 'A shop, network or school; a single-tenant installation has only `default`.';
CREATE TRIGGER tenants_touch BEFORE UPDATE ON tenants FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
SELECT protect_table('tenants');
CREATE POLICY tenants_read ON tenants FOR SELECT USING (id = (SELECT app_tenant_id()) OR (SELECT app_is_service()));
CREATE POLICY tenants_write ON tenants FOR ALL USING ((SELECT app_is_service())) WITH CHECK ((SELECT app_is_service()));

SELECT set_config('app.role', 'service_role', false);
INSERT INTO tenants (id, name, slug) VALUES ('00000000-0000-7000-8000-000000000001', 'Default Workspace', 'default');
