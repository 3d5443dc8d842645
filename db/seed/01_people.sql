-- Who the seeded installation is for. Every file here runs in one transaction, as the service, in the order of its number.
-- Ids and values follow from names and the seed's number (seed.number) alone; moments are days before the day it runs on.

CREATE FUNCTION pg_temp.sid(name text) RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT overlay(overlay(md5(current_setting('seed.number') || ':' || name) PLACING '8' FROM 13) PLACING 'a' FROM 17)::uuid
$$;
CREATE FUNCTION pg_temp.pick(name text, choices integer) RETURNS integer LANGUAGE sql STABLE AS $$
    SELECT ('x' || left(md5(current_setting('seed.number') || ':' || name), 7))::bit(28)::integer % choices
$$;
CREATE FUNCTION pg_temp.ago(days numeric) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT date_trunc('day', now()) - days * interval '1 day'
$$;
CREATE FUNCTION pg_temp.secret(name text) RETURNS bytea LANGUAGE sql VOLATILE AS $$
    -- The digest of something that nobody knows: a row to look at, never a way in.
    SELECT sha256(convert_to(name || gen_random_uuid()::text, 'UTF8'))
$$;

-- One to three are the demo's own; the rest fill the lists.
CREATE TEMP TABLE people ON COMMIT DROP AS
SELECT n, pg_temp.sid('person:' || n) AS id, first_name, last_name, pg_temp.ago(400 - (n * 397) % 390) AS joined_at,
       CASE WHEN n = 1 THEN 'admin' WHEN n = 2 OR n % 50 = 0 THEN 'teacher' WHEN n % 3 = 0 THEN 'student' ELSE 'user' END::platform_role AS role,
       CASE WHEN n <= 3 THEN lower(first_name) ELSE lower(first_name) || '.' || lower(last_name) || n END AS handle
FROM (SELECT n,
             CASE n WHEN 1 THEN 'Alice' WHEN 2 THEN 'Bob' WHEN 3 THEN 'Carol'
             ELSE (ARRAY['Amina','Ben','Chloe','Dmitri','Elena','Farid','Grace','Hiro','Ines','Jonas','Kavya','Liam','Mei','Noor','Oscar',
                         'Priya','Quentin','Rosa','Samuel','Tara','Umar','Valeria','Wei','Ximena','Yusuf','Zofia'])[1 + pg_temp.pick('first:' || n, 26)] END AS first_name,
             CASE n WHEN 1 THEN 'Archer' WHEN 2 THEN 'Baker' WHEN 3 THEN 'Chandler'
             ELSE (ARRAY['Adeyemi','Bauer','Costa','Dubois','Eriksen','Fischer','Garcia','Haddad','Ivanova','Jensen','Kowalski','Lopez',
                         'Mueller','Nguyen','Okafor','Patel','Rossi','Sato','Tanaka','Virtanen','Weber','Young'])[1 + pg_temp.pick('last:' || n, 22)] END AS last_name
      FROM generate_series(1, current_setting('seed.users')::integer) AS n) AS named;
ALTER TABLE people ADD PRIMARY KEY (n);
ANALYZE people;

INSERT INTO users (id, name, email, email_verified, username, display_username, role, status, banned, ban_reason, last_login, created_at)
SELECT id, first_name || ' ' || last_name, handle || '@example.com', n % 20 <> 19, handle, handle, role,
       CASE WHEN n % 20 = 19 THEN 'pending_verification' WHEN n % 97 = 0 THEN 'suspended' ELSE 'active' END::user_status,
       n % 97 = 0, CASE WHEN n % 97 = 0 THEN 'Shared an account with strangers' END, pg_temp.ago(n % 30), joined_at
FROM people;
INSERT INTO accounts (id, user_id, provider_id, account_id, auth_method, is_primary, password, created_at)
SELECT pg_temp.sid('account:' || n), id, 'credential', id::text, 'email', true, current_setting('seed.password_hash'), joined_at FROM people;
INSERT INTO accounts (id, user_id, provider_id, account_id, auth_method, created_at)
SELECT pg_temp.sid('google:' || n), id, 'google', 'seed-' || n, 'google', joined_at FROM people WHERE n % 7 = 0 OR n = 3;
INSERT INTO user_profiles (user_id, first_name, last_name, display_name, bio, country, timezone, preferred_language, designation, preferences, created_at)
SELECT id, first_name, last_name, first_name, (ARRAY['Watches on the train.', 'Learning something every evening.', 'Collects films nobody has heard of.', 'Podcasts first, everything else later.'])[1 + n % 4],
       (ARRAY['US','DE','IN','GB','JP','BR','NG','PL'])[1 + n % 8],
       (ARRAY['America/New_York','Europe/Berlin','Asia/Kolkata','Europe/London','Asia/Tokyo','America/Sao_Paulo','Africa/Lagos','Europe/Warsaw'])[1 + n % 8],
       (ARRAY['en','de','en','en','ja','pt','en','pl'])[1 + n % 8], CASE role WHEN 'teacher' THEN 'Instructor' WHEN 'admin' THEN 'Operator' END,
       jsonb_build_object('theme', CASE n % 2 WHEN 0 THEN 'dark' ELSE 'light' END), joined_at
FROM people;
INSERT INTO email_preferences (user_id, marketing_emails) SELECT id, n % 4 = 0 FROM people;
INSERT INTO memberships (id, user_id, role, created_at)
SELECT pg_temp.sid('membership:' || n), id, CASE WHEN n = 1 THEN 'SuperAdmin' WHEN role = 'teacher' THEN 'Admin' ELSE 'Member' END::tenant_role, joined_at FROM people;

