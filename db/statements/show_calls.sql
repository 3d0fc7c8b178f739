-- Show since when calls are in flight, and of which provider, under leases that hold; a NULL start clears an earlier
-- holder's call. The batches are locked first, as everywhere; a locked batch is left out until the next time. A cell
-- that has ended, or whose try has ended ($11), isn't touched. Return the cells that show the given starts.
WITH held AS MATERIALIZED (
    SELECT b.job_no, b.batch_no, b.provider
    FROM unnest($1::bigint[], $2::int[], $3::int[], $4::bigint[]) AS i (job_no, batch_no, fence, holder)
    JOIN batches AS b USING (job_no, batch_no)
    WHERE b.fence = i.fence AND b.holder = i.holder
    ORDER BY b.job_no, b.batch_no
    FOR NO KEY UPDATE OF b SKIP LOCKED
)
UPDATE executions AS e
SET started_at = CASE
        WHEN c.started_us IS NOT NULL
            THEN least('epoch'::timestamptz + c.started_us * interval '1 microsecond', now())
    END,
    provider_used = CASE WHEN c.started_us IS NOT NULL THEN h.provider END
FROM unnest($5::bigint[], $6::int[], $7::smallint[], $8::smallint[], $9::smallint[], $10::bigint[], $11::int[])
    AS c (job_no, batch_no, region_no, model_no, question_no, started_us, attempts_before)
JOIN held AS h USING (job_no, batch_no)
WHERE e.job_no = c.job_no AND e.region_no = c.region_no AND e.model_no = c.model_no AND e.question_no = c.question_no
    AND e.batch_no = c.batch_no AND e.status = 'planned' AND e.attempts = c.attempts_before
    AND (c.started_us IS NOT NULL OR e.started_at IS NOT NULL)
RETURNING e.job_no, e.region_no, e.model_no, e.question_no
