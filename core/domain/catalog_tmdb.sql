-- name: media_items_put many
-- Adds titles, or brings them up to date where what is said differs from what is held; one that is held as the other kind stays. Null: not said.
-- In the order of their numbers, so that two synchronisations cannot wait for each other.
INSERT INTO media_items AS m (tmdb_id, tmdb_type, title, description, release_date, rating, genres, creators, runtime_minutes, poster_path, backdrop_path, imdb_id, created_at)
SELECT s.tmdb_id, s.tmdb_type, s.title, s.description, s.release_date, s.rating, coalesce(s.genres, '{}'), coalesce(s.creators, '{}'), s.runtime_minutes,
       s.poster_path, s.backdrop_path, s.imdb_id, $2
FROM jsonb_to_recordset($1::text::jsonb) AS s (tmdb_id integer, tmdb_type tmdb_type, title text, description text, release_date date, rating numeric(4, 2), genres text[],
     creators text[], runtime_minutes integer, poster_path text, backdrop_path text, imdb_id text)
ORDER BY s.tmdb_id
ON CONFLICT (tenant_id, tmdb_id) DO UPDATE SET
    title = EXCLUDED.title,
    description = coalesce(EXCLUDED.description, m.description),
    release_date = coalesce(EXCLUDED.release_date, m.release_date),
    rating = coalesce(EXCLUDED.rating, m.rating),
    genres = coalesce(nullif(EXCLUDED.genres, '{}'), m.genres),
    creators = coalesce(nullif(EXCLUDED.creators, '{}'), m.creators),
    runtime_minutes = coalesce(EXCLUDED.runtime_minutes, m.runtime_minutes),
    poster_path = coalesce(EXCLUDED.poster_path, m.poster_path),
    backdrop_path = coalesce(EXCLUDED.backdrop_path, m.backdrop_path),
    imdb_id = coalesce(EXCLUDED.imdb_id, m.imdb_id)
WHERE m.tmdb_type = EXCLUDED.tmdb_type
  AND (m.title, m.description, m.release_date, m.rating, m.genres, m.creators, m.runtime_minutes, m.poster_path, m.backdrop_path, m.imdb_id) IS DISTINCT FROM
      (EXCLUDED.title, coalesce(EXCLUDED.description, m.description), coalesce(EXCLUDED.release_date, m.release_date), coalesce(EXCLUDED.rating, m.rating),
       coalesce(nullif(EXCLUDED.genres, '{}'), m.genres), coalesce(nullif(EXCLUDED.creators, '{}'), m.creators), coalesce(EXCLUDED.runtime_minutes, m.runtime_minutes),
       coalesce(EXCLUDED.poster_path, m.poster_path), coalesce(EXCLUDED.backdrop_path, m.backdrop_path), coalesce(EXCLUDED.imdb_id, m.imdb_id))
RETURNING tmdb_id, xmax = 0 AS is_new;

-- name: media_items_held many
-- What is held under these numbers.
SELECT id, tmdb_id, tmdb_type::text FROM media_items WHERE tmdb_id = ANY ($1::integer[]);
