-- Everything that must hold of jobs and their cells, whatever happened to those who ran them. Each row is a violation.
-- Written apart from the service's own audit, so that one can't hide what the other overlooks.
WITH planned AS (
    SELECT s.job_no, (pair % 256)::smallint AS region_no, (pair / 256)::smallint AS model_no, q::smallint AS question_no
    FROM specs AS s
    JOIN jobs AS j USING (job_no)
    CROSS JOIN unnest(s.pairs) AS pair
    CROSS JOIN generate_series(0, cardinality(s.question_ids) - 1) AS q
    WHERE j.status NOT IN ('queued', 'coordinating') AND j.error_code IS NULL
        AND (j.status <> 'cancelled' OR j.started_at IS NOT NULL)
), cells AS (
    SELECT
        e.job_no,
        count(*) AS planned,
        count(*) FILTER (WHERE e.status = 'completed') AS completed,
        count(*) FILTER (WHERE e.status = 'failed') AS failed,
        count(*) FILTER (WHERE e.status = 'cancelled') AS cancelled,
        count(*) FILTER (WHERE e.status = 'unknown') AS unknown,
        count(*) FILTER (WHERE e.finished_at IS NULL) AS open,
        count(*) FILTER (WHERE e.is_complete IS FALSE) AS incomplete,
        max(e.finished_at) AS last_finished_at
    FROM executions AS e
    GROUP BY e.job_no
), job_events AS (
    SELECT
        e.job_no, e.event_no, e.type, e.at, e.data,
        e.type IN ('finished', 'cancelled') AS is_end,
        e.type = 'retried' AND e.data ->> 'verdict' IS NOT NULL AS is_reopening
    FROM events AS e
), reopened_batches AS (
    SELECT t.job_no, (b ->> 'batch_id')::int AS batch_no, max(t.at) AS at
    FROM job_events AS t
    CROSS JOIN LATERAL json_array_elements(CASE WHEN t.type = 'retried' THEN t.data -> 'batches' END) AS b
    GROUP BY t.job_no, b ->> 'batch_id'
), batch_cells AS (
    SELECT
        e.job_no, e.batch_no, count(*) AS cells, count(*) FILTER (WHERE e.finished_at IS NULL) AS open,
        min(e.started_at) FILTER (WHERE r.at IS NULL OR e.started_at >= r.at) AS first_started_at,
        max(e.finished_at) AS last_finished_at
    FROM executions AS e
    LEFT JOIN reopened_batches AS r USING (job_no, batch_no)
    GROUP BY e.job_no, e.batch_no
), wave_batches AS (
    SELECT
        b.job_no, b.wave_no, count(*) AS batches,
        count(*) FILTER (WHERE b.status IN ('pending', 'running')) AS open,
        max(b.finished_at) AS last_finished_at
    FROM batches AS b
    GROUP BY b.job_no, b.wave_no
), event_counts AS (
    SELECT e.job_no, count(*) AS events, min(e.event_no) AS first_no, max(e.event_no) AS last_no
    FROM events AS e
    GROUP BY e.job_no
), ends AS (
    SELECT
        t.job_no, t.event_no, t.is_end,
        lag(t.is_end) OVER (PARTITION BY t.job_no ORDER BY t.event_no) AS was_end,
        lead(t.event_no) OVER (PARTITION BY t.job_no ORDER BY t.event_no) AS next_no
    FROM job_events AS t
    WHERE t.is_end OR t.is_reopening
)
SELECT 'a planned cell has a row' AS rule, m.job_no, m::text AS what
FROM (SELECT * FROM planned EXCEPT SELECT e.job_no, e.region_no, e.model_no, e.question_no FROM executions AS e) AS m
UNION ALL
SELECT 'a row is a planned cell', x.job_no, x::text
FROM (SELECT e.job_no, e.region_no, e.model_no, e.question_no FROM executions AS e EXCEPT SELECT * FROM planned) AS x
UNION ALL
SELECT 'kept counts equal the recount', j.job_no, j::text
FROM jobs AS j
JOIN cells AS c USING (job_no)
WHERE (j.planned, j.completed, j.failed, j.cancelled, j.unknown, j.incomplete)
    <> (c.planned, c.completed, c.failed, c.cancelled, c.unknown, c.incomplete)
