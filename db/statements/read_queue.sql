-- Count waiting and running work over all tenants, since they share the queue. Owed work could be claimed now: it isn't
-- held for its configuration, and no import that waits for its source or for another import.
SELECT
    (SELECT count(*)::int FROM jobs AS j WHERE j.status = 'queued') AS jobs_queued,
    due.batches_due, due.batches_waiting,
    running.batches_running, running.leases_expired,
    greatest(
        due.oldest_seconds,
        (
            SELECT extract(EPOCH FROM now() - min(j.queued_at))::float8
            FROM jobs AS j
            WHERE j.status = 'queued' AND j.identity_nos <@ current_identities()
                AND NOT EXISTS (SELECT FROM imports AS i WHERE i.job_no = j.job_no AND i.not_before > now())
                AND NOT EXISTS (SELECT FROM waiting_imports AS w WHERE w.job_no = j.job_no)
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
