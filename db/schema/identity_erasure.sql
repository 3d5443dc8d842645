-- Erasing a person: what is about them goes, what others need stays under a name that says nothing.

CREATE FUNCTION users_go_nameless() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.name := 'Deleted user';
    NEW.email := 'deleted-' || NEW.id || '@penstock.invalid';
    NEW.email_verified := false;
    NEW.phone := NULL;
    NEW.phone_verified := false;
    NEW.image := NULL;
    NEW.username := NULL;
    NEW.display_username := NULL;
    NEW.status := 'inactive';
    NEW.role := 'user';
    NEW.ban_reason := NULL;
    NEW.stripe_customer_id := NULL;
    NEW.stripe_subscription_id := NULL;
    NEW.last_login := NULL;
    RETURN NEW;
END $$;
CREATE TRIGGER users_go_nameless BEFORE UPDATE OF deleted_at ON users FOR EACH ROW
    WHEN (OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL) EXECUTE FUNCTION users_go_nameless();

-- Named so that it fires after users_audit_update, whose row it scrubs too. It acts for nobody: what it takes away must not be
-- written down once more by the audit of whoever asked for it.
CREATE FUNCTION users_leave_nothing() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
    actor text := coalesce(current_setting('app.user_id', true), '');
    here uuid := app_tenant_id();
    gone uuid[] := (SELECT coalesce(array_agg(n.id), '{}') FROM changed n JOIN former o USING (id) WHERE o.deleted_at IS NULL AND n.deleted_at IS NOT NULL);
    scrubbed uuid[];
    each record;
BEGIN
    IF gone <> '{}' THEN
        PERFORM set_config('app.user_id', '', true);
        scrubbed := gone || (SELECT coalesce(array_agg(id), '{}') FROM billing_addresses WHERE user_id = ANY (gone));
        FOR each IN SELECT unnest(ARRAY['accounts', 'sessions', 'archived_sessions', 'verifications', 'user_profiles', 'login_history', 'online_sessions', 'email_preferences',
                                        'user_metrics', 'billing_addresses']) AS name LOOP
            EXECUTE format('DELETE FROM %I WHERE user_id = ANY ($1)', each.name) USING gone;
        END LOOP;
        DELETE FROM follows WHERE follower_id = ANY (gone) OR following_id = ANY (gone);
        FOR each IN SELECT id FROM tenants LOOP
            PERFORM set_tenant_context(each.id);
            DELETE FROM memberships WHERE user_id = ANY (gone);
            DELETE FROM family_memberships WHERE user_id = ANY (gone);
            DELETE FROM watchlist_entries WHERE user_id = ANY (gone);
            DELETE FROM recommendations WHERE recommended_by = ANY (gone) OR recommended_to = ANY (gone);
            DELETE FROM user_interests WHERE user_id = ANY (gone);
            DELETE FROM api_keys WHERE user_id = ANY (gone);
            DELETE FROM notifications WHERE user_id = ANY (gone);
            DELETE FROM audit_logs WHERE user_id = ANY (gone) AND kind = 'activity';
            UPDATE audit_logs SET changes = NULL WHERE resource_id = ANY (scrubbed);
            UPDATE security_events SET user_id = NULL, ip_address = NULL, user_agent = NULL WHERE user_id = ANY (gone);
            UPDATE gdpr_requests SET user_id = NULL, status = 'completed', completed_at = now()
            WHERE user_id = ANY (gone) AND request_type = 'erasure' AND status IN ('pending', 'in_progress');
        END LOOP;
        PERFORM set_tenant_context(here);
        PERFORM set_config('app.user_id', actor, true);
    END IF;
    PERFORM act_as(was);
    RETURN NULL;
END $$;
CREATE TRIGGER users_leave_nothing AFTER UPDATE ON users REFERENCING OLD TABLE AS former NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION users_leave_nothing();
COMMENT ON FUNCTION users_leave_nothing() IS 'Orders, payments, enrolments, certificates and posts stay: they are the other side''s records too.';
