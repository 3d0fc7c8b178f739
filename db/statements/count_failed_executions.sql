-- Count a job's failed cells, narrowed by region, model and question ($2 to $4) and by error code ($5); NULL for any.
SELECT count(*)::int
FROM executions AS e
WHERE e.job_no = $1 AND e.status = 'failed'
    AND ($2::smallint IS NULL OR e.region_no = $2)
    AND ($3::smallint IS NULL OR e.model_no = $3)
    AND ($4::smallint IS NULL OR e.question_no = $4)
    AND ($5::text IS NULL OR e.error_code = $5)
