-- Files people hand in, and where their bytes lie.

CREATE TABLE files (
    id            uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id     uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    uploader_id   uuid NOT NULL DEFAULT '00000000-0000-7000-8000-000000000002' REFERENCES users ON DELETE SET DEFAULT,
    uploaded_at   timestamptz NOT NULL DEFAULT now(),
    name          text NOT NULL CONSTRAINT files__name_plain CHECK (name <> '' AND name !~ '[/\\[:cntrl:]]'),
    original_name text,
    size          bigint NOT NULL CONSTRAINT files__size_not_negative CHECK (size >= 0),
    mime_type     text NOT NULL,
    extension     text NOT NULL,
    checksum      text NOT NULL CONSTRAINT files__checksum_sha256 CHECK (checksum ~ '^sha256:[0-9a-f]{64}$'),
    entity_type   text,
    entity_id     uuid,
    is_deleted    boolean NOT NULL DEFAULT false,
    deleted_at    timestamptz,
    CONSTRAINT files__deleted_has_moment CHECK (is_deleted = (deleted_at IS NOT NULL))
);
CREATE INDEX files_uploader_id_idx ON files (uploader_id);
CREATE INDEX files_checksum_idx ON files (checksum);
CREATE INDEX files_deleted_idx ON files (is_deleted);
CREATE INDEX files_tenant_id_idx ON files (tenant_id);
COMMENT ON TABLE files IS 'Deletes are soft: DELETE sets is_deleted, references keep resolving, clearing the flag recovers.';

CREATE FUNCTION files_soft_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE files SET is_deleted = true, deleted_at = now() WHERE id = OLD.id AND NOT is_deleted;
    RETURN NULL;
END $$;
CREATE TRIGGER files_soft_delete BEFORE DELETE ON files FOR EACH ROW
    WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION files_soft_delete();

CREATE TABLE storage (
    id               uuid PRIMARY KEY DEFAULT uuid7(),
    file_id          uuid NOT NULL REFERENCES files ON DELETE CASCADE,
    storage_provider text NOT NULL CONSTRAINT storage__provider_known CHECK (storage_provider IN ('file', 's3', 'gcs', 'azure')),
    bucket           text,
    storage_key      text NOT NULL,
    cdn_url          text,
    CONSTRAINT storage__key_unique UNIQUE NULLS NOT DISTINCT (storage_provider, bucket, storage_key)
);
CREATE INDEX storage_file_id_idx ON storage (file_id);
CREATE INDEX storage_provider_key_idx ON storage (storage_provider, storage_key);

SELECT protect_table(t) FROM unnest(ARRAY['files', 'storage']::regclass[]) AS t;
CREATE POLICY files_read ON files FOR SELECT USING (
    tenant_id = (SELECT app_tenant_id())
    AND ((SELECT app_is_staff()) OR (uploader_id = (SELECT app_user_id()) AND NOT is_deleted)));
CREATE POLICY files_write ON files FOR ALL
    USING (tenant_id = (SELECT app_tenant_id()) AND (SELECT app_is_staff()))
    WITH CHECK (tenant_id = (SELECT app_tenant_id()) AND (SELECT app_is_staff()));
CREATE POLICY storage_service ON storage FOR ALL
    USING ((SELECT app_is_staff()) AND EXISTS (SELECT FROM files WHERE files.id = file_id))
    WITH CHECK ((SELECT app_is_staff()) AND EXISTS (SELECT FROM files WHERE files.id = file_id));
