-- name: facts_get one
-- What is known of an event.
SELECT e.attribution_type, e.occurred_at, c.start_date, c.end_date, e.episode_id,
       (SELECT count(*) FROM ad_units u WHERE u.campaign_id = e.campaign_id AND u.episode_id = e.episode_id)::integer AS spots,
       (SELECT count(*) FROM attribution_events t
        WHERE t.campaign_id = e.campaign_id AND t.listener_id = e.listener_id AND t.attribution_type <> 'conversion'
          AND t.occurred_at BETWEEN e.occurred_at - interval '90 days' AND e.occurred_at)::integer AS touches,
       (SELECT count(*) FROM attribution_events r
        WHERE r.campaign_id = e.campaign_id AND r.listener_id = e.listener_id AND r.attribution_type = e.attribution_type
          AND r.occurred_at >= e.occurred_at - interval '1 minute' AND (r.occurred_at, r.id) < (e.occurred_at, e.id))::integer AS repeats
FROM attribution_events e JOIN campaigns c ON c.id = e.campaign_id WHERE e.id = $1;

-- name: validation_insert none
-- What a check said.
INSERT INTO attribution_validations (attribution_event_id, attribution_occurred_at, validation_type, passed, details, created_at)
VALUES ($1, $2, $3, $4, $5::text::jsonb, $6);
