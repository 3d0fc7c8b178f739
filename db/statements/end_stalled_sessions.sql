-- End the sessions of Breakwater's processes that have waited for $1 seconds for the rest of a statement that their
-- process began to send, or for $2 seconds for the rows of a copy. The server takes such a session for active, so no
-- limit for idle sessions ends it, though it keeps rows locked. Return the sessions' names. They are selected first:
-- PostgreSQL might evaluate pg_terminate_backend() before the other conditions of one WHERE.
WITH stalled AS MATERIALIZED (
    SELECT a.pid, a.application_name AS name
    FROM pg_stat_activity AS a
    WHERE a.datname = current_database()
        AND a.usename = current_user
        AND (a.application_name ~ '^(breakwater|worker-)' OR a.application_name = current_setting('application_name'))
        AND a.state = 'active'
        AND a.wait_event = 'ClientRead'
        AND a.state_change < clock_timestamp()
            - CASE WHEN a.query ~* '^\s*copy\M' THEN $2::float8 ELSE $1::float8 END * interval '1 second'
)
SELECT s.name FROM stalled AS s WHERE pg_terminate_backend(s.pid)
