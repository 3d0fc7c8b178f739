-- List rejected rows of an import ($1) after batch $2 and position $3, up to $6: of record type $4 and with code $5;
-- NULL for any.
SELECT r.batch_no, t.id AS record_type, r.position, r.record_key, r.code, r.detail
FROM rejects AS r
JOIN import_batches AS b ON b.job_no = r.job_no AND b.batch_no = r.batch_no
JOIN record_types AS t ON t.job_no = b.job_no AND t.record_type_no = b.record_type_no
WHERE r.job_no = $1
    AND (r.batch_no, r.position) > ($2::int, $3::bigint)
    AND ($4::text IS NULL OR t.id = $4)
    AND ($5::text IS NULL OR r.code = $5)
ORDER BY r.batch_no, r.position
LIMIT $6
