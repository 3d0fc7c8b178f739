-- Lock batches that never began and whose job's queue timeout has passed, a page at a time, those too whose claim for
-- that was lost; they need no pool's room.
SELECT b.job_no, b.batch_no
FROM batches AS b
WHERE b.overdue_at <= now() AND (b.status = 'pending' OR (b.status = 'running' AND b.lease_until < now()))
ORDER BY b.job_no, b.batch_no
LIMIT $1
FOR NO KEY UPDATE SKIP LOCKED
