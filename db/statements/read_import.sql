-- Read the progress of an import ($1) by record type, in the order of its spec; no row before it is coordinated. Rows
-- count once their batch has ended; recent rows are those of batches that ended within $2 seconds before the last end.
-- If newer imports kept rows from being written, up to $3 newer imports are named.
SELECT
    r.id, r.generation, r.level, r.rows_expected, r.is_complete, r.detail,
    count(b.batch_no)::int AS batches,
    count(*) FILTER (WHERE b.status = 'completed')::int AS batches_completed,
    count(*) FILTER (WHERE b.status = 'failed')::int AS batches_failed,
    coalesce(sum(b.rows_read), 0)::bigint AS rows_read,
    coalesce(sum(b.rows_inserted), 0)::bigint AS rows_inserted,
    coalesce(sum(b.rows_updated), 0)::bigint AS rows_updated,
    coalesce(sum(b.rows_unchanged), 0)::bigint AS rows_unchanged,
    coalesce(sum(b.rows_superseded), 0)::bigint AS rows_superseded,
    coalesce(sum(b.rows_rejected), 0)::bigint AS rows_rejected,
    coalesce(sum(b.rows_expected) FILTER (WHERE b.status IN ('pending', 'running')), 0)::bigint AS rows_open,
    coalesce(
        sum(b.rows_expected - b.rows_read) FILTER (WHERE b.status = 'completed' AND b.rows_read < b.rows_expected), 0
    )::bigint AS rows_gone,
    coalesce(sum(b.rows_read) FILTER (WHERE b.finished_at >= b.recent_since), 0)::bigint AS recent_rows,
    greatest(
        min(b.started_at) FILTER (WHERE b.finished_at >= b.recent_since), min(b.recent_since)
    ) AS recent_started_at,
    max(b.finished_at) AS last_finished_at,
    CASE WHEN sum(b.rows_superseded) > 0 THEN ARRAY(
        SELECT j.id
        FROM record_types AS n
        JOIN jobs AS j USING (job_no)
        WHERE n.record_set_no = r.record_set_no AND n.generation > r.generation
        ORDER BY n.generation
        LIMIT $3
    ) ELSE '{}' END AS superseded_by
FROM record_types AS r
LEFT JOIN (
    SELECT
        i.record_type_no, i.batch_no, i.rows_expected, i.rows_read, i.rows_inserted, i.rows_updated, i.rows_unchanged,
        i.rows_superseded, i.rows_rejected, c.status, c.started_at, c.finished_at,
        max(c.finished_at) OVER () - $2 * interval '1 second' AS recent_since
    FROM import_batches AS i
    JOIN batches AS c USING (job_no, batch_no)
    WHERE i.job_no = $1
) AS b USING (record_type_no)
WHERE r.job_no = $1
GROUP BY r.record_type_no, r.record_set_no, r.id, r.generation, r.level, r.rows_expected, r.is_complete, r.detail
ORDER BY r.record_type_no
