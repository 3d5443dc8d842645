-- What media_previews.py writes: generations that are played while they grow.

-- name: preview_content_lock one
-- Locks the content, so that its generations' numbers do not collide.
SELECT id FROM contents WHERE id = $1 FOR UPDATE

-- name: preview_insert value
-- A generation of its own number, for nothing but a preview.
INSERT INTO generations (content_id, number, store_prefix, is_preview)
SELECT $1, n.number, format('hls/%s/%s-%s', $1::uuid, n.number, $2::bigint), true
FROM (SELECT coalesce(max(number), 0) + 1 AS number FROM generations WHERE content_id = $1) AS n
RETURNING store_prefix

-- name: preview_task_output none
-- The task's next attempt must know what this one may have shown.
UPDATE transcode_tasks SET output_key = $2 WHERE id = $1

-- name: preview_is_held value
-- Whether players were given what is under this prefix, and may still hold it.
SELECT EXISTS (SELECT FROM generations WHERE store_prefix = $1 AND is_preview AND state IN ('published', 'retired'))

-- name: preview_publish value
-- Its first segments are in the store; its id.
UPDATE generations SET state = 'published', published_at = now(), duration_ms = $2, width = $3, height = $4, has_video = true, has_audio = $5
WHERE store_prefix = $1 AND is_preview AND state = 'building' RETURNING id

-- name: preview_show value
-- Players are given the preview where there was nothing; its content, or no row.
UPDATE contents c SET generation_id = g.id, duration = $2, is_published = c.is_published OR $3,
                      published_at = CASE WHEN $3 THEN coalesce(c.published_at, now()) ELSE c.published_at END
FROM generations g WHERE g.id = $1 AND c.id = g.content_id AND c.generation_id IS NULL RETURNING c.id

-- name: preview_settle none
-- Nobody needed it.
UPDATE generations SET state = 'failed' WHERE store_prefix = $1 AND is_preview AND state = 'building'

-- name: preview_withdraw none
-- A job that failed takes its preview with it, and the publication that came of it.
WITH gone AS (
    UPDATE generations g SET state = CASE WHEN g.state = 'building' THEN 'failed' ELSE 'retired' END::generation_state
    FROM transcode_jobs j
    WHERE j.id = $1 AND g.content_id = j.content_id AND g.is_preview AND g.state IN ('building', 'published')
    RETURNING g.id, g.content_id, j.publish_when_done
)
UPDATE contents c SET generation_id = NULL, is_published = c.is_published AND NOT gone.publish_when_done
FROM gone WHERE c.id = gone.content_id AND c.generation_id = gone.id

-- name: previews_expired many
-- Previews that ended so many seconds ago that no token opens them.
SELECT g.id, g.store_prefix FROM generations g
WHERE g.is_preview AND (g.state = 'failed' OR (g.state = 'retired' AND g.published_at < now() - make_interval(secs => $1)))
  AND NOT EXISTS (SELECT FROM contents c WHERE c.generation_id = g.id)
ORDER BY g.id LIMIT 20

-- name: preview_delete none
-- Nothing of it is left.
DELETE FROM generations WHERE id = $1 AND is_preview
