-- Return what a key ($1) has used at this moment, without a lock; its active jobs without the job $2 (NULL: none).
SELECT
    coalesce((SELECT u.cells FROM key_usage AS u WHERE u.key_no = $1 AND u.day >= t.day), 0) AS cells,
    (
        SELECT count(*)::int
        FROM active_jobs AS a
        JOIN LATERAL (SELECT x.finished_at FROM jobs AS x WHERE x.job_no = a.job_no LIMIT 1) AS j ON true
        WHERE a.key_no = $1 AND j.finished_at IS NULL AND a.job_no IS DISTINCT FROM $2::bigint
    ) AS active_jobs,
    (t.day + 1)::timestamp AT TIME ZONE 'UTC' AS day_ends_at,
    now() AS at
FROM (SELECT (now() AT TIME ZONE 'UTC')::date AS day) AS t
