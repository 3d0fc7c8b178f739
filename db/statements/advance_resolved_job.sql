-- Advance the job of a resolved cell ($2 says whether it completed; $3 is the source of the event, $4 its data). The
-- final status of a job that has ended is derived from its cells again; any other status stays.
WITH counted_job AS (
    UPDATE jobs AS j
    SET unknown = j.unknown - 1,
        completed = j.completed + $2::boolean::int,
        failed = j.failed + (NOT $2)::int,
        last_event_no = j.last_event_no + 1,
        status = CASE
            WHEN j.status NOT IN ('failed', 'partial') THEN j.status
            WHEN j.completed + $2::int = j.planned THEN 'completed'
            WHEN (j.completed + $2::int)::float8 / j.planned >= j.min_success_rate THEN 'partial'
            ELSE 'failed'
        END
    WHERE j.job_no = $1
    RETURNING j.status, write_event(
        j.job_no, j.last_event_no, 'resolved', $3::text,
        ($4::text::jsonb || jsonb_build_object('job_status', j.status))::json
    )
)
SELECT j.status
FROM counted_job AS j
