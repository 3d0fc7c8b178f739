-- List a job's waves with numbers above $2, with their batches counted by state. $3 bounds the rows.
SELECT
    w.wave_no, w.level, w.status, w.created_at, w.started_at, w.finished_at,
    w.total_batches, w.open_batches,
    counted.completed AS completed_batches, counted.failed AS failed_batches, counted.cancelled AS cancelled_batches
FROM waves AS w
CROSS JOIN LATERAL (
    SELECT
        count(*) FILTER (WHERE b.status = 'completed')::int AS completed,
        count(*) FILTER (WHERE b.status = 'failed')::int AS failed,
        count(*) FILTER (WHERE b.status = 'cancelled')::int AS cancelled
    FROM batches AS b
    WHERE b.job_no = w.job_no AND b.wave_no = w.wave_no
) AS counted
WHERE w.job_no = $1 AND w.wave_no > $2
ORDER BY w.wave_no
LIMIT $3
