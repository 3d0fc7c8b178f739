-- Release the permits of batches that were read and have rows to write, if fence and holder still hold. It doesn't wait
-- for a locked batch: another transaction is ending it, and with it its permits.
WITH free AS MATERIALIZED (
    SELECT b.job_no, b.batch_no
    FROM unnest($1::bigint[], $2::int[], $3::int[], $4::bigint[]) AS i (job_no, batch_no, fence, holder)
    JOIN batches AS b USING (job_no, batch_no)
    WHERE b.fence = i.fence AND b.holder = i.holder AND b.slots > 0
    ORDER BY b.job_no, b.batch_no
    FOR NO KEY UPDATE OF b SKIP LOCKED
)
UPDATE batches AS b
SET slots = 0
FROM free AS f
WHERE b.job_no = f.job_no AND b.batch_no = f.batch_no
