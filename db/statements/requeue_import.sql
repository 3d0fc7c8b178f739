-- Queue an import ($1) whose coordination failed again, with all tries of the policy; no row if it has waves, didn't
-- fail, or failed with a code other than $4 (NULL: any). $2 is the actor; $3 is the event's data.
WITH waiting_job AS (
    UPDATE jobs AS j
    SET status = 'queued',
        queued_at = clock_timestamp(),
        started_at = NULL,
        error_code = NULL,
        error_detail = NULL,
        finished_at = NULL,
        last_event_no = j.last_event_no + 1
    WHERE j.job_no = $1 AND j.kind = 'import' AND j.status = 'failed'
        AND ($4::text IS NULL OR j.error_code = $4)
        AND NOT EXISTS (SELECT FROM waves AS w WHERE w.job_no = j.job_no)
    RETURNING j.job_no, write_event(j.job_no, j.last_event_no, 'retried', $2::text, $3::text::json)
), forgiven AS (
    UPDATE imports AS i
    SET attempts = 0, lost_leases = 0, away_since = NULL, not_before = NULL, error_code = NULL, error_detail = NULL
    FROM waiting_job AS j
    WHERE i.job_no = j.job_no
)
INSERT INTO triggers (job_no, source)
SELECT j.job_no, 'retry'
FROM waiting_job AS j
RETURNING job_no
