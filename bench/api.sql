-- What bench/api.py puts in place: a catalogue with shelves.

-- name: genres_insert none
-- Twelve genres.
INSERT INTO genres (title, slug) SELECT 'Genre ' || n, 'genre-' || n FROM generate_series(0, 11) AS n;

-- name: titles_insert none
-- $1 published titles.
INSERT INTO contents (title, content_type, is_free, is_published, published_at, duration)
SELECT 'Title ' || n, 'MOVIE', n % 3 = 0, true, now() - n * interval '1 hour', 5400 + n FROM generate_series(1, $1::integer) AS n;

-- name: shelves_insert none
-- Three genres for each title. A statement of its own: its policy looks for the title among those there before it.
INSERT INTO content_genres (content_id, genre_id)
SELECT c.id, g.id FROM contents c CROSS JOIN generate_series(0, 2) AS k
JOIN genres g ON g.slug = 'genre-' || (c.duration + k * 4) % 12;
