-- Let no statement wait longer than $1 milliseconds for a lock, and lift the limits that the server has for requests,
-- which would end a migration half-way. This holds for the session's life if its server's process is $2, else for this
-- transaction.
SELECT
    count(set_config(s.name, CASE s.name WHEN 'lock_timeout' THEN $1::text ELSE '0' END, pg_backend_pid() <> $2::int))
FROM pg_settings AS s
WHERE s.name IN ('lock_timeout', 'statement_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout')
