-- What an operator looks at. Integrations and webhooks are switched off: seeded rows call nobody.

INSERT INTO integrations (id, name, integration_type, status, configuration, created_at) VALUES (pg_temp.sid('integration:1'), 'Mailing list', 'newsletter', 'inactive', '{"list": "news"}', pg_temp.ago(120));
INSERT INTO integration_tokens (id, integration_id, token_type, token_value_encrypted, expires_at) VALUES (pg_temp.sid('integration_token:1'), pg_temp.sid('integration:1'), 'access', pg_temp.secret('integration'), pg_temp.ago(-30));
INSERT INTO integration_sync_logs (id, integration_id, sync_type, status, records_synced, error_message, started_at, completed_at)
SELECT pg_temp.sid('sync:' || d), pg_temp.sid('integration:1'), 'contacts', CASE d WHEN 3 THEN 'failed' ELSE 'succeeded' END, CASE d WHEN 3 THEN 0 ELSE 40 + d END, CASE d WHEN 3 THEN 'the list did not answer' END, pg_temp.ago(d), pg_temp.ago(d - 0.01) FROM generate_series(1, 7) AS d;
INSERT INTO webhooks (id, integration_id, created_by, url, event_types, secret, enabled, created_at)
SELECT pg_temp.sid('webhook:1'), pg_temp.sid('integration:1'), id, 'https://hooks.example.com/penstock', ARRAY['course.completed'], encode(pg_temp.secret('webhook'), 'hex'), false, pg_temp.ago(100) FROM people WHERE n = 1;
INSERT INTO api_usage (id, api_key_id, endpoint, method, status_code, response_time_ms, occurred_at)
SELECT pg_temp.sid('usage:' || k), pg_temp.sid('key:1'), '/rest/v1/contents', 'GET', CASE WHEN k % 20 = 0 THEN 429 ELSE 200 END, 4 + pg_temp.pick('took:' || k, 30), pg_temp.ago(k / 20.0) FROM generate_series(1, 200) AS k;
INSERT INTO experiments (id, name, description, variants, status, start_date, end_date) VALUES (pg_temp.sid('experiment:1'), 'Larger posters', 'Do larger posters get played more?', ARRAY['control', 'large'], 'running', pg_temp.ago(20), pg_temp.ago(-20));
INSERT INTO experiment_assignments (experiment_id, user_id, variant, assigned_at) SELECT pg_temp.sid('experiment:1'), id, (ARRAY['control', 'large'])[1 + n % 2], pg_temp.ago(15) FROM people WHERE n % 3 = 0;
INSERT INTO experiment_events (id, experiment_id, user_id, event_type, event_data, occurred_at) SELECT pg_temp.sid('clicked:' || n), pg_temp.sid('experiment:1'), id, 'play', '{"from": "shelf"}', pg_temp.ago(10) FROM people WHERE n % 6 = 0;
INSERT INTO churn_events (id, user_id, churn_reason, churn_data, occurred_at) SELECT pg_temp.sid('churn:' || n), user_id, 'Too little time', '{"months": 3}', pg_temp.ago(1) FROM subscribed WHERE status = 'cancelled';
INSERT INTO onboarding_steps (id, step_key, step_name, description, order_index, required)
SELECT pg_temp.sid('step:' || key), key, name, name || ' once', place, place = 1 FROM (VALUES ('seed-profile', 'Say who you are', 1), ('seed-interests', 'Choose what you like', 2), ('seed-first-play', 'Watch something', 3)) AS s (key, name, place) ON CONFLICT DO NOTHING;
INSERT INTO onboarding_progress (user_id, step_id, completed_at, skipped_at)
SELECT p.id, pg_temp.sid('step:' || s.key), CASE WHEN s.place = 2 AND p.n % 5 = 0 THEN NULL ELSE p.joined_at END, CASE WHEN s.place = 2 AND p.n % 5 = 0 THEN p.joined_at END FROM people p JOIN (VALUES ('seed-profile', 1), ('seed-interests', 2), ('seed-first-play', 3)) AS s (key, place) ON s.place <= 1 + p.n % 3;
INSERT INTO etl_imports (id, import_type, source, status, records_imported, started_at, completed_at) SELECT pg_temp.sid('import:1'), 'listeners', 'hosting export', 'succeeded', 1840, pg_temp.ago(30), pg_temp.ago(29.99);
INSERT INTO reports (id, report_type, report_data, generated_at, created_by) SELECT pg_temp.sid('report:1'), 'monthly_revenue', (SELECT jsonb_build_object('orders', count(*), 'total', sum(total_amount)) FROM orders WHERE status = 'PAID'), pg_temp.ago(0), id FROM people WHERE n = 1;
INSERT INTO search_analytics (id, user_id, query, results_count, clicked_result, created_at) SELECT pg_temp.sid('search:' || n), id, (ARRAY['harbour', 'python', 'rain', 'nolan'])[1 + n % 4], (ARRAY[5, 1, 1, 0])[1 + n % 4], (ARRAY['Harbour', 'Python from the beginning', 'A Year of Rain', NULL])[1 + n % 4], pg_temp.ago(n % 30) FROM people WHERE n % 2 = 1;
INSERT INTO error_logs (id, user_id, error_type, status_code, message, endpoint, method, created_at) SELECT pg_temp.sid('error:' || n), id, 'PaymentDeclined', 402, 'the card was declined', '/rest/v1/rpc/checkout', 'POST', pg_temp.ago(n % 20) FROM people WHERE n % 17 = 0 OR n = 3;
INSERT INTO audit_logs (id, user_id, kind, action, resource_type, resource_id, metadata, ip_address, occurred_at) SELECT pg_temp.sid('activity:' || n), id, 'activity', 'signed_in', 'sessions', pg_temp.sid('session:' || n), '{"by": "password"}', ('192.0.2.' || n % 250)::inet, pg_temp.ago(0) FROM people WHERE n <= 3 OR n % 3 = 0;

INSERT INTO recovery_procedures (id, procedure_name, description, steps) VALUES (pg_temp.sid('procedure:1'), 'Restore into an empty server', 'Never tried here: the drill''s date is empty', '["Stop the edges", "Restore the newest backup", "Run ./penstock migrate", "Start the edges"]') ON CONFLICT DO NOTHING;

-- The money and the certificates above are not news: what the schema put into the outbox here is not sent to anybody.
UPDATE outbox SET delivered_at = now(), outcome = 'seeded' WHERE delivered_at IS NULL AND created_at = now();
INSERT INTO system_config (id, key, value, description, created_at)
VALUES (pg_temp.sid('config:seed'), 'seed', jsonb_build_object('number', current_setting('seed.number')::bigint, 'users', current_setting('seed.users')::integer), 'Which seed filled this installation', now());
