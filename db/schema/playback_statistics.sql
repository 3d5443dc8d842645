-- What a person has watched, added up. It shows what the caller's policies show.

CREATE VIEW viewing_statistics WITH (security_invoker = true) AS
    SELECT w.user_id, w.tenant_id, count(*) AS titles_begun, count(*) FILTER (WHERE w.is_completed) AS titles_completed,
           sum(w.watched_ms) / 1000 AS watched_seconds, max(w.updated_at) AS last_watched_at
    FROM watch_progress w GROUP BY w.user_id, w.tenant_id;
COMMENT ON VIEW viewing_statistics IS 'One row a person, over at most as many rows as titles they began: nothing to refresh.';
