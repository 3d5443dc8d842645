-- name: chapter_lock one
-- A chapter as its teacher or staff see it, kept from others.
SELECT course_id, status, release_at FROM chapters WHERE id = $1 FOR UPDATE;

-- name: chapter_move none
-- Its new state, and when it opens.
UPDATE chapters SET status = $2::text::part_status, release_at = $3 WHERE id = $1;

-- name: lesson_lock one
-- A lesson as its teacher or staff see it, kept from others.
SELECT course_id, status, release_at FROM lessons WHERE id = $1 FOR UPDATE;

-- name: lesson_move none
-- Its new state, and when it opens.
UPDATE lessons SET status = $2::text::part_status, release_at = $3 WHERE id = $1;

-- name: lesson_content_get one
-- What a content is, and whether it is registered as this person's own.
SELECT c.content_type::text AS content_type, EXISTS (
    SELECT FROM resource_ownership o WHERE o.resource_type = 'contents' AND o.resource_id = c.id AND o.owner_id = $2) AS is_own
FROM contents c WHERE c.id = $1;

-- name: lesson_content_set one
-- What it plays.
UPDATE lessons SET content_id = $2 WHERE id = $1 RETURNING id, content_id, text_content IS NOT NULL AS has_text, pdf_url;

-- name: lesson_write one
-- What it says.
UPDATE lessons SET text_content = $2, pdf_url = $3 WHERE id = $1 RETURNING id, content_id, text_content IS NOT NULL AS has_text, pdf_url;
