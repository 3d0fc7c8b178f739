-- Release the permits of batches that still have rows to write and no more to read, where fence and holder still hold.
-- A locked batch isn't waited for: another transaction is ending it, and its permits go with its end.
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
