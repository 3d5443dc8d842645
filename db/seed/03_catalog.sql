-- What can be watched: titles without media yet, shelves, series, prices, and the watchlist's outside titles.

INSERT INTO categories (id, title, slug, description)
SELECT pg_temp.sid('category:' || slug), title, slug, title || ' of every kind'
FROM (VALUES ('films', 'Films'), ('learning', 'Learning'), ('audio', 'Audio')) AS c (slug, title);
INSERT INTO categories (id, parent_id, title, slug)
SELECT pg_temp.sid('category:' || slug), pg_temp.sid('category:' || above), title, slug
FROM (VALUES ('documentary', 'films', 'Documentary'), ('fiction', 'films', 'Fiction'), ('programming', 'learning', 'Programming'),
             ('design', 'learning', 'Design'), ('business', 'learning', 'Business'), ('talk', 'audio', 'Talk'), ('music', 'audio', 'Music')) AS c (slug, above, title);
INSERT INTO genres (id, title, slug, description)
SELECT pg_temp.sid('genre:' || slug), initcap(slug), slug, initcap(slug) || ' titles'
FROM unnest(ARRAY['drama', 'comedy', 'thriller', 'science', 'nature', 'ambient']) AS slug
ON CONFLICT DO NOTHING;

CREATE TEMP TABLE titles ON COMMIT DROP AS
SELECT n, pg_temp.sid('title:' || title) AS id, title, kind::content_type, genre, category, price::numeric(19, 4), minutes * 60 AS seconds
FROM (VALUES (1, 'The Salt Line', 'MOVIE', 'drama', 'fiction', 9.99, 108), (2, 'Night Ferry', 'MOVIE', 'thriller', 'fiction', 4.99, 97),
    (3, 'A Year of Rain', 'MOVIE', 'nature', 'documentary', 0, 84), (4, 'Small Hours', 'MOVIE', 'comedy', 'fiction', 4.99, 91),
    (5, 'Glass Mountain', 'MOVIE', 'drama', 'fiction', 9.99, 124), (6, 'The Mapmakers', 'MOVIE', 'science', 'documentary', 0, 76),
    (7, 'Paper Boats', 'MOVIE', 'comedy', 'fiction', 3.99, 88), (8, 'Below the Ice', 'MOVIE', 'nature', 'documentary', 5.99, 93),
    (9, 'Signal Lost', 'MOVIE', 'thriller', 'fiction', 9.99, 115), (10, 'The Long Table', 'MOVIE', 'drama', 'fiction', 4.99, 102),
    (11, 'Harbour: Arrival', 'EPISODE', 'drama', 'fiction', 0, 46), (12, 'Harbour: Undertow', 'EPISODE', 'drama', 'fiction', 1.99, 44),
    (13, 'Harbour: Slack Water', 'EPISODE', 'drama', 'fiction', 1.99, 47), (14, 'Harbour: Spring Tide', 'EPISODE', 'drama', 'fiction', 1.99, 51),
    (15, 'Harbour', 'SERIES', 'drama', 'fiction', 0, 0), (16, 'Slow Rivers', 'MUSIC', 'ambient', 'music', 0.99, 6),
    (17, 'Ascent', 'MUSIC', 'ambient', 'music', 0.99, 5), (18, 'Four in the Morning', 'MUSIC', 'ambient', 'music', 0, 7)) AS t (n, title, kind, genre, category, price, minutes);

INSERT INTO contents (id, title, description, content_type, duration, language, is_free, in_subscription, is_published, published_at, release_date, created_at)
SELECT id, title, initcap(genre) || ', ' || seconds / 60 || ' minutes.', kind, nullif(seconds, 0), 'en', price = 0, price < 9, true, pg_temp.ago(300 - n), (pg_temp.ago(500 - n * 9))::date, pg_temp.ago(320 - n) FROM titles;
INSERT INTO content_genres (id, content_id, genre_id)
SELECT pg_temp.sid('content_genre:' || t.n), t.id, g.id FROM titles t JOIN genres g ON g.slug = t.genre AND g.tenant_id = app_tenant_id();
INSERT INTO content_categories (id, content_id, category_id) SELECT pg_temp.sid('content_category:' || n), id, pg_temp.sid('category:' || category) FROM titles;
INSERT INTO content_prices (id, content_id, price, currency, effective_from, created_by, created_at)
SELECT pg_temp.sid('price:' || t.n), t.id, t.price, 'USD', pg_temp.ago(300), p.id, pg_temp.ago(300) FROM titles t, people p WHERE p.n = 1 AND t.price > 0;

