-- Watchlists, families, recommendations, blogs, announcements, notifications, requests for help, points.

INSERT INTO watchlist_entries (id, user_id, media_item_id, status, rating, notes, created_at)
SELECT pg_temp.sid(format('listed:%s:%s', n, tmdb)), p.id, pg_temp.sid('tmdb:' || tmdb), s.status::watchlist_status, CASE s.status WHEN 'completed' THEN 6 + pg_temp.pick(format('rating:%s:%s', n, tmdb), 5) END,
       CASE WHEN n <= 3 THEN 'With the family' END, greatest(joined_at, pg_temp.ago(60))
FROM people p CROSS JOIN (VALUES (550, 0), (278, 1), (1396, 2)) AS m (tmdb, k), LATERAL (SELECT (ARRAY['completed', 'watching', 'not_watched'])[1 + (n + k) % 3] AS status) AS s WHERE n <= 3 OR pg_temp.pick(format('lists:%s:%s', n, tmdb), 3) > 0;
INSERT INTO families (id, name, created_by, created_at) SELECT pg_temp.sid('family:' || n), last_name || ' family', id, joined_at FROM people WHERE n = 1 OR n % 40 = 4;
INSERT INTO family_memberships (id, family_id, user_id, role, joined_at)
SELECT pg_temp.sid(format('relative:%s:%s', f.n, p.n)), pg_temp.sid('family:' || f.n), p.id, CASE WHEN p.n = f.n THEN 'admin' ELSE 'member' END::family_role, greatest(f.joined_at, p.joined_at)
FROM people f JOIN people p ON p.n BETWEEN f.n AND f.n + 2 WHERE f.n = 1 OR f.n % 40 = 4 ON CONFLICT DO NOTHING;
INSERT INTO family_invitations (id, family_id, email, token_digest, status, expires_at, accepted_at, created_at)
SELECT pg_temp.sid('family_invitation:' || v.email), pg_temp.sid('family:1'), v.email, pg_temp.secret(v.email), v.status::family_invitation_status, pg_temp.ago(-7), CASE v.status WHEN 'accepted' THEN pg_temp.ago(1) END, pg_temp.ago(2)
FROM (VALUES ('grandma@example.org', 'pending'), ('bob@example.com', 'accepted'), ('cousin@example.org', 'declined')) AS v (email, status);
INSERT INTO recommendations (id, media_item_id, recommended_by, recommended_to, message, status, created_at)
SELECT pg_temp.sid(format('recommended:%s:%s', a.n, b.n)), pg_temp.sid('tmdb:' || (ARRAY[550, 278, 1396])[1 + a.n % 3]), a.id, b.id, 'You will like this one.', (ARRAY['pending', 'accepted', 'rejected'])[1 + a.n % 3]::recommendation_status, greatest(a.joined_at, b.joined_at)
FROM people a JOIN people b ON b.n = CASE WHEN a.n <= 3 THEN 1 + a.n % 3 ELSE a.n + 1 END WHERE a.n <= 3 OR a.n % 10 = 0;
INSERT INTO user_interests (id, user_id, category_id, priority) SELECT pg_temp.sid('interest:' || n), id, pg_temp.sid('category:' || (ARRAY['fiction', 'documentary', 'programming', 'design', 'talk'])[1 + n % 5]), 1 FROM people;

