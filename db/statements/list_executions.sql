-- List a job's cells in plan order, after the key ($2, $3, $4). An open cell of a running batch is shown as running. A
-- waiting cell shows its batch's times; for a started cell they are no later than its start. A failed try shows when it
-- may be repeated, until it is; a running batch may hold cells that aren't due yet. An open cell shows its call in
-- flight, unless no worker holds the batch: then the row has a lost worker's call. $5 is the state to show, $6 to $8
-- the region, model and question; NULL for any. $9 bounds the rows, $10 the bytes of answers in all rows but the last;
-- the length of a text is read without the text. Every row has the number of rows found within $9.
SELECT
    e.job_no, e.region_no, e.model_no, e.question_no, e.attempts, e.provider_used, e.region_served, e.output,
    e.usage, e.finish_reason, e.is_complete, e.model_used, e.error_code, e.error_detail, e.error_retryable,
    e.started_at, e.finished_at, e.status, e.provider, e.found,
    coalesce(i.is_simulated, e.provider_used = 'echo', false) AS simulated,
    CASE
        WHEN e.finished_at IS NULL AND (e.status <> 'running' OR e.not_before > now()) THEN e.not_before
    END AS retry_at,
    least(e.planned_at, e.started_at) AS created_at,
    least(e.queued_at, e.started_at) AS queued_at
FROM (
    SELECT
        c.*,
        count(*) OVER () AS found,
        sum(c.bytes) OVER (
            ORDER BY c.region_no, c.model_no, c.question_no
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS bytes_before
    FROM (
        SELECT
            x.job_no, x.region_no, x.model_no, x.question_no, x.attempts, x.region_served, x.output, x.usage,
            x.finish_reason,
            x.is_complete, x.model_used, x.error_code, x.error_detail, x.error_retryable, x.finished_at, x.not_before,
            x.identity_no,
            CASE
                WHEN x.finished_at IS NOT NULL OR 'running' IN (x.status, b.status) THEN x.started_at
            END AS started_at,
            CASE
                WHEN x.finished_at IS NOT NULL OR 'running' IN (x.status, b.status) THEN x.provider_used
            END AS provider_used,
            CASE WHEN x.status = 'planned' AND b.status = 'running' THEN 'running' ELSE x.status END AS status,
            b.provider, b.created_at AS planned_at, b.queued_at,
            coalesce(octet_length(x.output), 0) + coalesce(octet_length(x.error_detail), 0) AS bytes
        FROM executions AS x
        LEFT JOIN batches AS b ON b.job_no = x.job_no AND b.batch_no = x.batch_no
        WHERE x.job_no = $1
            AND (x.region_no, x.model_no, x.question_no) > ($2::smallint, $3::smallint, $4::smallint)
            AND (
                $5::text IS NULL
                OR CASE WHEN x.status = 'planned' AND b.status = 'running' THEN 'running' ELSE x.status END = $5
            )
            AND ($6::smallint IS NULL OR x.region_no = $6)
            AND ($7::smallint IS NULL OR x.model_no = $7)
            AND ($8::smallint IS NULL OR x.question_no = $8)
        ORDER BY x.region_no, x.model_no, x.question_no
        LIMIT $9
    ) AS c
) AS e
LEFT JOIN identities AS i USING (identity_no)
WHERE coalesce(e.bytes_before, 0) < $10
ORDER BY e.region_no, e.model_no, e.question_no
