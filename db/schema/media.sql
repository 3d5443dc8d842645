-- From an uploaded file to something a player can open.

CREATE TYPE generation_state AS ENUM ('building', 'published', 'retired', 'failed');
CREATE TYPE rendition_kind AS ENUM ('video', 'audio', 'subtitles', 'iframes');
CREATE TYPE job_state AS ENUM ('queued', 'running', 'succeeded', 'failed', 'cancelled');
CREATE TYPE task_kind AS ENUM ('transcode', 'split', 'preview', 'encode', 'audio', 'stitch', 'repackage');
CREATE TYPE task_state AS ENUM ('queued', 'running', 'done', 'failed', 'cancelled');
CREATE TYPE text_track_kind AS ENUM ('subtitles', 'captions', 'forced');

CREATE TABLE generations (
    id            uuid PRIMARY KEY DEFAULT uuid7(),
    content_id    uuid NOT NULL REFERENCES contents ON DELETE CASCADE,
    number        integer NOT NULL CONSTRAINT generations__number_positive CHECK (number > 0),
    state         generation_state NOT NULL DEFAULT 'building',
    store_prefix  text NOT NULL CONSTRAINT generations__prefix_unique UNIQUE,
    duration_ms   bigint CONSTRAINT generations__duration_positive CHECK (duration_ms > 0),
    width         integer,
    height        integer,
    has_video     boolean NOT NULL DEFAULT false,
    has_audio     boolean NOT NULL DEFAULT false,
    size_bytes    bigint NOT NULL DEFAULT 0,
    checksum      text,
    is_preview    boolean NOT NULL DEFAULT false,
    texts_digest  text,
    replaced_at   timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now(),
    published_at  timestamptz,
    CONSTRAINT generations__number_unique UNIQUE (content_id, number),
    CONSTRAINT generations__published_is_whole CHECK (
        state NOT IN ('published', 'retired') OR (published_at IS NOT NULL AND duration_ms IS NOT NULL AND (has_video OR has_audio)))
);
COMMENT ON TABLE generations IS 'One encoding of a content; immutable once published. A failed re-encode leaves the old one playing.';
CREATE INDEX generations_preview_idx ON generations (published_at) WHERE is_preview;
COMMENT ON COLUMN generations.is_preview IS 'Played while the real one is encoded: it grows, and is deleted a day after it was replaced.';
CREATE INDEX generations_replaced_idx ON generations (replaced_at) WHERE replaced_at IS NOT NULL;
COMMENT ON COLUMN generations.checksum IS 'SHA-256 of its object objects.sha256, which lists the names, sizes and hashes of all others.';
COMMENT ON COLUMN generations.texts_digest IS 'Which uploaded subtitles it was packaged with; when the title''s are others, it is packaged again.';
COMMENT ON COLUMN generations.replaced_at IS 'When another packaging of the same pictures and sounds took its place; its objects are deleted a day later.';
CREATE TRIGGER generations_transition BEFORE UPDATE ON generations FOR EACH ROW EXECUTE FUNCTION
    allow_transitions('state', 'building>published', 'building>failed', 'published>retired', 'retired>published');

ALTER TABLE contents ADD CONSTRAINT contents__generation_exists
    FOREIGN KEY (generation_id) REFERENCES generations ON DELETE SET NULL;