INSERT INTO point_entries (id, user_id, points, reason, subject_type, subject_id, created_at) SELECT pg_temp.sid('welcome:' || n), id, 60, 'welcome', 'users', id, joined_at FROM people;
INSERT INTO early_unlocks (id, user_id, chapter_id, points_spent, unlocked_at)
SELECT pg_temp.sid('unlock:' || n), user_id, pg_temp.sid('chapter:2:3'), 20, pg_temp.ago(1) FROM taking WHERE course_n = 2 AND done = 6;
INSERT INTO blog_categories (id, name, slug, description, created_at)
SELECT pg_temp.sid('blog_category:' || slug), name, slug, name || ', by people here', pg_temp.ago(300) FROM (VALUES ('Film notes', 'film-notes'), ('Study notes', 'study-notes')) AS c (name, slug);
CREATE TEMP TABLE posts ON COMMIT DROP AS
SELECT v.n, pg_temp.sid('blog:' || v.n) AS id, p.id AS author_id, v.title, v.category, v.status, v.tag
FROM (VALUES (1, 3, 'Why slow films hold', 'film-notes', 'Published', 'slow cinema'), (2, 2, 'Three exercises for await', 'study-notes', 'Published', 'python'), (3, 4, 'Watching with subtitles on', 'film-notes', 'Published', 'languages'),
             (4, 5, 'My first balance sheet', 'study-notes', 'Pending', 'business'), (5, 6, 'Buy cheap watches', 'film-notes', 'Rejected', 'spam')) AS v (n, author, title, category, status, tag) JOIN people p ON p.n = v.author;
INSERT INTO blogs (id, author_id, category_id, title, slug, content, excerpt, reading_time, status, is_featured, published_at, rejected_at, rejection_reason, created_at)
SELECT id, author_id, pg_temp.sid('blog_category:' || category), title, replace(lower(title), ' ', '-'), title || '. It began with a train that was late, and an evening with nothing else to do.', 'It began with a train that was late.', 3, status::blog_status, n = 1,
       CASE status WHEN 'Published' THEN pg_temp.ago(20 - n) END, CASE status WHEN 'Rejected' THEN pg_temp.ago(10) END, CASE status WHEN 'Rejected' THEN 'Advertising' END, pg_temp.ago(25 - n) FROM posts;
