-- Record the row counts of locked batches ($1 jobs, $2 batches), and their results.
UPDATE import_batches AS b
SET rows_read = i.rows_read,
    rows_inserted = i.inserted,
    rows_updated = i.updated,
    rows_unchanged = i.unchanged,
    rows_superseded = i.superseded,
    rows_rejected = i.rejected,
    error_code = i.error_code,
    error_detail = i.error_detail,
    identity_no = i.identity_no
FROM unnest(
    $1::bigint[], $2::int[], $3::int[], $4::int[], $5::int[], $6::int[], $7::int[], $8::int[], $9::text[], $10::text[],
    $11::int[]
) AS i (
    job_no, batch_no, rows_read, inserted, updated, unchanged, superseded, rejected, error_code, error_detail,
    identity_no
)
WHERE b.job_no = i.job_no AND b.batch_no = i.batch_no
