-- Who sees and who changes a row, said once a table.

-- One place that switches row-level security on, so no table can have half of it.
CREATE FUNCTION protect_table(target regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', target);
END $$;

-- Conditions are written with these words; each is a sub-select that the planner answers once a statement, not once a row.
CREATE FUNCTION policy_text(condition text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT replace(replace(replace(replace(replace(replace(condition,
        '@service', '(SELECT app_is_service())'),
        '@staff', '(SELECT app_is_staff())'),
        '@known', '(SELECT app_is_known())'),
        '@member', '((SELECT app_user_id()) IS NOT NULL OR (SELECT app_is_staff()))'),
        '@tenant', '(SELECT app_tenant_id())'),
        '@user', '(SELECT app_user_id())')
$$;
COMMENT ON FUNCTION policy_text(text) IS
    '@service: the product itself. @staff: staff too. @member: anyone signed in. @known: guests too. @user, @tenant: the ids.';

-- tenant_isolation is restrictive: no permissive policy, today's or a later one, can let a row of another tenant through.
-- A tenant_id that may be null marks what the whole installation shares.
CREATE FUNCTION isolate_tenant(target regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    is_shared boolean;
BEGIN
    SELECT NOT attnotnull INTO is_shared FROM pg_attribute WHERE attrelid = target AND attname = 'tenant_id' AND NOT attisdropped;
    IF is_shared IS NULL OR EXISTS (SELECT FROM pg_policy WHERE polrelid = target AND polname = 'tenant_isolation') THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE POLICY tenant_isolation ON %s AS RESTRICTIVE FOR ALL USING (%s)', target,
                   policy_text('tenant_id = @tenant' || CASE WHEN is_shared THEN ' OR tenant_id IS NULL' ELSE '' END));
END $$;

CREATE FUNCTION admit(target regclass, reads text, writes text DEFAULT '@service', inserts text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM protect_table(target);
    PERFORM isolate_tenant(target);
    EXECUTE format('CREATE POLICY %I ON %s FOR SELECT USING (%s)', target || '_read', target, policy_text(reads));
    EXECUTE format('CREATE POLICY %I ON %s FOR INSERT WITH CHECK (%s)', target || '_insert', target, policy_text(coalesce(inserts, writes)));
    EXECUTE format('CREATE POLICY %I ON %s FOR UPDATE USING (%s)', target || '_update', target, policy_text(writes));
    EXECUTE format('CREATE POLICY %I ON %s FOR DELETE USING (%s)', target || '_delete', target, policy_text(writes));
END $$;
COMMENT ON FUNCTION admit(regclass, text, text, text) IS
    'Row-level security for one table: who reads, who changes, and who adds where that differs. One policy a verb keeps reads free of the rest.';

-- What is written once and never changed. A foreign key's own SET NULL or CASCADE runs inside a trigger and passes.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- A partition's trigger knows the partition's name alone; the table's is then the argument.
    RAISE EXCEPTION '% is only ever added to', coalesce(TG_ARGV[0], TG_TABLE_NAME)
        USING ERRCODE = 'check_violation', CONSTRAINT = coalesce(TG_ARGV[0], TG_TABLE_NAME) || '__append_only';
END $$;
