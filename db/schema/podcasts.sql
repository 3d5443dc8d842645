-- Podcasts, their episodes, who listens, and what is sold of them.

CREATE TABLE podcasts (
    id           uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id    uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    name         text NOT NULL CONSTRAINT podcasts__name_given CHECK (name <> '' AND length(name) <= 300),
    description  text,
    rss_feed_url text CONSTRAINT podcasts__feed_is_http CHECK (rss_feed_url ~ '^https?://'),
    website_url  text CONSTRAINT podcasts__website_is_http CHECK (website_url ~ '^https?://'),
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    search       tsvector GENERATED ALWAYS AS (setweight(to_tsvector('simple', name), 'A')
                 || setweight(to_tsvector('simple', coalesce(description, '')), 'B')) STORED,
    CONSTRAINT podcasts__feed_unique UNIQUE (tenant_id, rss_feed_url)
);
CREATE INDEX podcasts_search_idx ON podcasts USING gin (search);
CREATE TRIGGER podcasts_quota AFTER INSERT ON podcasts REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION within_quota('max_podcasts');
SELECT admit('podcasts', '@known', '@staff');

CREATE TABLE podcast_episodes (
    id               uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id        uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    podcast_id       uuid NOT NULL REFERENCES podcasts ON DELETE CASCADE,
    content_id       uuid CONSTRAINT podcast_episodes__content_unique UNIQUE REFERENCES contents ON DELETE SET NULL,
    title            text NOT NULL CONSTRAINT podcast_episodes__title_given CHECK (title <> ''),
    description      text,
    season_number    integer CONSTRAINT podcast_episodes__season_not_negative CHECK (season_number >= 0),
    episode_number   integer CONSTRAINT podcast_episodes__number_not_negative CHECK (episode_number >= 0),
    published_at     timestamptz,
    duration_seconds integer CONSTRAINT podcast_episodes__duration_not_negative CHECK (duration_seconds >= 0),
    audio_url        text,
    guid             text,
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT podcast_episodes__guid_unique UNIQUE (podcast_id, guid)
);
CREATE INDEX podcast_episodes_published_idx ON podcast_episodes (podcast_id, published_at);
COMMENT ON COLUMN podcast_episodes.content_id IS 'The sound, when it is hosted here; audio_url when it lies elsewhere.';
COMMENT ON COLUMN podcast_episodes.published_at IS 'Null or to come: for staff only.';
SELECT admit('podcast_episodes', '@staff OR (published_at <= now() AND @known)', '@staff');

CREATE TABLE listener_events (
    id          uuid NOT NULL DEFAULT uuid7(),
    tenant_id   uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    episode_id  uuid NOT NULL REFERENCES podcast_episodes ON DELETE CASCADE,
    listener_id text NOT NULL,
    event_type  text NOT NULL CONSTRAINT listener_events__type_given CHECK (event_type <> ''),
    event_data  jsonb NOT NULL DEFAULT '{}',
    occurred_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (occurred_at, id)
) PARTITION BY RANGE (occurred_at);
CREATE INDEX listener_events_episode_id_idx ON listener_events (episode_id, event_type, listener_id, occurred_at);
CREATE INDEX listener_events_occurred_at_idx ON listener_events (occurred_at);
COMMENT ON TABLE listener_events IS 'Raw, as they came; listener_id is a digest, never an address. Kept two years, a piece a day.';
COMMENT ON INDEX listener_events_episode_id_idx IS 'Answers "has this listener been counted in this hour" with one probe an event.';
SELECT register_partitions('listener_events', '1 day', 7, '2 years');
SELECT admit('listener_events', '@staff', '@service');

CREATE TABLE listener_metrics (
    id           uuid NOT NULL DEFAULT uuid7(),
    tenant_id    uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    episode_id   uuid NOT NULL REFERENCES podcast_episodes ON DELETE CASCADE,
    metric_date  date NOT NULL,
    metric_name  text NOT NULL CONSTRAINT listener_metrics__name_given CHECK (metric_name <> ''),
    metric_value numeric NOT NULL,
    metric_data  jsonb,
    PRIMARY KEY (metric_date, id)
) PARTITION BY RANGE (metric_date);
CREATE INDEX listener_metrics_metric_date_idx ON listener_metrics (metric_date);
SELECT register_partitions('listener_metrics', '1 day', 7);
SELECT admit('listener_metrics', '@staff', '@service');

CREATE TABLE marketplace_listings (
    id           uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id    uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    podcast_id   uuid NOT NULL REFERENCES podcasts ON DELETE CASCADE,
    listing_type text NOT NULL,
    status       text NOT NULL DEFAULT 'draft' CONSTRAINT marketplace_listings__status_known CHECK (status IN ('draft', 'listed', 'paused', 'sold', 'withdrawn')),
    pricing      jsonb NOT NULL DEFAULT '{}',
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX marketplace_listings_status_idx ON marketplace_listings (status);
CREATE TRIGGER marketplace_listings_transition BEFORE UPDATE ON marketplace_listings FOR EACH ROW EXECUTE FUNCTION
    allow_transitions('status', 'draft>listed', 'draft>withdrawn', 'listed>paused', 'listed>sold', 'listed>withdrawn', 'paused>listed', 'paused>withdrawn');
SELECT admit('marketplace_listings', '@staff OR (status = ''listed'' AND @known)', '@staff');

CREATE TABLE marketplace_revenue (
    id               uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id        uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    listing_id       uuid NOT NULL REFERENCES marketplace_listings ON DELETE CASCADE,
    amount           numeric(19, 4) NOT NULL,
    currency         text NOT NULL CONSTRAINT marketplace_revenue__currency_iso CHECK (currency ~ '^[A-Z]{3}$'),
    transaction_date date NOT NULL DEFAULT current_date
);
CREATE INDEX marketplace_revenue_date_idx ON marketplace_revenue (listing_id, currency, transaction_date);
SELECT admit('marketplace_revenue', '@staff', '@service');