UNION ALL
SELECT 'a job has ended once its last cell has', j.job_no, j::text
FROM jobs AS j
JOIN cells AS c USING (job_no)
WHERE (j.finished_at IS NULL) <> (c.open > 0)
UNION ALL
SELECT 'the final status follows from the cells', j.job_no, j::text
FROM jobs AS j
JOIN cells AS c USING (job_no)
WHERE j.finished_at IS NOT NULL AND j.status <> 'cancelled' AND j.status <> CASE
        WHEN c.completed = c.planned THEN 'completed'
        WHEN c.completed >= j.min_success_rate * c.planned THEN 'partial'
        ELSE 'failed'
    END
UNION ALL
SELECT 'a batch counts its cells', b.job_no, b::text
FROM batches AS b
LEFT JOIN batch_cells AS c USING (job_no, batch_no)
WHERE b.cells IS DISTINCT FROM c.cells OR b.open_cells IS DISTINCT FROM c.open
    OR (b.status IN ('completed', 'failed', 'cancelled')) <> (c.open = 0)
UNION ALL
SELECT 'a wave counts its batches', w.job_no, w::text
FROM waves AS w
LEFT JOIN wave_batches AS b USING (job_no, wave_no)
WHERE w.total_batches IS DISTINCT FROM b.batches OR w.open_batches IS DISTINCT FROM b.open
    OR (w.finished_at IS NULL) <> (b.open > 0)
UNION ALL
SELECT 'waves end before their job', j.job_no, w::text
FROM jobs AS j
JOIN waves AS w USING (job_no)
WHERE (j.finished_at IS NOT NULL AND w.finished_at IS NULL) OR w.finished_at > j.finished_at
UNION ALL
SELECT 'created, queued, started, finished', j.job_no, (j, b, c)::text
FROM jobs AS j
JOIN batches AS b USING (job_no)
JOIN batch_cells AS c USING (job_no, batch_no)
WHERE NOT (
        j.created_at <= j.queued_at AND j.queued_at <= j.started_at AND j.started_at <= b.created_at
        AND b.created_at <= coalesce(b.queued_at, b.created_at)
        AND coalesce(b.queued_at, b.created_at) <= coalesce(b.started_at, b.queued_at, b.created_at)
        AND coalesce(b.started_at <= c.first_started_at, true) AND coalesce(c.last_finished_at <= b.finished_at, true)
        AND coalesce(b.finished_at <= j.finished_at, true)
    )
UNION ALL
SELECT 'a cell starts before it ends, and ended ones have both times', e.job_no, e::text
FROM executions AS e
WHERE e.started_at > e.finished_at OR e.started_at IS NULL AND (e.status = 'completed' OR e.provider_used IS NOT NULL)
UNION ALL
SELECT 'only what nobody would run fails unasked, and only an ambiguous try is resolved', e.job_no, e::text
FROM executions AS e
WHERE e.status IN ('completed', 'failed', 'unknown') AND e.provider_used IS NULL
    AND e.error_code IS DISTINCT FROM 'worker_lost' AND e.error_code IS DISTINCT FROM 'queue_timeout'
    AND NOT EXISTS (
        SELECT
        FROM attempts AS t
        WHERE t.job_no = e.job_no AND t.region_no = e.region_no AND t.model_no = e.model_no
            AND t.question_no = e.question_no AND t.attempt_no = e.attempts AND t.status = 'unknown'
            AND e.status IN ('completed', 'failed')
    )
