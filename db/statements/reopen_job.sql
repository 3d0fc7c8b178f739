-- Reopen a job with the cells ($3 for each batch in $2) that were planned anew in this transaction, which has locked
-- the batches and their waves. A batch that is still open gets the cells and is due at once; cells that wait for a
-- later try go on waiting. A batch that had ended waits like a new one, in a chain of its own: of each provider and
-- region the first $4 are ready, and their ends release the others, as in the plan. A retried cell counts as $5 in its
-- virtual finish time. $9 of the cells had an incomplete answer.
WITH reopened_cells AS MATERIALIZED (
    SELECT c.batch_no, c.cells
    FROM unnest($2::int[], $3::int[]) AS c (batch_no, cells)
), ended_batches AS MATERIALIZED (
    SELECT
        b.batch_no, b.wave_no, c.cells,
        row_number() OVER pool AS place,
        lead(b.batch_no, $4::int) OVER pool AS next_batch_no,
        virtual_finish_time_of_tenant(j.tenant_no, b.identity_no, $5::int * sum(c.cells) OVER pool) AS turn
    FROM reopened_cells AS c
    JOIN batches AS b ON b.job_no = $1 AND b.batch_no = c.batch_no
    JOIN jobs AS j ON j.job_no = $1
    WHERE b.finished_at IS NOT NULL
    WINDOW pool AS (PARTITION BY b.provider, b.region ORDER BY b.batch_no)
), reopened_batches AS (
    UPDATE batches AS b
    SET status = 'pending',
        open_cells = e.cells,
        next_batch_no = e.next_batch_no,
        turn = e.turn,
        lost_leases = 0,
        not_before = NULL,
        overdue_at = (
            SELECT clock_timestamp() + (s.spec -> 'policy' ->> 'queue_timeout_seconds')::float8 * interval '1 second'
            FROM specs AS s
            WHERE s.job_no = $1
        ),
        queued_at = NULL,
        started_at = NULL,
        finished_at = NULL
    FROM ended_batches AS e
    WHERE b.job_no = $1 AND b.batch_no = e.batch_no
    RETURNING b.job_no, b.batch_no, b.wave_no, b.turn, e.place, e.cells
), joined_batches AS (
    UPDATE batches AS b
    SET open_cells = b.open_cells + c.cells, not_before = least(b.not_before, now())
    FROM reopened_cells AS c
    WHERE b.job_no = $1 AND b.batch_no = c.batch_no AND b.finished_at IS NULL
    RETURNING b.job_no, b.batch_no, c.cells
), running_waves AS (
    UPDATE waves AS w
    SET status = 'running', open_batches = w.open_batches + r.batches
    FROM (SELECT b.wave_no, count(*)::int AS batches FROM reopened_batches AS b GROUP BY b.wave_no) AS r
    WHERE w.job_no = $1 AND w.wave_no = r.wave_no
    RETURNING 1
), running_job AS (
    UPDATE jobs AS j
    SET status = 'running',
        failed = j.failed - (SELECT sum(c.cells) FROM reopened_cells AS c),
        incomplete = j.incomplete - $9::int,
        finished_at = NULL,
        last_event_no = j.last_event_no + 1
    WHERE j.job_no = $1 AND (SELECT count(*) FROM running_waves) >= 0
    RETURNING j.job_no, write_event(j.job_no, j.last_event_no, 'retried', $6::text, $7::text::json)
), inserted_trigger AS (
    INSERT INTO triggers (job_no, source, outcome, worker_no, finished_at)
    VALUES ($1, 'retry', 'joined', $8, now())
), longer_ready AS (
    UPDATE ready AS r
    SET cells = r.cells + b.cells, not_before = least(r.not_before, now())
    FROM joined_batches AS b
    WHERE r.job_no = b.job_no AND r.batch_no = b.batch_no
)
SELECT offer_batch(b.job_no, b.batch_no, b.cells, b.turn, lane => 1)
FROM reopened_batches AS b
JOIN running_job AS j USING (job_no)
WHERE b.place <= $4
