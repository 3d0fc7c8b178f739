-- Find the sessions and prepared transactions that hold a lock for which a migration of this database waits. A process
-- of the release before that waits for another one to end its migration (an advisory lock) isn't blocked.
WITH blockers AS MATERIALIZED (
    SELECT DISTINCT b.pid
    FROM pg_stat_activity AS a
    CROSS JOIN LATERAL unnest(pg_blocking_pids(a.pid)) AS b (pid)
    WHERE a.datname = current_database() AND a.application_name = $1
        AND a.wait_event_type = 'Lock' AND a.wait_event <> 'advisory'
)
SELECT
    b.pid, a.application_name AS session, a.usename AS account, a.state, a.backend_type,
    extract(EPOCH FROM clock_timestamp() - a.xact_start)::float8 AS open_seconds
FROM blockers AS b
LEFT JOIN pg_stat_activity AS a USING (pid)
ORDER BY a.xact_start, b.pid
