-- Lock a cell; return its state, and whether a person resolved it: its last try then is an ambiguous one.
SELECT
    e.status,
    e.output,
    EXISTS (
        SELECT
        FROM attempts AS t
        WHERE t.job_no = e.job_no AND t.region_no = e.region_no AND t.model_no = e.model_no
            AND t.question_no = e.question_no AND t.attempt_no = e.attempts AND t.status = 'unknown'
    ) AS is_resolved
FROM executions AS e
WHERE e.job_no = $1 AND e.region_no = $2 AND e.model_no = $3 AND e.question_no = $4
FOR NO KEY UPDATE OF e
