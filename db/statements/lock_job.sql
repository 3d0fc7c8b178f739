-- Lock a job until the transaction ends, and return its state.
SELECT j.status
FROM jobs AS j
WHERE j.job_no = $1
FOR NO KEY UPDATE
