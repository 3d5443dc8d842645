-- Courses with chapters and lessons, who takes them, and how far they are. Orders of paid courses stand here, beside their enrolments.

CREATE TEMP TABLE lectures ON COMMIT DROP AS
SELECT c.n AS course_n, pg_temp.sid('course:' || c.n) AS course_id, c.title AS course, c.slug, c.category, c.difficulty::course_difficulty, c.price::numeric(19, 4), c.teacher_n,
       part, pg_temp.sid(format('chapter:%s:%s', c.n, part)) AS chapter_id, (part - 1) * 3 + place AS nth,
       pg_temp.sid(format('lesson:%s:%s:%s', c.n, part, place)) AS lesson_id, pg_temp.sid(format('lecture:%s:%s:%s', c.n, part, place)) AS content_id, place,
       300 + pg_temp.pick(format('length:%s:%s:%s', c.n, part, place), 900) AS seconds
FROM (VALUES (1, 'Python from the beginning', 'python-from-the-beginning', 'programming', 'beginner', 0, 2), (2, 'Asynchronous programs', 'asynchronous-programs', 'programming', 'advanced', 49, 2),
             (3, 'Typography for screens', 'typography-for-screens', 'design', 'intermediate', 29, 2), (4, 'Reading a balance sheet', 'reading-a-balance-sheet', 'business', 'beginner', 0, 50),
             (5, 'Databases that hold', 'databases-that-hold', 'programming', 'intermediate', 39, 50), (6, 'Sound recording at home', 'sound-recording-at-home', 'design', 'beginner', 19, 100)) AS c (n, title, slug, category, difficulty, price, teacher_n),
     generate_series(1, 3) AS part, generate_series(1, 3) AS place;
INSERT INTO courses (id, teacher_id, category_id, title, slug, description, small_description, thumbnail_url, difficulty, pricing_type, price, currency, duration_minutes, language, what_you_will_learn, tags, is_featured, created_at)
SELECT course_id, (SELECT id FROM people WHERE n <= teacher_n ORDER BY role = 'teacher' DESC, n DESC LIMIT 1), pg_temp.sid('category:' || category), course, slug, course || ', in nine lessons with exercises.', 'Nine lessons', 'https://images.example.com/' || slug || '.jpg',
       difficulty, CASE price WHEN 0 THEN 'free' ELSE 'paid' END::pricing_type, price, 'USD', sum(seconds)::integer / 60, 'en', ARRAY['The words of the field', 'A first piece of work'], ARRAY[category], course_n < 3, pg_temp.ago(220 - course_n)
FROM lectures GROUP BY course_id, teacher_n, category, course, slug, difficulty, price, course_n;
INSERT INTO contents (id, title, content_type, duration, language, is_preview, is_published, published_at, created_at)
SELECT content_id, format('%s: lesson %s', course, nth), 'LESSON', seconds, 'en', nth = 1, true, pg_temp.ago(200), pg_temp.ago(210) FROM lectures;
INSERT INTO chapters (id, course_id, title, position, unlock_points, created_at)
SELECT chapter_id, course_id, (ARRAY['First steps', 'Practice', 'On your own'])[part], part, CASE part WHEN 3 THEN 20 END, pg_temp.ago(210) FROM lectures WHERE place = 1;
INSERT INTO lessons (id, course_id, chapter_id, content_id, title, content_type, is_preview, is_downloadable, position, status, created_at)
SELECT lesson_id, course_id, chapter_id, content_id, (ARRAY['Watch', 'Try', 'Check'])[place] || ' ' || part, 'video', nth = 1, place = 1, place, 'published', pg_temp.ago(205) FROM lectures;
UPDATE chapters SET status = 'published' FROM lectures l WHERE l.chapter_id = chapters.id AND NOT (l.course_n = 2 AND l.part = 3);
UPDATE chapters SET status = 'scheduled', release_at = pg_temp.ago(-10) FROM lectures l WHERE l.chapter_id = chapters.id AND l.course_n = 2 AND l.part = 3;
UPDATE courses SET status = 'published', published_at = pg_temp.ago(200) FROM lectures l WHERE l.course_id = courses.id;

