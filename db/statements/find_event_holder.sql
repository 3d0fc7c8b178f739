-- Find the open transaction behind which most events wait for it: its session, or the name under which it is prepared;
-- and how long ago the first of them that is committed was written. No row where no committed event waits.
SELECT
    a.application_name AS session, w.pid, p.gid AS prepared,
    extract(EPOCH FROM clock_timestamp() - coalesce(a.xact_start, p.prepared))::float8 AS open_seconds,
    extract(EPOCH FROM clock_timestamp() - e.at)::float8 AS behind_seconds
FROM event_writers AS w
CROSS JOIN LATERAL (
    SELECT x.at
    FROM events AS x
    WHERE x.position > w.floor
    ORDER BY x.position
    LIMIT 1
) AS e
LEFT JOIN pg_stat_activity AS a ON a.pid = w.pid
LEFT JOIN pg_prepared_xacts AS p ON w.pid IS NULL AND p.transaction::text = split_part(w.virtualtransaction, '/', 2)
ORDER BY w.floor, w.pid
LIMIT 1
