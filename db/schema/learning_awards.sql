-- What a student has done in a course, and what they have for it: activity, badges, certificates.

CREATE FUNCTION certificate_code() RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT upper(regexp_replace(left(encode(sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'hex'), 20), '(.{5})(?!$)', '\1-', 'g'))
$$;
COMMENT ON FUNCTION certificate_code() IS '80 random bits as four groups of five: nobody comes upon somebody else''s by trying.';

CREATE TABLE certificates (
    id              uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id       uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    enrollment_id   uuid NOT NULL CONSTRAINT certificates__one_each UNIQUE REFERENCES enrollments ON DELETE CASCADE,
    code            text NOT NULL DEFAULT certificate_code() CONSTRAINT certificates__code_unique UNIQUE,
    certificate_key text CONSTRAINT certificates__key_unique UNIQUE,
    issued_at       timestamptz NOT NULL DEFAULT now(),
    revoked_at      timestamptz,
    revoke_reason   text,
    CONSTRAINT certificates__revoked_after_issue CHECK (revoked_at >= issued_at)
);
COMMENT ON COLUMN certificates.code IS 'Whoever is shown it can ask whether it is true.';
COMMENT ON COLUMN certificates.certificate_key IS 'Object key of the PDF.';
CREATE FUNCTION certificates_earned() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
    reached numeric := (SELECT progress FROM enrollments WHERE id = NEW.enrollment_id);
BEGIN
    IF reached < 100 THEN
        PERFORM break_rule('certificates__course_completed', format('%s %% of the course is done', reached));
    END IF;
    PERFORM act_as(was);
    RETURN NEW;
END $$;
CREATE TRIGGER certificates_earned BEFORE INSERT ON certificates FOR EACH ROW EXECUTE FUNCTION certificates_earned();
SELECT admit('certificates', 'EXISTS (SELECT FROM enrollments e WHERE e.id = enrollment_id)');

CREATE TABLE student_activity (
    id            uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id     uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    enrollment_id uuid NOT NULL REFERENCES enrollments ON DELETE CASCADE,
    type          activity_type NOT NULL,
    description   text,
    metadata      jsonb,
    created_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX student_activity_recent_idx ON student_activity (enrollment_id, created_at);
SELECT admit('student_activity', 'EXISTS (SELECT FROM enrollments e WHERE e.id = enrollment_id)');

CREATE TABLE student_badges (
    id            uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id     uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    enrollment_id uuid NOT NULL REFERENCES enrollments ON DELETE CASCADE,
    badge_type    student_badge_type NOT NULL,
    earned_at     timestamptz NOT NULL DEFAULT now(),
    metadata      jsonb,
    CONSTRAINT student_badges__once UNIQUE (enrollment_id, badge_type)
);
SELECT admit('student_badges', 'EXISTS (SELECT FROM enrollments e WHERE e.id = enrollment_id)');
