-- Write the plans of locked queued jobs: one wave each, its batches, its cells, its trigger; and start the jobs.
-- The join names keys only: with a status predicate the planner would scan the index of queued jobs for each row.
-- A batch's state is 0 (waits for its predecessor), 1 (ready) or 2 (claimed by this worker).
-- No time of a plan is before its job's queueing, though this transaction may have begun earlier.
-- A ready batch's virtual finish time is its tenant's virtual time in the pool plus the cells of this job up to the
-- batch's end (self-clocked fair queueing, Golestani 1994): a small job is served soon, a large one gets its share.
WITH planned_jobs AS MATERIALIZED (
    SELECT *
    FROM unnest(
        $1::bigint[], $2::text[], $3::boolean[], $4::boolean[], $5::int[], $6::text[], $28::float8[], $29::int[]
    )
        AS p (job_no, source, is_recorded, delivered, batches, event, queue_timeout_seconds, max_concurrent)
), started_jobs AS (
    UPDATE jobs AS j
    SET status = 'running',
        started_at = greatest(now(), j.queued_at),
        delivered = j.delivered OR p.delivered,
        last_event_no = j.last_event_no + 1
    FROM planned_jobs AS p
    WHERE j.job_no = p.job_no
    RETURNING j.job_no, j.tenant_no, j.started_at, j.last_event_no, p.source, p.event,
        j.queued_at + p.queue_timeout_seconds * interval '1 second' AS overdue_at
), written_events AS (
    SELECT write_events(
        array_agg(j.job_no),
        array_agg(j.last_event_no::bigint),
        array_agg('coordinated'::text),
        array_agg(j.source),
        array_agg(j.event::json)
    )
    FROM started_jobs AS j
), moment AS MATERIALIZED (
    SELECT max(j.started_at) AS at
    FROM started_jobs AS j
), inserted_waves AS (
    INSERT INTO waves (job_no, wave_no, level, status, total_batches, open_batches, created_at, started_at)
    SELECT p.job_no, 1, 0, 'running', p.batches, p.batches, m.at, m.at
    FROM planned_jobs AS p
    CROSS JOIN moment AS m
), planned_batches AS MATERIALIZED (
    SELECT
        b.*,
        CASE WHEN b.state = 1 THEN
            virtual_finish_time_of_tenant(
                j.tenant_no,
                b.identity_no,
                sum(b.cells) OVER (PARTITION BY b.job_no, b.provider, b.region_no ORDER BY b.batch_no)
            )
        ELSE 0 END AS turn
    FROM unnest(
        $7::bigint[], $8::int[], $9::int[], $10::text[], $11::text[], $12::smallint[], $13::smallint[], $14::smallint[],
        $15::smallint[], $16::smallint[], $17::int[], $18::smallint[], $30::int[]
    ) AS b (
        job_no, batch_no, next_batch_no, provider, region, region_no, first_model_no, first_question_no,
        last_model_no, last_question_no, cells, state, identity_no
    )
    JOIN started_jobs AS j USING (job_no)
), inserted_batches AS (
    INSERT INTO batches (
        job_no, batch_no, wave_no, next_batch_no, provider, region, identity_no, region_no,
        first_model_no, first_question_no,
        last_model_no, last_question_no, cells, open_cells, turn, status, fence, holder, worker_no, lease_until,
        created_at, queued_at, started_at, overdue_at
    )
    SELECT
        b.job_no, b.batch_no, 1, b.next_batch_no, b.provider, b.region, b.identity_no, b.region_no, b.first_model_no,
        b.first_question_no, b.last_model_no, b.last_question_no, b.cells, b.cells, b.turn,
        CASE WHEN b.state = 2 THEN 'running' ELSE 'pending' END,
        CASE WHEN b.state = 2 THEN 1 ELSE 0 END,
        CASE WHEN b.state = 2 THEN $19::bigint END,
        CASE WHEN b.state = 2 THEN $20::int END,
        CASE WHEN b.state = 2 THEN now() + $21::float8 * interval '1 second' END,
        m.at,
        CASE WHEN b.state = 2 THEN m.at END,
        CASE WHEN b.state = 2 THEN m.at END,
        CASE WHEN b.state <> 2 THEN j.overdue_at END
    FROM planned_batches AS b
    JOIN started_jobs AS j USING (job_no)
    CROSS JOIN moment AS m
    RETURNING CASE WHEN turn > 0 THEN offer_batch(job_no, batch_no, cells, turn) END
), inserted_limits AS (
    INSERT INTO job_limits (job_no, max_concurrent)
    SELECT p.job_no, p.max_concurrent
    FROM planned_jobs AS p
    WHERE p.max_concurrent IS NOT NULL
), inserted_triggers AS (
    INSERT INTO triggers (job_no, source, outcome, fence, worker_no, started_at, finished_at)
    SELECT p.job_no, p.source, 'won', 1, $20::int, m.at, clock_timestamp()
    FROM planned_jobs AS p
    CROSS JOIN moment AS m
    WHERE NOT p.is_recorded
)
INSERT INTO executions (job_no, region_no, model_no, question_no, batch_no, status)
SELECT r.job_no, r.region_no, r.model_no, question_no, r.batch_no, 'planned'
FROM unnest($22::bigint[], $23::int[], $24::smallint[], $25::smallint[], $26::smallint[], $27::smallint[])
    AS r (job_no, batch_no, region_no, model_no, first_question_no, last_question_no)
CROSS JOIN LATERAL generate_series(r.first_question_no::int, r.last_question_no::int) AS question_no
WHERE (SELECT count(*) FROM written_events) >= 0
