-- Sessions that ended long ago, out of the way of those that every request looks up. The keeper moves them, a few in a transaction.

CREATE TABLE archived_sessions (
    id              uuid PRIMARY KEY DEFAULT uuid7(),
    user_id         uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    token_digest    bytea NOT NULL,
    expires_at      timestamptz NOT NULL,
    ip_address      inet,
    user_agent      text,
    impersonated_by uuid REFERENCES users ON DELETE SET NULL,
    revoked_at      timestamptz,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    archived_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT archived_sessions__over_before CHECK (least(revoked_at, expires_at) < archived_at)
);
CREATE INDEX archived_sessions_archived_at_idx ON archived_sessions (archived_at);
CREATE TRIGGER archived_sessions_keep BEFORE UPDATE ON archived_sessions FOR EACH ROW
    WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION refuse_change();
COMMENT ON TABLE archived_sessions IS 'A row is here or in sessions, never in both. Its refresh tokens went with it: they open nothing any more.';
SELECT admit('archived_sessions', 'user_id = @user OR @service');

-- Nobody is waited for, so that nobody can wait in a circle: what somebody else has in hand is left to the next call. That also keeps two
-- callers from the same rows. The people are held before their sessions go, as the archive's foreign keys would do after: whoever deletes
-- a person holds that row, and would wait for these.
CREATE FUNCTION archive_sessions(ended_before timestamptz, most integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    done integer;
BEGIN
    WITH old AS (
        SELECT id, user_id, impersonated_by FROM sessions WHERE least(revoked_at, expires_at) < ended_before
        ORDER BY least(revoked_at, expires_at) LIMIT most FOR UPDATE SKIP LOCKED
    ), people AS (
        SELECT id FROM users WHERE id IN (SELECT user_id FROM old UNION SELECT impersonated_by FROM old) FOR KEY SHARE SKIP LOCKED
    ), gone AS (
        DELETE FROM sessions s USING old o
        WHERE s.id = o.id AND o.user_id IN (SELECT id FROM people) AND (o.impersonated_by IS NULL OR o.impersonated_by IN (SELECT id FROM people))
        RETURNING s.*
    )
    INSERT INTO archived_sessions (id, user_id, token_digest, expires_at, ip_address, user_agent, impersonated_by, revoked_at, created_at, updated_at)
    SELECT id, user_id, token_digest, expires_at, ip_address, user_agent, impersonated_by, revoked_at, created_at, updated_at FROM gone;
    GET DIAGNOSTICS done = ROW_COUNT;
    RETURN done;
END $$;
COMMENT ON FUNCTION archive_sessions(timestamptz, integer) IS 'Moves so many sessions at most that ended before a moment; how many. Safe at any time, by any number at once.';
