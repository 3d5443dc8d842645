-- name: ledger_add_many none
-- Notes beats as taken: of each block all that are sent, or none when one of them is there already or they would be more than fit.
-- A block that is refused is locked all the same. $1 sessions, $2 their blocks, $3 and $4 the first and the last place of its ids in $5,
-- an array of uuid as text: to pack one takes the driver twice as long as the rest of it.
INSERT INTO beat_ledger AS l (session_id, block, event_ids)
SELECT d.session_id, d.block, ((SELECT $5::text::uuid[]))[d.first:d.last]
FROM unnest($1::uuid[], $2::bigint[], $3::integer[], $4::integer[]) AS d (session_id, block, first, last)
ON CONFLICT (session_id, block) DO UPDATE SET event_ids = l.event_ids || EXCLUDED.event_ids, seen_on = current_date
WHERE cardinality(l.event_ids) + cardinality(EXCLUDED.event_ids) <= 64 AND NOT l.event_ids && EXCLUDED.event_ids;

-- name: ledger_refused_many many
-- Which of these blocks it is not this very transaction that has written, and what they hold. $1 sessions, $2 their blocks.
SELECT l.session_id, l.block, l.event_ids
FROM unnest($1::uuid[], $2::bigint[]) AS d (session_id, block)
JOIN beat_ledger AS l ON l.session_id = d.session_id AND l.block = d.block
WHERE l.xmin <> pg_current_xact_id()::xid;

-- name: ledger_fill_many none
-- Adds to blocks that are there. As ledger_add_many.
UPDATE beat_ledger AS l SET event_ids = l.event_ids || ((SELECT $5::text::uuid[]))[d.first:d.last], seen_on = current_date
FROM unnest($1::uuid[], $2::bigint[], $3::integer[], $4::integer[]) AS d (session_id, block, first, last)
WHERE l.session_id = d.session_id AND l.block = d.block;

-- name: ledger_crowd_many none
-- Notes beats of blocks that are full; those that are there already are left out. $1 sessions, $2 ids, each pair once and in order.
INSERT INTO beat_ledger_crowded (session_id, event_id)
SELECT * FROM unnest($1::uuid[], $2::uuid[]) AS d (session_id, event_id) ON CONFLICT DO NOTHING;

-- name: ledger_crowd_old_many many
-- Which of these it is not this very transaction that has noted. $1 sessions, $2 ids.
SELECT l.session_id, l.event_id FROM unnest($1::uuid[], $2::uuid[]) AS d (session_id, event_id)
JOIN beat_ledger_crowded AS l ON l.session_id = d.session_id AND l.event_id = d.event_id
WHERE l.xmin <> pg_current_xact_id()::xid;
