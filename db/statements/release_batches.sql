-- Release all batches that a worker still holds: no attempt is counted, the fence is raised (the worker may not write
-- any more), and they are due at once.
UPDATE batches AS b
SET status = 'pending', fence = b.fence + 1, holder = NULL, lease_until = NULL, slots = 0
WHERE b.worker_no = $1 AND b.status = 'running'
RETURNING
    b.job_no, b.batch_no, offer_batch(b.job_no, b.batch_no, b.open_cells, virtual_finish_time(b.identity_no, 0))
