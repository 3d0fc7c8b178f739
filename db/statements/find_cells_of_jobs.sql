-- Find the cells in a state ($2, NULL for any) of these jobs ($1): the newest job first, in plan order within each,
-- after the cell ($3 job, $4 region, $5 model, $6 question), up to $7. They are read whole where few are in that state.
SELECT j.job_no, cell.region_no, cell.model_no, cell.question_no
FROM unnest($1::bigint[]) AS j (job_no)
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
            $2::text IS NULL
            OR CASE WHEN x.status = 'planned' AND b.status = 'running' THEN 'running' ELSE x.status END = $2
        )
    ORDER BY x.region_no, x.model_no, x.question_no
    LIMIT $7
) AS cell
ORDER BY j.job_no DESC, cell.region_no, cell.model_no, cell.question_no
LIMIT $7
