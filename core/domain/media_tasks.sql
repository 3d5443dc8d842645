-- What media_tasks.py writes and reads: attempts, leases, generations.

-- name: tenant_ids many
-- Every tenant; a rescuer looks into each, since row-level security shows one tenant at a time.
SELECT id FROM tenants ORDER BY id

-- name: tasks_waiting value
-- How much the tenant has in hand: what it queues next stands behind that many, so nobody's thousand films make others wait.
SELECT count(*) FROM transcode_tasks t JOIN transcode_jobs j ON j.id = t.job_id WHERE t.state IN ('queued', 'running')

-- name: queue_waiting many
-- Queued tasks by priority. By way of the open jobs, which have an index of their own: tasks that are done are kept for years.
SELECT CASE WHEN j.priority > 0 THEN 'high' WHEN j.priority < 0 THEN 'low' ELSE 'usual' END AS priority, count(*) AS count,
       extract(epoch FROM now() - min(t.created_at))::float8 AS oldest_s
FROM transcode_jobs AS j JOIN transcode_tasks AS t ON t.job_id = j.id AND t.state = 'queued'
WHERE j.state IN ('queued', 'running') GROUP BY 1

-- name: task_lock one
-- A task and its job, locked in this order everywhere; `is_held` while somebody's lease on it runs.
SELECT t.id, t.job_id, t.kind::text, t.chunk_no, t.state::text, t.attempts, t.max_attempts, t.fence, t.error_code, t.error_message,
       t.cancel_requested OR j.cancel_requested
           OR j.state NOT IN ('queued', 'running') AND (t.kind <> 'preview' OR t.attempts = 0 OR j.state <> 'succeeded') AS cancel_requested,
       coalesce(t.state = 'running' AND t.lease_until > now(), false) AS is_held,
       NOT EXISTS (SELECT FROM contents c WHERE c.id = j.content_id AND c.generation_id IS NOT NULL) AS has_nothing_to_play,
       j.tenant_id, j.content_id, j.file_id, j.generation_id, j.publish_when_done, j.priority, j.state::text AS job_state,
       j.source::text AS source, t.output_key, j.codecs, j.quality, j.is_encrypted
FROM transcode_tasks t JOIN transcode_jobs j ON j.id = t.job_id
WHERE t.id = $1 FOR UPDATE OF t, j

-- name: task_priority one
-- What a waiting task's message needs.
SELECT j.tenant_id, j.priority FROM transcode_tasks t JOIN transcode_jobs j ON j.id = t.job_id WHERE t.id = $1 AND t.state = 'queued'

-- name: task_take value
-- A new attempt: its fence shuts every earlier one out.
UPDATE transcode_tasks
SET state = 'running', fence = fence + 1, attempts = attempts + 1, owner = $2, progress = 0, error_code = NULL, error_message = NULL,
    error_details = NULL, lease_until = now() + make_interval(secs => $3), started_at = coalesce(started_at, now()), finished_at = NULL
WHERE id = $1 RETURNING fence

-- name: job_start none
-- The job runs, on this generation. $3 stage, $4 percent.
UPDATE transcode_jobs SET state = 'running', stage = $3, progress = $4, eta_s = NULL, generation_id = $2,
                          started_at = coalesce(started_at, now())
WHERE id = $1

-- name: generation_insert one
-- Allots the content's next number; the caller holds the content's row, so numbers do not collide.
INSERT INTO generations (content_id, number, store_prefix)
SELECT $1, n.number, format('hls/%s/%s-%s', $1::uuid, n.number, $2::bigint)
FROM (SELECT coalesce(max(number), 0) + 1 AS number FROM generations WHERE content_id = $1) AS n
RETURNING id, number, store_prefix

-- name: generation_reuse one
-- A later attempt keeps the number and takes a prefix of its own, so no prefix ever mixes two attempts.
UPDATE generations SET store_prefix = format('hls/%s/%s-%s', content_id, number, $2::bigint)
WHERE id = $1 AND state = 'building' RETURNING id, number, store_prefix

