-- What hangs on a content is seen by whoever sees the content. A policy that looked the content up cost a list with its
-- genres a third of its speed (0.62 of the same list without policies); so each such row carries a copy of the answer.

-- FOR SHARE waits for a publication under way and holds off the next one, so that no copy is made of what is about to change.
CREATE FUNCTION copy_visibility() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
BEGIN
    SELECT c.is_published AND c.is_available, coalesce(NEW.tenant_id, c.tenant_id) INTO NEW.is_public, NEW.tenant_id
    FROM contents c WHERE c.id = NEW.content_id FOR SHARE;
    NEW.is_public := coalesce(NEW.is_public, false);
    PERFORM act_as(was);
    RETURN NEW;
END $$;

CREATE FUNCTION spread_visibility() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
    shown uuid[];
    hidden uuid[];
BEGIN
    SELECT array_agg(n.id) FILTER (WHERE n.is_published AND n.is_available), array_agg(n.id) FILTER (WHERE NOT (n.is_published AND n.is_available))
    INTO shown, hidden
    FROM changed n JOIN former o USING (id)
    WHERE (n.is_published AND n.is_available) <> (o.is_published AND o.is_available);
    IF shown IS NOT NULL THEN
        UPDATE content_genres SET is_public = true WHERE content_id = ANY (shown);
        UPDATE content_categories SET is_public = true WHERE content_id = ANY (shown);
        UPDATE content_prices SET is_public = true WHERE content_id = ANY (shown);
        UPDATE playlist_episodes SET is_public = true WHERE content_id = ANY (shown);
    END IF;
    IF hidden IS NOT NULL THEN
        UPDATE content_genres SET is_public = false WHERE content_id = ANY (hidden);
        UPDATE content_categories SET is_public = false WHERE content_id = ANY (hidden);
        UPDATE content_prices SET is_public = false WHERE content_id = ANY (hidden);
        UPDATE playlist_episodes SET is_public = false WHERE content_id = ANY (hidden);
    END IF;
    PERFORM act_as(was);
    RETURN NULL;
END $$;
CREATE TRIGGER contents_spread_visibility AFTER UPDATE ON contents REFERENCING OLD TABLE AS former NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION spread_visibility();

DO $$
DECLARE part text;
BEGIN
    FOREACH part IN ARRAY ARRAY['content_genres', 'content_categories', 'content_prices', 'playlist_episodes'] LOOP
        EXECUTE format('CREATE TRIGGER %1$s_visibility BEFORE INSERT OR UPDATE OF content_id ON %1$s
                        FOR EACH ROW EXECUTE FUNCTION copy_visibility()', part);
        EXECUTE format('COMMENT ON COLUMN %1$s.is_public IS ''A copy: the content is published and available.''', part);
    END LOOP;
END $$;

CREATE TRIGGER playlist_prices_tenant BEFORE INSERT ON playlist_prices FOR EACH ROW WHEN (NEW.tenant_id IS NULL) EXECUTE FUNCTION take_tenant_of('playlists', 'playlist_id');

-- A new price ends the one before it; a period that lies across others is refused by the exclusion constraint.
CREATE FUNCTION end_former_price() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('UPDATE %I SET effective_to = $1 WHERE %I = $2 AND currency = $3 AND effective_to IS NULL AND effective_from < $1',
                   TG_TABLE_NAME, TG_ARGV[0])
    USING NEW.effective_from, (to_jsonb(NEW) ->> TG_ARGV[0])::uuid, NEW.currency;
    RETURN NEW;
END $$;
CREATE TRIGGER content_prices_end_former BEFORE INSERT ON content_prices FOR EACH ROW EXECUTE FUNCTION end_former_price('content_id');
CREATE TRIGGER playlist_prices_end_former BEFORE INSERT ON playlist_prices FOR EACH ROW EXECUTE FUNCTION end_former_price('playlist_id');
CREATE TRIGGER content_prices_name_maker BEFORE INSERT ON content_prices FOR EACH ROW WHEN (app_user_id() IS NOT NULL)
    EXECUTE FUNCTION name_maker('created_by');
CREATE TRIGGER playlist_prices_name_maker BEFORE INSERT ON playlist_prices FOR EACH ROW WHEN (app_user_id() IS NOT NULL)
    EXECUTE FUNCTION name_maker('created_by');
COMMENT ON CONSTRAINT content_prices__no_overlap ON content_prices IS 'At any moment a content has one price in a currency.';
COMMENT ON CONSTRAINT playlist_prices__no_overlap ON playlist_prices IS 'On any day a playlist has one price in a currency.';

-- A tree stays a tree: following the parents from a category never leads back to it.
CREATE FUNCTION categories_stay_a_tree() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        WITH RECURSIVE above (id, parent_id) AS (
            SELECT c.id, c.parent_id FROM categories c WHERE c.id = NEW.parent_id
            UNION
            SELECT c.id, c.parent_id FROM categories c JOIN above a ON c.id = a.parent_id)
        SELECT FROM above WHERE id = NEW.id) THEN
        PERFORM break_rule('categories__no_cycle', 'a category cannot be placed under itself');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER categories_tree BEFORE UPDATE OF parent_id ON categories FOR EACH ROW EXECUTE FUNCTION categories_stay_a_tree();

-- Shelves of their own for the people who look: most watched, and what is on offer. They show what the caller's policies show.
CREATE VIEW popular_contents WITH (security_invoker = true) AS
    SELECT id, tenant_id, title, content_type, view_count, rank() OVER (PARTITION BY tenant_id ORDER BY view_count DESC) AS place
    FROM contents WHERE is_published AND is_available;
COMMENT ON VIEW popular_contents IS 'view_count is kept by every batch of views, so there is nothing to refresh.';

CREATE VIEW content_offers WITH (security_invoker = true) AS
    SELECT c.id, c.tenant_id, c.title, c.content_type, c.is_free, c.in_subscription, c.is_published AND c.is_available AS is_available,
           p.price, p.currency
    FROM contents c
    LEFT JOIN content_prices p ON p.content_id = c.id AND p.effective_from <= now() AND (p.effective_to IS NULL OR p.effective_to > now());
COMMENT ON VIEW content_offers IS 'Availability with the price of this moment, one row a currency.';
