-- Lock the batches in which a job has failed cells, narrowed as in count_failed_executions, in their order.
SELECT b.batch_no
FROM batches AS b
WHERE b.job_no = $1
    AND b.batch_no IN (
        SELECT e.batch_no
        FROM executions AS e
        WHERE e.job_no = $1 AND e.status = 'failed'
            AND ($2::smallint IS NULL OR e.region_no = $2)
            AND ($3::smallint IS NULL OR e.model_no = $3)
            AND ($4::smallint IS NULL OR e.question_no = $4)
            AND ($5::text IS NULL OR e.error_code = $5)
    )
ORDER BY b.batch_no
FOR NO KEY UPDATE OF b
