-- Return, for each job in $1, whether it still waits to be planned; mark the first delivery of those jobs in $2 that
-- don't. An import waits until a worker has begun to coordinate it. If a job is neither waiting nor marked by this
-- statement, its delivery is a duplicate.
WITH delivered_jobs AS MATERIALIZED (
    SELECT
        j.job_no,
        j.status = 'queued' AND NOT EXISTS (SELECT FROM imports AS i WHERE i.job_no = j.job_no) AS is_waiting,
        j.delivered
    FROM jobs AS j
    WHERE j.job_no = ANY ($1::bigint[])
), marked_jobs AS (
    UPDATE jobs AS j
    SET delivered = true
    FROM delivered_jobs AS d
    WHERE j.job_no = d.job_no AND j.job_no = ANY ($2::bigint[])
        AND NOT d.is_waiting AND NOT d.delivered AND NOT j.delivered
    RETURNING j.job_no
)
SELECT d.job_no, d.is_waiting, m.job_no IS NOT NULL AS is_first
FROM delivered_jobs AS d
LEFT JOIN marked_jobs AS m USING (job_no)
