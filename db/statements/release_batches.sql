-- Release all batches that a worker still holds: no attempt is counted, the fence is raised (the worker may not write
-- any more), and they are due at once.
UPDATE batches AS b
SET status = 'pending', fence = b.fence + 1, holder = NULL, lease_until = NULL, slots = 0
FROM jobs AS j
WHERE b.worker_no = $1 AND b.status = 'running' AND j.job_no = b.job_no
RETURNING
    b.job_no, b.batch_no,
    offer_batch(b.job_no, b.batch_no, b.open_cells, virtual_finish_time_of_tenant(j.tenant_no, b.identity_no, 0))
