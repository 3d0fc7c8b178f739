-- Return which of these leases still hold, before rows are written under them; and whether an older import ($6 is this
-- import's generation of record set $5) may still write the same rows, so that unchanged rows must get this generation,
-- too. Once that is false it stays false, and later statements see all rows of the older imports.
SELECT
    b.job_no, b.batch_no, b.fence,
    EXISTS (
        SELECT
        FROM open_generations AS g
        WHERE g.record_set_no = i.record_set_no AND g.generation < i.generation
    ) AS is_contested
FROM unnest($1::bigint[], $2::int[], $3::int[], $4::bigint[], $5::int[], $6::int[])
    AS i (job_no, batch_no, fence, holder, record_set_no, generation)
JOIN batches AS b USING (job_no, batch_no)
WHERE b.fence = i.fence AND b.holder = i.holder
