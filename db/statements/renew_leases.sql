-- Renew the leases of the batches that this worker still holds; a lease that isn't returned is lost. It doesn't wait
-- for a locked batch: no claim can take it meanwhile, and the heartbeat must not be delayed.
WITH held AS MATERIALIZED (
    SELECT b.job_no, b.batch_no, b.fence
    FROM unnest($1::bigint[], $2::int[], $3::int[], $4::bigint[]) AS i (job_no, batch_no, fence, holder)
    JOIN batches AS b USING (job_no, batch_no)
    WHERE b.fence = i.fence AND b.holder = i.holder
), free AS MATERIALIZED (
    SELECT b.job_no, b.batch_no
    FROM held AS h
    JOIN batches AS b USING (job_no, batch_no, fence)
    WHERE b.holder IS NOT NULL
    ORDER BY b.job_no, b.batch_no
    FOR NO KEY UPDATE OF b SKIP LOCKED
), renewed AS (
    UPDATE batches AS b
    SET lease_until = now() + $5::float8 * interval '1 second'
    FROM free AS f
    WHERE b.job_no = f.job_no AND b.batch_no = f.batch_no
)
SELECT h.job_no, h.batch_no, h.fence
FROM held AS h
