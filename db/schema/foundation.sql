-- Who is asking, and the few functions every table stands on.
--
-- A transaction says who it acts for with three settings, all local to it:
--   app.tenant_id   the tenant whose rows are visible
--   app.user_id     the person, or '' for a guest
--   app.role        anon | authenticated | staff | service_role
-- Unset means nobody: every policy then sees nothing.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'penstock_app') THEN
        CREATE ROLE penstock_app NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'role penstock_app is missing and may not be created here: grants to it are left out';
END $$;

-- RFC 9562 version 7: time-ordered keys keep B-tree inserts at the right edge.
-- PostgreSQL 18 has it built in; before that it is made from a random one.
DO $$
BEGIN
    IF current_setting('server_version_num')::int >= 180000 THEN
        EXECUTE 'CREATE FUNCTION uuid7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS ''SELECT uuidv7()''';
    ELSE
        EXECUTE $f$
            CREATE FUNCTION uuid7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $body$
                SELECT encode(
                    set_bit(set_bit(
                        overlay(uuid_send(gen_random_uuid()) PLACING
                                substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
                                FROM 1 FOR 6),
                        52, 1), 53, 1), 'hex')::uuid
            $body$
        $f$;
    END IF;
END $$;

CREATE FUNCTION app_tenant_id() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT nullif(current_setting('app.tenant_id', true), '')::uuid $$;

CREATE FUNCTION app_user_id() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT nullif(current_setting('app.user_id', true), '')::uuid $$;

CREATE FUNCTION app_role() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT coalesce(nullif(current_setting('app.role', true), ''), 'nobody') $$;

CREATE FUNCTION app_is_service() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT app_role() = 'service_role' $$;

CREATE FUNCTION app_is_staff() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT app_role() IN ('staff', 'service_role') $$;

CREATE FUNCTION app_is_known() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT app_role() IN ('anon', 'authenticated', 'staff', 'service_role') $$;

COMMENT ON FUNCTION app_is_service() IS 'The product''s own processes (worker, drain, sign-in): not a person.';

CREATE FUNCTION set_tenant_context(tenant uuid) RETURNS void LANGUAGE sql AS
$$ SELECT set_config('app.tenant_id', tenant::text, true) $$;
COMMENT ON FUNCTION set_tenant_context(uuid) IS 'Names the tenant for the rest of the transaction.';

CREATE FUNCTION touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END $$;

-- One place that switches row-level security on, so no table can have half of it.
CREATE FUNCTION protect_table(target regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', target);
END $$;

-- A legal move of a state machine is a row of the argument list: 'from>to'.
CREATE FUNCTION allow_transitions() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := to_jsonb(OLD) ->> TG_ARGV[0];
    becomes text := to_jsonb(NEW) ->> TG_ARGV[0];
BEGIN
    IF was IS DISTINCT FROM becomes AND NOT (was || '>' || becomes) = ANY (TG_ARGV[1:]) THEN
        RAISE EXCEPTION '% cannot go from % to %', TG_TABLE_NAME, was, becomes
            USING ERRCODE = 'check_violation', CONSTRAINT = TG_TABLE_NAME || '__transition',
                  HINT = 'Legal moves: ' || array_to_string(TG_ARGV[1:], ', ');
    END IF;
    RETURN NEW;
END $$;
