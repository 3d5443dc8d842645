-- What media_failures.py reads.

-- name: job_is_seen value
-- Whether the viewer sees the job.
SELECT EXISTS (SELECT FROM transcode_jobs WHERE id = $1)

-- name: tasks_failed many
-- Tasks of a job with a reason, what ended it first. A cancelled one's reason is a person. $1 job, $2 how many at most.
SELECT id, kind::text, chunk_no, state::text, attempts, max_attempts, error_code, error_message, error_details
FROM transcode_tasks
WHERE job_id = $1 AND error_code IS NOT NULL AND state IN ('queued', 'failed')
ORDER BY state <> 'failed', kind, chunk_no NULLS FIRST LIMIT $2
