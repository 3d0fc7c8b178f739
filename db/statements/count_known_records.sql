-- Count by batch the staged rows that exist, those of them that must be updated, and those that differ in a newer
-- import. Updated are rows that differ, rows of another batch of the same import, and in contested record sets ($1)
-- rows that were written by older imports only. Locks nothing.
SELECT
    s.job_no, s.batch_no, count(*)::int AS known,
    (count(*) FILTER (
        WHERE (r.generation <= s.generation AND r.payload::text <> s.payload)
            OR (r.job_no = s.job_no AND r.batch_no <> s.batch_no)
            OR (r.generation < s.generation AND r.record_set_no = ANY ($1::int[]))
    ))::int AS wanted,
    (count(*) FILTER (WHERE r.generation > s.generation AND r.payload::text <> s.payload))::int AS superseded
FROM (SELECT * FROM pg_temp.staged_records ORDER BY record_set_no, record_key) AS s
JOIN imported_records AS r ON r.record_set_no = s.record_set_no AND r.record_key = s.record_key
GROUP BY s.job_no, s.batch_no
