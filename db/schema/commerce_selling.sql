-- What is for sale now, who has it already, and what time alone brings about in what was sold.

CREATE FUNCTION sale_offers(kind item_type, thing uuid, period text, at timestamptz)
RETURNS TABLE (title text, price numeric, currency text) LANGUAGE sql STABLE AS $$
    SELECT c.title, CASE WHEN c.is_free THEN 0 ELSE p.price END, CASE WHEN NOT c.is_free THEN p.currency END
    FROM contents c
    LEFT JOIN content_prices p ON p.content_id = c.id AND NOT c.is_free AND p.effective_from <= at AND (p.effective_to IS NULL OR p.effective_to > at)
    WHERE kind = 'CONTENT' AND c.id = thing AND c.is_published AND c.is_available AND (c.is_free OR p.id IS NOT NULL)
    UNION ALL
    SELECT l.title, p.price, p.currency
    FROM playlists l JOIN playlist_prices p ON p.playlist_id = l.id AND p.effective_from <= (at AT TIME ZONE 'UTC')::date
         AND (p.effective_to IS NULL OR p.effective_to > (at AT TIME ZONE 'UTC')::date)
    WHERE kind = 'PLAYLIST' AND l.id = thing
    UNION ALL
    SELECT k.title, CASE k.pricing_type WHEN 'free' THEN 0 ELSE coalesce(k.discount_price, k.price) END, CASE WHEN k.pricing_type <> 'free' THEN k.currency END
    FROM courses k WHERE kind = 'COURSE' AND k.id = thing AND k.status = 'published' AND k.pricing_type <> 'subscription'
    UNION ALL
    SELECT n.name, n.price, n.currency
    FROM (SELECT s.name, CASE period WHEN 'year' THEN s.price_yearly ELSE s.price_monthly END AS price, s.currency FROM plans s
          WHERE kind = 'PLAN' AND s.id = thing AND s.is_offered) AS n
    WHERE n.price IS NOT NULL
$$;
COMMENT ON FUNCTION sale_offers(item_type, uuid, text, timestamptz) IS
    'One row a currency in which the viewer can buy the thing at that moment; a null currency is any: it costs nothing.';

CREATE FUNCTION has_already(person uuid, kind item_type, thing uuid, at timestamptz) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT CASE kind
        WHEN 'CONTENT' THEN owns_content(person, thing, at)
        WHEN 'PLAYLIST' THEN EXISTS (SELECT FROM playlist_episodes e WHERE e.playlist_id = thing) AND NOT EXISTS (
            SELECT FROM playlist_episodes e WHERE e.playlist_id = thing AND NOT owns_content(person, e.content_id, at))
        WHEN 'COURSE' THEN EXISTS (SELECT FROM enrollments e WHERE e.user_id = person AND e.course_id = thing AND e.status IN ('active', 'completed')
                                   AND (e.expiry_date IS NULL OR e.expiry_date > at))
        ELSE EXISTS (SELECT FROM subscriptions s WHERE s.user_id = person AND s.plan_id = thing AND s.status IN ('trialing', 'active', 'past_due')
                     AND s.current_period_end > at)
    END
$$;
COMMENT ON FUNCTION has_already(uuid, item_type, uuid, timestamptz) IS 'Buying it would give this person nothing that they lack. Of a plan: it runs.';

-- A subscription is paid ahead, so one whose time is over ends, whatever it was waiting for.
CREATE FUNCTION end_subscriptions(at timestamptz) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    done integer;
BEGIN
    WITH ended AS (
        UPDATE subscriptions SET status = CASE WHEN cancel_at_period_end THEN 'cancelled' ELSE 'expired' END::subscription_status,
               cancelled_at = CASE WHEN cancel_at_period_end THEN coalesce(cancelled_at, at) ELSE cancelled_at END
        WHERE status IN ('trialing', 'active', 'past_due') AND current_period_end <= at RETURNING id, tenant_id, user_id, plan_id, status
    )
    INSERT INTO outbox (tenant_id, topic, subject, payload)
    SELECT tenant_id, 'subscription.ended', 'subscription:' || id,
           jsonb_build_object('subscription_id', id, 'user_id', user_id, 'plan_id', plan_id, 'status', status) FROM ended;
    GET DIAGNOSTICS done = ROW_COUNT;
    RETURN done;
END $$;

-- Nobody pays an order a week later, and what is left open would be paid at a price of then.
CREATE FUNCTION end_orders(at timestamptz) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    done integer;
BEGIN
    WITH ended AS (
        UPDATE orders o SET status = 'FAILED' WHERE o.status = 'PENDING' AND o.created_at < at - interval '7 days'
        AND NOT EXISTS (SELECT FROM payments p WHERE p.order_id = o.id AND p.status = 'INITIATED' AND p.provider = 'manual' AND p.created_at > at - interval '60 days')
        RETURNING id, tenant_id, user_id
    ), called_off AS (
        UPDATE payments p SET status = 'CANCELLED', failure_reason = 'the order was given up' FROM ended e WHERE p.order_id = e.id AND p.status = 'INITIATED'
    )
    INSERT INTO outbox (tenant_id, topic, subject, payload)
    SELECT tenant_id, 'order.failed', 'order:' || id, jsonb_build_object('order_id', id, 'user_id', user_id) FROM ended;
    GET DIAGNOSTICS done = ROW_COUNT;
    RETURN done;
END $$;
COMMENT ON FUNCTION end_orders(timestamptz) IS 'Orders that were left open for a week fail; one that waits for a bank transfer may take two months.';
