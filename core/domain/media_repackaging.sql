-- What media_repackaging.py writes and reads: titles whose subtitles have changed, and generations that others took the place of.

-- name: changes_lock many
-- Titles to be looked at, with what players are given of them; locked, but for those that somebody is changing right now.
SELECT t.content_id, c.file_id, g.texts_digest, coalesce(g.has_video AND NOT g.is_preview AND g.state = 'published', false) AS is_packaged
FROM text_changes t JOIN contents c ON c.id = t.content_id LEFT JOIN generations g ON g.id = c.generation_id
ORDER BY t.changed_at LIMIT $1 FOR UPDATE OF t, c SKIP LOCKED

-- name: job_is_open value
-- Whether anything is being made of the title. A statement of its own: a lock's snapshot is from before its wait.
SELECT EXISTS (SELECT FROM transcode_jobs WHERE content_id = $1 AND state IN ('queued', 'running'))

-- name: change_forget none
-- The title has been looked at.
DELETE FROM text_changes WHERE content_id = $1

-- name: content_lock_packaged one
-- A title, locked, with its file, if players are given a whole generation of it that has a picture.
SELECT c.file_id FROM contents c JOIN generations g ON g.id = c.generation_id
WHERE c.id = $1 AND c.file_id IS NOT NULL AND g.has_video AND NOT g.is_preview AND g.state = 'published' FOR UPDATE OF c

-- name: job_insert value
-- A job that encodes nothing; its tenant.
INSERT INTO transcode_jobs (id, content_id, file_id, publish_when_done, is_repackaging, created_by)
VALUES ($1, $2, $3, false, true, coalesce($4::uuid, '00000000-0000-7000-8000-000000000002'))
RETURNING tenant_id

-- name: task_insert none
-- Its one piece of work.
INSERT INTO transcode_tasks (id, job_id, kind) VALUES ($1, $2, 'repackage')

-- name: replaced_expired many
-- Generations that were replaced so many seconds ago that no token opens them, and the one object that a picture of the title may be.
SELECT g.id, g.store_prefix, ARRAY(
    SELECT s.storage_key FROM storage s JOIN files f ON f.id = s.file_id AND NOT f.is_deleted
    WHERE f.entity_type = 'poster' AND f.entity_id = g.content_id AND starts_with(s.storage_key, g.store_prefix || '/')) AS kept
FROM generations g
WHERE g.replaced_at < now() - make_interval(secs => $1) AND g.state = 'retired'
  AND NOT EXISTS (SELECT FROM contents c WHERE c.generation_id = g.id)
ORDER BY g.replaced_at LIMIT 20

-- name: replaced_delete none
-- Nothing of it is left.
DELETE FROM generations WHERE id = $1 AND replaced_at IS NOT NULL AND state = 'retired'
