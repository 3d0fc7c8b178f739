-- Lock a job's open batches in ascending order. A worker that records results of them waits, and then finds its fence
-- stale.
SELECT b.batch_no
FROM batches AS b
WHERE b.job_no = $1 AND b.status IN ('pending', 'running')
ORDER BY b.batch_no
FOR NO KEY UPDATE
