-- Claim batches that this transaction has locked ($1 jobs, $2 batches), with so many calls in flight each ($3), which
-- may probe a circuit breaker ($7): a lease of $6 seconds for holder $4 of worker $5, and a fence one higher, which
-- makes the former lease stale. A batch that never began in time stays marked as overdue, independent of the worker
-- that claims it. The holder serves the identity of the batch's ready row, since its job may have been accepted anew
-- after the last lease; a batch whose identity is another tenant's isn't claimed. Times are the clock's: this
-- transaction may have begun before the one that made a batch ready. Returns each batch with its open cells that are
-- due; if others wait for a later try, also in how many seconds the first of them is due.
WITH wanted AS MATERIALIZED (
    SELECT i.job_no, i.batch_no, i.permits, i.is_probe, r.identity_no, r.queued_at, r.turn,
        b.status AS status_before, b.identity_no AS identity_before
    FROM unnest($1::bigint[], $2::int[], $3::int[], $7::boolean[]) AS i (job_no, batch_no, permits, is_probe)
    JOIN batches AS b USING (job_no, batch_no)
    LEFT JOIN ready AS r USING (job_no, batch_no)
    LEFT JOIN identities AS k ON k.identity_no = coalesce(r.identity_no, b.identity_no)
    WHERE k.tenant IS NULL OR names_tenant(k.tenant, (SELECT j.tenant_no FROM jobs AS j WHERE j.job_no = i.job_no))
), cleared AS (
    DELETE FROM ready AS r
    USING wanted AS w
    WHERE r.job_no = w.job_no AND r.batch_no = w.batch_no
), claimed AS (
    UPDATE batches AS b
    SET status = 'running',
        fence = b.fence + 1,
        holder = $4::bigint,
        worker_no = $5::int,
        lease_until = now() + $6::float8 * interval '1 second',
        identity_no = coalesce(w.identity_no, b.identity_no),
        slots = w.permits,
        is_probe = w.is_probe,
        lost_leases = b.lost_leases + (w.status_before = 'running')::int,
        not_before = NULL,
        overdue_at = CASE WHEN b.overdue_at <= now() THEN b.overdue_at END,
        queued_at = coalesce(b.queued_at, greatest(w.queued_at, b.created_at), now()),
        started_at = coalesce(b.started_at, clock_timestamp())
    FROM wanted AS w
    WHERE b.job_no = w.job_no AND b.batch_no = w.batch_no
    RETURNING
        b.job_no, b.batch_no, b.wave_no, b.next_batch_no, b.provider, b.region, b.identity_no, b.region_no,
        b.first_model_no, b.first_question_no, b.last_model_no, b.last_question_no, b.fence,
        b.lost_leases, b.open_cells, b.slots,
        b.is_probe, b.overdue_at IS NOT NULL AS is_overdue,
        w.identity_before, w.status_before = 'running' AS was_lost, coalesce(w.queued_at, now()) AS queued_at,
        coalesce(w.turn, 0) AS turn, b.created_at
)
SELECT
    c.job_no, c.batch_no, c.wave_no, c.next_batch_no, c.provider, c.region, c.identity_no, c.identity_before,
    c.region_no, c.fence, c.turn, c.slots AS permits, c.is_probe, c.is_overdue,
    c.lost_leases, c.was_lost, extract(EPOCH FROM clock_timestamp() - c.queued_at)::float8 AS waited_seconds,
    extract(EPOCH FROM clock_timestamp())::float8 AS claimed_at, extract(EPOCH FROM c.created_at)::float8 AS planned_at,
    e.model_nos, e.question_nos, e.attempts, e.forgiven, e.key_nos, e.marked,
    CASE WHEN c.open_cells > coalesce(cardinality(e.model_nos), 0) THEN (
        SELECT extract(EPOCH FROM min(x.not_before) - now())::float8
        FROM executions AS x
        WHERE x.job_no = c.job_no
            AND x.region_no = c.region_no
            AND (x.model_no, x.question_no) >= (c.first_model_no, c.first_question_no)
            AND (x.model_no, x.question_no) <= (c.last_model_no, c.last_question_no)
            AND x.batch_no = c.batch_no
            AND x.finished_at IS NULL
            AND x.not_before > now()
    ) END AS next_due_seconds
FROM claimed AS c
CROSS JOIN LATERAL (
    SELECT
        array_agg(x.model_no) AS model_nos,
        array_agg(x.question_no) AS question_nos,
        array_agg(x.attempts) AS attempts,
        array_agg(x.forgiven) AS forgiven,
        array_agg(x.key_no) AS key_nos,
        array_agg(x.status = 'running') AS marked
    FROM executions AS x
    WHERE x.job_no = c.job_no
        AND x.region_no = c.region_no
        AND (x.model_no, x.question_no) >= (c.first_model_no, c.first_question_no)
        AND (x.model_no, x.question_no) <= (c.last_model_no, c.last_question_no)
        AND x.batch_no = c.batch_no
        AND x.finished_at IS NULL
        AND (x.not_before IS NULL OR x.not_before <= now())
) AS e
