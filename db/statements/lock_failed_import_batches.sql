-- Lock the failed batches of an import ($1), in their order; only those that failed with $2, unless it is NULL.
SELECT b.batch_no
FROM batches AS b
JOIN import_batches AS i USING (job_no, batch_no)
WHERE b.job_no = $1 AND b.status = 'failed' AND ($2::text IS NULL OR i.error_code = $2)
ORDER BY b.batch_no
FOR NO KEY UPDATE OF b
