-- Measure waiting and running work, over all tenants. Each count stops at $1, so that a scrape stays cheap. Job numbers
-- rise with creation, so the oldest job is among a tenant's lowest numbers, except for imports that were queued again;
-- imports that wait for their source or another import don't wait for a worker.
SELECT
    (SELECT count(*)::int FROM (SELECT FROM jobs AS j WHERE j.status = 'queued' LIMIT $1) AS counted) AS jobs_queued,
    (
        SELECT count(*)::int
        FROM tenants AS t
        CROSS JOIN LATERAL (
            SELECT FROM jobs AS j WHERE j.tenant_no = t.tenant_no AND j.status = 'coordinating' LIMIT $1
        ) AS counted
    ) AS jobs_coordinating,
    (
        SELECT count(*)::int
        FROM tenants AS t
        CROSS JOIN LATERAL (
            SELECT FROM jobs AS j WHERE j.tenant_no = t.tenant_no AND j.status = 'running' LIMIT $1
        ) AS counted
    ) AS jobs_running,
    (
        SELECT coalesce(extract(EPOCH FROM now() - min(lowest.queued_at)), 0)::float8
        FROM tenants AS t
        CROSS JOIN LATERAL (
            SELECT j.queued_at
            FROM jobs AS j
            WHERE j.tenant_no = t.tenant_no AND j.status = 'queued'
                AND NOT EXISTS (SELECT FROM imports AS i WHERE i.job_no = j.job_no AND i.not_before > now())
                AND NOT EXISTS (SELECT FROM waiting_imports AS w WHERE w.job_no = j.job_no)
            ORDER BY j.job_no
            LIMIT 1000
        ) AS lowest
    ) AS oldest_queued_job_seconds,
    (
        SELECT count(*)::int FROM (SELECT FROM ready AS r WHERE r.not_before > now() LIMIT $1) AS counted
    ) AS batches_waiting,
    running.batches_running, running.leases_expired
FROM (
    SELECT count(*)::int AS batches_running, count(*) FILTER (WHERE counted.lease_until < now())::int AS leases_expired
    FROM (SELECT b.lease_until FROM batches AS b WHERE b.status = 'running' LIMIT $1) AS counted
) AS running
