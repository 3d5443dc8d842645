-- What each table is, in a line: those that do not say so where they are made.

-- identity
COMMENT ON TABLE accounts IS 'How a person signs in: by a password, of which only the Argon2id hash is kept, or by a provider; one row for each way.';
COMMENT ON TABLE sessions IS 'A sign-in on one device. Its access tokens name it, so ending the session ends them.';
COMMENT ON TABLE api_keys IS 'A program''s way in, for whoever made it and only as far as its scopes go; of the key only the SHA-256.';
COMMENT ON TABLE security_events IS 'What concerns the safety of an account, by severity.';
COMMENT ON TABLE gdpr_requests IS 'What somebody asks about their own data (access, erasure, rectification, restriction), and what became of it.';
COMMENT ON TABLE user_profiles IS 'What people show of themselves; identity and state are in users.';
COMMENT ON TABLE user_metrics IS 'Figures about a person, each by its name.';
COMMENT ON TABLE user_interests IS 'What somebody likes: a category, or a word of their own.';
COMMENT ON TABLE follows IS 'Who follows whom.';

-- tenancy
COMMENT ON TABLE tenant_settings IS 'How a tenant wants things, as one JSON object.';
COMMENT ON TABLE invitations IS 'Somebody asked into a tenant, by mail; of the secret in it only the SHA-256.';
COMMENT ON TABLE roles IS 'A tenant''s own roles, beside those of memberships.';
COMMENT ON TABLE user_roles IS 'Who has which of a tenant''s own roles.';
COMMENT ON TABLE role_permissions IS 'What each of a tenant''s own roles may do.';
COMMENT ON TABLE resource_ownership IS 'To whom a thing of a tenant belongs: its owner may use it unless a policy denies that.';
COMMENT ON TABLE access_control_policies IS 'A tenant''s own rules, which allow or deny an action on a kind of thing; what is denied stays denied.';
COMMENT ON TABLE access_logs IS 'Answers of check_access, refusals with their reason.';

-- catalog
COMMENT ON TABLE categories IS 'A tree of shelves.';
COMMENT ON TABLE content_categories IS 'Which titles stand on which shelf.';
COMMENT ON TABLE genres IS 'What kind of story a title tells.';
COMMENT ON TABLE content_genres IS 'Which titles are of which genre.';
COMMENT ON TABLE content_prices IS 'What a title costs from a moment on; two prices of one currency never hold at once, and old ones stay as history.';
COMMENT ON TABLE playlists IS 'Titles in an order, of a series if is_series.';
COMMENT ON TABLE playlist_episodes IS 'The titles of a playlist, each at its place.';
COMMENT ON TABLE playlist_prices IS 'What a playlist costs from a moment on, in days; as content_prices.';
COMMENT ON TABLE media_items IS 'Titles that are known and not necessarily hosted here, by their number at The Movie Database.';
COMMENT ON TABLE streaming_providers IS 'Where else a title can be watched, and in which regions.';

-- media
COMMENT ON TABLE storage IS 'Where the bytes of a file lie.';
COMMENT ON TABLE downloads IS 'A file that somebody may keep for a while.';
COMMENT ON TABLE renditions IS 'One quality of one track of a generation: its codec, its size, its rates.';
COMMENT ON TABLE text_tracks IS 'Subtitles and captions of a title, one row a language and kind.';
COMMENT ON TABLE transcode_jobs IS 'One encoding that was asked for, from the uploaded file to a published generation.';
COMMENT ON TABLE transcode_tasks IS 'A piece of a job that one worker does under a lease; a fence keeps a worker that was given up from finishing it.';

