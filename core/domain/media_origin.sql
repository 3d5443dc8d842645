-- What media_origin.py reads: the generation that a repackaging starts from.

-- name: origin_get one
-- The generation that players are given, and the key of an encrypted one. $1 content.
SELECT g.id, g.store_prefix, g.checksum, g.duration_ms, g.width, g.height, g.has_video, g.has_audio, k.sealed, k.ring_key_id
FROM contents c JOIN generations g ON g.id = c.generation_id LEFT JOIN generation_keys k ON k.generation_id = g.id
WHERE c.id = $1 AND g.state = 'published' AND NOT g.is_preview AND g.has_video

-- name: origin_renditions many
-- What it has besides subtitles. $1 generation.
SELECT kind::text, name, path, codecs, width, height, frame_rate::float8 AS frame_rate, bandwidth_bps, average_bandwidth_bps, channels, language,
       segment_count, size_bytes, duration_ms
FROM renditions WHERE generation_id = $1 AND kind <> 'subtitles' ORDER BY id
