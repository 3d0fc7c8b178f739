-- Return whether a cell is planned.
SELECT EXISTS (
    SELECT
    FROM executions AS e
    WHERE e.job_no = $1 AND e.region_no = $2 AND e.model_no = $3 AND e.question_no = $4
)
