-- List the tries of a cell that ended without ending it, in their order; the last one may be the cell's own row.
SELECT
    a.attempt_no, a.status, a.started_at, a.finished_at, a.provider_used, a.region_served, a.error_code, a.error_detail,
    a.error_retryable
FROM attempts AS a
WHERE a.job_no = $1 AND a.region_no = $2 AND a.model_no = $3 AND a.question_no = $4
ORDER BY a.attempt_no
