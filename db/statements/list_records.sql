-- List the rows of a record set ($1) with keys from $2 on, up to $3.
SELECT r.record_key, r.payload::text AS payload, r.updated_at, j.id AS job_id, r.batch_no, r.generation
FROM imported_records AS r
LEFT JOIN jobs AS j USING (job_no)
WHERE r.record_set_no = $1 AND r.record_key >= $2::text COLLATE "C"
ORDER BY r.record_key
LIMIT $3
