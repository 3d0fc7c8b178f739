-- End an import that can't be coordinated, with its job and coordination locked, for the reason ($2, $3); $4 is the
-- event's source. No batch was planned. Every trigger that waited for it fails with it.
WITH ended_job AS (
    UPDATE jobs AS j
    SET status = 'failed',
        error_code = $2::text,
        error_detail = $3::text,
        finished_at = greatest(clock_timestamp(), j.started_at),
        last_event_no = j.last_event_no + 1
    WHERE j.job_no = $1
    RETURNING write_event(
        j.job_no, j.last_event_no, 'finished', $4::text,
        json_build_object('status', 'failed', 'code', $2::text, 'detail', $3::text)
    )
), released_lease AS (
    UPDATE imports AS i
    SET holder = NULL, lease_until = NULL, attempts = i.attempts + 1, error_code = $2, error_detail = $3
    WHERE i.job_no = $1
)
UPDATE triggers AS t
SET outcome = 'failed', finished_at = clock_timestamp(), worker_no = coalesce(t.worker_no, $5::int)
WHERE t.job_no = $1 AND t.outcome IS NULL
RETURNING t.source, t.outcome
