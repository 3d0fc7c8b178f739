-- Give unfinished batches back: no attempt, a raised fence (the holder may not write any more), due at once.
WITH handed_back AS (
    UPDATE batches AS b
    SET status = 'pending', fence = b.fence + 1, holder = NULL, lease_until = NULL
    FROM unnest($1::bigint[], $2::int[], $3::int[], $4::bigint[]) AS i (job_no, batch_no, fence, holder)
    WHERE b.job_no = i.job_no AND b.batch_no = i.batch_no
        AND b.fence = i.fence AND b.holder = i.holder
    RETURNING b.job_no, b.batch_no, b.provider, b.region, b.open_cells
)
INSERT INTO ready (job_no, batch_no, provider, region, tenant_no, cells, turn)
SELECT
    h.job_no, h.batch_no, h.provider, h.region, j.tenant_no, h.open_cells,
    coalesce((SELECT min(r.turn) FROM ready AS r WHERE r.provider = h.provider AND r.region = h.region), 0)
FROM handed_back AS h
JOIN jobs AS j USING (job_no)
ON CONFLICT ON CONSTRAINT unique_ready_batch DO NOTHING
RETURNING job_no, batch_no
