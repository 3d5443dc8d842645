-- What follows from what people write: points for the author, and somebody is told. By trigger, so that it follows whichever way a row came.

CREATE TABLE blog_comment_upvotes (
    id         uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id  uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    comment_id uuid NOT NULL REFERENCES blog_comments ON DELETE CASCADE,
    user_id    uuid NOT NULL DEFAULT app_user_id() REFERENCES users ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT blog_comment_upvotes__once UNIQUE (comment_id, user_id)
);
COMMENT ON TABLE blog_comment_upvotes IS 'Who has upvoted: blog_comments.upvotes counts them.';
SELECT admit('blog_comment_upvotes', 'user_id = @user OR @staff', 'user_id = @user OR @service',
             '(user_id = @user AND EXISTS (SELECT FROM blog_comments c WHERE c.id = comment_id)) OR @service');
CREATE FUNCTION count_upvotes() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
BEGIN
    UPDATE blog_comments c SET upvotes = c.upvotes + n.more * CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END
    FROM (SELECT comment_id, count(*)::int AS more FROM changed GROUP BY comment_id) AS n WHERE c.id = n.comment_id;
    PERFORM act_as(was);
    RETURN NULL;
END $$;
CREATE TRIGGER blog_comment_upvotes_count_insert AFTER INSERT ON blog_comment_upvotes REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION count_upvotes();
CREATE TRIGGER blog_comment_upvotes_count_delete AFTER DELETE ON blog_comment_upvotes REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION count_upvotes();

-- Each reader earns an author the points of a comment and of a reaction once a blog, however often they write or change their mind;
-- an author earns nothing from themselves.
CREATE FUNCTION blogs_earn() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
BEGIN
    WITH earned AS (
        INSERT INTO point_entries (tenant_id, user_id, points, reason, subject_type, subject_id)
        SELECT b.tenant_id, b.author_id, TG_ARGV[0]::int, TG_ARGV[1] || ':' || b.id, 'users', (n.doc ->> TG_ARGV[2])::uuid
        FROM (SELECT to_jsonb(changed) AS doc FROM changed) AS n JOIN blogs b ON b.id = (n.doc ->> 'blog_id')::uuid
        WHERE (n.doc ->> TG_ARGV[2])::uuid <> b.author_id
        GROUP BY b.id, n.doc ->> TG_ARGV[2]
        ON CONFLICT DO NOTHING RETURNING split_part(reason, ':', 2)::uuid AS blog_id, points)
    UPDATE blogs b SET points_earned = b.points_earned + e.points
    FROM (SELECT blog_id, sum(points)::int AS points FROM earned GROUP BY blog_id) AS e WHERE b.id = e.blog_id;
    INSERT INTO notifications (tenant_id, user_id, type, title, message, link)
    SELECT b.tenant_id, b.author_id, TG_ARGV[3]::notification_type, TG_ARGV[4], b.title, '/blogs/' || b.slug
    FROM (SELECT to_jsonb(changed) AS doc FROM changed) AS n JOIN blogs b ON b.id = (n.doc ->> 'blog_id')::uuid
    WHERE (n.doc ->> TG_ARGV[2])::uuid <> b.author_id;
    PERFORM act_as(was);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION blogs_earn() IS 'Arguments: points, their reason, the column of the reader, the kind of notification and its title.';
CREATE TRIGGER blog_comments_earn AFTER INSERT ON blog_comments REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION blogs_earn('2', 'blog_comment', 'author_id', 'comment_received', 'Somebody commented on your blog');
CREATE TRIGGER blog_reactions_earn AFTER INSERT ON blog_reactions REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION blogs_earn('1', 'blog_reaction', 'user_id', 'reaction_received', 'Somebody reacted to your blog');

CREATE FUNCTION points_told() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
BEGIN
    INSERT INTO notifications (tenant_id, user_id, type, title, message)
    SELECT tenant_id, user_id, 'points_earned', 'You have earned points', sum(points)::text
    FROM booked WHERE points > 0 GROUP BY tenant_id, user_id;
    PERFORM act_as(was);
    RETURN NULL;
