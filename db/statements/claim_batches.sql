-- Claim what is due by turns, up to $3 cells, in the pools ($1 providers, $2 regions) this worker may serve.
-- One row tells at least how many ready rows were taken away; without a batch it is otherwise null.
-- Locks ready and batch rows only, passing over locked ones. A ready row whose batch can't be claimed is dropped; one
-- whose batch is locked stays. A batch whose lease ran out is taken from its holder, whose fence then is stale; not
-- from this worker itself ($8 are the holders it has in hand), which will renew the lease.
-- Times are the clock's: this transaction may have begun before the one that made a batch ready.
WITH due AS MATERIALIZED (
    SELECT d.job_no, d.batch_no, d.queued_at, d.turn
    FROM (
        SELECT w.*, sum(w.cells) OVER (ORDER BY w.turn, w.job_no, w.batch_no) - w.cells AS cells_before
        FROM unnest($1::text[], $2::text[]) AS p (provider, region)
        CROSS JOIN LATERAL (
            SELECT r.job_no, r.batch_no, r.turn, r.cells, r.queued_at
            FROM ready AS r
            WHERE r.provider = p.provider AND r.region = p.region AND r.not_before <= now()
            ORDER BY r.turn, r.job_no, r.batch_no
            LIMIT $4
            FOR NO KEY UPDATE SKIP LOCKED
        ) AS w
    ) AS d
    WHERE d.cells_before < $3
), claimable AS MATERIALIZED (
    SELECT b.job_no, b.batch_no, d.queued_at, d.turn, b.status AS status_before
    FROM due AS d
    JOIN batches AS b USING (job_no, batch_no)
    WHERE b.status = 'pending' OR (b.status = 'running' AND b.lease_until < now() AND b.holder <> ALL ($8::bigint[]))
    ORDER BY b.job_no, b.batch_no
    FOR NO KEY UPDATE OF b SKIP LOCKED
), cleared AS (
    DELETE FROM ready AS r
    USING due AS d
    JOIN batches AS b USING (job_no, batch_no)
    LEFT JOIN claimable AS c USING (job_no, batch_no)
    WHERE r.job_no = d.job_no AND r.batch_no = d.batch_no
        AND (
            c.job_no IS NOT NULL
            OR NOT (b.status = 'pending' OR (b.status = 'running' AND b.lease_until < now() AND b.holder <> ALL ($8::bigint[])))
        )
    RETURNING 1
), claimed AS (
    UPDATE batches AS b
    SET status = 'running',
        fence = b.fence + 1,
        holder = $5::bigint,
        worker_no = $6::int,
        lease_until = now() + $7::float8 * interval '1 second',
        lost_leases = b.lost_leases + (c.status_before = 'running')::int,
        not_before = NULL,
        queued_at = coalesce(b.queued_at, greatest(c.queued_at, b.created_at)),
        started_at = coalesce(b.started_at, clock_timestamp())
    FROM claimable AS c
    WHERE b.job_no = c.job_no AND b.batch_no = c.batch_no
    RETURNING
        b.job_no, b.batch_no, b.wave_no, b.next_batch_no, b.provider, b.region, b.region_no, b.first_model_no,
        b.first_question_no, b.last_model_no, b.last_question_no, b.fence, b.lost_leases,
        c.status_before = 'running' AS was_lost, c.queued_at, c.turn, b.created_at
)
SELECT
    c.job_no, c.batch_no, c.wave_no, c.next_batch_no, c.provider, c.region, c.region_no, c.fence, c.turn,
    c.lost_leases, c.was_lost, extract(EPOCH FROM clock_timestamp() - c.queued_at)::float8 AS waited_seconds,
    extract(EPOCH FROM clock_timestamp())::float8 AS claimed_at,
    extract(EPOCH FROM c.created_at)::float8 AS planned_at, e.model_nos, e.question_nos, e.attempts,
    (SELECT count(*) FROM cleared) AS cleared
FROM (SELECT) AS always
LEFT JOIN claimed AS c ON true
CROSS JOIN LATERAL (
    SELECT
        array_agg(x.model_no) AS model_nos,
        array_agg(x.question_no) AS question_nos,
        array_agg(x.attempts) AS attempts
    FROM executions AS x
    WHERE x.job_no = c.job_no
        AND x.region_no = c.region_no
        AND (x.model_no, x.question_no) >= (c.first_model_no, c.first_question_no)
        AND (x.model_no, x.question_no) <= (c.last_model_no, c.last_question_no)
        AND x.batch_no = c.batch_no
        AND x.finished_at IS NULL
) AS e
