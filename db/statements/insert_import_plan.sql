-- Write the plan of an import ($1) whose job and coordination this transaction has locked: its record types ($2 to $8,
-- of the generations $28), waves ($9 to $12) and batches ($13 to $18, which read the identities $27), and start it.
-- Batches are numbered in order, from 1; the first $19 of the first wave are ready, and each end releases the batch $19
-- further on. Their pool is ($20, $21).
WITH started_job AS (
    UPDATE jobs AS j
    SET status = 'running',
        planned = cardinality($13::int[]),
        last_event_no = j.last_event_no + 1
    WHERE j.job_no = $1::bigint
    RETURNING j.job_no, j.tenant_no, write_event(j.job_no, j.last_event_no, 'coordinated', $23::text, $24::text::json)
), inserted_types AS (
    INSERT INTO record_types (
        job_no, record_type_no, id, record_set_no, level, rows_expected, is_complete, detail, generation
    )
    SELECT $1, r.*
    FROM unnest(
        $2::smallint[], $3::text[], $4::int[], $5::int[], $6::bigint[], $7::boolean[], $8::text[], $28::int[]
    ) AS r
), inserted_waves AS (
    INSERT INTO waves (job_no, wave_no, level, status, total_batches, open_batches, first_batch_no, started_at)
    SELECT
        $1, w.wave_no, w.level, CASE w.wave_no WHEN 1 THEN 'running' ELSE 'pending' END, w.batches, w.batches,
        w.first_batch_no, CASE w.wave_no WHEN 1 THEN now() END
    FROM unnest($9::int[], $10::int[], $11::int[], $12::int[]) AS w (wave_no, level, batches, first_batch_no)
), planned_batches AS MATERIALIZED (
    SELECT b.*
    FROM unnest(
        $13::int[], $14::int[], $15::smallint[], $16::int[], $17::text[], $18::int[], $27::int[]
    ) WITH ORDINALITY AS b (
        wave_no, next_batch_no, record_type_no, record_batch_no, range, rows_expected, identity_no, batch_no
    )
), inserted_batches AS (
    INSERT INTO batches (
        job_no, batch_no, wave_no, next_batch_no, provider, region, identity_no, region_no,
        first_model_no, first_question_no,
        last_model_no, last_question_no, cells, open_cells, status
    )
    SELECT
        $1, b.batch_no, b.wave_no, b.next_batch_no, $20::text, $21::text, b.identity_no, 0, 0, 0, 0, 0, 1, 1, 'pending'
    FROM planned_batches AS b
    RETURNING CASE WHEN wave_no = 1 AND batch_no <= $19::int THEN
        offer_batch(
            job_no, batch_no, 1,
            virtual_finish_time_of_tenant((SELECT j.tenant_no FROM started_job AS j), identity_no, batch_no)
        )
    END
), inserted_ranges AS (
    INSERT INTO import_batches (job_no, batch_no, record_type_no, record_batch_no, range, rows_expected)
    SELECT $1, b.batch_no, b.record_type_no, b.record_batch_no, b.range::json, b.rows_expected
    FROM planned_batches AS b
), inserted_limit AS (
    INSERT INTO job_limits (job_no, max_concurrent)
    SELECT $1, $22::int
    ON CONFLICT ON CONSTRAINT job_limits_key DO NOTHING
), released_lease AS (
    UPDATE imports AS i
    SET holder = NULL,
        lease_until = NULL,
        planned_at = now(),
        ready_window = $19,
        away_since = NULL,
        error_code = NULL,
        error_detail = NULL
    WHERE i.job_no = $1
)
UPDATE triggers AS t
SET outcome = CASE WHEN t.trigger_no = $25::bigint THEN 'won' WHEN t.fence IS NULL THEN 'joined' ELSE 'fenced' END,
    finished_at = clock_timestamp(),
    worker_no = coalesce(t.worker_no, $26::int)
WHERE t.job_no = $1 AND t.outcome IS NULL
RETURNING t.source, t.outcome
