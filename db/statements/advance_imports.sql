-- Advance imports after ends of batches: waves first ($1 to $5), then jobs ($6 to $9), each by its counts under its row
-- lock. So of two transactions that end a wave's last batches exactly one sees the end of the wave; it opens the next
-- wave and makes its first batches ready, or ends the job. A failed wave opens no other: later waves stay pending, and
-- another statement records the failures. Then write the event of this transaction ($10 is its source), and offer the
-- batches that ended batches release ($11 to $13) and those due again ($14 to $19). The last WHERE counts the offered
-- batches, so that PostgreSQL runs the offers.
WITH advanced_waves AS (
    UPDATE waves AS w
    SET open_batches = w.open_batches - i.ended,
        failed_batches = w.failed_batches + i.failed,
        partial_batches = w.partial_batches + i.partial,
        status = CASE
            WHEN w.open_batches > i.ended THEN w.status
            WHEN w.failed_batches + i.failed > 0 THEN 'failed'
            WHEN w.partial_batches + i.partial > 0 THEN 'partial'
            ELSE 'completed'
        END,
        finished_at = CASE WHEN w.open_batches = i.ended THEN greatest(clock_timestamp(), w.started_at) END
    FROM unnest($1::bigint[], $2::int[], $3::int[], $4::int[], $5::int[]) AS i (job_no, wave_no, ended, failed, partial)
    WHERE w.job_no = i.job_no AND w.wave_no = i.wave_no
    RETURNING w.job_no, w.wave_no, w.status
), ended_waves AS MATERIALIZED (
    SELECT a.job_no, a.wave_no, a.status
    FROM advanced_waves AS a
    WHERE a.status <> 'running'
), opened_waves AS (
    UPDATE waves AS w
    SET status = 'running', started_at = clock_timestamp()
    FROM ended_waves AS e
    WHERE w.job_no = e.job_no AND w.wave_no = e.wave_no + 1 AND e.status <> 'failed' AND w.status = 'pending'
    RETURNING w.job_no, w.wave_no, w.first_batch_no, w.total_batches
), advanced_jobs AS (
    UPDATE jobs AS j
    SET completed = j.completed + i.completed,
        failed = j.failed + i.failed,
        last_event_no = j.last_event_no + 1,
        status = coalesce(i.end_status, j.status),
        error_code = CASE i.end_status WHEN 'failed' THEN 'wave_failed' ELSE j.error_code END,
        finished_at = CASE WHEN i.end_status IS NOT NULL THEN greatest(clock_timestamp(), j.started_at) END
    FROM (
        SELECT
            g.job_no, g.completed, g.failed, g.event, e.wave_no AS ended_wave_no,
            e.status AS ended_wave_status, o.wave_no AS opened_wave_no,
            CASE
                WHEN e.job_no IS NULL OR o.job_no IS NOT NULL THEN NULL
                WHEN e.status = 'failed' THEN 'failed'
                WHEN e.status = 'partial'
                    OR EXISTS (SELECT FROM waves AS x WHERE x.job_no = g.job_no AND x.status = 'partial')
                    OR EXISTS (SELECT FROM record_types AS r WHERE r.job_no = g.job_no AND NOT r.is_complete)
                    THEN 'partial'
                ELSE 'completed'
            END AS end_status
        FROM unnest($6::bigint[], $7::int[], $8::int[], $9::text[]) AS g (job_no, completed, failed, event)
        LEFT JOIN ended_waves AS e USING (job_no)
        LEFT JOIN opened_waves AS o USING (job_no)
        WHERE (SELECT count(*) FROM advanced_waves) >= 0
    ) AS i
    WHERE j.job_no = i.job_no
    RETURNING j.job_no, j.tenant_no, j.id, j.status, i.ended_wave_no, i.ended_wave_status, i.opened_wave_no,
    write_event(
        j.job_no, j.last_event_no, CASE j.status WHEN 'running' THEN 'progressed' ELSE 'finished' END, $10::text,
        json_build_object(
            'status', j.status, 'wave_ended', i.ended_wave_no, 'wave_opened', i.opened_wave_no, 'batches', i.event::json
        )
    )
), opened_ready AS (
    SELECT offer_batch(
        b.job_no, b.batch_no, b.cells,
        virtual_finish_time_of_tenant(a.tenant_no, b.identity_no, 1 + b.batch_no - o.first_batch_no),
        keeps_place => true
    )
    FROM opened_waves AS o
    JOIN advanced_jobs AS a USING (job_no)
    JOIN imports AS i USING (job_no)
    JOIN batches AS b ON b.job_no = o.job_no
        AND b.batch_no >= o.first_batch_no
        AND b.batch_no < o.first_batch_no + least(i.ready_window, o.total_batches)
    WHERE b.status = 'pending'
), released AS (
    SELECT offer_batch(
        b.job_no, b.batch_no, b.cells,
        virtual_finish_time_of_tenant(a.tenant_no, b.identity_no, b.cells, i.turn + m.ready_window * b.cells),
        keeps_place => true
    )
    FROM unnest($11::bigint[], $12::int[], $13::bigint[]) AS i (job_no, batch_no, turn)
    JOIN batches AS b USING (job_no, batch_no)
    JOIN advanced_jobs AS a USING (job_no)
    JOIN imports AS m USING (job_no)
    WHERE b.status = 'pending' AND b.queued_at IS NULL
), due_again AS (
    SELECT offer_batch(
        b.job_no, b.batch_no, i.cells,
        virtual_finish_time_of_tenant(a.tenant_no, b.identity_no, i.weight * i.cells),
        i.lane, now() + i.due_in_seconds * interval '1 second'
    )
    FROM unnest($14::bigint[], $15::int[], $16::int[], $17::smallint[], $18::int[], $19::float8[])
        AS i (job_no, batch_no, cells, lane, weight, due_in_seconds)
    JOIN batches AS b USING (job_no, batch_no)
    JOIN advanced_jobs AS a USING (job_no)
)
SELECT a.job_no, a.id, a.status, a.ended_wave_no, a.ended_wave_status, a.opened_wave_no
FROM advanced_jobs AS a
WHERE (SELECT count(*) FROM opened_ready) + (SELECT count(*) FROM released) + (SELECT count(*) FROM due_again) >= 0
