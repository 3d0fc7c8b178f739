-- Lock what is open of a job, from below. Whoever records results of it now waits, and then finds another fence.
SELECT b.batch_no
FROM batches AS b
WHERE b.job_no = $1 AND b.status IN ('pending', 'running')
ORDER BY b.batch_no
FOR NO KEY UPDATE