INSERT INTO blog_tags (id, blog_id, name, slug, created_at) SELECT pg_temp.sid('blog_tag:' || n), id, tag, replace(tag, ' ', '-'), pg_temp.ago(19) FROM posts;
INSERT INTO blog_comments (id, blog_id, author_id, content, upvotes, created_at)
SELECT pg_temp.sid(format('comment:%s:%s', b.n, p.n)), b.id, p.id, (ARRAY['Thank you for this.', 'I saw it quite differently.', 'More of these, please.'])[1 + p.n % 3], p.n % 7, pg_temp.ago(5) FROM posts b JOIN people p ON p.n % 9 = b.n AND p.n < 200 WHERE status = 'Published';
INSERT INTO blog_comments (id, blog_id, author_id, parent_id, content, created_at)
SELECT pg_temp.sid('reply:' || c.id), c.blog_id, b.author_id, c.id, 'Glad to hear it.', pg_temp.ago(4) FROM blog_comments c JOIN posts b ON b.id = c.blog_id WHERE pg_temp.pick('answered:' || c.id, 4) = 0;
INSERT INTO blog_reactions (id, blog_id, user_id, type, created_at)
SELECT pg_temp.sid(format('reaction:%s:%s', b.n, p.n)), b.id, p.id, (ARRAY['Like', 'Love', 'Insightful', 'Funny'])[1 + p.n % 4]::reaction_type, pg_temp.ago(5) FROM posts b JOIN people p ON p.n % 5 = b.n % 5 WHERE status = 'Published';
INSERT INTO announcements (id, created_by_id, title, body, target_role, target_course_id, scheduled_at, published_at, status, is_urgent, created_at)
SELECT pg_temp.sid('announcement:' || v.n), p.id, v.title, v.body, v.target::announcement_target_role, CASE v.target WHEN 'CourseStudents' THEN pg_temp.sid('course:1') END, CASE v.status WHEN 'Scheduled' THEN pg_temp.ago(-2) END, CASE v.status WHEN 'Published' THEN pg_temp.ago(4) END, v.status::announcement_status, v.n = 1, pg_temp.ago(5)
FROM (VALUES (1, 'Maintenance on Sunday', 'Playback goes on; sign-in pauses for a minute.', 'AllUsers', 'Published'), (2, 'Live hour on Thursday', 'Bring your questions.', 'CourseStudents', 'Published'), (3, 'New films next month', 'Ten of them.', 'AllUsers', 'Scheduled')) AS v (n, title, body, target, status), people p WHERE p.n = 1;
INSERT INTO announcement_reads (id, announcement_id, user_id, read_at) SELECT pg_temp.sid('read:' || n), pg_temp.sid('announcement:1'), id, pg_temp.ago(3) FROM people WHERE n % 2 = 1;
INSERT INTO notification_templates (id, name, subject, body, type, variables)
VALUES (pg_temp.sid('template:1'), 'seed-course-update', 'News in {{course}}', 'There is a new lesson in {{course}}.', 'course_update', ARRAY['course']), (pg_temp.sid('template:2'), 'seed-reminder', 'Go on with {{course}}', 'You stopped at {{lesson}}.', 'reminder', ARRAY['course', 'lesson']);
INSERT INTO notifications (id, user_id, type, title, message, link, priority, is_read, read_at, created_at)
SELECT pg_temp.sid('notification:' || n), id, (ARRAY['course_update', 'recommendation', 'achievement', 'announcement'])[1 + n % 4]::notification_type, (ARRAY['A new lesson is there', 'A film was recommended to you', 'First lesson completed', 'Maintenance on Sunday'])[1 + n % 4], '', '/', 'medium', n % 2 = 0, CASE WHEN n % 2 = 0 THEN pg_temp.ago(1) END, pg_temp.ago(2) FROM people;
INSERT INTO help_requests (id, user_id, subject, message, user_type, status, created_at)
SELECT pg_temp.sid('help:' || n), id, 'No sound in lesson two', 'The picture moves and I hear nothing.', CASE role WHEN 'teacher' THEN 'Teacher' ELSE 'Student' END::help_request_user_type, 'Pending', pg_temp.ago(6) FROM people WHERE n = 3 OR n % 60 = 0;
UPDATE help_requests SET status = 'InProgress', response = 'Which browser do you use?' WHERE id = pg_temp.sid('help:3');
INSERT INTO help_request_messages (id, help_request_id, author_id, is_staff, message, created_at) SELECT pg_temp.sid('help_message:3'), pg_temp.sid('help:3'), id, false, 'Firefox, and now it works.', pg_temp.ago(5) FROM people WHERE n = 3;
INSERT INTO blog_comment_upvotes (id, comment_id, user_id, created_at)
SELECT pg_temp.sid(format('upvote:%s:%s', c.id, p.n)), c.id, p.id, pg_temp.ago(3) FROM blog_comments c JOIN people p ON p.n BETWEEN 1 AND 5 AND p.id <> c.author_id WHERE c.parent_id IS NULL AND pg_temp.pick(format('upvotes:%s:%s', c.id, p.n), 3) = 0;
INSERT INTO media_reviews (id, media_item_id, user_id, title, body, created_at)
SELECT pg_temp.sid('review:' || n), pg_temp.sid('tmdb:' || (ARRAY[550, 278, 1396])[1 + n % 3]), id, 'Again', 'Better the second time, and longer than I remembered.', greatest(joined_at, pg_temp.ago(30)) FROM people WHERE n <= 3 OR n % 20 = 0;
INSERT INTO collections (id, user_id, family_id, title, description, is_public, created_at)
SELECT pg_temp.sid('collection:' || n), id, CASE n WHEN 1 THEN pg_temp.sid('family:1') END, CASE n WHEN 1 THEN 'For Sundays' ELSE 'To see once more' END, 'Nothing under two hours.', n = 2, pg_temp.ago(20) FROM people WHERE n <= 2;
INSERT INTO collection_items (id, collection_id, media_item_id, position, created_at)
SELECT pg_temp.sid(format('collected:%s:%s', p.n, m.tmdb)), pg_temp.sid('collection:' || p.n), pg_temp.sid('tmdb:' || m.tmdb), m.k, pg_temp.ago(19) FROM people p CROSS JOIN (VALUES (550, 0), (278, 1), (1396, 2)) AS m (tmdb, k) WHERE p.n <= 2;