-- commerce
COMMENT ON TABLE carts IS 'What somebody is about to buy; one a person.';
COMMENT ON TABLE cart_items IS 'A title, playlist, course or plan in a cart. Its price is looked up anew when it is ordered.';
COMMENT ON TABLE orders IS 'What somebody bought or is about to, in one currency.';
COMMENT ON TABLE order_items IS 'What an order is of, at the price of that moment; the title stays where the thing itself is gone.';
COMMENT ON TABLE refunds IS 'Money given back of one payment, in full or in part, never more than was paid.';
COMMENT ON TABLE user_library IS 'What a person has: titles and playlists, for good or until a moment.';
COMMENT ON TABLE plans IS 'What can be subscribed to, what it opens and how many may watch at once.';
COMMENT ON TABLE subscriptions IS 'Who has which plan, for which period, and whether it goes on after it.';
COMMENT ON TABLE billing_transactions IS 'What was charged for a period of a subscription.';
COMMENT ON TABLE payouts IS 'What a teacher is paid of what was earned.';
COMMENT ON TABLE referrals IS 'Somebody told somebody else of us.';
COMMENT ON TABLE referral_commissions IS 'What a referral earned whoever made it.';
COMMENT ON TABLE affiliates IS 'Partners who sell for a commission, a fraction of the price.';
COMMENT ON TABLE agencies IS 'Agencies that book for sponsors for a commission, a fraction of the price.';
COMMENT ON TABLE ai_token_balances IS 'How many AI tokens a person has left; never below none.';
COMMENT ON TABLE ai_token_usage IS 'What AI tokens were spent on; each row is taken off the balance.';

-- playback
COMMENT ON TABLE streaming_tokens IS 'Playback tokens that were handed out, as SHA-256; a day at most.';
COMMENT ON TABLE watch_progress IS 'How far a person is in a title: one row each, written by the drain of heartbeats and never by a client.';
COMMENT ON TABLE playlist_progress IS 'Which titles of a playlist a person has watched, and which one last.';

-- learning
COMMENT ON TABLE courses IS 'What a teacher offers: chapters of lessons, free or at a price.';
COMMENT ON TABLE chapters IS 'A part of a course, shown at once or from a moment on.';
COMMENT ON TABLE enrollments IS 'Who takes which course, how far they are, and whether they are banned from it.';
COMMENT ON TABLE lesson_progress IS 'Which lessons a person has completed.';
COMMENT ON TABLE lesson_watch_analytics IS 'How much of a lesson a person has watched, from the same heartbeats as watch_progress.';
COMMENT ON TABLE early_unlocks IS 'A chapter or lesson that somebody opened before its time, for points.';
COMMENT ON TABLE assessments IS 'A quiz, an assignment, a final exam or something to practise on.';
COMMENT ON TABLE questions IS 'The questions of an assessment, in order; who takes it never sees the right answers.';
COMMENT ON TABLE attempts IS 'One try at an assessment: answers, marks, and whether it was passed.';
COMMENT ON VIEW attempt_results IS 'Attempts without their answers: what a student sees of one.';
COMMENT ON TABLE assignment_submissions IS 'What a student handed in for an assignment, and the grade it got.';
COMMENT ON TABLE proctoring_sessions IS 'What was watched while an attempt was under way.';
COMMENT ON TABLE proctoring_violations IS 'What a watched attempt was found to break.';
COMMENT ON TABLE course_reviews IS 'What a student says of a course, once.';
COMMENT ON TABLE certificates IS 'That somebody completed a course, with a code by which anybody may check it.';
COMMENT ON TABLE student_activity IS 'What happened in an enrolment.';
COMMENT ON TABLE student_badges IS 'What an enrolment earned: each badge once.';
COMMENT ON TABLE live_sessions IS 'A class at an hour; what is recorded of it becomes a title.';
COMMENT ON TABLE live_session_participants IS 'Who was in a live class, from when until when.';
COMMENT ON TABLE support_calls IS 'A teacher''s call in which students of a course wait in line.';
COMMENT ON TABLE support_call_requests IS 'A place in the line of a support call.';
COMMENT ON TABLE teacher_applications IS 'Somebody wants to teach; who is approved may make courses.';

-- community
COMMENT ON TABLE families IS 'People who share watchlists.';
COMMENT ON TABLE family_memberships IS 'Who is in which family, and who is in charge.';
COMMENT ON TABLE family_invitations IS 'Somebody asked into a family, by mail; of the secret in it only the SHA-256.';
COMMENT ON TABLE collections IS 'A person''s or a family''s own list of titles, which others see if it is public.';
COMMENT ON TABLE collection_items IS 'The titles of a collection, each at its place.';
COMMENT ON TABLE blogs IS 'A post; it is read by others once staff approved it and it was published.';
COMMENT ON TABLE blog_categories IS 'What posts are about, one a post.';
COMMENT ON TABLE blog_tags IS 'What else a post is about, in its author''s words.';
COMMENT ON TABLE blog_comments IS 'What is said below a post, and in answer to that.';
COMMENT ON TABLE blog_reactions IS 'One reaction of one person to one post.';
COMMENT ON TABLE notifications IS 'What a person is told, and whether it was read.';
COMMENT ON TABLE notification_templates IS 'What mails and notices say, with places for variables.';
COMMENT ON TABLE announcements IS 'What staff tell many people, or a teacher a course, now or at an hour.';
COMMENT ON TABLE announcement_reads IS 'Who has read which announcement.';
COMMENT ON TABLE help_requests IS 'A question to the staff, and how far it is.';
COMMENT ON TABLE point_entries IS 'The ledger of points, only ever added to: users.points is its sum.';

