-- Mark cells as started, before their calls, under leases that hold: the batches are locked by fence and holder first,
-- so that no claim comes between. Returns the cells that may be called. The same holder may repeat a mark after a lost
-- acknowledgement; a claim under another lease finds the mark, and the cell is never called again.
WITH held AS MATERIALIZED (
    SELECT b.job_no, b.batch_no, b.provider
    FROM unnest($1::bigint[], $2::int[], $3::int[], $4::bigint[]) AS i (job_no, batch_no, fence, holder)
    JOIN batches AS b USING (job_no, batch_no)
    WHERE b.fence = i.fence AND b.holder = i.holder
    ORDER BY b.job_no, b.batch_no
    FOR NO KEY UPDATE OF b
)
UPDATE executions AS e
SET status = 'running', started_at = clock_timestamp(), provider_used = h.provider
FROM unnest($5::bigint[], $6::int[], $7::smallint[], $8::smallint[], $9::smallint[])
    AS c (job_no, batch_no, region_no, model_no, question_no)
JOIN held AS h USING (job_no, batch_no)
WHERE e.job_no = c.job_no AND e.region_no = c.region_no AND e.model_no = c.model_no AND e.question_no = c.question_no
    AND e.batch_no = c.batch_no AND e.finished_at IS NULL
RETURNING e.job_no, e.region_no, e.model_no, e.question_no
