-- Return the number of a tenant's ($1) job by its id, its status, and the number of its last event.
SELECT j.job_no, j.status, j.last_event_no
FROM jobs AS j
WHERE j.tenant_no = $1 AND j.id = $2
