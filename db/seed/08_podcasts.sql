-- Three podcasts, their listeners for ten days, their sponsors, and what came of the advertising.

SELECT ensure_partitions(parent, now() - interval '12 days', now() + interval '1 day') FROM unnest(ARRAY['listener_events', 'listener_metrics', 'attribution_events']) AS parent;
INSERT INTO podcasts (id, name, description, rss_feed_url, website_url, created_at)
SELECT pg_temp.sid('podcast:' || n), name, what, 'https://feeds.example.com/' || n || '.xml', 'https://podcasts.example.com/' || n, pg_temp.ago(350)
FROM (VALUES (1, 'Kitchen Table Science', 'Two physicists and a kettle'), (2, 'The Second Draft', 'Writers on what they threw away'), (3, 'Quiet Streets', 'Cities after midnight')) AS p (n, name, what);
CREATE TEMP TABLE episodes ON COMMIT DROP AS
SELECT podcast, nth, pg_temp.sid(format('podcast_episode:%s:%s', podcast, nth)) AS id, pg_temp.sid(format('podcast_content:%s:%s', podcast, nth)) AS content_id, (ARRAY['Beginnings', 'What the water said', 'A letter back', 'Counting stars', 'The long way', 'Endings'])[nth] AS title,
       1500 + pg_temp.pick(format('podcast_length:%s:%s', podcast, nth), 1800) AS seconds, pg_temp.ago(60 - nth * 7 - podcast) AS at FROM generate_series(1, 3) AS podcast, generate_series(1, 6) AS nth;
INSERT INTO contents (id, title, content_type, duration, language, is_free, is_published, published_at, created_at) SELECT content_id, title, 'PODCAST_EPISODE', seconds, 'en', true, true, at, at FROM episodes;
INSERT INTO podcast_episodes (id, podcast_id, content_id, title, description, season_number, episode_number, published_at, duration_seconds, guid, created_at)
SELECT id, pg_temp.sid('podcast:' || podcast), content_id, title, title || ', with guests.', 1, nth, at, seconds, 'seed-' || id, at FROM episodes;
INSERT INTO listener_events (id, episode_id, listener_id, event_type, event_data, occurred_at)
SELECT pg_temp.sid(format('heard:%s:%s:%s', p.n, d, kind)), e.id, 'listener-' || p.n, kind, jsonb_build_object('app', (ARRAY['web', 'overcast', 'antennapod'])[1 + p.n % 3]), pg_temp.ago(d) + (p.n % 600 + CASE kind WHEN 'complete' THEN 600 ELSE 0 END) * interval '1 minute'
FROM people p, generate_series(1, 10) AS d, unnest(ARRAY['play', 'complete']) AS kind, LATERAL (SELECT pg_temp.pick(format('hears:%s:%s', p.n, d), 18) AS wanted) AS w JOIN episodes e ON (e.podcast - 1) * 6 + e.nth - 1 = w.wanted
WHERE (kind = 'play' OR p.n % 2 = 0) AND (p.n + d) % 3 = 0;
INSERT INTO listener_metrics (id, episode_id, metric_date, metric_name, metric_value)
SELECT pg_temp.sid(format('metric:%s:%s:%s', podcast, nth, d)), id, (pg_temp.ago(d))::date, 'average_consumption', 40 + pg_temp.pick(format('consumed:%s:%s:%s', podcast, nth, d), 55) FROM episodes, generate_series(1, 10) AS d;
INSERT INTO marketplace_listings (id, podcast_id, listing_type, status, pricing, created_at) SELECT pg_temp.sid('listing:' || n), pg_temp.sid('podcast:' || n), 'ad_inventory', 'listed', jsonb_build_object('cpm', 18 + n), pg_temp.ago(90) FROM generate_series(1, 3) AS n;
INSERT INTO marketplace_revenue (id, listing_id, amount, currency, transaction_date) SELECT pg_temp.sid(format('revenue:%s:%s', n, d)), pg_temp.sid('listing:' || n), 100 + pg_temp.pick(format('earned:%s:%s', n, d), 200), 'USD', (pg_temp.ago(d * 10))::date FROM generate_series(1, 3) AS n, generate_series(1, 6) AS d;

