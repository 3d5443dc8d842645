-- What people write about titles, and the shelves they put them on.

CREATE TABLE media_reviews (
    id            uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id     uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    media_item_id uuid NOT NULL REFERENCES media_items ON DELETE CASCADE,
    user_id       uuid NOT NULL DEFAULT app_user_id() REFERENCES users ON DELETE CASCADE,
    title         text,
    body          text NOT NULL CONSTRAINT media_reviews__body_given CHECK (body <> '' AND length(body) <= 20000),
    has_spoilers  boolean NOT NULL DEFAULT false,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT media_reviews__once UNIQUE (user_id, media_item_id)
);
COMMENT ON TABLE media_reviews IS 'In words; the rating in stars is on the watchlist entry.';
SELECT admit('media_reviews', '@known', 'user_id = @user OR @staff');

CREATE TABLE collections (
    id          uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id   uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    user_id     uuid NOT NULL DEFAULT app_user_id() REFERENCES users ON DELETE CASCADE,
    family_id   uuid REFERENCES families ON DELETE CASCADE,
    title       text NOT NULL CONSTRAINT collections__title_given CHECK (title <> ''),
    description text,
    is_public   boolean NOT NULL DEFAULT false,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN collections.family_id IS 'Null: one''s own. Otherwise the whole family sees it.';
SELECT admit('collections', 'user_id = @user OR (is_public AND @known) OR family_id = ANY ((SELECT my_families())::uuid[]) OR @service',
             '(user_id = @user AND (family_id IS NULL OR family_id = ANY ((SELECT my_families())::uuid[]))) OR @service');

CREATE TABLE collection_items (
    id            uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id     uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    collection_id uuid NOT NULL REFERENCES collections ON DELETE CASCADE,
    media_item_id uuid NOT NULL REFERENCES media_items ON DELETE CASCADE,
    position      integer NOT NULL DEFAULT 0 CONSTRAINT collection_items__position_not_negative CHECK (position >= 0),
    created_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT collection_items__once UNIQUE (collection_id, media_item_id)
);
SELECT admit('collection_items', 'EXISTS (SELECT FROM collections c WHERE c.id = collection_id)',
             'EXISTS (SELECT FROM collections c WHERE c.id = collection_id AND c.user_id = @user) OR @service');
