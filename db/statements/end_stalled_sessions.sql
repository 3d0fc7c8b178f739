-- End the sessions of Breakwater's processes that wait for $1 seconds for the rest of a statement that their process began to
-- send; for $2 seconds where it is a copy, whose rows may come slowly. To the server such a session is active, so that no
-- limit for idle ones ends it, whatever rows it keeps locked. Return the sessions' names. They are found first: among the
-- conditions of one WHERE the server might try the ending before the others.
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
