-- Actions and commands, and requests that were refused. `key_id` and `client` are of a request; `account` is of a command, or
-- of a request the subject of its access token.
-- Who isn't known has no tenant: then `key_id` is only what the request claimed. Posted specs are in `submissions`.
CREATE TABLE audit_entries (
    entry_no bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT audit_entries_key PRIMARY KEY,
    at timestamptz NOT NULL,
    tenant_no int,
    key_id text,
    client text,
    account text,
    action text NOT NULL,
    target json NOT NULL,
    outcome text NOT NULL CONSTRAINT audit_outcome_is_known CHECK (outcome IN ('done', 'replayed', 'refused')),
    status_code smallint,
    code text,
    request_id text,
    CONSTRAINT audit_entry_says_why_refused CHECK ((outcome = 'refused') = (code IS NOT NULL))
);

-- `key:` and the id of an API key, or `oidc:` and the subject of an access token; NULL without authentication.
ALTER TABLE submissions ADD COLUMN submitted_by text;

CREATE FUNCTION refuse_change_of_audit_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is only added to, never changed'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'audit_log_never_changes';
END
$$;

-- ALWAYS: session_replication_role doesn't switch them off.
CREATE TRIGGER audit_log_never_changes BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entries
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_audit_log();
ALTER TABLE audit_entries ENABLE ALWAYS TRIGGER audit_log_never_changes;

CREATE TRIGGER audit_log_never_changes BEFORE UPDATE OR DELETE OR TRUNCATE ON submissions
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_audit_log();
ALTER TABLE submissions ENABLE ALWAYS TRIGGER audit_log_never_changes;

SELECT protect_rows_of_tenants();
