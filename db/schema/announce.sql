-- Changes that may end or start somebody's right to watch are announced on one channel; every edge listens and drops what it cached.
-- A payload is {"t": table, "u": user or null, "c": content or null, "s": session or null}; a change of more than 200 subjects
-- says {"t": table, "all": true} instead, since a NOTIFY queue is bounded.

CREATE FUNCTION announce_rows(source text, subjects jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF jsonb_array_length(subjects) > 200 THEN
        PERFORM pg_notify('penstock_changed', jsonb_build_object('t', source, 'all', true)::text);
    ELSE
        PERFORM pg_notify('penstock_changed', (jsonb_build_object('t', source) || s)::text)
        FROM jsonb_array_elements(subjects) AS s;
    END IF;
END $$;

CREATE FUNCTION announce_library() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM announce_rows(TG_TABLE_NAME, coalesce((SELECT jsonb_agg(DISTINCT jsonb_build_object('u', user_id, 'c', content_id)) FROM changed), '[]'));
    RETURN NULL;
END $$;
CREATE TRIGGER user_library_announce_insert AFTER INSERT ON user_library REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION announce_library();
CREATE TRIGGER user_library_announce_update AFTER UPDATE ON user_library REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION announce_library();
CREATE TRIGGER user_library_announce_delete AFTER DELETE ON user_library REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION announce_library();
CREATE TRIGGER direct_purchases_announce_insert AFTER INSERT ON direct_purchases REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION announce_library();
CREATE TRIGGER direct_purchases_announce_update AFTER UPDATE ON direct_purchases REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION announce_library();
CREATE TRIGGER direct_purchases_announce_delete AFTER DELETE ON direct_purchases REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION announce_library();

CREATE FUNCTION announce_contents() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        PERFORM announce_rows('contents', coalesce((
            SELECT jsonb_agg(DISTINCT jsonb_build_object('c', n.id)) FROM changed n JOIN former o USING (id)
            WHERE (n.is_published, n.is_available, n.is_free, n.is_preview, n.generation_id)
                  IS DISTINCT FROM (o.is_published, o.is_available, o.is_free, o.is_preview, o.generation_id)), '[]'));
    ELSE
        PERFORM announce_rows('contents', coalesce((SELECT jsonb_agg(DISTINCT jsonb_build_object('c', id)) FROM changed), '[]'));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER contents_announce_insert AFTER INSERT ON contents REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION announce_contents();
CREATE TRIGGER contents_announce_update AFTER UPDATE ON contents REFERENCING OLD TABLE AS former NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION announce_contents();
CREATE TRIGGER contents_announce_delete AFTER DELETE ON contents REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION announce_contents();

CREATE FUNCTION announce_users() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        PERFORM announce_rows('users', coalesce((
            SELECT jsonb_agg(DISTINCT jsonb_build_object('u', n.id)) FROM changed n JOIN former o USING (id)
            WHERE (n.banned, n.ban_expires, n.status, n.role, n.email_verified)
                  IS DISTINCT FROM (o.banned, o.ban_expires, o.status, o.role, o.email_verified)), '[]'));
    ELSE
        PERFORM announce_rows('users', coalesce((SELECT jsonb_agg(DISTINCT jsonb_build_object('u', id)) FROM changed), '[]'));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER users_announce_update AFTER UPDATE ON users REFERENCING OLD TABLE AS former NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION announce_users();
CREATE TRIGGER users_announce_delete AFTER DELETE ON users REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION announce_users();

-- For each row and not with transition tables: heartbeats change thousands of rows here at a time and never this column, and
-- every one of them would be copied twice for it.
CREATE FUNCTION announce_ended_session() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM announce_rows('playback_sessions', jsonb_build_array(jsonb_build_object('s', NEW.id, 'u', NEW.user_id)));
    RETURN NULL;
END $$;
CREATE TRIGGER playback_sessions_announce AFTER UPDATE OF ended_at ON playback_sessions FOR EACH ROW
    WHEN (OLD.ended_at IS NULL AND NEW.ended_at IS NOT NULL) EXECUTE FUNCTION announce_ended_session();

CREATE FUNCTION announce_sessions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        PERFORM announce_rows('sessions', coalesce((
            SELECT jsonb_agg(DISTINCT jsonb_build_object('s', n.id, 'u', n.user_id)) FROM changed n JOIN former o USING (id)
            WHERE n.revoked_at IS DISTINCT FROM o.revoked_at OR n.expires_at < o.expires_at), '[]'));
    ELSE
        -- Sweeping out what was dead already is no news.
        PERFORM announce_rows('sessions', coalesce((
            SELECT jsonb_agg(DISTINCT jsonb_build_object('s', id, 'u', user_id)) FROM changed
            WHERE revoked_at IS NULL AND expires_at > now()), '[]'));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER sessions_announce_update AFTER UPDATE ON sessions REFERENCING OLD TABLE AS former NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION announce_sessions();
CREATE TRIGGER sessions_announce_delete AFTER DELETE ON sessions REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION announce_sessions();

-- Enrolments, subscriptions and memberships give and take access to much at once: the person is named, no content. An
-- update counts when one of the columns in the arguments changed: progress, say, takes nobody's access.
-- EXCEPT and no join: the planner takes transition tables for one row each, and a join of them compares every row with every
-- other (1,000 enrolments making progress: 19 s; so: 0.06 s).
CREATE FUNCTION picked(doc jsonb, names text[]) RETURNS jsonb LANGUAGE sql IMMUTABLE AS
$$ SELECT jsonb_object_agg(name, doc -> name) FROM unnest(names) AS name $$;
CREATE FUNCTION announce_person() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    watched text[] := ARRAY['id', 'user_id'] || TG_ARGV;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        PERFORM announce_rows(TG_TABLE_NAME, coalesce((
            SELECT jsonb_agg(DISTINCT jsonb_build_object('u', d.doc -> 'user_id'))
            FROM (SELECT picked(to_jsonb(changed), watched) AS doc FROM changed EXCEPT SELECT picked(to_jsonb(former), watched) FROM former) AS d), '[]'));
    ELSE
        PERFORM announce_rows(TG_TABLE_NAME, coalesce((SELECT jsonb_agg(DISTINCT jsonb_build_object('u', user_id)) FROM changed), '[]'));
    END IF;
    RETURN NULL;
END $$;

-- A lesson that opens or closes, a chapter or a course that does: the contents of its lessons are named.
CREATE FUNCTION announce_lessons() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    watched text[] := ARRAY['id'] || TG_ARGV;
BEGIN
    PERFORM announce_rows(TG_TABLE_NAME, coalesce((
        SELECT jsonb_agg(DISTINCT jsonb_build_object('c', l.content_id))
        FROM (SELECT picked(to_jsonb(changed), watched) AS doc FROM changed EXCEPT SELECT picked(to_jsonb(former), watched) FROM former) AS d
        JOIN lessons l ON l.content_id IS NOT NULL AND (d.doc ->> 'id')::uuid
             = CASE TG_TABLE_NAME WHEN 'lessons' THEN l.id WHEN 'chapters' THEN l.chapter_id ELSE l.course_id END), '[]'));
    RETURN NULL;
END $$;

DO $$
DECLARE
    source record;
BEGIN
    FOR source IN SELECT * FROM (VALUES
        ('enrollments', 'announce_person', ARRAY['status', 'banned', 'ban_until', 'expiry_date']),
        ('subscriptions', 'announce_person', ARRAY['status', 'current_period_end', 'plan_id']),
        ('memberships', 'announce_person', ARRAY['role']),
        ('api_keys', 'announce_person', ARRAY['revoked_at', 'expires_at', 'scopes']),
        ('early_unlocks', 'announce_person', ARRAY['lesson_id', 'chapter_id']),
        ('lessons', 'announce_lessons', ARRAY['status', 'release_at', 'is_active', 'is_preview', 'content_id']),
        ('chapters', 'announce_lessons', ARRAY['status', 'release_at', 'is_active']),
        ('courses', 'announce_lessons', ARRAY['status', 'pricing_type', 'teacher_id'])) AS v (name, function, columns)
    LOOP
        EXECUTE format('CREATE TRIGGER %I AFTER UPDATE ON %I REFERENCING OLD TABLE AS former NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION %I(%s)',
                       source.name || '_announce_update', source.name, source.function,
                       (SELECT string_agg(quote_literal(c), ', ') FROM unnest(source.columns) AS c));
        CONTINUE WHEN source.function = 'announce_lessons';
        EXECUTE format('CREATE TRIGGER %I AFTER INSERT ON %I REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION announce_person()',
                       source.name || '_announce_insert', source.name);
        EXECUTE format('CREATE TRIGGER %I AFTER DELETE ON %I REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION announce_person()',
                       source.name || '_announce_delete', source.name);
    END LOOP;
END $$;
