-- Write the rows of locked batches ($1 to $5), in the order of their keys, and count what they changed. A row that is as
-- it was isn't rewritten.
WITH upserted AS (
    INSERT INTO imported_records AS r (record_set_no, record_key, payload, job_no, batch_no)
    SELECT i.record_set_no, i.record_key, i.payload::json, i.job_no, i.batch_no
    FROM unnest($1::int[], $2::text[], $3::text[], $4::bigint[], $5::int[])
        AS i (record_set_no, record_key, payload, job_no, batch_no)
    ORDER BY i.record_set_no, i.record_key COLLATE "C"
    ON CONFLICT ON CONSTRAINT unique_imported_record DO UPDATE
    SET payload = excluded.payload, job_no = excluded.job_no, batch_no = excluded.batch_no, updated_at = now()
    WHERE r.payload::text <> excluded.payload::text
    RETURNING r.job_no, r.batch_no, r.xmax = 0 AS is_inserted
)
SELECT
    u.job_no, u.batch_no,
    count(*) FILTER (WHERE u.is_inserted)::int AS inserted, count(*) FILTER (WHERE NOT u.is_inserted)::int AS updated
FROM upserted AS u
GROUP BY u.job_no, u.batch_no
