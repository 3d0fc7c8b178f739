-- Lock a job's open batches, from below. A worker that records results of them now waits, and then finds its fence
-- stale.
SELECT b.batch_no
FROM batches AS b
WHERE b.job_no = $1 AND b.status IN ('pending', 'running')
ORDER BY b.batch_no
FOR NO KEY UPDATE