END $$;
CREATE TRIGGER point_entries_told AFTER INSERT ON point_entries REFERENCING NEW TABLE AS booked
    FOR EACH STATEMENT EXECUTE FUNCTION points_told();

-- What somebody puts on their list, or has watched, is told to their families; each person is told once, however many families they share.
CREATE FUNCTION families_told() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
BEGIN
    INSERT INTO notifications (tenant_id, user_id, type, title, message)
    SELECT DISTINCT n.tenant_id, other.user_id, 'family_activity'::notification_type,
           coalesce(p.display_name, 'Somebody') || CASE n.status WHEN 'completed' THEN ' has watched ' ELSE ' wants to watch ' END || m.title, ''
    FROM changed n JOIN media_items m ON m.id = n.media_item_id LEFT JOIN user_profiles p ON p.user_id = n.user_id
    JOIN family_memberships mine ON mine.user_id = n.user_id AND mine.tenant_id = n.tenant_id
    JOIN family_memberships other ON other.family_id = mine.family_id AND other.user_id <> n.user_id
    WHERE n.status <> 'watching';
    PERFORM act_as(was);
    RETURN NULL;
END $$;
CREATE TRIGGER watchlist_entries_told AFTER INSERT ON watchlist_entries REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION families_told();

CREATE FUNCTION joining_told() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
BEGIN
    INSERT INTO notifications (tenant_id, user_id, type, title, message)
    SELECT n.tenant_id, other.user_id, 'family_activity', coalesce(p.display_name, 'Somebody') || ' has joined ' || f.name, ''
    FROM changed n JOIN families f ON f.id = n.family_id LEFT JOIN user_profiles p ON p.user_id = n.user_id
    JOIN family_memberships other ON other.family_id = n.family_id AND other.user_id <> n.user_id;
    PERFORM act_as(was);
    RETURN NULL;
END $$;
CREATE TRIGGER family_memberships_told AFTER INSERT ON family_memberships REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION joining_told();

CREATE FUNCTION recommendations_told() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
BEGIN
    INSERT INTO notifications (tenant_id, user_id, type, title, message)
    SELECT n.tenant_id, n.recommended_to, 'recommendation', coalesce(p.display_name, 'Somebody') || ' recommends ' || m.title, coalesce(n.message, '')
    FROM changed n JOIN media_items m ON m.id = n.media_item_id LEFT JOIN user_profiles p ON p.user_id = n.recommended_by;
    PERFORM act_as(was);
    RETURN NULL;
END $$;
CREATE TRIGGER recommendations_told AFTER INSERT ON recommendations REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION recommendations_told();

-- The answers of others to what one wrote: a blog approved or rejected, a request for help answered.
CREATE FUNCTION blogs_told() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
BEGIN
    INSERT INTO notifications (tenant_id, user_id, type, title, message, link)
    SELECT n.tenant_id, n.author_id, CASE n.status WHEN 'Approved' THEN 'blog_approved' ELSE 'blog_rejected' END::notification_type,
           CASE n.status WHEN 'Approved' THEN 'Your blog has been approved' ELSE 'Your blog has been rejected' END,
           n.title || coalesce(': ' || n.rejection_reason, ''), '/blogs/' || n.slug
    FROM changed n JOIN former o USING (id)
    WHERE o.status = 'Pending' AND n.status IN ('Approved', 'Rejected');
    PERFORM act_as(was);
    RETURN NULL;
END $$;
CREATE TRIGGER blogs_told AFTER UPDATE ON blogs REFERENCING OLD TABLE AS former NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION blogs_told();

CREATE FUNCTION help_requests_told() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
BEGIN
    INSERT INTO notifications (tenant_id, user_id, type, title, message)
    SELECT n.tenant_id, n.user_id, 'admin_reply', 'Your request has been answered', n.subject
    FROM changed n JOIN former o USING (id) WHERE n.response IS DISTINCT FROM o.response AND n.response <> '';
    PERFORM act_as(was);
    RETURN NULL;
END $$;
CREATE TRIGGER help_requests_told AFTER UPDATE ON help_requests REFERENCING OLD TABLE AS former NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION help_requests_told();
