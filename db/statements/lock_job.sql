-- Lock a job and return its state, which stays so until the transaction ends.
SELECT j.status
FROM jobs AS j
WHERE j.job_no = $1
FOR NO KEY UPDATE
