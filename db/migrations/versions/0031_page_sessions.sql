-- A session ends at `expires_at`, and earlier if it isn't used or its owner may do nothing any more. `digest` is the SHA-256 of
-- the cookie's value. Its owner is the secret of an API key, or a subject of an identity provider: then `scopes` are what the
-- provider said when the person signed in. The scopes of a key are looked up with it.
CREATE TABLE page_sessions (
    digest bytea NOT NULL CONSTRAINT page_sessions_key PRIMARY KEY,
    id text NOT NULL CONSTRAINT unique_page_session_id UNIQUE,
    tenant_no int NOT NULL CONSTRAINT page_session_belongs_to_tenant REFERENCES tenants,
    secret_digest bytea CONSTRAINT page_session_belongs_to_secret REFERENCES api_key_secrets ON DELETE CASCADE,
    issuer text,
    subject text,
    scopes text[],
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    CONSTRAINT page_session_has_one_owner CHECK (
        num_nonnulls(issuer, subject, scopes) = CASE WHEN secret_digest IS NULL THEN 3 ELSE 0 END
    )
);
CREATE INDEX page_sessions_by_secret ON page_sessions (secret_digest);
CREATE INDEX page_sessions_by_subject ON page_sessions (issuer, subject);
CREATE INDEX page_sessions_by_expiry ON page_sessions (expires_at);

-- The page session by which a request was allowed; NULL of a program's, and of commands.
ALTER TABLE audit_entries ADD COLUMN session_id text;

SELECT protect_rows_of_tenants();
