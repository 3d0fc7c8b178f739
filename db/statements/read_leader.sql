-- Return the worker that led a background service last, whether its lease still runs, and how long ago it last worked.
SELECT
    w.id AS worker, l.fence, l.worked_at, l.lease_until >= now() AS is_leading,
    greatest(extract(EPOCH FROM now() - l.worked_at)::float8, 0) AS idle_seconds
FROM leaders AS l
LEFT JOIN workers AS w USING (worker_no)
WHERE l.duty = $1
