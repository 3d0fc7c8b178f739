-- Return the number of a tenant's ($1) job by its id.
SELECT j.job_no
FROM jobs AS j
WHERE j.tenant_no = $1 AND j.id = $2
