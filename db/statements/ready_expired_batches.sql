-- Offer batches whose lease ran out, a page at a time. The batch's own row, at the claim, decides.
INSERT INTO ready (job_no, batch_no, provider, region, identity_no, tenant_no, cells, turn)
SELECT
    b.job_no, b.batch_no, b.provider, b.region, b.identity_no, j.tenant_no, greatest(b.open_cells, 1),
    virtual_time(b.identity_no)
FROM batches AS b
JOIN jobs AS j USING (job_no)
WHERE b.status = 'running' AND b.lease_until < now()
    AND NOT EXISTS (SELECT FROM ready AS r WHERE r.job_no = b.job_no AND r.batch_no = b.batch_no)
ORDER BY b.job_no, b.batch_no
LIMIT $1
ON CONFLICT ON CONSTRAINT unique_ready_batch DO NOTHING
RETURNING job_no, batch_no
