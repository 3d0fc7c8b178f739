-- Recount every job from its cells.
SELECT
    count(*) AS jobs,
    sum(j.planned) AS planned,
    sum(e.cells) AS cells,
    sum(e.not_terminal) AS not_terminal,
    count(*) FILTER (
        WHERE j.finished_at IS NULL OR j.planned <> e.cells
            OR (j.completed, j.failed, j.cancelled, j.unknown) <> (e.completed, e.failed, e.cancelled, e.unknown)
    ) AS miscounted_jobs
FROM jobs AS j
LEFT JOIN (
    SELECT
        x.job_no,
        count(*) AS cells,
        count(*) FILTER (WHERE x.finished_at IS NULL) AS not_terminal,
        count(*) FILTER (WHERE x.status = 'completed') AS completed,
        count(*) FILTER (WHERE x.status = 'failed') AS failed,
        count(*) FILTER (WHERE x.status = 'cancelled') AS cancelled,
        count(*) FILTER (WHERE x.status = 'unknown') AS unknown
    FROM executions AS x
    GROUP BY x.job_no
) AS e USING (job_no)