INSERT INTO sessions (id, user_id, token_digest, expires_at, ip_address, user_agent, created_at)
SELECT pg_temp.sid('session:' || n), id, pg_temp.secret('session:' || n), pg_temp.ago(-14), ('192.0.2.' || n % 250)::inet,
       (ARRAY['Firefox on Linux', 'Chrome on Windows', 'Safari on iPhone'])[1 + n % 3], pg_temp.ago(n % 14)
FROM people WHERE n <= 3 OR n % 3 = 0;
INSERT INTO refresh_tokens (id, session_id, user_id, token_digest, expires_at, used_at, created_at)
SELECT pg_temp.sid('refresh:' || n), pg_temp.sid('session:' || n), id, pg_temp.secret('refresh:' || n), pg_temp.ago(-14), pg_temp.ago(n % 14 - 0.1), pg_temp.ago(n % 14)
FROM people WHERE n <= 3 OR n % 3 = 0;
INSERT INTO refresh_tokens (id, session_id, user_id, token_digest, parent_id, expires_at, created_at)
SELECT pg_temp.sid('refreshed:' || n), pg_temp.sid('session:' || n), id, pg_temp.secret('refreshed:' || n), pg_temp.sid('refresh:' || n), pg_temp.ago(-14), pg_temp.ago(n % 14 - 0.1)
FROM people WHERE n <= 3 OR n % 3 = 0;
INSERT INTO archived_sessions (id, user_id, token_digest, expires_at, ip_address, user_agent, created_at, updated_at, archived_at)
SELECT pg_temp.sid('archived:' || n), id, pg_temp.secret('archived:' || n), pg_temp.ago(200), ('192.0.2.' || n % 250)::inet, 'Firefox on Linux', pg_temp.ago(230), pg_temp.ago(230),
       pg_temp.ago(110)
FROM people WHERE (n = 3 OR n % 10 = 0) AND joined_at < pg_temp.ago(230);
INSERT INTO verifications (id, user_id, identifier, purpose, token_digest, expires_at, created_at)
SELECT pg_temp.sid('verification:' || n), id, handle || '@example.com', 'email', pg_temp.secret('verification:' || n), pg_temp.ago(0), pg_temp.ago(1)
FROM people WHERE n % 20 = 19 OR n = 3;
INSERT INTO api_keys (id, user_id, key_hash, prefix, name, scopes, expires_at, created_at)
SELECT pg_temp.sid('key:' || n), id, pg_temp.secret('key:' || n), 'seed' || n, 'Nightly export', ARRAY['*:read'], pg_temp.ago(-90), pg_temp.ago(20) FROM people WHERE n <= 2;
INSERT INTO online_sessions (id, user_id, session_id, ip_address, user_agent, last_activity_at, created_at)
SELECT pg_temp.sid('online:' || n), id, 'seed-' || pg_temp.sid('online:' || n), ('192.0.2.' || n % 250)::inet, 'Firefox on Linux', pg_temp.ago(0), pg_temp.ago(1)
FROM people WHERE n <= 3 OR n % 25 = 0;
INSERT INTO security_events (id, user_id, event_type, severity, details, ip_address, occurred_at)
SELECT pg_temp.sid('security:' || n), id, 'sign_in_failed', 'low', '{"reason": "wrong password"}', ('198.51.100.' || n % 250)::inet, pg_temp.ago(n % 60)
FROM people WHERE n = 3 OR n % 11 = 0;
INSERT INTO gdpr_requests (id, user_id, request_type, status, requested_at, completed_at)
SELECT pg_temp.sid('gdpr:' || n), id, CASE n % 2 WHEN 0 THEN 'access' ELSE 'rectification' END, CASE n WHEN 3 THEN 'pending' ELSE 'completed' END, pg_temp.ago(9),
       CASE WHEN n <> 3 THEN pg_temp.ago(5) END
FROM people WHERE n = 3 OR n % 101 = 0;
INSERT INTO user_metrics (user_id, metric_name, metric_value, updated_at) SELECT id, 'minutes_watched', pg_temp.pick('minutes:' || n, 5000), pg_temp.ago(1) FROM people;
INSERT INTO follows (id, follower_id, following_id, created_at)
SELECT pg_temp.sid(format('follow:%s:%s', p.n, o.n)), p.id, o.id, greatest(p.joined_at, o.joined_at)
FROM people p JOIN people o ON o.n IN (1 + pg_temp.pick('follows:' || p.n, 20), 1 + (p.n + 6) % (SELECT count(*)::integer FROM people)) AND o.n <> p.n;
INSERT INTO referrals (id, referrer_id, referred_email, referred_user_id, status, created_at)
SELECT pg_temp.sid('referral:' || p.n), p.id, o.handle || '@example.com', o.id, 'converted', o.joined_at FROM people p JOIN people o ON o.n = p.n + 1 WHERE p.n = 1 OR p.n % 40 = 3
UNION ALL
SELECT pg_temp.sid('referral:open'), id, 'a.friend@example.org', NULL, 'pending', pg_temp.ago(3) FROM people WHERE n = 3;
INSERT INTO referral_commissions (id, referral_id, amount, currency, status, paid_at)
SELECT pg_temp.sid('commission:' || id), id, 5, 'USD', 'paid', pg_temp.ago(2) FROM referrals WHERE status = 'converted';
