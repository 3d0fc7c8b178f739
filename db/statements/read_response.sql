-- Return the whole answer to the last attempt of a cell; no row if none was kept.
SELECT r.body
FROM executions AS e
JOIN responses AS r USING (job_no, region_no, model_no, question_no)
WHERE e.job_no = $1 AND e.region_no = $2 AND e.model_no = $3 AND e.question_no = $4
    AND r.attempt_no = e.attempts
