-- End the sessions that hold back a committed event for more than $1 seconds since it was written, so that their
-- transaction is rolled back. A session that has committed and waits for a standby isn't ended: all other commits wait
-- as well. This user can't end sessions of other users. Return the sessions' names. They are selected first: PostgreSQL
-- might evaluate pg_terminate_backend() before the other conditions of one WHERE.
WITH late AS MATERIALIZED (
    SELECT a.pid, a.application_name AS name
    FROM event_writers AS w
    JOIN pg_stat_activity AS a USING (pid)
    WHERE a.usename = current_user
        AND a.wait_event IS DISTINCT FROM 'SyncRep'
        AND (
            SELECT x.at
            FROM events AS x
            WHERE x.position > w.floor
            ORDER BY x.position
            LIMIT 1
        ) < clock_timestamp() - $1::float8 * interval '1 second'
)
SELECT l.name FROM late AS l WHERE pg_terminate_backend(l.pid)
