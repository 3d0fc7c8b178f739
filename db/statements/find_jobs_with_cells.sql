-- Find the jobs of a tenant ($1) that may have cells in a state ($2, NULL for any), the newest first, from $3 on and $4
-- at most. By the jobs' stored counts an index passes over jobs without such cells. Of each job: whether it is looked
-- into now, that is, whether the jobs before it have less than $5 cells in all.
SELECT f.job_no, coalesce(f.cells_before, 0) < $5 AS is_looked_into
FROM (
    SELECT
        j.job_no,
        sum(j.planned) OVER (ORDER BY j.job_no DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS cells_before
    FROM (
        (
            SELECT j.job_no, j.planned
            FROM jobs AS j
            WHERE $2::text = 'unknown' AND j.tenant_no = $1 AND j.unknown > 0 AND j.job_no <= $3
            ORDER BY j.job_no DESC
            LIMIT $4
        )
        UNION ALL
        (
            SELECT j.job_no, j.planned
            FROM jobs AS j
            WHERE $2 = 'failed' AND j.tenant_no = $1 AND j.failed > 0 AND j.job_no <= $3
            ORDER BY j.job_no DESC
            LIMIT $4
        )
        UNION ALL
        (
            SELECT j.job_no, j.planned
            FROM jobs AS j
            WHERE $2 IN ('planned', 'running') AND j.tenant_no = $1 AND j.status = 'running' AND j.job_no <= $3
            ORDER BY j.job_no DESC
            LIMIT $4
        )
        UNION ALL
        (
            SELECT j.job_no, j.planned
            FROM jobs AS j
            WHERE coalesce($2, '') NOT IN ('unknown', 'failed', 'planned', 'running') AND j.tenant_no = $1
                AND j.job_no <= $3
                AND ($2 IS NULL OR ($2 = 'completed' AND j.completed > 0) OR ($2 = 'cancelled' AND j.cancelled > 0))
            ORDER BY j.job_no DESC
            LIMIT $4
        )
    ) AS j
) AS f
ORDER BY f.job_no DESC
