-- What was bought. (Carts, payments, refunds and plans join in their own context's change.)

CREATE TYPE item_type AS ENUM ('CONTENT', 'PLAYLIST', 'COURSE', 'PLAN');
CREATE TYPE order_status AS ENUM ('PENDING', 'PAID', 'FAILED', 'REFUNDED');

CREATE TABLE orders (
    id           uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id    uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    user_id      uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    total_amount numeric(19, 4) NOT NULL CONSTRAINT orders__total_not_negative CHECK (total_amount >= 0),
    currency     text NOT NULL CONSTRAINT orders__currency_iso CHECK (currency ~ '^[A-Z]{3}$'),
    status       order_status NOT NULL DEFAULT 'PENDING',
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX orders_user_id_idx ON orders (user_id);
CREATE INDEX orders_status_idx ON orders (status);
CREATE INDEX orders_created_at_idx ON orders (created_at);
CREATE INDEX orders_tenant_id_idx ON orders (tenant_id);
CREATE TRIGGER orders_touch BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
CREATE TRIGGER orders_transition BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION
    allow_transitions('status', 'PENDING>PAID', 'PENDING>FAILED', 'PAID>REFUNDED');

CREATE TABLE order_items (
    id          uuid PRIMARY KEY DEFAULT uuid7(),
    order_id    uuid NOT NULL REFERENCES orders ON DELETE CASCADE,
    item_type   item_type NOT NULL,
    content_id  uuid REFERENCES contents ON DELETE SET NULL,
    playlist_id uuid REFERENCES playlists ON DELETE SET NULL,
    price       numeric(19, 4) NOT NULL CONSTRAINT order_items__price_not_negative CHECK (price >= 0)
);
CREATE INDEX order_items_order_id_idx ON order_items (order_id);
CREATE INDEX order_items_content_id_idx ON order_items (content_id);
CREATE INDEX order_items_playlist_id_idx ON order_items (playlist_id);
COMMENT ON COLUMN order_items.price IS 'The price when bought; later prices do not touch it.';

CREATE TABLE user_library (
    id          uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id   uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    user_id     uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    content_id  uuid NOT NULL REFERENCES contents ON DELETE CASCADE,
    playlist_id uuid REFERENCES playlists ON DELETE SET NULL,
    order_id    uuid NOT NULL REFERENCES orders ON DELETE CASCADE,
    acquired_at timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz,
    CONSTRAINT user_library__once UNIQUE (user_id, content_id)
);
CREATE INDEX user_library_user_id_idx ON user_library (user_id);
CREATE INDEX user_library_content_id_idx ON user_library (content_id);
CREATE INDEX user_library_order_id_idx ON user_library (order_id);
CREATE INDEX user_library_playlist_id_idx ON user_library (playlist_id);
CREATE INDEX user_library_tenant_id_idx ON user_library (tenant_id);
COMMENT ON COLUMN user_library.expires_at IS 'The end of a rental; null is for good.';

SELECT protect_table(t) FROM unnest(ARRAY['orders', 'order_items', 'user_library']::regclass[]) AS t;
CREATE POLICY orders_read ON orders FOR SELECT
    USING (tenant_id = (SELECT app_tenant_id()) AND (user_id = (SELECT app_user_id()) OR (SELECT app_is_staff())));
CREATE POLICY orders_write ON orders FOR ALL
    USING (tenant_id = (SELECT app_tenant_id()) AND (SELECT app_is_service()))
    WITH CHECK (tenant_id = (SELECT app_tenant_id()) AND (SELECT app_is_service()));
CREATE POLICY order_items_read ON order_items FOR SELECT USING (EXISTS (SELECT FROM orders o WHERE o.id = order_id));
CREATE POLICY order_items_write ON order_items FOR ALL
    USING ((SELECT app_is_service()) AND EXISTS (SELECT FROM orders o WHERE o.id = order_id))
    WITH CHECK ((SELECT app_is_service()) AND EXISTS (SELECT FROM orders o WHERE o.id = order_id));
CREATE POLICY user_library_read ON user_library FOR SELECT
    USING (tenant_id = (SELECT app_tenant_id()) AND (user_id = (SELECT app_user_id()) OR (SELECT app_is_staff())));
CREATE POLICY user_library_write ON user_library FOR ALL
    USING (tenant_id = (SELECT app_tenant_id()) AND (SELECT app_is_service()))
    WITH CHECK (tenant_id = (SELECT app_tenant_id()) AND (SELECT app_is_service()));
