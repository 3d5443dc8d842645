-- What media_keys.py writes and reads: the sealed keys of encrypted generations.

-- name: generation_key_insert none
-- With the publication of its generation.
INSERT INTO generation_keys (generation_id, sealed, ring_key_id) VALUES ($1, $2, $3)

-- name: generation_key_get one
-- Of a generation that is or was published. $1 content, $2 number.
SELECT k.sealed, k.ring_key_id, g.store_prefix
FROM generations g JOIN generation_keys k ON k.generation_id = g.id
WHERE g.content_id = $1 AND g.number = $2 AND g.state IN ('published', 'retired')

-- name: generation_keys_older many
-- Keys that were sealed with another key of the ring than $1.
SELECT k.generation_id, k.sealed, k.ring_key_id, g.store_prefix
FROM generation_keys k JOIN generations g ON g.id = k.generation_id
WHERE k.ring_key_id <> $1 ORDER BY k.generation_id LIMIT $2 FOR UPDATE OF k SKIP LOCKED

-- name: generation_key_renew none
-- Sealed anew, unless somebody else was quicker.
UPDATE generation_keys SET sealed = $3, ring_key_id = $4 WHERE generation_id = $1 AND ring_key_id = $2
