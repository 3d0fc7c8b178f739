-- Say whether the server's process is the one ($1) that the client was given at the start, so that no pooler stands
-- between; if so, make the settings for the session's life. Behind a pooler nothing stays set.
SELECT
    pg_backend_pid() = $1::int AS is_direct,
    count(set_config(s.name, s.value, pg_backend_pid() <> $1::int)) AS settings
FROM unnest($2::text[], $3::text[]) AS s (name, value)
