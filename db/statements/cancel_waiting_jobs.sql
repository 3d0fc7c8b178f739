-- End those of the jobs $1 that aren't planned yet; no row of one that was planned meanwhile. They have no cells, but
-- count them as cancelled. A worker that coordinates one (an import) finds its fence stale.
WITH cancelled_jobs AS (
    UPDATE jobs AS j
    SET status = 'cancelled',
        cancelled = j.planned,
        finished_at = greatest(clock_timestamp(), j.queued_at),
        last_event_no = j.last_event_no + 1
    WHERE j.job_no = ANY ($1::bigint[]) AND j.status IN ('queued', 'coordinating')
    RETURNING j.job_no, j.cancelled, write_event(
        j.job_no, j.last_event_no, 'cancelled', $2::text,
        json_build_object('by', $2::text, 'reason', $3::text, 'cells', j.cancelled)
    )
), released_leases AS (
    UPDATE imports AS i
    SET fence = i.fence + 1,
        holder = NULL,
        lease_until = NULL,
        waiting_since = NULL,
        waits_for_job_no = NULL,
        waits_for_type = NULL,
        waits_for_end = NULL
    FROM cancelled_jobs AS c
    WHERE i.job_no = c.job_no
)
SELECT c.job_no, c.cancelled
FROM cancelled_jobs AS c
ORDER BY c.job_no
