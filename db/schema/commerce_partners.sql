-- People and firms who bring others, and what artificial help costs.

CREATE TABLE referrals (
    id               uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id        uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    referrer_id      uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    referred_email   text NOT NULL CONSTRAINT referrals__email_shape CHECK (length(referred_email) <= 254 AND referred_email ~ '^[^@\s]+@[^@\s]+\.[^@\s]+$'),
    referred_user_id uuid REFERENCES users ON DELETE SET NULL,
    status           text NOT NULL DEFAULT 'pending' CONSTRAINT referrals__status_known CHECK (status IN ('pending', 'signed_up', 'converted', 'expired')),
    created_at       timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX referrals__once ON referrals (tenant_id, lower(referred_email));
CREATE INDEX referrals_status_idx ON referrals (status);
CREATE TRIGGER referrals_transition BEFORE UPDATE ON referrals FOR EACH ROW EXECUTE FUNCTION
    allow_transitions('status', 'pending>signed_up', 'pending>expired', 'signed_up>converted', 'signed_up>expired');
COMMENT ON INDEX referrals__once IS 'A person is brought once; the first who names them has brought them.';
SELECT admit('referrals', 'referrer_id = @user OR @staff', '@staff', '(referrer_id = @user AND status = ''pending'') OR @staff');

-- Whoever signs up where their address was named has been brought by who named it.
CREATE FUNCTION referrals_signed_up() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
BEGIN
    UPDATE referrals r SET status = 'signed_up', referred_user_id = n.id FROM changed n
    WHERE lower(r.referred_email) = lower(n.email) AND r.status = 'pending';
    PERFORM act_as(was);
    RETURN NULL;
END $$;
CREATE TRIGGER users_referred AFTER INSERT ON users REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION referrals_signed_up();

CREATE TABLE referral_commissions (
    id          uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id   uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    referral_id uuid NOT NULL REFERENCES referrals ON DELETE CASCADE,
    amount      numeric(19, 4) NOT NULL CONSTRAINT referral_commissions__amount_positive CHECK (amount > 0),
    currency    text NOT NULL DEFAULT 'USD' CONSTRAINT referral_commissions__currency_iso CHECK (currency ~ '^[A-Z]{3}$'),
    status      text NOT NULL DEFAULT 'pending' CONSTRAINT referral_commissions__status_known CHECK (status IN ('pending', 'paid', 'cancelled')),
    paid_at     timestamptz,
    CONSTRAINT referral_commissions__paid_has_moment CHECK ((status = 'paid') = (paid_at IS NOT NULL))
);
CREATE INDEX referral_commissions_status_idx ON referral_commissions (status);
CREATE TRIGGER referral_commissions_transition BEFORE UPDATE ON referral_commissions FOR EACH ROW EXECUTE FUNCTION
    allow_transitions('status', 'pending>paid', 'pending>cancelled');
SELECT admit('referral_commissions', 'EXISTS (SELECT FROM referrals r WHERE r.id = referral_id)', '@staff');

CREATE TABLE affiliates (
    id              uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id       uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    name            text NOT NULL CONSTRAINT affiliates__name_given CHECK (name <> ''),
    contact_email   text,
    commission_rate numeric(7, 6) NOT NULL DEFAULT 0 CONSTRAINT affiliates__rate_fraction CHECK (commission_rate BETWEEN 0 AND 1),
    created_at      timestamptz NOT NULL DEFAULT now()
);
SELECT admit('affiliates', '@staff', '@staff');

CREATE TABLE agencies (
    id              uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id       uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    name            text NOT NULL CONSTRAINT agencies__name_given CHECK (name <> ''),
    contact_email   text,
    commission_rate numeric(7, 6) NOT NULL DEFAULT 0 CONSTRAINT agencies__rate_fraction CHECK (commission_rate BETWEEN 0 AND 1),
    created_at      timestamptz NOT NULL DEFAULT now()
);
SELECT admit('agencies', '@staff', '@staff');

CREATE TABLE ai_token_balances (
    tenant_id  uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    user_id    uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    balance    bigint NOT NULL DEFAULT 0 CONSTRAINT ai_token_balances__not_negative CHECK (balance >= 0),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, user_id)
);
SELECT admit('ai_token_balances', 'user_id = @user OR @staff');

CREATE TABLE ai_token_usage (
    id          uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id   uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    user_id     uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    token_count bigint NOT NULL CONSTRAINT ai_token_usage__count_positive CHECK (token_count > 0),
    usage_type  text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
SELECT admit('ai_token_usage', 'user_id = @user OR @staff');

-- Use and balance cannot part: the row that records a use takes it from the balance, or is refused with it.
CREATE FUNCTION ai_tokens_spend() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
BEGIN
    INSERT INTO ai_token_balances AS b (tenant_id, user_id, balance)
    SELECT tenant_id, user_id, 0 FROM spent GROUP BY tenant_id, user_id ORDER BY tenant_id, user_id ON CONFLICT DO NOTHING;
    UPDATE ai_token_balances b SET balance = b.balance - s.tokens
    FROM (SELECT tenant_id, user_id, sum(token_count) AS tokens FROM spent GROUP BY tenant_id, user_id) AS s
    WHERE b.tenant_id = s.tenant_id AND b.user_id = s.user_id;
    PERFORM act_as(was);
    RETURN NULL;
END $$;
CREATE TRIGGER ai_token_usage_spend AFTER INSERT ON ai_token_usage REFERENCING NEW TABLE AS spent
    FOR EACH STATEMENT EXECUTE FUNCTION ai_tokens_spend();
