-- Plans, subscriptions, and what is billed for them.

CREATE TABLE plans (
    id            uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id     uuid DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    name          text NOT NULL CONSTRAINT plans__name_given CHECK (name <> ''),
    description   text,
    price_monthly numeric(19, 4) CONSTRAINT plans__monthly_not_negative CHECK (price_monthly >= 0),
    price_yearly  numeric(19, 4) CONSTRAINT plans__yearly_not_negative CHECK (price_yearly >= 0),
    currency      text NOT NULL DEFAULT 'USD' CONSTRAINT plans__currency_iso CHECK (currency ~ '^[A-Z]{3}$'),
    features      jsonb NOT NULL DEFAULT '{}',
    opens_catalog boolean NOT NULL DEFAULT true,
    opens_courses boolean NOT NULL DEFAULT true,
    max_streams   integer CONSTRAINT plans__streams_positive CHECK (max_streams > 0),
    max_height    integer CONSTRAINT plans__height_positive CHECK (max_height > 0),
    is_offered    boolean NOT NULL DEFAULT true,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT plans__name_unique UNIQUE NULLS NOT DISTINCT (tenant_id, name)
);
COMMENT ON COLUMN plans.tenant_id IS 'Null: a tier of the installation, offered to every tenant; only the operator changes those.';
COMMENT ON COLUMN plans.opens_catalog IS 'Its subscribers watch every content that is in_subscription; opens_courses does so for subscription courses.';
SELECT admit('plans', '@known', '(tenant_id IS NOT NULL AND @staff) OR @service');

CREATE TYPE subscription_status AS ENUM ('trialing', 'active', 'past_due', 'cancelled', 'expired');

CREATE TABLE subscriptions (
    id                       uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id                uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    user_id                  uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    plan_id                  uuid NOT NULL REFERENCES plans ON DELETE RESTRICT,
    status                   subscription_status NOT NULL DEFAULT 'active',
    current_period_start     timestamptz NOT NULL DEFAULT now(),
    current_period_end       timestamptz NOT NULL,
    cancel_at_period_end     boolean NOT NULL DEFAULT false,
    cancelled_at             timestamptz,
    provider                 text,
    provider_subscription_id text,
    created_at               timestamptz NOT NULL DEFAULT now(),
    updated_at               timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT subscriptions__provider_unique UNIQUE (provider, provider_subscription_id),
    CONSTRAINT subscriptions__ends_after_start CHECK (current_period_end > current_period_start)
);
CREATE INDEX subscriptions_status_idx ON subscriptions (status);
CREATE INDEX subscriptions_due_idx ON subscriptions (current_period_end) WHERE status IN ('trialing', 'active', 'past_due');
CREATE UNIQUE INDEX subscriptions__one_running ON subscriptions (tenant_id, user_id, plan_id) WHERE status IN ('trialing', 'active', 'past_due');
COMMENT ON COLUMN subscriptions.cancel_at_period_end IS 'Access lasts to current_period_end and no longer.';
CREATE TRIGGER subscriptions_transition BEFORE UPDATE ON subscriptions FOR EACH ROW EXECUTE FUNCTION
    allow_transitions('status', 'trialing>active', 'trialing>past_due', 'trialing>cancelled', 'trialing>expired', 'active>past_due', 'active>cancelled',
                      'active>expired', 'past_due>active', 'past_due>cancelled', 'past_due>expired');
SELECT admit('subscriptions', 'user_id = @user OR @staff');

CREATE TABLE billing_transactions (
    id                    uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id             uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    user_id               uuid REFERENCES users ON DELETE SET NULL,
    plan_id               uuid REFERENCES plans ON DELETE SET NULL,
    subscription_id       uuid REFERENCES subscriptions ON DELETE SET NULL,
    amount                numeric(19, 4) NOT NULL,
    currency              text NOT NULL CONSTRAINT billing_transactions__currency_iso CHECK (currency ~ '^[A-Z]{3}$'),
    status                text NOT NULL DEFAULT 'pending'
                          CONSTRAINT billing_transactions__status_known CHECK (status IN ('pending', 'succeeded', 'failed', 'refunded')),
    stripe_transaction_id text CONSTRAINT billing_transactions__stripe_unique UNIQUE,
    occurred_at           timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX billing_transactions_status_idx ON billing_transactions (status);
CREATE INDEX billing_transactions_occurred_at_idx ON billing_transactions (occurred_at);
CREATE TRIGGER billing_transactions_transition BEFORE UPDATE ON billing_transactions FOR EACH ROW EXECUTE FUNCTION
    allow_transitions('status', 'pending>succeeded', 'pending>failed', 'succeeded>refunded');
COMMENT ON COLUMN billing_transactions.user_id IS 'Null once the person is erased: the books stay.';
SELECT admit('billing_transactions', 'user_id = @user OR @staff');

CREATE TABLE billing_addresses (
    id            uuid PRIMARY KEY DEFAULT uuid7(),
    user_id       uuid NOT NULL CONSTRAINT billing_addresses__one_each UNIQUE REFERENCES users ON DELETE CASCADE,
    first_name    text NOT NULL CONSTRAINT billing_addresses__first_name_given CHECK (first_name <> ''),
    last_name     text NOT NULL CONSTRAINT billing_addresses__last_name_given CHECK (last_name <> ''),
    company_name  text,
    phone_number  text,
    email         text NOT NULL CONSTRAINT billing_addresses__email_shape CHECK (length(email) <= 254 AND email ~ '^[^@\s]+@[^@\s]+\.[^@\s]+$'),
    address_line1 text NOT NULL CONSTRAINT billing_addresses__line1_given CHECK (address_line1 <> ''),
    address_line2 text,
    city          text NOT NULL CONSTRAINT billing_addresses__city_given CHECK (city <> ''),
    state         text NOT NULL,
    postal_code   text NOT NULL,
    country       text NOT NULL CONSTRAINT billing_addresses__country_given CHECK (country <> ''),
    vat_number    text,
    notes         text,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX billing_addresses_email_idx ON billing_addresses (email);
COMMENT ON TABLE billing_addresses IS 'Apart from the profile, which others may read: this is for the person and the invoice.';
SELECT admit('billing_addresses', 'user_id = @user OR @service', 'user_id = @user OR @service');
