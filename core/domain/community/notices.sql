-- name: announcement_publish one
-- Is shown to whom it is for.
UPDATE announcements SET status = 'Published', published_at = $2 WHERE id = $1
RETURNING id AS announcement_id, status::text, published_at, scheduled_at;

-- name: announcement_schedule one
-- Is shown from a moment on.
UPDATE announcements SET status = 'Scheduled', scheduled_at = $2 WHERE id = $1
RETURNING id AS announcement_id, status::text, published_at, scheduled_at;

-- name: announcement_expire one
-- Is shown no more.
UPDATE announcements SET status = 'Expired' WHERE id = $1
RETURNING id AS announcement_id, status::text, published_at, scheduled_at;

-- name: announcement_seen value
-- Whether it is for the viewer and out.
SELECT EXISTS (SELECT FROM announcements WHERE id = $1 AND status = 'Published');

-- name: read_insert none
-- Read by whoever acts; the first time is the one that counts.
INSERT INTO announcement_reads (announcement_id, read_at) VALUES ($1, $2) ON CONFLICT (user_id, announcement_id) DO NOTHING;

-- name: read_get value
-- When it was first read by whoever acts.
SELECT read_at FROM announcement_reads WHERE announcement_id = $1 AND user_id = app_user_id();

-- name: help_request_answer one
-- The answer of those in charge.
UPDATE help_requests SET response = $2, status = $3::text::help_request_status WHERE id = $1
RETURNING id AS help_request_id, status::text, response, responded_at, user_reply, user_replied_at;

-- name: help_request_get one
-- A request as the viewer sees it.
SELECT user_id, status::text, response FROM help_requests WHERE id = $1;

-- name: help_request_reply one
-- What the person says to the answer.
UPDATE help_requests SET user_reply = $2 WHERE id = $1
RETURNING id AS help_request_id, status::text, response, responded_at, user_reply, user_replied_at;

-- name: notifications_read none
-- All that whoever acts was told is read.
UPDATE notifications SET is_read = true WHERE user_id = app_user_id() AND NOT is_read;
