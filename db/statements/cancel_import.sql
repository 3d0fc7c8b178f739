-- End everything that is open of an import whose open batches this transaction has locked: batches, waves, job. Return how
-- many batches; nothing where nothing was open. A holder's fence and token are gone with this: what it read is stale.
WITH cancelled_batches AS (
    UPDATE batches AS b
    SET status = 'cancelled',
        fence = b.fence + 1,
        holder = NULL,
        lease_until = NULL,
        slots = 0,
        open_cells = 0,
        not_before = NULL,
        finished_at = greatest(clock_timestamp(), b.started_at)
    WHERE b.job_no = $1 AND b.status IN ('pending', 'running')
    RETURNING 1
), cancelled_waves AS (
    UPDATE waves AS w
    SET status = 'cancelled', open_batches = 0, finished_at = greatest(clock_timestamp(), w.started_at)
    WHERE w.job_no = $1 AND w.status IN ('pending', 'running')
        AND (SELECT count(*) FROM cancelled_batches) >= 0
    RETURNING 1
), cancelled_job AS (
    UPDATE jobs AS j
    SET status = 'cancelled',
        cancelled = j.cancelled + c.batches,
        finished_at = greatest(clock_timestamp(), j.started_at),
        last_event_no = j.last_event_no + 1
    FROM (SELECT count(*)::int AS batches FROM cancelled_batches) AS c
    WHERE j.job_no = $1 AND c.batches > 0
        AND (SELECT count(*) FROM cancelled_waves) >= 0
    RETURNING c.batches, write_event(
        j.job_no, j.last_event_no, 'cancelled', $2::text,
        json_build_object('by', $2::text, 'reason', $3::text, 'batches', c.batches)
    )
), cleared AS (
    DELETE FROM ready AS r
    WHERE r.job_no = $1
)
SELECT j.batches
FROM cancelled_job AS j
