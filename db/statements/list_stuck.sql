-- List work that has been owed for at least $1 seconds, and batches whose lease ran out; longest first, up to $2.
SELECT stuck.job_id, stuck.batch_no, stuck.finding, stuck.seconds, stuck.lost_leases, stuck.provider, stuck.region
FROM (
    (
        SELECT
            j.id AS job_id, NULL::int AS batch_no, 'job_owed' AS finding,
            extract(EPOCH FROM now() - j.queued_at)::float8 AS seconds,
            0 AS lost_leases, NULL::text AS provider, NULL::text AS region
        FROM jobs AS j
        WHERE j.tenant_no = $3 AND j.status = 'queued' AND j.queued_at < now() - $1::float8 * interval '1 second'
        ORDER BY j.turn, j.job_no
        LIMIT $2
    )
    UNION ALL
    (
        SELECT
            j.id, r.batch_no, CASE WHEN b.status = 'running' THEN 'lease_expired' ELSE 'batch_owed' END,
            extract(EPOCH FROM now() - greatest(r.queued_at, r.not_before))::float8,
            b.lost_leases, r.provider, r.region
        FROM ready AS r
        JOIN batches AS b USING (job_no, batch_no)
        JOIN jobs AS j USING (job_no)
        WHERE r.tenant_no = $3
            AND greatest(r.queued_at, r.not_before) < now() - $1::float8 * interval '1 second'
            AND (b.status = 'pending' OR b.lease_until < now())
        ORDER BY r.turn, r.job_no, r.batch_no
        LIMIT $2
    )
    UNION ALL
    (
        SELECT
            j.id, b.batch_no, 'lease_expired', extract(EPOCH FROM now() - b.lease_until)::float8,
            b.lost_leases, b.provider, b.region
        FROM batches AS b
        JOIN jobs AS j USING (job_no)
        WHERE j.tenant_no = $3 AND b.status = 'running' AND b.lease_until < now()
            AND NOT EXISTS (
                SELECT
                FROM ready AS r
                WHERE r.job_no = b.job_no AND r.batch_no = b.batch_no
                    AND greatest(r.queued_at, r.not_before) < now() - $1::float8 * interval '1 second'
            )
        ORDER BY b.job_no, b.batch_no
        LIMIT $2
    )
) AS stuck
ORDER BY stuck.seconds DESC, stuck.job_id, stuck.batch_no
LIMIT $2