INSERT INTO assessments (id, course_id, lesson_id, type, title, total_marks, passing_marks, required, max_attempts, created_at)
SELECT pg_temp.sid('quiz:' || course_n), course_id, lesson_id, 'quiz'::test_type, 'First check', 20, 10, true, 3, pg_temp.ago(200) FROM lectures WHERE nth = 3
UNION ALL SELECT pg_temp.sid('work:' || course_n), course_id, lesson_id, 'assignment', 'A piece of work', 100, 50, true, 1, pg_temp.ago(200) FROM lectures WHERE nth = 6
UNION ALL SELECT pg_temp.sid('exam:' || course_n), course_id, NULL, 'final_exam', 'Final exam', 20, 10, false, 2, pg_temp.ago(200) FROM lectures WHERE nth = 9;
INSERT INTO questions (id, assessment_id, type, question, options, correct_answer, marks, position, created_at)
SELECT pg_temp.sid(format('question:%s:%s', a.id, q)), a.id, 'mcq', format('Which of these belongs to part %s?', q), ARRAY['The first', 'The second', 'The third', 'None'], to_jsonb(q % 4), 5, q, pg_temp.ago(200)
FROM assessments a, generate_series(1, 4) AS q WHERE a.type IN ('quiz', 'final_exam') AND a.course_id IN (SELECT course_id FROM lectures);

CREATE TEMP TABLE taking ON COMMIT DROP AS
SELECT p.n, p.id AS user_id, c.course_n, c.course_id, c.price, pg_temp.sid(format('enrollment:%s:%s', p.n, c.course_n)) AS id, pg_temp.sid(format('course_order:%s:%s', p.n, c.course_n)) AS order_id,
       least(CASE WHEN p.n = 3 AND c.course_n = 1 THEN 9 ELSE pg_temp.pick(format('done:%s:%s', p.n, c.course_n), 10) END, CASE c.course_n WHEN 2 THEN 6 ELSE 9 END) AS done,
       greatest(p.joined_at, pg_temp.ago(150 - p.n % 100)) AS since
FROM people p JOIN (SELECT DISTINCT course_n, course_id, price FROM lectures) AS c
  ON c.course_n = 1 + p.n % 6 OR (p.n % 3 = 0 AND c.course_n = 1 + (p.n + 3) % 6) OR (p.n = 3 AND c.course_n <= 2)
WHERE p.n > 2 AND p.role <> 'teacher';
INSERT INTO orders (id, user_id, total_amount, currency, status, created_at) SELECT order_id, user_id, price, 'USD', 'PAID', since FROM taking WHERE price > 0;
INSERT INTO order_items (id, order_id, item_type, course_id, title, price)
SELECT pg_temp.sid('item:' || t.order_id), order_id, 'COURSE', t.course_id, c.title, t.price FROM taking t JOIN courses c ON c.id = t.course_id WHERE t.price > 0;
INSERT INTO enrollments (id, user_id, course_id, order_id, amount, currency, status, enrolled_at, tags, created_at)
SELECT id, user_id, course_id, CASE WHEN price > 0 THEN order_id END, price, 'USD', CASE WHEN n % 31 = 0 THEN 'dropped' ELSE 'active' END::enrollment_status, since,
       CASE WHEN done > 7 THEN ARRAY['TopPerformer'] WHEN done = 0 THEN ARRAY['NeedsHelp'] ELSE '{}' END::student_tag[], since FROM taking;
INSERT INTO payments (id, order_id, user_id, course_id, enrollment_id, provider, provider_transaction_id, method, amount, currency, status, paid_at, created_at)
SELECT pg_temp.sid('course_payment:' || order_id), order_id, user_id, course_id, id, 'stripe', 'seed_' || order_id, 'stripe', price, 'USD', 'SUCCESS', since, since FROM taking WHERE price > 0;

