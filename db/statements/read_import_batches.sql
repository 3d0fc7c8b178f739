-- Read the ranges of these claimed batches of imports ($1 jobs, $2 batches), and the record sets for their rows.
SELECT
    b.job_no, b.batch_no, b.record_type_no, b.range, b.rows_expected, r.record_set_no, r.generation,
    c.attempts, b.forgiven,
    j.id AS job_id, r.id AS record_type, s.keys_by_value,
    extract(EPOCH FROM now() - b.away_since)::float8 AS unavailable_seconds
FROM unnest($1::bigint[], $2::int[]) AS i (job_no, batch_no)
JOIN import_batches AS b USING (job_no, batch_no)
JOIN batches AS c USING (job_no, batch_no)
JOIN jobs AS j USING (job_no)
JOIN record_types AS r ON r.job_no = b.job_no AND r.record_type_no = b.record_type_no
JOIN record_sets AS s USING (record_set_no)
