-- Count waiting and running work over all tenants, since they share the queue. Owed work could be claimed now: it isn't
-- held for its configuration, and no import that waits for its source or for another import. Job numbers rise with
-- creation, so the oldest queued job is among a tenant's lowest numbers, except for imports that were queued again.
SELECT
    (SELECT count(*)::int FROM jobs AS j WHERE j.status = 'queued') AS jobs_queued,
    due.batches_due, due.batches_waiting,
    running.batches_running, running.leases_expired,
    greatest(
        due.oldest_seconds,
        (
            SELECT extract(EPOCH FROM now() - min(lowest.queued_at))::float8
            FROM tenants AS t
            CROSS JOIN LATERAL (
                SELECT j.queued_at
                FROM jobs AS j
                WHERE j.tenant_no = t.tenant_no AND j.status = 'queued' AND j.identity_nos <@ current_identities()
                    AND NOT EXISTS (SELECT FROM imports AS i WHERE i.job_no = j.job_no AND i.not_before > now())
                    AND NOT EXISTS (SELECT FROM waiting_imports AS w WHERE w.job_no = j.job_no)
                ORDER BY j.job_no
                LIMIT 1000
            ) AS lowest
        )
    ) AS oldest_owed_seconds,
    now() AS checked_at
FROM (
    SELECT
        count(*) FILTER (WHERE r.not_before <= now())::int AS batches_due,
        count(*) FILTER (WHERE r.not_before > now())::int AS batches_waiting,
        extract(
            EPOCH FROM now() - min(greatest(r.queued_at, r.not_before)) FILTER (
                WHERE r.not_before <= now() AND r.identity_no = ANY (current_identities())
            )
        )::float8 AS oldest_seconds
    FROM ready AS r
) AS due
CROSS JOIN (
    SELECT
        count(*)::int AS batches_running,
        count(*) FILTER (WHERE b.lease_until < now())::int AS leases_expired
    FROM batches AS b
    WHERE b.status = 'running'
) AS running
