-- What can be played and how it is shelved.

CREATE TYPE content_type AS ENUM ('MOVIE', 'SERIES', 'EPISODE', 'MUSIC', 'LESSON', 'PODCAST_EPISODE', 'LIVE_RECORDING');

CREATE TABLE contents (
    id                 uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id          uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    title              text NOT NULL CONSTRAINT contents__title_given CHECK (title <> '' AND length(title) <= 300),
    description        text,
    content_type       content_type NOT NULL,
    thumbnail_image_id uuid REFERENCES files ON DELETE SET NULL,
    file_id            uuid REFERENCES files ON DELETE SET NULL,
    generation_id      uuid,
    duration           bigint CONSTRAINT contents__duration_not_negative CHECK (duration >= 0),
    language           text,
    is_free            boolean NOT NULL DEFAULT false,
    is_preview         boolean NOT NULL DEFAULT false,
    in_subscription    boolean NOT NULL DEFAULT false,
    for_members        boolean NOT NULL DEFAULT false,
    is_available       boolean NOT NULL DEFAULT true,
    is_published       boolean NOT NULL DEFAULT false,
    published_at       timestamptz,
    release_date       date,
    view_count         bigint NOT NULL DEFAULT 0 CONSTRAINT contents__view_count_not_negative CHECK (view_count >= 0),
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    updated_by         uuid NOT NULL DEFAULT '00000000-0000-7000-8000-000000000002' REFERENCES users ON DELETE SET DEFAULT,
    search             tsvector GENERATED ALWAYS AS (setweight(to_tsvector('simple', title), 'A')
                       || setweight(to_tsvector('simple', coalesce(description, '')), 'B')) STORED,
    CONSTRAINT contents__published_has_moment CHECK (NOT is_published OR published_at IS NOT NULL)
);
COMMENT ON TABLE contents IS 'Everything playable: films, episodes, lessons, podcast episodes, recordings.';
COMMENT ON COLUMN contents.duration IS 'Seconds, rounded up; the exact length is generations.duration_ms.';
COMMENT ON COLUMN contents.generation_id IS 'The generation players are given; changes in one step when a new one is published.';
COMMENT ON COLUMN contents.in_subscription IS 'Opened by every running subscription whose plan opens the catalogue.';
COMMENT ON COLUMN contents.for_members IS 'Every member of the tenant may watch.';
COMMENT ON COLUMN contents.is_free IS 'Everyone may watch; otherwise an entitlement is needed.';
CREATE INDEX contents_search_idx ON contents USING gin (search);
CREATE INDEX contents_type_idx ON contents (content_type);
CREATE INDEX contents_published_idx ON contents (is_published, published_at);
CREATE INDEX contents_updated_by_idx ON contents (updated_by);
CREATE INDEX contents_release_date_idx ON contents (release_date);
CREATE INDEX contents_view_count_idx ON contents (view_count);
-- The newest first is how a catalogue is asked for; without the date a list of 20 sorted every title there is.
CREATE INDEX contents_newest_idx ON contents (tenant_id, published_at);
CREATE INDEX contents_thumbnail_image_id_idx ON contents (thumbnail_image_id);
CREATE INDEX contents_file_id_idx ON contents (file_id);
CREATE INDEX contents_generation_id_idx ON contents (generation_id);
CREATE TRIGGER contents_touch BEFORE UPDATE ON contents FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

-- Names the editor. A foreign key's SET DEFAULT (the editor's account is being deleted) changes the column itself: leave that.
CREATE FUNCTION contents_name_editor() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF app_user_id() IS NOT NULL AND (TG_OP = 'INSERT' OR NEW.updated_by IS NOT DISTINCT FROM OLD.updated_by) THEN
        NEW.updated_by := app_user_id();
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER contents_name_editor BEFORE INSERT OR UPDATE ON contents FOR EACH ROW EXECUTE FUNCTION contents_name_editor();

CREATE TABLE categories (
    id          uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id   uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    parent_id   uuid REFERENCES categories ON DELETE SET NULL CONSTRAINT categories__not_own_parent CHECK (parent_id <> id),
    title       text NOT NULL CONSTRAINT categories__title_given CHECK (title <> ''),
    description text,
    slug        text,
    icon_url    text,
    CONSTRAINT categories__slug_unique UNIQUE (tenant_id, slug)
);
CREATE INDEX categories_parent_id_idx ON categories (parent_id);
CREATE INDEX categories_slug_idx ON categories (slug);

CREATE TABLE genres (
    id          uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id   uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    title       text NOT NULL CONSTRAINT genres__title_given CHECK (title <> ''),
    description text,
    slug        text,
    CONSTRAINT genres__slug_unique UNIQUE (tenant_id, slug)
);
CREATE INDEX genres_slug_idx ON genres (slug);

CREATE TABLE content_categories (
    id          uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id   uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    content_id  uuid NOT NULL REFERENCES contents ON DELETE CASCADE,
    category_id uuid NOT NULL REFERENCES categories ON DELETE CASCADE,
    is_public   boolean NOT NULL DEFAULT false,
    CONSTRAINT content_categories__once UNIQUE (content_id, category_id)
);
CREATE INDEX content_categories_content_id_idx ON content_categories (content_id);
CREATE INDEX content_categories_category_id_idx ON content_categories (category_id);

