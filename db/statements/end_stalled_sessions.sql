-- End those of the waits ($1 pids, $2 their state_change) that still last. Return the sessions' names. They are
-- selected first: PostgreSQL might evaluate pg_terminate_backend() before the other conditions of one WHERE.
WITH stalled AS MATERIALIZED (
    SELECT a.pid, a.application_name AS name
    FROM unnest($1::int[], $2::timestamptz[]) AS w (pid, state_change)
    JOIN pg_stat_activity AS a USING (pid, state_change)
    WHERE a.state = 'active' AND a.wait_event = 'ClientRead'
)
SELECT s.name FROM stalled AS s WHERE pg_terminate_backend(s.pid)
