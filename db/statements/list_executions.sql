-- List a job's cells in plan order, after the key ($2, $3, $4). A cell of a running batch runs, unless it has ended.
-- The times of a cell that waits are its batch's; a cell that has started was created and queued by then. A failed try
-- is told when it may be repeated until it is; a running batch may hold cells whose time hasn't come.
-- $5 is the state to show, $6 to $8 the region, model and question; NULL for any. $9 bounds the rows.
SELECT
    e.job_no, e.region_no, e.model_no, e.question_no, e.attempts, e.provider_used, e.region_served, e.output,
    e.usage, e.error_code, e.error_detail, e.error_retryable, e.started_at, e.finished_at,
    CASE WHEN e.status = 'planned' AND b.status = 'running' THEN 'running' ELSE e.status END AS status,
    CASE
        WHEN e.finished_at IS NULL AND (b.status IS DISTINCT FROM 'running' OR e.not_before > now()) THEN e.not_before
    END AS retry_at,
    b.provider,
    least(b.created_at, e.started_at) AS created_at,
    least(b.queued_at, e.started_at) AS queued_at
FROM executions AS e
LEFT JOIN batches AS b ON b.job_no = e.job_no AND b.batch_no = e.batch_no
WHERE e.job_no = $1
    AND (e.region_no, e.model_no, e.question_no) > ($2::smallint, $3::smallint, $4::smallint)
    AND (
        $5::text IS NULL
        OR CASE WHEN e.status = 'planned' AND b.status = 'running' THEN 'running' ELSE e.status END = $5
    )
    AND ($6::smallint IS NULL OR e.region_no = $6)
    AND ($7::smallint IS NULL OR e.model_no = $7)
    AND ($8::smallint IS NULL OR e.question_no = $8)
ORDER BY e.region_no, e.model_no, e.question_no
LIMIT $9
