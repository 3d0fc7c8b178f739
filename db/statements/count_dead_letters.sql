-- Count the open dead letters of all tenants, as they are listed, up to $1 of them.
SELECT count(*)::int
FROM (
    SELECT
    FROM dead_letters AS d
    CROSS JOIN LATERAL (SELECT FROM jobs AS j WHERE j.job_no = d.job_no AND j.status <> 'cancelled' LIMIT 1) AS kept
    WHERE d.replayed_at IS NULL
    LIMIT $1
) AS counted
