-- Lock a batch and return its state; no row if the job has no such batch.
SELECT b.status
FROM batches AS b
WHERE b.job_no = $1 AND b.batch_no = $2
FOR NO KEY UPDATE
