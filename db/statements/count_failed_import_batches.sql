-- Count the failed batches of an import ($1); only those that failed with $2, unless it is NULL.
SELECT count(*)::int
FROM batches AS b
JOIN import_batches AS i USING (job_no, batch_no)
WHERE b.job_no = $1 AND b.status = 'failed' AND ($2::text IS NULL OR i.error_code = $2)
