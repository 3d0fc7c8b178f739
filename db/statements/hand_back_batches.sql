-- Give back whatever a worker still holds: no attempt, a raised fence (it may not write any more), due at once.
WITH handed_back AS (
    UPDATE batches AS b
    SET status = 'pending', fence = b.fence + 1, holder = NULL, lease_until = NULL, slots = 0
    WHERE b.worker_no = $1 AND b.status = 'running'
    RETURNING b.job_no, b.batch_no, b.provider, b.region, b.identity_no, b.open_cells
)
INSERT INTO ready (job_no, batch_no, provider, region, identity_no, tenant_no, cells, turn)
SELECT
    h.job_no, h.batch_no, h.provider, h.region, h.identity_no, j.tenant_no, h.open_cells,
    virtual_time(h.identity_no)
FROM handed_back AS h
JOIN jobs AS j USING (job_no)
ON CONFLICT ON CONSTRAINT unique_ready_batch DO UPDATE
SET lane = excluded.lane,
    cells = excluded.cells,
    turn = excluded.turn,
    not_before = excluded.not_before,
    queued_at = excluded.queued_at
RETURNING job_no, batch_no
