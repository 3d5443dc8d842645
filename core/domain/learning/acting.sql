-- name: service_part_take value
-- Reads and writes past the policies from here on; the part that was played until now.
SELECT act_as_service();

-- name: part_give_back none
-- Plays that part again.
SELECT act_as($1);
