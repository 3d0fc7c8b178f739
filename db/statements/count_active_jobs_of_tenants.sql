-- Count the jobs of these tenants ($1) that haven't ended, without the job $2 (NULL: none).
SELECT j.tenant_no AS number, count(*)::int AS active_jobs
FROM jobs AS j
WHERE j.tenant_no = ANY ($1::int[]) AND j.finished_at IS NULL AND j.job_no IS DISTINCT FROM $2::bigint
GROUP BY j.tenant_no
