-- Where tenants want to be told of what happens, and each telling.

CREATE TABLE webhooks (
    id              uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id       uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    integration_id  uuid REFERENCES integrations ON DELETE CASCADE,
    created_by      uuid DEFAULT app_user_id() REFERENCES users ON DELETE SET NULL,
    url             text NOT NULL CONSTRAINT webhooks__url_is_http CHECK (url ~ '^https?://'),
    event_types     text[] NOT NULL DEFAULT '{}',
    secret          text NOT NULL CONSTRAINT webhooks__secret_long CHECK (length(secret) >= 24),
    old_secret      text,
    old_secret_until timestamptz,
    enabled         boolean NOT NULL DEFAULT true,
    failing_since   timestamptz,
    disabled_reason text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT webhooks__old_secret_ends CHECK ((old_secret IS NULL) = (old_secret_until IS NULL)),
    CONSTRAINT webhooks__reason_when_disabled CHECK (disabled_reason IS NULL OR NOT enabled)
);
COMMENT ON COLUMN webhooks.secret IS 'Signs what is sent; sealed with a key that the database does not have, shown once, never read through the API.';
COMMENT ON COLUMN webhooks.old_secret IS 'After a rotation both sign until old_secret_until, so that a receiver can change over.';
COMMENT ON COLUMN webhooks.failing_since IS 'The first failure since it last worked; after days of it the webhook is disabled.';
SELECT admit_courier('webhooks');
SELECT admit('webhooks', '@staff OR (SELECT app_is_courier())', '@staff OR (SELECT app_is_courier())', '@staff');

CREATE TABLE webhook_deliveries (
    seq             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id              uuid NOT NULL DEFAULT uuid7() CONSTRAINT webhook_deliveries__id_unique UNIQUE,
    tenant_id       uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    webhook_id      uuid NOT NULL REFERENCES webhooks ON DELETE CASCADE,
    event_id        uuid NOT NULL,
    event_type      text NOT NULL,
    subject         text NOT NULL CONSTRAINT webhook_deliveries__subject_given CHECK (subject <> ''),
    data            jsonb NOT NULL,
    happened_at     timestamptz NOT NULL DEFAULT now(),
    attempts        integer NOT NULL DEFAULT 0 CONSTRAINT webhook_deliveries__attempts_not_negative CHECK (attempts >= 0),
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    lease_until     timestamptz,
    delivered_at    timestamptz,
    given_up_at     timestamptz,
    outcome         text,
    last_error      text,
    CONSTRAINT webhook_deliveries__once UNIQUE (webhook_id, event_id),
    CONSTRAINT webhook_deliveries__ends_once CHECK (delivered_at IS NULL OR given_up_at IS NULL)
);
COMMENT ON TABLE webhook_deliveries IS 'One event to one webhook: so a slow receiver holds up nobody else. In order of seq for one webhook and subject.';
COMMENT ON COLUMN webhook_deliveries.event_id IS 'The same at every attempt and every webhook, sent as webhook-id: by it a receiver knows what it has had.';
COMMENT ON COLUMN webhook_deliveries.outcome IS 'What the receiver answered in the end: its status.';
CREATE INDEX webhook_deliveries_due_idx ON webhook_deliveries (webhook_id, next_attempt_at) WHERE delivered_at IS NULL AND given_up_at IS NULL;
CREATE INDEX webhook_deliveries_order_idx ON webhook_deliveries (webhook_id, subject, seq) WHERE delivered_at IS NULL AND given_up_at IS NULL;
CREATE INDEX webhook_deliveries_in_hand_idx ON webhook_deliveries (webhook_id, lease_until)
    WHERE delivered_at IS NULL AND given_up_at IS NULL AND lease_until IS NOT NULL;
CREATE INDEX webhook_deliveries_ended_idx ON webhook_deliveries ((coalesce(delivered_at, given_up_at)))
    WHERE delivered_at IS NOT NULL OR given_up_at IS NOT NULL;
SELECT admit_courier('webhook_deliveries');
SELECT admit('webhook_deliveries', '@staff OR (SELECT app_is_courier())', '@service OR (SELECT app_is_courier())', '@staff OR (SELECT app_is_courier())');
CREATE TRIGGER webhook_deliveries_wake AFTER INSERT ON webhook_deliveries FOR EACH STATEMENT EXECUTE FUNCTION wake_courier();

CREATE FUNCTION give_up_deliveries(webhook uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
BEGIN
    UPDATE webhook_deliveries SET given_up_at = now(), lease_until = NULL, last_error = 'the webhook was disabled'
    WHERE webhook_id = webhook AND delivered_at IS NULL AND given_up_at IS NULL;
    PERFORM act_as(was);
END $$;
COMMENT ON FUNCTION give_up_deliveries(uuid) IS 'What waits for a webhook of this tenant is sent no more.';
