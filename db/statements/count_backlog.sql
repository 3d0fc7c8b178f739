-- Count the jobs that wait to be planned by tenant, up to $1 of them in all.
SELECT q.tenant_no, count(*)::int AS jobs
FROM (SELECT j.tenant_no FROM jobs AS j WHERE j.status = 'queued' LIMIT $1) AS q
GROUP BY q.tenant_no