CREATE TABLE content_genres (
    id         uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id  uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    content_id uuid NOT NULL REFERENCES contents ON DELETE CASCADE,
    genre_id   uuid NOT NULL REFERENCES genres ON DELETE CASCADE,
    is_public  boolean NOT NULL DEFAULT false,
    CONSTRAINT content_genres__once UNIQUE (content_id, genre_id)
);
CREATE INDEX content_genres_content_id_idx ON content_genres (content_id);
CREATE INDEX content_genres_genre_id_idx ON content_genres (genre_id);

CREATE TABLE content_prices (
    id             uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id      uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    content_id     uuid NOT NULL REFERENCES contents ON DELETE CASCADE,
    price          numeric(19, 4) NOT NULL CONSTRAINT content_prices__price_not_negative CHECK (price >= 0),
    currency       text NOT NULL CONSTRAINT content_prices__currency_iso CHECK (currency ~ '^[A-Z]{3}$'),
    effective_from timestamptz NOT NULL,
    effective_to   timestamptz,
    created_by     uuid NOT NULL DEFAULT '00000000-0000-7000-8000-000000000002' REFERENCES users ON DELETE SET DEFAULT,
    created_at     timestamptz NOT NULL DEFAULT now(),
    is_public      boolean NOT NULL DEFAULT false,
    CONSTRAINT content_prices__ends_after_start CHECK (effective_to > effective_from),
    CONSTRAINT content_prices__no_overlap EXCLUDE USING gist (content_id WITH =, currency WITH =, tstzrange(effective_from, effective_to) WITH &&)
);
CREATE INDEX content_prices_content_id_idx ON content_prices (content_id);
CREATE INDEX content_prices_effective_idx ON content_prices (effective_from, effective_to);
CREATE INDEX content_prices_created_by_idx ON content_prices (created_by);

CREATE TABLE playlists (
    id                 uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id          uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    creator_id         uuid NOT NULL DEFAULT '00000000-0000-7000-8000-000000000002' REFERENCES users ON DELETE SET DEFAULT,
    title              text NOT NULL CONSTRAINT playlists__title_given CHECK (title <> '' AND length(title) <= 300),
    description        text,
    thumbnail_image_id uuid REFERENCES files ON DELETE SET NULL,
    is_series          boolean NOT NULL DEFAULT true,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX playlists_creator_id_idx ON playlists (creator_id);
CREATE INDEX playlists_series_idx ON playlists (is_series);
CREATE INDEX playlists_tenant_id_idx ON playlists (tenant_id);
CREATE INDEX playlists_thumbnail_image_id_idx ON playlists (thumbnail_image_id);
CREATE TRIGGER playlists_touch BEFORE UPDATE ON playlists FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

CREATE TABLE playlist_episodes (
    id             uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id      uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    playlist_id    uuid NOT NULL REFERENCES playlists ON DELETE CASCADE,
    content_id     uuid NOT NULL REFERENCES contents ON DELETE CASCADE,
    episode_order  integer NOT NULL CONSTRAINT playlist_episodes__order_positive CHECK (episode_order > 0),
    season_number  integer CONSTRAINT playlist_episodes__season_not_negative CHECK (season_number >= 0),
    episode_number integer CONSTRAINT playlist_episodes__number_not_negative CHECK (episode_number >= 0),
    title          text,
    added_at       timestamptz NOT NULL DEFAULT now(),
    is_public      boolean NOT NULL DEFAULT false,
    CONSTRAINT playlist_episodes__order_unique UNIQUE (playlist_id, episode_order)
);
CREATE INDEX playlist_episodes_playlist_id_idx ON playlist_episodes (playlist_id);
CREATE INDEX playlist_episodes_content_id_idx ON playlist_episodes (content_id);
CREATE INDEX playlist_episodes_order_idx ON playlist_episodes (playlist_id, season_number, episode_order);

CREATE TABLE playlist_prices (
    id             uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id      uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    playlist_id    uuid NOT NULL REFERENCES playlists ON DELETE CASCADE,
    price          numeric(19, 4) NOT NULL CONSTRAINT playlist_prices__price_not_negative CHECK (price >= 0),
    currency       text NOT NULL CONSTRAINT playlist_prices__currency_iso CHECK (currency ~ '^[A-Z]{3}$'),
    effective_from date NOT NULL,
    effective_to   date,
    created_by     uuid NOT NULL DEFAULT '00000000-0000-7000-8000-000000000002' REFERENCES users ON DELETE SET DEFAULT,
    created_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT playlist_prices__ends_after_start CHECK (effective_to > effective_from),
    CONSTRAINT playlist_prices__no_overlap EXCLUDE USING gist (playlist_id WITH =, currency WITH =, daterange(effective_from, effective_to) WITH &&)
);
CREATE INDEX playlist_prices_playlist_id_idx ON playlist_prices (playlist_id);
CREATE INDEX playlist_prices_effective_idx ON playlist_prices (effective_from, effective_to);
CREATE INDEX playlist_prices_created_by_idx ON playlist_prices (created_by);

SELECT admit('contents', '@staff OR (is_published AND is_available AND @known)', '@staff');
SELECT admit(shelf, '@known', '@staff') FROM unnest(ARRAY['categories', 'genres', 'playlists', 'playlist_prices']::regclass[]) AS shelf;
SELECT admit(part, '@staff OR (is_public AND @known)', '@staff')
FROM unnest(ARRAY['content_categories', 'content_genres', 'content_prices', 'playlist_episodes']::regclass[]) AS part;
