-- name: jobs_recent many
-- Open jobs and what has ended lately, the newest first, with the state of their pieces. $1 how many.
SELECT j.id, j.state::text AS state, j.stage, j.progress::float8 AS progress, j.eta_s, j.priority, j.error_code, j.error_message, j.warnings,
       j.created_at, j.started_at, j.finished_at, c.title, f.name AS file_name,
       count(t.id) FILTER (WHERE t.kind IN ('encode', 'audio')) AS pieces,
       count(t.id) FILTER (WHERE t.kind IN ('encode', 'audio') AND t.state = 'done') AS pieces_done,
       count(t.id) FILTER (WHERE t.state = 'running') AS at_work,
       coalesce(bool_or(g.is_preview AND g.state = 'published'), false) AS is_previewed
FROM transcode_jobs AS j
JOIN contents AS c ON c.id = j.content_id
JOIN files AS f ON f.id = j.file_id
LEFT JOIN transcode_tasks AS t ON t.job_id = j.id
LEFT JOIN generations AS g ON g.id = c.generation_id
GROUP BY j.id, c.id, f.id
ORDER BY (j.state IN ('queued', 'running')) DESC, j.created_at DESC
LIMIT $1;

-- name: jobs_found many
-- Jobs whose id ends so. $1 the end of an id.
SELECT id FROM transcode_jobs WHERE id::text LIKE '%' || $1 ORDER BY id LIMIT 2;

-- name: job_warnings value
-- What its title does without. $1 job.
SELECT warnings FROM transcode_jobs WHERE id = $1;

-- name: job_tasks many
-- Every task of a job, in the order of the work. $1 job.
SELECT t.kind::text AS kind, t.rendition, t.chunk_no, t.state::text AS state, t.progress::float8 AS progress, t.attempts, t.max_attempts,
       t.owner, t.error_code, t.error_message, t.error_details, t.started_at, t.finished_at
FROM transcode_tasks AS t WHERE t.job_id = $1 ORDER BY t.kind, t.chunk_no NULLS FIRST;

-- name: jobs_figures one
-- What a monitor asks about.
SELECT count(*) FILTER (WHERE j.state = 'queued') AS queued, count(*) FILTER (WHERE j.state = 'running') AS running,
       count(*) FILTER (WHERE j.state = 'failed' AND j.finished_at > now() - interval '1 day') AS failed_day,
       count(*) FILTER (WHERE j.state = 'succeeded' AND j.finished_at > now() - interval '1 day') AS succeeded_day,
       coalesce(extract(epoch FROM now() - min(j.created_at) FILTER (WHERE j.state = 'queued')), 0)::float8 AS oldest_s,
       (SELECT count(*) FROM transcode_tasks AS t WHERE t.state = 'running' AND t.lease_until > now()) AS tasks_running,
       (SELECT count(*) FROM transcode_tasks AS t WHERE t.state = 'queued') AS tasks_queued
FROM transcode_jobs AS j;
