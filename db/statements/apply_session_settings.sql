-- Return whether the server's process is that ($1) of the client's start, so that there is no pooler between them; if
-- so, apply the settings to the session. Behind a pooler no setting is made.
SELECT
    pg_backend_pid() = $1::int AS is_direct,
    count(set_config(s.name, s.value, pg_backend_pid() <> $1::int)) AS settings
FROM unnest($2::text[], $3::text[]) AS s (name, value)
