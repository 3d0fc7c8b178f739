-- Advance jobs after ends of batches and cells: waves first, then jobs, each by its counts under its row lock, so that
-- of two flushes that end a job's last batches exactly one sees the end of the job. Then write the events of this
-- flush, and offer the batches that ended batches release ($19 batches further on in their job) and those due again.
-- The last WHERE counts both, so that PostgreSQL runs them. A job's end takes the clock's time under the row's lock:
-- this transaction may have begun before one that ended a batch of the job. A job that has ended stays unchanged: a
-- worker of an older version may have ended it before its last batch. The condition is written so that no partial index
-- matches it, which would be read to its end for each job.
WITH advanced_waves AS (
    UPDATE waves AS w
    SET open_batches = w.open_batches - i.ended,
        status = CASE WHEN w.open_batches = i.ended THEN 'completed' ELSE w.status END,
        finished_at = CASE WHEN w.open_batches = i.ended THEN greatest(clock_timestamp(), w.started_at) END
    FROM unnest($1::bigint[], $2::int[], $3::int[]) AS i (job_no, wave_no, ended)
    WHERE w.job_no = i.job_no AND w.wave_no = i.wave_no
    RETURNING 1
), advanced_jobs AS (
    UPDATE jobs AS j
    SET completed = j.completed + i.completed,
        failed = j.failed + i.failed,
        unknown = j.unknown + i.unknown,
        incomplete = j.incomplete + i.incomplete,
        last_event_no = j.last_event_no + 1,
        status = CASE
            WHEN j.completed + j.failed + j.cancelled + j.unknown + i.completed + i.failed + i.unknown < j.planned
                THEN j.status
            WHEN j.completed + i.completed = j.planned THEN 'completed'
            WHEN (j.completed + i.completed)::float8 / j.planned >= j.min_success_rate THEN 'partial'
            ELSE 'failed'
        END,
        finished_at = CASE
            WHEN j.completed + j.failed + j.cancelled + j.unknown + i.completed + i.failed + i.unknown = j.planned
                THEN greatest(clock_timestamp(), j.started_at)
        END
    FROM unnest($4::bigint[], $5::int[], $6::int[], $7::int[], $8::text[], $20::int[])
        AS i (job_no, completed, failed, unknown, event, incomplete)
    WHERE j.job_no = i.job_no AND coalesce(j.finished_at, 'infinity') = 'infinity'
        AND (SELECT count(*) FROM advanced_waves) >= 0
    RETURNING j.job_no, j.tenant_no, j.id, j.status, j.last_event_no, i.event
), written_events AS (
    SELECT write_events(
        array_agg(a.job_no),
        array_agg(a.last_event_no::bigint),
        array_agg(CASE a.status WHEN 'running' THEN 'progressed' ELSE 'finished' END),
        array_agg($9::text),
        array_agg(json_build_object('status', a.status, 'batches', a.event::json))
    )
    FROM advanced_jobs AS a
), released AS (
    SELECT offer_batch(
        b.job_no, b.batch_no, b.cells,
        virtual_finish_time_of_tenant(a.tenant_no, b.identity_no, b.cells, i.turn + $19::int * b.cells),
        keeps_place => true
    )
    FROM unnest($10::bigint[], $11::int[], $12::bigint[]) AS i (job_no, batch_no, turn)
    JOIN batches AS b USING (job_no, batch_no)
    JOIN advanced_jobs AS a USING (job_no)
    WHERE b.status = 'pending' AND b.queued_at IS NULL
), due_again AS (
    SELECT offer_batch(
        b.job_no, b.batch_no, i.cells,
        virtual_finish_time_of_tenant(a.tenant_no, b.identity_no, i.weight * i.cells),
        i.lane, now() + i.due_in_seconds * interval '1 second'
    )
    FROM unnest($13::bigint[], $14::int[], $15::int[], $16::smallint[], $17::int[], $18::float8[])
        AS i (job_no, batch_no, cells, lane, weight, due_in_seconds)
    JOIN batches AS b USING (job_no, batch_no)
    JOIN advanced_jobs AS a USING (job_no)
)
SELECT a.job_no, a.id, a.status
FROM advanced_jobs AS a
WHERE (SELECT count(*) FROM written_events) + (SELECT count(*) FROM released) + (SELECT count(*) FROM due_again) >= 0
