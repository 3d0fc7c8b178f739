-- Record a manual trigger of a job that the caller has locked: open if the job waits ($2), else joined, recorded by $3.
WITH inserted_trigger AS (
    INSERT INTO triggers (job_no, source, outcome, worker_no, finished_at)
    SELECT
        $1::bigint, 'manual',
        CASE WHEN NOT $2::boolean THEN 'joined' END,
        CASE WHEN NOT $2 THEN $3::int END,
        CASE WHEN NOT $2 THEN now() END
    RETURNING trigger_no, source, outcome, fence, worker_no, started_at, finished_at
)
SELECT i.trigger_no, i.source, i.outcome, i.fence, w.id AS worker, i.started_at, i.finished_at
FROM inserted_trigger AS i
LEFT JOIN workers AS w USING (worker_no)
