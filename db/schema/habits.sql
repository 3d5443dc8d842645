-- What holds for every table, put in place once all of them are there: so no table can have been forgotten.

-- Tables that the product writes for itself, by the thousand and in batches: no person changes them, and they are made
-- of ids that the product has checked. Everything else is audited, and kept inside its tenant.
CREATE FUNCTION machine_tables() RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT ARRAY['access_logs', 'api_usage', 'archived_sessions', 'attribution_events', 'audit_logs', 'beat_ledger', 'beat_ledger_crowded', 'content_views', 'error_logs', 'idempotency_keys', 'listener_events',
                 'listener_events_daily', 'listener_events_hourly', 'listener_metrics', 'login_history', 'metrics_daily', 'notifications',
                 'online_sessions', 'outbox', 'playback_sessions', 'playlist_progress', 'refresh_tokens', 'search_analytics', 'security_events',
                 'sessions', 'streaming_tokens', 'watch_progress', 'webhook_deliveries']
$$;

-- Every foreign key has an index that starts with its columns: without one, each delete of a parent reads the whole child.
DO $$
DECLARE missing record;
BEGIN
    FOR missing IN
        SELECT c.relname, string_agg(quote_ident(a.attname), ', ' ORDER BY k.nth) AS columns, string_agg(a.attname, '_' ORDER BY k.nth) AS suffix
        FROM pg_constraint con
        JOIN pg_class c ON c.oid = con.conrelid AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace
        CROSS JOIN LATERAL unnest(con.conkey) WITH ORDINALITY AS k (attnum, nth)
        JOIN pg_attribute a ON a.attrelid = con.conrelid AND a.attnum = k.attnum
        WHERE con.contype = 'f' AND con.conparentid = 0 AND NOT EXISTS (
            SELECT FROM pg_index i WHERE i.indrelid = con.conrelid AND i.indpred IS NULL
            AND (i.indkey::smallint[])[0:cardinality(con.conkey) - 1] @> con.conkey AND con.conkey @> (i.indkey::smallint[])[0:cardinality(con.conkey) - 1])
        GROUP BY con.oid, c.relname ORDER BY c.relname, suffix
    LOOP
        EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON %I (%s)', missing.relname || '_' || missing.suffix || '_idx', missing.relname, missing.columns);
    END LOOP;
END $$;

-- updated_at is the database's word, not the writer's; created_at is said once.
CREATE FUNCTION keep_created_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.created_at := OLD.created_at;
    RETURN NEW;
END $$;

-- What a row points at belongs to the row's tenant. Foreign keys see past row-level security, so without this a row could
-- name another tenant's. One query a statement, whatever its size; its text is the trigger's argument.
CREATE FUNCTION stay_in_tenant() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
    strayed text;
BEGIN
    EXECUTE TG_ARGV[0] INTO strayed;
    IF strayed IS NOT NULL THEN
        RAISE EXCEPTION '% of % is not of this tenant', strayed, TG_TABLE_NAME
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = TG_TABLE_NAME || '__same_tenant';
    END IF;
    PERFORM act_as(was);
    RETURN NULL;
END $$;

DO $$
DECLARE kept record;
BEGIN
    FOR kept IN
        SELECT c.oid, c.relname,
               EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'updated_at') AS is_touched,
               EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'created_at') AS is_dated,
               EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = c.relname || '_touch') AS has_touch,
               c.relname::text = ANY (machine_tables()) AS is_machine,
               (SELECT string_agg(format('SELECT %L AS col FROM changed n LEFT JOIN %I p ON p.id = n.%I AND p.tenant_id = n.tenant_id WHERE n.%3$I IS NOT NULL AND p.id IS NULL',
                                         a.attname, parent.relname, a.attname), ' UNION ALL ' ORDER BY a.attname, parent.relname)
                FROM pg_constraint con
                JOIN pg_attribute a ON a.attrelid = con.conrelid AND a.attnum = con.conkey[1]
                JOIN pg_class parent ON parent.oid = con.confrelid AND parent.relname NOT IN ('tenants', 'plans')
                JOIN pg_attribute pt ON pt.attrelid = parent.oid AND pt.attname = 'tenant_id'
                JOIN pg_attribute pk ON pk.attrelid = parent.oid AND pk.attnum = con.confkey[1] AND pk.attname = 'id'
                WHERE con.conrelid = c.oid AND con.contype = 'f'
                  AND EXISTS (SELECT FROM pg_attribute own WHERE own.attrelid = c.oid AND own.attname = 'tenant_id' AND own.attnotnull)) AS strays
        FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
        ORDER BY c.relname
    LOOP
        PERFORM isolate_tenant(kept.oid);
        IF kept.is_touched AND NOT kept.has_touch AND NOT kept.is_machine THEN
            EXECUTE format('CREATE TRIGGER %I BEFORE UPDATE ON %I FOR EACH ROW EXECUTE FUNCTION touch_updated_at()', kept.relname || '_touch', kept.relname);
        END IF;
        IF kept.is_dated AND NOT kept.is_machine THEN
            EXECUTE format('CREATE TRIGGER %I BEFORE UPDATE OF created_at ON %I FOR EACH ROW EXECUTE FUNCTION keep_created_at()',
                           kept.relname || '_keep_created_at', kept.relname);
        END IF;
        IF kept.strays IS NOT NULL AND NOT kept.is_machine THEN
            EXECUTE format('CREATE TRIGGER %I AFTER INSERT ON %I REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION stay_in_tenant(%L)',
                           kept.relname || '_same_tenant_insert', kept.relname, kept.strays);
            EXECUTE format('CREATE TRIGGER %I AFTER UPDATE ON %I REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION stay_in_tenant(%L)',
                           kept.relname || '_same_tenant_update', kept.relname, kept.strays);
        END IF;
    END LOOP;
END $$;
