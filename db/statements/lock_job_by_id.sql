-- Lock a tenant's ($1) job by its id until the transaction ends, and return its state.
SELECT j.job_no, j.status
FROM jobs AS j
WHERE j.tenant_no = $1 AND j.id = $2
FOR NO KEY UPDATE
