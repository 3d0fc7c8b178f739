-- Insert the staged rows that don't exist yet, in the order of their keys; count them by batch. An existing row is
-- neither updated nor locked.
WITH inserted AS (
    INSERT INTO imported_records AS r (record_set_no, record_key, payload, job_no, batch_no, generation)
    SELECT s.record_set_no, s.record_key, s.payload::json, s.job_no, s.batch_no, s.generation
    FROM pg_temp.staged_records AS s
    ORDER BY s.record_set_no, s.record_key
    ON CONFLICT ON CONSTRAINT unique_imported_record DO NOTHING
    RETURNING r.job_no, r.batch_no
)
SELECT i.job_no, i.batch_no, count(*)::int AS inserted
FROM inserted AS i
GROUP BY i.job_no, i.batch_no
