-- List a tenant's ($1) datasets by name from above $2 on, up to $3, with their record types and the job that was planned
-- last to import each; none where that was deleted.
WITH page AS (
    SELECT DISTINCT s.dataset
    FROM record_sets AS s
    WHERE s.tenant_no = $1 AND s.dataset > $2
    ORDER BY s.dataset
    LIMIT $3
)
SELECT s.dataset, s.record_type, j.id AS job_id, j.status, i.planned_at, j.finished_at
FROM page AS p
JOIN record_sets AS s ON s.tenant_no = $1 AND s.dataset = p.dataset
LEFT JOIN LATERAL (
    SELECT t.job_no
    FROM record_types AS t
    WHERE t.record_set_no = s.record_set_no
    ORDER BY t.job_no DESC
    LIMIT 1
) AS last ON true
LEFT JOIN jobs AS j ON j.job_no = last.job_no
LEFT JOIN imports AS i ON i.job_no = last.job_no
ORDER BY s.dataset, s.record_type
