-- May this person watch this content now? One function over every source of access.
-- Contexts that sell or grant access add their branch here; nothing else decides.

CREATE FUNCTION entitlement(viewer uuid, wanted uuid, viewer_is_staff boolean, at timestamptz)
RETURNS TABLE (allowed boolean, reason text, until timestamptz, max_height integer, max_streams integer)
LANGUAGE sql STABLE AS $$
    WITH content AS (
        SELECT c.id, c.is_free, c.is_preview, c.is_published AND c.is_available AS open, c.generation_id
        FROM contents c WHERE c.id = wanted
    ), person AS (
        SELECT u.id, is_banned(u, at) AS banned, viewer_is_staff OR u.role IN ('admin', 'super_admin') AS staff
        FROM users u WHERE u.id = viewer
    ), owned AS (
        SELECT l.expires_at FROM user_library l
        WHERE l.user_id = viewer AND l.content_id = wanted AND (l.expires_at IS NULL OR l.expires_at > at)
    )
    SELECT v.allowed, v.reason, v.until, NULL::integer, CASE WHEN viewer IS NULL THEN NULL ELSE 4 END
    FROM (
        SELECT CASE
            WHEN NOT EXISTS (SELECT FROM content) THEN 'not_found'
            WHEN viewer IS NOT NULL AND NOT EXISTS (SELECT FROM person) THEN 'unknown_user'
            WHEN (SELECT banned FROM person) THEN 'banned'
            WHEN (SELECT generation_id IS NULL FROM content) THEN 'not_ready'
            WHEN (SELECT staff FROM person) THEN 'staff'
            WHEN NOT (SELECT open FROM content) THEN 'not_published'
            WHEN (SELECT is_free OR is_preview FROM content) THEN 'free'
            WHEN EXISTS (SELECT FROM owned) THEN 'library'
            WHEN viewer IS NULL THEN 'sign_in_needed'
            ELSE 'not_entitled'
        END AS reason
    ) AS r
    CROSS JOIN LATERAL (
        SELECT r.reason IN ('staff', 'free', 'library') AS allowed, r.reason,
               CASE WHEN r.reason = 'library' THEN (SELECT expires_at FROM owned) END AS until
    ) AS v
$$;
COMMENT ON FUNCTION entitlement(uuid, uuid, boolean, timestamptz) IS
    'allowed, why (or why not), until when, and the ceilings that come with it. A null viewer is a guest.';
