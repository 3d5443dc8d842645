-- Who is let in: a tenant may ask for a proven address.

CREATE FUNCTION must_verify(subject users) RETURNS boolean LANGUAGE sql STABLE AS
$$ SELECT NOT subject.email_verified AND EXISTS (
       SELECT FROM tenant_settings WHERE tenant_id = app_tenant_id() AND settings -> 'require_verified_email' = 'true') $$;
COMMENT ON FUNCTION must_verify(users) IS
    'Whether the present tenant keeps this person out until their address is proven (tenant_settings: require_verified_email; off unless set).';

CREATE FUNCTION end_session(subject uuid, owner uuid, at timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    was text := act_as_service();
    ended boolean;
BEGIN
    UPDATE sessions SET revoked_at = at WHERE id = subject AND user_id = owner AND revoked_at IS NULL;
    ended := FOUND;
    UPDATE refresh_tokens SET revoked_at = at WHERE session_id = subject AND user_id = owner AND revoked_at IS NULL;
    PERFORM act_as(was);
    RETURN ended;
END $$;
COMMENT ON FUNCTION end_session(uuid, uuid, timestamptz) IS 'Only the product writes sessions; a person may end their own.';
