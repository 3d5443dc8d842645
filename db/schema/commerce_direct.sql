-- Purchases outside the order flow: a sale at the counter, or one that another shop made. They open a title as an order's do.

CREATE TABLE direct_purchases (
    id           uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id    uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    user_id      uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    content_id   uuid NOT NULL REFERENCES contents ON DELETE CASCADE,
    price        numeric(19, 4) NOT NULL CONSTRAINT direct_purchases__price_not_negative CHECK (price >= 0),
    currency     text NOT NULL CONSTRAINT direct_purchases__currency_iso CHECK (currency ~ '^[A-Z]{3}$'),
    status       text NOT NULL DEFAULT 'PAID' CONSTRAINT direct_purchases__status_known CHECK (status IN ('PAID', 'REFUNDED')),
    reference    text CONSTRAINT direct_purchases__reference_length CHECK (length(reference) BETWEEN 1 AND 200),
    recorded_by  uuid REFERENCES users ON DELETE SET NULL,
    purchased_at timestamptz NOT NULL DEFAULT now(),
    refunded_at  timestamptz,
    CONSTRAINT direct_purchases__refund_has_moment CHECK ((status = 'REFUNDED') = (refunded_at IS NOT NULL))
);
CREATE UNIQUE INDEX direct_purchases__once ON direct_purchases (user_id, content_id) WHERE status = 'PAID';
CREATE INDEX direct_purchases_status_idx ON direct_purchases (status);
CREATE TRIGGER direct_purchases_transition BEFORE UPDATE ON direct_purchases FOR EACH ROW EXECUTE FUNCTION allow_transitions('status', 'PAID>REFUNDED');
COMMENT ON TABLE direct_purchases IS 'A title that was paid for without an order, for good. One that was given back stays as a record and opens nothing.';
COMMENT ON COLUMN direct_purchases.reference IS 'What the other shop, or the receipt, calls it.';

-- Whatever gives a person a title, or takes a direct purchase back, waits here for the others of that person, and looks afterwards (the
-- next statement sees what they have committed). Else an order and a direct purchase would each look, see nothing, and both give it; and one
-- that is given back while an order with the same title is paid would leave the buyer with neither.
-- One of 1,024 locks: a load of thousands of people's titles still fits PostgreSQL's table of locks. Whoever locks an order or a purchase takes
-- it before the row, so that nobody waits in a circle.
CREATE FUNCTION hold_purchases(person uuid) RETURNS void LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock(hashtext('penstock purchases'), hashtext(person::text) & 1023)
$$;

-- What an order has brought for good, or a rental that still runs, is not paid for a second time.
CREATE FUNCTION direct_purchase_is_new() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM hold_purchases(NEW.user_id);
    IF EXISTS (SELECT FROM user_library l WHERE l.user_id = NEW.user_id AND l.content_id = NEW.content_id AND (l.expires_at IS NULL OR l.expires_at > now())) THEN
        PERFORM break_rule('direct_purchases__not_owned_already', 'an order has brought this title already');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER direct_purchases__not_owned_already BEFORE INSERT ON direct_purchases FOR EACH ROW WHEN (NEW.status = 'PAID') EXECUTE FUNCTION direct_purchase_is_new();

CREATE FUNCTION direct_purchase_waits() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM hold_purchases(NEW.user_id);
    RETURN NEW;
END $$;
CREATE TRIGGER direct_purchases_wait BEFORE UPDATE OF status ON direct_purchases FOR EACH ROW EXECUTE FUNCTION direct_purchase_waits();

-- What is somebody's by a direct purchase, which is for good, an order leaves as it is.
CREATE FUNCTION user_library_leaves_direct() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM hold_purchases(NEW.user_id);
    IF EXISTS (SELECT FROM direct_purchases d WHERE d.user_id = NEW.user_id AND d.content_id = NEW.content_id AND d.status = 'PAID') THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER user_library_leaves_direct BEFORE INSERT ON user_library FOR EACH ROW EXECUTE FUNCTION user_library_leaves_direct();

CREATE FUNCTION owns_content(person uuid, thing uuid, at timestamptz) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM user_library l WHERE l.user_id = person AND l.content_id = thing AND (l.expires_at IS NULL OR l.expires_at > at))
        OR EXISTS (SELECT FROM direct_purchases d WHERE d.user_id = person AND d.content_id = thing AND d.status = 'PAID')
$$;
COMMENT ON FUNCTION owns_content(uuid, uuid, timestamptz) IS 'By an order, a rental that runs, or a direct purchase.';

-- One row a person and title: where a rental that is over was followed by a direct purchase, that says it.
CREATE VIEW content_purchases WITH (security_invoker = true) AS
    SELECT l.id, l.tenant_id, l.content_id, l.user_id, l.acquired_at AS purchased_at, coalesce(i.price, 0) AS price, o.currency,
           o.status::text AS status, l.order_id, l.expires_at
    FROM user_library l
    JOIN orders o ON o.id = l.order_id
    LEFT JOIN LATERAL (SELECT price FROM order_items WHERE order_id = o.id AND content_id = l.content_id ORDER BY price DESC LIMIT 1) AS i ON true
    WHERE NOT EXISTS (SELECT FROM direct_purchases d WHERE d.user_id = l.user_id AND d.content_id = l.content_id AND d.status = 'PAID')
    UNION ALL
    SELECT d.id, d.tenant_id, d.content_id, d.user_id, d.purchased_at, d.price, d.currency, d.status, NULL, NULL
    FROM direct_purchases d WHERE d.status = 'PAID';
COMMENT ON VIEW content_purchases IS
    'What each person owns with what it cost. The price is 0 for a title that came with a playlist; order_id is null for a direct purchase.';

SELECT admit('direct_purchases', 'user_id = @user OR @staff');
