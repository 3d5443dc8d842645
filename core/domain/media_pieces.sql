-- What media_pieces.py writes and reads: a film cut into tasks, and what is left of them.

-- name: pieces_insert many
-- The pieces of a job: kinds and chunk numbers side by side.
INSERT INTO transcode_tasks (job_id, parent_id, kind, rendition, chunk_no, max_attempts)
SELECT $1, $2, p.kind::task_kind, CASE WHEN p.kind = 'encode' THEN 'video' END, p.chunk_no, CASE WHEN p.kind = 'preview' THEN 3 ELSE 5 END
FROM unnest($3::text[], $4::integer[]) AS p (kind, chunk_no)
RETURNING id, kind::text, chunk_no

-- name: job_split none
-- The job is now its pieces.
UPDATE transcode_jobs SET remaining = $2, source = $3::text::jsonb, ladder = $4::text::jsonb, has_pieces = true, stage = 'encoding' WHERE id = $1

-- name: piece_done value
-- One piece less; how many are left.
UPDATE transcode_jobs SET remaining = remaining - 1 WHERE id = $1 RETURNING remaining

-- name: stitch_insert value
-- The task that joins the pieces. Its fence goes on from the first task's, so no two attempts at a generation share a prefix.
INSERT INTO transcode_tasks (job_id, kind, fence)
SELECT $1, 'stitch', coalesce(max(fence), 0) FROM transcode_tasks WHERE job_id = $1 AND kind = 'transcode'
RETURNING id

-- name: jobs_with_leftovers many
-- Jobs that have ended and may have pieces in the store, with nobody at work on one.
SELECT j.id FROM transcode_jobs j
WHERE j.has_pieces AND j.state IN ('succeeded', 'failed', 'cancelled')
  AND NOT EXISTS (SELECT FROM transcode_tasks t WHERE t.job_id = j.id AND t.state = 'running' AND t.lease_until > now())
ORDER BY j.id LIMIT 20

-- name: job_is_clean none
-- Its pieces are gone.
UPDATE transcode_jobs SET has_pieces = false WHERE id = $1
