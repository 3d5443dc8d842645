-- Every change that a person makes is written down: who, what, and how it was before and after.

-- Columns whose values are secrets, or copies that say nothing: never in a log.
CREATE FUNCTION unlogged_columns() RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT ARRAY['password', 'access_token', 'refresh_token', 'id_token', 'provider_data', 'token_digest', 'key_hash', 'secret', 'old_secret', 'token_value_encrypted',
                 'configuration', 'search', 'updated_at']
$$;

-- One statement writes the rows of a whole statement. Its first argument is the column that names the row.
CREATE FUNCTION audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO audit_logs (tenant_id, user_id, action, resource_type, resource_id, changes)
        SELECT app_tenant_id(), app_user_id(), 'create', TG_TABLE_NAME, (r.doc ->> TG_ARGV[0])::uuid, jsonb_build_object('after', r.doc - unlogged_columns())
        FROM (SELECT jsonb_strip_nulls(to_jsonb(changed)) AS doc FROM changed) AS r;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO audit_logs (tenant_id, user_id, action, resource_type, resource_id, changes)
        SELECT app_tenant_id(), app_user_id(), 'delete', TG_TABLE_NAME, (r.doc ->> TG_ARGV[0])::uuid, jsonb_build_object('before', r.doc - unlogged_columns())
        FROM (SELECT jsonb_strip_nulls(to_jsonb(former)) AS doc FROM former) AS r;
    ELSE
        INSERT INTO audit_logs (tenant_id, user_id, action, resource_type, resource_id, changes)
        SELECT app_tenant_id(), app_user_id(), 'update', TG_TABLE_NAME, (r.after ->> TG_ARGV[0])::uuid,
               jsonb_build_object('before', d.before, 'after', d.after)
        FROM (SELECT o.doc AS before, n.doc AS after
              FROM (SELECT to_jsonb(former) AS doc, row_number() OVER () AS nth FROM former) AS o
              JOIN (SELECT to_jsonb(changed) AS doc, row_number() OVER () AS nth FROM changed) AS n USING (nth)) AS r
        CROSS JOIN LATERAL (
            SELECT jsonb_object_agg(key, r.before -> key) AS before, jsonb_object_agg(key, value) AS after
            FROM jsonb_each(r.after - unlogged_columns()) WHERE value IS DISTINCT FROM r.before -> key) AS d
        WHERE d.after IS NOT NULL;
    END IF;
    PERFORM act_as(was);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION audit_change() IS 'The two transition tables of an UPDATE list the same rows in the same order, whatever became of their keys.';

DO $$
DECLARE
    watched record;
BEGIN
    FOR watched IN
        SELECT c.relname, (SELECT coalesce(min(a.attname) FILTER (WHERE a.attname = 'id'), min(a.attname) FILTER (WHERE a.atttypid = 'uuid'::regtype)) AS named
                           FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
                           WHERE i.indrelid = c.oid AND i.indisprimary) AS named
        FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND NOT c.relname::text = ANY (machine_tables())
        ORDER BY c.relname
    LOOP
        CONTINUE WHEN watched.named IS NULL;
        EXECUTE format('CREATE TRIGGER %1$I AFTER INSERT ON %2$I REFERENCING NEW TABLE AS changed FOR EACH STATEMENT
                        WHEN (app_user_id() IS NOT NULL) EXECUTE FUNCTION audit_change(%3$L)', watched.relname || '_audit_insert', watched.relname, watched.named);
        EXECUTE format('CREATE TRIGGER %1$I AFTER UPDATE ON %2$I REFERENCING OLD TABLE AS former NEW TABLE AS changed FOR EACH STATEMENT
                        WHEN (app_user_id() IS NOT NULL) EXECUTE FUNCTION audit_change(%3$L)', watched.relname || '_audit_update', watched.relname, watched.named);
        EXECUTE format('CREATE TRIGGER %1$I AFTER DELETE ON %2$I REFERENCING OLD TABLE AS former FOR EACH STATEMENT
                        WHEN (app_user_id() IS NOT NULL) EXECUTE FUNCTION audit_change(%3$L)', watched.relname || '_audit_delete', watched.relname, watched.named);
    END LOOP;
END $$;