INSERT INTO playlists (id, creator_id, title, description, is_series, created_at)
SELECT pg_temp.sid('playlist:' || v.title), p.id, v.title, v.what, v.is_series, pg_temp.ago(250)
FROM (VALUES ('Harbour, season one', 'Four nights in a port town', true, 1), ('For a quiet evening', 'Nothing loud', false, 2)) AS v (title, what, is_series, n) JOIN people p USING (n);
INSERT INTO playlist_episodes (id, playlist_id, content_id, episode_order, season_number, episode_number, added_at)
SELECT pg_temp.sid('episode:' || n), pg_temp.sid('playlist:Harbour, season one'), id, n - 10, 1, n - 10, pg_temp.ago(250) FROM titles WHERE kind = 'EPISODE'
UNION ALL
SELECT pg_temp.sid('quiet:' || n), pg_temp.sid('playlist:For a quiet evening'), id, n, NULL, NULL, pg_temp.ago(200) FROM titles WHERE n IN (3, 6);
INSERT INTO playlist_prices (id, playlist_id, price, currency, effective_from, created_by, created_at)
SELECT pg_temp.sid('playlist_price'), pg_temp.sid('playlist:Harbour, season one'), 4.99, 'USD', (pg_temp.ago(250))::date, id, pg_temp.ago(250) FROM people WHERE n = 1;
INSERT INTO transcripts (content_id, content, language, confidence_score, created_at)
SELECT id, 'The rain began in April and it did not stop. By June the river had found its old bed again.', 'en', 0.94, pg_temp.ago(290) FROM titles WHERE n IN (3, 6);

-- Three titles that the watchlist's own document seeds, and where they can be seen.
INSERT INTO media_items (id, tmdb_id, tmdb_type, title, description, poster_path, release_date, rating, genres, creators, created_at)
SELECT pg_temp.sid('tmdb:' || tmdb), tmdb, kind::tmdb_type, title, what, '/seed/' || tmdb || '.jpg', released::date, rating, genres, creators, pg_temp.ago(300)
FROM (VALUES (550, 'movie', 'Fight Club', 'An office worker and a soap maker start a club.', '1999-10-15', 8.4, ARRAY['Drama', 'Thriller'], ARRAY['David Fincher']),
             (278, 'movie', 'The Shawshank Redemption', 'A banker spends two decades in a prison.', '1994-09-23', 8.7, ARRAY['Drama', 'Crime'], ARRAY['Frank Darabont']),
             (1396, 'tv', 'Breaking Bad', 'A chemistry teacher turns to crime.', '2008-01-20', 8.9, ARRAY['Drama', 'Crime'], ARRAY['Vince Gilligan'])) AS m (tmdb, kind, title, what, released, rating, genres, creators);
INSERT INTO media_item_ratings (id, media_item_id, source, score, out_of, votes, created_at)
SELECT pg_temp.sid(format('rating:%s:%s', tmdb, source)), pg_temp.sid('tmdb:' || tmdb), source, score, out_of, votes, pg_temp.ago(30)
FROM (VALUES (550, 'imdb', 8.8, 10, 2400000), (550, 'rotten_tomatoes', 81, 100, NULL), (278, 'imdb', 9.3, 10, 2900000), (278, 'rotten_tomatoes', 89, 100, NULL), (1396, 'imdb', 9.5, 10, 2200000)) AS r (tmdb, source, score, out_of, votes);
INSERT INTO streaming_providers (id, media_item_id, provider, url, regions, added_at)
SELECT pg_temp.sid(format('provider:%s:%s', tmdb, provider)), pg_temp.sid('tmdb:' || tmdb), provider, 'https://watch.example.com/' || tmdb, regions, pg_temp.ago(30)
FROM (VALUES (550, 'Example Plus', ARRAY['US', 'CA']), (278, 'Example Plus', ARRAY['US', 'GB']), (1396, 'Streambox', ARRAY['US', 'CA', 'GB']), (1396, 'Example Plus', ARRAY['DE'])) AS s (tmdb, provider, regions);
