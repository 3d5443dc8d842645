-- Small files with bytes: what a course hands out, and the subtitles of two films. `handouts` says what is to be put into the store.

CREATE TEMP TABLE handouts ON COMMIT DROP AS
SELECT pg_temp.sid('file:' || name) AS id, name, mime_type, body, entity_type, entity_id, 'uploads/' || pg_temp.sid('file:' || name) AS storage_key
FROM (SELECT slug || '-syllabus.txt' AS name, 'text/plain' AS mime_type, course || E'\n\n' || string_agg(format('%s. %s', nth, (ARRAY['Watch', 'Try', 'Check'])[place] || ' ' || part), E'\n' ORDER BY nth) || E'\n' AS body, 'courses' AS entity_type, course_id AS entity_id
      FROM lectures GROUP BY slug, course, course_id
      UNION ALL
      SELECT replace(lower(title), ' ', '-') || '.en.vtt', 'text/vtt', E'WEBVTT\n\n00:00:01.000 --> 00:00:04.000\nThe rain began in April.\n\n00:00:05.000 --> 00:00:09.000\nBy June the river had found its old bed again.\n', 'contents', id
      FROM titles WHERE n IN (3, 6)) AS f;
INSERT INTO files (id, uploader_id, uploaded_at, name, original_name, size, mime_type, extension, checksum, entity_type, entity_id)
SELECT h.id, p.id, pg_temp.ago(190), name, name, length(convert_to(body, 'UTF8')), mime_type, substring(name from '[^.]+$'), 'sha256:' || encode(sha256(convert_to(body, 'UTF8')), 'hex'), entity_type, entity_id FROM handouts h, people p WHERE p.n = 2;
INSERT INTO storage (id, file_id, storage_provider, bucket, storage_key)
SELECT pg_temp.sid('stored:' || id), id, current_setting('seed.store_provider'), nullif(current_setting('seed.store_bucket'), ''), storage_key FROM handouts;
INSERT INTO text_tracks (id, content_id, file_id, kind, language, label, created_at) SELECT pg_temp.sid('track:' || id), entity_id, id, 'subtitles', 'en', 'English', pg_temp.ago(190) FROM handouts WHERE entity_type = 'contents';
INSERT INTO downloads (id, user_id, file_id, download_type, status, expires_at, created_at)
SELECT pg_temp.sid('download:' || t.id), t.user_id, h.id, 'document', 'completed', pg_temp.ago(-20), pg_temp.ago(10) FROM taking t JOIN handouts h ON h.entity_id = t.course_id WHERE t.done >= 3;
INSERT INTO resource_ownership (id, resource_type, resource_id, owner_id) SELECT pg_temp.sid('owner:' || c.id), 'courses', c.id, c.teacher_id FROM courses c JOIN lectures l ON l.course_id = c.id AND l.nth = 1;
