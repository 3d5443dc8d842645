-- Tables that grow with time: which are cut into how wide pieces, how far ahead pieces are made, how long they are kept.
-- There is no default partition: it would have to be searched whenever a piece is added, and hides a keeper that stopped.

CREATE TABLE time_partitions (
    parent    text PRIMARY KEY,
    width     interval NOT NULL CONSTRAINT time_partitions__width_known CHECK (width IN ('1 day', '1 month')),
    ahead     integer NOT NULL CONSTRAINT time_partitions__ahead_positive CHECK (ahead > 0),
    retention interval CONSTRAINT time_partitions__retention_positive CHECK (retention > '0')
);
COMMENT ON TABLE time_partitions IS 'What keep_partitions() does; the stand-in for a hypertable''s chunk interval and retention policy.';
COMMENT ON COLUMN time_partitions.retention IS 'A piece is dropped once all of it is older; null keeps it for good.';
SELECT admit('time_partitions', 'true', '@service');

CREATE FUNCTION ensure_partitions(parent text, since timestamptz, until timestamptz, most integer DEFAULT 1000) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    step interval;
    unit text;
    starts timestamp;
    part text;
    made integer := 0;
BEGIN
    SELECT t.width INTO STRICT step FROM time_partitions t WHERE t.parent = parent;
    unit := CASE step WHEN '1 day' THEN 'day' ELSE 'month' END;
    starts := date_trunc(unit, since AT TIME ZONE 'UTC');
    PERFORM pg_advisory_xact_lock(hashtext('ensure_partitions'), hashtext(parent));
    WHILE starts <= until AT TIME ZONE 'UTC' AND made < most LOOP
        part := format('%s_%s', parent, to_char(starts, CASE unit WHEN 'day' THEN 'YYYYMMDD' ELSE 'YYYYMM' END));
        IF to_regclass(part) IS NULL THEN
            EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)', part, parent,
                           starts || '+00', (starts + step) || '+00');
            PERFORM protect_table(part::regclass);
            made := made + 1;
        END IF;
        starts := starts + step;
    END LOOP;
    RETURN made;
END $$;
COMMENT ON FUNCTION ensure_partitions(text, timestamptz, timestamptz, integer) IS
    'Makes the pieces of a table from one moment to another, so many at most; a writer with late events calls it for their days.';

CREATE FUNCTION register_partitions(parent regclass, width interval, ahead integer, retention interval DEFAULT NULL) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO time_partitions VALUES (parent::text, width, ahead, retention);
    -- The first run of keep_partitions makes the rest: a new database opens sooner, and a test clones it sooner.
    PERFORM ensure_partitions(parent::text, now() - width, now() + width);
END $$;

CREATE FUNCTION keep_partitions(at timestamptz, most integer DEFAULT 8) RETURNS TABLE (partition text, done text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    kept time_partitions;
    made integer;
    spare integer := most;
    old text;
BEGIN
    FOR kept IN SELECT * FROM time_partitions ORDER BY parent LOOP
        made := ensure_partitions(kept.parent, at, at + kept.width * kept.ahead, spare);
        spare := spare - made;
        IF made > 0 THEN
            RETURN QUERY SELECT kept.parent, format('%s made', made);
        END IF;
        FOR old IN
            SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = kept.parent::regclass AND kept.retention IS NOT NULL AND c.relname ~ '_\d{6,8}$'
              AND to_date(rpad(substring(c.relname FROM '\d{6,8}$'), 8, '01'), 'YYYYMMDD') + kept.width
                  <= (at - kept.retention) AT TIME ZONE 'UTC'
            ORDER BY c.relname LIMIT greatest(spare, 1)
        LOOP
            EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', kept.parent, old);
            EXECUTE format('DROP TABLE %I', old);
            RETURN QUERY SELECT old, 'dropped';
        END LOOP;
    END LOOP;
END $$;
COMMENT ON FUNCTION keep_partitions(timestamptz, integer) IS
    'Makes what is missing ahead, drops what is past its retention, a few pieces a call, so that a call is short; safe at any time. Nothing left: no rows.';
