-- name: model_save value
-- A model by its name.
INSERT INTO attribution_models (name, model_type, configuration, enabled) VALUES ($1, $2, $3::text::jsonb, $4)
ON CONFLICT (tenant_id, name) DO UPDATE
    SET model_type = EXCLUDED.model_type, configuration = EXCLUDED.configuration, enabled = EXCLUDED.enabled
RETURNING id;

-- name: models_enabled many
-- The models that take part.
SELECT id, name, model_type, configuration FROM attribution_models WHERE enabled ORDER BY name;

-- name: event_get one
-- An event, as those in charge see it.
SELECT campaign_id, listener_id, attribution_type, occurred_at FROM attribution_events WHERE id = $1;

-- name: touches_many many
-- What a listener did of a campaign in the 90 days before a moment, in order.
SELECT id AS event_id, attribution_type, episode_id, occurred_at FROM attribution_events
WHERE campaign_id = $1 AND listener_id = $2 AND occurred_at BETWEEN $3::timestamptz - interval '90 days' AND $3
  AND attribution_type <> 'conversion'
ORDER BY occurred_at, id;

-- name: conversion_lock value
-- A conversion is attributed by one at a time.
SELECT pg_advisory_xact_lock(hashtextextended('attribution:' || $1::uuid, 0)) IS NOT NULL;

-- name: path_update value
-- The path of a conversion that has been attributed before.
UPDATE attribution_paths SET touchpoints = $3::text::jsonb
WHERE conversion_event_id = $1 AND conversion_occurred_at = $2 RETURNING id;

-- name: path_insert value
-- The path of a conversion.
INSERT INTO attribution_paths (campaign_id, listener_id, touchpoints, conversion_event_id, conversion_occurred_at)
VALUES ($1, $2, $3::text::jsonb, $4, $5) RETURNING id;

-- name: campaigns_of_day many
-- The campaign that was named, or those with an event on that day.
SELECT c.id FROM campaigns c
WHERE CASE WHEN $1::uuid IS NULL
           THEN EXISTS (SELECT FROM attribution_events e WHERE e.campaign_id = c.id
                        AND e.occurred_at >= $2::timestamptz AND e.occurred_at < $2::timestamptz + interval '1 day')
           ELSE c.id = $1 END
ORDER BY c.id;

-- name: events_of_day many
-- A campaign's events of a day by type, and over all types (null) its listeners.
SELECT attribution_type, count(*)::integer AS events, count(DISTINCT listener_id)::integer AS listeners FROM attribution_events
WHERE campaign_id = $1 AND occurred_at >= $2::timestamptz AND occurred_at < $2::timestamptz + interval '1 day'
GROUP BY GROUPING SETS ((attribution_type), ()) ORDER BY attribution_type;

-- name: paths_of_day many
-- The conversions of a campaign's day, each with what the listener did in the 90 days before, in order.
SELECT c.id AS event_id, c.occurred_at, t.occurred_at AS touched_at, t.episode_id
FROM attribution_events c LEFT JOIN attribution_events t
     ON t.campaign_id = c.campaign_id AND t.listener_id = c.listener_id AND t.attribution_type <> 'conversion'
     AND t.occurred_at BETWEEN c.occurred_at - interval '90 days' AND c.occurred_at
WHERE c.campaign_id = $1 AND c.attribution_type = 'conversion'
  AND c.occurred_at >= $2::timestamptz AND c.occurred_at < $2::timestamptz + interval '1 day'
ORDER BY c.id, t.occurred_at, t.id;

-- name: analysis_save none
-- What came of a campaign's day; the newest analysis of it stands.
INSERT INTO attribution_analytics (campaign_id, analysis_date, metrics) VALUES ($1, $2, $3::text::jsonb)
ON CONFLICT (tenant_id, campaign_id, analysis_date) DO UPDATE SET metrics = EXCLUDED.metrics;