UNION ALL
SELECT 'no more calls in flight than the limit', 0, (p, b)::text
FROM pools AS p
JOIN (
    SELECT x.provider, x.region, sum(x.slots) AS slots FROM batches AS x WHERE x.slots > 0 GROUP BY x.provider, x.region
) AS b USING (provider, region)
WHERE b.slots > p.max_concurrent
UNION ALL
SELECT 'every try but the last has a row', e.job_no, (e, a)::text
FROM executions AS e
LEFT JOIN (
    SELECT
        t.job_no, t.region_no, t.model_no, t.question_no, count(*) AS tries, max(t.attempt_no) AS last_no,
        bool_or(t.started_at > t.finished_at) AS is_backwards
    FROM attempts AS t
    GROUP BY t.job_no, t.region_no, t.model_no, t.question_no
) AS a USING (job_no, region_no, model_no, question_no)
WHERE coalesce(a.tries, 0)
    <> e.attempts - (e.status IN ('completed', 'failed', 'unknown') AND e.provider_used IS NOT NULL)::int
    OR coalesce(a.last_no, 0) <> coalesce(a.tries, 0) OR a.is_backwards
UNION ALL
SELECT 'a try without a cell', t.job_no, t::text
FROM attempts AS t
LEFT JOIN executions AS e USING (job_no, region_no, model_no, question_no)
WHERE e.job_no IS NULL
UNION ALL
SELECT 'served where it was planned', e.job_no, e::text
FROM executions AS e
JOIN specs AS s USING (job_no)
WHERE e.region_served <> s.region_ids[e.region_no + 1] AND e.error_code IS DISTINCT FROM 'region_mismatch'
UNION ALL
SELECT 'the events of a job are numbered without gaps', j.job_no, s::text
FROM jobs AS j
LEFT JOIN event_counts AS s USING (job_no)
WHERE coalesce(s.events, 0) <> j.last_event_no OR coalesce(s.last_no, 0) <> j.last_event_no OR s.first_no <> 1
UNION ALL
SELECT 'every end but the last was left by a retry', t.job_no, t::text
FROM ends AS t
WHERE t.is_end IS NOT DISTINCT FROM coalesce(t.was_end, false)
UNION ALL
SELECT 'the events of an ended job end with that, and those of no other job do', j.job_no, t::text
FROM jobs AS j
LEFT JOIN ends AS t ON t.job_no = j.job_no AND t.next_no IS NULL
WHERE (j.finished_at IS NOT NULL) <> coalesce(t.is_end, false)
UNION ALL
SELECT 'after an end a job is only resolved, until it is retried', t.job_no, t::text
FROM job_events AS t
JOIN ends AS e ON e.job_no = t.job_no AND e.is_end AND t.event_no > e.event_no
    AND t.event_no < coalesce(e.next_no, t.event_no + 1)
WHERE t.type <> 'resolved'
UNION ALL
SELECT 'each resolved cell keeps its ambiguous try', j.job_no, (r, a)::text
FROM jobs AS j
LEFT JOIN (
    SELECT t.job_no, count(*) AS resolved FROM job_events AS t WHERE t.type = 'resolved' GROUP BY t.job_no
) AS r USING (job_no)
LEFT JOIN (
    SELECT t.job_no, count(*) AS ambiguous
    FROM attempts AS t
    WHERE t.status = 'unknown' AND t.error_code <> 'cancelled_in_call'
    GROUP BY t.job_no
) AS a USING (job_no)
WHERE coalesce(r.resolved, 0) <> coalesce(a.ambiguous, 0)
UNION ALL
SELECT 'an open dead letter is of a cell that failed', d.job_no, d::text
FROM dead_letters AS d
LEFT JOIN executions AS e USING (job_no, region_no, model_no, question_no)
WHERE d.replayed_at IS NULL AND (e.status IS DISTINCT FROM 'failed' OR e.attempts <> d.attempts)
UNION ALL
SELECT 'the events of a job go forward', e.job_no, e::text
FROM (SELECT x.*, lag(x.at) OVER (PARTITION BY x.job_no ORDER BY x.event_no) AS before FROM events AS x) AS e
WHERE e.at < e.before
UNION ALL
SELECT 'one trigger won', j.job_no, t.outcomes::text
FROM jobs AS j
LEFT JOIN (SELECT g.job_no, array_agg(g.outcome) AS outcomes FROM triggers AS g GROUP BY g.job_no) AS t USING (job_no)
WHERE j.started_at IS NOT NULL AND cardinality(array_positions(t.outcomes, 'won')) IS DISTINCT FROM 1
ORDER BY rule, job_no
