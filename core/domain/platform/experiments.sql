-- name: variant_assign value
-- The viewer's variant, given when first asked for; null when there is none to give.
SELECT assign_variant($1);

-- name: event_note value
-- What the viewer did under their variant; null without one.
SELECT note_experiment_event($1, $2, $3::text::jsonb);

-- name: experiment_seen value
-- Whether there is such an experiment here.
SELECT EXISTS (SELECT FROM experiments WHERE id = $1);

-- name: results_many many
-- What was done under each variant, and by how many.
SELECT a.variant, e.event_type, count(*)::integer AS events, count(DISTINCT e.user_id)::integer AS people
FROM experiment_events AS e JOIN experiment_assignments AS a ON a.experiment_id = e.experiment_id AND a.user_id = e.user_id
WHERE e.experiment_id = $1 GROUP BY a.variant, e.event_type ORDER BY a.variant, e.event_type;

-- name: assigned_many many
-- How many have each variant.
SELECT variant, count(*)::integer AS people FROM experiment_assignments WHERE experiment_id = $1 GROUP BY variant ORDER BY variant;
