-- Sessions of Breakwater's processes that wait now for the rest of a statement which their process began to send, or
-- for the rows of a copy. The server takes such a session for active, so no limit for idle sessions ends it, though it
-- keeps rows locked. `state_change` isn't when the wait began: preparing a statement may itself have waited for a lock.
-- It is another after each further message, so it tells two waits of a session apart.
SELECT a.pid, a.state_change, a.query ~* '^\s*copy\M' AS is_copy
FROM pg_stat_activity AS a
WHERE a.datname = current_database()
    AND a.usename = current_user
    AND (a.application_name ~ '^(breakwater|worker-)' OR a.application_name = current_setting('application_name'))
    AND a.state = 'active'
    AND a.wait_event = 'ClientRead'
