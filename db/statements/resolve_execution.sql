-- Write a person's finding about an unknown cell, which this transaction has locked, as its result; return its pool.
-- The ambiguous try is kept with the other tries: from now on the cell's own row holds the finding instead of a try.
-- The time of its end stays. A mark that a claim found may not have been counted as a try before.
WITH ambiguous AS MATERIALIZED (
    SELECT
        e.*, b.provider, b.region,
        greatest(
            e.attempts::int,
            1 + (
                SELECT count(*)
                FROM attempts AS t
                WHERE t.job_no = e.job_no AND t.region_no = e.region_no AND t.model_no = e.model_no
                    AND t.question_no = e.question_no
            )
        ) AS attempt_no
    FROM executions AS e
    JOIN batches AS b USING (job_no, batch_no)
    WHERE e.job_no = $1 AND e.region_no = $2 AND e.model_no = $3 AND e.question_no = $4
), kept_try AS (
    INSERT INTO attempts (
        job_no, region_no, model_no, question_no, attempt_no, started_at, finished_at, provider_used, error_code,
        error_detail, status, error_retryable, region_served, identity_no
    )
    SELECT
        a.job_no, a.region_no, a.model_no, a.question_no, a.attempt_no, coalesce(a.started_at, a.finished_at),
        a.finished_at, coalesce(a.provider_used, a.provider), coalesce(a.error_code, 'outcome_unknown'),
        coalesce(a.error_detail, ''), 'unknown', false, a.region_served,
        a.identity_no
    FROM ambiguous AS a
)
UPDATE executions AS e
SET status = $5,
    output = $6,
    error_code = $7,
    error_detail = $8,
    error_retryable = CASE WHEN $7::text IS NOT NULL THEN false END,
    attempts = a.attempt_no,
    started_at = coalesce(a.started_at, a.finished_at),
    provider_used = NULL,
    identity_no = NULL,
    region_served = NULL,
    usage = NULL
FROM ambiguous AS a
WHERE e.job_no = a.job_no AND e.region_no = a.region_no AND e.model_no = a.model_no AND e.question_no = a.question_no
RETURNING a.provider, a.region
