-- Sponsors, their campaigns, and where the spots go.

CREATE TABLE sponsors (
    id          uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id   uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    name        text NOT NULL CONSTRAINT sponsors__name_given CHECK (name <> ''),
    website_url text,
    logo_url    text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);
SELECT admit('sponsors', '@staff', '@staff');

CREATE TABLE campaigns (
    id               uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id        uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    sponsor_id       uuid NOT NULL REFERENCES sponsors ON DELETE CASCADE,
    name             text NOT NULL CONSTRAINT campaigns__name_given CHECK (name <> ''),
    description      text,
    start_date       date,
    end_date         date,
    stage            text NOT NULL DEFAULT 'prospect'
                     CONSTRAINT campaigns__stage_known CHECK (stage IN ('prospect', 'negotiation', 'booked', 'running', 'completed', 'lost')),
    stage_changed_at timestamptz NOT NULL DEFAULT now(),
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT campaigns__of_sponsor_unique UNIQUE (id, sponsor_id),
    CONSTRAINT campaigns__ends_after_start CHECK (end_date >= start_date)
);
CREATE INDEX campaigns_stage_idx ON campaigns (stage);
CREATE INDEX campaigns_dates_idx ON campaigns (start_date, end_date);
CREATE TRIGGER campaigns_transition BEFORE UPDATE ON campaigns FOR EACH ROW EXECUTE FUNCTION
    allow_transitions('stage', 'prospect>negotiation', 'prospect>booked', 'prospect>lost', 'negotiation>prospect', 'negotiation>booked', 'negotiation>lost',
                      'booked>running', 'booked>lost', 'running>completed', 'running>lost', 'lost>prospect');
CREATE TRIGGER campaigns_stage_changed BEFORE UPDATE ON campaigns FOR EACH ROW EXECUTE FUNCTION stamp_change('stage', 'stage_changed_at');
CREATE TRIGGER campaigns_quota AFTER INSERT ON campaigns REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION within_quota('max_campaigns');
SELECT admit('campaigns', '@staff', '@staff');

CREATE TABLE ad_units (
    id               uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id        uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    campaign_id      uuid NOT NULL REFERENCES campaigns ON DELETE CASCADE,
    episode_id       uuid NOT NULL REFERENCES podcast_episodes ON DELETE CASCADE,
    unit_type        text NOT NULL DEFAULT 'mid_roll' CONSTRAINT ad_units__type_known CHECK (unit_type IN ('pre_roll', 'mid_roll', 'post_roll', 'host_read')),
    position_seconds integer NOT NULL CONSTRAINT ad_units__position_not_negative CHECK (position_seconds >= 0),
    duration_seconds integer NOT NULL CONSTRAINT ad_units__duration_positive CHECK (duration_seconds > 0)
);
CREATE FUNCTION ad_units_within_episode() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
    length_s integer := (SELECT duration_seconds FROM podcast_episodes WHERE id = NEW.episode_id);
BEGIN
    IF NEW.position_seconds > length_s THEN
        PERFORM break_rule('ad_units__within_episode', format('the episode ends after %s seconds', length_s));
    END IF;
    PERFORM act_as(was);
    RETURN NEW;
END $$;
CREATE TRIGGER ad_units_within_episode BEFORE INSERT OR UPDATE OF position_seconds, episode_id ON ad_units FOR EACH ROW EXECUTE FUNCTION ad_units_within_episode();
SELECT admit('ad_units', '@staff', '@staff');

CREATE TABLE io_bookings (
    id           uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id    uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    campaign_id  uuid NOT NULL,
    sponsor_id   uuid NOT NULL REFERENCES sponsors ON DELETE CASCADE,
    booking_date date NOT NULL DEFAULT current_date,
    promo_code   text,
    vanity_url   text,
    CONSTRAINT io_bookings__sponsor_of_campaign FOREIGN KEY (campaign_id, sponsor_id) REFERENCES campaigns (id, sponsor_id) ON DELETE CASCADE
);
CREATE INDEX io_bookings_campaign_idx ON io_bookings (campaign_id, sponsor_id);
CREATE UNIQUE INDEX io_bookings__promo_code_unique ON io_bookings (tenant_id, upper(promo_code));
CREATE UNIQUE INDEX io_bookings__vanity_url_unique ON io_bookings (tenant_id, lower(vanity_url));
COMMENT ON CONSTRAINT io_bookings__sponsor_of_campaign ON io_bookings IS 'Who books is who runs the campaign.';
SELECT admit('io_bookings', '@staff', '@staff');

CREATE TABLE matches (
    id            uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id     uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    advertiser_id uuid NOT NULL REFERENCES sponsors ON DELETE CASCADE,
    campaign_id   uuid NOT NULL REFERENCES campaigns ON DELETE CASCADE,
    podcast_id    uuid REFERENCES podcasts ON DELETE CASCADE,
    score         numeric(7, 4) NOT NULL CONSTRAINT matches__score_percent CHECK (score BETWEEN 0 AND 100),
    rationale     text NOT NULL,
    signals       jsonb NOT NULL DEFAULT '{}',
    created_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT matches__once UNIQUE (campaign_id, podcast_id)
);
CREATE INDEX matches_best_idx ON matches (campaign_id, score DESC);
SELECT admit('matches', '@staff', '@staff');

CREATE TABLE partners (
    id            uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id     uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    name          text NOT NULL CONSTRAINT partners__name_given CHECK (name <> ''),
    partner_type  text NOT NULL,
    contact_email text,
    created_at    timestamptz NOT NULL DEFAULT now()
);
SELECT admit('partners', '@staff', '@staff');

CREATE TABLE partner_integrations (
    id               uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id        uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    partner_id       uuid NOT NULL REFERENCES partners ON DELETE CASCADE,
    integration_type text NOT NULL,
    configuration    jsonb NOT NULL DEFAULT '{}',
    status           text NOT NULL DEFAULT 'inactive' CONSTRAINT partner_integrations__status_known CHECK (status IN ('inactive', 'active', 'failing')),
    created_at       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX partner_integrations_status_idx ON partner_integrations (status);
SELECT admit('partner_integrations', '@staff', '@staff');