CREATE TABLE generation_keys (
    id            uuid PRIMARY KEY DEFAULT uuid7(),
    generation_id uuid NOT NULL CONSTRAINT generation_keys__generation_unique UNIQUE REFERENCES generations ON DELETE CASCADE,
    sealed        bytea NOT NULL,
    ring_key_id   text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE generation_keys IS 'The AES-128 key of an encrypted generation, sealed with the key ring; the edge hands it to who may watch.';
COMMENT ON COLUMN generation_keys.ring_key_id IS 'Which key of the ring opens it; workers seal it anew when another one signs.';

CREATE TABLE renditions (
    id                    uuid PRIMARY KEY DEFAULT uuid7(),
    generation_id         uuid NOT NULL REFERENCES generations ON DELETE CASCADE,
    kind                  rendition_kind NOT NULL,
    name                  text NOT NULL,
    path                  text NOT NULL,
    codecs                text,
    width                 integer,
    height                integer,
    frame_rate            numeric(7, 3),
    bandwidth_bps         bigint,
    average_bandwidth_bps bigint,
    channels              integer,
    language              text,
    segment_count         integer NOT NULL DEFAULT 0,
    size_bytes            bigint NOT NULL DEFAULT 0,
    duration_ms           bigint,
    CONSTRAINT renditions__path_unique UNIQUE (generation_id, path)
);
CREATE INDEX renditions_generation_id_idx ON renditions (generation_id);
COMMENT ON COLUMN renditions.path IS 'Its media playlist, relative to the generation.';

CREATE TABLE text_tracks (
    id         uuid PRIMARY KEY DEFAULT uuid7(),
    content_id uuid NOT NULL REFERENCES contents ON DELETE CASCADE,
    file_id    uuid REFERENCES files ON DELETE SET NULL,
    kind       text_track_kind NOT NULL DEFAULT 'subtitles',
    language   text NOT NULL CONSTRAINT text_tracks__language_bcp47 CHECK (language ~ '^[a-zA-Z]{2,8}(-[a-zA-Z0-9]{1,8})*$'),
    label      text NOT NULL,
    is_default boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT text_tracks__label_unique UNIQUE (content_id, kind, language, label)
);
CREATE INDEX text_tracks_content_id_idx ON text_tracks (content_id);
CREATE INDEX text_tracks_file_id_idx ON text_tracks (file_id);

CREATE TABLE text_changes (
    content_id uuid PRIMARY KEY REFERENCES contents ON DELETE CASCADE,
    tenant_id  uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    changed_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX text_changes_tenant_id_idx ON text_changes (tenant_id, changed_at);
COMMENT ON TABLE text_changes IS 'Titles whose uploaded subtitles have changed since a worker last compared them with what players are given.';

-- However a track changes (an upload, a request, a cascade), its title is looked at. A note that is there already is written anew,
-- so that a worker that is about to take it waits for this change.
CREATE FUNCTION note_text_change(content uuid) RETURNS void LANGUAGE sql AS $$
    INSERT INTO text_changes (content_id, tenant_id) SELECT id, tenant_id FROM contents WHERE id = content AND app_is_staff()
    ON CONFLICT (content_id) DO UPDATE SET changed_at = now()
$$;
CREATE FUNCTION text_tracks_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        UPDATE files SET is_deleted = true, deleted_at = now() WHERE id = OLD.file_id AND NOT is_deleted;
        PERFORM note_text_change(OLD.content_id);
    ELSE
        PERFORM note_text_change(NEW.content_id);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER text_tracks_changed AFTER INSERT OR UPDATE OR DELETE ON text_tracks FOR EACH ROW EXECUTE FUNCTION text_tracks_changed();
CREATE FUNCTION files_of_texts_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM note_text_change(t.content_id) FROM text_tracks t WHERE t.file_id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER files_of_texts_changed AFTER UPDATE OF is_deleted ON files FOR EACH ROW
    WHEN (OLD.is_deleted <> NEW.is_deleted AND NEW.entity_type = 'text_track') EXECUTE FUNCTION files_of_texts_changed();

CREATE TABLE transcode_jobs (
    id            uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id     uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    content_id    uuid NOT NULL REFERENCES contents ON DELETE CASCADE,
    file_id       uuid NOT NULL REFERENCES files ON DELETE CASCADE,
    generation_id uuid REFERENCES generations ON DELETE SET NULL,
    state         job_state NOT NULL DEFAULT 'queued',
    priority      integer NOT NULL DEFAULT 0,
    remaining     integer NOT NULL DEFAULT 1,
    progress      numeric(5, 2) NOT NULL DEFAULT 0 CONSTRAINT transcode_jobs__progress_percent CHECK (progress BETWEEN 0 AND 100),
    eta_s         integer,
    stage         text NOT NULL DEFAULT 'waiting',
    publish_when_done boolean NOT NULL DEFAULT true,
    cancel_requested boolean NOT NULL DEFAULT false,
    source        jsonb,
    ladder        jsonb,
    has_pieces    boolean NOT NULL DEFAULT false,
    codecs        text[] CONSTRAINT transcode_jobs__codecs_known
        CHECK (codecs <@ ARRAY['h264', 'hevc', 'av1'] AND 'h264' = ANY (codecs)),
    quality       text CONSTRAINT transcode_jobs__quality_known CHECK (quality IN ('fast', 'auto')),
    is_encrypted  boolean,
    is_repackaging boolean NOT NULL DEFAULT false,
    warnings      text[] NOT NULL DEFAULT '{}',
    error_code    text,
    error_message text,
    created_by    uuid NOT NULL DEFAULT '00000000-0000-7000-8000-000000000002' REFERENCES users ON DELETE SET DEFAULT,
    created_at    timestamptz NOT NULL DEFAULT now(),
    started_at    timestamptz,
    finished_at   timestamptz,
    updated_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT transcode_jobs__failure_says_why CHECK (state <> 'failed' OR (error_code IS NOT NULL AND error_message IS NOT NULL)),
    CONSTRAINT transcode_jobs__finished_has_moment
        CHECK ((state IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL))
);
CREATE INDEX transcode_jobs_content_id_idx ON transcode_jobs (content_id);
CREATE INDEX transcode_jobs_file_id_idx ON transcode_jobs (file_id);
CREATE INDEX transcode_jobs_generation_id_idx ON transcode_jobs (generation_id);
CREATE INDEX transcode_jobs_tenant_id_idx ON transcode_jobs (tenant_id);
CREATE INDEX transcode_jobs_created_by_idx ON transcode_jobs (created_by);
CREATE INDEX transcode_jobs_open_idx ON transcode_jobs (state, priority DESC, created_at) WHERE state IN ('queued', 'running');
CREATE INDEX transcode_jobs_pieces_idx ON transcode_jobs (id) WHERE has_pieces;
COMMENT ON COLUMN transcode_jobs.remaining IS 'Pieces that are not done; whoever ends the last one queues the task that joins them, in the same transaction.';
COMMENT ON COLUMN transcode_jobs.source IS 'What the probe found, once for all pieces of the job.';
COMMENT ON COLUMN transcode_jobs.ladder IS 'The renditions that are being made, [{kind, name, codec, width, height, bps, channels, language}], once they have been decided.';
COMMENT ON COLUMN transcode_jobs.codecs IS 'Asked for; null: as the installation is set. So are quality and is_encrypted.';
COMMENT ON COLUMN transcode_jobs.is_repackaging IS 'Nothing is encoded: the pictures and sounds that players have get the subtitles that the title has now.';
COMMENT ON COLUMN transcode_jobs.warnings IS 'What the title does without, in sentences: tracks of the file that are not accepted, say.';
COMMENT ON COLUMN transcode_jobs.has_pieces IS 'Encoded pieces may lie in the store; they are swept away after the job has ended.';
CREATE TRIGGER transcode_jobs_touch BEFORE UPDATE ON transcode_jobs FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
CREATE TRIGGER transcode_jobs_transition BEFORE UPDATE ON transcode_jobs FOR EACH ROW EXECUTE FUNCTION
    allow_transitions('state', 'queued>running', 'queued>cancelled', 'queued>failed', 'running>queued', 'running>succeeded',
                      'running>failed', 'running>cancelled', 'failed>queued', 'cancelled>queued');

CREATE TABLE transcode_tasks (
    id               uuid PRIMARY KEY DEFAULT uuid7(),
    job_id           uuid NOT NULL REFERENCES transcode_jobs ON DELETE CASCADE,
    parent_id        uuid REFERENCES transcode_tasks ON DELETE CASCADE,
    kind             task_kind NOT NULL,
    rendition        text,
    chunk_no         integer,
    state            task_state NOT NULL DEFAULT 'queued',
    attempts         integer NOT NULL DEFAULT 0,
    max_attempts     integer NOT NULL DEFAULT 5,
    fence            bigint NOT NULL DEFAULT 0,
    owner            text,
    lease_until      timestamptz,
    progress         numeric(5, 2) NOT NULL DEFAULT 0 CONSTRAINT transcode_tasks__progress_percent CHECK (progress BETWEEN 0 AND 100),
    cancel_requested boolean NOT NULL DEFAULT false,
    output_key       text,
    error_code       text,
    error_message    text,
    error_details    text,
    created_at       timestamptz NOT NULL DEFAULT now(),
    started_at       timestamptz,
    finished_at      timestamptz,
    CONSTRAINT transcode_tasks__piece_unique UNIQUE NULLS NOT DISTINCT (job_id, kind, rendition, chunk_no),
    CONSTRAINT transcode_tasks__attempts_bounded CHECK (attempts <= max_attempts)
);
CREATE INDEX transcode_tasks_job_id_idx ON transcode_tasks (job_id);
CREATE INDEX transcode_tasks_parent_id_idx ON transcode_tasks (parent_id);
CREATE INDEX transcode_tasks_lease_idx ON transcode_tasks (lease_until) WHERE state = 'running';
COMMENT ON COLUMN transcode_tasks.error_details IS 'The last lines of the program that failed: for operators; staff are shown them without folders, viewers never.';
COMMENT ON COLUMN transcode_tasks.fence IS 'Rises with every attempt; only the holder of the newest may publish.';
CREATE TRIGGER transcode_tasks_transition BEFORE UPDATE ON transcode_tasks FOR EACH ROW EXECUTE FUNCTION
    allow_transitions('state', 'queued>running', 'queued>cancelled', 'queued>failed', 'running>queued', 'running>done',
                      'running>failed', 'running>cancelled', 'failed>queued', 'cancelled>queued');

SELECT protect_table(t) FROM unnest(ARRAY['generations', 'generation_keys', 'renditions', 'text_tracks', 'text_changes',
    'transcode_jobs', 'transcode_tasks']::regclass[]) AS t;
CREATE POLICY generations_read ON generations FOR SELECT USING (EXISTS (SELECT FROM contents c WHERE c.id = content_id));
CREATE POLICY generations_write ON generations FOR ALL
    USING ((SELECT app_is_service()) AND EXISTS (SELECT FROM contents c WHERE c.id = content_id))
    WITH CHECK ((SELECT app_is_service()) AND EXISTS (SELECT FROM contents c WHERE c.id = content_id));
CREATE POLICY generation_keys_service ON generation_keys FOR ALL
    USING ((SELECT app_is_service()) AND EXISTS (SELECT FROM generations g WHERE g.id = generation_id))
    WITH CHECK ((SELECT app_is_service()) AND EXISTS (SELECT FROM generations g WHERE g.id = generation_id));
CREATE POLICY renditions_read ON renditions FOR SELECT USING (EXISTS (SELECT FROM generations g WHERE g.id = generation_id));
CREATE POLICY renditions_write ON renditions FOR ALL
    USING ((SELECT app_is_service()) AND EXISTS (SELECT FROM generations g WHERE g.id = generation_id))
    WITH CHECK ((SELECT app_is_service()) AND EXISTS (SELECT FROM generations g WHERE g.id = generation_id));
CREATE POLICY text_tracks_read ON text_tracks FOR SELECT USING (EXISTS (SELECT FROM contents c WHERE c.id = content_id));
CREATE POLICY text_tracks_write ON text_tracks FOR ALL
    USING ((SELECT app_is_staff()) AND EXISTS (SELECT FROM contents c WHERE c.id = content_id))
    WITH CHECK ((SELECT app_is_staff()) AND EXISTS (SELECT FROM contents c WHERE c.id = content_id));
CREATE POLICY text_changes_staff ON text_changes FOR ALL
    USING (tenant_id = (SELECT app_tenant_id()) AND (SELECT app_is_staff()))
    WITH CHECK (tenant_id = (SELECT app_tenant_id()) AND (SELECT app_is_staff()));
CREATE POLICY transcode_jobs_staff ON transcode_jobs FOR ALL
    USING (tenant_id = (SELECT app_tenant_id()) AND (SELECT app_is_staff()))
    WITH CHECK (tenant_id = (SELECT app_tenant_id()) AND (SELECT app_is_staff()));
CREATE POLICY transcode_tasks_staff ON transcode_tasks FOR ALL
    USING ((SELECT app_is_staff()) AND EXISTS (SELECT FROM transcode_jobs j WHERE j.id = job_id))
    WITH CHECK ((SELECT app_is_staff()) AND EXISTS (SELECT FROM transcode_jobs j WHERE j.id = job_id));
