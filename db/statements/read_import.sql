-- Read how far an import ($1) is, by record type, in the order of its spec; no row before it is coordinated. Rows count
-- once their batch has ended.
SELECT
    r.id, r.level, r.rows_expected, r.is_complete, r.detail,
    count(b.batch_no)::int AS batches,
    count(*) FILTER (WHERE c.status = 'completed')::int AS batches_completed,
    count(*) FILTER (WHERE c.status = 'failed')::int AS batches_failed,
    coalesce(sum(b.rows_read), 0)::bigint AS rows_read,
    coalesce(sum(b.rows_inserted), 0)::bigint AS rows_inserted,
    coalesce(sum(b.rows_updated), 0)::bigint AS rows_updated,
    coalesce(sum(b.rows_unchanged), 0)::bigint AS rows_unchanged,
    coalesce(sum(b.rows_rejected), 0)::bigint AS rows_rejected,
    min(c.started_at) AS first_started_at,
    max(c.finished_at) AS last_finished_at
FROM record_types AS r
LEFT JOIN import_batches AS b ON b.job_no = r.job_no AND b.record_type_no = r.record_type_no
LEFT JOIN batches AS c ON c.job_no = b.job_no AND c.batch_no = b.batch_no
WHERE r.job_no = $1
GROUP BY r.record_type_no, r.id, r.level, r.rows_expected, r.is_complete, r.detail
ORDER BY r.record_type_no
