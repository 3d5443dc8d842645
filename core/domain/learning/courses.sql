-- name: course_lock one
-- A course as its teacher or staff see it, kept from others until the transaction ends.
SELECT id, status, published_at, deleted_at, is_featured FROM courses WHERE id = $1 FOR UPDATE;

-- name: course_move one
-- Its new state; the moment at which it was first published stays.
UPDATE courses SET status = $2::text::course_status, published_at = CASE WHEN $2 = 'published' THEN coalesce(published_at, $3::timestamptz) ELSE published_at END
WHERE id = $1 RETURNING id, status, published_at, deleted_at, is_featured;

-- name: course_set_aside one
-- Deleted since then, or (null) not.
UPDATE courses SET deleted_at = $2 WHERE id = $1 RETURNING id, status, published_at, deleted_at, is_featured;

-- name: course_feature one
-- On the front page or not.
UPDATE courses SET is_featured = $2 WHERE id = $1 RETURNING id, status, published_at, deleted_at, is_featured;

-- name: review_wanted value
-- Whether staff look at every course before it is published.
SELECT value = 'true'::jsonb FROM system_config WHERE key = 'courses.review_required';