-- name: content_lock one
-- Locks the content for the rest of the transaction.
SELECT id, language FROM contents WHERE id = $1 FOR UPDATE

-- name: source_get one
-- The uploaded file and one place where it lies.
SELECT f.name, f.size, f.mime_type, s.storage_provider, s.bucket, s.storage_key
FROM files f JOIN storage s ON s.file_id = f.id WHERE f.id = $1 ORDER BY s.id LIMIT 1

-- name: task_renew value
-- Keeps the lease if the fence is still ours, and tells whether to stop. No row: the fence is lost. A piece's percent moves its job by
-- its share: encoding is nine tenths of it.
WITH kept AS (
    UPDATE transcode_tasks SET lease_until = now() + make_interval(secs => $3), progress = $4
    WHERE id = $1 AND fence = $2 AND state = 'running' RETURNING id, job_id, kind, cancel_requested
), pieces AS (
    SELECT k.job_id, 0.9 * avg(CASE WHEN t.state = 'done' THEN 100 WHEN t.id = k.id THEN $4::numeric ELSE t.progress END) AS percent
    FROM kept k JOIN transcode_tasks t ON t.job_id = k.job_id AND t.kind IN ('encode', 'audio') GROUP BY k.job_id
), shown AS (
    UPDATE transcode_jobs j SET
        progress = CASE k.kind WHEN 'preview' THEN j.progress WHEN 'transcode' THEN $4 WHEN 'repackage' THEN $4 WHEN 'stitch' THEN 90 + $4 / 10 ELSE greatest(j.progress, p.percent) END,
        eta_s = CASE WHEN k.kind = 'transcode' THEN $5
                     WHEN p.percent > 1 THEN (extract(epoch FROM now() - j.started_at) * (100 - p.percent) / p.percent)::integer END,
        stage = CASE k.kind WHEN 'preview' THEN j.stage ELSE $6 END,
        ladder = coalesce($7::text::jsonb, j.ladder)
    FROM kept k LEFT JOIN pieces p ON p.job_id = k.job_id WHERE j.id = k.job_id AND j.state = 'running'
)
SELECT k.cancel_requested OR j.cancel_requested OR j.state <> 'running' AND (k.kind <> 'preview' OR j.state <> 'succeeded') FROM kept k JOIN transcode_jobs j ON j.id = k.job_id

-- name: task_end none
-- The task's last word.
UPDATE transcode_tasks SET state = $2::text::task_state, progress = CASE WHEN $2 = 'done' THEN 100 ELSE progress END, lease_until = NULL,
                           output_key = $3, error_code = $4, error_message = $5, error_details = $6, finished_at = now()
WHERE id = $1

-- name: pieces_get many
-- Where the pieces of a job lie, in the film's order.
SELECT kind::text, chunk_no, output_key FROM transcode_tasks
WHERE job_id = $1 AND kind IN ('encode', 'audio') AND state = 'done' ORDER BY chunk_no NULLS LAST

-- name: job_end none
-- The job's last word.
UPDATE transcode_jobs SET state = $2::text::job_state, stage = $2::text, eta_s = NULL, remaining = CASE WHEN $2 = 'succeeded' THEN 0 ELSE remaining END,
                          progress = CASE WHEN $2 = 'succeeded' THEN 100 ELSE progress END,
                          error_code = $3, error_message = $4, finished_at = now()
WHERE id = $1 AND state IN ('queued', 'running')

-- name: job_warn none
-- What its title does without.
UPDATE transcode_jobs SET warnings = $2 WHERE id = $1

-- name: generation_fail none
-- A generation that never became whole.
UPDATE generations SET state = 'failed' WHERE id = $1 AND state = 'building'

-- name: task_give_back none
-- Back into the queue. `lease_until` of a queued task is when the rescuer wakes it; a clean stop does not cost an attempt.
UPDATE transcode_tasks SET state = 'queued', owner = NULL, lease_until = now() + make_interval(secs => $2),
                           attempts = attempts - $3, error_code = $4, error_message = $5, error_details = $6
