-- Find the newest completed import with a higher generation than import $1 of a record type that import $1 still has to
-- write; its id is NULL once it is deleted.
SELECT t.id AS record_type, t.generation, s.completed_generation, j.id AS job_id
FROM record_types AS t
JOIN record_sets AS s USING (record_set_no)
LEFT JOIN record_types AS o ON o.record_set_no = t.record_set_no AND o.generation = s.completed_generation
LEFT JOIN jobs AS j ON j.job_no = o.job_no
WHERE t.job_no = $1 AND s.completed_generation > t.generation
    AND EXISTS (
        SELECT
        FROM batches AS b
        JOIN import_batches AS i USING (job_no, batch_no)
        WHERE b.job_no = t.job_no AND i.record_type_no = t.record_type_no AND b.status <> 'completed'
    )
ORDER BY t.record_type_no
LIMIT 1
