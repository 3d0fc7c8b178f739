-- Lock a tenant's ($1) job by its id and return its state, which stays so until the transaction ends.
SELECT j.job_no, j.status
FROM jobs AS j
WHERE j.tenant_no = $1 AND j.id = $2
FOR NO KEY UPDATE
