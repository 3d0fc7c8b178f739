-- End an import without batches: it completed, unless a source couldn't be read to its end.
WITH ended_job AS (
    UPDATE jobs AS j
    SET status = CASE
            WHEN EXISTS (SELECT FROM record_types AS r WHERE r.job_no = j.job_no AND NOT r.is_complete) THEN 'partial'
            ELSE 'completed'
        END,
        finished_at = greatest(clock_timestamp(), j.started_at),
        last_event_no = j.last_event_no + 1
    WHERE j.job_no = $1 AND j.planned = 0
    RETURNING j.status, write_event(
        j.job_no, j.last_event_no, 'finished', $2::text, json_build_object('status', j.status)
    )
)
SELECT j.status
FROM ended_job AS j
