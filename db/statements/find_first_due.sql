-- Return a due batch of these identities ($1) in pools ($2 providers, $3 regions) that no transaction is claiming, and
-- whose job isn't at its limit.
WITH held_jobs AS MATERIALIZED (
    SELECT l.job_no FROM jobs_at_limit AS l
)
SELECT r.job_no, r.batch_no
FROM unnest($1::int[], $2::text[], $3::text[]) AS served (identity_no, provider, region)
CROSS JOIN LATERAL (
    SELECT d.job_no, d.batch_no
    FROM ready AS d
    WHERE d.identity_no = served.identity_no
        AND d.provider IS NOT DISTINCT FROM served.provider AND d.region IS NOT DISTINCT FROM served.region
        AND d.not_before <= now()
        AND NOT EXISTS (SELECT FROM held_jobs AS h WHERE h.job_no = d.job_no)
    ORDER BY d.turn, d.job_no, d.batch_no
    LIMIT 1
    FOR NO KEY UPDATE OF d SKIP LOCKED
) AS r
LIMIT 1
