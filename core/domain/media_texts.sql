-- What media_texts.py writes and reads: subtitles that were uploaded beside a film.

-- name: content_seen value
-- The title, if there is one in this workspace.
SELECT id FROM contents WHERE id = $1 FOR NO KEY UPDATE

-- name: content_sound_alone value
-- Whether what players are given of the title has no picture.
SELECT EXISTS (SELECT FROM contents c JOIN generations g ON g.id = c.generation_id WHERE c.id = $1 AND NOT g.has_video AND NOT g.is_preview)

-- name: text_files_count value
-- How many subtitles the title has.
SELECT count(*) FROM text_tracks WHERE content_id = $1

-- name: text_put one
-- A track, or a new file for the one of that kind, language and label; the file that it had before.
INSERT INTO text_tracks AS t (content_id, file_id, kind, language, label, is_default) VALUES ($1, $2, $3::text::text_track_kind, $4, $5, $6)
ON CONFLICT ON CONSTRAINT text_tracks__label_unique DO UPDATE SET file_id = excluded.file_id, is_default = excluded.is_default
RETURNING t.id, (SELECT o.file_id FROM text_tracks o WHERE o.content_id = $1 AND o.kind = $3::text::text_track_kind AND o.language = $4 AND o.label = $5) AS earlier_file_id

-- name: texts_undefault none
-- At most one track of a title is shown unasked.
UPDATE text_tracks SET is_default = false WHERE content_id = $1 AND id <> $2 AND is_default

-- name: file_retire none
-- What a new file took the place of.
UPDATE files SET is_deleted = true, deleted_at = now() WHERE id = $1 AND NOT is_deleted

-- name: texts_given many
-- Every track of the title that has a file, with one place where it lies.
SELECT t.id, t.kind::text, t.language, t.label, t.is_default, s.storage_key
FROM text_tracks t JOIN files f ON f.id = t.file_id AND NOT f.is_deleted
JOIN LATERAL (SELECT storage_key FROM storage WHERE file_id = f.id ORDER BY id LIMIT 1) s ON true
WHERE t.content_id = $1 ORDER BY t.created_at, t.id
