-- Files that people take with them.

CREATE TYPE download_type AS ENUM ('video', 'pdf', 'audio', 'document');
CREATE TYPE download_status AS ENUM ('pending', 'downloading', 'completed', 'failed', 'expired');

CREATE TABLE downloads (
    id            uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id     uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    user_id       uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    file_id       uuid NOT NULL REFERENCES files ON DELETE CASCADE,
    download_type download_type NOT NULL DEFAULT 'document',
    status        download_status NOT NULL DEFAULT 'pending',
    expires_at    timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX downloads_status_idx ON downloads (status);
CREATE INDEX downloads_expires_at_idx ON downloads (expires_at) WHERE status <> 'expired';
CREATE TRIGGER downloads_transition BEFORE UPDATE ON downloads FOR EACH ROW EXECUTE FUNCTION
    allow_transitions('status', 'pending>downloading', 'pending>failed', 'pending>expired', 'downloading>completed', 'downloading>failed',
                      'downloading>expired', 'completed>expired', 'failed>pending', 'failed>expired');
SELECT admit('downloads', 'user_id = @user OR @staff');

-- For whoever has decided that the file may be taken along.
CREATE FUNCTION begin_download(person uuid, wanted uuid, kind download_type, until timestamptz) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
    begun uuid;
BEGIN
    INSERT INTO downloads (tenant_id, user_id, file_id, download_type, expires_at)
    SELECT f.tenant_id, person, f.id, kind, until FROM files f WHERE f.id = wanted AND NOT f.is_deleted RETURNING id INTO begun;
    PERFORM act_as(was);
    RETURN begun;
END $$;
