-- A small shop, and a second tenant beside it. Ids end in what they are: 1xx contents, 2xx genres, 3xx people.
SELECT set_config('app.tenant_id', '00000000-0000-7000-8000-000000000001', false), set_config('app.role', 'service_role', false);

INSERT INTO tenants (id, name, slug) VALUES ('00000000-0000-7000-8000-00000000b000', 'Other', 'other');
INSERT INTO users (id, name, email) VALUES
    ('00000000-0000-7000-8000-000000000301', 'Mara', 'mara@example.com'),
    ('00000000-0000-7000-8000-000000000302', 'Nils', 'nils@example.com');
INSERT INTO user_profiles (user_id, display_name, date_of_birth) VALUES
    ('00000000-0000-7000-8000-000000000301', 'Mara', '1990-01-01');

INSERT INTO contents (id, title, description, content_type, duration, language, is_free, is_published, published_at, release_date) VALUES
    ('00000000-0000-7000-8000-000000000101', 'Anna', 'A quiet film, set in "Bergen"', 'MOVIE', 5400, 'no', true, true, '2026-01-01', '2025-06-01'),
    ('00000000-0000-7000-8000-000000000102', 'Brand (1992)', NULL, 'MOVIE', 7200, 'sv', false, true, '2026-01-02', '2024-06-01'),
    ('00000000-0000-7000-8000-000000000103', 'Circle, The', 'Running dogs', 'EPISODE', 1500, 'en', false, true, '2026-01-03', NULL),
    ('00000000-0000-7000-8000-000000000104', 'Draft', NULL, 'MOVIE', NULL, 'en', false, false, NULL, NULL);
INSERT INTO contents (id, tenant_id, title, content_type, is_published, published_at) VALUES
    ('00000000-0000-7000-8000-000000000191', '00000000-0000-7000-8000-00000000b000', 'Elsewhere', 'MOVIE', true, '2026-01-09');

INSERT INTO genres (id, title, slug) VALUES
    ('00000000-0000-7000-8000-000000000201', 'Drama', 'drama'),
    ('00000000-0000-7000-8000-000000000202', 'Comedy', 'comedy'),
    ('00000000-0000-7000-8000-000000000203', 'Horror', 'horror');
INSERT INTO content_genres (content_id, genre_id) VALUES
    ('00000000-0000-7000-8000-000000000101', '00000000-0000-7000-8000-000000000201'),
    ('00000000-0000-7000-8000-000000000101', '00000000-0000-7000-8000-000000000202'),
    ('00000000-0000-7000-8000-000000000102', '00000000-0000-7000-8000-000000000201');

INSERT INTO categories (id, parent_id, title, slug) VALUES
    ('00000000-0000-7000-8000-000000000401', NULL, 'Films', 'films'),
    ('00000000-0000-7000-8000-000000000402', '00000000-0000-7000-8000-000000000401', 'Nordic', 'nordic');

INSERT INTO content_prices (content_id, price, currency, effective_from) VALUES
    ('00000000-0000-7000-8000-000000000102', 9.9, 'EUR', '2026-01-01'),
    ('00000000-0000-7000-8000-000000000102', 7.5, 'EUR', '2026-02-01');

INSERT INTO playlists (id, title) VALUES ('00000000-0000-7000-8000-000000000501', 'The Circle');
INSERT INTO playlist_episodes (playlist_id, content_id, episode_order, season_number, episode_number) VALUES
    ('00000000-0000-7000-8000-000000000501', '00000000-0000-7000-8000-000000000103', 1, 1, 1);

INSERT INTO generations (id, content_id, number, state, store_prefix, duration_ms, height, has_video, published_at) VALUES
    ('00000000-0000-7000-8000-000000000601', '00000000-0000-7000-8000-000000000101', 1, 'retired', 'g/1', 5399000, 480, true, '2026-01-01'),
    ('00000000-0000-7000-8000-000000000602', '00000000-0000-7000-8000-000000000101', 2, 'published', 'g/2', 5399000, 1080, true, '2026-01-01');
UPDATE contents SET generation_id = '00000000-0000-7000-8000-000000000602' WHERE id = '00000000-0000-7000-8000-000000000101';

INSERT INTO orders (id, user_id, total_amount, currency, status) VALUES
    ('00000000-0000-7000-8000-000000000701', '00000000-0000-7000-8000-000000000301', 9.9, 'EUR', 'PAID'),
    ('00000000-0000-7000-8000-000000000702', '00000000-0000-7000-8000-000000000302', 9.9, 'EUR', 'PAID');
INSERT INTO user_library (user_id, content_id, order_id) VALUES
    ('00000000-0000-7000-8000-000000000301', '00000000-0000-7000-8000-000000000102', '00000000-0000-7000-8000-000000000701'),
    ('00000000-0000-7000-8000-000000000302', '00000000-0000-7000-8000-000000000102', '00000000-0000-7000-8000-000000000702');

-- Types that the schema has not needed yet, and a name that must be quoted.
CREATE TABLE specimens (
    id integer PRIMARY KEY, data jsonb, plain json, tags text[], span int4range, amount numeric(19, 4), "odd name""x" text, secret text);
INSERT INTO specimens VALUES
    (1, '{"a": {"b": [10, 20]}, "name": "one"}', '{"a": 1}', '{x,y}', '[1,10)', 1.25, 'odd', 'hush'),
    (2, '{"name": "two"}', '{"a": 2}', '{y,"z,1"}', '[10,20)', 2.5, NULL, 'hush'),
    (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
SELECT protect_table('specimens');
CREATE POLICY specimens_read ON specimens FOR SELECT USING ((SELECT app_is_known()));
CREATE POLICY specimens_write ON specimens FOR ALL USING ((SELECT app_is_staff())) WITH CHECK ((SELECT app_is_staff()));
GRANT SELECT, INSERT, UPDATE, DELETE ON specimens TO penstock_app;
ANALYZE;
