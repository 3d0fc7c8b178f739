-- Find the tenants with these names ($1): the number and limits of each, and the secret that seals numbers.
SELECT
    t.name, t.tenant_no, t.requests_per_second, t.active_jobs, t.cells_per_day,
    (SELECT n.secret FROM number_secrets AS n) AS number_secret
FROM tenants AS t
WHERE t.name = ANY ($1::text[])
