-- name: ledger_add_new_many none
-- Notes beats as taken; a unique violation when one is there already. $1 their ids, each once, in order.
INSERT INTO beat_ledger (event_id) SELECT unnest($1::uuid[]);

-- name: ledger_add_many none
-- The same, those that are there already left out.
INSERT INTO beat_ledger (event_id) SELECT unnest($1::uuid[]) ON CONFLICT DO NOTHING;

-- name: ledger_old_many many
-- Which of these it is not this very transaction that has noted.
SELECT event_id FROM beat_ledger WHERE event_id = ANY ($1::uuid[]) AND xmin <> pg_current_xact_id()::xid;
