-- List work of all tenants that has been owed for at least $1 seconds, and batches whose lease ran out; longest first,
-- but work that is paused or held for another configuration last: there may be very much of it, and the operator knows
-- of it. Each row has the reasons that keep it from being claimed. Up to $3 rows, from the next $2 of each finding (of
-- ready batches: of each provider and region), so that few rows are read.
WITH RECURSIVE waiting AS (
    (SELECT r.provider, r.region FROM ready AS r ORDER BY r.provider, r.region LIMIT 1)
    UNION ALL
    SELECT next.provider, next.region
    FROM waiting AS w
    CROSS JOIN LATERAL (
        SELECT r.provider, r.region
        FROM ready AS r
        WHERE (r.provider, r.region) > (w.provider, w.region)
        ORDER BY r.provider, r.region
        LIMIT 1
    ) AS next
), calls_of_pools AS MATERIALIZED (
    SELECT b.provider, b.region, sum(b.slots)::int AS calls
    FROM batches AS b
    WHERE b.slots > 0 AND b.lease_until > now()
    GROUP BY b.provider, b.region
), calls_of_jobs AS MATERIALIZED (
    SELECT b.job_no, sum(b.slots)::int AS calls
    FROM batches AS b
    WHERE b.slots > 0 AND b.lease_until > now()
    GROUP BY b.job_no
)
SELECT
    stuck.job_no, stuck.job_id, stuck.batch_no,
    (SELECT t.name FROM jobs AS j JOIN tenants AS t USING (tenant_no) WHERE j.job_no = stuck.job_no) AS tenant,
    stuck.finding, stuck.seconds, stuck.lost_leases, stuck.provider, stuck.region,
    stuck.is_overdue, stuck.is_unconfigured, stuck.is_region_paused, stuck.is_provider_paused, stuck.error_code,
    stuck.error_detail, stuck.due_at, p.gate_code, p.gate_until, p.max_concurrent AS pool_limit,
    coalesce(in_pool.calls, 0) AS pool_calls, l.max_concurrent AS job_limit, coalesce(in_job.calls, 0) AS job_calls
FROM (
    SELECT found.*
    FROM (
        (
            SELECT
                j.job_no, j.id AS job_id, NULL::int AS batch_no, 'job_owed' AS finding,
                extract(EPOCH FROM now() - j.queued_at)::float8 AS seconds,
                0 AS lost_leases, NULL::text AS provider, NULL::text AS region,
                coalesce(j.overdue_at < now(), false) AS is_overdue,
                NOT coalesce(j.identity_nos <@ current_identities(), false) AS is_unconfigured,
                false AS is_region_paused, false AS is_provider_paused,
                NULL::text AS error_code, NULL::text AS error_detail, NULL::timestamptz AS due_at
            FROM jobs AS j
            WHERE j.status = 'queued' AND j.queued_at < now() - $1::float8 * interval '1 second'
                AND NOT EXISTS (SELECT FROM imports AS i WHERE i.job_no = j.job_no AND i.not_before > now())
                AND NOT EXISTS (SELECT FROM waiting_imports AS w WHERE w.job_no = j.job_no)
            ORDER BY j.turn, j.job_no
            LIMIT $2
        )
        UNION ALL
        (
            SELECT
                j.job_no, j.id, NULL, 'coordination_put_off', extract(EPOCH FROM now() - j.queued_at)::float8,
                0, NULL, NULL, false, false, false, false, i.error_code, i.error_detail, i.not_before
            FROM jobs AS j
            JOIN imports AS i USING (job_no)
            WHERE j.status = 'queued'
                AND j.queued_at < now() - $1::float8 * interval '1 second'
                AND i.not_before > now() AND i.error_code IS NOT NULL
            ORDER BY j.turn, j.job_no
            LIMIT $2
        )
        UNION ALL
        (
            SELECT
                i.job_no, j.id, NULL, 'coordination_expired', extract(EPOCH FROM now() - i.lease_until)::float8,
                0, NULL, NULL, false, NOT coalesce(j.identity_nos <@ current_identities(), false), false, false,
                NULL, NULL, NULL
            FROM imports AS i
            JOIN jobs AS j USING (job_no)
            WHERE i.holder IS NOT NULL AND i.lease_until < now()
            ORDER BY i.lease_until
            LIMIT $2
        )
        UNION ALL
        (
            SELECT next.*
            FROM waiting AS w
            LEFT JOIN LATERAL pauses_of(w.provider, w.region) AS in_region ON in_region.kind = 'region'
            LEFT JOIN LATERAL pauses_of(w.provider, w.region) AS of_provider ON of_provider.kind = 'provider'
            CROSS JOIN LATERAL (
                SELECT
                    r.job_no, j.id, r.batch_no,
                    CASE WHEN b.status = 'running' THEN 'lease_expired' ELSE 'batch_owed' END,
                    extract(EPOCH FROM now() - greatest(r.queued_at, r.not_before))::float8,
                    b.lost_leases, r.provider, r.region, coalesce(b.overdue_at < now(), false),
                    NOT coalesce(r.identity_no = ANY (current_identities()), false),
                    in_region.name IS NOT NULL, of_provider.name IS NOT NULL,
                    NULL::text, NULL::text, NULL::timestamptz
                FROM ready AS r
                JOIN batches AS b USING (job_no, batch_no)
                JOIN jobs AS j USING (job_no)
                WHERE r.provider = w.provider AND r.region = w.region
                    AND greatest(r.queued_at, r.not_before) < now() - $1::float8 * interval '1 second'
                    AND (b.status = 'pending' OR b.lease_until < now())
                ORDER BY r.turn, r.job_no, r.batch_no
                LIMIT $2
            ) AS next
        )
        UNION ALL
        (
            SELECT
                b.job_no, j.id, b.batch_no, 'lease_expired', extract(EPOCH FROM now() - b.lease_until)::float8,
                b.lost_leases, b.provider, b.region, false,
                NOT coalesce(b.identity_no = ANY (current_identities()), false),
                in_region.name IS NOT NULL, of_provider.name IS NOT NULL,
                NULL, NULL, NULL
            FROM batches AS b
            JOIN jobs AS j USING (job_no)
            LEFT JOIN LATERAL pauses_of(b.provider, b.region) AS in_region ON in_region.kind = 'region'
            LEFT JOIN LATERAL pauses_of(b.provider, b.region) AS of_provider ON of_provider.kind = 'provider'
            WHERE b.status = 'running' AND b.lease_until < now()
                AND NOT EXISTS (
                    SELECT
                    FROM ready AS r
                    WHERE r.job_no = b.job_no AND r.batch_no = b.batch_no
                        AND greatest(r.queued_at, r.not_before) < now() - $1::float8 * interval '1 second'
                )
            ORDER BY coalesce(in_region.name, of_provider.name) IS NOT NULL, b.job_no, b.batch_no
            LIMIT $2
        )
    ) AS found
    ORDER BY found.is_unconfigured OR found.is_region_paused OR found.is_provider_paused,
        found.seconds DESC, found.job_id, found.batch_no
    LIMIT $3
) AS stuck
LEFT JOIN pools AS p USING (provider, region)
LEFT JOIN job_limits AS l USING (job_no)
LEFT JOIN calls_of_pools AS in_pool USING (provider, region)
LEFT JOIN calls_of_jobs AS in_job USING (job_no)
ORDER BY stuck.is_unconfigured OR stuck.is_region_paused OR stuck.is_provider_paused, stuck.seconds DESC,
    stuck.job_id, stuck.batch_no
