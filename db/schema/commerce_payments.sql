-- Money in, money back, money out. Tries are kept, never overwritten.

CREATE TYPE payment_status AS ENUM ('INITIATED', 'SUCCESS', 'FAILED', 'REFUNDED', 'CANCELLED');
CREATE TYPE payment_method AS ENUM ('razorpay', 'stripe', 'paypal', 'wallet', 'bank_transfer');

CREATE TABLE payments (
    id                      uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id               uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    order_id                uuid NOT NULL REFERENCES orders ON DELETE CASCADE,
    user_id                 uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    course_id               uuid REFERENCES courses ON DELETE SET NULL,
    enrollment_id           uuid,
    provider                text NOT NULL CONSTRAINT payments__provider_given CHECK (provider <> ''),
    provider_transaction_id text,
    provider_session_id     text,
    method                  payment_method,
    amount                  numeric(19, 4) NOT NULL CONSTRAINT payments__amount_not_negative CHECK (amount >= 0),
    currency                text NOT NULL DEFAULT 'USD' CONSTRAINT payments__currency_iso CHECK (currency ~ '^[A-Z]{3}$'),
    status                  payment_status NOT NULL DEFAULT 'INITIATED',
    paid_at                 timestamptz,
    failure_reason          text,
    provider_data           jsonb,
    metadata                jsonb,
    created_at              timestamptz NOT NULL DEFAULT now(),
    updated_at              timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT payments__transaction_unique UNIQUE (provider, provider_transaction_id),
    CONSTRAINT payments__paid_has_moment CHECK ((status IN ('SUCCESS', 'REFUNDED')) = (paid_at IS NOT NULL)),
    CONSTRAINT payments__paid_names_transaction CHECK (status NOT IN ('SUCCESS', 'REFUNDED') OR provider_transaction_id IS NOT NULL)
);
CREATE INDEX payments_status_idx ON payments (status);
CREATE INDEX payments_created_at_idx ON payments (created_at);
CREATE TRIGGER payments_transition BEFORE UPDATE ON payments FOR EACH ROW EXECUTE FUNCTION
    allow_transitions('status', 'INITIATED>SUCCESS', 'INITIATED>FAILED', 'INITIATED>CANCELLED', 'SUCCESS>REFUNDED');
COMMENT ON TABLE payments IS 'One row a try. Card data never gets here: only what the provider calls the transaction.';
SELECT admit('payments', 'user_id = @user OR @staff');

CREATE TABLE refunds (
    id                 uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id          uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    payment_id         uuid NOT NULL REFERENCES payments ON DELETE CASCADE,
    amount             numeric(19, 4) NOT NULL CONSTRAINT refunds__amount_positive CHECK (amount > 0),
    reason             text,
    status             text NOT NULL DEFAULT 'PENDING' CONSTRAINT refunds__status_known CHECK (status IN ('PENDING', 'SUCCESS', 'FAILED')),
    provider_refund_id text,
    refunded_at        timestamptz,
    created_by         uuid REFERENCES users ON DELETE SET NULL,
    created_at         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT refunds__done_has_moment CHECK ((status = 'SUCCESS') = (refunded_at IS NOT NULL))
);
CREATE INDEX refunds_status_idx ON refunds (status);
CREATE TRIGGER refunds_transition BEFORE UPDATE ON refunds FOR EACH ROW EXECUTE FUNCTION
    allow_transitions('status', 'PENDING>SUCCESS', 'PENDING>FAILED');
SELECT admit('refunds', 'EXISTS (SELECT FROM payments p WHERE p.id = payment_id)');

-- The payment's row is locked, so that two refunds at once cannot give back more than came in.
CREATE FUNCTION refunds_within_payment() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
    paid payments;
    back numeric;
BEGIN
    SELECT * INTO paid FROM payments WHERE id = NEW.payment_id FOR UPDATE;
    IF FOUND AND paid.status NOT IN ('SUCCESS', 'REFUNDED') THEN
        PERFORM break_rule('refunds__payment_succeeded', format('a payment that is %s has nothing to give back', paid.status));
    END IF;
    SELECT coalesce(sum(amount), 0) INTO back FROM refunds WHERE payment_id = NEW.payment_id AND id <> NEW.id AND status <> 'FAILED';
    IF NEW.status <> 'FAILED' AND back + NEW.amount > paid.amount THEN
        PERFORM break_rule('refunds__within_payment', format('of %s only %s is left to give back', paid.amount, paid.amount - back));
    END IF;
    PERFORM act_as(was);
    RETURN NEW;
END $$;
CREATE TRIGGER refunds_within_payment BEFORE INSERT OR UPDATE OF amount, status ON refunds FOR EACH ROW EXECUTE FUNCTION refunds_within_payment();

CREATE TABLE payouts (
    id         uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id  uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    user_id    uuid NOT NULL REFERENCES users ON DELETE RESTRICT,
    amount     numeric(19, 4) NOT NULL CONSTRAINT payouts__amount_positive CHECK (amount > 0),
    currency   text NOT NULL CONSTRAINT payouts__currency_iso CHECK (currency ~ '^[A-Z]{3}$'),
    status     text NOT NULL DEFAULT 'pending' CONSTRAINT payouts__status_known CHECK (status IN ('pending', 'processing', 'paid', 'failed', 'cancelled')),
    method     payment_method NOT NULL,
    reference  text,
    paid_at    timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT payouts__paid_has_moment CHECK ((status = 'paid') = (paid_at IS NOT NULL))
);
CREATE INDEX payouts_status_idx ON payouts (status);
CREATE TRIGGER payouts_transition BEFORE UPDATE ON payouts FOR EACH ROW EXECUTE FUNCTION
    allow_transitions('status', 'pending>processing', 'pending>cancelled', 'processing>paid', 'processing>failed', 'failed>pending');
SELECT admit('payouts', 'user_id = @user OR @staff');
