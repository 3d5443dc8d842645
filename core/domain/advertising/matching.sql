-- name: campaign_lock value
-- The sponsor of a campaign, which is kept from others until the transaction ends.
SELECT sponsor_id FROM campaigns WHERE id = $1 FOR UPDATE;

-- name: campaign_seen value
-- Whether the viewer sees it.
SELECT EXISTS (SELECT FROM campaigns WHERE id = $1);

-- name: signals_many many
-- What is known of every podcast: plays of its hosted episodes and listeners of the others, how often it comes out, and what it carried.
WITH plays AS (
    SELECT e.podcast_id, v.views AS plays FROM podcast_episodes e JOIN content_view_days v ON v.content_id = e.content_id
    WHERE v.day >= ($2::timestamptz AT TIME ZONE 'UTC')::date - 30
    UNION ALL
    SELECT e.podcast_id, d.unique_listeners FROM podcast_episodes e JOIN listener_events_daily d ON d.episode_id = e.id
    WHERE e.content_id IS NULL AND d.bucket >= $2::timestamptz - interval '30 days'
), known AS (
    SELECT p.id AS podcast_id,
           (SELECT coalesce(sum(n.plays), 0) FROM plays n WHERE n.podcast_id = p.id)::bigint AS plays_30d,
           (SELECT count(*) FROM podcast_episodes e WHERE e.podcast_id = p.id
            AND e.published_at BETWEEN $2::timestamptz - interval '90 days' AND $2)::integer AS episodes_90d,
           (SELECT count(*) FROM ad_units u JOIN campaigns c ON c.id = u.campaign_id JOIN podcast_episodes e ON e.id = u.episode_id
            WHERE c.sponsor_id = $1 AND e.podcast_id = p.id)::integer AS sponsor_spots
    FROM podcasts p
)
SELECT podcast_id, plays_30d, episodes_90d, sponsor_spots, max(plays_30d) OVER () AS most_plays_30d FROM known;

-- name: match_save none
-- A podcast's match with a campaign; the newest stands.
INSERT INTO matches (advertiser_id, campaign_id, podcast_id, score, rationale, signals, created_at)
VALUES ($1, $2, $3, $4::float8::numeric, $5, $6::text::jsonb, $7)
ON CONFLICT (campaign_id, podcast_id) DO UPDATE
    SET score = EXCLUDED.score, rationale = EXCLUDED.rationale, signals = EXCLUDED.signals, created_at = EXCLUDED.created_at;

-- name: matches_many many
-- A campaign's matches, the best first.
SELECT m.id AS match_id, m.podcast_id, p.name AS podcast_name, m.score, m.rationale, m.signals
FROM matches m LEFT JOIN podcasts p ON p.id = m.podcast_id
WHERE m.campaign_id = $1 ORDER BY m.score DESC, m.id LIMIT $2;
