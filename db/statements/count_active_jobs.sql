-- Count the jobs of these keys ($1) that haven't ended, without the job $2 (NULL: none), and forget those that have.
-- Each job is probed by its number: with young statistics the planner would read all jobs.
WITH counted AS MATERIALIZED (
    SELECT a.job_no, a.key_no, j.is_active
    FROM active_jobs AS a
    LEFT JOIN LATERAL (
        SELECT x.finished_at IS NULL AS is_active FROM jobs AS x WHERE x.job_no = a.job_no LIMIT 1
    ) AS j ON true
    WHERE a.key_no = ANY ($1::bigint[])
), ended AS MATERIALIZED (
    SELECT a.job_no
    FROM active_jobs AS a
    JOIN counted AS c ON c.job_no = a.job_no AND c.key_no = a.key_no AND c.is_active IS NOT TRUE
    FOR UPDATE OF a SKIP LOCKED
), forgotten AS (
    DELETE FROM active_jobs AS a USING ended AS e WHERE a.job_no = e.job_no
)
SELECT c.key_no AS number, count(*)::int AS active_jobs
FROM counted AS c
WHERE c.is_active AND c.job_no IS DISTINCT FROM $2::bigint
GROUP BY c.key_no
