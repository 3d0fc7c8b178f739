-- Set those limits of the tenant with this name ($1) that are members of $2; a null takes one away. No row without such
-- a tenant.
UPDATE tenants AS t
SET
    requests_per_second = CASE
        WHEN n.limits ? 'requests_per_second' THEN (n.limits ->> 'requests_per_second')::int
        ELSE t.requests_per_second
    END,
    active_jobs = CASE
        WHEN n.limits ? 'active_jobs' THEN (n.limits ->> 'active_jobs')::int
        ELSE t.active_jobs
    END,
    cells_per_day = CASE
        WHEN n.limits ? 'cells_per_day' THEN (n.limits ->> 'cells_per_day')::int
        ELSE t.cells_per_day
    END
FROM (SELECT $2::jsonb AS limits) AS n
WHERE t.name = $1
RETURNING t.tenant_no, t.name, t.created_at, t.requests_per_second, t.active_jobs, t.cells_per_day
