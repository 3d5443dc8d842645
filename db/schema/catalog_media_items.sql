-- Titles of the world outside (TMDB), where they stream, and what is said in ours.

CREATE TYPE tmdb_type AS ENUM ('movie', 'tv');

CREATE TABLE media_items (
    id            uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id     uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    content_id    uuid REFERENCES contents ON DELETE SET NULL,
    tmdb_id       integer NOT NULL CONSTRAINT media_items__tmdb_positive CHECK (tmdb_id > 0),
    tmdb_type     tmdb_type NOT NULL,
    title         text NOT NULL CONSTRAINT media_items__title_given CHECK (title <> ''),
    description   text,
    poster_path   text,
    backdrop_path text,
    release_date  date,
    rating        numeric(4, 2) CONSTRAINT media_items__rating_in_range CHECK (rating BETWEEN 0 AND 10),
    imdb_id       text CONSTRAINT media_items__imdb_id_plain CHECK (imdb_id ~ '^tt[0-9]{1,12}$'),
    runtime_minutes integer CONSTRAINT media_items__runtime_positive CHECK (runtime_minutes > 0),
    genres        text[] NOT NULL DEFAULT '{}',
    creators      text[] NOT NULL DEFAULT '{}',
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    search        tsvector GENERATED ALWAYS AS (setweight(to_tsvector('simple', title), 'A')
                  || setweight(to_tsvector('simple', coalesce(description, '')), 'B')) STORED,
    CONSTRAINT media_items__tmdb_unique UNIQUE (tenant_id, tmdb_id)
);
CREATE INDEX media_items_search_idx ON media_items USING gin (search);
COMMENT ON COLUMN media_items.rating IS 'What TMDB says, of 10; what others say is in media_item_ratings.';
COMMENT ON COLUMN media_items.runtime_minutes IS 'Of a series: of an episode.';
COMMENT ON COLUMN media_items.content_id IS 'Set when the title is hosted here too.';
SELECT admit('media_items', '@known', '@staff');

CREATE TABLE streaming_providers (
    id            uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id     uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    media_item_id uuid NOT NULL REFERENCES media_items ON DELETE CASCADE,
    provider      text NOT NULL CONSTRAINT streaming_providers__provider_given CHECK (provider <> ''),
    url           text,
    regions       text[] NOT NULL DEFAULT '{}',
    added_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT streaming_providers__once UNIQUE (media_item_id, provider)
);
SELECT admit('streaming_providers', '@known', '@staff');

CREATE TABLE media_item_ratings (
    id            uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id     uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    media_item_id uuid NOT NULL REFERENCES media_items ON DELETE CASCADE,
    source        text NOT NULL CONSTRAINT media_item_ratings__source_plain CHECK (source ~ '^[a-z0-9]+([_-][a-z0-9]+)*$' AND length(source) <= 60),
    score         numeric(6, 2) NOT NULL,
    out_of        numeric(6, 2) NOT NULL DEFAULT 10 CONSTRAINT media_item_ratings__out_of_positive CHECK (out_of > 0),
    votes         integer CONSTRAINT media_item_ratings__votes_not_negative CHECK (votes >= 0),
    url           text CONSTRAINT media_item_ratings__url_web CHECK (url ~ '^https?://'),
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT media_item_ratings__once UNIQUE (media_item_id, source),
    CONSTRAINT media_item_ratings__score_in_range CHECK (score BETWEEN 0 AND out_of)
);
COMMENT ON TABLE media_item_ratings IS 'What further sources say of a title (imdb, rotten_tomatoes, metacritic), each on its own scale.';
SELECT admit('media_item_ratings', '@known', '@staff');

CREATE TABLE transcripts (
    content_id       uuid PRIMARY KEY REFERENCES contents ON DELETE CASCADE,
    tenant_id        uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    content          text NOT NULL,
    language         text,
    confidence_score numeric(5, 4) CONSTRAINT transcripts__confidence_fraction CHECK (confidence_score BETWEEN 0 AND 1),
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    search           tsvector GENERATED ALWAYS AS (to_tsvector('simple', content)) STORED
);
CREATE INDEX transcripts_search_idx ON transcripts USING gin (search);
COMMENT ON TABLE transcripts IS 'What is said in an episode: one text a content, replaced as a whole.';
SELECT admit('transcripts', 'EXISTS (SELECT FROM contents c WHERE c.id = content_id)', '@staff');

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_trgm') THEN
        CREATE INDEX contents_title_trgm_idx ON contents USING gin (title gin_trgm_ops);
        CREATE INDEX media_items_title_trgm_idx ON media_items USING gin (title gin_trgm_ops);
    END IF;
END $$;
