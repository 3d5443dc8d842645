-- Blogs: written for points, moderated, read, answered.

CREATE TYPE blog_status AS ENUM ('Pending', 'Approved', 'Rejected', 'Published');
CREATE TYPE reaction_type AS ENUM ('Like', 'Love', 'Insightful', 'Funny');

CREATE TABLE blog_categories (
    id          uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id   uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    name        text NOT NULL CONSTRAINT blog_categories__name_given CHECK (name <> ''),
    slug        text NOT NULL CONSTRAINT blog_categories__slug_plain CHECK (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$'),
    description text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT blog_categories__name_unique UNIQUE (tenant_id, name),
    CONSTRAINT blog_categories__slug_unique UNIQUE (tenant_id, slug)
);
SELECT admit('blog_categories', '@known', '@staff');

CREATE TABLE blogs (
    id               uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id        uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    author_id        uuid NOT NULL DEFAULT app_user_id() REFERENCES users ON DELETE CASCADE,
    category_id      uuid REFERENCES blog_categories ON DELETE SET NULL,
    course_id        uuid REFERENCES courses ON DELETE SET NULL,
    title            text NOT NULL CONSTRAINT blogs__title_given CHECK (title <> '' AND length(title) <= 300),
    slug             text NOT NULL CONSTRAINT blogs__slug_plain CHECK (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$'),
    content          text NOT NULL,
    excerpt          text,
    cover_image_key  text,
    seo_title        text,
    seo_description  text,
    reading_time     integer NOT NULL DEFAULT 0 CONSTRAINT blogs__reading_time_not_negative CHECK (reading_time >= 0),
    status           blog_status NOT NULL DEFAULT 'Pending',
    is_featured      boolean NOT NULL DEFAULT false,
    is_draft         boolean NOT NULL DEFAULT false,
    view_count       integer NOT NULL DEFAULT 0 CONSTRAINT blogs__views_not_negative CHECK (view_count >= 0),
    like_count       integer NOT NULL DEFAULT 0 CONSTRAINT blogs__likes_not_negative CHECK (like_count >= 0),
    comment_count    integer NOT NULL DEFAULT 0 CONSTRAINT blogs__comments_not_negative CHECK (comment_count >= 0),
    points_required  integer NOT NULL DEFAULT 5 CONSTRAINT blogs__required_not_negative CHECK (points_required >= 0),
    points_spent     integer NOT NULL DEFAULT 0 CONSTRAINT blogs__spent_not_negative CHECK (points_spent >= 0),
    points_earned    integer NOT NULL DEFAULT 0 CONSTRAINT blogs__earned_not_negative CHECK (points_earned >= 0),
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    published_at     timestamptz,
    rejected_at      timestamptz,
    rejection_reason text,
    search           tsvector GENERATED ALWAYS AS (setweight(to_tsvector('simple', title), 'A')
                     || setweight(to_tsvector('simple', coalesce(excerpt, '') || ' ' || content), 'B')) STORED,
    CONSTRAINT blogs__slug_unique UNIQUE (tenant_id, slug),
    CONSTRAINT blogs__published_has_moment CHECK (status <> 'Published' OR published_at IS NOT NULL),
    CONSTRAINT blogs__rejected_has_moment CHECK ((status = 'Rejected') = (rejected_at IS NOT NULL))
);
CREATE INDEX blogs_status_idx ON blogs (status);
CREATE INDEX blogs_is_featured_idx ON blogs (is_featured);
CREATE INDEX blogs_created_at_idx ON blogs (created_at);
CREATE INDEX blogs_search_idx ON blogs USING gin (search);
CREATE TRIGGER blogs_transition BEFORE UPDATE ON blogs FOR EACH ROW EXECUTE FUNCTION
    allow_transitions('status', 'Pending>Approved', 'Pending>Rejected', 'Approved>Published', 'Rejected>Pending', 'Published>Approved');

-- Posting costs points_required, noted in points_spent and taken from the author in the same transaction.
CREATE FUNCTION blogs_price() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.points_spent := NEW.points_required;
    RETURN NEW;
END $$;
CREATE TRIGGER blogs_price BEFORE INSERT ON blogs FOR EACH ROW EXECUTE FUNCTION blogs_price();
CREATE FUNCTION blogs_paid() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
BEGIN
    INSERT INTO point_entries (tenant_id, user_id, points, reason, subject_type, subject_id)
    SELECT tenant_id, author_id, -points_spent, 'blog_posted', 'blogs', id FROM posted WHERE points_spent > 0;
    PERFORM act_as(was);
    RETURN NULL;
END $$;
CREATE TRIGGER blogs_paid AFTER INSERT ON blogs REFERENCING NEW TABLE AS posted FOR EACH STATEMENT EXECUTE FUNCTION blogs_paid();
SELECT admit('blogs', '@staff OR author_id = @user OR (status = ''Published'' AND NOT is_draft AND @known)',
             '@staff OR (author_id = @user AND status IN (''Pending'', ''Rejected'') AND NOT is_featured)');

CREATE TABLE blog_tags (
    id         uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id  uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    blog_id    uuid NOT NULL REFERENCES blogs ON DELETE CASCADE,
    name       text NOT NULL CONSTRAINT blog_tags__name_given CHECK (name <> ''),
    slug       text NOT NULL CONSTRAINT blog_tags__slug_plain CHECK (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$'),
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT blog_tags__once UNIQUE (blog_id, slug)
);
CREATE INDEX blog_tags_slug_idx ON blog_tags (slug);
SELECT admit('blog_tags', 'EXISTS (SELECT FROM blogs b WHERE b.id = blog_id)', '@staff OR EXISTS (SELECT FROM blogs b WHERE b.id = blog_id AND b.author_id = @user)');

CREATE TABLE blog_comments (
    id         uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id  uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    blog_id    uuid NOT NULL REFERENCES blogs ON DELETE CASCADE,
    author_id  uuid NOT NULL DEFAULT app_user_id() REFERENCES users ON DELETE CASCADE,
    parent_id  uuid,
    content    text NOT NULL CONSTRAINT blog_comments__content_given CHECK (content <> ''),
    upvotes    integer NOT NULL DEFAULT 0 CONSTRAINT blog_comments__upvotes_not_negative CHECK (upvotes >= 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT blog_comments__of_blog_unique UNIQUE (id, blog_id),
    CONSTRAINT blog_comments__reply_in_blog FOREIGN KEY (parent_id, blog_id) REFERENCES blog_comments (id, blog_id) ON DELETE CASCADE
);
CREATE INDEX blog_comments_parent_idx ON blog_comments (parent_id, blog_id);
COMMENT ON CONSTRAINT blog_comments__reply_in_blog ON blog_comments IS 'An answer stays under the blog of what it answers.';
SELECT admit('blog_comments', 'EXISTS (SELECT FROM blogs b WHERE b.id = blog_id)', 'author_id = @user OR @staff',
             '(author_id = @user AND upvotes = 0 AND EXISTS (SELECT FROM blogs b WHERE b.id = blog_id)) OR @staff');

CREATE TABLE blog_reactions (
    id         uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id  uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    blog_id    uuid NOT NULL REFERENCES blogs ON DELETE CASCADE,
    user_id    uuid NOT NULL DEFAULT app_user_id() REFERENCES users ON DELETE CASCADE,
    type       reaction_type NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT blog_reactions__once UNIQUE (blog_id, user_id)
);
SELECT admit('blog_reactions', 'EXISTS (SELECT FROM blogs b WHERE b.id = blog_id)', 'user_id = @user OR @staff',
             '(user_id = @user AND EXISTS (SELECT FROM blogs b WHERE b.id = blog_id)) OR @staff');

CREATE FUNCTION count_blog_answers() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
BEGIN
    EXECUTE format('UPDATE blogs b SET %1$I = b.%1$I + n.more FROM (SELECT blog_id, count(*) * %3$s AS more FROM changed GROUP BY blog_id) AS n
                    WHERE b.id = n.blog_id', TG_ARGV[0], TG_TABLE_NAME, CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END);
    PERFORM act_as(was);
    RETURN NULL;
END $$;
CREATE TRIGGER blog_comments_count_insert AFTER INSERT ON blog_comments REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION count_blog_answers('comment_count');
CREATE TRIGGER blog_comments_count_delete AFTER DELETE ON blog_comments REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION count_blog_answers('comment_count');
CREATE TRIGGER blog_reactions_count_insert AFTER INSERT ON blog_reactions REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION count_blog_answers('like_count');
CREATE TRIGGER blog_reactions_count_delete AFTER DELETE ON blog_reactions REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION count_blog_answers('like_count');
