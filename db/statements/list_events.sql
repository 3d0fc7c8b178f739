-- List a job's events with numbers above $2, oldest first; with the worker, if the source is a worker's id. $3 bounds
-- the rows.
SELECT e.event_no, e.type, e.at, e.source, e.data, w.id AS worker
FROM events AS e
LEFT JOIN workers AS w ON w.id = e.source AND w.role = 'worker'
WHERE e.job_no = $1 AND e.event_no > $2
ORDER BY e.event_no
LIMIT $3
