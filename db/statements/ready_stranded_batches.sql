-- Offer the pending batches of running jobs in which nothing runs and nothing is ready: no end would release them.
INSERT INTO ready (job_no, batch_no, provider, region, tenant_no, cells, turn)
SELECT b.job_no, b.batch_no, b.provider, b.region, j.tenant_no, b.open_cells, b.turn
FROM jobs AS j
JOIN waves AS w ON w.job_no = j.job_no AND w.status = 'running'
JOIN batches AS b ON b.job_no = w.job_no AND b.wave_no = w.wave_no AND b.status = 'pending'
WHERE j.status = 'running'
    AND j.job_no IN (
        SELECT x.job_no FROM jobs AS x WHERE x.status = 'running' ORDER BY x.job_no LIMIT $1
    )
    AND NOT EXISTS (SELECT FROM ready AS r WHERE r.job_no = j.job_no)
    AND NOT EXISTS (SELECT FROM batches AS o WHERE o.job_no = j.job_no AND o.status = 'running')
ORDER BY b.job_no, b.batch_no
LIMIT $1
ON CONFLICT ON CONSTRAINT unique_ready_batch DO NOTHING
RETURNING job_no, batch_no
