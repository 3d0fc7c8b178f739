-- List the newest jobs that were created in a window ($2 to $3, NULL for open), with keys below $4, up to $5 jobs and
-- about $6 cells (NULL: any number). $1 is the tenant, NULL for all.
SELECT newest.job_no
FROM (
    SELECT j.job_no, sum(j.planned) OVER (ORDER BY j.job_no DESC) - j.planned AS cells_before
    FROM (
        SELECT x.job_no, x.planned
        FROM jobs AS x
        WHERE ($1::int IS NULL OR x.tenant_no = $1)
            AND ($2::timestamptz IS NULL OR x.created_at >= $2)
            AND ($3::timestamptz IS NULL OR x.created_at < $3)
            AND ($4::bigint IS NULL OR x.job_no < $4)
        ORDER BY x.job_no DESC
        LIMIT $5
    ) AS j
) AS newest
WHERE $6::bigint IS NULL OR newest.cells_before < $6
ORDER BY newest.job_no DESC
