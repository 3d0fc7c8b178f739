-- Record why locked batches ($1 jobs, $2 batches) are to be read again ($5, $6): whether their source was unavailable
-- ($3), and whether the try is forgiven ($4).
UPDATE import_batches AS b
SET away_since = CASE WHEN i.is_unavailable THEN coalesce(b.away_since, now()) END,
    forgiven = b.forgiven + i.is_forgiven::int,
    error_code = i.error_code,
    error_detail = i.error_detail
FROM unnest($1::bigint[], $2::int[], $3::boolean[], $4::boolean[], $5::text[], $6::text[])
    AS i (job_no, batch_no, is_unavailable, is_forgiven, error_code, error_detail)
WHERE b.job_no = i.job_no AND b.batch_no = i.batch_no
