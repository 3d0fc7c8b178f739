-- Plan failed cells anew, in batches ($6) that this transaction has locked; narrowed as in count_failed_executions.
-- The last try of a cell is kept with the others; a cell that failed without a try (never called, or resolved by a
-- person) has none. Earlier tries don't count against the policy's attempts any more, and the next call carries a new
-- key. The cells' open dead letters are marked as replayed by $7. Return each batch's number of reopened cells, and how
-- many of them had an incomplete answer.
WITH failed_cells AS MATERIALIZED (
    SELECT e.*
    FROM executions AS e
    WHERE e.job_no = $1 AND e.status = 'failed' AND e.batch_no = ANY ($6::int[])
        AND ($2::smallint IS NULL OR e.region_no = $2)
        AND ($3::smallint IS NULL OR e.model_no = $3)
        AND ($4::smallint IS NULL OR e.question_no = $4)
        AND ($5::text IS NULL OR e.error_code = $5)
), kept_tries AS (
    INSERT INTO attempts (
        job_no, region_no, model_no, question_no, attempt_no, started_at, finished_at, provider_used, error_code,
        error_detail, status, error_retryable, region_served, identity_no
    )
    SELECT
        f.job_no, f.region_no, f.model_no, f.question_no, f.attempts, f.started_at, f.finished_at, f.provider_used,
        f.error_code, coalesce(f.error_detail, ''), 'failed', coalesce(f.error_retryable, false), f.region_served,
        f.identity_no
    FROM failed_cells AS f
    WHERE f.provider_used IS NOT NULL
), reopened AS (
    UPDATE executions AS e
    SET status = 'planned',
        forgiven = e.attempts,
        key_no = e.key_no + 1,
        started_at = NULL,
        finished_at = NULL,
        not_before = NULL,
        provider_used = NULL,
        identity_no = NULL,
        region_served = NULL,
        usage = NULL,
        finish_reason = NULL,
        is_complete = NULL,
        model_used = NULL,
        error_code = NULL,
        error_detail = NULL,
        error_retryable = NULL
    FROM failed_cells AS f
    WHERE e.job_no = f.job_no AND e.region_no = f.region_no AND e.model_no = f.model_no
        AND e.question_no = f.question_no
    RETURNING e.batch_no, f.is_complete
), replayed AS (
    UPDATE dead_letters AS d
    SET replayed_at = now(), replayed_by = $7
    FROM failed_cells AS f
    WHERE d.job_no = f.job_no AND d.region_no = f.region_no AND d.model_no = f.model_no
        AND d.question_no = f.question_no AND d.replayed_at IS NULL
)
SELECT r.batch_no, count(*)::int AS cells, count(*) FILTER (WHERE NOT r.is_complete)::int AS incomplete
FROM reopened AS r
GROUP BY r.batch_no
ORDER BY r.batch_no
