-- Record tries that ended without ending their cells, and count them on the cells; return how many cells were open. A
-- try that an earlier flush recorded, whose acknowledgement was lost, isn't counted again. The start mark and the
-- called provider are cleared: the cell is planned again, due in `wait_seconds`. After a definitive answer the next
-- call gets a new key.
WITH counted AS (
    UPDATE executions AS e
    SET status = 'planned',
        attempts = e.attempts + 1,
        forgiven = e.forgiven + i.is_forgiven::int,
        key_no = e.key_no + i.is_answered::int,
        not_before = now() + i.wait_seconds * interval '1 second',
        started_at = NULL,
        provider_used = NULL
    FROM unnest(
        $1::bigint[], $2::smallint[], $3::smallint[], $4::smallint[], $5::bigint[], $6::bigint[],
        $7::text[], $8::text[],
        $9::text[], $10::text[], $11::int[], $12::boolean[], $13::boolean[], $14::float8[], $15::int[]
    ) AS i (
        job_no, region_no, model_no, question_no, started_us, finished_us, provider_used, region_served, error_code,
        error_detail, attempts_before, is_forgiven, is_answered, wait_seconds, identity_no
    )
    WHERE e.job_no = i.job_no AND e.region_no = i.region_no AND e.model_no = i.model_no
        AND e.question_no = i.question_no AND e.finished_at IS NULL AND e.attempts = i.attempts_before
    RETURNING e.job_no, e.region_no, e.model_no, e.question_no, e.attempts, i.started_us, i.finished_us,
        i.provider_used, i.region_served, i.error_code, i.error_detail, i.identity_no
), inserted AS (
    INSERT INTO attempts (
        job_no, region_no, model_no, question_no, attempt_no, started_at, finished_at, provider_used, region_served,
        error_code, error_detail, identity_no
    )
    SELECT
        c.job_no, c.region_no, c.model_no, c.question_no, c.attempts,
        least('epoch'::timestamptz + c.started_us * interval '1 microsecond', now()),
        least('epoch'::timestamptz + c.finished_us * interval '1 microsecond', now()),
        c.provider_used, c.region_served, c.error_code, c.error_detail, c.identity_no
    FROM counted AS c
)
SELECT count(*)::int
FROM unnest($1::bigint[], $2::smallint[], $3::smallint[], $4::smallint[])
    AS i (job_no, region_no, model_no, question_no)
JOIN executions AS e USING (job_no, region_no, model_no, question_no)
WHERE e.finished_at IS NULL
