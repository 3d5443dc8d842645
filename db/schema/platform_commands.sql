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

-- Whoever delivers works for every tenant at once: a role of its own, which the policies of these queues let past the wall between
-- tenants, and which no other table knows.
CREATE FUNCTION app_is_courier() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT app_role() = 'courier' $$;

CREATE FUNCTION admit_courier(target regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE POLICY tenant_isolation ON %s AS RESTRICTIVE FOR ALL USING (%s)', target,
                   policy_text('tenant_id = @tenant OR (SELECT app_is_courier())'));
END $$;
COMMENT ON FUNCTION admit_courier(regclass) IS 'Before admit(): the wall between tenants, with a gate for the courier.';

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
    outcome         text,
    last_error      text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT outbox__ends_once CHECK (delivered_at IS NULL OR given_up_at IS NULL)
);
CREATE INDEX outbox_open_idx ON outbox ((topic = 'mail.wanted'), next_attempt_at) WHERE delivered_at IS NULL AND given_up_at IS NULL;
CREATE INDEX outbox_order_idx ON outbox (tenant_id, subject, seq) WHERE delivered_at IS NULL AND given_up_at IS NULL;
CREATE INDEX outbox_ended_idx ON outbox ((coalesce(delivered_at, given_up_at))) WHERE delivered_at IS NOT NULL OR given_up_at IS NOT NULL;
COMMENT ON INDEX outbox_open_idx IS 'Mail waits for servers elsewhere, and is taken in hand apart from what does not.';
COMMENT ON TABLE outbox IS 'Effects outside the database, written in the transaction that causes them, sent after it, at least once, in order of seq for one subject.';
COMMENT ON COLUMN outbox.subject IS 'What the effect is about, such as content:<id>; effects of one subject keep their order.';
COMMENT ON COLUMN outbox.attempts IS 'Counted when it is taken in hand, so that an effect which ends its deliverer is given up, too. It fences: who was overtaken changes nothing.';
COMMENT ON COLUMN outbox.next_attempt_at IS 'While it is in hand, when the lease lapses.';
COMMENT ON COLUMN outbox.outcome IS 'What came of it: mail sent, mail not wanted, how many webhooks are told.';
-- Whoever may do a command may write its effects; only the product delivers them.
SELECT admit_courier('outbox');
SELECT admit('outbox', '@staff OR (SELECT app_is_courier())', '@service OR (SELECT app_is_courier())', '@known');

CREATE FUNCTION wake_courier() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('penstock_effects', TG_TABLE_NAME);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION wake_courier() IS 'One announcement a transaction, heard when it commits.';
CREATE TRIGGER outbox_wake AFTER INSERT ON outbox FOR EACH STATEMENT EXECUTE FUNCTION wake_courier();

SELECT protect_table('idempotency_keys');
CREATE POLICY idempotency_keys_own ON idempotency_keys FOR ALL
    USING (tenant_id = (SELECT app_tenant_id()) AND user_id IS NOT DISTINCT FROM (SELECT app_user_id())
           AND ((SELECT app_user_id()) IS NOT NULL OR (SELECT app_is_service())))
    WITH CHECK (tenant_id = (SELECT app_tenant_id()) AND user_id IS NOT DISTINCT FROM (SELECT app_user_id())
                AND ((SELECT app_user_id()) IS NOT NULL OR (SELECT app_is_service())));
