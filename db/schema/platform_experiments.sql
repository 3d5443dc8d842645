-- Trying things out, losing people, bringing new ones in; and what is reported of it.

CREATE TABLE experiments (
    id          uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id   uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    name        text NOT NULL CONSTRAINT experiments__name_given CHECK (name <> ''),
    description text,
    variants    text[] NOT NULL DEFAULT '{control,treatment}' CONSTRAINT experiments__two_variants CHECK (cardinality(variants) >= 2),
    status      text NOT NULL DEFAULT 'draft' CONSTRAINT experiments__status_known CHECK (status IN ('draft', 'running', 'paused', 'completed')),
    start_date  timestamptz,
    end_date    timestamptz,
    CONSTRAINT experiments__name_unique UNIQUE (tenant_id, name),
    CONSTRAINT experiments__ends_after_start CHECK (end_date > start_date)
);
CREATE INDEX experiments_status_idx ON experiments (status);
CREATE TRIGGER experiments_transition BEFORE UPDATE ON experiments FOR EACH ROW EXECUTE FUNCTION
    allow_transitions('status', 'draft>running', 'running>paused', 'paused>running', 'running>completed', 'paused>completed');
SELECT admit('experiments', '@staff', '@staff');

CREATE TABLE experiment_assignments (
    experiment_id uuid NOT NULL REFERENCES experiments ON DELETE CASCADE,
    user_id       uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    tenant_id     uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    variant       text NOT NULL,
    assigned_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (experiment_id, user_id)
);
CREATE TRIGGER experiment_assignments_keep BEFORE UPDATE ON experiment_assignments FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE FUNCTION experiment_is_open() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
    asked experiments;
BEGIN
    SELECT * INTO asked FROM experiments WHERE id = NEW.experiment_id;
    IF asked.end_date <= now() THEN
        PERFORM break_rule('experiment_assignments__experiment_is_open', 'the experiment is over');
    ELSIF NOT NEW.variant = ANY (asked.variants) THEN
        PERFORM break_rule('experiment_assignments__variant_known', format('the variants are %s', array_to_string(asked.variants, ', ')));
    END IF;
    PERFORM act_as(was);
    RETURN NEW;
END $$;
CREATE TRIGGER experiment_assignments_open BEFORE INSERT ON experiment_assignments FOR EACH ROW EXECUTE FUNCTION experiment_is_open();
COMMENT ON TABLE experiment_assignments IS 'Whoever has been given a variant keeps it.';
SELECT admit('experiment_assignments', 'user_id = @user OR @staff');

CREATE TABLE experiment_events (
    id            uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id     uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    experiment_id uuid NOT NULL REFERENCES experiments ON DELETE CASCADE,
    user_id       uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    event_type    text NOT NULL,
    event_data    jsonb NOT NULL DEFAULT '{}',
    occurred_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX experiment_events_occurred_at_idx ON experiment_events (experiment_id, occurred_at);
SELECT admit('experiment_events', '@staff', '@service');

CREATE TABLE churn_events (
    id           uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id    uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    user_id      uuid REFERENCES users ON DELETE SET NULL,
    churn_reason text NOT NULL,
    churn_data   jsonb NOT NULL DEFAULT '{}',
    occurred_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX churn_events_occurred_at_idx ON churn_events (occurred_at);
SELECT admit('churn_events', '@staff', '@service');

CREATE TABLE onboarding_steps (
    id          uuid PRIMARY KEY DEFAULT uuid7(),
    step_key    text NOT NULL CONSTRAINT onboarding_steps__key_unique UNIQUE,
    step_name   text NOT NULL,
    description text,
    order_index integer NOT NULL,
    required    boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE onboarding_steps IS 'The same for every tenant, in order of order_index.';
SELECT admit('onboarding_steps', '@known');

CREATE TABLE onboarding_progress (
    user_id      uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    step_id      uuid NOT NULL REFERENCES onboarding_steps ON DELETE CASCADE,
    completed_at timestamptz,
    skipped_at   timestamptz,
    PRIMARY KEY (user_id, step_id),
    CONSTRAINT onboarding_progress__done_or_skipped CHECK (num_nonnulls(completed_at, skipped_at) = 1)
);
CREATE FUNCTION required_steps_are_done() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT required FROM onboarding_steps WHERE id = NEW.step_id) THEN
        PERFORM break_rule('onboarding_progress__required_not_skipped', 'this step is required');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER onboarding_progress_required BEFORE INSERT OR UPDATE ON onboarding_progress FOR EACH ROW WHEN (NEW.skipped_at IS NOT NULL)
    EXECUTE FUNCTION required_steps_are_done();
SELECT admit('onboarding_progress', 'user_id = @user OR @service', 'user_id = @user OR @service');

CREATE TABLE reports (
    id           uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id    uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    report_type  text NOT NULL,
    report_data  jsonb NOT NULL,
    generated_at timestamptz NOT NULL DEFAULT now(),
    created_by   uuid REFERENCES users ON DELETE SET NULL
);
CREATE INDEX reports_recent_idx ON reports (tenant_id, report_type, generated_at);
CREATE TRIGGER reports_keep BEFORE UPDATE ON reports FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION refuse_change();
COMMENT ON TABLE reports IS 'As it was when it was made, whatever has become of the data since.';
SELECT admit('reports', '@staff', '@staff');
