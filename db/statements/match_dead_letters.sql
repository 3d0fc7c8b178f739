-- Return the keys of open dead letters that match, in ascending order, $6 at most: those of a tenant ($1), a job ($2),
-- a region ($3), a model ($4) and an error code ($5); NULL stands for any. Those of cancelled jobs are left out.
SELECT d.dead_letter_no
FROM dead_letters AS d
JOIN jobs AS j USING (job_no)
JOIN tenants AS t ON t.tenant_no = d.tenant_no
JOIN specs AS s USING (job_no)
WHERE d.replayed_at IS NULL AND j.status <> 'cancelled'
    AND ($1::text IS NULL OR t.name = $1)
    AND ($2::text IS NULL OR j.id = $2)
    AND ($3::text IS NULL OR s.region_ids[d.region_no + 1] = $3)
    AND ($4::text IS NULL OR s.model_ids[d.model_no + 1] = $4)
    AND ($5::text IS NULL OR d.error_code = $5)
ORDER BY d.dead_letter_no
LIMIT $6
