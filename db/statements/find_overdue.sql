-- Lock batches that never began and whose job's queue timeout has passed, a page at a time; they need no pool's room.
SELECT b.job_no, b.batch_no
FROM batches AS b
WHERE b.overdue_at <= now() AND b.status = 'pending'
ORDER BY b.job_no, b.batch_no
LIMIT $1
FOR NO KEY UPDATE SKIP LOCKED
