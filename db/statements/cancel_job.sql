-- End all open work of a job whose open batches this transaction has locked: cells, batches, waves, job, in this order,
-- so that their times are in order. Return the number of ended units (cells or batches, by the job's kind) by pool; no
-- row if none was open. A job that counts batches has no cells. The holders' fences and tokens become stale, and so do
-- their later reports. A cell whose start was committed may have been called: that try is kept, with an unknown end.
WITH started_cells AS MATERIALIZED (
    SELECT e.region_no, e.model_no, e.question_no, e.attempts + 1 AS attempt_no, e.started_at, b.provider, b.identity_no
    FROM executions AS e
    JOIN batches AS b USING (job_no, batch_no)
    WHERE e.job_no = $1 AND e.status = 'running'
), kept_tries AS (
    INSERT INTO attempts (
        job_no, region_no, model_no, question_no, attempt_no, started_at, finished_at, provider_used, error_code,
        error_detail, status, error_retryable, identity_no
    )
    SELECT
        $1, s.region_no, s.model_no, s.question_no, s.attempt_no, s.started_at,
        greatest(clock_timestamp(), s.started_at), s.provider, 'cancelled_in_call',
        'The job was cancelled after this call had begun; whether the provider did it is unknown.', 'unknown', false,
        s.identity_no
    FROM started_cells AS s
), cancelled_cells AS (
    UPDATE executions AS e
    SET status = 'cancelled',
        attempts = e.attempts + (e.status = 'running')::int,
        finished_at = greatest(clock_timestamp(), e.started_at),
        not_before = NULL
    WHERE e.job_no = $1 AND e.finished_at IS NULL
    RETURNING e.batch_no
), cancelled_batches AS (
    UPDATE batches AS b
    SET status = 'cancelled',
        fence = b.fence + 1,
        holder = NULL,
        lease_until = NULL,
        slots = 0,
        open_cells = 0,
        not_before = NULL,
        overdue_at = NULL,
        finished_at = greatest(clock_timestamp(), b.started_at)
    WHERE b.job_no = $1 AND b.status IN ('pending', 'running')
        AND (SELECT count(*) FROM cancelled_cells) >= 0
    RETURNING b.batch_no, b.provider, b.region
), cancelled_waves AS (
    UPDATE waves AS w
    SET status = 'cancelled', open_batches = 0, finished_at = greatest(clock_timestamp(), w.started_at)
    WHERE w.job_no = $1 AND w.status IN ('pending', 'running')
        AND (SELECT count(*) FROM cancelled_batches) >= 0
    RETURNING 1
), cancelled_units AS (
    SELECT
        CASE k.unit WHEN 'cell' THEN 'cells' ELSE 'batches' END AS name,
        CASE k.unit
            WHEN 'cell' THEN (SELECT count(*) FROM cancelled_cells)
            ELSE (SELECT count(*) FROM cancelled_batches)
        END::int AS count
    FROM jobs AS j
    JOIN kinds AS k USING (kind)
    WHERE j.job_no = $1
), cancelled_job AS (
    UPDATE jobs AS j
    SET status = 'cancelled',
        cancelled = j.cancelled + u.count,
        finished_at = greatest(clock_timestamp(), j.started_at),
        last_event_no = j.last_event_no + 1
    FROM cancelled_units AS u
    WHERE j.job_no = $1 AND u.count > 0
        AND (SELECT count(*) FROM cancelled_waves) >= 0
    RETURNING write_event(
        j.job_no, j.last_event_no, 'cancelled', $2::text,
        json_build_object('by', $2::text, 'reason', $3::text, u.name, u.count)
    )
), cleared AS (
    DELETE FROM ready AS r
    WHERE r.job_no = $1
)
SELECT e.provider, e.region, sum(e.units)::int AS units
FROM (
    SELECT b.provider, b.region, CASE u.name WHEN 'cells' THEN count(c.batch_no) ELSE 1 END AS units
    FROM cancelled_batches AS b
    LEFT JOIN cancelled_cells AS c USING (batch_no)
    CROSS JOIN cancelled_units AS u
    GROUP BY b.batch_no, b.provider, b.region, u.name
) AS e
WHERE e.units > 0
GROUP BY e.provider, e.region
