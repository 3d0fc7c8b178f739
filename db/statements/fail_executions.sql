-- Write the last failures of cells under a batch that this transaction has locked; return how many were open.
WITH failed AS (
    UPDATE executions AS e
    SET status = 'failed',
        attempts = e.attempts + 1,
        started_at = least('epoch'::timestamptz + i.started_us * interval '1 microsecond', now()),
        finished_at = least('epoch'::timestamptz + i.finished_us * interval '1 microsecond', now()),
        provider_used = i.provider_used,
        error_code = i.error_code,
        error_detail = i.error_detail,
        error_retryable = i.error_retryable
    FROM unnest(
        $1::bigint[], $2::smallint[], $3::smallint[], $4::smallint[], $5::bigint[], $6::bigint[], $7::text[], $8::text[],
        $9::text[], $10::boolean[]
    ) AS i (
        job_no, region_no, model_no, question_no, started_us, finished_us, provider_used, error_code, error_detail,
        error_retryable
    )
    WHERE e.job_no = i.job_no AND e.region_no = i.region_no AND e.model_no = i.model_no
        AND e.question_no = i.question_no AND e.finished_at IS NULL
    RETURNING 1
)
SELECT count(*)::int FROM failed
