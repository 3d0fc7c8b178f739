-- Rewrite those rows of locked batches ($1 to $5) that were there before and differ; count them by batch. What another
-- batch of the same import wrote stays: its key came twice, and is told as a duplicate, as a row with a key of its own.
WITH found AS MATERIALIZED (
    SELECT
        i.record_set_no, i.record_key, i.payload, i.job_no, i.batch_no,
        r.payload::text <> i.payload AS is_changed,
        r.job_no = i.job_no AND r.batch_no <> i.batch_no AS is_duplicate
    FROM unnest($1::int[], $2::text[], $3::text[], $4::bigint[], $5::int[])
        AS i (record_set_no, record_key, payload, job_no, batch_no)
    JOIN imported_records AS r ON r.record_set_no = i.record_set_no AND r.record_key = i.record_key COLLATE "C"
    ORDER BY i.record_set_no, i.record_key COLLATE "C"
), updated AS (
    UPDATE imported_records AS r
    SET payload = f.payload::json, job_no = f.job_no, batch_no = f.batch_no, updated_at = now()
    FROM found AS f
    WHERE r.record_set_no = f.record_set_no AND r.record_key = f.record_key COLLATE "C"
        AND f.is_changed AND NOT f.is_duplicate
    RETURNING r.job_no, r.batch_no
)
SELECT u.job_no, u.batch_no, NULL AS record_key, count(*)::int AS updated
FROM updated AS u
GROUP BY u.job_no, u.batch_no
UNION ALL
SELECT f.job_no, f.batch_no, f.record_key, 0
FROM found AS f
WHERE f.is_duplicate
