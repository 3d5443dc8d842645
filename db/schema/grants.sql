-- The app role reads and writes rows through the policies above; it owns nothing and can alter nothing.

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'penstock_app') THEN
        GRANT USAGE ON SCHEMA public TO penstock_app;
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO penstock_app;
        GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO penstock_app;
        -- Not ON ALL FUNCTIONS: those of extensions belong to somebody else, and each would be a warning.
        EXECUTE (SELECT 'GRANT EXECUTE ON FUNCTION ' || string_agg(p.oid::regprocedure::text, ', ') || ' TO penstock_app'
                 FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND p.prokind = 'f'
                 AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e'));
        ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO penstock_app;
        ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO penstock_app;
    END IF;
END $$;
