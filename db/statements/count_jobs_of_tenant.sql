-- Count a tenant's ($1) jobs by what they need. Each count stops at $2. Those that ended within $3 hours are counted
-- among the $2 that were submitted last.
SELECT
    (
        SELECT count(*)::int
        FROM (SELECT FROM jobs AS j WHERE j.tenant_no = $1 AND j.status = 'queued' LIMIT $2) AS counted
    ) AS queued,
    (
        SELECT count(*)::int
        FROM (SELECT FROM jobs AS j WHERE j.tenant_no = $1 AND j.status = 'coordinating' LIMIT $2) AS counted
    ) AS coordinating,
    (
        SELECT count(*)::int
        FROM (SELECT FROM jobs AS j WHERE j.tenant_no = $1 AND j.status = 'running' LIMIT $2) AS counted
    ) AS running,
    (
        SELECT count(*)::int
        FROM (SELECT FROM jobs AS j WHERE j.tenant_no = $1 AND j.unknown > 0 LIMIT $2) AS counted
    ) AS with_unknown,
    ended.completed, ended.partial, ended.failed, ended.cancelled
FROM (
    SELECT
        count(*) FILTER (WHERE newest.status = 'completed')::int AS completed,
        count(*) FILTER (WHERE newest.status = 'partial')::int AS partial,
        count(*) FILTER (WHERE newest.status = 'failed')::int AS failed,
        count(*) FILTER (WHERE newest.status = 'cancelled')::int AS cancelled
    FROM unnest(ARRAY['completed', 'partial', 'failed', 'cancelled']) AS s (status)
    CROSS JOIN LATERAL (
        SELECT j.status, j.finished_at
        FROM jobs AS j
        WHERE j.tenant_no = $1 AND j.status = s.status
        ORDER BY j.job_no DESC
        LIMIT $2
    ) AS newest
    WHERE newest.finished_at > now() - $3::int * interval '1 hour'
) AS ended
