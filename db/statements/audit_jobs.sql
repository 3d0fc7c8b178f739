-- Recount the jobs in $1 from their executions, and compare the results with the stored counts. Everything but planned,
-- terminal, open, attempts, external_calls, incomplete, unconfirmed_region, simulated, superseded and
-- unknown_configuration must be 0. A job that ended before it was planned has no cells. A duplicate
-- may stand in for a missing cell in out_of_plan, but not in duplicates. The last try of a cell is in its own row if a
-- provider was called: not while the cell waits, and not if it was cancelled, given up or resolved by a person.
WITH audited_jobs AS MATERIALIZED (
    SELECT
        j.job_no, j.id, k.unit, j.created_at, j.status, j.planned, j.completed, j.failed, j.cancelled, j.unknown,
        j.incomplete,
        s.pairs,
        cardinality(s.question_ids) AS questions,
        j.identity_nos || coalesce(j.former_identity_nos, '{}') AS accepted_nos,
        EXISTS (SELECT FROM waves AS w WHERE w.job_no = j.job_no) AS is_coordinated
    FROM jobs AS j
    JOIN kinds AS k USING (kind)
    JOIN specs AS s USING (job_no)
    WHERE j.job_no = ANY ($1::bigint[])
), recorded_tries AS MATERIALIZED (
    SELECT
        t.job_no, t.region_no, t.model_no, t.question_no,
        count(*)::int AS tries,
        max(t.attempt_no)::int AS last_no,
        count(*) FILTER (WHERE NOT coalesce(i.is_simulated, t.provider_used = 'echo'))::int AS calls,
        count(*) FILTER (WHERE t.identity_no IS NULL)::int AS of_nobody_known,
        count(*) FILTER (
            WHERE t.identity_no IS NOT NULL AND NOT t.identity_no = ANY (coalesce(a.accepted_nos, '{}'))
        )::int AS mismatches
    FROM attempts AS t
    JOIN audited_jobs AS a USING (job_no)
    LEFT JOIN identities AS i USING (identity_no)
    WHERE t.job_no = ANY ($1::bigint[])
    GROUP BY t.job_no, t.region_no, t.model_no, t.question_no
), tried_cells AS (
    SELECT
        e.*, coalesce(i.is_simulated, e.provider_used = 'echo') AS is_simulated,
        coalesce(t.of_nobody_known, 0) AS of_nobody_known, coalesce(t.mismatches, 0) AS mismatches,
        coalesce(t.tries, 0) AS tries, coalesce(t.last_no, 0) AS last_no, coalesce(t.calls, 0) AS recorded_calls,
        e.status IN ('completed', 'failed', 'unknown') AND e.provider_used IS NOT NULL AS tells_last_try
    FROM executions AS e
    LEFT JOIN recorded_tries AS t USING (job_no, region_no, model_no, question_no)
    LEFT JOIN identities AS i USING (identity_no)
    WHERE e.job_no = ANY ($1::bigint[])
), counted_batches AS MATERIALIZED (
    SELECT
        e.job_no, e.batch_no, e.region_no, e.model_no,
        count(*)::int AS cells,
        count(*) FILTER (WHERE e.question_no < a.questions)::int AS questions_in_plan,
        count(*) FILTER (WHERE e.question_no >= a.questions)::int AS cells_past_plan,
        count(*) FILTER (WHERE e.finished_at IS NULL)::int AS open,
        count(*) FILTER (WHERE e.status = 'completed')::int AS completed,
        count(*) FILTER (WHERE e.status = 'failed')::int AS failed,
        count(*) FILTER (WHERE e.status = 'cancelled')::int AS cancelled,
        count(*) FILTER (WHERE e.status = 'unknown')::int AS unknown,
        sum(e.attempts)::int AS attempts,
        sum(e.recorded_calls + (e.tells_last_try AND NOT e.is_simulated)::int)::int AS calls,
        count(*) FILTER (WHERE e.status = 'completed' AND e.is_simulated)::int AS simulated,
        sum(e.of_nobody_known + (e.tells_last_try AND e.identity_no IS NULL)::int)::int AS of_nobody_known,
        sum(
            e.mismatches
            + (
                e.tells_last_try AND e.identity_no IS NOT NULL
                AND NOT e.identity_no = ANY (coalesce(a.accepted_nos, '{}'))
            )::int
        )::int AS mismatches,
        count(*) FILTER (
            WHERE e.attempts <> e.tries + e.tells_last_try::int OR e.last_no <> e.tries
        )::int AS tries_differ,
        count(*) FILTER (WHERE NOT e.is_complete)::int AS incomplete,
        count(*) FILTER (
            WHERE e.status = 'completed' AND e.provider_used IS NOT NULL AND e.region_served IS NULL
        )::int AS unconfirmed_region,
        0::bigint AS superseded
    FROM tried_cells AS e
    JOIN audited_jobs AS a USING (job_no)
    GROUP BY e.job_no, e.batch_no, e.region_no, e.model_no, a.questions
    UNION ALL
    SELECT
        i.job_no, i.batch_no, 0, 0, 1, 0, 0,
        (b.finished_at IS NULL)::int, (b.status = 'completed')::int, (b.status = 'failed')::int,
        (b.status = 'cancelled')::int, 0, coalesce(b.attempts, 0), 0,
        0, (b.status = 'completed' AND i.identity_no IS NULL)::int,
        (i.identity_no IS NOT NULL AND NOT i.identity_no = ANY (coalesce(a.accepted_nos, '{}')))::int,
        0, 0, 0, i.rows_superseded
    FROM import_batches AS i
    JOIN audited_jobs AS a USING (job_no)
    LEFT JOIN batches AS b USING (job_no, batch_no)
), counted_pairs AS (
    SELECT
        c.job_no, c.model_no * 256 + c.region_no AS pair,
        sum(c.cells) AS cells, sum(c.questions_in_plan) AS questions_in_plan, sum(c.cells_past_plan) AS cells_past_plan
    FROM counted_batches AS c
    GROUP BY c.job_no, c.model_no, c.region_no
), strays AS (
    SELECT
        p.job_no,
        sum(CASE WHEN p.pair = ANY (a.pairs) THEN p.cells_past_plan ELSE p.cells END)::int AS out_of_plan,
        coalesce(sum(p.questions_in_plan) FILTER (WHERE p.pair = ANY (a.pairs)), 0)::int AS in_plan
    FROM counted_pairs AS p
    JOIN audited_jobs AS a ON a.job_no = p.job_no AND a.unit = 'cell'
    GROUP BY p.job_no
), duplicates AS (
    SELECT repeated.job_no, count(*)::int AS duplicates
    FROM (
        SELECT e.job_no
        FROM executions AS e
        WHERE e.job_no = ANY ($1::bigint[])
        GROUP BY e.job_no, e.region_no, e.model_no, e.question_no
        HAVING count(*) > 1
    ) AS repeated
    GROUP BY repeated.job_no
), orphans AS (
    SELECT c.job_no, sum(c.cells)::int AS orphans
    FROM counted_batches AS c
    WHERE NOT EXISTS (
        SELECT
        FROM batches AS b
        WHERE b.job_no = c.job_no AND b.batch_no = c.batch_no AND b.region_no = c.region_no
    )
    GROUP BY c.job_no
), kept_batches AS (
    SELECT b.job_no, count(*)::int AS differing
    FROM batches AS b
    LEFT JOIN (
        SELECT c.job_no, c.batch_no, sum(c.open) AS open, sum(c.cells) AS cells
        FROM counted_batches AS c
        GROUP BY c.job_no, c.batch_no
    ) AS c USING (job_no, batch_no)
    WHERE b.job_no = ANY ($1::bigint[])
        AND (b.open_cells <> coalesce(c.open, 0) OR b.cells <> coalesce(c.cells, 0))
    GROUP BY b.job_no
), kept_waves AS (
    SELECT w.job_no, count(*)::int AS differing
    FROM waves AS w
    LEFT JOIN (
        SELECT b.job_no, b.wave_no, count(*) AS total, count(*) FILTER (WHERE b.finished_at IS NULL) AS open
        FROM batches AS b
        WHERE b.job_no = ANY ($1::bigint[])
        GROUP BY b.job_no, b.wave_no
    ) AS b USING (job_no, wave_no)
    WHERE w.job_no = ANY ($1::bigint[])
        AND (w.open_batches <> coalesce(b.open, 0) OR w.total_batches <> coalesce(b.total, 0))
    GROUP BY w.job_no
), counted_jobs AS (
    SELECT
        c.job_no,
        sum(c.cells)::int AS cells,
        sum(c.open)::int AS open,
        sum(c.completed)::int AS completed,
        sum(c.failed)::int AS failed,
        sum(c.cancelled)::int AS cancelled,
        sum(c.unknown)::int AS unknown,
        sum(c.attempts)::int AS attempts,
        sum(c.calls)::int AS calls,
        sum(c.simulated)::int AS simulated,
        sum(c.of_nobody_known)::int AS of_nobody_known,
        sum(c.mismatches)::int AS mismatches,
        sum(c.tries_differ)::int AS tries_differ,
        sum(c.incomplete)::int AS incomplete,
        sum(c.unconfirmed_region)::int AS unconfirmed_region,
        sum(c.superseded)::bigint AS superseded
    FROM counted_batches AS c
    GROUP BY c.job_no
)
SELECT
    a.job_no, a.id AS job_id, a.status, a.created_at, a.planned,
    coalesce(c.completed + c.failed + c.cancelled + c.unknown, 0) AS terminal,
    CASE
        WHEN a.is_coordinated OR c.job_no IS NOT NULL THEN coalesce(c.open, 0)
        WHEN a.status IN ('queued', 'coordinating') THEN a.planned
        ELSE 0
    END AS open,
    coalesce(d.duplicates, 0) AS duplicates,
    coalesce(s.out_of_plan, 0)
    + CASE
        WHEN a.is_coordinated AND a.unit = 'batch' THEN abs(a.planned - coalesce(c.cells, 0))
        WHEN a.is_coordinated THEN greatest(0, cardinality(a.pairs) * a.questions - coalesce(s.in_plan, 0))
        ELSE 0
    END AS out_of_plan,
    coalesce(o.orphans, 0) AS orphans,
    coalesce(c.attempts, 0) AS attempts,
    coalesce(c.calls, 0) AS external_calls,
    coalesce(c.tries_differ, 0) AS tries_differ,
    coalesce(c.incomplete, 0) AS incomplete,
    coalesce(c.unconfirmed_region, 0) AS unconfirmed_region,
    coalesce(c.superseded, 0) AS superseded,
    coalesce(c.mismatches, 0) AS config_mismatches,
    coalesce(c.simulated, 0) AS simulated,
    coalesce(c.of_nobody_known, 0) AS unknown_configuration,
    CASE
        WHEN a.is_coordinated OR c.job_no IS NOT NULL THEN (
            abs(a.completed - coalesce(c.completed, 0)) + abs(a.failed - coalesce(c.failed, 0))
            + abs(a.cancelled - coalesce(c.cancelled, 0)) + abs(a.unknown - coalesce(c.unknown, 0))
            + abs(a.incomplete - coalesce(c.incomplete, 0))
        )
        ELSE a.completed + a.failed + a.unknown + a.incomplete
    END AS progress_differs,
    coalesce(kb.differing, 0) AS batches_differ,
    coalesce(kw.differing, 0) AS waves_differ,
    CASE
        WHEN a.unit = 'batch' AND a.status = 'failed' THEN 0
        WHEN a.status IN ('completed', 'partial', 'failed', 'cancelled') THEN coalesce(c.open, 0)
        ELSE 0
    END AS open_in_terminal
FROM audited_jobs AS a
LEFT JOIN counted_jobs AS c USING (job_no)
LEFT JOIN strays AS s USING (job_no)
LEFT JOIN duplicates AS d USING (job_no)
LEFT JOIN orphans AS o USING (job_no)
LEFT JOIN kept_batches AS kb USING (job_no)
LEFT JOIN kept_waves AS kw USING (job_no)
ORDER BY a.job_no DESC