INSERT INTO sponsors (id, name, website_url, created_at) SELECT pg_temp.sid('sponsor:' || n), name, 'https://sponsor' || n || '.example.com', pg_temp.ago(200) FROM (VALUES (1, 'Northwind Coffee'), (2, 'Fabrikam Shoes'), (3, 'Contoso Books')) AS s (n, name);
INSERT INTO campaigns (id, sponsor_id, name, description, start_date, end_date, stage, created_at)
SELECT pg_temp.sid('campaign:' || n), pg_temp.sid('sponsor:' || n), name, 'Host-read spots', (pg_temp.ago(30))::date, (pg_temp.ago(-30))::date, stage, pg_temp.ago(60) FROM (VALUES (1, 'Morning cups', 'running'), (2, 'Walk further', 'booked'), (3, 'Read at night', 'negotiation')) AS c (n, name, stage);
INSERT INTO ad_units (id, campaign_id, episode_id, unit_type, position_seconds, duration_seconds)
SELECT pg_temp.sid(format('ad:%s:%s', podcast, nth)), pg_temp.sid('campaign:' || 1 + podcast % 2), id, (ARRAY['pre_roll', 'mid_roll'])[1 + nth % 2], CASE nth % 2 WHEN 0 THEN 0 ELSE 600 END, 45 FROM episodes;
INSERT INTO io_bookings (id, campaign_id, sponsor_id, booking_date, promo_code, vanity_url) SELECT pg_temp.sid('io:' || n), pg_temp.sid('campaign:' || n), pg_temp.sid('sponsor:' || n), (pg_temp.ago(30))::date, 'SEED' || n, 'sponsor' || n || '.example.com/pod' FROM generate_series(1, 2) AS n;
INSERT INTO matches (id, advertiser_id, campaign_id, podcast_id, score, rationale, signals, created_at)
SELECT pg_temp.sid(format('match:%s:%s', c, p)), pg_temp.sid('sponsor:' || c), pg_temp.sid('campaign:' || c), pg_temp.sid('podcast:' || p), 55 + pg_temp.pick(format('fit:%s:%s', c, p), 45), 'Listeners of this show buy this kind of thing.', '{"audience": 0.8, "tone": 0.7}', pg_temp.ago(40) FROM generate_series(1, 3) AS c, generate_series(1, 3) AS p;
INSERT INTO attribution_models (id, name, model_type, configuration) VALUES (pg_temp.sid('model:first'), 'First touch', 'first_touch', '{}'), (pg_temp.sid('model:decay'), 'Time decay', 'time_decay', '{"half_life_days": 7}');
INSERT INTO attribution_events (id, campaign_id, episode_id, listener_id, attribution_type, attribution_data, occurred_at)
SELECT pg_temp.sid('attributed:' || p.n), pg_temp.sid('campaign:' || 1 + e.podcast % 2), e.id, 'listener-' || p.n, CASE WHEN p.n % 8 = 3 THEN 'conversion' ELSE 'impression' END, jsonb_build_object('promo_code', 'SEED1'), pg_temp.ago(1 + p.n % 9) FROM people p JOIN episodes e ON (e.podcast - 1) * 6 + e.nth - 1 = p.n % 18 WHERE p.n % 2 = 1;
INSERT INTO attribution_event_metadata (event_id, event_occurred_at, metadata) SELECT id, occurred_at, '{"device": "phone"}' FROM attribution_events WHERE attribution_type = 'conversion';
INSERT INTO attribution_paths (id, campaign_id, listener_id, touchpoints, conversion_event_id, conversion_occurred_at) SELECT pg_temp.sid('path:' || id), campaign_id, listener_id, jsonb_build_array(jsonb_build_object('type', 'impression', 'at', occurred_at - interval '1 day')), id, occurred_at FROM attribution_events WHERE attribution_type = 'conversion';
INSERT INTO attribution_validations (id, attribution_event_id, attribution_occurred_at, validation_type, passed, details, created_at) SELECT pg_temp.sid('validation:' || id), id, occurred_at, 'duplicate_check', true, '{}', occurred_at FROM attribution_events WHERE attribution_type = 'conversion';
INSERT INTO attribution_analytics (id, campaign_id, analysis_date, metrics) SELECT pg_temp.sid(format('analysis:%s:%s', c, d)), pg_temp.sid('campaign:' || c), (pg_temp.ago(d))::date, jsonb_build_object('impressions', 100 + pg_temp.pick(format('seen:%s:%s', c, d), 400)) FROM generate_series(1, 2) AS c, generate_series(1, 7) AS d;
INSERT INTO partners (id, name, partner_type, contact_email, created_at) VALUES (pg_temp.sid('partner:1'), 'Measure Co', 'attribution', 'api@measure.example', pg_temp.ago(180));
INSERT INTO partner_integrations (id, partner_id, integration_type, configuration, status, created_at) VALUES (pg_temp.sid('partner_integration:1'), pg_temp.sid('partner:1'), 'pixel', '{"version": 2}', 'inactive', pg_temp.ago(170));
