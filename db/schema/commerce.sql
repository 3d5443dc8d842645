-- Carts, orders, and the library that a paid order fills. One of each for everything that is sold.

CREATE TYPE item_type AS ENUM ('CONTENT', 'PLAYLIST', 'COURSE', 'PLAN');
CREATE TYPE order_status AS ENUM ('PENDING', 'PAID', 'FAILED', 'REFUNDED');

CREATE TABLE carts (
    id         uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id  uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    user_id    uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT carts__one_each UNIQUE (user_id, tenant_id)
);

CREATE TABLE cart_items (
    id          uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id   uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    cart_id     uuid NOT NULL REFERENCES carts ON DELETE CASCADE,
    item_type   item_type NOT NULL,
    content_id  uuid REFERENCES contents ON DELETE CASCADE,
    playlist_id uuid REFERENCES playlists ON DELETE CASCADE,
    course_id   uuid REFERENCES courses ON DELETE CASCADE,
    plan_id     uuid REFERENCES plans ON DELETE CASCADE,
    billing_period text CONSTRAINT cart_items__period_known CHECK (billing_period IN ('month', 'year')),
    price       numeric(19, 4) NOT NULL CONSTRAINT cart_items__price_not_negative CHECK (price >= 0),
    currency    text NOT NULL DEFAULT 'USD' CONSTRAINT cart_items__currency_iso CHECK (currency ~ '^[A-Z]{3}$'),
    added_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT cart_items__one_thing CHECK (num_nonnulls(content_id, playlist_id, course_id, plan_id) = 1),
    CONSTRAINT cart_items__type_fits CHECK (CASE item_type WHEN 'CONTENT' THEN content_id WHEN 'PLAYLIST' THEN playlist_id
                                                           WHEN 'COURSE' THEN course_id ELSE plan_id END IS NOT NULL),
    CONSTRAINT cart_items__period_of_plan CHECK (billing_period IS NULL OR item_type = 'PLAN'),
    CONSTRAINT cart_items__once UNIQUE NULLS NOT DISTINCT (cart_id, content_id, playlist_id, course_id, plan_id)
);
COMMENT ON COLUMN cart_items.price IS 'The price when it was put in; later prices do not touch it.';

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
    tenant_id   uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    order_id    uuid NOT NULL REFERENCES orders ON DELETE CASCADE,
    item_type   item_type NOT NULL,
    content_id  uuid REFERENCES contents ON DELETE SET NULL,
    playlist_id uuid REFERENCES playlists ON DELETE SET NULL,
    course_id   uuid REFERENCES courses ON DELETE SET NULL,
    plan_id     uuid REFERENCES plans ON DELETE SET NULL,
    billing_period text CONSTRAINT order_items__period_known CHECK (billing_period IN ('month', 'year')),
    title       text,
    price       numeric(19, 4) NOT NULL CONSTRAINT order_items__price_not_negative CHECK (price >= 0),
    gone_at     timestamptz,
    CONSTRAINT order_items__one_thing CHECK (num_nonnulls(content_id, playlist_id, course_id, plan_id) = CASE WHEN gone_at IS NULL THEN 1 ELSE 0 END),
    CONSTRAINT order_items__type_fits CHECK (gone_at IS NOT NULL OR CASE item_type WHEN 'CONTENT' THEN content_id WHEN 'PLAYLIST' THEN playlist_id
                                                                    WHEN 'COURSE' THEN course_id ELSE plan_id END IS NOT NULL),
    CONSTRAINT order_items__period_of_plan CHECK (billing_period IS NULL OR item_type = 'PLAN')
);
CREATE INDEX order_items_order_id_idx ON order_items (order_id);
CREATE INDEX order_items_content_id_idx ON order_items (content_id);
CREATE INDEX order_items_playlist_id_idx ON order_items (playlist_id);
CREATE TRIGGER order_items_tenant BEFORE INSERT ON order_items FOR EACH ROW WHEN (NEW.tenant_id IS NULL) EXECUTE FUNCTION take_tenant_of('orders', 'order_id');
COMMENT ON COLUMN order_items.billing_period IS 'Of a plan: what one payment lasts for; null is a month.';
COMMENT ON COLUMN order_items.price IS 'The price when bought; later prices do not touch it.';
COMMENT ON COLUMN order_items.gone_at IS 'When the thing that was bought was deleted: the line stays, title says what it was.';

-- Only a foreign key's SET NULL empties a line; a person who does is refused by order_items__one_thing.
CREATE FUNCTION order_items_thing_gone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.gone_at := now();
    RETURN NEW;
END $$;
CREATE TRIGGER order_items_thing_gone BEFORE UPDATE ON order_items FOR EACH ROW
    WHEN (pg_trigger_depth() > 0 AND OLD.gone_at IS NULL AND num_nonnulls(NEW.content_id, NEW.playlist_id, NEW.course_id, NEW.plan_id) = 0)
    EXECUTE FUNCTION order_items_thing_gone();

-- At commit, so that an order and its lines may be written in any order. An order without lines has nothing to add up.
CREATE FUNCTION order_total_is_sum() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
    wrong record;
BEGIN
    SELECT o.total_amount, sum(i.price) AS sum INTO wrong FROM orders o JOIN order_items i ON i.order_id = o.id
    WHERE o.id = NEW.order_id GROUP BY o.id HAVING o.total_amount <> sum(i.price);
    IF FOUND THEN
        PERFORM break_rule('order_items__total_is_sum', format('the order says %s, its lines add up to %s', wrong.total_amount, wrong.sum));
    END IF;
    PERFORM act_as(was);
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER order_items__total_is_sum AFTER INSERT OR UPDATE OF price, order_id ON order_items DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION order_total_is_sum();

ALTER TABLE billing_transactions
    ADD COLUMN order_id uuid REFERENCES orders ON DELETE SET NULL,
    ADD COLUMN period_start timestamptz,
    ADD COLUMN period_end timestamptz,
    ADD CONSTRAINT billing_transactions__period_forward CHECK (period_end > period_start);
COMMENT ON COLUMN billing_transactions.period_end IS 'The time that was paid for, from period_start; a refund takes as much off the subscription.';

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

SELECT admit('carts', 'user_id = @user OR @service', 'user_id = @user OR @service');
SELECT admit('cart_items', 'EXISTS (SELECT FROM carts c WHERE c.id = cart_id)', '@service');
SELECT admit('orders', 'user_id = @user OR @staff');
SELECT admit('order_items', 'EXISTS (SELECT FROM orders o WHERE o.id = order_id)');
SELECT admit('user_library', 'user_id = @user OR @staff');
