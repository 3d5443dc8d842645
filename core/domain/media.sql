-- What media.py writes: submitted files with their titles and jobs, and requests to cancel.

-- name: content_insert none
-- A title that has no generation yet, so nobody can play it.
INSERT INTO contents (id, title, description, content_type, file_id, language, is_free)
VALUES ($1, $2, $3, $4::text::content_type, $5, $6, $7)

-- name: file_insert none
-- A stored file; a null uploader is the product itself.
INSERT INTO files (id, uploader_id, name, original_name, size, mime_type, extension, checksum, entity_type, entity_id)
VALUES ($1, coalesce($2::uuid, '00000000-0000-7000-8000-000000000002'), $3, $3, $4, $5, $6, $7, $8, $9)

-- name: storage_insert none
-- Where a file's bytes lie.
INSERT INTO storage (file_id, storage_provider, bucket, storage_key) VALUES ($1, $2, $3, $4)

-- name: quota_lock value
-- How many bytes the tenant may hold; null: any number. Locked, so that of two that come at once the second waits; it counts in
-- a statement of its own, since this one's snapshot is from before the wait.
SELECT q.max_bytes FROM tenant_quotas q WHERE q.tenant_id = app_tenant_id() AND q.max_bytes IS NOT NULL FOR UPDATE OF q

-- name: held_bytes value
-- What the tenant holds: files that are not deleted, and generations that are kept. What is deleted within a day, and is held once more
-- with other subtitles, counts once.
SELECT ((SELECT coalesce(sum(f.size), 0) FROM files f WHERE f.tenant_id = app_tenant_id() AND NOT f.is_deleted)
      + (SELECT coalesce(sum(g.size_bytes), 0) FROM generations g JOIN contents c ON c.id = g.content_id
         WHERE c.tenant_id = app_tenant_id() AND g.state IN ('published', 'retired') AND g.replaced_at IS NULL))::bigint

-- name: job_insert value
-- A job of one task waits for a worker; its tenant.
INSERT INTO transcode_jobs (id, content_id, file_id, priority, publish_when_done, created_by, codecs, quality, is_encrypted)
VALUES ($1, $2, $3, $4, $5, coalesce($6::uuid, app_user_id(), '00000000-0000-7000-8000-000000000002'), $7, $8, $9)
RETURNING tenant_id

-- name: task_insert none
-- The job's one piece of work.
INSERT INTO transcode_tasks (id, job_id, kind) VALUES ($1, $2, 'transcode')

-- name: content_for_again one
-- The content to encode again (locked, so that two askers are told apart), its file, and whether a job is open on it.
SELECT c.id, c.file_id, coalesce((SELECT f.size FROM files f WHERE f.id = c.file_id), 0) AS size,
       EXISTS (SELECT FROM transcode_jobs j WHERE j.content_id = c.id AND j.state IN ('queued', 'running')) AS is_busy
FROM contents c WHERE c.id = $1 FOR UPDATE OF c

-- name: job_lock_cancel one
-- A job that is to be cancelled, and whether a worker must be told first. Tasks are not locked: whoever holds one wants the job next.
SELECT j.state::text, j.generation_id,
       EXISTS (SELECT FROM transcode_tasks t WHERE t.job_id = j.id AND t.state = 'running' AND t.lease_until > now()) AS is_worked_on
FROM transcode_jobs j WHERE j.id = $1 FOR UPDATE OF j

-- name: job_ask_cancel none
-- Every worker on it reads this with its next renewal.
UPDATE transcode_jobs SET cancel_requested = true WHERE id = $1

-- name: job_for_retry one
-- A job as it was asked for.
SELECT j.state::text, j.content_id, j.priority, j.publish_when_done, j.codecs, j.quality, j.is_encrypted, j.is_repackaging
FROM transcode_jobs j WHERE j.id = $1 FOR UPDATE OF j
