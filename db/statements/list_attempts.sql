-- List the tries of a cell that didn't end it, in their order; the last try may be the cell's own row. The newest
-- responses are read, up to $5 bytes in all; of older ones only the size.
SELECT
    a.attempt_no, a.status, a.started_at, a.finished_at, a.provider_used, a.region_served, a.error_code, a.error_detail,
    a.error_retryable,
    CASE
        WHEN r.job_no IS NULL THEN NULL
        WHEN sum(r.bytes) OVER (ORDER BY a.attempt_no DESC) <= $5 THEN r.body
        ELSE json_build_object('truncated', true, 'bytes', r.bytes, 'text', '')
    END AS response
FROM attempts AS a
LEFT JOIN responses AS r USING (job_no, region_no, model_no, question_no, attempt_no)
WHERE a.job_no = $1 AND a.region_no = $2 AND a.model_no = $3 AND a.question_no = $4
ORDER BY a.attempt_no
