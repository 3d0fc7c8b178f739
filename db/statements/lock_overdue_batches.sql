-- Lock batches of jobs of kind $2 that never began and whose job's queue timeout has passed, a page at a time,
-- including those whose earlier claim for that was lost. They need no room in a pool.
SELECT b.job_no, b.batch_no
FROM batches AS b
JOIN jobs AS j USING (job_no)
WHERE j.kind = $2::text
    AND b.overdue_at <= now() AND (b.status = 'pending' OR (b.status = 'running' AND b.lease_until < now()))
ORDER BY b.job_no, b.batch_no
LIMIT $1
FOR NO KEY UPDATE OF b SKIP LOCKED
