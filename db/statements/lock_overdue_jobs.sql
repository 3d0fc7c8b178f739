-- Lock up to $1 queued jobs whose queue timeout has passed, among the $2 that come next: however many wait, few specs are
-- read. Pass over jobs that a worker is planning.
-- The array keeps the planner from joining the queue with itself, quadratically, while it knows little of the tables.
SELECT j.job_no, j.id, extract(EPOCH FROM now() - j.queued_at)::float8 AS waited_seconds
FROM jobs AS j
WHERE j.status = 'queued'
    AND j.job_no = ANY (ARRAY(
        SELECT next.job_no
        FROM (
            SELECT q.job_no, q.queued_at
            FROM jobs AS q
            WHERE q.status = 'queued'
            ORDER BY q.turn, q.job_no
            LIMIT $2
        ) AS next
        JOIN specs AS s USING (job_no)
        WHERE next.queued_at + (s.spec -> 'policy' ->> 'queue_timeout_seconds')::float8 * interval '1 second' < now()
        ORDER BY next.job_no
        LIMIT $1
    ))
ORDER BY j.job_no
FOR NO KEY UPDATE OF j SKIP LOCKED
