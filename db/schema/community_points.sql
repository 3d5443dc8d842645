-- Points: earned and spent in a ledger that only grows; users.points is its sum.

CREATE TABLE point_entries (
    id           uuid PRIMARY KEY DEFAULT uuid7(),
    tenant_id    uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants ON DELETE CASCADE,
    user_id      uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    points       integer NOT NULL CONSTRAINT point_entries__not_nothing CHECK (points <> 0),
    reason       text NOT NULL CONSTRAINT point_entries__reason_given CHECK (reason <> ''),
    subject_type text,
    subject_id   uuid,
    created_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT point_entries__once UNIQUE (user_id, reason, subject_type, subject_id)
);
CREATE TRIGGER point_entries_keep BEFORE UPDATE ON point_entries FOR EACH ROW EXECUTE FUNCTION refuse_change();
COMMENT ON CONSTRAINT point_entries__once ON point_entries IS 'One thing earns or costs a person its points once, however often it is told.';

CREATE FUNCTION points_booked() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
BEGIN
    UPDATE users u SET points = u.points + b.points
    FROM (SELECT user_id, sum(points) AS points FROM booked GROUP BY user_id) AS b WHERE u.id = b.user_id;
    PERFORM act_as(was);
    RETURN NULL;
END $$;
CREATE TRIGGER point_entries_booked AFTER INSERT ON point_entries REFERENCING NEW TABLE AS booked
    FOR EACH STATEMENT EXECUTE FUNCTION points_booked();
COMMENT ON CONSTRAINT users__points_not_negative ON users IS 'What is not there cannot be spent: the entry that would is refused with what it was for.';
SELECT admit('point_entries', 'user_id = @user OR @staff');

CREATE FUNCTION early_unlocks_paid() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
BEGIN
    INSERT INTO point_entries (tenant_id, user_id, points, reason, subject_type, subject_id)
    SELECT tenant_id, user_id, -points_spent, 'early_unlock', 'early_unlocks', id FROM unlocked WHERE points_spent > 0;
    PERFORM act_as(was);
    RETURN NULL;
END $$;
CREATE TRIGGER early_unlocks_paid AFTER INSERT ON early_unlocks REFERENCING NEW TABLE AS unlocked
    FOR EACH STATEMENT EXECUTE FUNCTION early_unlocks_paid();

-- What other contexts earn people: told twice about one thing, it counts once.
CREATE FUNCTION earn_points(person uuid, earned integer, why text, about text, about_id uuid) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
    booked boolean;
BEGIN
    INSERT INTO point_entries (user_id, points, reason, subject_type, subject_id) SELECT person, earned, why, about, about_id WHERE earned > 0
    ON CONFLICT (user_id, reason, subject_type, subject_id) DO NOTHING;
    booked := FOUND;
    PERFORM act_as(was);
    RETURN booked;
END $$;
COMMENT ON FUNCTION earn_points(uuid, integer, text, text, uuid) IS 'earn_points(person, how many, reason, subject''s table, subject): whether they were booked now.';
