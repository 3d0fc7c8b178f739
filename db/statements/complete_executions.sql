-- Record the answers of cells of a batch that this transaction has locked by its fence; return how many were open.
-- The condition names finished_at, not status: with stale statistics a status predicate in this join costs up to 341x.
WITH completed AS (
    UPDATE executions AS e
    SET status = 'completed',
        attempts = e.attempts + 1,
        started_at = least('epoch'::timestamptz + i.started_us * interval '1 microsecond', now()),
        finished_at = least('epoch'::timestamptz + i.finished_us * interval '1 microsecond', now()),
        provider_used = i.provider_used,
        region_served = i.region_served,
        output = i.output,
        usage = i.usage::json,
        finish_reason = i.finish_reason,
        is_complete = i.is_complete,
        model_used = i.model_used,
        identity_no = i.identity_no
    FROM unnest(
        $1::bigint[], $2::smallint[], $3::smallint[], $4::smallint[], $5::bigint[], $6::bigint[],
        $7::text[], $8::text[],
        $9::text[], $10::text[], $11::text[], $12::boolean[], $13::text[], $14::int[]
    ) AS i (
        job_no, region_no, model_no, question_no, started_us, finished_us, provider_used, region_served, output, usage,
        finish_reason, is_complete, model_used, identity_no
    )
    WHERE e.job_no = i.job_no AND e.region_no = i.region_no AND e.model_no = i.model_no
        AND e.question_no = i.question_no AND e.finished_at IS NULL
    RETURNING 1
)
SELECT count(*)::int FROM completed
