-- The installation's configuration belongs to its operator: an administrator of the platform, or the product itself. Staff of one
-- tenant are neither, so row-level security, which knows only tenants and roles within them, leaves this to functions.

CREATE FUNCTION is_operator() RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN app_is_service() OR (app_is_staff() AND coalesce(my_platform_role() IN ('admin', 'super_admin'), false));
END $$;

CREATE FUNCTION set_system_config(named text, given jsonb, described text) RETURNS SETOF system_config LANGUAGE plpgsql AS $$
DECLARE
    was text;
BEGIN
    IF NOT is_operator() THEN
        RETURN;
    END IF;
    was := act_as_service();
    RETURN QUERY INSERT INTO system_config AS c (key, value, description, updated_by) VALUES (named, given, described, app_user_id())
        ON CONFLICT ON CONSTRAINT system_config__key_unique
        DO UPDATE SET value = excluded.value, description = coalesce(excluded.description, c.description) RETURNING c.*;
    PERFORM act_as(was);
END $$;
COMMENT ON FUNCTION set_system_config(text, jsonb, text) IS 'The trigger of the table names the editor.';

CREATE FUNCTION read_system_config() RETURNS SETOF system_config LANGUAGE plpgsql AS $$
DECLARE
    was text;
BEGIN
    IF NOT is_operator() THEN
        RETURN;
    END IF;
    was := act_as_service();
    RETURN QUERY SELECT * FROM system_config ORDER BY key;
    PERFORM act_as(was);
END $$;

-- Somebody who leaves is written down with the reason, whoever changed the row: the person, the provider's message or the term's end.
CREATE FUNCTION note_churn() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
BEGIN
    INSERT INTO churn_events (tenant_id, user_id, churn_reason, churn_data)
    SELECT n.tenant_id, n.user_id, CASE n.status WHEN 'cancelled' THEN 'subscription_cancelled' ELSE 'subscription_expired' END,
           jsonb_build_object('subscription_id', n.id, 'plan_id', n.plan_id, 'was', o.status)
    FROM changed n JOIN former o USING (id)
    WHERE n.status IN ('cancelled', 'expired') AND o.status NOT IN ('cancelled', 'expired')
      -- Another running one: the person stays.
      AND NOT EXISTS (SELECT FROM subscriptions s WHERE s.tenant_id = n.tenant_id AND s.user_id = n.user_id AND s.id <> n.id
                      AND s.status IN ('trialing', 'active', 'past_due'));
    PERFORM act_as(was);
    RETURN NULL;
END $$;
CREATE TRIGGER subscriptions_churn AFTER UPDATE ON subscriptions REFERENCING OLD TABLE AS former NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_churn();

-- A search is written down as it is made, by whoever makes it, guests too; only its staff reads it.
CREATE FUNCTION note_search(asked text, results integer) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
    noted uuid;
BEGIN
    INSERT INTO search_analytics (user_id, query, results_count) VALUES (app_user_id(), asked, results) RETURNING id INTO noted;
    PERFORM act_as(was);
    RETURN noted;
END $$;

CREATE FUNCTION note_search_click(search uuid, result text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
    is_noted boolean;
BEGIN
    UPDATE search_analytics SET clicked_result = result
    WHERE id = search AND user_id IS NOT DISTINCT FROM app_user_id() AND created_at > now() - interval '1 day';
    is_noted := FOUND;
    PERFORM act_as(was);
    RETURN is_noted;
END $$;
COMMENT ON FUNCTION note_search_click(uuid, text) IS 'Whether it was one''s own search of the last day; the last click stands.';

-- Who asks first gets a variant, by a hash of person and experiment so that it needs no draw; it stays what it was then.
CREATE FUNCTION assign_variant(experiment uuid) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
    chosen text;
    asked experiments;
BEGIN
    SELECT a.variant INTO chosen FROM experiment_assignments a WHERE a.experiment_id = experiment AND a.user_id = app_user_id();
    IF chosen IS NULL THEN
        SELECT * INTO asked FROM experiments e WHERE e.id = experiment AND e.status = 'running' AND (e.start_date IS NULL OR e.start_date <= now())
            AND (e.end_date IS NULL OR e.end_date > now());
        IF asked.id IS NOT NULL AND app_user_id() IS NOT NULL THEN
            INSERT INTO experiment_assignments (experiment_id, user_id, variant) VALUES (experiment, app_user_id(), asked.variants[
                1 + mod(hashtextextended(experiment::text || app_user_id()::text, 0) & 9223372036854775807, cardinality(asked.variants))::integer])
            ON CONFLICT DO NOTHING;
            SELECT a.variant INTO chosen FROM experiment_assignments a WHERE a.experiment_id = experiment AND a.user_id = app_user_id();
        END IF;
    END IF;
    PERFORM act_as(was);
    RETURN chosen;
END $$;
COMMENT ON FUNCTION assign_variant(uuid) IS 'The variant of whoever asks; null when they have none and the experiment is not running.';

CREATE FUNCTION note_experiment_event(experiment uuid, kind text, given jsonb) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
    noted uuid;
BEGIN
    INSERT INTO experiment_events (experiment_id, user_id, event_type, event_data)
    SELECT a.experiment_id, a.user_id, kind, given FROM experiment_assignments a
    WHERE a.experiment_id = experiment AND a.user_id = app_user_id() AND a.tenant_id = app_tenant_id() RETURNING id INTO noted;
    PERFORM act_as(was);
    RETURN noted;
END $$;
COMMENT ON FUNCTION note_experiment_event(uuid, text, jsonb) IS 'Null for whoever has no variant: what they do says nothing about one.';
