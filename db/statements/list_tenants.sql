-- List the tenants with a number above $1 in the order in which they were made, $2 at most.
SELECT t.tenant_no, t.name, t.created_at, t.requests_per_second, t.active_jobs, t.cells_per_day
FROM tenants AS t
WHERE t.tenant_no > $1
ORDER BY t.tenant_no
LIMIT $2
