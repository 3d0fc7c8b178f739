-- Find the cells of a tenant ($1) in a state ($2, NULL for any) over all its jobs: the newest job first, in plan order
-- within each, after the cell ($3 job, $4 region, $5 model, $6 question), up to $7. By the jobs' stored counts an index
-- passes over jobs without such cells.
SELECT j.job_no, cell.region_no, cell.model_no, cell.question_no
FROM (
    (
        SELECT j.job_no
        FROM jobs AS j
        WHERE $2::text = 'unknown' AND j.tenant_no = $1 AND j.unknown > 0 AND j.job_no <= $3
    )
    UNION ALL
    (
        SELECT j.job_no
        FROM jobs AS j
        WHERE $2 = 'failed' AND j.tenant_no = $1 AND j.failed > 0 AND j.job_no <= $3
    )
    UNION ALL
    (
        SELECT j.job_no
        FROM jobs AS j
        WHERE $2 IN ('planned', 'running') AND j.tenant_no = $1 AND j.status = 'running' AND j.job_no <= $3
    )
    UNION ALL
    (
        SELECT j.job_no
        FROM jobs AS j
        WHERE coalesce($2, '') NOT IN ('unknown', 'failed', 'planned', 'running') AND j.tenant_no = $1
            AND j.job_no <= $3
            AND ($2 IS NULL OR ($2 = 'completed' AND j.completed > 0) OR ($2 = 'cancelled' AND j.cancelled > 0))
    )
) AS j
CROSS JOIN LATERAL (
    SELECT x.region_no, x.model_no, x.question_no
    FROM executions AS x
    LEFT JOIN batches AS b ON b.job_no = x.job_no AND b.batch_no = x.batch_no
    WHERE x.job_no = j.job_no
        AND (
            j.job_no < $3
            OR (x.region_no, x.model_no, x.question_no) > ($4::smallint, $5::smallint, $6::smallint)
        )
        AND (
            $2 IS NULL
            OR CASE WHEN x.status = 'planned' AND b.status = 'running' THEN 'running' ELSE x.status END = $2
        )
    ORDER BY x.region_no, x.model_no, x.question_no
    LIMIT $7
) AS cell
ORDER BY j.job_no DESC, cell.region_no, cell.model_no, cell.question_no
LIMIT $7