INSERT INTO attempts (id, assessment_id, user_id, number, status, answers, total_questions, correct_answers, score, possible_marks, points_earned, passed, started_at, completed_at)
SELECT pg_temp.sid('attempt:' || t.id || kind), pg_temp.sid(kind || ':' || course_n), user_id, 1, 'graded',
       (SELECT jsonb_object_agg(pg_temp.sid(format('question:%s:%s', pg_temp.sid(kind || ':' || course_n), q)), CASE WHEN q <= r.hits THEN q % 4 ELSE (q + 1) % 4 END) FROM generate_series(1, 4) AS q),
       4, r.hits, r.hits * 25, 20, r.hits * 5, r.hits >= 2, since + interval '2 days', since + interval '2 days 15 minutes'
FROM taking t JOIN (VALUES ('quiz', 3), ('exam', 9)) AS k (kind, needs) ON t.done >= k.needs, LATERAL (SELECT 1 + pg_temp.pick('hits:' || t.id || kind, 4) AS hits) AS r;
INSERT INTO assignment_submissions (id, assessment_id, user_id, link, description, status, grade, feedback, graded_by, submitted_at)
SELECT pg_temp.sid('submission:' || t.id), pg_temp.sid('work:' || course_n), user_id, 'https://work.example.com/' || t.id, 'My piece of work', CASE WHEN is_graded THEN 'Graded' ELSE 'Pending' END::submission_status,
       CASE WHEN is_graded THEN 55 + pg_temp.pick('grade:' || t.id, 45) END, CASE WHEN is_graded THEN 'Clear and well made.' END, CASE WHEN is_graded THEN c.teacher_id END, since + interval '5 days'
FROM taking t JOIN courses c ON c.id = t.course_id, LATERAL (SELECT t.n % 4 > 0 AS is_graded) AS g WHERE t.done >= 6;
INSERT INTO proctoring_sessions (id, attempt_id, ai_analysis, started_at, ended_at)
SELECT pg_temp.sid('proctoring:' || id), id, '{"attention": 0.93}', started_at, completed_at FROM attempts WHERE assessment_id IN (SELECT pg_temp.sid('exam:' || n) FROM generate_series(1, 6) AS n);
INSERT INTO proctoring_violations (id, session_id, type, details, detected_at)
SELECT pg_temp.sid('violation:' || id), id, 'tab_switch', '{"seconds": 4}', started_at + interval '3 minutes' FROM proctoring_sessions WHERE pg_temp.pick('caught:' || id, 3) = 0;

-- The triggers below join these; without counts PostgreSQL takes nested loops, and a thousand people take half a minute.
ANALYZE users, enrollments, lessons, chapters, courses, assessments, attempts, assignment_submissions, taking, lectures;
INSERT INTO watch_progress (id, user_id, content_id, last_position, duration, position_ms, newest_ms, watched_ms, is_completed, completed_at, device_type, beat_at, created_at)
SELECT pg_temp.sid(format('watched:%s:%s', t.id, l.nth)), t.user_id, l.content_id, at, l.seconds, at * 1000, at * 1000, at * 1000, l.nth <= t.done, CASE WHEN l.nth <= t.done THEN t.since + l.nth * interval '1 day' END, 'web', t.since + l.nth * interval '1 day', t.since
FROM taking t JOIN lectures l ON l.course_id = t.course_id AND l.nth <= t.done + 1, LATERAL (SELECT CASE WHEN l.nth <= t.done THEN l.seconds ELSE l.seconds / 3 END AS at) AS w WHERE t.done > 0;
INSERT INTO lesson_watch_analytics (id, lesson_id, user_id, watch_duration, total_duration, last_watched_at, created_at)
SELECT pg_temp.sid(format('analytics:%s:%s', t.id, l.nth)), l.lesson_id, t.user_id, CASE WHEN l.nth <= t.done THEN l.seconds ELSE l.seconds / 3 END, l.seconds, t.since + l.nth * interval '1 day', t.since
FROM taking t JOIN lectures l ON l.course_id = t.course_id AND l.nth <= t.done + 1 WHERE t.done > 0;
ANALYZE student_activity;
INSERT INTO lesson_progress (id, user_id, lesson_id, completed, completed_at, created_at)
SELECT pg_temp.sid(format('progress:%s:%s', t.id, l.nth)), t.user_id, l.lesson_id, true, t.since + l.nth * interval '1 day', t.since FROM taking t JOIN lectures l ON l.course_id = t.course_id AND l.nth <= t.done;
INSERT INTO course_reviews (id, course_id, user_id, rating, comment, is_featured, created_at)
SELECT pg_temp.sid('review:' || id), course_id, user_id, 3 + pg_temp.pick('stars:' || id, 3), (ARRAY['Just the right pace.', 'The exercises are the best of it.', 'I use it at work now.'])[1 + n % 3], n = 3, since + interval '9 days' FROM taking WHERE done >= 5;
INSERT INTO login_history (id, user_id, ip_address, user_agent, device, browser, country, city, success, failure_reason, created_at)
SELECT pg_temp.sid(format('login:%s:%s', n, k)), id, ('192.0.2.' || n % 250)::inet, 'Firefox on Linux', 'desktop', 'Firefox', 'DE', 'Hamburg', k < 2, CASE k WHEN 2 THEN 'wrong password' END, pg_temp.ago(n % 20 + k)
FROM people, generate_series(1, 2) AS k WHERE k = 1 OR n % 5 = 3;

