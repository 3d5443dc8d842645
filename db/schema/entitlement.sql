-- May this person watch this content now? One function over every source of access; nothing else decides.

-- What courses say of it: as a lesson, or as the recording of a live class. One row a place where it is taught.
CREATE FUNCTION course_access(viewer uuid, wanted uuid, at timestamptz)
RETURNS TABLE (is_teacher boolean, is_preview boolean, is_open boolean, is_subscription boolean, enrolled boolean, banned boolean, until timestamptz)
LANGUAGE sql STABLE AS $$
    WITH place AS (
        SELECT l.course_id, l.id AS lesson_id, l.chapter_id, l.is_preview,
               l.is_active AND h.is_active AS is_active,
               (l.status = 'published' OR (l.status = 'scheduled' AND l.release_at <= at))
               AND (h.status = 'published' OR (h.status = 'scheduled' AND h.release_at <= at)) AS is_released
        FROM lessons l JOIN chapters h ON h.id = l.chapter_id WHERE l.content_id = wanted
        UNION ALL
        SELECT s.course_id, NULL, NULL, false, true, s.status = 'ended' FROM live_sessions s WHERE s.content_id = wanted
    )
    SELECT c.teacher_id = viewer, p.is_preview AND p.is_active AND p.is_released AND c.status = 'published',
           p.is_active AND c.status IN ('published', 'archived') AND (p.is_released OR EXISTS (
               SELECT FROM early_unlocks u WHERE u.user_id = viewer AND (u.lesson_id = p.lesson_id OR u.chapter_id = p.chapter_id))),
           c.pricing_type = 'subscription' AND c.status = 'published',
           coalesce(e.status IN ('active', 'completed') AND (e.expiry_date IS NULL OR e.expiry_date > at), false)
           -- Who enrolled in a subscribers' course without buying it watches by their subscription.
           AND (c.pricing_type <> 'subscription' OR e.order_id IS NOT NULL),
           coalesce(e.banned AND (e.ban_until IS NULL OR e.ban_until > at), false),
           e.expiry_date
    FROM place p JOIN courses c ON c.id = p.course_id
    LEFT JOIN enrollments e ON e.course_id = p.course_id AND e.user_id = viewer
$$;

CREATE FUNCTION entitlement(viewer uuid, wanted uuid, viewer_is_staff boolean, at timestamptz)
RETURNS TABLE (allowed boolean, reason text, until timestamptz, max_height integer, max_streams integer)
LANGUAGE sql STABLE AS $$
    WITH content AS (
        SELECT c.id, c.tenant_id, c.is_free, c.is_preview, c.in_subscription, c.for_members, c.is_published AND c.is_available AS open, c.generation_id
        FROM contents c WHERE c.id = wanted
    ), person AS (
        SELECT u.id, is_banned(u, at) AS banned, viewer_is_staff OR u.role IN ('admin', 'super_admin') OR m.role IN ('Admin', 'SuperAdmin') AS staff,
               m.role IS NOT NULL AS member
        FROM users u LEFT JOIN content c ON true LEFT JOIN memberships m ON m.user_id = u.id AND m.tenant_id = c.tenant_id
        WHERE u.id = viewer
    ), owned AS (
        SELECT l.expires_at FROM user_library l
        WHERE l.user_id = viewer AND l.content_id = wanted AND (l.expires_at IS NULL OR l.expires_at > at)
        UNION ALL
        SELECT NULL FROM direct_purchases d WHERE d.user_id = viewer AND d.content_id = wanted AND d.status = 'PAID'
    ), taught AS MATERIALIZED (
        SELECT a.* FROM course_access(viewer, wanted, at) AS a
    ), subscribed AS MATERIALIZED (
        SELECT s.current_period_end, p.opens_catalog, p.opens_courses, p.max_height, p.max_streams
        FROM subscriptions s JOIN plans p ON p.id = s.plan_id
        WHERE s.user_id = viewer AND s.status IN ('trialing', 'active', 'past_due') AND s.current_period_end > at
    ), plan AS (
        -- Of several running plans that open it, the one that shows most, then the one that lasts longest.
        SELECT s.* FROM subscribed s, content c
        WHERE (c.in_subscription AND s.opens_catalog)
           OR (s.opens_courses AND EXISTS (SELECT FROM taught t WHERE t.is_subscription AND t.is_open AND NOT t.banned))
        ORDER BY s.max_height DESC NULLS FIRST, s.current_period_end DESC LIMIT 1
    )
    SELECT v.allowed, v.reason, v.until, CASE WHEN v.reason = 'subscription' THEN (SELECT p.max_height FROM plan p) END,
           CASE WHEN viewer IS NOT NULL THEN coalesce((SELECT max(s.max_streams) FROM subscribed s), 4) END
    FROM (
        SELECT CASE
            WHEN NOT EXISTS (SELECT FROM content) THEN 'not_found'
            WHEN viewer IS NOT NULL AND NOT EXISTS (SELECT FROM person) THEN 'unknown_user'
            WHEN (SELECT banned FROM person) THEN 'banned'
            WHEN (SELECT generation_id IS NULL FROM content) THEN 'not_ready'
            WHEN (SELECT staff FROM person) THEN 'staff'
            WHEN EXISTS (SELECT FROM taught WHERE is_teacher) THEN 'owner'
            WHEN EXISTS (SELECT FROM resource_ownership o WHERE o.resource_type = 'contents' AND o.resource_id = wanted AND o.owner_id = viewer) THEN 'owner'
            WHEN NOT (SELECT open FROM content) THEN 'not_published'
            WHEN (SELECT is_free OR is_preview FROM content) OR EXISTS (SELECT FROM taught WHERE is_preview) THEN 'free'
            WHEN EXISTS (SELECT FROM owned) THEN 'library'
            WHEN EXISTS (SELECT FROM taught WHERE enrolled AND is_open AND NOT banned) THEN 'enrolled'
            WHEN EXISTS (SELECT FROM plan) THEN 'subscription'
            WHEN (SELECT for_members FROM content) AND (SELECT member FROM person) THEN 'member'
            WHEN viewer IS NULL THEN 'sign_in_needed'
            WHEN EXISTS (SELECT FROM taught WHERE banned) THEN 'banned_from_course'
            WHEN EXISTS (SELECT FROM taught WHERE enrolled AND NOT is_open) THEN 'not_released'
            ELSE 'not_entitled'
        END AS reason
    ) AS r
    CROSS JOIN LATERAL (
        SELECT r.reason IN ('staff', 'owner', 'free', 'library', 'enrolled', 'subscription', 'member') AS allowed, r.reason,
               CASE r.reason
                   WHEN 'library' THEN (SELECT o.expires_at FROM owned o ORDER BY o.expires_at DESC NULLS FIRST LIMIT 1)
                   WHEN 'enrolled' THEN (SELECT t.until FROM taught t WHERE t.enrolled AND t.is_open AND NOT t.banned
                                         ORDER BY t.until DESC NULLS FIRST LIMIT 1)
                   WHEN 'subscription' THEN (SELECT p.current_period_end FROM plan p)
               END AS until
    ) AS v
$$;
COMMENT ON FUNCTION entitlement(uuid, uuid, boolean, timestamptz) IS
    'allowed, why (or why not), until when, and the ceilings that come with it. A null viewer is a guest.';
