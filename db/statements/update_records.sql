-- Rewrite what was there before and differs from the staged rows; count it by batch. What another batch of the same import
-- wrote stays: its key came twice, and is told as a duplicate, as a row with a key of its own.
WITH found AS MATERIALIZED (
    SELECT
        s.record_set_no, s.record_key, s.payload, s.job_no, s.batch_no,
        r.payload::text <> s.payload AS is_changed,
        r.job_no = s.job_no AND r.batch_no <> s.batch_no AS is_duplicate
    FROM (SELECT * FROM pg_temp.staged_records ORDER BY record_set_no, record_key) AS s
    JOIN imported_records AS r ON r.record_set_no = s.record_set_no AND r.record_key = s.record_key
    WHERE r.payload::text <> s.payload OR (r.job_no = s.job_no AND r.batch_no <> s.batch_no)
), updated AS (
    UPDATE imported_records AS r
    SET payload = f.payload::json, job_no = f.job_no, batch_no = f.batch_no, updated_at = now()
    FROM found AS f
    WHERE r.record_set_no = f.record_set_no AND r.record_key = f.record_key
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
