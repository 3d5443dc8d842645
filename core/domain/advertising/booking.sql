-- name: booking_find one
-- A booking by its code or its address, with the campaign it leads to.
SELECT b.id AS booking_id, c.id AS campaign_id, c.name AS campaign_name, c.stage, s.id AS sponsor_id, s.name AS sponsor_name,
       b.booking_date, b.promo_code, b.vanity_url
FROM io_bookings b JOIN campaigns c ON c.id = b.campaign_id JOIN sponsors s ON s.id = b.sponsor_id
WHERE upper(b.promo_code) = upper($1::text) OR lower(b.vanity_url) = lower($2::text);

-- name: campaign_find value
-- A campaign that the viewer sees, by its id or by what was booked for it.
SELECT c.id FROM campaigns c
WHERE c.id = $1 OR c.id IN (SELECT b.campaign_id FROM io_bookings b
                            WHERE upper(b.promo_code) = upper($2::text) OR lower(b.vanity_url) = lower($3::text));

-- name: day_make none
-- The piece of the table for a day that is not the present one; looked for first, since making one waits for all others.
SELECT ensure_partitions('attribution_events', $1::timestamptz, $1::timestamptz)
WHERE to_regclass('attribution_events_' || to_char($1::timestamptz AT TIME ZONE 'UTC', 'YYYYMMDD')) IS NULL;

-- name: event_insert value
-- What a listener did.
INSERT INTO attribution_events (campaign_id, episode_id, listener_id, attribution_type, attribution_data, occurred_at)
VALUES ($1, $2, $3, $4, $5::text::jsonb, $6) RETURNING id;

-- name: metadata_insert none
-- What is known of it besides.
INSERT INTO attribution_event_metadata (event_id, event_occurred_at, metadata) VALUES ($1, $2, $3::text::jsonb);
