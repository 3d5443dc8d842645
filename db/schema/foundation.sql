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

-- Exclusion constraints on uuid and text need btree_gist; searching for parts of words is quicker with pg_trgm, where there is one.
CREATE EXTENSION IF NOT EXISTS btree_gist;
DO $$
BEGIN
    CREATE EXTENSION IF NOT EXISTS pg_trgm;
EXCEPTION
    WHEN insufficient_privilege OR undefined_file OR feature_not_supported THEN
        RAISE NOTICE 'pg_trgm is not to be had here: its indexes are left out';
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
$$ SELECT coalesce(nullif(current_setting('app.tenant_id', true), ''), nullif(current_setting('app.current_tenant', true), ''),
                   nullif(current_setting('app.current_tenant_id', true), ''))::uuid $$;
COMMENT ON FUNCTION app_tenant_id() IS
    'Reads app.tenant_id, else app.current_tenant or app.current_tenant_id, the names that podcast installations set.';

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
$$ SELECT set_config(name, tenant::text, true) FROM unnest(ARRAY['app.tenant_id', 'app.current_tenant', 'app.current_tenant_id']) AS name $$;
COMMENT ON FUNCTION set_tenant_context(uuid) IS 'Names the tenant for the rest of the transaction.';

CREATE FUNCTION touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
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

-- A rule that no constraint can say, refused the way a constraint would.
CREATE FUNCTION break_rule(rule text, message text, hint text DEFAULT NULL) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING MESSAGE = message, ERRCODE = 'check_violation', CONSTRAINT = rule, HINT = coalesce(hint, '');
END $$;

-- The moment at which a column took its present value.
CREATE FUNCTION stamp_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF to_jsonb(NEW) -> TG_ARGV[0] IS DISTINCT FROM to_jsonb(OLD) -> TG_ARGV[0] THEN
        NEW := jsonb_populate_record(NEW, jsonb_build_object(TG_ARGV[1], now()));
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION stamp_change() IS 'Arguments: the column watched, the column that gets now() when it changes.';

-- What a rule looks up lies past what the person who set it off may see. Such a function takes the service's part for its own
-- queries and gives it back; an error on the way takes the setting back with everything else.
-- (A SET clause would do the same, and only a superuser may write one for a setting of one's own.)
CREATE FUNCTION act_as(role text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('app.role', role, true);
END $$;
CREATE FUNCTION act_as_service() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    was text := coalesce(current_setting('app.role', true), '');
BEGIN
    PERFORM set_config('app.role', 'service_role', true);
    RETURN was;
END $$;

-- Whoever adds a row by hand has made it. Not a column default: ON DELETE SET DEFAULT would then name whoever deletes an account.
CREATE FUNCTION name_maker() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RETURN jsonb_populate_record(NEW, jsonb_build_object(TG_ARGV[0], app_user_id()));
END $$;
COMMENT ON FUNCTION name_maker() IS 'Argument: the column that gets the person who acts.';

-- A part belongs to the tenant of its whole, also where a loader or an operator names none.
CREATE FUNCTION take_tenant_of() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SELECT tenant_id FROM %I WHERE id = $1', TG_ARGV[0]) INTO NEW.tenant_id USING (to_jsonb(NEW) ->> TG_ARGV[1])::uuid;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION take_tenant_of() IS 'Arguments: the table of the whole, the column that points at it.';
