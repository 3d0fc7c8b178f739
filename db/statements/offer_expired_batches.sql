-- Offer batches whose lease ran out, a page at a time. The batch's own row, at the claim, decides.
SELECT b.job_no, b.batch_no
FROM (
    SELECT x.job_no, x.batch_no, x.identity_no, greatest(x.open_cells, 1) AS cells
    FROM batches AS x
    WHERE x.status = 'running' AND x.lease_until < now()
        AND NOT EXISTS (SELECT FROM ready AS r WHERE r.job_no = x.job_no AND r.batch_no = x.batch_no)
    ORDER BY x.job_no, x.batch_no
    LIMIT $1
) AS b
JOIN jobs AS j USING (job_no)
WHERE offer_batch(
    b.job_no, b.batch_no, b.cells, virtual_finish_time_of_tenant(j.tenant_no, b.identity_no, 0), keeps_place => true
)
