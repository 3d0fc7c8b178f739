-- Find the staged rows that are there, this transaction's own among them, rewrite those that differ, in the order of their
-- keys, and count all three by batch. What another batch of the same import wrote stays: its key came twice, and is told as
-- a duplicate, as a row with a key of its own. If it wrote it while this waited for the row, it stays too (the update looks at
-- the row's new version), and fewer were updated than differ.
WITH found AS MATERIALIZED (
    SELECT
        s.record_set_no, s.record_key, s.job_no, s.batch_no,
        CASE WHEN r.payload::text <> s.payload THEN s.payload END AS changed_payload,
        r.job_no = s.job_no AND r.batch_no <> s.batch_no AS is_duplicate
    FROM (SELECT * FROM pg_temp.staged_records ORDER BY record_set_no, record_key) AS s
    JOIN imported_records AS r ON r.record_set_no = s.record_set_no AND r.record_key = s.record_key
), updated AS (
    UPDATE imported_records AS r
    SET payload = f.changed_payload::json, job_no = f.job_no, batch_no = f.batch_no, updated_at = now()
    FROM found AS f
    WHERE r.record_set_no = f.record_set_no AND r.record_key = f.record_key
        AND f.changed_payload IS NOT NULL AND NOT (r.job_no = f.job_no AND r.batch_no <> f.batch_no)
    RETURNING r.job_no, r.batch_no
)
SELECT
    f.job_no, f.batch_no, NULL AS record_key, count(*)::int AS known, count(f.changed_payload)::int AS differing,
    0 AS updated
FROM found AS f
GROUP BY f.job_no, f.batch_no
UNION ALL
SELECT u.job_no, u.batch_no, NULL, 0, 0, count(*)::int
FROM updated AS u
GROUP BY u.job_no, u.batch_no
UNION ALL
SELECT f.job_no, f.batch_no, f.record_key, 0, 0, 0
FROM found AS f
WHERE f.is_duplicate
