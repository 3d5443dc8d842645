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

-- name: job_insert none
-- A job of one task waits for a worker.
INSERT INTO transcode_jobs (id, content_id, file_id, priority, publish_when_done, created_by)
VALUES ($1, $2, $3, $4, $5, coalesce($6::uuid, app_user_id(), '00000000-0000-7000-8000-000000000002'))

-- name: task_insert none
-- The job's one piece of work.
INSERT INTO transcode_tasks (id, job_id, kind) VALUES ($1, $2, 'transcode')

-- name: content_for_again one
-- The content to encode again (locked, so that two askers are told apart), its file, and whether a job is open on it.
SELECT c.id, c.file_id,
       EXISTS (SELECT FROM transcode_jobs j WHERE j.content_id = c.id AND j.state IN ('queued', 'running')) AS is_busy
FROM contents c WHERE c.id = $1 FOR UPDATE OF c

-- name: job_lock_cancel one
-- The open task of a job that is to be cancelled.
SELECT j.state::text, t.id AS task_id, j.generation_id
FROM transcode_jobs j JOIN transcode_tasks t ON t.job_id = j.id WHERE j.id = $1 FOR UPDATE OF j, t

-- name: task_ask_cancel none
-- The worker reads this with its next renewal.
UPDATE transcode_tasks SET cancel_requested = true WHERE id = $1
