-- End queued jobs that can't be planned, each with its reason. They have no cells.
WITH ended_jobs AS (
    UPDATE jobs AS j
    SET status = 'failed',
        error_code = i.code,
        error_detail = i.detail,
        finished_at = greatest(now(), j.queued_at),
        last_event_no = j.last_event_no + 1
    FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[]) AS i (job_no, source, code, detail)
    WHERE j.job_no = i.job_no AND j.status = 'queued'
    RETURNING j.job_no, i.source, write_event(
        j.job_no, j.last_event_no, 'finished', i.source,
        json_build_object('status', 'failed', 'code', i.code, 'detail', i.detail)
    )
)
INSERT INTO triggers (job_no, source, outcome, worker_no, started_at, finished_at)
SELECT e.job_no, e.source, 'failed', $5::int, now(), clock_timestamp()
FROM ended_jobs AS e