WHERE id = $1

-- name: job_give_back none
-- A job of one task waits again; one of pieces goes on with the others.
UPDATE transcode_jobs SET state = 'queued', stage = 'waiting', progress = 0, eta_s = NULL WHERE id = $1 AND state = 'running'

-- name: generation_publish none
-- The generation is whole and may be played.
UPDATE generations SET state = 'published', published_at = now(), duration_ms = $2, width = $3, height = $4, has_video = $5,
                       has_audio = $6, size_bytes = $7, checksum = $8, texts_digest = $9
WHERE id = $1

-- name: rendition_insert none
-- One playlist of the generation.
INSERT INTO renditions (generation_id, kind, name, path, codecs, width, height, frame_rate, bandwidth_bps, average_bandwidth_bps,
                        channels, language, segment_count, size_bytes, duration_ms)
VALUES ($1, $2::text::rendition_kind, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)

-- name: generation_retire none
-- What was playing until now stays in the store for those who are watching it. $3: nothing of it is lost with it.
UPDATE generations SET state = 'retired', replaced_at = CASE WHEN $3 THEN now() END WHERE content_id = $1 AND id <> $2 AND state = 'published'

-- name: content_publish none
-- Players are given the new generation. A picture that somebody chose is kept; an earlier poster of ours is replaced.
UPDATE contents c SET generation_id = $2, duration = $3,
    thumbnail_image_id = CASE
        WHEN c.thumbnail_image_id IS NULL
             OR EXISTS (SELECT FROM files f WHERE f.id = c.thumbnail_image_id AND f.entity_type = 'poster')
        THEN coalesce($4::uuid, c.thumbnail_image_id) ELSE c.thumbnail_image_id END,
    is_published = c.is_published OR $5,
    published_at = CASE WHEN $5 THEN coalesce(c.published_at, now()) ELSE c.published_at END
WHERE c.id = $1

-- name: posters_retire none
-- Earlier posters of the content are soft-deleted; references keep resolving.
UPDATE files SET is_deleted = true, deleted_at = now()
WHERE entity_type = 'poster' AND entity_id = $1 AND id <> $2 AND NOT is_deleted

-- name: tasks_to_wake many
-- Running tasks whose lease is over, and queued ones whose message may be lost: all are queued again, and next looked at in 5 minutes.
WITH due AS (
    SELECT t.id FROM transcode_tasks t
    WHERE (t.state = 'running' AND t.lease_until < now())
       OR (t.state = 'queued' AND coalesce(t.lease_until, t.created_at + interval '60 seconds') < now())
    ORDER BY t.created_at LIMIT 100 FOR UPDATE SKIP LOCKED
), woken AS (
    UPDATE transcode_tasks t SET state = 'queued', owner = NULL, lease_until = now() + interval '5 minutes'
    FROM due WHERE t.id = due.id RETURNING t.id, t.job_id, t.kind
), waiting AS (
    UPDATE transcode_jobs j SET state = 'queued', stage = 'waiting', eta_s = NULL FROM woken WHERE j.id = woken.job_id AND j.state = 'running' AND woken.kind IN ('transcode', 'repackage')
)
SELECT woken.id, j.tenant_id, j.priority FROM woken JOIN transcode_jobs j ON j.id = woken.job_id

-- name: poster_insert none
-- The still picture is a file of its own, replaced with every generation.
INSERT INTO files (id, name, original_name, size, mime_type, extension, checksum, entity_type, entity_id)
VALUES ($1, 'poster.jpg', 'poster.jpg', $2, 'image/jpeg', 'jpg', $3, 'poster', $4)

-- name: poster_storage_insert none
-- Where the picture lies.
INSERT INTO storage (file_id, storage_provider, bucket, storage_key) VALUES ($1, $2, $3, $4)
