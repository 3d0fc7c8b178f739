-- Write the rows of locked batches ($1 to $5) that there are not yet, in the order of their keys; count them by batch. A
-- row that exists is neither rewritten nor locked.
WITH inserted AS (
    INSERT INTO imported_records AS r (record_set_no, record_key, payload, job_no, batch_no)
    SELECT i.record_set_no, i.record_key, i.payload::json, i.job_no, i.batch_no
    FROM unnest($1::int[], $2::text[], $3::text[], $4::bigint[], $5::int[])
        AS i (record_set_no, record_key, payload, job_no, batch_no)
    ORDER BY i.record_set_no, i.record_key COLLATE "C"
    ON CONFLICT ON CONSTRAINT unique_imported_record DO NOTHING
    RETURNING r.job_no, r.batch_no
)
SELECT i.job_no, i.batch_no, count(*)::int AS inserted
FROM inserted AS i
GROUP BY i.job_no, i.batch_no
