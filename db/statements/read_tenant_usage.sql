-- Return what a tenant ($1) has used at this moment, without a lock; its active jobs without the job $2 (NULL: none).
SELECT
    coalesce((SELECT u.cells FROM tenant_usage AS u WHERE u.tenant_no = $1 AND u.day >= t.day), 0) AS cells,
    (
        SELECT count(*)::int
        FROM jobs AS j
        WHERE j.tenant_no = $1 AND j.finished_at IS NULL AND j.job_no IS DISTINCT FROM $2::bigint
    ) AS active_jobs,
    (t.day + 1)::timestamp AT TIME ZONE 'UTC' AS day_ends_at,
    now() AS at
FROM (SELECT (now() AT TIME ZONE 'UTC')::date AS day) AS t
