-- Replace the rejected rows of locked batches ($1 jobs, $2 batches) by those of the last try.
WITH cleared AS (
    DELETE FROM rejects AS r
    USING unnest($1::bigint[], $2::int[]) AS i (job_no, batch_no)
    WHERE r.job_no = i.job_no AND r.batch_no = i.batch_no
        AND NOT EXISTS (
            SELECT
            FROM unnest($3::bigint[], $4::int[], $5::bigint[]) AS n (job_no, batch_no, position)
            WHERE n.job_no = r.job_no AND n.batch_no = r.batch_no AND n.position = r.position
        )
)
INSERT INTO rejects (job_no, batch_no, position, record_key, code, detail)
SELECT i.job_no, i.batch_no, i.position, i.record_key, i.code, i.detail
FROM unnest($3::bigint[], $4::int[], $5::bigint[], $6::text[], $7::text[], $8::text[])
    AS i (job_no, batch_no, position, record_key, code, detail)
ON CONFLICT ON CONSTRAINT unique_reject DO UPDATE
SET record_key = excluded.record_key, code = excluded.code, detail = excluded.detail
