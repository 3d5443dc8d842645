-- What makes a command safe to send twice, and what carries its effects out of the database.

CREATE TABLE idempotency_keys (
    id           uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id    uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    user_id      uuid DEFAULT app_user_id() REFERENCES users ON DELETE CASCADE,
    key          text NOT NULL CONSTRAINT idempotency_keys__key_short CHECK (length(key) BETWEEN 1 AND 255),
    command      text NOT NULL,
    request_hash bytea NOT NULL CONSTRAINT idempotency_keys__hash_sha256 CHECK (length(request_hash) = 32),
    answer       bytea,
    created_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT idempotency_keys__once UNIQUE NULLS NOT DISTINCT (tenant_id, user_id, key)
);
COMMENT ON TABLE idempotency_keys IS 'A command that was done, by the key its client gave it: sent again, it is answered from here. Kept for a day.';
COMMENT ON COLUMN idempotency_keys.user_id IS 'Null: the product itself.';
COMMENT ON COLUMN idempotency_keys.answer IS 'The body as it was sent; it becomes visible with the effects of the command or not at all.';
CREATE INDEX idempotency_keys_user_id_idx ON idempotency_keys (user_id, created_at);

CREATE TABLE outbox (
    seq             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id              uuid NOT NULL DEFAULT uuid7() CONSTRAINT outbox__id_unique UNIQUE,
    tenant_id       uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    topic           text NOT NULL CONSTRAINT outbox__topic_dotted CHECK (topic ~ '^[a-z_]+\.[a-z_]+$'),
    subject         text NOT NULL CONSTRAINT outbox__subject_given CHECK (subject <> ''),
    payload         jsonb NOT NULL,
    attempts        integer NOT NULL DEFAULT 0 CONSTRAINT outbox__attempts_not_negative CHECK (attempts >= 0),
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    lease_until     timestamptz,
    delivered_at    timestamptz,
    given_up_at     timestamptz,
    last_error      text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT outbox__ends_once CHECK (delivered_at IS NULL OR given_up_at IS NULL)
);
CREATE INDEX outbox_open_idx ON outbox (next_attempt_at) WHERE delivered_at IS NULL AND given_up_at IS NULL;
CREATE INDEX outbox_order_idx ON outbox (tenant_id, subject, seq) WHERE delivered_at IS NULL AND given_up_at IS NULL;
COMMENT ON TABLE outbox IS 'Effects outside the database, written in the transaction that causes them, sent after it, at least once, in order of seq for one subject.';
COMMENT ON COLUMN outbox.subject IS 'What the effect is about, such as content:<id>; effects of one subject keep their order.';
-- Whoever may do a command may write its effects; only the product delivers them.
SELECT admit('outbox', '@staff', '@service', '@known');

SELECT protect_table('idempotency_keys');
CREATE POLICY idempotency_keys_own ON idempotency_keys FOR ALL
    USING (tenant_id = (SELECT app_tenant_id()) AND user_id IS NOT DISTINCT FROM (SELECT app_user_id())
           AND ((SELECT app_user_id()) IS NOT NULL OR (SELECT app_is_service())))
    WITH CHECK (tenant_id = (SELECT app_tenant_id()) AND user_id IS NOT DISTINCT FROM (SELECT app_user_id())
                AND ((SELECT app_user_id()) IS NOT NULL OR (SELECT app_is_service())));
