-- name: error_insert none
-- One failure. $1 user, $2 kind, $3 status, $4 what and where, $5 the trace, $6 address template, $7 method, $8 the request's id.
INSERT INTO error_logs (user_id, error_type, status_code, message, stack, endpoint, method, metadata)
VALUES ((SELECT id FROM users WHERE id = $1), $2, $3, $4, $5, $6, $7, $8::text::jsonb);