-- podcasts
COMMENT ON TABLE podcasts IS 'A show; its episodes are titles or sounds elsewhere.';
COMMENT ON TABLE podcast_episodes IS 'An episode of a show, out from published_at on.';
COMMENT ON TABLE listener_metrics IS 'Figures about an episode on a day, each by its name.';
COMMENT ON TABLE listener_events_hourly IS 'listener_events summed by hour, kept up incrementally.';
COMMENT ON TABLE listener_events_daily IS 'listener_events summed by day, kept up incrementally.';
COMMENT ON TABLE marketplace_listings IS 'A podcast offered to those who advertise, at a price.';
COMMENT ON TABLE marketplace_revenue IS 'What a listing brought in, by currency.';
COMMENT ON TABLE refresh_policies IS 'How often and how far back each aggregate is mended; the stand-in for a continuous aggregate''s policy.';
COMMENT ON TABLE refresh_runs IS 'When each aggregate was last mended, and how much there was to mend.';

-- advertising
COMMENT ON TABLE sponsors IS 'Who pays for spots.';
COMMENT ON TABLE campaigns IS 'What a sponsor wants told in a period; its stage moves from prospect to completed, or to lost.';
COMMENT ON TABLE ad_units IS 'A spot in an episode: where it begins and how long it is.';
COMMENT ON TABLE io_bookings IS 'An insertion order: what a campaign booked, with the promo code and address by which its buyers are known.';
COMMENT ON TABLE matches IS 'How well a podcast fits a campaign, with the reasons.';
COMMENT ON TABLE attribution_events IS 'What a listener did on account of a campaign: touches and conversions. listener_id is a digest, never an address.';
COMMENT ON TABLE attribution_event_metadata IS 'What else is known of an attribution event.';
COMMENT ON TABLE attribution_models IS 'How a conversion is shared out among the touches before it.';
COMMENT ON TABLE attribution_paths IS 'The touches of one listener that led to a conversion, in order.';
COMMENT ON TABLE attribution_validations IS 'Each check of an attribution event, passed or not.';
COMMENT ON TABLE attribution_analytics IS 'A campaign''s sums of a day; run again, they replace that day''s.';
COMMENT ON TABLE partners IS 'Firms that a tenant works with in advertising.';
COMMENT ON TABLE partner_integrations IS 'How a partner''s system is connected.';

-- platform
COMMENT ON TABLE error_logs IS 'Failures of ours, to be looked into; forgotten after a while.';
COMMENT ON TABLE search_analytics IS 'What people looked for, how much was found, and what they opened.';
COMMENT ON TABLE integrations IS 'Systems of others that a tenant is connected to.';
COMMENT ON TABLE integration_tokens IS 'What an integration signs in with, sealed with the key ring.';
COMMENT ON TABLE integration_sync_logs IS 'Each exchange with another system: when, how many rows, and why it failed.';
COMMENT ON TABLE webhooks IS 'An address that is told of events, signed; the secret is sealed with the key ring.';
COMMENT ON TABLE api_usage IS 'What was asked with an API key, and how it was answered.';
COMMENT ON TABLE experiments IS 'Variants of something, tried on people.';
COMMENT ON TABLE experiment_events IS 'What people who have a variant did.';
COMMENT ON TABLE churn_events IS 'Somebody left, and why.';
COMMENT ON TABLE onboarding_progress IS 'Which first steps a person has done or skipped.';
COMMENT ON TABLE etl_imports IS 'Each import of rows from elsewhere: how many, and why it failed.';
COMMENT ON TABLE backup_records IS 'Each backup that was taken: where it lies, how large it is, and whether it is whole.';
COMMENT ON TABLE failover_events IS 'Each time one server took over from another.';
COMMENT ON TABLE recovery_procedures IS 'What to do after a disaster, and when it was last tried.';
