-- Make a locked import ($1) wait for import $2, which shares record type $3, until $2 is planned or, if $4, has ended.
-- An expired lease of its own is given up. Return the waiting import's id; no row if a worker holds its lease.
WITH waiting AS (
    INSERT INTO imports (job_no, fence, waiting_since, waits_for_job_no, waits_for_type, waits_for_end)
    VALUES ($1, 0, now(), $2, $3, $4)
    ON CONFLICT ON CONSTRAINT imports_key DO UPDATE
    SET waiting_since = coalesce(imports.waiting_since, now()),
        waits_for_job_no = excluded.waits_for_job_no,
        waits_for_type = excluded.waits_for_type,
        waits_for_end = excluded.waits_for_end,
        fence = imports.fence + (imports.holder IS NOT NULL)::int,
        lost_leases = imports.lost_leases + (imports.holder IS NOT NULL)::int,
        holder = NULL,
        lease_until = NULL
    WHERE imports.lease_until IS NULL OR imports.lease_until < now()
    RETURNING job_no
), queued_again AS (
    UPDATE jobs AS j
    SET status = 'queued'
    FROM waiting AS w
    WHERE j.job_no = w.job_no AND j.status = 'coordinating'
)
SELECT j.id
FROM waiting AS w
JOIN jobs AS j USING (job_no)
