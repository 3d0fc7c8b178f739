-- Lock up to $1 queued jobs whose queue timeout has passed, among the next $2, so that few specs are read. Pass over
-- jobs that a worker is planning.
SELECT j.job_no, j.id, extract(EPOCH FROM now() - j.queued_at)::float8 AS waited_seconds
FROM (
    SELECT q.job_no
    FROM jobs AS q
    WHERE q.status = 'queued'
    ORDER BY q.turn, q.job_no
    LIMIT $2
) AS next
JOIN jobs AS j USING (job_no)
JOIN specs AS s USING (job_no)
WHERE j.status = 'queued'
    AND j.queued_at + (s.spec -> 'policy' ->> 'queue_timeout_seconds')::float8 * interval '1 second' < now()
ORDER BY j.job_no
LIMIT $1
FOR NO KEY UPDATE OF j SKIP LOCKED
