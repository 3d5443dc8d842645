-- name: contents_search many
-- Titles that the viewer sees, the best match first. $1 words, $2 how many.
SELECT c.id, c.title, c.content_type::text AS content_type FROM contents AS c, websearch_to_tsquery('simple', $1) AS q
WHERE c.search @@ q ORDER BY ts_rank(c.search, q) DESC, c.id LIMIT $2;

-- name: contents_search_count value
-- How many there are, up to a thousand.
SELECT count(*)::integer FROM (SELECT FROM contents AS c WHERE c.search @@ websearch_to_tsquery('simple', $1) LIMIT 1000) AS found;

-- name: search_note value
-- Writes a search down.
SELECT note_search($1, $2);

-- name: click_note value
-- Writes down what was chosen of one's own search.
SELECT note_search_click($1, $2);

-- name: effectiveness one
-- How searches of a time went. $1 since, $2 until.
SELECT count(*)::integer AS searches, count(*) FILTER (WHERE results_count = 0)::integer AS without_results,
       count(*) FILTER (WHERE clicked_result IS NOT NULL)::integer AS clicked
FROM search_analytics WHERE created_at >= $1 AND created_at < $2;

-- name: fruitless many
-- What was sought most and not found. $1 since, $2 until.
SELECT lower(query) AS query, count(*)::integer AS searches FROM search_analytics
WHERE created_at >= $1 AND created_at < $2 AND results_count = 0 GROUP BY lower(query) ORDER BY count(*) DESC, lower(query) LIMIT 20;
