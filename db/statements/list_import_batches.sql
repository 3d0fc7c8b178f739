-- List the row counts of batches ($2) of an import ($1).
SELECT
    b.batch_no, r.id AS record_type, b.rows_expected, b.rows_read, b.rows_inserted, b.rows_updated, b.rows_unchanged,
    b.rows_superseded, b.rows_rejected, b.error_code, b.error_detail
FROM import_batches AS b
JOIN record_types AS r ON r.job_no = b.job_no AND r.record_type_no = b.record_type_no
WHERE b.job_no = $1 AND b.batch_no = ANY ($2::int[])
