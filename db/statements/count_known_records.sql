-- Count by batch which of the staged rows are there, and which of those can't stay as they are: they differ, or are another
-- batch's of the same import. Nothing is locked.
SELECT
    s.job_no, s.batch_no, count(*)::int AS known,
    (count(*) FILTER (
        WHERE r.payload::text <> s.payload OR r.job_no = s.job_no AND r.batch_no <> s.batch_no
    ))::int AS differing
FROM (SELECT * FROM pg_temp.staged_records ORDER BY record_set_no, record_key) AS s
JOIN imported_records AS r ON r.record_set_no = s.record_set_no AND r.record_key = s.record_key
GROUP BY s.job_no, s.batch_no
