-- End cells without an answer, as failed or unknown, of a batch that this transaction has locked; return how many were
-- open. A cell that ends without a try of its own ($14 is 0) never started; without a start in the parameters, the
-- row's start counts. If a flush is repeated because the acknowledgement of its commit was lost, it skips cells that
-- were tried or planned anew since ($13).
WITH failed AS (
    UPDATE executions AS e
    SET status = i.status,
        attempts = e.attempts + i.tries,
        started_at = CASE
            WHEN i.tries = 0 THEN NULL
            WHEN i.started_us IS NULL THEN e.started_at
            ELSE least('epoch'::timestamptz + i.started_us * interval '1 microsecond', now())
        END,
        finished_at = least('epoch'::timestamptz + i.finished_us * interval '1 microsecond', now()),
        provider_used = i.provider_used,
        region_served = i.region_served,
        error_code = i.error_code,
        error_detail = i.error_detail,
        error_retryable = i.error_retryable,
        usage = i.usage::json,
        finish_reason = i.finish_reason,
        is_complete = i.is_complete,
        model_used = i.model_used,
        identity_no = i.identity_no
    FROM unnest(
        $1::bigint[], $2::smallint[], $3::smallint[], $4::smallint[], $5::bigint[], $6::bigint[],
        $7::text[], $8::text[],
        $9::text[], $10::text[], $11::boolean[], $12::text[], $13::int[], $14::smallint[], $15::text[], $16::text[],
        $17::boolean[], $18::text[], $19::int[]
    ) AS i (
        job_no, region_no, model_no, question_no, started_us, finished_us, provider_used, region_served, error_code,
        error_detail, error_retryable, status, attempts_before, tries, usage, finish_reason, is_complete, model_used,
        identity_no
    )
    WHERE e.job_no = i.job_no AND e.region_no = i.region_no AND e.model_no = i.model_no
        AND e.question_no = i.question_no AND e.finished_at IS NULL AND e.attempts = i.attempts_before
    RETURNING 1
)
SELECT count(*)::int FROM failed
