-- The app role reads and writes rows through the policies above; it owns nothing and can alter nothing.

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'penstock_app') THEN
        GRANT USAGE ON SCHEMA public TO penstock_app;
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO penstock_app;
        GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO penstock_app;
        GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO penstock_app;
        ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO penstock_app;
        ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO penstock_app;
    END IF;
END $$;
