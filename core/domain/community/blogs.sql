-- name: blog_lock one
-- A blog as the viewer sees it.
SELECT author_id, is_draft FROM blogs WHERE id = $1;

-- name: blog_approve one
-- May be published.
UPDATE blogs SET status = 'Approved' WHERE id = $1
RETURNING id AS blog_id, status::text, is_featured, published_at, rejected_at, rejection_reason;

-- name: blog_reject one
-- Goes back to its author.
UPDATE blogs SET status = 'Rejected', rejection_reason = $2, rejected_at = $3 WHERE id = $1
RETURNING id AS blog_id, status::text, is_featured, published_at, rejected_at, rejection_reason;

-- name: blog_publish one
-- Is shown; the moment of the first time stays.
UPDATE blogs SET status = 'Published', published_at = coalesce(published_at, $2) WHERE id = $1
RETURNING id AS blog_id, status::text, is_featured, published_at, rejected_at, rejection_reason;

-- name: blog_feature one
-- Is shown first, or not.
UPDATE blogs SET is_featured = $2 WHERE id = $1
RETURNING id AS blog_id, status::text, is_featured, published_at, rejected_at, rejection_reason;

-- name: blog_resubmit one
-- Waits to be looked at again.
UPDATE blogs SET status = 'Pending', rejected_at = NULL, rejection_reason = NULL WHERE id = $1
RETURNING id AS blog_id, status::text, is_featured, published_at, rejected_at, rejection_reason;

-- name: comment_seen value
-- Whether the viewer sees the comment.
SELECT EXISTS (SELECT FROM blog_comments WHERE id = $1);

-- name: upvote_insert none
-- Upvotes in the name of whoever acts, once.
INSERT INTO blog_comment_upvotes (comment_id) VALUES ($1) ON CONFLICT (comment_id, user_id) DO NOTHING;

-- name: upvotes_get value
-- How often a comment has been upvoted.
SELECT upvotes FROM blog_comments WHERE id = $1;
