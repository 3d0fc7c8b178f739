-- Reopen an import with its failed batches ($2), which this transaction has locked with their waves and the
-- job. They wait like new batches, in a chain of their own, with all tries of the policy. A retried batch counts as $3
-- in its virtual finish time. $4 is the actor; $5 is the event's data.
WITH reopened_ranges AS (
    UPDATE import_batches AS i
    SET forgiven = b.attempts,
        away_since = NULL,
        rows_read = 0, rows_inserted = 0, rows_updated = 0, rows_unchanged = 0, rows_superseded = 0, rows_rejected = 0,
        error_code = NULL,
        error_detail = NULL
    FROM batches AS b
    WHERE i.job_no = $1 AND i.batch_no = ANY ($2::int[]) AND b.job_no = i.job_no AND b.batch_no = i.batch_no
), places AS MATERIALIZED (
    SELECT
        b.batch_no,
        row_number() OVER (ORDER BY b.batch_no) AS place,
        lead(b.batch_no, m.ready_window) OVER (ORDER BY b.batch_no) AS next_batch_no,
        m.ready_window, j.tenant_no
    FROM unnest($2::int[]) AS b (batch_no)
    CROSS JOIN imports AS m
    JOIN jobs AS j USING (job_no)
    WHERE m.job_no = $1
), reopened_batches AS (
    UPDATE batches AS b
    SET status = 'pending',
        open_cells = 1,
        next_batch_no = p.next_batch_no,
        turn = virtual_finish_time_of_tenant(p.tenant_no, b.identity_no, $3::int * p.place),
        lost_leases = 0,
        not_before = NULL,
        queued_at = NULL,
        started_at = NULL,
        finished_at = NULL
    FROM places AS p
    WHERE b.job_no = $1 AND b.batch_no = p.batch_no
    RETURNING b.job_no, b.batch_no, b.wave_no, b.turn, p.place, p.ready_window
), running_waves AS (
    UPDATE waves AS w
    SET status = 'running',
        open_batches = w.open_batches + r.batches,
        failed_batches = w.failed_batches - r.batches
    FROM (SELECT b.wave_no, count(*)::int AS batches FROM reopened_batches AS b GROUP BY b.wave_no) AS r
    WHERE w.job_no = $1 AND w.wave_no = r.wave_no
    RETURNING 1
), running_job AS (
    UPDATE jobs AS j
    SET status = 'running',
        failed = j.failed - cardinality($2),
        error_code = NULL,
        error_detail = NULL,
        finished_at = NULL,
        last_event_no = j.last_event_no + 1
    WHERE j.job_no = $1 AND (SELECT count(*) FROM running_waves) >= 0
    RETURNING j.job_no, write_event(j.job_no, j.last_event_no, 'retried', $4::text, $5::text::json)
), inserted_trigger AS (
    INSERT INTO triggers (job_no, source, outcome, worker_no, finished_at)
    VALUES ($1, 'retry', 'joined', $6, now())
)
SELECT offer_batch(b.job_no, b.batch_no, 1, b.turn, lane => 1)
FROM reopened_batches AS b
JOIN running_job AS j USING (job_no)
WHERE b.place <= b.ready_window
