-- Lock the record sets that batches of an import ($1) are still to write into, in the order of their numbers.
SELECT s.record_set_no
FROM record_sets AS s
WHERE s.record_set_no IN (
    SELECT t.record_set_no
    FROM batches AS b
    JOIN import_batches AS i USING (job_no, batch_no)
    JOIN record_types AS t USING (job_no, record_type_no)
    WHERE b.job_no = $1 AND b.status <> 'completed'
)
ORDER BY s.record_set_no
FOR NO KEY UPDATE
