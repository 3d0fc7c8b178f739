-- Record tries that ended without ending their cells, and count them on the cells; return how many cells were open.
WITH counted AS (
    UPDATE executions AS e
    SET attempts = e.attempts + 1
    FROM unnest(
        $1::bigint[], $2::smallint[], $3::smallint[], $4::smallint[], $5::bigint[], $6::bigint[], $7::text[], $8::text[],
        $9::text[]
    ) AS i (
        job_no, region_no, model_no, question_no, started_us, finished_us, provider_used, error_code, error_detail
    )
    WHERE e.job_no = i.job_no AND e.region_no = i.region_no AND e.model_no = i.model_no
        AND e.question_no = i.question_no AND e.finished_at IS NULL
    RETURNING e.job_no, e.region_no, e.model_no, e.question_no, e.attempts, i.started_us, i.finished_us,
        i.provider_used, i.error_code, i.error_detail
), inserted AS (
    INSERT INTO attempts (
        job_no, region_no, model_no, question_no, attempt_no, started_at, finished_at, provider_used, error_code,
        error_detail
    )
    SELECT
        c.job_no, c.region_no, c.model_no, c.question_no, c.attempts,
        least('epoch'::timestamptz + c.started_us * interval '1 microsecond', now()),
        least('epoch'::timestamptz + c.finished_us * interval '1 microsecond', now()),
        c.provider_used, c.error_code, c.error_detail
    FROM counted AS c
    RETURNING 1
)
SELECT count(*)::int FROM inserted
