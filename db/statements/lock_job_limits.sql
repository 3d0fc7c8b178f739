-- Lock the limits of the jobs with the next batches of these identities ($1; $2 of each, of the tenants ($4) in turn);
-- pass over limits that another claim has locked, and jobs on this worker's skip list ($3). Jobs at their limit are
-- passed over, except for batches that bring their permits: else the ready batches of such a job would hide the jobs
-- behind them.
WITH held_jobs AS MATERIALIZED (
    SELECT l.job_no FROM jobs_at_limit AS l
)
SELECT l.job_no
FROM job_limits AS l
WHERE l.job_no = ANY (ARRAY(
    SELECT r.job_no
    FROM unnest($1::int[], $4::text[]) AS served (identity_no, tenant_nos)
    CROSS JOIN LATERAL (
        SELECT w.job_no
        FROM unnest(served.tenant_nos::int[]) AS t (tenant_no)
        CROSS JOIN LATERAL (
            SELECT w.job_no
            FROM ready AS w
            WHERE w.identity_no = served.identity_no AND w.tenant_no = t.tenant_no AND w.not_before <= now()
                AND w.job_no <> ALL ($3::bigint[])
                AND (
                    NOT EXISTS (SELECT FROM held_jobs AS h WHERE h.job_no = w.job_no)
                    OR EXISTS (
                        SELECT
                        FROM batches AS b
                        WHERE b.job_no = w.job_no AND b.batch_no = w.batch_no AND b.slots > 0
                    )
                )
            ORDER BY w.turn, w.job_no, w.batch_no
            LIMIT $2
        ) AS w
        LIMIT $2
    ) AS r
))
ORDER BY l.job_no
FOR NO KEY UPDATE OF l SKIP LOCKED
