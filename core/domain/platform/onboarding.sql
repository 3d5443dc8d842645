-- name: steps_many many
-- Every step in its order, and what the viewer has done about it.
SELECT s.step_key, s.step_name, s.description, s.required, p.completed_at, p.skipped_at
FROM onboarding_steps AS s LEFT JOIN onboarding_progress AS p ON p.step_id = s.id AND p.user_id = app_user_id()
ORDER BY s.order_index, s.step_key;

-- name: step_find one
-- A step by its key.
SELECT id, required FROM onboarding_steps WHERE step_key = $1;

-- name: step_complete none
-- Done, though it was skipped before; done twice, the first moment stays.
INSERT INTO onboarding_progress (user_id, step_id, completed_at) VALUES (app_user_id(), $1, $2)
ON CONFLICT (user_id, step_id) DO UPDATE SET completed_at = excluded.completed_at, skipped_at = NULL WHERE onboarding_progress.completed_at IS NULL;

-- name: step_skip none
-- Skipped, unless it is done or skipped already.
INSERT INTO onboarding_progress (user_id, step_id, skipped_at) VALUES (app_user_id(), $1, $2) ON CONFLICT (user_id, step_id) DO NOTHING;
