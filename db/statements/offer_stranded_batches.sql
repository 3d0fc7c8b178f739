-- Offer the pending batches of running jobs without running and ready batches: no end of a batch would release them.
SELECT f.job_no, f.batch_no
FROM (
    SELECT
        b.job_no, b.batch_no, greatest(b.open_cells, 1) AS cells, b.turn, coalesce(b.not_before, now()) AS due_at
    FROM (
        SELECT x.job_no
        FROM jobs AS x
        WHERE x.finished_at IS NULL AND x.status = 'running'
            AND NOT EXISTS (SELECT FROM ready AS r WHERE r.job_no = x.job_no)
            AND NOT EXISTS (SELECT FROM batches AS o WHERE o.job_no = x.job_no AND o.status = 'running')
        ORDER BY x.job_no
        LIMIT $1
    ) AS j
    JOIN waves AS w ON w.job_no = j.job_no AND w.status = 'running'
    JOIN batches AS b ON b.job_no = w.job_no AND b.wave_no = w.wave_no AND b.status = 'pending'
    ORDER BY b.job_no, b.batch_no
    LIMIT $1
) AS f
WHERE offer_batch(f.job_no, f.batch_no, f.cells, f.turn, due_at => f.due_at, keeps_place => true)