INSERT INTO live_sessions (id, course_id, teacher_id, title, scheduled_at, duration_minutes, status, started_at, ended_at, created_at)
SELECT pg_temp.sid('live:' || v.n), c.id, c.teacher_id, v.title, pg_temp.ago(v.days), 60, v.status::live_session_status, CASE v.status WHEN 'ended' THEN pg_temp.ago(v.days) END, CASE v.status WHEN 'ended' THEN pg_temp.ago(v.days - 0.04) END, pg_temp.ago(40)
FROM (VALUES (1, 'Questions and answers', 7, 'ended'), (2, 'Reviewing your work', -3, 'scheduled')) AS v (n, title, days, status), courses c WHERE c.id = pg_temp.sid('course:1');
INSERT INTO live_session_participants (id, session_id, user_id, role, joined_at, left_at)
SELECT pg_temp.sid('joined:' || t.n), pg_temp.sid('live:1'), user_id, 'attendee', pg_temp.ago(7), pg_temp.ago(6.97) FROM taking t WHERE course_n = 1 AND (n = 3 OR n % 4 = 0);
INSERT INTO support_calls (id, course_id, created_by, stream_call_id, title, status, ended_at, created_at)
SELECT pg_temp.sid('call:' || v.n), c.id, c.teacher_id, 'seed-' || pg_temp.sid('call:' || v.n), 'Office hour', v.status::support_call_status, CASE v.status WHEN 'Ended' THEN pg_temp.ago(2.9) END, pg_temp.ago(3)
FROM (VALUES (1, 'Ended'), (2, 'Active')) AS v (n, status), courses c WHERE c.id = pg_temp.sid('course:1');
INSERT INTO support_call_requests (id, support_call_id, user_id, support_type, position, created_at)
SELECT pg_temp.sid('asked:' || n), pg_temp.sid('call:2'), user_id, 'question', (row_number() OVER (ORDER BY n))::integer, pg_temp.ago(1) FROM taking WHERE course_n = 1 AND n < 40;
INSERT INTO teacher_applications (id, user_id, status, application_data, rejection_reason, reviewed_by, reviewed_at, created_at)
SELECT pg_temp.sid('application:' || p.n), p.id, v.status::teacher_application_status, '{"subject": "Woodworking", "years": 6}', CASE v.status WHEN 'Rejected' THEN 'No course outline' END,
       CASE WHEN v.status <> 'Pending' THEN a.id END, CASE WHEN v.status <> 'Pending' THEN pg_temp.ago(10) END, pg_temp.ago(12)
FROM (VALUES (3, 'Pending'), (2, 'Approved'), (5, 'Rejected')) AS v (n, status) JOIN people p USING (n), people a WHERE a.n = 1;
